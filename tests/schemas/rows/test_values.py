"""What a column of the database can hold, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rows.column_limits import find_refusal


@dataclass(frozen=True)
class Attribute:
    """One column of a table, as DataJoint's heading describes it."""

    type: str
    original_type: str | None = None
    nullable: bool = True
    codec: Any = None
    is_blob: bool = False
    json: bool = False


ENUM = Attribute("enum_724cdf44", "enum('M', 'F')")


@pytest.mark.parametrize(
    ("attribute", "values", "positions"),
    [
        (Attribute("smallint"), [None, -(2**15), 2**15 - 1, 2**15, 2**62], [3, 4]),
        (Attribute("int"), [2**31 - 1, -(2**31) - 1], [1]),
        (Attribute("integer", "int32"), [2**31, 0], [0]),
        (Attribute("bigint"), [2**63 - 1, -(2**63), 2**63], [2]),
        (Attribute("tinyint"), [127, 128], [1]),
        (Attribute("tinyint", "bool"), [True, False, 1, None, 2], [4]),
        (Attribute("boolean"), [True, 0, 2], [2]),
        (Attribute("int"), [1.0, 1.5, None], [1]),
        (Attribute("varchar(4)"), ["VISp", "VISpm", None, ""], [1]),
        (Attribute("varchar(4)"), ["äöüß", "äöüßx"], [1]),
        (Attribute("char(2)"), ["ab", "a\0", "abc"], [1, 2]),
        (ENUM, ["M", None, "F", "f", "U"], [3, 4]),
        (Attribute("real"), [1e38, -1e39, None], [1]),
        (Attribute("double precision", nullable=False), [1.0, None, 1e300, None], [1, 3]),
        (Attribute("varchar(4)", nullable=False), ["", None], [1]),
    ],
)
def test_what_cannot_be_held_is_found(attribute: Attribute, values: list[Any], positions: list[int]) -> None:
    refused = find_refusal(attribute, values)
    assert refused is not None
    assert refused.positions == positions
    assert refused.expected.endswith(("is expected", "is required"))


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        (Attribute("<npy@vbn>", nullable=False, codec=object()), [None]),
        (Attribute("json", nullable=False, json=True), [[1, 2]]),
        (Attribute("longblob", is_blob=True), [b"1234"]),
        (Attribute("double"), [1e300, None, 3]),
        (Attribute("datetime(6)"), ["2020-01-01"]),
        (Attribute("int"), []),
        (Attribute("int"), [None, None]),
    ],
)
def test_what_can_be_held_or_is_not_looked_at_is_no_refusal(attribute: Attribute, values: list[Any]) -> None:
    assert find_refusal(attribute, values) is None


@given(st.lists(st.one_of(st.none(), st.integers(-(2**20), 2**20))))
def test_integers_are_told_one_by_one(values: list[int | None]) -> None:
    refused = find_refusal(Attribute("smallint"), values)
    expected = [at for at, value in enumerate(values) if value is not None and not -32768 <= value <= 32767]
    assert (refused.positions if refused else []) == expected
