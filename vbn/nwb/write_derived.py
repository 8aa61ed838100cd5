"""Derived NWB files: results computed from one session's file.

A derived file names its source file with size and hash, and uses its unit and trial ids, so that rows of both
can be joined. Units, with their spike times if wanted, are in ``/units`` and trials in ``/intervals/trials``,
where pynapple, SpikeInterface and Neurosift look for them. Results are tables in the processing modules
``ecephys`` and ``behavior``, mean responses also time series; their provenance is in ``/analysis``.

NWB has no missing values: numbers and flags with missing values are float64 with NaN, missing text is empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, VectorData, VectorIndex
from hdmf.data_utils import AbstractDataChunkIterator, DataChunk
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.misc import Units

MODULES = {
    "ecephys": "Results on the units of the recording",
    "behavior": "Results on the behavior of the mouse",
}
KEYWORDS = ("visual behavior", "change detection", "Neuropixels", "mouse", "derived results")
COMPRESSED_BYTES = 2**16
"""Columns of at least this size are compressed."""
SPIKE_RESOLUTION_S = 1 / 30_000
"""Nominal sampling interval of the spike band; SpikeInterface takes its sampling rate from it."""


@dataclass(frozen=True)
class DerivedTable:
    """One table of a derived file.

    Parameters
    ----------
    name : letters, digits and underscores.
    description : what one row is.
    frame : the rows; values are numbers, flags, text, times (UTC), or arrays: 1-D or 2-D of any shape, or all
        of one shape. None, NaN and NA are missing. With columns ``start_time`` and ``stop_time`` (s) it is a
        table of time intervals, sorted by start.
    columns : column -> its description.
    place : processing module, ``ecephys`` or ``behavior``; or ``analysis``, ``trials`` or ``units``.
    ids : column with the row ids, used if they are unique; otherwise rows are numbered.
    spike_times : of ``units``, for each row its spikes, (n_spikes,) float64, s, ascending; they are read, one
        unit after the other, when they are written. None to leave them out.
    """

    name: str
    description: str
    frame: pd.DataFrame
    columns: Mapping[str, str]
    place: str
    ids: str | None = None
    spike_times: Sequence[np.ndarray] | None = None


@dataclass(frozen=True)
class DerivedSeries:
    """One regularly sampled series of a derived file, in the processing module ``ecephys``.

    Parameters
    ----------
    name : letters, digits and underscores.
    description : what it is, and what its columns are.
    values : (n_samples, n_columns).
    start_s : time of the first sample in seconds.
    rate_hz : samples per second.
    unit : unit of the values.
    """

    name: str
    description: str
    values: np.ndarray
    start_s: float
    rate_hz: float
    unit: str


@dataclass(frozen=True)
class DerivedSession:
    """Content of a derived file.

    Parameters
    ----------
    session_id : id of the session, as in the name of the source file.
    start : start of the session, with time zone.
    session_type : name of the protocol, such as ``EPHYS_1_images_G_3uL_reward``.
    mouse_id : LabTracks id.
    sex : ``M`` or ``F``, None if unknown.
    age_in_days : None if unknown.
    genotype : full genotype.
    source : name of the source file.
    generated_by : program and its version.
    tables : results and their provenance; tables without rows are omitted.
    series : results as time series.
    """

    session_id: int
    start: datetime
    session_type: str
    mouse_id: str
    sex: str | None
    age_in_days: int | None
    genotype: str
    source: str
    generated_by: tuple[str, str]
    tables: Sequence[DerivedTable]
    series: Sequence[DerivedSeries] = ()


def write_derived(path: str | Path, session: DerivedSession) -> None:
    """Write a derived NWB file, overwriting an existing one.

    Parameters
    ----------
    path : the file to write.
    session : its content.

    Raises
    ------
    ValueError
        If the arrays of a column differ in their number of dimensions, or have three and differ in shape.
    """
    nwbfile = _nwbfile(session)
    for table in session.tables:
        if len(table.frame):
            _add(nwbfile, table)
    for series in session.series:
        _add_to_module(nwbfile, "ecephys", _time_series(series))
    with NWBHDF5IO(path, "w") as file:
        file.write(nwbfile)


def _nwbfile(session: DerivedSession) -> NWBFile:
    age = None if session.age_in_days is None else f"P{session.age_in_days}D"
    return NWBFile(
        session_description=f"Results computed from {session.source}, a session of {session.session_type}",
        identifier=str(uuid4()),
        session_start_time=session.start,
        session_id=str(session.session_id),
        institution="Allen Institute",
        experiment_description="Visual Behavior Neuropixels of the Allen Institute: a mouse detects changes "
        "of flashed images. This file holds derived results only; the recorded data are in the source file.",
        keywords=list(KEYWORDS),
        was_generated_by=[list(session.generated_by)],
        subject=Subject(
            subject_id=session.mouse_id,
            species="Mus musculus",
            sex=session.sex or "U",
            age=age,
            genotype=session.genotype,
            description="A mouse of the Visual Behavior Neuropixels project",
        ),
    )


def _add(nwbfile: NWBFile, table: DerivedTable) -> None:
    if table.place == "trials":
        nwbfile.trials = _nwb_table(table)
    elif table.place == "units":
        nwbfile.units = _nwb_table(table)
    elif table.place == "analysis":
        nwbfile.add_analysis(_nwb_table(table))
    else:
        _add_to_module(nwbfile, table.place, _nwb_table(table))


def _add_to_module(nwbfile: NWBFile, module: str, content: Any) -> None:
    if module not in nwbfile.processing:
        nwbfile.create_processing_module(module, MODULES[module])
    nwbfile.processing[module].add(content)


def _time_series(series: DerivedSeries) -> TimeSeries:
    return TimeSeries(
        name=series.name,
        description=series.description,
        data=_stored(series.values),
        unit=series.unit,
        starting_time=series.start_s,
        rate=series.rate_hz,
    )


def _nwb_table(table: DerivedTable) -> DynamicTable:
    frame, kind, more = table.frame, DynamicTable, {}
    if {"start_time", "stop_time"} <= set(frame):
        frame, kind = frame.sort_values("start_time", kind="stable"), TimeIntervals
    columns = [
        column for name in map(str, frame) for column in _columns(name, table.columns[name], frame[name])
    ]
    names = list(map(str, frame))
    if table.place == "units":
        kind, more = Units, {"resolution": SPIKE_RESOLUTION_S}
        if table.spike_times is not None:
            columns += _spike_columns(table.spike_times)
            names.append("spike_times")
    ids = frame[table.ids].tolist() if table.ids and frame[table.ids].is_unique else range(len(frame))
    return kind(
        name=table.name,
        description=table.description,
        columns=columns,
        colnames=names,
        id=list(ids),
        **more,
    )


def _spike_columns(spike_times: Sequence[np.ndarray]) -> list[VectorData]:
    """Return the column of spike times with its index."""
    has_spikes = any(map(len, spike_times))  # HDF5 compresses nothing that is empty
    times = H5DataIO(_Pieces(spike_times), compression="gzip", shuffle=True) if has_spikes else np.empty(0)
    data = VectorData(name="spike_times", description="(s) spike times on the session clock", data=times)
    index = np.cumsum([len(times) for times in spike_times])
    return [VectorIndex(name="spike_times_index", data=index, target=data), data]


class _Pieces(AbstractDataChunkIterator):  # type: ignore[misc] # hdmf has no types
    """Arrays that are written one after the other, without ever being in memory together."""

    def __init__(self, pieces: Sequence[np.ndarray]) -> None:
        self._shape = (sum(len(piece) for piece in pieces),)
        self._left = iter([piece for piece in pieces if len(piece)])
        self._written = 0

    def __iter__(self) -> Iterator[DataChunk]:
        return self

    def __next__(self) -> DataChunk:
        piece = np.asarray(next(self._left), dtype=self.dtype)
        start, self._written = self._written, self._written + len(piece)
        return DataChunk(data=piece, selection=slice(start, self._written))

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    @property
    def maxshape(self) -> tuple[int]:
        return self._shape

    def recommended_chunk_shape(self) -> tuple[int] | None:
        """Return None: h5py finds one."""
        return None

    def recommended_data_shape(self) -> tuple[int]:
        """Return the shape of all together."""
        return self._shape


def _columns(name: str, description: str, values: pd.Series[Any]) -> list[VectorData]:
    """Return the column, with an index of what differs in length between rows; what is nested as JSON."""
    if any(map(_is_nested, values)):
        values = values.map(_as_json)
    lists = [value for value in values if isinstance(value, np.ndarray | list)]
    if not lists:
        return [VectorData(name=name, description=description, data=_stored(_plain(values)))]
    shapes = {np.shape(value) for value in lists}
    if len(shapes) == 1:
        missing = np.full(shapes.pop(), np.nan)
        data = np.stack([np.asarray(value) if np.ndim(value) else missing for value in values])
        return [VectorData(name=name, description=description, data=_stored(data))]
    depths = {len(shape) for shape in shapes}
    if depths not in ({1}, {2}):
        raise ValueError(f"The arrays of {name} differ in their dimensions: {sorted(shapes)}.")
    rows = [np.asarray(value) if np.ndim(value) else np.empty(0) for value in values]
    if depths == {1}:
        return _indexed(name, description, rows)
    matrices = [list(row) if np.ndim(row) == 2 else [] for row in rows]
    index, data = _indexed(name, description, [row for matrix in matrices for row in matrix])
    of_rows = np.cumsum([len(matrix) for matrix in matrices])
    return [VectorIndex(name=f"{index.name}_index", data=of_rows, target=index), index, data]


def _indexed(name: str, description: str, rows: Sequence[np.ndarray]) -> list[VectorData]:
    """Return rows of different lengths as one column, and the index that divides it."""
    data = VectorData(name=name, description=description, data=_stored(np.concatenate(rows)))
    index = np.cumsum([len(row) for row in rows])
    return [VectorIndex(name=f"{name}_index", data=index, target=data), data]


def _as_json(value: Any) -> Any:
    """Return what is nested as JSON, a dictionary as pairs: the inspector takes one in text for a mistake."""
    if isinstance(value, dict):
        value = list(value.items())
    return json.dumps(value) if isinstance(value, list) else value


def _is_nested(value: object) -> bool:
    """Return whether a value is more than a list or a matrix of numbers, or a list of text."""
    if isinstance(value, list) and any(isinstance(each, list | dict) for each in value):
        kinds = {type(each) for row in value for each in (row if isinstance(row, list) else [row])}
        return not kinds <= {int, float, bool}
    return isinstance(value, dict)


def _plain(values: pd.Series[Any]) -> Any:
    """Return scalars as an array, or as a list of text."""
    missing = values.isna().to_numpy(dtype=bool)
    known = values[~missing]
    if len(known) and all(isinstance(value, str) for value in known):
        return ["" if absent else value for value, absent in zip(values, missing, strict=True)]
    if pd.api.types.is_datetime64_any_dtype(values):
        return ["" if absent else value.isoformat() for value, absent in zip(values, missing, strict=True)]
    if missing.any():
        return values.astype(object).where(~missing, np.nan).to_numpy(dtype=np.float64)
    return np.asarray(values.tolist())


def _stored(data: Any) -> Any:
    if isinstance(data, np.ndarray) and data.dtype.kind == "U":
        return data.tolist()
    if isinstance(data, np.ndarray) and data.nbytes >= COMPRESSED_BYTES:
        return H5DataIO(data, compression="gzip", shuffle=True)
    return data
