"""Spike counts, first spikes and trace means in a window around each event.

A *window* is (start, stop) in seconds relative to an event, half open: a spike at its start counts, one at
its stop does not. Edges are treated as in `vbn.analysis.spikes.psth.count_spikes`: relative time is ``spike -
(event + start)`` and is compared with ``stop - start``, so a window counts exactly the spikes of the
corresponding single bin of a `vbn.analysis.spikes.psth.TimeAxis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.edges import Edges
from vbn.analysis.spikes.trains import Floats, Integers, SpikePieces, checked_events, unit_trains
from vbn.analysis.spikes.window_counts import count_compiled

Window = tuple[float, float]
SPIKES, BINS = "spikes", "bins"


class CountedSpikes(SpikePieces):
    """Spike times whose counts around some events are known, so that `count_in_windows` need not count.

    Parameters
    ----------
    spike_times : of all units.
    offsets, n_spikes : (n_units,) of the units that were counted.
    event_times : (n_events,) seconds, in any order.
    counts : (start, stop) in seconds and what is counted, `SPIKES` or `BINS`
        (`vbn.analysis.spikes.presentation_counts`) -> function that returns the counts, (n_units, n_events)
        of any integer type.
    """

    def __init__(
        self,
        spike_times: SpikePieces,
        offsets: ArrayLike,
        n_spikes: ArrayLike,
        event_times: ArrayLike,
        counts: Mapping[tuple[float, float, str], Callable[[], ArrayLike]],
    ) -> None:
        super().__init__(spike_times.pieces)
        self._units = np.array([offsets, n_spikes], dtype=np.int64)
        events = checked_events(event_times)
        self._column = np.argsort(events, kind="stable")
        self._events = events[self._column]
        self._counts = counts

    def known(
        self,
        offsets: ArrayLike,
        n_spikes: ArrayLike,
        event_times: Floats,
        window: Window,
        counted: str = SPIKES,
    ) -> NDArray[Any] | None:
        """Return the counts around events, as stored; None unless all are known, of just these units."""
        read = self._counts.get((*window, counted))
        if read is None or not np.array_equal(self._units, np.array([offsets, n_spikes])):
            return None
        place = np.searchsorted(self._events, event_times)
        if not np.array_equal(self._events.take(place[place < self._events.size]), event_times):
            return None
        return np.asarray(read()).take(self._column[place], axis=1)


def checked_window(window: Sequence[float], name: str = "window") -> Window:
    """Return a window as two floats.

    Parameters
    ----------
    window : start and stop in seconds.
    name : name of the argument, for error messages.

    Raises
    ------
    ValueError
        Unless it has two finite numbers, the first less than the second.
    """
    edges = tuple(float(edge) for edge in window)
    if len(edges) != 2 or not np.all(np.isfinite(edges)) or not edges[0] < edges[1]:
        raise ValueError(f"{name} must be (start, stop) in seconds with start < stop, got {window!r}.")
    return edges[0], edges[1]


def check_windows(parameters: Any, *names: str) -> None:
    """Check the named windows of a frozen dataclass; lists, as read from JSON, become tuples."""
    for name in names:
        object.__setattr__(parameters, name, checked_window(getattr(parameters, name), name))


def check_equal_lengths(parameters: Any, *names: str) -> None:
    """Raise ``ValueError`` for windows of unequal length, whose counts a paired rank test cannot compare.

    Spike counts of a random train are skewed, the more so the shorter the window. Differences of rates from
    unequal windows are therefore not symmetric about 0, as the signed-rank test assumes.
    """
    lengths = [window_length_s(getattr(parameters, name)) for name in names]
    if max(lengths) - min(lengths) > 1e-9:
        raise ValueError(f"{', '.join(names)} must be equally long, got {lengths} s.")


def window_length_s(window: Window) -> float:
    """Return the length of a window in seconds."""
    return window[1] - window[0]


def count_in_windows(
    spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, event_times: ArrayLike, window: Window
) -> NDArray[np.int32]:
    """Count the spikes of every unit in a window around each event.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    event_times : (n_events,) seconds, in any order; windows may overlap.
    window : start and stop in seconds relative to an event, half open.

    Returns
    -------
    (n_units, n_events) int32

    Examples
    --------
    >>> count_in_windows([0.9, 1.0, 1.05, 1.1], [0], [4], [1.0, 5.0], (0.0, 0.1)).tolist()
    [[2, 0]]
    """
    window = checked_window(window)
    events = checked_events(event_times)
    if isinstance(spike_times, CountedSpikes):
        known = spike_times.known(offsets, n_spikes, events, window)
        if known is not None:
            return known.astype(np.int32)
    edges_s = window_edges(events, window)
    quick = count_compiled(spike_times, offsets, n_spikes, edges_s[np.newaxis])
    if quick is not None:
        return quick[0].astype(np.int32)
    edges = Edges(edges_s)
    counts = np.zeros((np.size(offsets), events.size), dtype=np.int32)
    trains = unit_trains(spike_times, offsets, n_spikes)
    for row, train in zip(counts, trains, strict=True):
        start, stop = edges.spikes_before(train)
        np.subtract(stop, start, out=row)
    return counts


def window_edges(events: Floats, window: Window) -> Floats:
    """Return (2, n_events) the times from which on, and before which, spikes are in each window."""
    starts = events + window[0]
    return np.stack([starts, stops_of(starts, window_length_s(window))])


def first_spikes_in_windows(
    spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, event_times: ArrayLike, window: Window
) -> Floats:
    """Return the latency of every unit's first spike in a window around each event.

    Parameters
    ----------
    spike_times, offsets, n_spikes, event_times, window : as for `count_in_windows`.

    Returns
    -------
    (n_units, n_events) seconds after the event (not after the window's start); NaN without a spike.
    """
    starts, order = _sorted_starts(event_times, window)
    stops = stops_of(starts, window_length_s(window))
    trains = unit_trains(spike_times, offsets, n_spikes)
    latency_s = np.full((np.size(offsets), starts.size), np.nan)
    for row, train in enumerate(trains):
        if train.size:
            first = train.searchsorted(starts)
            has_spike = train.searchsorted(stops) > first
            latency_s[row, order[has_spike]] = train[first[has_spike]] - (starts[has_spike] - window[0])
    return latency_s


def _sorted_starts(event_times: ArrayLike, window: Window) -> tuple[Floats, Integers]:
    """Return the window starts, sorted because searching for ascending keys is faster, and their events."""
    start, _ = checked_window(window)
    events = checked_events(event_times)
    order = np.argsort(events, kind="stable")
    return np.asarray(events[order] + start), order


def stops_of(starts: Floats, length: float) -> Floats:
    """Return (n_events,) the least number x of each window for which ``x - start < length`` is false.

    The rounded sum ``start + length`` may be off by a last digit or two, which matters where spikes and edges
    lie on the same grid of decimal fractions. Rounding is monotonic, so the edge is found by bisection
    between two safe bounds.
    """
    near = starts + length
    margin = 4 * np.spacing(np.maximum(np.maximum(np.abs(starts), np.abs(near)), length))
    inside, outside = near - margin, near + margin
    while True:
        middle = inside + (outside - inside) / 2
        unsettled = (middle > inside) & (middle < outside)
        if not unsettled.any():
            return np.asarray(outside)
        is_inside = middle - starts < length
        inside = np.where(unsettled & is_inside, middle, inside)
        outside = np.where(unsettled & ~is_inside, middle, outside)


def mean_in_windows(times: ArrayLike, values: ArrayLike, event_times: ArrayLike, window: Window) -> Floats:
    """Average a sampled trace in a window around each event.

    Parameters
    ----------
    times : (n_samples,) seconds, ascending.
    values : (n_samples,) the trace; non-finite samples are ignored.
    event_times : (n_events,) seconds, in any order.
    window : start and stop in seconds relative to an event, half open.

    Returns
    -------
    (n_events,) means in the unit of the values; NaN where no sample lies in the window.
    """
    time, value = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if time.ndim != 1 or time.shape != value.shape:
        raise ValueError(f"A trace needs times and values of one length, got {time.shape} and {value.shape}.")
    start, stop = checked_window(window)
    events = checked_events(event_times)
    known = np.isfinite(time) & np.isfinite(value)
    first, last = (np.searchsorted(time[known], events + edge) for edge in (start, stop))
    total = np.concatenate(([0.0], np.cumsum(value[known])))
    n = last - first
    return np.asarray((total[last] - total[first]) / np.where(n > 0, n, np.nan))


def check_max_q_value(parameters: Any) -> None:
    """Raise ``ValueError`` unless ``max_q_value`` lies between 0 and 1."""
    if not 0 < parameters.max_q_value < 1:
        raise ValueError(f"max_q_value must lie between 0 and 1, got {parameters.max_q_value}.")
