"""Data of the figure of a session's probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, session
from schemas.figures.require_entries import require_entries
from schemas.queries.checks import knowing_arguments
from schemas.queries.located_units import names_or_none, session_key
from schemas.rows.fetch import fetch_frame
from schemas.selection import UnitCriteria, described_units
from vbn.analysis.selection import passing_units
from vbn.errors import NotFoundError
from vbn.nearest import nearest
from vbn.plots.probe import ProbeDepths, SessionProbes, SourceDensity

Key = dict[str, Any]

CHANNEL_COLUMNS = ("probe_vertical_position", "structure_acronym", "valid_data")


@knowing_arguments
def session_probes(
    session_id: int, probe_name: str | None = None, *, criteria: str = "quickstart"
) -> SessionProbes:
    """Return the channels and units of a session's probes by depth.

    Parameters
    ----------
    session_id : id of the session.
    probe_name : name of one probe; all when None.
    criteria : name of a row of `selection.UnitCriteria`, the quality filter.

    Raises
    ------
    NotFoundError
        If there is no such session, probe or filter, or the session has no imported recording.
    """
    key = session_key(session_id)
    filters = UnitCriteria.get(criteria)
    if (session.NwbFile & key).fetch1("file_kind") != "recording":
        raise NotFoundError(f"Session {session_id} is a behavior session: it has no probes.")
    require_entries(key, ecephys.Recording)
    known = (ecephys.Recording.Probe & key).to_arrays("probe_name", order_by="probe_name").tolist()
    if probe_name is not None and probe_name not in known:
        raise NotFoundError(f"Session {session_id} has no probe '{probe_name}'.{nearest(probe_name, known)}")
    units = described_units(key)
    units = units.assign(passes=passing_units(units, filters))
    channels = channels_of(key)
    return SessionProbes(
        session_id=session_id,
        unit_criteria=criteria,
        probes=[
            _probe(
                name,
                channels[channels["probe_name"] == name],
                units[units["probe_name"] == name],
                _csd({**key, "probe_name": name}),
            )
            for name in ([probe_name] if probe_name else known)
        ],
    )


def channels_of(key: Key) -> pd.DataFrame:
    """Return the channels of a session, or of a probe, with their structures and groups."""
    frame = fetch_frame((ecephys.Recording.Channel & key).proj(*CHANNEL_COLUMNS))
    groups = fetch_frame(ecephys.Structure.proj("structure_group"))
    return frame.merge(groups, on="structure_acronym", how="left", validate="many_to_one")


def _probe(name: str, channels: pd.DataFrame, units: pd.DataFrame, csd: SourceDensity | None) -> ProbeDepths:
    return ProbeDepths(
        name=name,
        channel_depth_um=channels["probe_vertical_position"].to_numpy(float),
        structure=names_or_none(channels["structure_acronym"]),
        structure_group=names_or_none(channels["structure_group"]),
        is_valid=channels["valid_data"].to_numpy(bool),
        unit_depth_um=units["probe_vertical_position"].to_numpy(float),
        unit_rate_hz=units["unit_firing_rate"].to_numpy(float),
        passes=units["passes"].to_numpy(bool),
        csd=csd,
    )


def _csd(key: Key) -> SourceDensity | None:
    rows = (ecephys.CurrentSourceDensity & key & "has_csd").to_dicts()
    if not rows:
        return None
    return SourceDensity(
        values=np.asarray(rows[0]["csd"].load()),
        time_s=rows[0]["csd_timestamps"],
        depth_um=rows[0]["csd_vertical_positions"],
    )
