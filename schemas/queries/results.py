"""Fetching results in one call: arrays with coordinates, and tables with one row per unit or trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, performance, psth, responses, session
from schemas.queries.checks import knowing_arguments, of_sessions, require_choice
from schemas.queries.columns import RESPONSES, parameter_sets, result_names
from schemas.queries.layers import DEPTHS, OF_LAYER, unit_layers
from schemas.queries.methods import require_present_methods
from schemas.queries.missing import not_computed
from schemas.queries.trajectories import TRAJECTORY
from schemas.queries.units import all_units
from schemas.reading import recordings
from schemas.rows.fetch import fetch_frame
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.statistics import benjamini_hochberg
from vbn.errors import NotFoundError

if TYPE_CHECKING:
    import xarray as xr

Missing = Literal["error", "drop"]
Family = Literal["stored", "session", "all"]

UNIT_KEY = ["mouse_id", "session_id", "probe_name", "unit_id"]
TRIAL_KEY = ["mouse_id", "session_id", "trial_id"]
COORDINATES = (
    "structure_acronym", "structure_group", "probe_vertical_position", "genotype", "cre_line",
    "experience_level", "image_set", "training_trajectory", "project",
)  # fmt: skip
NO_UNITS = "There are no such units. See: vbn sessions, vbn status."
OF_SESSION = (
    "session_type", "date_of_acquisition", "experience_level", "image_set", "session_number", "age_in_days",
    "project",
)  # fmt: skip


@knowing_arguments
def psth_matrix(
    units: Any,
    alignment: str = "change_active",
    *,
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
    missing: Missing = "error",
    allow_mixed: bool = False,
) -> xr.DataArray:
    """Return the mean responses of units to one kind of event as a matrix.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    alignment : name of a row of `psth.Alignment`.
    optotag_method : labelling method of the cell classes.
    atlas : name of the atlas of the layers, if there are several.
    missing : ``drop`` to omit units whose responses are not computed yet, instead of raising an error.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    (unit, time) float32, Hz. The index of ``unit`` is the unit's id (``matrix.sel(unit=1061854534)``), that
    of ``time`` the center of each bin in seconds after the event. Coordinates along ``unit``: ``unit_id``,
    ``session_id``, ``mouse_id``, ``probe_name``, the structure and its group,
    ``probe_vertical_position`` (um above the tip), ``genotype``, ``cre_line``, ``experience_level``,
    ``image_set``, ``training_trajectory``, ``project``, ``cell_class``, ``cortical_layer``,
    ``cortical_depth``, ``pia_distance``, ``streamline_distance`` and ``streamline_length`` (um; missing
    where they are not computed, and without an atlas) and ``n_events``. Units are sorted by key. Units of
    sessions without such events are NaN.

    Raises
    ------
    NotFoundError
        If there are no such units, or responses of some are not computed and `missing` is ``error``.
    ConflictError
        If some results were computed by an earlier method.
    """
    import xarray as xr  # takes half a second

    axis = psth.Alignment.get(alignment).axis
    key = {"alignment": alignment}
    frame = unit_attributes(units, COORDINATES)
    of_classes = parameter_sets(responses.CellClass, optotag_method)
    require_present_methods(
        {psth.Psth: key, responses.CellClass: of_classes}, _sessions_of(frame), allow_mixed=allow_mixed
    )
    curves = fetch_frame((psth.Psth.Unit & key).proj("psth_rate") * units.proj())
    frame = _with_rows(frame, curves[["unit_id", "psth_rate"]], psth.Psth, key, missing)
    events = fetch_frame((psth.Psth & key).proj("n_events"))[["session_id", "n_events"]]
    frame = frame.merge(events, on="session_id", how="left").merge(
        _classes(units, optotag_method), on="unit_id", how="left"
    )
    frame = with_layers(frame, units, atlas)
    named = [*UNIT_KEY, *COORDINATES, "cell_class", *OF_LAYER, "n_events"]
    return xr.DataArray(
        np.stack(frame["psth_rate"].tolist()) if len(frame) else np.empty((0, axis.n_bins), np.float32),
        dims=("unit", "time"),
        coords={
            "unit": frame["unit_id"].to_numpy(),
            "time": axis.centers_s,
            **{name: ("unit", _values(frame[name])) for name in named},
        },
        name="firing_rate",
        attrs={"units": "Hz", "alignment": alignment, "time_units": "s"},
    )


@knowing_arguments
def responses_table(
    units: Any,
    tables: Sequence[str] | None = None,
    *,
    optotag_method: str = DEFAULT_METHOD,
    parameters: Mapping[str, str] | None = None,
    missing: Missing | Literal["nan"] = "error",
    q_over: Family = "stored",
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Return one row per unit with its metrics, labels and responses.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    tables : names of `RESPONSES`, such as ``ChangeResponse``; all by default.
    optotag_method : labelling method of labels and cell classes.
    parameters : attribute of a parameter set -> its name, such as
        ``{"change_response_params": "mine"}``; by default the package's own sets.
    missing : what to do with units for which a table is not computed yet: an ``error``, ``drop`` them, or
        leave ``nan``.
    q_over : the units over which q-values are adjusted: as ``stored``, all of the recording, with noise; of
        these units, those of one ``session``, for claims about sessions; or ``all``, for claims about the
        data set.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    One row per unit, sorted by key: what `units` returns, and the attributes of the tables except arrays.
    NULL is NaN or None, in a flag NA, which selects no row. Flags are always those of the tables, by the
    stored q; so is ``optotag_q_value``, whose p stands in another table.

    Raises
    ------
    NotFoundError
        If there are no such units, or a table is not computed for some and `missing` is ``error``.
    ConflictError
        If some results were computed by an earlier method.
    SettingError
        For an unknown table, parameter or family of q-values, suggesting the nearest.
    """
    chosen = list(RESPONSES) if tables is None else list(tables)
    for name in chosen:
        require_choice("table of responses", name, list(RESPONSES))
    keys = {name: parameter_sets(RESPONSES[name], optotag_method, parameters) for name in chosen}
    for name in parameters or {}:
        require_choice("parameter", name, sorted({each for key in keys.values() for each in key}))
    frame = unit_attributes(units)
    of_tables = {RESPONSES[name]: key for name, key in keys.items()}
    require_present_methods(of_tables, _sessions_of(frame), allow_mixed=allow_mixed)
    for name, key in keys.items():
        table = RESPONSES[name]
        names = result_names(table)
        rows = fetch_frame((table.Unit & key).proj(*names) * units.proj())
        flags = [each.name for each in table.Unit.heading.attributes.values() if each.original_type == "bool"]
        rows = rows.astype({name: "boolean" for name in flags if rows[name].isna().any()})
        frame = _with_rows(frame, rows[["unit_id", *names]], table, key, missing)
    return _adjusted(frame, q_over)


