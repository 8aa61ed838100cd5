"""What files of the release hold, and a file lacks: columns, and groups that tables are made from."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vbn.nwb.checks.layout import KNOWN, KNOWN_ATTRIBUTES, unknown_objects
from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.walk import names_in

TRIALS = "intervals/trials"
PRESENTATIONS = "intervals/*_presentations"
UNITS = "units"
ELECTRODES = "general/extracellular_ephys/electrodes"

OF_ALL_FILES = (
    "general/subject/age",
    "general/subject/genotype",
    "general/subject/sex",
    "general/subject/subject_id",
    "processing/licking/licks/timestamps",
    "processing/rewards/autorewarded/data",
    "processing/rewards/volume/data",
    "processing/rewards/volume/timestamps",
    "processing/running/speed/data",
    "processing/running/speed/timestamps",
    "processing/stimulus/timestamps/data",
    "session_start_time",
    "stimulus/templates",
)
OF_RECORDINGS = (
    "acquisition/EyeTracking",
    "processing/eye_tracking_rig_metadata",
    "processing/optotagging/optogenetic_stimulation",
)
"""Most recordings of the release have these, not all."""

NOT_IN_ALL = {
    ELECTRODES: ("filtering", "imp", "location"),  # no table has them
    UNITS: (),
    # Of other releases, under other names, or of tables that NWB makes without being asked.
    TRIALS: (
        "change_time", "lick_events", "lick_events_index", "response_latency", "stimulus_change", "tags",
        "tags_index", "timeseries", "timeseries_index",
    ),
    PRESENTATIONS: (
        "contrast", "image_index", "image_set", "phase", "tags", "tags_index", "timeseries",
        "timeseries_index",
    ),
}  # fmt: skip
"""Columns of the known layout that files without fault may lack."""

NOT_IN_BEHAVIOR_ONLY = (
    "change_time_no_display_delay", "color", "orientation", "position_x", "position_y", "rewarded",
    "spatial_frequency", "stimulus_index", "temporal_frequency",
)  # fmt: skip


@dataclass(frozen=True)
class AbsentPart:
    """A part that a file lacks.

    Attributes
    ----------
    path : its HDF5 path, ``group@name`` for an attribute.
    similar : paths of unknown parts beside it, with a name like that; perhaps the same under another name.
    """

    path: str
    similar: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the path, and what it may be named instead."""
        return self.path + (f" (is it {' or '.join(self.similar)}?)" if self.similar else "")


def find_absent_parts(file: RecordingFile) -> list[AbsentPart]:
    """Find what the release's files of this kind hold, and this one lacks.

    Tables whose group is absent are named as a whole. Columns of presentations are absent if no table of
    presentations has them.

    Parameters
    ----------
    file : an open file of a session.
    """
    unknown = [path for path, _ in unknown_objects(file.root)]
    return [AbsentPart(f"/{path}", _similar(path, unknown)) for path in _absent(file)]


def _absent(file: RecordingFile) -> Iterator[str]:
    is_recording = file.identity.kind is FileKind.RECORDING
    for path in OF_ALL_FILES + (OF_RECORDINGS if is_recording else ()):
        if not file.has(path):
            yield path
    columns = {path: _names(file, path) for path in (TRIALS, *((ELECTRODES, UNITS) if is_recording else ()))}
    tables = [name for name in _names(file, "intervals") if name.endswith("_presentations")]
    columns[PRESENTATIONS] = {name for table in tables for name in _names(file, f"intervals/{table}")}
    for path, held in columns.items():
        optional = NOT_IN_ALL[path] + (() if is_recording else NOT_IN_BEHAVIOR_ONLY)
        lacking = [name for name in KNOWN[path] if name not in held and name not in optional]
        yield from (f"{path}/{name}" for name in lacking) if held else (path,)
    for path, names in KNOWN_ATTRIBUTES.items():
        there = file.group(path).attrs if file.has(path) else ()
        yield from (f"{path}@{name}" for name in names if name not in there)


def _names(file: RecordingFile, path: str) -> set[str]:
    return set(names_in(file.group(path))) if file.has(path) else set()


def _similar(path: str, unknown: list[str]) -> tuple[str, ...]:
    """Return the unknown parts of the same group whose name is like that of an absent one."""
    group, _, name = path.rpartition("/")
    beside = {
        each.rpartition("/")[2]: each for each in unknown if fnmatchcase(each.rpartition("/")[0], group)
    }
    return tuple(f"/{beside[near]}" for near in difflib.get_close_matches(name, beside, n=2, cutoff=0.6))
