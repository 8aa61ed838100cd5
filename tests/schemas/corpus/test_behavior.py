"""What the tables say of the mouse's behaviour equals AllenSDK's numbers, or a plain loop over its tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import performance
from tests.schemas.corpus.comparison import assert_rows_equal

pytestmark = pytest.mark.corpus
ROLLING = [
    "reward_rate",
    "hit_rate_raw",
    "hit_rate",
    "false_alarm_rate_raw",
    "false_alarm_rate",
    "rolling_dprime",
]
MIN_REWARDS_PER_MINUTE = 2
OUTCOMES = ["hit", "miss", "false_alarm", "correct_reject", "auto_rewarded"]


def change_time_column(trials: pd.DataFrame) -> str:
    """Behavior-only sessions have another name for it."""
    return "change_time" if "change_time" in trials else "change_time_no_display_delay"


def active_images(watched: Any) -> pd.DataFrame:
    """Return flashes and omissions of the task, in order, with the trial that AllenSDK puts them in."""
    shown = watched.table("stimulus_presentations")
    return shown[shown["active"].astype(bool) & shown["image_name"].notna()].sort_values("start_time")


def statistics(watched: Any) -> dict[str, Any]:
    row: dict[str, Any] = (performance.TaskStatistics & watched.key).fetch1()
    return row


def test_the_rolling_performance_is_that_of_allensdk(watched: Any) -> None:
    rows = (performance.RollingPerformance.Trial & watched.key).to_dicts(order_by="trial_id")
    expected = watched.table("rolling_performance").reset_index()
    assert_rows_equal(rows, expected, {"trials_id": "trial_id", **{name: name for name in ROLLING}})


def test_a_trial_is_engaged_where_the_reward_rate_is_above_two_per_minute(watched: Any) -> None:
    rate = watched.table("rolling_performance")["reward_rate"]
    expected = {int(trial): bool(value > MIN_REWARDS_PER_MINUTE) for trial, value in rate.items()}
    rolling = (performance.RollingPerformance.Trial & watched.key).to_dicts()
    judged = (performance.Engagement.Trial & watched.key & {"engagement_params": "allensdk"}).to_dicts()
    assert {row["trial_id"]: bool(row["is_engaged"]) for row in rolling} == expected
    assert {row["trial_id"]: bool(row["trial_is_engaged"]) for row in judged} == expected


def test_the_engaged_trials_are_as_many_as_allensdk_counts(watched: Any) -> None:
    row = (performance.Engagement & watched.key & {"engagement_params": "allensdk"}).fetch1()
    assert row["n_engaged_trials"] == watched.summary["performance_metrics"]["engaged_trial_count"]


def test_engagement_by_nearby_hits_is_that_of_a_plain_loop(watched: Any) -> None:
    """Siegle 2021: more than one hit less than a minute away; without a change, from the trial's start."""
    trials, flashes = watched.table("trials"), active_images(watched)
    moments = change_flashes(trials, flashes)
    at = {trial: moments.get(trial, start) for trial, start in trials["start_time"].items()}
    hits = [at[trial] for trial in trials.index[trials["hit"]]]
    expected = {trial: sum(abs(hit - moment) < 60 for hit in hits) > 1 for trial, moment in at.items()}
    rows = (performance.Engagement.Trial & watched.key & {"engagement_params": "siegle_2021"}).to_dicts()
    assert {row["trial_id"]: bool(row["trial_is_engaged"]) for row in rows} == expected


def test_engagement_by_rewarded_flashes_is_that_of_a_rolling_sum(watched: Any) -> None:
    """Bennett 2025: two rewarded flashes among eighty, centred; a trial is judged at its first flash."""
    trials, flashes = watched.table("trials"), active_images(watched)
    if "rewarded" in flashes:
        rewarded = flashes["rewarded"].fillna(False).astype(float)
    else:
        of_rewarded = change_flashes(trials, flashes)
        times = [of_rewarded[t] for t in trials.index[trials["reward_volume"] > 0] if t in of_rewarded]
        rewarded = flashes["start_time"].isin(times).astype(float)
    engaged = rewarded.rolling(80, center=True).sum() >= 2
    starts = trials["start_time"].to_numpy()
    trial = np.searchsorted(starts, flashes["start_time"], side="right") - 1
    inside = (trial >= 0) & (flashes["start_time"].to_numpy() < trials["stop_time"].iloc[-1])
    first = engaged[inside].groupby(trials.index.to_numpy()[trial[inside]]).first()
    expected = {int(number): bool(first.get(number, False)) for number in trials.index}
    rows = (performance.Engagement.Trial & watched.key & {"engagement_params": "bennett_2025"}).to_dicts()
    assert {row["trial_id"]: bool(row["trial_is_engaged"]) for row in rows} == expected


