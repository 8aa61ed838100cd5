"""Task performance: behavior metrics, lick bouts, engagement, and what the mouse did around each flash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, stimulus  # noqa: F401 - definitions refer to them
from schemas.bases.parameter_table import ParameterTable, definition_of
from schemas.bases.provenance import Computation, provenance_lines
from schemas.reading.session_frames import (
    flashes_frame,
    licks_frame,
    presentations_frame,
    rewards_frame,
    task_frames,
    trials_frame,
)
from schemas.rows.insert import insert_rows, plain, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.task.engagement import ENGAGEMENT, EngagementParameters, engaged_trials, engagement_epochs
from vbn.analysis.task.flash_sets import FLASH_SETS, FlashSet, select_flashes
from vbn.analysis.task.licking import LICK_GAPS_S, lick_bouts
from vbn.analysis.task.performance import PerformanceParameters, performance_metrics, rolling_performance
from vbn.analysis.task.task_statistics import (
    FlashResponseParameters,
    image_statistics,
    lick_latencies,
    lick_latency_statistics,
    pooled_statistics,
)

schema = Schema()

Key = dict[str, Any]

BOUT_COLUMNS = {
    "bout_start_time": "start_time",
    "bout_stop_time": "stop_time",
    "n_bout_licks": "n_licks",
    "n_bout_rewards": "n_rewards",
    "bout_is_rewarded": "rewarded",
}
EPOCH_COLUMNS = {
    "epoch_is_engaged": "engaged",
    "epoch_start_time": "start_time",
    "epoch_stop_time": "stop_time",
    "n_epoch_trials": "n_trials",
    "n_epoch_rewards": "n_rewards",
    "epoch_reward_rate": "reward_rate",
}


@schema
class PerformanceParams(ParameterTable):
    """One set of parameters of the behavior metrics."""

    settings = PerformanceParameters
    defaults = {"allensdk": PerformanceParameters()}
    definition = definition_of(
        "performance", "the behavior metrics", "vbn.analysis.task.performance.PerformanceParameters"
    )


@schema
class Performance(Computation):
    """The behavior metrics of one session: AllenSDK's get_performance_metrics."""

    definition = f"""
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
    {provenance_lines("performance")}
    """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), PerformanceParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: PerformanceParameters) -> tuple[Any, ...]:
        """Compute the metrics from trials, rewards and licks."""
        return made_with, performance_metrics(*task_frames(key), settings)

    def make_insert(self, key: Key, made_with: Key, metrics: dict[str, Any]) -> None:
        """Insert the metrics."""
        self.insert1({**key, **made_with, **{name: plain(value) for name, value in metrics.items()}})


