"""What was put into the corpora's units is found by the table of each kind of response, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from schemas import responses

pytestmark = pytest.mark.corpus

MAX_FALSE_SHARE = 0.05  # of the units of all recordings together
FIELD_BIN_DEG = 10
FIELD_WINDOW_S = 0.249
AXIS_DEG = np.arange(-40, 41, 10)


def rows_of(table: Any, recorded: Any) -> dict[int, dict[str, Any]]:
    """Return unit id -> row, of all units of the recording."""
    rows = {row["unit_id"]: row for row in (table.Unit & recorded.key).to_dicts()}
    assert rows.keys() == recorded.injected.keys()
    return rows


def images(recorded: Any, active: bool) -> pd.DataFrame:
    """Return the flashes and omissions of the task, or of its replay, in order."""
    shown = recorded.table("stimulus_presentations")
    shown = shown[shown["is_change"].notna() & (shown["active"] == active)]
    return shown.sort_values("start_time")


def rate_after(times: np.ndarray, events: np.ndarray, start_s: float, stop_s: float) -> float:
    """Mean rate over events in a window that is half open."""
    counts = [((times >= event + start_s) & (times < event + stop_s)).sum() for event in events]
    return float(np.mean(counts) / (stop_s - start_s))


@pytest.mark.parametrize(
    ("table", "flag", "roles"),
    [
        (responses.ChangeResponse, "change_is_change_modulated", ("change",)),
        (responses.OmissionResponse, "omission_is_responsive", ("omission",)),
        (responses.ImageSelectivity, "selectivity_is_selective", ("visual",)),
        (responses.FullFieldResponse, "full_field_is_responsive", ("visual",)),
        (responses.ReceptiveField, "rf_is_significant", ("rf",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hardly_any_other_unit_is_called_responsive(
    corpus_truth: dict[int, str], populated_corpus: Any, table: Any, flag: str, roles: tuple[str, ...]
) -> None:
    populated_corpus.connect()
    rows = [row for row in table.Unit.to_dicts() if corpus_truth[row["unit_id"]] not in roles]
    assert len(rows) > 0
    assert sum(bool(row[flag]) for row in rows) <= MAX_FALSE_SHARE * len(rows)


def test_change_units_prefer_changes_and_more_so_in_the_task(recorded: Any) -> None:
    rows = rows_of(responses.ChangeResponse, recorded)
    modulated = [rows[unit_id]["change_is_change_modulated"] for unit_id in recorded.with_role("change")]
    assert modulated.count(False) <= 1  # six changes have no lick near them in one of these short sessions
    for unit_id in recorded.with_role("change"):
        row, injected = rows[unit_id], recorded.injected[unit_id]
        assert row["change_is_responsive"]
        assert row["change_modulation_active"] > 0
        of_source = row["change_siegle_2021_modulation_active"]  # few of these mice's changes are engaged
        assert of_source is None or of_source > 0
        assert row["change_siegle_2021_responsive"]
        assert row["change_rate_active"] > row["change_rate_passive"] > 0
        assert row["change_evoked_rate_active"] > row["change_baseline_rate_active"]
        assert -0.02 < row["change_siegle_2021_first_spike_latency"] - injected["latency_s"] < 0.04
        if row["change_latency"] is not None:
            assert abs(row["change_latency"] - injected["latency_s"]) < 0.015
            assert row["change_latency_low"] <= row["change_latency"] <= row["change_latency_high"]


OF_STIMULI = {
    responses.ChangeResponse: ("change_is_responsive", "change_is_change_modulated"),
    responses.OmissionResponse: ("omission_is_responsive",),
    responses.ImageSelectivity: ("selectivity_is_responsive", "selectivity_is_selective"),
    responses.FullFieldResponse: ("full_field_is_responsive",),
    responses.ReceptiveField: ("rf_is_significant",),
}


@pytest.mark.roles("lick")
def test_units_that_follow_licks_are_of_no_stimulus(recorded: Any) -> None:
    for table, flags in OF_STIMULI.items():
        rows = rows_of(table, recorded)
        named = [rows[unit_id][flag] for unit_id in recorded.with_role("lick") for flag in flags]
        assert sum(map(bool, named)) <= 1, table.__name__  # of six units: by chance


@pytest.mark.roles("suppressed")
def test_suppressed_units_are_never_excited(recorded: Any) -> None:
    rows = rows_of(responses.ChangeResponse, recorded)
    found = [rows[unit_id] for unit_id in recorded.with_role("suppressed")]
    signs = {row[f"change_response_sign_{name}"] for row in found for name in ("active", "passive")}
    assert signs <= {-1, None}
    assert -1 in signs


def without_licks(recorded: Any, active: bool, until_s: float) -> np.ndarray:
    """Return the changes without a lick from a second before to so long after."""
    changes = np.asarray(recorded.change_times(active))
    licks = np.concatenate(recorded.table("trials")["lick_times"].to_list())
    near = (licks > changes[:, None] - 1.0) & (licks < changes[:, None] + until_s)
    return changes[~near.any(axis=1)]


def test_the_changes_are_counted(recorded: Any) -> None:
    row = (responses.ChangeResponse & recorded.key).fetch1()
    for active, name in ((True, "active"), (False, "passive")):
        shown = images(recorded, active)
        is_change = shown["is_change"].astype(bool).to_numpy()
        after_flash = np.append(False, ~shown["omitted"].astype(bool).to_numpy()[:-1])
        assert row[f"n_change_changes_{name}"] == without_licks(recorded, active, 0.2).size > 0
        compared = shown["start_time"].isin(without_licks(recorded, active, 0.35)).to_numpy()
        assert row[f"n_change_pairs_{name}"] == (is_change & after_flash & compared).sum()
    assert row["n_change_pairs_hit"] + row["n_change_pairs_miss"] <= row["n_change_pairs_active"]
    units = rows_of(responses.ChangeResponse, recorded).values()
    assert row["n_change_responsive"] == sum(bool(unit["change_is_responsive"]) for unit in units)


@pytest.mark.parametrize(("active", "name"), [(True, "active"), (False, "passive")])
def test_the_rates_around_changes_are_those_of_a_plain_count(recorded: Any, active: bool, name: str) -> None:
    events = without_licks(recorded, active, 0.2)
    for unit_id, row in rows_of(responses.ChangeResponse, recorded).items():
        times = recorded.spike_times[unit_id]
        baseline, evoked = rate_after(times, events, -0.08, 0), rate_after(times, events, 0.02, 0.1)
        assert row[f"change_baseline_rate_{name}"] == pytest.approx(baseline)
        assert row[f"change_evoked_rate_{name}"] == pytest.approx(evoked)


def test_omission_units_answer_omissions(recorded: Any) -> None:
    rows = rows_of(responses.OmissionResponse, recorded)
    for unit_id in recorded.with_role("omission"):
        row = rows[unit_id]
        assert row["omission_is_responsive"]
        assert row["omission_sign"] == 1
        assert row["omission_evoked_rate_active"] > row["omission_expected_rate_active"]
        assert row["omission_flash_index_active"] > 0


OMISSION_WINDOWS = {"first_gray": (-0.5, -0.25), "second_gray": (-0.25, 0), "evoked": (0.05, 0.3)}


def test_the_rates_around_omissions_are_those_of_a_plain_count(recorded: Any) -> None:
    master = (responses.OmissionResponse & recorded.key).fetch1()
    rows = rows_of(responses.OmissionResponse, recorded)
    licks = recorded.table("licks")["timestamps"].to_numpy()
    for active, name in ((True, "active"), (False, "passive")):
        shown = images(recorded, active)
        omitted = shown["omitted"].astype(bool).to_numpy()
        assert master[f"n_omission_omissions_{name}"] == omitted.sum() > 0
        events = shown["start_time"].to_numpy()[omitted & np.append(False, ~omitted[:-1])]
        events = np.array([t for t in events if not ((licks >= t - 0.5) & (licks < t + 0.3)).any()])
        assert master[f"n_omission_tested_{name}"] == len(events) > 0
        for unit_id, row in rows.items():
            times = recorded.spike_times[unit_id]
            for window, bounds in OMISSION_WINDOWS.items():
                expected = rate_after(times, events, *bounds)
                assert row[f"omission_{window}_rate_{name}"] == pytest.approx(expected)


def test_visual_units_prefer_the_image_and_the_colour_that_drive_them(recorded: Any) -> None:
    selectivity = rows_of(responses.ImageSelectivity, recorded)
    flashes = rows_of(responses.FullFieldResponse, recorded)
    names = (responses.ImageSelectivity & recorded.key).fetch1("selectivity_image_names")
    for unit_id in recorded.with_role("visual"):
        injected, row = recorded.injected[unit_id], selectivity[unit_id]
        gains = {name: injected["add_hz_by_image"][name] for name in names}
        assert gains[row["selectivity_preferred_image"]] >= 0.8 * max(gains.values())
        assert 0 < row["selectivity_lifetime_sparseness"] <= 1
        assert flashes[unit_id]["full_field_preferred_color"] == injected["flash_color"]
        is_on = flashes[unit_id]["full_field_on_off_index"] > 0
        assert is_on == (injected["flash_color"] == 1)


def lick_free(recorded: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the flashes and omissions of the task, and which of them are far from changes and licks."""
    shown = images(recorded, True)
    licks = recorded.table("licks")["timestamps"].to_numpy()
    starts = shown["start_time"].to_numpy()
    n_licks = np.bincount(np.searchsorted(starts, licks), minlength=len(shown) + 1)[1:]
    omitted = shown["omitted"].astype(bool).to_numpy()
    used = []
    for row in range(len(shown)):
        near = n_licks[max(row - 3, 0) : row + 2]
        far_from_change = shown["flashes_since_change"].iloc[row] >= 6
        used.append(far_from_change and not near.any() and not omitted[row] and not omitted[row - 1])
    return shown, np.array(used)


