"""Events to which responses are aligned.

An *event* is a stimulus on the screen, a laser pulse, or an action of the mouse; a *condition* restricts the
events of one kind. `EventSelection` specifies one kind of event and its conditions, `find_events` finds them
in a session. The time of an event on the screen is the ``start_time`` of its presentation, when light reached
the mouse; a trial's ``change_time_no_display_delay`` is some 44 ms earlier and must not be used for
alignment.

A new event or condition must follow this rule: a condition that makes no sense for an event raises an error;
an event for which the condition is merely unknown (a flash in no trial, an image of unknown novelty) is in
none of its groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vbn.analysis.optotagging.conditions import level_name
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import Window
from vbn.analysis.task.engagement import engaged_trials
from vbn.analysis.task.licking import DEFAULT_GAP_S, bout_onsets
from vbn.analysis.task.presentations import (
    NO_ROW,
    TRIAL_OUTCOMES,
    check_columns,
    flags,
    image_names,
    image_rows,
    in_order_of_time,
    is_change,
    is_flash,
    is_in_block,
    is_omission,
    is_sham_change,
    row_before_change,
    rows_at_times,
    start_times,
    trial_rows,
)
from vbn.nearest import nearest

RowSelector = Callable[[pd.DataFrame], Booleans]

BLOCKS = ("active", "passive")
NOVELTIES = ("novel", "familiar")
ENGAGEMENTS = ("engaged", "disengaged")
REPEATS = ("first", "later")
WAVEFORMS = ("pulse", "raised_cosine")
LEVELS = ("low", "medium", "high")
FLASH_COLORS: Mapping[str, float] = MappingProxyType({"flash_on": 1.0, "flash_off": -1.0})

CONDITION_VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "block": BLOCKS,
        "outcome": TRIAL_OUTCOMES,
        "novelty": NOVELTIES,
        "engagement": ENGAGEMENTS,
        "waveform": WAVEFORMS,
        "level": LEVELS,
    }
)
"""Conditions whose values are names; ``image`` takes any name, ``repeat`` a name or a number."""

_OF_AN_IMAGE = ("block", "outcome", "image", "novelty", "engagement")
_REPEATED = (*_OF_AN_IMAGE, "repeat")
EVENT_CONDITIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "change": _OF_AN_IMAGE,
        "omission": _REPEATED,
        "pre_change": _REPEATED,
        "flash": _REPEATED,
        "sham_change": _REPEATED,
        "flash_on": (),
        "flash_off": (),
        "gabor": (),
        "laser_pulse": ("waveform", "level"),
        "lick_bout": ("outcome", "engagement", "bout_gap_s"),
        "reward": ("outcome", "engagement"),
    }
)
"""The conditions that apply to each event."""

_AFTER_CHANGE = ("hit", "miss", "auto_rewarded")
EVENT_OUTCOMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "change": _AFTER_CHANGE,
        "pre_change": _AFTER_CHANGE,
        "sham_change": ("false_alarm", "correct_reject"),
        "reward": ("hit", "auto_rewarded"),
    }
)
"""The trial outcomes with which an event can occur, for events that cannot occur with all of them."""


_IMAGE_WINDOWS = (-0.25, 0.0), (0.0, 0.25)
_LASER_WINDOWS = {  # without 1.5 ms of artefact at either edge of the light, as in the optotagging
    "pulse": ((-0.05, -0.002), (0.0015, 0.0085)),
    "raised_cosine": ((-0.05, -0.002), (0.0015, 0.9985)),
}


def summary_windows_s(event: str, waveform: str | None = None) -> tuple[Window, Window]:
    """Return the windows of an event's baseline and response by default.

    Parameters
    ----------
    event : a key of `EVENT_CONDITIONS`.
    waveform : of laser pulses; None as for short ones.

    Returns
    -------
    Two windows (start, stop) in seconds after the event. Images are shown for 250 ms, after 500 ms of gray:
    the response is during the image, the baseline the second half of the gray.
    """
    if event == "laser_pulse":
        return _LASER_WINDOWS[waveform or "pulse"]
    return ((-1.0, 0.0), (0.0, 0.25)) if event in ("lick_bout", "reward") else _IMAGE_WINDOWS


@dataclass(frozen=True)
class EventSelection:
    """One kind of event, restricted by the conditions that are not None.

    Parameters
    ----------
    event : a key of `EVENT_CONDITIONS`.
    block : ``active``, or ``passive`` for the replay.
    outcome : outcome of the trial in which the event occurs; in the replay, of the trial being replayed.
    image : name of the image shown; for an omission, of the omitted image.
    novelty : ``novel`` or ``familiar``: whether the image is new to the mouse.
    engagement : ``engaged`` or ``disengaged``, by AllenSDK's reward rate in the trial in which the event
        occurs. Not defined in the replay.
    repeat : ``first`` for the first flash of an image, ``later`` for all others, or the number of flashes
        since the first.
    waveform : laser waveform, ``pulse`` or ``raised_cosine``.
    level : laser level, ``low``, ``medium`` or ``high``, by rank among the session's levels of that waveform.
    bout_gap_s : minimum pause between two lick bouts in seconds; 0.7 by default.

    Raises
    ------
    ValueError
        For an unknown event or value, and for a condition that does not apply to the event; the message lists
        what is allowed.

    Examples
    --------
    >>> EventSelection("change", block="active", outcome="hit").event
    'change'
    """

    event: str
    block: str | None = None
    outcome: str | None = None
    image: str | None = None
    novelty: str | None = None
    engagement: str | None = None
    repeat: str | int | None = None
    waveform: str | None = None
    level: str | None = None
    bout_gap_s: float | None = None

    def __post_init__(self) -> None:
        _check_name("event", self.event, EVENT_CONDITIONS)
        if self.event == "lick_bout" and self.bout_gap_s is None:
            object.__setattr__(self, "bout_gap_s", DEFAULT_GAP_S)
        self._check_conditions()
        for condition, known in CONDITION_VALUES.items():
            value = getattr(self, condition)
            if value is not None:
                _check_name(condition, value, known)
        self._check_outcome()
        self._check_free_values()

    @property
    def conditions(self) -> dict[str, str | int | float]:
        """The conditions that are not None, by name."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "event"}
        return {name: value for name, value in given.items() if value is not None}

    def _check_conditions(self) -> None:
        """Raise ``ValueError`` for conditions that do not apply to the event."""
        accepted = EVENT_CONDITIONS[self.event]
        wrong = [name for name in self.conditions if name not in accepted]
        if wrong:
            raise ValueError(
                f"Event '{self.event}' takes no {' and no '.join(wrong)}. "
                f"It takes {', '.join(accepted) if accepted else 'no condition'}."
            )
        if self.block == "passive" and self.engagement is not None:
            raise ValueError("There is no engagement in the passive block: the mouse has no task there.")

    def _check_outcome(self) -> None:
        possible = EVENT_OUTCOMES.get(self.event, TRIAL_OUTCOMES)
        if self.outcome is not None and self.outcome not in possible:
            raise ValueError(
                f"Event '{self.event}' does not happen in trials with outcome '{self.outcome}', only in "
                f"{', '.join(possible)}."
            )

    def _check_free_values(self) -> None:
        if self.image is not None and (not isinstance(self.image, str) or not self.image):
            raise ValueError(f"image must be the name of an image, got {self.image!r}.")
        is_number = isinstance(self.repeat, int) and not isinstance(self.repeat, bool) and self.repeat >= 0
        if self.repeat is not None and self.repeat not in REPEATS and not is_number:
            raise ValueError(
                f"repeat must be 'first', 'later' or a number of flashes from 0, got {self.repeat!r}."
            )
        if self.bout_gap_s is not None and not (np.isfinite(self.bout_gap_s) and self.bout_gap_s > 0):
            raise ValueError(f"bout_gap_s must be a positive number of seconds, got {self.bout_gap_s!r}.")


