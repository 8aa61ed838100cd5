"""Conditions on rows that were computed here: as on the server, and no way out of them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.queries.rows_where import rows_that_meet
from vbn.errors import NotFoundError, SettingError

FRAME = pd.DataFrame(
    {
        "session_id": [1, 2, 3, 4],
        "mouse_id": ["10", "9", None, "O'Neill"],
        "latency_from_flash": [0.2, np.nan, 7.6, 10.0],
        "hit": pd.array([True, False, None, True], dtype="boolean"),
        "seen": [True, None, False, True],
        "presentation_id": pd.array([5, None, 7, 8], dtype="Int64"),
        "date_of_acquisition": [dt.date(2020, 11, each) for each in (3, 4, 5, 6)],
        "start_time": pd.to_datetime(["2020-11-03", "2020-11-04", None, "2020-11-06"]),
        "images": [["a", "b"], [], None, ["c"]],
        "weights": [np.array([1.0, 2.0]), None, np.zeros(0), np.ones(1)],
        "nothing": [None] * 4,
        "from": [1.0, 2.0, 3.0, 4.0],
        "rate_-0.05": [1.0] * 4,
    },
    index=[7, 7, 8, 9],
)


@pytest.mark.parametrize(
    ("condition", "sessions"),
    [
        ("latency_from_flash > 5", [3, 4]),  # as text, "10" would come before "7.6"
        ("latency_from_flash > '5'", [3, 4]),
        ("NOT latency_from_flash > 5", [1]),  # a missing value is neither
        ("latency_from_flash IS NULL", [2]),
        ("latency_from_flash BETWEEN .1 AND 8", [1, 3]),
        ("hit", [1, 4]),
        ("hit = 0 OR hit IS NULL", [2, 3]),
        ("NOT hit", [2]),
        ("hit = TRUE AND seen", [1, 4]),
        ("seen = false", [3]),
        ("mouse_id = '10'", [1]),
        ("mouse_id <> '10'", [2, 4]),
        ("mouse_id IN ('9', 'O''Neill')", [2, 4]),
        ("mouse_id LIKE 'o%'", []),  # large and small letters differ
        ("mouse_id LIKE 'O%'", [4]),
        ("mouse = '9'", [2]),  # the field's words
        ("ecephys_session_id = 3", [3]),
        ("session_id = 2 AND mouse_id = '9'", [2]),
        ("presentation_id >= 7", [3, 4]),
        ("presentation_id IN (5, 8)", [1, 4]),
        ("date_of_acquisition > DATE '2020-11-04'", [3, 4]),
        ("start_time < '2020-11-04'", [1]),
        ("images = '[]'", [2]),
        ("weights IS NULL", [2]),
        ("nothing IS NULL", [1, 2, 3, 4]),
        ("sqrt(latency_from_flash) < 1 AND abs(latency_from_flash) < 1", [1]),
        ("ln(latency_from_flash - 7.6) IS NULL", [1, 2, 3]),  # outside of its domain is no value
        ("greatest(session_id, 3) = 3", [1, 2, 3]),
        ("coalesce(latency_from_flash, 100) = 100", [2]),
        ("CASE WHEN hit THEN session_id ELSE 0 END > 1", [4]),
        ("mouse_id = 'nobody at all'", []),
    ],
)
def test_rows_are_those_that_the_server_would_choose(condition: str, sessions: list[int]) -> None:
    assert rows_that_meet(FRAME, [condition])["session_id"].tolist() == sessions


def test_all_of_several_conditions_are_met_and_rows_stay_as_they_are() -> None:
    found = rows_that_meet(FRAME, ["hit", "session_id > 1"])
    pd.testing.assert_frame_equal(found, FRAME.iloc[[3]])
    assert rows_that_meet(FRAME.iloc[:0], ["hit AND mouse_id = '10'"]).empty


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("latency_from_flas > 1", "no attribute 'latency_from_flas' here. Near to it: latency_from_flash"),
        ("mouse_id = nobody", "If it is a text: 'nobody', in single quotes"),
        ("mouse_id IN ('9', nobody)", "If it is a text: 'nobody', in single quotes"),
        ("(latency_from_flas > 1)", "Near to it: latency_from_flash"),
        ("hit == 1", "equal is a single ="),
        ("hit && seen", "joined by AND, OR and NOT"),
        ("mouse_id > 5", "mouse_id is text, and cannot be compared with the number 5"),
        ("latency_from_flash = 'fast'", "is a number, and cannot be compared with the text 'fast'"),
        ("'fast' < latency_from_flash", "is a number, and cannot be compared with the text 'fast'"),
        ("", "is empty"),
        ("hit AND", "is not understood"),
        ("hit) OR (1 = 1", "brackets"),
        ("1 = 1; DROP TABLE answer", "cannot contain ;"),
        ("hit OR (SELECT 1)", "no attribute 'SELECT'"),
        ("load_extension('x')", "no attribute 'load_extension'"),
        ("place = 1", "no attribute 'place'"),
        ('"c0" = 1', "single quotes"),
        ("mouse_id = '\\'", "backslash"),
        ("hit -- all", "cannot contain --"),
    ],
)
def test_what_is_no_condition_is_refused_in_words(condition: str, message: str) -> None:
    with pytest.raises(SettingError) as refused:
        rows_that_meet(FRAME, [condition])
    assert message in str(refused.value)


def test_a_misspelled_text_is_not_an_empty_answer() -> None:
    with pytest.raises(NotFoundError, match=r"No row has outcome 'hitt'\. Near to it: hit"):
        rows_that_meet(pd.DataFrame({"outcome": ["hit", "miss"]}), ["outcome = 'hitt'"])


@given(st.text(max_size=40))
def test_any_text_ends_in_rows_or_in_words(condition: str) -> None:
    try:
        found = rows_that_meet(FRAME, [condition])
    except (SettingError, NotFoundError):
        return
    assert len(found) <= len(FRAME)


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True)), min_size=1), st.floats(allow_nan=False))
def test_numbers_are_compared_as_numbers(values: list[float | None], bound: float) -> None:
    frame = pd.DataFrame({"value": pd.Series(values, dtype=float)})
    if np.isinf(bound):
        return
    found = rows_that_meet(frame, [f"value > {bound!r}".replace("e+", "e")])
    pd.testing.assert_frame_equal(found, frame[frame["value"] > bound])
