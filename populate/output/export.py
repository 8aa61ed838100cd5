"""Exporting tables to files: any table as CSV or Parquet, the results of a session as NWB."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import compute, csv, parquet
from tqdm import tqdm

import schemas
import vbn
from populate.admin.snapshot import Snapshot
from populate.output.explain import find_table
from populate.output.spreadsheet import guarded
from schemas.queries.checks import restrict_all
from schemas.queries.column_comments import column_comments
from schemas.queries.words import our_names
from schemas.rows.arrow import Column, columns_of, record_batch, schema_of
from schemas.server.datajoint import dj
from vbn.errors import SettingError
from vbn.whole_files import whole_file, whole_folder

ROW_GROUP_BYTES = 16 * 2**20
"""Size of the row groups of Parquet files: a reader loads one at a time."""

MOST_OPEN_FILES = 100
"""Of a partitioned table: a process may open about 1,000 files, and ten releases have 1,530 sessions."""

Write = Callable[[pa.Table], None]


def export_table(
    table: str,
    out: Path,
    where: Sequence[str] = (),
    columns: Sequence[str] = (),
    *,
    arrays: bool = False,
    partition_by: str | None = None,
) -> int:
    """Write a table, or a part of it, to a file or a folder of files; return the number of rows.

    The rows are those of one moment, in the order of the primary key. They are written in pieces, so that
    memory use does not grow with their number.

    Parameters
    ----------
    table : name of a table, or ``Master.Part``.
    out : the file, which appears when it is complete; its suffix ``.csv`` or ``.parquet`` selects the format.
        With ``partition_by``, a new folder.
    where : conditions that must all be met, see `schemas.queries.restrict`.
    columns : attributes in the desired order; by default all.
    arrays : write the arrays in the store themselves (Parquet only), rather than where they are.
    partition_by : attribute of the primary key, such as ``session_id``: each value gets its own Parquet file,
        in a Hive-style folder ``session_id=VALUE``; DuckDB, Spark and pyarrow read them as one table.

    Raises
    ------
    NotFoundError, SettingError
        If a table, attribute or value does not exist (with the nearest), if the suffix is another, or if the
        folder exists already.
    """
    writer = _writer_for(out, arrays) if partition_by is None else _partitioned_by(partition_by)
    database = schemas.connect()
    cls = find_table(table)
    query = restrict_all(cls(), list(where))
    columns = our_names("attribute", columns, query.heading.names)
    if partition_by is not None:
        (partition_by,) = our_names("attribute", [partition_by], query.heading.names)
        _require_key(query, partition_by)
        columns = [partition_by, *columns] if columns else columns
    if columns:
        query = query.proj(*columns)
    kept = columns_of(query, arrays)
    about = {
        "table": table,
        "meaning": cls().heading.table_status["comment"],
        "where": " AND ".join(where),
        "database_prefix": database.prefix,
        "package": f"vbn-datajoint {vbn.__version__}",
    }
    comments = column_comments(cls())
    about["columns"] = json.dumps({each.name: comments[each.name] for each in kept})
    layout = schema_of(kept, comments, about)
    names = list(dict.fromkeys(columns)) or layout.names
    whole = whole_file if partition_by is None else whole_folder
    with whole(out) as part, writer(part, _selected(layout, names)) as write:
        return _copy(query, kept, layout, lambda rows: write(rows.select(names)))


def _writer_for(out: Path, arrays: bool) -> Callable[[Path, pa.Schema], Any]:
    suffix = out.suffix.lower()
    if suffix not in WRITERS:
        raise SettingError(f"'{out}' must end in {' or '.join(WRITERS)}.")
    if arrays and suffix == ".csv":
        raise SettingError("Arrays in the store are too large for CSV: name a .parquet file.")
    if out.is_dir():
        raise SettingError(f"'{out}' is a folder: name a file.")
    return WRITERS[suffix]


def _require_key(query: Any, name: str) -> None:
    if name not in query.primary_key:
        raise SettingError(
            f"'{name}' is not in the primary key: partition by one of {', '.join(query.primary_key)}."
        )


def _selected(layout: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([layout.field(name) for name in names], metadata=layout.metadata)


def _copy(query: Any, columns: Sequence[Column], layout: pa.Schema, write: Write) -> int:
    """Write the rows of a query in pieces of bounded size; return their number."""
    ordered = query & dj.Top(limit=None, order_by="KEY")
    gathered: list[pa.RecordBatch] = []
    size = count = 0
    with (
        Snapshot.taken(schemas.connect()) as snapshot,
        tqdm(total=len(query), unit="row", unit_scale=True, disable=not sys.stderr.isatty()) as bar,
    ):
        for rows in snapshot.stream(ordered.make_sql()):
            for piece in _pieces(rows, columns):
                gathered.append(record_batch(piece, columns, layout))
                size += gathered[-1].nbytes
                if size > ROW_GROUP_BYTES:
                    write(pa.Table.from_batches(gathered, layout))
                    gathered, size = [], 0
            count += len(rows)
            bar.update(len(rows))
        if gathered:
            write(pa.Table.from_batches(gathered, layout))
    return count


def _pieces(rows: Sequence[Any], columns: Sequence[Column]) -> Iterator[Sequence[Any]]:
    """Yield the rows together, or one by one if each loads arrays."""
    if any(column.loads for column in columns):
        yield from ([row] for row in rows)
    else:
        yield rows


@contextlib.contextmanager
def _parquet(path: Path, layout: pa.Schema) -> Iterator[Write]:
    with _parquet_writer(path, layout) as writer:
        yield writer.write_table


def _parquet_writer(path: Path, layout: pa.Schema) -> parquet.ParquetWriter:
    texts = [each.name for each in layout if pa.types.is_string(each.type)]
    return parquet.ParquetWriter(path, layout, compression="zstd", use_dictionary=texts)


def _partitioned_by(name: str) -> Callable[[Path, pa.Schema], Any]:
    """Return a writer of a folder, with a file for the rows of each value."""

    @contextlib.contextmanager
    def partitioned(folder: Path, layout: pa.Schema) -> Iterator[Write]:
        inner = layout.remove(layout.get_field_index(name))
        writers: dict[Any, parquet.ParquetWriter] = {}
        n_files: Counter[Any] = Counter()

        def begin(value: Any) -> None:
            if (
                len(writers) == MOST_OPEN_FILES
            ):  # rows are sorted by key: the oldest value is most likely complete
                writers.pop(next(iter(writers))).close()
            place = folder / f"{name}={quote(str(value), safe='')}"
            place.mkdir(exist_ok=True)
            writers[value] = _parquet_writer(place / f"part-{n_files[value]}.parquet", inner)
            n_files[value] += 1

        def write(rows: pa.Table) -> None:
            for value in rows[name].unique().to_pylist():
                if value not in writers:
                    begin(value)
                of_value = rows.filter(compute.equal(rows[name], value))
                writers[value].write_table(of_value.drop_columns(name))

        try:
            yield write
        finally:
            for writer in writers.values():
                writer.close()

    return partitioned


@contextlib.contextmanager
def _csv(path: Path, layout: pa.Schema) -> Iterator[Write]:
    """Write text quoted and guarded against spreadsheets, NULL as an empty cell, lists as JSON."""
    flat = pa.schema(
        [pa.field(each.name, pa.string()) if pa.types.is_list(each.type) else each for each in layout]
    )
    with csv.CSVWriter(path, flat) as writer:

        def write(rows: pa.Table) -> None:
            arrays = [_cells(each) for each in rows.columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=flat))

        yield write


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as written to CSV."""
    if pa.types.is_list(column.type):
        return _as_json(column)
    if not pa.types.is_string(column.type):
        return column
    encoded = column.combine_chunks().dictionary_encode()  # most values of a text column are repeated
    texts = pa.array([guarded(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(encoded.indices)])


def _as_json(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists as JSON text, NaN as null."""
    texts = [
        pa.array(
            [None if each is None else json.dumps(each).replace("NaN", "null") for each in chunk.to_pylist()],
            pa.string(),
        )
        for chunk in lists.chunks
    ]
    return pa.chunked_array(texts, pa.string())


WRITERS = {".csv": _csv, ".parquet": _parquet}


def export_nwb(
    session_id: int, out: Path, tables: Sequence[str] = (), *, with_spikes: bool = True
) -> dict[str, int]:
    """Write the results of a session to a derived NWB file; return the number of rows of each table.

    Parameters
    ----------
    session_id : the session.
    out : the file, ending in ``.nwb``, which appears when it is complete.
    tables : computed tables, ``Psth`` with its parts or ``Psth.Unit`` alone; by default all.
    with_spikes : whether the units have their spike times.

    Raises
    ------
    NotFoundError, SettingError
        If a session or table does not exist or has no results, or if the suffix is another.
    """
    from schemas.queries.derived_session import derived_session
    from vbn.nwb.write_derived import write_derived

    if out.suffix.lower() != ".nwb":
        raise SettingError(f"'{out}' must end in .nwb.")
    schemas.connect()
    session = derived_session(session_id, tables, with_spikes=with_spikes)
    with whole_file(out) as part:
        write_derived(part, session)
    return {table.name: len(table.frame) for table in session.tables if len(table.frame)}
