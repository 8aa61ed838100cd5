"""What units can be asked for by: all columns of units and of their results, with unit and meaning."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from schemas import ecephys
from schemas.queries.checks import knowing_arguments
from schemas.queries.column_comments import column_comments
from schemas.queries.columns import RESPONSES, result_names, result_queries, table_of_results
from schemas.queries.layers import OF_LAYER, unit_layers
from schemas.queries.units import all_units
from schemas.queries.words import COLUMNS, NOTES, RELATED, our_names
from schemas.queries.written_notes import LABELS
from schemas.rows.fetch import fetch_frame
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.errors import NotFoundError

COMMENT = re.compile(r"\((?P<unit>[^()]+)\) (?P<meaning>.*)", re.DOTALL)
NUMBERS = ("int", "float", "double", "decimal", "smallint", "bigint", "real", "numeric")


@knowing_arguments
def columns(word: str = "") -> pd.DataFrame:
    """Return the columns that units can be selected by, sorted by, and shown with.

    Parameters
    ----------
    word : only columns in whose name, unit, meaning or table it occurs, in any case, or that it means
        elsewhere in the field.

    Returns
    -------
    pandas.DataFrame
        ``column``, ``table`` (``units`` for what each unit has), ``unit`` of measurement (empty without),
        ``type`` (number, flag, time, list, text, or
        the choices), ``meaning``.

    Raises
    ------
    NotFoundError
        If there is no such column.
    """
    of_layers = ecephys.ChannelLayer.Channel
    units, recording = all_units(), ecephys.Recording
    comments = column_comments(recording.Channel()) | column_comments(recording.Unit())
    rows = _described("units", units, units.heading.names, comments)
    for name, table in RESPONSES.items():
        rows += _described(name, table.Unit(), result_names(table), {})
    rows += _described("ChannelLayer", of_layers(), OF_LAYER, {})
    rows.append((LABELS, "UnitNote", "", "text", "labels that people gave it, by name, with commas between"))
    frame = pd.DataFrame(rows, columns=["column", "table", "unit", "type", "meaning"])
    text = frame.astype(str).agg(" ".join, axis=1).str.lower()
    looked_for = (word.lower(), *COLUMNS.get(word.lower(), ()), *RELATED.get(word.lower(), ()))
    is_found = text.map(lambda each: any(part in each for part in looked_for))
    found = frame[is_found].reset_index(drop=True)
    if found.empty:
        raise NotFoundError(f"No column of units or results has '{word}' in its name or meaning.")
    return found


def _described(table: str, query: Any, names: Any, comments: dict[str, str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name in names:
        attribute = query.heading.attributes[name]
        comment = (attribute.comment or comments.get(name, "")).strip()
        match = COMMENT.fullmatch(comment)
        unit, meaning = (match["unit"], match["meaning"]) if match else ("", comment)
        meaning = f"{meaning}; {NOTES[name]}" if name in NOTES else meaning
        rows.append((name, table, unit, _kind(str(attribute.original_type or attribute.type)), meaning))
    return rows


def _kind(declared: str) -> str:
    if declared.startswith("enum("):
        return ", ".join(re.findall(r"'([^']*)'", declared))
    if declared in ("bool", "boolean"):
        return "flag"
    if declared.startswith(("datetime", "timestamp")):
        return "time"
    if declared.startswith("json"):
        return "list"
    return "number" if declared.startswith(NUMBERS) else "text"


@knowing_arguments
def with_results(
    frame: pd.DataFrame,
    units: Any,
    names: list[str],
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> pd.DataFrame:
    """Return a frame of units with columns of results that it lacks; what is not computed is missing.

    Parameters
    ----------
    frame : one row per unit, with ``unit_id``.
    units : the query that it comes from.
    names : names of columns.
    optotag_method : labelling method of labels and cell classes.
    atlas : name of the atlas of the layers, if there are several.

    Raises
    ------
    SettingError
        For a column that neither the frame nor a table of results has, suggesting the nearest.
    """
    known = {*map(str, frame), *table_of_results(), *OF_LAYER}
    lacking = [name for name in our_names("column", names, known) if name not in frame]
    for _key, query in result_queries(units, lacking, optotag_method, "Their units have no value."):
        rows = fetch_frame(query * units.proj(), nullable_integers=True)
        of_table = [name for name in rows if name in lacking]
        frame = frame.merge(rows[["unit_id", *of_table]], on="unit_id", how="left", validate="one_to_one")
    if layers := [name for name in OF_LAYER if name in lacking]:
        rows = fetch_frame(unit_layers(atlas=atlas, of=units).proj(*layers))
        frame = frame.merge(rows[["unit_id", *layers]], on="unit_id", how="left", validate="one_to_one")
    return frame
