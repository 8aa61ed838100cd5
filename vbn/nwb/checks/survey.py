"""Everything that is odd in one open file, as issues: for the database's table of them, and for people.

The codes are in `CODES`. The functions that find one concept's issues work on the readers' frames;
`session_issues` reads a file once and asks all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vbn.errors import InvalidContentError
from vbn.nwb.checks.findings import (
    find_change_issues,
    find_channel_issues,
    find_frame_issues,
    find_infinite_values,
    find_late_spikes,
    find_lick_issues,
    find_missing_laser_table,
    find_missing_pupil,
    find_presentation_issues,
    find_reward_issues,
    find_trial_issues,
    find_unit_issues,
    find_unknown_trials,
    find_unsorted_times,
)
from vbn.nwb.checks.layout import find_unknown_parts
from vbn.nwb.checks.releases import find_release_issues
from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.issue import CODES, SEVERITIES, Issue, Severity, issue
from vbn.nwb.readers import (
    behavior,
    eye,
    lfp,
    optotagging,
    parameters,
    probes,
    spikes,
    stimulus,
    templates,
    trials,
)
from vbn.nwb.readers import session as metadata
from vbn.nwb.readers import units as sorted_units

__all__ = [
    "CODES",
    "SEVERITIES",
    "Issue",
    "Severity",
    "find_change_issues",
    "find_channel_issues",
    "find_frame_issues",
    "find_infinite_values",
    "find_late_spikes",
    "find_lick_issues",
    "find_missing_laser_table",
    "find_missing_pupil",
    "find_presentation_issues",
    "find_release_issues",
    "find_reward_issues",
    "find_trial_issues",
    "find_unit_issues",
    "find_unknown_parts",
    "find_unknown_trials",
    "find_unsorted_times",
    "issue",
    "session_issues",
]

FRAMES: dict[str, Callable[[RecordingFile], Any]] = {
    "trials": trials.read_trials,
    "stimulus_presentations": stimulus.read_stimulus_presentations,
    "stimulus_timestamps": stimulus.read_stimulus_timestamps,
    "licks": behavior.read_licks,
    "rewards": behavior.read_rewards,
    "running": behavior.read_running,
    "eye_tracking": eye.read_eye_tracking,
}
"""What recordings and behaviour-only files both hold."""

EPHYS_FRAMES: dict[str, Callable[[RecordingFile], Any]] = {
    "probes": probes.read_probes,
    "channels": probes.read_channels,
    "units": sorted_units.read_units,
    "optotagging": optotagging.read_optotagging,
}
"""What only recordings hold."""

OTHERS: dict[str, Callable[[RecordingFile], Any]] = {
    "session": metadata.read_session,
    "task_parameters": parameters.read_task_parameters,
    "rig_geometry": parameters.read_rig_geometry,
    "stimulus_templates": templates.image_names,
}
"""What is read only to see that it can be."""

LATENCY = "response_latency"
"""Infinite by definition in a trial without a lick."""


@dataclass
class _Survey:
    """What could be read of a file, and what was odd."""

    frames: dict[str, Any] = field(default_factory=dict)
    found: list[Issue] = field(default_factory=list)

    def read(self, table: str, reader: Callable[[], Any]) -> None:
        """Read a table; when it contradicts itself, that is an issue."""
        try:
            self.frames[table] = reader()
        except InvalidContentError as error:
            self.found.append(issue("invalid_table", table, error.problem))

    def ask(self, finder: Callable[..., list[Issue]], *tables: str) -> None:
        """Ask a finder, when all that it looks at could be read."""
        if all(table in self.frames for table in tables):
            self.found += finder(*(self.frames[table] for table in tables))


def session_issues(session: RecordingFile, read_spikes: bool = True) -> list[Issue]:
    """Find everything that is odd in a file.

    Parameters
    ----------
    session : an open recording or behaviour-only file, or an LFP file.
    read_spikes : whether to read the spike times, some hundred MB, to see that they are valid and end with
        the recording; one probe at a time.

    Returns
    -------
    list of Issue
        At most one for each code and table. What a reader refuses is an ``error`` (``invalid_table``),
        and what depends on that table is not looked at.

    Raises
    ------
    NotReadableError
        The system cannot read the file.
    """
    survey = _Survey()
    if session.identity.kind is FileKind.LFP:
        _survey_lfp(survey, session)
    else:
        _survey_session(survey, session, read_spikes)
    survey.read("file", lambda: find_unknown_parts(session))
    survey.ask(list, "file")
    return survey.found


def _survey_session(survey: _Survey, session: RecordingFile, read_spikes: bool) -> None:
    """Look at all tables of a recording or a behaviour-only file."""
    is_recording = session.identity.kind is FileKind.RECORDING
    for table, reader in (FRAMES | OTHERS | (EPHYS_FRAMES if is_recording else {})).items():
        survey.read(table, lambda reader=reader: reader(session))  # type: ignore[misc]
    _ask_about_behavior(survey)
    if is_recording:
        survey.ask(find_channel_issues, "channels")
        survey.ask(find_unit_issues, "units", "channels")
        survey.ask(find_missing_pupil, "eye_tracking")
        survey.ask(find_missing_laser_table, "optotagging")
    for table, frame in survey.frames.items():
        if isinstance(frame, pd.DataFrame):
            survey.found += find_infinite_values(frame, table, but=(LATENCY,))
    for table, times in _times(survey.frames).items():
        survey.found += find_unsorted_times(times, table)
    if is_recording and read_spikes and "units" in survey.frames:
        survey.read("spike_times", lambda: _last_spikes(session, survey.frames["units"]))
        survey.ask(lambda last: find_late_spikes(last, _last_time(survey.frames)), "spike_times")
    survey.read("release", lambda: metadata.find_metadata_issues(session) + find_release_issues(session))
    survey.ask(list, "release")


def _ask_about_behavior(survey: _Survey) -> None:
    survey.ask(find_trial_issues, "trials")
    survey.ask(find_change_issues, "trials", "stimulus_presentations")
    survey.ask(find_unknown_trials, "trials", "stimulus_presentations")
    survey.ask(find_presentation_issues, "stimulus_presentations")
    survey.ask(find_frame_issues, "trials", "stimulus_presentations", "licks", "stimulus_timestamps")
    survey.ask(find_lick_issues, "licks")
    survey.ask(find_reward_issues, "rewards", "licks")


def _survey_lfp(survey: _Survey, file: RecordingFile) -> None:
    """Look at an LFP file; the samples are not read."""
    survey.read("lfp_probe", lambda: lfp.read_lfp_probe(file))
    survey.read("lfp_channels", lambda: lfp.read_lfp_channels(file))
    survey.read("csd", lambda: lfp.read_csd(file))
    survey.ask(find_channel_issues, "lfp_channels")
    if survey.frames.get("csd", "refused") is None:
        survey.found.append(issue("missing_csd", "csd", f"/{lfp.CSD} is absent"))


def _times(frames: dict[str, Any]) -> dict[str, Any]:
    """Take the column of times of each table that should ascend; licks have a code of their own."""
    columns = {
        "trials": "start_time",
        "rewards": "timestamps",
        "running": "timestamps",
        "eye_tracking": "timestamps",
        "optotagging": "start_time",
    }
    read = {table: name for table, name in columns.items() if frames.get(table) is not None}
    times = {table: frames[table][name].to_numpy(dtype=np.float64) for table, name in read.items()}
    if "stimulus_timestamps" in frames:
        times["stimulus_timestamps"] = frames["stimulus_timestamps"]
    return times


def _last_spikes(session: RecordingFile, units: pd.DataFrame) -> dict[int, float]:
    """Read the last spike of each unit that has one, and so see that all spike times are valid."""
    last: dict[int, float] = {}
    for _, rows, times in spikes.iterate_spike_times(session, units):
        ends = rows["spike_offset"].to_numpy() + rows["n_spikes"].to_numpy()
        has_spikes = rows["n_spikes"].to_numpy() > 0
        ids = rows["unit_id"].to_numpy()[has_spikes].tolist()
        last |= dict(zip(ids, times[ends[has_spikes] - 1].tolist(), strict=True))
    return last


def _last_time(frames: dict[str, Any]) -> float:
    """Find the last finite time of everything but the spikes."""
    times = list(_times(frames).values())
    for table, column in {"optotagging": "stop_time", "stimulus_presentations": "end_time"}.items():
        if frames.get(table) is not None:
            times.append(frames[table][column].to_numpy(dtype=np.float64))
    joined = np.concatenate([*times, np.empty(0)])
    finite = joined[np.isfinite(joined)]
    return float(finite.max()) if len(finite) else float("nan")
