"""Spike counts of all units around all presentations, and the spike tensor of Bennett et al. 2025.

The *tensor* says for each unit, presentation and bin whether there was a spike: bin k of `TENSOR_BINS` goes
from k to k + 1 ms after the start of the presentation. As in the published code (``make_unit_tensor``), times
are compared as rounded differences ``spike - start``, two spikes in a bin are one, and a spike from
``start + 0.75`` s on is in no bin: presentations of images are 750.6 ms apart. The *gray before* a flash is
therefore the end of the row before, not the 80 ms before its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.edges import Edges
from vbn.analysis.spikes.trains import Booleans, Floats, checked_events, unit_trains
from vbn.analysis.spikes.window_counts import Bins, count_compiled
from vbn.analysis.spikes.windows import (
    BINS,
    SPIKES,
    CountedSpikes,
    Window,
    checked_window,
    stops_of,
    window_edges,
)

TENSOR_BIN_S = 0.001
TENSOR_BINS = 750
_TENSOR_S = 0.75
LONGEST_NAME = 32
_TOLERANCE = 1e-9
_BLOCK = 128


@dataclass(frozen=True)
class CountWindow:
    """One named window around presentations.

    Parameters
    ----------
    name : readable name.
    start_s, stop_s : seconds after the start of the presentation, half open.
    counted : ``spikes``, or ``bins``: bins of the tensor with a spike; the window is then made of whole bins.
    """

    name: str
    start_s: float
    stop_s: float
    counted: str = SPIKES

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= LONGEST_NAME:
            raise ValueError(f"A window's name has 1 to {LONGEST_NAME} characters, got {self.name!r}.")
        checked_window(self.window_s, f"window '{self.name}'")
        if self.counted not in (SPIKES, BINS):
            raise ValueError(f"counted must be 'spikes' or 'bins', got {self.counted!r}.")
        if self.counted == BINS:
            _ = self.bins

    @property
    def window_s(self) -> Window:
        """Start and stop in seconds."""
        return self.start_s, self.stop_s

    @property
    def bins(self) -> tuple[int, int]:
        """First bin of the tensor, and the first after the window."""
        first, last = (round(edge / TENSOR_BIN_S) for edge in self.window_s)
        off_s = max(abs(first * TENSOR_BIN_S - self.start_s), abs(last * TENSOR_BIN_S - self.stop_s))
        if off_s > _TOLERANCE or not 0 <= first < last <= TENSOR_BINS:
            raise ValueError(
                f"A window of bins consists of whole milliseconds from 0 to {_TENSOR_S} s, "
                f"got {self.start_s} to {self.stop_s} s in '{self.name}'."
            )
        return first, last


COUNT_WINDOWS: tuple[CountWindow, ...] = (
    # Siegle et al. 2021: the 250 ms before the flash, and those of the flash (AllenSDK's trial_duration)
    CountWindow("gray_250ms", -0.25, 0.0),
    CountWindow("flash_250ms", 0.0, 0.25),
    # Bennett et al. 2025: 80 ms before the flash, 20 to 100 ms after its start
    CountWindow("gray_80ms", -0.08, 0.0),
    CountWindow("early", 0.02, 0.1),
    CountWindow("late", 0.1, 0.25),
    # receptive fields (AllenSDK)
    CountWindow("gabor", 0.0, 0.249),
    # omissions: the first half of the gray before, and what follows the expected onset
    CountWindow("earlier_gray_250ms", -0.5, -0.25),
    CountWindow("omission", 0.05, 0.3),
    # the same in bins of the tensor, as published; the gray at the end of a row is that before the next flash
    CountWindow("early_bins", 0.02, 0.1, BINS),
    CountWindow("end_80ms_bins", 0.67, 0.75, BINS),
    CountWindow("end_50ms_bins", 0.7, 0.75, BINS),
)
"""The windows of the tables that count around presentations, and of the published tensor."""


def count_presentations(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    start_times: ArrayLike,
    windows: Sequence[CountWindow] = COUNT_WINDOWS,
) -> list[NDArray[np.unsignedinteger]]:
    """Count the spikes of every unit in several windows around each presentation, in one pass.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    start_times : (n_presentations,) seconds, in any order; windows may overlap.
    windows : what to count.

    Returns
    -------
    For each window (n_units, n_presentations), of the smallest unsigned type that holds its greatest count.
    Of spikes they are what `vbn.analysis.spikes.windows.count_in_windows` counts.

    Examples
    --------
    >>> windows = CountWindow("spikes", 0.0, 0.25), CountWindow("bins", 0.0, 0.25, "bins")
    >>> [counts.tolist() for counts in count_presentations([1.1, 1.1004, 1.2], [0], [3], [1.0], windows)]
    [[[3]], [[2]]]
    """
    starts = checked_events(start_times)
    edges_s = np.array([_edges(starts, window) for window in windows]).reshape(len(windows), 2, -1)
    bins = Bins(starts, np.array([window.counted == BINS for window in windows]), TENSOR_BIN_S, TENSOR_BINS)
    quick = count_compiled(spike_times, offsets, n_spikes, edges_s, bins)
    if quick is not None:
        return quick
    longest_s = float(np.max(edges_s[:, 1] - edges_s[:, 0], initial=0)) + _TOLERANCE
    edges = Edges(edges_s.reshape(2 * len(windows), starts.size), merged_s=_TOLERANCE)
    repeats = _Repeats(starts, windows)
    shape = (np.size(offsets), starts.size)
    counts: list[NDArray[np.unsignedinteger]] = [np.zeros(shape, dtype=np.uint8) for _ in windows]
    for unit, train in enumerate(unit_trains(spike_times, offsets, n_spikes)):
        before = edges.spikes_before(train, np.uint8 if _all_fit(train, longest_s) else np.int32)
        found = [stop - start for start, stop in zip(before[::2], before[1::2], strict=True)]
        repeats.take_off(found, train)
        for number, row in enumerate(found):
            counts[number] = _wide_enough(counts[number], row)
            counts[number][unit] = row
    return counts


def _all_fit(train: Floats, longest_s: float) -> bool:
    """Return whether no window of this length can hold more spikes than a byte can count.

    Any 256 spikes in a row contain one of the blocks of 128: these must all be longer than a window.
    """
    last = train[_BLOCK - 1 :: _BLOCK]
    return bool(np.all(last - train[: last.size * _BLOCK : _BLOCK] > longest_s))


def _wide_enough(counts: NDArray[Any], row: NDArray[Any]) -> NDArray[Any]:
    """Return the counts, of a wider type if the row does not fit into theirs."""
    if row.itemsize <= counts.itemsize:
        return counts
    return counts.astype(np.promote_types(counts.dtype, np.min_scalar_type(row.max(initial=0))))


def known_counts(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    start_times: ArrayLike,
    windows: Sequence[CountWindow],
) -> list[NDArray[np.unsignedinteger]]:
    """Return what `count_presentations` does, looked up where all of it is known (`CountedSpikes`)."""
    if isinstance(spike_times, CountedSpikes):
        starts = checked_events(start_times)
        known = [
            spike_times.known(offsets, n_spikes, starts, window.window_s, window.counted)
            for window in windows
        ]
        if all(counts is not None for counts in known):
            return [counts for counts in known if counts is not None]
    return count_presentations(spike_times, offsets, n_spikes, start_times, windows)


def millisecond_spikes(
    spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, start_times: ArrayLike
) -> Booleans:
    """Say in which milliseconds after each start there was a spike (Bennett et al. 2025).

    Parameters
    ----------
    spike_times, offsets, n_spikes, start_times : as for `count_presentations`.

    Returns
    -------
    (n_units, n_presentations, `TENSOR_BINS`); 750 bytes for each unit and presentation.

    Examples
    --------
    >>> np.argwhere(millisecond_spikes([1.0004, 1.0021, 1.75], [0], [3], [1.0])).tolist()
    [[0, 0, 0], [0, 0, 2]]
    """
    starts = checked_events(start_times)
    edges = Edges(_edges(starts, CountWindow("tensor", 0.0, _TENSOR_S, BINS)))
    tensor = np.zeros((np.size(offsets), starts.size, TENSOR_BINS), dtype=np.bool_)
    trains = unit_trains(spike_times, offsets, n_spikes)
    for rows, train in zip(tensor, trains, strict=True):
        rows[_cells(train, starts, edges)] = True
    return tensor


def presentations_with_spikes(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    start_times: ArrayLike,
    window: CountWindow,
) -> NDArray[np.int64]:
    """Count in each bin of the tensor after how many of the starts there was a spike.

    Parameters
    ----------
    spike_times, offsets, n_spikes, start_times : as for `count_presentations`.
    window : of bins.

    Returns
    -------
    (n_units, n_bins): the sum of `millisecond_spikes` over presentations, in the window.

    Examples
    --------
    >>> window = CountWindow("three", 0.0, 0.003, "bins")
    >>> presentations_with_spikes([1.0004, 1.0008, 1.0021, 2.0001], [0], [4], [1.0, 2.0], window).tolist()
    [[2, 0, 1]]
    """
    starts = checked_events(start_times)
    edges, (first, last) = Edges(_edges(starts, window)), window.bins
    counts = np.zeros((np.size(offsets), TENSOR_BINS), dtype=np.int64)
    trains = unit_trains(spike_times, offsets, n_spikes)
    for of_unit, train in zip(counts, trains, strict=True):
        row, bins = _cells(train, starts, edges)
        # Ascending within a presentation, and presentations one after the other.
        is_again = (bins[1:] == bins[:-1]) & (row[1:] == row[:-1])
        of_unit += np.bincount(bins, minlength=TENSOR_BINS)
        of_unit -= np.bincount(bins[1:][is_again], minlength=TENSOR_BINS)
    return counts[:, first:last]


def _cells(train: Floats, starts: Floats, edges: Edges) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the presentation and the bin of each spike between two edges per presentation."""
    first, last = edges.spikes_before(train)
    per_row = last - first
    row = np.repeat(np.arange(starts.size), per_row)
    spike = np.arange(row.size) + np.repeat(first - (np.cumsum(per_row) - per_row), per_row)
    return row, _bin(train[spike] - starts[row])


