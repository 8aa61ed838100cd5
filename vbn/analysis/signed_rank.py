"""Rank tests of spike counts, one p-value per unit.

Counts are small whole numbers, so most of them are tied; ranks of ties are their mean rank throughout. A
p-value is 1 where the data cannot tell the null hypothesis from anything else (nothing ever differs) and NaN
where there are no data.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats, Integers

MAX_EXACT_PAIRS = 50  # as scipy.stats.wilcoxon
ALTERNATIVES = ("two-sided", "greater", "less")
_DECIMALS = 9  # equal differences of rates must stay ties after a division


def signed_rank_p_values(differences: ArrayLike, alternative: str = "two-sided") -> Floats:
    """Wilcoxon signed-rank test of paired differences, for every unit.

    Parameters
    ----------
    differences : (n_units, n_pairs), second less first; NaN pairs are left out.
    alternative : ``two-sided``, ``greater`` (differences tend to be above 0) or ``less``.

    Returns
    -------
    (n_units,) p-values
        1 where all differences are 0, NaN where there is no pair.

    Notes
    -----
    Differences of 0 are dropped (``zero_method="wilcox"`` of `scipy.stats.wilcoxon`). Up to 50 pairs the
    distribution over all signs is exact, with ties as they are; above, the normal approximation
    with the variance corrected for ties, without continuity correction. SciPy's ``method="auto"`` gives the
    same, except for 14 to 50 pairs with ties or zeros, where it falls back to the approximation.
    """
    pairs = np.asarray(differences, dtype=np.float64)
    if pairs.ndim != 2:
        raise ValueError(f"differences must be (n_units, n_pairs), got {pairs.shape}.")
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative must be one of {', '.join(ALTERNATIVES)}, got {alternative!r}.")
    return np.array([_signed_rank(row, alternative) for row in pairs], dtype=np.float64)


def _signed_rank(differences: Floats, alternative: str) -> float:
    known = differences[~np.isnan(differences)]
    if known.size == 0:
        return np.nan
    nonzero = np.round(known, _DECIMALS)
    nonzero = nonzero[nonzero != 0]
    if nonzero.size == 0:
        return 1.0
    _, place, ties = np.unique(np.abs(nonzero), return_inverse=True, return_counts=True)
    # Twice the mean rank of a tie is a whole number.
    doubled = (2 * np.cumsum(ties) - ties + 1)[place]
    positive = int(doubled[nonzero > 0].sum())
    tail = _exact_tails if nonzero.size <= MAX_EXACT_PAIRS else _normal_tails
    greater, less = tail(doubled, positive)
    p = {"greater": greater, "less": less, "two-sided": 2 * min(greater, less)}[alternative]
    return float(min(p, 1.0))


def _exact_tails(doubled_ranks: Integers, positive: int) -> tuple[float, float]:
    """P(sum of positive ranks >= observed) and P(<= observed), every rank having either sign alike."""
    probability = np.zeros(int(doubled_ranks.sum()) + 1)
    probability[0] = 1.0
    reached = 0
    for rank in doubled_ranks.tolist():
        probability[rank : reached + rank + 1] += probability[: reached + 1].copy()
        reached += rank
        probability[: reached + 1] /= 2
    return float(probability[positive:].sum()), float(probability[: positive + 1].sum())


def _normal_tails(doubled_ranks: Integers, positive: int) -> tuple[float, float]:
    # The sum of positive ranks has mean sum(r) / 2 and variance sum(r^2) / 4, with ties as without.
    ranks = doubled_ranks.astype(np.float64)
    z = (positive - ranks.sum() / 2) / np.sqrt((ranks**2).sum() / 4)
    return float(scipy.special.ndtr(-z)), float(scipy.special.ndtr(z))


def kruskal_wallis_p_values(counts: ArrayLike, group: ArrayLike) -> Floats:
    """Kruskal-Wallis test of whether counts differ between groups of events, for every unit.

    Parameters
    ----------
    counts : (n_units, n_events) whole numbers >= 0.
    group : (n_events,) whole numbers >= 0, the same for events of one group.

    Returns
    -------
    (n_units,) p-values
        Of the chi-square approximation, corrected for ties (`scipy.stats.kruskal`). With two groups this
        is the Mann-Whitney test without continuity correction. 1 where all counts are equal; NaN with
        fewer than two groups.
    """
    values = np.asarray(counts, dtype=np.int64)
    _, label, sizes = np.unique(np.asarray(group), return_inverse=True, return_counts=True)
    if values.ndim != 2 or values.shape[1] != label.size:
        raise ValueError(f"counts must be (n_units, {label.size}) for {label.size} events, {values.shape}.")
    if sizes.size < 2:
        return np.full(values.shape[0], np.nan)
    return np.array([_kruskal_wallis(row, label, sizes) for row in values], dtype=np.float64)


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
