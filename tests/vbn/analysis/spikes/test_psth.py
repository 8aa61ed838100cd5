from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis import Counts, TimeAxis, count_spikes, psth
from vbn.analysis.spikes.trains import unit_trains
from vbn.analysis.task.events import summary_windows_s

AXES = [
    TimeAxis(-1.0, 1.5, 0.01),
    TimeAxis(-0.3, 0.3, 0.1),
    TimeAxis(0.05, 0.25, 0.05),
    TimeAxis(-0.2, -0.1, 0.001),
]


def concatenated(trains: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_spikes = np.array([len(train) for train in trains], dtype=np.int64)
    return np.concatenate([*trains, np.empty(0)]), np.cumsum(n_spikes) - n_spikes, n_spikes


def by_histogram(train: np.ndarray, event: float, axis: TimeAxis) -> np.ndarray:
    """One event's counts by numpy.histogram of all spikes, less those exactly on the last edge."""
    edges = np.arange(axis.n_bins + 1) * axis.bin_s
    relative = train - (event + axis.start_s)
    counts = np.histogram(relative, edges)[0]
    counts[-1] -= np.count_nonzero(relative == edges[-1])
    return counts


def slow_counts(
    trains: list[np.ndarray], events: np.ndarray, axis: TimeAxis
) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(trains), len(events), axis.n_bins)
    counts = np.array([[by_histogram(train, event, axis) for event in events] for train in trains]).reshape(
        shape
    )
    return counts.sum(axis=1), (counts**2).sum(axis=1)


class TestTimeAxis:
    def test_edges_are_products_not_sums(self):
        axis = TimeAxis(-1.0, 1.5, 0.01)
        assert axis.n_bins == 250
        assert axis.edges_s.shape == (251,)
        np.testing.assert_array_equal(axis.edges_s, -1.0 + np.arange(251) * 0.01)
        np.testing.assert_allclose(axis.centers_s, (axis.edges_s[1:] + axis.edges_s[:-1]) / 2, atol=1e-12)

    @pytest.mark.parametrize(
        ("window", "match"),
        [
            ((0.0, 1.0, 0.3), "whole number of bins"),
            ((0.0, 0.001, 0.01), "whole number of bins"),
            ((1.0, 1.0, 0.1), "stop_s > start_s"),
            ((1.0, 0.0, 0.1), "stop_s > start_s"),
            ((0.0, 1.0, 0.0), "bin_s > 0"),
            ((0.0, 1.0, -0.1), "bin_s > 0"),
            ((0.0, np.nan, 0.1), "finite"),
            ((0.0, np.inf, 0.1), "finite"),
        ],
    )
    def test_refuses_what_is_no_axis(self, window, match):
        with pytest.raises(ValueError, match=match):
            TimeAxis(*window)

    @given(st.integers(-500, 500), st.integers(1, 1000), st.sampled_from([0.001, 0.002, 0.01, 0.025, 0.1]))
    def test_accepts_every_decimal_window_of_whole_bins(self, first, n_bins, bin_s):
        axis = TimeAxis(round(first * bin_s, 6), round((first + n_bins) * bin_s, 6), bin_s)
        assert axis.n_bins == n_bins


