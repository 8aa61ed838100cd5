"""Conditions are taken apart where SQL takes them apart."""

from __future__ import annotations

import itertools
import sqlite3

import pytest

from schemas.queries.checks import words_of_condition
from schemas.queries.connectives import AND, OR, parts_of

VALUES = (None, 0, 1)


@pytest.mark.parametrize(
    ("condition", "connective", "parts"),
    [
        ("a = 1", "", ["a = 1"]),
        ("((a = 1))", "", ["a = 1"]),
        ("a = 1 OR b = 2 AND c = 3", OR, ["a = 1", "b = 2 AND c = 3"]),
        ("(a = 1 or b = 2) and c = 3", AND, ["( a = 1 or b = 2 )", "c = 3"]),
        ("(a = 1) OR (b = 2)", OR, ["( a = 1 )", "( b = 2 )"]),
        ("a BETWEEN 1 AND 2 AND b = 1", AND, ["a BETWEEN 1 AND 2", "b = 1"]),
        ("a BETWEEN 1 AND 2 OR b = 1", OR, ["a BETWEEN 1 AND 2", "b = 1"]),
        ("NOT (a = 1 OR b = 1)", "", ["NOT ( a = 1 OR b = 1 )"]),
        ("name = 'this or that'", "", ["name = 'this or that'"]),
        ("CASE WHEN a = 1 OR b = 1 THEN 1 ELSE 0 END = 1", "", None),
        ("a = 1 OR", "", None),
        ("(a = 1 OR b = 1", "", None),
        ("a = 1) OR (b = 1", "", None),
    ],
)
def test_parts_are_those_of_sql(condition: str, connective: str, parts: list[str] | None) -> None:
    found, of_words = parts_of(words_of_condition(condition))
    assert found == connective
    whole = " ".join(words_of_condition(condition))
    assert [" ".join(words) for words in of_words] == ([whole] if parts is None else parts)


@pytest.mark.parametrize(
    "condition",
    [
        "a = 1 OR b = 1 AND NOT c = 1",
        "(a = 1 OR b BETWEEN 0 AND c) AND (c = 0 OR a = b)",
        "NOT a = 1 OR (b = 1 AND (c = 1 OR a IS NULL))",
        "CASE WHEN a = 1 AND b = 1 THEN 1 ELSE 0 END = 1 OR c = 1 AND b BETWEEN a AND 1 AND a = 1",
    ],
)
def test_what_the_parts_choose_together_is_what_the_whole_does(condition: str) -> None:
    """Three-valued logic: where a column is NULL, too; by another engine of SQL."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (a, b, c)")
    database.executemany("INSERT INTO t VALUES (?, ?, ?)", itertools.product(VALUES, repeat=3))

    def rows(words: list[str]) -> set[int]:
        connective, parts = parts_of(words)
        if connective:
            chosen = [rows(part) for part in parts]
            return set.union(*chosen) if connective == OR else set.intersection(*chosen)
        return {row[0] for row in database.execute(f"SELECT rowid FROM t WHERE {' '.join(parts[0])}")}

    whole = database.execute(f"SELECT rowid FROM t WHERE {condition}")
    assert rows(words_of_condition(condition)) == {row[0] for row in whole}
    database.close()
