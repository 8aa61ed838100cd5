from __future__ import annotations

import numpy as np

from vbn.analysis.hierarchy import HIERARCHY_SCORES, structure_medians, structure_order


def test_units_of_few_mice_are_not_many_observations():
    """Without an effect, intervals over units as if independent hold the truth in a third of the worlds."""
    rng = np.random.default_rng(0)
    held = {"mice": 0, "units": 0}
    for _ in range(60):
        mouse = np.repeat(np.arange(8), 40)
        values = rng.normal(0, 1, 8)[mouse] + rng.normal(0, 1, mouse.size)
        found = structure_medians(values, ["VISp"] * mouse.size, mouse, mouse, ["VISp"])
        held["mice"] += bool(found.low[0] <= 0 <= found.high[0])
        held["units"] += bool(abs(np.median(values)) <= 1.96 * 1.25 * values.std() / np.sqrt(values.size))
    assert held["mice"] >= 60 * 0.87
    assert held["units"] < 60 * 0.6


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
    found = structure_medians(values, structure, session, np.array(session) % 2, ["LP", "VISp"])
    assert found.n_units.tolist() == [2, 7]  # NaN is no unit, CA1 was not asked for
    np.testing.assert_array_equal(found.median, [np.nan, (2 + 11.5) / 2])
    assert found.low[1] <= 2 < 11.5 <= found.high[1]  # two mice say little
    alone = structure_medians(values, structure, session, np.zeros(11), ["VISp"])
    assert (alone.median[0], alone.low[0], alone.high[0]) == (6.75, -np.inf, np.inf)
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
    first = structure_medians(values, structure, session, session // 2, ["LP", "VISp"])
    mouse = session[order] // 2
    second = structure_medians(values[order], structure[order], session[order], mouse, ["LP", "VISp"])
    for name in ("n_units", "median", "low", "high", "point_structure", "point_median"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
