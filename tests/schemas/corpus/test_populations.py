"""Units that pass filters, averages over them, and counts of spikes in trials: against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import optotagging, psth, responses, selection
from vbn.analysis.optotagging import DEFAULT_METHOD

pytestmark = pytest.mark.corpus
FOR_POPULATIONS = ("bennett_2025", "quickstart")
EACH_POPULATION = pytest.mark.parametrize("criteria", FOR_POPULATIONS)
WINDOWS_S = {
    "baseline": (-0.25, 0.0),
    "response": (0.0, 0.25),
    "baseline_80ms": (-0.08, 0.0),
    "early": (0.02, 0.1),
    "late": (0.1, 0.25),
    "gray": (0.25, 0.75),
}
BLOCKS = pytest.mark.parametrize("block", ["active", "passive"])


def selected(recorded: Any, criteria: str) -> set[int]:
    key = {**recorded.key, "unit_criteria": criteria}
    ids = set((selection.UnitSelection.Unit & key).to_arrays("unit_id").tolist())
    assert len(ids) == (selection.UnitSelection & key).fetch1("n_selected")
    return ids


@pytest.mark.parametrize(
    ("criteria", "of_allensdk"), [("all", "default"), ("good", "valid"), ("visual_coding", "vcn_thresholds")]
)
def test_the_units_that_pass_are_those_of_get_units(recorded: Any, criteria: str, of_allensdk: str) -> None:
    assert selected(recorded, criteria) == set(recorded.summary["unit_filters"][of_allensdk]["unit_ids"])


def test_the_units_that_pass_are_those_of_a_pandas_query(recorded: Any) -> None:
    """A missing metric passes no limit. Bennett 2025 leaves out sessions with an abnormality."""
    units = recorded.table("units")
    quickstart = units.query("snr > 1 and isi_violations < 1 and firing_rate > 0.1")
    assert selected(recorded, "quickstart") == set(quickstart.index)
    thresholds = "isi_violations < 0.5 and amplitude_cutoff < 0.1 and presence_ratio > 0.9"
    good = units.query(f"{thresholds} and quality == 'good'")
    flagged = recorded.catalogue[["abnormal_histology", "abnormal_activity"]].notna().any()
    expected = set() if flagged else set(good.index)
    assert selected(recorded, "bennett_2025") == expected


def trial_flashes(recorded: Any, block: str) -> dict[int, float]:
    """Return trial -> start on screen of the flash of its change or sham change, or of that in the replay."""
    trials, shown = recorded.table("trials"), recorded.table("stimulus_presentations")
    shown = shown[shown["is_change"].notna()].sort_values("start_time")
    active = shown.loc[shown["active"], "start_time"].to_numpy()
    passive = shown.loc[~shown["active"], "start_time"].to_numpy()
    assert len(active) == len(passive)
    found = {}
    for trial, time in trials.loc[~trials["aborted"], "change_time_no_display_delay"].items():
        place = int(np.argmin(np.abs(active - time)))
        found[int(trial)] = float((active if block == "active" else passive)[place])
    return found


@BLOCKS
def test_the_spikes_of_every_unit_in_every_trial_are_those_of_a_plain_count(
    recorded: Any, block: str
) -> None:
    flashes = trial_flashes(recorded, block)
    for window, (start_s, stop_s) in WINDOWS_S.items():
        counts = psth.trial_response(recorded.key, window, block)
        assert counts.dims == ("unit", "trial")
        assert counts["trial_id"].values.tolist() == sorted(flashes)
        assert counts["event_time"].values == pytest.approx([flashes[t] for t in sorted(flashes)], rel=1e-12)
        assert set(counts["unit_id"].values.tolist()) == recorded.injected.keys()
        events = counts["event_time"].values
        for unit_id, row in zip(counts["unit_id"].values.tolist(), counts.values, strict=True):
            times = recorded.spike_times[unit_id]
            expected = [((times >= e + start_s) & (times < e + stop_s)).sum() for e in events]
            assert row.tolist() == expected
    master = (psth.TrialResponse & recorded.key & {"trial_response_params": block}).fetch1()
    assert (master["n_response_units"], master["n_response_trials"]) == counts.shape


def test_change_units_fire_in_the_trials_with_a_change(recorded: Any) -> None:
    trials = recorded.table("trials")
    counts = psth.trial_response(recorded.key, "response")
    is_change = trials["is_change"][counts["trial_id"].values].to_numpy()
    chosen = counts[np.isin(counts["unit_id"], list(recorded.with_role("change")))]
    assert (chosen[:, is_change].mean("trial") > chosen[:, ~is_change].mean("trial")).all()


def test_the_counts_are_read_when_they_are_used(recorded: Any) -> None:
    counts = psth.trial_response(recorded.key, "response")
    data: Any = counts.variable._data
    while not isinstance(data, np.memmap) and getattr(data, "array", getattr(data, "base", None)) is not None:
        data = getattr(data, "array", getattr(data, "base", None))
    assert isinstance(data, np.memmap)
    assert not data.flags.writeable


def test_the_tidy_frame_joins_counts_and_trials(recorded: Any) -> None:
    counts = psth.trial_response(recorded.key, "early")
    unit_ids = sorted(recorded.injected)[:3]
    frame = psth.trial_response_frame(recorded.key, "early", unit_ids)
    assert len(frame) == 3 * counts.sizes["trial"]
    assert set(frame["unit_id"]) == set(unit_ids)
    trials = recorded.table("trials").loc[frame["trial_id"]]
    for name in ("hit", "miss", "go", "catch", "auto_rewarded", "change_image_name"):
        assert frame[name].tolist() == trials[name].tolist()
    position = {int(unit_id): row for row, unit_id in enumerate(counts["unit_id"].values)}
    column = {int(trial): number for number, trial in enumerate(counts["trial_id"].values)}
    expected = [
        counts.values[position[unit], column[trial]]
        for unit, trial in zip(frame["unit_id"], frame["trial_id"], strict=True)
    ]
    assert frame["spike_count"].tolist() == expected
    assert psth.trial_response_frame(recorded.key, "early", []).empty


@EACH_POPULATION
@pytest.mark.parametrize("alignment", ["change_active", "omission_active", "laser_pulse_high"])
def test_the_mean_of_a_structure_is_that_of_its_selected_units(
    recorded: Any, alignment: str, criteria: str
) -> None:
    rows = (psth.Psth.Unit & recorded.key & {"alignment": alignment}).to_dicts()
    rates = {row["unit_id"]: row["psth_rate"].astype(float) for row in rows}
    groups: dict[str, list[np.ndarray]] = {}
    for unit_id in selected(recorded, criteria):
        groups.setdefault(structures(recorded)[unit_id], []).append(rates[unit_id])
    groups.pop("", None)  # above the annotated volume, or without histology
    key = {**recorded.key, "alignment": alignment, "unit_criteria": criteria}
    found = {row["structure_acronym"]: row for row in (psth.AreaPsth.Structure & key).to_dicts()}
    assert found.keys() == groups.keys()
    assert (psth.AreaPsth & key).fetch1("n_structures") == len(groups)
    for name, own in groups.items():
        row, n_units = found[name], len(own)
        assert row["n_area_units"] == n_units
        np.testing.assert_allclose(row["area_rate"], np.mean(own, axis=0), rtol=1e-5, atol=1e-5)
        if n_units < 2:
            assert np.isnan(row["area_std"]).all()
            assert np.isnan(row["area_sem"]).all()
            continue
        spread = np.std(own, axis=0, ddof=1)
        np.testing.assert_allclose(row["area_std"], spread, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(row["area_sem"], spread / np.sqrt(n_units), rtol=1e-4, atol=1e-4)


def structures(recorded: Any) -> dict[int, str]:
    """Unit id -> structure of its peak channel, empty for none."""
    units, places = recorded.table("units"), recorded.table("channels")["structure_acronym"]
    peaks = places.reindex(units["peak_channel_id"])
    names = peaks.where(peaks.notna(), "").tolist()
    return dict(zip(units.index.tolist(), names, strict=True))


@EACH_POPULATION
def test_the_summary_of_a_structure_counts_its_selected_units(recorded: Any, criteria: str) -> None:
    key = {**recorded.key, "unit_criteria": criteria}
    assert set((responses.AreaSummary & key).to_arrays("optotag_method")) == {DEFAULT_METHOD}
    responding = {
        row["unit_id"]: bool(row["change_is_responsive"])
        for row in (responses.ChangeResponse.Unit & recorded.key).to_dicts()
    }
    labelled = (responses.CellClass.Unit & recorded.key & {"optotag_method": DEFAULT_METHOD}).to_dicts()
    classes = {row["unit_id"]: row["cell_class"] for row in labelled}
    of_default = (optotagging.unit_labels() & recorded.key).to_dicts()
    labels = {row["unit_id"]: row["optotag_label"] for row in of_default}
    chosen, place = selected(recorded, criteria), structures(recorded)
    rows = (responses.AreaSummary.Structure & key).to_dicts()
    assert {row["structure_acronym"] for row in rows} == {place[unit_id] for unit_id in chosen} - {""}
    for row in rows:
        own = [unit_id for unit_id in chosen if place[unit_id] == row["structure_acronym"]]
        n_responsive = sum(responding[unit_id] for unit_id in own)
        groups = (("Sst", "Vip"), ("RS",), ("FS",))
        n_tagged, n_rs, n_fs = (sum(classes[unit_id] in group for unit_id in own) for group in groups)
        found = [row[f"n_structure_{name}"] for name in ("units", "responsive", "tagged", "rs", "fs")]
        assert found == [len(own), n_responsive, n_tagged, n_rs, n_fs]
        assert row["share_responsive"] == pytest.approx(n_responsive / len(own))
        n_known = sum(labels[unit_id] != "unlabelled" for unit_id in own)
        assert row["share_tagged"] == (pytest.approx(n_tagged / n_known) if n_known else None)
