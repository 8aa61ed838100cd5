"""Printing a data frame, or writing it to a file, in the requested format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from populate.output.spreadsheet import guarded
from vbn.errors import SettingError
from vbn.nearest import nearest
from vbn.whole_files import whole_file

FORMATS = ("table", "csv", "parquet", "json")
ROWS_SHOWN = 100
"""Default number of rows of a table in the terminal."""


def format_for(chosen: str | None, out: Path | None) -> str:
    """Return the chosen format, else that of the file's suffix, else ``table``.

    Raises
    ------
    SettingError
        If the format of the file is unknown, or Parquet would be printed.
    """
    if chosen is None and out is not None:
        chosen = out.suffix.lower().removeprefix(".")
        if chosen not in FORMATS[1:]:
            raise SettingError(f"'{out}' must end in .csv, .parquet or .json, or name a --format.")
    if chosen == "parquet" and out is None:
        raise SettingError("Parquet is for files: name one with --out FILE.parquet.")
    return chosen or "table"


def with_columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the named columns in this order; by default all.

    Raises
    ------
    SettingError
        If a column does not exist, with the nearest.
    """
    for name in names:
        if name not in frame:
            raise SettingError(f"There is no column '{name}'.{nearest(name, list(frame.columns))}")
    return frame[list(names)] if names else frame


def sorted_by(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows sorted by columns; those with a ``-`` before their names from the greatest down.

    Missing values come last.

    Raises
    ------
    SettingError
        If a column does not exist, with the nearest, or its values have no order.
    """
    if not names:
        return frame
    plain = [name.removeprefix("-") for name in names]
    with_columns(frame, plain)
    try:
        return frame.sort_values(plain, ascending=[not name.startswith("-") for name in names], kind="stable")
    except TypeError as error:
        raise SettingError(
            f"Rows cannot be sorted by {', '.join(plain)}: the values have no order."
        ) from error


def render(frame: pd.DataFrame, kind: str, file: IO[Any], limit: int | None = None) -> None:
    """Write a data frame.

    Parameters
    ----------
    frame : the rows to write.
    kind : one of `FORMATS`. Numbers keep all digits, except in a table.
    file : a text file, for Parquet a binary one.
    limit : number of rows of a table to show; None for all.
    """
    if kind == "csv":
        _guarded(frame).to_csv(file, index=False)
    elif kind == "parquet":
        frame.to_parquet(file, index=False)
    elif kind == "json":
        file.write(json.dumps([_plain(row) for row in frame.to_dict("records")], indent=2) + "\n")
    else:
        shown = frame if limit is None else frame.head(limit)
        if len(shown):
            file.write(shown.to_string(index=False, na_rep="-") + "\n")
        left = len(frame) - len(shown)
        rest = f", {left:,} of them not shown (--limit 0 shows all, --out FILE saves them)" if left else ""
        file.write(f"{len(frame):,} row{'' if len(frame) == 1 else 's'}{rest}.\n")


def _guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with text guarded against spreadsheets."""
    texts = frame.select_dtypes(include=["object", "string", "category"])
    held = {str(name): [_guarded_value(value) for value in texts[name]] for name in texts}
    columns = {name: pd.Series(values, frame.index, dtype=object) for name, values in held.items()}
    return frame.assign(**columns).rename(columns=_guarded_value)


def _guarded_value(value: Any) -> Any:
    return guarded(value) if isinstance(value, str) else value


def save(frame: pd.DataFrame, kind: str, out: Path) -> None:
    """Write a data frame to a file, which appears when it is complete."""
    with whole_file(out) as part, part.open("wb" if kind == "parquet" else "w") as file:
        render(frame, kind, file)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _json_value(value) for name, value in row.items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | list):
        return [_json_value(each) for each in value]
    if isinstance(value, dict):
        return value
    if value is None or value is pd.NA or pd.isna(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value
