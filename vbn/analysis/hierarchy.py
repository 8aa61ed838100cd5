"""Unit measures summarised by structure, in the order of the visual hierarchy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Floats, Integers

HIERARCHY_SCORES: Mapping[str, float] = MappingProxyType(
    {
        "LGd": -0.51503,
        "VISp": -0.35733,
        "VISl": -0.09389,
        "VISrl": -0.05987,
        "LP": 0.10525,
        "VISal": 0.15222,
        "VISpm": 0.32767,
        "VISam": 0.44099,
    }
)
"""Anatomical hierarchy scores of Siegle et al. 2021 (Nature 592:86, Figs. 2 and 3; their code's), ascending.

Derived from the layers in which projections between the structures originate and terminate (Harris et al.
2019, Nature 575:195).
"""


@dataclass(frozen=True)
class StructureMedians:
    """Medians of one measure over the units of each structure.

    Attributes
    ----------
    n_units : (n_structures,) number of units with a value.
    median, low, high : (n_structures,) the median over these units and its 95 % confidence interval; NaN
        where there are too few units, infinite limits where there are too few for an interval.
    point_structure : (n_points,) for each session median, the index of its structure.
    point_median : (n_points,) the session medians.
    """

    n_units: Integers
    median: Floats
    low: Floats
    high: Floats
    point_structure: Integers
    point_median: Floats


def structure_medians(
    values: ArrayLike,
    structure: ArrayLike,
    session_id: ArrayLike,
    structures: Sequence[str],
    *,
    min_units: int = 5,
    min_session_units: int = 3,
) -> StructureMedians:
    """Return the median of a measure over the units of each structure, overall and per session.

    Parameters
    ----------
    values : (n_units,) the measure; units with NaN are ignored.
    structure, session_id : (n_units,) structure and session of each unit; units in other structures are
        ignored.
    structures : (n_structures,) the structures to summarise, in order.
    min_units : structures with fewer units get no median.
    min_session_units : sessions with fewer units in a structure get no median there.

    Notes
    -----
    The interval is based on order statistics (`median_interval`) and treats units as independent, which units
    of one session are not; the session medians show how much sessions differ.
    """
    index_of = {name: index for index, name in enumerate(structures)}
    index = [index_of.get(name, -1) for name in np.asarray(structure, dtype=object)]
    frame = pd.DataFrame(
        {"value": np.asarray(values, dtype=np.float64), "structure": index, "session": session_id}
    )
    frame = frame[(frame["structure"] >= 0) & frame["value"].notna()]
    counts = np.bincount(frame["structure"], minlength=len(structures))
    median, low, high = np.full((3, len(structures)), np.nan)
    for row in np.flatnonzero(counts >= min_units):
        of_structure = frame.loc[frame["structure"] == row, "value"]
        median[row] = of_structure.median()
        low[row], high[row] = median_interval(of_structure)
    sessions = frame.groupby(["structure", "session"])["value"].agg(["size", "median"]).reset_index()
    sessions = sessions[
        (sessions["size"] >= min_session_units) & (counts >= min_units)[sessions["structure"]]
    ]
    return StructureMedians(
        counts,
        median,
        low,
        high,
        sessions["structure"].to_numpy(np.int64),
        sessions["median"].to_numpy(np.float64),
    )


def median_interval(values: ArrayLike, coverage: float = 0.95) -> tuple[float, float]:
    """Return a distribution-free confidence interval of the median (Thompson 1936).

    Parameters
    ----------
    values : (n,) finite, independent.
    coverage : minimum probability that the interval contains the median.

    Returns
    -------
    Two of the values, chosen so because the number of values below the median is binomial with p = 1/2. Minus
    and plus infinity where n is too small (below 6 for 95 %).

    Examples
    --------
    >>> median_interval([1, 2, 3, 4, 5, 6])
    (1.0, 6.0)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    cumulative = scipy.special.bdtr(np.arange(ordered.size + 1.0), ordered.size, 0.5)
    n_outside = int(np.searchsorted(cumulative, (1 - coverage) / 2)) - 1  # on either side
    if n_outside < 0:
        return -np.inf, np.inf
    return float(ordered[n_outside]), float(ordered[-1 - n_outside])


def structure_order(
    structures: Sequence[str], groups: Sequence[str], group_order: Sequence[str]
) -> list[int]:
    """Return the order in which figures show structures.

    Parameters
    ----------
    structures, groups : (n,) acronyms and their groups.
    group_order : order of the groups; groups not listed come last, by name.

    Returns
    -------
    (n,) indices into ``structures``: the visual hierarchy by score, then all others by group and acronym.
    """

    def rank(index: int) -> tuple[float, int, str, str]:
        """Return what a structure is sorted by."""
        score = HIERARCHY_SCORES.get(structures[index], np.inf)
        group = groups[index]
        group_rank = group_order.index(group) if group in group_order else len(group_order)
        return score, group_rank, group, structures[index]

    return sorted(range(len(structures)), key=rank)
