"""Ids of probes, channels and units, which no two sessions share.

The release's ids are unique across the data set, and every lookup by unit id alone relies on that. A second
session with existing ids, as a lab's own files may have, is refused with an explanation; unique indexes
enforce this between concurrent workers, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.server.connection import Database, active
from schemas.server.datajoint import dj
from vbn.errors import ConflictError
from vbn.nwb.issue import first_of

PARTS = {"probe_id": "_recording__probe", "channel_id": "_recording__channel", "unit_id": "_recording__unit"}
"""Id column -> its table in the schema ``ecephys``."""

MOST_OWNERS = 5
"""Maximum number of conflicts listed in a message; a folder of copies would fill a page."""

ADVICE = (
    "Ids must be unique across the data set, because results are looked up by unit id alone. If this is the "
    "same recording under another session id, keep one of the two (vbn delete --session); otherwise assign "
    "new ids in the file, or read it by a mapping, which numbers them per session (docs/rig.md)."
)


def require_own_ids(session_id: int, place: Any, ids: Mapping[str, Iterable[int]]) -> None:
    """Refuse ids that another imported session already has.

    Parameters
    ----------
    session_id : the session being registered or imported.
    place : its file, for the message.
    ids : the ids in the file, by the names in `PARTS`.

    Raises
    ------
    ConflictError
        Names the ids, and the sessions that have them.
    """
    found = {name: _owners(name, list(numbers), session_id) for name, numbers in ids.items()}
    conflicts = [
        f"{first_of(numbers)} ({name}) of session {owner} of the project {_project_of(owner)}"
        for name, owners in found.items()
        for owner, numbers in owners.items()
    ]
    if conflicts:
        more = f"; and {len(conflicts) - MOST_OWNERS} more" if len(conflicts) > MOST_OWNERS else ""
        raise ConflictError(
            f"{place}: session {session_id} has ids that already belong to another session: "
            f"{'; '.join(conflicts[:MOST_OWNERS])}{more}. {ADVICE}"
        )


@contextlib.contextmanager
def refusing_known_ids(session_id: int, place: Any) -> Iterator[None]:
    """Explain the server's refusal of ids that another worker has inserted at the same time.

    Raises
    ------
    ConflictError
        Instead of DuplicateError.
    """
    try:
        yield
    except dj.errors.DuplicateError as error:
        raise ConflictError(
            f"{place}: session {session_id} has ids of probes, channels or units that also belong to another "
            f"session, which was imported at the same time (vbn retry names them). {ADVICE}"
        ) from error


def make_ids_unique(database: Database) -> None:
    """Add a unique index to each id column, unless sessions share ids (see `shared_ids`)."""
    query, quote = database.connection.query, database.connection.adapter.quote_identifier
    for column, table in _without_index(database):
        name = _full_name(database, table)
        if _is_shared(database, column, table):
            continue
        others = _indexes(database, table, column, unique=False)
        query(f"CREATE UNIQUE INDEX {quote(f'own_{column}')} ON {name} ({quote(column)})")
        for index in others:
            query(_drop_index(database, name, index))


def shared_ids(database: Database) -> list[str]:
    """Return a message for each pair of sessions that share ids, which earlier versions allowed."""
    return [
        f"Sessions {first} and {second} share {number} of their {column}s, so queries by unit mix them up. "
        f"Keep one of the two, or change the ids in one file (vbn delete --session {second}, then register "
        "it again); then run: vbn deploy"
        for column, table in _without_index(database)
        if _is_shared(database, column, table)
        for first, second, number in _sharing(database, column, table)
    ]


def _project_of(session_id: int) -> str:
    """Return the project of a session, which is not a table that this module may know."""
    database = active()
    name = database.connection.adapter.make_full_table_name(f"{database.prefix}session", "session")
    query = f"SELECT project FROM {name} WHERE session_id = %s"  # noqa: S608
    rows = database.connection.query(query, args=(session_id,)).fetchall()
    return str(rows[0][0]) if rows else "that is gone"


def _owners(column: str, numbers: list[int], session_id: int) -> dict[int, list[int]]:
    """Return the other sessions that have any of the ids, each with the ids they share."""
    if not numbers:
        return {}
    among = ", ".join(str(int(number)) for number in numbers)
    database = active()
    rows = database.connection.query(
        f"SELECT session_id, {column} FROM {_full_name(database, PARTS[column])} "  # noqa: S608
        f"WHERE {column} IN ({among}) AND session_id <> {int(session_id)} ORDER BY 1, 2"
    )
    owners: dict[int, list[int]] = {}
    for owner, number in rows.fetchall():
        owners.setdefault(owner, []).append(number)
    return owners


def _without_index(database: Database) -> list[tuple[str, str]]:
    """Return the id columns, and their tables, that have no unique index yet."""
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    present = {name for (name,) in database.connection.query(query, args=(_schema(database),)).fetchall()}
    return [
        (column, table)
        for column, table in PARTS.items()
        if table in present and not _indexes(database, table, column, unique=True)
    ]


def _indexes(database: Database, table: str, column: str, *, unique: bool) -> list[str]:
    """Return the names of the indexes on a single column."""
    query = (
        "SELECT index_name FROM information_schema.statistics WHERE (table_schema, table_name) = (%s, %s) "
        "GROUP BY index_name HAVING COUNT(*) = 1 AND MAX(column_name) = %s AND MAX(non_unique) = %s"
        if database.backend == "mysql"
        else "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
        "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] "
        "WHERE (n.nspname, t.relname) = (%s, %s) AND i.indnatts = 1 AND a.attname = %s "
        "AND (CASE WHEN i.indisunique THEN 0 ELSE 1 END) = %s"
    )
    args = (_schema(database), table, column, int(not unique))
    return [name for (name,) in database.connection.query(query, args=args).fetchall()]


def _is_shared(database: Database, column: str, table: str) -> bool:
    name = _full_name(database, table)
    query = f"SELECT {column} FROM {name} GROUP BY 1 HAVING COUNT(*) > 1 LIMIT 1"  # noqa: S608
    return bool(database.connection.query(query).fetchall())


def _sharing(database: Database, column: str, table: str) -> list[tuple[int, int, int]]:
    """Return pairs of sessions that share ids, and the number of shared ids."""
    name = _full_name(database, table)
    rows = database.connection.query(
        f"SELECT a.session_id, b.session_id, COUNT(*) FROM {name} a JOIN {name} b "  # noqa: S608
        f"ON a.{column} = b.{column} AND a.session_id < b.session_id GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [(int(first), int(second), int(number)) for first, second, number in rows.fetchall()]


def _drop_index(database: Database, table: str, index: str) -> str:
    quote = database.connection.adapter.quote_identifier
    if database.backend == "mysql":
        return f"DROP INDEX {quote(index)} ON {table}"
    return f"DROP INDEX {quote(_schema(database))}.{quote(index)}"


def _schema(database: Database) -> str:
    return f"{database.prefix}ecephys"


def _full_name(database: Database, table: str) -> str:
    return str(database.connection.adapter.make_full_table_name(_schema(database), table))
