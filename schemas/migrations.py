"""Changes of the tables' layout, by number: what brings a database of an earlier version to this one.

``vbn deploy`` makes those that a database lacks, and enters them in `administration.Migration`. A database
that is created now has all of them from the start. To add one: append it, let it hold when it was done in
part before (MySQL commits each change of a table at once), and mind both servers.
"""

from __future__ import annotations

import getpass
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import vbn
from vbn.errors import ConflictError

if TYPE_CHECKING:
    from schemas.connection import Database

# As PostgreSQL compares text: `CM` is not `cm`. MySQL's default ignores case.
MYSQL_COLLATION = "utf8mb4_0900_bin"
LONGEST_WAIT_S = 120


@dataclass(frozen=True)
class Change:
    """One change of the layout."""

    number: int
    name: str
    apply: Callable[[Database], None]


def compare_text_with_case(database: Database) -> None:
    """Let MySQL compare text as it is spelt; on PostgreSQL there is nothing to do."""
    from schemas.connection import schema_names

    if database.backend != "mysql":
        return
    query = database.connection.query
    ours = schema_names(database.prefix)  # no pattern: another prefix may begin with this one
    among = ", ".join(["%s"] * len(ours))
    query("SET SESSION foreign_key_checks = 0")  # both ends of a reference change, one after the other
    try:
        schemas = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ({among})"  # noqa: S608
        for (schema,) in query(schemas, args=ours).fetchall():
            query(f"ALTER DATABASE `{schema}` COLLATE {MYSQL_COLLATION}")
        tables = (
            "SELECT DISTINCT c.table_schema, c.table_name FROM information_schema.columns c "  # noqa: S608
            "JOIN information_schema.tables t USING (table_schema, table_name) "
            f"WHERE t.table_type = 'BASE TABLE' AND c.table_schema IN ({among}) AND c.collation_name <> %s"
        )
        for schema, table in query(tables, args=(*ours, MYSQL_COLLATION)).fetchall():
            query(
                f"ALTER TABLE `{schema}`.`{table}` CONVERT TO CHARACTER SET utf8mb4 COLLATE {MYSQL_COLLATION}"
            )
    finally:
        query("SET SESSION foreign_key_checks = 1")


def index_units_by_id(database: Database) -> None:
    """Let a unit be found by its id alone: the key begins with the mouse, so MySQL would read all units."""
    connection = database.connection
    schema, table = f"{database.prefix}ecephys", "_recording__unit"
    tables = "SELECT table_name FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    indexes = (
        "SELECT index_name FROM information_schema.statistics "
        "WHERE (table_schema, table_name, column_name, seq_in_index) = (%s, %s, 'unit_id', 1)"
        if database.backend == "mysql"
        else "SELECT indexname FROM pg_indexes WHERE (schemaname, tablename) = (%s, %s) "
        "AND indexdef LIKE '%%(unit_id)'"
    )
    if not connection.query(tables, args=(schema, table)).fetchall():
        return  # deploy makes it, with its index
    if not connection.query(indexes, args=(schema, table)).fetchall():
        quote = connection.adapter.quote_identifier
        name = connection.adapter.make_full_table_name(schema, table)
        connection.query(f"CREATE INDEX {quote('unit_id')} ON {name} ({quote('unit_id')})")


def make_ids_unique(database: Database) -> None:
    """Let no two sessions have the same probes, channels or units; `vbn deploy` names those that do."""
    from schemas import unique_ids

    unique_ids.make_ids_unique(database)


CHANGES = (
    Change(1, "text is compared with case on MySQL too", compare_text_with_case),
    Change(2, "units are found by their id alone", index_units_by_id),
    Change(4, "ids of probes, channels and units are unique", make_ids_unique),
)


def pending(database: Database) -> list[Change]:
    """Return the changes that a database lacks, in order; none for a database without any table of ours.

    Raises
    ------
    ConflictError
        If a newer version of this package has changed the layout.
    """
    made = made_changes(database)
    if made is None:
        return []
    if unknown := sorted(made - {change.number for change in CHANGES}):
        raise ConflictError(
            f"The tables under '{database.prefix}...' on the {database} are of a newer version of this "
            f"package than {vbn.__version__} (change {unknown[-1]} of the layout). Install that version."
        )
    return [change for change in CHANGES if change.number not in made]


def made_changes(database: Database) -> set[int] | None:
    """Return the numbers of the changes that a database has; None if it has no table of ours."""
    query = database.connection.query
    present = "SELECT table_schema FROM information_schema.tables WHERE (table_schema, table_name) = (%s, %s)"
    if not query(present, args=(f"{database.prefix}session", "mouse")).fetchall():
        return None
    if not query(present, args=(f"{database.prefix}administration", "migration")).fetchall():
        return set()
    name = database.connection.adapter.make_full_table_name(f"{database.prefix}administration", "migration")
    return {int(row[0]) for row in query(f"SELECT migration FROM {name}").fetchall()}  # noqa: S608


def upgrade(
    database: Database, changes: list[Change], report: Callable[[str], None] = lambda _line: None
) -> None:
    """Make changes, and enter each when it is made; an interrupted one is made again the next time.

    To be called with the deploy lock, when `administration.Migration` is there.
    """
    if database.backend == "mysql" and changes:
        # A change waits for those who read the table; everybody else would wait behind it.
        database.connection.query(f"SET SESSION lock_wait_timeout = {LONGEST_WAIT_S}")
    for change in changes:
        report(f"Change {change.number} of the layout: {change.name}.")
        change.apply(database)
        enter([change], database)


def enter(changes: list[Change], database: Database) -> None:
    """Enter changes as made now."""
    from schemas.administration import Migration

    now = datetime.now(UTC).replace(tzinfo=None)
    who = f"{database.connection.get_user()} ({getpass.getuser()} on {platform.node()})"[:255]
    rows = [
        {
            "migration": change.number,
            "migration_name": change.name,
            "applied_at": now,
            "applied_by": who,
            "applied_version": vbn.__version__,
        }
        for change in changes
    ]
    Migration.insert(rows, skip_duplicates=True)
