"""Differences between the tables of a database and this version's definitions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.bases import unique_ids
from schemas.bases.registry import part_classes, tables
from schemas.deploy import migrations
from schemas.deploy.connect import absent_tables, connect
from schemas.server.connection import Database, open_database
from schemas.server.datajoint import prepare_declare


@dataclass(frozen=True)
class Layout:
    """What ``vbn deploy`` would do, and what it cannot repair.

    Attributes
    ----------
    absent : tables that are missing, as ``schema.table``.
    changes : pending layout changes.
    differences : messages about missing or unknown columns, and sessions that share ids.
    """

    database: Database
    absent: list[str]
    changes: list[migrations.Change]
    differences: list[str]

    @property
    def is_up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.absent or self.changes or self.differences)


def inspect(prefix: str | None = None) -> Layout:
    """Compare a database with this version's definitions, without changing it.

    Columns are compared only if no table is missing and no change is pending.
    """
    database = open_database(prefix)
    absent, changes = absent_tables(database), migrations.pending(database)
    if absent or changes:
        return Layout(database, absent, changes, [])
    differences = [*_differences(connect(prefix)), *unique_ids.shared_ids(database)]
    return Layout(database, [], [], differences)


def _differences(database: Database) -> Iterator[str]:
    for master in tables():
        for cls in (master, *part_classes(master)):
            defined, present = _defined_columns(cls, master), _present_columns(cls, database)
            name = f"{cls.database}.{cls.table_name}"
            if missing := sorted(defined - present):
                yield f"{name} lacks {', '.join(missing)}"
            if unknown := sorted(present - defined):
                yield f"{name} has columns that are not in its definition: {', '.join(unknown)}"


def _defined_columns(cls: Any, master: Any) -> set[str]:
    context = {**vars(sys.modules[master.__module__]), master.__name__: master, "master": master, "self": cls}
    lines = prepare_declare(cls.definition, context, cls.connection.adapter)[2]
    return {re.split(r"[`\"]", line)[1] for line in lines}


def _present_columns(cls: Any, database: Database) -> set[str]:
    """Return the columns on the server, without DataJoint's own."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    rows = database.connection.query(query, args=(cls.database, cls.table_name)).fetchall()
    return {name for (name,) in rows if not name.startswith("_")}
