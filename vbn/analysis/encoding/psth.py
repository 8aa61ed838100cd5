"""Rates that a model predicts around flashes, beside the measured ones: averages of rows that were left out.

A mean of predictions is the prediction from the mean row of the design, so that means of rows are enough.

The mean over all folds is for the eye only: each fold is predicted from the others, and the mean over folds
of means over the others is the mean of all. Predictions are compared with measurements fold by fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vbn.analysis.encoding.design import Design
from vbn.analysis.encoding.parameters import BIN_S, BINS_PER_FLASH
from vbn.analysis.encoding.sums import ROWS_AT_ONCE, Counts, Folds
from vbn.analysis.spikes.trains import Floats, Integers

PSTH_BINS = 2 * BINS_PER_FLASH
"""Bins of a predicted PSTH: a flash and the one after it."""


@dataclass(frozen=True)
class MeanRows:
    """Mean rows of the design after the flashes of each condition, divided by the fold that they are in.

    Attributes
    ----------
    names : (n_conditions,) conditions with flashes.
    n_flashes : (n_conditions,) flashes of each.
    rows : (n_folds, n_conditions, `PSTH_BINS`, n_columns) sums over the rows of the fold.
    summed : (n_folds * n_conditions * `PSTH_BINS`, n_rows) sparse; a product with it sums rows of the design.
    """

    names: list[str]
    n_flashes: list[int]
    rows: Floats
    summed: Any

    @property
    def n(self) -> Integers:
        """Number of rows that are summed, (n_folds, n_conditions, `PSTH_BINS`)."""
        return np.rint(self.rows[..., 0]).astype(np.int64)  # the intercept is 1 in each

    def predicted(self, fold_weights: Floats) -> Floats:
        """Return the sums of predictions, (n_units, n_folds, n_conditions, `PSTH_BINS`) spikes.

        Parameters
        ----------
        fold_weights : (n_folds, n_columns, n_units) fitted to the rows outside each fold.
        """
        n_folds, *shape, n_columns = self.rows.shape
        flat = self.rows.reshape(n_folds, -1, n_columns)
        products = np.stack([rows @ weights for rows, weights in zip(flat, fold_weights, strict=True)])
        return np.asarray(np.moveaxis(products.reshape(n_folds, *shape, fold_weights.shape[-1]), -1, 0))

    def measured(self, counts: Counts) -> Floats:
        """Return the sums of counts in the same rows, given (n_rows, n_units)."""
        found = np.zeros((self.summed.shape[0], counts.shape[1]))
        for rows in _slices(counts.shape[0]):
            found += self.summed[:, rows] @ counts[rows].astype(np.float64)
        return np.moveaxis(found.reshape(*self.rows.shape[:3], counts.shape[1]), -1, 0)

    def rates_hz(self, sums: Floats) -> Floats:
        """Return mean rates over all folds, (n_units, n_conditions, `PSTH_BINS`), given sums."""
        return np.asarray(sums.sum(axis=1) / self.n.sum(axis=0) / BIN_S)


def mean_rows(design: Design, folds: Folds) -> MeanRows:
    """Average the rows of a design around the flashes of each of its conditions.

    Flashes of which the next one is not fitted are left out.
    """
    fold_of_row = folds.of_rows(folds.score)
    n_flashes = int(design.flash.max()) + 1 if design.n_rows else 0
    first_row = np.full(n_flashes + 1, -1)
    first_row[design.flash[::BINS_PER_FLASH]] = np.arange(0, design.n_rows, BINS_PER_FLASH)
    names, sizes, bins = [], [], []
    for name, belongs in design.conditions.items():
        flash = np.flatnonzero(belongs[:n_flashes])
        flash = flash[(first_row[flash] >= 0) & (first_row[flash + 1] >= 0)]
        if flash.size:
            names.append(name)
            sizes.append(int(flash.size))
            bins.append(first_row[flash][:, None] + np.arange(PSTH_BINS))
    summed = _summed(bins, fold_of_row, folds.n)
    shape = folds.n, len(names), PSTH_BINS, design.n_columns
    rows = np.zeros((summed.shape[0], design.n_columns))
    for some in _slices(design.n_rows):
        rows[:, : design.n_counts] += (summed[:, some] @ design.events[some]).toarray()
        rows[:, design.n_counts :] += summed[:, some] @ design.trace_rows(some)
    return MeanRows(names, sizes, rows.reshape(shape), summed)


def _summed(bins: list[Integers], fold_of_row: Integers, n_folds: int) -> Any:
    """Return which rows are summed, see `MeanRows`, given those of the bins of each condition."""
    from scipy.sparse import csc_array

    sums, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for condition, of_condition in enumerate(bins):
        sums.append(
            ((fold_of_row[of_condition] * len(bins) + condition) * PSTH_BINS + np.arange(PSTH_BINS)).ravel()
        )
        rows.append(of_condition.ravel())
    places = np.concatenate(sums), np.concatenate(rows)
    shape = (n_folds * len(bins) * PSTH_BINS, fold_of_row.size)
    return csc_array((np.ones(places[0].size), places), shape=shape)


def _slices(n_rows: int) -> list[slice]:
    return [slice(first, first + ROWS_AT_ONCE) for first in range(0, n_rows, ROWS_AT_ONCE)]


def psth_correlation(predicted: Floats, measured: Floats, n: Integers) -> Floats:
    """Return the correlation of predicted and measured rates, fold by fold, (n_units,).

    Parameters
    ----------
    predicted, measured : (n_units, n_folds, n_conditions, n_bins) sums.
    n : (n_folds, n_conditions, n_bins) number of rows that are summed.

    Returns
    -------
    Pearson's r over folds, conditions and bins, weighted by the number of rows; NaN where either does not
    vary.
    """
    known = n > 0
    weight = n[known] / max(int(n.sum()), 1)
    x, y = (sums[:, known] / n[known] for sums in (predicted, measured))
    x, y = (each - (each @ weight)[:, None] for each in (x, y))
    size = np.sqrt(((x**2) @ weight) * ((y**2) @ weight))
    return np.asarray(np.divide((x * y) @ weight, size, out=np.full(size.shape, np.nan), where=size > 1e-15))
