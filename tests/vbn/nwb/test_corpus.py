"""The readers against AllenSDK's own reading, row for row."""

from __future__ import annotations

import hashlib

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
    wanted = expected.table("stimulus_presentations").reset_index(names="presentation_id")
    assert_same(nwb.read_stimulus_presentations(recording), wanted)


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


def test_identify_knows_all_files_of_the_corpus(corpus):
    """A behaviour-only file and an LFP file are known by content, numbered by their own ids."""
    kinds = {path: nwb.identify(path) for path in nwb.find_nwb_files([corpus])}
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
