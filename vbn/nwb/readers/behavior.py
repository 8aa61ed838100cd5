"""Rewards, licks and running speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import Table, frame

REWARDS = "processing/rewards"
LICKS = "processing/licking/licks"
RUNNING = "processing/running"

REVERSED_BELOW_CM_S = -1.0
"""A mean speed below this indicates a wheel with reversed polarity (AllenSDK, ``RunningSpeed``)."""


@reads("rewards")
def read_rewards(recording: RecordingFile) -> pd.DataFrame:
    """Read the water rewards.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per reward: timestamps (s), volume (mL), auto_rewarded. No rows if the file has none.
    """
    if not recording.has(REWARDS):
        return frame({"timestamps": np.empty(0), "volume": np.empty(0), "auto_rewarded": np.empty(0, bool)})
    automatic = _series(recording, f"{REWARDS}/autorewarded")
    volume = _series(recording, f"{REWARDS}/volume")
    _require_equal_length(recording, automatic, volume)
    return frame(
        {
            "timestamps": automatic.times("timestamps"),
            "volume": volume.floats("data"),
            "auto_rewarded": automatic.booleans("data"),
        }
    )


@reads("licks")
def read_licks(recording: RecordingFile) -> pd.DataFrame:
    """Read the licks of the behavior block.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per lick: timestamps (s, of the sensor), frame (the first frame at or after it). No rows if
        the file has none.
    """
    if not recording.has(LICKS):
        return frame({"timestamps": np.empty(0), "frame": np.empty(0, np.int64)})
    licks = _series(recording, LICKS)
    return frame({"timestamps": licks.times("timestamps"), "frame": licks.integers("data")})


@reads("running speed")
def read_running(recording: RecordingFile) -> pd.DataFrame:
    """Read the running speed.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per frame: timestamps (s, without display delay), speed (cm/s, low-pass filtered at
        10 Hz), raw_speed (cm/s; NaN if the file lacks it). No rows if the file has no running speed.

    Raises
    ------
    InvalidContentError
        The timestamps of the two traces differ.

    Notes
    -----
    The sign of each trace is inverted if its mean is below -1 cm/s (AllenSDK,
    ``RunningSpeed._fix_polarity``).
    """
    if not recording.has(f"{RUNNING}/speed"):
        return frame({name: np.empty(0) for name in ("timestamps", "speed", "raw_speed")})
    filtered = _series(recording, f"{RUNNING}/speed")
    if not recording.has(f"{RUNNING}/speed_unfiltered"):
        speed = with_forward_positive(filtered.floats("data"))
        return frame(
            {"timestamps": filtered.times("timestamps"), "speed": speed, "raw_speed": speed * np.nan}
        )
    raw = _series(recording, f"{RUNNING}/speed_unfiltered")
    times = filtered.times("timestamps")
    if not np.array_equal(times, raw.times("timestamps"), equal_nan=True):
        raise recording.invalid(f"/{raw.path}/timestamps differ from those of /{filtered.path}.")
    return frame(
        {
            "timestamps": times,
            "speed": with_forward_positive(filtered.floats("data")),
            "raw_speed": with_forward_positive(raw.floats("data")),
        }
    )


def with_forward_positive(speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert the sign of a trace from a wheel with reversed polarity.

    Parameters
    ----------
    speed : (n,), cm/s; NaN is ignored in the mean.

    Returns
    -------
    (n,), cm/s
        The negative of the trace if its mean is below -1 cm/s, otherwise the trace; an empty or all-NaN trace
        is unchanged.
    """
    known = speed[~np.isnan(speed)]
    is_reversed = len(known) > 0 and known.mean() < REVERSED_BELOW_CM_S
    return -speed if is_reversed else speed


def _series(recording: RecordingFile, path: str) -> Table:
    """Return a time series as a table of its timestamps and data."""
    return Table(recording, path, length_column="timestamps")


def _require_equal_length(recording: RecordingFile, first: Any, second: Any) -> None:
    if len(first) != len(second):
        raise recording.invalid(
            f"/{first.path} has {len(first)} entries and /{second.path} has {len(second)}."
        )