class TestCountSpikes:
    def test_by_hand(self):
        """Window -0.1..0.1 around 1.0 and 2.0: bins [0.9, 1.0), [1.0, 1.1) and [1.9, 2.0), [2.0, 2.1)."""
        trains = [np.array([0.5, 0.95, 1.05, 1.06, 2.05]), np.array([3.0]), np.empty(0)]
        counts = count_spikes(*concatenated(trains), np.array([2.0, 1.0]), TimeAxis(-0.1, 0.1, 0.1))
        assert counts.total.tolist() == [[1, 3], [0, 0], [0, 0]]
        assert counts.sum_of_squares.tolist() == [[1, 5], [0, 0], [0, 0]]
        assert counts.n_events == 2

    def test_a_spike_on_an_edge_belongs_to_the_bin_that_begins_there_and_the_last_edge_to_none(self):
        axis = TimeAxis(-0.5, 0.5, 0.25)  # all binary fractions: nothing is rounded
        counts = count_spikes(*concatenated([np.array([9.5, 9.75, 10.0, 10.25, 10.5])]), [10.0], axis)
        assert counts.total.tolist() == [[1, 1, 1, 1]]

    def test_a_spike_in_two_overlapping_windows_counts_twice(self):
        counts = count_spikes(*concatenated([np.array([1.0])]), [0.9, 0.95], TimeAxis(0.0, 0.2, 0.2))
        assert counts.total.tolist() == [[2]]

    @pytest.mark.parametrize("axis", AXES)
    def test_agrees_with_histogram_on_random_spikes(self, axis):
        rng = np.random.default_rng(0)
        trains = [np.sort(rng.uniform(0, 20, size)) for size in (0, 1, 50, 2000)]
        events = rng.uniform(-1, 21, 30)
        counts = count_spikes(*concatenated(trains), events, axis)
        total, squares = slow_counts(trains, events, axis)
        np.testing.assert_array_equal(counts.total, total)
        np.testing.assert_array_equal(counts.sum_of_squares, squares)

    @given(
        axis=st.sampled_from(AXES),
        events=st.lists(st.integers(0, 300_000), max_size=6),
        edges=st.lists(st.tuples(st.integers(0, 5), st.integers(-2, 260), st.integers(-2, 2)), max_size=40),
    )
    def test_agrees_with_histogram_where_spikes_lie_on_edges_or_a_rounding_beside_them(
        self, axis, events, edges
    ):
        """Sync times lie on a grid of 1e-5 s, so spikes made from events hit edges, or miss by one ulp."""
        times = np.array(events, dtype=np.float64) * 1e-5 + 2
        spikes = []
        for which, edge, steps in edges if events else []:
            spike = times[which % len(times)] + axis.start_s + edge * axis.bin_s
            spikes.append(spike + steps * np.spacing(spike))
        train = np.sort(np.array(spikes, dtype=np.float64))
        counts = count_spikes(*concatenated([train]), times, axis)
        total, squares = slow_counts([train], times, axis)
        np.testing.assert_array_equal(counts.total, total)
        np.testing.assert_array_equal(counts.sum_of_squares, squares)

    @pytest.mark.parametrize("block_size", [1, 100, 1000])
    def test_units_that_are_counted_together_do_not_mix(self, block_size, monkeypatch):
        """Silent and busy units in blocks of one, of some and of all; windows that touch, overlap, repeat."""
        monkeypatch.setattr(importlib.import_module("vbn.analysis.spikes.psth"), "BLOCK_SIZE", block_size)
        rng, axis = np.random.default_rng(5), TimeAxis(-0.5, 0.5, 0.25)
        trains = [np.sort(rng.uniform(0, 9, size)) for size in (0, 40, 0, 300, 1, 7, 0, 90, 0)]
        events = np.array([2.0, 3.0, 3.0, 3.2, 8.9, 30.0])
        counts = count_spikes(*concatenated(trains), events, axis)
        total, squares = slow_counts(trains, events, axis)
        np.testing.assert_array_equal(counts.total, total)
        np.testing.assert_array_equal(counts.sum_of_squares, squares)

    @given(seed=st.integers(0, 2**32 - 1), split=st.integers(0, 10))
    def test_counts_of_two_halves_of_the_events_add_up(self, seed, split):
        rng = np.random.default_rng(seed)
        spikes = concatenated([np.sort(rng.uniform(0, 10, 100)), np.sort(rng.uniform(0, 10, 30))])
        events, axis = rng.uniform(0, 10, 10), TimeAxis(-0.5, 0.5, 0.05)
        whole = count_spikes(*spikes, events, axis)
        added = count_spikes(*spikes, events[:split], axis) + count_spikes(*spikes, events[split:], axis)
        np.testing.assert_array_equal(added.total, whole.total)
        np.testing.assert_array_equal(added.sum_of_squares, whole.sum_of_squares)
        assert added.n_events == whole.n_events == 10

    @given(seed=st.integers(0, 2**32 - 1), shift=st.integers(-(2**12), 2**12))
    def test_shifting_all_times_changes_nothing(self, seed, shift):
        """Times on a binary grid, so that the shift itself is exact."""
        rng = np.random.default_rng(seed)
        train = np.sort(rng.integers(0, 2**16, 200)) / 2**10
        events, axis = rng.integers(0, 2**16, 10) / 2**10, TimeAxis(-0.5, 0.5, 0.125)
        before = count_spikes(*concatenated([train]), events, axis)
        after = count_spikes(*concatenated([train + shift]), events + shift, axis)
        np.testing.assert_array_equal(before.total, after.total)

    def test_reordering_units_reorders_the_rows(self):
        rng = np.random.default_rng(1)
        spikes, offsets, n_spikes = concatenated([np.sort(rng.uniform(0, 9, n)) for n in (20, 300, 0, 50)])
        events, axis, order = rng.uniform(0, 9, 8), TimeAxis(-1.0, 1.0, 0.1), np.array([2, 0, 3, 1])
        before = count_spikes(spikes, offsets, n_spikes, events, axis)
        after = count_spikes(spikes, offsets[order], n_spikes[order], events, axis)
        np.testing.assert_array_equal(after.total, before.total[order])

    def test_reads_a_memory_map(self, tmp_path):
        train = np.sort(np.random.default_rng(2).uniform(0, 9, 500))
        np.save(tmp_path / "spikes.npy", train)
        mapped = np.load(tmp_path / "spikes.npy", mmap_mode="r")
        axis = TimeAxis(-1.0, 1.0, 0.1)
        counts = count_spikes(mapped, [0], [500], [4.0, 5.0], axis)
        np.testing.assert_array_equal(counts.total, count_spikes(train, [0], [500], [4.0, 5.0], axis).total)
        view = next(unit_trains(mapped, [100], [10]))
        assert np.shares_memory(view, mapped), "the spike times were copied"

    def test_no_units_and_no_events(self):
        axis = TimeAxis(0.0, 1.0, 0.5)
        assert count_spikes([], [], [], [1.0], axis).total.shape == (0, 2)
        nothing = count_spikes([0.5, 1.0], [0], [2], [], axis)
        assert nothing.total.tolist() == [[0, 0]]
        assert nothing.n_events == 0

    @pytest.mark.parametrize("event", [np.nan, np.inf])
    def test_refuses_events_without_a_time(self, event):
        with pytest.raises(ValueError, match=r"event_times must be finite.*1 of 2"):
            count_spikes([1.0], [0], [1], [1.0, event], TimeAxis(0.0, 1.0, 0.5))

    @pytest.mark.parametrize(
        ("offsets", "n_spikes", "match"),
        [
            ([0], [4], "1 units do not, the first at row 0"),
            ([-1], [1], "lie inside"),
            ([0, 1], [1], "n_units"),
        ],
    )
    def test_refuses_offsets_that_fit_no_spikes(self, offsets, n_spikes, match):
        with pytest.raises(ValueError, match=match):
            count_spikes([1.0, 2.0, 3.0], offsets, n_spikes, [1.0], TimeAxis(0.0, 1.0, 0.5))


