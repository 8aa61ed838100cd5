from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.spikes.population import area_summary, population_psth

NAN = np.nan


class TestPopulationPsth:
    def test_by_hand(self):
        """VISp: 1, 3 and a unit that is not known; LP: one unit; a unit without area."""
        rates = [[1.0, 10.0], [3.0, 20.0], [NAN, NAN], [5.0, 5.0], [9.0, 9.0]]
        result = population_psth(rates, ["VISp", "VISp", "VISp", "LP", None])
        assert result.groups == ("LP", "VISp")
        assert result.n_units.tolist() == [1, 2]
        np.testing.assert_array_equal(result.mean_hz, [[5, 5], [2, 15]])
        np.testing.assert_allclose(result.std_hz, [[NAN, NAN], [np.sqrt(2), np.sqrt(50)]])
        np.testing.assert_allclose(result.sem_hz, [[NAN, NAN], [1, 5]])

    def test_a_group_of_unknown_units_stays_and_is_nan(self):
        result = population_psth([[NAN], [1.0]], ["CA1", "VISp"])
        assert result.groups == ("CA1", "VISp")
        assert result.n_units.tolist() == [0, 1]
        assert np.isnan(result.mean_hz[0]).all()

    @given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30), st.integers(0, 2**32 - 1))
    def test_agrees_with_pandas_and_units_may_come_in_any_order(self, groups, seed):
        rng = np.random.default_rng(seed)
        rates = rng.gamma(2.0, 5.0, (len(groups), 4))
        rates[rng.random(len(groups)) < 0.2] = NAN
        result = population_psth(rates, groups)
        frame = pd.DataFrame(rates).groupby(pd.Series(groups, dtype=object), sort=True)
        assert list(result.groups) == list(frame.groups)
        np.testing.assert_allclose(result.mean_hz, frame.mean().to_numpy().reshape(-1, 4))
        np.testing.assert_allclose(result.std_hz, frame.std().to_numpy().reshape(-1, 4))
        np.testing.assert_allclose(result.sem_hz, frame.sem().to_numpy().reshape(-1, 4))
        assert result.n_units.tolist() == frame[0].count().tolist()
        order = rng.permutation(len(groups))
        shuffled = population_psth(rates[order], np.array(groups, dtype=object)[order])
        np.testing.assert_allclose(shuffled.mean_hz, result.mean_hz)

    def test_no_units_and_no_groups(self):
        for rates, groups in ((np.empty((0, 3)), []), (np.ones((2, 3)), [None, NAN])):
            result = population_psth(rates, groups)
            assert result.groups == ()
            assert result.mean_hz.shape == result.std_hz.shape == result.sem_hz.shape == (0, 3)

    def test_refuses_labels_that_do_not_fit(self):
        with pytest.raises(ValueError, match="1 groups, 2 units"):
            population_psth(np.ones((2, 3)), ["a"])
        with pytest.raises(ValueError, match=r"\(n_units, n_bins\), got \(3,\)"):
            population_psth(np.ones(3), ["a"] * 3)


class TestAreaSummary:
    def test_by_hand(self):
        table = area_summary(
            ["VISp", "LP", "VISp", "VISp", None, "CA1"],
            {
                "responsive": np.array([True, False, None, False, True, NAN], dtype=object),
                "tagged": np.zeros(6, dtype=bool),
            },
        )
        assert table["group"].tolist() == ["CA1", "LP", "VISp"]
        assert table["n_units"].tolist() == [1, 1, 3]
        assert table["n_known_responsive"].tolist() == [0, 1, 2]
        assert table["n_responsive"].tolist() == [0, 0, 1]
        np.testing.assert_array_equal(table["share_responsive"], [NAN, 0, 0.5])
        np.testing.assert_array_equal(table["share_tagged"], [0, 0, 0])

    def test_takes_numbers_and_nullable_booleans_as_databases_give_them(self):
        for flags in ([1, 0], np.array([1.0, 0.0]), pd.array([True, False], dtype="boolean")):
            assert area_summary(["a", "a"], {"x": flags})["share_x"].tolist() == [0.5]

    def test_no_units(self):
        table = area_summary([], {"tagged": []})
        assert list(table) == ["group", "n_units", "n_known_tagged", "n_tagged", "share_tagged"]
        assert len(table) == 0

    def test_refuses_flags_that_do_not_fit(self):
        with pytest.raises(ValueError, match="one 'tagged' per unit: 1 values, 2 units"):
            area_summary(["a", "b"], {"tagged": [True]})