@dataclass(frozen=True)
class SessionEvents:
    """The tables of a session in which events are found.

    Parameters
    ----------
    presentations : one row per presentation of any stimulus, with AllenSDK's columns: start_time (s), active,
        image_name, is_change and omitted; if available also is_sham_change, is_image_novel,
        flashes_since_change, trials_id, stimulus_block, color and position_x. Missing flags count as not set,
        missing integers may be <NA> or -99.
    trials : one row per trial: start_time, stop_time, the six outcomes, and for engagement lick_times and the
        change time. None if there are no trials.
    pulses : one row per laser pulse: start_time (s), stimulus_name (the waveform), level. None without laser.
    licks, rewards : one row per lick or reward, with timestamps (s). None if there are none.
    """

    presentations: pd.DataFrame
    trials: pd.DataFrame | None = None
    pulses: pd.DataFrame | None = None
    licks: pd.DataFrame | None = None
    rewards: pd.DataFrame | None = None


def find_events(session: SessionEvents, selection: EventSelection) -> Floats:
    """Return the times of the selected events.

    Parameters
    ----------
    session : the session's tables, their rows in any order.
    selection : the events and the conditions.

    Returns
    -------
    (n_events,) seconds, ascending; empty if there are none, or no table for them.

    Raises
    ------
    ValueError
        If the presentations lack a required column.

    Notes
    -----
    Presentations without ``trials_id`` (older files), licks and rewards are assigned to trials by time.
    """
    if selection.event == "laser_pulse":
        times = _laser_times(session.pulses, selection)
    elif selection.event in ("lick_bout", "reward"):
        times = _behavior_times(session, selection)
    else:
        times = _presentation_times(session, selection)
    return np.sort(times)


