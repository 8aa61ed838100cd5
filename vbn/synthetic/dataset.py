"""The data set on disk: session files, the release's CSV tables, and the ground truth.

::

    <out>/behavior_ecephys_sessions/<session id>/ecephys_session_<session id>.nwb
    <out>/project_metadata/ecephys_sessions.csv, behavior_sessions.csv
    <out>/ground_truth.json
    <out>/annotation_100.nrrd                 with ``novelty_hz``: the atlas in which the channels lie
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pandas as pd

from vbn.synthetic import novelty
from vbn.synthetic.settings import CHANNELS_PER_PROBE, GENOTYPES, SessionIdentity, SyntheticSettings
from vbn.synthetic.simulate import SimulatedSession, simulate_session
from vbn.synthetic.task import TRIAL_KINDS
from vbn.synthetic.timeline import image_stimulus_name
from vbn.whole_files import whole_file, write_whole

_FIRST_FILE_ID = 900_001
_FAMILIAR_EXPOSURES = 30
# The release's CSV tables label the lab's local time (Pacific, here winter) as UTC.
_LOCAL_TIME = timedelta(hours=-8)


def session_path(out: Path, session_id: int) -> Path:
    """Return the path of a session's file, in the release's folder structure."""
    return out / "behavior_ecephys_sessions" / str(session_id) / f"ecephys_session_{session_id}.nwb"


def write_sessions(
    out: Path, settings: SyntheticSettings, *, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Write a synthetic data set and return the paths of its session files, in order.

    Parameters
    ----------
    out : folder, created if needed. Existing files are replaced, each once its replacement is complete.
    settings : settings of the data set.
    progress : called with (sessions written, sessions in total), first with 0.

    Notes
    -----
    Equal settings give equal data; only creation dates and object ids of the NWB files differ.
    """
    from vbn.synthetic.writer import write_session  # pynwb takes a second to import

    report = progress or _no_report
    report(0, settings.sessions)
    paths, truths, rows, behavior_rows = [], {}, [], []
    for index in range(settings.sessions):
        session = simulate_session(settings, index)
        path = session_path(out, session.identity.session_id)
        with whole_file(path) as part:
            counts = write_session(part, session)
        paths.append(path)
        truths[str(session.identity.session_id)] = session_truth(session, counts)
        rows.append(_session_row(session))
        behavior_rows.append(_behavior_row(session.identity))
        report(index + 1, settings.sessions)
    _write_tables(out, rows, behavior_rows)
    later = {"novelty_hz": None, "synapses": 0}  # in no file of those who do not ask for it
    used = {name: value for name, value in asdict(settings).items() if later.get(name, ...) != value}
    truth: dict[str, object] = {"settings": used, "sessions": truths}
    if settings.novelty_hz is not None:
        truth["novelty"] = {"window_s": novelty.WINDOW_S, "effect_hz": novelty.effects(settings)}
        write_whole(out / novelty.ATLAS_FILE, novelty.atlas_file())
    write_whole(out / "ground_truth.json", json.dumps(truth, indent=1).encode())
    return paths


def _no_report(done: int, total: int) -> None:
    pass


def _write_tables(out: Path, rows: list[dict[str, object]], behavior_rows: list[dict[str, object]]) -> None:
    folder = out / "project_metadata"
    write_whole(folder / "ecephys_sessions.csv", pd.DataFrame(rows).to_csv(index=False).encode())
    behavior_table = pd.DataFrame(behavior_rows).to_csv(index=False)
    write_whole(folder / "behavior_sessions.csv", behavior_table.encode())


def _common_row(identity: SessionIdentity) -> dict[str, object]:
    return {
        "date_of_acquisition": (identity.start + _LOCAL_TIME).isoformat(sep=" "),
        "equipment_name": identity.equipment_name,
        "session_type": identity.session_type,
        "mouse_id": int(identity.mouse_id),
        "genotype": GENOTYPES[identity.genotype],
        "sex": identity.sex,
        "age_in_days": identity.age_days,
        "image_set": identity.image_set,
        "prior_exposures_to_image_set": 0 if identity.is_novel else _FAMILIAR_EXPOSURES,
        "prior_exposures_to_omissions": identity.index % 2,
    }