def test_the_rates_per_image_are_those_of_a_plain_count(recorded: Any) -> None:
    """On active flashes: no changes, no omissions, no flash right after an omission or near a lick."""
    shown, used = lick_free(recorded)
    repeats = shown[used]
    master = (responses.ImageSelectivity & recorded.key).fetch1()
    names = master["selectivity_image_names"]
    assert names == sorted(set(repeats["image_name"]))
    counts = master["n_selectivity_flashes"], master["n_selectivity_images"]
    assert counts == (len(repeats), len(names))
    novel = repeats["is_image_novel"].astype(bool)
    assert master["n_selectivity_novel_flashes"] == novel.sum()
    assert master["n_selectivity_familiar_flashes"] == (~novel).sum()
    for unit_id, row in rows_of(responses.ImageSelectivity, recorded).items():
        rates = [
            rate_after(recorded.spike_times[unit_id], own["start_time"].to_numpy(), 0, 0.25)
            for _, own in repeats.groupby("image_name")
        ]
        np.testing.assert_allclose(row["selectivity_image_rates"], rates, rtol=1e-6)
        best = names[int(np.argmax(rates))] if max(rates) > 0 else None
        assert row["selectivity_preferred_image"] == best
        assert row["selectivity_preferred_rate"] == (pytest.approx(max(rates)) if best else None)