class TestPsth:
    AXIS = TimeAxis(-0.2, 0.3, 0.1)

    def test_by_hand(self):
        """Two events; counts per event in one bin are 1 and 3: mean 2, standard error sqrt(2)/sqrt(2) = 1."""
        counts = Counts(np.array([[0, 2, 4, 0, 0]]), np.array([[0, 2, 10, 0, 0]]), 2)
        result = psth(counts, self.AXIS)
        np.testing.assert_allclose(result.rate_hz, [[0, 10, 20, 0, 0]])
        np.testing.assert_allclose(result.sem_hz, [[0, 0, 10, 0, 0]])
        np.testing.assert_allclose(result.baseline_hz, [5])
        np.testing.assert_allclose(result.response_hz, [10])  # bins 0..0.1 and 0.1..0.2 are wholly in 0..0.25
        np.testing.assert_allclose(result.peak_hz, [20])
        np.testing.assert_allclose(result.peak_latency_s, [0.05])
        assert result.n_events == 2

    def test_standard_error_is_that_of_the_counts_per_event(self):
        rng = np.random.default_rng(3)
        trains = [np.sort(rng.uniform(0, 50, 800)), np.sort(rng.uniform(0, 50, 20))]
        events = rng.uniform(1, 49, 25)
        result = psth(count_spikes(*concatenated(trains), events, self.AXIS), self.AXIS)
        for row, train in enumerate(trains):
            per_event = (
                np.array([by_histogram(train, event, self.AXIS) for event in events]) / self.AXIS.bin_s
            )
            np.testing.assert_allclose(result.rate_hz[row], per_event.mean(axis=0))
            np.testing.assert_allclose(result.sem_hz[row], per_event.std(axis=0, ddof=1) / 5)

    def test_no_events_give_nan_and_one_event_no_standard_error(self):
        none = psth(Counts(np.zeros((2, 5), int), np.zeros((2, 5), int), 0), self.AXIS)
        for name in (
            "rate_hz",
            "sem_hz",
            "baseline_hz",
            "response_hz",
            "peak_hz",
            "peak_latency_s",
        ):
            assert np.isnan(getattr(none, name)).all(), name
        one = psth(Counts(np.ones((1, 5), int), np.ones((1, 5), int), 1), self.AXIS)
        assert (one.rate_hz == 10).all()
        assert np.isnan(one.sem_hz).all()

    def test_a_silent_unit_has_a_peak_of_0_and_no_latency(self):
        result = psth(Counts(np.zeros((1, 5), int), np.zeros((1, 5), int), 3), self.AXIS)
        assert result.peak_hz.tolist() == [0]
        assert np.isnan(result.peak_latency_s).all()

    def test_the_first_of_equal_peaks_counts(self):
        result = psth(Counts(np.array([[9, 9, 4, 4, 0]]), np.array([[27, 27, 6, 6, 0]]), 3), self.AXIS)
        np.testing.assert_allclose(result.peak_latency_s, [0.05])

    def test_windows_without_bins_give_nan(self):
        axis = TimeAxis(0.0, 0.5, 0.25)
        result = psth(
            Counts(np.ones((1, 2), int), np.ones((1, 2), int), 1), axis, response_window_s=(0.3, 0.4)
        )
        for name in ("baseline_hz", "response_hz", "peak_hz", "peak_latency_s"):
            assert np.isnan(getattr(result, name)).all(), name

    def test_no_units(self):
        result = psth(count_spikes([], [], [], [1.0, 2.0], self.AXIS), self.AXIS)
        assert result.rate_hz.shape == (0, 5)
        assert result.peak_latency_s.shape == (0,)

    def test_refuses_counts_of_another_axis(self):
        with pytest.raises(ValueError, match="4 bins, the axis 5"):
            psth(Counts(np.zeros((1, 4), int), np.zeros((1, 4), int), 1), self.AXIS)

    def test_ten_seconds_of_poisson_spikes_give_their_rate(self):
        """A 20 Hz unit over 400 windows of 0.5 s: 4000 spikes, so within 5 standard deviations of 1.6 %."""
        train = np.cumsum(np.random.default_rng(4).exponential(1 / 20, 12_000))
        result = psth(count_spikes(*concatenated([train]), np.arange(1.0, 401.0), self.AXIS), self.AXIS)
        assert result.rate_hz.mean() == pytest.approx(20, rel=0.08)


