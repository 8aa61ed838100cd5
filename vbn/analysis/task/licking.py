"""Lick bouts: licks without a long pause between them.

A bout begins with a lick more than ``gap_s`` after the last one (strictly more, in both sources), and ends
with the last lick before the next such pause. Lick times are those of the licks table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events

LICK_GAPS_S: Mapping[str, float] = MappingProxyType({"piet_2023": 0.7, "bennett_2025": 0.5})
"""Published minimum pauses between bouts: Piet et al. 2023 (``annotate_licks``), Bennett et al. 2025."""

DEFAULT_GAP_S = LICK_GAPS_S["piet_2023"]


def lick_bouts(
    lick_times: ArrayLike, rewards: pd.DataFrame | None = None, gap_s: float = DEFAULT_GAP_S
) -> pd.DataFrame:
    """Group licks into bouts (Piet et al. 2023, ``annotate_licks``).

    Parameters
    ----------
    lick_times : (n_licks,) seconds, in any order.
    rewards : one row per reward, with timestamps (s) and auto_rewarded; with None no rewards are counted.
    gap_s : pause in seconds; longer pauses separate bouts.

    Returns
    -------
    One row per bout in order of time: start_time, stop_time (s, first and last lick), n_licks, n_rewards and
    rewarded (n_rewards > 0). No rows without licks.

    Raises
    ------
    ValueError
        If the gap is not positive, or lick times are not finite.

    Notes
    -----
    An earned reward is assigned to the last lick at or before it, which triggered it; a free reward to the
    nearest lick, however far (ties: the earlier one). An earned reward before the first lick belongs to no
    bout.
    """
    licks, first = _bout_starts(lick_times, gap_s)
    last = np.append(first[1:], licks.size)[: first.size] - 1
    n_rewards = np.zeros(first.size, dtype=np.int64)
    if rewards is not None and first.size:
        lick = _licks_of_rewards(licks, rewards)
        bout = np.searchsorted(first, lick, side="right") - 1
        n_rewards = np.bincount(bout, minlength=first.size).astype(np.int64)
    columns = {
        "start_time": licks[first],
        "stop_time": licks[last],
        "n_licks": last - first + 1,
        "n_rewards": n_rewards,
        "rewarded": n_rewards > 0,
    }
    return pd.DataFrame(columns)


def bout_onsets(lick_times: ArrayLike, gap_s: float = DEFAULT_GAP_S) -> Floats:
    """Find the first lick of each bout.

    Parameters
    ----------
    lick_times : (n_licks,) seconds, in any order.
    gap_s : pause in seconds; longer pauses separate bouts.

    Returns
    -------
    (n_bouts,) seconds, ascending.

    Raises
    ------
    ValueError
        As for `lick_bouts`.

    Examples
    --------
    >>> bout_onsets([1.0, 1.1, 1.2, 5.0], gap_s=0.7).tolist()
    [1.0, 5.0]
    """
    licks, first = _bout_starts(lick_times, gap_s)
    return licks[first]


def _bout_starts(lick_times: ArrayLike, gap_s: float) -> tuple[Floats, Integers]:
    """Return the licks in order of time, and the indices of those that begin a bout."""
    if not (np.isfinite(gap_s) and gap_s > 0):
        raise ValueError(f"gap_s must be a positive number of seconds, got {gap_s!r}.")
    licks = np.sort(checked_events(lick_times, "lick_times"))
    starts: Booleans = np.ones(licks.size, dtype=np.bool_)
    starts[1:] = np.diff(licks) > gap_s
    return licks, np.flatnonzero(starts).astype(np.int64)


def _licks_of_rewards(licks: Floats, rewards: pd.DataFrame) -> Integers:
    """Return the index of each reward's lick, without rewards that have none."""
    times = checked_events(rewards["timestamps"].to_numpy(np.float64), "reward times")
    automatic = rewards["auto_rewarded"].to_numpy(np.bool_)
    before = np.searchsorted(licks, times, side="right") - 1
    after = np.minimum(before + 1, licks.size - 1)
    after_is_nearer = (before < 0) | (licks[after] - times < times - licks[np.maximum(before, 0)])
    # For a reward at or after the last lick, both indices are that lick.
    lick = np.where(automatic & after_is_nearer, after, before)
    return lick[lick >= 0].astype(np.int64)
