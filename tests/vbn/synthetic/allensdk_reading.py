"""Run by an interpreter that has AllenSDK: print what it reads from a recording, as JSON.

python allensdk_reading.py ecephys_session_<id>.nwb
"""

import json
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")

from allensdk.brain_observatory.ecephys.behavior_ecephys_session import BehaviorEcephysSession  # noqa: E402

KINDS = {
    "hit": "hit",
    "miss": "miss",
    "false_alarm": "fa",
    "correct_reject": "cr",
    "aborted": "aborted",
    "auto_rewarded": "auto",
}


def reading(path):
    """Read everything that a session has, once."""
    session = BehaviorEcephysSession.from_nwb_path(path)
    trials, shown, units = session.trials, session.stimulus_presentations, session.get_units()
    active = shown[shown["active"].astype(bool)]
    changes = active[active["is_change"].fillna(False).astype(bool)]
    waveforms = session.mean_waveforms
    return {
        "session_id": session.metadata["ecephys_session_id"],
        "mouse_id": session.metadata["mouse_id"],
        "genotype": session.metadata["full_genotype"],
        "session_type": session.metadata["session_type"],
        "trial_kinds": [KINDS[name] for name in trials[list(KINDS)].astype(int).idxmax(axis=1)],
        "change_frames": trials["change_frame"].astype(int).tolist(),
        "n_presentations": len(shown),
        "change_times_s": changes["start_time"].tolist(),
        "n_changes": int(shown["is_change"].fillna(False).astype(bool).sum()),
        "n_omitted": int(active["omitted"].fillna(False).astype(bool).sum()),
        "unit_ids": [int(unit) for unit in units.index],
        "peak_channels": units["peak_channel_id"].astype(int).tolist(),
        "n_spikes": [len(session.spike_times[unit]) for unit in units.index],
        "n_amplitudes": [len(session.spike_amplitudes[unit]) for unit in units.index],
        "waveform_troughs": [
            list(map(int, np.unravel_index(waveforms[u].argmin(), (384, 82)))) for u in units.index
        ],
        "n_channels": len(session.get_channels(filter_by_validity=False)),
        "probes": sorted(session.probes["name"]),
        "n_licks": len(session.licks),
        "reward_volume_ml": float(session.rewards["volume"].sum()),
        "n_running": len(session.running_speed),
        "likely_blinks": np.flatnonzero(session.eye_tracking["likely_blink"]).tolist(),
        "n_laser": len(session.optotagging_table),
        "performance": {key: float(value) for key, value in session.get_performance_metrics().items()},
        "images": list(session.stimulus_templates.index),
    }


if __name__ == "__main__":
    print(json.dumps(reading(sys.argv[1])))
