"""A checksum of each table's content, for comparing two databases.

Two databases with the same rows have the same checksums, on MySQL and on PostgreSQL, in whatever order the
rows were inserted: the hashes of the rows are summed. An array in the store counts by its content, not by its
name, which is random.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import date
from datetime import time as moment
from decimal import Decimal
from pathlib import Path
from typing import Any

import schemas
from populate.admin.snapshot import ServerTable, Snapshot, is_array
from schemas.server.connection import Database
from schemas.server.settings import STORE_NAME
from schemas.server.stores import explaining_reads, opened_store
from schemas.server.unpublished import is_unpublished

PIECE = 4 * 2**20
LONGEST_PLAIN = 64  # bytes; longer binary values count by their hash
COMPRESSED = b"ZL123\0"  # begins a <blob> that DataJoint has compressed; the length follows, 8 bytes
RANGE_OF_SUMS = 2**256

# What differs between two undisturbed runs of the same work: times, the history of administration, and what
# people have written beside it.
MOMENTS = ("registered_at", "lfp_registered_at", "noticed_at", "adopted_at")
HISTORY = ("administration", "curation")

HashFile = Callable[[str], str]
"""From an array's path below the store to the SHA-256 of its file, in hexadecimal."""


def table_checksums(
    *,
    with_arrays: bool = True,
    volatile: bool = True,
    database: Database | None = None,
) -> dict[str, str]:
    """Return the checksum of each table and part, all at the same moment.

    Parameters
    ----------
    with_arrays : read the arrays in the store; else only their shape and type count.
    volatile : include what differs between two runs of the same work: times at which rows were entered,
        hidden columns, and the tables of ``administration`` and ``curation``. Job tables never count.
    database : the database, by default the connected one.

    Returns
    -------
    ``schema.table`` without the prefix, such as ``ecephys._recording__unit`` -> 64 hexadecimal digits.

    Raises
    ------
    StoreError
        If an array that a row refers to cannot be read.
    """
    database = database or schemas.connect()
    with Snapshot.taken(database) as snapshot:
        hash_file = hash_in_store if with_arrays else None
        return checksums_of(snapshot, hash_file=hash_file, volatile=volatile)


def checksums_of(snapshot: Snapshot, *, hash_file: HashFile | None, volatile: bool = True) -> dict[str, str]:
    """Return the checksums of a snapshot; without ``hash_file`` arrays count by shape and type."""
    history = [snapshot.prefix + name for name in HISTORY]
    counted = [table for table in snapshot.tables() if volatile or table.schema not in history]
    return {
        table.full_name.removeprefix(snapshot.prefix): _checksum(snapshot, table, hash_file, volatile)
        for table in counted
    }


def total_of(checksums: Mapping[str, str]) -> str:
    """Return one checksum for all tables."""
    return hashlib.sha256(repr(sorted(checksums.items())).encode()).hexdigest()


def hash_in_store(path: str) -> str:
    """Return the SHA-256 of a file in the store, in hexadecimal.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    backend = opened_store(STORE_NAME)
    with explaining_reads(backend, path), backend.open(path) as file:
        return hash_stream(file)


def hash_stream(file: Any, copy: Any = None) -> str:
    """Return the SHA-256 of the content of a file, in hexadecimal; copy it to another file if given."""
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
        if copy is not None:
            copy.write(piece)
    return digest.hexdigest()


def hash_of_file(path: Path) -> str:
    """Return the SHA-256 of a file on this machine, in hexadecimal."""
    with path.open("rb") as file:
        return hash_stream(file)


def _checksum(snapshot: Snapshot, table: ServerTable, hash_file: HashFile | None, volatile: bool) -> str:
    columns = [name for name in table.columns if volatile or not (name in MOMENTS or name.startswith("_"))]
    plain = [_converter(table.columns[name], hash_file) for name in columns]
    n_rows = total = 0
    for row in snapshot.rows(table, columns):
        values = tuple(
            None if value is None else convert(value) for convert, value in zip(plain, row, strict=True)
        )
        total += int.from_bytes(hashlib.sha256(repr(values).encode()).digest())
        n_rows += 1
    return hashlib.sha256(repr((columns, n_rows, total % RANGE_OF_SUMS)).encode()).hexdigest()


def _converter(kind: str, hash_file: HashFile | None) -> Callable[[Any], Any]:
    """Return the function that makes values of a type equal on both servers."""
    if kind in ("json", "jsonb"):
        return lambda text: _canonical_json(text, hash_file)
    known: dict[str, Callable[[Any], Any]] = {
        "uuid": lambda value: bytes.fromhex(str(value).replace("-", "")),
        "character": lambda text: text.rstrip(" "),  # PostgreSQL pads it
        "char": lambda text: text.rstrip(" "),
        "tinyint": int,
        "boolean": int,
        "double": lambda number: number + 0.0,  # no negative zero, which a dump of MySQL loses
        "double precision": lambda number: number + 0.0,
    }
    return known.get(kind, _plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return _binary(bytes(value))
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, int | float | str):
        return value
    return value.isoformat() if isinstance(value, date | moment) else str(value)


def _binary(value: bytes) -> bytes:
    """Return a short binary value unchanged, a long one hashed; uncompressed, as compressors differ."""
    if value.startswith(COMPRESSED):
        value = zlib.decompress(value[len(COMPRESSED) + 8 :])
    return value if len(value) <= LONGEST_PLAIN else hashlib.sha256(value).digest()


def _canonical_json(text: str, hash_file: HashFile | None) -> str:
    # The servers write 1.0 as 1 or as 1.0.
    value = json.loads(text, parse_int=float)
    if is_array(value):
        content = hash_file(value["path"]) if hash_file and not is_unpublished(value["path"]) else ""
        value = {"dtype": value.get("dtype"), "shape": value.get("shape"), "content": content}
    return json.dumps(value, sort_keys=True)
