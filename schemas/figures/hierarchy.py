"""Data of the figure of the visual hierarchy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from schemas import responses
from schemas.queries import units
from schemas.queries.methods import require_present_methods
from schemas.queries.missing import missing_sessions
from schemas.queries.projects import Names, of_one_project, sessions_by_project
from schemas.rows.fetch import fetch_frame
from vbn.analysis.hierarchy import structure_medians, structure_order
from vbn.errors import NotFoundError
from vbn.plots.hierarchy import ChangeHierarchy
from vbn.plots.structure_colours import GROUP_COLOURS

RESPONDS = "change_siegle_2021_responsive"
LATENCY = "change_latency"
MODULATIONS = ("change_siegle_2021_modulation_active", "change_siegle_2021_modulation_passive")
LOCATION = ("structure_acronym", "structure_group")


def change_hierarchy(
    *,
    experience_level: str | None = None,
    criteria: str = "bennett_2025",
    min_units: int = 5,
    cortical_layer: str | Sequence[str] | None = None,
    atlas: str | None = None,
    project: Names = None,
    in_list: Names = None,
    not_in_list: Names = None,
    label: Names = None,
    without_label: Names = None,
    allow_mixed: bool = False,
) -> ChangeHierarchy:
    """Return the responses to image changes by structure, over all sessions, by the rule of Siegle 2021.

    The index of suppressed units has no meaning: only excited units are taken, and engaged trials.

    Parameters
    ----------
    experience_level : ``Familiar`` or ``Novel``; both when None.
    criteria : name of a quality filter (`selection.UnitCriteria`).
    min_units : structures with fewer responsive units are listed, but not shown.
    cortical_layer, atlas : only units of these layers, see `schemas.queries.unit_layers`.
    project : data sets of the sessions, ``all`` to join them; required if the units are of several.
    in_list, not_in_list, label, without_label : only these units, as in `schemas.queries.units`.
    allow_mixed : warn instead of raising an error if some responses were computed by an earlier method.

    Raises
    ------
    NotFoundError, SettingError
        For an unknown level or filter, suggesting the nearest; for units of several projects; if no change
        response is computed, or no unit of such sessions responds.
    ConflictError
        If some responses were computed by an earlier method.
    """
    chosen = units(
        criteria=criteria, experience_level=experience_level, cortical_layer=cortical_layer, atlas=atlas,
        in_list=in_list, not_in_list=not_in_list, label=label, without_label=without_label,
    )  # fmt: skip
    chosen = of_one_project(chosen, project, "The hierarchy")
    key = {"change_response_params": responses.ChangeResponseParams.default_name()}
    require_present_methods({responses.ChangeResponse: key}, chosen.proj(), allow_mixed=allow_mixed)
    measured = (responses.ChangeResponse.Unit & key).proj(RESPONDS, LATENCY, *MODULATIONS)
    frame = fetch_frame(measured * chosen.proj(*LOCATION))
    missing = missing_sessions(responses.ChangeResponse, key, chosen)
    _require_rows(frame, missing)
    frame = frame.dropna(subset=["structure_acronym"])
    responsive = frame[frame[RESPONDS].eq(True)]  # NULL where there were no changes
    counts = responsive["structure_acronym"].value_counts()
    names, groups = _ordered(frame[frame["structure_acronym"].isin(counts.index[counts >= min_units])])
    if not names:
        raise NotFoundError(
            f"No structure has {min_units} units that changes excite: "
            f"{len(responsive)} of {len(frame)} units do. Try another filter, or a lower --min-units."
        )
    measures = {
        name: structure_medians(
            pd.to_numeric(responsive[name]),
            responsive["structure_acronym"],
            responsive["session_id"],
            responsive["mouse_id"],
            names,
            min_units=min_units,
        )
        for name in (LATENCY, *MODULATIONS)
    }
    totals = frame["structure_acronym"].value_counts()
    return ChangeHierarchy(
        structures=names,
        groups=groups,
        latency_s=measures[LATENCY],
        modulation_active=measures[MODULATIONS[0]],
        modulation_passive=measures[MODULATIONS[1]],
        n_units=np.array([totals[name] for name in names], dtype=np.int64),
        n_responsive=np.array([counts[name] for name in names], dtype=np.int64),
        left_out={str(name): int(counts.get(name, 0)) for name in totals.index if name not in names},
        min_units=min_units,
        n_sessions=frame["session_id"].nunique(),
        n_sessions_missing=len(missing),
        experience_level=experience_level,
        criteria=criteria,
        projects=sessions_by_project(frame["session_id"]),
        layers=[cortical_layer] if isinstance(cortical_layer, str) else list(cortical_layer or ()),
    )


def _require_rows(frame: pd.DataFrame, missing: list[int]) -> None:
    if not frame.empty:
        return
    if missing:
        raise NotFoundError(
            f"ChangeResponse is not computed yet for any of the {len(missing)} sessions. Run: vbn populate"
        )
    raise NotFoundError(
        "There are no such units. Try another filter (vbn params list UnitCriteria); see vbn status."
    )


def _ordered(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the structures and their groups in the figure's order."""
    pairs = frame[list(LOCATION)].drop_duplicates("structure_acronym")
    names, groups = pairs["structure_acronym"].tolist(), pairs["structure_group"].tolist()
    order = structure_order(names, groups, list(GROUP_COLOURS))
    return [names[index] for index in order], [groups[index] for index in order]