def test_selectivity_is_tested_over_runs(recorded: Any) -> None:
    """An image has one to five runs here: no unit need be selective, but p is that of the definition."""
    shown, used = lick_free(recorded)
    change = shown["is_change"].astype(bool).to_numpy()
    flashes = pd.DataFrame({"image": shown["image_name"], "run": np.cumsum(change)})[used]
    runs = flashes.groupby("run")["image"].agg(["first", "size"]).query("size >= 2")
    runs = runs[runs.groupby("first")["first"].transform("size") >= 2]
    master = (responses.ImageSelectivity & recorded.key).fetch1()
    assert master["n_selectivity_runs"] == len(runs)
    starts = shown["start_time"].to_numpy()[used]
    for unit_id, row in rows_of(responses.ImageSelectivity, recorded).items():
        edges = np.searchsorted(recorded.spike_times[unit_id], starts + np.array([[-0.25], [0], [0.25]]))
        gain = np.diff(np.diff(edges, axis=0), axis=0)[0]
        means = pd.Series(gain).groupby(flashes["run"].to_numpy()).mean()[runs.index]
        groups = [means[runs["first"] == name] for name in runs["first"].unique()]
        if len(groups) < 2:
            assert row["selectivity_p_selectivity"] is None
        elif means.nunique() > 1:
            assert row["selectivity_p_selectivity"] == pytest.approx(stats.kruskal(*groups).pvalue)


def test_the_rates_of_full_field_flashes_are_those_of_a_plain_count(recorded: Any) -> None:
    shown = recorded.table("stimulus_presentations")
    master = (responses.FullFieldResponse & recorded.key).fetch1()
    rows = rows_of(responses.FullFieldResponse, recorded)
    for value, name in ((1, "white"), (-1, "black")):
        events = shown.loc[shown["color"] == value, "start_time"].to_numpy()
        assert master[f"n_full_field_{name}"] == len(events) > 0
        for unit_id, row in rows.items():
            times = recorded.spike_times[unit_id]
            expected = rate_after(times, events, 0, 0.25), rate_after(times, events, -0.25, 0)
            found = row[f"full_field_evoked_rate_{name}"], row[f"full_field_baseline_rate_{name}"]
            assert found == pytest.approx(expected)


