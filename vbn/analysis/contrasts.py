"""Contrasts of two groups of recordings: over mice, sessions and units, not over units as if independent.

Units of one mouse resemble each other, so that a test over units finds differences between any two groups of
mice. Here the observation is the mouse: a p-value flips signs of mice, an interval draws mice, and units in
their sessions (Saravanan, Berman and Sober 2020, PMC7906290).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy

FEWEST_MICE = 6
"""With fewer pairs no two-sided permutation of signs can reach .05: 2 / 2**5 is .06."""
MOST_EXACT = 2**14
N_PERMUTATIONS = 10_000
PIECE = 1 << 22  # units drawn at once

Statistic = Callable[..., Any]
Index = Literal["difference", "bennett_2025"]
INDICES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "difference": lambda first, second: second - first,
    "bennett_2025": lambda first, second: _normalised(first, second),
}


@dataclass(frozen=True)
class Contrast:
    """A difference between two groups of recordings, and how sure it is.

    Attributes
    ----------
    estimate : mean over mice of the second group's mean less the first's, or of their index.
    low, high : 95 % interval by a hierarchical bootstrap.
    p_value : two-sided, by permutation over mice; NaN with fewer than `FEWEST_MICE`.
    lowest, highest : estimates without one of the mice.
    n_mice, n_sessions, n_units : what it rests on.
    mice : ids of the mice, with spaces between.
    """

    estimate: float
    low: float
    high: float
    p_value: float
    lowest: float
    highest: float
    n_mice: int
    n_sessions: int
    n_units: int
    mice: str


NAN = float("nan")
NOTHING = Contrast(NAN, NAN, NAN, NAN, NAN, NAN, 0, 0, 0, "")


def paired_contrast(
    units: pd.DataFrame,
    *,
    index: Index = "difference",
    min_units: int = 6,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Contrast:
    """Compare two groups of sessions of the same mice.

    Parameters
    ----------
    units : one row per unit: ``mouse_id``, ``session_id``, ``is_second`` (bool), ``value``; units without a
        value are left out.
    index : ``difference`` of the means of a mouse, or the index of Bennett et al. 2025, the difference over
        the greater of the two in size, -2 to 2.
    min_units : mice with fewer units in either group are left out.
    n_resamples : draws of the bootstrap.
    seed : of the draws.

    Returns
    -------
    Contrast
        NaN without a mouse that has both.

    Notes
    -----
    The percentiles are those of a t interval with as many mice, wider than 2.5 and 97.5 (Hesterberg 2015,
    10.1080/00031305.2015.1089789): plain ones are too narrow with few.
    """
    kept = units.dropna(subset=["value"])
    counts = kept.groupby(["mouse_id", "is_second"]).size()
    in_both = (counts >= min_units).groupby("mouse_id").sum() == 2
    mice = in_both.index[in_both]
    kept = kept[kept["mouse_id"].isin(mice)]
    if kept.empty:
        return NOTHING
    rng = np.random.default_rng(seed)
    groups = [_values_of_sessions(kept[kept["is_second"] == is_second], mice) for is_second in (False, True)]
    observed, drawn = (
        INDICES[index](*(_means_of_mice(group, draws, rng) for group in groups)) for draws in (0, n_resamples)
    )
    return _summarised(observed[0], _draws_of_mice(drawn, rng), sign_flip_p_value(observed[0], rng), kept)


def unpaired_contrast(
    units: pd.DataFrame, *, min_units: int = 6, n_resamples: int = 2000, seed: int = 0
) -> Contrast:
    """Compare two groups of mice, each in one group only.

    Parameters and result are those of `paired_contrast`, by the difference. Group means are means over mice.

    Raises
    ------
    ValueError
        If a mouse is in both groups: it would count as two.
    """
    kept = units.dropna(subset=["value"])
    counts = kept.groupby(["mouse_id", "is_second"]).size()
    kept = kept[kept["mouse_id"].isin(counts.index.get_level_values(0)[counts >= min_units])]
    if kept.groupby("mouse_id")["is_second"].nunique().max() > 1:
        raise ValueError("a mouse is in both groups; compare them within mice.")
    groups = [kept[kept["is_second"] == is_second] for is_second in (False, True)]
    if any(group.empty for group in groups):
        return NOTHING
    rng = np.random.default_rng(seed)
    means, drawn = [], []
    for group in groups:
        of_mice = _values_of_sessions(group, pd.Index(group["mouse_id"].unique()))
        means.append(_means_of_mice(of_mice, 0, rng)[0])
        drawn.append(_draws_of_mice(_means_of_mice(of_mice, n_resamples, rng), rng))
    estimate, draws = means[1].mean() - means[0].mean(), drawn[1] - drawn[0]
    without = [
        np.delete(means[1], k).mean() - means[0].mean() for k in range(len(means[1])) if len(means[1]) > 1
    ]
    without += [
        means[1].mean() - np.delete(means[0], k).mean() for k in range(len(means[0])) if len(means[0]) > 1
    ]
    low, high = _interval(draws, min(map(len, means)))
    return Contrast(
        float(estimate), low, high, permutation_p_value(means[0], means[1], rng),
        min(without, default=np.nan), max(without, default=np.nan),
        sum(map(len, means)), kept["session_id"].nunique(), len(kept), _named(kept),
    )  # fmt: skip


def level_of_mice(
    units: pd.DataFrame, *, n_resamples: int = 400, seed: int = 0
) -> tuple[float, float, float]:
    """Return a level over mice with its 95 % interval: the mean of the medians of sessions.

    Parameters
    ----------
    units : one row per unit: ``mouse_id``, ``session_id`` and a finite ``value``.
    n_resamples, seed : see `paired_contrast`.

    Returns
    -------
    The mean over mice of the mean over their sessions of the median over units, and its limits, by the
    bootstrap of `paired_contrast`; infinite for one mouse.
    """
    rng = np.random.default_rng(seed)
    ordered = units.sort_values(["mouse_id", "session_id", "value"])
    mice = pd.Index(ordered["mouse_id"].unique())
    of_mice = _values_of_sessions(ordered, mice)
    observed, drawn = (_means_of_mice(of_mice, draws, rng, np.median) for draws in (0, n_resamples))
    if len(mice) < 2:
        return float(observed.mean()), -np.inf, np.inf
    return float(observed.mean()), *_interval(_draws_of_mice(drawn, rng), len(mice))


def sign_flip_p_value(differences: np.ndarray, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of a mean of pairs, under exchanged signs.

    Parameters
    ----------
    differences : (n_mice,).
    rng : for the draws, where there are more than 16,384 combinations; else all are counted.
    """
    n = len(differences)
    if n < FEWEST_MICE:
        return float("nan")
    if 2**n <= MOST_EXACT:
        return _share(np.abs(_every_sign(n) @ differences), abs(differences.sum()))
    signs = rng.choice((-1, 1), (N_PERMUTATIONS, n))
    return _share_of_draws(np.abs(signs @ differences), abs(differences.sum()))


