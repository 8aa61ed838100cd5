"""Checks, before an insert, whether the columns can hold the values.

A server's error does not name the file that a row comes from. The values that it would refuse are found here
from the types of the heading: missing values, numbers out of range, texts that are too long, and values
outside an enumeration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}
LARGEST_SINGLE = 3.4028234663852886e38  # 32-bit float
SINGLE = ("float", "real", "float4")


@dataclass(frozen=True)
class LimitRefusal:
    """Values of one column that the database would refuse.

    Parameters
    ----------
    positions : positions of these values, ascending.
    expected : description of what the column can hold.
    """

    positions: list[int]
    expected: str


def find_refusal(attribute: Any, values: Sequence[Any]) -> LimitRefusal | None:
    """Find the values that a column of the database would refuse.

    Parameters
    ----------
    attribute : attribute of a DataJoint heading.
    values : Python values, None where missing. Only numbers and texts are checked, not arrays and what a
        codec stores.

    Returns
    -------
    LimitRefusal
        None if all values can be held.
    """
    if attribute.codec is not None or attribute.is_blob or attribute.json:
        return None
    if not attribute.nullable and None in values:
        return LimitRefusal(
            [index for index, value in enumerate(values) if value is None], "a value is required"
        )
    if bounds := _integer_bounds(attribute):
        return _find_outside(values, *bounds)
    if attribute.type in SINGLE:
        return _find_large(values)
    if members := _enum_members(attribute):
        wrong = [index for index, value in enumerate(values) if value is not None and value not in members]
        return LimitRefusal(wrong, f"one of {', '.join(members)} is expected") if wrong else None
    return _find_long(values, int(length[1])) if (length := _text_length(attribute)) else None


def _integer_bounds(attribute: Any) -> tuple[int, int] | None:
    if "bool" in (attribute.type, attribute.original_type) or attribute.type == "boolean":
        return 0, 1
    bits = INTEGER_BITS.get(attribute.type)
    return None if bits is None else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _text_length(attribute: Any) -> re.Match[str] | None:
    return re.fullmatch(r"(?:var)?char\((\d+)\)", attribute.type)


def _enum_members(attribute: Any) -> list[str]:
    kind = attribute.original_type or attribute.type
    return re.findall(r"'([^']*)'", kind) if kind.startswith("enum(") else []


def _find_outside(values: Sequence[Any], lowest: int, highest: int) -> LimitRefusal | None:
    known = [value for value in values if value is not None]
    if not known or (lowest <= min(known) and max(known) <= highest and _are_whole(known)):
        return None
    wrong = [
        index
        for index, value in enumerate(values)
        if value is not None and not (lowest <= value <= highest and value == int(value))
    ]
    return LimitRefusal(wrong, f"a whole number from {lowest} to {highest} is expected")


def _are_whole(numbers: list[Any]) -> bool:
    return set(map(type, numbers)) <= {int, bool} or all(number == int(number) for number in numbers)


def _find_large(values: Sequence[Any]) -> LimitRefusal | None:
    wrong = [index for index, value in enumerate(values) if value is not None and abs(value) > LARGEST_SINGLE]
    return LimitRefusal(wrong, "a number of single precision is expected") if wrong else None


def _find_long(values: Sequence[Any], length: int) -> LimitRefusal | None:
    # Most texts of a column are repeated.
    unfit = {text for text in set(values) if isinstance(text, str) and not _is_storable(text, length)}
    if not unfit:
        return None
    wrong = [index for index, value in enumerate(values) if value in unfit]
    return LimitRefusal(wrong, f"text of at most {length} characters without NUL characters is expected")


def _is_storable(text: str, length: int) -> bool:
    """Return whether a server can store a text: PostgreSQL stores neither NUL characters nor surrogates."""
    is_unicode = not any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= length and "\0" not in text and is_unicode
