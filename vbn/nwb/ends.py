"""When a recording ends: the last spikes, and the last of all other times."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def last_spikes(units: pd.DataFrame, spike_times: NDArray[np.float64]) -> dict[int, float]:
    """Find the last spike of each unit that has one.

    Parameters
    ----------
    units : unit_id, spike_offset and n_spikes of one probe's units.
    spike_times : (n_spikes,) s, the probe's units one after the other.

    Returns
    -------
    dict
        Unit -> time of its last spike, s.
    """
    firing = units[units["n_spikes"] > 0]
    ends = (firing["spike_offset"] + firing["n_spikes"]).to_numpy()
    return dict(zip(firing["unit_id"].tolist(), spike_times[ends - 1].tolist(), strict=True))


def last_frame_time(stimulus_timestamps: NDArray[np.float64]) -> float:
    """Give the time of the last stimulus frame, s; NaN when there is none."""
    return float(stimulus_timestamps[-1]) if len(stimulus_timestamps) else float("nan")
