"""A mark on a database that is being restored, which outlives a killed restore.

The mark is a schema of its own, ``PREFIXrestoring``, since a restore replaces all others. As long as it
stands, the tables may be incomplete, and nothing else works with them.
"""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vbn.errors import ConflictError

NAME = "restoring"
TABLE = "mark"


@dataclass(frozen=True)
class Mark:
    """A restore that has not ended: of which backup, since when, by whom, and which schemas it replaces."""

    backup: str
    begun_at: str
    begun_by: str
    schemas: tuple[str, ...]


def schema_of_mark(prefix: str) -> str:
    """Return the name of the schema that marks a restore."""
    return f"{prefix}{NAME}"


def find_mark(connection: Any, prefix: str) -> Mark | None:
    """Return the mark of a restore that runs or was interrupted."""
    query = "SELECT 1 FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    if not connection.query(query, args=(schema_of_mark(prefix), TABLE)).fetchall():
        return None
    row = connection.query(f"SELECT mark FROM {_table(connection, prefix)}").fetchone()  # noqa: S608
    if row is None:
        return None
    content = json.loads(row[0])
    return Mark(**{**content, "schemas": tuple(content["schemas"])})


def set_mark(connection: Any, prefix: str, backup: str, schemas: Collection[str]) -> None:
    """Mark a database as being restored; a mark that is there is replaced, without a moment between."""
    schema, query = connection.adapter.quote_identifier(schema_of_mark(prefix)), connection.query
    table = _table(connection, prefix)
    content = {
        "backup": backup,
        "begun_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "begun_by": f"{getpass.getuser()} on {platform.node()}",
        "schemas": sorted(schemas),
    }
    query(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    query(f"CREATE TABLE IF NOT EXISTS {table} (mark text NOT NULL)")
    with connection.transaction:
        query(f"DELETE FROM {table}")  # noqa: S608
        query(f"INSERT INTO {table} VALUES (%s)", args=(json.dumps(content),))  # noqa: S608
    if connection.adapter.backend != "mysql":  # there, the roles may read it since they were made
        query(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC")
        query(f"GRANT SELECT ON {table} TO PUBLIC")


def remove_mark(connection: Any, prefix: str) -> None:
    """Say that the restore has ended."""
    schema = connection.adapter.quote_identifier(schema_of_mark(prefix))
    cascade = "" if connection.adapter.backend == "mysql" else " CASCADE"
    connection.query(f"DROP SCHEMA IF EXISTS {schema}{cascade}")


def require_restored(connection: Any, prefix: str) -> None:
    """Raise ConflictError if a restore of the database has not ended."""
    mark = find_mark(connection, prefix)
    if mark is not None:
        raise ConflictError(
            f"The database under '{prefix}...' is not complete: a restore of {mark.backup}, begun "
            f"{mark.begun_at} by {mark.begun_by}, has not ended. Wait if it still runs. If it was "
            f"interrupted, it begins again with: vbn restore {mark.backup} --prefix {prefix}. To give it up: "
            f"vbn restore --undo --prefix {prefix}"
        )


def _table(connection: Any, prefix: str) -> str:
    return str(connection.adapter.make_full_table_name(schema_of_mark(prefix), TABLE))
