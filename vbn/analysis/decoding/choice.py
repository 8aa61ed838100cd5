"""Choice probabilities: whether a unit fires more to changes that the mouse answers to than to others.

Hits come in turns, as whatever else is slow. So responses are compared within blocks of time, as are those of
the null; and what the images lead to expect is taken off, since mice miss some images more often than others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.decoding.labels import LabelledFlashes
from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.statistics import benjamini_hochberg

_NULL = 4
_UNITS_AT_ONCE = 32
_DECIMALS = 5  # equal sums must remain ties


@dataclass(frozen=True)
class ChoiceResult:
    """Choice probabilities of units.

    Attributes
    ----------
    n_pairs : pairs of a hit and a miss of one block.
    probability : (n_units,) share of pairs in which the hit has the greater count, ties half, less what their
        images lead to expect, plus .5; NaN without pairs, and for units that never differ within a block.
    p, q : (n_units,) two-sided, against hits and misses permuted within blocks; of Benjamini and Hochberg.
    """

    n_pairs: int
    probability: Floats
    p: Floats
    q: Floats


def choice_probabilities(
    counts: ArrayLike, flashes: LabelledFlashes, n_permutations: int, seed: list[int], least: int = 1
) -> ChoiceResult:
    """Compare the responses to hits and misses.

    Parameters
    ----------
    counts : (n_units, n_flashes) spikes.
    flashes : of the label ``hit``.
    n_permutations : label vectors of the null; p is at least 1 / (1 + their number).
    seed : of the permutations.
    least : with fewer hits, or fewer misses, nothing is tested.

    Notes
    -----
    What the images lead to expect is the mean over hits and misses, so that an effect of the choice is
    underrated where hits depend on the image: compare values within a session.
    """
    is_hit = flashes.classes == 1
    in_block = flashes.block[:, np.newaxis] == flashes.block
    n_pairs = int(in_block[is_hit][:, ~is_hit].sum())
    values = np.asarray(counts, dtype=np.float32)
    advantage = np.zeros(values.shape)
    for first in range(0, len(values), _UNITS_AT_ONCE):
        units = slice(first, first + _UNITS_AT_ONCE)
        advantage[units] = _advantages(values[units], flashes.image, in_block)
    has_enough = n_pairs > 0 and min(is_hit.sum(), (~is_hit).sum()) >= least
    is_tested = (advantage != 0).any(axis=1) & has_enough
    null = flashes.permuted(n_permutations, np.random.default_rng([*seed, _NULL])).astype(np.float64)
    found = advantage @ is_hit
    reached = np.abs(advantage @ null.T).round(_DECIMALS) >= np.abs(found).round(_DECIMALS)[:, np.newaxis]
    p = np.where(is_tested, (1 + reached.sum(axis=1)) / (1 + n_permutations), np.nan)
    probability = np.where(is_tested, 0.5 + found / max(n_pairs, 1), np.nan)
    return ChoiceResult(n_pairs, probability, p, benjamini_hochberg(p))


def _advantages(counts: NDArray[np.float32], image: np.ndarray, in_block: Booleans) -> Floats:
    """Return (n_units, n_flashes) half the sum over the block of signs of differences, less those expected.

    Over all others of the block, hits or misses: among hits it cancels, so that a null is one product of
    matrices. What the images of a pair lead to expect is the mean over all flashes of the two. Means of
    images taken off the counts would break the ties of silence, by image, as if they were responses.
    """
    signs = np.sign(counts[:, :, np.newaxis] - counts[:, np.newaxis])
    names, of_image = np.unique(image, return_inverse=True)
    member = (of_image[:, np.newaxis] == np.arange(names.size)).astype(np.float32)
    sizes = member.sum(axis=0)
    expected = member.T @ signs @ member / (sizes[:, np.newaxis] * sizes)
    signs -= expected[:, of_image][:, :, of_image]
    return np.asarray((signs * in_block).sum(axis=2, dtype=np.float64) / 2).round(_DECIMALS)
