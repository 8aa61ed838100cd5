"""Eye tracking: ellipses fitted to the eye, the pupil and the corneal reflection.

Lengths are in camera pixels, areas in pixels squared, whatever the file's ``unit`` says; width and height are
semi-axes, phi is in radians. ``*_area_raw`` is as fitted; ``*_area`` is NaN in likely blinks.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.readers.columns import Table, floats, frame

EYE_TRACKING = "acquisition/EyeTracking"

ELLIPSES = {"cr": "corneal_reflection_tracking", "eye": "eye_tracking", "pupil": "pupil_tracking"}

SHAPES = {"width": "width", "height": "height", "phi": "angle"}


@reads("eye tracking")
def read_eye_tracking(
    recording: RecordingFile, z_threshold: float = 3.0, dilation_frames: int = 2
) -> pd.DataFrame | None:
    """Read the eye tracking, and recompute likely blinks.

    Parameters
    ----------
    recording : the open file.
    z_threshold : number of standard deviations beyond which an area is an outlier; see `likely_blinks`.
    dilation_frames : number of frames on either side of a blink that are marked as well.

    Returns
    -------
    DataFrame or None
        One row per camera frame: timestamps (s), the three areas, likely_blink, the three raw areas, and
        centre, width, height and phi of each ellipse. Areas, and width, height and phi of eye and pupil, are
        NaN in likely blinks; everything is NaN where no ellipse was fitted. None if the file has no eye
        tracking.

    Raises
    ------
    InvalidContentError
        A part is missing, or lengths differ.

    Notes
    -----
    Follows AllenSDK's ``EyeTrackingTable.from_nwb``, which does not use the stored blinks and areas either.
    A file of another rig may have the area of the pupil only; the other columns are absent then.
    """
    if not recording.has(EYE_TRACKING):
        return None
    if recording.view is not None and not recording.has(f"{EYE_TRACKING}/{ELLIPSES['eye']}"):
        return _pupil_alone(recording, z_threshold, dilation_frames)
    tables = _ellipses(recording)
    if len(tables["eye"]) == 0:
        return None
    areas = {name: table.floats("area_raw") for name, table in tables.items()}
    blinks = likely_blinks(areas["eye"], areas["pupil"], z_threshold, dilation_frames)
    columns: dict[str, Any] = {"timestamps": _timestamps(recording, len(blinks))}
    columns |= {f"{name}_area": np.where(blinks, np.nan, area) for name, area in areas.items()}
    columns["likely_blink"] = blinks
    columns |= {f"{name}_area_raw": area for name, area in areas.items()}
    for name, table in tables.items():
        # The shape of the corneal reflection is kept in blinks (AllenSDK, ``filter_on_blinks``).
        columns |= _shape(name, table, hidden=None if name == "cr" else blinks)
    return frame(columns)


def likely_blinks(
    eye_area: NDArray[np.float64],
    pupil_area: NDArray[np.float64],
    z_threshold: float = 3.0,
    dilation_frames: int = 2,
) -> NDArray[np.bool_]:
    """Mark frames in which the mouse likely blinked, or the fit failed.

    Parameters
    ----------
    eye_area, pupil_area : (n_frames,), pixels squared; NaN where nothing was fitted.
    z_threshold : an area more than this many (population) standard deviations from its mean, both over all
        fitted frames, is an outlier.
    dilation_frames : number of frames before and after that are marked as well; 0 for none.

    Returns
    -------
    (n_frames,) bool
        True where either area is NaN or an outlier, and in neighbouring frames. A constant area has no
        outliers.

    Raises
    ------
    ValueError
        The lengths differ, or `z_threshold` or `dilation_frames` is negative.

    Notes
    -----
    As AllenSDK's ``determine_outliers`` and ``determine_likely_blinks``.
    """
    frames = operator.index(dilation_frames)
    if eye_area.shape != pupil_area.shape:
        raise ValueError(f"areas must be of equal length, got {eye_area.shape} and {pupil_area.shape}.")
    if frames < 0 or not z_threshold >= 0:
        raise ValueError(f"threshold and frames must not be negative, got {z_threshold} and {frames}.")
    marked: NDArray[np.bool_] = np.isnan(eye_area) | np.isnan(pupil_area)
    marked |= is_outlier(eye_area, z_threshold) | is_outlier(pupil_area, z_threshold)
    if frames and len(marked):  # for SciPy, 0 iterations mean "until nothing changes"
        from scipy import ndimage  # the import takes a tenth of a second

        marked = ndimage.binary_dilation(marked, iterations=frames)
    return marked


def is_outlier(values: NDArray[np.float64], z_threshold: float) -> NDArray[np.bool_]:
    """Mark values far from the mean.

    Parameters
    ----------
    values : (n,); NaN and infinite values are ignored in mean and deviation.
    z_threshold : in standard deviations of the population (divided by n).

    Returns
    -------
    (n,) bool
        False for NaN, and for all finite values if they are equal; True for infinite values.
    """
    known = values[np.isfinite(values)]
    if len(known) == 0 or known.min() == known.max():
        return np.isinf(values)
    outlying: NDArray[np.bool_] = np.abs((values - known.mean()) / known.std()) > z_threshold
    return outlying


def _pupil_alone(recording: RecordingFile, z_threshold: float, dilation_frames: int) -> pd.DataFrame | None:
    """Read the area of a pupil without an eye around it; blinks are where it is an outlier."""
    pupil = Table(recording, f"{EYE_TRACKING}/{ELLIPSES['pupil']}", length_column="timestamps")
    if len(pupil) == 0:
        return None
    area = pupil.floats("area_raw")
    blinks = likely_blinks(area, area, z_threshold, dilation_frames)
    return frame(
        {
            "timestamps": pupil.times("timestamps"),
            "pupil_area": np.where(blinks, np.nan, area),
            "likely_blink": blinks,
            "pupil_area_raw": area,
        }
    )


def _ellipses(recording: RecordingFile) -> dict[str, Table]:
    """Return each ellipse series as a table; all must be as long as that of the eye."""
    tables = {
        name: Table(recording, f"{EYE_TRACKING}/{stored}", length_column="area_raw")
        for name, stored in ELLIPSES.items()
    }
    n_frames = len(tables["eye"])
    for table in tables.values():
        if len(table) != n_frames:
            raise recording.invalid(f"/{table.path} has {len(table)} frames, and the eye has {n_frames}.")
    return tables


def _timestamps(recording: RecordingFile, n_frames: int) -> NDArray[np.float64]:
    """Read the timestamps, which are stored with the eye and linked from the other series."""
    path = f"{EYE_TRACKING}/{ELLIPSES['eye']}"
    times = Table(recording, path, length_column="timestamps").times("timestamps")
    if len(times) != n_frames:
        raise recording.invalid(f"/{path}/timestamps has {len(times)} times for {n_frames} frames.")
    return times


def _shape(name: str, table: Table, hidden: NDArray[np.bool_] | None) -> dict[str, NDArray[np.float64]]:
    """Read centre and shape of an ellipse, the shape NaN where hidden."""
    centers = table.recording.dataset(f"{table.path}/data")
    if centers.shape != (len(table), 2):
        raise table.recording.invalid(f"/{table.path}/data has shape {centers.shape}, not ({len(table)}, 2).")
    center = table.converted("data", centers[:], floats)
    columns = {f"{name}_center_x": center[:, 0].copy(), f"{name}_center_y": center[:, 1].copy()}
    for column, stored in SHAPES.items():
        values = table.floats(stored)
        columns[f"{name}_{column}"] = values if hidden is None else np.where(hidden, np.nan, values)
    return columns
