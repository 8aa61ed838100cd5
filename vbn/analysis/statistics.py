"""Tests that the analyses share, over many units at once.

A *row* is one unit (or whatever is tested once), its columns are the paired observations. Rows in which
nothing can be tested give NaN or 1 as each function says, never a warning.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats


def signed_rank_p_value(differences: ArrayLike) -> float:
    """Wilcoxon signed-rank test of paired differences against "not greater than 0".

    Parameters
    ----------
    differences : (n_pairs,).

    Returns
    -------
    p-value of the normal approximation without continuity correction, zero differences dropped (as
    ``scipy.stats.wilcoxon(..., alternative="greater", method="asymptotic")``); 1 when all are zero.

    Notes
    -----
    With ranks r_i of the absolute differences, W = sum of those of positive differences has mean
    sum(r_i) / 2 and variance sum(r_i^2) / 4, with ties as without.
    """
    row = np.asarray(differences, dtype=np.float64)
    return float(signed_rank_p_values(row[np.newaxis])[0]) if row.size else 1.0


def signed_rank_p_values(differences: ArrayLike) -> Floats:
    """`signed_rank_p_value` of every row.

    Parameters
    ----------
    differences : (n_rows, n_pairs).

    Returns
    -------
    (n_rows,); 1 where all differences are zero; NaN throughout when there are no pairs.
    """
    from scipy.stats import rankdata  # takes half a second

    # Equal pairs of counts must stay ties after the division by the windows' lengths.
    values = np.round(np.asarray(differences, dtype=np.float64), 9)
    n_rows, n_pairs = values.shape
    if n_rows == 0 or n_pairs == 0:
        return np.full(n_rows, np.nan)
    zero = values == 0
    # Zeros rank lowest among the absolute values, so that the others' ranks are too high by their number.
    ranks = np.where(zero, 0.0, rankdata(np.abs(values), axis=1) - zero.sum(axis=1, keepdims=True))
    excess = np.where(values > 0, ranks, 0.0).sum(axis=1) - ranks.sum(axis=1) / 2
    deviation = np.sqrt((ranks**2).sum(axis=1) / 4)
    z = np.divide(excess, deviation, out=np.full(n_rows, -np.inf), where=deviation > 0)
    return np.asarray(scipy.special.ndtr(-z))


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust p-values for the false discovery rate (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p_values : (n_tests,) in [0, 1]; NaN where nothing was tested.

    Returns
    -------
    (n_tests,) the smallest false discovery rate at which each test is rejected; NaN where nothing was
    tested, and these do not count as tests.

    Raises
    ------
    ValueError
        A p-value lies outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], got {p[tested].min()} to {p[tested].max()}.")
    q = np.full(p.shape, np.nan)
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * tested.size / np.arange(1, tested.size + 1)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return q


def rate_excess_p_values(
    n_here: ArrayLike, n_elsewhere: ArrayLike, exposure_here: ArrayLike, exposure_elsewhere: ArrayLike
) -> Floats:
    """Test whether spikes are denser here than elsewhere: the exact test of two Poisson rates.

    Parameters
    ----------
    n_here, n_elsewhere : (n_rows,) numbers of spikes.
    exposure_here, exposure_elsewhere : seconds in which they were counted, each a number or (n_rows,).

    Returns
    -------
    (n_rows,) one-sided p-value; 1 where there is no spike here; NaN without any exposure.

    Notes
    -----
    Given their sum, the spikes here are binomial with the share of the exposure (Przyborowski & Wilenski
    1940).
    """
    here, elsewhere = np.asarray(n_here, np.float64), np.asarray(n_elsewhere, np.float64)
    inside, outside = np.asarray(exposure_here, np.float64), np.asarray(exposure_elsewhere, np.float64)
    total = np.broadcast_to(inside + outside, here.shape)
    share = np.divide(
        np.broadcast_to(inside, here.shape), total, out=np.full(here.shape, np.nan), where=total > 0
    )
    at_least_one = np.maximum(here, 1)
    return np.where(
        (here > 0) | np.isnan(share), scipy.special.betainc(at_least_one, elsewhere + 1, share), 1.0
    )


def row_medians(values: ArrayLike) -> Floats:
    """Median of every row without its NaN: (n_rows, n) to (n_rows,); NaN for rows without a number."""
    table = np.sort(np.asarray(values, dtype=np.float64), axis=1)  # NaN sorts last
    n_known = np.count_nonzero(~np.isnan(table), axis=1)
    if table.shape[1] == 0:
        return np.full(len(table), np.nan)
    rows = np.arange(len(table))
    middle = (
        table[rows, np.maximum(n_known - 1, 0) // 2]
        + table[rows, np.minimum(n_known // 2, table.shape[1] - 1)]
    ) / 2
    return np.where(n_known > 0, middle, np.nan)
