"""The readers against AllenSDK's own reading, row for row."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from vbn import nwb


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Every column and row alike: flags, integers and text exactly, floats to 1e-9, missing as missing."""
    assert sorted(found.columns) == sorted(expected.columns)
    assert len(found) == len(expected)
    for name in expected:
        assert_same_column(name, found[name], expected[name])


def assert_same_column(name: str, found: pd.Series, expected: pd.Series) -> None:
    if name == "lick_times":
        assert [licks.tolist() for licks in found] == [list(licks) for licks in expected]
        return
    missing = expected.isna().to_numpy()
    if pd.api.types.is_integer_dtype(expected.dtype) and found.dtype == "Int64":
        missing = missing | (expected == -99).to_numpy()
    elif not pd.api.types.is_numeric_dtype(expected.dtype):
        missing = missing | (expected == "").fillna(False).to_numpy(dtype=bool)
    np.testing.assert_array_equal(found.isna().to_numpy(), missing, err_msg=name)
    left, right = found[~missing].to_numpy(), expected[~missing].to_numpy()
    if pd.api.types.is_float_dtype(expected.dtype):
        np.testing.assert_allclose(left.astype(float), right, rtol=1e-9, atol=0, err_msg=name)
    else:
        assert left.tolist() == right.tolist(), name


def assert_same_presentations(found: pd.DataFrame, expected) -> None:
    """As `assert_same`; AllenSDK has only the columns of the file, and never ``image_set``."""
    wanted = expected.table("stimulus_presentations").reset_index(names="presentation_id")
    assert set(wanted) <= set(found)
    assert found[[name for name in found if name not in {*wanted, "image_set"}]].isna().all(axis=None)
    assert_same(found[list(wanted)], wanted)


