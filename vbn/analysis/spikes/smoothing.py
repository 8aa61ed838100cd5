"""Mean rates around events in bins of any width, smoothed, for looking at."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.psth import TimeAxis, count_spikes
from vbn.analysis.spikes.trains import Floats, SpikePieces

REACH_SD = 4.0
"""How far a Gaussian reaches, in standard deviations."""
LAG_BIN_S = 0.001
N_WIDTHS = 30


def smoothed_rate(
    time_s: ArrayLike, n_events: int, window_s: tuple[float, float], bin_s: float, smoothing_s: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the mean rate around events.

    Parameters
    ----------
    time_s : (n_spikes,) seconds from the event to each spike, of all events, in any order; also those up to
        `REACH_SD` times `smoothing_s` before and after the window, as the rates at its edges need them.
    n_events : number of events, with or without spikes.
    window_s : start and stop of the window. A bin begins at 0.
    bin_s : width of the bins.
    smoothing_s : standard deviation of the Gaussian that the rates are smoothed with; 0 for none.

    Returns
    -------
    centers_s, rate_hz : (n_bins,) centers of the bins that are whole in the window, and their mean rates; NaN
        without events.

    Examples
    --------
    >>> centers_s, rate_hz = smoothed_rate([0.05, 0.01, 0.12], 2, (-0.1, 0.2), 0.1)
    >>> centers_s.round(2).tolist(), rate_hz.round(1).tolist()
    ([-0.05, 0.05, 0.15], [0.0, 10.0, 5.0])
    """
    edges, inside = _edges(window_s, bin_s, smoothing_s)
    times = np.asarray(time_s, dtype=np.float64)
    counts, _ = np.histogram(times[times < edges[-1]], edges)  # NumPy's last bin has its end, too
    with np.errstate(invalid="ignore"):
        rate_hz = counts / np.float64(n_events * bin_s)
    if n_events:
        rate_hz = _smoothed(rate_hz, bin_s, smoothing_s)
    centers_s = (edges[:-1] + edges[1:]) / 2
    return centers_s[inside], rate_hz[inside]


