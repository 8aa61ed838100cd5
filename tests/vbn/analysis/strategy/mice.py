"""Simulated mice: flashes of a task, and licks by weights that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vbn.analysis.strategy.regressors import timing

FLASH_S = 0.7506
Weight = float | np.ndarray


@dataclass(frozen=True)
class Mouse:
    flashes: pd.DataFrame
    lick_times: np.ndarray


def task(n_flashes: int, seed: int, *, omitted: float = 0.05) -> pd.DataFrame:
    """Return a task: changes 5 flashes or more apart, omissions in between."""
    rng = np.random.default_rng([seed, 1])
    change = np.zeros(n_flashes, bool)
    at = 5
    while at < n_flashes:
        change[at] = True
        at += 5 + int(rng.geometric(0.2))
    omission = (rng.random(n_flashes) < omitted) & ~change
    if omitted:
        omission[0] = False
    table = pd.DataFrame(
        {
            "start_time": 10 + FLASH_S * np.arange(n_flashes),
            "active": True,
            "omitted": omission,
            "is_change": change,
        },
        index=np.arange(n_flashes) + 7,
    )
    return table.assign(engaged_piet_2024=True)


def mouse(
    n_flashes: int,
    seed: int,
    weights: Mapping[str, Weight],
    *,
    omitted: float = 0.05,
    long_bouts: float = 0.4,
) -> Mouse:
    """Return a mouse that licks at each flash by its weights; some bouts go on into the next flash or two."""
    flashes = task(n_flashes, seed, omitted=omitted)
    rng = np.random.default_rng([seed, 2])
    weight = {name: np.broadcast_to(value, n_flashes) for name, value in weights.items()}
    omission, change = flashes["omitted"].to_numpy(float), flashes["is_change"].to_numpy(float)
    since, busy, licks = 1, 0, []
    for flash, start in enumerate(flashes["start_time"]):
        x = {
            "bias": 1.0,
            "task0": change[flash],
            "omissions": omission[flash],
            "omissions1": omission[flash - 1] if flash else 0.0,
            "timing1D": float(timing(np.array([since]))[0]),
        }
        drive = sum(weight[name][flash] * x[name] for name in weight)
        ended = False
        if busy:
            licks += [start + 0.05, start + 0.3]
            licks += [start + 0.6] if busy > 1 else []
            busy -= 1
            ended = busy == 0
        elif rng.random() < 1 / (1 + np.exp(-drive)):
            licks.append(start + rng.uniform(0.2, 0.5))
            if rng.random() < long_bouts:
                licks.append(start + 0.65)
                busy = int(rng.integers(1, 3))
            ended = busy == 0
        since = 1 if ended else since + 1
    return Mouse(flashes, np.array(licks))


def walk(rng: np.random.Generator, n_rows: int, first: float, sigma: float) -> np.ndarray:
    """Return a weight that begins with a value and walks."""
    return first + np.append(0, np.cumsum(rng.normal(0, sigma, n_rows - 1)))
