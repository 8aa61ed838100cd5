"""Encoding models: which events, images and states drive each unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, selection, stimulus  # noqa: F401 - definitions refer to them
from schemas.bases.parameter_table import ParameterTable, SetsOnRequest, definition_of
from schemas.bases.provenance import Computation, provenance_lines, seed_of
from schemas.reading.session_frames import flashes_frame, licks_frame
from schemas.rows.insert import insert_rows, key_of_session, plain, rows_from_frame
from schemas.server.datajoint import dj
from schemas.server.datajoint.binding import Schema
from vbn.analysis.encoding.design import SessionTraces
from vbn.analysis.encoding.model import EncodingResult, encoding_model
from vbn.analysis.encoding.null import NullParameters, NullResult, encoding_null
from vbn.analysis.encoding.parameters import ENCODING, EncodingParameters
from vbn.analysis.task.engagement import require_engagement

schema = Schema()

Key = dict[str, Any]

DROPOUTS = {
    "images": ("all_images",),
    "omissions": ("omissions",),
    "task": ("task",),
    "behavioral": ("behavioral",),
    "running": ("running",),
    "pupil": ("pupil",),
    "licks": ("lick_bouts", "licks"),
}
"""Word of a column -> dropouts that it is of: the first one that the model has."""
_WORDS = {
    "images": "the kernels of all images",
    "omissions": "the kernel of omissions",
    "task": "the kernels of hits and misses, in the replay of changes",
    "behavioral": "the kernels of running, pupil and licks",
    "running": "the kernel of running",
    "pupil": "the kernel of the pupil",
    "licks": "the kernel of licks or their bouts",
}


def _lines(line: str) -> str:
    """Return a line of a definition for each dropout that has columns."""
    return "\n        ".join(line.format(name=name, words=words) for name, words in _WORDS.items())


@schema
class EncodingParams(SetsOnRequest):
    """One set of kernels, penalty and folds of the encoding models.

    ``calibrated_...``: the kernels of version 110, with a penalty of each unit's own, and slow columns in
    every model, so that drift is not explained. ``allen_v110_...``, ``allen_v108_...``: as published. Sets
    with ``computed`` false are there to be added under a name of your own, with ``computed`` true
    (docs/encoding.md).
    """

    settings = EncodingParameters
    defaults = ENCODING
    definition = definition_of(
        "encoding", "the encoding models", "vbn.analysis.encoding.parameters.EncodingParameters"
    )

    @classmethod
    def _insert_checked(cls, row: Key) -> None:
        """Insert a set whose filter and definition of engagement exist."""
        content = cls.content_of(row)
        selection.UnitCriteria.get(content["unit_criteria"])
        require_engagement(content["engagement"])
        super()._insert_checked(row)


@schema
class EncodingModel(Computation):
    """The encoding models of the units of one session that pass the set's filter."""

    method_version = 2  # nothing is fitted to fewer bins than columns; slow columns in short blocks, too
    of_some_units = True
    definition = f"""
    # Encoding models of the units of one session
    -> ecephys.Recording
    -> stimulus.Stimulus
    -> behavior.ChangeDetection
    -> behavior.Licks
    -> behavior.Running
    -> behavior.EyeTracking
    -> EncodingParams
    ---
    -> selection.UnitSelection
    n_glm_units : int32  # units that pass the filter, rows of all arrays
    n_glm_bins : int32  # bins of 25 ms that were fitted, 0 if there is nothing to fit
    n_glm_columns : int32  # columns of the design
    n_glm_explained=null : int32  # units of which more is explained than the threshold, NULL without a fit
    glm_lambda=null : float64  # (1) penalty of the weights, mean over units
    glm_lambda_at_edge=null : float64  # (1) share of units whose best penalty is at an end of the grid
    glm_column_names : json  # kernel:lag of each column, in bins
    glm_missing_kernels : json  # kernel left out: why
    glm_missing_bins : json  # trace: bins without a value, which count as its mean
    glm_dropout_names : json  # kernels and groups of kernels that are left out in turn
    glm_condition_flashes : json  # condition of the rates: its flashes, in order
    glm_unit_ids : <blob>  # (id) int64, unit of each row of the arrays
    glm_weights=null : <npy@vbn>  # (1) float32 units by columns, spikes per bin and unit of the column
    glm_dropouts=null : <npy@vbn>  # (1) float32 units by dropouts by vbn.analysis.encoding.ridge.MEASURES
    glm_predicted_rates=null : <npy@vbn>  # (Hz) float32 units by conditions by bins, of left-out rows
    glm_measured_rates=null : <npy@vbn>  # (Hz) float32 units by conditions by bins
    {provenance_lines("encoding_model")}
    """

    class Unit(dj.Part):
        """What the encoding model of one unit explains, and what is lost without some kernels."""

        definition = f"""
        # Encoding model of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        glm_variance_explained=null : float64  # (1) of left-out bins, mean over folds, at least 0
        glm_variance_explained_raw=null : float64  # (1) the same, also below 0
        glm_variance_explained_sem=null : float64  # (1) its standard deviation over folds over their root
        glm_variance_explained_train=null : float64  # (1) of all bins, by weights fitted to them
        glm_psth_correlation=null : float64  # (1) of rates around flashes, predicted and measured, by fold
        glm_unit_lambda=null : float64  # (1) penalty of the unit's weights
        glm_is_explained=null : bool  # whether more is explained than the threshold, NULL without a fit
        {_lines("glm_{name}_change=null : float64  # (1) variance explained without {words}, less with them")}
        {_lines("glm_{name}_score=null : float64  # (1) share lost without {words}, -1 (all) to 0")}
        """

    @property
    def key_source(self) -> Any:
        """Recordings with a selection by the filter of the set."""
        sets = [
            dj.AndList(
                [{"encoding_params": name}, selection.UnitSelection & {"unit_criteria": each.unit_criteria}]
            )
            for name, each in EncodingParams.computed().items()
        ]
        return super().key_source & sets

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters."""
        return self.provenance(key), EncodingParams.get(key)

    def make_compute(self, key: Key, made_with: Key, settings: EncodingParameters) -> tuple[Any, ...]:
        """Fit all units that pass."""
        units, spikes = selection.selected_spikes(key, settings.unit_criteria)
        traces = session_traces(key)
        return made_with, settings, units, encoding_model(*spikes, traces, settings, seed_of(key))

    def make_insert(
        self,
        key: Key,
        made_with: Key,
        settings: EncodingParameters,
        units: pd.DataFrame,
        result: EncodingResult,
    ) -> None:
        """Insert the session's arrays, and the units."""
        row = {**key, **made_with, "unit_criteria": settings.unit_criteria, **_session_row(units, result)}
        self.insert1(row)
        rows = units[["probe_name", "unit_id"]].join(_unit_columns(result))
        insert_rows(self.Unit(), rows_from_frame(rows, self.Unit(), key))


