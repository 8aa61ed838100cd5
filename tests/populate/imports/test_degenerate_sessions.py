"""Sessions in which something did not happen: every table has its rows, with NULL for what cannot be said.

Each copy of a small session lacks several things at once, as a copy costs some seconds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas import behavior, ecephys, optotagging, performance, psth, responses, stimulus, strategy

pytestmark = [pytest.mark.files, pytest.mark.slow]

LASER = "processing/optotagging"
EYE = "acquisition/EyeTracking"
FLAGS = ("hit", "miss", "false_alarm", "correct_reject", "go", "catch", "auto_rewarded", "is_change")


def replace(group: h5py.Group, name: str, values: Any) -> None:
    """Put values of another length in the place of a column, under its attributes."""
    attributes = dict(group[name].attrs)
    del group[name]
    group[name] = values
    group[name].attrs.update(attributes)
    if "target" in attributes:  # an index refers to its values, which may have been replaced
        group[name].attrs["target"] = group[name.removesuffix("_index")].ref


def image_table(file: h5py.File) -> h5py.Group:
    return next(table for name, table in file["intervals"].items() if name.startswith("Natural"))


def no_stimulus_but_images(file: h5py.File) -> None:
    """No laser, no eye tracking, no Gabors, no full-field flashes."""
    for path in (LASER, EYE, "intervals/gabor_20_deg_250ms_presentations"):
        del file[path]
    del file["intervals/flash_250ms_presentations"]


def nothing_but_aborted_trials(file: h5py.File) -> None:
    """No change, no omission, no reward; a single image."""
    trials, images = file["intervals/trials"], image_table(file)
    for name in FLAGS:
        trials[name][...] = False
    trials["aborted"][...] = True
    for name in ("change_time_no_display_delay", "response_time", "reward_time"):
        trials[name][...] = np.nan
    trials["reward_volume"][...] = 0.0
    trials["change_image_name"][...] = trials["initial_image_name"][0]
    for name in ("is_change", "omitted", "is_sham_change", "rewarded"):
        images[name][...] = 0
    images["image_name"][...] = trials["initial_image_name"][0]
    del file["processing/rewards"]


def hardly_a_spike(file: h5py.File) -> None:
    """The first unit has no spike, the second one, all others ten each; one pulse of each laser level."""
    units = file["units"]
    ends = units["spike_times_index"][:].astype(int)
    starts = np.append(0, ends[:-1])
    kept = np.minimum(ends - starts, [0, 1, *[10] * (len(ends) - 2)])
    chosen = np.concatenate([np.arange(start, start + n) for start, n in zip(starts, kept, strict=True)])
    for name in ("spike_times", "spike_amplitudes"):
        replace(units, name, units[name][:][chosen])
        replace(units, f"{name}_index", np.cumsum(kept))
    pulses = file[f"{LASER}/optogenetic_stimulation"]
    for name in ("stimulus_name", "level"):
        assert len(set(pulses[name][:].tolist())) > 1
    keys = list(zip(pulses["stimulus_name"][:].tolist(), pulses["level"][:].tolist(), strict=True))
    first = sorted({key: row for row, key in reversed(list(enumerate(keys)))}.values())
    for name in [name for name in pulses if len(pulses[name]) == len(keys)]:
        replace(pulses, name, pulses[name][:][first])


OF_UNITS = (
    responses.ChangeResponse,
    responses.OmissionResponse,
    responses.ImageSelectivity,
    responses.FullFieldResponse,
    responses.RunningModulation,
    responses.PupilModulation,
    responses.ReceptiveField,
)
DAMAGES = (no_stimulus_but_images, nothing_but_aborted_trials, hardly_a_spike)
EACH_DAMAGE = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@dataclass(frozen=True)
class Populated:
    """What ``vbn register`` and ``vbn populate`` made of the copies."""

    database: Any
    session_ids: dict[str, int]
    done: subprocess.CompletedProcess[str]

    def key(self, damage: Callable[..., None]) -> dict[str, int]:
        self.database.connect()
        return {"session_id": self.session_ids[damage.__name__]}


@pytest.fixture(scope="module")
def populated(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> Populated:
    database = make_database().keep_few_sets()
    paths = {damage.__name__: damaged_copy(damage) for damage in DAMAGES}
    database.call("register", *paths.values())
    done = database.call("populate", check=False)
    return Populated(database, {name: int(path.stem.rsplit("_")[-1]) for name, path in paths.items()}, done)


def test_nothing_fails_and_nothing_is_said(populated: Populated) -> None:
    assert populated.done.returncode == 0, populated.done.stderr
    assert populated.done.stderr == ""
    assert populated.database.json("errors") == []
    assert populated.database.job_states().keys() <= {"success"}


def test_nothing_is_left_to_do(populated: Populated) -> None:
    for state in populated.database.json("status"):
        assert (state["done"], state["errors"], state["reserved"]) == (state["total"], 0, 0), state
    assert populated.database.json("populate") == {"done": 0, "failures": []}
    assert populated.database.json("stale") == []


@pytest.mark.parametrize(
    ("damage", "figure", "said"),
    [
        (no_stimulus_but_images, "behavior", "no eye tracking"),
        (no_stimulus_but_images, "session", "no laser"),
        (nothing_but_aborted_trials, "behavior", "no changes"),
        (nothing_but_aborted_trials, "session", "0 rewards"),
        (hardly_a_spike, "session", "laser"),
        (hardly_a_spike, "probe", "not located"),
    ],
)
def test_pictures_are_drawn_and_say_what_there_is_not(
    populated: Populated, damage: Callable[..., None], figure: str, said: str, tmp_path: Path
) -> None:
    out = tmp_path / "figure.svg"
    session_id = populated.key(damage)["session_id"]
    populated.database.call("plot", figure, "--session", session_id, "--out", out)
    assert said in out.read_text(encoding="utf-8")


@EACH_DAMAGE
def test_every_unit_has_a_row_in_every_table_of_units(
    populated: Populated, damage: Callable[..., None]
) -> None:
    key = populated.key(damage)
    n_units = len(ecephys.Recording.Unit & key)
    for table in OF_UNITS:
        assert len(table.Unit & key) == n_units, table
    assert len(psth.Psth.Unit & key) == n_units * len(psth.Alignment())
    for each in (optotagging.OptotagLabel.Unit, responses.CellClass.Unit):
        assert len(each & key) == n_units * len(optotagging.OptotagMethod())


def test_without_laser_no_unit_is_labelled_and_the_reason_says_so(populated: Populated) -> None:
    key = populated.key(no_stimulus_but_images)
    assert (optotagging.Optotagging & key).fetch1("optotag_outcome") == "no_laser_table"
    assert len(optotagging.Optotagging.Condition & key) == len(optotagging.Optotagging.Evidence & key) == 0
    labels = (optotagging.OptotagLabel.Unit & key).to_dicts()
    found = {(row["optotag_label"], row["optotag_reason"], row["optotag_passes"]) for row in labels}
    assert found == {("unlabelled", "no_laser_table", None)}
    counts = (optotagging.OptotagLabel & key).to_dicts()
    assert {(row["n_tagged"], row["n_passing"]) for row in counts} == {(None, None)}
    classes = set((responses.CellClass.Unit & key).to_arrays("cell_class"))
    assert classes <= {"RS", "FS", "unlabelled"}
    assert (psth.Psth & key & {"alignment": "laser_pulse_high"}).fetch1("n_events") == 0


def test_without_eye_tracking_the_modulation_by_the_pupil_is_null(populated: Populated) -> None:
    key = populated.key(no_stimulus_but_images)
    master = (responses.PupilModulation & key).fetch1()
    assert [master[f"n_pupil_{name}"] for name in ("high", "low", "bins_active", "shifts_active")] == [0] * 4
    assert values_of(responses.PupilModulation, key, "pupil_") == {None}
    aligned = (psth.AlignedBehavior & key).to_dicts()
    assert {row["pupil_area_mean"] is None and row["pupil_x_sem"] is None for row in aligned} == {True}


def values_of(table: Any, key: dict[str, int], prefix: str, *leave_out: str) -> set[Any]:
    """Return all values of the units' attributes that begin with a prefix."""
    rows = (table.Unit & key).to_dicts()
    return {
        value
        for row in rows
        for name, value in row.items()
        if name.startswith(prefix) and name not in leave_out and not name.endswith("_params")
    }


