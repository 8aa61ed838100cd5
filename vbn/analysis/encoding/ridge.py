"""Ridge regression of many units from shared sums: penalty, weights, variance explained, dropouts.

Definitions are those of visual_behavior_glm_NP (``GLM_fit_tools.py``), with one addition: variance explained
is relative to a *base* model of the columns that every model has. Where that is the intercept alone, as
published, it is the variance of the counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from vbn.analysis.encoding.sums import ALL, Sums
from vbn.analysis.spikes.trains import Floats, Integers

MEASURES = (
    "variance_explained", "change", "score", "adjusted_score",
    "single_variance_explained", "single_score", "adjusted_single_score",
)  # fmt: skip
"""What is measured of each dropout."""


def lambda_grid(least: float, most: float, n: int, spacing: str) -> Floats:
    """Return the penalties that are compared, (n,), ``linear`` or ``geometric``."""
    return np.linspace(least, most, n) if spacing == "linear" else np.geomspace(least, most, n)


@dataclass(frozen=True)
class Eigenbasis:
    """The eigenvectors of X'X of the rows outside a fold, in which every penalty is a division.

    Attributes
    ----------
    values : (n_columns,) eigenvalues.
    vectors : (n_columns, n_columns).
    test : (n_columns, n_columns) X'X of the fold's rows in this basis.
    """

    values: Floats
    vectors: Floats
    test: Floats


def eigenbases(grams: Floats) -> list[Eigenbasis]:
    """Return the basis of each fold, given (n_folds, n_columns, n_columns)."""
    from scipy.linalg import eigh

    total = grams.sum(axis=0)
    found = []
    for gram in grams:
        values, vectors = eigh(total - gram, driver="evd")
        found.append(Eigenbasis(np.maximum(values, 0.0), vectors, vectors.T @ gram @ vectors))
    return found


def best_penalties(sums: Sequence[Sums], bases: Sequence[Eigenbasis], grid: Floats) -> Floats:
    """Return the penalty of each unit that explains most of the variance of left-out rows.

    Parameters
    ----------
    sums, bases : of each fold.
    grid : (n_lambdas,) penalties.

    Returns
    -------
    (n_units,), NaN for units without variance.
    """
    total = reduce(add, sums)
    found = np.zeros((grid.size, total.y.size))
    for fold, basis in zip(sums, bases, strict=True):
        train, test = basis.vectors.T @ (total.xy - fold.xy), basis.vectors.T @ fold.xy
        x = fold.x @ basis.vectors
        variance = _variance(fold.y, fold.yy, fold.n)
        for row, penalty in enumerate(grid):
            weights = train / (basis.values + penalty)[:, None]
            squares = fold.yy + ((basis.test @ weights - 2 * test) * weights).sum(axis=0)
            found[row] += _explained(_variance(fold.y - x @ weights, squares, fold.n), variance)
    best = grid[np.argmax(np.nan_to_num(found, nan=-np.inf), axis=0)]
    return np.where(_variance(total.y, total.yy, total.n) > 0, best, np.nan)


def _variance(total: Floats, squares: Floats, n: int) -> Floats:
    """Return variances, given sums of values and of their squares; 0 where these are whole and constant."""
    if not n:
        return np.full(np.shape(total), np.nan)
    deviations = squares - total**2 / n
    return np.asarray(np.where(n * squares == total**2, 0.0, np.maximum(deviations, 0.0) / n))


def _explained(residual: Floats, variance: Floats) -> Floats:
    """Return 1 - residual / variance; where there is no variance 0, and NaN if both are 0 or unknown."""
    found = 1 - np.divide(residual, variance, out=np.full(residual.shape, np.nan), where=variance > 0)
    return np.asarray(np.where((variance == 0) & (residual > 0), 0.0, found))


@dataclass(frozen=True)
class Dropout:
    """What is left out of a model.

    Attributes
    ----------
    name : of the kernel or group.
    removed : indices of its columns.
    parts : on which its adjusted score is taken, see `vbn.analysis.encoding.sums.Parts`.
    """

    name: str
    removed: Integers
    parts: tuple[int, ...] | str


@dataclass(frozen=True)
class Solution:
    """The models of some units.

    Attributes
    ----------
    weights : (n_columns, n_units) fitted to all rows.
    explained : (n_units, n_folds) of left-out rows.
    explained_train : (n_units,) of all rows.
    dropouts : (n_units, n_dropouts, n_measures), see `MEASURES`.
    raw_change : (n_units, n_dropouts) change without clipping.
    fold_weights : (n_folds, n_columns, n_units) fitted to the rows outside each fold.
    """

    weights: Floats
    explained: Floats
    explained_train: Floats
    dropouts: Floats
    raw_change: Floats
    fold_weights: Floats

    @property
    def raw(self) -> Floats:
        """Variance explained without clipping, mean over folds; 0 for units without variance."""
        return _mean(self.explained)

    @property
    def sem(self) -> Floats:
        """Standard deviation over folds over the root of their number; NaN without two folds."""
        known = np.isfinite(self.explained)
        n = known.sum(axis=1)
        values = np.where(known, self.explained, 0.0)
        mean = values.sum(axis=1) / np.maximum(n, 1)
        deviations = np.where(known, self.explained - mean[:, None], 0.0)
        sd = np.sqrt((deviations**2).sum(axis=1) / np.maximum(n, 1))
        return np.asarray(np.where(n > 1, sd / np.sqrt(np.maximum(n, 1)), np.nan))


def _mean(folds: Floats) -> Floats:
    """Return the mean over the folds (last axis) that are known; 0 where none is."""
    known = np.isfinite(folds)
    return np.asarray(np.where(known, folds, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))


class Solver:
    """The regressions of a session with one penalty: what of them does not depend on the units.

    Parameters
    ----------
    grams : (n_folds, n_columns, n_columns) X'X of each fold.
    penalty : lambda.
    base : the columns that every model has.
    dropouts : what is left out.
    threshold : of variance explained, below which there is no score.
    """

    def __init__(
        self, grams: Floats, penalty: float, base: Integers, dropouts: Sequence[Dropout], threshold: float
    ) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self.penalty, self.base, self.dropouts = penalty, base, list(dropouts)
        self._threshold = threshold
        total, identity = grams.sum(axis=0), np.eye(grams.shape[1])
        self._total = cho_factor(total + penalty * identity)
        self._folds = [cho_factor(total - gram + penalty * identity) for gram in grams]
        self._inverses = [cho_solve(factor, identity) for factor in self._folds]
        self._spreads = [gram @ inverse for gram, inverse in zip(grams, self._inverses, strict=True)]

    def solve(self, parts: Sequence[Sequence[Sums]], n_classes: int) -> Solution:
        """Fit and score the models of some units.

        Parameters
        ----------
        parts : sums of each part of each fold.
        n_classes : number of the first parts, which divide all rows.
        """
        from scipy.linalg import cho_solve

        whole = [reduce(add, of_fold[:n_classes]) for of_fold in parts]
        total = reduce(add, whole)
        weights = cho_solve(self._total, total.xy)
        base = _solved(total, self.base, self.penalty)
        train = _explained(
            _variance(*total.residuals(weights), total.n),
            _of_base(total, _variance(*total.residuals(base, self.base), total.n)),
        )
        explained, scores, fold_weights = [], [], []
        for number, of_fold in enumerate(whole):
            fold = _FoldScores(self, number, parts[number], of_fold, total - of_fold)
            explained.append(fold.explained)
            scores.append(fold.scores())
            fold_weights.append(fold.weights)
        of_folds = np.stack(explained, axis=-1)
        kinds = np.array(scores).reshape(len(whole), len(self.dropouts), 5, total.y.size)
        return Solution(
            weights=weights,
            explained=of_folds,
            explained_train=np.nan_to_num(train, nan=0.0),
            dropouts=measures(of_folds, np.moveaxis(kinds, 0, -1), self._threshold),
            raw_change=(_mean(np.moveaxis(kinds[:, :, 0], 0, -1)) - _mean(of_folds)).T,
            fold_weights=np.stack(fold_weights),
        )

    def raw_explained(self, whole: Sequence[Sums], change_of: Iterable[int] = ()) -> tuple[Floats, Floats]:
        """Return unclipped variance explained (n_units,), and changes of some dropouts (n_chosen, n_units).

        Parameters
        ----------
        whole : sums of each fold.
        change_of : numbers of the dropouts.
        """
        total = reduce(add, whole)
        chosen = [self.dropouts[number] for number in change_of]
        found, dropped = [], []
        for number, of_fold in enumerate(whole):
            fold = _FoldScores(self, number, [], of_fold, total - of_fold)
            found.append(fold.explained)
            dropped.append([fold.without(each)[0] for each in chosen])
        explained = _mean(np.stack(found, axis=-1))
        changes = _mean(np.array(dropped).reshape(len(whole), len(chosen), total.y.size).transpose(1, 2, 0))
        return explained, changes - explained


class _FoldScores:
    """The models of some units that are fitted outside a fold and scored in it."""

    def __init__(self, solver: Solver, number: int, parts: Sequence[Sums], test: Sums, train: Sums) -> None:
        from scipy.linalg import cho_solve

        self._solver, self._parts, self._test, self._train = solver, parts, test, train
        self._inverse, self._spread = solver._inverses[number], solver._spreads[number]
        self.weights = cho_solve(solver._folds[number], train.xy)
        self._base = _solved(train, solver.base, solver.penalty)
        self._of_full: dict[tuple[int, ...] | str, tuple[Sums, Floats]] = {}
        self._of_removed: dict[str, Floats] = {}
        self._base_mean = test.residuals(self._base, solver.base)[0] / max(test.n, 1)
        self._variance = _of_base(test, _variance(*test.residuals(self._base, solver.base), test.n))
        self._full = self._residuals_of_full(ALL)
        self.explained = _explained(_variance(*self._full, test.n), self._variance)

    def _rows(self, parts: tuple[int, ...] | str) -> tuple[Sums, Floats]:
        """Return the sums of parts of the fold, and X'X times the full model's weights there."""
        if parts not in self._of_full:
            sums = (
                self._test if isinstance(parts, str) else reduce(add, (self._parts[each] for each in parts))
            )
            self._of_full[parts] = sums, sums.xx @ self.weights
        return self._of_full[parts]

    def _residuals_of_full(self, parts: tuple[int, ...] | str) -> tuple[Floats, Floats]:
        sums, product = self._rows(parts)
        squares = sums.yy + ((product - 2 * sums.xy) * self.weights).sum(axis=0)
        return sums.y - sums.x @ self.weights, squares

    def scores(self) -> list[list[Floats]]:
        """Return what is explained of each dropout.

        Without its columns; adjusted, without them and by the full model; with them alone; adjusted, with
        them alone.
        """
        return [self._scores_of(each) for each in self._solver.dropouts]

    def _scores_of(self, dropout: Dropout) -> list[Floats]:
        without, residuals = self.without(dropout)
        index = np.concatenate([self._solver.base, dropout.removed])
        alone = _solved(self._train, index, self._solver.penalty)
        of_alone = self._test.residuals(alone, index)
        single = _explained(_variance(*of_alone, self._test.n), self._variance)
        if isinstance(dropout.parts, str):
            return [without, without, self.explained, single, single]
        sums, _ = self._rows(dropout.parts)
        reduced = self._without(dropout, dropout.parts)
        of_base = self._around(sums, sums.residuals(self._base, self._solver.base), self._base_mean)
        variance = _of_base(self._test, of_base)
        means = [total / max(self._test.n, 1) for total in (residuals[0], self._full[0], of_alone[0])]
        pairs = [reduced, self._residuals_of_full(dropout.parts), sums.residuals(alone, index)]
        adjusted = [
            _explained(self._around(sums, pair, mean), variance)
            for pair, mean in zip(pairs, means, strict=True)
        ]
        return [without, adjusted[0], adjusted[1], single, adjusted[2]]

    @staticmethod
    def _around(sums: Sums, residuals: tuple[Floats, Floats], mean: Floats) -> Floats:
        """Return the mean squared deviation of residuals in some rows from their mean in all of the fold."""
        if not sums.n:
            return np.full(mean.shape, np.nan)
        total, squares = residuals
        return np.asarray(np.maximum(squares - 2 * mean * total + sums.n * mean**2, 0.0) / sums.n)

    def without(self, dropout: Dropout) -> tuple[Floats, tuple[Floats, Floats]]:
        """Return what is explained without some columns, and sum and squares of the residuals."""
        residuals = self._without(dropout, ALL)
        return _explained(_variance(*residuals, self._test.n), self._variance), residuals

    def _without(self, dropout: Dropout, parts: tuple[int, ...] | str) -> tuple[Floats, Floats]:
        """Return sum and squares of the residuals of the refit without some columns, in parts of the fold.

        With M the inverse of X'X + lambda, the refit's weights are w - M[:, R] b, where b = M[R, R]^-1 w[R]:
        neither a new factorisation nor a product of the size of the full model is needed.
        """
        removed = dropout.removed
        sums, product = self._rows(parts)
        across, b = self._inverse[:, removed], self._b(dropout)
        spread = self._spread[:, removed] if isinstance(parts, str) else sums.xx @ across
        total, squares = self._residuals_of_full(parts)
        change = across.T @ (product - sums.xy)
        squares = squares + ((across.T @ spread @ b - 2 * change) * b).sum(axis=0)
        return total + (sums.x @ across) @ b, squares

    def _b(self, dropout: Dropout) -> Floats:
        """Return b of `_without`, (n_removed, n_units)."""
        if dropout.name not in self._of_removed:
            removed = dropout.removed
            block = self._inverse[np.ix_(removed, removed)]
            self._of_removed[dropout.name] = np.asarray(np.linalg.solve(block, self.weights[removed]))
        return self._of_removed[dropout.name]


def _solved(sums: Sums, index: Integers, penalty: float) -> Floats:
    """Return the weights of some columns, (n_index, n_units)."""
    from scipy.linalg import cho_factor, cho_solve

    gram = sums.xx[np.ix_(index, index)] + penalty * np.eye(index.size)
    return np.asarray(cho_solve(cho_factor(gram, overwrite_a=True), sums.xy[index]))


def _of_base(sums: Sums, variance: Floats) -> Floats:
    """Return the variance that a base model leaves; 0 where the counts themselves have none."""
    return np.asarray(np.where(sums.n * sums.yy == sums.y**2, 0.0, variance))


def measures(explained: Floats, scores: Floats, threshold: float) -> Floats:
    """Return the scores of dropouts.

    Parameters
    ----------
    explained : (n_units, n_folds) by the full model.
    scores : (n_dropouts, 5, n_units, n_folds) explained without the columns; adjusted, without them and by
        the full model; with them alone; adjusted, with them alone.
    threshold : of variance explained, below which there is no score.

    Returns
    -------
    (n_units, n_dropouts, n_measures), see `MEASURES`.
    """
    full = np.maximum(_mean(explained), 0.0)
    without, adjusted, adjusted_full, single, adjusted_single = np.maximum(
        _mean(np.moveaxis(scores, 1, 0)), 0.0
    )
    found = (
        without,
        without - full,
        dropout_score(without, full, threshold),
        dropout_score(adjusted, adjusted_full, threshold),
        single,
        single_score(single, full, threshold),
        single_score(adjusted_single, adjusted_full, threshold),
    )
    return np.stack([np.broadcast_to(each, without.shape).T for each in found], axis=-1)


def dropout_score(without: Floats, full: Floats, threshold: float) -> Floats:
    """Return the share of variance explained that is lost without some columns, -1 (all) to 0."""
    share = np.divide(without, full, out=np.ones(np.broadcast(without, full).shape), where=full > 0)
    return np.asarray(np.where((without > full) | (full < threshold), 0.0, -(1 - share)))


def single_score(single: Floats, full: Floats, threshold: float) -> Floats:
    """Return less the share of variance explained that some columns explain alone, -1 (all) to 0."""
    share = np.divide(single, full, out=np.zeros(np.broadcast(single, full).shape), where=full > 0)
    found = np.where(single > full, -1.0, -share)
    return np.asarray(np.where((full < threshold) | (single < threshold), 0.0, found))
