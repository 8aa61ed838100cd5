"""Printing a data frame, or writing it to a file, in the requested format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd

from populate.output.as_json import json_text, plain_value
from populate.output.spreadsheet import guarded
from populate.output.terminal import on_terminal
from schemas.queries.words import our_names
from vbn.counted import counted
from vbn.errors import SettingError
from vbn.visible import visible
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
    return frame[our_names("column", names, list(frame.columns))] if names else frame


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
    names = our_names("column", names, list(frame.columns))
    plain = [name.removeprefix("-") for name in names]
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
    kind : one of `FORMATS`. Numbers keep all digits, except in a table on a terminal.
    file : a text file, for Parquet a binary one.
    limit : number of rows of a table to show; None for all.
    """
    if kind == "csv":
        _guarded(frame).to_csv(file, index=False)
    elif kind == "parquet":
        frame.to_parquet(file, index=False)
    elif kind == "json":
        file.write(json_text(frame) + "\n")
    else:
        shown = frame if limit is None else frame.head(limit)
        if len(shown) and on_terminal():
            file.write(shown.to_string(index=False, na_rep="-") + "\n")
        else:
            file.writelines(f"{line}\n" for line in aligned_lines(shown))
        left = len(frame) - len(shown)
        rest = f", {left:,} of them not shown (--limit 0 shows all, --out FILE saves them)" if left else ""
        file.write(f"{counted(len(frame), 'row')}{rest}.\n")


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


BLOCK = 10_000
"""Rows that are aligned with each other: of a long table the first are printed before the last are known."""


def aligned_lines(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of a table for a pipe: all digits, nothing shortened, ``-`` for what is missing."""
    if frame.empty:
        return
    titles = [str(name) for name in frame]
    is_right = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    for first in range(0, len(frame), BLOCK):
        block = frame.iloc[first : first + BLOCK]
        columns = [[_cell(value) for value in block[name]] for name in frame]
        widths = [max(map(len, (title, *cells))) for title, cells in zip(titles, columns, strict=True)]
        for cells in [titles, *zip(*columns, strict=True)] if first == 0 else zip(*columns, strict=True):
            placed = zip(cells, widths, is_right, strict=True)
            yield "  ".join(
                cell.rjust(width) if right else cell.ljust(width) for cell, width, right in placed
            ).rstrip()


def _cell(value: Any) -> str:
    """Return a value on one line."""
    plain = plain_value(value)
    if plain is None:
        return "-"
    if isinstance(plain, str):
        return visible(plain)
    return str(plain) if isinstance(plain, int | float) else json_text(plain, indent=None)
