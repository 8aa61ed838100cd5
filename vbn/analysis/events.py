"""The moments that responses are aligned to.

An *event* is something on the screen, a *condition* the block it happens in: ``active`` while the mouse does
the task, ``passive`` in the replay of the same flashes without a lick spout. The time of an event is the
``start_time`` of its presentation, when light reached the mouse; a trial's
``change_time_no_display_delay`` is some 44 ms earlier and must not be used for alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from vbn.analysis.spikes import Booleans, Floats

Chooser = Callable[[pd.DataFrame], Booleans]


def _flags(presentations: pd.DataFrame, column: str) -> Booleans:
    """(n_presentations,) True where a flag is set; a missing flag is not set."""
    return np.asarray(presentations[column].astype("boolean").fillna(False), dtype=np.bool_)


def _start_times(presentations: pd.DataFrame) -> Floats:
    return presentations["start_time"].to_numpy(np.float64)


def _is_change(presentations: pd.DataFrame) -> Booleans:
    return _flags(presentations, "is_change")


def _is_omitted(presentations: pd.DataFrame) -> Booleans:
    return _flags(presentations, "omitted")


def _is_sham_change(presentations: pd.DataFrame) -> Booleans:
    return _flags(presentations, "is_sham_change")


def _is_before_change(presentations: pd.DataFrame) -> Booleans:
    """Mark the flash right before each change, in the same block, unless it was omitted."""
    image = np.flatnonzero(presentations["is_change"].notna())
    image = image[np.argsort(_start_times(presentations)[image], kind="stable")]
    flash, following = image[:-1], image[1:]
    active = _flags(presentations, "active")
    same_block = active[flash] == active[following]  # the replay does not follow the task's end
    before = np.zeros(len(presentations), dtype=np.bool_)
    before[flash] = _is_change(presentations)[following] & same_block & ~_is_omitted(presentations)[flash]
    return before


EVENTS: Mapping[str, Chooser] = MappingProxyType(
    {
        "change": _is_change,
        "omission": _is_omitted,
        "pre_change": _is_before_change,
        "sham_change": _is_sham_change,
    }
)
CONDITIONS: Mapping[str, bool] = MappingProxyType({"active": True, "passive": False})


def select_event_times(presentations: pd.DataFrame, event: str, condition: str) -> Floats:
    """Find when an event happened in one condition.

    Parameters
    ----------
    presentations : one row per stimulus presentation, with AllenSDK's columns: start_time (s), active and,
        by the event, is_change, omitted or is_sham_change. A missing flag (``<NA>``, None, NaN) counts as
        not set.
    event : ``change``: another image than on the last flash. ``omission``: a flash left out.
        ``pre_change``: the flash right before a change. ``sham_change``: the flash of a catch trial on which
        the image could have changed.
    condition : ``active``, or ``passive`` for the replay.

    Returns
    -------
    (n_events,) seconds, ascending; empty when there is none.

    Raises
    ------
    ValueError
        For an event or a condition that is not known.
    """
    _check_name("event", event, EVENTS)
    _check_name("condition", condition, CONDITIONS)
    in_condition = presentations["active"].astype("boolean").eq(CONDITIONS[condition]).fillna(False)
    chosen = EVENTS[event](presentations) & np.asarray(in_condition, dtype=np.bool_)
    return np.sort(_start_times(presentations)[chosen])


def _check_name(kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"Unknown {kind} {name!r}. Known: {', '.join(map(repr, known))}.")
