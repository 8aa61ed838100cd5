"""What older releases, or files of other rigs, do not store: derived by the readers, or missing."""

from __future__ import annotations

from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.issue import Issue, Severity, issue
from vbn.nwb.readers.behavior import RUNNING
from vbn.nwb.readers.parameters import TASK_PARAMETERS
from vbn.nwb.readers.probes import ELECTRODES
from vbn.nwb.readers.session import METADATA, SUBJECT
from vbn.nwb.readers.spikes import SPIKE_AMPLITUDES
from vbn.nwb.readers.stimulus import INTERVALS, STIMULUS_TIMESTAMPS, SUFFIX
from vbn.nwb.readers.templates import TEMPLATES
from vbn.nwb.readers.trials import CHANGE_TIME, OLD_NAMES, TRIALS
from vbn.nwb.readers.units import METRICS, SORTER_NUMBERS, UNITS
from vbn.nwb.readers.waveforms import WAVEFORMS

DERIVED = (
    "stimulus_block",
    "stimulus_name",
    "active",
    "trials_id",
    "is_sham_change",
    "is_change",
    "flashes_since_change",
)
"""Columns of presentations that the reader derives if no table stores them."""

NOT_DERIVED = ("duration", "omitted", "is_image_novel")
NOT_DERIVED_OF_RECORDINGS = ("rewarded", "stimulus_index")
OF_PRESENTATIONS = ("start_frame", "end_frame", "stop_time")
OF_CHANNELS = (
    "probe_channel_number", "probe_horizontal_position", "probe_id", "probe_vertical_position", "valid_data",
    "location", "x", "y", "z",
)  # fmt: skip
OF_TRIALS = (
    "trial_length", "initial_image_name", "change_image_name", "change_frame", "response_time", "reward_time",
    "reward_volume", "lick_times",
)  # fmt: skip
OF_SESSION = ("session_type", "equipment_name", "stimulus_frame_rate")
OF_TASK = (
    "task", "stimulus", "stimulus_distribution", "stimulus_duration_sec", "blank_duration_sec",
    "response_window_sec", "omitted_flash_fraction", "reward_volume", "auto_reward_volume",
    "n_stimulus_frames", "stimulus_name",
)  # fmt: skip
TABLES = {
    "trials": TRIALS,
    "running": f"{RUNNING}/speed",
    "stimulus_timestamps": STIMULUS_TIMESTAMPS,
    "task_parameters": TASK_PARAMETERS,
}
"""Name in issues -> what all files of the release hold."""

STIMULUS_COLUMNS = {"gabor": ("position_x", "position_y", "orientation"), "flash": ("color",)}
"""Prefix of a stimulus table's name -> the columns that distinguish its presentations."""


def find_release_issues(session: RecordingFile) -> list[Issue]:
    """Find columns that the newest release stores but this file does not.

    Parameters
    ----------
    session : an open recording or behaviour-only file.

    Returns
    -------
    list of Issue
        ``derived_column``, ``missing_column`` (a warning for columns that all releases store),
        ``missing_table``, ``no_quality``, ``missing_waveforms``, ``missing_amplitudes`` and
        ``missing_templates``. Licks, rewards, eye tracking and laser are reported by their imports.
    """
    found = [*_presentation_issues(session), *_trial_issues(session), *_missing_tables(session)]
    found += _metadata_issues(session)
    if session.identity.kind is FileKind.RECORDING and session.has(UNITS):
        found += _unit_issues(session) + _lacking(session, "channels", ELECTRODES, OF_CHANNELS)
    found += _task_issues(session)
    if not session.has(TEMPLATES) or not len(session.group(TEMPLATES)):
        found.append(issue("missing_templates", "stimulus_templates", f"/{TEMPLATES} holds none"))
    return found


