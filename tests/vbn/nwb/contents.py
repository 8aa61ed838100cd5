"""Contents of hand-made files: data sets by path, attributes as ``group@name``."""

from __future__ import annotations

from typing import Any

import numpy as np


def root() -> dict[str, Any]:
    """What marks a file as a VBN NWB file."""
    return {
        "@neurodata_type": "NWBFile",
        "@nwb_version": "2.6.0-alpha",
        "identifier": "1053941483",
        "session_description": "EPHYS_1_images_H_3uL_reward",
        "session_start_time": "2020-11-18T15:20:11-08:00",
        "general/metadata@behavior_session_id": 1053960987,
        "general/metadata@session_type": "EPHYS_1_images_H_3uL_reward",
        "general/metadata@equipment_name": "NP.1",
        "general/metadata@stimulus_frame_rate": 60.0,
        "general/subject/subject_id": "527749",
        "general/subject/genotype": "wt/wt",
    }


def ephys() -> dict[str, Any]:
    """Two probes of three channels, and four units: two on each probe, the probes' rows interleaved.

    Units 40, 10 and 30, 20 have the spikes (1, 2), (), (0.5, 0.5, 3) and (4).
    """
    electrodes = "general/extracellular_ephys/electrodes"
    return {
        "general/extracellular_ephys/probeA@probe_id": 7,
        "general/extracellular_ephys/probeA@has_lfp_data": True,
        "general/extracellular_ephys/probeA@lfp_sampling_rate": 1249.9,
        "general/extracellular_ephys/probeB@probe_id": 8,
        "general/extracellular_ephys/probeB@has_lfp_data": False,
        "general/extracellular_ephys/probeB@lfp_sampling_rate": np.nan,
        "general/devices/probeA@sampling_rate": 29999.9,
        "general/devices/probeB@sampling_rate": 30000.1,
        f"{electrodes}/id": [100, 101, 102, 200, 201, 202],
        f"{electrodes}/probe_id": np.array([7, 7, 7, 8, 8, 8], np.int32),
        f"{electrodes}/probe_channel_number": [0, 1, 2, 0, 1, 2],
        f"{electrodes}/probe_vertical_position": [20, 20, 40, 20, 20, 40],
        f"{electrodes}/probe_horizontal_position": [43, 11, 59, 43, 11, 59],
        f"{electrodes}/x": [8005.0, 8003.0, np.nan, 1.0, 2.0, 3.0],
        f"{electrodes}/y": [4013.0, 4005.0, np.nan, 1.0, 2.0, 3.0],
        f"{electrodes}/z": [7113.0, 7115.0, np.nan, 1.0, 2.0, 3.0],
        f"{electrodes}/location": ["root", "VISp", "", "None", "CA1", "CA1"],
        f"{electrodes}/valid_data": [True, False, True, True, True, True],
        f"{electrodes}/filtering": ["AP band"] * 6,
        "units/id": [40, 30, 10, 20],
        "units/peak_channel_id": [100, 200, 102, 201],
        "units/cluster_id": [0, 1, 2, 3],
        "units/snr": [1.5, np.nan, 2.5, 3.5],
        "units/quality": ["good", "noise", "good", "good"],
        "units/spike_times": [1.0, 2.0, 0.5, 0.5, 3.0, 4.0],
        "units/spike_times_index": np.array([2, 5, 5, 6], np.uint8),
    }


def task() -> dict[str, Any]:
    """Three trials (go and hit, aborted, catch) of 4 s from 10 s on, the clock of `stimuli`."""
    trials = "intervals/trials"
    flags = {
        "is_change": [True, False, False],
        "go": [True, False, False],
        "catch": [False, False, True],
        "hit": [True, False, False],
        "miss": [False, False, False],
        "false_alarm": [False, False, False],
        "correct_reject": [False, False, True],
        "aborted": [False, True, False],
        "auto_rewarded": [False, False, False],
    }
    return {
        f"{trials}/id": [0, 1, 2],
        f"{trials}/start_time": [10.0, 14.5, 19.0],
        f"{trials}/stop_time": [14.0, 18.5, 23.0],
        f"{trials}/trial_length": [4.0, 4.0, 4.0],
        f"{trials}/initial_image_name": ["im083_r", "im111_r", "im111_r"],
        f"{trials}/change_image_name": ["im111_r", "im111_r", "im111_r"],
        **{f"{trials}/{name}": values for name, values in flags.items()},
        f"{trials}/change_frame": [130, -99, 220],
        f"{trials}/change_time_no_display_delay": [12.9, np.nan, 21.9],
        f"{trials}/response_time": [13.3, np.nan, np.nan],
        f"{trials}/reward_time": [13.3, np.nan, np.nan],
        f"{trials}/reward_volume": [0.003, 0.0, 0.0],
        f"{trials}/lick_times": [13.3, 13.5, 16.0],
        f"{trials}/lick_times_index": np.array([2, 3, 3], np.uint8),
    }


def stimuli() -> dict[str, Any]:
    """Five images (block 0), gray (1), the five images again (2), as a new file stores them.

    Frames run at 10 Hz from 0 s. Images at 10.5, 13, 14.2, 16 (omitted) and 22 s; the second is a
    change, the last a sham change; the third falls between the first two trials. The replay is 20 s
    later.
    """
    image = "intervals/Natural_Images_presentations"
    gray = "intervals/spontaneous_presentations"
    starts = np.array([10.5, 13.0, 14.2, 16.0, 22.0])
    starts = np.concatenate([starts, starts + 20])
    return {
        f"{image}/id": np.arange(10),
        f"{image}/start_time": starts,
        f"{image}/stop_time": starts + 0.25,
        f"{image}/duration": np.where(np.arange(10) == 3, np.nan, 0.25),
        f"{image}/start_frame": np.round(starts * 10).astype(int),
        f"{image}/end_frame": np.round(starts * 10).astype(int) + 2,
        f"{image}/stimulus_block": np.repeat([0, 2], 5),
        f"{image}/stimulus_name": ["Natural_Images"] * 10,
        f"{image}/image_name": ["im083_r", "im111_r", "im111_r", "omitted", "im111_r"] * 2,
        f"{image}/is_change": [0.0, 1.0, 0.0, 0.0, 0.0] * 2,
        f"{image}/is_image_novel": [0.0, 0.0, 0.0, np.nan, 0.0] * 2,
        f"{image}/omitted": [0.0, 0.0, 0.0, 1.0, 0.0] * 2,
        f"{image}/rewarded": [0.0, 1.0, 0.0, 0.0, 0.0] * 2,
        f"{image}/flashes_since_change": [0, 0, 1, 1, 2] * 2,
        f"{image}/stimulus_index": [-99] * 10,
        f"{image}/active": np.repeat([True, False], 5),
        f"{image}/trials_id": [0, 0, 0, 1, 2] * 2,
        f"{image}/is_sham_change": [False, False, False, False, True] * 2,
        f"{gray}/id": [0],
        f"{gray}/start_time": [24.0],
        f"{gray}/stop_time": [30.0],
        f"{gray}/duration": [6.0],
        f"{gray}/start_frame": [240],
        f"{gray}/end_frame": [300],
        f"{gray}/stimulus_block": [1],
        f"{gray}/stimulus_name": ["spontaneous"],
        f"{gray}/flashes_since_change": [-99],
        f"{gray}/stimulus_index": [-99],
        f"{gray}/active": [False],
        f"{gray}/trials_id": [-99],
        f"{gray}/is_sham_change": [False],
    }
