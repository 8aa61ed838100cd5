"""What a mouse may go by at each flash, as Piet et al. 2024 have it (``licking_behavior``).

A bout of licks belongs to the last flash that began before it. Flashes in which an earlier bout still goes on
say nothing about the decision to lick, and are left out, after the regressors have been made:

* ``bias``: 1;
* ``task0``: 1 if the flash is a change, else 0;
* ``omissions``: 1 if it is an omission;
* ``omissions1``: 1 if the one before was an omission;
* ``timing1D``: -1 just after a bout, rising to 0 with the flashes since, see `timing`.

All but the bias are less their means over the flashes that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events
from vbn.analysis.task.licking import lick_bouts

BIAS, OMISSION, POST_OMISSION, TASK, TIMING = "bias", "omissions", "omissions1", "task0", "timing1D"
REGRESSORS = (BIAS, OMISSION, POST_OMISSION, TASK, TIMING)
FLASH_S = 0.75
"""After the start of the last flash, licks are of no flash."""
SNAP = 0.001
"""Values of timing this near to -1 or 0 are -1 or 0."""


@dataclass(frozen=True)
class Regressors:
    """The rows of a strategy model.

    Attributes
    ----------
    names : of the columns, in order of `REGRESSORS`.
    x : (n_kept, n_columns) regressors, centred but for the bias.
    y : (n_kept,) whether a bout begins.
    kept : (n_flashes,) whether a flash of the block is a row.
    missing : regressor that is left out -> why.
    """

    names: list[str]
    x: Floats
    y: Booleans
    kept: Booleans
    missing: dict[str, str]

    def without(self, name: str) -> Floats:
        """Return the columns but one."""
        return np.delete(self.x, self.names.index(name), axis=1)


def task_flashes(flashes: pd.DataFrame) -> pd.DataFrame:
    """Return the flashes and omissions of the task, from the first image on, in order of time."""
    active = flashes[flashes["active"].to_numpy(np.bool_)]
    shown = np.cumsum(~active["omitted"].to_numpy(np.bool_)) > 0
    return active[shown]


def timing(n_flashes: ArrayLike, midpoint: float = 4.0, slope: float = -5.0) -> Floats:
    """Return how near the time of another lick is, by the flashes since the last bout ended.

    Parameters
    ----------
    n_flashes : number of flashes, 1 in the flash after the one in which the bout ended.
    midpoint, slope : -1 + 1 / (1 + (n / midpoint) ** slope); the defaults are those of Piet et al. 2024.

    Examples
    --------
    >>> timing([1, 4, 40]).round(3).tolist()
    [-1.0, -0.5, 0.0]
    """
    count = np.maximum(np.asarray(n_flashes, dtype=np.float64), 1.0)
    value = -1 + 1 / (1 + (count / midpoint) ** slope)
    value[value < -1 + SNAP] = -1.0
    value[value > -SNAP] = 0.0
    return value


def flash_licking(starts: ArrayLike, lick_times: ArrayLike, gap_s: float) -> pd.DataFrame:
    """Say which flashes bouts begin in, and which they go on in.

    Parameters
    ----------
    starts : (n_flashes,) seconds, ascending: the flashes and omissions of the task.
    lick_times : (n_licks,) seconds, in any order.
    gap_s : pause in seconds; longer pauses separate bouts.

    Returns
    -------
    One row per flash: ``bout_start`` (a bout begins), ``bout_end`` (one ends), ``in_bout`` (one that began in
    an earlier flash goes on, and none begins), and ``since_bout``: flashes since the last one before in which
    a bout ended; before the first bout, since the flash before the first.

    Notes
    -----
    Licks until the start of the first flash, and more than .75 s after that of the last, are of no bout.
    """
    times = np.asarray(starts, dtype=np.float64)
    licks = np.sort(checked_events(lick_times, "lick_times"))
    if times.size:
        licks = licks[(licks > times[0]) & (licks <= times[-1] + FLASH_S)]
    bouts = lick_bouts(licks if times.size else licks[:0], gap_s=gap_s)
    begins, ends = (
        np.bincount(_flash_of(times, bouts[name].to_numpy(np.float64)), minlength=times.size)
        for name in ("start_time", "stop_time")
    )
    running = np.append(0, np.cumsum(begins - ends)[:-1])[: times.size] > 0
    columns = {
        "bout_start": begins > 0,
        "bout_end": ends > 0,
        "in_bout": running & (begins == 0),
        "since_bout": _since(ends > 0),
    }
    return pd.DataFrame(columns)


def _flash_of(starts: Floats, times: Floats) -> Integers:
    """Return the last flash that began before each time."""
    return np.asarray(np.searchsorted(starts, times, side="left") - 1, dtype=np.int64)


def _since(marked: Booleans) -> Integers:
    """Return the rows since the last earlier one that is marked; since row -1 where there is none."""
    row = np.arange(marked.size)
    last = np.maximum.accumulate(np.where(marked, row, -1)) if marked.size else row
    return np.asarray(row - np.append(-1, last[:-1])[: marked.size], dtype=np.int64)


def regressors(
    flashes: pd.DataFrame, licking: pd.DataFrame, midpoint: float = 4.0, slope: float = -5.0
) -> Regressors:
    """Make the rows of a strategy model.

    Parameters
    ----------
    flashes : from `task_flashes`: ``is_change`` and ``omitted``.
    licking : of the same flashes, from `flash_licking`.
    midpoint, slope : as for `timing`.
    """
    omitted = flashes["omitted"].to_numpy(np.float64)
    columns = {
        BIAS: np.ones(len(flashes)),
        OMISSION: omitted,
        POST_OMISSION: np.append(0.0, omitted[:-1])[: len(flashes)],
        TASK: flashes["is_change"].to_numpy(np.float64),
        TIMING: timing(licking["since_bout"].to_numpy(), midpoint, slope),
    }
    kept = ~licking["in_bout"].to_numpy(np.bool_)
    values = {name: column[kept] for name, column in columns.items()}
    same = {name for name in REGRESSORS[1:] if np.ptp(values[name]) == 0} if kept.any() else set()
    names = [name for name in REGRESSORS if name not in same]
    x = np.column_stack([values[name] for name in names])
    x[:, 1:] -= x[:, 1:].mean(axis=0) if len(x) else 0.0
    y = licking["bout_start"].to_numpy(np.bool_)[kept]
    reasons = {name: _why(name, bool(columns[name].any())) for name in REGRESSORS if name in same}
    return Regressors(names, x, y, kept, reasons)


def _why(name: str, is_there: bool) -> str:
    """Return why a regressor is the same in all flashes that are fitted."""
    if name == TIMING:
        return "the time since the last bout never differs"
    if not is_there:
        return "no changes" if name == TASK else "no omissions"
    events = {OMISSION: "omissions", POST_OMISSION: "flashes after omissions", TASK: "changes"}[name]
    return f"all {events} are within bouts of licks"
