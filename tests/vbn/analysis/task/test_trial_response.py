from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.analysis import TimeAxis, count_spikes
from vbn.analysis.task.presentations import TRIAL_OUTCOMES
from vbn.analysis.task.trial_response import WINDOWS_S, trial_counts, trial_events

KINDS = st.lists(st.sampled_from(TRIAL_OUTCOMES), max_size=30)
SEEDS = st.integers(0, 2**32 - 1)


class TestTrialEvents:
    @given(KINDS, SEEDS, st.booleans())
    @settings(max_examples=40)
    def test_each_trial_that_was_not_aborted_has_its_change(self, make_session, kinds, seed, active):
        session = make_session(kinds, seed)
        flashes = [f for f in session.flashes if f["active"] == active and (f["change"] or f["sham"])]
        found = trial_events(session.presentations, session.trials, "active" if active else "passive")
        assert found["trial_id"].tolist() == [trial for trial, kind in enumerate(kinds) if kind != "aborted"]
        assert found["event_time"].tolist() == [flash["time"] for flash in flashes]
        assert found["is_sham_change"].tolist() == [flash["sham"] for flash in flashes]
        shuffled = trial_events(
            session.presentations.sample(frac=1, random_state=seed),
            session.trials.sample(frac=1, random_state=seed),
            "active" if active else "passive",
        )
        assert shuffled.equals(found)

    def test_refuses_another_block(self, make_session):
        session = make_session(["hit"])
        with pytest.raises(ValueError, match="'active' or 'passive', got 'both'"):
            trial_events(session.presentations, session.trials, "both")

    def test_corpus_events_are_the_flashes_of_the_change_frames(self, recordings, behaviour_only):
        for session in [*recordings, *behaviour_only]:
            trials, presentations = session.table("trials"), session.table("stimulus_presentations")
            changed = trials[trials["change_frame"] >= 0]
            by_frame = presentations[presentations["active"]].set_index("start_frame")["start_time"]
            found = trial_events(presentations, trials)
            assert found["trial_id"].tolist() == changed.index.tolist()
            np.testing.assert_array_equal(found["event_time"], by_frame[changed["change_frame"]])
            np.testing.assert_array_equal(found["is_sham_change"], changed["catch"])
            if not presentations["active"].all():  # a recording, with a replay
                assert (
                    trial_events(presentations, trials, "passive")["trial_id"].tolist()
                    == changed.index.tolist()
                )


class TestTrialCounts:
    def spikes(self, seed: int, sizes=(0, 1, 30, 300)) -> tuple[Any, Any, Any, Any]:
        rng = np.random.default_rng(seed)
        trains = [np.sort(rng.integers(0, 30 * 64, size)) / 64 for size in sizes]  # binary: hits the edges
        n_spikes = np.array(sizes)
        return np.concatenate(trains), np.cumsum(n_spikes) - n_spikes, n_spikes, trains

    def test_by_hand(self):
        """Events at 1 and 2 s; a window's start belongs to it, its stop does not."""
        windows = {"before": (-0.25, 0.0), "after": (0.0, 0.25)}
        spikes = [0.75, 1.0, 1.125, 1.25, 2.2, 1.9]
        counts = trial_counts(spikes, [0, 5], [5, 1], [1.0, 2.0], windows)
        assert counts.tolist() == [[[1, 0], [0, 1]], [[2, 1], [0, 0]]]
        assert counts.dtype == np.int32

    @given(SEEDS)
    @settings(max_examples=30)
    def test_agrees_with_counting_one_window_at_a_time(self, seed):
        times, offsets, n_spikes, trains = self.spikes(seed)
        events = np.random.default_rng(seed + 1).integers(0, 30 * 64, 12) / 64
        windows = {"a": (-0.25, 0.0), "b": (0.0, 0.25), "c": (0.125, 2.0)}
        counts = trial_counts(times, offsets, n_spikes, events, windows)
        expected = [
            [
                [int(((train - event >= start) & (train - event < stop)).sum()) for event in events]
                for train in trains
            ]
            for start, stop in windows.values()
        ]
        assert counts.tolist() == expected

    @given(SEEDS)
    @settings(max_examples=20)
    def test_adds_up_to_the_bins_of_the_psth(self, seed):
        rng = np.random.default_rng(seed)
        train = np.sort(rng.uniform(0, 60, 600))
        events = rng.uniform(0, 60, 20)
        counts = trial_counts(train, [0], [600], events)
        assert counts.shape == (len(WINDOWS_S), 1, 20)
        for row, (start, stop) in enumerate(WINDOWS_S.values()):
            binned = count_spikes(train, [0], [600], events, TimeAxis(start, stop, stop - start))
            assert counts[row, 0].sum() == binned.total[0, 0]
            assert (counts[row, 0] ** 2).sum() == binned.sum_of_squares[0, 0]

    def test_neighbouring_windows_share_no_spike(self):
        """Early and late make up the flash from 20 ms on, in time as in counts."""
        spikes = np.sort(np.random.default_rng(3).uniform(0, 30, 3000)), [0], [3000]
        events = np.arange(1.0, 29.0)
        names = list(WINDOWS_S)
        counts = trial_counts(*spikes, events)
        whole = trial_counts(*spikes, events, {"both": (0.02, 0.25)})
        assert whole.sum() > 100
        np.testing.assert_array_equal(counts[names.index("early")] + counts[names.index("late")], whole[0])

    def test_order_of_events_is_kept(self):
        spikes = self.spikes(4)[:3]
        events = np.array([20.0, 3.0, 11.0])
        order = [1, 2, 0]
        np.testing.assert_array_equal(
            trial_counts(*spikes, events[order]), trial_counts(*spikes, events)[:, :, order]
        )

    def test_no_units_no_events_no_windows(self):
        assert trial_counts([], [], [], [1.0]).shape == (6, 0, 1)
        assert trial_counts([1.0], [0], [1], []).shape == (6, 1, 0)
        assert trial_counts([1.0], [0], [1], [1.0], {}).shape == (0, 1, 1)

    @pytest.mark.parametrize("window", [(0.1, 0.1), (0.2, 0.1), (0.0, np.inf), (np.nan, 1.0), (0.1,)])
    def test_refuses_what_is_no_window(self, window):
        with pytest.raises(ValueError, match="window 'odd' must be"):
            trial_counts([1.0], [0], [1], [1.0], {"odd": window})
