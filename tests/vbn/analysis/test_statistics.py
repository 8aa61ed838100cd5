from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import binomtest, false_discovery_control, norm, rankdata, ttest_1samp

from vbn.analysis.statistics import (
    benjamini_hochberg,
    excess_p_value,
    one_sided_signed_rank_p_values,
    one_sided_t_p_values,
    rate_excess_p_values,
    row_medians,
)

P_VALUES = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


class TestExcess:
    def test_by_hand(self):
        """Nine choices of one window per event: one has 3 spikes or more; four of the others have 2."""
        assert excess_p_value([1, 2], [[0, 0], [0, 1]]) == pytest.approx(1 / 9)
        assert excess_p_value([1, 1], [[0, 0], [0, 2]]) == pytest.approx(4 / 9)

    @given(arrays(np.int64, st.tuples(st.integers(2, 4), st.integers(1, 5)), elements=st.integers(0, 3)))
    def test_is_the_share_of_all_choices_of_one_window_per_event(self, counts):
        totals = [sum(choice) for choice in itertools.product(*counts.T)]
        assert excess_p_value(counts[0], counts[1:]) == pytest.approx(np.mean(totals >= counts[0].sum()))

    def test_nothing_to_compare_gives_nan(self):
        assert np.isnan(excess_p_value([], np.empty((3, 0), int)))
        assert np.isnan(excess_p_value([1, 2], np.empty((0, 2), int)))
        assert excess_p_value([0, 0], np.zeros((3, 2), int)) == 1


class TestOneSidedT:
    @given(arrays(np.float64, (3, 12), elements=st.integers(-4, 9).map(float)))
    def test_is_scipys_but_for_rows_of_equal_differences(self, differences):
        for p, row in zip(one_sided_t_p_values(differences), differences, strict=True):
            if np.ptp(row):
                expected = max(ttest_1samp(row, 0, alternative="greater").pvalue, 0.5**12)
                assert p == pytest.approx(expected, rel=1e-9)

    def test_rows_of_equal_differences_have_the_p_of_equal_signs(self):
        rows = [[1.0] * 5, [-1.0] * 5, [0.0] * 5]
        assert one_sided_t_p_values(rows) == pytest.approx([0.5**5, 1, 1])
        assert one_sided_t_p_values(np.empty((0, 5))).shape == (0,)


class TestOneSidedSignedRank:
    def test_by_hand(self):
        """Ranks of |1, -2, 3|: 1, 2, 3. The positive sum is 4, its mean 3, its variance (1 + 4 + 9) / 4."""
        assert one_sided_signed_rank_p_values([[1, -2, 3, 0]]) == pytest.approx([norm.sf(1 / np.sqrt(3.5))])

    @given(arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 60)), elements=st.integers(-3, 4)))
    def test_is_the_normal_approximation_of_each_row(self, differences):
        """W, the sum of the positive differences' ranks, has mean sum(r) / 2 and variance sum(r^2) / 4."""
        found = one_sided_signed_rank_p_values(differences / 7)
        for p, row in zip(found, differences, strict=True):
            nonzero = row[row != 0]
            ranks = rankdata(np.abs(nonzero))
            excess = ranks[nonzero > 0].sum() - ranks.sum() / 2
            expected = norm.sf(excess / np.sqrt((ranks**2).sum() / 4)) if nonzero.size else 1
            assert p == pytest.approx(expected, rel=1e-12)

    def test_nothing_to_test(self):
        assert one_sided_signed_rank_p_values([[0, 0], [np.nan, 1]]).tolist() == [1, 1]
        assert np.isnan(one_sided_signed_rank_p_values(np.empty((2, 0)))).all()
        assert one_sided_signed_rank_p_values(np.empty((0, 3))).shape == (0,)


class TestBenjaminiHochberg:
    def test_by_hand(self):
        """0.01 x 3 / 1, 0.02 x 3 / 2, 0.9 x 3 / 3; the first two are equal."""
        np.testing.assert_allclose(benjamini_hochberg([0.02, 0.9, 0.01]), [0.03, 0.9, 0.03])

    @given(P_VALUES)
    def test_agrees_with_scipy(self, p):
        np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12, atol=1e-300)

    @given(P_VALUES, st.integers(0, 2**32 - 1))
    def test_what_was_not_tested_stays_out_of_the_count(self, p, seed):
        place = np.random.default_rng(seed).random(p.size) < 0.3
        q = benjamini_hochberg(np.where(place, np.nan, p))
        assert np.isnan(q[place]).all()
        np.testing.assert_array_equal(q[~place], benjamini_hochberg(p[~place]))

    def test_nothing_gives_nothing(self):
        assert benjamini_hochberg([]).shape == (0,)
        assert np.isnan(benjamini_hochberg([np.nan, np.nan])).all()

    @pytest.mark.parametrize("wrong", [-0.1, 1.1])
    def test_refuses_what_is_no_probability(self, wrong):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            benjamini_hochberg([0.5, wrong])


class TestRateExcess:
    @given(st.integers(0, 30), st.integers(0, 300), st.floats(0.01, 10), st.floats(0.01, 10))
    def test_agrees_with_the_binomial_test(self, here, elsewhere, inside, outside):
        found = rate_excess_p_values([here], [elsewhere], inside, outside)[0]
        total = here + elsewhere
        share = inside / (inside + outside)
        expected = binomtest(here, total, share, alternative="greater").pvalue if total else 1.0
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)

    def test_without_exposure_nothing_is_known(self):
        assert np.isnan(rate_excess_p_values([0], [0], 0.0, 0.0)).all()


class TestRowMedians:
    @given(
        arrays(
            np.float64,
            array_shapes(min_dims=2, max_dims=2, max_side=9),
            elements=st.one_of(st.floats(-5, 5), st.just(np.nan)),
        )
    )
    def test_is_the_median_of_what_is_known(self, values):
        known = [row[~np.isnan(row)] for row in values]
        expected = [np.median(row) if row.size else np.nan for row in known]
        np.testing.assert_allclose(row_medians(values), expected)

    def test_without_columns_nothing_is_known(self):
        assert np.isnan(row_medians(np.empty((2, 0)))).all()
        assert row_medians(np.empty((0, 2))).shape == (0,)
