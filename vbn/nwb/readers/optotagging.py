"""The laser pulses at the end of a recording.

``level`` is the laser's command voltage. Its values differ between rigs and sessions, so only ``level_rank``,
the rank within the session, can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import Table, frame

OPTOTAGGING = "processing/optotagging/optogenetic_stimulation"


@reads("optotagging table")
def read_optotagging(recording: RecordingFile) -> pd.DataFrame | None:
    """Read the laser pulses.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame or None
        One row per pulse, in file order: pulse_id, start_time, stop_time, duration (s), condition, level (V),
        stimulus_name, level_rank (0 for the session's lowest level). None if the file has no table or an
        empty one.

    Raises
    ------
    InvalidContentError
        A column or a level is missing, or a pulse ends before it starts.
    """
    if not recording.has(OPTOTAGGING):
        return None
    table = Table(recording, OPTOTAGGING)
    if len(table) == 0:
        return None
    level = table.floats("level")
    columns: dict[str, Any] = {"pulse_id": np.arange(len(table), dtype=np.int64)}
    for name in ("start_time", "stop_time", "duration"):
        columns[name] = table.times(name)
    _require_forward(table, columns["start_time"], columns["stop_time"])
    columns["condition"] = table.texts("condition")
    columns["level"] = level
    columns["stimulus_name"] = table.texts("stimulus_name")
    columns["level_rank"] = table.converted("level", level, level_ranks)
    return frame(columns)


def _require_forward(table: Table, start: NDArray[np.float64], stop: NDArray[np.float64]) -> None:
    backward = np.flatnonzero(stop < start)
    if len(backward):
        first = backward[0]
        raise table.recording.invalid(
            f"/{table.path}: {len(backward)} pulses end before they start, the first in row {first} "
            f"({start[first]} to {stop[first]} s)."
        )


def level_ranks(levels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank the distinct levels of a session.

    Parameters
    ----------
    levels : (n,), V.

    Returns
    -------
    (n,) int64
        0 for the lowest.

    Raises
    ------
    ValueError
        A level is NaN.

    Examples
    --------
    >>> level_ranks(np.array([0.95, 0.685, 0.8, 0.95])).tolist()
    [2, 0, 1, 2]
    """
    if np.isnan(levels).any():
        raise ValueError(f"levels are expected, and {int(np.isnan(levels).sum())} rows hold none")
    return np.unique(levels, return_inverse=True)[1].astype(np.int64).reshape(levels.shape)
