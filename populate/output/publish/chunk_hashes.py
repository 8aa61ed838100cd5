"""Hashes of the parts of large tables, by which readers of a part know that it is what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyarrow import parquet

from schemas.bases.publication import chunk_span
from schemas.server.published import PIECE, Span, chunk_list_of

LEAST_BYTES = 2**16
"""Smaller files are read as a whole."""


@dataclass(frozen=True)
class FileHashes:
    """The hash of a table's file, and the list of those of its parts, which is empty for a small one."""

    sha256: str
    chunks: str = ""


def hashes_of(path: Path) -> FileHashes:
    """Return the hashes of a table's file, which is read once."""
    size = path.stat().st_size
    spans = list(spans_of(parquet.read_metadata(path), size)) if size >= LEAST_BYTES else []
    whole, lines, position = hashlib.sha256(), [], 0
    with path.open("rb") as file:
        for start, stop in spans:
            whole.update(file.read(start - position))
            chunk = file.read(stop - start)
            whole.update(chunk)
            lines.append(f"{hashlib.sha256(chunk).hexdigest()} {start} {stop}\n")
            position = stop
        while piece := file.read(PIECE):
            whole.update(piece)
    return FileHashes(whole.hexdigest(), "".join(lines))


def chunk_lists(hashes: Mapping[str, FileHashes]) -> dict[str, str]:
    """Return the content of the lists of hashes of all large tables, by path.

    Parameters
    ----------
    hashes : path of a table's file below the folder -> its hashes.
    """
    return {chunk_list_of(name): each.chunks for name, each in hashes.items() if each.chunks}


def spans_of(about: parquet.FileMetaData, size_bytes: int) -> Iterator[Span]:
    """Yield where the column chunks of a file are, one after another, and at last its footer."""
    groups = (about.row_group(number) for number in range(about.num_row_groups))
    spans = sorted(chunk_span(group.column(each)) for group in groups for each in range(group.num_columns))
    yield from spans
    yield (spans[-1][1] if spans else 4), size_bytes