@lru_cache(maxsize=4)
def _every_sign(n: int) -> np.ndarray:
    """Return all combinations of n signs, (2**n, n)."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)))


def permutation_p_value(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Return the two-sided p-value of a difference of means, under exchanged labels.

    NaN where no exchange could reach .05. All are counted if they are at most 16,384.
    """
    values, n = np.concatenate([first, second]), len(first)
    combinations = comb(len(values), n)
    if combinations < 40:
        return float("nan")
    observed = abs(second.mean() - first.mean())
    if combinations <= MOST_EXACT:
        chosen = np.array(list(itertools.combinations(range(len(values)), n)))
    else:
        chosen = rng.permuted(np.tile(np.arange(len(values)), (N_PERMUTATIONS, 1)), axis=1)[:, :n]
    sums = values[chosen].sum(axis=1)
    found = np.abs((values.sum() - sums) / (len(values) - n) - sums / n)
    return (_share if combinations <= MOST_EXACT else _share_of_draws)(found, observed)


def _share(found: np.ndarray, observed: float) -> float:
    return float((found >= observed * (1 - 1e-9)).mean())


def _share_of_draws(found: np.ndarray, observed: float) -> float:
    return float((1 + (found >= observed * (1 - 1e-9)).sum()) / (1 + len(found)))