def _adjusted(frame: pd.DataFrame, q_over: Family) -> pd.DataFrame:
    """Return the units with their q-values adjusted over those of a session, or over all."""
    require_choice("family of q-values", q_over, ["stored", "session", "all"])
    if q_over == "stored":
        return frame
    family = frame["session_id"] if q_over == "session" else np.zeros(len(frame))
    pairs = {name: name.replace("_q_", "_p_", 1) for name in map(str, frame) if "_q_" in name}
    adjusted = {
        q: frame[p].astype(float).groupby(family).transform(lambda each: benjamini_hochberg(each))
        for q, p in pairs.items()
        if p in frame
    }
    return frame.assign(**adjusted)


@knowing_arguments
def spike_times(units: Any) -> dict[int, np.ndarray]:
    """Return the spike times of units, wherever they are stored.

    Parameters
    ----------
    units : query of units, as returned by `units`.

    Returns
    -------
    dict
        Unit id -> (n_spikes,) float64, ascending, seconds on the session clock.

    Raises
    ------
    NotFoundError
        If there are no such units.
    """
    found = recordings.spike_times(units)
    if not found:
        raise NotFoundError(NO_UNITS)
    return found


@knowing_arguments
def trial_table(
    sessions: Any = True, *, performance_params: str = "allensdk", allow_mixed: bool = False
) -> pd.DataFrame:
    """Return one row per trial with its session, outcome, latency and rolling behavior metrics.

    Parameters
    ----------
    sessions : one or more session ids, a key, or a query as returned by `sessions`; all by default.
    performance_params : name of a row of `performance.PerformanceParams`, for the rolling metrics.
    allow_mixed : warn instead of raising an error if some results were computed by an earlier method.

    Returns
    -------
    One row per trial, sorted by key: the attributes of ``behavior.ChangeDetection.Trial`` except
    ``lick_times``, of the session and mouse; ``change_flash_time``, ``latency_from_flash`` and
    ``latency_from_change_time`` (s) of ``performance.TaskStatistics.Trial``; ``reward_rate``, ``hit_rate``,
    ``false_alarm_rate``, ``rolling_dprime`` and ``is_engaged`` of ``performance.RollingPerformance.Trial``.
    Values that are not computed yet are NaN or None.

    Raises
    ------
    NotFoundError
        If there are no such sessions or trials.
    ConflictError
        If some results were computed by an earlier method.
    """
    trial = behavior.ChangeDetection.Trial
    plain = [name for name, attribute in trial.heading.attributes.items() if not attribute.codec]
    frame = fetch_frame(of_sessions(trial.proj(*plain[len(TRIAL_KEY) :]), sessions), nullable_integers=True)
    if frame.empty:
        raise NotFoundError("There are no trials of such sessions. See: vbn sessions, vbn status.")
    performance.PerformanceParams.get(performance_params)
    rolling_key = {"performance_params": performance_params}
    statistics_key = {"task_statistics_params": performance.TaskStatisticsParams.default_name()}
    require_present_methods(
        {performance.RollingPerformance: rolling_key, performance.TaskStatistics: statistics_key},
        _sessions_of(frame),
        allow_mixed=allow_mixed,
    )
    rolling = performance.RollingPerformance.Trial & rolling_key
    statistics = performance.TaskStatistics.Trial & statistics_key
    for query in (statistics, rolling):
        names = [name for name in query.heading.names if name not in query.primary_key]
        rows = fetch_frame(of_sessions(query, sessions))[["session_id", "trial_id", *names]]
        frame = frame.merge(rows, on=["session_id", "trial_id"], how="left", validate="one_to_one")
    frame["is_engaged"] = frame["is_engaged"].astype("boolean")
    mice = session.Session.proj(*OF_SESSION, **TRAJECTORY) * session.Mouse.proj("genotype", "cre_line", "sex")
    described = fetch_frame(of_sessions(mice, sessions), nullable_integers=True).drop(columns="mouse_id")
    return frame.merge(described, on="session_id", how="left", validate="many_to_one")