class TestWindows:
    """A unit of 2 Hz that fires at 20 Hz from 50 to 250 ms after each flash, every 750 ms."""

    AXIS = TimeAxis(-1.0, 1.5, 0.01)

    def counts(self):
        rng, flashes = np.random.default_rng(5), 1.0 + 0.75 * np.arange(2000)
        own = rng.uniform(0, 1502, rng.poisson(2 * 1502))
        driven = np.repeat(flashes, rng.poisson(4, flashes.size))
        train = np.sort(np.concatenate([own, driven + rng.uniform(0.05, 0.25, driven.size)]))
        return count_spikes(*concatenated([train]), flashes[10::10], self.AXIS)

    def test_the_baseline_is_gray_without_the_flash_before(self):
        result = psth(self.counts(), self.AXIS)
        assert result.baseline_hz[0] == pytest.approx(2, abs=0.7)
        assert result.response_hz[0] == pytest.approx(2 + 20 * 0.2 / 0.25, rel=0.1)

    def test_a_baseline_of_the_second_before_has_a_flash_in_it(self):
        """As it was until method version 2."""
        assert psth(self.counts(), self.AXIS, baseline_window_s=(-1.0, 0.0)).baseline_hz[0] > 5

    def test_bins_that_reach_into_an_artefact_are_left_out(self):
        """Spikes within 1.5 ms of the edges of a pulse of 10 ms, one per pulse and bin."""
        axis, pulses = TimeAxis(-0.05, 0.1, 0.001), np.arange(1.0, 51.0)
        spikes = np.sort(np.concatenate([pulses + delay for delay in (-0.0012, 0.0012, 0.0088, 0.0112)]))
        baseline, response = summary_windows_s("laser_pulse", "pulse")
        result = psth(count_spikes(spikes, [0], [spikes.size], pulses, axis), axis, response, baseline)
        assert result.baseline_hz[0] == result.response_hz[0] == result.peak_hz[0] == 0
