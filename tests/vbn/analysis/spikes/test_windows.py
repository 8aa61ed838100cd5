from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.spikes import windows
from vbn.analysis.spikes.psth import TimeAxis, count_spikes
from vbn.analysis.spikes.windows import (
    checked_window,
    count_in_windows,
    first_spikes_in_windows,
    mean_in_windows,
)

# On a grid of decimal fractions, where spikes fall on the edges of windows.
TIMES = st.integers(0, 300).map(lambda k: k / 100)
EDGES = st.tuples(st.integers(-60, 60), st.integers(1, 60)).map(lambda e: (e[0] / 100, (e[0] + e[1]) / 100))


def one_unit(times: Any) -> tuple[np.ndarray, list[int], list[int]]:
    return np.array(times, dtype=float), [0], [len(times)]


def test_a_spike_on_the_start_counts_and_one_on_the_stop_does_not():
    assert count_in_windows(*one_unit([0.9, 1.0, 1.05, 1.1]), [1.0], (0.0, 0.1)).tolist() == [[2]]


def test_units_and_events_keep_their_order():
    times, offsets, n_spikes = np.array([1.0, 2.0, 2.1, 5.0]), [3, 0], [1, 3]
    counts = count_in_windows(times, offsets, n_spikes, [5.0, 2.0, 1.0], (-0.05, 0.5))
    assert counts.tolist() == [[1, 0, 0], [0, 2, 1]]
    assert counts.dtype == np.int32


def test_a_spike_in_two_overlapping_windows_counts_for_both():
    assert count_in_windows(*one_unit([1.0]), [0.9, 1.0], (0.0, 0.2)).tolist() == [[1, 1]]


@given(st.lists(TIMES, max_size=40).map(sorted), st.lists(TIMES, max_size=12), EDGES)
def test_a_window_counts_what_a_single_bin_of_a_psth_counts(spikes, events, window):
    """The same test of the same rounded differences, event by event."""
    axis = TimeAxis(window[0], window[1], window[1] - window[0])
    expected = [int(count_spikes(*one_unit(spikes), [event], axis).total[0, 0]) for event in events]
    assert count_in_windows(*one_unit(spikes), events, window).tolist() == [expected]


@given(st.lists(TIMES, max_size=40).map(sorted), st.lists(TIMES, max_size=12), EDGES)
def test_a_window_counts_what_a_loop_over_spikes_counts(spikes, events, window):
    expected = [
        sum(0 <= spike - (event + window[0]) < window[1] - window[0] for spike in spikes) for event in events
    ]
    assert count_in_windows(*one_unit(spikes), events, window).tolist() == [expected]


@given(st.lists(TIMES, max_size=40).map(sorted), st.lists(TIMES, max_size=12))
def test_neighbouring_windows_share_the_spikes_of_both_together(spikes, events):
    """On eighths of a second nothing is rounded, so that the parts add up exactly."""
    spikes, events = [round(t * 8) / 8 for t in spikes], [round(t * 8) / 8 for t in events]
    left, right, both = (
        count_in_windows(*one_unit(spikes), events, window)
        for window in ((-0.25, 0.125), (0.125, 0.5), (-0.25, 0.5))
    )
    assert np.array_equal(left + right, both)


def test_a_unit_without_spikes_and_a_session_without_events_give_zeros():
    assert count_in_windows([], [0], [0], [1.0], (0.0, 1.0)).tolist() == [[0]]
    assert count_in_windows([1.0], [0], [1], [], (0.0, 1.0)).shape == (1, 0)
    assert count_in_windows([], [], [], [1.0], (0.0, 1.0)).shape == (0, 1)


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.2, 0.1), (0.0, np.nan), (0.0,), (0.0, 1.0, 2.0)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match="must be"):
        checked_window(window)


def test_the_first_spike_is_timed_from_the_event_not_from_the_window():
    latency = first_spikes_in_windows(*one_unit([1.02, 1.05, 1.06]), [1.0, 0.5], (0.03, 0.15))
    assert latency[0, 0] == pytest.approx(0.05)
    assert np.isnan(latency[0, 1])


@given(st.lists(TIMES, max_size=30).map(sorted), st.lists(TIMES, max_size=10), EDGES)
def test_there_is_a_first_spike_exactly_where_there_is_a_count(spikes, events, window):
    counted = count_in_windows(*one_unit(spikes), events, window) > 0
    assert np.array_equal(counted, ~np.isnan(first_spikes_in_windows(*one_unit(spikes), events, window)))


def test_a_trace_is_averaged_over_the_samples_in_the_window_that_are_known():
    times, values = [0.0, 1.0, 2.0, 3.0], [1.0, np.nan, 3.0, 5.0]
    means = mean_in_windows(times, values, [0.0, 2.0, 9.0], (0.0, 2.0))
    assert means[:2].tolist() == [1.0, 4.0]
    assert np.isnan(means[2])


def test_an_empty_trace_is_known_nowhere():
    assert np.isnan(mean_in_windows([], [], [1.0], (0.0, 1.0))).all()


def test_a_trace_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="one length"):
        mean_in_windows([0.0, 1.0], [1.0], [0.0], (0.0, 1.0))


def test_the_example_is_true():
    assert doctest.testmod(windows).failed == 0