@pytest.mark.parametrize("definition", ["allensdk", "bennett_2025", "siegle_2021"])
def test_the_epochs_are_runs_of_trials_of_one_state(watched: Any, definition: str) -> None:
    key = {**watched.key, "engagement_params": definition}
    epochs = (performance.Engagement.Epoch & key).to_dicts(order_by="epoch")
    judged = (performance.Engagement.Trial & key).to_dicts(order_by="trial_id")
    states = [bool(row["trial_is_engaged"]) for row in judged]
    assert [bool(row["epoch_is_engaged"]) for row in epochs for _ in range(row["n_epoch_trials"])] == states
    assert all(a["epoch_is_engaged"] != b["epoch_is_engaged"] for a, b in pairwise(epochs))
    master = (performance.Engagement & key).fetch1()
    assert (master["n_engagement_epochs"], master["n_engaged_trials"]) == (len(epochs), sum(states))
    trials, first = watched.table("trials"), 0
    for row in epochs:
        own = trials.iloc[first : first + row["n_epoch_trials"]]
        first += row["n_epoch_trials"]
        bounds = own["start_time"].iloc[0], own["stop_time"].iloc[-1]
        assert (row["epoch_start_time"], row["epoch_stop_time"]) == pytest.approx(bounds, rel=1e-12)
        assert row["n_epoch_rewards"] == (own["reward_volume"] > 0).sum()
        minutes = (bounds[1] - bounds[0]) / 60
        assert row["epoch_reward_rate"] == pytest.approx(row["n_epoch_rewards"] / minutes)


def change_flashes(trials: pd.DataFrame, flashes: pd.DataFrame) -> dict[int, float]:
    """Return trial -> start on screen of the flash of its change or sham change: the first after its time.

    The change time knows no display delay, so that the flash follows it by less than 0.1 s.
    """
    found = {}
    starts = flashes["start_time"].to_numpy()
    for trial, time in trials[change_time_column(trials)].items():
        if not math.isnan(time) and not trials["aborted"][trial]:
            nearest = starts[np.argmin(np.abs(starts - time))]
            assert abs(nearest - time) < 0.1
            found[int(trial)] = float(nearest)
    return found


def test_the_trials_and_rates_pooled_are_those_of_a_plain_count(watched: Any) -> None:
    trials, row = watched.table("trials"), statistics(watched)
    n_hit, n_miss, n_false, n_reject = (int(trials[name].sum()) for name in OUTCOMES[:4])
    assert row["pooled_trial_count"] == n_hit + n_miss + n_false + n_reject
    assert row["pooled_hit_rate"] == pytest.approx(n_hit / (n_hit + n_miss))
    assert row["pooled_false_alarm_rate"] == pytest.approx(n_false / (n_false + n_reject))
    z_hit, z_false = z_of(n_hit, n_hit + n_miss, 0.01), z_of(n_false, n_false + n_reject, 0.01)
    assert row["pooled_dprime"] == pytest.approx(z_hit - z_false)
    assert row["pooled_criterion"] == pytest.approx(-(z_hit + z_false) / 2, abs=1e-12)


def z_of(n_yes: int, n: int, clip: float) -> float:
    """Return the z-score of a share that is kept half a trial, and the clip, away from 0 and 1."""
    margin = max(1 / (2 * n), clip)
    return NormalDist().inv_cdf(min(max(n_yes / n, margin), 1 - margin))


