"""From the columns of a published file to rows for an insert. The file may come from anybody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.bases.publication import PublishedTable, is_curve, is_stored_array
from schemas.deploy.published import UNUSABLE, expanded_texts
from schemas.rows.column_limits import find_refusal
from schemas.rows.copy_text import LONGEST_PATH, curve_arrays
from schemas.server.published import REPAIR, is_plain_path
from vbn.errors import InvalidContentError, quoted, shortened

LISTS = (
    "driver_line", "abnormal_histology", "abnormal_activity", "decoding_classes", "glm_column_names",
    "glm_condition_flashes", "glm_dropout_names", "selectivity_image_names", "bennett_2025_image_names",
    "bennett_2025_image_flashes", "strategy_regressors",
)  # fmt: skip
ANYTHING = ("criterion_value",)
"""Columns of JSON that hold lists, or any value; all others hold objects."""


@dataclass(frozen=True)
class ArrayNote:
    """What a published row says of an array in the store.

    Attributes
    ----------
    path : where it is below the folder's arrays, if it was published.
    shape, dtype : of the array.
    sha256 : hash of its file, None if it was not published.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str | None

    @classmethod
    def parsed(cls, text: str) -> ArrayNote:
        """Return a note.

        Raises
        ------
        ValueError, KeyError, TypeError, RecursionError
            If the text is not one, or names a file elsewhere.
        """
        found = strict_json(text)
        path, shape, digest = str(found["path"]), found["shape"], found.get("sha256")
        if not is_plain_path(path) or len(path) > LONGEST_PATH or not path.endswith(".npy"):
            raise ValueError(f"'{path[:100]}' is no place below the folder of arrays")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{shortened(shape, 100)} is no shape")
        dtype = np.dtype(str(found["dtype"]))
        if dtype.kind not in "biuf" or not isinstance(digest, str | None):
            raise ValueError(f"{dtype} is no type of numbers, or the hash no text")
        return cls(path, tuple(shape), str(dtype), digest)


def strict_json(text: str) -> Any:
    """Return a JSON value; NaN and infinite numbers, which no server holds, are none."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON")


def checked_rows(batch: pa.RecordBatch, published: PublishedTable, path: Path) -> list[dict[str, Any]]:
    """Return rows, attribute -> Python value, `ArrayNote` for an array in the store.

    Parameters
    ----------
    batch : rows of the file.
    published : the table that is to hold them.
    path : the file, for messages.

    Raises
    ------
    InvalidContentError
        If the table cannot hold a value.
    """
    columns = {each.name: _checked(batch[each.name], each, published, path) for each in published.attributes}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _checked(values: pa.Array, attribute: Any, published: PublishedTable, path: Path) -> list[Any]:
    problem = f"{published.name} cannot hold a value of {attribute.name}"
    try:
        found = _values(values, attribute)
    except UNUSABLE as error:
        raise InvalidContentError(path, f"{problem}: {shortened(error, 200)}.", REPAIR) from error
    if not attribute.nullable and any(value is None for value in found):
        raise InvalidContentError(path, f"{problem}: a value is required.", REPAIR)
    if refused := find_refusal(attribute, found):
        first = found[refused.positions[0]]
        raise InvalidContentError(path, f"{problem}, {quoted(first)}: {refused.expected}.", REPAIR)
    return found


def _values(values: pa.Array, attribute: Any) -> list[Any]:
    if pa.types.is_dictionary(values.type):
        values = expanded_texts(values)
    if is_curve(attribute):
        return [None if each is None else _numbers(each) for each in curve_arrays(values)]
    found: list[Any] = values.to_pylist()
    if is_stored_array(attribute):
        return _each(found, ArrayNote.parsed)
    if attribute.json:
        return _each(found, lambda text: _json_value(text, attribute.name))
    if pa.types.is_timestamp(values.type):
        return _each(found, lambda time: time.replace(tzinfo=None))
    if pa.types.is_floating(values.type):
        for number in found:
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{number} is not a finite number")
    return found


def _each(values: list[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array is of {array.dtype}, not of numbers")
    return array


def _json_value(text: str, name: str) -> Any:
    value = strict_json(text)
    if "\\u0000" in text:
        raise ValueError("a text has a NUL character")
    if isinstance(value, dict) and {"path", "store"} <= value.keys():
        raise ValueError("it would name a file in the array store")
    wanted = list if name in LISTS else dict
    if name not in ANYTHING and not isinstance(value, wanted):
        raise ValueError(f"{shortened(text, 100)} is no {'list' if wanted is list else 'object'}")
    return value
