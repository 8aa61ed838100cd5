"""The known layout of VBN files, and the parts of a file outside it.

A pattern is an HDF5 path in which ``*`` stands for one name. The layout includes everything that any release
stores, even what no reader uses because it is redundant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import h5py

from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.walk import names_in, unnameable
from vbn.nwb.issue import Issue, first_of, issue
from vbn.nwb.readers.stimulus import COLUMNS as PRESENTATION_COLUMNS
from vbn.nwb.readers.trials import FLAGS as TRIAL_FLAGS
from vbn.nwb.readers.units import METRICS, SORTER_NUMBERS

INTERVAL_COLUMNS = ("id", "start_time", "stop_time", "tags", "tags_index", "timeseries", "timeseries_index")
TIME_SERIES = ("data", "timestamps", "control", "control_description")
ELLIPSE = (*TIME_SERIES, "reference_frame", "area", "area_raw", "width", "height", "angle")

KNOWN: dict[str, tuple[str, ...]] = {
    "": (
        "acquisition",
        "analysis",
        "file_create_date",
        "general",
        "identifier",
        "intervals",
        "processing",
        "scratch",
        "session_description",
        "session_start_time",
        "specifications",
        "stimulus",
        "timestamps_reference_time",
        "units",
    ),
    "general": (
        "devices",
        "experiment_description",
        "extracellular_ephys",
        "institution",
        "keywords",
        "metadata",
        "session_id",
        "subject",
        "task_parameters",
        "was_generated_by",
    ),
    "general/devices": ("*",),
    "general/extracellular_ephys": ("*",),
    "general/extracellular_ephys/*": ("device",),
    "general/extracellular_ephys/electrodes": (
        "id",
        "filtering",
        "group",
        "group_name",
        "imp",
        "location",
        "probe_channel_number",
        "probe_horizontal_position",
        "probe_id",
        "probe_vertical_position",
        "valid_data",
        "x",
        "y",
        "z",
    ),
    "general/subject": ("age", "description", "genotype", "sex", "species", "subject_id"),
    "units": (
        "id",
        "peak_channel_id",
        *SORTER_NUMBERS,
        *METRICS,
        "quality",
        "spike_times",
        "spike_times_index",
        "spike_amplitudes",
        "spike_amplitudes_index",
        "waveform_mean",
        "waveform_mean_index",
    ),
    "intervals": ("trials", "*_presentations"),
    "intervals/trials": (
        *INTERVAL_COLUMNS,
        *TRIAL_FLAGS,
        "stimulus_change",
        "trial_length",
        "initial_image_name",
        "change_image_name",
        "change_frame",
        "change_time",
        "change_time_no_display_delay",
        "response_time",
        "response_latency",
        "reward_time",
        "reward_volume",
        "lick_times",
        "lick_times_index",
        "lick_events",
        "lick_events_index",
    ),
    "intervals/*_presentations": (
        *INTERVAL_COLUMNS,
        *(name for name in PRESENTATION_COLUMNS if name not in ("presentation_id", "end_time")),
    ),
    "stimulus": ("presentation", "templates"),
    "stimulus/presentation": ("*",),
    "stimulus/presentation/*": (*TIME_SERIES, "indexed_timeseries"),
    "stimulus/templates": ("*",),
    "stimulus/templates/*": (*TIME_SERIES, "unwarped", "format", "dimension"),
    "acquisition": ("EyeTracking", "v_in", "v_sig", "probe_*_lfp", "probe_*_lfp_data"),
    "acquisition/v_in": TIME_SERIES,
    "acquisition/v_sig": TIME_SERIES,
    "acquisition/EyeTracking": (
        "corneal_reflection_tracking",
        "eye_tracking",
        "likely_blink",
        "pupil_tracking",
    ),
    "acquisition/EyeTracking/*": ELLIPSE,
    "acquisition/probe_*_lfp": ("probe_*_lfp_data",),
    "acquisition/probe_*_lfp/probe_*_lfp_data": (*TIME_SERIES, "electrodes"),
    "processing": (
        "current_source_density",
        "eye_tracking_rig_metadata",
        "licking",
        "optotagging",
        "rewards",
        "running",
        "stimulus",
    ),
    "processing/current_source_density": ("ecephys_csd",),
    "processing/current_source_density/ecephys_csd": (
        "current_source_density",
        "virtual_electrode_x_positions",
        "virtual_electrode_y_positions",
    ),
    "processing/current_source_density/ecephys_csd/current_source_density": TIME_SERIES,
    "processing/eye_tracking_rig_metadata": ("eye_tracking_rig_metadata",),
    "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata": (
        "camera_position",
        "camera_rotation",
        "led_position",
        "monitor_position",
        "monitor_rotation",
    ),
    "processing/licking": ("licks",),
    "processing/licking/licks": TIME_SERIES,
    "processing/optotagging": ("optogenetic_stimulation", "optotagging"),
    "processing/optotagging/optogenetic_stimulation": (
        *INTERVAL_COLUMNS,
        "condition",
        "duration",
        "level",
        "stimulus_name",
    ),
    "processing/optotagging/optotagging": TIME_SERIES,
    "processing/rewards": ("volume", "autorewarded"),
    "processing/rewards/*": TIME_SERIES,
    "processing/running": ("speed", "speed_unfiltered", "dx"),
    "processing/running/*": TIME_SERIES,
    "processing/stimulus": ("timestamps",),
    "processing/stimulus/timestamps": TIME_SERIES,
}
"""Group -> names that it may hold; a path without ``*`` takes precedence over a pattern."""

NWB_ATTRIBUTES = ("namespace", "neurodata_type", "object_id", "help", "description")

KNOWN_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "general/metadata": (
        "behavior_session_id",
        "behavior_session_uuid",
        "equipment_name",
        "project_code",
        "session_type",
        "stimulus_frame_rate",
    ),
    "general/subject": ("driver_line", "reporter_line"),
    "general/task_parameters": (
        "auto_reward_volume",
        "blank_duration_sec",
        "n_stimulus_frames",
        "omitted_flash_fraction",
        "response_window_sec",
        "reward_volume",
        "session_type",
        "stimulus",
        "stimulus_distribution",
        "stimulus_duration_sec",
        "stimulus_name",
        "task",
    ),
}


def find_unknown_parts(file: RecordingFile) -> list[Issue]:
    """Find parts of a file outside the known layout.

    Parameters
    ----------
    file : an open file of any kind.

    Returns
    -------
    list of Issue
        ``unknown_table`` for groups, ``unknown_column`` for data sets, ``unknown_attribute`` for metadata.
        The content of an unknown group is not listed.
    """
    groups: list[str] = []
    datasets: list[str] = []
    for path, is_group in unknown_objects(file.root):
        (groups if is_group else datasets).append(f"/{path}")
    datasets += [f"/{path}" for path in unnameable(file.file)]
    attributes = [f"/{name}" for name in unknown_attributes(file.root)]
    found = {"unknown_table": groups, "unknown_column": datasets, "unknown_attribute": attributes}
    return [issue(code, "file", first_of(names)) for code, names in found.items() if names]


def unknown_objects(group: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the unknown objects in the known groups of a file.

    Parameters
    ----------
    group : the group at `path`.
    path : its HDF5 path, without leading slash.

    Yields
    ------
    path : str HDF5 path of an object or link outside the known layout.
    is_group : bool Whether it is a group; False for a dangling link.
    """
    known = _known_names(path)
    for name in names_in(group):
        inner = f"{path}/{name}".lstrip("/")
        if not _matches(name, known):
            yield inner, isinstance(group.get(name), h5py.Group)
        elif inner != "specifications" and isinstance(group.get(name, getlink=True), h5py.HardLink):
            child = group[name]
            if isinstance(child, h5py.Group):
                yield from unknown_objects(child, inner)


def unknown_attributes(file: Any) -> list[str]:
    """List the unknown attributes of the metadata groups, as ``group@name``."""
    return [
        f"{group}@{name}"
        for group, known in KNOWN_ATTRIBUTES.items()
        if group in file
        for name in file[group].attrs
        if name not in known and name not in NWB_ATTRIBUTES
    ]


@cache
def _known_names(path: str) -> tuple[str, ...]:
    """Return the names that a group may hold; none for a group without known content."""
    if path in KNOWN:
        return KNOWN[path]
    for pattern, names in KNOWN.items():
        if "*" in pattern and _pattern(pattern).fullmatch(path):
            return names
    return ()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return name in patterns or any("*" in known and _pattern(known).fullmatch(name) for known in patterns)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(part) for part in text.split("*")))
