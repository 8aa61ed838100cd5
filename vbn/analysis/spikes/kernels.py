"""Loops over spikes for numba (`vbn.analysis.spikes.compiled`); where that is missing nothing uses them.

They compare the same rounded numbers as the NumPy paths and add whole numbers only, so they find the same. No
index leaves its array whatever the numbers are, spikes that are not ascending or not numbers included: what
comes from a spike is compared with the bounds before it is used. What the caller answers for is said at each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vbn.analysis.spikes.trains import Floats, Integers

Int32s = NDArray[np.int32]

_TIMES, _INDICES = "Array(float64, 1, 'C', readonly=True)", "Array(int64, 1, 'C', readonly=True)"
_PLACES = "Array(int32, 1, 'C', readonly=True)"

_LOOK_UP = f"{_TIMES}, {_TIMES}, {_PLACES}, float64"
_SPIKES = f"{_TIMES}, {_INDICES}, {_INDICES}, {_INDICES}"

SIGNATURES = {
    "count_around": f"float64({_SPIKES}, {_TIMES}, {_TIMES}, float64, int64[:, ::1], int64[:, ::1])",
    "place_spikes": f"boolean({_LOOK_UP}, int32[::1])",
    "search_edges": f"boolean({_TIMES}, {_TIMES}, int32[::1])",
    "count_repeats": (f"void({_LOOK_UP}, {_PLACES}, {_PLACES}, {_TIMES}, float64, int64, int32[:, ::1])"),
    "take_differences": (
        f"void({_PLACES}, Array(int32, 3, 'C', readonly=True), Array(int32, 2, 'C', readonly=True), int64, "
        "uint8[:, :, ::1], int64, int32[::1])"
    ),
}
"""numba's types of each kernel: without them it would compile once for each kind of array that it meets.

