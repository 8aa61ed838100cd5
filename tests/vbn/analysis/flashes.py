"""Flashes of tables without trials and licks, as the product's functions take them."""

from __future__ import annotations

import pandas as pd

from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.analysis.task.presentations import TRIAL_OUTCOMES

COLUMNS = ("trials_id", "start_time", "stop_time", "change_time", "reward_volume", "lick_times")
NO_TRIALS = pd.DataFrame(columns=[*COLUMNS, *TRIAL_OUTCOMES], dtype=float)


def flashes_of(presentations: pd.DataFrame, flash_set: str = "repeated_active") -> pd.DataFrame:
    """Return the flashes of a set, of a mouse that neither works nor licks."""
    behavior = flash_behavior(presentations, NO_TRIALS, [])
    return behavior[select_flashes(behavior, FLASH_SETS[flash_set])]
