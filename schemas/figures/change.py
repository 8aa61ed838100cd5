"""Data of the figure of a structure's change response."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import psth
from schemas.queries.located_units import located_units, session_key
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.units import all_units, criteria_condition
from schemas.rows.insert import key_of_session
from vbn.errors import NotFoundError
from vbn.plots import ChangeResponse


def change_response(
    session_id: int, structure: str, *, alignment: str = "change_active", criteria: str = "quickstart"
) -> ChangeResponse:
    """Return the change response of a structure in a session, with the behavior on the same time axis.

    Parameters
    ----------
    session_id, structure
        Id of the session, and acronym of the structure of the units' peak channels.
    alignment
        Name of the alignment, which must be to image changes.
    criteria
        Name of a quality filter (`selection.UnitCriteria`): ``quickstart`` is that of AllenSDK's quick-start
        notebook, ``all`` takes all units.

    Raises
    ------
    NotFoundError
        If the session, filter, units in the structure or the computed responses do not exist.
    """
    key = session_key(session_id)
    settings = psth.Alignment.get(alignment)
    _require_computed(key, alignment)
    of_alignment = {"alignment": alignment}
    warn_of_earlier_methods({psth.Psth: of_alignment, psth.AlignedBehavior: of_alignment}, key)
    passing = all_units() & key & criteria_condition(criteria)
    units = located_units(key) & {"structure_acronym": structure} & passing.proj()
    responses = (psth.Psth.Unit & {**key, "alignment": alignment}) * units.proj("probe_vertical_position")
    table = responses.proj("psth_rate", "probe_vertical_position").to_dicts(
        order_by="probe_vertical_position, unit_id"
    )
    if not table:
        raise NotFoundError(_no_units(key, structure, criteria))
    aligned = (psth.AlignedBehavior & {**key, "alignment": alignment}).fetch1()
    return ChangeResponse(
        time_s=settings.axis.centers_s,
        rate_hz=np.stack([unit["psth_rate"] for unit in table]),
        depth_um=np.array([unit["probe_vertical_position"] for unit in table], dtype=float),
        structure=structure,
        session_id=session_id,
        n_events=aligned["n_aligned_events"],
        running_speed_cm_s=aligned["running_speed_mean"],
        lick_rate_hz=aligned["lick_rate"],
        pupil_x=aligned["pupil_x_mean"],
        pupil_area=aligned["pupil_area_mean"],
    )


def _require_computed(key: dict[str, Any], alignment: str) -> None:
    for table in (psth.Psth, psth.AlignedBehavior):
        if not table & {**key, "alignment": alignment}:
            raise NotFoundError(
                f"{table.__name__} of session {key['session_id']} is not computed yet ('{alignment}'). "
                "Run: vbn populate (and see vbn status, vbn errors)."
            )


def _no_units(key: dict[str, Any], structure: str, criteria: str) -> str:
    everywhere = located_units(key_of_session(key)).proj("structure_acronym").to_arrays("structure_acronym")
    present = sorted({str(name) for name in everywhere if name})
    if structure in present:
        return (
            f"No unit of '{structure}' in session {key['session_id']} passes '{criteria}'. "
            "--criteria all takes all units."
        )
    return (
        f"Session {key['session_id']} has no units in '{structure}'. It has units in: {', '.join(present)}."
    )