@schema
class RollingPerformance(Computation):
    """The rolling behavior metrics of one session: AllenSDK's get_rolling_performance_df."""

    definition = f"""
    # Rolling behavior metrics of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> PerformanceParams
    ---
    {provenance_lines("rolling_performance")}
    """

    class Trial(dj.Part):
        """The rolling behavior metrics at one trial."""

        definition = """
        # Rolling behavior metrics at one trial
        -> master
        -> behavior.ChangeDetection.Trial
        ---
        reward_rate=null : float64  # (1/min) responses per minute in the trials around, NULL in the first 10
        hit_rate_raw=null : float64  # (1) share of hits in the last trials
        hit_rate=null : float64  # (1) the same, corrected for the number of trials
        false_alarm_rate_raw=null : float64  # (1) share of false alarms in the last trials
        false_alarm_rate=null : float64  # (1) the same, corrected for the number of trials
        rolling_dprime=null : float64  # (1) sensitivity in the last trials
        is_engaged : bool  # reward rate above the threshold
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), PerformanceParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: PerformanceParameters) -> tuple[Any, ...]:
        """Compute the metrics of each trial."""
        trials, rewards, licks = task_frames(key)
        rolling = rolling_performance(trials, rewards, licks, settings)
        engaged = rolling["reward_rate"].to_numpy() > settings.engaged_threshold
        return made_with, rolling.assign(trial_id=trials["trial_id"], is_engaged=engaged)

    def make_insert(self, key: Key, made_with: Key, rolling: pd.DataFrame) -> None:
        """Insert a row for each trial."""
        self.insert1({**key, **made_with})
        insert_rows(self.Trial(), rows_from_frame(rolling, self.Trial(), key))


@schema
class TaskStatisticsParams(ParameterTable):
    """One definition of a response to a flash."""

    settings = FlashResponseParameters
    defaults = {"bennett_2025": FlashResponseParameters()}
    definition = definition_of(
        "task_statistics", "the task statistics", "vbn.analysis.task.task_statistics.FlashResponseParameters"
    )


@schema
class TaskStatistics(Computation):
    """The pooled behavior statistics of one session: d', responses per image, lick latencies."""

    definition = f"""
    # Pooled behavior statistics of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> stimulus.Stimulus
    -> TaskStatisticsParams
    ---
    pooled_trial_count : int32  # go and catch trials
    pooled_hit_rate=null : float64  # (1) hit rate over all trials, corrected for their number
    pooled_false_alarm_rate=null : float64  # (1) false alarm rate over all trials, corrected
    pooled_dprime=null : float64  # (1) sensitivity over all trials
    pooled_criterion=null : float64  # (1) criterion c, half the negative sum of the z-scores of both rates
    engaged_trial_count_pooled : int32  # go and catch trials, engaged by the definition of AllenSDK
    engaged_hit_rate=null : float64  # (1) hit rate over these
    engaged_false_alarm_rate=null : float64  # (1) false alarm rate over these
    engaged_dprime=null : float64  # (1) sensitivity over these
    engaged_criterion=null : float64  # (1) criterion over these
    bennett_2025_trial_count : int32  # go and catch trials, engaged by the definition of Bennett 2025
    bennett_2025_hit_rate=null : float64  # (1) hit rate over these
    bennett_2025_false_alarm_rate=null : float64  # (1) false alarm rate over these
    bennett_2025_dprime=null : float64  # (1) sensitivity over these
    bennett_2025_criterion=null : float64  # (1) criterion over these
    siegle_2021_trial_count : int32  # go and catch trials, engaged by the definition of Siegle 2021
    siegle_2021_hit_rate=null : float64  # (1) hit rate over these
    siegle_2021_false_alarm_rate=null : float64  # (1) false alarm rate over these
    siegle_2021_dprime=null : float64  # (1) sensitivity over these
    siegle_2021_criterion=null : float64  # (1) criterion over these
    hit_latency_count : int32  # hits with a lick after the flash
    hit_latency_median=null : float64  # (s) first lick of the hits after the start of the flash
    hit_latency_mean=null : float64  # (s) mean of the same
    hit_latency_std=null : float64  # (s) standard deviation of the same
    hit_latency_min=null : float64  # (s) shortest of the same
    hit_latency_max=null : float64  # (s) longest of the same
    {provenance_lines("task_statistics")}
    """

    class Image(dj.Part):
        """The responses to one image."""

        definition = """
        # Responses to one image
        -> master
        task_image_name : varchar(64)  # image changed to, or that stayed in a catch trial
        ---
        n_image_go : int32  # go trials
        n_image_hit : int32  # go trials that were hits
        n_image_miss : int32  # go trials that were misses
        image_hit_rate=null : float64  # (1) hits over go trials
        n_image_auto_rewarded : int32  # auto-rewarded trials
        n_image_catch : int32  # catch trials
        n_image_false_alarm : int32  # false alarms
        n_image_correct_reject : int32  # correct rejects
        image_false_alarm_rate=null : float64  # (1) false alarms over catch trials
        n_image_flashes : int32  # flashes in the active block
        n_image_flash_responses : int32  # flashes that a lick bout followed
        image_flash_response_rate=null : float64  # (1) the latter over the former
        n_image_nonchange_flashes : int32  # flashes that were no change
        n_image_nonchange_responses : int32  # of which with a lick bout
        image_nonchange_response_rate=null : float64  # (1) the latter over the former
        """

    class Trial(dj.Part):
        """When the mouse licked after the change or sham change of one trial."""

        definition = """
        # Lick latency of one trial
        -> master
        -> behavior.ChangeDetection.Trial
        ---
        change_flash_time=null : float64  # (s) start of the flash on screen, NULL in aborted trials
        latency_from_flash=null : float64  # (s) first lick after that, before the next trial
        latency_from_change_time=null : float64  # (s) first lick after the change time without display lag
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), TaskStatisticsParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: FlashResponseParameters) -> tuple[Any, ...]:
        """Compute the pooled statistics, the counts per image and the lick latencies."""
        (trials, _, licks), presentations = task_frames(key), presentations_frame(key)
        times = licks["timestamps"].to_numpy(float)
        latencies = lick_latencies(trials, presentations, times)
        statistics = {
            **pooled_statistics(trials, presentations),
            **lick_latency_statistics(latencies, trials["hit"].to_numpy(bool)),
        }
        return made_with, statistics, image_statistics(trials, presentations, times, settings), latencies

    def make_insert(
        self,
        key: Key,
        made_with: Key,
        statistics: dict[str, float],
        images: pd.DataFrame,
        latencies: pd.DataFrame,
    ) -> None:
        """Insert the session's statistics, and a row for each image and trial."""
        row = {_statistic_name(name): plain(value) for name, value in statistics.items()}
        self.insert1({**key, **made_with, **row}, ignore_extra_fields=True)
        columns: dict[str, str] = {
            "task_image_name" if name == "image_name" else _image_attribute(name): name
            for name in map(str, images)
        }
        insert_rows(self.Image(), rows_from_frame(images, self.Image(), key, columns))
        trials = latencies.rename(columns={"flash_time": "change_flash_time"})
        insert_rows(self.Trial(), rows_from_frame(trials, self.Trial(), key))


