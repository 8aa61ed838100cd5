"""Whether the database has what a published folder has: rows of one session, or rows that sessions share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from populate.admin.snapshot import Snapshot
from populate.adoption.folder import FolderTable
from populate.output.publish.rows import RowReader
from schemas.bases.publication import is_stored_array
from schemas.rows.copy_text import curve_arrays

Key = dict[str, Any]


def present_rows(snapshot: Snapshot, table: FolderTable, key: Key, published: Callable[..., Any]) -> pa.Table:
    """Return the rows of a table with a key as they would be published, in the order of the primary key.

    Parameters
    ----------
    snapshot : the moment at which they are read.
    table : the folder's table, whose columns and types they get.
    key : restriction.
    published : called with the path of each array and DataJoint's reference to it.

    Raises
    ------
    ValueError
        If an array has another type or length than the folder's.
    """
    return RowReader(table.published, table.layout, published).read(snapshot, key)


def differing_tables(snapshot: Snapshot, tables: Iterable[FolderTable], key: Key) -> list[str]:
    """Return the names of the tables of which database and folder have other rows of a session.

    Arrays in the store count by shape and type; columns that are not published do not count.
    """
    return [each.name for each in tables if not _is_same(snapshot, each, key)]


def _is_same(snapshot: Snapshot, table: FolderTable, key: Key) -> bool:
    try:
        here = present_rows(snapshot, table, key, lambda _path, _reference: None)
    except ValueError:
        return False
    batches = list(table.batches([key["session_id"]]))
    there = pa.Table.from_batches(batches).cast(table.layout) if batches else table.layout.empty_table()
    order = [(name, "ascending") for name in table.table.primary_key]
    there = bare_notes(there.sort_by(order), table)
    return len(here) == len(there) and all(_is_equal(here[name], there[name]) for name in table.layout.names)


def _is_equal(here: pa.ChunkedArray, there: pa.ChunkedArray) -> bool:
    """Return whether two columns are the same; NaN in curves is the same as NaN."""
    if not (pa.types.is_list(here.type) or pa.types.is_fixed_size_list(here.type)):
        return bool(here.equals(there))
    if not len(here):
        return True
    own, others = curve_arrays(here.combine_chunks()), curve_arrays(there.combine_chunks())
    return all(map(_is_equal_curve, own, others))


def _is_equal_curve(own: np.ndarray | None, other: np.ndarray | None) -> bool:
    if own is None or other is None:
        return own is other
    return (own.dtype, own.shape) == (other.dtype, other.shape) and own.tobytes() == other.tobytes()


def bare_notes(rows: pa.Table, table: FolderTable) -> pa.Table:
    """Return rows whose notes of arrays do not say whether these were published."""
    for attribute in table.published.attributes:
        if is_stored_array(attribute):
            number = rows.schema.get_field_index(attribute.name)
            notes = pa.array([_bare(note) for note in rows[attribute.name].to_pylist()], pa.string())
            rows = rows.set_column(number, rows.schema.field(number), notes)
    return rows


def _bare(note: str | None) -> str | None:
    if note is None:
        return None
    return json.dumps({name: value for name, value in json.loads(note).items() if name != "sha256"})


class SharedRows:
    """What the database has of a table whose rows belong to no session, to be compared with the folder's.

    Parameters
    ----------
    snapshot : the moment at which rows are read.
    table : the folder's table.
    """

    def __init__(self, snapshot: Snapshot, table: FolderTable) -> None:
        self._table = table
        self._rows = present_rows(snapshot, table, {}, lambda _path, _reference: None)
        columns = [self._rows[name].to_pylist() for name in table.table.primary_key]
        self._places = {key: place for place, key in enumerate(zip(*columns, strict=True))}

    def compared(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, tuple[Key, Any, Any]]]:
        """Return the rows that the database lacks, and of each column the first value that differs.

        Returns
        -------
        rows
            Of the batch.
        differences
            Column -> primary key, value here, value in the folder.
        """
        primary = self._table.table.primary_key
        keys = list(zip(*(batch[name].to_pylist() for name in primary), strict=True))
        is_known = [key in self._places for key in keys]
        there = pa.Table.from_batches([batch.filter(pa.array(is_known, pa.bool_()))])
        there = bare_notes(there.cast(self._table.layout), self._table)
        known = [key for key, found in zip(keys, is_known, strict=True) if found]
        here = self._rows.take(pa.array([self._places[key] for key in known], pa.int64()))
        differences: dict[str, tuple[Key, Any, Any]] = {}
        for name in self._table.layout.names:
            if not _is_equal(here[name], there[name]):
                pairs = zip(known, here[name].to_pylist(), there[name].to_pylist(), strict=True)
                key, own, other = next(each for each in pairs if each[1] != each[2])
                differences[name] = (dict(zip(primary, key, strict=True)), own, other)
        return batch.filter(compute.invert(pa.array(is_known, pa.bool_()))), differences
