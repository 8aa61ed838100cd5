"""Autocorrelograms of spike trains."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats


def autocorrelogram(spike_times: ArrayLike, *, window_s: float = 0.05, bin_s: float = 0.001) -> Floats:
    """Return the autocorrelogram of a unit as a firing rate, at positive lags.

    Parameters
    ----------
    spike_times : (n_spikes,) seconds, ascending.
    window_s : longest lag in seconds.
    bin_s : bin width in seconds.

    Returns
    -------
    (n_bins,) Hz: later spikes per spike and second; bin k is half open, from ``k * bin_s`` to ``(k + 1) *
    bin_s``. Negative lags are the mirror image. 0 for fewer than two spikes.

    Examples
    --------
    >>> autocorrelogram([1.0, 1.0025, 2.0], window_s=0.004) * 3 * 0.001
    array([0., 0., 1., 0.])
    """
    train = np.asarray(spike_times, dtype=np.float64)
    n_bins = round(window_s / bin_s)
    counts = np.zeros(n_bins, dtype=np.int64)
    for later in range(1, train.size):
        lag_bin = ((train[later:] - train[:-later]) / bin_s).astype(np.int64)
        near = lag_bin[lag_bin < n_bins]
        if near.size == 0:  # then all spikes further on are too far away as well
            break
        counts += np.bincount(near, minlength=n_bins)
    return counts / (max(train.size, 1) * bin_s)
