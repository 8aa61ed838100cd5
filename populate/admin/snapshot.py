"""The whole database at one moment, read without waiting for others and without blocking them.

Tables and columns are those that the server lists, not those of the table classes, so that earlier layouts
can be read as well.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

from schemas.bases.registry import MODULES, schema_names
from schemas.server.connection import Database
from schemas.server.datajoint import dj, driver_of, hold_transaction
from schemas.server.restoring import NAME as RESTORING
from schemas.server.settings import STORE_NAME
from schemas.server.unpublished import SECTION, is_unpublished

ROWS_AT_A_TIME = 500
SERVER_TIMEOUT_S = 7 * 24 * 3600  # while we process what was read, and copy the arrays it names
JSON_TYPES = ("json", "jsonb")
SYSTEM = frozenset({"public", "mysql", "sys", "information_schema", "performance_schema", "pg_catalog"})
"""Schemas of the servers, which no database of ours has."""


@dataclass(frozen=True)
class ServerTable:
    """A table as the server lists it."""

    schema: str
    name: str
    columns: dict[str, str]  # name -> type, sorted by name

    @property
    def full_name(self) -> str:
        """Return ``schema.table``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class ArrayReference:
    """A row's reference to one of its arrays.

    Attributes
    ----------
    path : below the store.
    table : schema.table.
    is_ours : whether it is a file in the array store; tables of a lab may have folders, and other stores.
    """

    path: str
    table: str
    is_ours: bool


