"""How many dimensions the activity of a population has, at equal numbers of units and flashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.interactions.flash_counts import FlashCounts, flash_counts
from vbn.analysis.spikes.trains import Floats, Integers
from vbn.analysis.spikes.windows import Window, check_windows


@dataclass(frozen=True)
class DimensionalityParameters:
    """How many units and flashes are compared, since dimensions grow with both.

    Parameters
    ----------
    window_s, flash_set, min_flashes, min_mean_count : as for
        `vbn.analysis.interactions.correlations.CorrelationParameters`.
    n_units : units of each draw; structures with fewer are left out.
    n_pairs : pairs of successive flashes of each draw, an even number; a few less where halves of the runs
        have fewer.
    draws : how often units and pairs are drawn.
    seed : of the draws, together with the session.
    """

    window_s: Window = (0.0, 0.25)
    flash_set: str = "lick_free"
    min_flashes: int = 20
    min_mean_count: float = 0.5
    n_units: int = 30
    n_pairs: int = 400
    draws: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_windows(self, "window_s")
        if self.min_flashes < 2 or not self.min_mean_count > 0:
            raise ValueError(
                "min_flashes must be 2 or more and min_mean_count above 0, got "
                f"{self.min_flashes} and {self.min_mean_count}."
            )
        if self.n_units < 2 or self.n_pairs < 4 or self.n_pairs % 2 or self.draws < 1 or self.seed < 0:
            raise ValueError(
                "n_units must be 2 or more, n_pairs 4 or more and even, draws 1 or more and seed 0 or more, "
                f"got {self.n_units}, {self.n_pairs}, {self.draws} and {self.seed}."
            )


DEFAULT = DimensionalityParameters()
SHARE = 0.8
LEVEL = 0.05
N_PERMUTATIONS = 999
SLACK = 1.25
"""An unbiased ratio may be beyond what is possible by this factor; further beyond it is noise over noise."""
_PARTS = 4
COLUMNS = [
    "structure", "n_units", "participation_ratio", "participation_ratio_sd", "plain_participation_ratio",
    "dimensions_80", "signal_participation_ratio",
]  # fmt: skip


def dimensionality(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    structures: ArrayLike,
    flashes: pd.DataFrame,
    parameters: DimensionalityParameters = DEFAULT,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the dimensions of the activity of each structure with enough units.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    structures : (n_units,) name of the structure of each unit; None and NaN belong to none.
    flashes : start_time (s), image_name and run of the flashes of the flash set.
    parameters : numbers of units and flashes; the flash set has been applied.
    seed : of the session.

    Returns
    -------
    DataFrame
        One row per structure, in the order of names, columns `COLUMNS`:

        * n_units: that fire enough;
        * participation_ratio: mean over draws of tr(A) tr(B) / tr(A B), with A and B the covariances of the
          differences between successive flashes (`FlashCounts.differences`) in halves of the pairs that have
          no run in common: unlike the plain one not biased by the number of pairs. n_units of the draw for
          independent units, 1 where all fire together; participation_ratio_sd: standard deviation over draws;
        * plain_participation_ratio: (sum l)^2 / sum l^2 of the eigenvalues of the covariance of all pairs;
        * dimensions_80: mean number of components that hold 80 % of its variance;
        * signal_participation_ratio: likewise of the mean counts of images, from 1 to their number less one;
          from the covariances between means of disjoint quarters of the runs, which noise does not enter.
          NaN where an image has fewer than four runs, where the means of different runs do not agree
          about the images (p > `LEVEL`, their images being permuted): with fewer than three images always,
          and where tuning is so weak that the ratio is beyond these bounds by more than `SLACK`.

        Empty where there are fewer pairs of flashes than are drawn, or all are of one run.
    """
    window, least = parameters.window_s, parameters.min_flashes
    counted = flash_counts(spike_times, offsets, n_spikes, flashes, window, least)
    differences = counted.differences()
    if differences.shape[1] < parameters.n_pairs or np.unique(counted.run[counted.pairs()]).size < 2:
        return pd.DataFrame(columns=COLUMNS)
    structure = np.asarray(structures, dtype=object)
    is_used = (counted.counts.mean(axis=1) >= parameters.min_mean_count) & pd.notna(structure)
    rows = []
    for name in sorted(set(structure[is_used])):
        units = np.flatnonzero(is_used & (structure == name))
        if units.size >= parameters.n_units:
            # A structure's draws do not depend on which others there are.
            rng = np.random.default_rng([parameters.seed, seed, *name.encode()])
            found = _of_structure(counted.of_units(units), differences[units], parameters, rng)
            rows.append((name, units.size, *found))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_structure(
    counted: FlashCounts, differences: Floats, parameters: DimensionalityParameters, rng: np.random.Generator
) -> tuple[float, ...]:
    parts = counted.image_means(_PARTS) if counted.n_images >= 2 else None
    run_of_pair = np.unique(counted.run[counted.pairs()], return_inverse=True)[1]
    ratios, plain, components, products = [], [], [], []
    for _ in range(parameters.draws):
        units = rng.choice(len(differences), parameters.n_units, replace=False)
        one, other = (
            differences[np.ix_(units, pairs)] @ differences[np.ix_(units, pairs)].T / pairs.size
            for pairs in _halves(run_of_pair, parameters.n_pairs, rng)
        )
        ratios.append(np.trace(one) * np.trace(other) / np.sum(one * other))
        values = np.linalg.eigvalsh((one + other) / 2)[::-1].clip(0)
        plain.append(values.sum() ** 2 / np.sum(values**2))
        components.append(np.searchsorted(np.cumsum(values), SHARE * values.sum()) + 1)
        if parts is not None:
            products.append(_signal_products(parts[:, units]))
    return (
        float(np.mean(ratios)),
        float(np.std(ratios, ddof=1)) if len(ratios) > 1 else np.nan,
        float(np.mean(plain)),
        float(np.mean(components)),
        _signal_ratio(products, counted.n_images)
        if parts is not None and _images_differ(parts, rng)
        else np.nan,
    )


