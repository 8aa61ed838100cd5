"""Which flashes a decoder is trained and tested on, their classes, and the pieces of time they are of.

What is slow goes along with whatever else is slow: rates drift, an image stays for a minute, and a mouse that
works hits. So no piece of time (*block*) is divided between folds, runs of an image included, and labels
are permuted in a way that keeps what is slow: whole runs of an image, all else within blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.decoding.parameters import (
    ANY,
    CHANGE,
    HIT,
    IMAGE,
    LICK_MATCHED,
    OMISSION,
    DecodingParameters,
)
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.task.flash_behavior import RESPONSE_WINDOW_S

FIRST_LICK_S = 0.15
"""Licks of a response come later than this (Bennett et al. 2025, decoders)."""
LEAST_SINCE_CHANGE, LEAST_SINCE_LICK = 6, 2


@dataclass(frozen=True)
class LabelledFlashes:
    """The flashes of a decoder, in order of time.

    Attributes
    ----------
    label : what is decoded.
    start_s : (n_flashes,) seconds.
    class_names : names of the classes, in order.
    classes : (n_flashes,) number of the class.
    block : (n_flashes,) number of the piece of time.
    run : (n_flashes,) number of the run of an image.
    image : (n_flashes,) name of the image that is shown, or was before an omission.
    missing : why nothing can be decoded; empty if it can.
    """

    label: str
    start_s: Floats
    class_names: tuple[str, ...]
    classes: Integers
    block: Integers
    run: Integers
    image: np.ndarray
    missing: str = ""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def class_sizes(self) -> dict[str, int]:
        """Return the number of flashes of each class."""
        sizes = np.bincount(self.classes, minlength=self.n_classes).tolist()
        return dict(zip(self.class_names, sizes, strict=True))

    def at_most(self, n: int, rng: np.random.Generator) -> LabelledFlashes:
        """Draw so many flashes of each class that has more; 0 for all."""
        kept = [np.flatnonzero(self.classes == number) for number in range(self.n_classes)]
        drawn = [rng.permutation(of)[:n] if n else of for of in kept]
        at = np.sort(np.concatenate([*drawn, np.empty(0, dtype=np.int64)]).astype(np.int64))
        arrays = ("start_s", "classes", "block", "run", "image")
        return replace(self, **{name: getattr(self, name)[at] for name in arrays})

    def permuted(self, n: int, rng: np.random.Generator) -> Integers:
        """Draw label vectors as they might be if firing did not know of the label.

        Parameters
        ----------
        n : number of vectors.
        rng : random numbers.

        Returns
        -------
        (n, n_flashes) classes: of images, those of whole runs are permuted; else those of the flashes of each
        block.
        """
        if self.label == IMAGE:
            _, first, of_run = np.unique(self.run, return_index=True, return_inverse=True)
            runs = np.tile(self.classes[first], (n, 1))
            return np.asarray(rng.permuted(runs, axis=1)[:, of_run])
        found = np.tile(self.classes, (n, 1))
        for number in np.unique(self.block):
            of = self.block == number
            found[:, of] = rng.permuted(found[:, of], axis=1)
        return found

    def grouped_folds(self, n: int, rng: np.random.Generator) -> Integers:
        """Return (n_flashes,) folds to which blocks are dealt."""
        _, of_block = np.unique(self.block, return_inverse=True)
        folds = np.arange(of_block.max(initial=-1) + 1) % n
        return np.asarray(rng.permutation(folds)[of_block])

    def random_folds(self, n: int, rng: np.random.Generator) -> Integers:
        """Return (n_flashes,) folds to which the flashes of each class are dealt, as is usual."""
        folds = np.empty(self.classes.size, dtype=np.int64)
        for number in range(self.n_classes):
            of = np.flatnonzero(self.classes == number)
            folds[rng.permutation(of)] = np.arange(of.size) % n
        return folds


def labelled_flashes(
    behavior: pd.DataFrame, auto_rewarded: ArrayLike, label: str, parameters: DecodingParameters
) -> LabelledFlashes:
    """Choose the flashes of a label.

    Parameters
    ----------
    behavior : table from `vbn.analysis.task.flash_behavior.flash_behavior`.
    auto_rewarded : (n_trials,) whether a trial was auto-rewarded.
    label : one of `vbn.analysis.decoding.parameters.LABELS`:

        * ``image``: repeats of an image, by image, without licks;
        * ``change``: changes, and the flash before each;
        * ``lick_matched_change``: changes and repeats, both with a lick;
        * ``hit``: changes with and without a lick;
        * ``omission``: omissions and repeats, without licks.
    parameters : engagement, least number of flashes of a class, length of blocks.

    Returns
    -------
    LabelledFlashes
        Of the task, while the mouse is engaged. Changes are not auto-rewarded. Repeats and omissions are at
        least the sixth since the change, do not follow an omission, and the mouse has licked in neither of
        the two before. A lick is a bout that begins 0.15 to 0.75 s after the flash.

    Notes
    -----
    Classes of Bennett et al. 2025 (``decoding_utils``); there omissions are not chosen by what came before.
    """
    chosen = _Chosen(behavior, np.asarray(auto_rewarded, dtype=np.bool_), parameters.engagement)
    masks = chosen.masks(label)
    names = tuple(masks)
    kept = [np.flatnonzero(masks[name]) for name in names]
    least = parameters.min_flashes
    if label == IMAGE:
        names = tuple(name for name, rows in zip(names, kept, strict=True) if rows.size >= least)
        kept = [rows for rows in kept if rows.size >= least]
    rows = np.concatenate([*kept, np.empty(0, dtype=np.int64)]).astype(np.int64)
    classes = np.repeat(np.arange(len(kept)), [each.size for each in kept])
    order = np.argsort(rows, kind="stable")
    rows, classes = rows[order], classes[order].astype(np.int64)
    start = behavior["start_time"].to_numpy(np.float64)
    run = behavior["run"].to_numpy(np.int64)
    block = _blocks(start[rows], run[rows], label, classes, parameters.block_s)
    missing = _missing(label, names, kept, block, parameters)
    return LabelledFlashes(
        label, start[rows], names, classes, block, run[rows], chosen.image[rows], missing
    )  # fmt: skip


class _Chosen:
    """Conditions of the classes."""

    def __init__(self, behavior: pd.DataFrame, auto_rewarded: Booleans, engagement: str) -> None:
        def of(name: str) -> Booleans:
            return np.asarray(behavior[name].to_numpy(np.bool_))

        trial = behavior["trial"].to_numpy(np.int64)
        engaged = of("active") if engagement == ANY else of("active") & of(f"engaged_{engagement}")
        settled = (
            engaged
            & ~of("previous_omitted")
            & (behavior["flashes_since_change"].to_numpy() >= LEAST_SINCE_CHANGE)
            & (behavior["flashes_since_lick"].to_numpy(np.float64) >= LEAST_SINCE_LICK)  # NaN is not
        )
        reaction = behavior["reaction_time"].to_numpy(np.float64)
        self.lick = of("lick_for_flash") & (reaction >= FIRST_LICK_S) & (reaction <= RESPONSE_WINDOW_S[1])
        self.no_lick = behavior["n_licks"].to_numpy() == 0
        self.repeat = settled & of("is_repeat")
        self.omission = settled & of("omitted")
        is_auto = np.append(auto_rewarded, False)[trial]  # row -1 has no trial
        self.change = engaged & of("is_change") & ~is_auto
        self.shown = ~of("omitted") & of("active")
        names = behavior["image_name"].astype(object)
        self.image = names.where(self.shown).ffill().fillna("").to_numpy(str)

    def masks(self, label: str) -> dict[str, Booleans]:
        """Return the flashes of each class."""
        if label == IMAGE:
            chosen = self.repeat & self.no_lick
            return {
                str(name): chosen & (self.image == name) for name in np.unique(self.image[chosen]).tolist()
            }
        if label == CHANGE:
            before = np.append(self.change[1:], False)[: self.change.size] & self.shown
            after = np.append(False, before[:-1])[: self.change.size]
            return {"before": before & ~self.change, "change": after & self.change}
        if label == LICK_MATCHED:
            return {"repeat": self.repeat & self.lick, "change": self.change & self.lick}
        if label == HIT:
            return {"miss": self.change & self.no_lick, "hit": self.change & self.lick}
        assert label == OMISSION
        return {"repeat": self.repeat & self.no_lick, "omission": self.omission & self.no_lick}


def _blocks(start_s: Floats, run: Integers, label: str, classes: Integers, block_s: float) -> Integers:
    """Return the piece of time of each flash; runs, and changes and the flashes before, are not divided."""
    if not start_s.size:
        return np.empty(0, dtype=np.int64)
    at = start_s - start_s[0]
    if label == IMAGE:
        _, first, of_run = np.unique(run, return_index=True, return_inverse=True)
        at = at[first][of_run]
    elif label == CHANGE:
        at = np.where(classes == 1, np.append(at[0], at[:-1]), at)
    return np.asarray(np.floor(at / block_s), dtype=np.int64)


def _missing(
    label: str, names: tuple[str, ...], kept: list[Integers], block: Integers, parameters: DecodingParameters
) -> str:
    """Say why nothing can be decoded."""
    least = parameters.min_flashes
    if len(names) < 2:
        return f"fewer than two images with {least} flashes" if label == IMAGE else "no flashes"
    few = [f"{rows.size} of {name}" for name, rows in zip(names, kept, strict=True) if rows.size < least]
    if few:
        return f"fewer than {least} flashes: {', '.join(few)}"
    n_blocks = np.unique(block).size
    if n_blocks < parameters.folds:
        return f"{n_blocks} pieces of time for {parameters.folds} folds"
    return ""
