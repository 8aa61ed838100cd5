"""The channels that the release's tables list, and whether they agree with those of the files.

``channels.csv`` has a third of a million rows: columns are handled as arrays, and a row becomes a dictionary
only when it is new and its turn has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas import ecephys, session
from schemas.rows import insert_rows
from vbn.errors import shortened
from vbn.nwb import Issue
from vbn.nwb.issue import first_of, issue

FILE = "channels.csv"
# Column of the release -> attribute of CatalogueChannel.
ATTRIBUTES = {
    "ecephys_channel_id": "catalogue_channel_id",
    "ecephys_session_id": "catalogue_session_id",
    "ecephys_probe_id": "catalogue_channel_probe_id",
    "probe_channel_number": "catalogue_channel_number",
    "probe_vertical_position": "catalogue_vertical_position",
    "probe_horizontal_position": "catalogue_horizontal_position",
    "anterior_posterior_ccf_coordinate": "catalogue_anterior_posterior",
    "dorsal_ventral_ccf_coordinate": "catalogue_dorsal_ventral",
    "left_right_ccf_coordinate": "catalogue_left_right",
    "structure_acronym": "catalogue_structure",
    "valid_data": "catalogue_valid_data",
}
NEEDED = ("ecephys_channel_id", "ecephys_session_id")
# Attribute of CatalogueChannel -> attribute of Recording.Channel.
COMPARED = {
    "catalogue_channel_number": "probe_channel_number",
    "catalogue_vertical_position": "probe_vertical_position",
    "catalogue_horizontal_position": "probe_horizontal_position",
    "catalogue_anterior_posterior": "anterior_posterior_ccf_coordinate",
    "catalogue_dorsal_ventral": "dorsal_ventral_ccf_coordinate",
    "catalogue_left_right": "left_right_ccf_coordinate",
    "catalogue_structure": "structure_acronym",
    "catalogue_valid_data": "valid_data",
}
COORDINATES = [theirs for theirs, ours in COMPARED.items() if ours.endswith("coordinate")]
ROWS_AT_ONCE = 20_000
LONGEST_ACRONYM = 32  # of the attribute
TOLERANCE_UM = 1.0
"""Coordinates that are rounded in one of the two are the same."""


def find_new(table: pd.DataFrame, sessions: set[int]) -> pd.DataFrame:
    """Return the rows of the release's table that are not entered yet.

    Parameters
    ----------
    table : the release's table.
    sessions : ids of the sessions in the catalogue; channels of others are left out.
    """
    known = session.CatalogueChannel.to_arrays("catalogue_channel_id")
    return table[table["ecephys_session_id"].isin(sessions) & ~table["ecephys_channel_id"].isin(known)]


def find_unfit(table: pd.DataFrame) -> list[str]:
    """Return the columns of the release's table that hold something else than they should."""
    texts = [name for name in ("structure_acronym", "valid_data") if name in table]
    numbers = table.drop(columns=texts)
    unfit = [str(name) for name, column in numbers.items() if not pd.api.types.is_numeric_dtype(column)]
    if "structure_acronym" in table:
        acronyms = table["structure_acronym"].dropna().astype(str)
        unfit += ["structure_acronym"] * bool((acronyms.str.len() > LONGEST_ACRONYM).any())
    return unfit


def enter(table: pd.DataFrame) -> int:
    """Insert rows of the release's table; return how many."""
    for start in range(0, len(table), ROWS_AT_ONCE):
        insert_rows(session.CatalogueChannel(), _rows(table.iloc[start : start + ROWS_AT_ONCE]))
    return len(table)


def find_disagreements() -> dict[int, list[Issue]]:
    """Compare the imported recordings' channels with the catalogue's.

    Returns
    -------
    session id -> issues; an empty list where both agree. Sessions of which the catalogue lists no channel are
    left out.

    Notes
    -----
    A coordinate or structure that one of the two lacks is a disagreement; the release's table has an
    empty cell where the file has NaN or ``None``.
    """
    listed = set(np.unique(session.CatalogueChannel.to_arrays("catalogue_session_id")).tolist())
    imported = [number for number in ecephys.Recording.to_arrays("session_id").tolist() if number in listed]
    return {number: _compare_session(number) for number in imported}


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = _held(table)
    columns = [_plain(name, table[column]) for column, name in names.items()]
    for values in zip(*columns, strict=True):
        yield dict(zip(names.values(), values, strict=True))


def _held(table: pd.DataFrame) -> dict[str, str]:
    return {column: name for column, name in ATTRIBUTES.items() if column in table}


def _plain(name: str, column: pd.Series[Any]) -> list[Any]:
    """Return Python values of a column, None for an empty cell; flags are written as words."""
    missing = column.isna()
    if name == "catalogue_valid_data" and column.dtype != np.bool_:
        column = column.astype(str).str.lower().isin(("true", "1", "1.0"))
    elif pd.api.types.is_float_dtype(column.dtype) and name in _WHOLE:
        column = column.astype("Int64")
    values = column.astype(object).tolist()
    return [None if absent else value for value, absent in zip(values, missing.tolist(), strict=True)]


_WHOLE = [name for name in ATTRIBUTES.values() if name.endswith(("_id", "_number", "_position"))]


def _compare_session(session_id: int) -> list[Issue]:
    """Compare one session's channels; at most one issue, for there is one row for a code and a table."""
    listed = session.CatalogueChannel & {"catalogue_session_id": session_id}
    there = _indexed(listed, "catalogue_channel_id", COMPARED)
    here = _indexed(ecephys.Recording.Channel & {"session_id": session_id}, "channel_id", COMPARED.values())
    only_here, only_there = here.index.difference(there.index), there.index.difference(here.index)
    found = [f"not in the table {first_of(only_here.tolist())}"] if len(only_here) else []
    found += [f"not in the file {first_of(only_there.tolist())}"] if len(only_there) else []
    there[COORDINATES] = there[COORDINATES].mask((there[COORDINATES] == 0).all(axis=1))  # as on import
    both = here.index.intersection(there.index)
    for theirs, ours in COMPARED.items():
        wrong = both[_differ(there.loc[both, theirs], here.loc[both, ours])].tolist()
        if wrong:
            values = f"{_said(there[theirs][wrong[0]])}, in the file {_said(here[ours][wrong[0]])}"
            found.append(f"{ours} of {first_of(wrong)} (the first is {values})")
    return [issue("catalogue_disagrees", "channels", "; ".join(found))] if found else []


def _indexed(rows: Any, key: str, names: Any) -> pd.DataFrame:
    wanted = [key, *names]
    frame = pd.DataFrame(rows.proj(*names).to_dicts(), columns=wanted).set_index(key)
    coordinates = [name for name in names if name in COORDINATES or name.endswith("coordinate")]
    return frame.astype(dict.fromkeys(coordinates, np.float64))


def _said(value: Any) -> str:
    return "nothing" if pd.isna(value) else shortened(value)


def _differ(there: pd.Series[Any], here: pd.Series[Any]) -> NDArray[np.bool_]:
    """Mark the rows in which two columns differ; two missing values are equal."""
    if there.isna().all():  # a release without the column
        return np.zeros(len(there), dtype=np.bool_)
    if str(here.name).endswith("coordinate"):
        ours, theirs = here.to_numpy(dtype=np.float64), there.to_numpy(dtype=np.float64)
        equal = np.isclose(ours, theirs, rtol=0, atol=TOLERANCE_UM, equal_nan=True)
    else:
        equal = ((there == here) | (there.isna() & here.isna())).to_numpy(dtype=np.bool_)
    different: NDArray[np.bool_] = np.logical_not(equal)
    return different
