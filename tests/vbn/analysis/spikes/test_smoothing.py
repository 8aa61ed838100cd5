"""Rates for looking at: right where they are flat, no spike lost to smoothing, none invented at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from vbn.analysis.spikes.psth import TimeAxis
from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.spikes.smoothing import (
    N_WIDTHS,
    REACH_SD,
    best_smoothing,
    rate_and_error,
    smoothed_rate,
    smoothed_rates,
)


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


def test_a_spike_at_the_end_of_the_window_is_not_in_it() -> None:
    times = np.array([0.0, 0.5])
    assert smoothed_rate(times, 1, (0.0, 0.5), 0.25)[1].tolist() == pytest.approx([4, 0])
    assert rate_and_error(times, [0, 0], 1, (0.0, 0.5), 0.25)[1].tolist() == pytest.approx([4, 0])


def test_without_events_the_rate_is_unknown_and_without_spikes_zero() -> None:
    assert np.isnan(smoothed_rate([], 0, (-0.1, 0.1), 0.01, 0.01)[1]).all()
    assert (smoothed_rate([], 5, (-0.1, 0.1), 0.01, 0.01)[1] == 0).all()
    assert REACH_SD >= 3


def cost_of_width(times: np.ndarray, width: float, window_s: tuple[float, float]) -> float:
    """Integral of the squared rate, less twice the rate at each spike by the others, spike by spike."""

    def kernel(time_s: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-((time_s / width) ** 2) / 2) / (np.sqrt(2 * np.pi) * width))

    grid = np.arange(*window_s, 1e-4) + 5e-5
    cost = 1e-4 * (sum(kernel(grid - time) for time in times) ** 2).sum()
    for at, time in enumerate(times):
        if window_s[0] <= time < window_s[1]:
            cost -= 2 * kernel(time - np.delete(times, at)).sum()
    return float(cost)


def test_the_best_smoothing_has_the_least_cost_spike_by_spike() -> None:
    rng = np.random.default_rng(4)
    for times in (rng.normal(0.1, 0.02, 60), rng.uniform(-0.4, 0.9, 300)):
        placed = np.floor(times * 1000) / 1000 + 0.0005
        widths = np.geomspace(0.05, 0.004, N_WIDTHS)
        expected = widths[np.argmin([cost_of_width(placed, width, (-0.2, 0.7)) for width in widths])]
        assert best_smoothing(placed, (-0.2, 0.7), 0.004, 0.05) == pytest.approx(expected)


@pytest.mark.parametrize("rate_hz", [5, 20, 80])
def test_the_edges_of_a_window_are_no_responses(rate_hz: float) -> None:
    """A constant rate is smoothed most, however many its spikes: 200 events, seen beyond the window."""
    rng, chosen = np.random.default_rng(rate_hz), []
    for _ in range(9):
        times = rng.uniform(-1.2, 1.7, rng.poisson(2.9 * 200 * rate_hz))
        chosen.append(best_smoothing(times, (-1.0, 1.5), 0.005, 0.05))
    assert np.median(chosen) > 0.045


def test_sharp_responses_of_many_spikes_are_smoothed_least_and_few_spikes_most() -> None:
    rng = np.random.default_rng(0)
    for times, expected in (([], 0.05), ([0.1], 0.05), (rng.uniform(-1, 1.5, 50), 0.05)):
        assert best_smoothing(times, (-1.0, 1.5), 0.01, 0.05) == pytest.approx(expected)
    assert best_smoothing(rng.normal(0.1, 0.01, 5000), (-1.0, 1.5), 0.01, 0.05) == pytest.approx(0.01)


def test_rates_of_events_average_to_the_rate_of_all_and_tell_their_error() -> None:
    """Events with 2, 0 and 1 spikes in one bin of 0.1 s: 20, 0 and 10 Hz, error 10 / sqrt(3)."""
    times, event = np.array([0.01, 0.02, 0.03]), np.array([0, 0, 2])
    centers_s, mean, sem = rate_and_error(times, event, 3, (-0.1, 0.2), 0.1)
    assert mean.tolist() == pytest.approx([0, 10, 0])
    assert sem.tolist() == pytest.approx([0, 10 / np.sqrt(3), 0])
    for smoothing_s in (0.0, 0.02):
        centers_s, mean, _ = rate_and_error(times, event, 3, (-0.1, 0.2), 0.01, smoothing_s)
        expected = smoothed_rate(times, 3, (-0.1, 0.2), 0.01, smoothing_s)
        np.testing.assert_allclose(centers_s, expected[0])
        np.testing.assert_allclose(mean, expected[1])
    assert np.isnan(rate_and_error([], [], 0, (-0.1, 0.2), 0.1)[1]).all()
    assert np.isnan(rate_and_error([0.0], [0], 1, (-0.1, 0.2), 0.1)[2]).all()


def test_rates_of_many_units_are_those_of_each() -> None:
    rng = np.random.default_rng(1)
    trains = [np.sort(rng.uniform(0, 50, n)) for n in (400, 0, 90)]
    offsets, events = [0, 400, 400], np.array([10.0, 20.0, 30.5])
    axis = TimeAxis(-0.5, 1.0, 0.01)
    rates = smoothed_rates(np.concatenate(trains), offsets, [400, 0, 90], events, axis, 0.03)
    for train, rate in zip(trains, rates, strict=True):
        around, _ = spikes_around(train, events, -1.0, 1.5)
        np.testing.assert_allclose(rate, smoothed_rate(around, 3, (-0.5, 1.0), 0.01, 0.03)[1], atol=1e-9)
    assert np.isnan(smoothed_rates(np.concatenate(trains), offsets, [400, 0, 90], [], axis)).all()
