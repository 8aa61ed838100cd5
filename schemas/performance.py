"""How well the mouse did the task."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from schemas import behavior, parameters
from schemas._datajoint import dj
from schemas.rows import plain
from vbn.analysis.performance import PerformanceParameters, performance_metrics

schema = dj.Schema()

METHOD_VERSION = 1
CHANGE_TIMES = ["change_time_no_display_delay", "change_time"]
TRIAL_FLAGS = (
    "go", "catch", "hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded", "is_change",
)  # fmt: skip


@schema
class PerformanceParams(dj.Lookup):
    """One set of parameters of the behaviour metrics."""

    definition = """
    # Parameters of the behavior metrics
    performance_params : varchar(64)  # readable name
    ---
    performance_content : json  # fields of vbn.analysis.performance.PerformanceParameters
    method_version : int16  # version of the method
    content_hash : char(64)  # sha256 of content and method version
    unique index (content_hash)
    """


def seed_defaults() -> None:
    """Enter AllenSDK's parameters if they are missing."""
    content = parameters.as_json(asdict(PerformanceParameters()))
    row = {"performance_params": "allensdk", "performance_content": content}
    parameters.add_parameters(PerformanceParams(), row, content, METHOD_VERSION)


@schema
class Performance(dj.Computed):
    """The behaviour metrics of one session: AllenSDK's get_performance_metrics."""

    definition = """
    # Behavior metrics of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> PerformanceParams
    ---
    trial_count : int32  # trials, aborted ones included
    go_trial_count : int32  # trials with a change that could be earned
    catch_trial_count : int32  # trials with a sham change
    hit_trial_count : int32  # rewarded responses
    miss_trial_count : int32  # changes without a response
    false_alarm_trial_count : int32  # responses to sham changes
    correct_reject_trial_count : int32  # sham changes without a response
    auto_reward_count : int32  # auto-rewarded trials
    earned_reward_count : int32  # rewards by hits
    total_reward_count : int32  # rewards in all
    total_reward_volume : float64  # (mL) water in all
    maximum_reward_rate=null : float64  # (1/min) highest rolling reward rate
    engaged_trial_count : int32  # trials with a reward rate above the threshold
    mean_hit_rate=null : float64  # (1) mean rolling hit rate, corrected for trial counts
    mean_hit_rate_uncorrected=null : float64  # (1) mean rolling hit rate
    mean_hit_rate_engaged=null : float64  # (1) mean rolling hit rate of engaged trials
    mean_false_alarm_rate=null : float64  # (1) mean rolling false alarm rate, corrected for trial counts
    mean_false_alarm_rate_uncorrected=null : float64  # (1) mean rolling false alarm rate
    mean_false_alarm_rate_engaged=null : float64  # (1) mean rolling false alarm rate of engaged trials
    mean_dprime=null : float64  # (1) mean rolling sensitivity
    mean_dprime_engaged=null : float64  # (1) mean rolling sensitivity of engaged trials
    max_dprime=null : float64  # (1) highest rolling sensitivity
    max_dprime_engaged=null : float64  # (1) highest rolling sensitivity of engaged trials
    """

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return ((PerformanceParams & key).fetch1("performance_content"),)

    def make_compute(self, key: dict[str, Any], content: dict[str, Any]) -> tuple[Any, ...]:
        """Compute the metrics from trials, rewards and licks."""
        metrics = performance_metrics(
            *task_frames(key), PerformanceParameters(**parameters.from_json(content))
        )
        return (metrics,)

    def make_insert(self, key: dict[str, Any], metrics: dict[str, Any]) -> None:
        """Insert the metrics."""
        self.insert1({**key, **{name: plain(value) for name, value in metrics.items()}})


def task_frames(key: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return a session's trials, rewards and licks with AllenSDK's column names."""
    trials = _frame(behavior.ChangeDetection.Trial, key, "trial_id", behavior.TRIAL_COLUMNS)
    rewards = _frame(behavior.ChangeDetection.Reward, key, "reward_id", behavior.REWARD_COLUMNS)
    if trials["change_time_no_display_delay"].isna().all():  # behaviour-only: the other time base
        trials = trials.drop(columns="change_time_no_display_delay")
    else:
        trials = trials.drop(columns="change_time")
    times = ("response_time", "reward_time", *trials.columns.intersection(CHANGE_TIMES))
    trials = trials.astype({**dict.fromkeys(TRIAL_FLAGS, bool), **dict.fromkeys(times, float)})
    licks = pd.DataFrame({"timestamps": (behavior.Licks & key).fetch1("lick_timestamps")})
    return trials, rewards, licks


def _frame(table: Any, key: dict[str, Any], order: str, renamed: dict[str, str]) -> pd.DataFrame:
    """Return a session's rows under the columns' names in the file."""
    columns = [name for name in table.heading.names if name not in key]
    frame = pd.DataFrame((table & key).to_dicts(order_by=order)).reindex(columns=columns)
    return frame.rename(columns=renamed)
