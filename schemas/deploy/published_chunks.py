"""The large tables of a published folder: what a query needs of them is loaded when it asks.

What is loaded of a table is some columns of some row groups, all of these columns in all of these groups.
The readers' account may select these columns only, so that the server refuses what would read another: the
others hold what stands in for values that must be there. Before a statement is sent, the server is asked
whether the account may execute it; if not, the columns that it names are filled in, or else all. Then the
row groups are entered that its plan, of the same connection, could use a row of (`schemas.deploy.scanned`).
Of statements that are no plain query the tables are loaded completely, and so are tables whose parts have no
published hashes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg2
from pyarrow import parquet

from schemas.bases.publication import PublishedTable, chunk_span, published_tables
from schemas.deploy.asked import Asked, is_plain_query
from schemas.deploy.published import (
    EPOCH,
    REPAIR,
    ROWS_AT_A_TIME,
    Waiting,
    column_texts,
    entering_rows,
    fills_of,
    full_name,
    left_out,
    loaded_files,
    locked,
    marks_schema,
    opened_file,
    owner_connection,
    published_rows,
)
from schemas.deploy.scanned import Restriction, StatementPlan, has_star, planned, words_of
from schemas.rows.copy_text import copy_lines
from schemas.server.connection import Database
from schemas.server.datajoint import before_queries, driver_of
from schemas.server.published import ACCOUNT, ChunkHashes, PublishedFolder, Span
from schemas.server.published_site import PublishedSite
from vbn.errors import InvalidContentError
from vbn.web.client import TRAFFIC

logger = logging.getLogger(__name__)

Chunk = tuple[int, str]
"""A row group, and a column."""

CHECKED_ONLY = re.compile(r"\sLIMIT 0 /\* checked \*/\Z")
"""The end of statements whose conditions are only looked at, as our queries do before others are asked.

That the account may not read what they name is found after all other faults.
"""

MOST_DONE = 10_000
"""Statements that are remembered as having all that they need."""

LOADED_AT_ONCE = 2000
"""Tables with as many rows wait until a query names them."""

STANDING_IN = {
    "boolean": "f", "bytea": r"\\x", "character": "", "character varying": "", "text": "", "date": EPOCH,
    "timestamp without time zone": EPOCH, "timestamp with time zone": EPOCH, "json": "null", "jsonb": "null",
    "uuid": "00000000-0000-0000-0000-000000000000",
} | dict.fromkeys(("smallint", "integer", "bigint", "real", "double precision", "numeric"), "0")  # fmt: skip
"""Values of columns that must have one, by type, until their own are loaded."""


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
    waiting = WaitingChunks(published, tables, absent)
    if not isinstance(published, PublishedSite):
        rows = published_rows(published) if tables else {}
        waiting.load([name for name, each in tables.items() if rows.get(each.file, 0) < LOADED_AT_ONCE])
    before_queries(waiting.prepare if waiting.tables or absent else None)
    database.connection.query("SELECT 1")


class WaitingChunks(Waiting):
    """The tables that are not loaded yet, or not in all parts; parameters as of `Waiting`."""

    def __init__(
        self, published: PublishedFolder, tables: dict[str, PublishedTable], absent: dict[str, str]
    ) -> None:
        super().__init__(published, tables, absent)
        self._done: set[str] = set()
        self._parts: dict[str, _TableParts | None] = {}

    def load_for(self, connection: Any, asked: Asked, names: list[str]) -> None:
        """Load the small tables that a statement names, and of large ones the parts that it reads."""
        if asked.statement in self._done or _is_only_checked(asked):
            return
        if not (asked.is_plain_query and asked.is_known):
            self.load(names)
            return
        super().load([name for name in names if self._parts_of(name) is None])
        parts = [found for name in names if (found := self._parts_of(name)) is not None]
        if parts and (plan := _allowed_plan(connection, asked.statement, parts)) is not None:
            for each in parts:
                each.enter(each.groups_of(plan))
            if len(self._done) >= MOST_DONE:
                self._done.clear()
            self._done.add(asked.statement)

    def load(self, names: list[str]) -> None:
        """Load tables completely."""
        with self.turn:
            super().load([name for name in names if self._parts_of(name) is None])
            for name in names:
                if (found := self._parts_of(name)) is not None:
                    found.fill_in(found.columns)
                    found.enter(found.all_groups())
                    found.complete()
                    self.tables.pop(name, None)

    def _parts_of(self, name: str) -> _TableParts | None:
        """Return the parts of a table; None if it is loaded as a whole."""
        if name not in self._parts:
            table = self.tables[name]
            known = self.published.chunk_hashes(table.file)
            n_rows = published_rows(self.published).get(table.file, 0) if known else 0
            self._parts[name] = _TableParts(self.published, table, known, n_rows) if known else None
        return self._parts[name]


def _is_only_checked(asked: Asked) -> bool:
    statement, n_found = CHECKED_ONLY.subn("", asked.statement)
    return n_found == 1 and is_plain_query(statement)


def _allowed_plan(connection: Any, statement: str, parts: Collection[_TableParts]) -> StatementPlan | None:
    """Return a statement's plan when the account may read all columns that it needs; None if it fails."""
    for step in (_nothing, _named_columns, _all_columns):
        step(statement, parts)
        try:
            with driver_of(connection).cursor() as cursor:
                return planned(cursor, statement)
        except psycopg2.errors.InsufficientPrivilege:
            continue
    return None  # it reads what nobody may


