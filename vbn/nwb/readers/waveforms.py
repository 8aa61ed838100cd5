"""Mean waveforms of units, in microvolts, whatever the file's ``unit`` says.

Each unit has a block of rows in one data set, one row per channel of its probe, in the order of
``probe_channel_number``. The waveforms of a real session take 500 MB; the functions here read only the rows
needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.identify import rows_from_afar
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import Table
from vbn.nwb.readers.probes import ELECTRODES
from vbn.nwb.readers.spikes import rows_of
from vbn.nwb.readers.units import UNITS

WAVEFORMS = f"{UNITS}/waveform_mean"

N_SAMPLES = 82
"""Number of samples of a waveform, at 30 kHz; the trough is near sample 20."""


@reads("peak waveforms")
def read_peak_waveforms(recording: RecordingFile, units: pd.DataFrame) -> NDArray[np.float64]:
    """Read the mean waveform of each unit at its peak channel.

    Parameters
    ----------
    recording : the open file.
    units : unit_id and peak_channel_id of the units to read, as from `read_units`.

    Returns
    -------
    (n_units, n_samples) float64, uV
        In the order of `units`; 82 samples at 30 kHz in the release. NaN for a unit without waveforms, and
        for all if the file has none, or no numbers of channels, by which they are found.

    Raises
    ------
    InvalidContentError
        The index is invalid, or a unit's block ends before its peak channel.
    ValueError
        A unit is not in the file.
    """
    has_numbers = Table(recording, ELECTRODES).has("probe_channel_number")
    if not has_numbers or not recording.has(WAVEFORMS) or not len(Table(recording, UNITS)):
        return np.full((len(units), N_SAMPLES), np.nan)
    stored, bounds = _stored(recording)
    numbers = _channel_numbers(recording)
    rows = _rows(recording, units["unit_id"].to_numpy(dtype=np.int64))
    wanted: dict[int, int] = {}
    for position, (row, channel) in enumerate(zip(rows, units["peak_channel_id"].tolist(), strict=True)):
        first, last = int(bounds[row]), int(bounds[row + 1])
        number = numbers.get(channel, -1)
        if first == last:
            continue
        if not 0 <= number < last - first:
            raise recording.invalid(
                f"/{WAVEFORMS} of unit {units['unit_id'].iloc[position]} has {last - first} channels, "
                f"and its peak channel {channel} is number {number}."
            )
        wanted[position] = first + number
    waveforms = np.full((len(units), stored.shape[1]), np.nan)
    from_afar = rows_from_afar(recording.file, stored, list(wanted.values()))
    for number, (position, row) in enumerate(wanted.items()):
        waveforms[position] = stored[row] if from_afar is None else from_afar[number]
    return waveforms


@reads("waveforms")
def read_unit_waveform(recording: RecordingFile, unit_id: int) -> NDArray[np.float64]:
    """Read the mean waveform of one unit on all channels of its probe.

    Parameters
    ----------
    recording : the open file.
    unit_id : the unit.

    Returns
    -------
    (n_channels, n_samples) float64, uV
        (384, 82) in the release; row r is the channel with ``probe_channel_number`` r.

    Raises
    ------
    InvalidContentError
        There are no waveforms, or the index is invalid.
    ValueError
        The unit is not in the file.
    """
    stored, bounds = _stored(recording)
    row = int(_rows(recording, np.array([unit_id], dtype=np.int64))[0])
    waveform: NDArray[np.float64] = stored[bounds[row] : bounds[row + 1]].astype(np.float64)
    return waveform


def _stored(recording: RecordingFile) -> tuple[Any, NDArray[np.int64]]:
    """Return the waveforms without reading them, and the bounds of each unit's rows."""
    stored = recording.dataset(WAVEFORMS)
    if stored.ndim != 2 or stored.dtype.kind not in "iuf":
        raise recording.invalid(f"/{WAVEFORMS} has shape {stored.shape} and holds {stored.dtype}.")
    return stored, Table(recording, UNITS).bounds("waveform_mean_index", stored.shape[0], "rows")


def _channel_numbers(recording: RecordingFile) -> dict[int, int]:
    """Return the number of each channel on its probe."""
    table = Table(recording, ELECTRODES)
    numbers = table.integers("probe_channel_number").tolist()
    return dict(zip(table.identifiers().tolist(), numbers, strict=True))


def _rows(recording: RecordingFile, unit_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows_of(unit_ids, Table(recording, UNITS).identifiers())
