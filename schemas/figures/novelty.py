"""Data of the figure of novelty, from nothing but rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from schemas import ecephys
from schemas.queries import novelty
from schemas.queries.contrast import LAYER_GROUP
from schemas.queries.layers import atlas_name
from schemas.queries.projects import Names, mice_by_project
from schemas.rows.fetch import fetch_frame
from vbn.analysis.hierarchy import structure_order
from vbn.errors import NotFoundError
from vbn.plots.novelty import ALL_LAYERS, CLASS_COLOURS, FLASHES, NoveltyContrasts
from vbn.plots.structure_colours import GROUP_COLOURS

BY = ("structure_acronym", "cell_class")


def novelty_contrasts(
    *,
    criteria: str = "bennett_2025",
    trajectory: str | Sequence[str] | None = None,
    project: Names = None,
    in_list: Names = None,
    not_in_list: Names = None,
    label: Names = None,
    without_label: Names = None,
    atlas: str | None = None,
    min_units: int = 6,
    n_resamples: int = 1000,
    allow_mixed: bool = False,
) -> NoveltyContrasts:
    """Return what novelty adds to responses, by structure, layer and cell class.

    Parameters
    ----------
    criteria, trajectory, project, min_units, n_resamples, allow_mixed : see `schemas.queries.novelty`.
    in_list, not_in_list, label, without_label : see there.
    atlas : name of the atlas of layers; by default the only one. Without an atlas there are no layers.

    Raises
    ------
    NotFoundError
        If no mouse has both sessions, or none has enough units of a structure and class.
    """
    has_layers = atlas is not None or bool(ecephys.AtlasParams.names())
    named = atlas_name(atlas) if has_layers else None
    options: dict[str, Any] = {
        "criteria": criteria, "trajectory": trajectory, "project": project, "atlas": named,
        "min_units": min_units, "n_resamples": n_resamples, "allow_mixed": allow_mixed,
        "in_list": in_list, "not_in_list": not_in_list, "label": label, "without_label": without_label,
    }  # fmt: skip
    tables = [novelty(list(FLASHES), within=BY, **options).assign(**{LAYER_GROUP: ALL_LAYERS})]
    if has_layers:
        tables.append(novelty(list(FLASHES), within=(LAYER_GROUP, *BY), **options))
    table = pd.concat(tables, ignore_index=True)
    groups = fetch_frame(ecephys.Structure.proj("structure_group")).set_index("structure_acronym")
    known = groups[groups["structure_group"].isin(list(GROUP_COLOURS))]["structure_group"]  # no fibre tracts
    table = table[
        table["cell_class"].isin(list(CLASS_COLOURS)) & table["structure_acronym"].isin(known.index)
    ]
    measured = table[table["n_mice"] > 0]
    if measured.empty:
        raise NotFoundError(
            f"No mouse has {min_units} units of a structure and cell class in both sessions. Try a lower "
            "--min-units, or another --criteria."
        )
    mice = {mouse for mice in measured["mice"] for mouse in mice.split()}
    table = table[table["structure_acronym"].isin(measured["structure_acronym"])]
    return NoveltyContrasts(
        table=table,
        structures=_ordered(known.loc[measured["structure_acronym"].unique()]),
        n_mice=len(mice),
        n_sessions=2 * len(mice),
        criteria=criteria,
        atlas=named,
        trajectories=[trajectory] if isinstance(trajectory, str) else list(trajectory or ()),
        min_units=min_units,
        projects=mice_by_project(mice),
    )


def _ordered(group_of: pd.Series) -> list[str]:
    names = group_of.index.tolist()
    return [names[index] for index in structure_order(names, group_of.tolist(), list(GROUP_COLOURS))]
