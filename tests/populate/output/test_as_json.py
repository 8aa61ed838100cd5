"""JSON of the commands: what is printed is what was there."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from populate.output.as_json import json_text, plain_value
from populate.output.rendering import BLOCK, aligned_lines

pytestmark = pytest.mark.files


@dataclass
class Row:
    name: str
    value: float


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1), st.text())
def test_numbers_and_texts_come_back_as_they_were(number: float, whole: int, text: str) -> None:
    row = {"number": number, "whole": whole, "text": text}
    assert json.loads(json_text({**row, "number": np.float64(number), "whole": np.int64(whole)})) == row


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_holds_anything_that_a_terminal_obeys_or_a_stream_would_escape(text: str) -> None:
    printed = json_text(text)
    assert printed.isascii()
    assert printed.isprintable()


def test_a_frame_is_a_list_of_rows() -> None:
    frame = pd.DataFrame(
        {"id": pd.array([2**53 + 1, None], "Int64"), "rate": [0.1, np.nan], "is_good": [True, None]}
    )
    assert json.loads(json_text(frame)) == [
        {"id": 2**53 + 1, "rate": 0.1, "is_good": True},
        {"id": None, "rate": None, "is_good": None},
    ]


def test_what_is_missing_is_null() -> None:
    missing = [None, math.nan, math.inf, -math.inf, pd.NA, pd.NaT, np.float32("nan")]
    assert plain_value(missing) == [None] * len(missing)
    assert plain_value({"of arrays": np.array([1.5, np.nan])}) == {"of arrays": [1.5, None]}


def test_what_servers_return_in_forms_of_their_own_is_plain() -> None:
    assert plain_value([Decimal("12"), Decimal("1.5"), Decimal("NaN")]) == [12, 1.5, None]
    times = np.array(["2026-11-29T12:00:00.5", "NaT"], dtype="datetime64[ns]")
    assert plain_value(times) == ["2026-11-29T12:00:00.500000", None]
    with pytest.raises(TypeError, match="no bytes"):
        plain_value(b"x")


def test_times_paths_and_rows_have_their_usual_forms() -> None:
    when = datetime(2026, 11, 29, 12, 0, 0, 5, tzinfo=UTC)
    found = plain_value({"when": when, "where": Path("a/b"), "row": Row("x", 0.1 + 0.2), 3: {1}})
    assert found == {
        "when": "2026-11-29T12:00:00.000005+00:00",
        "where": "a/b",
        "row": {"name": "x", "value": 0.30000000000000004},
        "3": [1],
    }


def test_a_table_for_a_pipe_keeps_digits_and_long_texts_on_one_line_a_row() -> None:
    frame = pd.DataFrame(
        {
            "name": ["x" * 300, "two\nlines", None],
            "value": [0.1 + 0.2, np.nan, 1.0],
            "list": [[1.5], None, []],
        }
    )
    header, *rows = aligned_lines(frame)
    assert header.split() == ["name", "value", "list"]
    assert [row.split() for row in rows] == [
        ["x" * 300, "0.30000000000000004", "[1.5]"],
        [r"two\nlines", "-", "-"],
        ["-", "1.0", "[]"],
    ]
    assert list(aligned_lines(frame.head(0))) == []


def test_a_long_table_has_one_header() -> None:
    lines = list(aligned_lines(pd.DataFrame({"number": range(BLOCK + 2)})))
    assert len(lines) == BLOCK + 3
    assert [line.strip() for line in (lines[0], lines[1], lines[-1])] == ["number", "0", str(BLOCK + 1)]
