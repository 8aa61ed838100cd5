"""Columns of Arrow as text for PostgreSQL's COPY, column by column.

Each function returns an array of strings, NULL for NULL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from schemas.server.datajoint import packed_array
from schemas.server.published import is_plain_path
from schemas.server.settings import STORE_NAME

ESCAPED = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
LONGEST_PATH = 1000


def copy_lines(columns: Sequence[pa.Array], others: Sequence[str | None] = ()) -> bytes:
    """Return rows as COPY takes them.

    Parameters
    ----------
    columns : the columns as texts.
    others : the values of further columns, the same in each row.
    """
    if not len(columns[0]):
        return b""
    rest = ["\\N" if value is None else value for value in others]
    lines = compute.binary_join_element_wise(
        *columns, *rest, "\t", null_handling="replace", null_replacement="\\N"
    )
    return ("\n".join(lines.to_pylist()) + "\n").encode()


def plain_texts(values: pa.Array) -> pa.Array:
    """Return numbers, flags, times and text."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us"))
    if not pa.types.is_string(values.type):
        return values.cast(pa.string())
    for plain, escaped in ESCAPED:
        values = compute.replace_substring(values, plain, escaped)
    return values


def array_texts(notes: pa.Array) -> pa.Array:
    """Return what is published of arrays in the store as DataJoint's references to them.

    Raises
    ------
    ValueError, KeyError, TypeError, SyntaxError, RecursionError
        If a note is not one, or names a file elsewhere.
    """
    return plain_texts(
        pa.array([None if each is None else _reference(each) for each in notes.to_pylist()], pa.string())
    )


def _reference(note: str) -> str:
    found = json.loads(note)
    path, dtype, shape = str(found["path"]), np.dtype(str(found["dtype"])), found["shape"]
    if not is_plain_path(path) or len(path) > LONGEST_PATH or not path.endswith(".npy"):
        raise ValueError(f"'{path[:100]}' is no place below the folder of arrays")
    is_shape = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if dtype.kind not in "biuf" or not is_shape:
        raise ValueError(f"{dtype} and {shape} are not a type and shape of numbers")
    return json.dumps({"path": path, "store": STORE_NAME, "dtype": str(dtype), "shape": shape})


def curve_texts(values: pa.Array) -> pa.Array:
    """Return lists as DataJoint stores arrays, ``<blob>``, uncompressed.

    Raises
    ------
    ValueError
        If a list has missing values, or a matrix rows of different lengths.
    """
    return pa.array(
        [None if each is None else f"\\\\x{_packed(each).hex()}" for each in curve_arrays(values)],
        pa.string(),
    )


def curve_arrays(values: pa.Array) -> list[np.ndarray | None]:
    """Return the arrays of a column of lists, matrices as such.

    Raises
    ------
    ValueError
        If a list has missing values, or a matrix rows of different lengths.
    """
    if pa.types.is_fixed_size_list(values.type):
        size = values.type.list_size
        flat = _numbers(values.values)[values.offset * size : (values.offset + len(values)) * size]
        rows: list[Any] = list(flat.reshape(len(values), size))
    else:
        inner = values.values
        is_matrix = pa.types.is_list(inner.type)
        items: Any = curve_arrays(inner) if is_matrix else _numbers(inner)
        offsets = values.offsets.to_numpy()
        rows = [items[start:stop] for start, stop in pairwise(offsets)]
        if is_matrix:
            empty = np.empty((0, 0), inner.type.value_type.to_pandas_dtype())
            rows = [np.stack(row) if row else empty for row in rows]
    if not values.null_count:
        return rows
    missing = values.is_null().to_numpy(zero_copy_only=False)
    return [None if absent else row for absent, row in zip(missing, rows, strict=True)]


def _numbers(values: pa.Array) -> np.ndarray:
    if values.null_count:
        raise ValueError("a list has missing values")
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _packed(array: np.ndarray) -> bytes:
    if array.dtype.kind not in "biuf":  # the bytes of objects are addresses in this process
        raise ValueError(f"an array is of {array.dtype}, not of numbers")
    return _head(array.dtype.str, array.shape) + array.tobytes(order="F")


@lru_cache(maxsize=1000)
def _head(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return what DataJoint writes before the numbers of an array."""
    zeros = np.zeros(shape, dtype)
    packed = packed_array(zeros)
    return packed[: len(packed) - zeros.nbytes]
