"""Data of the figure of a session's behavior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, performance, session, stimulus
from schemas.figures.require_entries import require_entries
from schemas.files.array_store import mapped
from schemas.queries.located_units import session_key
from schemas.queries.methods import warn_of_earlier_methods
from schemas.reading.session_frames import licks_frame, presentations_frame, rewards_frame, trials_frame
from schemas.rows.fetch import fetch_frame
from vbn.analysis.spikes.binning import equal_bins, mean_in_bins
from vbn.analysis.task.presentations import change_flash_times
from vbn.errors import NotFoundError
from vbn.plots.behavior import SessionBehavior

Key = dict[str, Any]
Samples = tuple[np.ndarray, np.ndarray]

OUTCOME_COLUMNS = ("hit", "miss", "false_alarm", "correct_reject", "auto_rewarded")
OUTCOME_NAMES = ("hit", "miss", "false alarm", "correct reject", "auto-rewarded")


def session_behavior(
    session_id: int, *, engagement: str | None = None, bin_s: float = 5.0
) -> SessionBehavior:
    """Return the behavior of a session, with or without a recording.

    Parameters
    ----------
    session_id : id of the session.
    engagement : name of a row of `performance.EngagementParams`; the default one when None.
    bin_s : bin width of running speed and pupil area, in seconds.

    Raises
    ------
    NotFoundError
        If there is no such session or definition, the session is not imported and computed, or has no trials.
    """
    key = session_key(session_id)
    require_entries(key, behavior.ChangeDetection, behavior.Licks, behavior.TaskParameters, stimulus.Stimulus)
    rolling_key = {**key, "performance_params": performance.PerformanceParams.default_name()}
    engaged_key = {**key, "engagement_params": engagement or performance.EngagementParams.default_name()}
    performance.EngagementParams.get(engaged_key)
    require_entries(rolling_key, performance.RollingPerformance)
    require_entries(engaged_key, performance.Engagement)
    computed = {performance.RollingPerformance: rolling_key, performance.Engagement: engaged_key}
    warn_of_earlier_methods(computed, key)
    trials = trials_frame(key)
    if trials.empty:
        raise NotFoundError(f"Session {session_id} has no trials to draw.")
    rolling = fetch_frame(performance.RollingPerformance.Trial & rolling_key).set_index("trial_id")
    rolling = rolling.reindex(trials["trial_id"])
    epochs = fetch_frame(performance.Engagement.Epoch & engaged_key & "epoch_is_engaged")
    start_s, stop_s = float(trials["start_time"].min()), float(trials["stop_time"].max())
    edges = equal_bins(start_s, stop_s, bin_s)
    changes, outcomes = shown_changes(key, trials)
    task = (behavior.TaskParameters & key).fetch1()
    return SessionBehavior(
        session_id=session_id,
        session_type=(session.Session & key).fetch1("session_type"),
        start_s=start_s,
        stop_s=stop_s,
        trial_time_s=trials["start_time"].to_numpy(float),
        dprime=rolling["rolling_dprime"].to_numpy(float),
        hit_rate=rolling["hit_rate"].to_numpy(float),
        false_alarm_rate=rolling["false_alarm_rate"].to_numpy(float),
        reward_rate_per_min=rolling["reward_rate"].to_numpy(float),
        engaged_threshold_per_min=performance.PerformanceParams.get(rolling_key).engaged_threshold,
        engaged_epochs_s=epochs[["epoch_start_time", "epoch_stop_time"]].to_numpy(float),
        bin_time_s=(edges[:-1] + edges[1:]) / 2,
        running_speed_cm_s=binned_running(key, edges),
        pupil_area_px2=binned_pupil(key, edges),
        change_time_s=changes,
        outcome=outcomes,
        lick_time_s=licks_frame(key)["timestamps"].to_numpy(float),
        reward_time_s=np.sort(rewards_frame(key)["timestamps"].to_numpy(float)),
        response_window_s=(task["response_window_start"], task["response_window_stop"]),
    )


def running_samples(key: Key) -> Samples | None:
    """Return times (s) and running speed (cm/s) of a session, None where it is not imported."""
    return _samples(behavior.Running & key, "running_timestamps", "running_speed")


def pupil_samples(key: Key) -> Samples | None:
    """Return times (s) and pupil area (px²) of a session, NaN in blinks; None without eye tracking."""
    tracked = behavior.EyeTracking & key & "has_eye_tracking"
    return _samples(tracked, "eye_timestamps", "pupil_area")


def binned_running(key: Key, edges_s: np.ndarray) -> np.ndarray | None:
    """Return `running_samples` in bins."""
    return None if (samples := running_samples(key)) is None else mean_in_bins(*samples, edges_s)


def binned_pupil(key: Key, edges_s: np.ndarray) -> np.ndarray | None:
    """Return `pupil_samples` in bins."""
    return None if (samples := pupil_samples(key)) is None else mean_in_bins(*samples, edges_s)


def _samples(query: Any, times: str, values: str) -> Samples | None:
    rows = query.proj(times, values).to_dicts()
    return (mapped(rows[0][times]), mapped(rows[0][values])) if rows else None


def shown_changes(key: Key, trials: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Return when each trial's change or sham change was on the screen, and the trial's outcome."""
    times = change_flash_times(presentations_frame(key), trials)
    flags = trials[list(OUTCOME_COLUMNS)].to_numpy(bool)
    shown = np.isfinite(times) & flags.any(axis=1)
    return times[shown], [OUTCOME_NAMES[column] for column in flags[shown].argmax(axis=1)]
