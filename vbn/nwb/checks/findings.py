"""Checks of a session's data, one function per concept, on frames returned by the readers.

Every function returns at most one issue per code, with the number of rows and the first of them. None of them
raises for anomalous values or changes its frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.issue import Issue, first_of, issue
from vbn.nwb.readers.changes import active_images
from vbn.nwb.readers.probes import CCF_COLUMNS
from vbn.nwb.readers.units import METRICS

OUTCOMES = ("hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded")

OVERLAP_TOLERANCE_S = 1e-3
"""Presentations without a gap may overlap by this much, due to rounding."""

LICK_WINDOW_S = 1.0
"""Longest time from a lick to the reward it earns."""

LONG_AFTER_S = 60.0
"""Probes may record longer than everything else by up to this time."""


def find_channel_issues(channels: pd.DataFrame) -> list[Issue]:
    """Find invalid channels, missing or zero coordinates, and missing structures.

    Parameters
    ----------
    channels : frame from `read_channels`.

    Returns
    -------
    list of Issue
        ``invalid_channels``, ``missing_ccf`` (a coordinate is NaN), ``zero_ccf`` (all three are 0) and
        ``missing_structure``.
    """
    coordinates = channels[list(CCF_COLUMNS)]
    rows = {
        "invalid_channels": _known_invalid(channels),
        "missing_ccf": coordinates.isna().any(axis=1),
        "zero_ccf": (coordinates == 0).all(axis=1),
        "missing_structure": channels["structure_acronym"].isna(),
    }
    return _marked(rows, "channels", channels["channel_id"])


def find_unit_issues(units: pd.DataFrame, channels: pd.DataFrame) -> list[Issue]:
    """Find units on invalid channels, and NaN metrics.

    Parameters
    ----------
    units : frame from `read_units`.
    channels : frame from `read_channels`.

    Returns
    -------
    list of Issue
        ``unit_on_invalid_channel`` and ``nan_metrics``. A metric that is NaN for all units is not counted: it
        counts as a missing column.
    """
    invalid = channels.loc[_known_invalid(channels), "channel_id"]
    on_invalid = units["peak_channel_id"].isin(invalid)
    found = _marked({"unit_on_invalid_channel": on_invalid}, "units", units["unit_id"])
    missing = units[[name for name in METRICS if name in units]].isna()
    counts = missing.sum()
    counts = counts[(counts > 0) & (counts < len(units))]
    if len(counts):
        ids = units.loc[missing[counts.index].any(axis=1), "unit_id"]
        by_metric = ", ".join(f"{name} {count}" for name, count in counts.items())
        found.append(issue("nan_metrics", "units", f"units {first_of(ids.tolist())} ({by_metric})"))
    return found


def find_infinite_values(frame: pd.DataFrame, table: str, but: Iterable[str] = ()) -> list[Issue]:
    """Find infinite numbers.

    Parameters
    ----------
    frame : any frame whose first column identifies the rows.
    table : its name.
    but : columns in which infinity is meaningful.

    Returns
    -------
    list of Issue
        ``infinite_values``.
    """
    numbers = frame.select_dtypes("float").drop(columns=list(but), errors="ignore")
    infinite = np.isinf(numbers.to_numpy(dtype=np.float64))
    if not infinite.any():
        return []
    counts = dict(zip(numbers.columns, infinite.sum(axis=0).tolist(), strict=True))
    by_column = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    ids = frame.iloc[:, 0].to_numpy()[infinite.any(axis=1)].tolist()
    return [issue("infinite_values", table, f"rows {first_of(ids)} ({by_column})")]


def find_unsorted_times(times: NDArray[np.float64], table: str) -> list[Issue]:
    """Find times that are not ascending, or not finite.

    Parameters
    ----------
    times : (n,), s; equal times are allowed.
    table : table to which they belong.

    Returns
    -------
    list of Issue
        ``unsorted_times`` and ``missing_times``; rows are counted from 0.
    """
    missing = ~np.isfinite(times)
    known = np.flatnonzero(~missing)
    back = known[1:][np.diff(times[known]) < 0]
    rows = {"unsorted_times": back, "missing_times": np.flatnonzero(missing)}
    return [
        issue(code, table, f"rows {first_of(found.tolist())}") for code, found in rows.items() if len(found)
    ]


def find_trial_issues(trials: pd.DataFrame) -> list[Issue]:
    """Find trials without exactly one outcome.

    Parameters
    ----------
    trials : frame from `read_trials`.

    Returns
    -------
    list of Issue
        ``trial_outcome_not_one``.
    """
    outcomes = trials[list(OUTCOMES)].sum(axis=1)
    return _marked({"trial_outcome_not_one": outcomes != 1}, "trials", trials["trial_id"])


def find_change_issues(trials: pd.DataFrame, presentations: pd.DataFrame) -> list[Issue]:
    """Find changes and sham changes without a matching active presentation.

    Parameters
    ----------
    trials : frame from `read_trials`.
    presentations : frame from `read_stimulus_presentations`.

    Returns
    -------
    list of Issue
        ``change_without_presentation`` where no active image starts within one frame of the change, and
        ``change_beside_presentation`` where one starts in the frame before or after it.
    """
    rows = trials[trials["change_frame"].notna()]
    frames = rows["change_frame"].to_numpy(dtype=np.int64)
    starts = presentations.loc[active_images(presentations), "start_frame"].dropna().to_numpy(np.int64)
    exact = np.isin(frames, starts)
    beside = np.isin(frames - 1, starts) | np.isin(frames + 1, starts)
    marked = {
        "change_without_presentation": ~(exact | beside),
        "change_beside_presentation": beside & ~exact,
    }
    return _marked(marked, "trials", rows["trial_id"])


def find_unknown_trials(trials: pd.DataFrame, presentations: pd.DataFrame) -> list[Issue]:
    """Find presentations that refer to a trial missing from the file.

    Parameters
    ----------
    trials : frame from `read_trials`.
    presentations : frame from `read_stimulus_presentations`.

    Returns
    -------
    list of Issue
        ``unknown_trial``.
    """
    unknown = presentations["trials_id"].notna() & ~presentations["trials_id"].isin(trials["trial_id"])
    return _marked({"unknown_trial": unknown}, "stimulus_presentations", presentations["presentation_id"])


def find_presentation_issues(presentations: pd.DataFrame) -> list[Issue]:
    """Find overlapping presentations, and blocks with several stimuli.

    Parameters
    ----------
    presentations : frame from `read_stimulus_presentations`.

    Returns
    -------
    list of Issue
        ``overlapping_presentations`` for those that start more than a millisecond before an earlier one has
        ended; unknown ends are ignored. ``mixed_block`` for blocks with several stimuli.
    """
    ends = presentations["end_time"].fillna(-np.inf).cummax().shift(fill_value=-np.inf)
    overlapping = presentations["start_time"] < ends - OVERLAP_TOLERANCE_S
    found = _marked(
        {"overlapping_presentations": overlapping}, "stimulus_presentations", presentations["presentation_id"]
    )
    names = presentations.groupby("stimulus_block")["stimulus_name"].nunique()
    mixed = names.index[names > 1].tolist()
    if mixed:
        found.append(issue("mixed_block", "stimulus_presentations", f"blocks {first_of(mixed)}"))
    return found


def find_frame_issues(
    trials: pd.DataFrame,
    presentations: pd.DataFrame,
    licks: pd.DataFrame,
    stimulus_timestamps: NDArray[np.float64],
) -> list[Issue]:
    """Find frame numbers without a stimulus timestamp.

    Parameters
    ----------
    trials, presentations, licks : frames from their readers.
    stimulus_timestamps : (n_frames,), s.

    Returns
    -------
    list of Issue
        ``frame_without_time``, one per table.
    """
    frames = {
        "trials": trials["change_frame"],
        "stimulus_presentations": presentations["start_frame"],
        "licks": licks["frame"],
    }
    found: list[Issue] = []
    if not len(stimulus_timestamps):
        return found  # the file stores none, which is an issue of its own
    for table, numbers in frames.items():
        known = numbers.dropna()
        outside = known[(known < 0) | (known >= len(stimulus_timestamps))]
        if len(outside):
            found.append(issue("frame_without_time", table, f"rows {first_of(outside.index.tolist())}"))
    return found


def find_lick_issues(licks: pd.DataFrame) -> list[Issue]:
    """Find licks that are out of order.

    Parameters
    ----------
    licks : frame from `read_licks`.

    Returns
    -------
    list of Issue
        ``licks_out_of_order`` where time or frame is less than that of the lick before; ``no_licks``.
    """
    if licks.empty:
        return [issue("no_licks", "licks", "0 licks")]
    back = (licks["timestamps"].diff() < 0) | (licks["frame"].diff() < 0)
    return _marked({"licks_out_of_order": back}, "licks", licks.index.to_series())


def find_reward_issues(rewards: pd.DataFrame, licks: pd.DataFrame) -> list[Issue]:
    """Find earned rewards without a lick.

    Parameters
    ----------
    rewards : frame from `read_rewards`.
    licks : frame from `read_licks`.

    Returns
    -------
    list of Issue
        ``reward_without_lick`` for earned rewards without a lick within ``[time - 1 s, time]``;
        ``no_rewards``.
    """
    if rewards.empty:
        return [issue("no_rewards", "rewards", "0 rewards")]
    times = rewards["timestamps"].to_numpy(dtype=np.float64)
    lick_times = np.sort(licks["timestamps"].dropna().to_numpy(dtype=np.float64))
    before = np.searchsorted(lick_times, times, side="right")
    earlier = np.searchsorted(lick_times, times - LICK_WINDOW_S, side="left")
    alone = (before == earlier) & ~rewards["auto_rewarded"].to_numpy(dtype=np.bool_)
    return _marked({"reward_without_lick": alone}, "rewards", rewards.index.to_series())


def find_late_spikes(last_spikes: Mapping[int, float], last_time_s: float) -> list[Issue]:
    """Find spikes after the end of everything else recorded.

    Parameters
    ----------
    last_spikes : unit -> time of its last spike, s.
    last_time_s : latest time of anything else in the file; NaN if there is none.

    Returns
    -------
    list of Issue
        ``spikes_after_recording``: ``info``, because probes record somewhat longer, but ``warning`` if by
        more than a minute.
    """
    late = {unit: time for unit, time in last_spikes.items() if time > last_time_s}
    if not late:
        return []
    after_s = max(late.values()) - last_time_s
    detail = f"units {first_of(late)}; the last spike is {after_s:.3f} s after {last_time_s:.3f} s"
    return [
        issue("spikes_after_recording", "spike_times", detail, "warning" if after_s > LONG_AFTER_S else None)
    ]


def find_missing_pupil(eye_tracking: pd.DataFrame | None) -> list[Issue]:
    """Report a recording without eye tracking or without a pupil.

    Parameters
    ----------
    eye_tracking : frame from `read_eye_tracking`, or None.

    Returns
    -------
    list of Issue
        ``missing_pupil``.
    """
    if eye_tracking is None:
        return [issue("missing_pupil", "eye_tracking", "there is no eye tracking")]
    if eye_tracking["pupil_area_raw"].isna().all():
        return [issue("missing_pupil", "eye_tracking", f"no pupil in {len(eye_tracking)} frames")]
    return []


def find_missing_laser_table(pulses: pd.DataFrame | None) -> list[Issue]:
    """Report a recording without laser pulses.

    Parameters
    ----------
    pulses : frame from `read_optotagging`, or None.

    Returns
    -------
    list of Issue
        ``missing_laser_table``.
    """
    if pulses is None:
        return [issue("missing_laser_table", "optotagging", "there is no table of laser pulses")]
    return []


def _known_invalid(channels: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the channels that are known to be unusable."""
    return ~channels["valid_data"].fillna(True).to_numpy(dtype=np.bool_)


def _marked(rows: Mapping[str, Any], table: str, ids: pd.Series[Any]) -> list[Issue]:
    """Create an issue for each code that marks at least one row."""
    values = ids.to_numpy()
    found = []
    for code, marked in rows.items():
        chosen = values[np.asarray(marked, dtype=np.bool_)].tolist()
        if chosen:
            found.append(issue(code, table, first_of(chosen)))
    return found
