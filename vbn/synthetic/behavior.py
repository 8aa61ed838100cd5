"""Tables of trials, licks and rewards from planned trials.

All times here are without display delay, and every time in a trial must be a frame time, so that
``change_time_no_display_delay`` equals ``stimulus_timestamps[change_frame] - 0.02`` to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.synthetic.task import FLASH_PERIOD_FRAMES, IMAGES, RESPONSE_WINDOW_S, TrialPlan
from vbn.synthetic.timeline import FIRST_FLASH_FRAME, Clock

AUTO_REWARD_ML = 0.005
_AUTO_REWARD_FRAMES = 9
_SENSOR_LEAD_S = 0.0162


@dataclass(frozen=True)
class Behavior:
    """Trials, licks and rewards of the active block.

    ``trials`` has the columns of a file, with ``lick_times`` as an object column of arrays. ``lick_times_s``
    are the sensor times (ascending) and ``lick_frames`` the corresponding frames; ``rewards`` has the columns
    ``timestamps``, ``volume`` and ``auto_rewarded``.
    """

    trials: pd.DataFrame
    lick_times_s: np.ndarray
    lick_frames: np.ndarray
    rewards: pd.DataFrame


def record_behavior(
    rng: np.random.Generator, plans: list[TrialPlan], clock: Clock, image_set: str, reward_ml: float
) -> Behavior:
    """Convert planned trials into the tables of a file."""
    images = IMAGES[image_set]
    lick_times = [_sensor_times(rng, plan, clock) for plan in plans]
    lick_frames = [clock.lick_frame(times) for times in lick_times]
    rows = [
        _trial_row(plan, frames, clock, images, reward_ml)
        for plan, frames in zip(plans, lick_frames, strict=True)
    ]
    trials = pd.DataFrame(rows)
    paid = trials[trials["reward_volume"] > 0]
    rewards = pd.DataFrame(
        {
            "timestamps": paid["reward_time"].to_numpy(dtype=np.float64),
            "volume": paid["reward_volume"].to_numpy(dtype=np.float64),
            "auto_rewarded": paid["auto_rewarded"].to_numpy(dtype=bool),
        }
    )
    return Behavior(trials, np.concatenate(lick_times), np.concatenate(lick_frames), rewards)


def first_frame(flash: int) -> int:
    """Return the first frame of a flash of the active block."""
    return FIRST_FLASH_FRAME + FLASH_PERIOD_FRAMES * flash


def _sensor_times(rng: np.random.Generator, plan: TrialPlan, clock: Clock) -> np.ndarray:
    anchor_s = clock.undelayed[first_frame(plan.anchor_flash)]
    licks = anchor_s + np.array(plan.licks_s, dtype=np.float64)
    return np.asarray(np.round(licks - rng.uniform(0, _SENSOR_LEAD_S), 5))


def _outcome(plan: TrialPlan) -> dict[str, bool]:
    kind = plan.kind
    return {
        "hit": kind == "hit",
        "false_alarm": kind == "fa",
        "miss": kind == "miss",
        "correct_reject": kind == "cr",
        "aborted": kind == "aborted",
        "auto_rewarded": kind == "auto",
    }


def _reward(
    plan: TrialPlan, change_s: float, licks_s: np.ndarray, clock: Clock, reward_ml: float
) -> tuple[float, float]:
    """Return time (NaN if none) and volume of the reward: at the first lick in the window, free at 0.15 s."""
    if plan.kind == "auto":
        return float(clock.undelayed[first_frame(plan.anchor_flash) + _AUTO_REWARD_FRAMES]), AUTO_REWARD_ML
    if plan.kind == "hit":
        latency = licks_s - change_s
        in_window = (latency >= RESPONSE_WINDOW_S[0]) & (latency <= RESPONSE_WINDOW_S[1])
        return float(licks_s[in_window][0]), reward_ml
    return float("nan"), 0.0


def _trial_row(
    plan: TrialPlan, lick_frames: np.ndarray, clock: Clock, images: tuple[str, ...], reward_ml: float
) -> dict[str, object]:
    anchor = first_frame(plan.anchor_flash)
    has_change = plan.change_flash is not None
    change_s = float(clock.stimulus_timestamps[anchor] - 0.02) if has_change else float("nan")
    licks_s = clock.undelayed[lick_frames]
    start_s = float(clock.undelayed[first_frame(plan.start_flash)])
    stop_s = float(clock.undelayed[anchor + plan.stop_frames_after_anchor])
    reward_s, volume_ml = _reward(plan, change_s, licks_s, clock, reward_ml)
    return {
        "start_time": start_s,
        "stop_time": stop_s,
        "initial_image_name": images[plan.initial_image],
        "change_image_name": images[plan.change_image],
        "is_change": plan.kind in ("hit", "miss", "auto"),
        "change_time_no_display_delay": change_s,
        "go": plan.kind in ("hit", "miss"),
        "catch": plan.kind in ("fa", "cr"),
        "lick_times": licks_s,
        "response_time": float(licks_s[0]) if has_change and len(licks_s) else float("nan"),
        "reward_time": reward_s,
        "reward_volume": volume_ml,
        **_outcome(plan),
        "change_frame": anchor if has_change else -99,
        "trial_length": stop_s - start_s,
    }
