"""Performance in the change detection task, trial by trial and for the session.

The numbers are those of AllenSDK 2.16.2 (``BehaviorSession.get_rolling_performance_df`` and
``get_performance_metrics``), including what may surprise:

* The rates are computed over the last 100 trials that were not *aborted* (by a lick before the change),
  including the current one. *Auto-rewarded* trials are among the 100, but count for no rate.
* The reward rate is centred: it uses the 25 trials before and the 24 after, and counts every trial whose
  first lick later than 0.15 s came before 0.75 s, whether it was rewarded or not.
* Times are without display delay: licks as in the trials table, and ``change_time_no_display_delay`` (in
  behavior-only sessions ``change_time``, which includes the delay, as do their licks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from vbn.analysis.spikes.trains import Booleans, Floats, Integers

Metrics = dict[str, int | float]
SECONDS_PER_MINUTE = 60


@dataclass(frozen=True)
class PerformanceParameters:
    """Parameters of the performance metrics; the defaults are AllenSDK's.

    Parameters
    ----------
    sliding_window : number of trials, not counting aborted ones, over which rates are computed.
    reward_rate_half_window : number of trials to each side over which the reward rate is computed.
    reward_rate_first_trial : the reward rate is undefined before this trial.
    response_window_s : seconds after the change, both limits exclusive, in which a lick is a response.
    engaged_threshold : rewards per minute above which the mouse is engaged.
    rate_clip : for d', rates are clipped to ``rate_clip .. 1 - rate_clip``.
    """

    sliding_window: int = 100
    reward_rate_half_window: int = 25
    reward_rate_first_trial: int = 10
    response_window_s: tuple[float, float] = (0.15, 0.75)
    engaged_threshold: float = 2.0
    rate_clip: float = 0.01

    def __post_init__(self) -> None:
        # From JSON it is a list.
        object.__setattr__(self, "response_window_s", tuple(self.response_window_s))
        if self.sliding_window < 1 or self.reward_rate_half_window < 1 or self.reward_rate_first_trial < 0:
            raise ValueError(f"The windows must be at least one trial long, got {self}.")
        if len(self.response_window_s) != 2 or not self.response_window_s[0] < self.response_window_s[1]:
            raise ValueError(f"response_window_s must be (start, stop), got {self.response_window_s}.")
        if not 0 < self.rate_clip < 0.5:
            raise ValueError(f"rate_clip must lie between 0 and 0.5, got {self.rate_clip}.")


ALLEN = PerformanceParameters()


def response_latencies(trials: pd.DataFrame, parameters: PerformanceParameters = ALLEN) -> Floats:
    """Return the time from the change to the first lick that can be a response.

    As AllenSDK's ``Trials._calculate_response_latency_list``.

    Parameters
    ----------
    trials : one row per trial, with lick_times (arrays, s) and change_time_no_display_delay (s).
    parameters : only the start of the response window is used: earlier licks do not count.

    Returns
    -------
    (n_trials,) seconds; infinite where there is no such lick, and on aborted trials, which have no change.
    """
    start_s = parameters.response_window_s[0]
    latencies = np.full(len(trials), np.inf)
    for row, (licks, change) in enumerate(zip(trials["lick_times"], _change_times(trials), strict=True)):
        since_change = _licks(licks) - change
        valid = since_change[since_change > start_s]  # NaN, without a change, is not greater
        if valid.size:
            latencies[row] = valid[0]
    return latencies


def _change_times(trials: pd.DataFrame) -> Floats:
    delayed = "change_time_no_display_delay" not in trials
    return trials["change_time" if delayed else "change_time_no_display_delay"].to_numpy(np.float64)


def _licks(licks: object) -> Floats:
    """Return the lick times of one trial; files in which no trial has a lick store empty text or nothing."""
    if licks is None or (isinstance(licks, str) and not licks):
        return np.empty(0)
    times = np.atleast_1d(np.asarray(licks, dtype=np.float64))
    return times[~np.isnan(times)]


def reward_rate(trials: pd.DataFrame, parameters: PerformanceParameters = ALLEN) -> Floats:
    """Return the rewards per minute around each trial.

    As AllenSDK's ``Trials.calculate_reward_rate``: the number of trials with a response latency below 0.75 s
    among trials i - 25 to i + 24 (including aborted ones, fewer at either end), divided by the time between
    the starts of the first and the last of these trials.

    Parameters
    ----------
    trials : one row per trial in order of time, with start_time (s), lick_times and
        change_time_no_display_delay.
    parameters : the windows.

    Returns
    -------
    (n_trials,) rewards per minute; NaN on the first 10 trials and where that time is 0.
    """
    n, half = len(trials), parameters.reward_rate_half_window
    responded = response_latencies(trials, parameters) < parameters.response_window_s[1]
    so_far = np.concatenate(([0], np.cumsum(responded)))
    trial = np.arange(parameters.reward_rate_first_trial, n)
    first, stop = np.maximum(trial - half, 0), np.minimum(trial + half, n)
    start_time = trials["start_time"].to_numpy(np.float64)
    elapsed = start_time[stop - 1] - start_time[first]
    rate = np.full(n, np.nan)
    n_responses = so_far[stop] - so_far[first]
    rate[trial] = n_responses / np.where(elapsed == 0, np.nan, elapsed) * SECONDS_PER_MINUTE
    return rate


def rolling_performance(
    trials: pd.DataFrame,
    rewards: pd.DataFrame | None = None,  # noqa: ARG001
    licks: pd.DataFrame | None = None,  # noqa: ARG001
    parameters: PerformanceParameters = ALLEN,
) -> pd.DataFrame:
    """Return hit rate, false alarm rate and d' in a window sliding over the session.

    As AllenSDK's ``Trials.rolling_performance``. The hit rate is the fraction of hits among the hits and
    misses in the window, the false alarm rate that of false alarms among false alarms and correct rejects;
    both are also given corrected for the number of trials N, limited to 1/(2N) .. 1 - 1/(2N) (Macmillan &
    Creelman; VBN whitepaper). d' = z(hit rate) - z(false alarm rate), of the corrected rates.

    Parameters
    ----------
    trials : one row per trial in order of time: aborted, hit, miss, false_alarm, correct_reject, start_time,
        lick_times, change_time_no_display_delay, reward_volume.
    rewards, licks : not used, since the trials contain them; for a signature like `performance_metrics`.
    parameters : the windows.

    Returns
    -------
    One row per trial, with the trials' index: reward_rate (1/min), hit_rate_raw, hit_rate,
    false_alarm_rate_raw, false_alarm_rate, rolling_dprime. NaN on aborted trials, except the reward rate, and
    where the window has no trial of the kind. d' is 0 throughout in a passive session, which has neither
    licks nor rewards.
    """
    counted = ~_flag(trials, "aborted")
    hit, n_go = _trailing_counts(trials, "hit", "miss", parameters.sliding_window)
    false_alarm, n_catch = _trailing_counts(
        trials, "false_alarm", "correct_reject", parameters.sliding_window
    )
    hit_rate, false_alarm_rate = _corrected(hit, n_go), _corrected(false_alarm, n_catch)
    d_prime = _d_prime(hit_rate, false_alarm_rate, parameters.rate_clip)
    if _is_passive(trials):
        d_prime = np.zeros_like(d_prime)
    columns = {
        "hit_rate_raw": _share(hit, n_go),
        "hit_rate": hit_rate,
        "false_alarm_rate_raw": _share(false_alarm, n_catch),
        "false_alarm_rate": false_alarm_rate,
        "rolling_dprime": d_prime,
    }
    per_trial = {name: _fill_rows(values, counted) for name, values in columns.items()}
    return pd.DataFrame({"reward_rate": reward_rate(trials, parameters), **per_trial}, index=trials.index)


def _flag(trials: pd.DataFrame, column: str) -> Booleans:
    return trials[column].to_numpy(np.bool_)


def _trailing_counts(
    trials: pd.DataFrame, success: str, failure: str, window: int
) -> tuple[Integers, Integers]:
    """Return, per trial not aborted, successes, and successes plus failures, in the window ending with it."""
    counted = ~_flag(trials, "aborted")
    succeeded, failed = _flag(trials, success)[counted], _flag(trials, failure)[counted]
    return _trailing_sum(succeeded, window), _trailing_sum(succeeded | failed, window)


def _trailing_sum(values: Booleans, window: int) -> Integers:
    so_far = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    stop = np.arange(1, values.size + 1)
    return so_far[stop] - so_far[np.maximum(stop - window, 0)]


def _share(part: Integers, whole: Integers) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, np.nan))


def _corrected(part: Integers, whole: Integers) -> Floats:
    """Return part / whole, kept half a trial away from 0 and 1 (AllenSDK's ``trial_number_limit``)."""
    lowest = 1 / (2 * np.where(whole > 0, whole, np.nan))
    return np.asarray(np.minimum(np.maximum(_share(part, whole), lowest), 1 - lowest))


def _d_prime(hit_rate: Floats, false_alarm_rate: Floats, clip: float) -> Floats:
    """Return d', as AllenSDK's ``get_dprime``."""
    return np.asarray(
        scipy.special.ndtri(np.clip(hit_rate, clip, 1 - clip))
        - scipy.special.ndtri(np.clip(false_alarm_rate, clip, 1 - clip))
    )


def _is_passive(trials: pd.DataFrame) -> bool:
    no_reward = bool((trials["reward_volume"].to_numpy(np.float64) == 0).all())
    return no_reward and all(_licks(licks).size == 0 for licks in trials["lick_times"])


def _fill_rows(values: Floats, rows: Booleans) -> Floats:
    """Return the values in the chosen rows, and NaN in the others."""
    filled = np.full(rows.size, np.nan)
    filled[rows] = values
    return filled


def performance_metrics(
    trials: pd.DataFrame,
    rewards: pd.DataFrame,
    licks: pd.DataFrame | None = None,
    parameters: PerformanceParameters = ALLEN,
) -> Metrics:
    """Summarise a session's performance in 23 numbers.

    As AllenSDK's ``BehaviorSession.get_performance_metrics``, with the same keys.

    Parameters
    ----------
    trials : as for `rolling_performance`, with go, catch and auto_rewarded.
    rewards : one row per reward, with volume (mL); may be empty.
    licks : not used, see `rolling_performance`.
    parameters : the windows.

    Returns
    -------
    Counts are int. Means and maxima are float, taken over the non-NaN values of the rolling performance, and
    those named ``..._engaged`` only over engaged trials (reward rate above 2 per minute); NaN if there is no
    value, as in a session without trials.
    """
    rolling = rolling_performance(trials, rewards, licks, parameters)
    engaged = rolling["reward_rate"].to_numpy() > parameters.engaged_threshold
    return {
        **_trial_counts(trials),
        "total_reward_count": len(rewards),
        "total_reward_volume": float(rewards["volume"].sum()) if len(rewards) else 0.0,
        "maximum_reward_rate": float(rolling["reward_rate"].max()),
        "engaged_trial_count": int(engaged.sum()),
        **_rate_means(rolling, engaged),
    }


def _trial_counts(trials: pd.DataFrame) -> Metrics:
    counted = {
        "go_trial_count": "go",
        "catch_trial_count": "catch",
        "hit_trial_count": "hit",
        "miss_trial_count": "miss",
        "false_alarm_trial_count": "false_alarm",
        "correct_reject_trial_count": "correct_reject",
        "auto_reward_count": "auto_rewarded",
        "earned_reward_count": "hit",
    }
    sums: Metrics = {key: int(_flag(trials, column).sum()) for key, column in counted.items()}
    return {"trial_count": len(trials), **sums}


def _rate_means(rolling: pd.DataFrame, engaged: Booleans) -> Metrics:
    metrics: Metrics = {}
    for rate in ("hit_rate", "false_alarm_rate"):
        metrics[f"mean_{rate}"] = float(rolling[rate].mean())
        metrics[f"mean_{rate}_uncorrected"] = float(rolling[f"{rate}_raw"].mean())
        metrics[f"mean_{rate}_engaged"] = float(rolling[rate][engaged].mean())
    d_prime = rolling["rolling_dprime"]
    metrics["mean_dprime"] = float(d_prime.mean())
    metrics["mean_dprime_engaged"] = float(d_prime[engaged].mean())
    metrics["max_dprime"] = float(d_prime.max())
    metrics["max_dprime_engaged"] = float(d_prime[engaged].max())
    return metrics
