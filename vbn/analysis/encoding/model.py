"""The encoding models of all units of a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.encoding.design import Design, SessionTraces, make_design, spike_counts
from vbn.analysis.encoding.parameters import DEFAULT, EncodingParameters
from vbn.analysis.encoding.psth import MeanRows, mean_rows, psth_correlation
from vbn.analysis.encoding.ridge import (
    MEASURES,
    Dropout,
    Eigenbasis,
    Solution,
    Solver,
    best_penalties,
    eigenbases,
    lambda_grid,
)
from vbn.analysis.encoding.sums import (
    Counts,
    Folds,
    Gram,
    Parts,
    Sums,
    fold_sums,
    gram_of_folds,
    gram_of_parts,
    make_folds,
    part_sums,
    score_parts,
)
from vbn.analysis.spikes.trains import Booleans, Floats, Integers

UNITS_AT_ONCE = 320
"""Units whose sums are held together: they take the memory, and a product of their size is fast enough."""


@dataclass(frozen=True)
class EncodingResult:
    """The encoding models of the units of a session.

    Attributes
    ----------
    n_bins : number of bins that were fitted; 0 if there was nothing to fit.
    column_names : (n_columns,) kernel and lag in bins.
    missing : kernel -> why it is left out.
    n_missing : trace -> bins in which it had no value.
    penalty : lambda, that of the session or the mean of the units'; NaN without units that vary.
    at_edge : share of units whose best lambda is the least or the greatest of the grid; NaN if it is fixed.
    unit_penalty : (n_units,) lambda of each.
    weights : (n_units, n_columns) spikes per bin and unit of the column.
    dropout_names : (n_dropouts,) kernels and groups.
    dropouts : (n_units, n_dropouts, n_measures), see `vbn.analysis.encoding.ridge.MEASURES`.
    raw_change : (n_units, n_dropouts) changes without clipping.
    explained_raw, explained_sem, explained_train : (n_units,) mean over folds, its standard error, and of all
        rows.
    is_explained : (n_units,) whether variance explained exceeds the threshold.
    condition_names, n_flashes : (n_conditions,) of the PSTHs.
    predicted_hz, measured_hz : (n_units, n_conditions, n_psth_bins).
    psth_correlation : (n_units,) of predicted and measured rates, fold by fold.
    """

    n_bins: int
    column_names: list[str]
    missing: dict[str, str]
    n_missing: dict[str, int]
    penalty: float
    at_edge: float
    unit_penalty: Floats
    weights: Floats
    dropout_names: list[str]
    dropouts: Floats
    raw_change: Floats
    explained_raw: Floats
    explained_sem: Floats
    explained_train: Floats
    is_explained: Booleans
    condition_names: list[str]
    n_flashes: list[int]
    predicted_hz: Floats
    measured_hz: Floats
    psth_correlation: Floats

    @property
    def explained(self) -> Floats:
        """Variance explained, at least 0, (n_units,)."""
        return np.maximum(self.explained_raw, 0.0)

    def measure(self, dropout: str, name: str) -> Floats:
        """Return a measure of one dropout, (n_units,); NaN if the session has none of that name."""
        if dropout not in self.dropout_names:
            return np.full(len(self.dropouts), np.nan)
        return np.asarray(self.dropouts[:, self.dropout_names.index(dropout), MEASURES.index(name)])


@dataclass(frozen=True)
class SharedSums:
    """What of the models of a session does not depend on the spikes.

    Attributes
    ----------
    design, folds, parts : see `vbn.analysis.encoding.design` and `vbn.analysis.encoding.sums`.
    of_parts, of_score : X'X of the parts of the folds of the scores, and of these folds.
    dropouts : what is left out.
    """

    design: Design
    folds: Folds
    parts: Parts
    of_parts: Gram
    of_score: Gram
    dropouts: list[Dropout]

    def solver(self, penalty: float, threshold: float) -> Solver:
        """Return the regressions with one penalty."""
        return Solver(self.of_score.xx, penalty, self.design.base, self.dropouts, threshold)

    def score_sums(self, counts: Counts) -> list[Sums]:
        """Return the sums of the folds of the scores, given (n_rows, n_units)."""
        return fold_sums(self.design, self.folds, self.folds.score, self.of_score, counts)

    def part_sums(self, counts: Counts) -> list[list[Sums]]:
        """Return the sums of the parts of the folds of the scores, given (n_rows, n_units)."""
        return part_sums(self.design, self.folds, self.parts, self.of_parts, counts)


def encoding_model(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    traces: SessionTraces,
    parameters: EncodingParameters = DEFAULT,
    seed: int = 0,
) -> EncodingResult:
    """Fit the encoding models of units: kernels by ridge regression, and what each adds on left-out rows.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    traces : what happens in the session.
    parameters : kernels, penalty and folds.
    seed : of the folds, together with that of the parameters.

    Returns
    -------
    EncodingResult
        Without bins if there is nothing to fit, or fewer bins than columns: then nothing is known.

    Notes
    -----
    After ``GLM_fit_tools.py`` of visual_behavior_glm_NP, solved from sums that all units and models share.
    Units that never fire in the block do not enter the penalty of the session.
    """
    design = make_design(traces, parameters)
    n_units = int(np.size(n_spikes))
    if not can_be_fitted(design, parameters) or not n_units:
        return _nothing(design, n_units)
    counts = spike_counts(spike_times, offsets, n_spikes, design.bin_starts)
    prepared = shared_sums(design, parameters, seed)
    best = _best(prepared, counts, parameters)
    penalties = _penalties(best, parameters)
    means = mean_rows(design, prepared.folds)
    result = _empty_arrays(design, prepared, means, n_units)
    for units, solution in _solutions(prepared, counts, penalties, parameters.threshold):
        _store(result, units, solution, means, counts[:, units])
    return _finished(result, design, prepared, means, best, penalties, parameters)


def can_be_fitted(design: Design, parameters: EncodingParameters) -> bool:
    """Return whether there are kernels, and bins enough for them and for the folds."""
    return bool(design.columns) and not design.too_few_rows and design.n_rows >= parameters.folds


def shared_sums(design: Design, parameters: EncodingParameters, seed: int) -> SharedSums:
    """Return what of the models does not depend on the spikes."""
    sizes = parameters.folds, parameters.blocks_per_fold
    folds = make_folds(design.n_rows, *sizes, (parameters.seed, seed))
    parts = score_parts(design)
    dropouts = [
        Dropout(name, np.concatenate([each.index for each in members]), parts.of_dropout[name])
        for name, members in design.groups().items()
    ]
    of_parts = gram_of_parts(design, folds, parts)
    return SharedSums(design, folds, parts, of_parts, of_parts.whole(parts.n_classes), dropouts)


def _best(prepared: SharedSums, counts: Counts, parameters: EncodingParameters) -> Floats:
    """Return the best penalty of each unit; NaN for units that never fire, and if it is fixed."""
    best = np.full(counts.shape[1], np.nan)
    if parameters.penalty == "fixed":
        return best
    design, folds = prepared.design, prepared.folds
    gram = gram_of_folds(design, folds)
    bases: list[Eigenbasis] = eigenbases(gram.xx)
    grid = lambda_grid(parameters.lambda_min, parameters.lambda_max, parameters.n_lambdas, parameters.spacing)
    for units in units_at_once(np.arange(best.size)):
        sums = fold_sums(design, folds, folds.penalty, gram, counts[:, units])
        best[units] = best_penalties(sums, bases, grid)
    return best


def _penalties(best: Floats, parameters: EncodingParameters) -> Floats:
    """Return the penalty with which each unit is fitted."""
    known = best[np.isfinite(best)]
    if parameters.penalty == "fixed" or not known.size:
        return np.full(best.shape, parameters.lambda_min)
    mean = float(known.mean())
    if parameters.penalty == "session":
        return np.full(best.shape, mean)
    return np.where(np.isfinite(best), best, mean)


def units_at_once(units: Integers) -> Iterator[Integers]:
    """Yield the units in parts of about equal size."""
    n = -(-units.size // UNITS_AT_ONCE)
    yield from np.array_split(units, max(n, 1))


def _solutions(
    prepared: SharedSums, counts: Counts, penalties: Floats, threshold: float
) -> Iterator[tuple[Integers, Solution]]:
    """Yield units and their models, those with one penalty together."""
    solvers: dict[float, Solver] = {}
    for units in units_at_once(np.argsort(penalties, kind="stable")):
        sums = prepared.part_sums(counts[:, units])
        for penalty in np.unique(penalties[units]).tolist():
            if penalty not in solvers:
                solvers = {penalty: prepared.solver(penalty, threshold)}
            first, last = (
                int(np.searchsorted(penalties[units], penalty, side)) for side in ("left", "right")
            )
            of_units = [[part.of_units(slice(first, last)) for part in of_fold] for of_fold in sums]
            yield units[first:last], solvers[penalty].solve(of_units, prepared.parts.n_classes)


def _empty_arrays(design: Design, prepared: SharedSums, means: MeanRows, n_units: int) -> dict[str, Floats]:
    n_dropouts, conditions = len(prepared.dropouts), (n_units, *means.rows.shape[1:3])
    return {
        "weights": np.zeros((n_units, design.n_columns)),
        "dropouts": np.zeros((n_units, n_dropouts, len(MEASURES))),
        "raw_change": np.zeros((n_units, n_dropouts)),
        "explained_raw": np.zeros(n_units),
        "explained_sem": np.full(n_units, np.nan),
        "explained_train": np.zeros(n_units),
        "predicted_hz": np.zeros(conditions),
        "measured_hz": np.zeros(conditions),
        "psth_correlation": np.full(n_units, np.nan),
    }


def _store(
    result: dict[str, Floats], units: Integers, solution: Solution, means: MeanRows, counts: Counts
) -> None:
    result["weights"][units] = solution.weights.T
    result["dropouts"][units] = solution.dropouts
    result["raw_change"][units] = solution.raw_change
    result["explained_raw"][units] = solution.raw
    result["explained_sem"][units] = solution.sem
    result["explained_train"][units] = solution.explained_train
    predicted, measured = means.predicted(solution.fold_weights), means.measured(counts)
    result["predicted_hz"][units] = means.rates_hz(predicted)
    result["measured_hz"][units] = means.rates_hz(measured)
    result["psth_correlation"][units] = psth_correlation(predicted, measured, means.n)


def _finished(
    arrays: dict[str, Floats],
    design: Design,
    prepared: SharedSums,
    means: MeanRows,
    best: Floats,
    penalties: Floats,
    parameters: EncodingParameters,
) -> EncodingResult:
    known = best[np.isfinite(best)]
    edges = np.isclose(known, parameters.lambda_min) | np.isclose(known, parameters.lambda_max)
    return EncodingResult(
        n_bins=design.n_rows,
        column_names=design.column_names,
        missing=design.missing,
        n_missing=design.n_missing,
        penalty=float(penalties.mean()),
        at_edge=float(edges.mean()) if known.size else np.nan,
        unit_penalty=penalties,
        dropout_names=[each.name for each in prepared.dropouts],
        is_explained=arrays["explained_raw"] > parameters.threshold,
        condition_names=means.names,
        n_flashes=means.n_flashes,
        **arrays,
    )


def _nothing(design: Design, n_units: int) -> EncodingResult:
    """Return the result of a session without anything to fit."""
    unknown = np.full(n_units, np.nan)
    return EncodingResult(
        n_bins=0,
        column_names=[],
        missing=design.missing | design.too_few_rows,
        n_missing={},
        penalty=np.nan,
        at_edge=np.nan,
        unit_penalty=unknown,
        weights=np.empty((n_units, 0)),
        dropout_names=[],
        dropouts=np.empty((n_units, 0, len(MEASURES))),
        raw_change=np.empty((n_units, 0)),
        explained_raw=unknown,
        explained_sem=unknown,
        explained_train=unknown,
        is_explained=np.zeros(n_units, np.bool_),
        condition_names=[],
        n_flashes=[],
        predicted_hz=np.empty((n_units, 0, 0)),
        measured_hz=np.empty((n_units, 0, 0)),
        psth_correlation=unknown,
    )
