"""Within a file, everything agrees with everything: trials, frames, licks, rewards, presentations, units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

OUTCOMES = ["hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded"]
KINDS = dict(zip(OUTCOMES, ["hit", "miss", "fa", "cr", "aborted", "auto"], strict=True))


@pytest.fixture
def file(recording: Path) -> Iterator[h5py.File]:
    with h5py.File(recording) as opened:
        yield opened


def table(group: h5py.Group) -> pd.DataFrame:
    plain = [name for name in group.attrs["colnames"] if f"{name}_index" not in group]
    text = {name for name in plain if h5py.check_string_dtype(group[name].dtype)}
    return pd.DataFrame({n: group[n].asstr()[:] if n in text else group[n][:] for n in plain})


def images(file: h5py.File) -> pd.DataFrame:
    name = next(name for name in file["intervals"] if name.startswith("Natural_Images"))
    return table(file["intervals"][name])


def licks_by_trial(file: h5py.File) -> list[np.ndarray]:
    trials = file["intervals/trials"]
    return np.split(trials["lick_times"][:], trials["lick_times_index"][:-1].astype(np.int64))


def test_every_trial_has_exactly_one_outcome(file: h5py.File) -> None:
    assert (table(file["intervals/trials"])[OUTCOMES].sum(axis=1) == 1).all()


def test_go_and_catch_follow_from_the_outcome(file: h5py.File) -> None:
    trials = table(file["intervals/trials"])
    assert (trials["go"] == (trials["hit"] | trials["miss"])).all()
    assert (trials["catch"] == (trials["false_alarm"] | trials["correct_reject"])).all()
    assert (trials["is_change"] == (trials["go"] | trials["auto_rewarded"])).all()
    changed = trials["initial_image_name"] != trials["change_image_name"]
    assert (changed == trials["is_change"]).all()


def test_trials_do_not_overlap(file: h5py.File) -> None:
    trials = table(file["intervals/trials"])
    assert (trials["stop_time"].to_numpy()[:-1] < trials["start_time"].to_numpy()[1:]).all()
    assert np.allclose(trials["trial_length"], trials["stop_time"] - trials["start_time"])


def test_the_change_time_is_the_frames_time_without_monitor_delay_to_the_last_bit(file: h5py.File) -> None:
    trials = table(file["intervals/trials"])
    stamps = file["processing/stimulus/timestamps/timestamps"][:]
    with_change = trials["change_frame"] >= 0
    assert (with_change == ~trials["aborted"]).all()
    assert (trials.loc[~with_change, "change_frame"] == -99).all()
    assert trials.loc[~with_change, "change_time_no_display_delay"].isna().all()
    frames = trials.loc[with_change, "change_frame"]
    assert (trials.loc[with_change, "change_time_no_display_delay"].to_numpy() == stamps[frames] - 0.02).all()


def test_a_change_frame_is_the_start_of_a_changed_flash(file: h5py.File) -> None:
    trials, active = table(file["intervals/trials"]), images(file).query("active")
    changes = set(active.loc[active["is_change"] == 1, "start_frame"])
    shams = set(active.loc[active["is_sham_change"], "start_frame"])
    assert changes == set(trials.loc[trials["is_change"], "change_frame"])
    assert shams == set(trials.loc[trials["catch"], "change_frame"])
    merged = trials.merge(active, left_on="change_frame", right_on="start_frame")
    assert (merged["image_name"] == merged["change_image_name"]).all()
    assert (
        merged["trials_id"]
        == merged["change_frame"].map({f: i for i, f in enumerate(trials["change_frame"])})
    ).all()


def test_flashes_come_on_screen_a_display_lag_after_their_frame(
    file: h5py.File, recording: Path, dataset: Any
) -> None:
    active = images(file)
    stamps = file["processing/stimulus/timestamps/timestamps"][:]
    lag_s = dataset.truth_of(recording)["display_lag_s"]
    assert np.allclose(active["start_time"] - (stamps[active["start_frame"]] - 0.02), lag_s, atol=6e-4)


def test_hits_and_false_alarms_are_licks_in_the_response_window(file: h5py.File) -> None:
    trials = table(file["intervals/trials"])
    for (_, trial), licks in zip(trials.iterrows(), licks_by_trial(file), strict=True):
        latency = licks - trial["change_time_no_display_delay"]
        responded = bool(((latency >= 0.15) & (latency <= 0.75)).any())
        if trial["go"] or trial["catch"]:
            assert responded == (trial["hit"] or trial["false_alarm"])
        if trial["aborted"] or not len(licks):
            assert np.isnan(trial["response_time"])
        else:
            assert trial["response_time"] == licks[0]


def test_licks_of_the_trials_are_the_licks_at_their_frames(file: h5py.File) -> None:
    stamps = file["processing/stimulus/timestamps/timestamps"][:]
    sensor, frames = (file["processing/licking/licks"][name][:] for name in ("timestamps", "data"))
    assert np.array_equal(np.concatenate(licks_by_trial(file)), stamps[frames] - 0.02)
    assert (np.diff(sensor) > 0).all()
    lead = stamps[frames] - 0.02 - sensor
    assert lead.min() >= 0
    assert lead.max() < 0.0171
    trials = table(file["intervals/trials"])
    for (_, trial), licks in zip(trials.iterrows(), licks_by_trial(file), strict=True):
        assert ((licks > trial["start_time"]) & (licks <= trial["stop_time"])).all()


def test_rewards_are_those_of_the_trials(file: h5py.File) -> None:
    trials = table(file["intervals/trials"])
    rewards = file["processing/rewards"]
    paid = trials[trials["hit"] | trials["auto_rewarded"]]
    assert np.array_equal(rewards["volume/timestamps"][:], paid["reward_time"])
    assert np.array_equal(rewards["volume/data"][:], paid["reward_volume"])
    assert np.array_equal(rewards["autorewarded/data"][:], paid["auto_rewarded"])
    others = trials.drop(paid.index)
    assert others["reward_time"].isna().all()
    assert (others["reward_volume"] == 0).all()
    earned = paid[paid["hit"]]
    latency = earned["reward_time"] - earned["change_time_no_display_delay"]
    assert latency.between(0.15, 0.75).all()
    assert (earned["reward_volume"] == file["general/task_parameters"].attrs["reward_volume"]).all()


def test_the_replay_shows_the_active_block_again(file: h5py.File) -> None:
    every = images(file)
    active, replay = (every[every["stimulus_block"] == block].reset_index(drop=True) for block in (0, 5))
    copied = [
        "image_name",
        "is_change",
        "is_image_novel",
        "omitted",
        "rewarded",
        "flashes_since_change",
        "trials_id",
    ]
    pd.testing.assert_frame_equal(active[[*copied, "is_sham_change"]], replay[[*copied, "is_sham_change"]])
    assert active["active"].all()
    assert not replay["active"].any()
    assert active["duration"].isna().equals(active["omitted"] == 1)
    assert replay["duration"].notna().all()
    steps = replay["start_frame"] - active["start_frame"]
    assert steps.nunique() == 1


def test_omissions_and_novelty_are_marked_as_in_the_release(file: h5py.File) -> None:
    every = images(file)
    omitted = every["omitted"] == 1
    assert omitted.any()
    assert (every.loc[omitted, "image_name"] == "omitted").all()
    assert every.loc[omitted, "is_image_novel"].isna().all()
    novel = "images_H" in file["session_description"].asstr()[()]
    shared = every["image_name"].isin(["im083_r", "im111_r"])
    expected = (novel & ~shared).astype(float)
    assert (every.loc[~omitted, "is_image_novel"] == expected[~omitted]).all()


def test_rewarded_flashes_have_a_reward_within_a_second(file: h5py.File) -> None:
    active = images(file).query("active")
    rewards = file["processing/rewards/volume/timestamps"][:]
    times = active.loc[active["rewarded"] == 1, "start_time"].to_numpy()
    assert len(times) == len(rewards)
    assert (np.abs(rewards - times) < 1).all()


def test_blocks_are_in_order_and_free_of_overlap(file: h5py.File) -> None:
    names = [name for name in file["intervals"] if name.endswith("_presentations")]
    every = pd.concat([table(file["intervals"][name]) for name in names]).sort_values("start_time")
    assert (np.diff(every["stimulus_block"]) >= 0).all()
    assert set(every["stimulus_block"]) == set(range(6))
    assert (every["stop_time"].to_numpy()[:-1] <= every["start_time"].to_numpy()[1:]).all()
    assert (every["stop_time"] > every["start_time"]).all()
    others = every[~every["stimulus_block"].isin([0, 5])]
    assert (others[["flashes_since_change", "trials_id"]] == -99).all(axis=None)


def test_spikes_are_ascending_and_amplitudes_are_volts(
    file: h5py.File, recording: Path, dataset: Any
) -> None:
    units = file["units"]
    ends = units["spike_times_index"][:].astype(np.int64)
    trains = np.split(units["spike_times"][:], ends[:-1])
    amplitudes = np.split(units["spike_amplitudes"][:], units["spike_amplitudes_index"][:-1].astype(np.int64))
    end_s = dataset.truth_of(recording)["recording_end_s"]
    for train, volts, microvolts in zip(trains, amplitudes, units["amplitude"][:], strict=True):
        assert len(train) == len(volts) > 0
        assert (np.diff(train) >= 0).all()
        assert train[0] >= 0
        assert train[-1] < end_s
        assert np.median(volts) == pytest.approx(microvolts * 1e-6, rel=0.3)


def test_firing_rates_are_those_of_the_spikes(file: h5py.File, recording: Path, dataset: Any) -> None:
    units = file["units"]
    counts = np.diff(units["spike_times_index"][:].astype(np.int64), prepend=0)
    assert np.allclose(units["firing_rate"][:], counts / dataset.truth_of(recording)["recording_end_s"])


def test_peak_channels_are_on_the_units_probe(file: h5py.File, recording: Path, dataset: Any) -> None:
    electrodes = table(file["general/extracellular_ephys/electrodes"]).assign(
        id=file["general/extracellular_ephys/electrodes/id"][:]
    )
    by_id = electrodes.set_index("id")
    for unit, channel in zip(
        dataset.truth_of(recording)["units"], file["units/peak_channel_id"][:], strict=True
    ):
        row = by_id.loc[channel]
        assert (row["group_name"], row["location"]) == (unit["probe"], unit["structure"])
        assert row["probe_channel_number"] == unit["peak_channel_number"]
        assert row["probe_id"] == file["general/devices"][unit["probe"]].attrs["probe_id"]


def test_the_truth_agrees_with_the_file(file: h5py.File, recording: Path, dataset: Any) -> None:
    truth, trials, every = dataset.truth_of(recording), table(file["intervals/trials"]), images(file)
    assert [KINDS[name] for name in trials[OUTCOMES].idxmax(axis=1)] == truth["trial_kinds"]
    assert [None if frame < 0 else frame for frame in trials["change_frame"]] == truth["change_frames"]
    active = every[every["active"]]
    assert len(active) == truth["n_flash"]
    assert active["omitted"].sum() == truth["n_omitted"]
    assert active["is_change"].sum() == truth["n_changes"] == len(truth["change_times_s"])
    assert file["units/id"][:].tolist() == [unit["unit_id"] for unit in truth["units"]]
    assert (
        len(file["units/spike_times"])
        == truth["n_spikes"]
        == sum(unit["n_spikes"] for unit in truth["units"])
    )
    laser = file["processing/optotagging/optogenetic_stimulation"]
    assert sorted(set(laser["level"][:])) == truth["laser_levels"]
    assert len(laser["level"]) == truth["n_laser"]
    assert file["identifier"].asstr()[()] == str(truth["ecephys_session_id"]) == recording.parent.name
    assert file["general/subject/subject_id"].asstr()[()] == truth["mouse_id"]
    assert file["general/subject/genotype"].asstr()[()] == truth["genotype"]


def test_every_role_is_on_every_probe(recording: Path, dataset: Any) -> None:
    truth = dataset.truth_of(recording)
    roles: dict[str, set[str]] = {}
    for unit in truth["units"]:
        roles.setdefault(unit["probe"], set()).add(unit["role"])
    assert set(roles) == {"probeA", "probeB"}
    for present in roles.values():
        assert len(present) == (11 if truth["chr2"] else 10)
        assert ("opto" in present) == truth["chr2"]