def unit_attributes(units: Any, names: Sequence[str] = ()) -> pd.DataFrame:
    """Return the units sorted by key, with the attributes of `all_units`, or only some of them."""
    wanted = list(names) or [name for name in all_units().heading.names if name != "spike_offset"]
    query = units if set(wanted) <= set(units.heading.names) else all_units() & units.proj()
    named = (name for name in wanted if name not in query.primary_key)
    frame = fetch_frame(query.proj(*named), nullable_integers=True)
    if frame.empty:
        raise NotFoundError(NO_UNITS)
    return frame.sort_values(UNIT_KEY, ignore_index=True)


def with_layers(frame: pd.DataFrame, units: Any, atlas: str | None) -> pd.DataFrame:
    """Return a frame of units with their layer and depths, which are missing if there is no atlas."""
    if atlas is None and not ecephys.AtlasParams.names():
        return frame.assign(cortical_layer=None, **dict.fromkeys(DEPTHS, np.nan))
    layers = fetch_frame(unit_layers(atlas=atlas, of=units).proj(*OF_LAYER))
    layers = layers[["unit_id", *OF_LAYER]].astype(dict.fromkeys(DEPTHS, float))
    return frame.merge(layers, on="unit_id", how="left")


def _sessions_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the keys of the sessions of a frame, as a restriction."""
    keys = frame[["mouse_id", "session_id"]].drop_duplicates()
    return [{"mouse_id": str(mouse), "session_id": int(number)} for mouse, number in keys.to_numpy()]


def _with_rows(frame: pd.DataFrame, rows: pd.DataFrame, table: Any, key: Any, missing: str) -> pd.DataFrame:
    """Return the units with the rows of a table, and handle units without a row as ``missing`` says."""
    require_choice("option for missing results", missing, ["error", "drop", "nan"])
    lacking = ~frame["unit_id"].isin(rows["unit_id"])
    if getattr(table, "of_some_units", False):  # the others have no value, also where it is computed
        lacking = ~frame["session_id"].isin(_computed_sessions(table, key))
    if missing == "drop":
        frame = frame[~lacking]
    if missing == "error" and lacking.any():
        sessions = frame.loc[lacking, "session_id"].unique().tolist()
        raise NotFoundError(f"{not_computed(table, key, sessions)} Use missing='drop' to omit their units.")
    return frame.merge(rows, on="unit_id", how="left", validate="one_to_one")


def _computed_sessions(table: Any, key: Any) -> list[int]:
    return [int(number) for number in (table & key).to_arrays("session_id")]


def _classes(units: Any, optotag_method: str) -> pd.DataFrame:
    key = parameter_sets(responses.CellClass, optotag_method)
    return fetch_frame((responses.CellClass.Unit & key) * units.proj())[["unit_id", "cell_class"]]


def _values(column: pd.Series) -> np.ndarray:
    """Return a column as a coordinate, with text and None as objects."""
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        return np.array([None if pd.isna(value) else value for value in column], dtype=object)
    return column.to_numpy()
