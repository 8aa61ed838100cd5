"""The whole database at one moment, read without waiting for others and without blocking them.

Tables and columns are those that the server lists, not those of the table classes, so that earlier layouts
can be read as well.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql

from schemas.bases.registry import schema_names
from schemas.server.connection import Database
from schemas.server.datajoint import dj, driver_of

ROWS_AT_A_TIME = 500
SERVER_TIMEOUT_S = 7 * 24 * 3600  # while we process what was read, and copy the arrays it names
JSON_TYPES = ("json", "jsonb")


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
    """A row's reference to one of its arrays."""

    path: str  # below the store
    table: str  # schema.table


@dataclass(frozen=True)
class Snapshot:
    """An open transaction that sees all rows as they were when it began."""

    connection: Any
    prefix: str

    @classmethod
    @contextlib.contextmanager
    def taken(cls, database: Database) -> Iterator[Snapshot]:
        """Yield a snapshot of a database, on a connection of its own."""
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
            yield cls(connection, database.prefix)

    @property
    def is_mysql(self) -> bool:
        """Return whether the server is MySQL."""
        return bool(self.connection.adapter.backend == "mysql")

    def exported_name(self) -> str:
        """Return the name by which another client of PostgreSQL can see the same moment."""
        return str(self.connection.query("SELECT pg_export_snapshot()").fetchone()[0])

    def tables(self) -> list[ServerTable]:
        """Return the tables of the prefix, sorted by name; without job tables and lineage."""
        statement = (
            "SELECT c.table_schema, c.table_name, c.column_name, c.data_type "
            "FROM information_schema.columns c JOIN information_schema.tables t "
            "ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
            "WHERE t.table_type = 'BASE TABLE'"
        )
        ours = set(schema_names(self.prefix))
        columns: dict[tuple[str, str], dict[str, str]] = {}
        rows = self.connection.query(statement).fetchall()
        for schema, table, column, kind in sorted(tuple(map(str, row)) for row in rows):
            if schema in ours and not table.startswith("~"):
                columns.setdefault((schema, table), {})[column] = kind.lower()
        return [ServerTable(schema, table, types) for (schema, table), types in columns.items()]

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
        """Yield every array in the store that a row refers to."""
        for table in self.tables():
            columns = [name for name, kind in table.columns.items() if kind in JSON_TYPES]
            if not columns:
                continue
            for row in self.rows(table, columns):
                for text in row:
                    if text is not None and is_array(value := json.loads(text)):
                        yield ArrayReference(value["path"], table.full_name)


def is_array(value: object) -> bool:
    """Return whether a value of a JSON column is DataJoint's reference to an array in the store."""
    return isinstance(value, dict) and {"path", "store"} <= value.keys()


def job_tables(database: Database) -> list[str]:
    """Return the full names of the job tables, quoted for a statement."""
    listing = "SELECT table_schema, table_name FROM information_schema.tables"
    quote, ours = database.connection.adapter.quote_identifier, set(schema_names(database.prefix))
    return [
        f"{quote(schema)}.{quote(table)}"
        for schema, table in database.connection.query(listing).fetchall()
        if schema in ours and table.startswith("~~")
    ]


def existing_schemas(database: Database) -> list[str]:
    """Return the names of this prefix's schemas that exist on the server."""
    found = database.connection.query("SELECT schema_name FROM information_schema.schemata").fetchall()
    return [name for name in schema_names(database.prefix) if (name,) in found]


def open_another(database: Database) -> Any:
    """Open another connection like the database's own."""
    info = database.connection.conn_info
    return dj.Connection(
        info["host"],
        info["user"],
        info["passwd"],
        info["port"],
        info["ssl_input"],
        database_name=info["database_name"],
        backend=database.backend,
    )