def _means_of_mice(
    of_mice: list[list[np.ndarray]],
    n_resamples: int,
    rng: np.random.Generator,
    statistic: Statistic = np.mean,
) -> np.ndarray:
    """Return the mean over sessions of a statistic of the units of each mouse, (1 or n_resamples, n_mice).

    With resamples, units are drawn with replacement within their sessions.
    """
    means = [[_of_units(each, n_resamples, rng, statistic) for each in sessions] for sessions in of_mice]
    return np.column_stack([np.mean(each, axis=0) for each in means])


def _values_of_sessions(units: pd.DataFrame, mice: pd.Index) -> list[list[np.ndarray]]:
    """Return the values of the units of each session, sessions by id, of each mouse.

    Sorted once: a group of pandas for each mouse and session took most of a contrast's time.
    """
    mouse, (session, _) = (
        mice.get_indexer(pd.Index(units["mouse_id"])),
        pd.factorize(units["session_id"], sort=True),
    )
    order = np.lexsort((session, mouse))
    mouse, session = mouse[order], session[order]
    begins = np.flatnonzero(np.diff(mouse, prepend=-1) | np.diff(session, prepend=-1))
    values: list[list[np.ndarray]] = [[] for _ in mice]
    for number, of_session in zip(
        mouse[begins], np.split(units["value"].to_numpy(float)[order], begins[1:]), strict=True
    ):
        values[number].append(of_session)
    return values


def _of_units(
    values: np.ndarray, n_resamples: int, rng: np.random.Generator, statistic: Statistic
) -> np.ndarray:
    if not n_resamples:
        return np.array([statistic(values)])
    pieces = np.array_split(np.arange(n_resamples), max(1, n_resamples * len(values) // PIECE))
    return np.concatenate(
        [statistic(values[rng.integers(0, len(values), (len(p), len(values)))], axis=1) for p in pieces]
    )


def _draws_of_mice(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return means over mice that are drawn with replacement, each time with other units."""
    n_resamples, n_mice = drawn.shape
    rows = rng.integers(0, n_resamples, (n_resamples, n_mice))
    return np.asarray(drawn[rows, rng.integers(0, n_mice, (n_resamples, n_mice))].mean(axis=1))


def _interval(draws: np.ndarray, n_mice: int) -> tuple[float, float]:
    if n_mice < 2:
        return float("nan"), float("nan")
    share = scipy.stats.norm.cdf(np.sqrt(n_mice / (n_mice - 1)) * scipy.stats.t.ppf(0.025, n_mice - 1))
    low, high = np.nanquantile(draws, [share, 1 - share])
    return float(low), float(high)


def _summarised(of_mice: np.ndarray, draws: np.ndarray, p_value: float, units: pd.DataFrame) -> Contrast:
    n = len(of_mice)
    without = (of_mice.sum() - of_mice) / (n - 1) if n > 1 else np.array([np.nan])
    return Contrast(
        float(of_mice.mean()), *_interval(draws, n), p_value, float(without.min()), float(without.max()),
        n, units["session_id"].nunique(), len(units), _named(units),
    )  # fmt: skip


def _named(units: pd.DataFrame) -> str:
    return " ".join(map(str, sorted(units["mouse_id"].unique())))


def _normalised(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the difference over the greater of the two in size; 0 where both are 0."""
    greater = np.maximum(np.abs(first), np.abs(second))
    return np.asarray(np.divide(second - first, greater, out=np.zeros_like(greater), where=greater > 0))
