from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from vbn.analysis import (
    PerformanceParameters,
    performance_metrics,
    response_latencies,
    reward_rate,
    rolling_performance,
)

KINDS = ("aborted", "hit", "miss", "false_alarm", "correct_reject", "auto_rewarded")
METRICS = [
    *("trial_count", "go_trial_count", "catch_trial_count", "hit_trial_count", "miss_trial_count"),
    *("false_alarm_trial_count", "correct_reject_trial_count", "auto_reward_count", "earned_reward_count"),
    *("total_reward_count", "total_reward_volume", "maximum_reward_rate", "engaged_trial_count"),
    *("mean_hit_rate", "mean_hit_rate_uncorrected", "mean_hit_rate_engaged", "mean_false_alarm_rate"),
    *("mean_false_alarm_rate_uncorrected", "mean_false_alarm_rate_engaged", "mean_dprime"),
    *("mean_dprime_engaged", "max_dprime", "max_dprime_engaged"),
]
COLUMNS = [
    "reward_rate",
    "hit_rate_raw",
    "hit_rate",
    "false_alarm_rate_raw",
    "false_alarm_rate",
    "rolling_dprime",
]


def make_trials(kinds: list[str], licks_after_change: list[list[float]] | None = None) -> pd.DataFrame:
    """Trials of 6 s with the change 2 s after the start; a response is a lick 0.4 s after the change."""
    start = 6.0 * np.arange(len(kinds))
    if licks_after_change is None:
        licks_after_change = [[0.4] if kind in ("hit", "false_alarm") else [] for kind in kinds]
    frame = pd.DataFrame({"start_time": start}, index=pd.RangeIndex(len(kinds), name="trials_id"))
    for kind in KINDS:
        frame[kind] = np.array([given == kind for given in kinds], dtype=bool)
    frame["go"], frame["catch"] = frame["hit"] | frame["miss"], frame["false_alarm"] | frame["correct_reject"]
    frame["change_time_no_display_delay"] = np.where(frame["aborted"], np.nan, start + 2)
    licks = [
        begin + 2 + np.array(after, dtype=float)
        for begin, after in zip(start, licks_after_change, strict=True)
    ]
    frame["lick_times"] = pd.Series(licks, index=frame.index, dtype=object)
    frame["reward_volume"] = np.where(frame["hit"] | frame["auto_rewarded"], 0.003, 0.0)
    return frame


def rewards_of(trials: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"volume": trials["reward_volume"][trials["reward_volume"] > 0]})


def by_loop(kinds: list[str], latencies: np.ndarray, starts: np.ndarray) -> pd.DataFrame:
    """The definitions in plain Python, one trial at a time."""
    rows: list[Any] = []
    recent: list[Any] = []
    for trial, kind in enumerate(kinds):
        row = dict.fromkeys(COLUMNS, np.nan)
        if trial >= 10:
            window = range(max(0, trial - 25), min(trial + 25, len(kinds)))
            elapsed = starts[window[-1]] - starts[window[0]]
            row["reward_rate"] = sum(latencies[other] < 0.75 for other in window) / elapsed * 60
        if kind != "aborted":
            recent = [*recent, kind][-100:]
            for name, success, failure in (
                ("hit_rate", "hit", "miss"),
                ("false_alarm_rate", "false_alarm", "correct_reject"),
            ):
                n = recent.count(success) + recent.count(failure)
                if n:
                    raw = recent.count(success) / n
                    row[f"{name}_raw"] = raw
                    row[name] = min(max(raw, 1 / (2 * n)), 1 - 1 / (2 * n))
            z_hit, z_false = (
                norm.ppf(min(max(row[name], 0.01), 0.99)) for name in ("hit_rate", "false_alarm_rate")
            )
            known = not np.isnan(row["hit_rate"]) and not np.isnan(row["false_alarm_rate"])
            row["rolling_dprime"] = z_hit - z_false if known else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


class TestResponseLatencies:
    def test_the_first_lick_later_than_150_ms_counts(self):
        trials = make_trials(
            ["hit", "hit", "miss", "aborted", "hit"], [[0.08, 0.5, 0.6], [0.15 - 1e-9], [], [0.3], [3.0]]
        )
        np.testing.assert_allclose(response_latencies(trials), [0.5, np.inf, np.inf, np.inf, 3.0])

    def test_the_window_start_itself_does_not_count(self):
        trials = make_trials(["hit"], [[0.25, 0.5]])
        parameters = PerformanceParameters(response_window_s=(0.25, 0.75))
        assert response_latencies(trials, parameters).tolist() == [0.5]

    @pytest.mark.parametrize("nothing", [None, "", np.nan, [], np.empty(0)])
    def test_a_trial_without_licks_may_hold_whatever_the_file_gave(self, nothing):
        trials = make_trials(["hit"])
        trials["lick_times"] = pd.Series([nothing], dtype=object)
        assert response_latencies(trials).tolist() == [np.inf]

    def test_behaviour_only_sessions_name_the_change_time_otherwise(self):
        trials = make_trials(["hit", "miss"])
        renamed = trials.rename(columns={"change_time_no_display_delay": "change_time"})
        np.testing.assert_array_equal(response_latencies(renamed), response_latencies(trials))