def _session_row(session: SimulatedSession) -> dict[str, object]:
    identity = session.identity
    structures = {unit.structure for unit in session.units} | set(session.channels["location"])
    return {
        "ecephys_session_id": identity.session_id,
        "behavior_session_id": identity.behavior_session_id,
        "project_code": "NeuropixelVisualBehavior",
        "unit_count": len(session.units),
        "probe_count": len(identity.probe_names),
        "channel_count": CHANNELS_PER_PROBE * len(identity.probe_names),
        "structure_acronyms": str(sorted(str(name) for name in structures if name != "None")),
        "session_number": identity.index % 2 + 1,
        "experience_level": identity.experience_level,
        "file_id": _FIRST_FILE_ID + identity.index,
        "abnormal_histology": None,
        "abnormal_activity": None,
        **_common_row(identity),
    }


def _behavior_row(identity: SessionIdentity) -> dict[str, object]:
    return {
        "behavior_session_id": identity.behavior_session_id,
        "ecephys_session_id": float(identity.session_id),
        "session_number": _FAMILIAR_EXPOSURES + 1 + identity.index % 2,
        "prior_exposures_to_session_type": 0,
        "file_id": -999,
        **_common_row(identity),
    }


def session_truth(session: SimulatedSession, spike_counts: list[int]) -> dict[str, object]:
    """Return what was injected into one session, ready for JSON (None for missing values)."""
    identity, flashes = session.identity, session.flashes
    kinds = [plan.kind for plan in session.plans]
    frames = session.behavior.trials["change_frame"].tolist()
    images = session.presentations[image_stimulus_name(identity.image_set)]
    return {
        "ecephys_session_id": identity.session_id,
        "behavior_session_id": identity.behavior_session_id,
        "mouse_id": identity.mouse_id,
        "genotype": GENOTYPES[identity.genotype],
        "chr2": identity.has_channelrhodopsin,
        "image_set": identity.image_set,
        "experience_level": identity.experience_level,
        "session_type": identity.session_type,
        "display_lag_s": session.clock.display_lag_s,
        "recording_end_s": session.end_s,
        "n_spikes": sum(spike_counts),
        "trial_kinds": kinds,
        "trial_counts": {kind: kinds.count(kind) for kind in TRIAL_KINDS},
        "change_frames": [None if frame < 0 else int(frame) for frame in frames],
        "n_flash": len(flashes),
        "n_omitted": int(flashes.omitted.sum()),
        "n_changes": int(flashes.is_change.sum()),
        "n_sham": int(flashes.is_sham_change.sum()),
        "n_presentations": int(sum(len(table) for table in session.presentations.values())),
        "block_start": _block_starts(session),
        "change_times_s": images.loc[(images["is_change"] == 1) & images["active"], "start_time"].tolist(),
        "laser_levels": sorted({float(level) for level in session.laser["level"]}),
        "n_laser": len(session.laser),
        "units": _unit_truths(session, spike_counts),
        **_synapse_truths(session),
    }


def _synapse_truths(session: SimulatedSession) -> dict[str, object]:
    """Return the ids of the planted pairs: of the unit that fires first, and of the other."""
    units = session.units
    pairs = [[units[first].unit_id, units[second].unit_id] for second, first in session.synapses.items()]
    return {"synapses": pairs} if session.settings.synapses else {}


def _block_starts(session: SimulatedSession) -> dict[str, float]:
    every = pd.concat([table[["stimulus_block", "start_time"]] for table in session.presentations.values()])
    first = every.groupby("stimulus_block")["start_time"].min()
    return {str(block): float(first[block]) for block in sorted(first.index)}


def _unit_truths(session: SimulatedSession, spike_counts: list[int]) -> list[dict[str, object]]:
    identity = session.identity
    return [
        {
            "unit_id": unit.unit_id,
            "role": unit.role,
            "probe": identity.probe_names[unit.probe],
            "probe_id": identity.probe_id(unit.probe),
            "peak_channel_number": unit.channel,
            "peak_channel_id": unit.peak_channel_id,
            "structure": unit.structure,
            "channel_valid": unit.channel_valid,
            "quality": unit.quality,
            "baseline_hz": unit.baseline_hz,
            "n_spikes": n_spikes,
            **unit.parameters,
        }
        for unit, n_spikes in zip(session.units, spike_counts, strict=True)
    ]