@dataclass(frozen=True)
class Snapshot:
    """An open transaction that sees all rows as they were when it began."""

    connection: Any
    prefix: str

    @classmethod
    @contextlib.contextmanager
    def taken(cls, database: Database) -> Iterator[Snapshot]:
        """Yield a snapshot of a database, on a connection of its own."""
        if database.published is not None:
            from schemas.deploy.waiting import load_everything

            load_everything()
        with contextlib.closing(open_another(database)) as connection:
            if database.backend == "mysql":
                connection.query("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for name in ("net_write_timeout", "wait_timeout"):
                    connection.query(f"SET SESSION {name} = {SERVER_TIMEOUT_S}")
                connection.query("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            else:
                driver_of(connection).set_session("REPEATABLE READ", readonly=True, autocommit=False)
                connection.query("SET idle_in_transaction_session_timeout = 0")
                connection.query("SELECT 1")  # the first query takes the snapshot
            hold_transaction(connection)  # what is lost is over: another connection sees another moment
            yield cls(connection, database.prefix)

    @property
    def is_mysql(self) -> bool:
        """Return whether the server is MySQL."""
        return bool(self.connection.adapter.backend == "mysql")

    def exported_name(self) -> str:
        """Return the name by which another client of PostgreSQL can see the same moment."""
        return str(self.connection.query("SELECT pg_export_snapshot()").fetchone()[0])

    def schemas(self) -> list[str]:
        """Return the schemas of the prefix and of the lab."""
        return schemas_of(self.connection, self.prefix)

    def tables(self) -> list[ServerTable]:
        """Return the tables of the prefix and those of the lab, sorted by name; no job tables, no lineage."""
        return self.tables_in(self.schemas())

    def tables_in(self, schemas: Collection[str]) -> list[ServerTable]:
        """Return the tables of some schemas, sorted by name; no job tables, no lineage."""
        if not schemas:
            return []
        among = f"table_schema IN ({', '.join(['%s'] * len(schemas))})"
        # Two questions: PostgreSQL joins the two views row by row, seconds for each database on the server.
        tables = self._ask(
            "SELECT table_schema, table_name FROM information_schema.tables "  # noqa: S608
            f"WHERE table_type = 'BASE TABLE' AND {among}",
            schemas,
        )
        columns = self._ask(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "  # noqa: S608
            f"WHERE {among}",
            schemas,
        )
        wanted = {(schema, table) for schema, table in tables if not table.startswith("~")}
        types: dict[tuple[str, str], dict[str, str]] = {}
        for schema, table, column, kind in sorted(columns):
            if (schema, table) in wanted:
                types.setdefault((schema, table), {})[column] = kind.lower()
        return [ServerTable(schema, table, of_table) for (schema, table), of_table in types.items()]

    def _ask(self, statement: str, values: Collection[str]) -> list[tuple[str, ...]]:
        return [tuple(map(str, row)) for row in self.connection.query(statement, tuple(values)).fetchall()]

    def rows(self, table: ServerTable, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield a table's rows as the server sends them, in no particular order; JSON as text."""
        quote = self.connection.adapter.quote_identifier
        names = [
            f"{quote(name)}::text" if table.columns[name] == "jsonb" else quote(name) for name in columns
        ]
        statement = f"SELECT {', '.join(names)} FROM {quote(table.schema)}.{quote(table.name)}"  # noqa: S608
        for rows in self.stream(statement):
            yield from rows

    def stream(self, statement: str) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield the rows of a query as the server sends them, a few hundred at a time.

        Percent signs in the statement are doubled, as DataJoint does.
        """
        with contextlib.closing(self._cursor()) as cursor:
            cursor.execute(statement, ())
            while rows := cursor.fetchmany(ROWS_AT_A_TIME):
                yield rows

    def _cursor(self) -> Any:
        """Return a cursor that fetches rows from the server on demand."""
        driver = driver_of(self.connection)
        if self.is_mysql:
            return driver.cursor(pymysql.cursors.SSCursor)
        return driver.cursor(name="vbn_rows", scrollable=False)

    def array_references(self) -> Iterator[ArrayReference]:
        """Yield every array that a row refers to, but those that were not published with it."""
        for table in self.tables():
            columns = [name for name, kind in table.columns.items() if kind in JSON_TYPES]
            if not columns:
                continue
            for row in self.rows(table, columns):
                for text in row:
                    if text is None or not _is_reference(value := json.loads(text)):
                        continue
                    if not (is_array(value) and is_unpublished(value["path"])):
                        yield ArrayReference(value["path"], table.full_name, is_array(value))

    def count_unpublished(self) -> int:
        """Return the number of arrays of which adopted rows have shape and type only."""
        quote, begins = self.connection.adapter.quote_identifier, f"{SECTION}/"
        found = 0
        for table in self.tables():
            for name in (name for name, kind in table.columns.items() if kind in JSON_TYPES):
                column = quote(name)
                path = (
                    f"JSON_UNQUOTE(JSON_EXTRACT({column}, '$.path'))"
                    if self.is_mysql
                    else f"{column}->>'path'"
                )
                rows = self.connection.query(
                    f"SELECT COUNT(*) FROM {quote(table.schema)}.{quote(table.name)} "  # noqa: S608
                    f"WHERE SUBSTRING({path}, 1, {len(begins)}) = '{begins}'"
                )
                found += int(rows.fetchone()[0])
        return found

    def arrays(self) -> set[str]:
        """Return the paths, below the array store, of all arrays that rows refer to."""
        return {reference.path for reference in self.array_references() if reference.is_ours}


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and {"path", "store"} <= value.keys()


def is_array(value: Any) -> bool:
    """Return whether a value of a JSON column is DataJoint's reference to a file in the array store."""
    return _is_reference(value) and value["store"] == STORE_NAME and not value.get("is_dir")


def job_tables(database: Database) -> list[str]:
    """Return the full names of the job tables, quoted for a statement."""
    listing = "SELECT table_schema, table_name FROM information_schema.tables"
    quote, ours = database.connection.adapter.quote_identifier, set(existing_schemas(database))
    return [
        f"{quote(schema)}.{quote(table)}"
        for schema, table in database.connection.query(listing).fetchall()
        if schema in ours and table.startswith("~~")
    ]


def existing_schemas(database: Database) -> list[str]:
    """Return the names of this prefix's schemas that exist on the server, then of those of the lab."""
    return schemas_of(database.connection, database.prefix)


def schemas_of(connection: Any, prefix: str) -> list[str]:
    """Return the existing schemas of a prefix, then the lab's own.

    The lab's are found on the server, since its modules need not be installed on this machine: those named
    after the prefix, if it is not the longer prefix of another database, and all whose tables refer to one of
    these or of ours.
    """
    known = all_schemas(connection)
    ours = [name for name in schema_names(prefix) if name in known]
    found = set(ours) | _named_after(prefix, known)
    parents: list[tuple[str, str]] = references(connection)
    while more := {child for child, parent in parents if parent in found} - found:
        found |= more
    return [*ours, *sorted(found - set(ours) - SYSTEM)]


def all_schemas(connection: Any) -> set[str]:
    """Return the names of all schemas; PostgreSQL's information schema lists one's own only."""
    query = (
        "SELECT schema_name FROM information_schema.schemata"
        if connection.adapter.backend == "mysql"
        else "SELECT nspname FROM pg_namespace"
    )
    return {str(name) for (name,) in connection.query(query).fetchall()}


def _named_after(prefix: str, known: set[str]) -> set[str]:
    """Return the schemas named after a prefix, without those of databases with a longer one."""
    ends = (MODULES[0], RESTORING)  # of a database, and of one that is being restored
    others = {name.removesuffix(end) for name in known for end in ends if name.endswith(end)}
    longer = tuple(
        other
        for other in others
        if other.startswith(prefix) and other != prefix and _is_database(other, known)
    )
    return {
        name
        for name in known
        if name.startswith(prefix) and not name.startswith(longer) and name != prefix + RESTORING
    }


def _is_database(prefix: str, known: set[str]) -> bool:
    return {prefix + name for name in MODULES[:3]} <= known or prefix + RESTORING in known


def references(connection: Any) -> list[tuple[str, str]]:
    """Return the pairs of schemas of which the first one's tables refer to the second one's."""
    query = (
        "SELECT DISTINCT constraint_schema, unique_constraint_schema "
        "FROM information_schema.referential_constraints"
        if connection.adapter.backend == "mysql"
        else "SELECT DISTINCT n.nspname, o.nspname FROM pg_constraint k "
        "JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace o ON o.oid = p.relnamespace"
    )
    return [(str(child), str(parent)) for child, parent in connection.query(query).fetchall()]


def open_another(database: Database, *, database_name: str | None = None) -> Any:
    """Open another connection like the database's own, on PostgreSQL perhaps to another of its databases."""
    info = database.connection.conn_info
    return dj.Connection(
        info["host"],
        info["user"],
        info["passwd"],
        info["port"],
        info["ssl_input"],
        database_name=database_name or info["database_name"],
        backend=database.backend,
    )
