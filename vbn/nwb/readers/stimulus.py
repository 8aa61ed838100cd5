"""Stimulus presentations of all stimuli and blocks, in one table.

Files have one table per stimulus name; as in AllenSDK, these are concatenated, sorted by start and numbered
(`presentation_id`). Blocks of a recording: 0 images during the task (active), 1 gray, 2 Gabors, 3 gray, 4
flashes, 5 replay of block 0; a behavior-only session has only block 0, of images or gratings. Times are when
the stimulus was on screen: measured in recordings, with a constant display delay in behavior-only sessions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.errors import shortened
from vbn.nwb.hdf5.identify import FileKind
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.readers import derived_columns
from vbn.nwb.readers.columns import TEXT_MISSING, Table, frame, plain_where_complete
from vbn.nwb.readers.trials import TRIALS, read_trials

INTERVALS = "intervals"
SUFFIX = "_presentations"
STIMULUS_TIMESTAMPS = "processing/stimulus/timestamps/timestamps"

IMAGE_FLAGS = ("is_change", "is_image_novel", "omitted", "rewarded")
TASK_FLAGS = ("active", "is_sham_change")
NULLABLE_INTEGERS = ("flashes_since_change", "stimulus_index", "trials_id", "stimulus_block", "image_index")
PARAMETERS = (
    "color",
    "contrast",
    "orientation",
    "phase",
    "position_x",
    "position_y",
    "spatial_frequency",
    "temporal_frequency",
)

COLUMNS = (
    "presentation_id",
    "stimulus_block",
    "stimulus_name",
    "start_time",
    "end_time",
    "duration",
    "start_frame",
    "end_frame",
    "active",
    "image_name",
    *IMAGE_FLAGS,
    "flashes_since_change",
    "trials_id",
    "is_sham_change",
    "stimulus_index",
    *PARAMETERS,
    "image_set",
    "image_index",
)

GRATING = "grating"
"""Prefix of the table names of full-field gratings, used in the first training stages."""


@reads("stimulus presentations")
def read_stimulus_presentations(recording: RecordingFile) -> pd.DataFrame:
    """Read all stimulus presentations of a session.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    DataFrame
        One row per presentation, sorted by start_time, always with all `COLUMNS`: presentation_id,
        stimulus_block, stimulus_name, start_time, end_time, duration (s), start_frame, end_frame (Int64
        where one is missing, into the stimulus timestamps), active, image_name (None for other stimuli),
        is_change, is_image_novel, omitted, rewarded (boolean; NA for other stimuli than images),
        flashes_since_change, trials_id, stimulus_index (Int64; NA where missing), is_sham_change, the
        parameters of Gabors, gratings and flashes (NaN where they do not apply; positions and orientation in
        degrees, phase in cycles), and, stored in behavior-only files only, image_set (name of the set's
        templates; None otherwise) and image_index (Int64, position in the set). Gratings have an image_name,
        ``gratings_<orientation>``.

    Raises
    ------
    InvalidContentError
        A start time is missing.

    Notes
    -----
    Columns that an older file lacks are derived as by AllenSDK: ``active``, ``trials_id`` and
    ``is_sham_change`` from the trials, ``is_change`` and ``flashes_since_change`` from the images. Blocks, if
    not stored, are runs of one stimulus name. For behavior-only sessions, ``is_change`` and
    ``flashes_since_change`` are recomputed even if stored, as by AllenSDK (``BehaviorSession.from_nwb``).
    Unlike here, AllenSDK drops ``image_set``, and converts any numeric column with only 0 and 1 to boolean.
    """
    tables = _tables(recording)
    if not tables:
        return _no_presentations()
    stored = {name for table in tables for name in recording.group(table.path)}
    rows = pd.concat([_read_table(table) for table in tables], ignore_index=True)
    known = np.isfinite(rows["start_time"])
    if not known.all():
        raise recording.invalid(
            f"/{INTERVALS}: {(~known).sum()} start times are missing, infinite or more than a day from the "
            f"session's start."
        )
    rows = rows.sort_values("start_time", kind="stable", ignore_index=True)
    rows["start_frame"] = plain_where_complete(rows["start_frame"])
    rows["presentation_id"] = np.arange(len(rows), dtype=np.int64)
    return _with_derived(recording, rows, stored)[list(COLUMNS)]


@reads("stimulus timestamps")
def read_stimulus_timestamps(recording: RecordingFile) -> NDArray[np.float64]:
    """Read the times of all stimulus frames of the session.

    Parameters
    ----------
    recording : the open file.

    Returns
    -------
    (n_frames,) float64, s
        Including the constant display delay that the release adds (0.02 s); frame numbers in other tables are
        indices into this array. Empty if the file has none.
    """
    if not recording.has(STIMULUS_TIMESTAMPS):
        return np.empty(0)
    return Table(recording, STIMULUS_TIMESTAMPS.rsplit("/", 1)[0], "timestamps").times("timestamps")


def runs_of(names: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the number of the run of equal names that each name is in.

    Parameters
    ----------
    names : (n,), text.

    Returns
    -------
    (n,) int64
        0 for the first run.

    Examples
    --------
    >>> runs_of(np.array(["a", "a", "b", "a"], dtype=object)).tolist()
    [0, 0, 1, 2]
    """
    starts = np.ones(len(names), dtype=np.int64)
    starts[1:] = names[1:] != names[:-1]
    return np.cumsum(starts) - 1


