"""Columns that older releases do not store: derived by the readers, or missing."""

from __future__ import annotations

from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.issue import Issue, issue
from vbn.nwb.readers.parameters import TASK_PARAMETERS
from vbn.nwb.readers.spikes import SPIKE_AMPLITUDES
from vbn.nwb.readers.stimulus import INTERVALS, SUFFIX
from vbn.nwb.readers.templates import TEMPLATES
from vbn.nwb.readers.trials import OLD_NAMES, TRIALS
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
        ``derived_column``, ``missing_column``, ``no_quality``, ``missing_waveforms``, ``missing_amplitudes``
        and ``missing_templates``; no issue for a table that is entirely absent.
    """
    found = [*_presentation_issues(session), *_trial_issues(session)]
    if session.identity.kind is FileKind.RECORDING and session.has(UNITS):
        found += _unit_issues(session)
    if session.has(TASK_PARAMETERS) and "stimulus_name" not in session.group(TASK_PARAMETERS).attrs:
        found.append(issue("missing_column", "task_parameters", "stimulus_name"))
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
    missing = [name for name in expected if name not in stored]
    missing += [
        f"{column} of {name}"
        for name in tables
        for prefix, columns in STIMULUS_COLUMNS.items()
        if name.startswith(prefix)
        for column in columns
        if column not in session.group(f"{INTERVALS}/{name}")
    ]
    return _absent("stimulus_presentations", derived, missing)


def _trial_issues(session: RecordingFile) -> list[Issue]:
    """Find renamed and missing columns of the trials."""
    if not session.has(TRIALS):
        return []
    stored = set(session.group(TRIALS))
    renamed = [f"{new} (from {old})" for new, old in OLD_NAMES.items() if old in stored and new not in stored]
    is_behavior_only = session.identity.kind is FileKind.BEHAVIOR_ONLY
    missing = ["response_latency"] if is_behavior_only and "response_latency" not in stored else []
    return _absent("trials", renamed, missing)


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


def _absent(table: str, derived: list[str], missing: list[str]) -> list[Issue]:
    named = {"derived_column": derived, "missing_column": missing}
    return [issue(code, table, ", ".join(names)) for code, names in named.items() if names]
