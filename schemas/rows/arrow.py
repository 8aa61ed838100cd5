"""Rows of a query as Arrow record batches, with types and column comments.

============================  =====================================================================
in the database               in Arrow
============================  =====================================================================
integers, floats, flags       the same width, with nulls; flags are bool on every server
text, enumerations            string
``datetime(6)``               timestamp in microseconds, UTC
JSON                          string, with sorted keys
``<blob>``                    list of the array's type, list of lists for a matrix (its rows)
``<npy@vbn>``                 string, JSON of path, shape and dtype; or a list, as a blob, if loaded
============================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from schemas.server.datajoint import decode_attribute, dj

PLAIN_TYPES = {
    "bool": pa.bool_(), "boolean": pa.bool_(),
    "int8": pa.int8(), "tinyint": pa.int8(),
    "int16": pa.int16(), "smallint": pa.int16(),
    "int32": pa.int32(), "int": pa.int32(), "integer": pa.int32(),
    "int64": pa.int64(), "bigint": pa.int64(),
    "float32": pa.float32(), "float64": pa.float64(), "double": pa.float64(),
    "datetime(6)": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
NULLABLE_IN_PANDAS = {
    pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64", pa.bool_(): "boolean",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, and how a value of the database is converted to it."""

    name: str
    type: pa.DataType
    nullable: bool
    convert: Callable[[Any], Any] | None = None
    loads: bool = False  # whether arrays are loaded from the store

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Return the server's values as an Arrow array."""
        if self.convert:
            values = [None if value is None else self.convert(value) for value in values]
        return _lists(values, self.type) if pa.types.is_list(self.type) else pa.array(values, self.type)


def columns_of(query: Any, load_arrays: bool = False) -> list[Column]:
    """Return the columns of a query, in its order.

    Parameters
    ----------
    query : query expression.
    load_arrays : whether arrays in the store are loaded, instead of given as references.
    """
    return [_column(query, attribute, load_arrays) for attribute in query.heading.attributes.values()]


def schema_of(columns: Sequence[Column], comments: dict[str, str], about: dict[str, str]) -> pa.Schema:
    """Return the schema of columns.

    Parameters
    ----------
    columns : the columns.
    comments : column -> its comment, stored in the field's metadata.
    about : further metadata of the schema.

    Notes
    -----
    The metadata let pandas read columns that may have NULLs as its nullable types (Int64, boolean), so that
    no integer is rounded.
    """
    of_pandas = {
        each.name: pd.Series(dtype=NULLABLE_IN_PANDAS[each.type])
        for each in columns
        if each.nullable and each.type in NULLABLE_IN_PANDAS
    }
    note = pa.Schema.from_pandas(pd.DataFrame(of_pandas), preserve_index=False).metadata
    fields = [
        pa.field(each.name, each.type, metadata={"comment": comments.get(each.name, "")}) for each in columns
    ]
    return pa.schema(fields, metadata={**note, **about})


def record_batch(rows: Sequence[tuple[Any, ...]], columns: Sequence[Column], schema: pa.Schema) -> Any:
    """Return the server's rows as a record batch."""
    values = zip(*rows, strict=True)
    arrays = [column.array(each) for column, each in zip(columns, values, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(query: Any, attribute: Any, load_arrays: bool) -> Column:
    def column(kind: pa.DataType, convert: Callable[[Any], Any] | None = None, loads: bool = False) -> Column:
        return Column(attribute.name, kind, attribute.nullable, convert, loads)

    def decoded(value: Any) -> Any:
        return decode_attribute(attribute, value, connection=query.connection)

    kind = attribute.original_type or attribute.type
    if attribute.is_blob or (attribute.codec and load_arrays):
        read = decoded if attribute.is_blob else lambda value: decoded(value).load()
        return column(_list_type(query, attribute, decoded), read, loads=not attribute.is_blob)
    if attribute.codec:
        return column(pa.string(), lambda value: _reference(decoded(value)))
    if attribute.json:
        as_text = query.connection.adapter.backend == "mysql"  # PostgreSQL's driver returns Python values
        return column(
            pa.string(), lambda value: json.dumps(json.loads(value) if as_text else value, sort_keys=True)
        )
    plain = PLAIN_TYPES.get(kind, pa.string())
    convert = {pa.bool_(): bool, PLAIN_TYPES["datetime(6)"]: lambda time: time.replace(tzinfo=UTC)}
    return column(plain, convert.get(plain))


def _reference(array: Any) -> str:
    return json.dumps({"path": array.path, "shape": list(array.shape), "dtype": str(array.dtype)})


def _list_type(query: Any, attribute: Any, decoded: Callable[[Any], Any]) -> pa.DataType:
    """Return the Arrow type of a column's arrays, from the first one; the null type if all are NULL."""
    name = attribute.name
    first = (query & f"{name} IS NOT NULL").proj(name) & dj.Top(1)
    rows = first.cursor().fetchall()
    if not rows:
        return pa.null()
    array = decoded(rows[0][-1])
    kind = pa.from_numpy_dtype(array.dtype)
    for _ in range(array.ndim):
        kind = pa.list_(kind)
    return kind


def _lists(arrays: Sequence[np.ndarray | None], kind: pa.DataType) -> pa.Array:
    """Return arrays as an Arrow array of lists, nested for matrices; None is null."""
    present = [array for array in arrays if array is not None]
    lengths = [0 if array is None else len(array) for array in arrays]
    if pa.types.is_list(kind.value_type):
        items = _lists([row for array in present for row in array], kind.value_type)
    else:
        dtype = kind.value_type.to_pandas_dtype()
        flat = np.concatenate([np.empty(0, dtype), *present])
        if flat.dtype != dtype:
            raise ValueError(
                f"The arrays of one column have different types: {dtype.__name__} and {flat.dtype}."
            )
        items = pa.array(flat)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = pa.array([array is None for array in arrays], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=kind, mask=mask)
