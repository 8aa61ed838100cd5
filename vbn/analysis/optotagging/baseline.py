"""Light-free time, cut into windows of equal length.

There are two kinds of baseline: bins drawn at random from the gaps between pulses (Bennett 2025), and, for
the latency test, the last windows before each pulse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vbn.analysis.spikes.trains import Floats, Integers
from vbn.analysis.spikes.windows import stops_of

CELLS_PER_WINDOW = 2


@dataclass(frozen=True)
class Windows:
    """Half-open windows of equal length that do not overlap: ``start_s`` is (n_windows,), ascending."""

    start_s: Floats
    length_s: float

    def occupied(self, spike_times: Floats) -> tuple[Integers, Floats, Integers]:
        """Find the windows with a spike.

        Returns
        -------
        index : (n,) of these windows, ascending.
        first_s : (n,) time of the first spike in each since the window's start.
        n_spikes : (n,) spikes in each.
        """
        if self.start_s.size == 0:
            return np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.int64)
        if self.start_s.size < spike_times.size:
            return self._searched(spike_times)
        # Only spikes that lie in the reach of the windows: the cells of the others are none of the table's.
        begin, end = spike_times.searchsorted([self.start_s[0], self.start_s[-1] + 2 * self.length_s])
        spikes = spike_times[begin:end]
        index = self._started.take(self._cells(spikes), mode="clip")
        more = np.flatnonzero(self._next.take(index) <= spikes)
        while more.size:
            index[more] += 1
            more = more[self._next[index[more]] <= spikes[more]]
        since = spikes - self.start_s.take(index)
        inside = np.flatnonzero(since < self.length_s)
        index = index.take(inside)
        # Spikes are sorted, so those of one window are adjacent.
        is_first = np.ones(index.size, dtype=np.bool_)
        np.not_equal(index[1:], index[:-1], out=is_first[1:])
        first = np.flatnonzero(is_first)
        return index.take(first), since.take(inside.take(first)), np.diff(first, append=index.size)

    def _searched(self, spike_times: Floats) -> tuple[Integers, Floats, Integers]:
        """Find them by a search for each window, where windows are fewer than spikes."""
        begin, end = spike_times.searchsorted([self.start_s, self._stops])
        index = np.flatnonzero(end > begin)
        begin = begin.take(index)
        return index, spike_times.take(begin) - self.start_s.take(index), end.take(index) - begin

    @cached_property
    def _stops(self) -> Floats:
        """Return the least number that is not in each window."""
        return np.minimum(stops_of(self.start_s, self.length_s), self._next)

    def _cells(self, times: Floats) -> Integers:
        """Return the cell of each time: ascending times have ascending cells, however they are rounded."""
        from_first = times - self.start_s[0]
        from_first *= CELLS_PER_WINDOW / self.length_s
        return np.asarray(from_first.astype(np.int64))

    @cached_property
    def _started(self) -> Integers:
        """Return, for each cell, the last window that has started before all times of the cell.

        Looked up for each spike, and counted on where a window starts in its cell: faster than to search.
        """
        in_cell = np.bincount(self._cells(self.start_s))
        return np.asarray(np.maximum(np.cumsum(in_cell) - in_cell - 1, 0))

    @cached_property
    def _next(self) -> Floats:
        """Return the start of the window after each; an end after which none starts."""
        return np.asarray(np.append(self.start_s[1:], np.inf))


@dataclass(frozen=True)
class DrawnBins:
    """Bins drawn with replacement: the windows, and (n_windows,) how often each was drawn."""

    windows: Windows
    multiplicity: Floats

    def histogram(self, spike_times: Floats) -> Floats:
        """Return how many of the drawn bins hold 0, 1, 2 ... spikes; empty if there are no bins."""
        if self.windows.start_s.size == 0:
            return np.empty(0)
        index, _, counts = self.windows.occupied(spike_times)
        drawn = self.multiplicity.take(index)
        histogram = np.bincount(counts, weights=drawn, minlength=1)
        histogram[0] = self.n_drawn - drawn.sum()
        return np.asarray(histogram, dtype=np.float64)

    @property
    def n_drawn(self) -> int:
        """Number of bins drawn."""
        return int(self.multiplicity.sum())


def gap_windows(start_s: Floats, stop_s: Floats, length_s: float, margin_s: float) -> Windows:
    """Cut the gaps between pulses into windows, as Bennett 2025 does.

    Parameters
    ----------
    start_s, stop_s : (n_pulses,) start and stop of the pulses, sorted by start.
    length_s : length of a window; windows lie end to end from the start of a gap.
    margin_s : a gap begins this long after a pulse and ends this long before the next.

    Notes
    -----
    Half the duration of the shortest gap is removed from the start of every gap. Pulses that overlap or
    nearly touch have no gap between them.
    """
    begin = np.maximum.accumulate(stop_s)[:-1] + margin_s
    end = start_s[1:] - margin_s
    is_gap = end > begin
    begin, end = begin[is_gap], end[is_gap]
    if begin.size:
        begin = begin + np.min(end - begin) / 2
    return Windows(_end_to_end(begin, end, length_s), length_s)


def _end_to_end(begin: Floats, end: Floats, length_s: float) -> Floats:
    """Return the starts of as many windows as fit between each begin and end."""
    n = np.maximum(np.ceil((end - begin) / length_s - 1e-9).astype(np.int64) - 1, 0)
    number = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.asarray(np.repeat(begin, n) + number * length_s)


def draw_bins(rng: np.random.Generator, windows: Windows, n_bins: int) -> DrawnBins:
    """Draw ``n_bins`` of the windows with replacement."""
    n_windows = windows.start_s.size
    if n_windows == 0:
        return DrawnBins(windows, np.empty(0))
    drawn = np.bincount(rng.integers(n_windows, size=n_bins), minlength=n_windows)
    return DrawnBins(windows, drawn.astype(np.float64))


def mean_and_deviation(histogram: Floats) -> tuple[float, float]:
    """Return the mean and population standard deviation of counts, given their histogram; NaN if empty."""
    n = histogram.sum()
    if n == 0:
        return np.nan, np.nan
    counts = np.arange(histogram.size)
    mean = float(histogram @ counts / n)
    return mean, float(np.sqrt(histogram @ (counts - mean) ** 2 / n))


def preceding_windows(
    start_s: Floats, stop_s: Floats, length_s: float, n_windows: int, *, margin_s: float, recovery_s: float
) -> tuple[Windows, Integers]:
    """Find the last light-free windows before each pulse.

    Parameters
    ----------
    start_s, stop_s : (n_pulses,) start and stop of all pulses, sorted by start.
    length_s : length of a window.
    n_windows : number of windows per pulse; where the time since the previous pulse is too short, windows
        from before that pulse are added, so that every pulse has the same number.
    margin_s, recovery_s : time before and after a pulse that does not count as light-free.

    Returns
    -------
    The windows, and (n_windows, n_pulses) the indices of those of each pulse, nearest first.
    """
    light_end = np.maximum.accumulate(stop_s) + recovery_s
    end = start_s - margin_s
    begin = np.concatenate([end[:1] - (n_windows + 0.5) * length_s, light_end[:-1]])
    # The extra half window and the 1e-9 keep the number of windows safe from rounding.
    n = np.maximum(np.floor((end - begin) / length_s + 1e-9).astype(np.int64), 0)
    number = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    starts = np.repeat(end - n * length_s, n) + number * length_s
    windows = Windows(starts, length_s)
    return windows, np.cumsum(n) - 1 - np.arange(n_windows)[:, np.newaxis]
