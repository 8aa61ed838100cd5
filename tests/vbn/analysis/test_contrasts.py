"""Contrasts over mice: level without an effect, coverage with one, and what is too few."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vbn.analysis.contrasts import (
    paired_contrast,
    permutation_p_value,
    sign_flip_p_value,
    unpaired_contrast,
)


def world(seed: int, n_mice: int, effect: float, *, paired: bool = True) -> pd.DataFrame:
    """Units whose mice and sessions differ more than the units within them."""
    rng = np.random.default_rng(seed)
    rows = []
    for mouse in range(n_mice):
        of_mouse = rng.normal(0, 1)
        for is_second in (False, True) if paired else (bool(mouse % 2),):
            mean = of_mouse + rng.normal(0, 0.7) + effect * is_second
            values = rng.normal(mean, 1, int(rng.integers(6, 40)))
            rows += [(mouse, 10 * mouse + is_second, is_second, value) for value in values]
    return pd.DataFrame(rows, columns=["mouse_id", "session_id", "is_second", "value"])


@pytest.mark.simulation
def test_without_an_effect_few_are_found_and_with_one_the_interval_holds_it() -> None:
    """A rank sum over units, as if they were independent, finds an effect in most worlds without one."""
    n, n_mice, pooled = 200, 10, 0
    null = [paired_contrast(world(seed, n_mice, 0), n_resamples=1) for seed in range(n)]
    for seed in range(40):
        units = world(seed, n_mice, 0)
        first, second = (units["value"][units["is_second"] == each] for each in (False, True))
        pooled += bool(stats.ranksums(first, second).pvalue <= 0.05)
    assert np.mean([each.p_value <= 0.05 for each in null]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert pooled > 10
    held = [
        each.low <= 0.8 <= each.high
        for each in (paired_contrast(world(seed, n_mice, 0.8), n_resamples=150) for seed in range(n // 2))
    ]
    assert np.mean(held) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / len(held))
    power = [paired_contrast(world(seed, n_mice, 1.5), n_resamples=10).p_value <= 0.05 for seed in range(25)]
    assert np.mean(power) > 0.8


@pytest.mark.simulation
def test_groups_of_mice_are_compared_over_mice() -> None:
    n = 80
    null = [unpaired_contrast(world(seed, 16, 0, paired=False), n_resamples=150) for seed in range(n)]
    assert np.mean([each.p_value <= 0.05 for each in null]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean([each.low <= 0 <= each.high for each in null]) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / n)
    assert unpaired_contrast(world(1, 16, 4, paired=False)).p_value <= 0.05
    with pytest.raises(ValueError, match="both groups"):
        unpaired_contrast(world(0, 4, 0))


def test_p_values_are_counts_of_all_exchanges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        values = rng.normal(0.5, 1, 7)
        signs = itertools.product((-1, 1), repeat=7)
        found = [abs(np.dot(sign, values)) >= abs(values.sum()) - 1e-12 for sign in signs]
        assert sign_flip_p_value(values, rng) == np.mean(found)
    many = rng.normal(0.6, 1, 30)
    assert sign_flip_p_value(many, rng) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.02)
    eight = rng.normal(0, 1, 8)
    exact = stats.permutation_test(
        (eight[:4], eight[4:]), lambda a, b: b.mean() - a.mean(), n_resamples=np.inf, vectorized=False
    ).pvalue
    assert permutation_p_value(eight[:4], eight[4:], rng) == pytest.approx(exact)


def test_too_few_mice_have_no_p_and_what_is_missing_is_left_out() -> None:
    few = paired_contrast(world(0, 5, 1))
    assert np.isnan(few.p_value)
    assert few.low < few.estimate < few.high
    assert (few.n_mice, few.n_sessions) == (5, 10)
    units = world(0, 8, 1)
    units.loc[units["mouse_id"] == 3, "value"] = np.nan
    alone = units[(units["mouse_id"] != 4) | units["is_second"]]
    found = paired_contrast(alone)
    assert (found.n_mice, found.n_sessions) == (6, 12)
    assert found.lowest <= found.estimate <= found.highest
    one = paired_contrast(units[units["mouse_id"] == 0])
    assert (one.n_mice, np.isnan(one.low), np.isnan(one.lowest)) == (1, True, True)
    nothing = paired_contrast(units[units["mouse_id"] == 3])
    assert (nothing.n_mice, np.isnan(nothing.estimate)) == (0, True)
    assert unpaired_contrast(units[units["mouse_id"] == 3]).n_mice == 0


def test_mice_count_alike_whatever_their_number_of_units() -> None:
    units = world(0, 8, 0)
    means = units.groupby(["mouse_id", "is_second"])["value"].mean().unstack()
    expected = (means[True] - means[False]).mean()
    assert paired_contrast(units).estimate == pytest.approx(expected)
    index = (means[True] - means[False]) / means.abs().max(axis=1)
    assert paired_contrast(units, index="bennett_2025").estimate == pytest.approx(index.mean())
    assert paired_contrast(units, seed=1) == paired_contrast(units, seed=1)


def test_sessions_count_alike_in_their_mouse_in_any_order_of_the_units() -> None:
    """Against means of groups, with several sessions of a mouse and names that sort in another order."""
    units = world(3, 12, 0.5).sample(frac=1, random_state=1)
    units["session_id"] = units["session_id"] * 3 + np.arange(len(units)) % 3
    units["mouse_id"] = units["mouse_id"].map(lambda mouse: f"m{97 * mouse % 89}")
    of_sessions = units.groupby(["mouse_id", "is_second", "session_id"])["value"].mean()
    of_mice = of_sessions.groupby(["is_second", "mouse_id"]).mean()
    found = paired_contrast(units, n_resamples=10, seed=2)
    assert found.estimate == pytest.approx((of_mice[True] - of_mice[False]).mean(), rel=1e-12)
    drawn = paired_contrast(
        units.sort_values(["mouse_id", "session_id"], kind="stable"), n_resamples=10, seed=2
    )
    assert drawn == found
