from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.optotagging import EvidenceParameters, condition_onsets, laser_conditions
from vbn.analysis.optotagging.baseline import (
    Windows,
    draw_bins,
    gap_windows,
    mean_and_deviation,
    preceding_windows,
)

PULSES = pd.DataFrame(
    {
        "start_time": [5.0, 1.0, 2.5, 3.0, 4.0, 7.0],
        "duration": [0.01, 0.01, 0.01, 1.0, 0.01, 0.01],
        "level": [0.95, 0.95, 0.8, 1.7, np.nan, 0.5],
        "stimulus_name": ["pulse", "pulse", "pulse", "raised_cosine", "pulse", "pulse"],
    }
)


class TestConditions:
    def test_are_waveforms_and_levels_that_occur(self):
        table = laser_conditions(PULSES)
        assert table["waveform"].tolist() == ["pulse", "pulse", "pulse", "raised_cosine"]
        assert table["level"].tolist() == [0.5, 0.8, 0.95, 1.7]
        assert table["level_rank"].tolist() == [0, 1, 2, 0]
        assert table["level_name"].tolist() == ["low", "medium", "high", "high"]
        assert table["duration_s"].tolist() == [0.01, 0.01, 0.01, 1.0]
        assert table["n_pulses"].tolist() == [1, 1, 2, 1]
        assert [onsets.tolist() for onsets in condition_onsets(PULSES)] == [[7.0], [2.5], [1.0, 5.0], [3.0]]

    @pytest.mark.parametrize(
        ("n_levels", "names"),
        [
            (1, ["high"]),
            (2, ["low", "high"]),
            (5, ["low", "level_1", "level_2", "medium", "high"]),
        ],
    )
    def test_any_number_of_levels_has_names(self, n_levels, names):
        times = np.arange(n_levels, dtype=np.float64)
        pulses = pd.DataFrame(
            {"start_time": times, "stop_time": times + 0.01, "level": 1 + times, "stimulus_name": "pulse"}
        )
        assert laser_conditions(pulses)["level_name"].tolist() == names

    @pytest.mark.parametrize("pulses", [PULSES.iloc[:0], PULSES.iloc[4:5]], ids=["no pulse", "no level"])
    def test_nothing_gives_an_empty_table(self, pulses):
        assert laser_conditions(pulses).empty
        assert condition_onsets(pulses) == []

    def test_a_missing_end_is_made_good_by_the_duration(self):
        pulses = PULSES.assign(stop_time=np.nan)
        pd.testing.assert_frame_equal(laser_conditions(pulses), laser_conditions(PULSES))

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"start_time": np.nan}, "6 of 6 do not, the first at row 0"),
            ({"duration": [0.01, 0.01, -0.01, 1.0, 0.01, 0.01]}, "1 of 6 do not, the first at row 2"),
        ],
    )
    def test_refuses_pulses_without_times(self, change, match):
        with pytest.raises(ValueError, match=match):
            laser_conditions(PULSES.assign(**change))

    @pytest.mark.parametrize("column", ["start_time", "duration", "level", "stimulus_name"])
    def test_refuses_a_table_without_a_column(self, column):
        with pytest.raises(ValueError, match="pulses must have start_time"):
            laser_conditions(PULSES.drop(columns=column))

    @given(st.permutations(range(6)))
    def test_the_order_of_the_rows_does_not_matter(self, order):
        pd.testing.assert_frame_equal(laser_conditions(PULSES.iloc[order]), laser_conditions(PULSES))


