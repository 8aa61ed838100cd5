"""Laser pulses by waveform and level.

A *condition* is one waveform at one level. Levels are control voltages that differ from session to session:
they are ranked within a session and never compared across sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.analysis.spikes.trains import Floats, Integers

CONDITION_COLUMNS = ("waveform", "level", "level_rank", "level_name", "duration_s", "n_pulses")


@dataclass(frozen=True)
class Pulses:
    """The pulses of a session in order of time.

    Arrays are (n_pulses,). ``condition`` is a row of ``conditions``, or -1 for a pulse without a level: it is
    light, but belongs to no condition.
    """

    start_s: Floats
    stop_s: Floats
    condition: Integers
    conditions: pd.DataFrame

    def onsets(self, condition: int) -> Floats:
        """Return the onsets of one condition's pulses: (n_pulses,) seconds, ascending."""
        return np.asarray(self.start_s[self.condition == condition])


def laser_conditions(pulses: pd.DataFrame) -> pd.DataFrame:
    """Group the laser pulses by waveform and level.

    Parameters
    ----------
    pulses : one row per pulse: start_time (s), stop_time (s) or duration (s) or both, level (control voltage;
        NaN for pulses of no condition), stimulus_name.

    Returns
    -------
    One row per waveform and level, sorted by waveform, then level:

    * waveform: the stimulus_name; level;
    * level_rank: 0 for the waveform's lowest level in this session;
    * level_name: ``high`` for the highest, ``low`` for the lowest of two or more, ``medium`` for the second
      highest of three or more (Bennett 2025), ``level_1`` and so on, by rank, for any others;
    * duration_s: median length of the pulses; n_pulses.

    Raises
    ------
    ValueError
        A column is missing, or a pulse has no start or ends before it starts.
    """
    return sorted_pulses(pulses).conditions


def condition_onsets(pulses: pd.DataFrame) -> list[Floats]:
    """Return the pulse onsets of each row of `laser_conditions`: (n_pulses,) seconds, ascending."""
    table = sorted_pulses(pulses)
    return [table.onsets(row) for row in range(len(table.conditions))]


def level_name(rank: int, n_levels: int) -> str:
    """Return a level's name, given its rank among ``n_levels``; see `laser_conditions`.

    Examples
    --------
    >>> [level_name(rank, 3) for rank in range(3)]
    ['low', 'medium', 'high']
    >>> [level_name(rank, 4) for rank in range(4)]
    ['low', 'level_1', 'medium', 'high']
    """
    if rank == n_levels - 1:
        return "high"
    if rank == 0:
        return "low"
    return "medium" if rank == n_levels - 2 else f"level_{rank}"


def sorted_pulses(pulses: pd.DataFrame) -> Pulses:
    """Return the pulses in order of time with their conditions; see `laser_conditions`."""
    start, stop = _times(pulses)
    order = np.argsort(start, kind="stable")
    level = np.round(pulses["level"].to_numpy(np.float64)[order], 9)
    waveform = pulses["stimulus_name"].to_numpy(dtype=object)[order]
    condition, conditions = _grouped(waveform, level, (stop - start)[order])
    return Pulses(start[order], stop[order], condition, conditions)


def _times(pulses: pd.DataFrame) -> tuple[Floats, Floats]:
    missing = {"start_time", "level", "stimulus_name"} - set(pulses.columns)
    if missing or not {"stop_time", "duration"} & set(pulses.columns):
        raise ValueError(
            "pulses must have start_time, stop_time or duration, level and stimulus_name, "
            f"got {sorted(map(str, pulses.columns))}."
        )
    start = pulses["start_time"].to_numpy(np.float64)
    stop = np.full(start.shape, np.nan)
    if "stop_time" in pulses:
        stop = pulses["stop_time"].to_numpy(np.float64)
    if "duration" in pulses:
        stop = np.where(np.isnan(stop), start + pulses["duration"].to_numpy(np.float64), stop)
    bad = ~(np.isfinite(start) & np.isfinite(stop) & (stop >= start))
    if bad.any():
        raise ValueError(
            f"pulses must have finite times and end after they start: {bad.sum()} of {bad.size} do not, "
            f"the first at row {np.flatnonzero(bad)[0]}."
        )
    return start, stop


def _grouped(waveform: NDArray[np.object_], level: Floats, duration: Floats) -> tuple[Integers, pd.DataFrame]:
    condition = np.full(level.size, -1, dtype=np.int64)
    rows: list[tuple[object, ...]] = []
    for name in sorted({str(name) for name in waveform}):
        has_waveform = (waveform == name) & np.isfinite(level)
        levels = np.unique(level[has_waveform])
        for rank, value in enumerate(levels.tolist()):
            here = has_waveform & (level == value)
            condition[here] = len(rows)
            length = round(float(np.median(duration[here])), 6)  # to the microsecond
            rows.append((name, value, rank, level_name(rank, levels.size), length, int(here.sum())))
    table = pd.DataFrame(rows, columns=list(CONDITION_COLUMNS))
    types = {"level": np.float64, "level_rank": np.int64, "duration_s": np.float64, "n_pulses": np.int64}
    return condition, table.astype(types)
