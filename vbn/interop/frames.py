"""Data frames as Arrow tables and polars frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vbn.errors import SettingError
from vbn.interop.optional import require_library

if TYPE_CHECKING:
    import polars as pl


def arrow_table(frame: pd.DataFrame) -> pa.Table:
    """Return a data frame as an Arrow table that keeps its types.

    Parameters
    ----------
    frame : any frame of the shared queries. Its index is left out.

    Returns
    -------
    NaN, None and NA are null; nullable integers and flags keep their type, categories are a dictionary,
    arrays lists, matrices lists of their rows. ``frame.attrs`` is JSON in the metadata, under ``attrs``.

    Raises
    ------
    SettingError
        If a column holds values of several types.
    """
    plain = frame.copy(deep=False)
    plain.attrs = {}  # pandas would discard, with a warning, those that hold arrays
    columns = {str(name): _column(str(name), plain[name]) for name in plain}
    table = pa.table(columns)
    if not frame.attrs:
        return table
    return table.replace_schema_metadata({"attrs": json.dumps(frame.attrs, default=_as_json)})


def polars_frame(table: pa.Table) -> pl.DataFrame:
    """Return an Arrow table as a polars frame; strings in a dictionary are of type Categorical."""
    frame: pl.DataFrame = require_library("polars").from_arrow(table)
    return frame


def _column(name: str, values: pd.Series[Any]) -> pa.Array:
    if values.dtype == object and any(np.ndim(value) > 1 for value in values):
        values = pd.Series([value.tolist() if isinstance(value, np.ndarray) else value for value in values])
    try:
        return pa.Array.from_pandas(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = sorted({type(value).__name__ for value in values})
        raise SettingError(
            f"Column '{name}' has values of several types ({', '.join(kinds)}), which Arrow has not. "
            f"Convert it: frame.astype({{'{name}': str}})"
        ) from error


def _as_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
