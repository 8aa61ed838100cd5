from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from vbn.analysis.task.engagement import ENGAGEMENT, engaged_trials
from vbn.analysis.task.presentations import TRIAL_OUTCOMES
from vbn.analysis.task.task_statistics import (
    IMAGE_COLUMNS,
    TRIAL_SETS,
    FlashResponseParameters,
    OutcomeCounts,
    count_outcomes,
    flash_responses,
    image_statistics,
    lick_latencies,
    lick_latency_statistics,
    pooled_statistics,
    sensitivity,
)

KINDS = st.lists(st.sampled_from(TRIAL_OUTCOMES), max_size=40)
SEEDS = st.integers(0, 2**32 - 1)


def hit_rate_of_bennett(hits: int, misses: int) -> float:
    """The published code's rule: 0 and 1 are replaced, nothing else."""
    n = hits + misses
    rate = hits / n
    return 0.5 / n if rate == 0 else 1 - 0.5 / n if rate == 1 else rate


class TestSensitivity:
    def test_by_hand_on_a_real_session(self):
        """AllenSDK's example session 1052316794: 136 hits, 173 misses, 1 false alarm, 44 correct rejects."""
        result = sensitivity(OutcomeCounts(136, 173, 1, 44))
        assert result.hit_rate == pytest.approx(136 / 309)
        assert result.false_alarm_rate == pytest.approx(1 / 45)
        assert result.d_prime == pytest.approx(norm.ppf(136 / 309) - norm.ppf(1 / 45))
        assert result.criterion == pytest.approx(-(norm.ppf(136 / 309) + norm.ppf(1 / 45)) / 2)

    def test_a_mouse_that_always_licks_has_no_d_prime_and_a_negative_criterion(self):
        result = sensitivity(OutcomeCounts(hit=10, miss=0, false_alarm=10, correct_reject=0))
        assert result.d_prime == pytest.approx(0)
        assert result.criterion == pytest.approx(-norm.ppf(0.95))
        assert (result.hit_rate, result.false_alarm_rate) == (1.0, 1.0)

    def test_allensdk_clips_at_one_hundredth_and_the_others_do_not(self):
        counts = OutcomeCounts(hit=200, miss=0, false_alarm=0, correct_reject=100)
        assert sensitivity(counts).d_prime == pytest.approx(2 * norm.ppf(0.99))
        assert sensitivity(counts, None).d_prime == pytest.approx(
            norm.ppf(1 - 0.5 / 200) - norm.ppf(0.5 / 100)
        )

    @given(*[st.integers(0, 400)] * 4)
    def test_both_published_corrections_come_to_the_same(self, hit, miss, false_alarm, correct_reject):
        result = sensitivity(OutcomeCounts(hit, miss, false_alarm, correct_reject), None)
        if hit + miss == 0 or false_alarm + correct_reject == 0:
            assert np.isnan([result.d_prime, result.criterion]).all()
            return
        z_hit = norm.ppf(hit_rate_of_bennett(hit, miss))
        z_false = norm.ppf(hit_rate_of_bennett(false_alarm, correct_reject))
        assert result.d_prime == pytest.approx(z_hit - z_false, abs=1e-12)
        assert result.criterion == pytest.approx(-(z_hit + z_false) / 2, abs=1e-12)

    def test_without_catch_trials_the_hit_rate_remains(self):
        result = sensitivity(OutcomeCounts(3, 1, 0, 0))
        assert result.hit_rate == 0.75
        assert np.isnan([result.false_alarm_rate, result.d_prime, result.criterion]).all()


class TestPooled:
    @given(KINDS, SEEDS)
    @settings(max_examples=30)
    def test_each_set_pools_its_trials(self, make_session, kinds, seed):
        session = make_session(kinds, seed)
        statistics = pooled_statistics(session.trials, session.presentations)
        names = ("trial_count", "hit_rate", "false_alarm_rate", "dprime", "criterion")
        assert list(statistics) == [f"{trials}_{name}" for trials in TRIAL_SETS for name in names]
        for name, (definition, clip) in TRIAL_SETS.items():
            chosen = np.ones(len(kinds), dtype=bool)
            if definition:
                chosen = engaged_trials(session.trials, session.presentations, ENGAGEMENT[definition])
            taken = [kind for kind, take in zip(kinds, chosen, strict=True) if take]
            counts = [taken.count(kind) for kind in ("hit", "miss", "false_alarm", "correct_reject")]
            expected = sensitivity(OutcomeCounts(*counts), clip)
            assert statistics[f"{name}_trial_count"] == sum(counts)
            assert statistics[f"{name}_dprime"] == pytest.approx(expected.d_prime, nan_ok=True)
            assert statistics[f"{name}_criterion"] == pytest.approx(expected.criterion, nan_ok=True)
            assert statistics[f"{name}_hit_rate"] == pytest.approx(expected.hit_rate, nan_ok=True)

    def test_results_are_plain_numbers(self, make_session):
        session = make_session(["hit", "correct_reject", "aborted"])
        values = pooled_statistics(session.trials, session.presentations).values()
        assert {type(value) for value in values} == {int, float}

    def test_corpus(self, recordings):
        for recording in recordings:
            made = recording.content("ground_truth")["trial_counts"]
            trials, presentations = recording.table("trials"), recording.table("stimulus_presentations")
            assert count_outcomes(trials) == OutcomeCounts(made["hit"], made["miss"], made["fa"], made["cr"])
            statistics = pooled_statistics(trials, presentations)
            assert statistics["pooled_hit_rate"] == made["hit"] / (made["hit"] + made["miss"])
            # At the end the rolling window holds all trials of so short a session.
            rolling = recording.table("rolling_performance").dropna().iloc[-1]
            assert statistics["pooled_dprime"] == pytest.approx(rolling["rolling_dprime"], abs=1e-12)


