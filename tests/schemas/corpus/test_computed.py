"""Computed tables equal AllenSDK's results, a plain loop, or what was put into the corpus."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from schemas import ecephys, performance, psth

pytestmark = pytest.mark.corpus

ALIGNMENTS = pytest.mark.parametrize(
    ("alignment", "active"), [("change_active", True), ("change_passive", False)]
)
START_S, N_BINS, BIN_S = -1.0, 250, 0.01
SINGLE_PRECISION = {"rtol": 1e-6, "atol": 1e-6}


def test_the_metrics_of_performance_are_those_of_allensdk(watched: Any) -> None:
    row = (performance.Performance & watched.key & {"performance_params": "allensdk"}).fetch1()
    expected = watched.summary["performance_metrics"]
    of_the_row = {name for name in row if name.startswith("performance_")}  # key and provenance
    assert expected.keys() == row.keys() - {"mouse_id", "session_id"} - of_the_row
    for name, value in expected.items():
        if value is None or math.isnan(value):
            assert row[name] is None, name
        else:
            assert row[name] == pytest.approx(value, rel=1e-9, abs=0), name


@ALIGNMENTS
def test_the_rates_of_every_unit_are_those_of_a_plain_histogram(
    recorded: Any, alignment: str, active: bool
) -> None:
    events = recorded.change_times(active)
    key = {**recorded.key, "alignment": alignment}
    assert (psth.Psth & key).fetch1("n_events") == len(events) > 0
    rows = (psth.Psth.Unit & key).to_dicts()
    assert {row["unit_id"] for row in rows} == recorded.spike_times.keys()
    for row in rows:
        rates = _rates_of_events(recorded.spike_times[row["unit_id"]], events)
        mean = rates.mean(axis=0)
        assert row["psth_rate"].dtype == row["psth_sem"].dtype == np.float32
        np.testing.assert_allclose(row["psth_rate"], mean, **SINGLE_PRECISION)
        np.testing.assert_allclose(
            row["psth_sem"], rates.std(axis=0, ddof=1) / np.sqrt(len(events)), **SINGLE_PRECISION
        )
        before, response = mean[75:100], mean[100:125]
        assert row["baseline_rate"] == pytest.approx(before.mean())
        assert row["response_rate"] == pytest.approx(response.mean())
        assert row["peak_rate"] == pytest.approx(response.max())
        latency = None if response.max() == 0 else pytest.approx((response.argmax() + 0.5) * BIN_S)
        assert row["peak_latency"] == latency


@ALIGNMENTS
def test_running_and_licks_around_changes_are_those_of_a_plain_loop(
    recorded: Any, alignment: str, active: bool
) -> None:
    events = recorded.change_times(active)
    row = (psth.AlignedBehavior & recorded.key & {"alignment": alignment}).fetch1()
    assert row["n_aligned_events"] == len(events)
    running = recorded.table("running_speed")
    mean, sem = _trace_around(events, running["timestamps"].to_numpy(), running["speed"].to_numpy())
    np.testing.assert_allclose(row["running_speed_mean"], mean, **SINGLE_PRECISION)
    np.testing.assert_allclose(row["running_speed_sem"], sem, **SINGLE_PRECISION)
    licks = _rates_of_events(recorded.table("licks")["timestamps"].to_numpy(), events)
    np.testing.assert_allclose(row["lick_rate"], licks.mean(axis=0), **SINGLE_PRECISION)


@ALIGNMENTS
def test_the_pupil_around_changes_is_that_of_a_plain_loop_or_null(
    recorded: Any, alignment: str, active: bool
) -> None:
    row = (psth.AlignedBehavior & recorded.key & {"alignment": alignment}).fetch1()
    eye = recorded.table("eye_tracking")
    seen = eye[~eye["likely_blink"].to_numpy(bool)]
    for attribute, column in (("pupil_area", "pupil_area"), ("pupil_x", "pupil_center_x")):
        if eye.empty:
            assert row[f"{attribute}_mean"] is row[f"{attribute}_sem"] is None
            continue
        known = seen[seen[column].notna()]
        trace = known["timestamps"].to_numpy(), known[column].to_numpy()
        mean, sem = _trace_around(recorded.change_times(active), *trace)
        np.testing.assert_allclose(row[f"{attribute}_mean"], mean, **SINGLE_PRECISION)
        np.testing.assert_allclose(row[f"{attribute}_sem"], sem, rtol=1e-5, atol=1e-6)


def test_a_response_that_was_put_in_is_found(recorded: Any) -> None:
    """The units with the role `change` fire at image changes, in the task more than in its replay."""
    units = [unit["unit_id"] for unit in recorded.truth["units"] if unit["role"] == "change"]
    assert units
    query = psth.Psth.Unit & recorded.key & [{"unit_id": unit_id} for unit_id in units]
    active = (query & {"alignment": "change_active"}).to_dicts(order_by="unit_id")
    passive = (query & {"alignment": "change_passive"}).to_dicts(order_by="unit_id")
    assert all(row["response_rate"] > 3 * (row["baseline_rate"] + 1) for row in active)
    assert sum(row["response_rate"] for row in active) > sum(row["response_rate"] for row in passive)


def test_units_join_with_channels_and_responses_by_area(recorded: Any) -> None:
    """The question a scientist asks: responses of the good units of one area."""
    peaks = ecephys.Recording.Channel.proj("structure_acronym", peak_channel_id="channel_id")
    units = (ecephys.Recording.Unit * peaks & {"structure_acronym": "VISp", "quality": "good"}) & recorded.key
    table, channels = recorded.table("units"), recorded.table("channels")
    in_area = channels["structure_acronym"][table["peak_channel_id"]].to_numpy() == "VISp"
    expected = set(table.index[in_area & (table["quality"] == "good").to_numpy()])
    rows = (psth.Psth.Unit & units.proj() & {"alignment": "change_active"}).to_dicts()
    assert {row["unit_id"] for row in rows} == expected


def _rates_of_events(times: np.ndarray, events: np.ndarray) -> np.ndarray:
    """(n_events, n_bins) rates in Hz, one histogram for each event."""
    edges = np.arange(N_BINS + 1) * BIN_S
    return np.array([np.histogram(times - (event + START_S), edges)[0] / BIN_S for event in events])


def _trace_around(events: np.ndarray, times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over events of a trace, interpolated at the bins' centres."""
    centers = START_S + (np.arange(N_BINS) + 0.5) * BIN_S
    each = np.array(
        [np.interp(event + centers, times, values, left=np.nan, right=np.nan) for event in events]
    )
    return np.nanmean(each, axis=0), np.nanstd(each, axis=0, ddof=1) / np.sqrt(np.isfinite(each).sum(axis=0))