def session_traces(key: Key) -> SessionTraces:
    """Return what happens in a session, for the columns of a design."""
    running = (behavior.Running & key_of_session(key)).fetch1()
    eye = (behavior.EyeTracking & key_of_session(key)).fetch1()
    names = ("eye_timestamps", "pupil_area", "likely_blink")
    return SessionTraces(
        flashes=flashes_frame(key),
        lick_times_s=licks_frame(key)["timestamps"].to_numpy(np.float64),
        running=(running["running_timestamps"].load(), running["running_speed"].load()),
        pupil=(eye[names[0]].load(), eye[names[1]].load(), eye[names[2]].load())
        if eye["has_eye_tracking"]
        else None,
    )


def _session_row(units: pd.DataFrame, result: EncodingResult) -> Key:
    """Return the attributes of a session's row."""
    arrays = {
        "glm_weights": result.weights,
        "glm_dropouts": result.dropouts,
        "glm_predicted_rates": result.predicted_hz,
        "glm_measured_rates": result.measured_hz,
    }
    return {
        "n_glm_units": len(units),
        "n_glm_bins": result.n_bins,
        "n_glm_columns": len(result.column_names),
        "n_glm_explained": int(result.is_explained.sum()) if result.n_bins else None,
        "glm_lambda": plain(result.penalty),
        "glm_lambda_at_edge": plain(result.at_edge),
        "glm_column_names": result.column_names,
        "glm_missing_kernels": result.missing,
        "glm_missing_bins": result.n_missing,
        "glm_dropout_names": result.dropout_names,
        "glm_condition_flashes": [
            [name, n] for name, n in zip(result.condition_names, result.n_flashes, strict=True)
        ],
        "glm_unit_ids": units["unit_id"].to_numpy(np.int64),
        **{name: array.astype(np.float32) if array.size else None for name, array in arrays.items()},
    }


