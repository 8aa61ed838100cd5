"""From data frames to rows, without a database."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pymysql
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.rows import insert as rows
from schemas.rows.insert import plain, rows_from_frame
from vbn.errors import InvalidContentError, SettingError

KEY = {"session_id": 7}


@dataclass(frozen=True)
class Attribute:
    """One column of a table, as DataJoint's heading describes it."""

    type: str
    original_type: str | None = None
    nullable: bool = True
    codec: Any = None
    is_blob: bool = False
    json: bool = False


class Heading:
    """A table as far as rows are made for it: its attributes, and its name for messages."""

    class_name = "Things"
    primary_key: tuple[str, ...] = ()

    def __init__(self, *names: str) -> None:
        self.heading, self.names = self, names
        self.attributes = {name: Attribute("double precision") for name in names}


def values_of(column: Any) -> list[Any]:
    rows = rows_from_frame(pd.DataFrame({"column": column}), Heading("column"), {})
    return [row["column"] for row in rows]


def test_rows_have_the_attributes_of_the_table_and_no_other_column() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0, 0]})
    assert rows_from_frame(frame, Heading("session_id", "text", "a"), KEY, renamed={"text": "b"}) == [
        {"session_id": 7, "text": "x", "a": 1},
        {"session_id": 7, "text": "y", "a": 2},
    ]


def test_the_key_comes_before_a_column_of_its_name() -> None:
    frame = pd.DataFrame({"session_id": [1], "a": [2]})
    assert rows_from_frame(frame, Heading("session_id", "a"), KEY) == [{"session_id": 7, "a": 2}]


def test_an_empty_frame_gives_no_rows() -> None:
    assert rows_from_frame(pd.DataFrame({"a": []}), Heading("session_id", "a"), KEY) == []


def test_columns_that_are_not_there_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"The frame for Things lacks b, d\."):
        rows_from_frame(pd.DataFrame({"a": [1]}), Heading("a", "b", "c"), KEY, renamed={"c": "d"})


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (np.array([1.5, np.nan]), [1.5, None]),
        (pd.Series([1, pd.NA], dtype="Int64"), [1, None]),
        (pd.Series([True, pd.NA, False], dtype="boolean"), [True, None, False]),
        (pd.Series([1.5, pd.NA], dtype="Float64"), [1.5, None]),
        (pd.Series(["a", None, np.nan], dtype=object), ["a", None, None]),
        (pd.Series(["a", pd.NA], dtype="string"), ["a", None]),
        (np.array([True, False]), [True, False]),
        (np.array([1, 2], dtype=np.int32), [1, 2]),
        (np.array([2**53 + 1], dtype=np.int64), [2**53 + 1]),
        (pd.Series([2**53 + 1, pd.NA], dtype="Int64"), [2**53 + 1, None]),
    ],
    ids=["float", "Int64", "boolean", "Float64", "object", "string", "bool", "int32", "int64", "large-Int64"],
)
def test_values_become_python_values_and_missing_ones_none(column: Any, expected: list[Any]) -> None:
    found = values_of(column)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_infinite_numbers_become_none() -> None:
    assert values_of(np.array([1.0, np.inf, -np.inf, np.nan])) == [1.0, None, None, None]


def test_arrays_in_a_column_stay_arrays() -> None:
    arrays = pd.Series([np.array([1.0, np.nan]), np.empty(0)], dtype=object)
    first, second = values_of(arrays)
    np.testing.assert_array_equal(first, [1.0, np.nan])
    assert second.size == 0


def test_the_frame_is_left_as_it_was() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": pd.Series([1, pd.NA], dtype="Int64")})
    before = frame.copy(deep=True)
    rows_from_frame(frame, Heading("a", "b"), KEY)
    pd.testing.assert_frame_equal(frame, before)


@given(st.lists(st.one_of(st.floats(), st.none())))
def test_every_float_is_kept_exactly_or_is_none(numbers: list[float | None]) -> None:
    column = np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)
    for value, found in zip(column.tolist(), values_of(column), strict=True):
        assert found == value if math.isfinite(value) else found is None


def numbered(**columns: str) -> Heading:
    table = Heading("trial_id", *columns)
    table.primary_key = ("session_id", "trial_id")
    table.attributes = {
        "trial_id": Attribute("integer", nullable=False),
        **{name: Attribute(kind, nullable=False) for name, kind in columns.items()},
    }
    return table


@pytest.mark.parametrize(
    ("column", "kind", "values", "message"),
    [
        ("trial_length", "double", [1.0, np.nan, 2.0], "= nan of trial_id 4: a value is required."),
        ("trial_length", "double", [np.inf, 1.0, -np.inf], "= inf of trial_id 3, and 1 more: a value is req"),
        (
            "n_licks",
            "smallint",
            [1, 2, 2**15],
            "= 32768 of trial_id 5: a whole number from -32768 to 32767 is",
        ),
        (
            "image",
            "varchar(64)",
            ["a", "b" * 99, "c"],
            rf"= '{'b' * 60}\.\.\. \(99 characters\)' of trial_id 4: ",
        ),
    ],
)
def test_a_value_that_the_table_cannot_hold_is_named_with_its_file(
    monkeypatch: pytest.MonkeyPatch, column: str, kind: str, values: list[Any], message: str
) -> None:
    monkeypatch.setattr(rows, "place_of_session", lambda key: f"/data/{key['session_id']}.nwb")
    frame = pd.DataFrame({"trial_id": [3, 4, 5], column: values})
    with pytest.raises(InvalidContentError, match=rf"^/data/7\.nwb: Heading cannot hold {column} {message}"):
        rows_from_frame(frame, numbered(**{column: kind}), {"mouse_id": "1", **KEY})


