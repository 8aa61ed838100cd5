"""Comparing the channels in the release's tables with those in the files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas import ecephys, session
from schemas.rows.insert import key_of_session
from vbn.errors import shortened
from vbn.nwb import Issue
from vbn.nwb.issue import first_of, issue

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
TOLERANCE_UM = 1.0
"""Allows for rounding in one of the two."""


def compare(key: dict[str, Any]) -> list[Issue]:
    """Compare an imported recording's channels with the catalogue's.

    Returns
    -------
    list of Issue
        At most one, as there is one row per code and table; none if the catalogue lists no channels or
        nothing is imported.

    Notes
    -----
    A coordinate or structure that only one of the two has is a disagreement; an empty cell of the table
    agrees with NaN or ``None`` in the file.
    """
    listed = session.CatalogueChannel & {"catalogue_session_id": key["session_id"]}
    if not (listed and ecephys.Recording & key_of_session(key)):
        return []
    there = _indexed(listed, "catalogue_channel_id", COMPARED)
    here = _indexed(ecephys.Recording.Channel & key_of_session(key), "channel_id", COMPARED.values())
    only_here, only_there = here.index.difference(there.index), there.index.difference(here.index)
    found = [f"not in the table {first_of(only_here.tolist())}"] if len(only_here) else []
    found += [f"not in the file {first_of(only_there.tolist())}"] if len(only_there) else []
    there[COORDINATES] = there[COORDINATES].mask((there[COORDINATES] == 0).all(axis=1))  # as in the import
    both = here.index.intersection(there.index)
    for theirs, ours in COMPARED.items():
        wrong = both[_differ(there.loc[both, theirs], here.loc[both, ours])].tolist()
        if wrong:
            values = f"{_shown(there[theirs][wrong[0]])}, in the file {_shown(here[ours][wrong[0]])}"
            found.append(f"{ours} of {first_of(wrong)} (the first is {values})")
    return [issue("catalogue_disagrees", "channels", "; ".join(found))] if found else []


def _indexed(rows: Any, key: str, names: Any) -> pd.DataFrame:
    wanted = [key, *names]
    frame = pd.DataFrame(rows.proj(*names).to_dicts(), columns=wanted).set_index(key)
    coordinates = [name for name in names if name in COORDINATES or name.endswith("coordinate")]
    return frame.astype(dict.fromkeys(coordinates, np.float64))


def _shown(value: Any) -> str:
    return "nothing" if pd.isna(value) else shortened(value)


def _differ(there: pd.Series[Any], here: pd.Series[Any]) -> NDArray[np.bool_]:
    """Mark the rows in which two columns differ; two missing values are equal."""
    if there.isna().all():  # a release without this column
        return np.zeros(len(there), dtype=np.bool_)
    if str(here.name).endswith("coordinate"):
        ours, theirs = here.to_numpy(dtype=np.float64), there.to_numpy(dtype=np.float64)
        equal = np.isclose(ours, theirs, rtol=0, atol=TOLERANCE_UM, equal_nan=True)
    else:
        equal = ((there == here) | (there.isna() & here.isna())).to_numpy(dtype=np.bool_)
    different: NDArray[np.bool_] = np.logical_not(equal)
    return different