Arrays that may be written to are taken for ones that may only be read.
"""


def count_around(
    times: Floats,
    rows: Integers,
    first: Integers,
    last: Integers,
    starts: Floats,
    stops: Floats,
    bin_s: float,
    total: Integers,
    squares: Integers,
) -> float:
    """Add the spikes of units in the bins of windows, and the squares of the numbers in each window.

    Parameters
    ----------
    times : (n,) seconds.
    rows : (n_units,) of ``total``.
    first, last : (n_units,) of each unit's spikes, within 0 and n.
    starts, stops : (n_windows,) seconds, ascending; only spikes before the stop are looked at.
    bin_s : above 0.
    total, squares : (n_rows, n_bins), added to.

    Returns
    -------
    A number without meaning, by which the compiler cannot leave out the reading ahead.
    """
    n_bins, per_s, seen = total.shape[1], 1.0 / bin_s, 0.0
    for unit in range(first.size):
        row, here, end = rows[unit], first[unit], last[unit]
        # Read in order what the windows span: the searches then find it in the cache.
        reach = here
        while reach < end and times[reach] < stops[stops.size - 1]:
            seen += times[reach]
            reach += 8
        for window in range(starts.size):
            start, stop = starts[window], stops[window]
            # The first spike not before the start: in steps that double, then by halves.
            step, low = 1, here
            while low + step < end and times[low + step] < start:
                low += step
                step *= 2
            high = min(low + step, end)
            while low < high:
                middle = (low + high) >> 1
                if times[middle] < start:
                    low = middle + 1
                else:
                    high = middle
            here = low
            before, run = -1, 0
            while low < end and times[low] < stop:
                relative_s = times[low] - start
                low += 1
                if not relative_s >= 0.0:
                    continue
                quotient = relative_s * per_s
                if not quotient < n_bins + 1:
                    continue
                # Off by at most one, due to rounding: what decides is the comparison with ``k * bin_s``.
                k = int(quotient)
                if relative_s < k * bin_s:
                    k -= 1
                elif relative_s >= (k + 1) * bin_s:
                    k += 1
                if 0 <= k < n_bins:
                    run = run + 1 if k == before else 1
                    before = k
                    total[row, k] += 1
                    squares[row, k] += 2 * run - 1
    return seen


def place_spikes(times: Floats, edges: Floats, table: Int32s, per_s: float, before: Int32s) -> bool:
    """Count how many spikes are before each edge, by looking up the first edge after each spike.

    Edges that differ by rounding are one, from ``edges[2 * k]`` to ``edges[2 * k + 1]``.

    Parameters
    ----------
    times : (n_spikes,) seconds.
    edges : (2 * n_edges,) seconds, ascending.
    table : (n_cells,) number of edges before each cell, ``int((time - edges[0]) * per_s)``; the last cell is
        that of the last edge.
    per_s : cells per second, such that cells of times up to the last edge are numbers.
    before : (n_edges,) written to: spikes from the first edge on.

    Returns
    -------
    Whether no spike is within an edge; else the numbers are not those of all edges that are in it.
    """
    n_edges = before.size
    begin_s, end_s, last_s, is_clear = edges[0], edges[2 * n_edges - 2], edges[2 * n_edges - 1], True
    before[:] = 0
    for spike in range(times.size):
        time = times[spike]
        if not (time >= begin_s and time < end_s):
            is_clear &= not (time >= end_s and time < last_s)
            continue
        edge = table[int((time - begin_s) * per_s)]
        edge += edges[2 * edge] <= time  # at most one edge in most cells: without a jump
        while edges[2 * edge] <= time:  # ends, since the last edge is after it
            edge += 1
        is_clear &= time >= edges[2 * edge - 1]
        before[edge] += 1
    total = 0
    for edge in range(n_edges):
        total += before[edge]
        before[edge] = total
    return is_clear


def search_edges(times: Floats, edges: Floats, before: Int32s) -> bool:
    """Count how many spikes are before each edge as `place_spikes`, by a search for each edge."""
    here, end, is_clear = 0, times.size, True
    for edge in range(before.size):
        time = edges[2 * edge]
        # In steps that double, then by halves.
        step = 1
        while here + step < end and times[here + step] < time:
            here += step
            step *= 2
        high = min(here + step, end)
        while here < high:
            middle = (here + high) >> 1
            if times[middle] < time:
                here = middle + 1
            else:
                high = middle
        before[edge] = here
        is_clear &= not (here < end and times[here] < edges[2 * edge + 1])
    return is_clear


def count_repeats(
    times: Floats,
    edges: Floats,
    table: Int32s,
    per_s: float,
    begins: Int32s,
    targets: Int32s,
    starts: Floats,
    bin_s: float,
    n_bins: int,
    repeats: NDArray[np.int32],
) -> None:
    """Count in windows of bins the spikes that follow another one in the same bin.

    Parameters
    ----------
    times, edges, table, per_s : see `place_spikes`.
    begins : (n_edges + 1,) where in ``targets`` the windows begin that lie over the times before each edge.
    targets : these windows, as window * n_events + event.
    starts : (n_events,) seconds from which on bins follow each other.
    bin_s, n_bins : of these; the last one has no end.
    repeats : (n_windows, n_events) written to.
    """
    n_events, begin_s, end_s = starts.size, edges[0], edges[edges.size - 2]
    repeats[:, :] = 0
    for spike in range(1, times.size):
        earlier, time = times[spike - 1], times[spike]
        if not (time - earlier < 2.0 * bin_s and time >= begin_s and time < end_s):
            continue
        edge = table[int((time - begin_s) * per_s)]
        while edges[2 * edge] <= time:
            edge += 1
        for place in range(begins[edge], begins[edge + 1]):
            window, event = targets[place] // n_events, targets[place] % n_events
            relative_s, earlier_s = time - starts[event], earlier - starts[event]
            k = int(relative_s / bin_s)
            if relative_s < k * bin_s:
                k -= 1
            elif relative_s >= (k + 1) * bin_s:
                k += 1
            k = min(k, n_bins - 1)
            is_before_end = earlier_s < (k + 1) * bin_s or k == n_bins - 1
            if earlier >= starts[event] and earlier_s >= k * bin_s and is_before_end:
                repeats[window, event] += 1


def take_differences(
    before: Int32s,
    places: NDArray[np.int32],
    repeats: NDArray[np.int32],
    shift: int,
    counts: NDArray[np.uint8],
    row: int,
    greatest: Int32s,
) -> None:
    """Write the counts of one unit.

    Parameters
    ----------
    before : (n_edges,) spikes before each edge.
    places : (2, n_windows, n_events) the edges of each window.
    repeats : (n_windows, n_events) spikes that do not count; (0, n_events) if all do.
    shift : bits by which counts are shifted, of which ``counts`` takes eight.
    counts : (n_windows, n_units, n_events), of which the row is written to.
    greatest : (n_windows,) raised to the greatest count.
    """
    for window in range(places.shape[1]):
        highest = greatest[window]
        for event in range(places.shape[2]):
            n = before[places[1, window, event]] - before[places[0, window, event]]
            if repeats.shape[0] > 0:
                n -= repeats[window, event]
            highest = max(highest, n)
            counts[window, row, event] = (n >> shift) & 255
        greatest[window] = highest
