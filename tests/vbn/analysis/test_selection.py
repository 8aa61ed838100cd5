"""Quality filters: which units pass, what missing values do, and which filters make no sense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.selection import Criterion, UnitCriteria, passing_units

UNITS = pd.DataFrame(
    {
        "snr": [0.5, 1.0, 2.0, np.nan],
        "quality": ["good", "noise", None, "good"],
        "valid_data": [True, False, True, True],
        "abnormal_activity": [None, None, [1.5], None],
    }
)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (Criterion("snr", ">", 1.0), [False, False, True, False]),
        (Criterion("snr", ">=", 1.0), [False, True, True, False]),
        (Criterion("snr", "<", 1.0), [True, False, False, False]),
        (Criterion("snr", "<=", 1.0), [True, True, False, False]),
        (Criterion("snr", "!=", 1.0), [True, False, True, False]),
        (Criterion("snr", ">", 1.0, null_passes=True), [False, False, True, True]),
        (Criterion("snr", "is null"), [False, False, False, True]),
        (Criterion("snr", "is not null"), [True, True, True, False]),
        (Criterion("quality", "==", "good"), [True, False, False, True]),
        (Criterion("quality", "==", "good", null_passes=True), [True, False, True, True]),
        (Criterion("quality", "in", ("good", "noise")), [True, True, False, True]),
        (Criterion("valid_data", "==", True), [True, False, True, True]),
        (Criterion("abnormal_activity", "is null"), [True, True, False, True]),
    ],
    ids=str,
)
def test_a_unit_passes_by_the_comparison(criterion: Criterion, expected: list[bool]) -> None:
    assert passing_units(UNITS, UnitCriteria((criterion,))).tolist() == expected


def test_a_unit_must_meet_all_criteria() -> None:
    both = UnitCriteria((Criterion("snr", ">", 0.7), Criterion("quality", "==", "noise")))
    assert passing_units(UNITS, both).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["good", None, "noise"], [True, False, False]),
        ([None, None, None], [True, True, True]),
        ([None, np.nan, pd.NA], [True, True, True]),
        ([], []),
    ],
)
def test_units_pass_without_a_value_where_no_unit_of_the_recording_has_one(
    labels: list[Any], expected: list[bool]
) -> None:
    units = pd.DataFrame({"quality": np.array(labels, dtype=object)})
    good = Criterion("quality", "==", "good", absent_passes=True)
    assert passing_units(units, UnitCriteria((good,))).tolist() == expected


@pytest.mark.parametrize("limit", [0.1, 0.5, 0.9, 0.95])
def test_a_limit_is_included_or_not_exactly(limit: float) -> None:
    below, above = np.nextafter(limit, 0), np.nextafter(limit, 1)
    units = pd.DataFrame({"metric": [below, limit, above, np.nan]})
    for comparison, expected in (
        (">=", [False, True, True, False]),
        (">", [False, False, True, False]),
        ("<=", [True, True, False, False]),
        ("<", [True, False, False, False]),
    ):
        criterion = Criterion("metric", comparison, limit)
        assert passing_units(units, UnitCriteria((criterion,))).tolist() == expected


def test_without_criteria_all_pass_and_without_units_none() -> None:
    assert passing_units(UNITS, UnitCriteria()).all()
    assert passing_units(UNITS.iloc[:0], UnitCriteria((Criterion("snr", ">", 1.0),))).tolist() == []


def test_the_order_of_the_criteria_makes_no_other_filter() -> None:
    first, second = Criterion("snr", ">", 1.0), Criterion("quality", "==", "good")
    assert UnitCriteria((first, second)) == UnitCriteria((second, first))


def test_an_unknown_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no column 'snrr'. Near to it: snr"):
        passing_units(UNITS, UnitCriteria((Criterion("snrr", ">", 1.0),)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("snr", "=>", 1.0), "Unknown comparison '=>'"),
        (("snr", ">"), "needs a value"),
        (("snr", "is null", 1.0), "takes no value"),
        (("snr", ">", "high"), "needs a finite number"),
        (("snr", ">", float("nan")), "needs a finite number"),
        (("quality", "in", "good"), "Only 'in' takes a list"),
        (("quality", "==", ("good",)), "Only 'in' takes a list"),
    ],
)
def test_a_criterion_without_sense_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Criterion(*arguments)


VALUES = st.floats(-10, 10) | st.just(float("nan"))


@given(st.lists(VALUES, max_size=30), st.floats(-10, 10))
def test_a_limit_parts_the_units_that_have_the_metric(values: list[float], limit: float) -> None:
    units = pd.DataFrame({"metric": np.array(values, dtype=float)})
    below = passing_units(units, UnitCriteria((Criterion("metric", "<", limit),)))
    above = passing_units(units, UnitCriteria((Criterion("metric", ">=", limit),)))
    missing = passing_units(units, UnitCriteria((Criterion("metric", "is null"),)))
    assert (below.astype(int) + above + missing == 1).all()
