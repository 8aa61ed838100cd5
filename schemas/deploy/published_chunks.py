"""The large tables of a published folder: what a query needs of them is loaded when it asks.

The rows of a row group are entered when a statement's plan could read them, with the columns that it names;
other columns are filled in when a statement names them. Until then they hold what no statement reads
(`schemas.deploy.scanned`). A table whose parts have no published hashes is loaded as a whole.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import parquet

from schemas.bases.publication import PublishedTable, chunk_span
from schemas.deploy.published import (
    EPOCH,
    REPAIR,
    ROWS_AT_A_TIME,
    Waiting,
    _fills,
    _full_name,
    _lock,
    _marks,
    _opened,
    _owner,
    _texts,
    entering_rows,
    published_rows,
)
from schemas.deploy.scanned import Plan, Restriction, has_star, planned, words_of
from schemas.rows.copy_text import copy_lines
from schemas.server.published import ChunkHashes, PublishedFolder, Span
from vbn.errors import InvalidContentError
from vbn.web.client import TRAFFIC, Traffic

logger = logging.getLogger(__name__)

Chunk = tuple[int, str]
"""A row group, and a column."""

NO_ROWS = re.compile(r"\sLIMIT 0\s*$")
"""Statements whose conditions are only looked at: our queries check them so before others are asked."""

STANDING_IN = {
    "boolean": "f", "bytea": r"\\x", "character": "", "character varying": "", "text": "", "date": EPOCH,
    "timestamp without time zone": EPOCH, "timestamp with time zone": EPOCH, "json": "null", "jsonb": "null",
    "uuid": "00000000-0000-0000-0000-000000000000",
} | dict.fromkeys(("smallint", "integer", "bigint", "real", "double precision", "numeric"), "0")  # fmt: skip
"""Values of columns that must have one, by type, until their own are loaded."""


class WaitingChunks(Waiting):
    """The tables that are not loaded yet, or not in all parts; parameters as of `Waiting`."""

    def __init__(
        self, published: PublishedFolder, tables: dict[str, PublishedTable], absent: dict[str, str]
    ) -> None:
        super().__init__(published, tables, absent)
        self._done: set[int] = set()
        self._parts: dict[str, _TableParts | None] = {}

    def load_for(self, statement: str, names: list[str]) -> None:
        """Load the small tables that a statement names, and of large ones the parts that it reads."""
        if hash(statement) in self._done or NO_ROWS.search(statement):
            return
        super().load([name for name in names if self._parts_of(name) is None])
        if parts := [found for name in names if (found := self._parts_of(name)) is not None]:
            with _owner() as connection:
                with connection.cursor() as cursor:
                    plan = planned(cursor, statement)
                for each in parts:
                    each.load(connection, each.needed(statement, plan))
        self._done.add(hash(statement))

    def load(self, names: list[str]) -> None:
        """Load tables completely."""
        super().load([name for name in names if self._parts_of(name) is None])
        for name in names:
            if (found := self._parts_of(name)) is not None:
                with _owner() as connection:
                    found.load(connection, found.all_chunks())
                    found.complete(connection)
                self.tables.pop(name)

    def _parts_of(self, name: str) -> _TableParts | None:
        """Return the parts of a table; None if it is loaded as a whole."""
        if name not in self._parts:
            table = self.tables[name]
            known = self._published.chunk_hashes(table.file)
            n_rows = published_rows(self._published).get(table.file, 0) if known else 0
            self._parts[name] = _TableParts(self._published, table, known, n_rows) if known else None
        return self._parts[name]


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

    @cached_property
    def about(self) -> parquet.FileMetaData:
        """The footer of its file."""
        path = self.folder.with_spans(self.table.file, self.known, [self.known.footer])
        with contextlib.closing(_opened(self.folder, self.table, path, self.n_rows)) as file:
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

    def all_chunks(self) -> set[Chunk]:
        """Return all of its chunks."""
        return set(self._spans)

    def needed(self, statement: str, plan: Plan | None) -> set[Chunk]:
        """Return the chunks that a statement reads, columns apart that every row needs to be entered."""
        place = _full_name(self.folder, self.table)
        words = words_of(statement)
        columns = {each.name for each in self.table.attributes}
        if plan is None:
            groups: Iterable[int] = range(self.about.num_row_groups)
            columns &= columns if has_star(statement) else words
        else:
            found = plan.of(place)
            if not found:
                return set()
            groups = {number for each in found for number in self._groups(each)}
            columns &= plan.words if has_star(statement) else plan.words & words
        return {(number, name) for number in groups for name in {*columns, self._key[0]}}

    def _groups(self, restriction: Restriction) -> Iterator[int]:
        """Yield the row groups that may have rows of a restriction."""
        for number in range(self.about.num_row_groups):
            group = self.about.row_group(number)
            chunks = (group.column(column) for column in range(group.num_columns))
            if all(
                _may_have(chunk.statistics, restriction[chunk.path_in_schema])
                for chunk in chunks
                if chunk.path_in_schema in restriction
            ):
                yield number

    @property
    def _key(self) -> list[str]:
        return [str(name) for name in self.table.table().primary_key]

    def load(self, connection: Any, wanted: Collection[Chunk]) -> None:
        """Load chunks that are not loaded yet, and of rows that are new what every row needs."""
        if not wanted:
            return
        with _lock(connection, f"{self.folder.prefix}{self.table.file}"), connection.cursor() as cursor:
            loaded = self._loaded(cursor)
            if not set(wanted) - loaded:
                return
            fixed, others = self._columns(cursor)
            new = {number for number, _ in wanted if (number, self._key[0]) not in loaded}
            chunks = {*wanted, *((number, name) for number in new for name in fixed)} - loaded
            path = self._bring(chunks)
            with contextlib.closing(_opened(self.folder, self.table, path, self.n_rows)) as file:
                for number in sorted({number for number, _ in chunks}):
                    names = [each.name for each in self.table.attributes if (number, each.name) in chunks]
                    if number in new:
                        self._enter(connection, file, path, number, names, others)
                    else:
                        self._fill_in(connection, file, path, number, names)
        if new:
            with connection.cursor() as cursor:
                cursor.execute(f"ANALYZE {_full_name(self.folder, self.table)}")

    def complete(self, connection: Any) -> None:
        """Record that all chunks are loaded, so that the next opening has nothing to look up."""
        with connection.cursor() as cursor:
            marks = _marks(self.folder.prefix)
            cursor.execute(
                f'INSERT INTO "{marks}".file VALUES (%s) ON CONFLICT DO NOTHING',  # noqa: S608
                (self.table.file,),
            )

    def _bring(self, chunks: Collection[Chunk]) -> Path:
        """Return the file with some chunks, and the keys of their rows, as they were published."""
        before = Traffic(TRAFFIC.requests, TRAFFIC.bytes)
        keys = {(number, name) for number, _ in chunks for name in self._key}
        spans = [span for chunk in {*chunks, *keys} for span in self._spans[chunk]]
        path = self.folder.with_spans(self.table.file, self.known, [*spans, self.known.footer])
        moved = TRAFFIC.since(before)
        logger.info("%s: %d bytes in %d requests", self.table.name, moved.bytes, moved.requests)
        return path

    def _loaded(self, cursor: Any) -> set[Chunk]:
        marks = _marks(self.folder.prefix)
        statement = f'SELECT row_group, name FROM "{marks}".chunk WHERE file = %s'  # noqa: S608
        cursor.execute(statement, (self.table.file,))
        return {(int(number), str(name)) for number, name in cursor.fetchall()}

    def _columns(self, cursor: Any) -> tuple[list[str], dict[str, str]]:
        """Return the columns that every row needs from the beginning, and what stands in for others."""
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
        filled: dict[str, str | None] = {**_fills(self.table), **rest}
        with entering_rows(connection, path) as cursor:
            columns = _listed([*names, *filled])
            statement = f"COPY {_full_name(self.folder, self.table)} ({columns}) FROM STDIN"
            self._copy(cursor, statement, file, path, number, names, list(filled.values()))
            self._note(cursor, number, names)

    def _fill_in(
        self, connection: Any, file: parquet.ParquetFile, path: Path, number: int, names: list[str]
    ) -> None:
        """Fill columns of rows that are there."""
        place, both = _full_name(self.folder, self.table), [*self._key, *names]
        with entering_rows(connection, path) as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE filling ON COMMIT DROP AS SELECT {_listed(both)} FROM {place} "  # noqa: S608
                "WHERE false"
            )
            self._copy(cursor, "COPY filling FROM STDIN", file, path, number, both, [])
            taken = ", ".join(f'"{name}" = filling."{name}"' for name in names)
            same = " AND ".join(f'own."{name}" = filling."{name}"' for name in self._key)
            cursor.execute(f"UPDATE {place} AS own SET {taken} FROM filling WHERE {same}")  # noqa: S608
            if cursor.rowcount != self.about.row_group(number).num_rows:
                raise InvalidContentError(path, f"Rows of its row group {number} are not there.", REPAIR)
            self._note(cursor, number, names)

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
            texts = [_texts(path, attributes[name], piece[name]) for name in names]
            cursor.copy_expert(statement, io.BytesIO(copy_lines(texts, rest)))

    def _note(self, cursor: Any, number: int, names: list[str]) -> None:
        marks = _marks(self.folder.prefix)
        rows = [(self.table.file, number, name) for name in names]
        cursor.executemany(f'INSERT INTO "{marks}".chunk VALUES (%s, %s, %s)', rows)  # noqa: S608


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _may_have(statistics: Any, values: Collection[str]) -> bool:
    """Return whether a column chunk may have one of some values."""
    if statistics is None or not statistics.has_min_max:
        return True
    low, high = statistics.min, statistics.max
    try:
        if isinstance(low, int) and not isinstance(low, bool):
            return any(low <= int(value) <= high for value in values)
        if isinstance(low, str):
            return any(low.encode() <= value.encode() <= high.encode() for value in values)
    except ValueError:
        pass
    return True
