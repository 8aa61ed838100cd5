"""Responsiveness and modulation against the published code's steps, one after the other on the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.vbn.analysis.spikes.test_presentation_counts import published_tensor
from vbn.analysis.responses.published_response import (
    DEFAULT,
    OLDER,
    PublishedResponseParameters,
    published_response,
)
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes
from vbn.calibration.columns import as_spikes
from vbn.calibration.events import simulate_events

Trains = list[np.ndarray]


def chosen_of(
    flashes: pd.DataFrame, parameters: PublishedResponseParameters = DEFAULT
) -> dict[str, np.ndarray]:
    return {kind: select_flashes(flashes, FLASH_SETS[name]) for kind, name in parameters.flash_sets.items()}


def tensors_of(train: np.ndarray, flashes: pd.DataFrame) -> dict[str, np.ndarray]:
    """The tensor of one unit in task and replay, each in order of time."""
    return {
        state: published_tensor(train, flashes.loc[flashes["active"] == active, "start_time"].to_numpy())
        for state, active in (("active", True), ("passive", False))
    }


def expected_responses(tensor: np.ndarray, task: pd.DataFrame) -> dict[str, dict[str, float]]:
    """``make_unit_responsiveness_table`` of one unit: condition -> column -> value."""
    mask = (
        ~task["lick_for_flash"]
        & (task["flashes_since_lick"] >= 2)
        & ~task["is_change"]
        & task["engaged_bennett_2025"]
        & ~task["previous_omitted"]
        & (task["flashes_since_change"] > 5)
    )
    rows = {
        name: np.flatnonzero(mask & (task["image_name"] == name)) for name in sorted(set(task["image_name"]))
    }
    rows["change"] = np.flatnonzero(task["is_change"] & task["engaged_bennett_2025"])
    found = {}
    for name, at in rows.items():
        if at.size:
            base, resp = tensor[at - 1, 670:750].mean(axis=1), tensor[at, 20:100].mean(axis=1)
            with np.errstate(all="ignore"):
                p = 1.0 if (resp == base).all() else stats.wilcoxon(base, resp)[1]
            found[name] = {
                "p_value": p,
                "mean_evoked_hz": 1000 * (resp.mean() - base.mean()),
                "peak_evoked_hz": 1000 * (resp.max() - base.mean()),
            }
    corrected = stats.false_discovery_control([each["p_value"] for each in found.values()])
    for each, q in zip(found.values(), corrected, strict=True):
        each["p_corrected"] = q
    return found


def norm_index(one: float, other: float) -> float:
    greater = max(abs(one), abs(other))
    return (one - other) / greater if greater else np.nan


def expected_modulation(
    tensors: dict[str, np.ndarray], task: pd.DataFrame, hit: np.ndarray
) -> dict[str, float]:
    """``get_matched_change_prechange`` and ``get_mod_index_norm`` of one unit, with both tensors."""
    usable = hit & task["engaged_bennett_2025"].to_numpy(bool)
    changes = usable & task["is_change"].to_numpy(bool) & ~task["is_shared"].to_numpy(bool)
    before = usable & task["is_prechange"].to_numpy(bool)
    values: dict[str, float] = {}
    for state, tensor in tensors.items():
        traces: dict[str, Trains] = {"change": [], "prechange": []}
        for name in sorted(set(task["image_name"][changes])):
            rows = {
                "change": np.flatnonzero(changes & (task["image_name"] == name)),
                "prechange": np.flatnonzero(before & (task["image_name"] == name)),
            }
            if all(at.size for at in rows.values()):
                for kind, at in rows.items():
                    gray, flash = tensor[at - 1, -50:].mean(axis=0), tensor[at].mean(axis=0)
                    traces[kind].append(np.concatenate([gray, flash]))
        c, p = (1000 * np.mean(traces[kind], axis=0) for kind in traces)
        c, p = (trace[70:150].mean() - trace[:50].mean() for trace in (c, p))
        values |= {f"change_rate_{state}_hz": c, f"prechange_rate_{state}_hz": p}
        values[f"change_index_{state}"] = norm_index(c, p)
    both = (values[f"change_rate_{state}_hz"] for state in tensors)
    return {**values, "state_index": norm_index(*both)}


def compare_with_the_source(
    rows: list[dict[str, Any]], names: list[str], trains: Trains, flashes: pd.DataFrame, trials: pd.DataFrame
) -> int:
    """Compare every column of every unit; return how many conditions were compared."""
    task = flashes[flashes["active"]]
    hit = np.append(trials["hit"].to_numpy(bool), False)[task["trial"]]
    n = 0
    for train, row in zip(trains, rows, strict=True):
        tensors = tensors_of(train, flashes)
        expected = expected_responses(tensors["active"], task)
        assert names == [name for name in expected if name not in ("omitted", "change")]
        for place, name in enumerate(names):
            for column, value in expected[name].items():
                of_images = row[f"image_{column.replace('p_value', 'p_values')}"]
                assert of_images[place] == pytest.approx(value, rel=1e-12, abs=1e-10), (name, column)
        for name, kind in (("omitted", "omission"), ("change", "change")):
            for column in ("p_value", "p_corrected", "mean_evoked_hz", "peak_evoked_hz"):
                value = expected.get(name, {}).get(column, np.nan)
                assert row[f"{kind}_{column}"] == pytest.approx(value, rel=1e-12, abs=1e-10, nan_ok=True)
            significant = row[f"{kind}_is_significant"]
            assert pd.isna(significant) == (name not in expected)
            assert pd.isna(significant) or significant == (expected[name]["p_corrected"] <= 0.05)
        if names:
            assert row["responds_to_image"] == any(expected[name]["p_corrected"] <= 0.05 for name in names)
        if row["n_matched_images"]:
            for column, value in expected_modulation(tensors, task, hit).items():
                assert row[column] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), column
        else:
            assert np.isnan(row["change_index_active"])
        n += len(expected)
    return n


@pytest.fixture(scope="module")
def session() -> tuple[Trains, pd.DataFrame, pd.DataFrame]:
    """Units without and with responses, one that bursts within milliseconds, one silent."""
    events = simulate_events(5, 1, 40.0)
    flashes = flash_behavior(events.presentations, events.trials, events.lick_times_s)
    rng = np.random.default_rng(1)
    slow, fast = (np.sort(rng.uniform(0, events.end_s, int(rate * events.end_s))) for rate in (2, 25))
    starts = flashes["start_time"].to_numpy()
    driven = np.sort(
        np.concatenate([slow, starts[flashes["is_change"]] + 0.05, rng.choice(starts, 900) + 0.06])
    )
    bursts = np.sort(
        np.concatenate([fast, fast + 3e-4, starts + 0.02, starts + 0.1, starts + 0.67, starts + 0.75])
    )
    return [slow, fast, driven, bursts, np.empty(0)], flashes, events.trials


def test_all_values_are_those_of_the_published_steps(session: Any) -> None:
    trains, flashes, trials = session
    table, names = published_response(*as_spikes(trains), flashes, trials, chosen_of(flashes))
    rows = table.to_dict("records")
    assert compare_with_the_source(rows, names, trains, flashes, trials) == len(trains) * 10


def older_peak_and_mean(tensor: np.ndarray, task: pd.DataFrame, name: str) -> tuple[float, float]:
    """``get_nonchange_flashes`` and ``calculate_imagewise_stats`` of one unit and image or ``omitted``."""
    mask = (
        ~task["bout_in_window"]
        & (task["flashes_since_lick"] > 1)
        & ~task["is_change"]
        & task["engaged_bennett_2025"]
        & ~task["previous_omitted"]
        & (task["flashes_since_change"] > 5)
    )
    at = np.flatnonzero(mask & (task["image_name"] == name))
    at = at[at > 0]
    trace = tensor[at, 20:100].mean(axis=0) - tensor[at - 1, 700:750].mean()
    return 1000 * trace.max(), 1000 * trace.mean()


def test_the_older_variant_has_the_peaks_and_means_of_its_own_steps(session: Any) -> None:
    trains, flashes, trials = session
    task = flashes[flashes["active"]]
    older, names = published_response(
        *as_spikes(trains), flashes, trials, chosen_of(flashes, OLDER), parameters=OLDER
    )
    newer, _ = published_response(*as_spikes(trains), flashes, trials, chosen_of(flashes))
    assert len(names) == 8
    for train, row in zip(trains, older.to_dict("records"), strict=True):
        tensor = tensors_of(train, flashes)["active"]
        for place, name in enumerate(names):
            peak, mean = older_peak_and_mean(tensor, task, name)
            assert row["image_peak_evoked_hz"][place] == pytest.approx(peak, rel=1e-12, abs=1e-10)
            assert row["image_mean_evoked_hz"][place] == pytest.approx(mean, rel=1e-12, abs=1e-10)
        peak, mean = older_peak_and_mean(tensor, task, "omitted")
        assert row["omission_peak_evoked_hz"] == pytest.approx(peak, rel=1e-12, abs=1e-10)
        assert row["omission_mean_evoked_hz"] == pytest.approx(mean, rel=1e-12, abs=1e-10)
    driven = 2  # fires 50 ms after each change, an edge of two bins: most changes have it in the same one
    assert older["change_peak_evoked_hz"][driven] > 600 > 10 * newer["change_peak_evoked_hz"][driven]
    pd.testing.assert_series_equal(older["change_index_active"], newer["change_index_active"])


def test_what_is_undefined_is_missing(session: Any) -> None:
    trains, flashes, trials = session
    table, names = published_response(*as_spikes(trains), flashes, trials, chosen_of(flashes))
    silent = table.iloc[-1]
    assert silent["change_p_value"] == 1.0
    assert silent["image_p_values"].tolist() == [1.0] * 8
    assert np.isnan(silent["change_index_active"])
    assert np.isnan(silent["state_index"])
    no_replay = flashes.assign(replay=-1)
    table, _ = published_response(*as_spikes(trains), no_replay, trials, chosen_of(no_replay))
    assert table[["change_rate_passive_hz", "change_index_passive", "state_index"]].isna().all(axis=None)
    assert table["change_index_active"].notna().any()
    nothing = {kind: np.zeros(len(flashes), bool) for kind in ("image", "omission", "change")}
    table, names = published_response(*as_spikes(trains), flashes, trials, nothing)
    assert names == []
    assert table[["change_p_value", "omission_p_corrected", "responds_to_image"]].isna().all(axis=None)
    empty = flashes.iloc[:0]
    table, _ = published_response(
        *as_spikes(trains), empty, trials, {kind: np.empty(0, bool) for kind in nothing}
    )
    assert table[["change_p_value", "change_index_active", "state_index"]].isna().all(axis=None)
    no_units, _ = published_response([], [], [], flashes, trials, chosen_of(flashes))
    assert len(no_units) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"response_window_s": (-0.02, 0.1)}, "whole milliseconds"),
        ({"baseline_window_s": (0.67, 0.8)}, "whole milliseconds"),
        ({"max_p_corrected": 1.0}, "between 0 and 1"),
        ({"peak_over": "bins"}, "'flashes' or 'time'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(fields: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PublishedResponseParameters(**fields)
