"""The fraction of a raised-cosine pulse in which a unit responds (Bennett 2025)."""

from __future__ import annotations

import numpy as np
import scipy

from vbn.analysis.spikes.trains import Floats, Integers


def binned_counts(spike_times: Floats, onsets: Floats, bin_s: float, n_bins: int) -> Integers:
    """Count spikes in bins after each onset: (n_pulses, n_bins); pulses may overlap."""
    first = np.searchsorted(spike_times, onsets)
    n = np.searchsorted(spike_times, onsets + n_bins * bin_s) - first
    pulse = np.repeat(np.arange(onsets.size), n)
    spike = np.repeat(first - np.cumsum(n) + n, n) + np.arange(n.sum())
    bin_index = np.floor((spike_times[spike] - onsets[pulse]) / bin_s).astype(np.int64)
    flat = pulse * n_bins + np.clip(bin_index, 0, n_bins - 1)
    return np.bincount(flat, minlength=onsets.size * n_bins).reshape(onsets.size, n_bins)


def responsive_fraction(counts: Integers, baseline: Floats, alpha: float, min_observations: int) -> float:
    """Return the fraction of bins with significantly more spikes than the light-free baseline.

    Parameters
    ----------
    counts : (n_pulses, n_bins) spikes in each bin of each pulse.
    baseline : (n_counts,) number of light-free bins with 0, 1, 2 ... spikes.
    alpha : a bin is responsive if a two-sided Mann-Whitney test against the baseline bins gives p < alpha and
        its mean is above theirs.
    min_observations : with fewer pulses than this, neighbouring bins are pooled, as few as give this many
        counts.

    Returns
    -------
    Responsive bins divided by all bins; NaN without pulses, bins or baseline.

    Notes
    -----
    Bennett 2025 tests every 10 ms bin by itself, on 50 pulses. With ten pulses such a test has hardly any
    power for a unit that fires at more than a few Hz: at 15 Hz, five of the ten pulses would need a spike in
    those 10 ms.
    """
    n_pulses, n_bins = counts.shape
    if n_pulses == 0 or n_bins == 0 or baseline.sum() == 0:
        return np.nan
    together = min(-(-min_observations // n_pulses), n_bins)
    p, above = _tests(_histograms(counts, together, baseline.size), baseline)
    sizes = np.bincount(np.arange(n_bins) // together)
    return float(sizes[(p < alpha) & above].sum() / n_bins)


def _histograms(counts: Integers, together: int, least_values: int) -> Floats:
    """Return (n_groups, n_values) histograms of spike counts, one for each run of ``together`` bins."""
    n_bins = counts.shape[1]
    group = np.arange(n_bins) // together
    n_values = max(int(counts.max()) + 1, least_values)
    flat = group * n_values + counts
    n_groups = int(group[-1]) + 1
    histogram = np.bincount(flat.ravel(), minlength=n_groups * n_values).reshape(n_groups, n_values)
    return histogram.astype(np.float64)


def _tests(samples: Floats, baseline: Floats) -> tuple[Floats, np.ndarray]:
    """Return two-sided Mann-Whitney p-values of samples against the baseline; whether their means are higher.

    Samples and baseline are histograms of counts. Normal approximation with correction for ties and
    continuity, as in ``scipy.stats.mannwhitneyu(..., method="asymptotic")``; 1 where all counts are equal.
    """
    n_values = samples.shape[1]
    base = np.zeros(n_values)
    base[: baseline.size] = baseline
    n_sample, n_base = samples.sum(axis=1), base.sum()
    total = n_sample + n_base
    u = samples @ (np.cumsum(base) - base / 2)
    tied = samples + base
    ties = (tied * (tied * tied - 1)).sum(axis=1) / (total * (total - 1))
    deviation = np.sqrt(np.maximum(n_sample * n_base / 12 * (total + 1 - ties), 0))
    # Where all counts are equal, rounding may leave a tiny deviation.
    testable = tied.max(axis=1) < total
    off_centre = np.abs(u - n_sample * n_base / 2) - 0.5
    z = np.divide(off_centre, deviation, out=np.full(total.shape, -np.inf), where=testable & (deviation > 0))
    values = np.arange(n_values)
    return np.minimum(2 * scipy.special.ndtr(-z), 1.0), samples @ values / n_sample > base @ values / n_base
