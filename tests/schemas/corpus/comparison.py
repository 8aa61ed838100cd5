"""Comparing rows with a data frame of AllenSDK's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

RELATIVE_TOLERANCE = 1e-9
# What AllenSDK gives for a missing integer, and for missing text.
MISSING = (-99, "", "N/A")


def assert_rows_equal(
    rows: Sequence[Mapping[str, Any]], frame: pd.DataFrame, names: Mapping[str, str]
) -> None:
    """Exact for numbers without fraction, text and flags; missing values are None on both sides."""
    assert len(rows) == len(frame)
    for column, attribute in names.items():
        expected = [_expected_value(value) for value in frame[column].astype(object)]
        different = [
            (position, row[attribute], value)
            for position, (row, value) in enumerate(zip(rows, expected, strict=True))
            if not _is_same(row[attribute], value)
        ]
        assert not different, (
            f"{attribute}: {len(different)} differ, (row, stored, expected): {different[:5]}"
        )


def _expected_value(value: Any) -> Any:
    if (
        value is None
        or value is pd.NA
        or (isinstance(value, float) and math.isnan(value))
        or value in MISSING
    ):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _is_same(stored: Any, expected: Any) -> bool:
    if stored is None or expected is None:
        return stored is expected
    if isinstance(expected, bool):  # MySQL has numbers for flags
        return stored in (0, 1) and bool(stored) == expected
    if isinstance(expected, float):
        return math.isclose(stored, expected, rel_tol=RELATIVE_TOLERANCE, abs_tol=0)
    return type(stored) is type(expected) and stored == expected
