"""Every imported row of the corpora equals what AllenSDK reads from the same file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schemas import behavior, ecephys, session, stimulus
from tests.schemas.corpus.comparison import assert_rows_equal

pytestmark = pytest.mark.corpus
METRICS = [
    "amplitude_cutoff",
    "cumulative_drift",
    "d_prime",
    "isi_violations",
    "isolation_distance",
    "l_ratio",
    "max_drift",
    "nn_hit_rate",
    "nn_miss_rate",
    "presence_ratio",
    "recovery_slope",
    "repolarization_slope",
    "silhouette_score",
    "snr",
    "spread",
    "velocity_above",
    "velocity_below",
    "waveform_duration",
    "cluster_id",
    "local_index",
    "quality",
    "peak_channel_id",
]
EYE_COLUMNS = [
    f"{part}_{name}"
    for part in ("eye", "pupil", "cr")
    for name in ("area", "area_raw", "center_x", "center_y", "height", "width", "phi")
]


def test_the_mouse_is_the_one_of_the_metadata(recorded: Any) -> None:
    metadata = recorded.summary["metadata"]
    mouse = (session.Mouse & (session.Session & recorded.key)).fetch1()
    wild_type = metadata["full_genotype"] == "wt/wt"
    assert mouse == {
        "mouse_id": metadata["mouse_id"],
        "sex": metadata["sex"],
        "genotype": metadata["full_genotype"],
        "driver_line": metadata["driver_line"],
        "reporter_line": None if wild_type else metadata["reporter_line"],
        "cre_line": metadata["cre_line"],
    }


def test_the_session_is_the_one_of_the_metadata_and_the_catalogue(recorded: Any) -> None:
    metadata = recorded.summary["metadata"]
    row = (session.Session & recorded.key).fetch1()
    for name in (
        "behavior_session_id",
        "session_type",
        "age_in_days",
        "equipment_name",
        "stimulus_frame_rate",
    ):
        assert row[name] == metadata[name]
    started = datetime.fromisoformat(metadata["date_of_acquisition"]).astimezone(UTC).replace(tzinfo=None)
    assert row["date_of_acquisition"] == started
    assert row["image_set"] == recorded.summary["task_parameters"]["image_set"].removeprefix("images_")

    for name in (
        "experience_level",
        "session_number",
        "prior_exposures_to_image_set",
        "prior_exposures_to_omissions",
    ):
        assert row[name] == recorded.catalogue[name]
    for name in ("abnormal_histology", "abnormal_activity"):
        assert row[name] == recorded.truth.get("flags", {}).get(name)


def test_the_probes_are_equal(recorded: Any) -> None:
    probes = pd.DataFrame(recorded.summary["probes"]).sort_values("name")
    rows = (ecephys.Recording.Probe & recorded.key).to_dicts(order_by="probe_name")
    names = {"name": "probe_name", "id": "probe_id", **{n: n for n in ("sampling_rate", "has_lfp_data")}}
    assert_rows_equal(rows, probes, names)
    with_lfp = probes["has_lfp_data"].tolist()
    rates = [row["lfp_sampling_rate"] for row in rows]
    expected = probes["lfp_sampling_rate"].tolist()
    assert [rate for rate, has in zip(rates, with_lfp, strict=True) if has] == [
        rate for rate, has in zip(expected, with_lfp, strict=True) if has
    ]


def test_every_channel_is_equal(recorded: Any) -> None:
    channels = recorded.table("channels").reset_index()
    probe_names = {probe["id"]: probe["name"] for probe in recorded.summary["probes"]}
    channels["probe_name"] = channels["probe_id"].map(probe_names)
    rows = (ecephys.Recording.Channel & recorded.key).to_dicts(order_by="channel_id")
    names = {column: column for column in channels.columns if column not in ("id", "probe_id")}
    assert_rows_equal(rows, channels.sort_values("id"), {"id": "channel_id", **names})


def test_every_unit_is_equal(recorded: Any) -> None:
    units = recorded.table("units").reset_index().sort_values("id")
    rows = (ecephys.Recording.Unit & recorded.key).to_dicts(order_by="unit_id")
    renamed = {
        "id": "unit_id",
        "firing_rate": "unit_firing_rate",
        "amplitude": "unit_amplitude",
        "PT_ratio": "pt_ratio",
    }
    names = {**renamed, **{name: name for name in METRICS}}
    assert set(names) == set(units.columns)
    assert_rows_equal(rows, units, names)


def test_every_unit_is_on_the_probe_of_its_peak_channel(recorded: Any) -> None:
    probe_of_channel = recorded.table("channels")["probe_id"]
    names = {probe["id"]: probe["name"] for probe in recorded.summary["probes"]}
    expected = {
        unit_id: names[probe_of_channel[channel_id]]
        for unit_id, channel_id in recorded.table("units")["peak_channel_id"].items()
    }
    stored = (ecephys.Recording.Unit & recorded.key).to_dicts()
    assert {row["unit_id"]: row["probe_name"] for row in stored} == expected


def test_the_spike_times_of_every_unit_are_equal_to_the_bit(recorded: Any) -> None:
    stored = ecephys.spike_times(ecephys.Recording.Unit & recorded.key)
    assert stored.keys() == recorded.spike_times.keys()
    for unit_id, times in recorded.spike_times.items():
        np.testing.assert_array_equal(stored[unit_id], times, strict=True)


def test_the_counts_of_the_recording_are_those_of_its_parts(recorded: Any) -> None:
    row = (ecephys.Recording & recorded.key).fetch1()
    assert row["n_probes"] == len(recorded.summary["probes"])
    assert row["n_channels"] == recorded.summary["n_channels_all"]
    assert row["n_units"] == len(recorded.spike_times)
    assert row["n_recorded_spikes"] == sum(map(len, recorded.spike_times.values()))


def test_every_trial_is_equal(recorded: Any) -> None:
    trials = recorded.table("trials").reset_index()
    rows = (behavior.ChangeDetection.Trial & recorded.key).to_dicts(order_by="trial_id")
    renamed = {
        "trials_id": "trial_id",
        "start_time": "trial_start_time",
        "stop_time": "trial_stop_time",
        "is_change": "trial_is_change",
    }
    names = {**{name: name for name in trials.columns if name not in (*renamed, "lick_times")}, **renamed}
    assert_rows_equal(rows, trials, names)
    for row, licks in zip(rows, trials["lick_times"], strict=True):
        np.testing.assert_array_equal(row["lick_times"], np.asarray(licks, dtype=np.float64), strict=True)


def test_every_reward_is_equal(recorded: Any) -> None:
    rewards = recorded.table("rewards")
    rows = (behavior.ChangeDetection.Reward & recorded.key).to_dicts(order_by="reward_id")
    assert [row["reward_id"] for row in rows] == list(range(len(rewards)))
    names = {"timestamps": "reward_timestamp", "volume": "volume", "auto_rewarded": "autorewarded"}
    assert_rows_equal(rows, rewards, names)


def test_the_licks_are_equal(recorded: Any) -> None:
    licks, row = recorded.table("licks"), (behavior.Licks & recorded.key).fetch1()
    assert row["n_licks"] == len(licks)
    np.testing.assert_array_equal(row["lick_timestamps"], licks["timestamps"].to_numpy(), strict=True)
    np.testing.assert_array_equal(row["lick_frames"], licks["frame"].to_numpy(), strict=True)


def test_the_running_speed_is_equal(recorded: Any) -> None:
    row = (behavior.Running & recorded.key).fetch1()
    filtered, raw = recorded.table("running_speed"), recorded.table("raw_running_speed")
    assert row["n_running_samples"] == len(filtered)
    np.testing.assert_array_equal(
        row["running_timestamps"].load(), filtered["timestamps"].to_numpy(), strict=True
    )
    np.testing.assert_array_equal(row["running_speed"].load(), filtered["speed"].to_numpy(), strict=True)
    np.testing.assert_array_equal(row["raw_running_speed"].load(), raw["speed"].to_numpy(), strict=True)


def test_the_eye_tracking_is_equal_or_known_to_be_absent(recorded: Any) -> None:
    eye, row = recorded.table("eye_tracking"), (behavior.EyeTracking & recorded.key).fetch1()
    assert bool(row["has_eye_tracking"]) == (len(eye) > 0)
    assert row["n_eye_samples"] == len(eye)
    columns = {
        "timestamps": "eye_timestamps",
        "likely_blink": "likely_blink",
        **{name: name for name in EYE_COLUMNS},
    }
    assert set(columns) == set(eye.columns)
    for column, attribute in columns.items():
        if len(eye) == 0:
            assert row[attribute] is None
        elif column == "likely_blink":
            np.testing.assert_array_equal(row[attribute].load(), eye[column].to_numpy())
        else:
            np.testing.assert_allclose(row[attribute].load(), eye[column].to_numpy(), rtol=1e-9, atol=0)


def test_every_presentation_is_equal(recorded: Any) -> None:
    presentations = recorded.table("stimulus_presentations").reset_index()
    query = stimulus.Stimulus.Presentation * stimulus.Stimulus.Block.proj("stimulus_name") & recorded.key
    rows = query.to_dicts(order_by="presentation_id")
    renamed = {
        "stimulus_presentations_id": "presentation_id",
        "stimulus_block": "block",
        "trials_id": "trial_id",
        "start_time": "presentation_start_time",
        "end_time": "presentation_end_time",
        "duration": "presentation_duration",
    }
    names = {**renamed, **{name: name for name in presentations.columns if name not in renamed}}
    of_behavior_only = {"phase", "image_index", "presented_image_set"}
    assert set(names.values()) | {"mouse_id", "session_id"} | of_behavior_only == set(rows[0])
    assert all(row[name] is None for row in rows for name in of_behavior_only)
    assert_rows_equal(rows, presentations, names)


def test_every_block_is_equal(recorded: Any) -> None:
    rows = (stimulus.Stimulus.Block & recorded.key).to_dicts(order_by="block")
    expected = recorded.summary["blocks"]
    assert len(rows) == len(expected)
    for row, block in zip(rows, expected, strict=True):
        stored = (row["block"], row["stimulus_name"], row["n_presentations"])
        assert stored == (block["block"], block["name"], block["n"])
        assert (row["block_start_time"], row["block_stop_time"]) == pytest.approx(
            (block["start"], block["end"]), rel=1e-9
        )
        assert bool(row["block_is_active"]) == (block["block"] == 0)
    totals = (stimulus.Stimulus & recorded.key).fetch1()
    assert totals["n_blocks"] == len(expected)
    assert totals["n_presentations_total"] == recorded.summary["n_presentations"]


def test_every_laser_pulse_is_equal(recorded: Any) -> None:
    pulses = recorded.table("optotagging_table").reset_index()
    rows = (stimulus.OptoStimulation.Pulse & recorded.key).to_dicts(order_by="pulse_id")
    names = {
        "id": "pulse_id",
        "start_time": "pulse_start_time",
        "stop_time": "pulse_stop_time",
        "duration": "pulse_duration",
        "stimulus_name": "waveform",
        "condition": "pulse_condition",
        "level": "level",
    }
    assert_rows_equal(rows, pulses, names)
    levels = sorted(set(pulses["level"]))
    assert [row["level_rank"] for row in rows] == [levels.index(level) for level in pulses["level"]]
    summary = (stimulus.OptoStimulation & recorded.key).fetch1()
    assert (summary["n_pulses"], summary["n_levels"]) == (len(pulses), len(levels))
    assert summary["highest_level"] == levels[-1]


def test_missing_values_are_null_and_not_a_number(recorded: Any) -> None:
    """The corpus has missing integers, texts and numbers; none of AllenSDK's placeholders is stored."""
    for table in (stimulus.Stimulus.Presentation, ecephys.Recording.Channel, behavior.ChangeDetection.Trial):
        for row in (table & recorded.key).to_dicts():
            assert -99 not in [value for value in row.values() if isinstance(value, int | float)]
            assert not {"", "N/A", "None", "nan"} & {
                value for value in row.values() if isinstance(value, str)
            }
