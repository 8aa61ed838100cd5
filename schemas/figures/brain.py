"""Data of the figure of probes in the brain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, session
from schemas.figures.require_entries import require_entries
from schemas.figures.unit import unit_key
from schemas.files.atlas import brain_planes
from schemas.queries.checks import knowing_arguments
from schemas.queries.layers import atlas_name
from schemas.queries.located_units import names_or_none, session_key
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import key_of_session
from vbn.anatomy.layers import COORDINATES
from vbn.anatomy.planes import BrainPlane
from vbn.errors import NotFoundError, VbnError
from vbn.plots.brain import ProbeInBrain, ProbesInBrain

Key = dict[str, Any]


@knowing_arguments
def session_in_brain(session_id: int, *, atlas: str | None = None) -> ProbesInBrain:
    """Return the channels of a session's probes in the Allen CCF, with outlines where there is an atlas.

    Parameters
    ----------
    session_id : id of the session.
    atlas : name of the volume of the outlines (`ecephys.AtlasParams`); by default the only one.

    Raises
    ------
    NotFoundError
        If there is no such session or atlas, it has no imported recording, or no channel has coordinates.

    Notes
    -----
    The planes of the outlines go through the median of the channels.
    """
    key = session_key(session_id)
    if (session.NwbFile & key).fetch1("file_kind") != "recording":
        raise NotFoundError(f"Session {session_id} is a behavior session: it has no probes.")
    require_entries(key, ecephys.Recording)
    return _in_brain(key, f"Probes of session {session_id} in the brain", None, atlas)


@knowing_arguments
def unit_in_brain(unit_id: int, *, atlas: str | None = None) -> ProbesInBrain:
    """Return the channels of a unit's probe in the Allen CCF, with the unit; see `session_in_brain`.

    The planes of the outlines go through the unit.

    Raises
    ------
    NotFoundError
        If there is no such unit or atlas, or the unit has no coordinates.
    """
    key = unit_key(unit_id)
    peak = (ecephys.Recording.Unit & key).fetch1("peak_channel_id")
    of_probe = {**key_of_session(key), "probe_name": key["probe_name"]}
    row = (ecephys.Recording.Channel & of_probe & {"channel_id": peak}).fetch1()
    place = [row[name] for name in COORDINATES]
    if any(map(pd.isna, place)):
        raise NotFoundError(f"The file has no coordinates of the peak channel of unit {unit_id}.")
    return _in_brain(of_probe, f"Unit {unit_id} in the brain", (place[0], place[1], place[2]), atlas)


def _in_brain(
    key: Key, title: str, unit_um: tuple[float, float, float] | None, atlas: str | None
) -> ProbesInBrain:
    channels = _channels(key)
    placed = channels[channels[list(COORDINATES)].notna().all(axis=1)]
    if placed.empty:
        raise NotFoundError(
            "No channel has coordinates in the file: the probes are not registered to the CCF."
        )
    at = np.asarray(unit_um if unit_um else placed[list(COORDINATES)].median(), dtype=float)
    planes, lacking = None, ""
    try:
        planes = _planes(at, atlas)
    except VbnError as error:
        if atlas is not None:
            raise
        lacking = f"No outlines: {error}"
    return ProbesInBrain(
        title=title,
        probes=[_probe(str(name), rows) for name, rows in placed.groupby("probe_name", sort=True)],
        without=sorted(set(channels["probe_name"]) - set(placed["probe_name"])),
        coronal=None if planes is None else planes[0],
        sagittal=None if planes is None else planes[1],
        lacking=lacking,
        unit_um=unit_um,
    )


def _channels(key: Key) -> pd.DataFrame:
    """Return the channels from the tip upwards."""
    columns = ("probe_vertical_position", "structure_acronym", *COORDINATES)
    frame = fetch_frame((ecephys.Recording.Channel & key).proj(*columns))
    groups = fetch_frame(ecephys.Structure.proj("structure_group"))
    frame = frame.merge(groups, on="structure_acronym", how="left", validate="many_to_one")
    return frame.sort_values(["probe_name", "probe_vertical_position", "channel_id"], ignore_index=True)


def _probe(name: str, rows: pd.DataFrame) -> ProbeInBrain:
    return ProbeInBrain(
        name=name,
        ccf_um=rows[list(COORDINATES)].to_numpy(float),
        structure=names_or_none(rows["structure_acronym"]),
        structure_group=names_or_none(rows["structure_group"]),
    )


def _planes(at_um: np.ndarray, atlas: str | None) -> tuple[BrainPlane, BrainPlane]:
    """Return the coronal and the sagittal plane through a place."""
    known = ecephys.AtlasParams.names()
    if atlas is None and not known:
        raise NotFoundError("no atlas is entered (vbn atlas fetch, vbn atlas add).")
    place = (float(at_um[0]), float(at_um[1]), float(at_um[2]))
    return brain_planes(ecephys.AtlasParams.get(atlas_name(atlas)), place)
