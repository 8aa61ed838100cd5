"""Responses to images that a mouse may never have seen, and to those that it has, for contrasts of sessions.

An image set has images of its own, which are novel in a ``Novel`` session, and images that both sets share,
which are familiar in all sessions: in a novel one they are *holdovers* from training. Novelty is what differs
between sessions of one mouse, not what differs between images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.contrasts import INDICES
from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.spikes.windows import Window, check_windows, count_in_windows, window_length_s
from vbn.analysis.task.flash_sets import FlashSet, select_flashes
from vbn.analysis.task.presentations import flags

MIN_FLASHES = 5
"""With fewer flashes of a kind nothing is measured."""
MIN_UNITS = 6
"""With fewer units in a session, a group of units has no difference."""
FLASHES, IMAGES, BLOCKS = ("change", "repeat"), ("nonshared", "shared"), ("active", "passive")
KINDS = tuple(f"{flash}_{images}_{block}" for flash in FLASHES for images in IMAGES for block in BLOCKS)
"""Kinds of flashes: changes or repeats, of the set's own or of shared images, in the task or its replay."""


@dataclass(frozen=True)
class NoveltyResponseParameters:
    """Windows in seconds relative to the start of a flash, half open, and the flashes (Bennett et al. 2025).

    Parameters
    ----------
    response_window_s, baseline_window_s : the response is the rate in the first less that in the second.
    change_flash_set, repeat_flash_set : names of flash sets (`vbn.analysis.task.flash_sets`) of changes and
        of flashes that repeat the last image; of all images, as they are divided here.
    hits_only : whether changes are those of hits only.
    """

    response_window_s: Window = (0.02, 0.1)
    baseline_window_s: Window = (-0.05, 0.0)
    change_flash_set: str = "bennett_2025_changes"
    repeat_flash_set: str = "bennett_2025_novelty"
    hits_only: bool = True

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s", "baseline_window_s")


DEFAULT = NoveltyResponseParameters()


def novelty_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    behavior: pd.DataFrame,
    trials: pd.DataFrame,
    flash_sets: tuple[FlashSet, FlashSet],
    parameters: NoveltyResponseParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure the response of each unit to each of the `KINDS` of flashes.

    Parameters
    ----------
    spike_times, offsets, n_spikes : see `count_in_windows`.
    behavior : table from `vbn.analysis.task.flash_behavior.flash_behavior`.
    trials : the trials it was made with.
    flash_sets : those of the parameters, of changes and of repeats.
    parameters : windows, and whether changes are those of hits.

    Returns
    -------
    DataFrame
        One row per unit: each of the `KINDS` (Hz), NaN with fewer than `MIN_FLASHES` flashes; of changes the
        mean over images of the mean over an image's flashes, of repeats the mean over flashes, as in the
        source. ``n_`` and the kind: its number of flashes.

    Notes
    -----
    Flashes of the replay are those that repeat the chosen ones of the task.
    """
    columns: dict[str, object] = {}
    kinds = list(_chosen(behavior, trials, flash_sets, hits_only=parameters.hits_only))
    # Each unit's spikes are looked up once for the flashes of all kinds.
    of_any = np.logical_or.reduce(kinds)
    starts = behavior["start_time"].to_numpy(np.float64)[of_any]
    counts = [
        count_in_windows(spike_times, offsets, n_spikes, starts, window)
        for window in (parameters.response_window_s, parameters.baseline_window_s)
    ]
    lengths = window_length_s(parameters.response_window_s), window_length_s(parameters.baseline_window_s)
    for kind, chosen in zip(KINDS, kinds, strict=True):
        flashes = behavior[chosen]
        columns[f"n_{kind}"] = len(flashes)
        here = np.flatnonzero(chosen[of_any])
        evoked, baseline = (of[:, here] / length for of, length in zip(counts, lengths, strict=True))
        by_image = flashes["image_name"] if kind.startswith("change") else None
        columns[f"{kind}_hz"] = _mean(evoked - baseline, by_image)
    return pd.DataFrame(columns, index=pd.RangeIndex(np.size(offsets)))


def _chosen(
    behavior: pd.DataFrame, trials: pd.DataFrame, flash_sets: tuple[FlashSet, FlashSet], *, hits_only: bool
) -> Iterator[Booleans]:
    """Yield the rows of each of the `KINDS`, in order."""
    hit = np.append(flags(trials, "hit"), False)[behavior["trial"].to_numpy(np.int64)]  # False for trial -1
    for flash, flash_set in zip(FLASHES, flash_sets, strict=True):
        counted = hit if hits_only and flash == "change" else True
        for images in IMAGES:
            for block in BLOCKS:
                yield select_flashes(behavior, replace(flash_set, images=images, block=block)) & counted


def _mean(responses: Floats, by_image: pd.Series | None) -> Floats:
    """Return the mean over flashes, or over images of that; (n_units, n_flashes) -> (n_units,)."""
    if responses.shape[1] < MIN_FLASHES:
        return np.full(len(responses), np.nan)
    if by_image is None:
        return np.asarray(responses.mean(axis=1))
    images = by_image.to_numpy(str)
    return np.asarray(
        np.mean([responses[:, images == name].mean(axis=1) for name in np.unique(images)], axis=0)
    )


def mouse_novelty(units: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Compare a mouse's familiar and novel session, group by group.

    Parameters
    ----------
    units : one row per unit of both sessions: ``is_novel`` (bool), the columns of ``by``, and the `KINDS`.
    by : columns that divide the units; those without a value in one are left out.

    Returns
    -------
    DataFrame
        One row per group and kind of flashes with a measured unit: the columns of ``by``, ``flashes`` (one of
        the `KINDS`), ``n_familiar``, ``n_novel`` (units), ``familiar_hz``, ``novel_hz`` (means over units),
        ``difference_hz`` (novel less familiar) and ``index`` (that over the greater of the two in size, as in
        Bennett et al. 2025), NaN with fewer than `MIN_UNITS` in either session.
    """
    long = units.melt([*by, "is_novel"], list(KINDS), "flashes", "response").dropna(subset=[*by, "response"])
    groups = long.groupby([*by, "flashes", "is_novel"], observed=True)["response"].agg(["size", "mean"])
    levels = {"familiar": False, "novel": True}
    of_session = {
        name: groups[groups.index.get_level_values("is_novel") == is_novel].droplevel("is_novel")
        for name, is_novel in levels.items()
    }
    table = pd.concat(
        [of.rename(columns={"size": f"n_{name}", "mean": f"{name}_hz"}) for name, of in of_session.items()],
        axis=1,
    ).sort_index()
    table = table.fillna({"n_familiar": 0, "n_novel": 0})
    both = table[(table[["n_familiar", "n_novel"]] >= MIN_UNITS).all(axis=1)]
    familiar, novel = (both[name].to_numpy() for name in ("familiar_hz", "novel_hz"))
    for name, index in (("difference_hz", "difference"), ("index", "bennett_2025")):
        table[name] = pd.Series(INDICES[index](familiar, novel), both.index, dtype=float)
    return table.astype({"n_familiar": int, "n_novel": int}).reset_index()