def _presentation_issues(session: RecordingFile) -> list[Issue]:
    """Compare the columns of all presentation tables together with those of the newest release."""
    if not session.has(INTERVALS):
        return []
    tables = [name for name in names_in(session.group(INTERVALS)) if name.endswith(SUFFIX)]
    stored = {column for name in tables for column in session.group(f"{INTERVALS}/{name}")}
    if not tables:
        return []
    derived = [name for name in DERIVED if name not in stored]
    if "image_name" not in stored:
        derived.append("image_name")
    is_recording = session.identity.kind is FileKind.RECORDING
    expected = (*NOT_DERIVED, *NOT_DERIVED_OF_RECORDINGS) if is_recording else NOT_DERIVED
    lacking = [name for name in OF_PRESENTATIONS if name not in stored]
    missing = lacking + [name for name in expected if name not in stored]
    missing += [
        f"{column} of {name}"
        for name in tables
        for prefix, columns in STIMULUS_COLUMNS.items()
        if name.startswith(prefix)
        for column in columns
        if column not in session.group(f"{INTERVALS}/{name}")
    ]
    return _absent("stimulus_presentations", derived, missing, "warning" if lacking else None)


def _trial_issues(session: RecordingFile) -> list[Issue]:
    """Find renamed and missing columns of the trials."""
    if not session.has(TRIALS):
        return []
    stored = set(session.group(TRIALS))
    renamed = [f"{new} (from {old})" for new, old in OLD_NAMES.items() if old in stored and new not in stored]
    is_behavior_only = session.identity.kind is FileKind.BEHAVIOR_ONLY
    lacking = [name for name in (*OF_TRIALS, CHANGE_TIME[session.identity.kind]) if name not in stored]
    missing = ["response_latency"] if is_behavior_only and "response_latency" not in stored else []
    return _absent("trials", renamed, lacking + missing, "warning" if lacking else None)


def _missing_tables(session: RecordingFile) -> list[Issue]:
    """Find absent tables and series."""
    absent = {name: path for name, path in TABLES.items() if not session.has(path)}
    inside = session.group(INTERVALS) if session.has(INTERVALS) else ()
    if not any(name.endswith(SUFFIX) for name in names_in(inside)):
        absent["stimulus_presentations"] = f"{INTERVALS}/*{SUFFIX}"
    return [issue("missing_table", name, f"/{path} is absent") for name, path in absent.items()]


def _metadata_issues(session: RecordingFile) -> list[Issue]:
    """Find what the file does not state of the session and its mouse."""
    held = session.group(METADATA).attrs if session.has(METADATA) else ()
    missing = [name for name in OF_SESSION if name not in held]
    missing += [name for name in ("genotype",) if not session.has(f"{SUBJECT}/{name}")]
    return _absent("session", [], missing, "warning")


def _task_issues(session: RecordingFile) -> list[Issue]:
    """Find missing parameters of the task; older files lack the name of the images."""
    if not session.has(TASK_PARAMETERS):
        return []
    held = session.group(TASK_PARAMETERS).attrs
    missing = [name for name in OF_TASK if name not in held]
    lacks_more = any(name != "stimulus_name" for name in missing)
    return _absent("task_parameters", [], missing, "warning" if lacks_more else None)


def _lacking(session: RecordingFile, table: str, path: str, names: tuple[str, ...]) -> list[Issue]:
    """Find missing columns that all releases store; none for an empty table, which may lack columns."""
    if not session.has(f"{path}/id") or not session.length(f"{path}/id"):
        return []
    stored = set(session.group(path))
    return _absent(table, [], [name for name in names if name not in stored], "warning")


def _unit_issues(session: RecordingFile) -> list[Issue]:
    """Find missing columns of the units."""
    stored = set(session.group(UNITS))
    missing = [name for name in (*SORTER_NUMBERS, *METRICS) if name not in stored]
    found = _absent("units", [], missing)
    if "quality" not in stored:
        found.append(issue("no_quality", "units", f"/{UNITS}/quality is absent"))
    absent = {"missing_waveforms": WAVEFORMS, "missing_amplitudes": SPIKE_AMPLITUDES}
    return found + [
        issue(code, "units", f"/{path} is absent") for code, path in absent.items() if not session.has(path)
    ]


def _absent(
    table: str, derived: list[str], missing: list[str], severity: Severity | None = None
) -> list[Issue]:
    found = [issue("derived_column", table, ", ".join(derived))] if derived else []
    return found + ([issue("missing_column", table, ", ".join(missing), severity)] if missing else [])