def test_without_gabors_there_is_no_field(populated: Populated) -> None:
    key = populated.key(no_stimulus_but_images)
    master = (responses.ReceptiveField & key).fetch1()
    assert (master["n_rf_gabors"], master["n_rf_significant"]) == (0, None)
    for row in (responses.ReceptiveField.Unit & key).to_dicts():
        assert not row["rf_map"].any()
        assert row["rf_is_significant"] is row["rf_is_inverted"] is None
        assert row["rf_p_value"] is row["rf_center_x"] is row["rf_azimuth"] is None
        assert row["rf_fit_x"] is row["rf_is_on_screen"] is None


def test_without_full_field_flashes_their_response_is_null(populated: Populated) -> None:
    key = populated.key(no_stimulus_but_images)
    master = (responses.FullFieldResponse & key).fetch1()
    assert [master[f"n_full_field_{name}"] for name in ("white", "black", "responsive")] == [0, 0, None]
    assert values_of(responses.FullFieldResponse, key, "full_field_") == {None}


def test_a_session_of_aborted_trials_has_no_rates_of_hits(populated: Populated) -> None:
    key = populated.key(nothing_but_aborted_trials)
    n_trials = len(behavior.ChangeDetection.Trial & key)
    metrics = (performance.Performance & key).fetch1()
    counts = [metrics[f"{name}trial_count"] for name in ("", "go_", "catch_")]
    assert counts == [n_trials, 0, 0]
    assert metrics["mean_hit_rate"] is metrics["mean_dprime"] is None
    rolling = (performance.RollingPerformance.Trial & key).to_dicts()
    assert len(rolling) == n_trials
    assert {row["hit_rate"] for row in rolling} == {row["rolling_dprime"] for row in rolling} == {None}
    pooled = (performance.TaskStatistics & key).fetch1()
    assert pooled["pooled_trial_count"] == pooled["hit_latency_count"] == 0
    rates = ("pooled_hit_rate", "pooled_dprime", "pooled_criterion", "siegle_2021_dprime")
    assert {pooled[name] for name in (*rates, "hit_latency_median")} == {None}
    by_reward = performance.Engagement & key & "engagement_params <> 'piet_2024'"  # which takes licks alone
    assert set(by_reward.to_arrays("n_engaged_trials")) == {0}
    found = (strategy.StrategyModel & key).fetch1()
    assert found["strategy_missing"]
    assert found["visual_index"] is found["strategy_label"] is None
    latencies = (performance.TaskStatistics.Trial & key).to_dicts()
    assert {row["latency_from_flash"] for row in latencies} == {None}


