"""AllenSDK itself opens the files like the release's (given an interpreter that has it)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("allensdk_reading.py")


@pytest.mark.parametrize("index", [1, 4], ids=["sst_novel", "wt_familiar"])
def test_allensdk_reads_what_was_put_in(allensdk_python: str, index: int, dataset: Any) -> None:
    recording = dataset.paths[index]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [allensdk_python, str(SCRIPT), str(recording)], capture_output=True, text=True, check=False, env=plain
    )
    assert done.returncode == 0, done.stderr
    read, truth = json.loads(done.stdout.splitlines()[-1]), dataset.truth_of(recording)
    same = ["mouse_id", "genotype", "session_type", "trial_kinds", "n_presentations", "n_omitted", "n_laser"]
    assert {name: read[name] for name in same} == {name: truth[name] for name in same}
    assert read["session_id"] == truth["ecephys_session_id"]
    assert read["change_frames"] == [-99 if frame is None else frame for frame in truth["change_frames"]]
    assert read["change_times_s"] == pytest.approx(truth["change_times_s"])
    assert read["n_changes"] == 2 * truth["n_changes"]
    assert read["unit_ids"] == [unit["unit_id"] for unit in truth["units"]]
    assert read["peak_channels"] == [unit["peak_channel_id"] for unit in truth["units"]]
    assert read["n_spikes"] == read["n_amplitudes"] == [unit["n_spikes"] for unit in truth["units"]]
    assert read["waveform_troughs"] == [[unit["peak_channel_number"], 20] for unit in truth["units"]]
    assert (read["n_channels"], read["probes"]) == (768, ["probeA", "probeB"])
    counts = truth["trial_counts"]
    measured = read["performance"]
    assert measured["hit_trial_count"] == counts["hit"]
    assert measured["false_alarm_trial_count"] == counts["fa"]
    assert measured["total_reward_count"] == counts["hit"] + counts["auto"]
    with h5py.File(recording) as file:
        assert read["n_licks"] == len(file["processing/licking/licks/data"])
        assert read["n_running"] == len(file["processing/running/speed/data"])
        assert read["reward_volume_ml"] == pytest.approx(file["processing/rewards/volume/data"][:].sum())
        # AllenSDK finds the blinks again; the stored ones are the same.
        assert (
            read["likely_blinks"]
            == np.flatnonzero(file["acquisition/EyeTracking/likely_blink/data"][:]).tolist()
        )
        assert read["images"] == file["stimulus/templates"].visititems(_image_names)


def _image_names(name: str, item: Any) -> list[str] | None:
    return item.asstr()[:].tolist() if name.endswith("control_description") else None
