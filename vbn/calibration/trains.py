"""Spike trains: Poisson, bursty, refractory; modulated slowly, driven or suppressed by events."""

from __future__ import annotations

import numpy as np

from vbn.analysis.spikes.trains import Floats
from vbn.calibration.events import GRID_S, since_last
from vbn.synthetic.spikes import Delays, Response, draw_responses, sorted_by_runs

BURST_GAP_S = 0.005


def poisson_train(rng: np.random.Generator, rate_hz: float, end_s: float) -> Floats:
    """Draw a Poisson train of a constant rate, (n_spikes,) s, ascending."""
    n = rng.poisson(rate_hz * end_s)
    return np.sort(rng.uniform(0, end_s, size=n))


def modulated_train(rng: np.random.Generator, rate_hz: float, factor: Floats) -> Floats:
    """Draw a Poisson train whose rate is ``rate_hz`` times a factor.

    Parameters
    ----------
    rate_hz : rate where the factor is 1.
    factor : (n_grid,) 0 or more, one for each `GRID_S` from time 0 on.

    Returns
    -------
    (n_spikes,) s, ascending.
    """
    counts = rng.poisson(rate_hz * GRID_S * factor)
    starts = np.repeat(np.arange(factor.size), counts)
    return sorted_by_runs((starts + rng.random(starts.size)) * GRID_S)


def bursty_train(rng: np.random.Generator, rate_hz: float, end_s: float) -> Floats:
    """Draw bursts of two spikes on average (their number is geometric), (n_spikes,) s, ascending."""
    first = poisson_train(rng, rate_hz / 2, end_s)
    burst = np.repeat(np.arange(first.size), rng.geometric(0.5, size=first.size))
    gaps = rng.exponential(BURST_GAP_S, size=burst.size)
    starts = np.flatnonzero(np.diff(burst, prepend=-1))
    gaps[starts] = 0.0
    since = np.cumsum(gaps)
    times = sorted_by_runs(first[burst] + since - since[starts][burst])
    return times[times < end_s]


def refractory_train(rng: np.random.Generator, rate_hz: float, dead_s: float, end_s: float) -> Floats:
    """Draw a renewal train with a dead time, (n_spikes,) s, ascending.

    Parameters
    ----------
    rate_hz : mean rate, below 1 / ``dead_s``.
    dead_s : least interval.
    """
    n = int(end_s * rate_hz + 8 * np.sqrt(end_s * rate_hz) + 20)
    times = np.cumsum(dead_s + rng.exponential(1 / rate_hz - dead_s, size=n)) - dead_s
    return times[times < end_s]


def with_responses(
    rng: np.random.Generator, train: Floats, times_s: Floats, mean_counts: Floats, delays: Delays
) -> Floats:
    """Add Poisson numbers of spikes after events; see `vbn.synthetic.spikes.Response`."""
    added = draw_responses(rng, [Response(times_s, mean_counts, delays)])
    return sorted_by_runs(np.concatenate([train, added]))


def suppressed(
    rng: np.random.Generator,
    train: Floats,
    times_s: Floats,
    depth: Floats,
    window_s: tuple[float, float],
) -> Floats:
    """Drop a share of the spikes in a window after events.

    Parameters
    ----------
    times_s : (n_events,) ascending.
    depth : (n_events,) share to drop, 0 to 1.
    window_s : seconds after the event; shorter than the events are apart.
    """
    since, row = since_last(train, times_s)
    inside = (since >= window_s[0]) & (since < window_s[1])
    return train[~(inside & (rng.random(train.size) < depth[row]))]