class TestFlashResponses:
    def presentations(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "start_time": [10.0, 10.75, 11.5, 110.0],
                "active": [True, True, True, False],
                "image_name": ["a", "omitted", "a", "a"],
                "is_change": False,
                "omitted": [False, True, False, False],
            }
        )

    @pytest.mark.parametrize(
        ("licks", "responded"),
        [
            ([10.3], [True, False, False, False]),
            ([10.05], [False, False, False, False]),  # too early for a response
            ([10.125], [True, False, False, False]),
            ([11.0, 11.1], [False, True, False, False]),  # on an omission
            ([10.3, 10.6, 10.9], [True, False, False, False]),  # one bout answers one flash
            ([10.0], [False, False, False, False]),  # at the flash itself: belongs to none before
            ([12.2], [False, False, True, False]),
            ([12.25], [False, False, False, False]),  # the window's end is exclusive
            ([110.3], [False, False, False, False]),  # the replay
            ([1.0], [False, False, False, False]),
            ([], [False, False, False, False]),
        ],
    )
    def test_by_hand(self, licks, responded):
        assert flash_responses(self.presentations(), licks).tolist() == responded
        backwards = self.presentations().iloc[::-1]
        assert flash_responses(backwards, licks).tolist() == responded[::-1]

    @pytest.mark.parametrize("wrong", [{"window_s": (0.5, 0.1)}, {"window_s": (0.1,)}, {"bout_gap_s": 0}])
    def test_refuses_nonsense(self, wrong):
        with pytest.raises(ValueError, match="must be"):
            FlashResponseParameters(**wrong)


class TestImages:
    @given(KINDS, SEEDS)
    @settings(max_examples=40)
    def test_agrees_with_counting_one_by_one(self, make_session, kinds, seed):
        session = make_session(kinds, seed)
        table = image_statistics(session.trials, session.presentations, session.lick_times)
        assert tuple(table) == IMAGE_COLUMNS
        flashes = [flash for flash in session.flashes if flash["active"]]
        shown = [flash for flash in flashes if not flash["omitted"]]
        trials = session.trials[~session.trials["aborted"]]
        images = {flash["image"] for flash in shown} | set(trials["change_image_name"])
        assert table["image_name"].tolist() == sorted(images)
        starts = np.array([flash["time"] for flash in flashes] + [np.inf])
        answered = set()
        for onset, _ in session.bouts:
            flash = int((starts < onset).sum()) - 1
            if 0.1 < onset - starts[flash] < 0.75:
                answered.add(starts[flash])
        for row in table.itertuples():
            of_image = trials[trials["change_image_name"] == row.image_name]
            assert (row.n_hit, row.n_miss) == (of_image["hit"].sum(), of_image["miss"].sum())
            assert (row.n_go, row.n_catch) == (of_image["go"].sum(), of_image["catch"].sum())
            assert row.n_false_alarm + row.n_correct_reject == row.n_catch
            assert row.n_auto_rewarded == of_image["auto_rewarded"].sum()
            self.check_share(row.hit_rate, row.n_hit, row.n_go)
            self.check_share(row.false_alarm_rate, row.n_false_alarm, row.n_catch)
            of_flash = [flash for flash in shown if flash["image"] == row.image_name]
            assert row.n_flashes == len(of_flash)
            assert row.n_flash_responses == sum(flash["time"] in answered for flash in of_flash)
            unchanged = [flash for flash in of_flash if not flash["change"]]
            assert row.n_nonchange_flashes == len(unchanged)
            assert row.n_nonchange_responses == sum(flash["time"] in answered for flash in unchanged)
            self.check_share(row.flash_response_rate, row.n_flash_responses, row.n_flashes)
            self.check_share(row.nonchange_response_rate, row.n_nonchange_responses, row.n_nonchange_flashes)

    def check_share(self, share, part, whole):
        assert share == pytest.approx(part / whole if whole else np.nan, nan_ok=True)

    def test_no_licks_no_responses(self, make_session):
        session = make_session(["miss", "aborted"])
        table = image_statistics(session.trials, session.presentations, [])
        assert table["n_flash_responses"].sum() == 0
        assert (table["flash_response_rate"] == 0).all()

    def test_corpus_go_trials_are_those_of_the_trials_table(self, recordings, behaviour_only):
        for session in [*recordings, *behaviour_only]:
            trials = session.table("trials")
            table = image_statistics(
                trials, session.table("stimulus_presentations"), session.table("licks")["timestamps"]
            ).set_index("image_name")
            for column in ("go", "hit", "miss", "catch", "false_alarm", "auto_rewarded"):
                expected = trials[trials[column]].groupby("change_image_name").size()
                pd.testing.assert_series_equal(
                    table[f"n_{column}"][table[f"n_{column}"] > 0], expected, check_names=False
                )


