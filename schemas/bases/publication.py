"""What a published folder holds of each table, for those who write it and those who read it.

Left out are accounts, reservations, errors, folders of this machine, and when its files were registered. Of
the path of a file only its name is published.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from schemas.bases.lab import with_parts
from schemas.bases.registry import modules, schema_module_name
from schemas.rows.arrow import PLAIN_TYPES
from schemas.server.published import TABLES

FORMAT = 1
PRIVATE_MODULES = ("administration", "curation")
"""Modules with the history of a database, and with the lists and notes of people: published if asked for."""

PRIVATE_TABLES = ("AdoptedSession",)
"""Tables about where the rows of a database come from, which are never published."""

LEFT_OUT = (
    "root", "modified_ns", "registered_at", "registered_by", "lfp_root", "lfp_modified_ns",
    "lfp_registered_at", "noticed_at",
)  # fmt: skip
FILE_PATHS = ("relative_path", "lfp_relative_path")

ROW_GROUP_BYTES = 16 * 2**20
"""Estimated size of a row group, before compression: a reader loads one at a time."""

TEXT_BYTES, LIST_BYTES, NESTED_BYTES = 24, 2048, 4096
"""What a value of columns without a fixed width counts: an estimate that no row's content changes."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of a published folder.

    Attributes
    ----------
    module : name of its module, such as ``ecephys``.
    name : name of its class, a part as ``Master.Part``.
    table : the class.
    """

    module: str
    name: str
    table: Any

    @property
    def file(self) -> str:
        """The path of its file below the folder."""
        return f"{TABLES}/{self.module}/{self.name}.parquet"

    @property
    def attributes(self) -> list[Any]:
        """The attributes that are published, in the order of the table."""
        return [each for each in self.table().heading.attributes.values() if each.name not in LEFT_OUT]

    @property
    def sql_name(self) -> str:
        """The name of its view.

        Examples
        --------
        >>> PublishedTable("ecephys", "Recording.Unit", None).sql_name
        'ecephys.Recording_Unit'
        """
        return f"{self.module}.{self.name.replace('.', '_')}"


def published_tables(include: Collection[str] = ()) -> Iterator[PublishedTable]:
    """Yield the tables that are published, in dependency order.

    Parameters
    ----------
    include : private modules that are published, too.
    """
    for module in modules():
        name = schema_module_name(module.schema)
        if name in PRIVATE_MODULES and name not in include:
            continue
        for cls in module.schema.masters:
            if cls.__name__ in PRIVATE_TABLES:
                continue
            for table in with_parts([cls]):
                is_part = table is not cls
                yield PublishedTable(
                    name, f"{cls.__name__}.{table.__name__}" if is_part else cls.__name__, table
                )


def is_stored_array(attribute: Any) -> bool:
    """Return whether an attribute is an array in the store."""
    return bool(attribute.codec and not attribute.is_blob and not _is_packed(attribute))


def is_curve(attribute: Any) -> bool:
    """Return whether an attribute is an array in the row, a ``<blob>``."""
    return bool(attribute.is_blob or (attribute.codec and _is_packed(attribute)))


def _is_packed(attribute: Any) -> bool:
    return bool(attribute.codec.name == "blob" and not attribute.store)


def plain_type(attribute: Any) -> pa.DataType:
    """Return the Arrow type of an attribute that is no array; text, enumerations and JSON are strings."""
    return PLAIN_TYPES.get(attribute.original_type or attribute.type, pa.string())


def list_of(kind: pa.DataType, length: int = -1) -> pa.DataType:
    """Return a type of lists as it comes back from a Parquet file."""
    return pa.list_(pa.field("element", kind), length)


def rows_per_group(layout: pa.Schema) -> int:
    """Return how many rows a row group holds; it follows from the columns alone.

    Examples
    --------
    >>> rows_per_group(pa.schema([("a", pa.int64()), ("b", pa.float64())]))
    1048576
    """
    return max(1, ROW_GROUP_BYTES // max(1, sum(_width(field.type) for field in layout)))


def _width(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    if pa.types.is_list(kind):
        return NESTED_BYTES if pa.types.is_list(kind.value_type) else LIST_BYTES
    if pa.types.is_string(kind):
        return TEXT_BYTES
    return max(1, int(kind.bit_width) // 8)


def chunk_span(chunk: Any) -> tuple[int, int]:
    """Return where a column chunk is in its file: its first byte, and the one after its last.

    Parameters
    ----------
    chunk : what the footer says of it, ``pyarrow.parquet.ColumnChunkMetaData``.
    """
    pages = (chunk.dictionary_page_offset, chunk.data_page_offset)
    start = min(page for page in pages if page is not None)
    return start, start + chunk.total_compressed_size


def array_path(module: str, name: str, key: dict[str, Any], attribute: str) -> str:
    """Return where an array is published, below the folder of arrays: it follows from its row alone.

    Examples
    --------
    >>> array_path("behavior", "Running", {"mouse_id": "7", "session_id": 1}, "speed")
    'behavior/Running/mouse_id=7/session_id=1/speed.npy'
    """
    steps = [f"{column}={quote(str(value), safe='')}" for column, value in key.items()]
    return "/".join([module, name, *steps, f"{attribute}.npy"])


def array_note(path: str, shape: list[int], dtype: str, sha256: str | None) -> str:
    """Return what a column says of an array; without the hash it was not published."""
    note = {"path": path, "shape": shape, "dtype": dtype}
    return json.dumps(note if sha256 is None else {**note, "sha256": sha256})
