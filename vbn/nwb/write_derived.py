"""Derived NWB files: results computed from one session's file.

A derived file holds no recorded data. It names its source file with size and hash, and uses its unit and
trial ids, so that rows of both can be joined. Results are tables in the processing modules ``ecephys`` and
``behavior``; their provenance is in ``/analysis``.

NWB has no missing values: numbers and flags with missing values are float64 with NaN, missing text is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject

MODULES = {
    "ecephys": "Results on the units of the recording",
    "behavior": "Results on the behavior of the mouse",
}
KEYWORDS = ("visual behavior", "change detection", "Neuropixels", "mouse", "derived results")
COMPRESSED_BYTES = 2**16
"""Columns of at least this size are compressed."""


@dataclass(frozen=True)
class DerivedTable:
    """One table of a derived file.

    Parameters
    ----------
    name : letters, digits and underscores.
    description : what one row is.
    frame : the rows; values are numbers, flags, text, times (UTC), or arrays: 1-D of any length, or all of
        one shape. None, NaN and NA are missing. With columns ``start_time`` and ``stop_time`` (s) it becomes
        a table of time intervals, sorted by start.
    columns : column -> its description.
    place : processing module, ``ecephys`` or ``behavior``; or ``analysis``, or ``trials``.
    ids : column with the row ids, used if they are unique; otherwise rows are numbered.
    """

    name: str
    description: str
    frame: pd.DataFrame
    columns: Mapping[str, str]
    place: str
    ids: str | None = None


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


def write_derived(path: str | Path, session: DerivedSession) -> None:
    """Write a derived NWB file, overwriting an existing one.

    Parameters
    ----------
    path : the file to write.
    session : its content.

    Raises
    ------
    ValueError
        If the matrices of a column differ in shape.
    """
    nwbfile = _nwbfile(session)
    for table in session.tables:
        if len(table.frame):
            _add(nwbfile, table)
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
    elif table.place == "analysis":
        nwbfile.add_analysis(_nwb_table(table))
    else:
        if table.place not in nwbfile.processing:
            nwbfile.create_processing_module(table.place, MODULES[table.place])
        nwbfile.processing[table.place].add(_nwb_table(table))


def _nwb_table(table: DerivedTable) -> DynamicTable:
    frame, kind = table.frame, DynamicTable
    if {"start_time", "stop_time"} <= set(frame):
        frame, kind = frame.sort_values("start_time", kind="stable"), TimeIntervals
    columns = [
        column for name in map(str, frame) for column in _columns(name, table.columns[name], frame[name])
    ]
    ids = frame[table.ids].tolist() if table.ids and frame[table.ids].is_unique else range(len(frame))
    return kind(
        name=table.name,
        description=table.description,
        columns=columns,
        colnames=list(frame),
        id=list(ids),
    )


def _columns(name: str, description: str, values: pd.Series[Any]) -> list[VectorData]:
    """Return the column, with its index if its rows are lists of different lengths."""
    lists = [value for value in values if isinstance(value, np.ndarray | list)]
    if not lists:
        return [VectorData(name=name, description=description, data=_stored(_plain(values)))]
    shapes = {np.shape(value) for value in lists}
    if len(shapes) == 1:
        missing = np.full(shapes.pop(), np.nan)
        data = np.stack([np.asarray(value) if np.ndim(value) else missing for value in values])
        return [VectorData(name=name, description=description, data=_stored(data))]
    if {len(shape) for shape in shapes} != {1}:
        raise ValueError(f"The matrices of {name} differ in shape: {sorted(shapes)}.")
    rows = [np.asarray(value) if np.ndim(value) else np.empty(0) for value in values]
    data = VectorData(name=name, description=description, data=_stored(np.concatenate(rows)))
    index = np.cumsum([len(row) for row in rows])
    return [VectorIndex(name=f"{name}_index", data=index, target=data), data]


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
