"""Selection of the flashes on which responses to images, changes and omissions are measured.

Terms are those of `vbn.analysis.task.presentations`: a *flash* shows an image, an *omission* does not. Rows
are positions in the presentations table, not labels of its index.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans, Integers
from vbn.analysis.task.presentations import (
    NO_ROW,
    TRIAL_OUTCOMES,
    flags,
    is_change,
    is_flash,
    is_image,
    is_in_block,
    start_times,
    trial_rows,
)

CONDITIONS = ("active", "passive")
EITHER = "either"


def check_condition(condition: str) -> None:
    """Raise ``ValueError`` unless the condition is ``active``, ``passive`` or ``either``."""
    if condition not in (*CONDITIONS, EITHER):
        raise ValueError(f"Unknown condition {condition!r}. Known: 'active', 'passive', 'either'.")


def is_in_condition(presentations: pd.DataFrame, condition: str) -> Booleans:
    """Return (n_presentations,) True for the flashes and omissions of a condition."""
    check_condition(condition)
    return is_image(presentations) if condition == EITHER else is_in_block(presentations, condition)


def image_before(presentations: pd.DataFrame) -> Integers:
    """Find the flash or omission directly before each flash or omission, in the same condition.

    Parameters
    ----------
    presentations : start_time, image_name, active; in any order.

    Returns
    -------
    (n_presentations,) int64
        Row; -1 for the first one of a condition, and for other stimuli.
    """
    before = np.full(len(presentations), NO_ROW, dtype=np.int64)
    image = np.flatnonzero(is_image(presentations))
    image = image[np.argsort(start_times(presentations)[image], kind="stable")]
    active = flags(presentations, "active")
    earlier, later = image[:-1], image[1:]
    same = active[earlier] == active[later]  # the replay's first image has no predecessor
    before[later[same]] = earlier[same]
    return before


def is_repeated_image(presentations: pd.DataFrame, condition: str = "active") -> Booleans:
    """Mark the flashes on which image responses are measured: those that repeat the previous image.

    Parameters
    ----------
    presentations : start_time, image_name, active, is_change, omitted.
    condition : ``active``, ``passive`` or ``either``.

    Returns
    -------
    (n_presentations,) bool
        False for changes and for the flash after an omission, whose responses differ, for a block's first
        flash, which repeats nothing, and for omissions and other stimuli.
    """
    before = image_before(presentations)
    after_flash = (before != NO_ROW) & is_flash(presentations)[before]
    chosen = is_in_condition(presentations, condition) & is_flash(presentations)
    return np.asarray(chosen & after_flash & ~is_change(presentations), dtype=np.bool_)


def outcome_of_change(presentations: pd.DataFrame, trials: pd.DataFrame) -> np.ndarray:
    """Return the trial outcome of each image change.

    Parameters
    ----------
    presentations : start_time, image_name, active, is_change, omitted; trials_id where the file has it.
    trials : trial_id or trials_id, start_time, stop_time, and the flags hit, miss, false_alarm,
        correct_reject, auto_rewarded and aborted.

    Returns
    -------
    (n_presentations,) object
        ``hit``, ``miss``, ``auto_rewarded``, ...; None for anything but an image change, and where no trial
        is found. A change in the replay has the outcome of the change it replays.

    Notes
    -----
    Trials are found by trials_id or, if the file has none, by time
    (`vbn.analysis.task.presentations.trial_rows`).
    """
    of_trial = np.full(len(trials), None, dtype=object)
    for name in reversed(TRIAL_OUTCOMES):  # a valid trial has exactly one
        of_trial[flags(trials, name)] = name
    outcome = np.full(len(presentations), None, dtype=object)
    row = np.where(is_change(presentations), trial_rows(presentations, trials), NO_ROW)
    outcome[row != NO_ROW] = of_trial[row[row != NO_ROW]]
    return outcome
