"""Long signals in time bins: rates of units, means of traces, counts of events.

A bin includes its start and excludes its end; the last bin also includes its end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats, unit_trains


def equal_bins(start_s: float, stop_s: float, bin_s: float) -> Floats:
    """Divide an interval into equal bins whose length is as close as possible to the one given.

    Parameters
    ----------
    start_s, stop_s : seconds.
    bin_s : desired bin length in seconds.

    Returns
    -------
    (n_bins + 1,) bin edges in seconds; at least one bin.

    Raises
    ------
    ValueError
        Unless ``start_s < stop_s`` and ``bin_s > 0``.

    Examples
    --------
    >>> equal_bins(0.0, 25.0, 10.0)
    array([ 0. , 12.5, 25. ])
    """
    if not start_s < stop_s or not bin_s > 0:
        raise ValueError(f"Bins need start_s < stop_s and bin_s > 0, got {start_s} to {stop_s}, and {bin_s}.")
    return np.linspace(start_s, stop_s, max(1, round((stop_s - start_s) / bin_s)) + 1)


def rates_in_bins(spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, edges_s: Floats) -> Floats:
    """Return the firing rates of units in bins.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`; memory maps are
        searched, not copied.
    edges_s : (n_bins + 1,) seconds, ascending.

    Returns
    -------
    (n_units, n_bins) Hz; 0 in bins without spikes.
    """
    bounds = np.append(edges_s[:-1], np.nextafter(edges_s[-1], np.inf))
    trains = unit_trains(spike_times, offsets, n_spikes)
    counts = [np.diff(np.searchsorted(train, bounds)) for train in trains]
    return np.array(counts, dtype=np.float64).reshape(-1, len(edges_s) - 1) / np.diff(edges_s)


def mean_in_bins(times_s: ArrayLike, values: ArrayLike, edges_s: Floats) -> Floats:
    """Return the means of a trace in bins.

    Parameters
    ----------
    times_s : (n_samples,) seconds, in any order.
    values : (n_samples,) in any unit; NaN is ignored.
    edges_s : (n_bins + 1,) seconds, ascending.

    Returns
    -------
    (n_bins,) in the unit of the values; NaN in bins without a value.
    """
    times, samples = np.asarray(times_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    is_known = np.isfinite(samples) & np.isfinite(times)
    counts, _ = np.histogram(times[is_known], edges_s)
    sums, _ = np.histogram(times[is_known], edges_s, weights=samples[is_known])
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def event_rates_in_bins(times_s: ArrayLike, edges_s: Floats) -> Floats:
    """Return the rate of events in bins: (n_bins,) per second, given (n_events,) times in seconds."""
    counts, _ = np.histogram(np.asarray(times_s, dtype=np.float64), edges_s)
    return np.asarray(counts / np.diff(edges_s), dtype=np.float64)


def z_scores(rates: Floats) -> Floats:
    """Return the z-scores of each row: (n_rows, n_bins); 0 in rows that do not vary."""
    deviations = rates - rates.mean(axis=1, keepdims=True)
    varies = np.ptp(rates, axis=1, keepdims=True) > 0
    scores: Floats = np.zeros(rates.shape)
    np.divide(deviations, rates.std(axis=1, keepdims=True), out=scores, where=varies)
    return scores