def sha(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def test_metadata_are_those_of_allensdk(recording, expected):
    facts = expected.facts["metadata"]
    session = nwb.read_session(recording)
    assert session.session_id == facts["ecephys_session_id"]
    assert session.behavior_session_id == facts["behavior_session_id"]
    assert list(session.driver_line) == facts["driver_line"]
    assert session.genotype == facts["full_genotype"]
    assert str(session.date_of_acquisition) == facts["date_of_acquisition"]
    assert session.image_set == expected.facts["task_parameters"]["image_set"].removeprefix("images_")
    for name in ("sex", "mouse_id", "age_in_days", "session_type", "reporter_line", "cre_line"):
        assert getattr(session, name) == facts[name]
    for name in ("equipment_name", "project_code", "stimulus_frame_rate"):
        assert getattr(session, name) == facts[name]


def test_probes_are_those_of_allensdk_with_probe_meta(recording, expected):
    probes = nwb.read_probes(recording)
    rows = pd.DataFrame(expected.facts["probes"]).drop(columns="location")
    rows["lfp_sampling_rate"] = rows["lfp_sampling_rate"].astype(float)
    assert_same(probes, rows.rename(columns={"id": "probe_id", "name": "probe_name"}))
    assert probes["probe_name"].is_monotonic_increasing


def test_channels_are_those_of_allensdk(recording, expected):
    channels = nwb.read_channels(recording)
    assert_same(
        channels.drop(columns="probe_name"), expected.table("channels").reset_index(names="channel_id")
    )
    names = nwb.read_probes(recording).set_index("probe_id")["probe_name"]
    assert (channels["probe_name"] == channels["probe_id"].map(names)).all()


def test_units_are_those_of_allensdk(recording, expected):
    units = nwb.read_units(recording)
    assert_same(
        units.drop(columns=["probe_name", "n_spikes"]),
        expected.table("units").reset_index(names="unit_id"),
    )
    probe_of_channel = nwb.read_channels(recording).set_index("channel_id")["probe_name"]
    assert (units["probe_name"] == units["peak_channel_id"].map(probe_of_channel)).all()


def test_spike_times_are_those_of_allensdk_for_every_unit(recording, expected):
    stored = expected.arrays("spikes")
    ends = stored["index"]
    wanted = dict(zip(stored["unit_ids"].tolist(), np.split(stored["spike_times"], ends[:-1]), strict=True))
    hashes = {fact["unit_id"]: fact["spikes_sha"] for fact in expected.facts["units_spikes"]}
    units = nwb.read_units(recording)
    seen = []
    for _, rows, times in nwb.iterate_spike_times(recording, units):
        assert rows["n_spikes"].sum() == len(times)
        for row in rows.itertuples():
            own = times[row.spike_offset : row.spike_offset + row.n_spikes]
            np.testing.assert_array_equal(own, wanted[row.unit_id])
            assert hashlib.sha256(own.tobytes()).hexdigest()[:16] == hashes[row.unit_id]
        seen += rows["unit_id"].tolist()
    assert sorted(seen) == sorted(wanted)
    assert [len(wanted[unit]) for unit in units["unit_id"]] == units["n_spikes"].tolist()


def test_trials_are_those_of_allensdk(recording, expected):
    assert_same(nwb.read_trials(recording), expected.table("trials").reset_index(names="trial_id"))


@pytest.mark.parametrize("name", ["rewards", "licks"])
def test_events_are_those_of_allensdk(recording, expected, name):
    read = {"rewards": nwb.read_rewards, "licks": nwb.read_licks}[name]
    assert_same(read(recording), expected.table(name))


def test_both_running_traces_are_those_of_allensdk(recording, expected):
    running = nwb.read_running(recording)
    assert_same(running[["timestamps", "speed"]], expected.table("running_speed"))
    raw = running[["timestamps", "raw_speed"]].rename(columns={"raw_speed": "speed"})
    assert_same(raw, expected.table("raw_running_speed"))


def test_eye_tracking_is_that_of_allensdk(recording, expected):
    found, wanted = nwb.read_eye_tracking(recording), expected.table("eye_tracking")
    if found is None:
        assert wanted.empty
    else:
        assert_same(found, wanted)


def test_stimulus_presentations_are_those_of_allensdk(recording, expected):
    assert_same_presentations(nwb.read_stimulus_presentations(recording), expected)


def test_stimulus_timestamps_are_those_of_allensdk(recording, expected):
    np.testing.assert_array_equal(
        nwb.read_stimulus_timestamps(recording), expected.arrays("timestamps")["stimulus_timestamps"]
    )


def test_optotagging_table_is_that_of_allensdk(recording, expected):
    pulses = nwb.read_optotagging(recording)
    wanted = expected.table("optotagging_table").reset_index(names="pulse_id")
    assert_same(pulses.drop(columns="level_rank"), wanted)
    by_rank = pulses.groupby("level_rank")["level"].agg(["min", "max"])
    assert by_rank.index.tolist() == list(range(pulses["level"].nunique()))
    assert (by_rank["min"] == by_rank["max"]).all()
    assert by_rank["min"].is_monotonic_increasing


def test_identify_knows_all_files_of_a_release(release):
    """A behaviour-only file and an LFP file are known by content, numbered by their own ids."""
    kinds = {path: nwb.identify(path) for path in nwb.find_nwb_files([release])}
    for path, identity in kinds.items():
        assert identity.size_bytes == path.stat().st_size
        digits = path.stem.rsplit("_", 1)[-1]
        if path.stem.startswith("probe_"):
            assert identity.kind is nwb.FileKind.LFP
        else:
            behavior_only = path.stem.startswith("behavior_session")
            assert identity.kind is (nwb.FileKind.BEHAVIOR_ONLY if behavior_only else nwb.FileKind.RECORDING)
            assert identity.identifier == int(digits)
    assert {identity.kind for identity in kinds.values()} == set(nwb.FileKind)


def test_metadata_of_a_behaviour_only_session_are_those_of_allensdk(behavior_only, behavior_expected):
    facts = behavior_expected.facts["metadata"]
    session = nwb.read_session(behavior_only)
    assert session.kind is nwb.FileKind.BEHAVIOR_ONLY
    assert session.session_id == session.behavior_session_id == facts["behavior_session_id"]
    assert list(session.driver_line) == facts["driver_line"]
    assert session.genotype == facts["full_genotype"]
    assert str(session.date_of_acquisition) == facts["date_of_acquisition"]
    for name in ("sex", "mouse_id", "age_in_days", "session_type", "reporter_line", "cre_line"):
        assert getattr(session, name) == facts[name]
    for name in ("equipment_name", "project_code", "stimulus_frame_rate", "behavior_session_uuid"):
        assert getattr(session, name) == facts[name]
    is_training = session.session_type.startswith("TRAINING")
    assert (session.experiment_description is not None) == is_training


def test_tables_of_a_behaviour_only_session_are_those_of_allensdk(behavior_only, behavior_expected):
    trials = nwb.read_trials(behavior_only)
    assert_same(trials, behavior_expected.table("trials").reset_index(names="trial_id"))
    assert_same_presentations(nwb.read_stimulus_presentations(behavior_only), behavior_expected)
    assert_same(nwb.read_licks(behavior_only), behavior_expected.table("licks"))
    assert_same(nwb.read_rewards(behavior_only), behavior_expected.table("rewards"))
    running = nwb.read_running(behavior_only)
    assert_same(running[["timestamps", "speed"]], behavior_expected.table("running_speed"))
    raw = running[["timestamps", "raw_speed"]].rename(columns={"raw_speed": "speed"})
    assert_same(raw, behavior_expected.table("raw_running_speed"))
    eye = nwb.read_eye_tracking(behavior_only)
    wanted = behavior_expected.table("eye_tracking")
    if eye is None:
        assert wanted.empty
    else:
        assert_same(eye, wanted)
    np.testing.assert_array_equal(
        nwb.read_stimulus_timestamps(behavior_only),
        behavior_expected.arrays("timestamps")["stimulus_timestamps"],
    )


def assert_same_parameters(session, facts):
    found = dataclasses.asdict(nwb.read_task_parameters(session))
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()} == facts


