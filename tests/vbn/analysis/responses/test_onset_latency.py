"""Latencies of simulated responses of which the onset is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vbn.analysis.responses.spike_trains import spikes_at
from vbn.analysis.responses.onset_latency import onset_latency
from vbn.analysis.spikes.windows import count_in_windows

Spikes = tuple[np.ndarray, np.ndarray, np.ndarray]
EVENTS_S = 10 + 2.0 * np.arange(250)


def responses(rng, n_units, base_hz, add_hz, *, onset_s=0.05, length_s=0.2):
    """Return Poisson trains with responses to the events; for a negative rate they pause."""
    trains = []
    for _ in range(n_units):
        train = rng.uniform(0, 520, rng.poisson(520 * base_hz))
        if add_hz < 0:
            since = train - EVENTS_S[np.maximum(np.searchsorted(EVENTS_S, train) - 1, 0)]
            inside = (since >= onset_s) & (since < onset_s + length_s)
            train = train[~inside | (rng.random(train.size) > -add_hz / base_hz)]
        else:
            n = rng.poisson(add_hz * length_s, EVENTS_S.size)
            added = np.repeat(EVENTS_S, n) + onset_s + length_s * rng.random(n.sum())
            train = np.append(train, added)
        trains.append(np.sort(train))
    return spikes_at(*trains)


def latencies(spikes: Spikes, direction=1, events_s=EVENTS_S, **changed):
    settings = {"baseline_s": 0.08, "window_s": (0.0, 0.25), "max_sd_s": 0.01}
    settings |= {"n_resamples": 200, "seed": 1, **changed}
    baseline = count_in_windows(*spikes, events_s, (-0.08, 0.0))
    return onset_latency(*spikes, events_s, np.full(len(baseline), direction), baseline, **settings)


@pytest.mark.parametrize("base_hz", [1, 5, 15])
@pytest.mark.parametrize("add_hz", [5, 20, 50])
def test_the_onset_does_not_depend_on_the_rates(base_hz, add_hz):
    """Half of the smoothed peak is 120 ms on average at 15 Hz + 5 Hz, the first spike 63 to 87 ms."""
    found = latencies(responses(np.random.default_rng([base_hz, add_hz]), 30, base_hz, add_hz))
    known = ~np.isnan(found.latency_s)
    if base_hz == 15 and add_hz == 5:  # known to some 17 ms only, so hardly ever given
        assert known.mean() < 0.3
        return
    assert known.mean() > (0.9 if add_hz > 5 or base_hz == 1 else 0.25)
    assert np.nanmean(found.latency_s) == pytest.approx(0.05, abs=0.005)
    covers = (found.latency_low_s <= 0.051) & (found.latency_high_s >= 0.049)
    assert covers[known].mean() >= 0.85


@pytest.mark.parametrize("onset_s", [0.03, 0.08])
def test_the_onset_of_a_fall_is_found_where_it_is(onset_s):
    found = latencies(responses(np.random.default_rng(7), 30, 20, -14, onset_s=onset_s), direction=-1)
    assert (~np.isnan(found.latency_s)).mean() > 0.9
    assert np.nanmean(found.latency_s) == pytest.approx(onset_s, abs=0.005)


def test_units_without_a_response_have_no_latency():
    spikes = responses(np.random.default_rng(3), 40, 8, 0)
    assert np.isnan(latencies(spikes, direction=0)).all()
    # If noise is taken for a response, most latencies are not the same in all resamples.
    assert np.isnan(latencies(spikes).latency_s).mean() > 0.6


def test_few_resamples_say_the_same_of_the_latency_and_seeds_are_kept():
    spikes = responses(np.random.default_rng(4), 3, 5, 30)
    one, two, few = latencies(spikes), latencies(spikes), latencies(spikes, n_resamples=50)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one.latency_s, few.latency_s)
    assert (one.latency_low_s <= one.latency_s).all()
    assert (one.latency_s <= one.latency_high_s).all()


def test_nothing_to_measure_gives_nothing():
    spikes = spikes_at([], [10.1])
    assert np.isnan(latencies(spikes, events_s=np.empty(0))).all()
    assert np.isnan(latencies(spikes, direction=1)[0][0])
    assert latencies(spikes_at()).latency_s.size == 0
