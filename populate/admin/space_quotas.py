"""Quotas of personal schemas: whoever has more than she may loses the rights to add to it until she has less.

Neither server has quotas of its own. The owner of a space that is too large keeps the rights to read, delete
and drop; she gets the others back when it is small enough, or may be larger. `administration.Space` says
since when a space is closed: that is written before rights are taken and removed after they are given back,
so that whatever is interrupted is made good by the next run. On MySQL connections that keep rights are ended
after these were taken, and only then the account itself notes that it has none left (`note_left`).

On PostgreSQL tables stay the owner's, who could grant the rights anew, or change her tables (ALTER TABLE);
rights are taken again at the next run, also those that she gave to others. Giving the tables to somebody else
would be worse: functions in her indexes run with the rights of the tables' owner.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pymysql

from populate.admin.accounts import account_server, quote_id
from populate.work.quotas import sizes
from schemas.administration import Space
from schemas.server.access import require_admin
from schemas.server.connection import Database, server_lock
from schemas.server.datajoint import dj
from vbn.errors import shortened

OF_ADDING = "INSERT, UPDATE, CREATE, ALTER, INDEX"
"""What the owner of a space that is too large loses on MySQL."""

OWN = (
    "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) "
    "AND relowner = (SELECT oid FROM pg_roles WHERE rolname = %s)"
)
OWN_TABLES = f"SELECT relname FROM pg_class WHERE {OWN} AND relkind IN ('r', 'p')"  # noqa: S608
KEY_COLUMNS = (
    "SELECT DISTINCT relname, attname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid "  # noqa: S608
    "JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = ANY (conkey) "
    f"WHERE contype IN ('p', 'u', 'f') AND {OWN}"
)
OTHERS = (
    "SELECT DISTINCT rolname FROM (SELECT relnamespace, relowner, relacl AS acl FROM pg_class UNION ALL "  # noqa: S608
    "SELECT relnamespace, relowner, attacl FROM pg_attribute JOIN pg_class c ON c.oid = attrelid) AS given "
    "CROSS JOIN LATERAL aclexplode(acl) AS each JOIN pg_roles r ON r.oid = each.grantee "
    f"WHERE {OWN} AND grantee <> relowner AND privilege_type IN ('INSERT', 'UPDATE') UNION "
    "SELECT rolname FROM pg_namespace CROSS JOIN LATERAL aclexplode(nspacl) AS each "
    "JOIN pg_roles r ON r.oid = each.grantee WHERE nspname = %s AND privilege_type = 'CREATE'"
)
"""Whom the owner of a space lets add to it."""

LOCK_WAIT_S = 5
"""An owner may hold a lock as long as she likes; those of the other spaces do not wait for her."""

FAILURES = (
    dj.errors.QueryError, dj.errors.AccessError, psycopg2.Error, pymysql.err.OperationalError,
    pymysql.err.InternalError, pymysql.err.ProgrammingError,
)  # fmt: skip
"""What servers raise where one space cannot be ruled: tables come and go, and are locked."""


@dataclass(frozen=True)
class Ruling:
    """What became of a space.

    Attributes
    ----------
    space : name of the schema on the server.
    became : ``closed`` or ``opened`` now, still ``closed``, ``open``, ``gone`` from the server,
        ``without its owner's account``, or ``unknown`` where the server refused.
    problem : what the server said.
    """

    space: str
    owner: str
    became: str
    is_news: bool
    problem: str = ""


def enforce(database: Database) -> list[Ruling]:
    """Take from the owners of spaces that are too large the rights to add to them; give them back to others.

    What fails for a space is a part of the answer: no owner can keep the other spaces from being looked at.

    Raises
    ------
    RefusedError
        If the connected account may not do this.
    """
    require_admin(database, "enforce quotas")
    if database.backend == "mysql":
        database.connection.query(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")
    rulings = (_ruled(database, row) for row in Space.to_dicts(order_by="space_name"))
    return [each for each in rulings if each is not None]


def _ruled(database: Database, row: dict[str, Any]) -> Ruling | None:
    name = str(row["space_name"])
    try:
        if row["space_quota_bytes"] is not None:
            count_anew(database, database.prefix + name)
        return rule(database, name)
    except dj.errors.LostConnectionError:
        raise
    except FAILURES as error:
        problem = shortened(str(error).strip().split("\n")[0], 300)
        owner = str(row["space_owner"])
        return Ruling(database.prefix + name, owner, "unknown", is_news=True, problem=problem)


def count_anew(database: Database, schema: str) -> None:
    """Let MySQL estimate anew how large the tables of a schema are; PostgreSQL knows."""
    if database.backend != "mysql":
        return
    query = database.connection.query
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
    size = _size_of(database, full)
    if row["space_quota_bytes"] is not None and size > row["space_quota_bytes"]:
        if not was_closed:
            _note(name, datetime.now(UTC).replace(tzinfo=None))
        problem = _close(database, full, people)  # each time: new tables, or she has helped herself
        return Ruling(full, owner, "closed", is_news=not was_closed or bool(problem), problem=problem)
    if was_closed:
        _open(database, full, people)
        _note(name, None)
    return Ruling(full, owner, "opened" if was_closed else "open", is_news=was_closed)


def _size_of(database: Database, full: str) -> int:
    """Return the size of a space; an owner who holds a lock must not make it seem smaller."""
    with database.connection.transaction:
        if database.backend != "mysql":
            database.connection.query(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
        return sizes(database, [full], waits=True).get(full, (0, 0))[1]


def schema_exists(database: Database, full: str) -> bool:
    """Return whether the server has a schema of this name."""
    query = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
    if database.backend != "mysql":
        query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    return bool(database.connection.query(query, args=(full,)).fetchall())


def _note(name: str, closed_at: datetime | None) -> None:
    Space.update1({"space_name": name, "space_closed_at": closed_at})


def _close(database: Database, full: str, people: Sequence[Any]) -> str:
    """Take the rights to add to a space; return which connections keep them, in words."""
    server = account_server(database)
    if database.backend == "mysql":
        place = f"`{server.pattern(full)}`.*"
        for each in people:
            server.query(f"REVOKE IF EXISTS {OF_ADDING} ON {place} FROM %s@%s", each.name, each.host)
        # Noted when it is done, for whoever is killed before; who came later has no such rights, and stays.
        if all(server.has_left(each, full) for each in people):
            return ""
        problem = still_within(database, full, people[0].name)
        for each in people:
            server.note_left(each, full, has_left=not problem)
        return problem
    person, schema = people[0].name, quote_id(full)
    with _acting_for(server, person) as owner:
        kept = {person, server.worker, server.admin}  # workers look at the size themselves
        others = [name for (name,) in server.query(OTHERS, full, person, full).fetchall() if name not in kept]
        whom = ", ".join([owner, "PUBLIC", *map(quote_id, others)])
        server.query(f"REVOKE CREATE ON SCHEMA {schema} FROM {whom} CASCADE")
        for (table,) in server.query(OWN_TABLES, full, person).fetchall():
            place = f"{schema}.{quote_id(table)}"
            server.query(f"REVOKE INSERT, UPDATE ON {place} FROM {whom} CASCADE")
        # Of keys: the server checks and changes references to a table with the rights of its owner.
        for table, column in server.query(KEY_COLUMNS, full, person).fetchall():
            place = f"{schema}.{quote_id(table)}"
            server.query(f"GRANT UPDATE ({quote_id(column)}) ON {place} TO {owner}")
    return ""


def still_within(database: Database, full: str, owner: str) -> str:
    """End the connections by which an account keeps on MySQL what was taken from it; say which go on.

    To a connection that is in a schema (``USE``), rights in it are what they were when it went there.
    """
    if database.backend != "mysql" or not (left := account_server(database).end_connections(owner, full)):
        return ""
    numbers = ", ".join(map(str, left))
    return (
        f"Connections of {owner} that are in it keep their rights until they end, and this account may not "
        f"end them: {numbers}. An account that may: KILL {left[0]}"
    )


def _open(database: Database, full: str, people: Sequence[Any]) -> None:
    """Give back the rights to add to a space."""
    server = account_server(database)
    if database.backend == "mysql":
        for each in people:
            server.note_left(each, full, has_left=False)
            server.query(f"GRANT {OF_ADDING} ON `{server.pattern(full)}`.* TO %s@%s", each.name, each.host)
        return
    person, schema = people[0].name, quote_id(full)
    with _acting_for(server, person) as owner:
        server.query(f"GRANT CREATE ON SCHEMA {schema} TO {owner}")
        for (table,) in server.query(OWN_TABLES, full, person).fetchall():
            server.query(f"GRANT INSERT, UPDATE ON {schema}.{quote_id(table)} TO {owner}")


@contextlib.contextmanager
def _acting_for(server: Any, person: str) -> Iterator[str]:
    """Act as PostgreSQL's owner of a space may, and wait for no lock of hers; yield her name in quotes."""
    owner = quote_id(person)
    with server.acting_as_owner_of("reader"):
        server.query(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
        server.query(f"GRANT {owner} TO CURRENT_USER")
        yield owner


def _doubled(name: str) -> str:
    return name.replace("`", "``").replace("%", "%%")
