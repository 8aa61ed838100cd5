"""Parameter sets and provenance of all tables, as two tables of their own."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from populate.output.publish.describe import TableFile
from populate.output.publish.folder import PublishFolder
from populate.output.publish.parquet_files import write_parquet
from populate.output.publish.rows import column_note
from schemas.bases.parameter_table import ParameterTable
from schemas.bases.provenance import METHOD, PACKAGE, PARAMETERS, SOURCE, MadeWith
from schemas.bases.publication import PublishedTable
from vbn.whole_files import write_whole

MODULE = "provenance"

ParameterSet = PublishedTable(MODULE, "ParameterSet", None)
Entry = PublishedTable(MODULE, "Entry", None)

SETS = {
    "table_name": (pa.string(), "table that the set is a row of"),
    "set_name": (pa.string(), "name of the set, in the keys of what was computed with it"),
    "content": (pa.string(), "the parameters, JSON"),
    "method_version": (pa.int16(), "version of the method"),
    "params_hash": (pa.string(), "sha256 of the content and the version of the method"),
}
ENTRIES = {
    "table_name": (pa.string(), "table that the entry is a row of"),
    "entry": (pa.string(), "its primary key, JSON"),
    PACKAGE: (pa.string(), "version of vbn-datajoint that made the entry"),
    METHOD: (pa.int16(), "version of the method"),
    PARAMETERS: (pa.string(), "sha256 of the parameter sets, of several sets that of their hashes, or empty"),
    SOURCE: (pa.string(), "blake2b of the NWB file that it was made from, or size:bytes, or a joint hash"),
}


def write_tables(target: PublishFolder, files: Sequence[TableFile]) -> list[TableFile]:
    """Write both tables unless they are there with the same content; return them.

    Parameters
    ----------
    target : the folder.
    files : the files of the other tables, in their places.
    """
    sets = _table(SETS, "One parameter set", "table_name set_name", _sets(files))
    entries = _table(ENTRIES, "What one entry was made with", "table_name entry", _entries(files))
    return [_written(target, ParameterSet, sets), _written(target, Entry, entries)]


def _written(target: PublishFolder, published: PublishedTable, rows: pa.Table) -> TableFile:
    content = io.BytesIO()
    write_parquet(content, rows.schema, [rows])
    path = target.path / published.file
    if not path.is_file() or path.read_bytes() != content.getvalue():
        target.claim([published.file])
        target.open_for_change()
        write_whole(path, content.getvalue())
    return TableFile(published, rows.schema, rows.num_rows, path)


def _table(
    columns: dict[str, tuple[pa.DataType, str]], meaning: str, key: str, rows: Iterator[tuple[Any, ...]]
) -> pa.Table:
    fields = [
        pa.field(name, kind, False, metadata=column_note(comment))
        for name, (kind, comment) in columns.items()
    ]
    layout = pa.schema(fields, metadata={"meaning": meaning, "primary_key": key})
    values = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [pa.array(each, field.type) for each, field in zip(values, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=layout)


def _sets(files: Sequence[TableFile]) -> Iterator[tuple[Any, ...]]:
    for file in sorted(files, key=lambda each: each.published.name):
        table = file.published.table
        if not issubclass(table, ParameterTable):
            continue
        prefix = table.prefix()
        ends = [f"{prefix}_version", f"{prefix}_hash"]
        for row in parquet.read_table(file.path, partitioning=None).to_pylist():
            name, *stamps = (row.pop(column) for column in (table.key_name(), *ends))
            content = row.get(f"{prefix}_content") or json.dumps(row, sort_keys=True)
            yield file.published.name, name, content, *stamps


def _entries(files: Sequence[TableFile]) -> Iterator[tuple[Any, ...]]:
    for file in sorted(files, key=lambda each: each.published.name):
        table = file.published.table
        if not issubclass(table, MadeWith):
            continue
        key = list(table.primary_key)
        names = [f"{table.provenance_prefix()}_{end}" for end in (PACKAGE, METHOD, PARAMETERS, SOURCE)]
        rows = parquet.read_table(file.path, columns=[*key, *names], partitioning=None)
        keys = (json.dumps(row) for row in rows.select(key).to_pylist())
        for entry, *row in zip(keys, *(rows[name].to_pylist() for name in names), strict=True):
            yield file.published.name, entry, *row
