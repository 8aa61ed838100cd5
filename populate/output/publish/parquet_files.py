"""One table as one Parquet file, whose bytes follow from its rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from schemas.bases.publication import rows_per_group


def write_parquet(path: Any, layout: pa.Schema, sessions: Iterable[pa.Table]) -> None:
    """Write the rows of each session, small ones together in a row group, large ones in groups of their own.

    Parameters
    ----------
    path : the file, or a stream.
    layout : the columns.
    sessions : the rows of each session, in the order of the primary key.
    """
    texts = [each.name for each in layout if pa.types.is_string(each.type)]
    with parquet.ParquetWriter(path, layout, compression="zstd", use_dictionary=texts) as writer:
        for rows in _groups(sessions, rows_per_group(layout)):
            # Pages end where chunks do: one chunk, wherever the rows came from.
            writer.write_table(rows.combine_chunks(), row_group_size=max(1, rows.num_rows))


def _groups(sessions: Iterable[pa.Table], limit: int) -> Iterator[pa.Table]:
    gathered: list[pa.Table] = []
    count = 0
    for rows in sessions:
        if gathered and count + rows.num_rows > limit:
            yield pa.concat_tables(gathered)
            gathered, count = [], 0
        if rows.num_rows > limit:
            yield from (rows.slice(start, limit) for start in range(0, rows.num_rows, limit))
        elif rows.num_rows:
            gathered.append(rows)
            count += rows.num_rows
    if gathered:
        yield pa.concat_tables(gathered)


class FormerRows:
    """The rows that a file holds of each session, read in its order.

    Parameters
    ----------
    path : the file.
    n_rows : session -> number of rows, in the order of the file.
    """

    def __init__(self, path: Path, n_rows: Mapping[Any, int]) -> None:
        self._file = parquet.ParquetFile(path)
        self.layout: pa.Schema = self._file.schema_arrow
        self._spans: dict[Any, tuple[int, int]] = {}
        start = 0
        for session, count in n_rows.items():
            self._spans[session] = (start, start + count)
            start += count
        self._starts = [0]
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._held: tuple[int, pa.Table] | None = None

    def of(self, session: Any) -> pa.Table:
        """Return the rows of a session."""
        start, stop = self._spans[session]
        parts = []
        for group, first in enumerate(self._starts[:-1]):
            last = self._starts[group + 1]
            if first < stop and start < last:
                rows = self._group(group)
                low, high = max(start, first) - first, min(stop, last) - first
                parts.append(rows.slice(low, high - low))
        return pa.concat_tables(parts) if parts else self.layout.empty_table()

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = (number, self._file.read_row_group(number))
        return self._held[1]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