def _statistic_name(name: str) -> str:
    if name == "engaged_trial_count":
        return "engaged_trial_count_pooled"  # Performance has one of all trials
    return name.replace("latency_from_flash", "hit_latency")


def _image_attribute(name: str) -> str:
    return f"n_image_{name[2:]}" if name.startswith("n_") else f"image_{name}"


@dataclass(frozen=True)
class LickBoutSettings:
    """The gap that separates two lick bouts.

    Parameters
    ----------
    gap_s : seconds without a lick, see `vbn.analysis.task.licking`.
    """

    gap_s: float

    def __post_init__(self) -> None:
        if not self.gap_s > 0:
            raise ValueError(f"gap_s must be positive, got {self.gap_s}.")


@schema
class LickBoutParams(ParameterTable):
    """One definition of a lick bout."""

    settings = LickBoutSettings
    defaults = {name: LickBoutSettings(gap_s) for name, gap_s in LICK_GAPS_S.items()}
    definition = definition_of("lick_bout", "the lick bouts", "schemas.performance.LickBoutSettings")


@schema
class LickBouts(Computation):
    """The lick bouts of one session."""

    definition = f"""
    # Lick bouts of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> LickBoutParams
    ---
    n_bouts : int32  # number of bouts
    n_rewarded_bouts : int32  # number of bouts with a reward
    {provenance_lines("lick_bouts")}
    """

    class Bout(dj.Part):
        """One lick bout."""

        definition = """
        # One lick bout
        -> master
        bout : int32  # number of the bout
        ---
        bout_start_time : float64  # (s) first lick
        bout_stop_time : float64  # (s) last lick
        n_bout_licks : int32  # number of licks
        n_bout_rewards : int32  # number of rewards
        bout_is_rewarded : bool  # whether there was a reward
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the definition."""
        return self.provenance(key), LickBoutParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: LickBoutSettings) -> tuple[Any, ...]:
        """Group the licks."""
        licks = licks_frame(key)["timestamps"].to_numpy(float)
        return made_with, lick_bouts(licks, rewards_frame(key), settings.gap_s)

    def make_insert(self, key: Key, made_with: Key, bouts: pd.DataFrame) -> None:
        """Insert the bouts."""
        counts = {"n_bouts": len(bouts), "n_rewarded_bouts": int(bouts["rewarded"].sum())}
        self.insert1({**key, **made_with, **counts})
        insert_rows(self.Bout(), rows_from_frame(_numbered(bouts, "bout"), self.Bout(), key, BOUT_COLUMNS))


