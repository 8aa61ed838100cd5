"""Hits against misses, trial by trial, as single sessions are decoded elsewhere, and whether that holds.

The usual null permutes the outcomes freely. Mice work for a while and rates drift, so that it finds
"decoding" in units that know nothing of the outcome; the circular null beside it does so less often. Both are
for comparison (docs/calibration.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.decoding.logistic import logistic_weights
from vbn.analysis.decoding.populations import populations
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import count_in_windows

CHANGE_TIME = "change_time_no_display_delay"
LEAST_SHIFT = 0.1
"""Least circular shift of the outcomes, as a share of the trials, to either side."""
_BATCH_BYTES = 2**25
_DECIMALS = 12  # equal scores must remain ties after sums
_VALUE_DECIMALS = 6  # equal decision values must remain ties, of weights that are known to 1e-7
_HIGHEST_COST = 1e4
_FREE, _CIRCULAR, _FOLDS, _NULL_FOLDS = range(4)


@dataclass(frozen=True)
class TrialDecodingParameters:
    """How hits are decoded trial by trial.

    Parameters
    ----------
    unit_criteria : name of the filter (`schemas.selection.UnitCriteria`) whose units are taken.
    structures : acronyms of the structures that are decoded; none for all that have units enough.
    stop_s : end of the window, which begins with the change, without the display lag.
    cost : C of the logistic regression, with an L2 penalty.
    folds : number of folds, to which the trials of each outcome are dealt at random.
    n_repeats : so often that is done.
    n_permutations : label vectors of each null.
    min_units : structures with fewer units are left out.
    min_trials : least number of hits, and of misses.
    seed : of all random steps, with a number made of the entry's key.

    Raises
    ------
    ValueError
        If one of them makes no sense.
    """

    unit_criteria: str = "bennett_2025"
    structures: tuple[str, ...] = ("VISp",)
    stop_s: float = 0.5
    cost: float = 1.0
    folds: int = 5
    n_repeats: int = 20
    n_permutations: int = 200
    min_units: int = 1
    min_trials: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.structures, str):
            raise ValueError(f"structures are a list of acronyms, got '{self.structures}'.")
        object.__setattr__(self, "structures", tuple(self.structures))
        if bad := [name for name in ("stop_s", "cost") if not 0 < getattr(self, name) < math.inf]:
            raise ValueError(f"{bad[0]} must be above 0, got {getattr(self, bad[0])}.")
        if self.cost > _HIGHEST_COST:
            raise ValueError(f"cost must be at most {_HIGHEST_COST:.0f}, got {self.cost}.")
        if bad := [name for name in ("n_repeats", "min_units") if getattr(self, name) < 1]:
            raise ValueError(f"{bad[0]} must be 1 or more, got {getattr(self, bad[0])}.")
        if bad := [name for name in ("n_permutations", "seed") if getattr(self, name) < 0]:
            raise ValueError(f"{bad[0]} must be 0 or more, got {getattr(self, bad[0])}.")
        if self.folds < 2 or self.min_trials < self.folds:
            raise ValueError(
                "There must be two folds or more, and at least as many hits and misses as folds, got "
                f"{self.folds} folds and {self.min_trials} trials."
            )


TRIAL_DECODING: Mapping[str, TrialDecodingParameters] = MappingProxyType(
    {"logistic_visp": TrialDecodingParameters()}
)


@dataclass(frozen=True)
class OutcomeTrials:
    """The hits and misses of a session, in order.

    Attributes
    ----------
    change_s : (n_trials,) time of the change without the display lag, in seconds.
    is_hit : (n_trials,).
    missing : why nothing can be decoded; empty if it can.
    """

    change_s: Floats
    is_hit: Booleans
    missing: str = ""


@dataclass(frozen=True)
class TrialDecoded:
    """How well hits are told from misses by the units of one structure.

    Attributes
    ----------
    structure, n_units : its acronym, its units.
    accuracy, accuracy_sd : balanced accuracy of the trials left out, mean and standard deviation over splits.
    auc, auc_sd : area under the curve of their decision values, likewise.
    null_accuracies, null_aucs : (n_permutations,) the means, by outcomes permuted freely.
    circular_accuracies : (n_shifts,) the same, by outcomes shifted along the trials.
    """

    structure: str
    n_units: int
    accuracy: float
    accuracy_sd: float
    auc: float
    auc_sd: float
    null_accuracies: Floats
    null_aucs: Floats
    circular_accuracies: Floats

    @property
    def p(self) -> float:
        """(1 + permutations with as great an accuracy) / (1 + permutations); NaN without any."""
        return _p_value(self.accuracy, self.null_accuracies)

    @property
    def circular_p(self) -> float:
        """The same of the shifts."""
        return _p_value(self.accuracy, self.circular_accuracies)


def outcome_trials(trials: pd.DataFrame, least: int) -> OutcomeTrials:
    """Choose the hits and misses that were not auto-rewarded or aborted.

    Parameters
    ----------
    trials : with ``hit``, ``miss``, ``auto_rewarded``, ``aborted`` and `CHANGE_TIME`.
    least : least number of each.
    """
    if CHANGE_TIME not in trials:
        return OutcomeTrials(np.empty(0), np.empty(0, dtype=np.bool_), f"the trials have no {CHANGE_TIME}")
    flags = {name: trials[name].to_numpy(np.bool_) for name in ("hit", "miss", "auto_rewarded", "aborted")}
    change = trials[CHANGE_TIME].to_numpy(np.float64)
    of_either = (flags["hit"] | flags["miss"]) & ~flags["auto_rewarded"] & ~flags["aborted"]
    kept = np.flatnonzero(of_either & np.isfinite(change))
    kept = kept[np.argsort(change[kept], kind="stable")]
    is_hit = flags["hit"][kept]
    n_hits = int(is_hit.sum())
    n_misses = is_hit.size - n_hits
    missing = (
        f"{n_hits} hits and {n_misses} misses, fewer than {least}" if min(n_hits, n_misses) < least else ""
    )
    return OutcomeTrials(change[kept], is_hit, missing)


def decode_trials(
    spikes: tuple[ArrayLike, ArrayLike, ArrayLike],
    structures: ArrayLike,
    trials: OutcomeTrials,
    parameters: TrialDecodingParameters = TRIAL_DECODING["logistic_visp"],
    seed: int = 0,
) -> list[TrialDecoded]:
    """Tell hits from misses by the spike counts after the change.

    Parameters
    ----------
    spikes : of the units, see `vbn.analysis.spikes.trains`.
    structures : (n_units,) names, None where unknown.
    trials : from `outcome_trials`.
    parameters : window, classifier, folds, null.
    seed : of the session.

    Returns
    -------
    One for each structure with units enough; none where the trials cannot be decoded.

    Raises
    ------
    ValueError
        If there are not as many structures as units.

    Notes
    -----
    Features are the counts, divided by their standard deviation over the training trials; the classifier is
    scikit-learn's ``LogisticRegression(C=1, solver="liblinear")``, its folds those of
    ``RepeatedStratifiedKFold``, dealt anew for each label vector. The window ends long after the first licks:
    what is decoded is the lick as well as the choice.
    """
    if np.size(structures) != np.size(spikes[1]):
        raise ValueError(f"{np.size(spikes[1])} units need as many structures, got {np.size(structures)}.")
    if trials.missing:
        return []
    counts = count_in_windows(*spikes, trials.change_s, (0.0, parameters.stop_s)).astype(np.float64)
    of = populations(structures, None, parameters.min_units)
    chosen = {structure: units for (structure, _), units in of.items()}
    wanted = {name: each for name, each in chosen.items() if name in parameters.structures}
    return [
        _decoded(name, counts[units].T, trials.is_hit, parameters, [parameters.seed, seed, *name.encode()])
        for name, units in (wanted if parameters.structures else chosen).items()
    ]


def _decoded(
    name: str, features: Floats, is_hit: Booleans, parameters: TrialDecodingParameters, seed: list[int]
) -> TrialDecoded:
    n = parameters.n_permutations
    free = np.random.default_rng([*seed, _FREE]).permuted(np.tile(is_hit, (n, 1)), axis=1)
    circular = shifted(is_hit, n, np.random.default_rng([*seed, _CIRCULAR]))
    null = np.concatenate([free, circular])
    # What is found does not depend on the number of permutations.
    rng, of_null = (np.random.default_rng([*seed, each]) for each in (_FOLDS, _NULL_FOLDS))
    scores = split_scores(features, is_hit[np.newaxis], parameters, rng)[:, 0]
    accuracy, auc = scores.mean(axis=1).round(_DECIMALS).tolist()
    accuracy_sd, auc_sd = scores.std(axis=1, ddof=1).tolist()
    accuracies, aucs = split_scores(features, null, parameters, of_null).mean(axis=2).round(_DECIMALS)
    return TrialDecoded(
        name, features.shape[1], accuracy, accuracy_sd, auc, auc_sd, accuracies[:n], aucs[:n], accuracies[n:]
    )


def shifted(is_hit: Booleans, n: int, rng: np.random.Generator) -> Booleans:
    """Return (n_shifts, n_trials) outcomes shifted by different numbers of trials, at most so many.

    A shift is at least `LEAST_SHIFT` of the trials to either side. There are fewer where there are fewer
    trials.
    """
    least = max(math.ceil(LEAST_SHIFT * is_hit.size), 1)
    shifts = np.arange(least, is_hit.size - least + 1)
    shifts = np.sort(rng.permutation(shifts)[:n])
    at = (np.arange(is_hit.size) - shifts[:, np.newaxis]) % max(is_hit.size, 1)
    return np.asarray(is_hit[at])


def split_scores(
    features: Floats, labels: Booleans, parameters: TrialDecodingParameters, rng: np.random.Generator
) -> Floats:
    """Return what each split into training and test trials gives, by each label vector.

    Parameters
    ----------
    features : (n_trials, n_features).
    labels : (n_vectors, n_trials), all with as many of each.
    parameters : folds, repeats, classifier.
    rng : random numbers of the folds.

    Returns
    -------
    (2, n_vectors, n_repeats * folds) balanced accuracies and areas under the curve.
    """
    found = np.empty((2, len(labels), parameters.n_repeats * parameters.folds))
    weights = np.zeros((len(labels), features.shape[1] + 1))  # those of one split begin the next
    for repeat in range(parameters.n_repeats):
        of_fold = _stratified(labels, parameters.folds, rng)
        for fold in range(parameters.folds):
            for vectors in _batches(labels.shape, features.shape[1]):
                is_test = of_fold[vectors] == fold
                scores = _scores(features, labels[vectors], is_test, parameters.cost, weights[vectors])
                found[:, vectors, repeat * parameters.folds + fold] = scores
    return found


def _batches(shape: tuple[int, ...], n_features: int) -> Iterator[slice]:
    """Yield vectors that are fitted at once."""
    n_vectors, n_trials = shape
    step = max(_BATCH_BYTES // (8 * n_trials * (n_features + 1)), 1)
    for first in range(0, n_vectors, step):
        yield slice(first, first + step)


def _stratified(labels: Booleans, n_folds: int, rng: np.random.Generator) -> Integers:
    """Return (n_vectors, n_trials) folds that differ by one trial at most, also in the trials of a class."""
    shuffled = rng.permuted(np.tile(np.arange(labels.shape[1]), (len(labels), 1)), axis=1)
    by_class = np.argsort(np.take_along_axis(labels, shuffled, axis=1), axis=1, kind="stable")
    order = np.take_along_axis(shuffled, by_class, axis=1)
    folds = np.empty(labels.shape, dtype=np.int64)
    np.put_along_axis(folds, order, np.arange(labels.shape[1]) % n_folds, axis=1)
    return folds


def _scores(
    features: Floats, labels: Booleans, is_test: Booleans, cost: float, weights: Floats
) -> tuple[Floats, Floats]:
    """Return (n_vectors,) balanced accuracies and areas under the curve of one fold; replace the weights."""
    from scipy.stats import rankdata  # import takes half a second

    shape = (len(labels), -1)
    train, test = (np.nonzero(of)[1].reshape(shape) for of in (~is_test, is_test))
    known = features[train]
    mean, spread = known.mean(axis=1, keepdims=True), known.std(axis=1, keepdims=True)
    spread = np.where(spread > 0, spread, 1)
    signs = np.where(np.take_along_axis(labels, train, axis=1), 1.0, -1.0)
    weights[:] = logistic_weights(_with_ones((known - mean) / spread), signs, cost, weights)
    items = _with_ones((features[test] - mean) / spread)
    values = np.matmul(items, weights[..., np.newaxis])[..., 0].round(_VALUE_DECIMALS)
    is_hit = np.take_along_axis(labels, test, axis=1)
    n_hits, n_misses = is_hit.sum(axis=1), (~is_hit).sum(axis=1)
    recalls = ((values > 0) & is_hit).sum(axis=1) / n_hits, ((values <= 0) & ~is_hit).sum(axis=1) / n_misses
    ranks = (rankdata(values, axis=1) * is_hit).sum(axis=1)
    return sum(recalls) / 2, (ranks - n_hits * (n_hits + 1) / 2) / (n_hits * n_misses)


def _with_ones(items: Floats) -> Floats:
    return np.concatenate([items, np.ones((*items.shape[:2], 1))], axis=2)


def _p_value(found: float, null: NDArray[np.float64]) -> float:
    return float((1 + (null >= found).sum()) / (1 + null.size)) if null.size else math.nan
