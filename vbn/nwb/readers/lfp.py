"""Local field potential and current source density of one probe, from its own file.

An LFP file holds some 12 million samples of up to 96 channels (4.7 GB). Reading metadata takes a few bytes,
samples are read in slices; no function may read all of `data` unless asked to. Times are seconds on the
session clock of the recording; the sampling rate is measured, and is not exactly 1250 Hz.
"""

from __future__ import annotations

import bisect
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.errors import shortened
from vbn.nwb.hdf5.recording import RecordingFile, reads
from vbn.nwb.hdf5.scalars import flat, text, whole
from vbn.nwb.hdf5.walk import names_in
from vbn.nwb.readers.columns import LONGEST_REASON, LONGEST_SESSION_S, floats, integers
from vbn.nwb.readers.probes import DEVICES, ELECTRODES, EPHYS, read_channels
from vbn.nwb.readers.session import METADATA, SUBJECT

CSD = "processing/current_source_density/ecephys_csd"

BLOCK_SAMPLES = 65_536
"""Number of time points read at once: 25 MB for 96 channels."""

HALF_LENGTH = 10
"""Half the length of the anti-aliasing filter, in samples after decimation."""


@dataclass(frozen=True)
class LfpMetadata:
    """Metadata of an LFP file.

    Parameters
    ----------
    probe_id : id of the probe, unique in the data set.
    probe_name : ``probeA`` .. ``probeF``; found by the probe's id, not by the file's name.
    session_id : ``ecephys_session_id``; None if not stated, as in the release.
    behavior_session_id : ``behavior_session_id`` of the same session; None if not stated.
    mouse_id : LabTracks number, as text; None if not stated.
    n_samples, n_channels : shape of the samples.
    channel_ids : (n_channels,), in the order of the samples' columns.
    sampling_rate_hz : measured, (n - 1) / (last time - first time); NaN for fewer than two samples.
    start_s, stop_s : times of the first and the last sample; NaN without samples.
    unit : unit of the samples, as stored.
    dtype : type of the samples, as stored.
    """

    probe_id: int
    probe_name: str
    session_id: int | None
    behavior_session_id: int | None
    mouse_id: str | None
    n_samples: int
    n_channels: int
    channel_ids: tuple[int, ...]
    sampling_rate_hz: float
    start_s: float
    stop_s: float
    unit: str
    dtype: str


@dataclass(frozen=True)
class LfpPieceParameters:
    """Which piece of an LFP is copied.

    Parameters
    ----------
    piece_start, piece_stop : seconds on the session's clock, None for the first or last sample.
    decimation : one sample in so many is kept, after a low-pass filter.
    """

    piece_start: float | None
    piece_stop: float | None
    decimation: int

    def __post_init__(self) -> None:
        if self.decimation < 1:
            raise ValueError(f"decimation must be at least 1, got {self.decimation}.")
        start, stop = self.piece_start, self.piece_stop
        if start is not None and stop is not None and not start < stop:
            raise ValueError(f"piece_stop must be after piece_start, got {self}.")


@dataclass(frozen=True)
class CurrentSourceDensity:
    """Mean current source density around a flash.

    Parameters
    ----------
    values : (n_times, n_virtual_channels) float64, V/cm^2.
    timestamps_s : (n_times,) float64, s from the flash.
    virtual_x_um, virtual_y_um : (n_virtual_channels,) float64, position on the probe relative to its tip.

    Notes
    -----
    AllenSDK's array is the transpose, (n_virtual_channels, n_times).
    """

    values: NDArray[np.float64]
    timestamps_s: NDArray[np.float64]
    virtual_x_um: NDArray[np.float64]
    virtual_y_um: NDArray[np.float64]


