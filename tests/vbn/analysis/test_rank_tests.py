from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vbn.analysis import statistics
from vbn.analysis.statistics import (
    exact_signed_rank_p_values,
    kruskal_wallis_p_values,
    one_sided_signed_rank_p_values,
    scipy_signed_rank_p_values,
)


def test_three_pairs_that_all_rise_have_one_sign_pattern_in_eight():
    """Of the 2^3 patterns of signs only +++ gives a sum of 6, and only --- one of 0: p = 2/8."""
    assert exact_signed_rank_p_values([[1.0, 2.0, 3.0]]) == pytest.approx([1 / 4])


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 13, 14, 40, 60]), st.sampled_from([1, 4]))
def test_p_values_by_counting_are_those_of_each_row_to_the_last_bit(seed, n_pairs, per_spike):
    """Where there are few sizes of differences, ranks are counted, and all rows tested at once."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 5, size=(4, n_pairs)) / per_spike
    rows[0] = 0
    rows[1, : n_pairs // 2] = 0
    rows[2] = rng.permutation(np.arange(1, n_pairs + 1))  # neither ties nor zeros
    each = [statistics._two_sided(row) for row in rows]
    assert exact_signed_rank_p_values(rows).tolist() == each
    assert scipy_signed_rank_p_values(rows).tolist() == [statistics._as_scipy(row) for row in rows]
    with np.errstate(invalid="ignore"):
        greater = stats.wilcoxon(rows, axis=1, alternative="greater", method="asymptotic").pvalue
    expected = np.where(np.isnan(greater), 1.0, greater).tolist()
    assert one_sided_signed_rank_p_values(rows).tolist() == expected


def by_enumeration(differences):
    """Two-sided p over all sign patterns, with mean ranks."""
    nonzero = np.array([d for d in differences if d != 0])
    ranks = stats.rankdata(np.abs(nonzero))
    observed = ranks[nonzero > 0].sum()
    sums = [sum(np.compress(signs, ranks)) for signs in itertools.product([0, 1], repeat=ranks.size)]
    greater, less = np.mean(np.array(sums) >= observed - 1e-9), np.mean(np.array(sums) <= observed + 1e-9)
    return min(1.0, 2 * min(greater, less))


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9).filter(any))
def test_few_pairs_are_exact_with_ties_and_zeros(differences):
    assert exact_signed_rank_p_values([differences]) == pytest.approx([by_enumeration(differences)])


@pytest.mark.parametrize("n", [8, 30, 50])
def test_pairs_without_ties_agree_with_scipy_exactly(n):
    rows = np.random.default_rng(n).normal(0.2, 1, size=(5, n))
    expected = [stats.wilcoxon(row).pvalue for row in rows]
    assert exact_signed_rank_p_values(rows) == pytest.approx(expected, rel=1e-9)


def test_many_tied_pairs_agree_with_scipys_approximation():
    rows = np.random.default_rng(0).poisson(2, size=(6, 300)) - np.random.default_rng(1).poisson(
        1.9, (6, 300)
    )
    expected = [stats.wilcoxon(row[row != 0], method="asymptotic").pvalue for row in rows]
    assert exact_signed_rank_p_values(rows) == pytest.approx(expected, rel=1e-9)


def test_twelve_tied_pairs_agree_with_scipys_permutation_test():
    rows = np.random.default_rng(3).integers(-3, 6, size=(4, 12))
    expected = [stats.wilcoxon(row.astype(float)).pvalue for row in rows]
    assert exact_signed_rank_p_values(rows) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=70))
def test_the_sign_of_all_differences_changes_nothing(differences):
    row = np.array([differences])
    assert exact_signed_rank_p_values(row) == pytest.approx(exact_signed_rank_p_values(-row))


def test_nothing_that_differs_is_1_and_no_pair_is_nan():
    p = exact_signed_rank_p_values([[0.0, 0.0], [np.nan, np.nan], [np.nan, 1.0]])
    assert p[0] == 1
    assert np.isnan(p[1])
    assert p[2] == 1  # one pair: either sign is as likely
    assert np.isnan(exact_signed_rank_p_values(np.empty((2, 0)))).all()
    assert exact_signed_rank_p_values(np.empty((0, 3))).shape == (0,)


def test_differences_that_are_equal_but_for_rounding_are_ties():
    tied = 0.1 * 3 - np.array([0.1, 0.2, -0.1]) - np.array([0.2, 0.1, 0.6])  # 0, 0, -0.2 in exact arithmetic
    assert exact_signed_rank_p_values([tied]) == pytest.approx([1.0])


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="n_rows, n_pairs"):
        exact_signed_rank_p_values([1.0])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=4, max_size=40).filter(
        lambda pairs: len({c for c, _ in pairs}) > 1 and len({g for _, g in pairs}) > 1
    )
)
def test_kruskal_wallis_agrees_with_scipy(pairs):
    counts, group = np.array(pairs).T
    expected = stats.kruskal(*(counts[group == g] for g in np.unique(group))).pvalue
    assert kruskal_wallis_p_values(counts[np.newaxis], group) == pytest.approx([expected], abs=1e-9)


def test_two_groups_are_the_mann_whitney_test():
    rng = np.random.default_rng(5)
    counts, group = rng.poisson(3, size=(3, 60)), np.arange(60) % 2
    expected = [
        stats.mannwhitneyu(r[group == 1], r[group == 0], method="asymptotic", use_continuity=False).pvalue
        for r in counts
    ]
    assert kruskal_wallis_p_values(counts, group) == pytest.approx(expected)


def test_kruskal_wallis_of_one_group_is_nan_and_of_equal_counts_1():
    assert np.isnan(kruskal_wallis_p_values([[1, 2]], [0, 0])).all()
    assert np.isnan(kruskal_wallis_p_values(np.empty((1, 0)), [])).all()
    assert kruskal_wallis_p_values([[2, 2]], [0, 1]).tolist() == [1.0]
    with pytest.raises(ValueError, match="values must be"):
        kruskal_wallis_p_values([[1, 2]], [0, 1, 2])