def rate_and_error(
    time_s: ArrayLike,
    event: ArrayLike,
    n_events: int,
    window_s: tuple[float, float],
    bin_s: float,
    smoothing_s: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Return the mean rate around events with its standard error over them.

    Parameters
    ----------
    time_s, n_events, window_s, bin_s, smoothing_s : as of `smoothed_rate`.
    event : (n_spikes,) index of the event of each spike.

    Returns
    -------
    centers_s, rate_hz, sem_hz : (n_bins,) as of `smoothed_rate`, and the standard error of the events'
        smoothed rates (ddof 1), NaN with fewer than two events.
    """
    edges, inside = _edges(window_s, bin_s, smoothing_s)
    times = np.asarray(time_s, dtype=np.float64)
    is_within = times < edges[-1]  # NumPy's last bin has its end, too
    counts, _, _ = np.histogram2d(
        np.asarray(event, dtype=np.float64)[is_within], times[is_within],
        bins=(np.arange(n_events + 1) - 0.5, edges) if n_events else (1, edges),
    )  # fmt: skip
    rates = _smoothed(counts[:n_events] / bin_s, bin_s, smoothing_s)[:, inside]
    centers_s, nothing = ((edges[:-1] + edges[1:]) / 2)[inside], np.full(rates.shape[1], np.nan)
    mean = rates.mean(axis=0) if n_events else nothing
    sem = rates.std(axis=0, ddof=1) / math.sqrt(n_events) if n_events > 1 else nothing
    return centers_s, mean, sem


def smoothed_rates(
    spike_times: ArrayLike | SpikePieces,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    event_times: ArrayLike,
    axis: TimeAxis,
    smoothing_s: float = 0.0,
) -> Floats:
    """Return the mean rates of many units around events.

    Parameters
    ----------
    spike_times, offsets, n_spikes, event_times, axis : as of `vbn.analysis.spikes.psth.count_spikes`.
    smoothing_s : standard deviation of the Gaussian that the rates are smoothed with; 0 for none.

    Returns
    -------
    (n_units, n_bins) Hz, right up to the edges of the window; NaN without events.
    """
    reach = math.ceil(REACH_SD * smoothing_s / axis.bin_s)
    margin = reach * axis.bin_s
    wide = TimeAxis(axis.start_s - margin, axis.stop_s + margin, axis.bin_s)
    counts = count_spikes(spike_times, offsets, n_spikes, event_times, wide)
    if not counts.n_events:
        return np.full((counts.total.shape[0], axis.n_bins), np.nan)
    rates = _smoothed(counts.total / (counts.n_events * axis.bin_s), axis.bin_s, smoothing_s)
    return np.asarray(rates[:, reach : reach + axis.n_bins], dtype=np.float64)


def best_smoothing(time_s: ArrayLike, window_s: tuple[float, float], least_s: float, most_s: float) -> float:
    """Return the standard deviation of the Gaussian that suits the spikes of a window best.

    Parameters
    ----------
    time_s : (n_spikes,) seconds from the event to each spike, of all events together; also those up to
        `REACH_SD` times `most_s` before and after the window, or its edges are taken for responses.
    window_s : start and stop of what is to be shown.
    least_s, most_s : limits of what is returned. Few spikes need the greatest, sharp responses of many the
        least.

    Notes
    -----
    The width that minimises the estimated integrated squared error of the rate of Poisson spikes, of 30
    widths spaced by ratios, with spikes by the millisecond: the integral of the squared rate over the window,
    less twice the rate at each spike in it as the other spikes have it (Shimazaki and Shinomoto 2010, J
    Comput Neurosci 29:171, algorithm 1, there over the whole line).

    Examples
    --------
    >>> best_smoothing([], (0.0, 1.0), 0.005, 0.05)
    0.05
    """
    n_bins = max(round((window_s[1] - window_s[0]) / LAG_BIN_S), 1)
    reach = math.ceil(REACH_SD * most_s / LAG_BIN_S)
    edges = window_s[0] + np.arange(-reach, n_bins + reach + 1) * LAG_BIN_S
    counts = np.histogram(np.asarray(time_s, dtype=np.float64), edges)[0].astype(np.float64)
    inside = slice(reach, reach + n_bins)
    widths = np.geomspace(most_s, least_s, N_WIDTHS)  # of equal costs the first, the greatest
    costs = []
    for width in widths:
        rate = _smoothed(counts, LAG_BIN_S, width)[inside]
        steps = np.arange(math.ceil(REACH_SD * width / LAG_BIN_S) + 1) * LAG_BIN_S / width
        own = 1 / (2 * np.exp(-(steps**2) / 2).sum() - 1)  # what a spike adds to its own bin
        costs.append(rate @ rate - 2 * counts[inside] @ (rate - own))
    return float(widths[int(np.argmin(costs))])


def _edges(window_s: tuple[float, float], bin_s: float, smoothing_s: float) -> tuple[Floats, slice]:
    """Return the edges of the bins, and which of them lie in the window: the others are for smoothing."""
    first, last = math.ceil(window_s[0] / bin_s - 1e-9), math.floor(window_s[1] / bin_s + 1e-9)
    reach = math.ceil(REACH_SD * smoothing_s / bin_s)
    edges = np.asarray(np.arange(first - reach, last + reach + 1) * bin_s, dtype=np.float64)
    return edges, slice(reach, reach + last - first)


def _smoothed(rate_hz: Floats, bin_s: float, smoothing_s: float) -> Floats:
    """Return rates that are smoothed along their last axis."""
    if smoothing_s <= 0 or not rate_hz.size:
        return rate_hz
    smooth = scipy.ndimage.gaussian_filter1d(
        rate_hz, smoothing_s / bin_s, truncate=REACH_SD, mode="constant", axis=-1
    )
    return np.asarray(smooth, dtype=np.float64)
