"""Columns are read by meaning, however a release stored them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.errors import InvalidContentError
from vbn.nwb.readers import columns


def test_text_is_decoded_and_missing_text_is_none():
    stored = np.array(["é".encode(), b"", "N/A", b"root"], dtype=object)
    assert columns.texts(stored, columns.TEXT_MISSING).tolist() == ["é", None, None, "root"]
    assert columns.texts(np.array([], dtype=object)).tolist() == []
    assert columns.texts(np.array([b"ab", b"c"])).tolist() == ["ab", "c"]


def test_numbers_are_no_text():
    with pytest.raises(ValueError, match=r"text is expected, and a row holds 1\.5"):
        columns.texts(np.array([1.5]))


@given(st.lists(st.one_of(st.integers(-1000, 1000), st.none())))
def test_integers_come_out_whichever_way_they_were_stored(values):
    """As integers with -99 for a missing value, or as floats with NaN or with -99."""
    missing = [value is None or value == -99 for value in values]
    wanted = pd.array(
        [pd.NA if gone else value for value, gone in zip(values, missing, strict=True)], "Int64"
    )
    as_integers = np.array([-99 if value is None else value for value in values], dtype=np.int64)
    as_floats = np.array([np.nan if value is None else value for value in values], dtype=float)
    for stored in (as_integers, as_integers.astype(np.int32), as_floats, as_integers.astype(float)):
        found = columns.nullable_integers(stored)
        assert found.dtype == "Int64"
        assert found.equals(pd.Series(wanted))


def test_large_integers_stay_exact():
    stored = np.array([2**60 + 1, -99])
    assert columns.nullable_integers(stored)[0] == 2**60 + 1
    assert columns.integers(stored).tolist() == [2**60 + 1, -99]


@pytest.mark.parametrize("convert", [columns.integers, columns.nullable_integers])
def test_a_fraction_is_no_integer(convert):
    with pytest.raises(ValueError, match=r"row 1 holds 2\.5"):
        convert(np.array([1.0, 2.5]))


def test_required_integers_may_not_be_missing():
    with pytest.raises(ValueError, match="row 0 holds nan"):
        columns.integers(np.array([np.nan, 1.0]))


@given(st.lists(st.sampled_from([True, False, None])))
def test_flags_come_out_whichever_way_they_were_stored(values):
    found = columns.nullable_booleans(np.array([np.nan if v is None else v for v in values], dtype=float))
    assert found.dtype == "boolean"
    assert found.equals(pd.Series(values, dtype="boolean"))
    if None not in values:
        for stored in (np.array(values, dtype=bool), np.array(values, dtype=np.int64)):
            assert columns.nullable_booleans(stored).tolist() == values
            assert columns.booleans(stored).tolist() == values


def test_a_flag_is_zero_or_one():
    with pytest.raises(ValueError, match=r"0 and 1 are expected, and row 1 holds 2\.0"):
        columns.booleans(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="1 rows hold no value"):
        columns.booleans(np.array([1.0, np.nan]))


def test_numbers_stored_as_text_are_read():
    found = columns.floats(np.array([b"0.5", b"N/A", b""], dtype=object))
    np.testing.assert_array_equal(found, [0.5, np.nan, np.nan])
    with pytest.raises(ValueError, match="numbers are expected"):
        columns.floats(np.array([b"left"], dtype=object))


@pytest.mark.parametrize("read", [columns.floats, columns.integers, columns.times])
@pytest.mark.parametrize(
    "values",
    [np.array([1 + 2j]), np.array([1], "M8[s]"), np.array([(1, 2)], "i4,i4"), np.array([b"ab"], "V2")],
    ids=lambda values: str(values.dtype),
)
def test_what_is_no_real_number_is_refused_and_not_cast(read: Any, values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="real numbers are expected, and the values are of type"):
        read(values)


def test_text_columns_are_objects_under_every_pandas():
    made = columns.frame({"name": np.array(["a", None], dtype=object), "number": np.array([1, 2])})
    assert made["name"].dtype == object
    assert made["name"].tolist() == ["a", None]


@pytest.fixture
def table(make_recording):
    contents = {"t/id": [1, 2, 2], "t/short": [1.0], "t/text": ["a", "b", "c"], "t/square": np.zeros((3, 2))}
    return columns.Table(make_recording(contents), "t")


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (lambda table: table.floats("absent"), "/t/absent is missing"),
        (lambda table: table.floats("short"), r"/t/short has shape \(1,\), and the table has 3 rows"),
        (lambda table: table.floats("square"), r"/t/square has shape \(3, 2\)"),
        (lambda table: table.floats("text"), "/t/text: numbers are expected"),
        (lambda table: table.texts("id"), "/t/id: text is expected"),
        (lambda table: table.identifiers(), "/t/id: 1 ids occur more than once, the first is 2"),
        (lambda table: columns.Table(table.recording, "t/id"), "/t/id is missing"),
        (lambda table: columns.Table(table.recording, "u"), "/u is missing"),
    ],
)
def test_a_column_that_cannot_be_used_is_named(table, read, problem):
    with pytest.raises(InvalidContentError, match=problem):
        read(table)


@pytest.mark.parametrize("value", [1e300, -1e300, 2**62, -(2**62), 1e9, 86_400.5, np.inf, -np.inf])
def test_a_time_out_of_reach_is_infinite(value):
    assert columns.times(np.array([1.5, value, -3.0])).tolist() == [1.5, np.copysign(np.inf, value), -3.0]


def test_times_within_reach_are_as_stored():
    stored = np.array([-86_400.0, 0.0, np.nan, 86_400.0])
    np.testing.assert_array_equal(columns.times(stored), stored)
    assert columns.times(np.array([2], np.uint8)).tolist() == [2.0]
    assert columns.times(np.empty(0)).size == 0


def test_a_column_that_may_be_absent_is_nan(table):
    assert np.isnan(table.floats_or_nan("absent")).all()
    assert len(table.floats_or_nan("absent")) == 3
