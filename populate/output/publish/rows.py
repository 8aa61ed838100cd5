"""The rows of a table as they are published: types, and the server's values as Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from populate.admin.snapshot import Snapshot
from populate.output.publish.fingerprints import Fingerprint
from schemas.bases.publication import (
    FILE_PATHS,
    PublishedTable,
    array_note,
    array_path,
    is_curve,
    is_stored_array,
    list_of,
    plain_type,
)
from schemas.rows.arrow import columns_of
from schemas.server.datajoint import decode_attribute, dj
from schemas.server.datajoint.by_columns import decoded_values

PublishArray = Callable[[str, Any], str | None]
"""From an array's place in the folder, and DataJoint's reference, to its SHA-256; None if not published."""


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of one table.

    Attributes
    ----------
    published : the table.
    layout : names and types of the columns, with their meanings.
    publish_array : called for each array in the store.
    where : condition on the rows, in SQL; empty for all.
    """

    published: PublishedTable
    layout: pa.Schema
    publish_array: PublishArray
    where: str = ""

    def read(self, snapshot: Snapshot, key: Mapping[str, Any]) -> pa.Table:
        """Return the rows with a key, in the order of the primary key, which is the same on every server."""
        query = self._query() & dict(key)
        plain = {column.name: column for column in columns_of(query.proj(*self._plain_names()))}
        heading, attributes = query.heading, query.heading.attributes
        primary = self.published.table.primary_key
        batches = []
        for rows in snapshot.stream(query.make_sql()):
            values = dict(zip(heading.names, zip(*rows, strict=True), strict=True))
            arrays: list[pa.Array] = []
            for field in self.layout:
                attribute = attributes[field.name]
                if field.name in plain:
                    array = plain[field.name].array(self._named(field.name, values[field.name]))
                elif is_stored_array(attribute):
                    keys = zip(*map(values.get, primary), strict=True)
                    array = pa.array(self._notes(attribute, keys, values[field.name]), pa.string())
                else:
                    curves = decoded_values(attribute, values[field.name], query.connection)
                    array = list_array(curves, field.type)
                arrays.append(array)
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=self.layout))
        found = pa.Table.from_batches(batches, self.layout)
        return found.sort_by([(name, "ascending") for name in primary]).combine_chunks()

    def _query(self) -> Any:
        query = self.published.table() & self.where if self.where else self.published.table()
        return query.proj(*(each.name for each in self.published.attributes))

    def _plain_names(self) -> list[str]:
        return [
            each.name
            for each in self.published.attributes
            if not is_stored_array(each) and not is_curve(each)
        ]

    def _named(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """Return values, of the paths of files the last part only."""
        return [PurePosixPath(value).name for value in values] if name in FILE_PATHS else values

    def _notes(
        self, attribute: Any, keys: Iterable[tuple[Any, ...]], values: Sequence[Any]
    ) -> list[str | None]:
        notes: list[str | None] = []
        primary = self.published.table.primary_key
        for each, value in zip(keys, values, strict=True):
            if value is None:
                notes.append(None)
                continue
            key = dict(zip(primary, each, strict=True))
            reference = decode_attribute(attribute, value, connection=self.published.table.connection)
            path = array_path(self.published.module, self.published.name, key, attribute.name)
            digest = self.publish_array(path, reference)
            notes.append(array_note(path, list(map(int, reference.shape)), str(reference.dtype), digest))
        return notes


def _decoded(attribute: Any, value: Any, query: Any) -> Any:
    return None if value is None else decode_attribute(attribute, value, connection=query.connection)


def layout_of(
    published: PublishedTable,
    found: Mapping[Any, Fingerprint],
    comments: Mapping[str, str],
    about: Mapping[str, str],
) -> pa.Schema:
    """Return the columns of a table; they follow from its rows, not from which of them were read first.

    Parameters
    ----------
    published : the table.
    found : its fingerprints, which have the sizes of its arrays.
    comments : column -> meaning.
    about : metadata of the whole.
    """
    primary = set(published.table.primary_key)
    fields = []
    for attribute in published.attributes:
        kind = pa.string() if is_stored_array(attribute) else plain_type(attribute)
        if is_curve(attribute):
            spans = [each.sizes[attribute.name] for each in found.values() if each.sizes.get(attribute.name)]
            kind = _type_of_curves(published, attribute, [span for span in spans if span])
        nullable = attribute.name not in primary and attribute.nullable
        fields.append(
            pa.field(attribute.name, kind, nullable, metadata=column_note(comments[attribute.name]))
        )
    return pa.schema(fields, metadata=dict(about))


def column_note(comment: str) -> dict[str, str]:
    """Return the metadata of a column: its unit and meaning.

    Examples
    --------
    >>> column_note("(Hz) rate")
    {'unit': 'Hz', 'meaning': 'rate'}
    >>> column_note("a name")
    {'unit': '', 'meaning': 'a name'}
    """
    unit, closed, meaning = comment[1:].partition(") ")
    if comment.startswith("(") and closed:
        return {"unit": unit, "meaning": meaning}
    return {"unit": "", "meaning": comment}


def _type_of_curves(published: PublishedTable, attribute: Any, spans: list[tuple[int, int]]) -> pa.DataType:
    """Return the type of the arrays in a column: of a fixed length if all are curves of one."""
    if not spans:
        return list_of(pa.float32())
    name = attribute.name
    first = (published.table() & f"{name} IS NOT NULL").proj(name) & dj.Top(1)
    array = _decoded(attribute, first.cursor().fetchall()[0][-1], first)
    sizes = {size for span in spans for size in span}
    kind = pa.from_numpy_dtype(array.dtype)
    if array.ndim == 1 and kind == pa.float32() and len(sizes) == 1 and len(array):  # Arrow has none of 0
        return list_of(kind, len(array))
    for _ in range(array.ndim):
        kind = list_of(kind)
    return kind


def list_array(arrays: Sequence[np.ndarray | None], kind: pa.DataType) -> pa.Array:
    """Return arrays as an Arrow array of lists, nested for matrices; None is null.

    Raises
    ------
    ValueError
        If an array has another type or length than the column.
    """
    inner = kind.value_type
    if pa.types.is_list(inner):
        rows = list_array([row for array in arrays if array is not None for row in array], inner)
        return _listed(arrays, rows, kind)
    dtype = inner.to_pandas_dtype()
    if pa.types.is_fixed_size_list(kind):
        filled = [np.zeros(kind.list_size, dtype) if array is None else array for array in arrays]
        flat = np.concatenate(filled)
        if flat.dtype != dtype or {len(each) for each in filled} != {kind.list_size}:
            raise ValueError(f"An array is not of {kind.list_size} {np.dtype(dtype)}.")
        mask = pa.array([array is None for array in arrays], pa.bool_())
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind, mask=mask)
    flat = np.concatenate([np.empty(0, dtype), *(array for array in arrays if array is not None)])
    if flat.dtype != dtype:
        raise ValueError(
            f"The arrays of one column have different types: {np.dtype(dtype)} and {flat.dtype}."
        )
    return _listed(arrays, pa.array(flat), kind)


def _listed(arrays: Sequence[np.ndarray | None], items: pa.Array, kind: pa.DataType) -> pa.Array:
    lengths = [0 if array is None else len(array) for array in arrays]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    mask = pa.array([array is None for array in arrays], pa.bool_())
    return pa.ListArray.from_arrays(offsets, items, type=kind, mask=mask)