@reads("LFP metadata")
def read_lfp_probe(file: RecordingFile) -> LfpMetadata:
    """Read the metadata of an LFP file; of the data, only the first and the last time are read.

    Parameters
    ----------
    file : an open LFP file.

    Returns
    -------
    LfpMetadata

    Raises
    ------
    InvalidContentError
        The probe, the samples or the times are missing or inconsistent.
    """
    probe_id = file.identity.identifier
    samples, times = _samples_and_times(file)
    start_s, stop_s = (float(times[0]), float(times[-1])) if len(times) else (np.nan, np.nan)
    _require_possible(file, "LFP timestamps", np.array([start_s, stop_s]))
    return LfpMetadata(
        probe_id=probe_id,
        probe_name=_probe_name(file, probe_id),
        session_id=_whole_number(_dataset_text(file, "general/session_id")),
        behavior_session_id=_whole_number(_attribute(file, METADATA, "behavior_session_id")),
        mouse_id=_dataset_text(file, f"{SUBJECT}/subject_id") or None,
        n_samples=samples.shape[0],
        n_channels=samples.shape[1],
        channel_ids=tuple(_channel_ids(file, samples.shape[1]).tolist()),
        sampling_rate_hz=measured_rate_hz(len(times), start_s, stop_s),
        start_s=start_s,
        stop_s=stop_s,
        unit=file.attribute(samples.name, "unit", text) if "unit" in samples.attrs else "",
        dtype=str(samples.dtype),
    )


@reads("LFP channels")
def read_lfp_channels(file: RecordingFile) -> pd.DataFrame:
    """Read the channels of an LFP file.

    Parameters
    ----------
    file : an open LFP file.

    Returns
    -------
    DataFrame
        Columns as in `read_channels`, one row per column of the samples, in their order.

    Raises
    ------
    InvalidContentError
        The table or a column is missing, or inconsistent with the samples.
    """
    channels = read_channels(file)
    ids = _channel_ids(file, _samples_and_times(file)[0].shape[1])
    return channels.set_index("channel_id", drop=False).loc[ids].reset_index(drop=True)