def test_a_session_without_changes_has_no_response_to_them(populated: Populated) -> None:
    key = populated.key(nothing_but_aborted_trials)
    master = (responses.ChangeResponse & key).fetch1()
    counts = [master[f"n_change_{name}"] for name in ("changes_active", "pairs_hit", "responsive")]
    assert counts == [0, 0, None]
    flags = ("change_is_responsive", "change_is_change_modulated")
    assert values_of(responses.ChangeResponse, key, "change_", *flags) == {None}
    assert values_of(responses.OmissionResponse, key, "omission_") == {None}
    for row in (responses.ChangeResponse.Unit & key).to_dicts():
        assert {row[flag] for flag in flags} == {None}  # not tested, which is not no
    for row in (responses.AreaSummary.Structure & key).to_dicts():
        assert (row["n_structure_responsive"], row["share_responsive"]) == (0, None)
    for row in (psth.Psth.Unit & key & {"alignment": "change_active"}).to_dicts():
        assert np.isnan(row["psth_rate"]).all()
        assert np.isnan(row["psth_sem"]).all()
        assert row["baseline_rate"] is row["peak_rate"] is row["peak_latency"] is None


def test_a_session_without_changes_has_counts_of_no_trial(populated: Populated) -> None:
    key = populated.key(nothing_but_aborted_trials)
    counts = psth.trial_response(key, "response")
    assert counts.shape == (len(ecephys.Recording.Unit & key), 0)
    unit_id = int(counts["unit_id"][0])
    assert psth.trial_response_frame(key, "response", [unit_id]).empty


