"""Rows that are inserted by columns are those that DataJoint's own insert writes, to the last digit."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schemas.rows.insert import insert_rows
from schemas.server.datajoint import dj

DEFINITION = """
# Rows of all kinds
item : int32
---
a_text=null : varchar(255)
a_number=null : float64
a_single=null : float32
a_count=null : int64
a_small=null : int16
a_flag=null : bool
a_date=null : date
a_time=null : datetime
a_list=null : json
an_array=null : <blob>
"""

TEXTS = [
    "plain", "", " spaces ", "tab\there", "line\nbreak", "return\r", "back\\slash", "\\N", "\\.", "a\\tb",
    "100 % %s %(x)s", "it's", 'quo"ted', "`tick`", "NULL", "å漢🐭", "{}", "--", ";", "\\x00", "\b\f\v", "{a}",
]  # fmt: skip
NUMBERS = [
    0.0, -0.0, 0.1, 1 / 3, math.pi, 1e-5, -1e-300, 5e-324, 1.7976931348623157e308, 123456789.12345679,
    0.00012345678901234567, 1e16, 1e15 + 0.5, np.float64(2 / 3), math.nan,
]  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Return rows of each kind of value, each in a row where all else is missing."""
    names = "a_text a_number a_single a_count a_small a_flag a_date a_time a_list an_array"
    empty = dict.fromkeys(names.split())
    kinds: dict[str, list[Any]] = {
        "a_text": TEXTS,
        "a_number": NUMBERS,
        "a_single": [0.1, 1.5, 3.4e38, -1e-30],
        "a_count": [0, -1, 2**63 - 1, -(2**63), np.int64(7)],
        "a_small": [0, -32768, 32767],
        "a_flag": [True, False],
        "a_date": [datetime.date(2024, 2, 29)],
        "a_time": [datetime.datetime(2024, 2, 29, 12, 34, 56)],
        "a_list": [[1, 2.5, None, "it's\t%"], {"a": {"b": "\\n"}}, [], "text"],
        "an_array": [
            np.arange(3.0),
            np.zeros((0, 2), np.float32),
            np.arange(2000),
            "text",
            {"a": b"\x00\\'%"},
        ],
    }
    filled = [{**empty, kind: value} for kind, values in kinds.items() for value in values]
    return [{"item": number, **row} for number, row in enumerate([empty, *filled])]


@pytest.fixture(scope="module")
def database(make_database: Callable[..., Any]) -> Any:
    """A database of this module's own."""
    return make_database()


@pytest.fixture
def tables(database: Any) -> tuple[Any, Any]:
    """Two empty tables of the same layout."""
    database.connect()
    from schemas import session

    scratch = dj.Schema(session.schema.database, connection=session.schema.connection)
    made = [type(name, (dj.Manual,), {"definition": DEFINITION}) for name in ("ByColumns", "ByDatajoint")]
    first, second = (scratch(each)() for each in made)
    for table in (first, second):
        table.delete_quick()
    return first, second


def stored(table: Any) -> list[tuple[Any, ...]]:
    """Return what the server has, as the driver gives it."""
    names = ", ".join(table.heading.names)
    found = table.connection.query(f"SELECT {names} FROM {table.full_table_name} ORDER BY item")
    return [tuple(map(comparable, row)) for row in found.fetchall()]


def comparable(value: Any) -> Any:
    """Return a value that equals another one only if all of its digits do."""
    if isinstance(value, float):
        value += 0.0  # DataJoint's insert loses the sign of zero on PostgreSQL
    return bytes(value) if isinstance(value, memoryview) else (type(value), repr(value))


def test_all_kinds_of_values_are_stored_as_datajoint_stores_them(tables: tuple[Any, Any]) -> None:
    by_columns, by_datajoint = tables
    insert_rows(by_columns, rows())
    by_datajoint.insert(rows())
    assert len(by_columns) == len(rows())
    for mine, its in zip(stored(by_columns), stored(by_datajoint), strict=True):
        assert mine == its


def test_each_text_and_number_comes_back_as_it_was(tables: tuple[Any, Any]) -> None:
    table, _ = tables
    insert_rows(table, rows())
    found = {row["item"]: row for row in table.proj("a_text", "a_number").to_dicts()}
    for row in rows():
        back = found[row["item"]]
        assert back["a_text"] == row["a_text"]
        assert number_or_none(back["a_number"]) == number_or_none(row["a_number"])


def number_or_none(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def duplicate(rows: list[dict[str, Any]]) -> None:
    rows[-1]["item"] = 0


def too_large(rows: list[dict[str, Any]]) -> None:
    rows[-1]["a_small"] = 2**20


def too_long(rows: list[dict[str, Any]]) -> None:
    rows[-1]["a_text"] = "x" * 300


@pytest.mark.parametrize("spoil", [duplicate, too_large, too_long])
def test_what_the_server_refuses_is_the_error_of_datajoint_and_leaves_nothing(
    tables: tuple[Any, Any], spoil: Callable[[list[dict[str, Any]]], None]
) -> None:
    by_columns, by_datajoint = tables
    spoilt = rows()
    spoil(spoilt)
    with pytest.raises(Exception) as its:  # noqa: PT011 - whichever DataJoint has
        by_datajoint.insert(spoilt)
    with pytest.raises(type(its.value)):
        insert_rows(by_columns, spoilt)
    assert len(by_columns) == 0


def test_rows_are_taken_back_with_their_transaction(tables: tuple[Any, Any]) -> None:
    table, _ = tables
    table.connection.start_transaction()
    insert_rows(table, rows())
    assert len(table) == len(rows())
    table.connection.cancel_transaction()
    assert len(table) == 0


@pytest.fixture
def lose(database: Any) -> Callable[[Any], None]:
    """Let the server end a connection."""

    def kill(connection: Any) -> None:
        if database.server.backend == "mysql":
            (number,) = connection.query("SELECT connection_id()").fetchone()
            database.server.query(f"KILL {number}")
        else:
            (number,) = connection.query("SELECT pg_backend_pid()").fetchone()
            database.server.query(f"SELECT pg_terminate_backend({number})")

    return kill


def test_within_a_transaction_a_lost_connection_is_the_error_of_datajoint(
    tables: tuple[Any, Any], lose: Callable[[Any], None]
) -> None:
    errors = []
    for table, insert in zip(tables, (insert_rows, lambda table, made: table.insert(made)), strict=True):
        assert len(table) == 0
        table.connection.start_transaction()
        lose(table.connection)
        with pytest.raises(Exception) as error:  # noqa: PT011 - whichever DataJoint has
            insert(table, rows())
        errors.append(type(error.value))
        table.connection.connect()
        table.connection.cancel_transaction()
        assert len(table) == 0
    assert errors[0] is errors[1]
