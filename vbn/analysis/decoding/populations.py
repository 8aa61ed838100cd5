"""Decoding of labels from the counts of populations: structures and their cell classes, at equal numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.decoding.classifiers import Split, balanced_accuracies, splits
from vbn.analysis.decoding.labels import LabelledFlashes
from vbn.analysis.decoding.parameters import HIT, IMAGE, LICK_MATCHED, DecodedLabel, DecodingParameters
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import count_in_windows

ALL_CLASSES = "all"
CERTAINTY = 0.99
QUANTILE, LEVEL = 0.95, 0.05
_DECIMALS = 12  # equal accuracies must remain ties after sums
_GROUPED, _RANDOM, _NULL, _UNITS = range(4)

Population = tuple[str, str]


@dataclass(frozen=True)
class Decoded:
    """How well a label is decoded from so many units of a population.

    Attributes
    ----------
    structure, cell_class : the population; ``all`` for all cell classes.
    n_units, n_available, n_draws : units of each draw, units that there are, number of draws.
    accuracy, accuracy_sd : balanced accuracy of the longest window, mean and standard deviation over draws.
    random_accuracy : the same with flashes dealt to the folds at random, and nothing taken off: as published.
    null_mean, null_sd : of the mean over draws, over label vectors of the null; NaN without any.
    p : (1 + vectors with as much) / (1 + vectors); NaN without any.
    latency_s : end of the first window from which on all accuracies are above `QUANTILE` of the null; NaN
        where the longest is not, p is above `LEVEL`, or without a null.
    stops_s : (n_steps,) ends of the windows.
    course, null_course : (n_steps,) accuracy of each window, and `QUANTILE` of its null (NaN without any).
    confusion : (n_classes, n_classes) share of the flashes of a class (row) that is predicted as each.
    """

    structure: str
    cell_class: str
    n_units: int
    n_available: int
    n_draws: int
    accuracy: float
    accuracy_sd: float
    random_accuracy: float
    null_mean: float
    null_sd: float
    p: float
    latency_s: float
    stops_s: Floats
    course: Floats
    null_course: Floats
    confusion: Floats


def populations(
    structures: ArrayLike, cell_classes: ArrayLike | None, least: int
) -> Mapping[Population, Integers]:
    """Return the units of every structure, and of each cell class of it, with as many units.

    Parameters
    ----------
    structures : (n_units,) names; None and NaN belong to none.
    cell_classes : (n_units,) names; None and NaN belong to none. None to leave them out.
    least : least number of units.
    """
    columns = [np.asarray(structures, dtype=object)]
    if cell_classes is not None:
        columns.append(np.asarray(cell_classes, dtype=object))
    found: dict[Population, list[int]] = {}
    for unit, (structure, *more) in enumerate(zip(*columns, strict=True)):
        if not _is_named(structure):
            continue
        for name in (ALL_CLASSES, *filter(_is_named, more)):
            found.setdefault((structure, name), []).append(unit)
    return {name: np.array(found[name]) for name in sorted(found) if len(found[name]) >= least}


def _is_named(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def label_counts(
    spikes: tuple[ArrayLike, ArrayLike, ArrayLike],
    flashes: LabelledFlashes,
    label: DecodedLabel,
    parameters: DecodingParameters,
) -> NDArray[np.float32]:
    """Count the spikes of all units in bins from the start of each flash.

    Returns
    -------
    (n_bins, n_units, n_flashes) spikes, less those that the baseline leads to expect. Bins are those of the
    parameters, or the steps of the windows.
    """
    width = parameters.bin_s or label.step_s
    edges = np.arange(round(label.stop_s / width) + 1) * width
    found = np.stack(
        [
            count_in_windows(*spikes, flashes.start_s, (float(start), float(stop))).astype(np.float32)
            for start, stop in itertools.pairwise(edges)
        ]
    )
    if parameters.baseline_s:
        window = (-parameters.baseline_s, 0.0)
        before = count_in_windows(*spikes, flashes.start_s, window)
        found -= (before * (width / parameters.baseline_s)).astype(np.float32)
    return found


def decode_populations(
    counts: NDArray[np.float32],
    flashes: LabelledFlashes,
    of: Mapping[Population, Integers],
    label: DecodedLabel,
    parameters: DecodingParameters,
    seed: int = 0,
) -> list[Decoded]:
    """Decode a label from the counts of populations.

    Parameters
    ----------
    counts : from `label_counts`.
    flashes : with their classes.
    of : (structure, cell class) -> units, from `populations`.
    label : its windows.
    parameters : classifier, folds, numbers of units, null.
    seed : of the session.

    Returns
    -------
    One for each population and number of units that it has, in this order.

    Notes
    -----
    Folds are whole blocks of time. Of all labels but images, each unit's mean over the block is taken off
    its counts, so that what is slow cannot tell hits from misses, which come in turns; an image stays for as
    long as a block, and its runs are permuted instead. Of labels that licks enter, the mean over the image is
    taken off first, since mice answer to some images more often than to others: that of the training flashes,
    as a flash that is left out would pull it, and with it the others of its image and class, to the other
    side. The draws of a population do not depend on others.
    """
    base = [parameters.seed, seed, *flashes.label.encode()]
    draws = {
        (name, k): _draws(units, k, parameters.most_draws, [*base, _UNITS, k, *"/".join(name).encode()])
        for name, units in of.items()
        for k in parameters.n_units
        if len(units) >= k
    }
    if not draws:
        return []
    vectors = flashes.classes[np.newaxis]
    folds = flashes.grouped_folds(parameters.folds, np.random.default_rng([*base, _GROUPED]))
    usual = flashes.random_folds(parameters.folds, np.random.default_rng([*base, _RANDOM]))
    null = flashes.permuted(parameters.n_permutations, np.random.default_rng([*base, _NULL]))
    runs = flashes.run if flashes.label == IMAGE else None
    prepared = splits(np.concatenate([vectors, null]), folds, flashes.n_classes, runs)
    random = splits(vectors, usual, flashes.n_classes)
    measured = {name: _Measured(len(each), label.n_steps, 1 + len(null)) for name, each in draws.items()}
    projections = None if flashes.label == IMAGE else [_projection(flashes, each.test) for each in prepared]
    for step, features in enumerate(_windows(counts, label, parameters)):
        for name, of_name in draws.items():
            for number, units in enumerate(of_name):
                accuracies, predicted = _accuracies(features, units, prepared, parameters, projections)
                measured[name].accuracies[number, step] = accuracies
                if step + 1 == label.n_steps:
                    measured[name].random[number] = _accuracies(features, units, random, parameters)[0][0]
                    np.add.at(measured[name].confusion(flashes.n_classes), (flashes.classes, predicted), 1)
    stops = np.arange(1, label.n_steps + 1, dtype=np.float64) * label.step_s
    return [_decoded(name, k, of[name], each, stops) for (name, k), each in measured.items()]


class _Measured:
    """What is measured of one population and number of units."""

    def __init__(self, n_draws: int, n_steps: int, n_vectors: int) -> None:
        self.accuracies = np.empty((n_draws, n_steps, n_vectors))
        self.random = np.empty(n_draws)
        self._confusion: Integers | None = None

    def confusion(self, n_classes: int = 0) -> Integers:
        """Return the sums over draws."""
        if self._confusion is None:
            self._confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
        return self._confusion


def _draws(units: Integers, k: int, most: int, seed: list[int]) -> list[Integers]:
    """Draw k units so often that each is drawn with the probability `CERTAINTY`, but not more than `most`."""
    if k == units.size:
        return [units]
    n = math.ceil(math.log(1 - CERTAINTY) / math.log(1 - k / units.size))
    rng = np.random.default_rng(seed)
    return [np.sort(rng.choice(units, k, replace=False)) for _ in range(min(n, most or n))]


def _windows(
    counts: NDArray[np.float32], label: DecodedLabel, parameters: DecodingParameters
) -> Iterator[NDArray[np.float32]]:
    """Yield (n_units, n_features of a unit, n_flashes) of each window."""
    per_step = len(counts) // label.n_steps
    for stop in range(per_step, len(counts) + 1, per_step):
        of = counts[:stop] if parameters.bin_s else counts[:stop].sum(axis=0, keepdims=True)
        found = of.transpose(1, 0, 2)
        if parameters.is_scaled:
            spread = found.std(axis=2, keepdims=True)
            found = (found - found.mean(axis=2, keepdims=True)) / np.where(spread > 0, spread, 1)
        yield found


def _projection(flashes: LabelledFlashes, test: Booleans) -> Floats:
    """Return (n_flashes, n_flashes) what takes means off features by which licks or drift tell a label."""
    found = np.eye(test.size)
    if flashes.label in (HIT, LICK_MATCHED):
        for image in np.unique(flashes.image):
            of = flashes.image == image
            known = of & ~test if (of & ~test).any() else ~test
            found[np.ix_(of, known)] -= 1 / known.sum()
    for block in np.unique(flashes.block):
        of = flashes.block == block
        found[of] -= found[of].mean(axis=0)
    return np.asarray(found)


def _accuracies(
    features: NDArray[np.float32],
    units: Integers,
    prepared: list[Split],
    parameters: DecodingParameters,
    projections: list[Floats] | None = None,
) -> tuple[Floats, Integers]:
    items = features[units].reshape(-1, features.shape[2]).T.astype(np.float64)
    return balanced_accuracies(items, prepared, parameters.classifier, parameters.strength, projections)


def _decoded(name: Population, k: int, units: Integers, measured: _Measured, stops_s: Floats) -> Decoded:
    over_draws = measured.accuracies.mean(axis=0).round(_DECIMALS)
    course, null = over_draws[:, 0], over_draws[:, 1:]
    last = measured.accuracies[:, -1, 0]
    has_null = null.shape[1] > 0
    limit = np.quantile(null, QUANTILE, axis=1) if has_null else np.full(course.shape, np.nan)
    confusion = measured.confusion()
    p = float((1 + (null[-1] >= course[-1]).sum()) / (1 + null.shape[1])) if has_null else np.nan
    return Decoded(
        *name,
        n_units=k,
        n_available=units.size,
        n_draws=last.size,
        accuracy=float(course[-1]),
        accuracy_sd=float(np.std(last, ddof=1)) if last.size > 1 else np.nan,
        random_accuracy=float(measured.random.mean()),
        null_mean=float(null[-1].mean()) if has_null else np.nan,
        null_sd=float(null[-1].std(ddof=1)) if null.shape[1] > 1 else np.nan,
        p=p,
        # The quantile of few vectors lies between two of them: above it p may still be above its level.
        latency_s=_latency(course, limit, stops_s) if p <= LEVEL else np.nan,
        stops_s=stops_s,
        course=course,
        null_course=limit,
        confusion=confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1),
    )


def _latency(course: Floats, limit: Floats, stops_s: Floats) -> float:
    """Return the end of the first window from which on all are above the limit."""
    below = np.flatnonzero(~(course > limit))
    first = int(below[-1]) + 1 if below.size else 0
    return float(stops_s[first]) if first < stops_s.size else np.nan