@schema
class EngagementParams(ParameterTable):
    """One definition of engagement."""

    settings = EngagementParameters
    defaults = ENGAGEMENT
    definition = definition_of(
        "engagement", "the engagement", "vbn.analysis.task.engagement.EngagementParameters"
    )


@schema
class Engagement(Computation):
    """When the mouse of one session was engaged in the task."""

    definition = f"""
    # Engagement in one session
    -> behavior.ChangeDetection
    -> stimulus.Stimulus
    -> EngagementParams
    ---
    n_engaged_trials : int32  # trials in which the mouse was engaged, aborted ones included
    n_engagement_epochs : int32  # number of epochs, engaged and disengaged
    {provenance_lines("engagement")}
    """

    class Epoch(dj.Part):
        """Consecutive trials that are all engaged or all disengaged."""

        definition = """
        # Neighbouring trials of the same engagement
        -> master
        epoch : int32  # number of the epoch
        ---
        epoch_is_engaged : bool  # whether the mouse was engaged
        epoch_start_time : float64  # (s) begin of the first trial
        epoch_stop_time : float64  # (s) end of the last trial
        n_epoch_trials : int32  # number of trials, aborted ones included
        n_epoch_rewards : int32  # number of rewards, free ones included
        epoch_reward_rate=null : float64  # (1/min) rewards per minute
        """

    class Trial(dj.Part):
        """Whether the mouse was engaged in one trial."""

        definition = """
        # Engagement in one trial
        -> master
        -> behavior.ChangeDetection.Trial
        ---
        trial_is_engaged : bool  # false also where it cannot be judged
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the definition."""
        return self.provenance(key), EngagementParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: EngagementParameters) -> tuple[Any, ...]:
        """Classify the trials and merge consecutive ones into epochs."""
        trials = trials_frame(key)
        engaged = engaged_trials(trials, presentations_frame(key), settings)
        judged = pd.DataFrame({"trial_id": trials["trial_id"], "trial_is_engaged": engaged})
        return made_with, judged, engagement_epochs(trials, engaged)

    def make_insert(self, key: Key, made_with: Key, trials: pd.DataFrame, epochs: pd.DataFrame) -> None:
        """Insert epochs and trials."""
        counts = {"n_engaged_trials": trials["trial_is_engaged"].sum(), "n_engagement_epochs": len(epochs)}
        self.insert1({**key, **made_with, **{name: int(count) for name, count in counts.items()}})
        rows = rows_from_frame(_numbered(epochs, "epoch"), self.Epoch(), key, EPOCH_COLUMNS)
        insert_rows(self.Epoch(), rows)
        insert_rows(self.Trial(), rows_from_frame(trials, self.Trial(), key))


