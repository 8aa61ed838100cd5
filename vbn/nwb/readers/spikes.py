"""Spike times and amplitudes, read one probe at a time to save memory.

A unit's spike times are seconds on the session clock, ascending (equal times are allowed), not negative and
within `LONGEST_SESSION_S`. A session has some 70 million spikes, so functions must work on whole arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vbn.nwb.hdf5.recording import RecordingFile, reading
from vbn.nwb.hdf5.scalars import flat, length_of
from vbn.nwb.readers.columns import LONGEST_SESSION_S, Table
from vbn.nwb.readers.units import UNITS, spike_bounds

SPIKE_TIMES = f"{UNITS}/spike_times"
SPIKE_AMPLITUDES = f"{UNITS}/spike_amplitudes"


def iterate_spike_times(
    recording: RecordingFile, units: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64]]]:
    """Read the spike times, one probe after the other.

    Parameters
    ----------
    recording : the open file.
    units : unit_id and probe_name of the units to read, as from `read_units`.

    Yields
    ------
    probe_name : str In sorted order; probes without units to read are skipped.
    units : DataFrame The probe's units in file order: unit_id, spike_offset (into the array), n_spikes.
    spike_times : (n_spikes,) float64, s Spike times of the units one after the other. The iterator keeps no
        reference when it moves on to the next probe.

    Raises
    ------
    InvalidContentError
        Spike times of a unit are not ascending, negative, more than a day after the start, or not finite.
    ValueError
        A unit is not in the file.
    """
    with reading(recording, "spike times"):
        for name, probe_units, spike_times in _iterate(recording, units, SPIKE_TIMES):
            _require_valid(recording, name, probe_units, spike_times)
            yield name, probe_units, spike_times
            del spike_times  # otherwise it would stay in memory while the next probe is read


def iterate_spike_amplitudes(
    recording: RecordingFile, units: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64]]]:
    """Read the spike amplitudes, one probe after the other.

    Parameters
    ----------
    recording : the open file.
    units : unit_id and probe_name of the units to read, as from `read_units`.

    Yields
    ------
    probe_name, units
        As from `iterate_spike_times`, with the same offsets and counts.
    spike_amplitudes : (n_spikes,) float64, V In the order of the spike times; NaN and infinite values are
        kept.

    Raises
    ------
    InvalidContentError
        There are no amplitudes, or not one per spike.
    ValueError
        A unit is not in the file.
    """
    with reading(recording, "spike amplitudes"):
        ends = Table(recording, UNITS).integers("spike_amplitudes_index")
        n_amplitudes = recording.length(SPIKE_AMPLITUDES)
        bounds = spike_bounds(recording)
        if n_amplitudes != bounds[-1] or not np.array_equal(ends, bounds[1:]):
            raise recording.invalid(
                f"/{SPIKE_AMPLITUDES} has {n_amplitudes} values, which do not fit the {bounds[-1]} spikes."
            )
        for name, probe_units, amplitudes in _iterate(recording, units, SPIKE_AMPLITUDES):
            yield name, probe_units, amplitudes
            del amplitudes


def _iterate(
    recording: RecordingFile, units: pd.DataFrame, path: str
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64]]]:
    """Read a column with one value per spike, one probe after the other."""
    bounds = spike_bounds(recording)
    file_ids = Table(recording, UNITS).identifiers()
    rows = rows_of(units["unit_id"].to_numpy(dtype=np.int64), file_ids)
    names = units["probe_name"].to_numpy(dtype=object)
    for name in sorted(set(names)):
        probe_rows = np.sort(rows[names == name])
        counts = bounds[probe_rows + 1] - bounds[probe_rows]
        offsets = np.cumsum(counts) - counts
        probe_units = pd.DataFrame(
            {"unit_id": file_ids[probe_rows], "spike_offset": offsets, "n_spikes": counts}
        )
        yield name, probe_units, _read_rows(_numbers(recording, path), bounds, probe_rows)


def _numbers(recording: RecordingFile, path: str) -> Any:
    """Return a column of numbers without reading it, unless it has at most one row and is not 1-D."""
    column = recording.dataset(path)
    is_column = column.ndim == 1 or length_of(column) in (0, 1)
    if not is_column or column.dtype.kind not in "iuf":
        raise recording.invalid(f"/{path} has shape {column.shape} and holds {column.dtype}.")
    return column if column.ndim == 1 else flat(column)


def adjacent_runs(rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Group ascending rows into runs without gaps.

    Parameters
    ----------
    rows : (n,), ascending.

    Returns
    -------
    list of (first, last)
        Both inclusive; empty for no rows.

    Examples
    --------
    >>> adjacent_runs(np.array([2, 3, 4, 8]))
    [(2, 4), (8, 8)]
    """
    if len(rows) == 0:
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts = rows[np.concatenate([[0], breaks + 1])]
    lasts = rows[np.concatenate([breaks, [len(rows) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def backward_steps(times: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find spike times that are earlier than the previous one of the same unit.

    Parameters
    ----------
    times : (n_spikes,), s; units one after the other.
    offsets : (n_units,), ascending; index of each unit's first spike.

    Returns
    -------
    (n_steps,) int64
        Index of the second spike of each such pair; pairs with NaN do not count.
    """
    back = times[1:] < times[:-1]
    starts = offsets[(offsets > 0) & (offsets < len(times))]
    back[starts - 1] = False
    return np.flatnonzero(back) + 1


def rows_of(unit_ids: NDArray[np.int64], file_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the file's row of each unit.

    Parameters
    ----------
    unit_ids : (n,), ids to look up.
    file_ids : (n_units,), unique ids of the file.

    Returns
    -------
    (n,) int64

    Raises
    ------
    ValueError
        A unit is not in the file.
    """
    row_of = dict(zip(file_ids.tolist(), range(len(file_ids)), strict=True))
    unknown = [unit_id for unit_id in unit_ids.tolist() if unit_id not in row_of]
    if unknown:
        raise ValueError(f"units must be of this file: {len(unknown)} are not, the first is {unknown[0]}.")
    return np.array([row_of[unit_id] for unit_id in unit_ids.tolist()], dtype=np.int64)


def _read_rows(dataset: Any, bounds: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Read the spikes of rows into one array, with one read per run of adjacent rows."""
    times = np.empty(int((bounds[rows + 1] - bounds[rows]).sum()), dtype=np.float64)
    filled = 0
    for first, last in adjacent_runs(rows):
        start, stop = int(bounds[first]), int(bounds[last + 1])
        if stop > start:
            _copy(dataset, times[filled : filled + stop - start], start)
        filled += stop - start
    return times


def _copy(column: Any, target: NDArray[np.float64], start: int) -> None:
    """Read part of a column into an array, without a temporary copy."""
    if isinstance(column, np.ndarray):
        target[:] = column[start : start + len(target)]
    else:
        column.read_direct(target, np.s_[start : start + len(target)])


def _require_valid(
    recording: RecordingFile, probe_name: str, units: pd.DataFrame, times: NDArray[np.float64]
) -> None:
    """Raise an error for invalid spike times, with all problems in one message."""
    offsets = units["spike_offset"].to_numpy()
    found = {
        "are not ascending": backward_steps(times, offsets),
        "are negative": np.flatnonzero(times < 0),
        "are not finite": np.flatnonzero(~np.isfinite(times)),
        "are more than a day after the session's start": np.flatnonzero(
            (times > LONGEST_SESSION_S) & (times < np.inf)
        ),
    }
    problems = [
        _problem(what, positions, units, times) for what, positions in found.items() if len(positions)
    ]
    if problems:
        raise recording.invalid(f"/{SPIKE_TIMES} of {probe_name} {'; '.join(problems)}.")


def _problem(what: str, positions: NDArray[np.int64], units: pd.DataFrame, times: NDArray[np.float64]) -> str:
    """Describe a problem: the number of units that have it, and its first occurrence."""
    offsets = units["spike_offset"].to_numpy()
    owners = np.searchsorted(offsets, positions, side="right") - 1
    first, position = int(owners[0]), int(positions[0])
    return (
        f"{what} in {len(np.unique(owners))} units, first in unit {units['unit_id'].iloc[first]} "
        f"at its spike {position - int(offsets[first])} ({times[position]} s)"
    )