def _presentation_times(session: SessionEvents, selection: EventSelection) -> Floats:
    check_columns(session.presentations)
    presentations = in_order_of_time(session.presentations)
    chosen = _SHOWN[selection.event](presentations)
    if selection.block is not None:
        chosen &= is_in_block(presentations, selection.block)
    if selection.image is not None or selection.novelty is not None:
        chosen &= _has_image(presentations, selection)
    if selection.repeat is not None:
        chosen &= _is_repeat(presentations, selection.repeat)
    if selection.outcome is not None or selection.engagement is not None:
        active = is_in_block(presentations, "active")
        rows = _event_trials(presentations, session.trials, selection)
        chosen &= _in_trial(rows, active, session, selection)
    return start_times(presentations)[chosen]


def _is_pre_change(presentations: pd.DataFrame) -> Booleans:
    return np.asarray(row_before_change(presentations) != NO_ROW)


def _is_gabor(presentations: pd.DataFrame) -> Booleans:
    """Select Gabors: only they have a position."""
    if "position_x" not in presentations:
        return np.zeros(len(presentations), dtype=np.bool_)
    return presentations["position_x"].notna().to_numpy(np.bool_)


def _has_color(color: float) -> RowSelector:
    """Return a selector of full-field flashes of a color; no other stimulus has one."""

    def is_of_color(presentations: pd.DataFrame) -> Booleans:
        if "color" not in presentations:
            return np.zeros(len(presentations), dtype=np.bool_)
        return np.asarray(presentations["color"].to_numpy(np.float64, na_value=np.nan) == color)

    return is_of_color


_SHOWN: Mapping[str, RowSelector] = MappingProxyType(
    {
        "change": is_change,
        "omission": is_omission,
        "pre_change": _is_pre_change,
        "flash": is_flash,
        "sham_change": is_sham_change,
        "flash_on": _has_color(FLASH_COLORS["flash_on"]),
        "flash_off": _has_color(FLASH_COLORS["flash_off"]),
        "gabor": _is_gabor,
    }
)


def _has_image(presentations: pd.DataFrame, selection: EventSelection) -> Booleans:
    rows = image_rows(presentations)
    chosen = np.asarray(rows != NO_ROW)
    if selection.image is not None:
        chosen &= (image_names(presentations) == selection.image).to_numpy(np.bool_)[rows]
    if selection.novelty is not None:
        chosen &= _is_of_novelty(presentations, selection.novelty)[rows]
    return chosen


def _is_of_novelty(presentations: pd.DataFrame, novelty: str) -> Booleans:
    """Return (n_presentations,) whether the image has this novelty; False where it is unknown."""
    if "is_image_novel" not in presentations:
        return np.zeros(len(presentations), dtype=np.bool_)
    novel = presentations["is_image_novel"].astype("boolean")
    return novel.eq(novelty == "novel").fillna(False).to_numpy(np.bool_)