def _bin(relative_s: Floats) -> NDArray[np.int64]:
    """Return the bin of each time from 0 on, by comparison with ``k * TENSOR_BIN_S``."""
    edges_s = np.arange(1, TENSOR_BINS) * TENSOR_BIN_S
    return np.asarray(edges_s.searchsorted(relative_s, side="right"), dtype=np.int64)


def _edges(starts: Floats, window: CountWindow) -> Floats:
    """Return (2, n_presentations) the times from which on, and before which, spikes are in the window."""
    if window.counted == SPIKES:
        return window_edges(starts, window.window_s)
    return np.stack(
        [starts + _TENSOR_S if k == TENSOR_BINS else stops_of(starts, k * TENSOR_BIN_S) for k in window.bins]
    )


class _Repeats:
    """Spikes that follow another one in the same bin of the tensor, which windows of bins do not count."""

    def __init__(self, starts: Floats, windows: Sequence[CountWindow]) -> None:
        self._bins = {number: each.bins for number, each in enumerate(windows) if each.counted == BINS}
        self._order = np.argsort(starts, kind="stable")
        self._starts = starts[self._order]
        self._stops = self._starts + _TENSOR_S

    def take_off(self, counts: Sequence[NDArray[Any]], train: Floats) -> None:
        """Take them off a unit's (n_presentations,) counts of spikes in each window."""
        if not self._bins:
            return
        row, bins = self._found(train)
        for number, (first, last) in self._bins.items():
            np.subtract.at(counts[number], row[(first <= bins) & (bins < last)], 1)

    def _found(self, train: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the presentation and the bin of each such spike."""
        close = np.flatnonzero(np.diff(train) < TENSOR_BIN_S + _TOLERANCE)
        one, other = train[close], train[close + 1]
        # The rows that both are in: those that have begun by the first, and not ended by the second.
        begun = self._starts.searchsorted(one, side="right")
        ended = np.minimum(self._stops.searchsorted(other, side="right"), begun)
        n = begun - ended
        pair = np.repeat(np.arange(close.size), n)
        row = np.arange(pair.size) + np.repeat(ended - (np.cumsum(n) - n), n)
        bins = _bin(one[pair] - self._starts[row])
        same = bins == _bin(other[pair] - self._starts[row])
        return self._order[row[same]], bins[same]
