"""Encoding models of units: one row per unit, or one per unit and dropout, and their kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import encoding
from schemas.files.array_store import mapped
from schemas.queries.checks import knowing_arguments
from schemas.queries.methods import require_present_methods
from schemas.queries.missing import not_computed
from schemas.queries.results import Missing, responses_table
from schemas.rows.fetch import fetch_frame
from vbn.analysis.encoding.ridge import MEASURES
from vbn.errors import NotFoundError

UNIT_COLUMNS = [
    "mouse_id", "session_id", "probe_name", "unit_id", "structure_acronym", "structure_group",
]  # fmt: skip


@knowing_arguments
def encoding_table(
    units: Any,
    encoding_params: str | None = None,
    *,
    missing: Missing = "error",
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return the encoding models of units: one row for each unit that was fitted.

    Parameters
    ----------
    units : query of units, as returned by `units`; those that do not pass the set's filter have no model.
    encoding_params : name of a row of `encoding.EncodingParams`; by default the first of the package.
    missing : ``drop`` to omit units of sessions without models, instead of raising an error.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    One row per unit, sorted by key: what `units` returns, the attributes of `encoding.EncodingModel.Unit`,
    and those of `encoding.EncodingNull.Unit`, which are missing where no null was asked for.

    Raises
    ------
    NotFoundError
        If there are no such units or sets, no unit was fitted, or the models of some sessions are not
        computed and `missing` is ``error``.
    ConflictError
        If some results were computed by an earlier method.
    """
    name = encoding_params or encoding.EncodingParams.default_name()
    table = responses_table(
        units,
        ["EncodingModel"],
        parameters={"encoding_params": name},
        missing=missing,
        allow_mixed=allow_mixed,
    )
    table = table[table["glm_variance_explained"].notna()]
    if table.empty:
        criteria = encoding.EncodingParams.get(name).unit_criteria
        raise NotFoundError(
            f"None of these units has an encoding model: '{name}' is of units that pass '{criteria}'."
        )
    key = {"encoding_params": name, "encoding_null_params": encoding.EncodingNullParams.default_name()}
    null = encoding.EncodingNull.Unit
    names = [each for each in null.heading.names if each not in null.primary_key]
    rows = fetch_frame((null & key).proj(*names) * units.proj())[["unit_id", *names]]
    found = table.astype({"glm_is_explained": bool}).merge(rows, on="unit_id", how="left")
    return found.astype(dict.fromkeys(names, float))


@knowing_arguments
def encoding_dropouts(
    units: Any,
    encoding_params: str | None = None,
    *,
    missing: Missing = "error",
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return every measure of every dropout of the encoding models of units.

    Parameters
    ----------
    units, encoding_params, missing, allow_mixed : as for `encoding_table`.

    Returns
    -------
    One row per unit and dropout (kernel or group of kernels): the unit's key and structure, ``dropout``, and
    the measures: ``variance_explained`` without its kernels, ``change``, ``score`` and ``adjusted_score``
    (in the bins that the kernels reach); ``single_variance_explained``, ``single_score`` and
    ``adjusted_single_score`` of a model of these kernels alone.

    Raises
    ------
    NotFoundError, ConflictError
        As `encoding_table`.
    """
    table = encoding_table(units, encoding_params, missing=missing, allow_mixed=allow_mixed)
    name = encoding_params or encoding.EncodingParams.default_name()
    frames = [
        _dropouts_of(row, table)
        for row in (encoding.EncodingModel & {"encoding_params": name}).to_dicts(order_by="KEY")
        if row["n_glm_bins"] and row["session_id"] in set(table["session_id"])
    ]
    if not frames:
        raise NotFoundError("The models of these units have no kernels: there was nothing to fit.")
    return pd.concat(frames, ignore_index=True)


def _dropouts_of(row: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """Return the dropouts of the units of one session."""
    own = table.loc[table["session_id"] == row["session_id"], UNIT_COLUMNS]
    order = pd.Series(range(len(row["glm_unit_ids"])), index=row["glm_unit_ids"])
    values = np.array(mapped(row["glm_dropouts"]))[order[own["unit_id"]].to_numpy()].astype(np.float64)
    names = row["glm_dropout_names"]
    repeated = own.loc[own.index.repeat(len(names))].reset_index(drop=True)
    repeated["dropout"] = names * len(own)
    measured = pd.DataFrame(values.reshape(-1, len(MEASURES)), columns=list(MEASURES))
    joined: pd.DataFrame = repeated.join(measured)
    return joined


def encoding_kernels(key: dict[str, Any], encoding_params: str | None = None) -> pd.DataFrame:
    """Return the kernels of one unit.

    Parameters
    ----------
    key : primary key of the unit.
    encoding_params : as for `encoding_table`.

    Returns
    -------
    One row per weight: ``kernel``, ``lag`` (bins of 25 ms, see `vbn.analysis.encoding.design`) and ``weight``
    (spikes per bin, per event or standard deviation of a trace).

    Raises
    ------
    NotFoundError
        If the unit has no model.
    """
    name = encoding_params or encoding.EncodingParams.default_name()
    row, at = model_of(key, name)
    weights = mapped(row["glm_weights"])[at] if row["n_glm_bins"] else np.empty(0)
    pairs = [each.rsplit(":", 1) for each in row["glm_column_names"]]
    return pd.DataFrame(
        {
            "kernel": [kernel for kernel, _ in pairs],
            "lag": np.array([lag for _, lag in pairs], dtype=np.int64),
            "weight": np.array(weights, dtype=np.float64),
        }
    )


def model_of(key: dict[str, Any], encoding_params: str) -> tuple[dict[str, Any], int]:
    """Return the model of a unit's session, and the unit's row in its arrays.

    Raises
    ------
    NotFoundError
        If it is not computed, or the unit was not fitted.
    """
    of_set = {"encoding_params": encoding_params}
    settings = encoding.EncodingParams.get(encoding_params)
    session = {"mouse_id": key["mouse_id"], "session_id": key["session_id"]}
    rows = (encoding.EncodingModel & session & of_set).to_dicts()
    if not rows:
        raise NotFoundError(not_computed(encoding.EncodingModel, of_set, [session["session_id"]]))
    require_present_methods({encoding.EncodingModel: of_set}, session, allow_mixed=True)
    at = np.flatnonzero(rows[0]["glm_unit_ids"] == key["unit_id"])
    if not at.size:
        raise NotFoundError(f"not fitted: it does not pass {settings.unit_criteria}")
    return rows[0], int(at[0])
