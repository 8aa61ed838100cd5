"""Units, intervals and tables for pynapple, NeMoS, SpikeInterface, Arrow and polars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from schemas import behavior, ecephys, stimulus
from schemas.queries.checks import knowing_arguments, of_sessions
from schemas.queries.column_list import with_results
from schemas.queries.results import NO_UNITS, unit_attributes
from schemas.reading.recordings import iterate_probe_spikes, spike_times
from schemas.rows.arrow import columns_of, record_batch, schema_of
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.errors import NotFoundError, SettingError
from vbn.interop import pynapple, spikeinterface
from vbn.interop.frames import arrow_table, polars_frame

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pynapple import IntervalSet, TsGroup

FLASH_S = 0.25
INTERVALS = (
    ("presentation_start_time", "presentation_end_time"),
    ("trial_start_time", "trial_stop_time"),
    ("block_start_time", "block_stop_time"),
    ("pulse_start_time", "pulse_stop_time"),
    ("epoch_start_time", "epoch_stop_time"),
    ("bout_start_time", "bout_stop_time"),
)
"""Begin and end of rows that are intervals; the first pair that a query has counts."""


@knowing_arguments
def to_pynapple(
    units: Any,
    columns: Sequence[str] = (),
    *,
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> TsGroup:
    """Return the spikes of units of one session as a pynapple ``TsGroup``, which NeMoS takes, too.

    Parameters
    ----------
    units : query of units of one session, as returned by `units`.
    columns : columns of results to have as metadata, too, such as ``change_is_responsive``; see `columns`.
    optotag_method, atlas : of columns with labels, cell classes and layers, as for `unit_table`.

    Returns
    -------
    pynapple.TsGroup
        Unit id -> spike times in seconds on the session clock, with the attributes of `units` and `columns`
        as metadata. The time support, from which pynapple computes ``rate``, lasts from the first to the last
        spike of any unit of the same probes.

    Raises
    ------
    NotFoundError
        If there are no such units.
    SettingError
        If they are of several sessions, each of which has its own clock, for an unknown column, or if
        pynapple is not installed.
    """
    methods = {"optotag_method": optotag_method, "atlas": atlas}
    frame, times = _units_of_one_session(units, columns, "to_pynapple", **methods)
    return pynapple.ts_group(times, frame, _support_s(units))


@knowing_arguments
def to_spikeinterface(
    units: Any,
    columns: Sequence[str] = (),
    *,
    sampling_hz: float = spikeinterface.SAMPLING_HZ,
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> Any:
    """Return the spikes of units of one session as a SpikeInterface ``NumpySorting``.

    Parameters
    ----------
    units, columns, optotag_method, atlas : as for `to_pynapple`; the attributes become properties.
    sampling_hz : samples per second in which SpikeInterface counts; times are rounded to the nearest.

    Returns
    -------
    spikeinterface.core.NumpySorting
        Its unit ids are ours, sample 0 is second 0 of the session clock. Missing numbers and flags are NaN,
        missing text is empty.

    Raises
    ------
    NotFoundError, SettingError
        As for `to_pynapple`.
    """
    methods = {"optotag_method": optotag_method, "atlas": atlas}
    frame, times = _units_of_one_session(units, columns, "to_spikeinterface", **methods)
    return spikeinterface.sorting(times, frame, sampling_hz)


@knowing_arguments
def to_intervals(rows: Any, *, without_end_s: float = FLASH_S) -> IntervalSet:
    """Return presentations, trials, blocks, laser pulses ... of one session as a pynapple ``IntervalSet``.

    Parameters
    ----------
    rows : query of one session whose rows have a begin and an end, such as `changes`, `omissions`, `flashes`,
        or ``behavior.ChangeDetection.Trial`` and ``stimulus.Stimulus.Block``, restricted.
    without_end_s : length in seconds of rows without an end, as omissions in the task are: that of a flash.

    Returns
    -------
    pynapple.IntervalSet
        In order of time, seconds on the session clock; the other attributes, except arrays, are metadata. The
        end of an interval that touches the next is a microsecond earlier, as pynapple's do not touch.

    Raises
    ------
    NotFoundError
        If there are no such rows.
    SettingError
        If the rows are not intervals, are of several sessions or overlap, or if pynapple is not installed.

    Warns
    -----
    OmittedIntervalsWarning
        If some have no duration; they are left out.
    """
    heading = rows.heading
    found = [pair for pair in INTERVALS if set(pair) <= set(heading.names)]
    if not found:
        raise SettingError(f"These rows have no begin and end, such as {' and '.join(INTERVALS[0])}.")
    start, end = found[0]
    plain = [name for name, attribute in heading.attributes.items() if not attribute.codec]
    frame = fetch_frame(
        rows.proj(*(name for name in plain if name not in heading.primary_key)), nullable_integers=True
    )
    if frame.empty:
        raise NotFoundError("There are no such rows. See: vbn sessions, vbn status.")
    _require_one_session(frame, "to_intervals")
    frame[end] = frame[end].astype(float).fillna(frame[start] + without_end_s)
    return pynapple.interval_set(frame, start, end)


@knowing_arguments
def session_intervals(session: Any) -> dict[str, IntervalSet]:
    """Return the trials, presentations and blocks of one session, each as `to_intervals` does.

    Parameters
    ----------
    session : a session's id, a key, or a query of one session.

    Returns
    -------
    dict
        ``trials``, ``presentations`` and ``blocks`` -> pynapple.IntervalSet.

    Raises
    ------
    NotFoundError, SettingError
        As for `to_intervals`.
    """
    tables = {
        "trials": behavior.ChangeDetection.Trial(),
        "presentations": stimulus.Stimulus.Presentation(),
        "blocks": stimulus.Stimulus.Block(),
    }
    return {name: to_intervals(of_sessions(table, session)) for name, table in tables.items()}


@knowing_arguments
def to_arrow(rows: Any) -> pa.Table:
    """Return rows as an Arrow table, which polars, DuckDB, R and others read without a copy.

    Parameters
    ----------
    rows : any data frame of the shared queries, such as `responses_table` returns; or any query, in the order
        of its key, with the comments of the attributes in the fields' metadata.

    Returns
    -------
    Integers, flags and categories keep their type; what is missing is null; arrays are lists, matrices lists
    of their rows; arrays in the store are references (path, shape, type) as JSON text.

    Raises
    ------
    SettingError
        If a column of the data frame holds values of several types.
    """
    import pyarrow as pa

    if isinstance(rows, pd.DataFrame):
        return arrow_table(rows)
    ordered = rows & dj.Top(limit=None, order_by="KEY")
    columns = columns_of(rows)
    layout = schema_of(
        columns, {each.name: each.comment or "" for each in rows.heading.attributes.values()}, {}
    )
    found = ordered.cursor().fetchall()
    return pa.Table.from_batches([record_batch(found, columns, layout)] if found else [], layout)


@knowing_arguments
def to_polars(rows: Any) -> pl.DataFrame:
    """Return rows as a polars frame; parameters and types are those of `to_arrow`."""
    return polars_frame(to_arrow(rows))


def _units_of_one_session(
    units: Any, columns: Sequence[str], function: str, **methods: Any
) -> tuple[pd.DataFrame, dict[int, np.ndarray]]:
    """Return attributes, by unit id, and spike times of units."""
    frame = unit_attributes(units)
    _require_one_session(frame, function)
    frame = with_results(frame, units, list(columns), **methods).set_index("unit_id")
    return frame, spike_times(units)


def _require_one_session(frame: pd.DataFrame, function: str) -> None:
    sessions = frame["session_id"].unique().tolist()
    if len(sessions) > 1:
        raise SettingError(
            f"{function} is of one session at a time, as each has its own clock. These are of "
            f"{len(sessions)}: restrict them, for example: & {{'session_id': {sessions[0]}}}"
        )


def _support_s(units: Any) -> tuple[float, float]:
    """Return the times of the first and the last spike of any unit on the probes of these units."""
    probes = ecephys.Recording.Probe & units.proj()
    ends = [
        (times[offsets].min(), times[offsets + frame["n_spikes"].to_numpy()[spiking] - 1].max())
        for _, frame, times in iterate_probe_spikes(ecephys.Recording.Unit & probes.proj())
        if (spiking := frame["n_spikes"].to_numpy() > 0).any()
        for offsets in [frame["spike_offset"].to_numpy()[spiking]]
    ]
    if not ends:
        raise NotFoundError(NO_UNITS)
    return float(min(first for first, _ in ends)), float(max(last for _, last in ends))