@reads("LFP samples")
def read_lfp_samples(
    file: RecordingFile,
    start_s: float | None = None,
    stop_s: float | None = None,
    channel_ids: Sequence[int] | None = None,
    decimate: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Read an interval of the LFP.

    Parameters
    ----------
    file : an open LFP file.
    start_s, stop_s : the interval is ``[start_s, stop_s)``; None to begin with the first, or end with the
        last sample.
    channel_ids : channels to read, in the order of the columns returned; None for all.
    decimate : keep every ``decimate``-th sample, after a low-pass filter.

    Returns
    -------
    timestamps : (n_times,) float64, s
    samples : (n_times, n_channels) float32, V Both are empty if no sample lies in the interval.

    Raises
    ------
    InvalidContentError
        The samples or the times are missing or inconsistent.
    ValueError
        A channel is not in the file, `decimate` is less than 1, or `stop_s` is before `start_s`.

    Notes
    -----
    The filter is that of ``scipy.signal.decimate(ftype="fir")``: a windowed sinc (Hamming) of ``20 q + 1``
    taps that halves the amplitude at the new Nyquist frequency, without time shift. It uses the samples
    around the interval; at the edges of the file, the outermost sample is repeated. It assumes a constant
    sampling rate. Memory use is the result plus one block of `BLOCK_SAMPLES` time points.
    """
    factor = operator.index(decimate)
    if factor < 1:
        raise ValueError(f"decimate must be 1 or more, got {decimate}.")
    if start_s is not None and stop_s is not None and not stop_s >= start_s:
        raise ValueError(f"stop_s must not be before start_s, got {start_s} to {stop_s}.")
    samples, times = _samples_and_times(file)
    columns = _columns(file, samples.shape[1], channel_ids)
    first = 0 if start_s is None else bisect.bisect_left(times, start_s)
    last = len(times) if stop_s is None else bisect.bisect_left(times, stop_s)
    timestamps = np.asarray(times[first:last], dtype=np.float64)[::factor]
    found = np.empty((len(timestamps), len(columns)), dtype=np.float32)
    for begin, end in _blocks(len(timestamps), max(BLOCK_SAMPLES // factor, 1)):
        start = first + begin * factor
        if factor == 1:
            found[begin:end] = _read_columns(samples, start, start + end - begin, columns)
        else:
            found[begin:end] = _decimated(samples, start, end - begin, factor, columns)
    return timestamps, found


@reads("current source density")
def read_csd(file: RecordingFile) -> CurrentSourceDensity | None:
    """Read the current source density stored in an LFP file.

    Parameters
    ----------
    file : an open LFP file.

    Returns
    -------
    CurrentSourceDensity or None
        None if the file has none.

    Raises
    ------
    InvalidContentError
        A part is missing, or their lengths differ.
    """
    if not file.has(CSD):
        return None
    parts = {
        "values": f"{CSD}/current_source_density/data",
        "timestamps_s": f"{CSD}/current_source_density/timestamps",
        "virtual_x_um": f"{CSD}/virtual_electrode_x_positions",
        "virtual_y_um": f"{CSD}/virtual_electrode_y_positions",
    }
    read = {name: _numbers(file, path) for name, path in parts.items()}
    n_times, n_channels = len(read["timestamps_s"]), len(read["virtual_y_um"])
    if read["values"].shape != (n_times, n_channels) or read["virtual_x_um"].shape != (n_channels,):
        raise file.invalid(
            f"/{parts['values']} has shape {read['values'].shape}, and there are {n_times} times, "
            f"{len(read['virtual_x_um'])} and {n_channels} positions."
        )
    _require_possible(file, f"/{parts['timestamps_s']}", read["timestamps_s"])
    return CurrentSourceDensity(**read)


def measured_rate_hz(n_samples: int, start_s: float, stop_s: float) -> float:
    """Return the measured sampling rate.

    Parameters
    ----------
    n_samples : number of samples.
    start_s, stop_s : times of the first and the last sample.

    Returns
    -------
    float, Hz
        NaN for fewer than two samples, and if times do not ascend.

    Examples
    --------
    >>> measured_rate_hz(11, 2.0, 4.0)
    5.0
    """
    return (n_samples - 1) / (stop_s - start_s) if n_samples > 1 and stop_s > start_s else float("nan")


def anti_aliasing_filter(factor: int) -> NDArray[np.float64]:
    """Return the low-pass filter for decimation.

    Parameters
    ----------
    factor : decimation factor, 2 or more.

    Returns
    -------
    (20 * factor + 1,) float64
        Symmetric, with a sum of 1.
    """
    from scipy.signal import firwin  # the import takes half a second

    taps: NDArray[np.float64] = firwin(2 * HALF_LENGTH * factor + 1, 1.0 / factor, window="hamming")
    return taps


def _decimated(samples: Any, start: int, n_out: int, factor: int, columns: NDArray[np.int64]) -> NDArray[Any]:
    """Return every `factor`-th sample of the filtered signal, from `start` on."""
    from scipy.signal import upfirdn  # the import takes half a second

    half = HALF_LENGTH * factor
    first, stop = start - half, start + (n_out - 1) * factor + half + 1  # what the filter needs
    read_start, read_stop = max(first, 0), min(stop, samples.shape[0])
    block = _read_columns(samples, read_start, read_stop, columns).astype(np.float64)
    margins = ((read_start - first, stop - read_stop), (0, 0))
    filtered = upfirdn(anti_aliasing_filter(factor), np.pad(block, margins, mode="edge"), down=factor, axis=0)
    # The filter is centred on the first output sample after 2 * half inputs, a multiple of the factor.
    result: NDArray[Any] = filtered[2 * HALF_LENGTH : 2 * HALF_LENGTH + n_out]
    return result


def _read_columns(samples: Any, start: int, stop: int, columns: NDArray[np.int64]) -> NDArray[Any]:
    """Read columns, as a contiguous range, because HDF5 reads scattered columns slowly."""
    if len(columns) == 0:
        return np.empty((stop - start, 0), dtype=np.float32)
    low, high = int(columns.min()), int(columns.max()) + 1
    block: NDArray[Any] = samples[start:stop, low:high]
    return block[:, columns - low]


def _blocks(n: int, size: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]


def _samples_and_times(file: RecordingFile) -> tuple[Any, Any]:
    """Return the data sets of samples and times, without reading them."""
    series = f"acquisition/probe_{file.identity.identifier}_lfp/probe_{file.identity.identifier}_lfp_data"
    samples, times = file.dataset(f"{series}/data"), file.dataset(f"{series}/timestamps")
    if samples.ndim != 2 or times.shape != samples.shape[:1]:
        raise file.invalid(
            f"/{series} has data of shape {samples.shape} and timestamps of shape {times.shape}; "
            f"(n, channels) and (n,) are expected."
        )
    for dataset in (samples, times):
        if dataset.dtype.kind not in "iuf":
            raise file.invalid(f"{dataset.name} holds no numbers but {dataset.dtype}.")
    return samples, times


def _require_possible(file: RecordingFile, name: str, times: NDArray[np.float64]) -> None:
    """Raise an error for impossible times; NaN stands for a missing one."""
    beyond = times[np.abs(times) > LONGEST_SESSION_S]
    if len(beyond):
        raise file.invalid(f"{name}: {beyond[0]} s is more than a day from the session's start.")


def _probe_name(file: RecordingFile, probe_id: int) -> str:
    """Return the name of the device with the probe's id."""
    devices = file.group(DEVICES)
    found = {name: devices[name].attrs.get("probe_id") for name in names_in(devices)}
    names = [name for name, number in found.items() if _whole_number(number) == probe_id]
    if len(names) != 1:
        others = {name: number for name, number in found.items() if number is not None}
        raise file.invalid(
            f"/{DEVICES}: one device with probe_id {probe_id}, the file's identifier, is expected; "
            f"the probes are {shortened(others)}."
        )
    return str(names[0])


def _channel_ids(file: RecordingFile, n_channels: int) -> NDArray[np.int64]:
    """Return the channel of each column of the samples, from the series' electrodes."""
    ids = _converted(file, f"{ELECTRODES}/id")
    probe_id = file.identity.identifier
    path = f"acquisition/probe_{probe_id}_lfp/probe_{probe_id}_lfp_data/electrodes"
    rows = _converted(file, path) if file.has(path) else np.arange(len(ids))
    if len(rows) != n_channels or ((rows < 0) | (rows >= len(ids))).any():
        raise file.invalid(
            f"/{EPHYS}/electrodes has {len(ids)} channels and the LFP {n_channels} columns, "
            f"which name {len(rows)} channels."
        )
    return ids[rows]


def _columns(file: RecordingFile, n_channels: int, channel_ids: Sequence[int] | None) -> NDArray[np.int64]:
    """Return the columns of the given channels."""
    if channel_ids is None:
        return np.arange(n_channels, dtype=np.int64)
    column_of = {channel: column for column, channel in enumerate(_channel_ids(file, n_channels).tolist())}
    unknown = [int(channel) for channel in channel_ids if int(channel) not in column_of]
    if unknown:
        raise ValueError(f"channels must be of this file: {len(unknown)} are not, the first is {unknown[0]}.")
    return np.array([column_of[int(channel)] for channel in channel_ids], dtype=np.int64)


def _converted(file: RecordingFile, path: str) -> NDArray[np.int64]:
    """Read a column of whole numbers."""
    try:
        return integers(flat(file.dataset(path)))
    except (ValueError, TypeError) as error:
        raise file.invalid(f"/{path}: {shortened(error, LONGEST_REASON)}.") from error


def _numbers(file: RecordingFile, path: str) -> NDArray[np.float64]:
    """Read an array of numbers of any shape."""
    dataset = file.dataset(path)
    if dataset.dtype.kind not in "iuf":
        raise file.invalid(f"/{path} holds no numbers but {dataset.dtype}.")
    return floats(dataset[...])


def _attribute(file: RecordingFile, group: str, name: str) -> Any:
    return file.group(group).attrs.get(name) if file.has(group) else None


def _dataset_text(file: RecordingFile, path: str) -> str:
    """Read a text; empty if it is absent or the ``None`` that AllenSDK writes."""
    stored = file.scalar(path, text) if file.has(path) else ""
    return "" if stored == "None" else stored


def _whole_number(stored: Any) -> int | None:
    """Return a whole number, also from text; None for anything else."""
    try:
        return whole(stored)
    except ValueError:
        return None
