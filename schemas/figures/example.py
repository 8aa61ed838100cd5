"""Data of the figure of a stretch of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, session, stimulus
from schemas.figures.behavior import Samples, pupil_samples, running_samples
from schemas.figures.require_entries import require_entries
from schemas.queries.located_units import names_or_none, no_units, session_key
from schemas.reading.recordings import session_spikes
from schemas.reading.session_frames import licks_frame, presentations_frame, rewards_frame
from schemas.selection import UnitCriteria, described_units
from vbn.analysis.selection import passing_units
from vbn.analysis.spikes.trains import unit_trains
from vbn.errors import SettingError
from vbn.plots.example import SessionExample

Key = dict[str, Any]

DURATION_S, MOST_S = 30.0, 600.0
BEFORE_CHANGE_S = 5.0
OMISSION_S = 0.25
"""How long an omitted flash would have been shown."""
NO_FILTER = "all"


def session_example(
    session_id: int,
    *,
    start_s: float | None = None,
    duration_s: float = DURATION_S,
    structure: Sequence[str] = (),
    criteria: str = "quickstart",
) -> SessionExample:
    """Return everything that happened in a stretch of a session.

    Parameters
    ----------
    session_id : id of the session; one without a recording has no units.
    start_s : start of the stretch on the session clock; by default 5 s before the first change of the task.
    duration_s : its length, at most 600 s.
    structure : only units of these structures; of all by default.
    criteria : name of a quality filter (`selection.UnitCriteria`).

    Raises
    ------
    NotFoundError
        If there is no such session or filter, no such units, or the session is not imported.
    SettingError
        If the stretch is no part of the session.
    """
    key = session_key(session_id)
    filters = UnitCriteria.get(criteria)
    require_entries(key, behavior.ChangeDetection, behavior.Licks, stimulus.Stimulus)
    if (session.NwbFile & key).fetch1("file_kind") == "recording":
        require_entries(key, ecephys.Recording)
    presentations = presentations_frame(key)
    start_s, stop_s = _stretch(presentations, start_s, duration_s)
    everything = _shown(presentations)
    shown = everything[(everything["end_time"] > start_s) & (everything["start_time"] < stop_s)]
    units, trains = _units(key, filters, start_s, stop_s)
    if structure:
        chosen = units["structure_acronym"].isin(list(structure)).to_numpy()
        if not chosen.any():
            raise no_units(key, " or ".join(structure), criteria, "Choose another --criteria, such as all.")
        units, trains = units[chosen], [train for train, wanted in zip(trains, chosen, strict=True) if wanted]
    running, pupil = (_part(each(key), start_s, stop_s) for each in (running_samples, pupil_samples))
    return SessionExample(
        session_id=session_id,
        session_type=(session.Session & key).fetch1("session_type"),
        start_s=start_s,
        stop_s=stop_s,
        shown=shown["name"].tolist(),
        shown_start_s=shown["start_time"].to_numpy(float),
        shown_stop_s=shown["end_time"].to_numpy(float),
        is_change=shown["is_change"].fillna(False).to_numpy(bool),
        lick_time_s=_within(licks_frame(key)["timestamps"], start_s, stop_s),
        reward_time_s=_within(rewards_frame(key)["timestamps"], start_s, stop_s),
        running_time_s=running[0],
        running_speed_cm_s=running[1],
        pupil_time_s=pupil[0],
        pupil_area_px2=pupil[1],
        spike_time_s=trains,
        unit_id=units["unit_id"].tolist(),
        structure=names_or_none(units["structure_acronym"]),
        structure_group=names_or_none(units["structure_group"]),
        height_um=units["probe_vertical_position"].to_numpy(float),
        names=sorted(set(everything["name"]) - {"omitted"}),
        criteria="" if criteria == NO_FILTER else criteria,
    )


def _stretch(presentations: pd.DataFrame, start_s: float | None, duration_s: float) -> tuple[float, float]:
    """Return start and stop, within what is known of the session."""
    first_s, last_s = float(presentations["start_time"].min()), float(presentations["end_time"].max())
    if not 0 < duration_s <= MOST_S:
        raise SettingError(f"A stretch has more than 0 and at most {MOST_S:g} s, got {duration_s:g}.")
    if start_s is None:
        changes = presentations.loc[presentations["is_change"].fillna(False).astype(bool), "start_time"]
        start_s = max(float(changes.min()) - BEFORE_CHANGE_S, first_s) if len(changes) else first_s
    if not first_s - duration_s < start_s < last_s:
        raise SettingError(
            f"Nothing is shown from {start_s:g} s on for {duration_s:g} s: stimuli are from {first_s:.1f} to "
            f"{last_s:.1f} s."
        )
    return start_s, start_s + duration_s


def _shown(presentations: pd.DataFrame) -> pd.DataFrame:
    """Return what was on the screen, in order of time, with names for stimuli that are not images."""
    omitted = presentations["omitted"].fillna(False).astype(bool)
    ends = presentations["end_time"].where(~omitted & presentations["end_time"].notna())
    ends = ends.fillna(presentations["start_time"] + OMISSION_S)
    frame = presentations.assign(end_time=ends)
    names = frame["image_name"].astype(object).mask(omitted, "omitted")
    for column, kind in (("color", "flash"), ("position_x", "Gabor")):
        names = names.mask(names.isna() & frame[column].notna(), kind)
    return frame.assign(name=names).dropna(subset="name")  # gray screens have none


def _units(key: Key, filters: Any, start_s: float, stop_s: float) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return the units that pass, with their spikes in the stretch."""
    spikes, times = session_spikes(key)
    described = described_units(key)
    described = described[passing_units(described, filters)] if len(described) else described
    columns = ["unit_id", "structure_acronym", "structure_group", "probe_vertical_position"]
    units = spikes.merge(described[columns], on="unit_id", validate="one_to_one")
    trains = unit_trains(times, units["spike_offset"], units["n_spikes"])
    return units, [_within(train, start_s, stop_s) for train in trains]


def _within(times_s: Any, start_s: float, stop_s: float) -> np.ndarray:
    """Return the times in the stretch, of ascending ones."""
    times = np.asarray(times_s, dtype=np.float64)
    first, last = np.searchsorted(times, [start_s, stop_s])
    return np.array(times[first:last])


def _part(
    samples: Samples | None, start_s: float, stop_s: float
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the times and values of a trace in the stretch; None where it was not recorded."""
    if samples is None:
        return None, None
    time_s, value = (np.asarray(each, dtype=np.float64) for each in samples)
    chosen = (time_s >= start_s) & (time_s < stop_s)
    return time_s[chosen], value[chosen]
