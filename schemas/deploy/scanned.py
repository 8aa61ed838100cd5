"""What a statement reads of a table, by the plan that PostgreSQL makes for it.

A plan uses no row that the condition of its scan excludes: whatever other rows the table holds, the
statement's result is the same. Columns that are not loaded are calls of a function in it, if it uses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2

CONDITIONS = ("Index Cond", "Recheck Cond", "Filter")
NOT_LOADED = re.compile(r"\.not_loaded\('([^':]*):(\w+)'::text")
"""Calls for a column that is not loaded: file, and name."""

UNPLANNED = (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError)
"""What executing the statement would raise as well."""

Restriction = dict[str, frozenset[str]]
"""column -> the values that it may have."""

_COLUMN = r'(?P<open>\()?(?P<alias>\w+|"(?:[^"]|"")+")\."?(?P<name>\w+)"?(?(open)\)::text)'
_TYPE = r"(?:::(?:bigint|integer|smallint|text|character varying))?"
EQUAL = re.compile(rf"{_COLUMN} = (?:'(?P<text>[^'\\%]*)'{_TYPE}|(?P<number>-?\d+))")
ANY = re.compile(rf"{_COLUMN} = ANY \('{{(?P<items>[\w,.-]*)}}'(?:::[a-z ]+\[\])?\)")


@dataclass(frozen=True)
class Scan:
    """One place of a plan that reads a table: ``"schema"."table"``, and what each row that it uses has."""

    table: str
    restriction: Restriction


@dataclass(frozen=True)
class StatementPlan:
    """A statement's plan.

    Attributes
    ----------
    scans : where it reads tables.
    not_loaded : file -> its columns that the statement reads, and that may not be loaded.
    """

    scans: tuple[Scan, ...]
    not_loaded: dict[str, frozenset[str]]

    def of(self, table: str) -> list[Restriction]:
        """Return what the rows of each scan of a table have."""
        return [scan.restriction for scan in self.scans if scan.table == table]


def planned(cursor: Any, statement: str) -> StatementPlan | None:
    """Return the plan of a statement; None if the server would refuse it for its text, as `UNPLANNED` says.

    Parameters
    ----------
    cursor : of a connection that is in no transaction. Its account must have all privileges that the
        statement needs: PostgreSQL looks at them as it would to execute it.
    statement : one query, with its arguments.

    Raises
    ------
    psycopg2.errors.InsufficientPrivilege
        If the account lacks any.
    """
    try:
        cursor.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {statement}")
    except psycopg2.errors.InsufficientPrivilege:
        raise
    except UNPLANNED:
        return None
    (found,) = cursor.fetchone()
    plan = found if isinstance(found, list) else json.loads(found)
    return StatementPlan(tuple(_scans(plan[0]["Plan"])), _not_loaded(plan[0]["Plan"]))


def _not_loaded(node: dict[str, Any]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for text in _texts(node):
        for file, name in NOT_LOADED.findall(text):
            found.setdefault(file, set()).add(name)
    return {file: frozenset(names) for file, names in found.items()}


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a node and those below it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    if "Relation Name" in node:
        found: Restriction = {}
        for condition in CONDITIONS:
            if condition in node:
                found = _both(found, restriction_of(node[condition], node["Alias"]))
        yield Scan(f'"{node["Schema"]}"."{node["Relation Name"]}"', found)
    for child in node.get("Plans", ()):
        yield from _scans(child)


def restriction_of(condition: str, alias: str) -> Restriction:
    """Return which values a condition allows columns of a scan to have, as far as it says so in plain words.

    Parameters
    ----------
    condition : as PostgreSQL shows it in verbose plans, with all its parentheses, and all columns' tables:
        the condition of a scan within a loop may be of columns of the outer one, too.
    alias : the scan's.

    Examples
    --------
    >>> restriction_of("((u.session_id = '5'::bigint) AND (u.snr > '3'::double precision))", "u")
    {'session_id': frozenset({'5'})}
    >>> restriction_of("((t.a = 1) OR ((t.a = 1) AND ((t.b)::text = 'x'::text)))", "t")
    {'a': frozenset({'1'})}
    >>> restriction_of("(NOT (t.a = 1))", "t"), restriction_of("((t.a = 1) OR (u.a = 2))", "t")
    ({}, {})
    """
    text = _without_parentheses(condition.strip())
    parts = _split(text, " AND ")
    if len(parts) > 1:
        found: Restriction = {}
        for part in parts:
            found = _both(found, restriction_of(part, alias))
        return found
    parts = _split(text, " OR ")
    if len(parts) > 1:
        each = [restriction_of(part, alias) for part in parts]
        names = set.intersection(*(set(one) for one in each))
        return {name: frozenset().union(*(one[name] for one in each)) for name in names}
    if (equal := EQUAL.fullmatch(text)) and _unquoted(equal["alias"]) == alias:
        value = equal["number"] if equal["text"] is None else equal["text"]
        return {equal["name"]: frozenset((value,))}
    if (one_of := ANY.fullmatch(text)) and _unquoted(one_of["alias"]) == alias:
        return {one_of["name"]: frozenset(one_of["items"].split(","))}
    return {}


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _both(one: Restriction, other: Restriction) -> Restriction:
    shared = {name: one[name] & other[name] for name in one.keys() & other.keys()}
    return {**one, **other, **shared}


def _without_parentheses(text: str) -> str:
    while (
        text.startswith("(") and next((end for end, depth in depths(text) if depth == 0), -1) == len(text) - 1
    ):
        text = text[1:-1]
    return text


def _split(text: str, word: str) -> list[str]:
    """Return the parts of a text between words that are in no parentheses or quotes."""
    parts, start = [], 0
    for position, depth in depths(text):
        if depth == 0 and text.startswith(word, position) and position >= start:
            parts.append(text[start:position])
            start = position + len(word)
    return [*parts, text[start:]]


def depths(text: str) -> Iterator[tuple[int, int]]:
    """Yield each position that is not within quotes, and how many parentheses are open after it."""
    depth, quote = 0, ""
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
            continue
        if letter in "'\"":
            quote = letter
        depth += (letter == "(") - (letter == ")")
        yield position, depth
