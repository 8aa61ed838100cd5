"""Measures of units over the structures of the visual hierarchy, and over all other structures."""

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
        "LGd": -0.515,
        "VISp": -0.357,
        "VISl": -0.093,
        "VISrl": -0.059,
        "LP": 0.105,
        "VISal": 0.152,
        "VISpm": 0.327,
        "VISam": 0.441,
    }
)
"""Anatomical hierarchy scores of Siegle et al. 2021 (Nature 592:86, Figs. 2 and 3), from the layers in which
projections between the structures begin and end (Harris et al. 2019, Nature 575:195), ascending."""


@dataclass(frozen=True)
class StructureMedians:
    """One measure of the units of each structure.

    Attributes
    ----------
    n_units : (n_structures,) units that have the measure.
    median, low, high : (n_structures,) over these units, and the ends of its 95 % interval; NaN where there
        are too few units, infinite ends where there are too few for an interval.
    point_structure : (n_points,) place of the structure of each median of a session.
    point_median : (n_points,) these medians.
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
    """Return the median of a measure over the units of each structure, and of each of its sessions.

    Parameters
    ----------
    values : (n_units,) the measure; units with NaN are left out.
    structure, session_id : (n_units,) of each unit; units of other structures are left out.
    structures : (n_structures,) which ones, in their order.
    min_units : structures with fewer units have no median.
    min_session_units : sessions with fewer units of a structure have none there.

    Notes
    -----
    The interval is that of the order statistics (`median_interval`): it takes the units as independent, which
    units of one session are not; the sessions' medians show how far they differ.
    """
    places = {name: at for at, name in enumerate(structures)}
    place = [places.get(name, -1) for name in np.asarray(structure, dtype=object)]
    frame = pd.DataFrame(
        {"value": np.asarray(values, dtype=np.float64), "place": place, "session": session_id}
    )
    frame = frame[(frame["place"] >= 0) & frame["value"].notna()]
    counts = np.bincount(frame["place"], minlength=len(structures))
    median, low, high = np.full((3, len(structures)), np.nan)
    for at in np.flatnonzero(counts >= min_units):
        of_structure = frame.loc[frame["place"] == at, "value"]
        median[at] = of_structure.median()
        low[at], high[at] = median_interval(of_structure)
    sessions = frame.groupby(["place", "session"])["value"].agg(["size", "median"]).reset_index()
    sessions = sessions[(sessions["size"] >= min_session_units) & (counts >= min_units)[sessions["place"]]]
    return StructureMedians(
        counts,
        median,
        low,
        high,
        sessions["place"].to_numpy(np.int64),
        sessions["median"].to_numpy(np.float64),
    )


def median_interval(values: ArrayLike, coverage: float = 0.95) -> tuple[float, float]:
    """Give an interval of the median that supposes no distribution (Thompson 1936).

    Parameters
    ----------
    values : (n,) finite, independent.
    coverage : at least so probable it is that the interval holds the median.

    Returns
    -------
    Two of the values: how many of n values lie below the median is binomial with probability one half. Minus
    and plus infinity where n is too small (below 6 for 95 %).

    Examples
    --------
    >>> median_interval([1, 2, 3, 4, 5, 6])
    (1.0, 6.0)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    cumulative = scipy.special.bdtr(np.arange(ordered.size + 1.0), ordered.size, 0.5)
    left_out = int(np.searchsorted(cumulative, (1 - coverage) / 2)) - 1  # on either side
    if left_out < 0:
        return -np.inf, np.inf
    return float(ordered[left_out]), float(ordered[-1 - left_out])


def structure_order(
    structures: Sequence[str], groups: Sequence[str], group_order: Sequence[str]
) -> list[int]:
    """Return the order of structures in figures.

    Parameters
    ----------
    structures, groups : (n,) acronyms and their groups.
    group_order : the groups in their order; others come last, by name.

    Returns
    -------
    (n,) places: first the visual hierarchy by score, then all others by group and acronym.
    """

    def rank(at: int) -> tuple[float, int, str, str]:
        score = HIERARCHY_SCORES.get(structures[at], np.inf)
        group = groups[at]
        place = group_order.index(group) if group in group_order else len(group_order)
        return score, place, group, structures[at]

    return sorted(range(len(structures)), key=rank)
