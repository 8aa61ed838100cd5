"""Spike trains as a sorting of SpikeInterface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vbn.interop.optional import require_library

SAMPLING_HZ = 30_000.0
"""Nominal sampling rate of the spike band of Neuropixels 1.0."""


def unit_frames(spike_times: Mapping[int, np.ndarray], sampling_hz: float) -> dict[int, np.ndarray]:
    """Return the sample nearest to each spike: unit id -> (n_spikes,) int64, at most half a sample away."""
    return {
        unit_id: np.rint(np.asarray(times) * sampling_hz).astype(np.int64)
        for unit_id, times in spike_times.items()
    }


def sorting(
    spike_times: Mapping[int, np.ndarray], units: pd.DataFrame, sampling_hz: float = SAMPLING_HZ
) -> Any:
    """Return spike trains as a ``NumpySorting`` of one segment.

    Parameters
    ----------
    spike_times : unit id -> (n_spikes,) seconds on the session clock, ascending. A unit may have no spike.
    units : one row per unit, its index the unit ids; the columns become properties.
    sampling_hz : samples per second in which SpikeInterface counts.

    Returns
    -------
    spikeinterface.core.NumpySorting
        Sample 0 is second 0 of the session clock. A property that misses values is float64 with NaN, in flags
        1, 0 and NaN; missing text is empty; times are ISO text: it can be saved and loaded again.
    """
    core = require_library("spikeinterface.core")
    made = core.NumpySorting.from_unit_dict([unit_frames(spike_times, sampling_hz)], sampling_hz)
    for name, values in units.loc[list(spike_times)].items():
        made.set_property(str(name), property_values(values))
    return made


def property_values(values: pd.Series[Any]) -> np.ndarray:
    """Return a column as an array of numbers, flags or text, without objects."""
    missing = values.isna()
    known = values[~missing]
    if len(known) and all(isinstance(value, bool | np.bool_ | int | float | np.number) for value in known):
        if missing.any():
            return values.astype(object).where(~missing, np.nan).to_numpy(dtype=np.float64)
        return np.asarray(values.tolist())
    if not len(known):
        return np.full(len(values), np.nan)
    texts = [
        "" if absent else value.isoformat() if hasattr(value, "isoformat") else str(value)
        for value, absent in zip(values, missing, strict=True)
    ]
    return np.array(texts, dtype=str)
