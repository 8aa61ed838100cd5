"""Mean rates around events in bins of any width, smoothed, for looking at."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats

REACH_SD = 4.0
"""How far a Gaussian reaches, in standard deviations."""


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
    first, last = math.ceil(window_s[0] / bin_s - 1e-9), math.floor(window_s[1] / bin_s + 1e-9)
    reach = math.ceil(REACH_SD * smoothing_s / bin_s)
    edges = np.arange(first - reach, last + reach + 1) * bin_s
    counts, _ = np.histogram(np.asarray(time_s, dtype=np.float64), edges)
    with np.errstate(invalid="ignore"):
        rate_hz = counts / np.float64(n_events * bin_s)
    if smoothing_s > 0 and n_events:
        smoothed = scipy.ndimage.gaussian_filter1d
        rate_hz = smoothed(rate_hz, smoothing_s / bin_s, truncate=REACH_SD, mode="constant")
    centers_s = (edges[:-1] + edges[1:]) / 2
    inside = slice(reach, reach + last - first)
    return centers_s[inside], rate_hz[inside]