def assert_same_templates(session, facts):
    """NaN was hashed as -1."""
    templates = list(nwb.read_stimulus_templates(session))
    assert [image.image_name for image in templates] == facts["image_names"]
    assert [name for names in nwb.image_names(session).values() for name in names] == facts["image_names"]
    assert {image.warped.shape for image in templates} == {tuple(facts["warped_shape"])}
    assert [sha(image.warped) for image in templates] == facts["warped_sha"]
    unwarped = [np.where(np.isnan(image.unwarped), -1, image.unwarped) for image in templates]
    assert [sha(image) for image in unwarped] == facts["unwarped_sha"]


def test_task_parameters_are_those_of_allensdk(recording, expected):
    assert_same_parameters(recording, expected.facts["task_parameters"])


def test_task_parameters_of_training_are_those_of_allensdk(behavior_only, behavior_expected):
    assert_same_parameters(behavior_only, behavior_expected.facts["task_parameters"])


def test_stimulus_templates_are_those_of_allensdk(recording, expected):
    assert_same_templates(recording, expected.facts["stimulus_templates"])


def test_stimulus_templates_of_training_are_those_of_allensdk(behavior_only, behavior_expected):
    assert_same_templates(behavior_only, behavior_expected.facts["stimulus_templates"])


def test_rig_geometry_is_that_of_allensdk(recording, expected):
    geometry, facts = nwb.read_rig_geometry(recording), expected.facts["eye_tracking_rig_geometry"]
    if not facts:
        assert geometry is None
    else:
        found = dataclasses.asdict(geometry)
        found["led_position"] = found.pop("led_position_mm")
        assert {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()} == facts


def test_peak_waveforms_are_those_of_allensdk(recording, expected):
    stored = expected.arrays("peak_waveforms")
    wanted = dict(zip(stored["unit_ids"].tolist(), stored["waveforms"], strict=True))
    units = nwb.read_units(recording)
    found = nwb.read_peak_waveforms(recording, units)
    np.testing.assert_array_equal(found, np.array([wanted[unit] for unit in units["unit_id"]]))


def test_whole_waveforms_are_those_of_allensdk(recording, expected):
    for fact in expected.facts["units_spikes"]:
        waveform = nwb.read_unit_waveform(recording, fact["unit_id"])
        assert list(waveform.shape) == fact["wf_shape"]
        assert sha(waveform) == fact["wf_sha"]


