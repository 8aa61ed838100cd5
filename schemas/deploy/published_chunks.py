"""The large tables of a published folder: what a query needs of them is loaded when it asks.

What is loaded of a table are column chunks, into rows of a table of our own. A row knows which of its values
are loaded, and queries read it through a view in which any other is a call of a function that raises an
error. So a value that is not there cannot be part of an answer, whatever plan the server makes; and
PostgreSQL calls it only for columns that the answer depends on, not for those that a subquery merely hands
on.

Before a query is sent, its plan says which columns and row groups it uses (`schemas.deploy.scanned`). Columns
that are loaded in all row groups are read as they are, so that the server knows their statistics; each set of
them has a view of its own, which is never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import parquet

from schemas.bases.publication import PublishedTable, chunk_span
from schemas.deploy.published import (
    REPAIR,
    column_texts,
    entering_rows,
    fills_of,
    full_name,
    locked,
    marks_schema,
    opened_file,
    owner_connection,
    published_rows,
    rows_at_a_time,
)
from schemas.deploy.scanned import Restriction, StatementPlan
from schemas.rows.copy_text import copy_lines
from schemas.server.published import ACCOUNT, ChunkHashes, PublishedFolder, Span
from vbn.errors import InvalidContentError
from vbn.web.client import TRAFFIC

logger = logging.getLogger(__name__)

Chunk = tuple[int, str]
"""A row group, and a column."""

LOADED, ROW_GROUP = "~loaded", "~row_group"
"""Columns of our rows that no table class can have: a bit for each published column, and the row group."""


@dataclass
class TableParts:
    """A large table of a published folder.

    Attributes
    ----------
    folder, table : the folder, and the table.
    """

    folder: PublishedFolder
    table: PublishedTable
    _chunks: set[Chunk] = field(default_factory=set)
    _entered: set[int] = field(default_factory=set)

    @cached_property
    def known(self) -> ChunkHashes:
        """The hashes of its parts."""
        found = self.folder.chunk_hashes(self.table.file)
        assert found is not None  # else it is loaded as a whole
        return found

    @cached_property
    def about(self) -> parquet.FileMetaData:
        """The footer of its file."""
        path = self.folder.with_spans(self.table.file, self.known, [self.known.footer])
        with contextlib.closing(self._opened(path)) as file:
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
    def view(self) -> str:
        """What stands for the table in a query: a view for the columns that are loaded in all row groups."""
        views, whole = self._views, self._whole_columns()
        if whole not in views:
            views[whole] = self._created_view(whole)
        return views[whole]

    @cached_property
    def _views(self) -> dict[frozenset[str], str]:
        self._create()
        return {}

    @property
    def _marks(self) -> str:
        return marks_schema(self.folder.prefix)

    @property
    def _rows(self) -> str:
        return loaded_rows_table(self.folder, self.table)

    @property
    def _key(self) -> list[str]:
        return [str(name) for name in self.table.table().primary_key]

    @property
    def _others(self) -> list[str]:
        """Its published columns that are not of the key, in the order of their bits."""
        return [each.name for each in self.table.attributes if each.name not in self._key]

    def _whole_columns(self) -> frozenset[str]:
        """Return the columns that are loaded in all row groups, as far as this process knows."""
        found: dict[str, int] = defaultdict(int)
        for _, name in self._chunks:
            found[name] += 1
        return frozenset(name for name, number in found.items() if number == self.about.num_row_groups)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Any]:
        """Yield a connection of the owner, while no other process loads parts of the table."""
        with (
            owner_connection() as connection,
            locked(connection, f"{self.folder.prefix}{self.table.file}"),
        ):
            yield connection

    def _create(self) -> None:
        """Create the table for loaded rows, unless it is there; note what is loaded."""
        with self._locked() as connection, connection.cursor() as cursor:
            if not _is_there(cursor, self._rows):
                optional = "".join(f', ALTER COLUMN "{name}" DROP NOT NULL' for name in self._others)
                cursor.execute(  # one transaction
                    f"CREATE TABLE {self._rows} (LIKE {full_name(self.folder, self.table)} INCLUDING INDEXES"
                    f', "{LOADED}" bit({max(1, len(self._others))}), "{ROW_GROUP}" int); '
                    f'ALTER TABLE {self._rows} ALTER COLUMN "{LOADED}" SET NOT NULL{optional}'
                )
            self._note_loaded(connection)

    def _created_view(self, whole: frozenset[str]) -> str:
        """Create the view in which some columns are read as they are, unless it is there; return its name."""
        digest = hashlib.sha256(" ".join([self.table.file, *sorted(whole)]).encode()).hexdigest()
        name = f'"{self._marks}"."view_{digest[:16]}"'
        with self._locked() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = "
                "%s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                (full_name(self.folder, self.table),),
            )
            columns = [self._read(str(column), str(kind), whole) for column, kind in cursor.fetchall()]
            if not _is_there(cursor, name):
                cursor.execute(  # one transaction
                    f"CREATE VIEW {name} AS SELECT {', '.join(columns)} FROM {self._rows} AS loaded; "  # noqa: S608
                    f"GRANT SELECT ON {name} TO {ACCOUNT}"
                )
        return name

    def _read(self, name: str, kind: str, whole: Collection[str]) -> str:
        """Return the expression of a column in a view."""
        if name in whole or name not in self._others:
            return f'loaded."{name}"'
        bit = self._others.index(name)
        return (
            f'CASE WHEN get_bit(loaded."{LOADED}", {bit}) = 1 THEN loaded."{name}" ELSE '
            f'"{self._marks}".not_loaded(\'{self.table.file}:{name}\', NULL::{kind}, loaded."{ROW_GROUP}") '
            f'END AS "{name}"'
        )

    def load_for(self, plan: StatementPlan) -> None:
        """Load what the plan of a query on its view uses."""
        columns = plan.not_loaded.get(self.table.file, frozenset()) & set(self._others)
        self.load(self._groups_of(plan), columns)

    def _groups_of(self, plan: StatementPlan) -> set[int]:
        """Return the row groups of which a plan could use a row."""
        return {number for each in plan.of(self._rows) for number in self._groups(each)}

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

    def load(self, groups: Collection[int], columns: Collection[str]) -> None:
        """Have the rows of row groups with some columns besides their keys: each group, or nothing of it."""
        wanted = {(number, name) for number in groups for name in columns}
        if self._entered >= set(groups) and self._chunks >= wanted:
            return
        with self._locked() as connection:
            self._note_loaded(connection)
            missing = {
                number: [name for name in self._others if (number, name) in wanted - self._chunks]
                for number in sorted(groups)
            }
            missing = {
                number: names for number, names in missing.items() if names or number not in self._entered
            }
            path = self._bring(missing)
            with contextlib.closing(self._opened(path)) as file:
                for number, names in missing.items():
                    self._load_group(connection, file, path, number, names)
            if missing:
                with connection.cursor() as cursor:
                    cursor.execute(f"ANALYZE {self._rows}")
            self._note_loaded(connection)

    def _opened(self, path: Path) -> parquet.ParquetFile:
        n_rows = published_rows(self.folder).get(self.table.file, 0)
        return opened_file(self.folder, self.table, path, n_rows)

    def _bring(self, wanted: dict[int, list[str]]) -> Path:
        """Return the file with some columns of row groups, and their rows' keys, as they were published."""
        before = replace(TRAFFIC)
        chunks = [(number, name) for number, names in wanted.items() for name in [*names, *self._key]]
        spans = [span for chunk in chunks for span in self._spans[chunk]]
        path = self.folder.with_spans(self.table.file, self.known, [*spans, self.known.footer])
        moved = TRAFFIC.since(before)
        logger.info("%s: %d bytes in %d requests", self.table.name, moved.bytes, moved.requests)
        return path

    def _note_loaded(self, connection: Any) -> None:
        """Note which row groups and columns are loaded, by this process and others."""
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT number, name FROM "{self._marks}".chunk WHERE file = %s',  # noqa: S608
                (self.table.file,),
            )
            self._chunks = {(int(number), str(name)) for number, name in cursor.fetchall()}
            cursor.execute(
                f'SELECT number FROM "{self._marks}".row_group WHERE file = %s',  # noqa: S608
                (self.table.file,),
            )
            self._entered = {int(number) for (number,) in cursor.fetchall()}

    def _load_group(
        self, connection: Any, file: parquet.ParquetFile, path: Path, number: int, names: list[str]
    ) -> None:
        """Load columns of a row group, with its rows if they are not there."""
        bits = "".join(str(int(name in names)) for name in self._others) or "0"
        with entering_rows(connection, path) as cursor:
            if number in self._entered:
                self._fill(cursor, file, path, number, names, bits)
            else:
                filled: dict[str, str | None] = {
                    **fills_of(self.table), LOADED: bits, ROW_GROUP: str(number)
                }  # fmt: skip
                columns = _listed([*self._key, *names, *filled])
                statement = f"COPY {self._rows} ({columns}) FROM STDIN"
                self._copy(cursor, statement, file, path, number, [*self._key, *names], list(filled.values()))
                cursor.execute(
                    f'INSERT INTO "{self._marks}".row_group VALUES (%s, %s)',  # noqa: S608
                    (self.table.file, number),
                )
            rows = [(self.table.file, number, name) for name in names]
            cursor.executemany(f'INSERT INTO "{self._marks}".chunk VALUES (%s, %s, %s)', rows)  # noqa: S608

    def _fill(
        self, cursor: Any, file: parquet.ParquetFile, path: Path, number: int, names: list[str], bits: str
    ) -> None:
        """Fill columns of rows that are there."""
        both = [*self._key, *names]
        taken = ", ".join(f'"{name}" = filling."{name}"' for name in names)
        same = " AND ".join(f'own."{name}" = filling."{name}"' for name in self._key)
        cursor.execute(
            f"CREATE TEMPORARY TABLE filling ON COMMIT DROP AS SELECT {_listed(both)} FROM {self._rows} "  # noqa: S608
            "WHERE false"
        )
        self._copy(cursor, "COPY filling FROM STDIN", file, path, number, both, [])
        cursor.execute(
            f'UPDATE {self._rows} AS own SET {taken}, "{LOADED}" = own."{LOADED}" | B\'{bits}\' '  # noqa: S608
            f"FROM filling WHERE {same}"
        )
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
        size = rows_at_a_time(self.about)
        for piece in file.iter_batches(size, row_groups=[number], columns=names, use_threads=False):
            texts = [column_texts(path, attributes[name], piece[name]) for name in names]
            cursor.copy_expert(statement, io.BytesIO(copy_lines(texts, rest)))


def loaded_rows_table(folder: PublishedFolder, table: PublishedTable) -> str:
    """Return the name of the table with the loaded rows of another, in SQL."""
    return f'"{marks_schema(folder.prefix)}"."{table.module}.{table.table.table_name}"'


def _is_there(cursor: Any, place: str) -> bool:
    """Return whether a table or view is on the server."""
    cursor.execute("SELECT to_regclass(%s)", (place,))
    return cursor.fetchone()[0] is not None


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
