"""Hashes of the parts of large tables, by which readers of a part know that it is what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyarrow import parquet

from populate.output.publish.describe import TableFile
from schemas.bases.publication import chunk_span
from schemas.server.published import Span, chunk_list_of

LEAST_BYTES = 2**16
"""Smaller files are read as a whole."""


def chunk_lists(files: Sequence[TableFile]) -> dict[str, str]:
    """Return the content of the lists of hashes of all large tables, by path.

    Parameters
    ----------
    files : the files of the tables, in their places.
    """
    return {
        chunk_list_of(each.name): _listed(each.path)
        for each in files
        if each.path.stat().st_size >= LEAST_BYTES
    }


def _listed(path: Path) -> str:
    lines = []
    with path.open("rb") as file:
        for start, stop in spans_of(parquet.read_metadata(path), path.stat().st_size):
            file.seek(start)
            lines.append(f"{hashlib.sha256(file.read(stop - start)).hexdigest()} {start} {stop}\n")
    return "".join(lines)


def spans_of(about: parquet.FileMetaData, size_bytes: int) -> Iterator[Span]:
    """Yield where the column chunks of a file are, and at last its footer."""
    end = 4
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        for column in range(group.num_columns):
            span = chunk_span(group.column(column))
            end = max(end, span[1])
            yield span
    yield end, size_bytes
