"""When the mouse was engaged in the task, by four published definitions.

Each definition is a named set of parameters in `ENGAGEMENT`:

``allensdk``
    Trials with a reward rate above 2 per minute (``Trials._get_engaged_trials``); see
    `vbn.analysis.task.performance.reward_rate`. A flash is engaged if its trial is.
``bennett_2025``
    Flashes with at least 2 rewarded flashes among the 80 around them (the 40 before, itself, the 39 after),
    which take a minute (``build_master_stim_table``). The first 40 and the last 39 flashes of the session are
    never engaged, since the sum needs all 80. A trial is engaged if its first flash is.
``siegle_2021``
    Times with more than one hit less than 60 s before or after, including a hit at that time (code of Siegle
    et al. 2021, Fig. 4). A trial is judged at its change or sham change; an aborted trial, which the source
    does not cover, at its start.
``piet_2024``
    Flashes around which the mouse earned or got more than a reward in 120 s, or began more than a bout of
    licks in 10 s (Piet et al. 2024, in its form for this data set; the one for two photons asks for rewards
    only). The rates are means over the 640 flashes around, weighted by a Gaussian with a standard deviation
    of 60 flashes, over .75 s a flash. Licks are those of the trials, and a trial is engaged if its first
    flash is.

Where a definition does not apply (the first 10 trials for ``allensdk``), the mouse is not engaged, as in the
sources. The replay has no task: its flashes are never engaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.task.licking import bout_onsets
from vbn.analysis.task.performance import SECONDS_PER_MINUTE, PerformanceParameters, reward_rate
from vbn.analysis.task.presentations import (
    NO_ROW,
    change_flash_times,
    change_flashes,
    check_columns,
    flags,
    is_in_block,
    start_times,
    trial_rows,
)
from vbn.errors import SettingError
from vbn.nearest import nearest

METHODS = ("trial_reward_rate", "flash_rewards", "hits_nearby", "reward_or_bout_rate")
OF_FLASHES = ("flash_rewards", "reward_or_bout_rate")
"""Methods that judge flashes by what happens in a number of flashes around."""
CHANGE_TIMES = ("change_time_no_display_delay", "change_time")
RATE_SD_FLASHES = 60.0
"""Standard deviation of the Gaussian of ``reward_or_bout_rate`` (flashes)."""
RATE_FLASH_S = 0.75
BOUTS_PER_MINUTE = 6.0
"""Rate of bouts above which the mouse is engaged, whatever it earns."""


@dataclass(frozen=True)
class EngagementParameters:
    """One definition of engagement.

    Parameters
    ----------
    method : ``trial_reward_rate``: rewards per minute around a trial; ``flash_rewards``: rewarded flashes
        around a flash; ``hits_nearby``: hits around a time; ``reward_or_bout_rate``: rewards per minute
        around a flash, or more than `BOUTS_PER_MINUTE` bouts.
    threshold : rewards per minute, rewarded flashes, or hits, above which the mouse is engaged.
    threshold_is_engaged : whether the mouse is engaged at the threshold itself.
    n_flashes : for ``flash_rewards`` and ``reward_or_bout_rate``, number of flashes in the window.
    half_window_s : for ``hits_nearby``, seconds to each side, exclusive.
    """

    method: str
    threshold: float
    threshold_is_engaged: bool = False
    n_flashes: int | None = None
    half_window_s: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"Unknown method {self.method!r}. Known: {', '.join(map(repr, METHODS))}.")
        if (self.method in OF_FLASHES) != (self.n_flashes is not None) or (
            self.n_flashes is not None and self.n_flashes < 1
        ):
            raise ValueError(
                f"One of {', '.join(OF_FLASHES)}, and no other method, needs n_flashes >= 1, got {self}."
            )
        if (self.method == "hits_nearby") != (self.half_window_s is not None) or (
            self.half_window_s is not None and not self.half_window_s > 0
        ):
            raise ValueError(f"hits_nearby, and no other method, needs half_window_s > 0, got {self}.")


ENGAGEMENT: Mapping[str, EngagementParameters] = MappingProxyType(
    {
        "allensdk": EngagementParameters("trial_reward_rate", threshold=2.0),
        "bennett_2025": EngagementParameters(
            "flash_rewards", threshold=2.0, threshold_is_engaged=True, n_flashes=80
        ),
        "siegle_2021": EngagementParameters("hits_nearby", threshold=1.0, half_window_s=60.0),
        "piet_2024": EngagementParameters("reward_or_bout_rate", threshold=0.5, n_flashes=640),
    }
)
ALLENSDK = ENGAGEMENT["allensdk"]


def require_engagement(name: str, *besides: str) -> None:
    """Raise SettingError, with the nearest name, unless a definition of engagement or one besides has it."""
    known = [*ENGAGEMENT, *besides]
    if name not in known:
        raise SettingError(f"There is no definition of engagement '{name}'.{nearest(name, known)}")


def engaged_trials(
    trials: pd.DataFrame, presentations: pd.DataFrame, parameters: EngagementParameters = ALLENSDK
) -> Booleans:
    """Return in which trials the mouse was engaged.

    Parameters
    ----------
    trials : one row per trial in order of time, with AllenSDK's columns: start_time, stop_time, the outcomes,
        lick_times, reward_volume and the change time.
    presentations : one row per presentation, in any order, with AllenSDK's columns.
    parameters : the definition.

    Returns
    -------
    (n_trials,) False where the definition does not apply, such as for a trial without a flash.
    """
    check_columns(presentations)
    if parameters.method == "trial_reward_rate":
        return _above(reward_rate(trials, PerformanceParameters()), parameters)
    if parameters.method == "hits_nearby":
        return _hits_nearby(_judged_at(trials, presentations), trials, presentations, parameters)
    return _at_first_flash(engaged_flashes(presentations, trials, parameters), presentations, trials)


def engaged_flashes(
    presentations: pd.DataFrame, trials: pd.DataFrame, parameters: EngagementParameters = ALLENSDK
) -> Booleans:
    """Return during which flashes and omissions the mouse was engaged.

    Parameters
    ----------
    presentations, trials, parameters : as for `engaged_trials`.

    Returns
    -------
    (n_presentations,) False outside the active block, and where the definition does not apply.
    """
    check_columns(presentations)
    active = is_in_block(presentations, "active")
    if parameters.method == "flash_rewards":
        return _many_rewards(presentations, trials, parameters)
    if parameters.method == "reward_or_bout_rate":
        return _high_rates(presentations, trials, parameters)
    if parameters.method == "hits_nearby":
        return active & _hits_nearby(start_times(presentations), trials, presentations, parameters)
    row = trial_rows(presentations, trials)
    engaged = np.append(engaged_trials(trials, presentations, parameters), False)  # False for row -1
    return np.asarray(active & engaged[row])


def _above(values: Floats, parameters: EngagementParameters) -> Booleans:
    """Compare with the threshold; NaN is not above it."""
    if parameters.threshold_is_engaged:
        return np.asarray(values >= parameters.threshold)
    return np.asarray(values > parameters.threshold)


def _judged_at(trials: pd.DataFrame, presentations: pd.DataFrame) -> Floats:
    """Return when each trial is judged: its change on screen, else its change time, else its start."""
    times = change_flash_times(presentations, trials)
    for name in (*CHANGE_TIMES, "start_time"):
        if name in trials:
            times = np.where(np.isnan(times), trials[name].to_numpy(np.float64), times)
    return times


def _hits_nearby(
    times: Floats, trials: pd.DataFrame, presentations: pd.DataFrame, parameters: EngagementParameters
) -> Booleans:
    assert parameters.half_window_s is not None
    hits = np.sort(_judged_at(trials, presentations)[flags(trials, "hit")])
    first = np.searchsorted(hits, times - parameters.half_window_s, side="right")
    stop = np.searchsorted(hits, times + parameters.half_window_s, side="left")
    return _above((stop - first).astype(np.float64), parameters)


def rewarded_flashes(presentations: pd.DataFrame, trials: pd.DataFrame) -> Booleans:
    """Return which flashes of the active block were rewarded.

    Parameters
    ----------
    presentations, trials : as for `engaged_trials`.

    Returns
    -------
    (n_presentations,) the column ``rewarded`` of the presentations, if it has any value: a change within a
    second of a reward, earned or free. Behavior-only sessions do not store it; there, the change flash of
    each trial with a reward.
    """
    if "rewarded" in presentations and presentations["rewarded"].notna().any():
        return is_in_block(presentations, "active") & flags(presentations, "rewarded")
    trial, flash = change_flashes(presentations, trials)
    rewarded = np.zeros(len(presentations), dtype=np.bool_)
    rewarded[flash] = trials["reward_volume"].to_numpy(np.float64)[trial] > 0
    return rewarded


def _many_rewards(
    presentations: pd.DataFrame, trials: pd.DataFrame, parameters: EngagementParameters
) -> Booleans:
    """Compare the centred rolling sum of rewarded flashes with the threshold.

    The sum is that of ``pandas.Series.rolling(n, center=True).sum()``.
    """
    assert parameters.n_flashes is not None
    order = np.argsort(start_times(presentations), kind="stable")
    active = order[is_in_block(presentations, "active")[order]]
    so_far = np.concatenate(([0], np.cumsum(rewarded_flashes(presentations, trials)[active])))
    half = parameters.n_flashes // 2
    first = np.arange(active.size) - half
    stop = first + parameters.n_flashes
    whole = (first >= 0) & (stop <= active.size)
    n_rewards = np.full(active.size, np.nan)
    n_rewards[whole] = so_far[stop[whole]] - so_far[first[whole]]
    engaged = np.zeros(len(presentations), dtype=np.bool_)
    engaged[active] = _above(n_rewards, parameters)
    return engaged


def _high_rates(
    presentations: pd.DataFrame, trials: pd.DataFrame, parameters: EngagementParameters
) -> Booleans:
    """Compare the smoothed rates of rewards and of bouts with their thresholds."""
    assert parameters.n_flashes is not None
    order = np.argsort(start_times(presentations), kind="stable")
    active = order[is_in_block(presentations, "active")[order]]
    engaged = np.zeros(len(presentations), dtype=np.bool_)
    if not active.size:
        return engaged
    starts = start_times(presentations)[active]
    flash = np.searchsorted(starts, bout_onsets(_lick_times(trials)), side="left") - 1
    began = np.bincount(flash[flash >= 0], minlength=active.size) > 0
    rewarded = rewarded_flashes(presentations, trials)[active]
    rewards, bouts = (_per_minute(each, parameters.n_flashes) for each in (rewarded, began))
    engaged[active] = _above(rewards, parameters) | (bouts > BOUTS_PER_MINUTE)
    return engaged


def _lick_times(trials: pd.DataFrame) -> Floats:
    """Return the licks of all trials (s)."""
    licks = [np.asarray(each, dtype=np.float64).ravel() for each in trials["lick_times"] if each is not None]
    times = np.concatenate(licks) if licks else np.empty(0)
    return np.asarray(times[np.isfinite(times)])


def _per_minute(happened: Booleans, n_flashes: int) -> Floats:
    """Return the rate around each flash, weighted by a Gaussian, of the flashes that there are.

    That is ``pandas.Series.rolling(n, center=True, min_periods=1, win_type="gaussian").mean(std=...)``.
    """
    lag = np.arange(n_flashes) - (n_flashes - 1) / 2
    weight = np.exp(-0.5 * (lag / RATE_SD_FLASHES) ** 2)
    first = (n_flashes - 1) // 2
    own = slice(first, first + happened.size)
    total = np.convolve(happened.astype(np.float64), weight)[own]
    mean = total / np.convolve(np.ones(happened.size), weight)[own]
    return np.asarray(mean * SECONDS_PER_MINUTE / RATE_FLASH_S)


def _at_first_flash(engaged: Booleans, presentations: pd.DataFrame, trials: pd.DataFrame) -> Booleans:
    row = np.where(is_in_block(presentations, "active"), trial_rows(presentations, trials), NO_ROW)
    order = np.argsort(start_times(presentations), kind="stable")
    order = order[row[order] != NO_ROW]
    trial, first = np.unique(row[order], return_index=True)
    result = np.zeros(len(trials), dtype=np.bool_)
    result[trial] = engaged[order[first]]
    return result


def engagement_epochs(trials: pd.DataFrame, engaged: Booleans) -> pd.DataFrame:
    """Merge consecutive trials with the same engagement into epochs.

    Parameters
    ----------
    trials : one row per trial in order of time: start_time and stop_time (s), reward_volume (mL).
    engaged : (n_trials,) from `engaged_trials`.

    Returns
    -------
    One row per epoch in order of time: engaged, start_time (of its first trial, s), stop_time (of its last
    trial, s), n_trials (including aborted ones), n_rewards (including free ones) and reward_rate (per minute
    of the epoch; NaN for an epoch of zero duration). No rows without trials.
    """
    state = np.asarray(engaged, dtype=np.bool_)
    if state.shape != (len(trials),):
        raise ValueError(f"engaged must be of shape ({len(trials)},), one per trial, got {state.shape}.")
    first = np.flatnonzero(np.append(True, state[1:] != state[:-1])) if state.size else np.empty(0, np.int64)
    stop = np.append(first[1:], state.size)[: first.size]
    rewards = np.append(0, np.cumsum(trials["reward_volume"].to_numpy(np.float64) > 0))
    columns: dict[str, Any] = {
        "engaged": state[first],
        "start_time": start_times(trials)[first],
        "stop_time": trials["stop_time"].to_numpy(np.float64)[stop - 1],
        "n_trials": stop - first,
        "n_rewards": rewards[stop] - rewards[first],
    }
    minutes = (columns["stop_time"] - columns["start_time"]) / SECONDS_PER_MINUTE
    columns["reward_rate"] = columns["n_rewards"] / np.where(minutes > 0, minutes, np.nan)
    return pd.DataFrame(columns)