def _unit_columns(result: EncodingResult) -> pd.DataFrame:
    """Return the attributes of the units' rows."""
    columns = {
        "glm_variance_explained": result.explained,
        "glm_variance_explained_raw": result.explained_raw,
        "glm_variance_explained_sem": result.explained_sem,
        "glm_variance_explained_train": result.explained_train,
        "glm_psth_correlation": result.psth_correlation,
        "glm_unit_lambda": result.unit_penalty,
        "glm_is_explained": pd.arrays.BooleanArray(result.is_explained, np.isnan(result.explained_raw)),
    }
    for measure in ("change", "score"):
        columns |= {f"glm_{name}_{measure}": _of(result, name, measure) for name in DROPOUTS}
    return pd.DataFrame(columns)


def _of(result: EncodingResult, name: str, measure: str) -> np.ndarray:
    """Return a measure of the dropout that a column is of; NaN if the model has none."""
    found = [each for each in DROPOUTS[name] if each in result.dropout_names]
    return result.measure(found[0] if found else name, measure)


@schema
class EncodingNullParams(ParameterTable):
    """One way to draw the null of the encoding models."""

    settings = NullParameters
    defaults = {"shifts_19": NullParameters()}
    definition = definition_of(
        "encoding_null", "the null of the encoding models", "vbn.analysis.encoding.null.NullParameters"
    )


@schema
class EncodingNull(Computation):
    """What the encoding models of one session would explain by chance; computed only if requested by name."""

    is_optional = True
    method_version = 2  # as of EncodingModel
    definition = f"""
    # Encoding models of one session against counts that are shifted in time
    -> EncodingModel
    -> EncodingNullParams
    ---
    n_glm_shifts : int32  # shifts that were drawn, 0 if the block is too short
    {provenance_lines("encoding_null")}
    """

    class Unit(dj.Part):
        """The encoding model of one unit against shifted counts."""

        definition = f"""
        # Encoding model of one unit against counts that are shifted in time
        -> master
        -> EncodingModel.Unit
        ---
        glm_p_explained=null : float64  # (1) of variance explained; (1 + shifts with as much) / (1 + shifts)
        {_lines("glm_p_{name}=null : float64  # (1) the same of what is lost without {words}")}
        """

    def make_fetch(self, key: Key) -> tuple[Any, ...]:
        """Fetch the parameters, the penalties of the units, and the key of the model."""
        of_model = {name: key[name] for name in EncodingModel.primary_key}
        penalties: dict[int, float | None] = dict(
            zip(*(EncodingModel.Unit & of_model).to_arrays("unit_id", "glm_unit_lambda"), strict=True)
        )
        return self.provenance(key), EncodingParams.get(key), EncodingNullParams.get(key), penalties, of_model

    def make_compute(
        self,
        key: Key,
        made_with: Key,
        settings: EncodingParameters,
        null: NullParameters,
        penalties: dict[int, float | None],
        of_model: Key,
    ) -> tuple[Any, ...]:
        """Shift and fit."""
        units, spikes = selection.selected_spikes(key, settings.unit_criteria)
        names = [name for names in DROPOUTS.values() for name in names]
        of_units = units["unit_id"].map(penalties).astype(float).fillna(settings.lambda_min)
        known: Any = of_units.to_numpy(np.float64)
        found = encoding_null(spikes, session_traces(key), settings, known, null, seed_of(of_model), names)
        return made_with, units, found

    def make_insert(self, key: Key, made_with: Key, units: pd.DataFrame, result: NullResult) -> None:
        """Insert the number of shifts, and the units."""
        self.insert1({**key, **made_with, "n_glm_shifts": result.n_shifts})
        columns = {"glm_p_explained": result.p_explained}
        for name, of in DROPOUTS.items():
            found = [each for each in of if each in result.dropout_names]
            at = result.dropout_names.index(found[0]) if found else None
            unknown = np.full(len(units), np.nan)
            columns[f"glm_p_{name}"] = unknown if at is None else result.p_change[:, at]
        rows = units[["probe_name", "unit_id"]].join(pd.DataFrame(columns))
        insert_rows(self.Unit(), rows_from_frame(rows, self.Unit(), key))
