"""Statistical tests that several analyses use, vectorized over units.

A *row* is one unit (or whatever is tested), its columns are the paired observations. Rows in which nothing
can be tested yield NaN or 1, as documented, and no warning. Counts are small integers with many ties; ties
get their mean rank.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers

MAX_EXACT_PAIRS = 50
MOST_LEVELS = 1000
MAX_TIED_PAIRS_OF_SCIPY = 13  # as in scipy.stats.wilcoxon
_DECIMALS = 9  # equal differences of rates must remain ties after division


def one_sided_signed_rank_p_values(differences: ArrayLike) -> Floats:
    """Wilcoxon signed-rank test of paired differences against "not greater than 0", for every row.

    Parameters
    ----------
    differences : (n_rows, n_pairs).

    Returns
    -------
    (n_rows,) p-values of the normal approximation without continuity correction, zero differences dropped; 1
    where all differences are zero; all NaN if there are no pairs.
    """
    values = np.asarray(differences, dtype=np.float64).round(_DECIMALS)
    if values.size == 0:
        return np.full(len(values), np.nan)
    if (levels := _few_levels(values)) is not None:
        return _greater_of_levels(levels, values > 0)
    from scipy.stats import wilcoxon  # import takes half a second

    with np.errstate(invalid="ignore"):  # 0 / 0 where all differences are zero
        result = wilcoxon(values, axis=1, alternative="greater", method="asymptotic")  # type: ignore[call-overload]
    p = result.pvalue
    return np.where(np.isnan(p), 1.0, p)


def _greater_of_levels(size: Integers, is_positive: Booleans) -> Floats:
    """Return (n_rows,) what `scipy.stats.wilcoxon` does, to the last bit, without its import."""
    ties, positives = _ties(size, is_positive)
    ties[:, 0] = 0
    n = ties.sum(axis=1)
    r_plus = (positives * (2 * np.cumsum(ties, axis=1) - ties + 1)).sum(axis=1) / 2
    variance = (n * (n + 1) * (2 * n + 1) - (ties**3 - ties).sum(axis=1) / 2) / 24
    with np.errstate(invalid="ignore"):  # 0 / 0 where all differences are zero
        p = scipy.special.ndtr(-(r_plus - n * (n + 1) / 4) / np.sqrt(variance))
    return np.where(n > 0, p, 1.0)


def _ties(size: Integers, is_positive: Booleans) -> tuple[Integers, Integers]:
    """Return (n_rows, n_sizes) how often each size occurs in each row, and how often it is positive."""
    n_levels = int(size.max()) + 1
    cell, n_cells = size + n_levels * np.arange(len(size))[:, np.newaxis], n_levels * len(size)
    ties = np.bincount(cell.ravel(), minlength=n_cells).reshape(-1, n_levels)
    return ties, np.bincount(cell[is_positive], minlength=n_cells).reshape(-1, n_levels)


def exact_signed_rank_p_values(differences: ArrayLike) -> Floats:
    """Two-sided Wilcoxon signed-rank test of paired differences, exact for few pairs, for every row.

    Parameters
    ----------
    differences : (n_rows, n_pairs), second minus first; NaN pairs are left out.

    Returns
    -------
    (n_rows,) p-values
        1 where all differences are 0, NaN where there is no pair.

    Notes
    -----
    Differences of 0 are dropped (``zero_method="wilcox"`` of `scipy.stats.wilcoxon`). Up to 50 pairs the
    distribution over all signs is exact, including ties; above that, the normal approximation is used, with
    variance corrected for ties and without continuity correction. SciPy's ``method="auto"`` gives the
    same, except for 14 to 50 pairs with ties or zeros, where it falls back to the approximation.
    """
    pairs = np.asarray(differences)
    if pairs.ndim != 2:
        raise ValueError(f"differences must be (n_rows, n_pairs), got {pairs.shape}.")
    if np.issubdtype(pairs.dtype, np.integer) and pairs.size and np.abs(pairs).max() <= MOST_LEVELS:
        return _two_sided_of_levels(np.abs(pairs), pairs > 0)
    pairs = pairs.astype(np.float64)
    rounded = np.round(pairs, _DECIMALS)
    if (levels := _few_levels(rounded)) is not None:
        return _two_sided_of_levels(levels, rounded > 0)
    return np.array([_two_sided(row) for row in pairs], dtype=np.float64)


def _few_levels(differences: Floats) -> Integers | None:
    """Return the place of each size among all that occur, 0 of 0; None if there are many, or NaN."""
    if not differences.size or np.isnan(differences).any():
        return None
    # By a hash table: sorting all values takes several times as long.
    found, sizes = pd.factorize(np.append(0.0, np.abs(differences)))
    if sizes.size > MOST_LEVELS:
        return None
    level = np.empty(sizes.size, dtype=np.int64)
    level[np.argsort(sizes)] = np.arange(sizes.size)
    return level[found[1:]].reshape(differences.shape)


def _two_sided_of_levels(size: Integers, is_positive: Booleans, *, as_scipy: bool = False) -> Floats:
    """Return (n_rows,) what `_two_sided` does of sizes that are small whole numbers, or `_as_scipy`.

    Ranks are found by counting, without sorting.
    """
    ties, positives = _ties(size, is_positive)
    is_plain = (ties.max(axis=1) <= 1) & (ties[:, 0] == 0)
    ties[:, 0] = 0
    doubled = 2 * np.cumsum(ties, axis=1) - ties + 1
    positive, n_pairs = (positives * doubled).sum(axis=1), ties.sum(axis=1)
    total, squares = (ties * doubled).sum(axis=1), (ties * doubled**2).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where all are 0
        z = (positive - total / 2) / np.sqrt(squares / 4)
    p = np.minimum(2 * scipy.special.ndtr(-np.abs(z)), 1.0)
    p[n_pairs == 0] = 1.0
    is_exact = n_pairs <= MAX_EXACT_PAIRS
    if as_scipy:
        is_exact = size.shape[1] <= np.where(is_plain, MAX_EXACT_PAIRS, MAX_TIED_PAIRS_OF_SCIPY)
    for unit in np.flatnonzero((n_pairs > 0) & is_exact):
        ranks = doubled[unit, size[unit][size[unit] != 0]]
        p[unit] = min(2 * _exact_tail(ranks, int(positive[unit])), 1.0)
    return np.asarray(p)


def scipy_signed_rank_p_values(differences: ArrayLike) -> Floats:
    """Two-sided Wilcoxon signed-rank test as `scipy.stats.wilcoxon` does it by default, for every row.

    Parameters
    ----------
    differences : (n_rows, n_pairs), finite.

    Returns
    -------
    (n_rows,) p-values
        1 where all differences are 0, NaN where there is no pair.

    Notes
    -----
    For comparison with published p-values: equal differences are tied only if they are equal to the last bit,
    and the normal approximation is used above 50 pairs, and from 14 pairs on where there are ties or zeros.

    Examples
    --------
    >>> scipy_signed_rank_p_values([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]).tolist()
    [0.25, 1.0]
    """
    pairs = np.asarray(differences, dtype=np.float64)
    if pairs.ndim != 2:
        raise ValueError(f"differences must be (n_rows, n_pairs), got {pairs.shape}.")
    if pairs.shape[1] == 0:
        return np.full(len(pairs), np.nan)
    if (levels := _few_levels(pairs)) is not None:
        return _two_sided_of_levels(levels, pairs > 0, as_scipy=True)
    return np.array([_as_scipy(row) for row in pairs], dtype=np.float64)


def _as_scipy(differences: Floats) -> float:
    nonzero = differences[differences != 0]
    is_plain = np.unique(np.abs(nonzero)).size == differences.size  # neither ties nor zeros
    most = MAX_EXACT_PAIRS if is_plain else MAX_TIED_PAIRS_OF_SCIPY
    return _of_signs(nonzero, exact=differences.size <= most)


def _two_sided(differences: Floats) -> float:
    known = differences[~np.isnan(differences)]
    if known.size == 0:
        return np.nan
    nonzero = np.round(known, _DECIMALS)
    nonzero = nonzero[nonzero != 0]
    return _of_signs(nonzero, exact=nonzero.size <= MAX_EXACT_PAIRS)


def _of_signs(nonzero: Floats, *, exact: bool) -> float:
    """Return the two-sided p of differences that are not 0."""
    if nonzero.size == 0:
        return 1.0
    _, place, ties = np.unique(np.abs(nonzero), return_inverse=True, return_counts=True)
    # Twice the mean rank of a tie is a whole number.
    doubled = (2 * np.cumsum(ties) - ties + 1)[place]
    positive = int(doubled[nonzero > 0].sum())
    tail = _exact_tail if exact else _normal_tail
    return min(2 * tail(doubled, positive), 1.0)


def _exact_tail(doubled_ranks: Integers, positive: int) -> float:
    """Return the lesser of P(sum of positive ranks >= observed) and P(<= observed), signs equally likely.

    That is a number of choices of signs over the number of all, exactly.
    """
    n = doubled_ranks.size
    # Sums are distributed symmetrically: a tail above is one below, and greater sums need not be counted.
    most = min(positive, int(doubled_ranks.sum()) - positive)
    # The choices with each sum are the digits of one whole number, to a base that none of them reaches.
    # With one more rank each sum may grow by it, which moves its digit; this is faster than an array.
    bits, choices = n + 1, 1
    for rank in sorted(doubled_ranks.tolist()):
        if rank > most:
            break
        choices += choices << (bits * rank)
    choices &= (1 << (bits * (most + 1))) - 1
    return float(choices % ((1 << bits) - 1)) / 2.0**n  # the remainder is the sum of the digits


def _normal_tail(doubled_ranks: Integers, positive: int) -> float:
    # The sum of positive ranks has mean sum(r) / 2 and variance sum(r^2) / 4, with ties as without.
    ranks = doubled_ranks.astype(np.float64)
    z = (positive - ranks.sum() / 2) / np.sqrt((ranks**2).sum() / 4)
    return min(float(scipy.special.ndtr(-z)), float(scipy.special.ndtr(z)))


def one_sided_t_p_values(differences: ArrayLike) -> Floats:
    """Student's t-test of paired differences against "not greater than 0", for every row.

    Parameters
    ----------
    differences : (n_rows, n_pairs), two pairs or more.

    Returns
    -------
    (n_rows,) p-values
        1 where all differences are 0. Not below that of equal signs, 2 to the minus n_pairs, which equal
        differences, without any variance, have.
    """
    values = np.asarray(differences, dtype=np.float64)
    n_pairs = values.shape[1]
    mean, deviation = values.mean(axis=1), values.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # no variance, and 0 / 0 where all are 0
        p = scipy.special.stdtr(n_pairs - 1, -mean * np.sqrt(n_pairs) / deviation)
    return np.where(np.isnan(p), 1.0, np.maximum(p, 0.5**n_pairs))


def kruskal_wallis_p_values(values: ArrayLike, group: ArrayLike) -> Floats:
    """Kruskal-Wallis test of whether values differ between groups of events, for every unit.

    Parameters
    ----------
    values : (n_units, n_events) counts, or any numbers.
    group : (n_events,) integers >= 0, equal for events of one group.

    Returns
    -------
    (n_units,) p-values
        From the chi-square approximation, corrected for ties (`scipy.stats.kruskal`). With two groups this
        is the Mann-Whitney test without continuity correction. 1 where all values are equal; NaN with
        fewer than two groups.
    """
    values = np.asarray(values)
    _, label, sizes = np.unique(np.asarray(group), return_inverse=True, return_counts=True)
    if values.ndim != 2 or values.shape[1] != label.size:
        raise ValueError(f"values must be (n_units, {label.size}) for {label.size} events, {values.shape}.")
    if sizes.size < 2:
        return np.full(values.shape[0], np.nan)
    if not np.issubdtype(values.dtype, np.integer):
        values = np.stack([_levels(row) for row in values]) if len(values) else values
    return np.array([_kruskal_wallis(row, label, sizes) for row in values], dtype=np.float64)


def _levels(values: Floats) -> Integers:
    """Return (n,) 0 for the lowest value, 1 for the next, and so on."""
    return np.unique(values.round(_DECIMALS), return_inverse=True)[1]


def _kruskal_wallis(counts: Integers, label: Integers, sizes: Integers) -> float:
    n_levels, n = int(counts.max()) + 1, counts.size
    table = np.bincount(label * n_levels + counts, minlength=sizes.size * n_levels)
    table = table.reshape(sizes.size, n_levels)
    ties = table.sum(axis=0).astype(np.float64)
    correction = 1 - (ties**3 - ties).sum() / (float(n) ** 3 - n)
    if correction <= 0:
        return 1.0
    rank = np.cumsum(ties) - (ties - 1) / 2
    statistic = 12 / (n * (n + 1)) * ((table @ rank) ** 2 / sizes).sum() - 3 * (n + 1)
    return float(scipy.special.chdtrc(sizes.size - 1, max(statistic / correction, 0.0)))


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust p-values for the false discovery rate (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p_values : (n_tests,) in [0, 1]; NaN where nothing was tested.

    Returns
    -------
    (n_tests,) the smallest false discovery rate at which each null hypothesis is rejected; NaN where nothing
    was tested, which does not count as a test.

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


def benjamini_hochberg_of_rows(p_values: ArrayLike) -> Floats:
    """Return what `benjamini_hochberg` does of each row of (n_rows, n_tests) p-values."""
    p = np.asarray(p_values, dtype=np.float64)
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise ValueError(f"p-values must lie in [0, 1], got {p[outside][0]}.")
    order = np.argsort(p, axis=1, kind="stable")  # NaN last
    n_tested = np.count_nonzero(~np.isnan(p), axis=1, keepdims=True)
    scaled = np.take_along_axis(p, order, axis=1) * n_tested / np.arange(1, p.shape[1] + 1)
    q = np.full(p.shape, np.nan)
    np.put_along_axis(q, order, np.fmin.accumulate(scaled[:, ::-1], axis=1)[:, ::-1], axis=1)
    return q


def rate_excess_p_values(
    n_here: ArrayLike, n_elsewhere: ArrayLike, exposure_here: ArrayLike, exposure_elsewhere: ArrayLike
) -> Floats:
    """Test whether the spike rate is higher here than elsewhere: exact test of two Poisson rates.

    Parameters
    ----------
    n_here, n_elsewhere : (n_rows,) numbers of spikes.
    exposure_here, exposure_elsewhere : durations of the counts (s), each a number or (n_rows,).

    Returns
    -------
    (n_rows,) one-sided p-values; 1 where there is no spike here; NaN where total exposure is zero.

    Notes
    -----
    Given their sum, the number of spikes here is binomial, with the share of the exposure as probability
    (Przyborowski & Wilenski 1940).
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