class TestRewardRate:
    def test_by_hand(self):
        """All 60 trials of 6 s are hits. Trial 30 sees trials 5..54: 50 hits in 49 * 6 s = 10.2 per minute.

        Trial 10 sees 0..34, 35 hits in 34 * 6 s; trial 59 sees 34..59, 26 hits in 25 * 6 s.
        """
        rate = reward_rate(make_trials(["hit"] * 60))
        assert np.isnan(rate[:10]).all()
        np.testing.assert_allclose(rate[[10, 30, 59]], [35 / 34 * 10, 50 / 49 * 10, 26 / 25 * 10])

    def test_unrewarded_responses_count_and_late_ones_do_not(self):
        licks = [[0.4]] * 10 + [[0.75]] * 10
        rate = reward_rate(make_trials(["false_alarm"] * 20, licks))
        np.testing.assert_allclose(rate[10:], 10 / 19 * 10)

    def test_ten_trials_are_too_few_and_no_time_gives_nan(self):
        assert np.isnan(reward_rate(make_trials(["hit"] * 10))).all()
        at_once = make_trials(["hit"] * 12).assign(start_time=0.0)
        assert np.isnan(reward_rate(at_once)).all()


class TestRollingPerformance:
    def test_by_hand(self):
        """hit, correct_reject, aborted, miss, auto_rewarded.

        One hit of one: 1, corrected to 1 - 1/2. One hit of two: 1/2. No false alarm in one catch trial: 0,
        corrected to 1/2. So d' is z(.5) - z(.5) = 0 from the second trial on.
        """
        kinds = ["hit", "correct_reject", "aborted", "miss", "auto_rewarded"]
        rolling = rolling_performance(make_trials(kinds))
        nan = np.nan
        np.testing.assert_allclose(rolling["hit_rate_raw"], [1, 1, nan, 0.5, 0.5])
        np.testing.assert_allclose(rolling["hit_rate"], [0.5, 0.5, nan, 0.5, 0.5])
        np.testing.assert_allclose(rolling["false_alarm_rate_raw"], [nan, 0, nan, 0, 0])
        np.testing.assert_allclose(rolling["false_alarm_rate"], [nan, 0.5, nan, 0.5, 0.5])
        np.testing.assert_allclose(rolling["rolling_dprime"], [nan, 0, nan, 0, 0], atol=1e-12)
        assert list(rolling.columns) == COLUMNS
        assert rolling.index.name == "trials_id"

    def test_the_window_is_100_trials_in_which_auto_rewarded_ones_take_a_place_and_aborted_ones_none(self):
        kinds = ["hit", *["aborted"] * 50, *["auto_rewarded"] * 98, "miss", "miss"]
        rolling = rolling_performance(make_trials(kinds))
        assert rolling["hit_rate_raw"].iloc[-2:].tolist() == [0.5, 0.0]

    def test_d_prime_is_clipped_at_one_hundredth(self):
        rolling = rolling_performance(make_trials(["hit", "correct_reject"] * 100))
        assert rolling["rolling_dprime"].max() == pytest.approx(2 * norm.ppf(0.99))

    @given(st.lists(st.sampled_from(KINDS), max_size=150), st.integers(0, 2**32 - 1))
    def test_agrees_with_the_definitions_trial_by_trial(self, kinds, seed):
        rng = np.random.default_rng(seed)
        trials = make_trials(
            kinds, [np.sort(rng.uniform(0, 1.2, rng.integers(0, 3))).tolist() for _ in kinds]
        )
        trials["start_time"] = np.cumsum(rng.uniform(1, 9, len(kinds)))
        rolling = rolling_performance(trials)
        expected = by_loop(kinds, response_latencies(trials), trials["start_time"].to_numpy())
        passive = (trials["reward_volume"] == 0).all() and (trials["lick_times"].map(len) == 0).all()
        if passive:
            expected["rolling_dprime"] = np.where(trials["aborted"], np.nan, 0.0)
        np.testing.assert_allclose(rolling.to_numpy(), expected.to_numpy(dtype=float), atol=1e-12)

    @given(st.integers(-(2**20), 2**20))
    def test_shifting_all_times_changes_nothing(self, shift):
        kinds = ["hit", "miss", "correct_reject", "aborted", "false_alarm", "hit"] * 5
        trials = make_trials(kinds)
        moved = trials.assign(
            start_time=trials["start_time"] + shift,
            change_time_no_display_delay=trials["change_time_no_display_delay"] + shift,
            lick_times=[licks + shift for licks in trials["lick_times"]],
        )
        pd.testing.assert_frame_equal(rolling_performance(moved), rolling_performance(trials))

    def test_a_passive_session_has_d_prime_0_except_on_aborted_trials(self):
        rolling = rolling_performance(make_trials(["miss", "aborted", "correct_reject"]))
        np.testing.assert_array_equal(rolling["rolling_dprime"], [0, np.nan, 0])

    def test_one_lick_makes_a_session_active(self):
        trials = make_trials(["miss", "correct_reject"], [[0.9], []])
        assert np.isnan(rolling_performance(trials)["rolling_dprime"].iloc[0])

    def test_changes_nothing_in_its_input(self):
        trials = make_trials(["hit", "aborted"])
        before = trials.copy(deep=True)
        rolling_performance(trials)
        pd.testing.assert_frame_equal(trials, before)


