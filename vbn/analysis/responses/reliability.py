"""How well the response of a unit to the images repeats: halves of the flashes against one another.

An image comes in runs, from a change to the next, and rates drift: halves are of whole runs, since halves of
single flashes have the drift of their run in common, which is taken for a response.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.edges import Edges
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events, unit_trains
from vbn.analysis.spikes.windows import Window, check_windows, window_length_s
from vbn.analysis.task.presentations import image_names, start_times


@dataclass(frozen=True)
class ReliabilityParameters:
    """Flashes, bins, and how often they are halved.

    Parameters
    ----------
    window_s : seconds relative to the start of a flash; until the next one would begin.
    bin_width_s : of the responses that are compared; the window holds whole bins. 25 ms are the bins of the
        encoding models, which can explain no more than `explainable_share`.
    flash_set : name of the flashes that are measured on, see `vbn.analysis.task.flash_sets`.
    splits : how often the runs of each image are halved at random.
    min_spikes : of units with fewer in all windows together, nothing is said.
    seed : of the halves, together with the session.
    """

    window_s: Window = (0.0, 0.75)
    bin_width_s: float = 0.025
    flash_set: str = "lick_free"
    splits: int = 100
    min_spikes: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_windows(self, "window_s")
        if not self.bin_width_s > 0 or self.n_bins < 1 or not self._has_whole_bins():
            raise ValueError(
                f"window_s {self.window_s} must hold a whole number of bins of {self.bin_width_s} s."
            )
        if self.splits < 1 or self.min_spikes < 1 or self.seed < 0:
            raise ValueError(
                "splits and min_spikes must be 1 or more, and seed 0 or more, got "
                f"{self.splits}, {self.min_spikes} and {self.seed}."
            )

    @property
    def n_bins(self) -> int:
        """Number of bins of the window."""
        return round(window_length_s(self.window_s) / self.bin_width_s)

    def _has_whole_bins(self) -> bool:
        return abs(self.n_bins * self.bin_width_s - window_length_s(self.window_s)) < 1e-9


DEFAULT = ReliabilityParameters()
MIN_FLASHES_PER_IMAGE = 10


class _Runs(NamedTuple):
    """Flashes in the order of their runs, and runs in the order of their images."""

    start_s: Floats  # (n_flashes,)
    first: Integers  # (n_runs,) index of the run's first flash
    n_flashes: Integers  # (n_runs,)
    of_image: list[slice]  # (n_images,) runs of each image


class _Halves(NamedTuple):
    """Which runs of an image are in the first half, by split."""

    runs: slice
    first: Floats  # (n_splits, n_runs of the image) 0 or 1
    n_first: Floats  # (n_splits, 1) flashes
    n_second: Floats  # (n_splits, 1)


def reliability(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    parameters: ReliabilityParameters = DEFAULT,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how well each unit's responses to the images repeat.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    flashes : the rows of `vbn.analysis.task.flash_behavior.flash_behavior` that the flash set has chosen:
        start_time (s), image_name, run.
    parameters : windows and halves; its flash set has been applied.
    seed : of the session.

    Returns
    -------
    DataFrame
        One row per unit, in input order:

        * n_flashes, n_images, n_runs: what was measured on: images with `MIN_FLASHES_PER_IMAGE` flashes or
          more, in two runs or more;
        * split_half: correlation of the mean responses (bins of all images) between both halves of the runs,
          mean over the splits; about 0 for a unit without a response, whatever its drift;
        * spearman_brown: 2 r / (1 + r) of it, the reliability of all flashes together; missing where r is not
          above 0, of which it makes no sense;
        * explainable_share: covariance of both halves over the variance of single flashes in single bins: the
          share of the variance that any function of image and time could explain;
        * stability_halves: correlation of the mean responses between the earlier and the later runs of each
          image: lower than split_half where responses change in the course of the session.

        Missing without such images, and for units with fewer than min_spikes spikes in the windows, or none
        in a half.

    Notes
    -----
    Images count alike, however many flashes they have.
    """
    runs = _runs(flashes)
    halves = _random_halves(runs, parameters.splits, np.random.default_rng([parameters.seed, seed]))
    in_time = _halves_in_time(runs)
    edges = _edges(runs, parameters)
    rows = [
        _of_unit(np.diff(edges.spikes_before(train), axis=0), runs, halves, in_time, parameters.min_spikes)
        for train in unit_trains(spike_times, offsets, n_spikes)
    ]
    table = pd.DataFrame(rows, columns=pd.Index(_Values._fields), dtype=np.float64)
    table.insert(0, "n_flashes", runs.start_s.size)
    table.insert(1, "n_images", len(runs.of_image))
    table.insert(2, "n_runs", runs.first.size)
    return table


class _Values(NamedTuple):
    split_half: float = np.nan
    spearman_brown: float = np.nan
    explainable_share: float = np.nan
    stability_halves: float = np.nan


