from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.analysis.task.engagement import (
    ENGAGEMENT,
    EngagementParameters,
    engaged_flashes,
    engaged_trials,
    engagement_epochs,
    rewarded_flashes,
)
from vbn.analysis.task.presentations import TRIAL_OUTCOMES, trial_rows

KINDS = st.lists(st.sampled_from(TRIAL_OUTCOMES), max_size=40)
SEEDS = st.integers(0, 2**32 - 1)


def active_flashes(session) -> list[dict]:
    return [flash for flash in session.flashes if flash["active"]]


def rewarded_trials(session) -> set[int]:
    return {trial for _, trial in session.rewards}


def bennett_by_pandas(session, n: int, threshold: float) -> list[bool]:
    """As in the source: a centred rolling sum over the flashes of the active block."""
    rewarded = [f["change"] and f["trial"] in rewarded_trials(session) for f in active_flashes(session)]
    sums = pd.Series(np.array(rewarded, dtype=float)).rolling(n, center=True).sum()
    return (sums >= threshold).tolist()


def piet_by_pandas(session, n: int) -> list[bool]:
    """As in the source: Gaussian rolling means over .75 s, above a reward in 120 s or a bout in 10 s."""
    flashes = active_flashes(session)
    starts = np.array([flash["time"] for flash in flashes])
    rewarded = [f["change"] and f["trial"] in rewarded_trials(session) for f in flashes]
    cells = [np.asarray(each, float) for each in session.trials["lick_times"] if each is not None]
    licks = np.sort(np.concatenate([*cells, np.empty(0)]))
    first = licks[np.append(True, np.diff(licks) > 0.7)[: licks.size]]
    stops = np.append(starts, np.inf)[1:]
    began = [((first > start) & (first <= stop)).any() for start, stop in zip(starts, stops, strict=True)]
    window: dict[str, Any] = {"window": n, "center": True, "min_periods": 1, "win_type": "gaussian"}
    rewards, bouts = (
        pd.Series(np.array(each, dtype=float)).rolling(**window).mean(std=60) / 0.75
        for each in (rewarded, began)
    )
    return ((rewards > 1 / 120) | (bouts > 1 / 10)).tolist()


def siegle_by_loop(session, moment: float) -> bool:
    hits = [f["time"] for f in active_flashes(session) if f["change"] and f["outcome"] == "hit"]
    return sum(moment - 60 < hit < moment + 60 for hit in hits) > 1