def _halves(run: Integers, n_pairs: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Draw two equally large sets of pairs without a run in common, of up to so many pairs together."""
    in_first = (rng.permutation(run.max() + 1) % 2 == 0)[run]
    first, second = (rng.permutation(np.flatnonzero(of)) for of in (in_first, ~in_first))
    size = min(n_pairs // 2, first.size, second.size)
    return first[:size], second[:size]


def _signal_products(parts: Floats) -> tuple[float, float, float]:
    """Return tr(C), tr(D) and tr(C D') of two independent estimates of the covariance over images."""
    centred = parts - parts.mean(axis=2, keepdims=True)
    one, other = (centred[i] @ centred[i + 1].T for i in (0, 2))
    return float(np.trace(one)), float(np.trace(other)), float(np.sum(one * (other + other.T)) / 2)


def _images_differ(parts: Floats, rng: np.random.Generator) -> bool:
    """Return whether the mean counts of images agree between parts of the runs, beyond chance.

    Units that share slow fluctuations agree about which moments were busy, not about which images.
    """
    centred = parts - parts.mean(axis=2, keepdims=True)
    columns = np.arange(parts.shape[2])
    found = float(np.sum(centred.sum(axis=0) ** 2))
    reached = 0
    for _ in range(N_PERMUTATIONS):
        moved = sum(part[:, rng.permutation(columns)] for part in centred)
        reached += float(np.sum(moved**2)) >= found * (1 - 1e-12)
    return (1 + reached) <= LEVEL * (1 + N_PERMUTATIONS)


def _signal_ratio(products: list[tuple[float, float, float]], n_images: int) -> float:
    """Return the ratio of mean products over draws, which is steadier than the mean of ratios."""
    if not products:
        return np.nan
    one, other, both = np.mean(products, axis=0)
    if not (one > 0 and other > 0 and both > 0):
        return np.nan
    ratio = float(one * other / both)
    return ratio if 1 / SLACK <= ratio <= SLACK * (n_images - 1) else np.nan
