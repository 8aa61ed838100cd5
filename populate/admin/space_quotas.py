"""Quotas of personal schemas: whoever has more than she may loses the rights to add to it until she has less.

Neither server has quotas of its own. The owner of a space that is too large keeps the rights to read, delete
and drop; she gets the others back when it is small enough, or may be larger. `administration.Space` says
since when a space is closed: that is written before rights are taken and removed after they are given back,
so that whatever is interrupted is made good by the next run.

On PostgreSQL tables stay the owner's, who could grant herself the rights anew; they are taken again at the
next run. Giving the tables to somebody else would be worse: functions in her indexes run with the rights of
the tables' owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from populate.admin.accounts import account_server
from populate.work.quotas import sizes
from schemas.administration import Space
from schemas.server.access import require_admin
from schemas.server.connection import Database, server_lock

OF_ADDING = "INSERT, UPDATE, CREATE, ALTER, INDEX"
"""What the owner of a space that is too large loses on MySQL."""

OWN_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') "
    "AND relowner = %s::regrole"
)
KEY_COLUMNS = (
    "SELECT DISTINCT relname, attname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid "
    "JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = ANY (conkey) "
    "WHERE contype IN ('p', 'u', 'f') AND relnamespace = %s::regnamespace AND relowner = %s::regrole"
)


@dataclass(frozen=True)
class Ruling:
    """What became of a space.

    Attributes
    ----------
    space : name of the schema on the server.
    became : ``closed`` or ``opened`` now, still ``closed``, ``open``, ``gone`` from the server, or
        ``without its owner's account``.
    """

    space: str
    owner: str
    became: str
    is_news: bool


def enforce(database: Database) -> list[Ruling]:
    """Take from the owners of spaces that are too large the rights to add to them; give them back to others.

    Raises
    ------
    RefusedError
        If the connected account may not do this.
    """
    require_admin(database, "enforce quotas")
    count_anew(database)
    rulings = (rule(database, name) for name in sorted(map(str, Space.to_arrays("space_name"))))
    return [each for each in rulings if each is not None]


def count_anew(database: Database) -> None:
    """Let MySQL estimate anew how large the tables of spaces with quotas are; PostgreSQL knows."""
    if database.backend != "mysql":
        return
    query = database.connection.query
    names = (Space & "space_quota_bytes IS NOT NULL").to_arrays("space_name")
    for schema in (database.prefix + str(name) for name in names):
        tables = (
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = %s AND table_type = 'BASE TABLE'"
        )
        found = [f"`{schema}`.`{_doubled(name)}`" for (name,) in query(tables, args=(schema,)).fetchall()]
        if found:  # one that is dropped meanwhile is a row of the answer, no error
            query(f"ANALYZE LOCAL TABLE {', '.join(found)}").fetchall()


def rule(database: Database, name: str) -> Ruling | None:
    """Close or open a space, as its size and quota want it; return None if it is a space no more.

    Parameters
    ----------
    name : its name, without the prefix.
    """
    with server_lock("spaces", database):
        return rule_alone(database, name)


def rule_alone(database: Database, name: str) -> Ruling | None:
    """Close or open a space while no other command changes spaces (``server_lock("spaces")``)."""
    rows = (Space & {"space_name": name}).to_dicts()
    if not rows:
        return None
    (row,), full = rows, database.prefix + name
    owner, was_closed = str(row["space_owner"]), row["space_closed_at"] is not None
    if not schema_exists(database, full):
        return Ruling(full, owner, "gone", is_news=True)
    people = [each for each in account_server(database).accounts() if each.name == owner]
    if not people:
        return Ruling(full, owner, "without its owner's account", is_news=True)
    _tables, size = sizes(database, [full]).get(full, (0, 0))
    if row["space_quota_bytes"] is not None and size > row["space_quota_bytes"]:
        if not was_closed:
            _note(name, datetime.now(UTC).replace(tzinfo=None))
        _close(database, full, people)  # each time: there may be new tables, or she has helped herself
        return Ruling(full, owner, "closed", is_news=not was_closed)
    if was_closed:
        _open(database, full, people)
        _note(name, None)
    return Ruling(full, owner, "opened" if was_closed else "open", is_news=was_closed)


def schema_exists(database: Database, full: str) -> bool:
    """Return whether the server has a schema of this name."""
    query = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    if database.backend != "mysql":
        query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    return bool(database.connection.query(query, args=(full,)).fetchall())


def quoted_identifier(name: str) -> str:
    """Return a name as PostgreSQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _note(name: str, closed_at: datetime | None) -> None:
    Space.update1({"space_name": name, "space_closed_at": closed_at})


def _close(database: Database, full: str, people: Sequence[Any]) -> None:
    """Take the rights to add to a space."""
    server = account_server(database)
    if database.backend == "mysql":
        for each in people:
            place = f"`{server.pattern(full)}`.*"
            server.query(f"REVOKE IF EXISTS {OF_ADDING} ON {place} FROM %s@%s", each.name, each.host)
        return
    schema, owner = quoted_identifier(full), quoted_identifier(people[0].name)
    with server.acting_as_owner_of("reader"):
        server.query(f"GRANT {owner} TO CURRENT_USER")
        server.query(f"REVOKE CREATE ON SCHEMA {schema} FROM {owner}")
        for (table,) in server.query(OWN_TABLES, schema, owner).fetchall():
            server.query(f"REVOKE INSERT, UPDATE ON {schema}.{quoted_identifier(table)} FROM {owner}")
        # Of keys: the server checks and changes references to a table with the rights of its owner.
        for table, column in server.query(KEY_COLUMNS, schema, owner).fetchall():
            place = f"{schema}.{quoted_identifier(table)}"
            server.query(f"GRANT UPDATE ({quoted_identifier(column)}) ON {place} TO {owner}")


def _open(database: Database, full: str, people: Sequence[Any]) -> None:
    """Give back the rights to add to a space."""
    server = account_server(database)
    if database.backend == "mysql":
        for each in people:
            server.query(f"GRANT {OF_ADDING} ON `{server.pattern(full)}`.* TO %s@%s", each.name, each.host)
        return
    schema, owner = quoted_identifier(full), quoted_identifier(people[0].name)
    with server.acting_as_owner_of("reader"):
        server.query(f"GRANT {owner} TO CURRENT_USER")
        server.query(f"GRANT CREATE ON SCHEMA {schema} TO {owner}")
        for (table,) in server.query(OWN_TABLES, schema, owner).fetchall():
            server.query(f"GRANT INSERT, UPDATE ON {schema}.{quoted_identifier(table)} TO {owner}")


def _doubled(name: str) -> str:
    return name.replace("`", "``").replace("%", "%%")
