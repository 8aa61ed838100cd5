from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from vbn.analysis.hierarchy import HIERARCHY_SCORES, median_interval, structure_medians, structure_order


@pytest.mark.parametrize("n", [6, 7, 20, 101, 5000])
def test_the_interval_of_the_median_is_the_narrowest_of_the_coverage(n):
    """The k-th smallest and largest values hold the median unless k or fewer values lie on a side of it."""
    low, high = median_interval(np.random.default_rng(n).permutation(n))
    assert high == n - 1 - low
    assert 1 - 2 * binom.cdf(low, n, 0.5) >= 0.95 > 1 - 2 * binom.cdf(low + 1, n, 0.5)


def test_too_few_values_have_no_interval():
    assert median_interval([1.0, 2, 3, 4, 5]) == (-np.inf, np.inf)


def test_the_visual_hierarchy_comes_first_then_the_groups():
    names = ["CA1", "VISam", "LP", "ZZ", "LGd", "APN", "DG", "VISp"]
    groups = [
        "hippocampus",
        "visual cortex",
        "thalamus",
        "odd",
        "thalamus",
        "midbrain",
        "hippocampus",
        "visual cortex",
    ]
    order = structure_order(names, groups, ["hippocampus", "midbrain"])
    assert [names[at] for at in order] == ["LGd", "VISp", "LP", "VISam", "CA1", "DG", "APN", "ZZ"]
    assert list(HIERARCHY_SCORES.values()) == sorted(HIERARCHY_SCORES.values())


def test_medians_of_structures_and_of_their_sessions():
    values = [1, 2, 3, 10, 11, 12, 13, np.nan, 5, 6, 7]
    structure = ["VISp"] * 8 + ["LP"] * 2 + ["CA1"]
    session = [1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1]
    found = structure_medians(values, structure, session, ["LP", "VISp"])
    assert found.n_units.tolist() == [2, 7]  # NaN is no unit, CA1 was not asked for
    np.testing.assert_array_equal(found.median, [np.nan, 10])
    np.testing.assert_array_equal([found.low[1], found.high[1]], [1, 13])
    assert found.point_structure.tolist() == [1, 1]
    assert found.point_median.tolist() == [2, 11.5]


def test_the_order_of_the_units_does_not_matter():
    rng = np.random.default_rng(3)
    values, structure, session = (
        rng.normal(size=200),
        rng.choice(["VISp", "LP"], 200),
        rng.integers(0, 4, 200),
    )
    order = rng.permutation(200)
    first = structure_medians(values, structure, session, ["LP", "VISp"])
    second = structure_medians(values[order], structure[order], session[order], ["LP", "VISp"])
    for name in ("n_units", "median", "low", "high", "point_structure", "point_median"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