@pytest.mark.parametrize(
    ("prefix", "definition", "clip"),
    [
        ("engaged", "allensdk", 0.01),
        ("bennett_2025", "bennett_2025", 0.0),
        ("siegle_2021", "siegle_2021", 0.0),
    ],
)
def test_the_numbers_of_engaged_trials_are_those_of_the_engagement(
    watched: Any, prefix: str, definition: str, clip: float
) -> None:
    row, trials = statistics(watched), watched.table("trials")
    key = {**watched.key, "engagement_params": definition}
    engaged = (performance.Engagement.Trial & key & {"trial_is_engaged": True}).to_arrays("trial_id")
    own = trials.loc[engaged]
    n_go, n_catch = own[["hit", "miss"]].sum().sum(), own[["false_alarm", "correct_reject"]].sum().sum()
    counted = row["engaged_trial_count_pooled" if prefix == "engaged" else f"{prefix}_trial_count"]
    assert counted == n_go + n_catch
    assert row[f"{prefix}_hit_rate"] == (pytest.approx(own["hit"].sum() / n_go) if n_go else None)
    expected = pytest.approx(own["false_alarm"].sum() / n_catch) if n_catch else None
    assert row[f"{prefix}_false_alarm_rate"] == expected
    if not (n_go and n_catch):
        assert row[f"{prefix}_dprime"] is row[f"{prefix}_criterion"] is None
        return
    z_hit, z_false = z_of(own["hit"].sum(), n_go, clip), z_of(own["false_alarm"].sum(), n_catch, clip)
    assert row[f"{prefix}_dprime"] == pytest.approx(z_hit - z_false)
    assert row[f"{prefix}_criterion"] == pytest.approx(-(z_hit + z_false) / 2, abs=1e-12)


def test_the_counts_per_image_are_those_of_the_trials_table(watched: Any) -> None:
    trials = watched.table("trials")
    trials = trials[~trials["aborted"]]
    rows = (performance.TaskStatistics.Image & watched.key).to_dicts()
    flashes = active_images(watched)
    shown = flashes[~flashes["omitted"].fillna(False).astype(bool)]
    assert {row["task_image_name"] for row in rows} == {*shown["image_name"], *trials["change_image_name"]}
    for row in rows:
        own = trials[trials["change_image_name"] == row["task_image_name"]]
        assert [row[f"n_image_{name}"] for name in OUTCOMES] == [int(own[name].sum()) for name in OUTCOMES]
        assert (row["n_image_go"], row["n_image_catch"]) == (own["go"].sum(), own["catch"].sum())
        assert row["image_hit_rate"] == share(row["n_image_hit"], row["n_image_go"])
        assert row["image_false_alarm_rate"] == share(row["n_image_false_alarm"], row["n_image_catch"])


def share(part: int, whole: int) -> Any:
    return pytest.approx(part / whole) if whole else None


def test_the_flashes_that_a_lick_bout_follows_are_counted_per_image(watched: Any) -> None:
    """A bout belongs to the last flash or omission before it; it answers it from 0.1 to 0.75 s."""
    flashes = active_images(watched)
    bouts = np.array([bout[0] for bout in plain_bouts(lick_times(watched), 0.5)])
    starts = flashes["start_time"].to_numpy()
    following = np.append(starts[1:], np.inf)
    answered = [
        bool(((bouts > start + 0.1) & (bouts < start + 0.75) & (bouts <= stop)).any())
        for start, stop in zip(starts, following, strict=True)
    ]
    flashes = flashes.assign(answered=answered)
    flashes = flashes[~flashes["omitted"].fillna(False).astype(bool)]
    for row in (performance.TaskStatistics.Image & watched.key).to_dicts():
        own = flashes[flashes["image_name"] == row["task_image_name"]]
        other = own[~own["is_change"].fillna(False).astype(bool)]
        assert (row["n_image_flashes"], row["n_image_flash_responses"]) == (len(own), own["answered"].sum())
        assert row["image_flash_response_rate"] == share(own["answered"].sum(), len(own))
        counts = row["n_image_nonchange_flashes"], row["n_image_nonchange_responses"]
        assert counts == (len(other), other["answered"].sum())
        assert row["image_nonchange_response_rate"] == share(other["answered"].sum(), len(other))


def lick_times(watched: Any) -> np.ndarray:
    return np.sort(watched.table("licks")["timestamps"].to_numpy())


