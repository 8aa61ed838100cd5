from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.task.licking import LICK_GAPS_S, bout_onsets, lick_bouts

GRID = 2**-4  # binary fractions: differences are exact
LICKS = st.lists(st.integers(0, 400), max_size=40).map(lambda steps: np.array(steps) * GRID)


def rewards_at(*times: float, auto: bool = False) -> pd.DataFrame:
    return pd.DataFrame({"timestamps": np.array(times, float), "auto_rewarded": np.full(len(times), auto)})


def by_loop(licks: np.ndarray, gap_s: float) -> list[list[float]]:
    bouts: list[list[float]] = []
    for lick in sorted(licks.tolist()):
        if bouts and lick - bouts[-1][-1] <= gap_s:
            bouts[-1].append(lick)
        else:
            bouts.append([lick])
    return bouts


class TestLickBouts:
    def test_by_hand(self):
        """Pauses of .5, .75, .5 s: only the second is longer than .7 s; the second lick is rewarded."""
        bouts = lick_bouts([1.0, 1.5, 2.25, 2.75], rewards_at(1.5))
        assert bouts.to_dict("list") == {
            "start_time": [1.0, 2.25],
            "stop_time": [1.5, 2.75],
            "n_licks": [2, 2],
            "n_rewards": [1, 0],
            "rewarded": [True, False],
        }

    def test_a_pause_of_just_the_gap_does_not_part_bouts(self):
        assert len(lick_bouts([1.0, 1.5], gap_s=0.5)) == 1
        assert len(lick_bouts([1.0, 1.5], gap_s=0.49)) == 2

    def test_both_published_gaps(self):
        licks = [0.0, 0.6, 1.4]
        assert [len(lick_bouts(licks, gap_s=gap_s)) for gap_s in LICK_GAPS_S.values()] == [2, 3]
        assert list(LICK_GAPS_S.items()) == [("piet_2023", 0.7), ("bennett_2025", 0.5)]

    @given(LICKS, st.sampled_from([0.5, 0.75, 1.0]))
    def test_agrees_with_a_loop(self, licks, gap_s):
        bouts, expected = lick_bouts(licks, gap_s=gap_s), by_loop(licks, gap_s)
        assert bouts["start_time"].tolist() == [bout[0] for bout in expected]
        assert bouts["stop_time"].tolist() == [bout[-1] for bout in expected]
        assert bouts["n_licks"].tolist() == [len(bout) for bout in expected]
        assert bout_onsets(licks, gap_s).tolist() == [bout[0] for bout in expected]

    @given(LICKS, st.randoms())
    def test_order_does_not_matter_and_every_lick_is_in_one_bout(self, licks, random):
        shuffled = licks.tolist()
        random.shuffle(shuffled)
        pd.testing.assert_frame_equal(lick_bouts(shuffled), lick_bouts(licks))
        assert lick_bouts(licks)["n_licks"].sum() == len(licks)

    @given(LICKS, st.lists(st.integers(0, 400), max_size=6), st.booleans())
    def test_rewards_agree_with_a_loop(self, licks, steps, auto):
        rewards = rewards_at(*(np.array(steps) * GRID), auto=auto)
        bouts = by_loop(licks, 0.7)
        expected = [0] * len(bouts)
        ordered = np.sort(licks)
        for time in rewards["timestamps"]:
            if auto and len(ordered):
                lick = ordered[np.argmin(np.abs(ordered - time))]
            elif (ordered <= time).any():
                lick = ordered[ordered <= time][-1]
            else:
                continue
            expected[next(row for row, bout in enumerate(bouts) if lick in bout)] += 1
        assert lick_bouts(licks, rewards)["n_rewards"].tolist() == expected

    @pytest.mark.parametrize(
        ("time", "auto", "bout"),
        [(3.0, True, 0), (3.5, True, 1), (3.5, False, 0), (0.5, True, 0), (0.5, False, None)],
    )
    def test_a_free_reward_goes_to_the_nearest_lick_and_an_earned_one_to_the_last(self, time, auto, bout):
        n_rewards = lick_bouts([1.0, 5.0], rewards_at(time, auto=auto))["n_rewards"].tolist()
        assert n_rewards == [int(bout == row) for row in (0, 1)]

    def test_no_licks_no_bouts(self):
        bouts = lick_bouts([], rewards_at(1.0, auto=True))
        assert list(bouts) == ["start_time", "stop_time", "n_licks", "n_rewards", "rewarded"]
        assert len(bouts) == bout_onsets([]).size == 0

    def test_one_lick_is_a_bout(self):
        assert lick_bouts([3.0], rewards_at())[["start_time", "stop_time", "n_licks"]].iloc[0].tolist() == [
            3,
            3,
            1,
        ]

    @pytest.mark.parametrize("gap_s", [0.0, -1.0, np.nan, np.inf])
    def test_refuses_a_gap_that_is_none(self, gap_s):
        with pytest.raises(ValueError, match="gap_s must be a positive number"):
            bout_onsets([1.0], gap_s)

    def test_refuses_licks_without_a_time(self):
        with pytest.raises(ValueError, match="lick_times must be finite"):
            lick_bouts([1.0, np.nan])

    def test_the_corpus_rewards_each_belong_to_a_bout(self, recordings):
        for recording in recordings:
            licks, rewards = recording.table("licks"), recording.table("rewards")
            bouts = lick_bouts(licks["timestamps"], rewards)
            assert bouts["n_licks"].sum() == len(licks)
            assert bouts["n_rewards"].sum() == len(rewards)
            hits = recording.table("trials").query("hit")
            for time in hits["reward_time"]:
                held = bouts["rewarded"] & (bouts["start_time"] <= time) & (bouts["stop_time"] + 0.7 > time)
                assert held.sum() == 1
