"""Sorted units and their quality metrics, unfiltered: filtering is left to queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import NAME_MISSING, Table, frame, nullable_integers
from vbn.nwb.readers.probes import ELECTRODES, read_channels, read_probes

UNITS = "units"

METRICS = (
    "PT_ratio",
    "amplitude",
    "amplitude_cutoff",
    "cumulative_drift",
    "d_prime",
    "firing_rate",
    "isi_violations",
    "isolation_distance",
    "l_ratio",
    "max_drift",
    "nn_hit_rate",
    "nn_miss_rate",
    "presence_ratio",
    "recovery_slope",
    "repolarization_slope",
    "silhouette_score",
    "snr",
    "spread",
    "velocity_above",
    "velocity_below",
    "waveform_duration",
)
"""The metrics, under their names in the file."""

SORTER_NUMBERS = ("cluster_id", "local_index")
"""Kilosort's ids, unique only within a probe."""


@reads("units")
def read_units(recording: RecordingFile) -> pd.DataFrame:
    """Read all units of a recording, without spike times and waveforms.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per unit, in file order: unit_id, probe_name, peak_channel_id, cluster_id, local_index (NA
        where missing), the metrics (`METRICS`; NaN where not computed, all NaN where the file lacks the
        column), quality (None where not stated), n_spikes.

    Raises
    ------
    InvalidContentError
        The table or a required column is missing, ids repeat, a peak channel is not in the file, or the index
        of the spike times is invalid.
    """
    table = Table(recording, UNITS)
    peak_channels = table.integers("peak_channel_id")
    columns: dict[str, Any] = {
        "unit_id": table.identifiers(),
        "probe_name": _probe_names(recording, peak_channels),
        "peak_channel_id": peak_channels,
    }
    for name in SORTER_NUMBERS:
        columns[name] = (
            table.column(name, nullable_integers) if table.has(name) else table.floats_or_nan(name)
        )
    for name in METRICS:
        columns[name] = table.floats_or_nan(name)
    columns["quality"] = _quality(table)
    columns["n_spikes"] = np.diff(spike_bounds(recording))
    return frame(columns)


@reads("ids")
def read_ids(recording: RecordingFile) -> dict[str, NDArray[np.int64]]:
    """Read only the ids that are unique within the data set.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    dict
        ``probe_id``, ``channel_id`` and ``unit_id`` -> the ids, probes sorted by name, others in file order.

    Raises
    ------
    InvalidContentError
        A part is missing, or ids of channels or units repeat.
    """
    return {
        "probe_id": read_probes(recording)["probe_id"].to_numpy(dtype=np.int64),
        "channel_id": Table(recording, ELECTRODES).identifiers(),
        "unit_id": Table(recording, UNITS).identifiers(),
    }


def spike_bounds(recording: RecordingFile) -> NDArray[np.int64]:
    """Read the bounds of each unit's spikes among all spikes.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    (n_units + 1,) int64
        The spikes of row k are ``[bounds[k], bounds[k + 1])``.

    Raises
    ------
    InvalidContentError
        The index is not ascending, or does not end at the last spike.
    """
    table = Table(recording, UNITS)
    has_spikes = len(table) > 0 or recording.has(f"{UNITS}/spike_times")
    n_spikes = recording.length(f"{UNITS}/spike_times") if has_spikes else 0
    return table.bounds("spike_times_index", n_spikes, "spikes")


def _probe_names(recording: RecordingFile, peak_channels: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the name of each unit's probe, found by its peak channel."""
    channels = read_channels(recording)
    names = dict(zip(channels["channel_id"].tolist(), channels["probe_name"], strict=True))
    unknown = [channel for channel in peak_channels.tolist() if channel not in names]
    if unknown:
        raise recording.invalid(
            f"{len(unknown)} units have a peak_channel_id that is not in /{ELECTRODES}, "
            f"the first are {list(dict.fromkeys(unknown))[:5]}."
        )
    found = np.empty(len(peak_channels), dtype=object)
    found[:] = [names[channel] for channel in peak_channels.tolist()]
    return found


def _quality(table: Table) -> NDArray[np.object_]:
    """Read the quality labels, which releases before 0.5.0 lack."""
    if table.has("quality"):
        return table.texts("quality", missing=NAME_MISSING)
    return np.full(len(table), None, dtype=object)
