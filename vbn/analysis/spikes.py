"""The spike trains of many units in one array.

All functions of this package that take spikes take the same three arrays: ``spike_times``, the spikes
of one unit after the other; ``offsets``, where each unit begins in it; and ``n_spikes``, how many it has.
Within a unit the times ascend. ``spike_times`` may be a memory map: nothing here copies it as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def unit_trains(spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike) -> Iterator[Floats]:
    """Yield each unit's spike times, as a view wherever the input allows it.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.

    Yields
    ------
    (n_spikes[unit],) seconds.

    Raises
    ------
    ValueError
        When the arrays do not describe parts of ``spike_times``.
    """
    # A plain array over the same memory: slicing a np.memmap object costs ten times as much.
    times = np.asarray(spike_times, dtype=np.float64)
    first, last = _checked_bounds(times, offsets, n_spikes)
    return (times[start:stop] for start, stop in zip(first.tolist(), last.tolist(), strict=True))


def _checked_bounds(times: Floats, offsets: ArrayLike, n_spikes: ArrayLike) -> tuple[Integers, Integers]:
    first = np.asarray(offsets, dtype=np.int64)
    counts = np.asarray(n_spikes, dtype=np.int64)
    if times.ndim != 1 or first.ndim != 1 or first.shape != counts.shape:
        raise ValueError(
            "spike_times must be (n_all_spikes,), offsets and n_spikes both (n_units,): "
            f"got {times.shape}, {first.shape} and {counts.shape}."
        )
    last = first + counts
    outside = np.flatnonzero((first < 0) | (counts < 0) | (last > times.size))
    if outside.size:
        raise ValueError(
            f"offsets and n_spikes must lie inside the {times.size} spike times: "
            f"{outside.size} units do not, the first at row {outside[0]}."
        )
    return first, last


def checked_events(event_times: ArrayLike, name: str = "event_times") -> Floats:
    """Give event times as float64, in the order they came.

    Parameters
    ----------
    event_times : (n_events,) seconds, in any order.
    name : what to call them in an error.

    Returns
    -------
    (n_events,) seconds.

    Raises
    ------
    ValueError
        For NaN or infinite times, and for anything but one dimension.
    """
    events = np.asarray(event_times, dtype=np.float64)
    if events.ndim != 1:
        raise ValueError(f"{name} must be of shape (n_events,), got {events.shape}.")
    n_bad = int(np.count_nonzero(~np.isfinite(events)))
    if n_bad:
        raise ValueError(f"{name} must be finite, in seconds: {n_bad} of {events.size} are not.")
    return events
