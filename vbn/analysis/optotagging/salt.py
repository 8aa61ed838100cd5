"""The stimulus-associated spike latency test (SALT; Kvitsiani et al. 2013, Nature 498:363).

The test asks whether the distribution of first-spike latencies after a pulse is farther from those of
light-free windows than these are from one another. The distance is the square root of twice the
Jensen-Shannon divergence, a metric (Endres & Schindelin 2003, IEEE Trans. Inf. Theory 49:1858).

Notes
-----
The authors' ``salt.m`` restricts both distributions to their common support and renormalises them before
computing a divergence. Two distributions without overlap then have distance 0, and a unit that fires only in
response to the pulses is missed. Here the divergence is that of the two papers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from vbn.analysis.spikes.trains import Floats, Integers


def latency_histogram(first_bins: NDArray[np.integer], n_bins: int) -> Integers:
    """Count trials by the bin of their first spike.

    Parameters
    ----------
    first_bins : (n_windows, n_trials) bin of the first spike, 1 to ``n_bins``; 0 where there is none.

    Returns
    -------
    (n_windows, n_bins + 1) numbers of trials.
    """
    n_windows = len(first_bins)
    flat = first_bins + (n_bins + 1) * np.arange(n_windows)[:, np.newaxis]
    return np.bincount(flat.ravel(), minlength=n_windows * (n_bins + 1)).reshape(n_windows, n_bins + 1)


def salt(baseline: Integers, test: Integers) -> tuple[float, float]:
    """Compare one latency histogram with those of light-free windows.

    Parameters
    ----------
    baseline : (n_windows, n_bins + 1) numbers of trials, from `latency_histogram`.
    test : (n_bins + 1,) the same for the evoked window, with as many trials.

    Returns
    -------
    p
        Fraction of pairs of baseline windows whose distance is at least the median distance of the test from
        the baseline windows. 0 means less than 1 / number of pairs.
    information
        Median distance of the test from the baseline windows minus that between baseline windows (nats **
        0.5).

    Both are NaN without trials or with fewer than two baseline windows.
    """
    n_trials = int(test.sum())
    if n_trials == 0 or len(baseline) < 2:
        return np.nan, np.nan
    both = np.concatenate([baseline, test[np.newaxis]])
    first, second = _pairs(len(baseline))
    among = _distances(both, first, second, n_trials)
    every = np.arange(len(baseline))
    middle = _median(_distances(both, every, np.full_like(every, len(baseline)), n_trials))
    # Equal distances may differ in the last digit, because their sums are in different orders.
    p = np.count_nonzero(among >= middle - 1e-12) / among.size
    return p, middle - _median(among)


def _median(values: Floats) -> float:
    """Return the median of known numbers; `numpy.median` looks for NaN, too."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    return float(np.partition(values, [middle - 1, middle])[middle - 1 : middle + 1].sum() / 2)


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[Integers, Integers]:
    first, second = np.triu_indices(n, k=1)
    return first, second


def _distances(histograms: Integers, first: Integers, second: Integers, n_trials: int) -> Floats:
    """Return the Endres-Schindelin distance between pairs of histograms of ``n_trials`` each."""
    surprise = _surprises(n_trials)
    # Twice the divergence: 2 H((P + Q) / 2) - H(P) - H(Q); all shares are multiples of 1 / 2n.
    entropy = surprise[2 * histograms].sum(axis=1)
    mixed = histograms.take(first, axis=0)
    mixed += histograms.take(second, axis=0)
    twice = surprise.take(mixed) @ np.ones(histograms.shape[1])
    twice *= 2
    twice -= entropy.take(first)
    twice -= entropy.take(second)
    return np.asarray(np.sqrt(np.maximum(twice, 0.0)))


@lru_cache(maxsize=8)
def _surprises(n_trials: int) -> Floats:
    """Return -p log p of all multiples p of 1 / 2n up to 1."""
    steps = np.arange(2 * n_trials + 1) / (2 * n_trials)
    return np.asarray(-scipy.special.xlogy(steps, steps))