def test_a_value_that_no_file_gave_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="cannot hold a = 'xy'"):
        rows_from_frame(pd.DataFrame({"trial_id": [1], "a": ["xy"]}), numbered(a="varchar(1)"), {})


def test_a_row_that_the_table_can_hold_is_returned() -> None:
    table = numbered(a="smallint")
    assert rows.require_storable(table, {"a": 3}, "/x.nwb") == {"a": 3}
    with pytest.raises(
        InvalidContentError, match=r"^/x\.nwb: Heading cannot hold a = nothing: a value is req"
    ):
        rows.require_storable(table, {"a": None}, "/x.nwb")
    rate = numbered(a="double")
    with pytest.raises(InvalidContentError, match=r"cannot hold a = inf: a value is required"):
        rows.require_storable(rate, {"a": np.inf}, "/x.nwb")
    assert rows.require_storable(Heading("a"), {"a": np.float64(-np.inf)}, "/x.nwb") == {"a": None}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.nan, None),
        (np.float32("inf"), None),
        (pd.NA, None),
        (None, None),
        ("text", "text"),
        (7, 7),
    ],
)
def test_a_single_value_becomes_a_python_value(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


ROW = st.dictionaries(
    st.sampled_from("abcd"),
    st.one_of(st.integers(), st.text(max_size=50), st.none(), st.integers(0, 40).map(np.zeros)),
    min_size=1,
)


@given(st.lists(ROW), st.integers(1, 4000))
def test_chunks_keep_all_rows_in_order_and_within_the_limit(
    given_rows: list[dict[str, Any]], limit: int
) -> None:
    """A chunk is at most the limit, unless it is a single row that is larger by itself."""
    chunks = list(rows._chunks(given_rows, limit))
    assert [id(row) for chunk in chunks for row in chunk] == [id(row) for row in given_rows]
    assert all(chunks)
    for chunk in chunks:
        assert len(chunk) == 1 or sum(map(rows._size, chunk)) <= limit


@given(st.lists(ROW, min_size=2), st.integers(1, 4000))
def test_chunks_are_as_few_as_this_order_allows(given_rows: list[dict[str, Any]], limit: int) -> None:
    chunks = list(rows._chunks(given_rows, limit))
    for before, after in itertools.pairwise(chunks):
        assert sum(map(rows._size, before)) + rows._size(after[0]) > limit


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1), st.none()
)


@given(st.one_of(NUMBERS, st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=200)))
@example("\N{GOTHIC LETTER AHSA}" * 200)
def test_the_estimate_is_at_least_half_of_the_bytes_in_a_statement(value: Any) -> None:
    """A statement is at most half of what the server takes, so the estimate may be off by a factor of two."""
    text = f"'{value}'," if isinstance(value, str) else f"{value!r},"
    assert 2 * rows._size({"a": value}) >= len(text.encode())


@given(st.integers(0, 1000))
def test_the_estimate_of_an_array_is_not_below_its_hexadecimal_text(size: int) -> None:
    assert rows._size({"a": np.zeros(size)}) >= 2 * 8 * size


class Table:
    """Takes inserts as a table does, and remembers how many rows each brought."""

    _allow_insert = False  # for rows that DataJoint itself handles

    def __init__(self, backend: str, allowed: int) -> None:
        self.connection = self.adapter = self
        self.backend, self.allowed = backend, allowed
        self.inserts: list[int] = []

    def query(self, statement: str) -> Any:
        assert statement == "SELECT @@max_allowed_packet"
        return self

    def fetchone(self) -> tuple[int]:
        return (self.allowed,)

    def insert(self, chunk: list[Any]) -> None:
        self.inserts.append(len(chunk))


def test_on_mysql_a_statement_stays_below_what_the_server_takes() -> None:
    table = Table("mysql", allowed=2 * 10_000)
    rows.insert_rows(table, [{"a": np.zeros(100)} for _ in range(20)])  # 1664 bytes each, 6 of them in 10,000
    assert table.inserts == [6, 6, 6, 2]


def test_nothing_is_sent_for_no_rows() -> None:
    table = Table("postgresql", allowed=0)
    rows.insert_rows(table, [])
    assert table.inserts == []


class LosingTable(Table):
    """Loses the connection at each insert."""

    def insert(self, chunk: list[Any]) -> None:  # noqa: ARG002
        raise pymysql.err.OperationalError(2006, "MySQL server has gone away")


def test_a_row_that_the_server_does_not_take_is_told_from_a_lost_connection() -> None:
    with pytest.raises(SettingError, match=r"A row of LosingTable takes up to 4 MiB.* accepts 1 MiB"):
        rows.insert_rows(LosingTable("mysql", allowed=2**20), [{"a": np.zeros(2**18)}])
    for few in ([{"a": np.zeros(100)}], [{"a": np.zeros(100)}] * 2):
        with pytest.raises(pymysql.err.OperationalError):
            rows.insert_rows(LosingTable("mysql", allowed=2**20), few)
