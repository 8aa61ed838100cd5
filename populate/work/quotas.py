"""Personal schemas that are larger than they may be: their tables are left alone until they are smaller.

A space's row in `administration.Space` says how large it may become. `populate.admin.space_quotas` takes its
owner's rights to add to it; here are the sizes, and what workers, whose rights are other ones, do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from schemas.administration import Space
from schemas.server.connection import Database, active
from vbn.errors import shortened

BEGINNING = "space_"
"""Of the names of spaces, after the prefix."""

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def sizes(database: Database, schemas: Collection[str], *, waits: bool = False) -> dict[str, tuple[int, int]]:
    """Return schema -> number of tables of people, and bytes of tables and indexes; empty ones are left out.

    Parameters
    ----------
    database : the database.
    schemas : full names of schemas.
    waits : on PostgreSQL, wait for tables of which somebody holds a lock; else they count without indexes, as
        the server last counted them.
    """
    if not schemas:
        return {}
    among = ", ".join(["%s"] * len(schemas))
    query = database.connection.query
    if database.backend == "mysql":
        query("SET SESSION information_schema_stats_expiry = 0")  # else sizes may be a day old
        statement = (
            "SELECT table_schema, SUM(table_name NOT LIKE '~%%'), SUM(data_length + index_length) "  # noqa: S608
            f"FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN ({among}) "
            "GROUP BY 1"
        )
    else:
        statement = (
            "WITH held AS (SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND database = "  # noqa: S608
            "(SELECT oid FROM pg_database WHERE datname = current_database()) AND NOT %s), held_tables AS ("
            "SELECT relation FROM held UNION SELECT indrelid FROM pg_index WHERE indexrelid IN "
            "(SELECT relation FROM held) UNION SELECT oid FROM pg_class WHERE reltoastrelid IN "
            "(SELECT relation FROM held)) "
            "SELECT nspname, COUNT(*) FILTER (WHERE relkind = 'r' AND relname NOT LIKE '~%%'), "
            "SUM(CASE WHEN c.oid IN (SELECT relation FROM held_tables WHERE relation IS NOT NULL) "
            "THEN GREATEST(relpages, 0) * current_setting('block_size')::bigint "
            "ELSE pg_total_relation_size(c.oid) END) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            f"WHERE relkind IN ('r', 'm') AND nspname IN ({among}) GROUP BY 1"
        )
    flags = () if database.backend == "mysql" else (waits,)
    rows = query(statement, args=(*flags, *schemas)).fetchall()
    return {str(name): (int(number), int(size or 0)) for name, number, size in rows}


def described_size(size: int) -> str:
    """Return a size in words, such as ``1.5 GB``."""
    for name in ("TB", "GB", "MB", "kB"):
        if size >= (unit := UNITS[name.upper()]):
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def lack_of_room(table: Any) -> str | None:
    """Return why nothing is added to a table now, in words: its space is too large; None if nothing is wrong.

    The embedded server, which is one person's, asks nobody.
    """
    database = active()
    schema = str(table.database)
    if database.embedded or not schema.startswith(database.prefix + BEGINNING):
        return None
    rows = (Space & {"space_name": schema.removeprefix(database.prefix)}).to_dicts()
    quota = rows[0]["space_quota_bytes"] if rows else None
    if quota is None:
        return None
    _tables, size = sizes(database, [schema]).get(schema, (0, 0))
    if size <= quota:
        return None
    owner = shortened(rows[0]["space_owner"])
    return (
        f"The space {schema} of {owner} has {described_size(size)}, more than its {described_size(quota)}: "
        "nothing is added to it until its owner has removed rows or tables, or an admin has given it more."
    )
