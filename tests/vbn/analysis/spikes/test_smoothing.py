"""Rates for looking at: right where they are flat, no spike lost to smoothing, none invented at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from vbn.analysis.spikes.smoothing import REACH_SD, smoothed_rate


def test_a_constant_rate_stays_constant_up_to_the_edges() -> None:
    """One spike a millisecond and event: 1,000 Hz in each bin, whatever the smoothing."""
    times = np.tile(np.arange(-1.0005, 2.0, 0.001), 3)
    for smoothing_s in (0.0, 0.02, 0.05):
        centers_s, rate_hz = smoothed_rate(times, 3, (-0.5, 1.0), 0.01, smoothing_s)
        assert len(centers_s) == len(rate_hz) == 150
        assert rate_hz == pytest.approx(np.full(150, 1000.0))


@pytest.mark.parametrize("bin_s", [0.001, 0.007, 0.01, 0.05])
def test_smoothing_moves_spikes_and_loses_none(bin_s: float) -> None:
    _centers, plain = smoothed_rate([0.2, 0.21], 4, (-0.5, 1.0), bin_s)
    centers, smooth = smoothed_rate([0.2, 0.21], 4, (-0.5, 1.0), bin_s, 0.03)
    assert plain.sum() * bin_s == pytest.approx(0.5)
    assert smooth.sum() * bin_s == pytest.approx(0.5, rel=1e-3)
    assert np.average(centers, weights=smooth) == pytest.approx(0.205, abs=bin_s)


def test_a_bin_begins_at_the_event_whatever_its_width() -> None:
    for bin_s in (0.003, 0.01, 0.032):
        centers_s, rate_hz = smoothed_rate([-1e-9, 1e-9], 1, (-0.5, 1.0), bin_s)
        assert np.flatnonzero(rate_hz).tolist() == [
            np.searchsorted(centers_s, 0) - 1,
            np.searchsorted(centers_s, 0),
        ]
        assert centers_s[0] - bin_s / 2 >= -0.5 - 1e-9


def test_without_events_the_rate_is_unknown_and_without_spikes_zero() -> None:
    assert np.isnan(smoothed_rate([], 0, (-0.1, 0.1), 0.01, 0.01)[1]).all()
    assert (smoothed_rate([], 5, (-0.1, 0.1), 0.01, 0.01)[1] == 0).all()
    assert REACH_SD >= 3
