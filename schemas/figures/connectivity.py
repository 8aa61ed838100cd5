"""Data of the figure of functional connectivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, interactions
from schemas.files.array_store import mapped
from schemas.queries import area_connectivity, connectivity
from schemas.queries.connectivity import DEFAULT_SET
from schemas.queries.projects import Names, of_one_project, sessions_by_project
from vbn.analysis.hierarchy import structure_order
from vbn.analysis.interactions.connectivity import BIN_S
from vbn.errors import NotFoundError
from vbn.plots.connectivity import ConnectivityFigure
from vbn.plots.structure_colours import GROUP_COLOURS

COUNTS = ["n_ccg_pairs", "n_ccg_peaks", "n_ccg_leading", "n_ccg_following"]


def connectivity_figure(
    structures: Sequence[str] | None = None,
    criteria: str = "bennett_2025",
    *,
    sessions: Any = True,
    connectivity_params: str = DEFAULT_SET,
    project: Names = None,
) -> ConnectivityFigure:
    """Return shares of pairs with a peak, lead scores, and the correlogram of the highest peak.

    Parameters
    ----------
    structures, criteria, sessions, connectivity_params : as for `schemas.queries.connectivity`.
    project : data sets of the sessions, ``all`` to join them; required if they are of several.

    Raises
    ------
    NotFoundError
        If nothing is computed, or no pair could be tested.
    SettingError
        If the sessions are of several projects.
    """
    recordings = ecephys.Recording.proj() if sessions is True else sessions
    recordings = of_one_project(recordings, project, "The figure")
    chosen: dict[str, Any] = {"sessions": recordings, "connectivity_params": connectivity_params}
    areas = area_connectivity(structures, criteria, **chosen)
    if areas.empty:
        raise NotFoundError(
            "No pair of units was tested: FunctionalConnectivity is not computed (vbn populate --table "
            "FunctionalConnectivity), or no two units fire enough in flashes without licks."
        )
    names = sorted({*areas["first_structure"]})
    known = {row["structure_acronym"]: row["structure_group"] for row in ecephys.Structure.to_dicts()}
    order = structure_order(names, [known[name] or "" for name in names], list(GROUP_COLOURS))
    names = [names[at] for at in order]
    matrices = {
        name: areas.pivot_table(name, "first_structure", "second_structure", "sum", fill_value=0)
        .reindex(index=names, columns=names, fill_value=0)
        .fillna(0)
        .to_numpy(np.int64)
        for name in COUNTS
    }
    keys = {"unit_criteria": criteria, "connectivity_params": connectivity_params}
    masters = (interactions.FunctionalConnectivity & keys & recordings).to_dicts()
    surrogate = sum((row["ccg_surrogate_fraction"] or 0) * row["n_connectivity_pairs"] for row in masters)
    return ConnectivityFigure(
        structures=names,
        n_pairs=matrices["n_ccg_pairs"],
        n_peaks=matrices["n_ccg_peaks"],
        n_leading=matrices["n_ccg_leading"],
        n_following=matrices["n_ccg_following"],
        n_tested=sum(row["n_connectivity_pairs"] for row in masters),
        n_surrogate=round(surrogate),
        n_sessions=areas["session_id"].nunique(),
        n_mice=areas["mouse_id"].nunique(),
        projects=sessions_by_project(areas["session_id"]),
        criteria=criteria,
        **_example(connectivity(structures, criteria, **chosen), masters),
    )


def _example(pairs: pd.DataFrame, masters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the correlogram of the highest peak, of neighbours on a probe only if there are no others."""
    if pairs.empty:
        return {}
    settings = interactions.ConnectivityParams.get(pairs["connectivity_params"].iloc[0])
    near = pairs["pair_distance"].astype(float) < settings.min_distance_um
    pairs = pairs[~near] if not near.all() else pairs
    pair: dict[Any, Any] = pairs.sort_values("ccg_peak_z").iloc[-1].to_dict()
    master = next(row for row in masters if row["session_id"] == pair["session_id"])
    counts, expected = (
        np.array(mapped(master[name])[int(pair["ccg_row"])], dtype=np.float64)
        for name in ("ccg_counts", "ccg_expected")
    )
    longest = counts.size // 2
    return {
        "lags_s": BIN_S * np.arange(-longest, longest + 1),
        "counts": counts,
        "expected": expected,
        "pair": (int(pair["first_unit_id"]), int(pair["second_unit_id"])),
        "pair_structures": tuple(
            "none" if pd.isna(pair[name]) else str(pair[name])
            for name in ("first_structure", "second_structure")
        ),
        "peak_z": float(pair["ccg_peak_z"]),
        "peak_lag_s": float(pair["ccg_peak_lag"]),
    }
