"""Data of the figure of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas import decoding
from schemas.queries.decoding import decoding_courses, decoding_table
from schemas.queries.projects import sessions_by_project
from vbn.analysis.decoding.parameters import LABELS
from vbn.analysis.decoding.populations import ALL_CLASSES
from vbn.analysis.hierarchy import structure_order
from vbn.plots.decoding import DecodedLabels, DecodingOfLabel
from vbn.plots.structure_colours import GROUP_COLOURS


def decoding_of_structures(
    structures: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    *,
    cell_class: str = ALL_CLASSES,
    n_units: int | None = None,
    sessions: Any = True,
    decoding_params: str | None = None,
    allow_mixed: bool = False,
) -> DecodedLabels:
    """Return how well labels are decoded from structures, in each session and over time.

    Parameters
    ----------
    structures, labels, cell_class, sessions, decoding_params, allow_mixed : as for
        `schemas.queries.decoding.decoding_table`.
    n_units : number of units of a draw; by default the smallest of the set.

    Raises
    ------
    NotFoundError, SettingError, ConflictError
        As `schemas.queries.decoding.decoding_table`.
    """
    name = decoding_params or decoding.DecodingParams.default_name()
    settings = decoding.DecodingParams.get(name)
    chosen: dict[str, Any] = {
        "cell_class": cell_class,
        "n_units": n_units or min(settings.n_units),
        "sessions": sessions,
        "decoding_params": name,
        "allow_mixed": allow_mixed,
    }
    table = decoding_table(structures, labels, **chosen)
    courses = decoding_courses(structures, labels, **chosen)
    pairs = table.drop_duplicates("structure_acronym")
    names, groups = (pairs[each].fillna("").tolist() for each in ("structure_acronym", "structure_group"))
    order = structure_order(names, groups, list(GROUP_COLOURS))
    of_labels = [
        DecodingOfLabel(
            label=label,
            structures=rows["structure_acronym"].tolist(),
            session_ids=rows["session_id"].tolist(),
            accuracy=rows["decoding_accuracy"].to_numpy(float),
            random_accuracy=rows["decoding_random_accuracy"].to_numpy(float),
            null_mean=rows["decoding_null_mean"].to_numpy(float),
            null_sd=rows["decoding_null_sd"].to_numpy(float),
            chance=float(rows["decoding_chance"].mean()),
            courses={
                str(structure): of.groupby("window_stop")[["accuracy", "null_accuracy"]]
                .mean().reset_index().to_numpy(np.float64).T
                for structure, of in courses[courses["decoding_label"] == label].groupby("structure_acronym")
            },
        )
        for label in LABELS
        if len(rows := table[table["decoding_label"] == label])
    ]  # fmt: skip
    return DecodedLabels(
        labels=of_labels,
        order=[names[at] for at in order],
        groups={names[at]: groups[at] for at in order},
        n_units=chosen["n_units"],
        cell_class=cell_class,
        parameters=name,
        criteria=settings.unit_criteria,
        n_sessions=table["session_id"].nunique(),
        n_mice=table["mouse_id"].nunique(),
        projects=sessions_by_project(table["session_id"]),
    )
