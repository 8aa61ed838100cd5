"""Data frames for Arrow and polars, of every type that the shared queries return."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vbn.errors import SettingError
from vbn.interop.frames import arrow_table, polars_frame


@pytest.fixture
def frame() -> pd.DataFrame:
    """Two rows of every type, the second with what is missing."""
    found = pd.DataFrame(
        {
            "unit_id": [2**62 + 1, 7],
            "trial_id": pd.array([2**62 + 1, None], "Int64"),
            "is_engaged": pd.array([True, None], "boolean"),
            "label": pd.Categorical(["Sst", None], ["Sst", "Vip"]),
            "rate": np.array([0.1, np.nan]),
            "name": ["VISp", None],
            "flag": np.array([True, None], dtype=object),
            "at": pd.to_datetime(["2020-11-04T22:07:24.123456", None]),
            "curve": [np.array([1.5, 2.5], np.float32), None],
            "field": [np.arange(6, dtype=np.int16).reshape(2, 3), None],
            "mice": [("a", "b"), ()],
        },
        index=[5, 3],
    )
    found.attrs = {"between": "experience_level", "levels": np.array([1, 2])}
    return found


def test_types_and_what_is_missing_are_kept(frame: pd.DataFrame) -> None:
    table = arrow_table(frame)
    kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
    assert (kinds["unit_id"], kinds["trial_id"], kinds["is_engaged"]) == (pa.int64(), pa.int64(), pa.bool_())
    assert (kinds["rate"], kinds["flag"], kinds["curve"]) == (
        pa.float64(),
        pa.bool_(),
        pa.list_(pa.float32()),
    )
    assert pa.types.is_dictionary(kinds["label"])
    rows = table.to_pylist()
    assert rows[0]["trial_id"] == 2**62 + 1
    assert rows[0]["field"] == [[0, 1, 2], [3, 4, 5]]
    assert [name for name, value in rows[1].items() if value is None] == [
        "trial_id", "is_engaged", "label", "rate", "name", "flag", "at", "curve", "field",
    ]  # fmt: skip
    assert json.loads(table.schema.metadata[b"attrs"]) == {"between": "experience_level", "levels": [1, 2]}
    assert list(frame.attrs) == ["between", "levels"]  # the frame itself is as it was


def test_polars_has_the_same_rows(frame: pd.DataFrame) -> None:
    pl = pytest.importorskip("polars")
    found = polars_frame(arrow_table(frame))
    assert found.schema["trial_id"] == pl.Int64
    assert found.schema["label"] == pl.Categorical
    assert found.schema["curve"] == pl.List(pl.Float32)
    assert found.filter(pl.col("is_engaged"))["unit_id"].to_list() == [2**62 + 1]
    assert found.to_dicts() == arrow_table(frame).to_pylist()


def test_a_column_of_several_types_is_named() -> None:
    with pytest.raises(SettingError, match=r"Column 'level' has values of several types \(int, str\)"):
        arrow_table(pd.DataFrame({"level": pd.Series(["Novel", 3], dtype=object)}))
