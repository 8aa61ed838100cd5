"""Spikes and intervals for pynapple: nothing is joined, dropped or compared wrongly without a word."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vbn.errors import SettingError
from vbn.interop.pynapple import OmittedIntervalsWarning, interval_set, ts_group

nap = pytest.importorskip("pynapple")


@pytest.fixture
def units() -> pd.DataFrame:
    """Three units, of which one is tested and responds, one does not, and one has nothing known of it."""
    columns = {
        "structure_acronym": ["VISp", None, "LP"],
        "is_responsive": pd.array([True, None, False], "boolean"),
        "cluster_id": pd.array([4, None, 6], "Int64"),
        "halfwidth": pd.Series([None] * 3, dtype=object),
        "snr": [2.5, np.nan, 1.5],
    }
    return pd.DataFrame(columns).set_index(pd.Index([30, 10, 20]))


TIMES = {10: np.array([]), 20: np.array([1.5, 2.5, 9.0]), 30: np.array([0.123456789, 4.0])}


def test_units_have_their_spikes_and_their_own_metadata_in_any_order(units: pd.DataFrame) -> None:
    group = ts_group(TIMES, units, (0.0, 10.0))
    assert {unit: train.t.tolist() for unit, train in group.items()} == {
        unit: times.tolist() for unit, times in TIMES.items()
    }
    assert group["structure_acronym"][20] == "LP"
    assert group["snr"][30] == 2.5
    rates = np.nan_to_num(group["rate"])  # before pynapple 0.11, NaN of a unit without spikes
    np.testing.assert_allclose(rates, [0.0, 0.3, 0.2])  # spikes in ten seconds


def test_what_is_missing_meets_no_condition(units: pd.DataFrame) -> None:
    group = ts_group(TIMES, units, (0.0, 10.0))
    chosen = {
        "is_responsive": (group["is_responsive"] == True, [30]),  # noqa: E712 - as people type it
        "cluster_id": (group["cluster_id"] > 4, [20]),
        "halfwidth": (group["halfwidth"] > 0, []),
        "structure_acronym": (group["structure_acronym"] == "VISp", [30]),
    }
    for name, (condition, expected) in chosen.items():
        assert list(group[condition].keys()) == expected, name


def rows(starts: list[float], ends: list[float | None]) -> pd.DataFrame:
    return pd.DataFrame({"begin": starts, "stop": ends, "trial_id": pd.array(range(len(starts)), "Int64")})


def test_touching_intervals_stay_apart_with_what_is_known_of_each() -> None:
    """Left to itself, pynapple would join the second and the third, and discard the ids of all."""
    found = interval_set(rows([0.0, 1.0, 2.0, 5.0], [1.0, 2.0, 3.0, 6.0]), "begin", "stop")
    np.testing.assert_array_equal(found.start, [0.0, 1.0, 2.0, 5.0])
    np.testing.assert_allclose(found.end, [0.999999, 1.999999, 3.0, 6.0], rtol=0, atol=1e-9)
    assert found["trial_id"].tolist() == [0, 1, 2, 3]


def test_intervals_come_in_the_order_of_time() -> None:
    found = interval_set(rows([5.0, 0.0], [6.0, 1.0]), "begin", "stop")
    assert (found.start.tolist(), found["trial_id"].tolist()) == ([0.0, 5.0], [1, 0])


def test_intervals_without_duration_are_left_out_with_a_word_and_the_others_keep_theirs() -> None:
    with pytest.warns(OmittedIntervalsWarning, match="2 of 4 intervals have no end or no duration"):
        found = interval_set(rows([0.0, 1.0, 2.0, 3.0], [0.0, 1.5, None, 4.0]), "begin", "stop")
    assert found["trial_id"].tolist() == [1, 3]


def test_overlapping_intervals_are_refused_not_joined() -> None:
    with pytest.raises(SettingError, match="1 of 3 intervals begin before the one before has ended"):
        interval_set(rows([0.0, 1.0, 5.0], [1.5, 2.0, 6.0]), "begin", "stop")