@pytest.mark.roles("rf")
def test_fields_are_found_where_they_were_put(recorded: Any) -> None:
    rows = rows_of(responses.ReceptiveField, recorded)
    for unit_id in recorded.with_role("rf"):
        row, injected = rows[unit_id], recorded.injected[unit_id]
        assert row["rf_p_value"] < 0.05  # two Gabors a place: not always below the 0.01 of the flag
        assert row["rf_is_significant"] == (row["rf_p_value"] < 0.01 and row["rf_q_value"] <= 0.05)
        assert not row["rf_is_inverted"]
        for axis in "xy":
            for name in ("peak", "center", "fit") if row["rf_is_significant"] else ("peak",):
                distance = row[f"rf_{name}_{axis}"] - injected[f"rf_{axis}"]
                assert abs(distance) <= FIELD_BIN_DEG, (name, axis)


def test_the_two_frames_of_a_field_differ_by_the_place_of_the_screen(recorded: Any) -> None:
    for row in rows_of(responses.ReceptiveField, recorded).values():
        if row["rf_center_x"] is None:
            assert row["rf_azimuth"] is row["rf_elevation"] is row["rf_p_value"] is None
        else:
            assert row["rf_azimuth"] == pytest.approx(row["rf_center_x"] + 50)
            assert row["rf_elevation"] == pytest.approx(row["rf_center_y"] + 10)


def test_the_maps_of_the_fields_are_those_of_a_plain_count(recorded: Any) -> None:
    shown = recorded.table("stimulus_presentations")
    gabors = shown[shown["position_x"].notna()]
    master = (responses.ReceptiveField & recorded.key).fetch1()
    assert master["n_rf_gabors"] == len(gabors) > 0
    for unit_id, row in rows_of(responses.ReceptiveField, recorded).items():
        times, expected = recorded.spike_times[unit_id], np.zeros((9, 9), dtype=int)
        for start, x, y in gabors[["start_time", "position_x", "position_y"]].itertuples(index=False):
            n_spikes = ((times >= start) & (times < start + FIELD_WINDOW_S)).sum()
            expected[np.searchsorted(AXIS_DEG, y), np.searchsorted(AXIS_DEG, x)] += n_spikes
        np.testing.assert_array_equal(row["rf_map"], expected)
        assert row["n_rf_spikes"] == expected.sum()


def test_a_p_value_of_a_field_is_never_zero(recorded: Any) -> None:
    rows = rows_of(responses.ReceptiveField, recorded).values()
    for row in (row for row in rows if row["rf_p_value"] is not None):
        floor = 1 / (1 + row["n_rf_shuffles"])
        assert floor <= row["rf_p_value"] <= 1
        assert bool(row["rf_p_is_upper_bound"]) == (row["rf_p_value"] == floor)


@pytest.mark.roles("running")
def test_running_units_fire_more_while_the_mouse_runs(recorded: Any) -> None:
    rows = rows_of(responses.RunningModulation, recorded)
    for unit_id in recorded.with_role("running"):
        row = rows[unit_id]
        assert (
            row["running_allensdk_modulation_index"] is None or row["running_allensdk_modulation_index"] > 0
        )
        assert row["running_spearman_r_active"] > 0
        assert row["running_p_shift_active"] <= 0.1  # of 30 shifts within two minutes


def test_the_pupil_is_measured_where_there_is_eye_tracking(recorded: Any) -> None:
    has_eye = not recorded.table("eye_tracking").empty
    master = (responses.PupilModulation & recorded.key).fetch1()
    assert (master["n_pupil_bins_active"] > 0) == (master["n_pupil_high"] > 0) == has_eye
    for row in rows_of(responses.PupilModulation, recorded).values():
        measured = {name: value for name, value in row.items() if name.startswith("pupil_")}
        if has_eye:
            assert row["pupil_high_rate"] is not None
        else:
            assert set(measured.values()) == {None}


def test_q_values_are_the_p_values_adjusted_over_the_session(recorded: Any) -> None:
    """Benjamini and Hochberg 1995, written out: p times n over rank, never above that of a larger p."""
    tests = {
        responses.ChangeResponse: ("change", ("response", "modulation")),
        responses.OmissionResponse: ("omission", ("value",)),
        responses.ImageSelectivity: ("selectivity", ("response", "selectivity")),
        responses.FullFieldResponse: ("full_field", ("white", "black", "color")),
        responses.RunningModulation: ("running", ("shift_active", "shift_passive")),
        responses.ReceptiveField: ("rf", ("value",)),
    }
    for table, (prefix, names) in tests.items():
        rows = list(rows_of(table, recorded).values())
        for name in names:
            known = [row for row in rows if row[f"{prefix}_p_{name}"] is not None]
            p = sorted(row[f"{prefix}_p_{name}"] for row in known)
            for row in known:
                least = min(
                    value * len(p) / rank
                    for rank, value in enumerate(p, start=1)
                    if value >= row[f"{prefix}_p_{name}"]
                )
                assert row[f"{prefix}_q_{name}"] == pytest.approx(min(least, 1)), (table, name)
