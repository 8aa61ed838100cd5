"""What else the corpora hold: training, task, rig, images, waveforms, LFP, and AllenSDK's filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import behavior, ecephys, performance, session, stimulus
from tests.schemas.corpus.comparison import assert_rows_equal
from tests.schemas.corpus.reading import sha

pytestmark = pytest.mark.corpus
TRIAL_COLUMNS = {
    "trials_id": "trial_id",
    "start_time": "trial_start_time",
    "stop_time": "trial_stop_time",
    "is_change": "trial_is_change",
}
PRESENTATION_COLUMNS = {
    "stimulus_presentations_id": "presentation_id",
    "stimulus_block": "block",
    "trials_id": "trial_id",
    "start_time": "presentation_start_time",
    "end_time": "presentation_end_time",
    "duration": "presentation_duration",
}
PARAMETERS = {
    "task": "task",
    "stimulus": "stimulus",
    "stimulus_name": "stimulus_set_name",
    "image_set": "task_image_set",
    "stimulus_distribution": "stimulus_distribution",
    "stimulus_duration_sec": "stimulus_duration",
    "omitted_flash_fraction": "omitted_flash_fraction",
    "reward_volume": "earned_reward_volume",
    "auto_reward_volume": "auto_reward_volume",
    "n_stimulus_frames": "n_stimulus_frames",
}
GEOMETRY = {
    "monitor_position_mm": "monitor_position",
    "monitor_rotation_deg": "monitor_rotation",
    "camera_position_mm": "camera_position",
    "camera_rotation_deg": "camera_rotation",
    "led_position": "led_position",
}


@pytest.fixture
def sessions(collected: Any) -> dict[int, Path]:
    """All sessions of a corpus: id -> folder of what AllenSDK reads."""
    return _sessions_in(collected.folder)


def _sessions_in(corpus: Path) -> dict[int, Path]:
    found = {int(path.parent.name): path for path in sorted(corpus.glob("*_sessions/*/expected"))}
    assert found
    return found


@pytest.fixture
def facts(sessions: dict[int, Path]) -> dict[int, dict[str, Any]]:
    return {number: json.loads((path / "expected.json").read_text()) for number, path in sessions.items()}


@pytest.fixture
def training(corpus: Path, populated_corpus: Any) -> dict[int, Path]:
    """The behaviour-only sessions, which only the first corpus has."""
    populated_corpus.connect()
    folders = _sessions_in(corpus)
    found = {n: path for n, path in folders.items() if path.parent.parent.name.startswith("behavior_o")}
    assert found
    return found


@pytest.fixture
def recordings(facts: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {number: fact for number, fact in facts.items() if "unit_order" in fact}


def test_every_file_is_registered_under_its_kind(sessions: dict[int, Path], collected: Any) -> None:
    kinds = {row["session_id"]: row["file_kind"] for row in session.NwbFile.to_dicts()}
    names = {"behavior_ecephys_sessions": "recording", "behavior_only_sessions": "behavior_only"}
    assert kinds == {number: names[path.parent.parent.name] for number, path in sessions.items()}
    lfp_files = [
        path for folder in sessions.values() for path in folder.parent.glob("*.nwb") if "lfp" in path.name
    ]
    assert len(session.LfpFile()) == len(lfp_files)
    assert collected.database.json("errors") == []


def test_training_sessions_have_the_metadata_of_allensdk(training: dict[int, Path]) -> None:
    for number, folder in training.items():
        row = (session.Session * session.Mouse & {"session_id": number}).fetch1()
        metadata = json.loads((folder / "expected.json").read_text())["metadata"]
        names = ("session_type", "age_in_days", "equipment_name", "stimulus_frame_rate", "project_code")
        assert {name: row[name] for name in names} == {name: metadata[name] for name in names}
        assert row["behavior_session_id"] == number
        assert (row["mouse_id"], row["sex"]) == (metadata["mouse_id"], metadata["sex"])
        assert row["stage"] == "_".join(metadata["session_type"].split("_")[:2])
        assert row["date_of_acquisition"] == pd.Timestamp(metadata["date_of_acquisition"]).tz_localize(None)


def test_trials_of_training_are_equal(training: dict[int, Path]) -> None:
    for number, folder in training.items():
        trials = pd.read_parquet(folder / "trials.parquet").reset_index()
        rows = (behavior.ChangeDetection.Trial & {"session_id": number}).to_dicts(order_by="trial_id")
        same = {
            name: name
            for name in trials.columns
            if name not in ("lick_times", "response_latency", *TRIAL_COLUMNS)
        }
        assert "change_time" in same
        assert_rows_equal(rows, trials, {**same, **TRIAL_COLUMNS})
        for row, trial in zip(rows, trials.to_dict("records"), strict=True):
            assert row["change_time_no_display_delay"] is None
            np.testing.assert_array_equal(row["lick_times"], np.asarray(trial["lick_times"], float))
            finite = np.isfinite(trial["response_latency"])  # no lick after the change: infinite
            assert row["response_latency"] == (trial["response_latency"] if finite else None)


def test_rewards_licks_and_running_of_training_are_equal(training: dict[int, Path]) -> None:
    for number, folder in training.items():
        key = {"session_id": number}
        rewards = pd.read_parquet(folder / "rewards.parquet")
        rows = (behavior.ChangeDetection.Reward & key).to_dicts(order_by="reward_id")
        names = {"timestamps": "reward_timestamp", "volume": "volume", "auto_rewarded": "autorewarded"}
        assert_rows_equal(rows, rewards, names)
        licks, stored = pd.read_parquet(folder / "licks.parquet"), (behavior.Licks & key).fetch1()
        np.testing.assert_array_equal(stored["lick_timestamps"], licks["timestamps"].to_numpy(float))
        np.testing.assert_array_equal(stored["lick_frames"], licks["frame"].to_numpy(np.int64))
        row = (behavior.Running & key).fetch1()
        for name, column, attribute in (
            ("running_speed", "timestamps", "running_timestamps"),
            ("running_speed", "speed", "running_speed"),
            ("raw_running_speed", "speed", "raw_running_speed"),
        ):
            expected = pd.read_parquet(folder / f"{name}.parquet")[column].to_numpy()
            np.testing.assert_array_equal(row[attribute].load(), expected, strict=True)


def test_presentations_of_training_are_equal_with_images_and_their_set(
    training: dict[int, Path], corpus: Path
) -> None:
    for number, folder in training.items():
        presentations = pd.read_parquet(folder / "stimulus_presentations.parquet").reset_index()
        query = stimulus.Stimulus.Presentation * stimulus.Stimulus.Block.proj("stimulus_name")
        rows = (query & {"session_id": number}).to_dicts(order_by="presentation_id")
        names = {
            **PRESENTATION_COLUMNS,
            **{name: name for name in presentations.columns if name not in PRESENTATION_COLUMNS},
        }
        assert "image_index" in names
        assert_rows_equal(rows, presentations, names)
        assert not any(row["omitted"] for row in rows)
        assert all(row["phase"] is None for row in rows)  # images, no gratings
        # AllenSDK drops the column image_set, which is the name of the images in the file.
        assert {row["presented_image_set"] for row in rows} == _image_sets(folder.parent)


def _image_sets(folder: Path) -> set[str]:
    import h5py

    (path,) = folder.glob("behavior_session_*.nwb")
    with h5py.File(path) as file:
        tables = [table for name, table in file["intervals"].items() if name != "trials"]
        return {value.decode() for table in tables for value in table["image_set"][:]}


def test_the_parameters_of_every_task_are_equal(facts: dict[int, dict[str, Any]]) -> None:
    for number, fact in facts.items():
        row = (behavior.TaskParameters & {"session_id": number}).fetch1()
        expected = fact["task_parameters"]
        assert {name: row[attribute] for name, attribute in PARAMETERS.items()} == {
            name: expected[name] for name in PARAMETERS
        }
        assert [row["shortest_blank"], row["longest_blank"]] == expected["blank_duration_sec"]
        assert [row["response_window_start"], row["response_window_stop"]] == expected["response_window_sec"]


def test_the_metrics_of_every_session_are_equal(facts: dict[int, dict[str, Any]]) -> None:
    for number, fact in facts.items():
        row = (performance.Performance & {"session_id": number}).fetch1()
        for name, value in fact["performance_metrics"].items():
            assert row[name] == (None if value is None or np.isnan(value) else pytest.approx(value, rel=1e-9))


def test_the_times_of_the_frames_are_equal(sessions: dict[int, Path]) -> None:
    for number, folder in sessions.items():
        with np.load(folder / "timestamps.npz") as stored:
            expected = stored["stimulus_timestamps"]
        found = (stimulus.Stimulus & {"session_id": number}).fetch1("stimulus_timestamps").load()
        np.testing.assert_array_equal(found, expected, strict=True)


def test_the_geometry_of_every_rig_is_equal_or_known_to_be_absent(facts: dict[int, dict[str, Any]]) -> None:
    for number, fact in facts.items():
        row = (behavior.RigGeometry & {"session_id": number}).fetch1()
        expected = fact["eye_tracking_rig_geometry"]
        assert bool(row["has_rig_geometry"]) == bool(expected)
        for name, attribute in GEOMETRY.items():
            stored = row[attribute]
            assert stored is None if not expected else stored.tolist() == expected[name]


def test_every_image_is_stored_once_with_the_pixels_of_allensdk(facts: dict[int, dict[str, Any]]) -> None:
    seen = {}
    for number, fact in facts.items():
        templates = fact["stimulus_templates"]
        letter = (session.Session & {"session_id": number}).fetch1("image_set")
        for name, *hashes in zip(
            templates["image_names"], templates["warped_sha"], templates["unwarped_sha"], strict=True
        ):
            seen[name] = hashes
            assert len(stimulus.Image.Set & {"image_name": name, "image_set_name": letter}) == 1
    for name, (warped_hash, unwarped_hash) in seen.items():
        row = (stimulus.Image & {"image_name": name}).fetch1()
        warped, unwarped = row["warped"].load(), row["unwarped"].load()
        assert sha(warped) == row["image_sha256"][:16] == warped_hash
        assert sha(np.nan_to_num(unwarped, nan=-1)) == unwarped_hash
        assert row["thumbnail"].dtype == warped.dtype == np.uint8
        assert row["thumbnail"].shape[1] == min(192, warped.shape[1])
    shown = set(stimulus.Stimulus.Presentation.to_arrays("image_name")) - {None}
    assert set(stimulus.Image.to_arrays("image_name")) == seen.keys() | shown


def test_the_sets_share_the_images_that_the_files_share(facts: dict[int, dict[str, Any]]) -> None:
    """G and H have im083 and im111 in common, so that novel sessions have familiar images."""
    sets: dict[str, set[str]] = {}
    for number, fact in facts.items():
        letter = (session.Session & {"session_id": number}).fetch1("image_set")
        sets.setdefault(letter, set()).update(fact["stimulus_templates"]["image_names"])
    for letter, names in sets.items():
        stored = (stimulus.Image.Set & {"image_set_name": letter}).to_arrays("image_name")
        assert set(stored) == names
    shared = stimulus.Image & (stimulus.Image.Set & {"image_set_name": "G"}).proj(g="image_set_name")
    shared &= (stimulus.Image.Set & {"image_set_name": "H"}).proj(h="image_set_name")
    assert set(shared.to_arrays("image_name")) == sets["G"] & sets["H"]


def test_every_peak_waveform_is_equal_in_single_precision(recorded: Any) -> None:
    expected = recorded.peak_waveforms()
    rows = (ecephys.Recording.Unit & recorded.key).to_dicts()
    assert {row["unit_id"] for row in rows} == expected.keys()
    for row in rows:
        wanted = expected[row["unit_id"]].astype(np.float32)
        np.testing.assert_array_equal(row["peak_waveform"], wanted, strict=True)


def test_the_waveform_of_a_unit_on_all_channels_is_read_from_the_file(recordings: dict[int, Any]) -> None:
    for number, fact in recordings.items():
        for unit in fact["units_spikes"][:6]:
            key = (ecephys.Recording.Unit & {"session_id": number, "unit_id": unit["unit_id"]}).fetch1("KEY")
            waveform = ecephys.unit_waveform(key)
            assert list(waveform.shape) == unit["wf_shape"]
            assert sha(waveform) == unit["wf_sha"]


def test_the_lfp_of_every_file_is_equal_and_stays_in_it(recordings: dict[int, Any]) -> None:
    n_probes = 0
    for number, fact in recordings.items():
        for probe_name, expected in fact.get("lfp", {}).items():
            n_probes += 1
            row = (ecephys.Lfp & {"session_id": number, "probe_name": probe_name}).fetch1()
            assert [row["n_lfp_samples"], row["n_lfp_channels"]] == expected["shape"]
            assert row["lfp_channel_ids"].tolist() == expected["channel_ids"]
            assert (row["lfp_start_time"], row["lfp_stop_time"]) == (expected["t_first"], expected["t_last"])
            assert row["lfp_unit"] == "volts"
            key = {name: row[name] for name in ecephys.Lfp.primary_key}
            times, samples = ecephys.lfp_samples(key)
            assert (times[0], times[-1]) == (expected["t_first"], expected["t_last"])
            assert (str(samples.dtype), sha(samples)) == (expected["dtype"], expected["sha"])
            first = int(row["lfp_channel_ids"][3])
            window = {"start_s": times[100], "stop_s": times[200], "channel_ids": [first]}
            piece_times, piece = ecephys.lfp_samples(key, **window)
            np.testing.assert_array_equal(piece[:, 0], samples[np.isin(times, piece_times), 3])
            assert 100 <= len(piece) <= 101
    assert len(ecephys.Lfp()) == len(ecephys.CurrentSourceDensity()) == n_probes > 0


def test_the_current_source_density_is_equal_with_its_axes(recordings: dict[int, Any]) -> None:
    for number, fact in recordings.items():
        for probe_name, expected in fact.get("lfp", {}).items():
            key = {"session_id": number, "probe_name": probe_name}
            row = (ecephys.CurrentSourceDensity & key).fetch1()
            values = row["csd"].load()
            assert list(values.T.shape) == expected["csd_shape"]  # AllenSDK's is channel by time
            assert sha(values.T) == expected["csd_sha"]
            assert row["csd_vertical_positions"][:3].tolist() == expected["csd_vertical"]
            assert len(row["csd_timestamps"]) == values.shape[0]
            assert len(row["csd_horizontal_positions"]) == values.shape[1]


def filtered_units(
    number: int,
    *,
    filter_by_validity: bool = False,
    filter_out_of_brain_units: bool = False,
    amplitude_cutoff_maximum: float | None = None,
    presence_ratio_minimum: float | None = None,
    isi_violations_maximum: float | None = None,
) -> set[int]:
    """AllenSDK's ``get_units`` as a query: a bound of 0 is none, NaN in a filter's column drops the unit."""
    peaks = ecephys.Recording.Channel.proj("structure_acronym", "valid_data", peak_channel_id="channel_id")
    query = ecephys.Recording.Unit * peaks & {"session_id": number}
    bounds = {
        "amplitude_cutoff": ("<=", amplitude_cutoff_maximum),
        "presence_ratio": (">=", presence_ratio_minimum),
        "isi_violations": ("<=", isi_violations_maximum),
    }
    for column, (sign, bound) in bounds.items():
        query &= f"{column} {sign} {bound}" if bound else f"{column} IS NOT NULL"
    if filter_by_validity:
        query &= {"valid_data": True, "quality": "good"}
    if filter_out_of_brain_units:
        query &= "structure_acronym IS NOT NULL"
    return set(query.to_arrays("unit_id").tolist())


def test_the_six_filters_of_allensdk_are_queries(recordings: dict[int, Any]) -> None:
    for number, fact in recordings.items():
        assert len(fact["unit_filters"]) == 6
        for name, wanted in fact["unit_filters"].items():
            assert filtered_units(number, **wanted["kwargs"]) == set(wanted["unit_ids"]), (number, name)
