"""Unit measures summarised by structure, in the order of the visual hierarchy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.contrasts import level_of_mice
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
    """One measure in each structure, over mice.

    Attributes
    ----------
    n_units : (n_structures,) number of units with a value.
    median, low, high : (n_structures,) the mean over mice of the medians of sessions and its 95 % interval;
        NaN where there are too few units, infinite limits of one mouse.
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
    mouse_id: ArrayLike,
    structures: Sequence[str],
    *,
    min_units: int = 5,
    min_session_units: int = 3,
) -> StructureMedians:
    """Return a measure in each structure, over mice and per session.

    Parameters
    ----------
    values : (n_units,) the measure; units with NaN are ignored.
    structure, session_id, mouse_id : (n_units,) of each unit; units in other structures are ignored.
    structures : (n_structures,) the structures to summarise, in order.
    min_units : structures with fewer units get no median.
    min_session_units : sessions with fewer units in a structure get no median there.

    Notes
    -----
    Units of a mouse are not independent: the interval is over mice, and units in their sessions
    (`vbn.analysis.contrasts.level_of_mice`).
    """
    index_of = {name: index for index, name in enumerate(structures)}
    index = [index_of.get(name, -1) for name in np.asarray(structure, dtype=object)]
    frame = pd.DataFrame(
        {"value": np.asarray(values, dtype=np.float64), "structure": index, "session_id": session_id,
         "mouse_id": mouse_id}
    )  # fmt: skip
    frame = frame[(frame["structure"] >= 0) & frame["value"].notna()]
    counts = np.bincount(frame["structure"], minlength=len(structures))
    median, low, high = np.full((3, len(structures)), np.nan)
    for row in np.flatnonzero(counts >= min_units):
        median[row], low[row], high[row] = level_of_mice(frame[frame["structure"] == row])
    sessions = frame.groupby(["structure", "session_id"])["value"].agg(["size", "median"]).reset_index()
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