def plain_bouts(licks: Sequence[float], gap_s: float) -> list[list[float]]:
    bouts: list[list[float]] = []
    for lick in licks:
        if bouts and lick - bouts[-1][-1] <= gap_s:
            bouts[-1].append(lick)
        else:
            bouts.append([lick])
    return bouts


def test_the_lick_latencies_are_those_of_a_plain_loop(watched: Any) -> None:
    """The first lick after the flash of the change, before the next trial."""
    trials, licks = watched.table("trials"), lick_times(watched)
    flash_times = change_flashes(trials, active_images(watched))
    following = dict(zip(trials.index, [*trials["start_time"].iloc[1:], np.inf], strict=True))
    of_hits = []
    rows = (performance.TaskStatistics.Trial & watched.key).to_dicts(order_by="trial_id")
    assert [row["trial_id"] for row in rows] == trials.index.tolist()
    for row in rows:
        trial = row["trial_id"]
        if trial not in flash_times:
            assert row["change_flash_time"] is row["latency_from_flash"] is None
            continue
        assert row["change_flash_time"] == pytest.approx(flash_times[trial], rel=1e-12)
        after = licks[(licks > flash_times[trial]) & (licks < following[trial])]
        expected = pytest.approx(after[0] - flash_times[trial], abs=1e-9) if len(after) else None
        assert row["latency_from_flash"] == expected
        of_hits += [row["latency_from_flash"]] if trials["hit"][trial] and len(after) else []
    row = statistics(watched)
    assert row["hit_latency_count"] == len(of_hits)
    assert row["hit_latency_median"] == (pytest.approx(np.median(of_hits)) if of_hits else None)
    assert row["hit_latency_std"] == (pytest.approx(np.std(of_hits, ddof=1)) if len(of_hits) > 1 else None)


def test_the_latency_on_the_trials_own_clock_is_that_of_allensdk(watched: Any) -> None:
    """AllenSDK's response_latency is the first lick of the trial after the change time."""
    trials = watched.table("trials")
    times = trials[change_time_column(trials)]
    for row in (performance.TaskStatistics.Trial & watched.key).to_dicts():
        trial = row["trial_id"]
        after = [lick for lick in trials["lick_times"][trial] if lick > times[trial]]
        expected = pytest.approx(after[0] - times[trial], abs=1e-9) if after else None
        assert row["latency_from_change_time"] == expected


@pytest.mark.parametrize(("definition", "gap_s"), [("piet_2023", 0.7), ("bennett_2025", 0.5)])
def test_the_lick_bouts_are_those_of_a_plain_loop(watched: Any, definition: str, gap_s: float) -> None:
    """An earned reward belongs to the last lick before it, a free one to the nearest lick."""
    key = {**watched.key, "lick_bout_params": definition}
    rows = (performance.LickBouts.Bout & key).to_dicts(order_by="bout")
    bouts = plain_bouts(lick_times(watched), gap_s)
    assert [row["bout"] for row in rows] == list(range(len(bouts)))
    for name, expected in (
        ("bout_start_time", [bout[0] for bout in bouts]),
        ("bout_stop_time", [bout[-1] for bout in bouts]),
        ("n_bout_licks", [len(bout) for bout in bouts]),
        ("n_bout_rewards", rewards_of(watched.table("rewards"), bouts)),
    ):
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=1e-12)
    master = (performance.LickBouts & key).fetch1()
    n_rewarded = sum(bool(row["bout_is_rewarded"]) for row in rows)
    assert (master["n_bouts"], master["n_rewarded_bouts"]) == (len(bouts), n_rewarded)
    assert n_rewarded == sum(row["n_bout_rewards"] > 0 for row in rows)


def rewards_of(rewards: pd.DataFrame, bouts: list[list[float]]) -> list[int]:
    counts = [0] * len(bouts)
    licks = [(lick, number) for number, bout in enumerate(bouts) for lick in bout]
    for time, is_free in zip(rewards["timestamps"], rewards["auto_rewarded"], strict=True):
        if is_free:
            counts[min(licks, key=lambda lick: (abs(lick[0] - time), lick[0]))[1]] += 1
        else:
            before = [number for lick, number in licks if lick <= time]
            if before:
                counts[before[-1]] += 1
    return counts
