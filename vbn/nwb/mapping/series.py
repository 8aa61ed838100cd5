"""Licks, rewards, running speed and pupil of another rig under the release's names.

Data sets that hold what the release's do are read where they are. What must be made anew, such as the times
of samples at a rate, is bounded, as a file may claim any length.
"""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import quoted
from vbn.nwb.hdf5.recording import RecordingFile
from vbn.nwb.hdf5.scalars import number, text
from vbn.nwb.hdf5.view import View
from vbn.nwb.mapping.definition import UNITS_OF_SPEED, FileMapping, MappedSeries
from vbn.nwb.mapping.tables import require_column, require_table
from vbn.nwb.readers.behavior import LICKS, REWARDS, RUNNING
from vbn.nwb.readers.columns import Table
from vbn.nwb.readers.eye import ELLIPSES, EYE_TRACKING
from vbn.nwb.readers.stimulus import STIMULUS_TIMESTAMPS

MOST_SAMPLES = 20_000_000
"""Limit for a series; three hours at 1 kHz have 11 million samples."""

UNKNOWN_FRAME = -1
"""Stimulus frame of a lick in a file without the times of frames."""

SHOWN = {"licks": LICKS, "rewards": REWARDS, "running": RUNNING, "pupil": EYE_TRACKING}
"""Section of the mapping -> group of the release's layout."""


def mapped_groups(mapping: FileMapping) -> set[str]:
    """Return the groups of the release's layout that a mapping shows instead of the file's own."""
    return {SHOWN[name] for name in mapping.series}


def show_series(raw: RecordingFile, view: View, mapping: FileMapping) -> None:
    """Show all series that a mapping names.

    Raises
    ------
    InvalidContentError
        The file lacks one, or what it holds is of another unit, length or type than its section says.
    """
    show = {"licks": _show_licks, "rewards": _show_rewards, "running": _show_running, "pupil": _show_pupil}
    for name, series in mapping.series.items():
        require_table(raw, series.path)
        show[name](raw, view, series)


def _show_licks(raw: RecordingFile, view: View, series: MappedSeries) -> None:
    place = f"{LICKS}/timestamps"
    frames = np.full(_show_times(raw, view, series, place), UNKNOWN_FRAME)
    if raw.has(STIMULUS_TIMESTAMPS):
        shown = _times_of(raw, STIMULUS_TIMESTAMPS)
        licks = _times_of(RecordingFile(raw.path, None, raw.file, raw.identity, view=view), place)
        frames = np.searchsorted(shown, licks)  # the first frame at or after a lick, as AllenSDK has it
    view.write(f"{LICKS}/data", frames.astype(np.int64))


def _show_rewards(raw: RecordingFile, view: View, series: MappedSeries) -> None:
    n_times = _show_times(raw, view, series, f"{REWARDS}/volume/timestamps")
    _show_times(raw, view, series, f"{REWARDS}/autorewarded/timestamps")
    for shown, value in {"volume": series.volume, "autorewarded": series.auto_rewarded}.items():
        place = f"{REWARDS}/{shown}/data"
        if isinstance(value, str):
            require_column(raw, series.path, value, shown)
            _show_values(raw, view, replace(series, data=value), place, n_times, 1.0)
        else:
            view.write(place, np.full(n_times, value))


def _show_running(raw: RecordingFile, view: View, series: MappedSeries) -> None:
    place = f"{RUNNING}/speed"
    n_times = _show_times(raw, view, series, f"{place}/timestamps")
    unit = _unit(raw, series)
    _show_values(raw, view, series, f"{place}/data", n_times, UNITS_OF_SPEED[unit])


def _unit(raw: RecordingFile, series: MappedSeries) -> str:
    """Return the unit of a running speed; file and mapping may not contradict each other."""
    data = require_column(raw, series.path, series.data, "the running speed")
    place = f"{series.path}/{series.data}"
    unit = raw.attribute(place, "unit", text).strip() if "unit" in data.attrs else ""
    if series.unit and unit in UNITS_OF_SPEED and unit != series.unit:
        raise raw.invalid(
            f"/{place} is in {unit}, and the mapping's [running] says {series.unit}. Take out unit there, or "
            "correct the file."
        )
    if series.unit:
        return series.unit
    if unit not in UNITS_OF_SPEED:
        said = f"says {quoted(unit)}" if unit else "says none"
        raise raw.invalid(
            f"the unit of /{place} is not known: the file {said}. Write it into the "
            f"mapping's [running]: unit = {' or '.join(map(repr, UNITS_OF_SPEED))}."
        )
    return unit


