"""The same model fitted by psytrack, the package of Roy et al. 2021."""

from __future__ import annotations

from typing import Any

import numpy as np

from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.strategy.random_walk import WalkPrior, Walks
from vbn.errors import AbsentExtraError


def psytrack_walks(x: Floats, y: Booleans, prior: WalkPrior) -> Walks:
    """Find sigmas and weights as `vbn.analysis.strategy.random_walk.fit_walks` does.

    Parameters
    ----------
    x, y, prior : as for `fit_walks`.

    Raises
    ------
    AbsentExtraError
        If psytrack is not installed.
    """
    fit = _psytrack().hyperOpt
    names = [f"column_{number:03d}" for number in range(x.shape[1])]  # it returns them in order of the names
    data = {"y": y.astype(np.int64), "inputs": {name: x[:, [at]] for at, name in enumerate(names)}}
    first = {"sigma": [prior.sigma_start] * len(names), "sigInit": prior.sigma_initial}
    hyper, evidence, weights, of_curvature = fit(data, first, dict.fromkeys(names, 1), ["sigma"])
    return Walks(
        weights=np.ascontiguousarray(weights.T),
        weight_sd=np.ascontiguousarray(of_curvature["W_std"].T),
        sigma=np.atleast_1d(np.asarray(hyper["sigma"], dtype=np.float64)),
        log_evidence=float(evidence),
    )


def _psytrack() -> Any:
    """Import psytrack, which brings matplotlib."""
    try:
        import psytrack
    except ImportError as error:
        raise AbsentExtraError("psytrack", "strategy", "The solver 'psytrack' of strategy models") from error
    return psytrack