class TestPerformanceMetrics:
    def test_by_hand(self):
        kinds = (
            ["hit"] * 8 + ["miss"] * 2 + ["correct_reject"] * 3 + ["false_alarm", "auto_rewarded", "aborted"]
        )
        trials = make_trials(kinds)
        metrics = performance_metrics(trials, rewards_of(trials))
        assert list(metrics) == METRICS
        counts = [metrics[name] for name in METRICS if name.endswith("_count")]
        assert counts == [16, 10, 4, 8, 2, 1, 3, 1, 8, 9, 6]
        assert metrics["total_reward_volume"] == pytest.approx(9 * 0.003)
        # 16 trials, 15 * 6 s, 8 hits and a false alarm, seen from every trial.
        assert metrics["maximum_reward_rate"] == pytest.approx(9 / 90 * 60)
        raw = [1] * 8 + [8 / 9] + [0.8] * 6
        assert metrics["mean_hit_rate_uncorrected"] == pytest.approx(np.mean(raw))
        d_primes = [0.5, 0.25, 1 / 6, 0.25, 0.25]
        assert metrics["max_dprime"] == pytest.approx(norm.ppf(0.8) - norm.ppf(1 / 6))
        assert metrics["mean_dprime"] == pytest.approx(norm.ppf(0.8) - np.mean(norm.ppf(d_primes)))

    def test_the_threshold_of_engagement_is_exclusive(self):
        trials = make_trials(["hit"] * 20)
        rate = reward_rate(trials)[10]
        at, below = (PerformanceParameters(engaged_threshold=value) for value in (rate, rate - 1e-9))
        assert performance_metrics(trials, rewards_of(trials), parameters=at)["engaged_trial_count"] == 0
        assert performance_metrics(trials, rewards_of(trials), parameters=below)["engaged_trial_count"] == 10

    @pytest.mark.parametrize(
        "kinds", [[], ["aborted"] * 30, ["hit"] * 3], ids=["none", "all aborted", "no catch"]
    )
    def test_sessions_with_too_little_give_nan_and_true_counts_quietly(self, kinds):
        trials = make_trials(kinds)
        metrics = performance_metrics(trials, rewards_of(trials))
        assert list(metrics) == METRICS
        assert metrics["trial_count"] == len(kinds)
        assert metrics["total_reward_volume"] == pytest.approx(0.003 * kinds.count("hit"))
        assert np.isnan([metrics[name] for name in METRICS if "dprime" in name]).all()

    def test_a_passive_session_has_d_prime_0(self):
        metrics = performance_metrics(
            make_trials(["miss", "correct_reject"] * 10), pd.DataFrame({"volume": []})
        )
        assert metrics["mean_dprime"] == metrics["max_dprime"] == 0
        assert metrics["mean_hit_rate_uncorrected"] == 0
        assert metrics["maximum_reward_rate"] == 0
        assert np.isnan(metrics["mean_dprime_engaged"])

    def test_results_are_plain_numbers(self):
        metrics = performance_metrics(make_trials(["hit", "aborted"]), pd.DataFrame({"volume": [0.003]}))
        assert {type(value) for value in metrics.values()} == {int, float}


class TestParameters:
    def test_survive_json(self):
        parameters = PerformanceParameters(sliding_window=50)
        assert PerformanceParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"sliding_window": 0}, "at least one trial"),
            ({"reward_rate_half_window": 0}, "at least one trial"),
            ({"response_window_s": (0.75, 0.15)}, "response_window_s"),
            ({"rate_clip": 0.5}, "rate_clip"),
        ],
    )
    def test_refuse_nonsense(self, wrong, match):
        with pytest.raises(ValueError, match=match):
            PerformanceParameters(**wrong)


class TestAgainstAllenSdk:
    def check(self, session):
        trials, rewards, licks = (session.table(name) for name in ("trials", "rewards", "licks"))
        expected = session.table("rolling_performance")
        rolling = rolling_performance(trials, rewards, licks)
        pd.testing.assert_frame_equal(rolling[list(expected.columns)], expected, rtol=0, atol=1e-9)
        metrics = performance_metrics(trials, rewards, licks)
        expected_metrics = session.content("expected")["performance_metrics"]
        assert list(metrics) == list(expected_metrics)
        for name, value in expected_metrics.items():
            value = np.nan if value is None else value
            assert metrics[name] == pytest.approx(value, rel=0, abs=1e-9, nan_ok=True), name

    def test_recordings(self, recordings):
        for session in recordings:
            self.check(session)

    def test_behaviour_only_sessions(self, behaviour_only):
        for session in behaviour_only:
            self.check(session)
