"""The tables of a published folder, all of them checked before a row of any is used."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet
from tqdm import tqdm

from populate.adoption.values import checked_rows, strict_json
from schemas.bases.publication import PublishedTable, published_tables
from schemas.deploy.published import UNUSABLE, opened_table, published_rows, rows_at_a_time
from schemas.server.published import MANIFEST, REPAIR, PublishedFolder
from vbn.errors import InvalidContentError, shortened

ROWS_AT_A_TIME = 5_000
PAIRED = ("familiar_session_id", "novel_session_id")
"""Columns of tables whose rows belong to two sessions."""

LONGEST_VERSION = 64


class FolderTable:
    """The file of one table, which stays open: what was checked is what is read.

    Parameters
    ----------
    folder : the published folder.
    published : the table.
    n_rows : number of rows by the manifest.
    """

    def __init__(self, folder: PublishedFolder, published: PublishedTable, n_rows: int) -> None:
        self.published, self.path = published, folder.folder / published.file
        self._file: parquet.ParquetFile = opened_table(folder, published, n_rows)

    @property
    def name(self) -> str:
        """The name of the table's class."""
        return self.published.name

    @property
    def table(self) -> Any:
        """The class of the table."""
        return self.published.table

    @cached_property
    def columns(self) -> set[str]:
        """The names of the columns."""
        return set(self.layout.names)

    @cached_property
    def layout(self) -> pa.Schema:
        """The columns as they were published."""
        return parquet.read_schema(self.path)

    @cached_property
    def session_columns(self) -> tuple[str, ...]:
        """The columns that name the sessions of a row; none where rows belong to no session."""
        key = self.table.primary_key
        return tuple(name for name in ("session_id", *PAIRED) if name in key)

    def rows(self, sessions: Collection[int] | None = None) -> Iterator[list[dict[str, Any]]]:
        """Yield rows, a few thousand at a time, as `checked_rows` does.

        Parameters
        ----------
        sessions : only rows all of whose sessions are among these; None for all.
        """
        for batch in self.batches(sessions):
            if found := checked_rows(batch, self.published, self.path):
                yield found

    def batches(self, sessions: Collection[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the same as Arrow has it."""
        groups = None if sessions is None else self._groups_of(sessions)
        if groups == []:
            return
        chosen = pa.array(sorted(sessions or ()), pa.int64())
        try:
            size = min(ROWS_AT_A_TIME, rows_at_a_time(self._file.metadata))
            for batch in self._file.iter_batches(size, row_groups=groups, use_threads=False):
                for name in self.session_columns if sessions is not None else ():
                    batch = batch.filter(compute.is_in(batch[name], chosen))
                yield batch
        except UNUSABLE as error:
            raise InvalidContentError(
                self.path, f"Its rows cannot be read: {shortened(error, 200)}.", REPAIR
            ) from error

    def _groups_of(self, sessions: Collection[int]) -> list[int]:
        name = self.session_columns[0]
        return [number for number, found in enumerate(self._sessions[name]) if not found.isdisjoint(sessions)]

    @property
    def sessions(self) -> set[int]:
        """The sessions of all rows; of rows that belong to two, the first."""
        return set().union(*(found for groups in self._sessions.values() for found in groups))

    @cached_property
    def _sessions(self) -> dict[str, list[set[int]]]:
        """The sessions of each row group."""
        found: dict[str, list[set[int]]] = {}
        for name in self.session_columns[:1]:
            columns = (
                self._file.read_row_group(number, [name])[name] for number in range(self._file.num_row_groups)
            )
            found[name] = [set(np.unique(column.to_numpy()).tolist()) for column in columns]
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class FolderTables:
    """The tables of a published folder.

    Attributes
    ----------
    published : the folder.
    version : of what was published.
    tables : those that the folder has, in dependency order.
    lacking : names of the tables that it does not have.
    """

    published: PublishedFolder
    version: str
    tables: list[FolderTable]
    lacking: list[str]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path) -> Iterator[FolderTables]:
        """Yield the tables of a folder, whose files have all been compared with their checksums.

        Raises
        ------
        NotFoundError, InvalidContentError, ConflictError
            If the folder or one of its tables cannot be used.
        """
        published = PublishedFolder.read(folder)
        n_rows = published_rows(published)
        version = str(strict_json(published.checked(MANIFEST).read_text()).get("version", ""))
        known = list(published_tables())
        with contextlib.ExitStack() as stack:
            found = []
            for each in tqdm(known, desc="check", unit="table", delay=1, disable=None):
                if each.file in published.checksums:
                    found.append(FolderTable(published, each, n_rows.get(each.file, 0)))
                    stack.callback(found[-1].close)
            names = {each.name for each in found}
            lacking = [each.name for each in known if each.name not in names]
            yield cls(published, version[:LONGEST_VERSION], found, lacking)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.published.folder.name

    def table(self, name: str) -> FolderTable:
        """Return a table by the name of its class.

        Raises
        ------
        InvalidContentError
            If the folder does not have it.
        """
        for each in self.tables:
            if each.name == name:
                return each
        raise InvalidContentError(
            self.published.folder, f"It has no table {name}, without which nothing can be adopted.", REPAIR
        )

    def shared(self) -> list[FolderTable]:
        """Return the tables whose rows belong to no session that is read from a file."""
        return [each for each in self.tables if not each.session_columns]

    def of_sessions(self) -> list[FolderTable]:
        """Return the tables whose rows belong to one session or to two."""
        return [each for each in self.tables if each.session_columns]
