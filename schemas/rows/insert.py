"""From data frames to rows: missing values, types, names, and inserts of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from schemas.files.open_file import place_of_session
from schemas.rows.column_limits import find_refusal
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint.by_columns import insert_by_columns, is_plain
from vbn.errors import InvalidContentError, SettingError, quoted
from vbn.nwb.hdf5.recording import INCOMPLETE_ADVICE

Row = dict[str, Any]

POSTGRES_STATEMENT = 2**30
BYTES_PER_VALUE = 24  # what a number, a flag or a short text takes in an INSERT statement
LARGEST_STATEMENT = 16 * 2**20  # more gains nothing; servers allow 64 MiB (MySQL) to 1 GiB (PostgreSQL)


def rows_from_frame(
    frame: pd.DataFrame, table: Any, key: Mapping[str, Any], renamed: Mapping[str, str] | None = None
) -> list[Row]:
    """Return the frame's rows as dictionaries for an insert into a table.

    Parameters
    ----------
    frame
        One row per table row; columns that the table does not have are ignored.
    table
        The table; each attribute that is not in ``key`` is taken from the column of its name.
    key
        Attributes that all rows share.
    renamed
        Attribute -> column, where the names differ.

    Raises
    ------
    ValueError
        If the frame lacks a column, or has a value that the table cannot hold and that does not come from a
        file.
    InvalidContentError
        If the table cannot hold a value; it names the file of the session that the key belongs to.

    Notes
    -----
    NaN, NA and None become None (NULL). Infinite numbers, which no server stores, become None as
    well; the imports record them as issues.
    """
    names = {name: (renamed or {}).get(name, name) for name in table.heading.names if name not in key}
    absent = [column for column in names.values() if column not in frame]
    if absent:
        raise ValueError(f"The frame for {table.class_name} lacks {', '.join(absent)}.")
    columns = {attribute: _plain_values(frame[column]) for attribute, column in names.items()}
    for attribute, values in columns.items():
        _require_fit(table, key, attribute, values, frame[names[attribute]], columns)
    return [
        {**key, **dict(zip(columns, values, strict=True))} for values in zip(*columns.values(), strict=True)
    ]


def require_storable(table: Any, row: Row, place: Any) -> Row:
    """Return a row with `plain` values, all of which the table can hold.

    Parameters
    ----------
    table : the table that the row is to be inserted into.
    row : attribute -> Python value; attributes that it lacks are not checked.
    place : the file that the row comes from, for the message.

    Raises
    ------
    InvalidContentError
        If the table cannot hold a value.
    """
    held = {name: plain(value) for name, value in row.items()}
    for name, value in held.items():
        if refused := find_refusal(table.heading.attributes[name], [value]):
            raise _unstorable(place, table, name, row[name], "", refused.expected)
    return held


def _require_fit(
    table: Any,
    key: Mapping[str, Any],
    name: str,
    values: list[Any],
    stored: pd.Series[Any],
    columns: Mapping[str, list[Any]],
) -> None:
    """Raise InvalidContentError for a column with a value that the table cannot hold."""
    refused = find_refusal(table.heading.attributes[name], values)
    if refused is None:
        return
    first, others = refused.positions[0], len(refused.positions) - 1
    row = "".join(f" of {one} {columns[one][first]}" for one in table.primary_key[-1:] if one in columns)
    more = f", and {others} more" if others else ""
    if "session_id" not in key:  # not from a file
        raise ValueError(f"{_name_of(table)} cannot hold {name} = {stored.iloc[first]!r}.")
    place = place_of_session(key_of_session(dict(key)))
    raise _unstorable(place, table, name, stored.iloc[first], row + more, refused.expected)


def _unstorable(
    place: Any, table: Any, name: str, value: Any, where: str, expected: str
) -> InvalidContentError:
    problem = f"{_name_of(table)} cannot hold {name} = {quoted(value)}{where}: {expected}."
    return InvalidContentError(place, problem, INCOMPLETE_ADVICE)


def _name_of(table: Any) -> str:
    """Return the name of a table's class, such as ``Recording.Unit``."""
    return str(type(table).__qualname__)


def _plain_values(column: pd.Series[Any]) -> list[Any]:
    """Return Python values, None where missing."""
    missing = column.isna().to_numpy(dtype=bool, copy=True)
    if pd.api.types.is_float_dtype(column.dtype):
        missing |= np.isinf(column.to_numpy(dtype=np.float64, na_value=np.nan))
    values = column.astype(object).tolist()
    return [None if absent else value for value, absent in zip(values, missing, strict=True)]


def key_of_session(key: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a key that is the session's primary key."""
    return {name: key[name] for name in ("mouse_id", "session_id")}


def plain(value: Any) -> Any:
    """Return a value for an insert: as a Python type, None for NaN, NA and infinity."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value


def insert_rows(table: Any, rows: Iterable[Row]) -> None:
    """Insert rows in statements that the server accepts.

    DataJoint sends all rows of a call in one statement; above the server's ``max_allowed_packet``, the
    connection is lost. It also encodes values one at a time, which takes longer than everything else;
    rows without arrays in the store are encoded column by column here (``benchmarks/inserts.py``).

    Raises
    ------
    SettingError
        If a single row is too large for the server.
    """
    allowed = _allowed_statement(table.connection)
    for chunk in _chunks(rows, min(LARGEST_STATEMENT, allowed // 2)):
        try:
            if is_plain(table, chunk):
                insert_by_columns(table, chunk)
            else:
                table.insert(chunk)
        except DRIVER_ERRORS as error:
            if len(chunk) > 1 or (size := _size(chunk[0])) <= allowed:
                raise
            raise SettingError(
                f"A row of {_name_of(table)} takes up to {size / 2**20:.0f} MiB, but the server accepts "
                f"{allowed / 2**20:.0f} MiB at once. Ask an administrator to increase its max_allowed_packet."
            ) from error


def insert_made_rows(table: Any, rows: Iterable[Row]) -> None:
    """Insert rows that a ``make`` of another database has made; none has an array to be put into the store.

    Parameters
    ----------
    table : the table, which may be an imported or a computed one.
    rows : all with the same attributes; columns of arrays in the store have `StoredReference` or None.
    """
    limit = min(LARGEST_STATEMENT, _allowed_statement(table.connection) // 2)
    for chunk in _chunks(rows, limit):
        insert_by_columns(table, chunk)


def _allowed_statement(connection: Any) -> int:
    """Return the maximum size of a statement in bytes."""
    if connection.adapter.backend != "mysql":
        return POSTGRES_STATEMENT
    return int(connection.query("SELECT @@max_allowed_packet").fetchone()[0])


def _chunks(rows: Iterable[Row], limit: int) -> Iterator[list[Row]]:
    """Yield lists of rows of at most ``limit`` estimated bytes; a larger single row comes alone."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        row_size = _size(row)
        if chunk and size + row_size > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row_size
    if chunk:
        yield chunk


def _size(row: Row) -> int:
    """Estimate the bytes that a row takes in a statement (binary values are sent as hexadecimal text)."""
    return BYTES_PER_VALUE * len(row) + sum(
        2 * value.nbytes + 40 if isinstance(value, np.ndarray) else len(value.encode())
        for value in row.values()
        if isinstance(value, (str, np.ndarray))
    )
