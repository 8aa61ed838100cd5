"""Spike counts of every unit in every trial, in named windows around the trial's change.

A trial's *event* is the flash at which the image changed or, in a catch trial, could have changed; time 0 is
the ``start_time`` of that flash. Aborted trials have no event, so the arrays have one column per row of
`trial_events`, not per trial of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.trains import checked_events
from vbn.analysis.spikes.windows import Window, checked_window, count_in_windows
from vbn.analysis.task.presentations import (
    change_flashes,
    check_columns,
    is_sham_change,
    start_times,
    trial_ids,
)

WINDOWS_S: Mapping[str, Window] = MappingProxyType(
    {
        # Siegle et al. 2021, change modulation: the 250 ms before the flash, and the 250 ms of the flash
        "baseline": (-0.25, 0.0),
        "response": (0.0, 0.25),
        # Bennett et al. 2025, make_unit_responsiveness_table: 80 ms before the flash, 20 to 100 ms after
        "baseline_80ms": (-0.08, 0.0),
        "early": (0.02, 0.1),
        # the rest of the flash, and the gray until the next one (VBN whitepaper)
        "late": (0.1, 0.25),
        "gray": (0.25, 0.75),
    }
)
"""Windows in seconds after the change flash, half open; the last two are our choice."""


def trial_events(presentations: pd.DataFrame, trials: pd.DataFrame, block: str = "active") -> pd.DataFrame:
    """Find the event of each trial to which responses are aligned.

    Parameters
    ----------
    presentations : one row per presentation, in any order, with AllenSDK's columns, see
        `vbn.analysis.task.events.SessionEvents`.
    trials : one row per trial, in any order: start_time and stop_time (s) and the six outcomes.
    block : ``active``, or ``passive`` for the replay of the trials.

    Returns
    -------
    One row per trial with an event, in order of time: trial_id, event_time (s) and is_sham_change. No rows if
    all trials were aborted.

    Raises
    ------
    ValueError
        For any other block, or if the presentations lack a required column.
    """
    if block not in ("active", "passive"):
        raise ValueError(f"block must be 'active' or 'passive', got {block!r}.")
    check_columns(presentations)
    trial, flash = change_flashes(presentations, trials, block)
    columns = {
        "trial_id": trial_ids(trials)[trial],
        "event_time": start_times(presentations)[flash],
        "is_sham_change": is_sham_change(presentations)[flash],
    }
    return pd.DataFrame(columns)


def trial_counts(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    event_times: ArrayLike,
    windows_s: Mapping[str, Window] = WINDOWS_S,
) -> NDArray[np.int32]:
    """Count the spikes of every unit in every window of every trial.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit; may be a
        memory map.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    event_times : (n_trials,) seconds, from `trial_events`.
    windows_s : windows by name, (start, stop) in seconds after the event, half open as the bins of
        `vbn.analysis.spikes.psth.count_spikes`.

    Returns
    -------
    (n_windows, n_units, n_trials) int32
        Windows in the order of the mapping; 0 for units without spikes. At 4 bytes per count, 2,160 units,
        500 trials and 6 windows take 26 MB.

    Raises
    ------
    ValueError
        If windows or event times are not finite, a window ends before it starts, or offsets lie outside the
        spikes.

    Examples
    --------
    >>> windows_s = {"before": (-0.25, 0.0), "after": (0.0, 0.25)}
    >>> trial_counts([0.9, 1.1, 1.2], [0], [3], [1.0], windows_s).tolist()
    [[[1]], [[2]]]
    """
    events = checked_events(event_times)
    checked = {name: checked_window(window, f"window '{name}'") for name, window in windows_s.items()}
    counts = np.empty((len(checked), np.size(offsets), events.size), dtype=np.int32)
    for row, window in enumerate(checked.values()):
        counts[row] = count_in_windows(spike_times, offsets, n_spikes, events, window)
    return counts
