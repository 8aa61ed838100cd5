"""Data of the figures of encoding models: of one unit, and of populations."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import encoding
from schemas.files.array_store import mapped
from schemas.queries import encoding_table, with_results
from schemas.queries.encoding import model_of
from schemas.queries.projects import Names, of_one_project, sessions_by_project
from vbn.analysis.encoding.parameters import BIN_S
from vbn.analysis.encoding.ridge import MEASURES
from vbn.analysis.hierarchy import structure_order
from vbn.errors import NotFoundError
from vbn.plots.encoding import COLUMN_LABELS, EncodingPopulation, EncodingUnit
from vbn.plots.structure_colours import GROUP_COLOURS

Key = dict[str, Any]


def encoding_unit(key: Key, encoding_params: str | None = None) -> EncodingUnit:
    """Return the encoding model of one unit.

    Parameters
    ----------
    key : primary key of the unit.
    encoding_params : name of the set of parameters; by default the first of the package.

    Raises
    ------
    NotFoundError
        If the model is not computed, there was nothing to fit, or the unit does not pass the set's filter.
    """
    name = encoding_params or encoding.EncodingParams.default_name()
    row, at = model_of(key, name)
    if not row["n_glm_bins"]:
        raise NotFoundError("nothing to fit in this session")
    of_unit = {each: row[each] for each in encoding.EncodingModel.primary_key}
    unit = (encoding.EncodingModel.Unit & of_unit & {"unit_id": key["unit_id"]}).fetch1()
    dropouts = np.array(mapped(row["glm_dropouts"])[at], dtype=np.float64)
    columns = [each.rsplit(":", 1) for each in row["glm_column_names"]]
    weights = np.array(mapped(row["glm_weights"])[at], dtype=np.float64)
    kernels: dict[str, list[tuple[float, float]]] = {}
    for (kernel, lag), weight in zip(columns, weights, strict=True):
        kernels.setdefault(kernel, []).append((int(lag) * BIN_S, weight / BIN_S))
    rates = {
        kind: np.array(mapped(row[f"glm_{kind}_rates"])[at], dtype=np.float64)
        for kind in ("predicted", "measured")
        if row[f"glm_{kind}_rates"] is not None
    }
    names = [each for each, _ in row["glm_condition_flashes"]]
    return EncodingUnit(
        unit_id=int(key["unit_id"]),
        parameters=name,
        variance_explained=float(unit["glm_variance_explained"]),
        is_explained=bool(unit["glm_is_explained"]),
        psth_correlation=np.nan if unit["glm_psth_correlation"] is None else unit["glm_psth_correlation"],
        change=dict(zip(row["glm_dropout_names"], dropouts[:, MEASURES.index("change")], strict=True)),
        kernels={kernel: np.array(pairs).T for kernel, pairs in kernels.items()},
        n_flashes=dict(row["glm_condition_flashes"]),
        predicted_hz=dict(zip(names, rates.get("predicted", []), strict=True)),
        measured_hz=dict(zip(names, rates.get("measured", []), strict=True)),
    )


def encoding_population(
    units: Any,
    encoding_params: str | None = None,
    *,
    by: str = "structure_acronym",
    project: Names = None,
    allow_mixed: bool = False,
) -> EncodingPopulation:
    """Return what is lost without the kernels of each kind, of units in groups.

    Parameters
    ----------
    units : query of units, as returned by `schemas.queries.units`.
    encoding_params : name of the set of parameters; by default the first of the package.
    by : column that divides the units, such as ``structure_acronym`` or ``cell_class``.
    project : data sets of the sessions, ``all`` to join them; required if the units are of several.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Raises
    ------
    NotFoundError
        If there are no such units, or none was fitted.
    SettingError
        If there is no such column, or the units are of several projects.
    """
    name = encoding_params or encoding.EncodingParams.default_name()
    if by != "project":  # which keeps them apart
        units = of_one_project(units, project, "The figure")
    table = encoding_table(units, name, allow_mixed=allow_mixed)
    table = with_results(table, units, [by])
    groups = table[by].astype(object).where(table[by].notna(), "none").astype(str)
    order = sorted(groups.unique())
    if by == "structure_acronym":
        pairs = table.assign(group=groups).drop_duplicates("group")
        known = pairs["structure_group"].fillna("").tolist()
        names = pairs["group"].tolist()
        order = [names[at] for at in structure_order(names, known, list(GROUP_COLOURS))]
    settings = encoding.EncodingParams.get(name)
    return EncodingPopulation(
        groups=groups.tolist(),
        order=order,
        by=by,
        unit_ids=table["unit_id"].tolist(),
        is_explained=table["glm_is_explained"].to_numpy(bool),
        variance_explained=table["glm_variance_explained"].to_numpy(float),
        change={each: table[f"glm_{each}_change"].to_numpy(float) for each in COLUMN_LABELS},
        projects=sessions_by_project(table["session_id"]),
        n_sessions=table["session_id"].nunique(),
        n_mice=table["mouse_id"].nunique(),
        parameters=name,
        criteria=settings.unit_criteria,
        block=settings.block,
    )