class TestDefinitions:
    @given(KINDS, SEEDS)
    @settings(max_examples=40)
    def test_allensdk(self, make_session, kinds, seed):
        session = make_session(kinds, seed)
        expected = session.engaged()
        assert engaged_trials(session.trials, session.presentations).tolist() == expected
        flashes = engaged_flashes(session.presentations, session.trials)
        active = session.presentations["active"].to_numpy()
        assert flashes[active].tolist() == [
            flash["trial"] >= 0 and expected[flash["trial"]] for flash in active_flashes(session)
        ]
        assert not flashes[~active].any()

    @given(KINDS, SEEDS, st.sampled_from([(1, 1), (4, 1), (5, 1), (20, 2), (80, 2), (80, 4)]))
    @settings(max_examples=40)
    def test_bennett(self, make_session, kinds, seed, window):
        session = make_session(kinds, seed)
        n, threshold = window
        parameters = EngagementParameters("flash_rewards", threshold, threshold_is_engaged=True, n_flashes=n)
        flashes = engaged_flashes(session.presentations, session.trials, parameters)
        active = session.presentations["active"].to_numpy()
        expected = bennett_by_pandas(session, n, threshold)
        assert flashes[active].tolist() == expected
        assert not flashes[~active].any()
        first: dict[Any, Any] = {}
        for flash, engaged in zip(active_flashes(session), expected, strict=True):
            first.setdefault(flash["trial"], engaged)
        trials = engaged_trials(session.trials, session.presentations, parameters)
        assert trials.tolist() == [first[trial] for trial in range(len(kinds))]

    @given(KINDS, SEEDS, st.sampled_from([640, 41, 8]))
    @settings(max_examples=40)
    def test_piet(self, make_session, kinds, seed, n):
        session = make_session(kinds, seed)
        parameters = EngagementParameters("reward_or_bout_rate", 0.5, n_flashes=n)
        flashes = engaged_flashes(session.presentations, session.trials, parameters)
        active = session.presentations["active"].to_numpy()
        assert flashes[active].tolist() == piet_by_pandas(session, n)
        assert not flashes[~active].any()

    @given(KINDS, SEEDS)
    @settings(max_examples=40)
    def test_siegle(self, make_session, kinds, seed):
        session = make_session(kinds, seed)
        parameters = ENGAGEMENT["siegle_2021"]
        flashes = engaged_flashes(session.presentations, session.trials, parameters)
        active = session.presentations["active"].to_numpy()
        assert flashes[active].tolist() == [
            siegle_by_loop(session, f["time"]) for f in active_flashes(session)
        ]
        assert not flashes[~active].any()
        moments = session.trials["start_time"].tolist()
        for flash in active_flashes(session):
            if flash["change"] or flash["sham"]:
                moments[flash["trial"]] = flash["time"]
        trials = engaged_trials(session.trials, session.presentations, parameters)
        assert trials.tolist() == [siegle_by_loop(session, moment) for moment in moments]

    def test_hits_just_a_minute_away_are_too_far(self):
        presentations = pd.DataFrame(
            {"start_time": [0.0, 60.0, 119.0], "active": True, "image_name": "a", "omitted": False}
        ).assign(is_change=True, trials_id=[0, 1, 2])
        trials = pd.DataFrame({name: [False] * 3 for name in TRIAL_OUTCOMES}).assign(
            start_time=[-1.0, 59.0, 118.0], stop_time=[1.0, 61.0, 120.0], hit=True
        )
        engaged = engaged_trials(trials, presentations, ENGAGEMENT["siegle_2021"])
        assert engaged.tolist() == [False, True, True]  # 60 s do not count, 59 s do

    @pytest.mark.parametrize("name", ENGAGEMENT)
    @pytest.mark.parametrize(
        "kinds", [[], ["aborted"] * 15, ["correct_reject"] * 3], ids=["none", "aborted", "no go"]
    )
    def test_little_input_is_not_engaged(self, make_session, name, kinds):
        session = make_session(kinds)
        licks_often = name == "piet_2024" and "aborted" in kinds  # which is enough, whatever it earns
        assert engaged_trials(session.trials, session.presentations, ENGAGEMENT[name]).tolist() == [
            licks_often
        ] * len(kinds)
        flashes = engaged_flashes(session.presentations, session.trials, ENGAGEMENT[name])
        active = session.presentations["active"].to_numpy(bool)
        assert flashes.tolist() == (active & licks_often).tolist()

    @pytest.mark.parametrize("name", ENGAGEMENT)
    def test_order_of_the_presentations_does_not_matter(self, make_session, name):
        session = make_session(["hit", "miss", "hit", "aborted", "hit", "false_alarm"] * 6)
        shuffled = session.presentations.sample(frac=1, random_state=0)
        flashes = engaged_flashes(shuffled, session.trials, ENGAGEMENT[name])
        expected = engaged_flashes(session.presentations, session.trials, ENGAGEMENT[name])
        assert flashes.tolist() == expected[shuffled.index].tolist()
        assert expected.any()
        np.testing.assert_array_equal(
            engaged_trials(session.trials, shuffled, ENGAGEMENT[name]),
            engaged_trials(session.trials, session.presentations, ENGAGEMENT[name]),
        )


class TestRewardedFlashes:
    @given(KINDS, SEEDS)
    @settings(max_examples=20)
    def test_are_the_same_where_the_file_does_not_store_them(self, make_session, kinds, seed):
        """Behaviour-only sessions."""
        session = make_session(kinds, seed)
        stored = rewarded_flashes(session.presentations, session.trials)
        found = rewarded_flashes(session.presentations.drop(columns="rewarded"), session.trials)
        np.testing.assert_array_equal(found, stored)
        assert stored.sum() == len(session.rewards)


