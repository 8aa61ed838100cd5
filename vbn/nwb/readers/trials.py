"""Trials of the change detection task.

Trial times of a recording are frame times without display delay: a change appears on screen some 20 to 45 ms
after ``change_time_no_display_delay``. The ``change_time`` of a behavior-only session is the frame time plus
a constant display delay. Align responses to the flash's ``start_time`` instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.scalars import flat
from vbn.nwb.readers.columns import TEXT_MISSING, Table, frame, integers, times

TRIALS = "intervals/trials"

FLAGS = (
    "is_change",
    "go",
    "catch",
    "hit",
    "miss",
    "false_alarm",
    "correct_reject",
    "aborted",
    "auto_rewarded",
)

CHANGE_TIME = {
    FileKind.RECORDING: "change_time_no_display_delay",
    FileKind.BEHAVIOR_ONLY: "change_time",
}
"""Column with the change time, by kind of session: only one of them includes a display delay."""

OLD_NAMES = {"is_change": "stimulus_change"}
"""Column names in releases before 0.5.0."""


@reads("trials")
def read_trials(recording: RecordingFile) -> pd.DataFrame:
    """Read the trials of a session.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per trial, in file order: trial_id, start_time, stop_time, trial_length, the image names (None
        where missing), the nine flags, change_frame (Int64; NA without change), change_time_no_display_delay,
        response_time (first lick), reward_time (s; NaN where there is none), reward_volume (mL), lick_times
        (an array in s per trial). A behavior-only session has change_time instead of
        change_time_no_display_delay, and response_latency (s from the change to the first lick; infinite
        without a lick, NaN in aborted trials and where the file lacks it). A column that the file lacks is
        missing in all trials, and a lacking trial_length is derived. No rows if there is no table.

    Raises
    ------
    InvalidContentError
        Start, stop or a flag is missing: without them there is no trial.
    """
    kind = recording.identity.kind
    if not recording.has(TRIALS):
        return _no_trials(kind)
    table = Table(recording, TRIALS)
    columns: dict[str, Any] = {"trial_id": table.identifiers()}
    for name in ("start_time", "stop_time"):
        columns[name] = table.times(name)
    length = table.times_or_nan("trial_length")
    columns["trial_length"] = (
        length if table.has("trial_length") else columns["stop_time"] - columns["start_time"]
    )
    for name in ("initial_image_name", "change_image_name"):
        columns[name] = table.texts_or_missing(name, missing=TEXT_MISSING)
    for name in FLAGS:
        columns[name] = table.booleans(_stored_name(table, name))
    columns["change_frame"] = table.integers_or_missing("change_frame")
    for name in (CHANGE_TIME[kind], "response_time", "reward_time"):
        columns[name] = table.times_or_nan(name)
    columns["reward_volume"] = table.floats_or_nan("reward_volume")
    if kind is FileKind.BEHAVIOR_ONLY:
        columns["response_latency"] = table.times_or_nan("response_latency")
    columns["lick_times"] = _lick_times(table, columns["start_time"])
    return frame(columns)


def _no_trials(kind: FileKind) -> pd.DataFrame:
    """Return the trials of a file without any."""
    columns: dict[str, Any] = {
        "trial_id": "int64",
        **dict.fromkeys(("start_time", "stop_time", "trial_length"), "float64"),
    }
    columns |= dict.fromkeys(("initial_image_name", "change_image_name"), "object") | dict.fromkeys(
        FLAGS, "bool"
    )
    columns |= {
        "change_frame": "Int64",
        **dict.fromkeys((CHANGE_TIME[kind], "response_time", "reward_time"), "float64"),
    }
    columns["reward_volume"] = "float64"
    if kind is FileKind.BEHAVIOR_ONLY:
        columns["response_latency"] = "float64"
    columns["lick_times"] = "object"
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})


def split_by_trial(licks: NDArray[np.float64], starts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assign licks to trials by time.

    Parameters
    ----------
    licks : (n_licks,), s, ascending.
    starts : (n_trials,), s, ascending; start times of the trials.

    Returns
    -------
    (n_trials,) int64
        Where each trial's licks end, as in an index column.

    Notes
    -----
    A lick belongs to the trial that started before it; a lick exactly at a trial's start belongs to the
    previous trial (AllenSDK, ``Trial._get_trial_data``: start < lick <= end, with no gaps between trials).
    """
    return np.append(np.searchsorted(licks, starts[1:], side="right"), len(licks)).astype(np.int64)


def _stored_name(table: Table, name: str) -> str:
    old = OLD_NAMES.get(name, name)
    return old if table.has(old) and not table.has(name) else name


def _lick_times(table: Table, starts: NDArray[np.float64]) -> NDArray[np.object_]:
    """Read each trial's licks.

    AllenSDK's writer (``Trials.to_nwb``) stores a ragged column, with two special cases: without any lick the
    column holds a single empty text, and with as many licks as trials the index is missing.
    """
    if not len(table) or not table.has("lick_times"):
        return np.full(len(table), None, dtype=object)
    stored = table.converted("lick_times", table.recording.dataset(f"{table.path}/lick_times"), flat)
    is_text = stored.dtype.kind in "OSU"
    licks = np.empty(0) if is_text else table.converted("lick_times", stored, times)
    if is_text:
        ends = np.zeros(len(table), dtype=np.int64)
    elif table.has("lick_times_index"):
        ends = table.column("lick_times_index", integers)
    else:
        ends = split_by_trial(licks, starts)
    return _ragged(table, licks, ends)


def _ragged(table: Table, values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.object_]:
    """Split values into one array per row."""
    bounds = table.require_bounds("lick_times_index", ends, len(values), "licks")
    rows = np.empty(len(ends), dtype=object)
    for row in range(len(ends)):
        rows[row] = values[bounds[row] : bounds[row + 1]]
    return rows
