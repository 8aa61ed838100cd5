"""Fetching many rows as a data frame."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from schemas.server.datajoint import dj
from schemas.server.datajoint.by_columns import decoded_values

INTEGERS = ("int16", "int32", "int64", "smallint", "integer", "int", "bigint")
FLOATS = ("float32", "float64", "real", "float", "double", "double precision")


def fetch_frame(
    query: Any,
    order_by: str | Sequence[str] = "KEY",
    *,
    nullable_integers: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> pd.DataFrame:
    """Return the rows of a query as a data frame.

    Parameters
    ----------
    query : query expression.
    order_by : attributes to sort by, ``KEY`` for the primary key.
    nullable_integers : integers with NULLs become Int64 instead of float64.
    limit, offset : fetch this many rows, after as many others; by default all.

    Returns
    -------
    One row per row of the query, one column per attribute in the query's order, including the key; NULL is
    None or NaN, by the column's type whatever is in it. Arrays and JSON are decoded; arrays in the store stay
    references; flags are bool on every server.
    """
    ordered = query & dj.Top(limit, order_by, offset)
    attributes = ordered.heading.attributes
    names = ordered.heading.names
    with _collecting_later():
        rows = ordered.cursor().fetchall()
        columns = zip(*rows, strict=True) if rows else ((),) * len(names)
        return pd.DataFrame(
            {
                name: _typed(
                    decoded_values(attributes[name], values, ordered.connection),
                    # Attributes of a foreign key have only the server's type.
                    attributes[name].original_type or attributes[name].type,
                    nullable_integers,
                )
                for name, values in zip(names, columns, strict=True)
            }
        )


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Pause Python's garbage collector, which looks through all rows again and again while they come."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _typed(values: Sequence[Any], type_: str, nullable_integers: bool) -> Any:
    """Return a column's values as its type has them, where pandas would look at all of them to find out.

    It finds another type where there are no values, and integers beside None lose their last digits.
    """
    if type_ in FLOATS:
        return np.array(values, dtype=float)
    if type_ not in INTEGERS:
        return values
    if None not in values:
        return np.array(values, dtype=np.int64)
    return pd.array(list(values), dtype="Int64") if nullable_integers else np.array(values, dtype=float)