def _numbered(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.assign(**{name: range(len(frame))})


@schema
class FlashSets(ParameterTable):
    """One set of conditions by which flashes are chosen."""

    settings = FlashSet
    defaults = FLASH_SETS
    definition = definition_of(
        "flash_set", "a choice of flashes", "vbn.analysis.task.flash_sets.FlashSet", key="flash_set"
    )


class OfFlashes(ParameterTable):
    """Parameter sets of what is measured on the flashes of a flash set, named in ``flash_set``."""

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a set whose flash set exists."""
        FlashSets.get(cls.content_of(row)["flash_set"])
        super()._insert_checked(row)


def chosen_flashes(key: Key, flash_set: str) -> pd.DataFrame:
    """Return what `flashes_frame` does of the flashes of a session that a flash set chooses."""
    flashes = flashes_frame(key)
    return flashes[select_flashes(flashes, FlashSets.get(flash_set))]


@schema
class FlashBehavior(Computation):
    """What the mouse of one session did around each flash and omission, in order of time."""

    definition = f"""
    # Licks, rewards and engagement around the flashes of one session
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> stimulus.Stimulus
    -> LickBoutParams
    ---
    n_behavior_flashes : int32  # flashes and omissions of task and replay, length of all arrays
    n_behavior_bouts : int32  # of which a lick bout begins in
    flash_presentation_id : <blob>  # (index) int32, presentation_id of the flash or omission
    flash_active : <blob>  # (bool) whether the mouse performed the task
    flash_omitted : <blob>  # (bool) whether it is an omission
    flash_is_change : <blob>  # (bool) whether the image has changed
    flash_is_repeat : <blob>  # (bool) whether it is a flash that repeats the last image
    flash_is_shared : <blob>  # (bool) whether its image is in both image sets
    flash_previous_omitted : <blob>  # (bool) whether the one before is an omission
    flash_is_prechange : <blob>  # (bool) whether the next one is a change
    flash_flashes_since_change : <blob>  # (1) int32, flashes since the last change, 0 at the change
    flash_run : <blob>  # (index) int32, number of the run, which goes from a change to the next
    flash_trial_flash : <blob>  # (1) int32, rows since the first of its trial, -1 without a trial
    flash_n_licks : <blob>  # (1) int32, licks until the next flash or omission
    flash_lick_for_flash : <blob>  # (bool) whether a lick bout begins in it
    flash_lick_time : <blob>  # (s) float64, first lick of its last bout, NaN without one
    flash_reaction_time : <blob>  # (s) float64, the same after its start
    flash_time_from_last_bout : <blob>  # (s) float64, after the end of the bout before, -1 for the first
    flash_bout_start : <blob>  # (bool) whether its bout begins more than 2 s after the last one counted
    flash_lick_in_window : <blob>  # (bool) whether its bout begins in the response window
    flash_bout_in_window : <blob>  # (bool) the same of bouts that are counted
    flash_flashes_since_lick : <blob>  # (1) float64, flashes since the last one before with a lick, else NaN
    flash_flashes_since_bout : <blob>  # (1) float64, flashes since the last one before with a bout, else NaN
    flash_rewarded : <blob>  # (bool) whether the change was rewarded
    flash_engaged_allensdk : <blob>  # (bool) engaged by the definition of AllenSDK, never in the replay
    flash_engaged_bennett_2025 : <blob>  # (bool) engaged by the definition of Bennett 2025
    flash_engaged_siegle_2021 : <blob>  # (bool) engaged by the definition of Siegle 2021
    flash_after_hit : <blob>  # (bool) whether it follows the change of its trial, a hit
    flash_is_eligible : <blob>  # (bool) whether it may be a change
    flash_replay : <blob>  # (index) int32, presentation_id in the replay, or of what is replayed, -1 none
    {provenance_lines("flash_behavior")}
    """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the definition of a lick bout."""
        return self.provenance(key), LickBoutParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: LickBoutSettings) -> tuple[Any, ...]:
        """Describe the flashes and omissions."""
        return made_with, flashes_frame(key, settings.gap_s)

    def make_insert(self, key: Key, made_with: Key, flashes: pd.DataFrame) -> None:
        """Insert an array for each column."""
        arrays = {"flash_presentation_id": flashes.index.to_numpy(np.int32)}
        for name in (f"flash_{column}" for column in flashes):
            if name in self.heading.names:
                values = flashes[name.removeprefix("flash_")].to_numpy()
                arrays[name] = values.astype(np.int32) if values.dtype.kind == "i" else values
        n_bouts = int(flashes["lick_for_flash"].sum())
        counts = {"n_behavior_flashes": len(flashes), "n_behavior_bouts": n_bouts}
        self.insert1({**key, **made_with, **counts, **arrays})
