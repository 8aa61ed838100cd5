"""What a table holds of each session, hashed by the server: what has changed since is read again.

A hash of the rows themselves notices every change, however it came about: a recomputed session whose version
and parameters are the same, a row changed by hand. The server reads each row, and sends one line a session.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from populate.admin.checksums import COMPRESSED
from populate.admin.snapshot import Snapshot

BINARY = ("bytea", "longblob", "mediumblob", "blob", "tinyblob", "binary", "varbinary")
BY_SESSION = ("mouse_id", "session_id")
WHOLE = ""
"""Stands for the session where rows belong to none."""


@dataclass(frozen=True)
class Fingerprint:
    """What a table holds of one session.

    Attributes
    ----------
    hash : number of rows, and the sum of their hashes.
    n_rows : number of rows.
    sizes : column with arrays -> smallest and largest size of one, in bytes, None without any.
    """

    hash: str
    n_rows: int
    sizes: dict[str, tuple[int, int] | None]


def is_by_session(primary_key: list[str]) -> bool:
    """Return whether a table's rows begin with a session in the order of their key."""
    return tuple(primary_key[:2]) == BY_SESSION


def fingerprints(
    snapshot: Snapshot, full_name: str, columns: dict[str, str], *, by_session: bool, where: str = ""
) -> dict[Any, Fingerprint]:
    """Return the fingerprint of each session, by mouse and session, or of the whole table by `WHOLE`.

    Parameters
    ----------
    snapshot : the moment at which rows are read.
    full_name : quoted name of the table.
    columns : column -> type on the server, of the columns that count.
    by_session : whether each session is on its own.
    where : condition on the rows, in SQL; empty for all.
    """
    quote = snapshot.connection.adapter.quote_identifier
    binary = [name for name, kind in columns.items() if kind in BINARY]
    make = _mysql if snapshot.is_mysql else _postgres
    row, number, size = make(quote, columns)
    sums = [f"SUM({number(first)})" for first in (1, 16)]
    sizes = [f"{end}({size(name)})" for name in binary for end in ("MIN", "MAX")]
    group = ", ".join(map(quote, BY_SESSION))
    chosen = f" WHERE {where}" if where else ""
    statement = (
        f"SELECT {', '.join([*([group] if by_session else []), 'COUNT(*)', *sums, *sizes])} "  # noqa: S608
        f"FROM (SELECT t.*, {row} AS vbn_hash FROM {full_name} t{chosen}) AS hashed"
        + (f" GROUP BY {group}" if by_session else "")
    )
    found: dict[Any, Fingerprint] = {}
    for values in snapshot.connection.query(statement.replace("%", "%%")).fetchall():
        key: Any = (str(values[0]), int(values[1])) if by_session else WHOLE
        count, first, second, *ends = values[2:] if by_session else values
        spans = {name: _span(*ends[2 * i : 2 * i + 2]) for i, name in enumerate(binary)}
        found[key] = Fingerprint(f"{count}-{int(first or 0):x}-{int(second or 0):x}", int(count), spans)
    return found


def _span(low: Any, high: Any) -> tuple[int, int] | None:
    return None if low is None else (int(low), int(high))


Expressions = tuple[str, Callable[[int], str], Callable[[str], str]]


def _postgres(quote: Callable[[str], str], columns: dict[str, str]) -> Expressions:
    """Return the hash of a row, a part of it as a number, and the size of an array, in PostgreSQL's SQL."""
    values = [
        f"md5(t.{quote(name)})" if kind in BINARY else f"t.{quote(name)}" for name, kind in columns.items()
    ]

    def size(name: str) -> str:
        column = quote(name)
        length = " + ".join(f"get_byte({column}, {6 + i})::bigint * {256**i}" for i in range(4))
        is_compressed = rf"substring({column} FROM 1 FOR 6) = '\x{COMPRESSED.hex()}'::bytea"
        return f"CASE WHEN {is_compressed} THEN {length} ELSE octet_length({column}) END"

    return (
        f"md5(ROW({', '.join(values)})::text)",
        lambda first: f"('x' || substr(vbn_hash, {first}, 15))::bit(60)::bigint",
        size,
    )


def _mysql(quote: Callable[[str], str], columns: dict[str, str]) -> Expressions:
    """Return the same in MySQL's SQL; numbers as double, which it writes with all digits; MD5 is going."""

    def text(name: str, kind: str) -> str:
        column = f"t.{quote(name)}"
        if kind in BINARY:
            column = f"SHA2({column}, 256)"
        elif kind == "float":
            column = f"({column} + 0E0)"
        column = f"CONVERT({column} USING utf8mb4) COLLATE utf8mb4_bin"  # one for all
        return f"IFNULL(QUOTE({column}), 'null')"

    def size(name: str) -> str:
        column = quote(name)
        length = f"CONV(HEX(REVERSE(SUBSTR({column}, 7, 8))), 16, 10)"
        is_compressed = f"SUBSTR({column}, 1, 6) = X'{COMPRESSED.hex()}'"
        return f"CAST(IF({is_compressed}, {length}, LENGTH({column})) AS UNSIGNED)"

    joined = ", ".join(text(name, kind) for name, kind in columns.items())
    return (
        f"SHA2(CONCAT_WS(',', {joined}), 256)",
        lambda first: f"CAST(CONV(SUBSTR(vbn_hash, {first}, 15), 16, 10) AS UNSIGNED)",
        size,
    )
