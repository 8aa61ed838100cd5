"""Spike trains for SpikeInterface."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.interop.spikeinterface import property_values, sorting, unit_frames


def test_a_spike_is_at_the_nearest_sample() -> None:
    frames = unit_frames({7: np.array([0.0, 1.00001, 2.00002]), 8: np.array([])}, 30_000.0)
    assert {unit: each.tolist() for unit, each in frames.items()} == {7: [0, 30_000, 60_001], 8: []}
    assert frames[8].dtype == np.int64


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series(["VISp", None]), ["VISp", ""]),
        (pd.Series([True, None], dtype="boolean"), [1.0, np.nan]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series([2**62 + 1, None], dtype="Int64"), [float(2**62), np.nan]),
        (pd.Series([2**62 + 1, 3], dtype="Int64"), [2**62 + 1, 3]),
        (pd.Series([None, None], dtype=object), [np.nan, np.nan]),
        (pd.Series([pd.Timestamp("2020-11-04 22:07:24"), pd.NaT]), ["2020-11-04T22:07:24", ""]),
    ],
)
def test_properties_are_no_objects_so_that_they_can_be_saved(values: pd.Series, expected: list[Any]) -> None:
    found = property_values(values)
    assert found.dtype != object
    np.testing.assert_array_equal(found, expected)


def test_a_sorting_is_saved_and_loaded_with_its_properties(tmp_path: Path) -> None:
    core = pytest.importorskip("spikeinterface.core")
    units = pd.DataFrame({"structure": ["LP", None], "snr": [1.5, 2.5]}, index=[8, 7])
    made = sorting({7: np.array([0.5, 1.0]), 8: np.array([])}, units)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The extractor is not serializable")  # of what it came from
        made.save(folder=tmp_path / "sorting")
    loaded = core.load(tmp_path / "sorting")
    assert loaded.unit_ids.tolist() == [7, 8]
    assert loaded.get_property("structure").tolist() == ["", "LP"]
    assert loaded.get_unit_spike_train(7, return_times=True).tolist() == [0.5, 1.0]
    assert loaded.get_unit_spike_train(8).tolist() == []
