"""Whether a column of the database can hold a value, asked before the server is.

A server refuses a row in its own words, without the file that the row comes from. What it would refuse is
found here by the types of the heading: missing values, numbers out of range, texts too long, words outside
an enumeration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}
LARGEST_SINGLE = 3.4028234663852886e38  # of a float of 32 bits
SINGLE = ("float", "real", "float4")


@dataclass(frozen=True)
class LimitRefusal:
    """Values of one column that the database would refuse.

    Parameters
    ----------
    positions : of these values, ascending.
    expected : what can be held instead, in words.
    """

    positions: list[int]
    expected: str


def find_refusal(attribute: Any, values: Sequence[Any]) -> LimitRefusal | None:
    """Find the values that a column of the database would refuse.

    Parameters
    ----------
    attribute : of a DataJoint heading.
    values : Python values, None where missing. Numbers and texts are looked at; arrays and what a codec
        stores are not.

    Returns
    -------
    LimitRefusal
        None if all values can be held.
    """
    if attribute.codec is not None or attribute.is_blob or attribute.json:
        return None
    if not attribute.nullable and None in values:
        return LimitRefusal([at for at, value in enumerate(values) if value is None], "a value is required")
    if bounds := _integer_bounds(attribute):
        return _find_outside(values, *bounds)
    if attribute.type in SINGLE:
        return _find_large(values)
    if words := _words(attribute):
        wrong = [at for at, value in enumerate(values) if value is not None and value not in words]
        return LimitRefusal(wrong, f"one of {', '.join(words)} is expected") if wrong else None
    return _find_long(values, int(length[1])) if (length := _text_length(attribute)) else None


def _integer_bounds(attribute: Any) -> tuple[int, int] | None:
    if "bool" in (attribute.type, attribute.original_type) or attribute.type == "boolean":
        return 0, 1
    bits = INTEGER_BITS.get(attribute.type)
    return None if bits is None else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _text_length(attribute: Any) -> re.Match[str] | None:
    return re.fullmatch(r"(?:var)?char\((\d+)\)", attribute.type)


def _words(attribute: Any) -> list[str]:
    kind = attribute.original_type or attribute.type
    return re.findall(r"'([^']*)'", kind) if kind.startswith("enum(") else []


def _find_outside(values: Sequence[Any], lowest: int, highest: int) -> LimitRefusal | None:
    known = [value for value in values if value is not None]
    if not known or (lowest <= min(known) and max(known) <= highest and _are_whole(known)):
        return None
    wrong = [
        at
        for at, value in enumerate(values)
        if value is not None and not (lowest <= value <= highest and value == int(value))
    ]
    return LimitRefusal(wrong, f"a whole number from {lowest} to {highest} is expected")


def _are_whole(numbers: list[Any]) -> bool:
    return set(map(type, numbers)) <= {int, bool} or all(number == int(number) for number in numbers)


def _find_large(values: Sequence[Any]) -> LimitRefusal | None:
    wrong = [at for at, value in enumerate(values) if value is not None and abs(value) > LARGEST_SINGLE]
    return LimitRefusal(wrong, "a number of single precision is expected") if wrong else None


def _find_long(values: Sequence[Any], length: int) -> LimitRefusal | None:
    # Columns repeat a few texts.
    unfit = {text for text in set(values) if isinstance(text, str) and not _is_storable(text, length)}
    if not unfit:
        return None
    wrong = [at for at, value in enumerate(values) if value in unfit]
    return LimitRefusal(wrong, f"text of at most {length} characters, none of them character 0, is expected")


def _is_storable(text: str, length: int) -> bool:
    """Tell whether a server holds a text: PostgreSQL no character 0, neither what is not Unicode."""
    is_unicode = not any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= length and "\0" not in text and is_unicode
