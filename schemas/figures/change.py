"""Data of the figure of a structure's change response."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np

from schemas import behavior, ecephys, psth, stimulus
from schemas.figures.aligned import EVENT_NAMES, FLASH_PERIOD_S, FLASH_STEPS, RateView
from schemas.figures.groups import grouped_events
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import located_units, no_units, session_key
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.units import all_units, criteria_condition
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import session_events
from schemas.rows.fetch import fetch_frame
from vbn.analysis.spikes.psth import TimeAxis
from vbn.analysis.spikes.smoothing import smoothed_rates
from vbn.analysis.task.events import find_events
from vbn.errors import NotFoundError
from vbn.plots import ChangeResponse

ALL_UNITS = "--criteria all takes all units."
TRACES = ("running_speed_cm_s", "lick_rate_hz", "pupil_x", "pupil_area")
ERRORS = ("running_speed_sem", "pupil_x_sem", "pupil_area_sem")


def change_response(
    session_id: int, structure: str, *, alignment: str = "change_active", criteria: str = "quickstart"
) -> ChangeResponse:
    """Return the change response of a structure in a session, with the behavior on the same time axis.

    Parameters
    ----------
    session_id, structure
        Id of the session, and acronym of the structure of the units' peak channels.
    alignment
        Name of the alignment.
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
    units = _units(key, structure, criteria)
    responses = (psth.Psth.Unit & {**key, "alignment": alignment}) * units.proj("probe_vertical_position")
    table = responses.proj("psth_rate", "probe_vertical_position").to_dicts(
        order_by="probe_vertical_position, unit_id"
    )
    if not table:
        raise no_units(key, structure, criteria, ALL_UNITS)
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
        **{name: aligned[name] for name in ERRORS},
        event_name=EVENT_NAMES[settings.event],
        flash_onsets_s=_flash_onsets_s(settings.event),
        unit_id=[unit["unit_id"] for unit in table],
    )


def grouped_change_response(
    session_id: int,
    structure: str,
    view: RateView,
    *,
    alignment: str = "change_active",
    criteria: str = "quickstart",
) -> dict[str, ChangeResponse]:
    """Return the change response of a structure by group of events, in any bins and smoothed.

    Parameters
    ----------
    session_id, structure, alignment, criteria
        As of `change_response`; nothing need be computed before.
    view
        How rates are made and events grouped; no smoothing where none is asked for. Behavior has the same
        bins and is not smoothed.

    Returns
    -------
    The response of each group that has events; of all events, under the event's name, without a grouping.

    Raises
    ------
    NotFoundError
        If the session, units in the structure or any events do not exist, or the session is not imported.
    SettingError
        If the events have no such groups, or the bins are too long.
    """
    key = session_key(session_id)
    settings = psth.Alignment.get(alignment)
    require_entries(key, ecephys.Recording, stimulus.Stimulus, behavior.Running, behavior.EyeTracking)
    window_s, bin_s = view.bins_of(settings)
    first, last = ceil(window_s[0] / bin_s - 1e-9), floor(window_s[1] / bin_s + 1e-9)
    axis = TimeAxis(first * bin_s, last * bin_s, bin_s)
    name, events = EVENT_NAMES[settings.event], session_events(key)
    groups = {name: find_events(events, settings.events)}
    if view.group_by is not None:
        groups = grouped_events(events, settings.events, view.group_by)
    groups = {group: times for group, times in groups.items() if len(times)}
    if not groups:
        raise NotFoundError(f"There is no {name} in session {session_id} ('{alignment}').")
    all_spikes, spike_times = session_spikes(key)
    chosen = fetch_frame(_units(key, structure, criteria).proj("probe_vertical_position"))
    rows = all_spikes.merge(chosen[["unit_id", "probe_vertical_position"]], on="unit_id")
    if rows.empty:
        raise no_units(key, structure, criteria, ALL_UNITS)
    rows = rows.sort_values(["probe_vertical_position", "unit_id"])
    found = {}
    for group, times in groups.items():
        spikes = (spike_times, rows["spike_offset"], rows["n_spikes"])
        aligned = psth.AlignedBehavior.around(key, times, axis)
        found[group] = ChangeResponse(
            time_s=axis.centers_s,
            rate_hz=smoothed_rates(*spikes, times, axis, view.smoothing_s or 0.0),
            depth_um=rows["probe_vertical_position"].to_numpy(float),
            structure=structure,
            session_id=session_id,
            n_events=len(times),
            **{trace: getattr(aligned, trace) for trace in (*TRACES, *ERRORS)},
            event_name=name,
            flash_onsets_s=_flash_onsets_s(settings.event),
            unit_id=rows["unit_id"].tolist(),
        )
    return found


def _flash_onsets_s(event: str) -> tuple[float, ...]:
    return tuple(step * FLASH_PERIOD_S for step in FLASH_STEPS.get(event, ()))


def _units(key: dict[str, Any], structure: str, criteria: str) -> Any:
    passing = all_units() & key & criteria_condition(criteria)
    return located_units(key) & {"structure_acronym": structure} & passing.proj()


def _require_computed(key: dict[str, Any], alignment: str) -> None:
    for table in (psth.Psth, psth.AlignedBehavior):
        if not table & {**key, "alignment": alignment}:
            raise NotFoundError(
                f"{table.__name__} of session {key['session_id']} is not computed yet ('{alignment}'). "
                "Run: vbn populate (and see vbn status, vbn errors)."
            )