class TestGaps:
    def test_by_hand(self):
        """Gaps 1.1 to 1.9 and 2.1 to 2.5 (s, margins of 0.1 s); the shortest is 0.4, so 1.3-1.9 and 2.3-2.5.

        Windows of 0.25 s that end before the gap does: two at 1.3 and 1.55, none in the second.
        """
        start, stop = np.array([0.5, 2.0, 2.6]), np.array([1.0, 2.0, 3.0])
        windows = gap_windows(start, stop, 0.25, 0.1)
        np.testing.assert_allclose(windows.start_s, [1.3, 1.55])

    @pytest.mark.parametrize(
        ("start", "stop"),
        [([], []), ([1.0], [2.0]), ([1.0, 1.5, 1.9], [2.0, 1.6, 2.5]), ([1.0, 2.0], [2.0, 3.0])],
        ids=["no pulse", "one pulse", "overlapping pulses", "touching pulses"],
    )
    def test_without_gaps_there_are_no_windows(self, start, stop):
        windows = gap_windows(np.array(start), np.array(stop), 0.007, 0.005)
        assert windows.start_s.size == 0
        bins = draw_bins(np.random.default_rng(0), windows, 100)
        assert np.isnan(mean_and_deviation(bins.histogram(np.array([1.0, 2.0])))).all()

    @given(st.integers(0, 2**32 - 1))
    def test_drawn_bins_count_as_a_loop_over_them_does(self, seed):
        rng = np.random.default_rng(seed)
        start = np.cumsum(rng.uniform(0.1, 0.5, 6))
        windows = gap_windows(start, start + 0.05, 0.01, 0.005)
        bins = draw_bins(np.random.default_rng(seed), windows, 500)
        spikes = np.sort(rng.uniform(0, 3, rng.integers(0, 200)))
        counts = [np.sum((spikes >= s) & (spikes < s + 0.01)) for s in windows.start_s]
        drawn = np.repeat(counts, bins.multiplicity.astype(int))
        assert drawn.size == 500
        mean, deviation = mean_and_deviation(bins.histogram(spikes))
        assert mean == pytest.approx(drawn.mean())
        assert deviation == pytest.approx(drawn.std())

    def test_the_edges_of_windows(self):
        index, since, n_spikes = Windows(np.array([1.0, 3.0]), 1.0).occupied(
            np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 4.0])
        )
        assert index.tolist() == [0, 1]
        assert since.tolist() == [0.0, 0.5]
        assert n_spikes.tolist() == [2, 1]

    @given(st.integers(0, 2**32 - 1), st.sampled_from([3, 300]), st.sampled_from([0, 5, 2000]))
    def test_windows_with_spikes_are_those_that_a_search_for_each_spike_finds(self, seed, n_windows, n):
        rng = np.random.default_rng(seed)
        # Windows end to end, some with a gap behind them, and spikes on their edges, by other roundings.
        steps = rng.choice([1, 1, 1, 40], n_windows)
        windows = Windows(rng.uniform(0, 1000) + 0.007 * np.cumsum(steps), 0.007)
        begin, end = windows.start_s[0] - 0.02, windows.start_s[-1] + 0.02
        on_edges = rng.choice(windows.start_s, n // 2) + 0.007 * rng.integers(-1, 3, n // 2)
        spikes = np.sort(np.append(rng.uniform(begin, end, n - n // 2), on_edges))
        index = np.searchsorted(windows.start_s, spikes, side="right") - 1
        since = spikes - windows.start_s[index]
        inside = (index >= 0) & (since < 0.007)
        expected, first, counts = np.unique(index[inside], return_index=True, return_counts=True)
        found = windows.occupied(spikes)
        for one, other in zip(found, (expected, since[inside][first], counts), strict=True):
            assert one.tolist() == other.tolist()


class TestPrecedingWindows:
    @given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 20))
    def test_lie_before_the_pulse_and_outside_all_light(self, seed, n_pulses, n_windows):
        rng = np.random.default_rng(seed)
        start = np.cumsum(rng.uniform(0.0, 0.5, n_pulses))
        stop = start + rng.choice([0.01, 1.0], n_pulses)
        windows, index = preceding_windows(start, stop, 0.007, n_windows, margin_s=0.002, recovery_s=0.1)
        assert index.shape == (n_windows, n_pulses)
        assert (index >= 0).all()
        first = windows.start_s[index]
        assert (np.diff(index, axis=0) == -1).all()
        assert (first + 0.007 <= start - 0.002 + 1e-9).all()
        for begin, end in zip(start, stop, strict=True):
            assert ((windows.start_s + 0.007 <= begin + 1e-9) | (windows.start_s >= end - 1e-9)).all()
        assert (np.diff(windows.start_s) >= 0.007 - 1e-9).all()


class TestEvidenceParameters:
    def test_survive_json(self):
        parameters = EvidenceParameters(n_gap_bins=500, swdb_evoked_window_s=(0.002, 0.008))
        assert EvidenceParameters(**json.loads(json.dumps(asdict(parameters)))) == parameters
        assert hash(parameters) == hash(EvidenceParameters(**asdict(parameters)))

    def test_the_evoked_window_is_the_pulse_without_its_artefacts(self):
        parameters = EvidenceParameters()
        assert parameters.evoked_window_s(0.01) == pytest.approx((0.0015, 0.0085))
        assert parameters.evoked_window_s(0.002) == (0.0015, 0.0015)

    def test_the_paired_windows_are_equally_long(self):
        """All of a pulse but its artefacts, of a cosine the central half; nothing where all is artefact."""
        for duration, is_cosine, expected in (
            (0.01, False, [(-0.009, -0.002), (0.0015, 0.0085)]),
            (1.0, True, [(-0.5, -0.002), (0.25, 0.748)]),
            (0.002, False, [(-0.002, -0.002), (0.0015, 0.0015)]),
            (0.002, True, [(-0.002, -0.002), (0.0005, 0.0005)]),
        ):
            found = EvidenceParameters().paired_windows_s(duration, is_cosine=is_cosine)
            np.testing.assert_allclose(found, expected, atol=1e-12)

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"censor_s": -0.001}, "censor_s must be a 0 or positive number of seconds, not -0.001"),
            ({"gap_bin_s": 0}, "gap_bin_s must be a positive number"),
            ({"salt_bin_s": float("nan")}, "salt_bin_s must be a positive number"),
            ({"n_gap_bins": 0}, "n_gap_bins must be a whole number"),
            ({"n_gap_bins": 10.0}, "n_gap_bins must be a whole number"),
            ({"cosine_alpha": 1.0}, "cosine_alpha must lie between 0 and 1"),
            ({"swdb_evoked_window_s": (0.009, 0.001)}, "swdb_evoked_window_s must be .start, stop."),
            ({"baseline_window_s": (-0.2, 0.1)}, "baseline_window_s must end before the pulse"),
            ({"paired_baseline_stop_s": 0.001}, "paired_baseline_stop_s must not be positive"),
            ({"cosine_waveform": ""}, "cosine_waveform must be a name"),
        ],
    )
    def test_refuse_what_cannot_be_measured(self, wrong, match):
        with pytest.raises(ValueError, match=match):
            EvidenceParameters(**wrong)

    def test_all_problems_are_told_at_once(self):
        with pytest.raises(ValueError, match=r"censor_s.*n_gap_bins"):
            EvidenceParameters(censor_s=-1, n_gap_bins=0)


@pytest.mark.parametrize("module", ["conditions", "report"])
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(importlib.import_module(f"vbn.analysis.optotagging.{module}"))
    assert tried > 0
    assert failed == 0
