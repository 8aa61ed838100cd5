"""Flash sets: which flashes a measure is taken on, as named sets of conditions.

Licks, rewards and engagement change firing as images do, so a response to images is measured where the mouse
neither licks nor has just licked. `FLASH_SETS` has the published set and those that the tables use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans
from vbn.analysis.task.engagement import ENGAGEMENT
from vbn.analysis.task.presentations import OMITTED

NONE, ALL = "none", "all"
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "block": ("active", "passive", "either"),
        "engaged": (NONE, *ENGAGEMENT),
        "lick_free": (NONE, "no_bout_in_row", "since_last_lick_2", "no_bout_in_window", "no_lick_around"),
        "images": (ALL, "shared", "nonshared", OMITTED),
        "changes": ("exclude", "only"),
    }
)


@dataclass(frozen=True)
class FlashSet:
    """Conditions that a flash must meet.

    Parameters
    ----------
    block : ``active``, the task, ``passive``, its replay, or ``either``.
    engaged : definition by which the mouse must be engaged (`vbn.analysis.task.engagement`), or ``none``.
    lick_free : ``no_bout_in_row``: no bout begins before the next flash; ``since_last_lick_2``: nor was there
        a lick since the flash before began, but there was one earlier in the block (Bennett et al. 2025,
        responsiveness); ``no_bout_in_window``: no lick since the flash before began, but one earlier, and no
        new bout in the response window (Bennett et al. 2025, novelty); ``no_lick_around``: no lick during
        this flash, the three before and the next, each with the gray after it; or ``none``. "Flash" may be an
        omission here.
    min_flashes_since_change : least number of flashes since the change; 6 is "more than five".
    not_after_omission : whether the flash after an omission is left out.
    images : ``all``, those of both image sets (``shared``), or the others (``nonshared``); or ``omitted``:
        omissions, and no flashes, to which the other conditions apply as to flashes.
    changes : ``exclude``: flashes that repeat the last image; ``only``: changes.

    Notes
    -----
    Licks and engagement of a flash in the replay are those of the flash that it repeats, as in the source.
    """

    block: str = "active"
    engaged: str = "bennett_2025"
    lick_free: str = "since_last_lick_2"
    min_flashes_since_change: int = 6
    not_after_omission: bool = True
    images: str = ALL
    changes: str = "exclude"

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(repr, known))}, got {getattr(self, name)!r}."
                )
        if self.images == OMITTED and self.changes == "only":
            raise ValueError("No change is omitted: images 'omitted' goes with changes 'exclude' only.")
        if self.min_flashes_since_change < 0:
            raise ValueError(
                f"min_flashes_since_change must be at least 0, got {self.min_flashes_since_change}."
            )


def _repeated(block: str) -> FlashSet:
    return FlashSet(block, engaged=NONE, lick_free=NONE, min_flashes_since_change=0)


FLASH_SETS: Mapping[str, FlashSet] = MappingProxyType(
    {
        "bennett_2025": FlashSet(),
        "bennett_2025_changes": FlashSet(
            lick_free=NONE, min_flashes_since_change=0, not_after_omission=False, changes="only"
        ),
        "bennett_2025_novelty": FlashSet(lick_free="no_bout_in_window"),
        "bennett_2025_novelty_omissions": FlashSet(lick_free="no_bout_in_window", images=OMITTED),
        "bennett_2025_omissions": FlashSet(images=OMITTED),
        "lick_free": FlashSet(engaged=NONE, lick_free="no_lick_around"),
        "repeated_active": _repeated("active"),
        "repeated_passive": _repeated("passive"),
        "repeated_either": _repeated("either"),
    }
)
"""Published sets, the default of `ImageSelectivity`, and all flashes that repeat the last image.

``bennett_2025`` are the flashes whose responsiveness is published, without changes; ``bennett_2025_changes``
and ``bennett_2025_omissions`` the changes and omissions; ``bennett_2025_novelty`` those of its contrast of
familiar and novel sessions, and of its older responsiveness, whose omissions are
``bennett_2025_novelty_omissions``. ``lick_free`` also keeps clear of licks to come, which some units
anticipate, and does not ask for engagement, which would take a third of the flashes, and a quarter of the
power, and do nothing against licks.
"""


def select_flashes(behavior: pd.DataFrame, flash_set: FlashSet) -> Booleans:
    """Choose flashes.

    Parameters
    ----------
    behavior : table from `vbn.analysis.task.flash_behavior.flash_behavior`.
    flash_set : the conditions.

    Returns
    -------
    (n_rows,) True for the chosen rows.
    """
    active = behavior["active"].to_numpy(np.bool_)
    kind = "is_change" if flash_set.changes == "only" else "is_repeat"
    chosen = behavior["omitted" if flash_set.images == OMITTED else kind].to_numpy(np.bool_, copy=True)
    chosen &= {"active": active, "passive": ~active}.get(flash_set.block, True)
    chosen &= behavior["flashes_since_change"].to_numpy() >= flash_set.min_flashes_since_change
    if flash_set.not_after_omission:
        chosen &= ~behavior["previous_omitted"].to_numpy(np.bool_)
    if flash_set.images in ("shared", "nonshared"):
        chosen &= behavior["is_shared"].to_numpy(np.bool_) == (flash_set.images == "shared")
    # The task's rows for themselves, the replay's for those that they repeat; the appended False for none.
    task = behavior.index.get_indexer(pd.Index(np.where(active, behavior.index, behavior["replay"])))
    for condition in (_is_engaged(behavior, flash_set), _is_lick_free(behavior, flash_set)):
        if condition is not None:
            chosen &= np.append(condition, False)[task]
    return np.asarray(chosen, dtype=np.bool_)


def _is_engaged(behavior: pd.DataFrame, flash_set: FlashSet) -> Booleans | None:
    if flash_set.engaged == NONE:
        return None
    return behavior[f"engaged_{flash_set.engaged}"].to_numpy(np.bool_)


def _is_lick_free(behavior: pd.DataFrame, flash_set: FlashSet) -> Booleans | None:
    no_bout = ~behavior["lick_for_flash"].to_numpy(np.bool_)
    since_last = behavior["flashes_since_lick"].to_numpy(np.float64) >= 2  # NaN is not
    licked = np.concatenate(([False] * 3, behavior["n_licks"].to_numpy() > 0, [False]))
    conditions: dict[str, Booleans | None] = {
        NONE: None,
        "no_bout_in_row": no_bout,
        "since_last_lick_2": no_bout & since_last,
        "no_bout_in_window": ~behavior["bout_in_window"].to_numpy(np.bool_) & since_last,
        "no_lick_around": ~np.any([licked[row : len(behavior) + row] for row in range(5)], axis=0),
    }
    return conditions[flash_set.lick_free]