class TestLickLatencies:
    def test_by_hand(self, make_session):
        """Bouts of hits and false alarms begin 0.5 s after the change time, 0.456 s after the flash."""
        kinds = ["hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded"]
        session = make_session(kinds)
        latencies = lick_latencies(session.trials, session.presentations, session.lick_times)
        assert latencies["trial_id"].tolist() == list(range(6))
        nan = np.nan
        np.testing.assert_allclose(latencies["latency_from_flash"], [0.456, nan, 0.456, nan, nan, 0.456])
        np.testing.assert_allclose(latencies["latency_from_change_time"], [0.5, nan, 0.5, nan, nan, 0.5])
        assert np.isnan(latencies["flash_time"]).tolist() == [kind == "aborted" for kind in kinds]

    @given(KINDS, SEEDS)
    @settings(max_examples=20)
    def test_order_of_trials_and_licks_does_not_matter(self, make_session, kinds, seed):
        session = make_session(kinds, seed)
        expected = lick_latencies(session.trials, session.presentations, session.lick_times)
        trials = session.trials.sample(frac=1, random_state=seed)
        found = lick_latencies(trials, session.presentations, session.lick_times[::-1])
        found = found.sort_values("trial_id", ignore_index=True)
        pd.testing.assert_frame_equal(found, expected)

    def test_statistics_by_hand(self):
        latencies = pd.DataFrame(
            {
                "latency_from_flash": [0.3, 0.5, 0.7, np.nan, 9.0],
                "latency_from_change_time": [0.4, np.nan, *[np.nan] * 3],
            }
        )
        statistics = lick_latency_statistics(latencies, [True, True, True, True, False])
        measures = ("count", "median", "mean", "std", "min", "max")
        assert [statistics[f"latency_from_flash_{name}"] for name in measures] == pytest.approx(
            [3, 0.5, 0.5, 0.2, 0.3, 0.7]
        )
        alone = [statistics[f"latency_from_change_time_{name}"] for name in measures]
        assert alone == pytest.approx([1, 0.4, 0.4, np.nan, 0.4, 0.4], nan_ok=True)

    @pytest.mark.parametrize("kinds", [[], ["aborted"] * 3, ["miss"]])
    def test_without_licks_all_is_nan(self, make_session, kinds):
        session = make_session(kinds)
        latencies = lick_latencies(session.trials, session.presentations, [])
        assert np.isnan(latencies["latency_from_flash"]).all()
        statistics = lick_latency_statistics(latencies, session.trials["hit"])
        assert (
            statistics.pop("latency_from_flash_count")
            == statistics.pop("latency_from_change_time_count")
            == 0
        )
        assert np.isnan(list(statistics.values())).all()

    def test_corpus_hits(self, recordings):
        """response_time is the first lick of the trial; no hit of the corpus has one before its change."""
        for recording in recordings:
            trials, presentations = recording.table("trials"), recording.table("stimulus_presentations")
            latencies = lick_latencies(trials, presentations, recording.table("licks")["timestamps"])
            hit = trials["hit"].to_numpy()
            expected = (trials["response_time"] - trials["change_time_no_display_delay"])[hit]
            np.testing.assert_allclose(latencies["latency_from_change_time"][hit], expected, atol=1e-9)
            lag = (latencies["flash_time"] - trials["change_time_no_display_delay"].to_numpy())[hit]
            # The sensor's time is up to a frame before the frame's.
            difference = (
                latencies["latency_from_change_time"][hit] - latencies["latency_from_flash"][hit] - lag
            )
            assert ((difference > -1e-6) & (difference < 0.018)).all()
