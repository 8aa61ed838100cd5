"""Queries on a published folder, whose tables are loaded when a query names them.

Small tables are loaded as a whole. Of large ones the parts come that a query reads
(`schemas.deploy.published_chunks`), and the query is sent with the names of their views. A query that is no
plain one, or stands in a transaction, or cannot be asked of views, has its tables loaded completely.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from schemas.bases.publication import PublishedTable, published_tables
from schemas.deploy.asked import BEGINS, Asked, is_plain_query
from schemas.deploy.published import (
    NOT_LOADED_CODE,
    left_out,
    load_table,
    loaded_files,
    owner_connection,
    published_rows,
)
from schemas.deploy.published_chunks import TableParts
from schemas.deploy.scanned import StatementPlan, planned
from schemas.server.connection import Database
from schemas.server.datajoint import Send, around_queries, driver_of
from schemas.server.error_codes import code_of
from schemas.server.published import ACCOUNT, PublishedFolder, chunk_list_of
from schemas.server.published_site import PublishedSite
from vbn.errors import ConflictError, NotFoundError

CHECKED_ONLY = re.compile(r"\sLIMIT 0 /\* checked \*/\Z")
"""The end of statements whose conditions are only looked at, as our queries do before others are asked.

That the account may not read what they name is found after all other faults.
"""

EXPLAIN = "EXPLAIN "
MOST_COLUMNS = 100
"""By which a statement is grouped besides those that it names."""

MOST_DONE = 10_000
"""Statements that are remembered as having all that they need."""

LOADED_AT_ONCE, LOADED_BYTES = 2000, 2**20
"""Tables with as many rows, or files as large, wait until a query names them."""


def attach(published: PublishedFolder, database: Database) -> None:
    """Load the small tables, and let queries wait for the large ones that they name.

    To be called when the table classes are bound to the database.
    """
    with owner_connection() as connection:
        done = loaded_files(connection, published.prefix)
    tables = {
        f"{published.prefix}{each.module}.{each.table.table_name}": each
        for each in published_tables(("curation",))
        if each.file in published.checksums and each.file not in done
    }
    lacking = left_out(published)
    absent = {
        f"{published.prefix}{each.module}.{each.table.table_name}": each.name
        for each in published_tables()
        if each.name in lacking
    }
    waiting = Waiting(published, tables, absent)
    if not isinstance(published, PublishedSite):
        rows = published_rows(published) if tables else {}
        waiting.load([name for name, each in tables.items() if _is_small(published, each, rows)])
    around_queries(waiting.ask if waiting.tables or absent else None)
    database.connection.query("SELECT 1")


def _is_small(published: PublishedFolder, table: PublishedTable, rows: Mapping[str, int]) -> bool:
    path = published.folder / table.file
    is_short = not path.is_file() or path.stat().st_size < LOADED_BYTES  # loading says what is missing
    return is_short and rows.get(table.file, 0) < LOADED_AT_ONCE


def load_everything() -> None:
    """Load what still waits: whoever reads past `dj.Connection.query` calls this first."""
    if Waiting.current is not None:
        Waiting.current.load(list(Waiting.current.tables))


class Waiting:
    """The tables that are not loaded completely.

    The readers' account may select from a table only when it is, and from the views of its parts. So a
    statement whose tables were not recognized here is refused by the server, not answered from what is not
    there.

    Parameters
    ----------
    published : the folder.
    tables : schema.table -> the table.
    absent : schema.table -> name of a table that was left out by choice.
    """

    current: ClassVar[Waiting | None] = None

    def __init__(
        self, published: PublishedFolder, tables: dict[str, PublishedTable], absent: dict[str, str]
    ) -> None:
        self.published, self.tables, self._absent = published, tables, absent
        self.turn = threading.RLock()
        self._done: dict[str, str] = {}
        self._parts: dict[str, TableParts] = {}
        Waiting.current = self

    def ask(self, connection: Any, statement: str, arguments: Any, send: Send) -> Any:
        """Send a statement when what it reads is loaded; return its result.

        Parameters
        ----------
        connection : DataJoint's.
        statement, arguments : as DataJoint gives them to the driver.
        send : sends them.

        Raises
        ------
        NotFoundError
            If a table was left out by choice: an empty one would be taken for a result.
        ConflictError
            If the transaction that is open would not see what is loaded now.
        """
        asked = self._asked(connection, statement, arguments)
        if asked is None:
            return send(statement, arguments)
        with self.turn:
            wanted = self._wanted(asked)
            instead = self._prepared(connection, asked, wanted) if wanted else None
        if instead is None:
            return send(statement, arguments)
        try:
            return send(instead.replace("%", "%%"), ())
        except Exception as error:
            if not _is_not_loaded(error):
                raise
        self.load(wanted)  # it was executed otherwise than planned
        return send(statement, arguments)

    def _asked(self, connection: Any, statement: str, arguments: Any) -> Asked | None:
        """Return what a statement asks of the folder; None if there is nothing to do for it."""
        if connection.conn_info.get("user") != ACCOUNT or not (self.tables or self._absent):
            return None
        if BEGINS.match(statement):  # it may see nothing that is loaded later
            self.load(list(self.tables))
            return None
        return Asked.of(_sent(connection, statement, arguments), self.published.prefix)

    def _wanted(self, asked: Asked) -> list[str]:
        """Return the names of the tables of a statement that are not loaded completely."""
        if lacking := sorted(self._absent[name] for name in asked.tables & self._absent.keys()):
            raise NotFoundError(
                f"{self.published}, which was made without {', '.join(lacking)}. Name the tables that "
                "it is to have, with these: vbn freeze create NAME --table ..."
            )
        return sorted(self.tables.keys() & asked.tables if asked.is_known else self.tables)

    def _prepared(self, connection: Any, asked: Asked, names: list[str]) -> str | None:
        """Load what a statement needs; return the statement to send in its place, None for itself."""
        if not _is_idle(connection):
            _require_fresh_snapshots(connection)
            self.load(names)
            return None
        if _is_only_checked(asked):
            return None
        if not (asked.is_plain_query and asked.is_known):
            self.load(names)
            return None
        if asked.statement not in self._done:
            statement = self._loaded_for(connection, asked, names)
            if statement is None:
                return None
            if len(self._done) >= MOST_DONE:
                self._done.clear()
            self._done[asked.statement] = statement
        return self._done[asked.statement]

    def _loaded_for(self, connection: Any, asked: Asked, names: list[str]) -> str | None:
        """Load what a plain query needs; return it with the names of views; None if it can have none."""
        parts = {name: found for name in names if (found := self._parts_of(name)) is not None}
        self.load([name for name in names if name not in parts])
        views = {name: each.view for name, each in parts.items()}
        plan = _plan(connection, asked.renamed(views))
        if plan is None:
            if not _is_understood(asked.statement):
                return None
            grouped = _grouped_by_all(connection, asked, views)
            plan = None if grouped is None else _plan(connection, grouped.renamed(views))
            if grouped is None or plan is None:  # it asks of a table what a view has not
                self.load(names)
                return None
            asked = grouped
        for each in parts.values():
            each.load_for(plan)
        return asked.renamed({name: each.view for name, each in parts.items()})

    def load(self, names: Sequence[str]) -> None:
        """Load tables completely, by their names on the server."""
        with self.turn:
            waiting = [name for name in names if name in self.tables]
            if not waiting:
                return
            rows = published_rows(self.published)
            with owner_connection() as connection:
                for name in waiting:
                    each = self.tables[name]
                    load_table(connection, self.published, each, rows.get(each.file, 0))
                    self.tables.pop(name, None)
            self._done.clear()

    def _parts_of(self, name: str) -> TableParts | None:
        """Return the parts of a table; None if it is loaded as a whole."""
        if name not in self._parts and chunk_list_of(self.tables[name].file) in self.published.checksums:
            self._parts[name] = TableParts(self.published, self.tables[name])
        return self._parts.get(name)


def _is_only_checked(asked: Asked) -> bool:
    statement, n_found = CHECKED_ONLY.subn("", asked.statement)
    return n_found == 1 and is_plain_query(statement)


def _is_not_loaded(error: BaseException | None) -> bool:
    """Return whether an exception comes from reading a value that is not loaded."""
    while error is not None:
        if code_of(error) == NOT_LOADED_CODE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _plan(connection: Any, statement: str) -> StatementPlan | None:
    """Return the plan of a statement for the readers' account; None if it would be refused."""
    with driver_of(connection).cursor() as cursor:
        try:
            return planned(cursor, statement)
        except psycopg2.errors.InsufficientPrivilege:
            return None