def test_spike_amplitudes_are_those_of_allensdk(recording, expected):
    means = {fact["unit_id"]: fact["amp_mean"] for fact in expected.facts["units_spikes"]}
    for _, rows, amplitudes in nwb.iterate_spike_amplitudes(recording, nwb.read_units(recording)):
        for row in rows.itertuples():
            own = amplitudes[row.spike_offset : row.spike_offset + row.n_spikes]
            assert own.mean() == pytest.approx(means.pop(row.unit_id), rel=1e-12)
    assert not means


def test_lfp_and_current_source_density_are_those_of_allensdk(corpus, lfp, lfp_path):
    probe = nwb.read_lfp_probe(lfp)
    expected = json.loads((lfp_path.parent / "expected/expected.json").read_text())
    facts = expected["lfp"][probe.probe_name]
    timestamps, samples = nwb.read_lfp_samples(lfp)
    assert (probe.probe_id, list(probe.channel_ids)) == (facts["probe_id"], facts["channel_ids"])
    assert [probe.n_samples, probe.n_channels] == list(samples.shape) == facts["shape"]
    assert nwb.read_lfp_channels(lfp)["channel_id"].tolist() == facts["channel_ids"]
    assert (timestamps[0], timestamps[-1]) == (facts["t_first"], facts["t_last"])
    assert (probe.start_s, probe.stop_s, probe.dtype) == (facts["t_first"], facts["t_last"], facts["dtype"])
    assert sha(samples) == facts["sha"]
    csd = nwb.read_csd(lfp)
    # AllenSDK's is (virtual channel, time).
    assert list(csd.values.T.shape) == facts["csd_shape"]
    assert sha(csd.values.T) == facts["csd_sha"]
    assert csd.virtual_y_um[:3].tolist() == facts["csd_vertical"][:3]


def test_an_lfp_file_belongs_to_a_probe_of_its_recording(lfp, lfp_path):
    probe = nwb.read_lfp_probe(lfp)
    with nwb.open_session(next(lfp_path.parent.glob("ecephys_session_*.nwb"))) as recording:
        session = nwb.read_session(recording)
        probes = nwb.read_probes(recording).set_index("probe_id")
    assert (probe.behavior_session_id, probe.mouse_id) == (session.behavior_session_id, session.mouse_id)
    assert probes.loc[probe.probe_id, "probe_name"] == probe.probe_name
    assert probes.loc[probe.probe_id, "has_lfp_data"]
    assert probe.sampling_rate_hz == pytest.approx(probes.loc[probe.probe_id, "lfp_sampling_rate"], rel=1e-3)


def test_every_change_has_a_presentation(recording):
    """A recording's presentations are later than its trials' changes by one lag: what the display takes."""
    trials = nwb.read_trials(recording)
    presentations = nwb.read_stimulus_presentations(recording)
    changes = nwb.match_changes(trials, presentations, nwb.read_stimulus_timestamps(recording))
    assert len(changes) == (trials["is_change"] | trials["catch"]).sum()
    assert changes["presentation_id"].notna().all()
    assert changes["residual"].between(0.02, 0.06).all()
    assert changes["residual"].std() < 1e-3
    np.testing.assert_allclose(changes["residual"] - changes["frame_residual"], 0.02, atol=1e-9)
    found = presentations.set_index("presentation_id").loc[changes["presentation_id"]]
    assert found["is_change"].tolist() == (~changes["is_sham_change"]).tolist()
    assert found["is_sham_change"].tolist() == changes["is_sham_change"].tolist()
    assert found["trials_id"].tolist() == changes["trial_id"].tolist()


def test_every_change_of_training_has_a_presentation_at_its_time(behavior_only):
    trials = nwb.read_trials(behavior_only)
    presentations = nwb.read_stimulus_presentations(behavior_only)
    changes = nwb.match_changes(trials, presentations, nwb.read_stimulus_timestamps(behavior_only))
    assert len(changes) == (trials["is_change"] | trials["catch"]).sum()
    np.testing.assert_allclose(changes["residual"], 0, atol=1e-9)
    np.testing.assert_allclose(changes["frame_residual"], 0, atol=1e-9)
