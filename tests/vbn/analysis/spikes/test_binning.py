from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.spikes.binning import (
    equal_bins,
    event_rates_in_bins,
    mean_in_bins,
    rates_in_bins,
    z_scores,
)

EDGES = np.array([0.0, 2.0, 4.0])


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e4), st.floats(1e-1, 1e3))
def test_bins_are_equal_and_cover_the_stretch_exactly(start, length, bin_s):
    edges = equal_bins(start, start + length, bin_s)
    assert edges[0] == start
    assert edges[-1] == start + length
    np.testing.assert_allclose(np.diff(edges), (edges[-1] - edges[0]) / (len(edges) - 1), rtol=1e-6)
    assert len(edges) - 1 == max(1, round((start + length - start) / bin_s))


@pytest.mark.parametrize(
    "bounds", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, float("nan"), 1.0)]
)
def test_impossible_bins_are_refused(bounds):
    with pytest.raises(ValueError, match="start_s < stop_s and bin_s > 0"):
        equal_bins(*bounds)


def test_spikes_on_edges_fall_into_the_bin_that_begins_there_and_the_last_edge_counts():
    """Unit 0: -1 is before; 0, 1.9 in the first bin; 2, 4 in the second; 4.1 after. Unit 1 is silent."""
    spikes = np.array([-1.0, 0.0, 1.9, 2.0, 4.0, 4.1])
    np.testing.assert_array_equal(rates_in_bins(spikes, [0, 6], [6, 0], EDGES), [[1.0, 1.0], [0.0, 0.0]])


def test_no_units_have_no_rates():
    assert rates_in_bins(np.empty(0), [], [], EDGES).shape == (0, 2)


def test_rates_are_those_of_a_histogram_of_each_unit():
    rng = np.random.default_rng(3)
    trains = [np.sort(rng.uniform(-5, 65, size)) for size in (0, 1, 500, 2000)]
    sizes = np.array([train.size for train in trains])
    edges = equal_bins(0.0, 60.0, 7.0)
    rates = rates_in_bins(np.concatenate(trains), np.cumsum(sizes) - sizes, sizes, edges)
    expected = [np.histogram(train, edges)[0] / np.diff(edges) for train in trains]
    np.testing.assert_allclose(rates, expected)


def test_means_leave_out_what_is_missing_and_empty_bins_have_none():
    times = [0.5, 1.0, 1.5, 9.0]
    np.testing.assert_array_equal(mean_in_bins(times, [1.0, np.nan, 3.0, 5.0], EDGES), [2.0, np.nan])
    assert np.isnan(mean_in_bins([], [], EDGES)).all()


def test_event_rates_are_per_second():
    np.testing.assert_array_equal(event_rates_in_bins([0.0, 1.0, 3.0, 7.0], EDGES), [1.0, 0.5])


def test_z_scores_have_no_mean_and_unit_spread_and_constant_rows_are_zero():
    rates = np.vstack([np.random.default_rng(0).gamma(2, 3, 50), np.full(50, 0.1), np.zeros(50)])
    scores = z_scores(rates)
    assert scores[0].mean() == pytest.approx(0, abs=1e-12)
    assert scores[0].std() == pytest.approx(1)
    assert not scores[1:].any()
