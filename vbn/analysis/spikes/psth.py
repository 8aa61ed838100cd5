"""Peri-stimulus time histograms: spikes counted in time bins around events.

A *bin* is half open: it includes its left edge, but not its right edge. *Relative time* is a spike's time
minus the start of the event's window, ``spike - (event + start_s)``; it is compared with edges ``k * bin_s``,
never with cumulated bin widths, which drift. This is the binning of the AllenSDK tutorials' ``makePSTH``
(``numpy.histogram`` of the same differences), except that ``numpy.histogram`` also counts a spike exactly on
the last edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vbn.analysis.spikes.compiled import loops
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, as_pieces, checked_events, unit_trains

TOLERANCE = 1e-9  # bins or seconds: rounding error of a sum of decimal fractions
BASELINE_WINDOW_S = (-0.25, 0.0)  # gray, after the first 250 ms without the flash before
RESPONSE_WINDOW_S = (0.0, 0.25)  # one flash
BLOCK_SIZE = 32_768  # spikes per batch: few enough for a core's cache, enough to amortise the calls
DENSE = 128  # spikes per window edge, above which windows are sparse

Block = list[tuple[Floats, Integers]]  # each unit's spikes, and (n_events, 2) indices of its windows' bounds


@dataclass(frozen=True)
class TimeAxis:
    """Time bins around an event.

    Parameters
    ----------
    start_s, stop_s : first and last edge, in seconds relative to the event.
    bin_s : bin width in seconds.

    Raises
    ------
    ValueError
        If the window is not a positive, whole number of bins.

    Examples
    --------
    >>> axis = TimeAxis(start_s=-0.2, stop_s=0.1, bin_s=0.1)
    >>> axis.n_bins
    3
    >>> axis.centers_s.round(3).tolist()
    [-0.15, -0.05, 0.05]
    """

    start_s: float
    stop_s: float
    bin_s: float

    def __post_init__(self) -> None:
        if not np.all(np.isfinite([self.start_s, self.stop_s, self.bin_s])):
            raise ValueError(f"A time axis needs finite numbers, got {self}.")
        if self.bin_s <= 0 or self.stop_s <= self.start_s:
            raise ValueError(f"A time axis needs bin_s > 0 and stop_s > start_s, got {self}.")
        n_bins = (self.stop_s - self.start_s) / self.bin_s
        if round(n_bins) < 1 or abs(n_bins - round(n_bins)) > TOLERANCE * max(1.0, n_bins):
            raise ValueError(f"The window must be a whole number of bins, got {n_bins:g} in {self}.")

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return round((self.stop_s - self.start_s) / self.bin_s)

    @property
    def edges_s(self) -> Floats:
        """Bin edges: (n_bins + 1,) seconds relative to the event."""
        return np.asarray(self.start_s + np.arange(self.n_bins + 1) * self.bin_s, dtype=np.float64)

    @property
    def centers_s(self) -> Floats:
        """Bin centres: (n_bins,) seconds relative to the event."""
        return np.asarray(self.start_s + (np.arange(self.n_bins) + 0.5) * self.bin_s, dtype=np.float64)

    def bins_within(self, start_s: float, stop_s: float) -> Booleans:
        """Return (n_bins,) True for bins wholly within start_s..stop_s (seconds, relative to the event)."""
        edges_s = self.edges_s
        return (edges_s[:-1] >= start_s - TOLERANCE) & (edges_s[1:] <= stop_s + TOLERANCE)


@dataclass(frozen=True)
class Counts:
    """Spikes per bin, summed over events.

    Attributes
    ----------
    total : (n_units, n_bins) sum over events of the spike counts.
    sum_of_squares : (n_units, n_bins) sum over events of the squared spike counts.
    n_events : number of events.
    """

    total: Integers
    sum_of_squares: Integers
    n_events: int

    def __add__(self, other: Counts) -> Counts:
        """Pool two sets of events, for the same units and axis."""
        return Counts(
            self.total + other.total,
            self.sum_of_squares + other.sum_of_squares,
            self.n_events + other.n_events,
        )


def count_spikes(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    event_times: ArrayLike,
    axis: TimeAxis,
    n_threads: int = 1,
) -> Counts:
    """Count the spikes of every unit in the bins around events.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit; may be a memory
        map: it is not copied, and little is read outside the windows.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    event_times : (n_events,) seconds, in any order; windows may overlap, and a spike in two counts in both.
    axis : the bins.
    n_threads : number of threads that count; more than one only with the extra ``fast``
        (`vbn.analysis.spikes.compiled`). Jobs use one, since workers are processes.

    Returns
    -------
    Counts
        Zero for units without spikes and if there are no events.

    Raises
    ------
    ValueError
        If event times are not finite, or offsets lie outside ``spike_times``.

    Examples
    --------
    >>> counts = count_spikes([0.95, 1.01, 1.05], [0], [3], [1.0], TimeAxis(-0.1, 0.1, 0.1))
    >>> counts.total.tolist()
    [[1, 2]]
    """
    # With ascending windows, searches and reads go in one direction.
    starts = np.sort(checked_events(event_times)) + axis.start_s
    # The search compares a rounded sum, so it ends a little late; the binning is exact.
    windows = np.stack([starts, starts + axis.n_bins * axis.bin_s + TOLERANCE], axis=1)
    trains = unit_trains(spike_times, offsets, n_spikes)
    total = np.zeros((np.size(offsets), axis.n_bins), dtype=np.int64)
    counts = Counts(total, np.zeros_like(total), starts.size)
    if starts.size and not _count_compiled(spike_times, offsets, n_spikes, windows, axis, counts, n_threads):
        row = 0
        for block in _blocks(trains, windows):
            rows = slice(row, row := row + len(block))
            counts.total[rows], counts.sum_of_squares[rows] = _count_block(block, starts, axis)
    return counts


def _count_compiled(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    windows: Floats,
    axis: TimeAxis,
    counts: Counts,
    n_threads: int,
) -> bool:
    """Add to the counts by a compiled kernel; return whether there is one for such spikes."""
    pieces = as_pieces(spike_times)
    count = loops(int(np.asarray(n_spikes, dtype=np.int64).sum())).get("count_around")
    if count is None or not pieces.are_plain:
        return False
    starts, stops = np.ascontiguousarray(windows.T)
    for piece, rows, first, last in pieces.units_by_piece(offsets, n_spikes):
        # Threads count different units, and so write to different rows; the kernel lets others run.
        shares = np.searchsorted(
            np.cumsum(last - first), np.arange(1, n_threads) * (last - first).sum() / n_threads
        )
        parts = [
            (piece, *units, starts, stops, axis.bin_s, counts.total, counts.sum_of_squares)
            for units in zip(*(np.split(each, shares) for each in (rows, first, last)), strict=True)
        ]
        if n_threads == 1:
            count(*parts[0])
        else:
            with ThreadPoolExecutor(n_threads) as threads:
                list(threads.map(lambda part: count(*part), parts))
    return True


def _blocks(trains: Iterable[Floats], windows: Floats) -> Iterator[Block]:
    """Find the spikes in the windows, and yield batches of units with enough spikes to count at once."""
    block: Block = []
    size = 0
    for train in trains:
        bounds = _find_windows(train, windows)
        block.append((train, bounds))
        size += len(bounds) + int((bounds[:, 1] - bounds[:, 0]).sum())
        if size >= BLOCK_SIZE:
            yield block
            block, size = [], 0
    if block:
        yield block


def _find_windows(train: Floats, windows: Floats) -> Integers:
    """Return, for ascending windows, (n_windows, 2) the indices of the first spike in and after each."""
    first, last = train.searchsorted([windows[0, 0], windows[-1, 1]])
    part = train[first:last]
    # Where windows are dense, reading one number of each cache line in order avoids cache misses.
    if part.size < DENSE * windows.size:
        part[::8].max(initial=0.0)
    bounds: Integers = part.searchsorted(windows) + first
    return bounds


def _count_block(block: Block, starts: Floats, axis: TimeAxis) -> tuple[Integers, Integers]:
    """Return total and sum of squares, (n_units, n_bins) each, for a batch of units."""
    n_units, n_cells = len(block), axis.n_bins + 1  # one more for spikes past the last edge
    first, last = np.stack([bounds for _, bounds in block]).reshape(-1, 2).T  # by unit, then by event
    per_window = last - first
    begin = np.cumsum(per_window) - per_window  # of each window, within the spikes of the block
    of_unit = np.append(begin[:: starts.size], per_window.sum()).tolist()
    spike = np.repeat(first - begin, per_window)
    spike += np.arange(spike.size)
    relative_s = np.empty(spike.size)
    for (train, _), start, stop in zip(block, of_unit, of_unit[1:], strict=False):
        train.take(spike[start:stop], out=relative_s[start:stop], mode="clip")  # "raise" would copy
    relative_s -= np.repeat(np.tile(starts, n_units), per_window)
    cell = _bin_of(relative_s, axis)
    for unit in range(1, n_units):
        cell[of_unit[unit] : of_unit[unit + 1]] += unit * n_cells
    total = np.bincount(cell, minlength=n_units * n_cells)
    squares = total + _beyond_total(cell, begin, total.size)
    return total.reshape(n_units, -1)[:, :-1], squares.reshape(n_units, -1)[:, :-1]


def _bin_of(relative_s: Floats, axis: TimeAxis) -> Integers:
    """Return the bin of each relative time >= 0, by comparison with ``k * bin_s``; n_bins past the end."""
    quotient = relative_s / axis.bin_s
    np.minimum(quotient, axis.n_bins, out=quotient)
    whole = np.floor(quotient)
    spike_bin = whole.astype(np.int64)
    # Rounding errors of the quotient can put it on the wrong side of an edge only very near that edge.
    quotient -= whole
    quotient -= 0.5
    np.abs(quotient, out=quotient)
    near = np.flatnonzero(quotient > 0.5 - (axis.n_bins + 2) * 4 * np.finfo(np.float64).eps)
    spike_bin[near] = _bin_by_edges(relative_s[near], axis)
    return spike_bin


def _bin_by_edges(relative_s: Floats, axis: TimeAxis) -> Integers:
    guess = (relative_s / axis.bin_s).astype(np.int64)  # off by at most one, due to rounding
    guess -= relative_s < guess * axis.bin_s
    guess += relative_s >= (guess + 1) * axis.bin_s
    return np.minimum(guess, axis.n_bins)


def _beyond_total(cell: Integers, begin: Integers, n_cells: int) -> Integers:
    """Return the sum over windows of ``count**2 - count`` in each cell, for spikes sorted by window and cell.

    Most spikes are alone in their window's cell and add nothing: only runs of several are evaluated.
    """
    is_repeat = np.zeros(cell.size + 1, dtype=np.bool_)  # in the cell of the spike before it
    np.equal(cell[1:], cell[:-1], out=is_repeat[1 : cell.size])
    is_repeat[begin] = False
    repeat = np.flatnonzero(is_repeat)
    first = np.flatnonzero(np.diff(repeat, prepend=-2) != 1)
    count = np.diff(first, append=repeat.size) + 1
    weights = count**2 - count
    return np.bincount(cell[repeat[first]], weights=weights, minlength=n_cells).astype(np.int64)


@dataclass(frozen=True)
class Psth:
    """Mean firing rates around events, with summary values for filtering units.

    Attributes
    ----------
    rate_hz : (n_units, n_bins) mean over events; NaN without events.
    sem_hz : (n_units, n_bins) standard error over events (ddof 1); NaN for fewer than two events.
    n_events : number of events.
    baseline_hz : (n_units,) mean rate of the bins wholly in the baseline window; NaN if there are none.
    response_hz : (n_units,) mean rate of the bins wholly in the response window; NaN if there are none.
    peak_hz : (n_units,) highest rate of a bin in the response window.
    peak_latency_s : (n_units,) centre of the first bin with that rate; NaN where the unit is silent there. It
        does not imply a response: noise has a peak, too.
    """

    rate_hz: Floats
    sem_hz: Floats
    n_events: int
    baseline_hz: Floats
    response_hz: Floats
    peak_hz: Floats
    peak_latency_s: Floats


def psth(
    counts: Counts,
    axis: TimeAxis,
    response_window_s: tuple[float, float] = RESPONSE_WINDOW_S,
    baseline_window_s: tuple[float, float] = BASELINE_WINDOW_S,
) -> Psth:
    """Turn spike counts into firing rates.

    Parameters
    ----------
    counts : from `count_spikes` with the same axis.
    axis : the bins.
    response_window_s, baseline_window_s : start and stop of the windows, in seconds after the event.

    Returns
    -------
    Psth
        All NaN if there are no events.
    """
    if counts.total.shape[1] != axis.n_bins:
        raise ValueError(f"The counts have {counts.total.shape[1]} bins, the axis {axis.n_bins}.")
    rate_hz = _mean_rate(counts, axis.bin_s)
    in_response = axis.bins_within(*response_window_s)
    peak_hz, peak_latency_s = _peak(rate_hz[:, in_response], axis.centers_s[in_response])
    return Psth(
        rate_hz=rate_hz,
        sem_hz=_standard_error(counts, axis.bin_s),
        n_events=counts.n_events,
        baseline_hz=_mean_over_bins(rate_hz, axis.bins_within(*baseline_window_s)),
        response_hz=_mean_over_bins(rate_hz, in_response),
        peak_hz=peak_hz,
        peak_latency_s=peak_latency_s,
    )


def _mean_rate(counts: Counts, bin_s: float) -> Floats:
    if counts.n_events == 0:
        return np.full(counts.total.shape, np.nan)
    return counts.total / counts.n_events / bin_s


def _standard_error(counts: Counts, bin_s: float) -> Floats:
    n = counts.n_events
    if n < 2:
        return np.full(counts.total.shape, np.nan)
    # n * sum(x^2) - (sum x)^2 in integers: exact, so never negative.
    variance = (n * counts.sum_of_squares - counts.total**2) / (n * (n - 1))
    return np.asarray(np.sqrt(variance / n) / bin_s)


def _mean_over_bins(rate_hz: Floats, bins: Booleans) -> Floats:
    if not bins.any():
        return np.full(rate_hz.shape[0], np.nan)
    return np.asarray(rate_hz[:, bins].mean(axis=1))


def _peak(rate_hz: Floats, centers_s: Floats) -> tuple[Floats, Floats]:
    if centers_s.size == 0:
        missing = np.full(rate_hz.shape[0], np.nan)
        return missing, missing.copy()
    peak_hz = rate_hz.max(axis=1)
    return peak_hz, np.where(peak_hz > 0, centers_s[rate_hz.argmax(axis=1)], np.nan)
