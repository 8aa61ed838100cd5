"""Matching image changes between trials and presentations, which use two clocks.

A trial has the frame of its change and a time without display delay; a presentation has the time when the
image was on screen. Both have the frame, so they are matched by frame, never by time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.readers.trials import CHANGE_TIME


def match_changes(
    trials: pd.DataFrame, presentations: pd.DataFrame, stimulus_timestamps: NDArray[np.float64]
) -> pd.DataFrame:
    """Find the presentation at which each trial's image changed, or could have changed.

    Parameters
    ----------
    trials : frame from `read_trials`, of a recording or a behavior-only session.
    presentations : frame from `read_stimulus_presentations`.
    stimulus_timestamps : (n_frames,), s; from `read_stimulus_timestamps`.

    Returns
    -------
    DataFrame
        One row per trial with a change_frame (go, auto-rewarded, and catch with its sham change), in the
        order of `trials`: trial_id, is_sham_change, change_frame, presentation_id (Int64; NA where no active
        image starts in the frame), change_time (s, the trial's own), frame_time (s, of the stimulus
        timestamps; NaN for a frame beyond them), presentation_start_time (s; NaN without presentation),
        residual (s, presentation_start_time - change_time) and frame_residual (s, presentation_start_time -
        frame_time).

    Notes
    -----
    In recordings the residual is the measured display lag, about 0.044 s; in behavior-only sessions, whose
    presentations are not measured, it is 0. To find the trial of a presentation, use its trials_id.
    """
    rows = trials[trials["change_frame"].notna()]
    frames = rows["change_frame"].to_numpy(dtype=np.int64)
    shown = presentations[active_images(presentations) & presentations["start_frame"].notna()]
    shown = shown.drop_duplicates("start_frame")
    found = shown.set_index("start_frame").reindex(frames)
    change_time = rows[change_time_column(trials)].to_numpy(dtype=np.float64)
    start_time = found["start_time"].to_numpy(dtype=np.float64)
    frame_time = frame_times(frames, stimulus_timestamps)
    columns: dict[str, Any] = {
        "trial_id": rows["trial_id"].to_numpy(),
        "is_sham_change": rows["catch"].to_numpy(dtype=np.bool_),
        "change_frame": frames,
        "presentation_id": found["presentation_id"].astype("Int64").array,
        "change_time": change_time,
        "frame_time": frame_time,
        "presentation_start_time": start_time,
        "residual": start_time - change_time,
        "frame_residual": start_time - frame_time,
    }
    return pd.DataFrame(columns)


def change_time_column(trials: pd.DataFrame) -> str:
    """Return the name of the column with the change time, which depends on the kind of session.

    Raises
    ------
    ValueError
        If there is none.
    """
    for name in CHANGE_TIME.values():
        if name in trials:
            return name
    raise ValueError(f"trials must have one of {list(CHANGE_TIME.values())}, and have {list(trials)}.")


def active_images(presentations: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the flashes and omissions during the task."""
    images = presentations["image_name"].notna() & presentations["active"]
    return images.to_numpy(dtype=np.bool_)


def frame_times(frames: NDArray[np.int64], stimulus_timestamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times of frames.

    Parameters
    ----------
    frames : (n,) frame numbers.
    stimulus_timestamps : (n_frames,), s.

    Returns
    -------
    (n,) float64, s
        NaN for a frame without a timestamp.
    """
    times = np.full(len(frames), np.nan)
    inside = (frames >= 0) & (frames < len(stimulus_timestamps))
    times[inside] = stimulus_timestamps[frames[inside]]
    return times