def _nothing(_statement: str, _parts: Collection[_TableParts]) -> None:
    pass


def _named_columns(statement: str, parts: Collection[_TableParts]) -> None:
    """Fill in the columns whose names occur, or for a star those that the plan uses: it may drop others."""
    words = words_of(statement)
    if has_star(statement):
        with owner_connection() as connection, connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
            plan = planned(cursor, statement)
        words = words if plan is None else plan.words
    for each in parts:
        each.fill_in(each.columns & words)


def _all_columns(_statement: str, parts: Collection[_TableParts]) -> None:
    for each in parts:
        each.fill_in(each.columns)


@dataclass
class _TableParts:
    """A large table of a published folder.

    Attributes
    ----------
    folder, table : the folder, and the table.
    known : the hashes of its parts.
    n_rows : number of rows by the manifest.
    """

    folder: PublishedFolder
    table: PublishedTable
    known: ChunkHashes
    n_rows: int
    _known_columns: set[str] = field(default_factory=set)
    _known_groups: set[int] = field(default_factory=set)

    @cached_property
    def about(self) -> parquet.FileMetaData:
        """The footer of its file."""
        path = self.folder.with_spans(self.table.file, self.known, [self.known.footer])
        with contextlib.closing(opened_file(self.folder, self.table, path, self.n_rows)) as file:
            return file.metadata

    @cached_property
    def _spans(self) -> dict[Chunk, list[Span]]:
        """Where the chunks are; a column has one in each row group."""
        found: dict[Chunk, list[Span]] = {}
        for number in range(self.about.num_row_groups):
            group = self.about.row_group(number)
            for column in range(group.num_columns):
                chunk = group.column(column)
                name = chunk.path_in_schema.partition(".")[0]
                found.setdefault((number, name), []).append(chunk_span(chunk))
        return found

    @property
    def columns(self) -> frozenset[str]:
        """Its columns that are published."""
        return frozenset(each.name for each in self.table.attributes)

    def all_groups(self) -> set[int]:
        """Return the numbers of its row groups."""
        return set(range(self.about.num_row_groups))

    def groups_of(self, plan: StatementPlan) -> set[int]:
        """Return the row groups of which a plan could use a row."""
        found = plan.of(full_name(self.folder, self.table))
        return {number for each in found for number in self._groups(each)}

    def _groups(self, restriction: Restriction) -> Iterator[int]:
        """Yield the row groups that may have rows of a restriction."""
        attributes = {each.name: each for each in self.table.attributes}
        for number in range(self.about.num_row_groups):
            group = self.about.row_group(number)
            chunks = (group.column(column) for column in range(group.num_columns))
            if all(
                _may_have(chunk, attributes[chunk.path_in_schema], restriction[chunk.path_in_schema])
                for chunk in chunks
                if chunk.path_in_schema in restriction
            ):
                yield number

    @property
    def _key(self) -> list[str]:
        return [str(name) for name in self.table.table().primary_key]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Any]:
        """Yield a connection of the owner, while no other process loads parts of the table."""
        with (
            owner_connection() as connection,
            locked(connection, f"{self.folder.prefix}{self.table.file}"),
        ):
            yield connection

    def fill_in(self, wanted: Collection[str]) -> None:
        """Fill columns of the rows that are there, and let the account read them; all of it or nothing."""
        if self._known_columns and self._known_columns >= set(wanted):
            return
        with self._locked() as connection:
            columns, groups = self._loaded(connection)
            fixed, _ = self._columns(connection)
            new = [
                each.name
                for each in self.table.attributes
                if each.name not in columns and (each.name in wanted or each.name in fixed)
            ]
            if new:
                path = self._bring(groups, new) if groups else Path(self.table.file)
                with entering_rows(connection, path) as cursor:
                    if groups:
                        self._fill_groups(cursor, path, sorted(groups), new)
                    self._note(cursor, "loaded_column", new)
                    self._grant(cursor, columns | set(new))
            self._known_columns = columns | set(new)

    def enter(self, wanted: Collection[int]) -> None:
        """Enter the rows of row groups with the columns that are loaded; each group or nothing of it."""
        if self._known_groups >= set(wanted):
            return
        self.fill_in(())
        with self._locked() as connection:
            columns, groups = self._loaded(connection)
            names = [each.name for each in self.table.attributes if each.name in columns]
            if new := sorted(set(wanted) - groups):
                path = self._bring(new, names)
                _, others = self._columns(connection)
                with contextlib.closing(opened_file(self.folder, self.table, path, self.n_rows)) as file:
                    for number in new:
                        self._enter(connection, file, path, number, names, others)
                with connection.cursor() as cursor:
                    cursor.execute(f"ANALYZE {full_name(self.folder, self.table)}")
            self._known_groups = groups | set(new)

    def _grant(self, cursor: Any, columns: Collection[str]) -> None:
        """Let the account read columns that are loaded, and those that are the same in all rows."""
        place = full_name(self.folder, self.table)
        some = "" if set(columns) >= self.columns else f"({_listed([*columns, *fills_of(self.table)])})"
        cursor.execute(f"GRANT SELECT {some} ON {place} TO {ACCOUNT}")

    def complete(self) -> None:
        """Record that all of it is loaded, so that the next opening has nothing to look up."""
        with owner_connection() as connection, connection.cursor() as cursor:
            marks = marks_schema(self.folder.prefix)
            cursor.execute(
                f'INSERT INTO "{marks}".file VALUES (%s) ON CONFLICT DO NOTHING',  # noqa: S608
                (self.table.file,),
            )

    def _bring(self, groups: Collection[int], columns: Collection[str]) -> Path:
        """Return the file with some columns of row groups, and their rows' keys, as they were published."""
        before = replace(TRAFFIC)
        chunks = [(number, name) for number in groups for name in {*columns, *self._key}]
        spans = [span for chunk in chunks for span in self._spans[chunk]]
        path = self.folder.with_spans(self.table.file, self.known, [*spans, self.known.footer])
        moved = TRAFFIC.since(before)
        logger.info("%s: %d bytes in %d requests", self.table.name, moved.bytes, moved.requests)
        return path

    def _loaded(self, connection: Any) -> tuple[set[str], set[int]]:
        """Return the columns and the row groups that are loaded."""
        marks = marks_schema(self.folder.prefix)
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT name FROM "{marks}".loaded_column WHERE file = %s',  # noqa: S608
                (self.table.file,),
            )
            columns = {str(name) for (name,) in cursor.fetchall()}
            cursor.execute(
                f'SELECT number FROM "{marks}".loaded_group WHERE file = %s',  # noqa: S608
                (self.table.file,),
            )
            return columns, {int(number) for (number,) in cursor.fetchall()}

    def _columns(self, connection: Any) -> tuple[list[str], dict[str, str]]:
        """Return the columns that every row needs from the beginning, and what stands in for others."""
        cursor = connection.cursor()
        place = (f"{self.folder.prefix}{self.table.module}", self.table.table.table_name)
        cursor.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n "
            "ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
            "AND a.attnum = ANY(i.indkey) "
            "WHERE i.indisunique AND (n.nspname, c.relname) = (%s, %s)",
            place,
        )
        fixed = {*self._key, *(str(name) for (name,) in cursor.fetchall())}
        cursor.execute(
            "SELECT column_name, data_type, (SELECT enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = "
            "e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE (t.typname, n.nspname) = "
            "(udt_name, udt_schema) ORDER BY enumsortorder LIMIT 1) FROM information_schema.columns "
            "WHERE is_nullable = 'NO' AND (table_schema, table_name) = (%s, %s)",
            place,
        )
        others = {}
        for name, kind, label in cursor.fetchall():
            value = STANDING_IN.get(kind, label)
            if value is None:
                fixed.add(name)
            others[name] = value
        published = [each.name for each in self.table.attributes]
        return [name for name in published if name in fixed], {
            name: value for name, value in others.items() if name in published and name not in fixed
        }

    def _enter(
        self,
        connection: Any,
        file: parquet.ParquetFile,
        path: Path,
        number: int,
        names: list[str],
        others: dict[str, str],
    ) -> None:
        """Enter the rows of a row group with some columns."""
        rest = {name: value for name, value in others.items() if name not in names}
        filled: dict[str, str | None] = {**fills_of(self.table), **rest}
        with entering_rows(connection, path) as cursor:
            columns = _listed([*names, *filled])
            statement = f"COPY {full_name(self.folder, self.table)} ({columns}) FROM STDIN"
            self._copy(cursor, statement, file, path, number, names, list(filled.values()))
            self._note(cursor, "loaded_group", [number])

    def _fill_groups(self, cursor: Any, path: Path, groups: Collection[int], names: list[str]) -> None:
        """Fill columns of rows that are there."""
        place, both = full_name(self.folder, self.table), [*self._key, *names]
        taken = ", ".join(f'"{name}" = filling."{name}"' for name in names)
        same = " AND ".join(f'own."{name}" = filling."{name}"' for name in self._key)
        cursor.execute(
            f"CREATE TEMPORARY TABLE filling ON COMMIT DROP AS SELECT {_listed(both)} FROM {place} "  # noqa: S608
            "WHERE false"
        )
        with contextlib.closing(opened_file(self.folder, self.table, path, self.n_rows)) as file:
            for number in groups:
                cursor.execute("TRUNCATE filling")
                self._copy(cursor, "COPY filling FROM STDIN", file, path, number, both, [])
                cursor.execute(f"UPDATE {place} AS own SET {taken} FROM filling WHERE {same}")  # noqa: S608
                if cursor.rowcount != self.about.row_group(number).num_rows:
                    raise InvalidContentError(path, f"Rows of its row group {number} are not there.", REPAIR)

    def _copy(
        self,
        cursor: Any,
        statement: str,
        file: parquet.ParquetFile,
        path: Path,
        number: int,
        names: list[str],
        rest: list[str | None],
    ) -> None:
        attributes = {each.name: each for each in self.table.attributes}
        for piece in file.iter_batches(ROWS_AT_A_TIME, row_groups=[number], columns=names, use_threads=False):
            texts = [column_texts(path, attributes[name], piece[name]) for name in names]
            cursor.copy_expert(statement, io.BytesIO(copy_lines(texts, rest)))

    def _note(self, cursor: Any, kind: str, loaded: Iterable[str | int]) -> None:
        marks = marks_schema(self.folder.prefix)
        rows = [(self.table.file, each) for each in loaded]
        cursor.executemany(f'INSERT INTO "{marks}".{kind} VALUES (%s, %s)', rows)  # noqa: S608


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _may_have(chunk: Any, attribute: Any, values: Collection[str]) -> bool:
    """Return whether a column chunk may have one of some values.

    Only whole numbers and texts are compared: other types have several ways to be written, and a type of a
    fixed length has blanks that a comparison leaves out.
    """
    kind = str(attribute.original_type or attribute.type)
    try:
        statistics = chunk.statistics
        if statistics is None or not statistics.has_min_max:
            return True
        low, high = statistics.min, statistics.max
        if isinstance(low, int) and not isinstance(low, bool):
            return any(low <= int(value) <= high for value in values)
        if isinstance(low, str) and kind.startswith(("varchar", "enum")):
            return any(low.encode() <= value.encode() <= high.encode() for value in values)
    except ValueError:
        pass  # it cannot be told
    return True
