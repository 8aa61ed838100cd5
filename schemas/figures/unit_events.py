"""A unit around the events of its session, in groups that can be changed while one looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas import ecephys, stimulus
from schemas.figures.aligned import FLASH_PERIOD_S, FLASH_S, FLASH_STEPS, laser_spans
from schemas.figures.behavior import Samples, pupil_samples, running_samples
from schemas.figures.groups import GROUPINGS, grouped_events, groupings
from schemas.figures.require_entries import require_entries
from schemas.figures.unit import unit_key
from schemas.queries.checks import require_choice
from schemas.reading.recordings import spike_times
from schemas.reading.session_frames import session_events
from schemas.rows.insert import key_of_session
from vbn.analysis.optotagging import condition_onsets, laser_conditions
from vbn.analysis.spikes.aligned_behavior import align_trace
from vbn.analysis.spikes.psth import TimeAxis, count_spikes, psth
from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.task.events import EventSelection, SessionEvents
from vbn.plots.aligned import EventSpikes

__all__ = [
    "EVENTS", "GROUPINGS", "UnitInSession", "events_of_unit", "flash_spans", "groupings", "laser_waveforms",
    "pulses_of_unit", "unit_in_session",
]  # fmt: skip

EVENTS = {"change": "image changes", "omission": "omitted flashes", "flash": "flashes"}


@dataclass(frozen=True)
class UnitInSession:
    """The spikes of a unit and the events of its session.

    Attributes
    ----------
    unit_id : id of the unit.
    train_s : (n_spikes,) ascending, seconds on the session clock.
    events : the tables in which events are found.
    running, pupil : times and values (cm/s, px²), see `schemas.figures.behavior`; None if not recorded.
    """

    unit_id: int
    train_s: NDArray[np.float64]
    events: SessionEvents
    running: Samples | None = None
    pupil: Samples | None = None


@dataclass(frozen=True)
class EventGroup:
    """What a unit and its mouse did around the events of a group.

    Attributes
    ----------
    spikes : the unit's spikes. Events are in order of time.
    behavior : name of what was recorded (running, licks, pupil) -> its mean over the events, (n_bins,), in
        the bins of an axis: cm/s, licks per second, px².
    """

    spikes: EventSpikes
    behavior: dict[str, NDArray[np.float64]]


def unit_in_session(unit_id: int) -> UnitInSession:
    """Return a unit's spikes with the events of its session.

    Raises
    ------
    NotFoundError
        If there is no such unit, or the stimuli of its session are not imported.
    """
    key = unit_key(unit_id)
    require_entries(key_of_session(key), stimulus.Stimulus)
    (train,) = spike_times(ecephys.Recording.Unit & key).values()
    session_key = key_of_session(key)
    return UnitInSession(
        unit_id,
        np.asarray(train),
        session_events(session_key),
        running=running_samples(session_key),
        pupil=pupil_samples(session_key),
    )


def events_of_unit(
    unit: UnitInSession, event: str, group_by: str, window_s: tuple[float, float], axis: TimeAxis
) -> list[EventGroup]:
    """Return what a unit and its mouse did around events, by group.

    Parameters
    ----------
    unit : the unit.
    event : a key of `EVENTS`.
    group_by : a key of `GROUPINGS`; all but ``block`` divide the events of the task.
    window_s : start and stop of the spikes, in seconds from the event.
    axis : the bins of the behavior.

    Returns
    -------
    The groups that have events.

    Raises
    ------
    SettingError
        For an unknown event or grouping.
    """
    require_choice("kind of event", event, list(EVENTS))
    found = grouped_events(unit.events, EventSelection(event, block="active"), group_by)
    return [
        EventGroup(
            EventSpikes(name, *spikes_around(unit.train_s, times, *window_s), len(times)),
            _behavior_around(unit, times, axis),
        )
        for name, times in found.items()
    ]


def laser_waveforms(unit: UnitInSession) -> list[str]:
    """Return the waveforms of the laser in a session, the shortest pulses first; none without a laser."""
    pulses = unit.events.pulses
    if pulses is None or pulses.empty:
        return []
    kinds = laser_conditions(pulses).sort_values("duration_s", kind="stable")
    return list(dict.fromkeys(map(str, kinds["waveform"])))


def pulses_of_unit(
    unit: UnitInSession, waveform: str, window_s: tuple[float, float]
) -> tuple[list[EventSpikes], list[tuple[float, float, str]]]:
    """Return a unit's spikes around laser pulses by level, the lowest first, and when the light is on.

    Parameters
    ----------
    unit : the unit.
    waveform : one of `laser_waveforms`.
    window_s : start and stop, in seconds from the onset of the light.

    Returns
    -------
    groups : the levels that have pulses.
    spans : start, stop (s) and name of the light, and of the time at its edges where artifacts may be.
    """
    require_choice("waveform of the laser", waveform, laser_waveforms(unit))
    pulses = unit.events.pulses
    assert pulses is not None
    kinds, onsets = laser_conditions(pulses), condition_onsets(pulses)
    groups = [
        EventSpikes(
            f"{kind.level_name} ({kind.level:g})", *spikes_around(unit.train_s, times, *window_s), len(times)
        )
        for kind, times in zip(kinds.itertuples(), onsets, strict=True)
        if kind.waveform == waveform
    ]
    return groups, laser_spans(float(kinds.loc[kinds["waveform"] == waveform, "duration_s"].max()))


def _behavior_around(
    unit: UnitInSession, times: NDArray[np.float64], axis: TimeAxis
) -> dict[str, NDArray[np.float64]]:
    traces = {"running": unit.running, "pupil": unit.pupil}
    means = {name: align_trace(times, axis, *each)[0] for name, each in traces.items() if each is not None}
    if unit.events.licks is None:
        return means
    licks = np.sort(unit.events.licks["timestamps"].to_numpy(float))
    return means | {"licks": psth(count_spikes(licks, [0], [licks.size], times, axis), axis).rate_hz[0]}


def flash_spans(event: str) -> list[tuple[float, float]]:
    """Return when flashes are shown around an event, start and stop in seconds."""
    onsets = [step * FLASH_PERIOD_S for step in FLASH_STEPS[event]]
    return [(onset, onset + FLASH_S) for onset in onsets]