def _grouped_by_all(connection: Any, asked: Asked, views: Mapping[str, str]) -> Asked | None:
    """Return a statement that groups rows by a table's key, grouped by what else it takes of the table, too.

    The key decides the other columns, but a view has none: the server names the first column that it lacks.
    More columns are the same groups. None if it refuses the statement for anything else.
    """
    for _ in range(MOST_COLUMNS):
        with driver_of(connection).cursor() as cursor:
            try:
                cursor.execute(f"{EXPLAIN}{asked.renamed(views)}")
            except psycopg2.errors.GroupingError as error:
                position = int(error.diag.statement_position or 0) - 1 - len(EXPLAIN)
            except psycopg2.Error:
                return None
            else:
                return asked
        found = asked.grouped_also(position, views)
        if found is None:
            return None
        asked = found
    return None


def _is_understood(statement: str) -> bool:
    """Return whether the server would execute a statement for whoever may read everything."""
    with owner_connection() as connection, connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        return planned(cursor, statement) is not None


def _sent(connection: Any, statement: str, arguments: Any) -> str:
    """Return a statement as the driver will send it, with its arguments."""
    if not arguments and "%" not in statement:
        return statement
    driver = driver_of(connection)
    try:
        with driver.cursor() as cursor:
            return str(cursor.mogrify(statement, arguments).decode())
    except (psycopg2.Error, IndexError, KeyError, TypeError, ValueError):
        return statement  # the driver will refuse it as well


def _is_idle(connection: Any) -> bool:
    """Return whether a statement sees what other connections have committed before it, and may fail."""
    driver = driver_of(connection)
    return bool(driver.autocommit and driver.info.transaction_status == TRANSACTION_STATUS_IDLE)


def _require_fresh_snapshots(connection: Any) -> None:
    with driver_of(connection).cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        (level,) = cursor.fetchone()
    if level != "read committed":
        raise ConflictError(
            f"This transaction ({level}) would not see what is loaded of a published folder meanwhile. End "
            "it, and begin one by dj.conn().start_transaction()."
        )
