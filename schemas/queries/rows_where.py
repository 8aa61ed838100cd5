"""Conditions on the rows of an answer that was computed here, and is no query of the server any more.

They are written as conditions on a query (`schemas.queries.checks`) and mean the same: SQLite, which comes
with Python, evaluates them. Missing values are NULL, and so neither equal nor unequal to anything.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from schemas.queries.checks import (
    Token,
    compared_texts,
    in_our_words,
    named_tokens,
    require_balanced,
    require_like_kinds,
    text_of_words,
)
from vbn.errors import NotFoundError, SettingError, shortened
from vbn.nearest import near

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "floor": (1, math.floor), "ceiling": (1, math.ceil), "sqrt": (1, math.sqrt), "ln": (1, math.log),
    "exp": (1, math.exp), "power": (2, math.pow), "mod": (2, math.fmod), "log": (1, math.log10),
    "sign": (1, lambda value: (value > 0) - (value < 0)), "greatest": (-1, max), "least": (-1, min),
}  # fmt: skip
"""Functions of conditions that SQLite need not have, with their numbers of arguments."""


def rows_that_meet(frame: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """Return the rows of an answer that meet all conditions.

    Parameters
    ----------
    frame : the answer.
    conditions : such as ``"hit AND latency_from_flash < 0.4"``. Text stands in single quotes, the field's
        words for columns are understood, and flags may be compared with 0 and 1.

    Raises
    ------
    SettingError
        For a name that is no column, suggesting the nearest, a number compared with text that is none, and
        what is no condition.
    NotFoundError
        For a text that no row has but one like it.
    """
    for condition in conditions:
        frame = frame[_meets(frame, condition)]
    return frame


def _meets(frame: pd.DataFrame, condition: str) -> np.ndarray:
    known = [str(name) for name in frame]
    tokens = named_tokens(str(in_our_words(condition, known)), known)
    require_balanced(condition, [token for kind, token in tokens if kind != "text"])
    used = {token for kind, token in tokens if kind == "name"}
    names = {name: f"c{number}" for number, name in enumerate(known) if name in used}
    require_like_kinds(tokens, {name: _kind_of(frame[name]) for name in names})
    _require_texts(frame, tokens)
    columns = ", ".join([*names.values(), "place"])
    declared = [f"{column} {_affinity(frame[name])}" for name, column in names.items()]
    sql = text_of_words(_as_sqlite(tokens, names))
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        for name, (n_arguments, function) in FUNCTIONS.items():
            database.create_function(name, n_arguments, _null_of_nothing(function), deterministic=True)
        database.execute("PRAGMA case_sensitive_like = ON")
        database.execute(f"CREATE TABLE answer ({', '.join([*declared, 'place INTEGER'])})")
        marks = ", ".join("?" * (len(names) + 1))
        database.executemany(
            f"INSERT INTO answer ({columns}) VALUES ({marks})",  # noqa: S608 - names made here
            zip(*(_values(frame[name]) for name in names), range(len(frame)), strict=True),
        )
        try:
            # Of known words only: names of columns, keywords, numbers, texts in quotes that end.
            found = database.execute(f"SELECT place FROM answer WHERE ({sql})").fetchall()  # noqa: S608
        except sqlite3.Error as error:
            raise SettingError(f"The condition {condition} is not understood: {error}") from error
    meets = np.zeros(len(frame), bool)
    meets[[place for (place,) in found]] = True
    return meets


def _as_sqlite(tokens: Sequence[Token], columns: dict[str, str]) -> Iterator[str]:
    """Yield the words of a condition, columns under names that cannot be mistaken for others."""
    for number, (kind, token) in enumerate(tokens):
        is_type = token.lower() in ("date", "timestamp") and tokens[number + 1 : number + 2]
        if is_type and tokens[number + 1][0] == "text":
            continue  # dates are text here
        yield columns.get(token, token) if kind == "name" else token


def _null_of_nothing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that has no value without arguments that have one, or outside of its domain."""

    def of_values(*values: Any) -> Any:
        if any(value is None for value in values):
            return None
        try:
            return function(*values)
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    return of_values


def _kind_of(column: pd.Series) -> str:
    if _is_number(column):
        return "number"
    return "text" if column.notna().any() else ""


def _affinity(column: pd.Series) -> str:
    return "NUMERIC" if _is_number(column) else "TEXT"


def _is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers or flags, also where some are missing."""
    kinds = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.infer_dtype(column, skipna=True) in kinds


def _values(column: pd.Series) -> Iterator[Any]:
    is_number = _is_number(column)
    for value in column.astype(object):
        if isinstance(value, list | tuple | dict | np.ndarray):
            yield json.dumps(value, default=str) if not isinstance(value, np.ndarray) else str(value.tolist())
        elif value is None or pd.isna(value):
            yield None
        elif isinstance(value, bool | np.bool_):
            yield int(value)
        elif is_number:
            yield int(value) if float(value).is_integer() and abs(value) < 2**63 else float(value)
        else:
            yield str(value)


def _require_texts(frame: pd.DataFrame, tokens: Sequence[Token]) -> None:
    for name, comparison, text in compared_texts(tokens):
        if name not in frame or comparison == "LIKE" or _is_number(frame[name]):
            continue
        values = {value for value in _values(frame[name]) if value is not None}
        if text not in values and (meant := near(text, values)):
            raise NotFoundError(f"No row has {name} '{shortened(text)}'. Near to it: {', '.join(meant)}.")
