"""The end of a recording: the last spikes, and the last time of everything else."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import LONGEST_SESSION_S

LAST_SERIES = (
    "processing/stimulus/timestamps/timestamps",
    "processing/running/speed/timestamps",
    "processing/licking/licks/timestamps",
    "acquisition/EyeTracking/eye_tracking/timestamps",
    "processing/optotagging/optogenetic_stimulation/stop_time",
)
"""Ascending series that end with the recording, or close to its end."""


def last_spikes(units: pd.DataFrame, spike_times: NDArray[np.float64]) -> dict[int, float]:
    """Return the last spike of each unit that has spikes.

    Parameters
    ----------
    units : unit_id, spike_offset and n_spikes of one probe's units.
    spike_times : (n_spikes,) s, the spikes of the probe's units one after the other.

    Returns
    -------
    dict
        Unit -> time of its last spike, s.
    """
    firing = units[units["n_spikes"] > 0]
    ends = (firing["spike_offset"] + firing["n_spikes"]).to_numpy()
    return dict(zip(firing["unit_id"].tolist(), spike_times[ends - 1].tolist(), strict=True))


@reads("end of the recording")
def last_recorded_time(recording: RecordingFile) -> float:
    """Return the last time of everything but spikes: frames, running, eye tracking, licks and laser.

    Parameters
    ----------
    recording : the open file; only the last time of each series is read.

    Returns
    -------
    float
        s; NaN if there is none.
    """
    datasets = [recording.dataset(path) for path in LAST_SERIES if recording.has(path)]
    times = [float(dataset[-1]) for dataset in datasets if len(dataset)]
    finite = [time for time in times if abs(time) <= LONGEST_SESSION_S]
    return max(finite, default=float("nan"))
