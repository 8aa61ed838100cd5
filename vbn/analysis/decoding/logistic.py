"""Logistic regression of many training sets at once, as a null needs thousands.

The optimum is that of scikit-learn's ``LogisticRegression(solver="liblinear")``, which penalises the
intercept like the other weights; it is found by Newton's method to a tolerance far below liblinear's own.
"""

from __future__ import annotations

import numpy as np

from vbn.analysis.spikes.trains import Booleans, Floats

MOST_STEPS = 100
_LEAST_SHARE, _ARMIJO, _TOLERANCE, _ROUNDING = 1e-6, 1e-4, 1e-7, 1e-12


def logistic_weights(features: Floats, signs: Floats, cost: float, start: Floats | None = None) -> Floats:
    """Minimise ``w'w / 2 + cost * sum(log(1 + exp(-signs * features w)))`` for many training sets.

    Parameters
    ----------
    features : (n_sets, n_items, n_features), with a column of ones for the intercept.
    signs : (n_sets, n_items) -1 or 1.
    cost : C of scikit-learn's ``LogisticRegression``.
    start : (n_sets, n_features) weights to begin with, 0 by default; of similar sets they save steps.

    Returns
    -------
    (n_sets, n_features) weights.

    Raises
    ------
    ArithmeticError
        If a minimum is not found, as with a cost of millions, or features that are not scaled.

    Notes
    -----
    Steps are found in single precision, which makes them cheap, and gradients in double precision, which
    makes the optimum exact.
    """
    from scipy.special import expit  # import takes half a second

    weights = np.zeros((len(features), features.shape[2])) if start is None else start.copy()
    moving = np.arange(len(features))
    signed = features * signs[..., np.newaxis]
    quick = signed.astype(np.float32)
    for _ in range(MOST_STEPS):
        now = weights[moving]
        missed = expit(-_margins(signed, now))
        gradient = now - cost * np.matmul(missed[:, np.newaxis], signed)[:, 0]
        still = np.abs(gradient).max(axis=1) > _TOLERANCE * (1 + np.abs(now).max(axis=1))
        if not still.any():
            break
        if not still.all():
            moving, now, gradient = moving[still], now[still], gradient[still]
            signed, missed = signed[still], missed[still]
            quick = quick[still]
        root = np.sqrt(cost * missed * (1 - missed)).astype(np.float32)
        curved = quick * root[..., np.newaxis]
        hessian = np.eye(signed.shape[2], dtype=np.float32) + np.matmul(curved.transpose(0, 2, 1), curved)
        step = np.linalg.solve(hessian, gradient[..., np.newaxis].astype(np.float32))[..., 0]
        weights[moving] = _lowered(signed, cost, now, step.astype(np.float64), gradient)
    else:
        raise ArithmeticError(f"{len(moving)} logistic regressions have no end after {MOST_STEPS} steps.")
    return weights


def _margins(signed: Floats, weights: Floats) -> Floats:
    return np.asarray(np.matmul(signed, weights[..., np.newaxis])[..., 0])


def _lowered(signed: Floats, cost: float, now: Floats, step: Floats, gradient: Floats) -> Floats:
    """Return the weights after as much of the step as lowers the loss (Armijo's rule), or leaves it."""

    def loss(weights: Floats, of: Booleans) -> Floats:
        missed = np.logaddexp(0, -_margins(signed[of], weights[of])).sum(axis=1)
        return np.asarray((weights[of] ** 2).sum(axis=1) / 2 + cost * missed)

    worse = np.ones(len(now), dtype=np.bool_)
    before, slope, share = loss(now, worse), (gradient * step).sum(axis=1), np.ones(len(now))
    while True:
        after = now - share[:, np.newaxis] * step
        most = before - _ARMIJO * share * slope + _ROUNDING * before
        worse[worse] = loss(after, worse) > most[worse]
        share[worse & (share <= _LEAST_SHARE)] = 0  # nothing lowers it
        worse &= share > 0
        if not worse.any():
            return np.asarray(now - share[:, np.newaxis] * step)
        share[worse] /= 2
