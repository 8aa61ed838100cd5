"""A session's tables as data frames with AllenSDK's column names, as ``vbn.analysis`` expects them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, stimulus
from schemas.reading.kept_frames import read_once
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import key_of_session
from vbn.analysis.task.events import SessionEvents
from vbn.analysis.task.flash_behavior import BENNETT_GAP_S, flash_behavior

Key = dict[str, Any]

CHANGE_TIMES = ["change_time_no_display_delay", "change_time"]
TRIAL_FLAGS = (
    "go", "catch", "hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded", "is_change",
)  # fmt: skip
PRESENTATION_FLAGS = (
    "active", "is_change", "is_sham_change", "is_image_novel", "omitted", "rewarded",
)  # fmt: skip
PRESENTATION_NAMES = {
    "presentation_start_time": "start_time",
    "presentation_end_time": "end_time",
    "trial_id": "trials_id",
    "block": "stimulus_block",
}
EVENT_COLUMNS = (
    "presentation_start_time", "presentation_end_time", "trial_id", "block", "image_name",
    "flashes_since_change", "start_frame", "orientation", "position_x", "position_y", "color",
    *PRESENTATION_FLAGS,
)  # fmt: skip


@read_once(stimulus.Stimulus)
def presentations_frame(key: Key) -> pd.DataFrame:
    """Return a session's presentations of all stimuli, in order: flags are ``boolean``, missing values NA."""
    query = stimulus.Stimulus.Presentation & key_of_session(key)
    frame = _frame(query.proj(*EVENT_COLUMNS), "presentation_id").rename(columns=PRESENTATION_NAMES)
    integers = dict.fromkeys(("trials_id", "flashes_since_change", "start_frame"), "Int64")
    numbers = dict.fromkeys(("end_time", "orientation", "position_x", "position_y", "color"), np.float64)
    return frame.astype({**dict.fromkeys(PRESENTATION_FLAGS, "boolean"), **integers, **numbers})


@read_once(behavior.ChangeDetection)
def trials_frame(key: Key) -> pd.DataFrame:
    """Return a session's trials, in order, with whichever change time its file has."""
    query = behavior.ChangeDetection.Trial & key_of_session(key)
    names = [name for name in query.heading.names if name not in ("mouse_id", "session_id")]
    trials = _frame(query, "trial_id", names).rename(columns=behavior.TRIAL_COLUMNS)
    if trials["change_time_no_display_delay"].isna().all():  # behavior-only: the other time base
        trials = trials.drop(columns="change_time_no_display_delay")
    else:
        trials = trials.drop(columns="change_time")
    times = ("response_time", "reward_time", *trials.columns.intersection(CHANGE_TIMES))
    return trials.astype({**dict.fromkeys(TRIAL_FLAGS, bool), **dict.fromkeys(times, float)})


@read_once(behavior.ChangeDetection)
def rewards_frame(key: Key) -> pd.DataFrame:
    """Return a session's rewards, in order: ``timestamps`` (s), ``volume`` (mL), ``auto_rewarded``."""
    query = behavior.ChangeDetection.Reward & key_of_session(key)
    names = ["reward_id", *behavior.REWARD_COLUMNS, "volume"]
    rewards = _frame(query.proj(*names[1:]), "reward_id", names).rename(columns=behavior.REWARD_COLUMNS)
    return rewards.astype({"timestamps": float, "volume": float, "auto_rewarded": bool})


@read_once(behavior.Licks)
def licks_frame(key: Key) -> pd.DataFrame:
    """Return a session's licks: ``timestamps`` (s); licks without a time are omitted."""
    times = (behavior.Licks & key_of_session(key)).fetch1("lick_timestamps")
    return pd.DataFrame({"timestamps": times[np.isfinite(times)]})


@read_once(stimulus.Stimulus, behavior.ChangeDetection, behavior.Licks)
def flashes_frame(key: Key, gap_s: float = BENNETT_GAP_S) -> pd.DataFrame:
    """Return what the mouse did around each flash and omission of a session, with presentation ids as index.

    Parameters
    ----------
    key : contains the key of the session.
    gap_s : pause in seconds; longer pauses separate lick bouts.

    Returns
    -------
    As of `vbn.analysis.task.flash_behavior.flash_behavior`.
    """
    presentations = presentations_frame(key).set_index("presentation_id")
    return flash_behavior(presentations, trials_frame(key), licks_frame(key)["timestamps"], gap_s)


@read_once(stimulus.OptoStimulation)
def pulses_frame(key: Key) -> pd.DataFrame:
    """Return a session's laser pulses in order; empty for a session without a laser.

    Columns: ``start_time``, ``stop_time``, ``duration`` (s), ``level``, ``stimulus_name`` (the waveform).
    """
    renamed = {
        "start_time": "pulse_start_time",
        "stop_time": "pulse_stop_time",
        "duration": "pulse_duration",
        "stimulus_name": "waveform",
        "level": "level",
    }
    query = (stimulus.OptoStimulation.Pulse & key_of_session(key)).proj(**renamed)
    return _frame(query, "pulse_id", list(renamed))


def task_frames(key: Key) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return a session's trials, rewards and licks."""
    return trials_frame(key), rewards_frame(key), licks_frame(key)


def session_events(key: Key) -> SessionEvents:
    """Return the tables of a session from which its events are found."""
    trials, rewards, licks = task_frames(key)
    return SessionEvents(presentations_frame(key), trials, pulses_frame(key), licks, rewards)


def _frame(query: Any, order: str, names: list[str] | None = None) -> pd.DataFrame:
    frame = fetch_frame(query, order)
    return frame[names or [name for name in frame.columns if name not in ("mouse_id", "session_id")]]
