"""Inserting and decoding rows column by column.

DataJoint encodes and decodes values one at a time and looks up the column's type for each, which takes about
ten times as long as the server needs. Here the type of each column is looked up once, as measured by
``benchmarks/inserts.py`` and ``benchmarks/fetching.py``.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from psycopg2.extras import execute_values

from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import decode_attribute, driver_of, packed_array, settings_of, takes_rows

ROWS_AT_A_TIME = 10_000
# How DataJoint stores arrays: whether they are compressed, and what comes before one of one dimension.
_LENGTH = np.dtype(np.uint64)
_COMPRESSED, _OF_VECTOR = b"ZL123\0", b"mYm\0A" + np.uint64(1).tobytes()
ESCAPED_BY_COPY = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class StoredReference:
    """The value of an array column as the server keeps it, JSON, of an array that nobody writes."""

    text: str


def is_plain(table: Any, rows: list[dict[str, Any]]) -> bool:
    """Return whether rows have nothing that DataJoint would put into the store, fill in, record or refuse."""
    if not takes_rows(table) or settings_of(table.connection).provenance.capture:
        return False  # DataJoint refuses the rows, or adds to them
    names, attributes = rows[0].keys(), table.heading.attributes
    return (
        all(row.keys() == names for row in rows)
        and all(name in attributes for name in names)
        and not any(
            ((attribute.codec or attribute.is_blob) and not _is_packed(attribute))
            or attribute.uuid
            or (not attribute.nullable and any(row[name] is None for row in rows))
            for name, attribute in attributes.items()
            if name in names
        )
    )


def _is_packed(attribute: Any) -> bool:
    """Return whether an attribute is a ``<blob>`` stored in the row, whose codec needs only the value."""
    return attribute.codec is not None and attribute.codec.name == "blob" and not attribute.store


def insert_by_columns(table: Any, rows: list[dict[str, Any]]) -> None:
    """Insert the same rows as ``table.insert(rows)``."""
    connection, attributes = table.connection, table.heading.attributes
    columns = [_encoded(attributes[name], [row[name] for row in rows]) for name in rows[0]]
    names = ",".join(map(connection.adapter.quote_identifier, rows[0]))
    into = f"{table.full_table_name} ({names})"
    if connection.adapter.backend == "postgresql" and getattr(table, "has_authors", False):
        _insert_values(connection, into, zip(*columns, strict=True))
    elif connection.adapter.backend == "postgresql":
        lines = "\n".join(map("\t".join, zip(*map(_copy_texts, columns), strict=True)))
        _copy(connection, f"COPY {into} FROM STDIN", lines)
    else:
        texts = (_literals(values, driver_of(connection)) for values in columns)
        values = "),(".join(map(",".join, zip(*texts, strict=True))).replace("%", "%%")
        connection.query(f"INSERT INTO {into} VALUES ({values})")  # noqa: S608


def _encoded(attribute: Any, values: list[Any]) -> list[Any]:
    """Return a column's values as DataJoint passes them to the driver; None is NULL."""
    if attribute.codec is not None:
        return [None if value is None else _encoded_array(attribute, value) for value in values]
    if attribute.json:
        return [None if value is None else json.dumps(value) for value in values]
    if attribute.numeric:
        return [
            None if value is None or value != value else str(+value)  # NaN is NULL, True is 1
            for value in values
        ]
    return values


def _encoded_array(attribute: Any, value: Any) -> Any:
    return value.text if isinstance(value, StoredReference) else attribute.codec.encode(value)


def _copy_texts(values: list[Any]) -> list[str]:
    """Return a column's values in the text format of PostgreSQL's COPY."""
    texts = {value: _copy_text(value) for value in set(values)}  # most values of a column are repeated
    return [texts[value] for value in values]


def _copy_text(value: Any) -> str:
    if value is None:
        return "\\N"
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value).translate(ESCAPED_BY_COPY)


def _copy(connection: Any, statement: str, lines: str) -> None:
    """Insert with PostgreSQL's COPY, which takes half the time of an INSERT statement."""
    with connection.adapter.get_cursor(driver_of(connection)) as cursor:
        try:
            cursor.copy_expert(statement, io.BytesIO(lines.encode()))
        except DRIVER_ERRORS as error:
            raise connection.adapter.translate_error(error, statement) from error


def _insert_values(connection: Any, into: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert with INSERT statements: PostgreSQL copies into no table with rules about rows."""
    statement = f"INSERT INTO {into} VALUES %s"  # noqa: S608
    with connection.adapter.get_cursor(driver_of(connection)) as cursor:
        try:
            execute_values(cursor, statement, rows, page_size=ROWS_AT_A_TIME)
        except DRIVER_ERRORS as error:
            raise connection.adapter.translate_error(error, statement) from error


def _literals(values: list[Any], driver: Any) -> list[str]:
    """Return a column's values as SQL literals, as PyMySQL writes a statement's arguments, but faster."""
    return ["NULL" if value is None else driver.escape(value, driver.encoders) for value in values]


def decoded_values(attribute: Any, values: Sequence[Any], connection: Any) -> Sequence[Any]:
    """Return the server's values of a column as DataJoint's fetch returns them."""
    if attribute.original_type == "bool":  # a number on MySQL
        return [None if value is None else bool(value) for value in values]
    if not (attribute.codec or attribute.json or attribute.uuid):
        return values
    if attribute.json and not attribute.codec and connection.adapter.backend == "postgresql":
        return values  # the driver has decoded them; DataJoint would fail on plain text
    if _is_packed(attribute):
        vectors = [_vector(value) for value in values]
        return [
            decode_attribute(attribute, value, connection=connection) if vector is None else vector
            for value, vector in zip(values, vectors, strict=True)
        ]
    return [decode_attribute(attribute, value, connection=connection) for value in values]


def _vector(stored: Any) -> np.ndarray | None:
    """Return an array of one dimension, three times as fast as DataJoint does; None for all else."""
    if stored is None:
        return None
    packed = bytes(stored)
    if packed.startswith(_COMPRESSED):
        start = len(_COMPRESSED) + _LENGTH.itemsize
        size = int.from_bytes(packed[len(_COMPRESSED) : start], "little")
        try:
            packed = zlib.decompress(packed[start:])
        except zlib.error:
            return None
        if len(packed) != size:
            return None
    head = len(_OF_VECTOR) + _LENGTH.itemsize
    kind = _kinds().get(packed[head : head + _LENGTH.itemsize])
    if kind is None or not packed.startswith(_OF_VECTOR):
        return None
    n = int.from_bytes(packed[len(_OF_VECTOR) : head], "little")
    head += _LENGTH.itemsize
    if n == 1 or len(packed) != head + n * kind.itemsize:  # a single number it makes writeable
        return None
    return np.frombuffer(packed, kind, offset=head)


@cache
def _kinds() -> dict[bytes, np.dtype[Any]]:
    """Return the types of numbers by how DataJoint writes them, from the types that it writes."""
    head, kinds = len(_OF_VECTOR) + _LENGTH.itemsize, {}
    for name in ("float32", "float64", "int32", "int64", "uint8"):
        packed = packed_array(np.zeros(0, name))
        if packed.startswith(_OF_VECTOR) and len(packed) == head + _LENGTH.itemsize:
            kinds[packed[head:]] = np.dtype(name)
    return kinds