def _runs(flashes: pd.DataFrame) -> _Runs:
    """Order the flashes by image and run; images with too few flashes or runs are left out."""
    start_s = checked_events(start_times(flashes), "start_time")
    _, image = np.unique(image_names(flashes).to_numpy(str), return_inverse=True)
    run = np.unique(flashes["run"].to_numpy(np.int64), return_inverse=True)[1]
    order = np.lexsort((start_s, run, image))
    order = order[_is_enough(image, run)[order]]
    group = np.stack([image[order], run[order]])
    first = np.flatnonzero(np.any(np.diff(group, axis=1, prepend=-1), axis=0))
    n_flashes = np.diff(first, append=order.size)
    image_of_run = image[order][first]
    bounds = [*np.flatnonzero(np.diff(image_of_run, prepend=-1)).tolist(), first.size]
    of_image = [slice(*pair) for pair in itertools.pairwise(bounds)]
    return _Runs(start_s[order], first, n_flashes, of_image)


def _is_enough(image: Integers, run: Integers) -> Booleans:
    """Return (n_flashes,) whether there are enough flashes and runs of a flash's image."""
    pairs = np.unique(np.stack([image, run]), axis=1)
    n_runs = np.bincount(pairs[0], minlength=image.max(initial=-1) + 1)
    n_flashes = np.bincount(image, minlength=n_runs.size)
    return np.asarray(((n_runs >= 2) & (n_flashes >= MIN_FLASHES_PER_IMAGE))[image], dtype=np.bool_)


def _random_halves(runs: _Runs, n_splits: int, rng: np.random.Generator) -> list[_Halves]:
    """Halve the runs of each image at random; of an odd number, either half has one more."""
    found = []
    for of in runs.of_image:
        n = of.stop - of.start
        rank = rng.permuted(np.tile(np.arange(n), (n_splits, 1)), axis=1)
        size = n // 2 + (rng.random((n_splits, 1)) < 0.5) * (n % 2)
        found.append(_halves(runs, of, rank < size))
    return found


def _halves_in_time(runs: _Runs) -> list[_Halves]:
    """Halve the runs of each image by their time, which they are in the order of."""
    found = []
    for of in runs.of_image:
        by_time = np.argsort(np.argsort(runs.start_s[runs.first[of]]))
        found.append(_halves(runs, of, (by_time < by_time.size // 2)[np.newaxis]))
    return found


def _halves(runs: _Runs, of: slice, in_first: Booleans) -> _Halves:
    first = in_first.astype(np.float64)
    n_first: Floats = first @ runs.n_flashes[of][:, np.newaxis]
    return _Halves(of, first, n_first, runs.n_flashes[of].sum() - n_first)


def _edges(runs: _Runs, parameters: ReliabilityParameters) -> Edges:
    """Return the edges of the bins: (n_bins + 1, n_flashes)."""
    relative = parameters.window_s[0] + parameters.bin_width_s * np.arange(parameters.n_bins + 1)
    return Edges(runs.start_s + relative[:, np.newaxis])


def _of_unit(
    counts: NDArray[np.int32], runs: _Runs, halves: list[_Halves], in_time: list[_Halves], min_spikes: int
) -> _Values:
    """Measure one unit: counts is (n_bins, n_flashes)."""
    if not runs.of_image or counts.sum() < min_spikes:
        return _Values()
    of_runs = np.add.reduceat(counts, runs.first, axis=1).T.astype(np.float64)
    first, second = _mean_responses(of_runs, halves)
    r, shared = _correlations(first, second)
    if np.isnan(r).any():
        return _Values()
    split_half = float(r.mean())
    return _Values(
        split_half=split_half,
        spearman_brown=2 * split_half / (1 + split_half) if split_half > 0 else np.nan,
        explainable_share=float(shared.mean()) / _variance(counts, runs),
        stability_halves=float(_correlations(*_mean_responses(of_runs, in_time))[0][0]),
    )


def _mean_responses(of_runs: Floats, halves: list[_Halves]) -> tuple[Floats, Floats]:
    """Return (n_splits, n_images * n_bins) mean counts of each half; of_runs is (n_runs, n_bins)."""
    first, second = [], []
    for half in halves:
        of = of_runs[half.runs]
        in_first = half.first @ of
        first.append(in_first / half.n_first)
        second.append((of.sum(axis=0) - in_first) / half.n_second)
    return np.concatenate(first, axis=1), np.concatenate(second, axis=1)


def _correlations(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return the correlation of each row with that of the other, NaN where one is constant; covariances."""
    n = one.shape[1]
    centred, other_centred = (each - each.sum(axis=1, keepdims=True) / n for each in (one, other))
    shared = (centred * other).sum(axis=1) / n
    variance = ((centred * one).sum(axis=1) / n) * ((other_centred * other).sum(axis=1) / n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, shared / np.sqrt(variance), np.nan), shared


def _variance(counts: NDArray[np.int32], runs: _Runs) -> float:
    """Return the variance of single flashes and bins, images counting alike."""
    firsts = [int(runs.first[of][0]) for of in runs.of_image]
    of_image = [np.add.reduceat(of, firsts) for of in (np.square(counts).sum(axis=0), counts.sum(axis=0))]
    n = len(counts) * np.diff(firsts, append=counts.shape[1])
    squares, means = of_image[0] / n, of_image[1] / n
    return float(np.mean(squares) - np.mean(means) ** 2)
