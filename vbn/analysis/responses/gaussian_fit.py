"""Least-squares fits of two-dimensional Gaussians to many maps at once.

The method is Levenberg's and Marquardt's, with the tests of MINPACK (Moré 1978, 10.1007/BFb0067700) and the
damping of Nielsen 1999 (IMM-REP-1999-05). It is not left to ``scipy.optimize.leastsq``: that of SciPy 1.17
reads memory which it has not written, so that the fits of one map differed in their last digits, or were
other local minima. Here nothing but the map decides: sums are taken map by map, in one order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields

import numpy as np

from vbn.analysis.spikes.trains import Booleans, Floats, Integers

MAX_STEPS = 400
TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))
"""Relative change of the sum of squares, or of the parameters, at which a fit has converged."""

LAST_STEPS = 10
"""Steps after that: where the map says where the Gaussian is, they lead to the last digits."""

_FIRST_DAMPING, _LEAST_RATIO, _MOST_DAMPING = 1e-3, 1e-4, 1e100


@dataclass(frozen=True)
class GaussianFits:
    """Gaussians that were fitted to maps.

    Attributes
    ----------
    parameters : (n_maps, 5 or 6) amplitude, column and row of the centre, standard deviations along columns
        and rows (of any sign), and the offset, if there is one; NaN where the fit did not converge.
    squares : (n_maps,) sums of squared residuals; infinite where it did not.
    """

    parameters: Floats
    squares: Floats


def fit_gaussians(maps: Floats, starts: Floats) -> GaussianFits:
    """Fit a Gaussian, with a constant offset or without, to each map.

    Parameters
    ----------
    maps : (n_maps, n_rows, n_columns).
    starts : (n_maps, 5 or 6) parameters to start from, see `GaussianFits`.
    """
    solutions, squares = np.full(starts.shape, np.nan), np.full(starts.shape[0], np.inf)
    active = np.arange(starts.shape[0])
    with np.errstate(all="ignore"):  # a step that leads nowhere is not taken
        search = _Search.begun(maps.reshape(maps.shape[0], maps.shape[1] * maps.shape[2]), starts, maps.shape)
        for _ in range(MAX_STEPS):
            if not active.size:
                break
            search.step()
            is_done = search.last_steps == 0
            is_good = is_done & np.isfinite(search.parameters).all(axis=1) & np.isfinite(search.squares)
            solutions[active[is_good]] = search.parameters[is_good]
            squares[active[is_good]] = search.squares[is_good]
            goes_on = ~is_done & (search.damping < _MOST_DAMPING)
            active, search = active[goes_on], search.of(goes_on)
    return GaussianFits(solutions, squares)


@dataclass
class _Search:
    """Searches that go on, one row each."""

    targets: Floats  # (n_maps, n_bins)
    shape: tuple[int, ...]
    parameters: Floats  # (n_maps, n_parameters)
    residuals: Floats  # (n_maps, n_bins)
    squares: Floats  # (n_maps,)
    scale: Floats  # (n_maps, n_parameters) greatest squared norm of each derivative
    damping: Floats
    growth: Floats  # of the damping at the next step that leads nowhere
    last_steps: Integers  # steps to go since a search has converged; before it all of them

    @classmethod
    def begun(cls, targets: Floats, starts: Floats, shape: tuple[int, ...]) -> _Search:
        """Return searches that begin at given parameters."""
        n = starts.shape[0]
        begun = cls(
            targets, shape, starts.copy(), np.zeros(targets.shape), np.zeros(n), np.zeros(starts.shape),
            np.full(n, _FIRST_DAMPING), np.full(n, 2.0), np.full(n, LAST_STEPS),
        )  # fmt: skip
        begun.residuals = begun._model(starts)[0] - targets
        begun.squares = _of_rows(begun.residuals, begun.residuals)
        return begun

    def of(self, chosen: Booleans) -> _Search:
        """Return some of the searches."""
        rows = (each.name for each in dataclass_fields(self) if each.name != "shape")
        return replace(self, **{name: getattr(self, name)[chosen] for name in rows})

    def step(self) -> None:
        """Try one step each, and take those that lead down."""
        derivatives = self._model(self.parameters)[1]
        gradient = np.stack([_of_rows(each, self.residuals) for each in derivatives], axis=1)
        products = [
            [_of_rows(one, other) for other in derivatives[: k + 1]] for k, one in enumerate(derivatives)
        ]
        norms = np.stack([row[-1] for row in products], axis=1)
        self.scale = np.fmax(self.scale, norms)
        of_scale = np.where(self.scale > 0, self.scale, 1.0)
        weights = self.damping[:, np.newaxis] * of_scale
        for k, row in enumerate(products):
            row[-1] = row[-1] + weights[:, k]
        change = -_solved(products, gradient)
        tried = self.parameters + change
        residuals = self._model(tried)[0] - self.targets
        squares = _of_rows(residuals, residuals)
        predicted, actual = _of_rows(change, weights * change - gradient), self.squares - squares
        ratio = actual / predicted
        is_flat = (np.abs(actual) <= TOLERANCE * self.squares) & (predicted <= TOLERANCE * self.squares)
        is_short = _of_rows(of_scale * change, change) <= TOLERANCE**2 * _of_rows(of_scale * tried, tried)
        is_down = (ratio > _LEAST_RATIO) & np.isfinite(squares)
        self._take(is_down, tried, residuals, squares, ratio)
        has_converged = (is_flat & (ratio <= 2)) | is_short | (self.squares == 0)
        self.last_steps = self.last_steps - (has_converged | (self.last_steps < LAST_STEPS))

    def _take(
        self, is_down: Booleans, tried: Floats, residuals: Floats, squares: Floats, ratio: Floats
    ) -> None:
        self.parameters = np.where(is_down[:, np.newaxis], tried, self.parameters)
        self.residuals = np.where(is_down[:, np.newaxis], residuals, self.residuals)
        self.squares = np.where(is_down, squares, self.squares)
        trusted = 2 * ratio - 1
        less = np.maximum(1 / 3, 1 - trusted * trusted * trusted)
        self.damping = self.damping * np.where(is_down, less, self.growth)
        self.growth = np.where(is_down, 2.0, 2 * self.growth)

    def _model(self, parameters: Floats) -> tuple[Floats, list[Floats]]:
        """Return (n_maps, n_bins) the Gaussians, and their derivatives by each parameter."""
        row, column = (index.ravel().astype(np.float64) for index in np.indices(self.shape[1:]))
        amplitude, x, y, width, height = parameters.T[:5, :, np.newaxis]
        u, v = (column - x) / width, (row - y) / height
        bell = np.exp(-(u * u + v * v) / 2)
        high = amplitude * bell
        by = [bell, high * u / width, high * v / height, high * u * u / width, high * v * v / height]
        if parameters.shape[1] == 5:
            return high, by
        return high + parameters[:, 5:], [*by, np.ones_like(bell)]


def _of_rows(first: Floats, second: Floats) -> Floats:
    """Return (n_maps,) sums of the products of each row, in an order that other rows do not change."""
    return np.asarray((first * second).sum(axis=1))


def _solved(matrix: list[list[Floats]], right: Floats) -> Floats:
    """Solve symmetric systems by Cholesky's factors; NaN where one is not positive definite.

    Parameters
    ----------
    matrix : lower triangle, rows of columns, each (n_maps,).
    right : (n_maps, n_parameters).
    """
    n = len(matrix)
    factor: list[list[Floats]] = []
    for i in range(n):
        factor.append([])
        for j in range(i + 1):
            rest = matrix[i][j]
            for k in range(j):
                rest = rest - factor[i][k] * factor[j][k]
            factor[i].append(np.sqrt(rest) if i == j else rest / factor[j][j])
    forward: list[Floats] = []
    for i in range(n):
        rest = right[:, i]
        for k in range(i):
            rest = rest - factor[i][k] * forward[k]
        forward.append(rest / factor[i][i])
    solution = np.empty(right.shape)
    for i in reversed(range(n)):
        rest = forward[i]
        for k in range(i + 1, n):
            rest = rest - factor[k][i] * solution[:, k]
        solution[:, i] = rest / factor[i][i]
    return solution
