"""Fetching many rows as a data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from schemas.server.datajoint import dj
from schemas.server.datajoint.by_columns import decoded_values

INTEGERS = ("int16", "int32", "int64", "smallint", "integer", "int", "bigint")


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
    None or NaN, depending on the column's type. Arrays and JSON are decoded; arrays in the store stay
    references; flags are bool on every server.
    """
    ordered = query & dj.Top(limit, order_by, offset)
    attributes = ordered.heading.attributes
    names = ordered.heading.names
    rows = ordered.cursor().fetchall()
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    frame = pd.DataFrame(
        {
            name: decoded_values(attributes[name], values, ordered.connection)
            for name, values in zip(names, columns, strict=True)
        }
    )
    # Attributes of a foreign key have only the server's type.
    types = {name: attributes[name].original_type or attributes[name].type for name in names}
    integers = [name for name in names if types[name] in INTEGERS]
    if not rows:  # pandas cannot infer types without values, and would not merge these columns with others
        numbers = [name for name in names if attributes[name].numeric and types[name] != "bool"]
        frame = frame.astype({**dict.fromkeys(numbers, float), **dict.fromkeys(integers, int)})
    if not nullable_integers:
        return frame
    return frame.astype({name: "Int64" for name in integers if frame[name].dtype.kind != "i"})