def _tables(recording: RecordingFile) -> list[Table]:
    """Return the tables of presentations."""
    names = names_in(recording.group(INTERVALS)) if recording.has(INTERVALS) else []
    return [Table(recording, f"{INTERVALS}/{name}") for name in sorted(names) if name.endswith(SUFFIX)]


def _no_presentations() -> pd.DataFrame:
    """Return the presentations of a file without any."""
    types: dict[str, Any] = dict.fromkeys(COLUMNS, "float64")
    types |= dict.fromkeys((*NULLABLE_INTEGERS, "start_frame", "end_frame"), "Int64")
    types |= dict.fromkeys(("presentation_id", "stimulus_block"), "int64")
    types |= dict.fromkeys(IMAGE_FLAGS, "boolean") | dict.fromkeys(TASK_FLAGS, "bool")
    types |= dict.fromkeys(("stimulus_name", "image_name", "image_set"), "object")
    return pd.DataFrame({name: pd.Series(dtype=types[name]) for name in COLUMNS})


def _read_table(table: Table) -> pd.DataFrame:
    """Read the table of one stimulus; columns that it lacks are all missing."""
    images = _image_names(table)
    columns: dict[str, Any] = {
        "stimulus_name": _stimulus_names(table),
        "start_time": table.times("start_time"),
        "end_time": table.times_or_nan("stop_time"),
        "duration": table.times_or_nan("duration"),
        "start_frame": table.integers_or_missing("start_frame"),
        "end_frame": table.integers_or_missing("end_frame"),
        "image_name": images,
        "image_set": table.texts_or_missing("image_set", TEXT_MISSING),
    }
    columns |= {name: table.integers_or_missing(name) for name in NULLABLE_INTEGERS}
    columns |= {name: table.booleans_or_missing(name) for name in TASK_FLAGS}
    columns |= _image_flags(table, images)
    columns |= {name: table.floats_or_nan(name) for name in PARAMETERS}
    return frame(columns)


def _image_flags(table: Table, images: NDArray[np.object_]) -> dict[str, Any]:
    """Read the flags that only apply to images.

    Older files store plain bool, with True for missing values: in the tables of other stimuli, and for the
    novelty of an omitted image.
    """
    if not (images != None).any():  # noqa: E711 -- element by element
        return {name: _missing_booleans(len(table)) for name in IMAGE_FLAGS}
    flags = {name: table.booleans_or_missing(name) for name in IMAGE_FLAGS}
    omitted = flags["omitted"].fillna(False).to_numpy(dtype=bool) | (images == "omitted")
    flags["is_image_novel"] = flags["is_image_novel"].mask(omitted)
    return flags


def _with_derived(recording: RecordingFile, rows: pd.DataFrame, stored: set[str]) -> pd.DataFrame:
    """Add the columns that the file does not store."""
    if "stimulus_block" not in stored:
        rows["stimulus_block"] = runs_of(rows["stimulus_name"].to_numpy(dtype=object))
    elif rows["stimulus_block"].isna().any():
        lacking = rows.loc[rows["stimulus_block"].isna(), "stimulus_name"].unique().tolist()
        names = shortened(", ".join(map(str, lacking)), 200)
        raise recording.invalid(
            f"/{INTERVALS}: some presentations have no stimulus_block, those of {names}, and others have one."
        )
    rows["stimulus_block"] = rows["stimulus_block"].astype(np.int64)
    # AllenSDK recomputes both for behavior-only sessions, but not for recordings; files of other rigs may
    # have no task, and what they say of changes is kept.
    has_task = recording.view is None or recording.has(TRIALS)
    recompute = recording.identity.kind is FileKind.BEHAVIOR_ONLY and has_task
    if recompute or "is_change" not in stored:
        rows["is_change"] = derived_columns.image_changes(rows)
    if recompute or "flashes_since_change" not in stored:
        rows["flashes_since_change"] = derived_columns.flashes_since_change(rows)
    if not {*TASK_FLAGS, "trials_id"} <= stored:
        trials = read_trials(recording)
        if "active" not in stored:
            rows["active"] = derived_columns.active_presentations(rows, trials)
        if "trials_id" not in stored:
            rows["trials_id"] = derived_columns.trials_of_presentations(rows, trials)
        if "is_sham_change" not in stored:
            rows["is_sham_change"] = derived_columns.sham_changes(rows, trials)
    for name in TASK_FLAGS:
        rows[name] = rows[name].fillna(False).astype(np.bool_)
    return rows


def _stimulus_names(table: Table) -> NDArray[np.object_]:
    """Read the stimulus names, or derive missing ones from the table's name."""
    name = table.path.removeprefix(f"{INTERVALS}/").removesuffix(SUFFIX)
    stored = table.texts_or_missing("stimulus_name", TEXT_MISSING)
    return np.where(stored == None, name, stored)  # noqa: E711 -- element by element


def _is_grating(table: Table) -> bool:
    """Return whether a table is of full-field gratings; Gabors have an orientation, too."""
    return table.path.startswith(f"{INTERVALS}/{GRATING}") and table.has("orientation")


def _image_names(table: Table) -> NDArray[np.object_]:
    """Read the image names, or name gratings as AllenSDK does (``Presentations.from_stimulus_file``)."""
    if table.has("image_name") or not _is_grating(table):
        return table.texts_or_missing("image_name", TEXT_MISSING)
    names = np.empty(len(table), dtype=object)
    names[:] = [f"gratings_{orientation}" for orientation in table.floats("orientation").tolist()]
    return names


def _missing_booleans(n_rows: int) -> pd.Series[Any]:
    return pd.Series(pd.array([pd.NA] * n_rows, dtype="boolean"))