def _show_pupil(raw: RecordingFile, view: View, series: MappedSeries) -> None:
    place = f"{EYE_TRACKING}/{ELLIPSES['pupil']}"
    n_times = _show_times(raw, view, series, f"{place}/timestamps")
    if series.measure == "area":
        _show_values(raw, view, series, f"{place}/area_raw", n_times, 1.0)
        return
    length = _values(raw, series, n_times)
    radius = length / 2 if series.measure == "diameter" else length
    view.write(f"{place}/area_raw", np.pi * radius**2)


def _show_times(raw: RecordingFile, view: View, series: MappedSeries, place: str) -> int:
    """Show the times of a series, and return how many there are; stored ones are not read yet."""
    name = series.times or "timestamps"
    if series.times is None and not raw.has(f"{series.path}/timestamps"):
        times = _times_at_a_rate(raw, series)
        view.write(place, times)
        return times.size
    stored = require_column(raw, series.path, name, "times")
    _require_length(raw, f"{series.path}/{name}", stored)
    view.add(place, stored, f"{series.path}/{name}")
    return int(stored.shape[0])


def _times_of(file: RecordingFile, path: str) -> NDArray[np.float64]:
    group, _, name = path.rpartition("/")
    return Table(file, group, length_column=name).times(name)


def _times_at_a_rate(raw: RecordingFile, series: MappedSeries) -> NDArray[np.float64]:
    """Return the times of samples that are stored as NWB allows: the first one, and a rate."""
    start = f"{series.path}/starting_time"
    if not raw.has(start):
        raise raw.invalid(
            f"/{series.path} has neither timestamps nor starting_time. Say in the mapping which of its data "
            "sets holds the times: times = ..."
        )
    data = require_column(raw, series.path, series.data, "samples")
    _require_length(raw, f"{series.path}/{series.data}", data)
    first, rate = raw.scalar(start, number), raw.attribute(start, "rate", number)
    if not (np.isfinite(first) and np.isfinite(rate) and rate > 0):
        raise raw.invalid(f"/{start} is {first} s at a rate of {rate} Hz, which gives no times.")
    return np.asarray(first + np.arange(data.shape[0]) / rate)


def _require_length(raw: RecordingFile, path: str, stored: h5py.Dataset) -> None:
    if len(stored.shape) != 1:
        raise raw.invalid(f"/{path} has shape {stored.shape}, and one number for each sample is expected.")
    if stored.shape[0] > MOST_SAMPLES:
        raise raw.invalid(
            f"/{path} claims {stored.shape[0]:,} samples; at most {MOST_SAMPLES:,} are allowed."
        )


def _show_values(
    raw: RecordingFile, view: View, series: MappedSeries, place: str, n_times: int, factor: float
) -> None:
    """Show values in the release's unit: as they are stored, unless that is another."""
    stored = require_column(raw, series.path, series.data, place.rpartition("/")[2])
    if factor == 1.0 and _conversion(raw, series, stored) == (1.0, 0.0):
        view.add(place, stored, f"{series.path}/{series.data}")
        return
    view.write(place, factor * _values(raw, series, n_times))


def _values(raw: RecordingFile, series: MappedSeries, n_times: int) -> NDArray[np.float64]:
    """Return the values of a series in the unit that it says it has."""
    stored = require_column(raw, series.path, series.data, "samples")
    _require_length(raw, f"{series.path}/{series.data}", stored)
    if stored.shape[0] != n_times:
        raise raw.invalid(
            f"/{series.path}/{series.data} has {stored.shape[0]} samples, and there are {n_times} times."
        )
    conversion, offset = _conversion(raw, series, stored)
    values = Table(raw, series.path, length_column=series.data).floats(series.data)
    return values * conversion + offset


def _conversion(raw: RecordingFile, series: MappedSeries, stored: h5py.Dataset) -> tuple[float, float]:
    """Return by what the stored numbers are multiplied, and what is added then, as NWB has it."""
    path, found = f"{series.path}/{series.data}", {"conversion": 1.0, "offset": 0.0}
    for name in found:
        if name in stored.attrs:
            found[name] = raw.attribute(path, name, number)
            if not np.isfinite(found[name]):
                raise raw.invalid(f"/{path}@{name} is {found[name]}, and must be a number.")
    return found["conversion"], found["offset"]
