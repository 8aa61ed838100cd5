"""A unit around events: spikes and mean rates, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schemas import optotagging, psth
from schemas.figures.groups import grouped_events
from vbn.analysis.optotagging import laser_conditions
from vbn.analysis.optotagging.measure import condition_windows
from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.spikes.smoothing import REACH_SD, best_smoothing, rate_and_error
from vbn.analysis.task.events import (
    EVENT_CONDITIONS,
    EVENT_OUTCOMES,
    EventSelection,
    SessionEvents,
    find_events,
)
from vbn.errors import SettingError
from vbn.plots.aligned import AlignedUnit, EventRate, EventSpikes

FLASH_S, FLASH_PERIOD_S = 0.25, 0.75
FLASH_STEPS = {
    **dict.fromkeys(("change", "pre_change", "flash", "sham_change"), (-2, -1, 0, 1, 2)),
    "omission": (-2, -1, 1, 2),
    **dict.fromkeys(("flash_on", "flash_off", "gabor"), (0,)),
}
"""Onsets of the flashes around each kind of event, in multiples of the flash period."""
EVENT_NAMES = {
    "change": "image change",
    "omission": "omitted flash",
    "pre_change": "flash before a change",
    "flash": "flash",
    "sham_change": "sham change",
    "flash_on": "white flash",
    "flash_off": "black flash",
    "gabor": "Gabor",
    "laser_pulse": "laser onset",
    "lick_bout": "lick bout",
    "reward": "reward",
}
MOST_SMOOTHING_S, LEAST_PART = 0.05, 20
"""Rates are smoothed by no more than this, nor than this part of the window, unless one asks for more."""


@dataclass(frozen=True)
class RateView:
    """How rates around events are made and grouped.

    Parameters
    ----------
    bin_s : width of the bins in seconds; None for that of the alignment.
    smoothing_s : standard deviation of the Gaussian that they are smoothed with, 0 for none; None for what
        suits the spikes, see `vbn.analysis.spikes.smoothing.best_smoothing`.
    group_by : a key of `schemas.figures.groups.GROUPINGS`; None for task and replay, with a raster by
        outcome.

    Raises
    ------
    SettingError
        If the bins are not positive, or the smoothing is negative.
    """

    bin_s: float | None = None
    smoothing_s: float | None = None
    group_by: str | None = None

    def __post_init__(self) -> None:
        if self.bin_s is not None and not 0 < self.bin_s < np.inf:
            raise SettingError(f"Bins must be longer than 0 s, got {self.bin_s:g}.")
        if self.smoothing_s is not None and not 0 <= self.smoothing_s < np.inf:
            raise SettingError(f"The smoothing must be 0 s or more, got {self.smoothing_s:g}.")

    def bins_of(self, settings: psth.AlignmentSettings) -> tuple[tuple[float, float], float]:
        """Return the window and the width of the bins, of which at least one must fit."""
        window_s, bin_s = (settings.window_start, settings.window_stop), self.bin_s or settings.bin_width
        if bin_s > (window_s[1] - window_s[0]) / 2:
            raise SettingError(
                f"Bins of {1000 * bin_s:g} ms are too long for "
                f"{window_s[0]:g} to {window_s[1]:g} s around the event."
            )
        return window_s, bin_s


def aligned_unit(
    train: np.ndarray, events: SessionEvents, settings: psth.AlignmentSettings, view: RateView
) -> AlignedUnit:
    """Return a unit around the events of an alignment; for those in the task, in the replay, too.

    Parameters
    ----------
    train : (n_spikes,) seconds, ascending.
    events : the tables of the session.
    settings : the alignment.
    view : how the rates are made and grouped.

    Raises
    ------
    SettingError
        If the events have no such groups, or the bins are too long.
    """
    chosen = settings.events
    window_s, bin_s = view.bins_of(settings)
    if view.group_by is None:
        times = _by_block(events, chosen)
        of_rows = _by_outcome(times, events, chosen)
    else:
        times = of_rows = grouped_events(events, chosen, view.group_by)
    smoothing_s = view.smoothing_s
    if smoothing_s is None:
        smoothing_s = _suiting(train, list(times.values()), window_s, bin_s)
    reach = REACH_SD * smoothing_s + bin_s
    rates = []
    for name, onsets in times.items():
        spikes = spikes_around(train, onsets, window_s[0] - reach, window_s[1] + reach)
        centers, rate, sem = rate_and_error(*spikes, len(onsets), window_s, bin_s, smoothing_s)
        rates.append(EventRate(name, rate, sem, len(onsets)))
    if not rates:  # no group has an event
        centers, _, _ = rate_and_error([], [], 0, window_s, bin_s)
    return AlignedUnit(
        event_name=EVENT_NAMES[chosen.event],
        edges_s=np.append(centers - bin_s / 2, centers[-1] + bin_s / 2),
        rows=[
            EventSpikes(name, *spikes_around(train, onsets, *window_s), len(onsets))
            for name, onsets in of_rows.items()
        ],
        rates=rates,
        spans=spans(events, chosen),
        smoothing_s=smoothing_s,
    )


def _suiting(
    train: np.ndarray, groups: Sequence[np.ndarray], window_s: tuple[float, float], bin_s: float
) -> float:
    """Return the smoothing that suits the groups on average, at least a bin; 0 where bins are too long."""
    most_s = min(MOST_SMOOTHING_S, (window_s[1] - window_s[0]) / LEAST_PART)
    if most_s <= bin_s:
        return 0.0
    wide = window_s[0] - REACH_SD * most_s, window_s[1] + REACH_SD * most_s
    spikes = [spikes_around(train, onsets, *wide)[0] for onsets in groups if len(onsets)]
    widths = [best_smoothing(times, window_s, bin_s, most_s) for times in spikes]
    return float(np.exp(np.mean(np.log(widths)))) if widths else 0.0


def _by_block(events: SessionEvents, chosen: EventSelection) -> dict[str, np.ndarray]:
    kinds = {chosen.block or "all": chosen}
    if chosen.block == "active" and chosen.engagement is None:
        kinds["passive"] = replace(chosen, block="passive")
    return {name: find_events(events, each) for name, each in kinds.items()}


def _by_outcome(
    times: dict[str, np.ndarray], events: SessionEvents, chosen: EventSelection
) -> dict[str, np.ndarray]:
    """Return the events in the task split by the outcome of their trials, where outcomes apply."""
    outcomes = EVENT_OUTCOMES.get(chosen.event, ())
    if (
        chosen.block != "active"
        or chosen.outcome is not None
        or "outcome" not in EVENT_CONDITIONS[chosen.event]
    ):
        return times
    by_outcome = {
        name.removesuffix("_rewarded").replace("_", " "): find_events(events, replace(chosen, outcome=name))
        for name in outcomes
    }
    if not by_outcome:
        return times
    by_outcome["other"] = np.setdiff1d(times["active"], np.concatenate(list(by_outcome.values())))
    return by_outcome | {name: each for name, each in times.items() if name != "active"}


def spans(events: SessionEvents, chosen: EventSelection) -> list[tuple[float, float, str]]:
    """Return the flashes, or the laser pulse, around events: start, stop and label."""
    if chosen.event != "laser_pulse":
        onsets = [step * FLASH_PERIOD_S for step in FLASH_STEPS.get(chosen.event, ())]
        return [(onset, onset + FLASH_S, "flash") for onset in onsets]
    if events.pulses is None or events.pulses.empty:
        return []
    kinds = laser_conditions(events.pulses)
    wanted: dict[str, Any] = {"waveform": chosen.waveform, "level_name": chosen.level}
    for column, value in wanted.items():
        kinds = kinds if value is None else kinds[kinds[column] == value]
    return laser_spans(kinds["duration_s"].max()) if len(kinds) else []


def laser_spans(duration_s: float) -> list[tuple[float, float, str]]:
    """Return the light of a pulse, and the censored time at its edges, where artifacts may be."""
    windows = condition_windows(
        optotagging.OptotagParams.get(optotagging.OptotagParams.default_name()), duration_s
    )
    edges = [(*windows[name], "artefact") for name in ("onset_artifact", "offset_artifact")]
    return [(0.0, duration_s, "light"), *edges]