def excess_p_value(counts: ArrayLike, others: ArrayLike) -> float:
    """Test whether events have more spikes than equally long windows before each of them.

    Parameters
    ----------
    counts : (n_events,) numbers of spikes.
    others : (n_windows, n_events) numbers of spikes in the windows of each event.

    Returns
    -------
    One-sided p-value: the exact probability of as many spikes in all if each event's count was any of its own
    and its windows' counts. Slow changes of the rate are in all of them. NaN without events or windows.
    """
    pooled = np.concatenate([np.asarray(counts)[np.newaxis], np.asarray(others)])
    if pooled.shape[1] == 0 or len(pooled) < 2:
        return np.nan
    most = pooled.max(axis=0)
    n_values = int(most.max()) + 1
    cell = pooled + n_values * np.arange(most.size)
    shares = np.bincount(cell.ravel(), minlength=most.size * n_values) / len(pooled)
    probability = np.ones(1)
    for of_event, n in zip(shares.reshape(-1, n_values), most.tolist(), strict=True):
        if n:
            probability = _convolved(probability, of_event[: n + 1])
    return min(float(probability[int(pooled[0].sum()) :].sum()), 1.0)


def _convolved(one: Floats, other: Floats) -> Floats:
    """Return what `numpy.convolve` does, without its checks, which take longer than short convolutions."""
    longer, shorter = (one, other) if one.size >= other.size else (other, one)
    return np.correlate(longer, shorter[::-1], "full")


def row_medians(values: ArrayLike) -> Floats:
    """Return the median of each row, ignoring NaN: (n_rows, n) to (n_rows,); NaN for rows of NaN only."""
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
