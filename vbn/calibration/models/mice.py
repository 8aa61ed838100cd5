"""Mice that lick by weights that are known, in the flashes of a simulated session."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Floats
from vbn.analysis.strategy.regressors import BIAS, OMISSION, POST_OMISSION, TASK, TIMING, timing
from vbn.synthetic.signals import slow_noise

Weights = dict[str, Floats]
_MICE = 61
_LONG_BOUTS = 0.4


@dataclass(frozen=True)
class MouseWorld:
    """One way to lick.

    Parameters
    ----------
    about : what the mouse goes by, for the page.
    weights : draws (n_flashes,) of each regressor.
    effects : regressors that matter, by their names.
    """

    about: str
    weights: Callable[[np.random.Generator, int], Weights]
    effects: frozenset[str] = field(default_factory=frozenset)

    def holds(self, claims: tuple[str, ...]) -> bool:
        """Return whether one of the regressors matters."""
        return bool({*claims} & self.effects)


def _constant(**weights: float) -> Callable[[np.random.Generator, int], Weights]:
    return lambda _rng, n: {name: np.full(n, value) for name, value in weights.items()}


def _drifting(rng: np.random.Generator, n: int) -> Weights:
    return {BIAS: -2 + 0.7 * slow_noise(rng, n, 600.0)}


def _walking(rng: np.random.Generator, n: int) -> Weights:
    first = {BIAS: -2.0, OMISSION: -1.0, POST_OMISSION: 0.5, TASK: 2.0, TIMING: 2.0}
    return {name: value + np.cumsum(rng.normal(0, 0.015, size=n)) for name, value in first.items()}


MICE: Mapping[str, MouseWorld] = {
    "mouse_random": MouseWorld("bouts begin at random, in one of eight flashes", _constant(bias=-2.0)),
    "mouse_drifting": MouseWorld("the same at a rate that drifts within ten minutes", _drifting),
    "mouse_visual": MouseWorld(
        "by changes only (weight 3.5)", _constant(bias=-3.0, task0=3.5), frozenset({TASK})
    ),
    "mouse_timing": MouseWorld(
        "by the time since the last bout only (weight 4)", _constant(bias=-1.0, timing1D=4.0),
        frozenset({TIMING}),
    ),
    "mouse_walking": MouseWorld(
        "five weights, all of which walk (.015 a flash)", _walking,
        frozenset({OMISSION, POST_OMISSION, TASK, TIMING}),
    ),
}  # fmt: skip


def mouse_weights(seed: int, index: int, name: str, n_flashes: int) -> tuple[Weights, np.random.Generator]:
    """Draw the weights of a mouse; also return the generator for its licks."""
    rng = np.random.default_rng([seed, index, _MICE, zlib.crc32(name.encode())])
    return MICE[name].weights(rng, n_flashes), rng


def lick(rng: np.random.Generator, task: pd.DataFrame, weights: Weights) -> Floats:
    """Draw the licks of a mouse; some bouts go on into the next flash or two.

    Parameters
    ----------
    rng : random numbers.
    task : from `vbn.analysis.strategy.regressors.task_flashes`.
    weights : of the regressors, (n_flashes,) each.
    """
    omission, change = task["omitted"].to_numpy(np.float64), task["is_change"].to_numpy(np.float64)
    before = np.append(0.0, omission[:-1])
    by_time = timing(np.arange(1, len(task) + 2))
    fixed = np.zeros(len(task))
    for name, x in ((BIAS, 1.0), (OMISSION, omission), (POST_OMISSION, before), (TASK, change)):
        fixed += weights.get(name, np.zeros(len(task))) * x
    of_time = weights.get(TIMING, np.zeros(len(task)))
    licks: list[float] = []
    since, busy = 1, 0
    for flash, start in enumerate(task["start_time"].to_numpy(np.float64).tolist()):
        ended = False
        if busy:
            licks += [start + 0.05, start + 0.3, *([start + 0.6] if busy > 1 else [])]
            busy -= 1
            ended = busy == 0
        elif rng.random() < 1 / (1 + np.exp(-fixed[flash] - of_time[flash] * by_time[since - 1])):
            licks.append(start + float(rng.uniform(0.2, 0.5)))
            if rng.random() < _LONG_BOUTS:
                licks.append(start + 0.65)
                busy = int(rng.integers(1, 3))
            ended = busy == 0
        since = 1 if ended else since + 1
    return np.array(licks)
