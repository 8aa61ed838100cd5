"""Task parameters, and the geometry of the rig."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from vbn.errors import shortened
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.scalars import number, text

TASK_PARAMETERS = "general/task_parameters"
RIG = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"

Position = tuple[float, float, float]


@dataclass(frozen=True)
class TaskParameters:
    """Parameters of the change detection task; names as in AllenSDK. None for one that the file lacks.

    Parameters
    ----------
    session_type : such as ``EPHYS_1_images_G_3uL_reward``.
    task : ``change detection``.
    stimulus : ``images`` or ``grating``.
    stimulus_name : name of the images; None in older files.
    image_set : ``images_<letter>`` or ``gratings``, from the session type; None for other types.
    stimulus_distribution : distribution of change times, ``geometric`` or ``exponential``.
    stimulus_duration_sec : s; None if the stimulus does not flash (the first training stages).
    blank_duration_sec : s, shortest and longest gray between two flashes.
    response_window_sec : s from the change, start and end.
    omitted_flash_fraction : fraction of flashes omitted; None in training.
    reward_volume, auto_reward_volume : mL.
    n_stimulus_frames : number of frames of the behavior block with a stimulus drawn, not of the session.
    """

    session_type: str | None
    task: str | None
    stimulus: str | None
    stimulus_name: str | None
    image_set: str | None
    stimulus_distribution: str | None
    stimulus_duration_sec: float | None
    blank_duration_sec: tuple[float, ...] | None
    response_window_sec: tuple[float, ...] | None
    omitted_flash_fraction: float | None
    reward_volume: float | None
    auto_reward_volume: float | None
    n_stimulus_frames: int | None


@dataclass(frozen=True)
class RigGeometry:
    """Positions and rotations of monitor, camera and LED, as (x, y, z).

    Parameters
    ----------
    equipment : name of the rig.
    monitor_position_mm, camera_position_mm, led_position_mm : mm.
    monitor_rotation_deg, camera_rotation_deg : degrees.
    """

    equipment: str
    monitor_position_mm: Position
    monitor_rotation_deg: Position
    camera_position_mm: Position
    camera_rotation_deg: Position
    led_position_mm: Position


@reads("task parameters")
def read_task_parameters(session: RecordingFile) -> TaskParameters:
    """Read the task parameters.

    Parameters
    ----------
    session : the open file.

    Returns
    -------
    TaskParameters

    Raises
    ------
    InvalidContentError
        A parameter is not a number, or not one.

    Notes
    -----
    Files store durations as text; as in AllenSDK, they are returned as numbers (``TaskParameters.from_nwb``).
    """
    session_type = _text(session, "session_type")
    return TaskParameters(
        session_type=session_type,
        task=_text(session, "task"),
        stimulus=_text(session, "stimulus"),
        stimulus_name=_text(session, "stimulus_name"),
        image_set=None if session_type is None else stimulus_set(session_type),
        stimulus_distribution=_text(session, "stimulus_distribution"),
        stimulus_duration_sec=_number(session, "stimulus_duration_sec"),
        blank_duration_sec=_pair(session, "blank_duration_sec"),
        response_window_sec=_pair(session, "response_window_sec"),
        omitted_flash_fraction=_number(session, "omitted_flash_fraction"),
        reward_volume=_number(session, "reward_volume"),
        auto_reward_volume=_number(session, "auto_reward_volume"),
        n_stimulus_frames=_whole(session, "n_stimulus_frames"),
    )


@reads("rig geometry")
def read_rig_geometry(session: RecordingFile) -> RigGeometry | None:
    """Read the positions and rotations of monitor, camera and LED.

    Parameters
    ----------
    session : the open file.

    Returns
    -------
    RigGeometry or None
        None if the file does not have them, as files without eye tracking.

    Raises
    ------
    InvalidContentError
        A position is missing, or does not consist of three numbers.
    """
    if not session.has(RIG):
        return None
    rig = session.group(RIG).attrs
    return RigGeometry(
        equipment=session.attribute(RIG, "equipment", text) if "equipment" in rig else "",
        monitor_position_mm=_position(session, "monitor_position"),
        monitor_rotation_deg=_position(session, "monitor_rotation"),
        camera_position_mm=_position(session, "camera_position"),
        camera_rotation_deg=_position(session, "camera_rotation"),
        led_position_mm=_position(session, "led_position"),
    )


def stimulus_set(session_type: str) -> str | None:
    """Parse the stimulus set from a session type (AllenSDK, ``parse_stimulus_set``).

    Examples
    --------
    >>> stimulus_set("TRAINING_3_images_G_10uL_reward")
    'images_G'
    >>> stimulus_set("TRAINING_1_gratings")
    'gratings'
    """
    match = re.match(r"[^_]+_[^_]+_(images_[^_]+|gratings)(?:_|$)", session_type)
    return match[1] if match else None


def _has(session: RecordingFile, name: str) -> bool:
    return session.has(TASK_PARAMETERS) and name in session.group(TASK_PARAMETERS).attrs


def _text(session: RecordingFile, name: str) -> str | None:
    return session.attribute(TASK_PARAMETERS, name, text) if _has(session, name) else None


def _numbers(session: RecordingFile, name: str, n_expected: int) -> tuple[float, ...] | None:
    """Read numbers, which may be stored as text; None if they are absent."""
    if not _has(session, name):
        return None
    numbers = session.attribute(
        TASK_PARAMETERS, name, lambda stored: tuple(number(value) for value in np.ravel(stored))
    )
    if len(numbers) != n_expected:
        expected = "one number is expected" if n_expected == 1 else f"{n_expected} numbers are expected"
        raise session.invalid(f"/{TASK_PARAMETERS}@{name} is {shortened(list(numbers))}, and {expected}.")
    return numbers


def _pair(session: RecordingFile, name: str) -> tuple[float, ...] | None:
    return _numbers(session, name, 2)


def _number(session: RecordingFile, name: str) -> float | None:
    """Read one number; None if it is absent or NaN."""
    numbers = _numbers(session, name, 1)
    return None if numbers is None or np.isnan(numbers[0]) else numbers[0]


def _whole(session: RecordingFile, name: str) -> int | None:
    number = _number(session, name)
    if number is not None and not number.is_integer():
        raise session.invalid(f"/{TASK_PARAMETERS}@{name} is {number}, and a whole number is expected.")
    return None if number is None else int(number)


def _position(session: RecordingFile, name: str) -> Position:
    stored = session.dataset(f"{RIG}/{name}")
    if stored.size != 3 or stored.dtype.kind not in "iuf":
        raise session.invalid(f"/{RIG}/{name} has shape {stored.shape}, and three numbers are expected.")
    x, y, z = (float(value) for value in np.ravel(stored[()]))
    return x, y, z