def _is_repeat(presentations: pd.DataFrame, repeat: str | int) -> Booleans:
    """Compare the flashes since the change; False where unknown (NA, -99, no such column)."""
    if "flashes_since_change" not in presentations:
        return np.zeros(len(presentations), dtype=np.bool_)
    since = presentations["flashes_since_change"].astype("Int64").to_numpy(np.int64, na_value=NO_ROW)
    return np.asarray(since > 0 if repeat == "later" else since == (0 if repeat == "first" else repeat))


def _event_trials(
    presentations: pd.DataFrame, trials: pd.DataFrame | None, selection: EventSelection
) -> Integers:
    """Return the row of each presentation's trial; a pre-change flash belongs to the trial of the change."""
    if trials is None:
        return np.full(len(presentations), NO_ROW, dtype=np.int64)
    rows = trial_rows(presentations, trials)
    if selection.event != "pre_change":
        return rows
    change = row_before_change(presentations)
    return np.where(change == NO_ROW, NO_ROW, rows[change])


def _in_trial(
    rows: Integers, active: Booleans, session: SessionEvents, selection: EventSelection
) -> Booleans:
    """Return which events are in a trial of the selected outcome and engagement."""
    chosen = np.asarray(rows != NO_ROW)
    if session.trials is None:
        return chosen
    if selection.outcome is not None:
        chosen &= _at_rows(flags(session.trials, selection.outcome), rows)
    if selection.engagement is not None:
        wanted = selection.engagement == "engaged"
        chosen &= active & (_at_rows(_engaged(session, session.trials), rows) == wanted)
    return chosen


def _at_rows(values: Booleans, rows: Integers) -> Booleans:
    """Return each event's trial value; False where there is no trial."""
    return np.asarray(np.append(values, False)[rows], dtype=np.bool_)


def _engaged(session: SessionEvents, trials: pd.DataFrame) -> Booleans:
    """Return AllenSDK's engagement, for trials in any order."""
    ordered = in_order_of_time(trials)
    engaged = np.zeros(len(trials), dtype=np.bool_)
    engaged[ordered.index.to_numpy()] = engaged_trials(ordered, session.presentations)
    return engaged


def _behavior_times(session: SessionEvents, selection: EventSelection) -> Floats:
    times = _timestamps(session.rewards if selection.event == "reward" else session.licks)
    if selection.event == "lick_bout":
        assert selection.bout_gap_s is not None
        times = bout_onsets(times, selection.bout_gap_s)
    if selection.outcome is None and selection.engagement is None:
        return times
    if session.trials is None:
        return np.empty(0)
    rows = rows_at_times(times, session.trials)
    return times[_in_trial(rows, np.ones(times.size, dtype=np.bool_), session, selection)]


def _timestamps(table: pd.DataFrame | None) -> Floats:
    return np.empty(0) if table is None else table["timestamps"].to_numpy(np.float64)


def _laser_times(pulses: pd.DataFrame | None, selection: EventSelection) -> Floats:
    if pulses is None or not len(pulses):
        return np.empty(0)
    chosen = np.ones(len(pulses), dtype=np.bool_)
    if selection.waveform is not None:
        chosen &= (pulses["stimulus_name"] == selection.waveform).to_numpy(np.bool_)
    if selection.level is not None:
        chosen &= level_names(pulses) == selection.level
    return start_times(pulses)[chosen]


def level_names(pulses: pd.DataFrame) -> Any:
    """Name the laser levels by rank within each waveform of a session.

    Parameters
    ----------
    pulses : one row per pulse: stimulus_name (the waveform) and level (control voltage, comparable only
        within a session).

    Returns
    -------
    (n_pulses,) object: names as in `vbn.analysis.optotagging.laser_conditions`: ``low``, ``medium`` and
    ``high`` if there are three; None for NaN.
    """
    level = np.round(pulses["level"].to_numpy(np.float64), 9)  # (V) rounding errors of the file
    names = np.full(len(pulses), None, dtype=object)
    for waveform in pulses["stimulus_name"].dropna().unique():
        known = (pulses["stimulus_name"] == waveform).to_numpy(np.bool_) & ~np.isnan(level)
        levels, rank = np.unique(level[known], return_inverse=True)
        names[known] = [level_name(int(each), levels.size) for each in rank]
    return names


def _check_name(kind: str, name: object, known: Iterable[str]) -> None:
    names = list(known)
    if name in names:
        return
    raise ValueError(f"Unknown {kind} {name!r}.{nearest(name, names)}")