class TestEpochs:
    TRIALS = pd.DataFrame(
        {
            "start_time": [0.0, 10.0, 20.0, 30.0],
            "stop_time": [9.0, 19.0, 29.0, 90.0],
            "reward_volume": [0.0, 0.003, 0.005, 0.0],
        }
    )

    def test_by_hand(self):
        """Trials 1 and 2 engaged, 19 s with 2 rewards."""
        epochs = engagement_epochs(self.TRIALS, np.array([False, True, True, False]))
        assert epochs["engaged"].tolist() == [False, True, False]
        assert epochs["start_time"].tolist() == [0, 10, 30]
        assert epochs["stop_time"].tolist() == [9, 29, 90]
        assert epochs["n_trials"].tolist() == [1, 2, 1]
        assert epochs["n_rewards"].tolist() == [0, 2, 0]
        np.testing.assert_allclose(epochs["reward_rate"], [0, 2 / 19 * 60, 0])

    @given(st.lists(st.booleans(), max_size=50))
    def test_epochs_alternate_and_hold_all_trials(self, engaged):
        n = len(engaged)
        trials = pd.DataFrame({"start_time": np.arange(n) * 2.0, "stop_time": np.arange(n) * 2.0 + 1})
        epochs = engagement_epochs(trials.assign(reward_volume=0.003), np.array(engaged, dtype=bool))
        assert epochs["n_trials"].sum() == epochs["n_rewards"].sum() == n
        assert np.repeat(epochs["engaged"], epochs["n_trials"]).tolist() == engaged
        assert (epochs["engaged"].to_numpy()[1:] != epochs["engaged"].to_numpy()[:-1]).all()

    def test_an_epoch_without_duration_has_no_rate(self):
        trials = self.TRIALS.assign(stop_time=self.TRIALS["start_time"])
        assert np.isnan(engagement_epochs(trials, np.array([True, False, True, False]))["reward_rate"]).all()

    def test_no_trials_no_epochs(self):
        epochs = engagement_epochs(self.TRIALS.iloc[:0], np.empty(0, bool))
        assert list(epochs) == ["engaged", "start_time", "stop_time", "n_trials", "n_rewards", "reward_rate"]
        assert len(epochs) == 0

    def test_refuses_another_number_of_trials(self):
        with pytest.raises(ValueError, match=r"shape \(4,\), one per trial, got \(3,\)"):
            engagement_epochs(self.TRIALS, np.ones(3, bool))


class TestParameters:
    @pytest.mark.parametrize("name", ENGAGEMENT)
    def test_survive_json(self, name):
        parameters = ENGAGEMENT[name]
        assert EngagementParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"method": "mood", "threshold": 1}, "Unknown method 'mood'. Known: 'trial_reward_rate'"),
            ({"method": "flash_rewards", "threshold": 2}, "needs n_flashes"),
            ({"method": "flash_rewards", "threshold": 2, "n_flashes": 0}, "needs n_flashes"),
            (
                {"method": "trial_reward_rate", "threshold": 2, "n_flashes": 80},
                "no other method, needs n_flashes",
            ),
            ({"method": "hits_nearby", "threshold": 1}, "needs half_window_s"),
            ({"method": "hits_nearby", "threshold": 1, "half_window_s": 0}, "needs half_window_s"),
        ],
    )
    def test_refuse_nonsense(self, wrong, match):
        with pytest.raises(ValueError, match=match):
            EngagementParameters(**wrong)


def test_corpus_trials_engaged_by_allensdk(recordings, behaviour_only):
    for session in [*recordings, *behaviour_only]:
        trials, presentations = session.table("trials"), session.table("stimulus_presentations")
        rate = session.table("rolling_performance")["reward_rate"]
        engaged = engaged_trials(trials, presentations)
        np.testing.assert_array_equal(engaged, rate > 2)
        n_engaged = session.content("expected")["performance_metrics"]["engaged_trial_count"]
        assert engagement_epochs(trials, engaged).query("engaged")["n_trials"].sum() == n_engaged
        row = trial_rows(presentations, trials)
        flashes = engaged_flashes(presentations, trials)
        assert flashes.sum() == (engaged[row] & (row >= 0) & presentations["active"]).sum()