def test_on_hardly_any_flash_no_image_is_preferred(populated: Populated) -> None:
    key = populated.key(nothing_but_aborted_trials)
    master = (responses.ImageSelectivity & key).fetch1()
    assert master["n_selectivity_flashes"] < 5  # hardly any is far from the licks that abort the trials
    assert (master["n_selectivity_images"], master["n_selectivity_responsive"]) == (0, None)
    for row in (responses.ImageSelectivity.Unit & key).to_dicts():
        assert row["selectivity_lifetime_sparseness"] is row["selectivity_p_selectivity"] is None
        assert len(row["selectivity_image_rates"]) == 0
        assert row["selectivity_evoked_rate"] is row["selectivity_p_response"] is None
        assert row["selectivity_is_selective"] is row["selectivity_is_responsive"] is None


def test_units_without_spikes_have_rates_of_zero_and_nothing_more(populated: Populated) -> None:
    key = populated.key(hardly_a_spike)
    silent = (ecephys.Recording.Unit & key & "n_spikes = 0").fetch1("unit_id")
    key = {**key, "unit_id": silent}
    change = (responses.ChangeResponse.Unit & key).fetch1()
    assert (change["change_rate_active"], change["change_evoked_rate_active"]) == (0, 0)
    assert change["change_modulation_active"] is change["change_latency"] is None
    assert (change["change_p_response"], bool(change["change_is_responsive"])) == (1, False)
    image = (responses.ImageSelectivity.Unit & key).fetch1()
    assert image["selectivity_preferred_image"] is image["selectivity_lifetime_sparseness"] is None
    field = (responses.ReceptiveField.Unit & key).fetch1()
    assert (field["n_rf_spikes"], field["rf_p_value"]) == (0, None)
    assert field["rf_is_significant"] is None
    response = (psth.Psth.Unit & key & {"alignment": "change_active"}).fetch1()
    assert not response["psth_rate"].any()
    assert response["peak_latency"] is None
    for row in (optotagging.Optotagging.Evidence & key).to_dicts():
        assert row["n_epoch_spikes"] == row["laser_evoked_rate"] == row["laser_reliability"] == 0
        assert row["first_spike_latency"] is None
    running = (responses.RunningModulation.Unit & key).fetch1()
    assert running["running_spearman_r_active"] is running["running_p_shift_active"] is None


def test_a_single_pulse_of_each_level_labels_no_unit(populated: Populated) -> None:
    key = populated.key(hardly_a_spike)
    assert set((optotagging.Optotagging.Condition & key).to_arrays("n_condition_pulses")) == {1}
    assert len(stimulus.OptoStimulation.Pulse & key) == len(optotagging.Optotagging.Condition & key)
    labels = (optotagging.OptotagLabel.Unit & key).to_dicts()
    found = {(row["optotag_label"], row["optotag_reason"]) for row in labels}
    assert found == {("unlabelled", "too_few_pulses")}


@EACH_DAMAGE
def test_no_number_is_stored_that_is_none(populated: Populated, damage: Callable[..., None]) -> None:
    """What cannot be said is NULL, not NaN, an infinite number or a text."""
    key = populated.key(damage)
    for table in (*OF_UNITS, psth.Psth, optotagging.OptotagLabel):
        for row in (table.Unit & key).to_dicts():
            numbers = [value for value in row.values() if isinstance(value, float)]
            assert np.isfinite(numbers).all(), (table, row)
