"""How many spikes of each unit are before many times: the edges of windows.

The same times are asked of every unit, so what does not depend on the unit is worked out once. Comparisons
are of the given numbers, never of rounded ones.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vbn.analysis.spikes.trains import Floats

MANY_EDGES = 4096
"""From so many edges on, a table of cells is worth making."""
SPIKES_PER_EDGE = 8
"""With more spikes than so many for each edge, searching for the edges is faster than placing the spikes."""
CELLS_PER_EDGE = 16
LANES = 32

Counts = NDArray[np.integer[Any]]


class Edges:
    """Times for which, unit after unit, the number of spikes before them is asked.

    Parameters
    ----------
    times : (n_rows, n_times) seconds, in any order.
    merged_s : times that follow one another within so many seconds are looked up as one. The numbers stay
        exact: for a unit with a spike between two such times each is looked up.
    """

    def __init__(self, times: Floats, merged_s: float = 0.0) -> None:
        distinct, place = np.unique(times, return_inverse=True)
        begins = np.diff(distinct, prepend=-np.inf) > merged_s
        self._first = distinct[begins]
        self._last = distinct[np.append(begins[1:], True)[: begins.size]]
        self._times, self._is_merged = times, self._first.size < distinct.size
        place = (np.cumsum(begins) - 1)[place.reshape(times.shape)]
        rows = {row.tobytes(): row for row in place}
        self._place = np.array(list(rows.values()), dtype=np.intp).reshape(len(rows), times.shape[1])
        self._rows = [list(rows).index(row.tobytes()) for row in place]

    def spikes_before(self, train: Floats, dtype: type[np.integer[Any]] = np.int32) -> list[Counts]:
        """Return how many spikes of a unit are before each time, by rows, of which equal ones are one array.

        A narrow type holds the numbers modulo its size, and so the right differences where these fit.
        """
        n_edges = self._first.size
        start, stop = train.searchsorted([self._first[0], self._last[-1]]).tolist() if n_edges else (0, 0)
        spikes = train[start:stop]
        is_searched = n_edges < MANY_EDGES or spikes.size > SPIKES_PER_EDGE * n_edges
        before = self._searched(spikes) if is_searched else self._summed(spikes, dtype)
        if before is None:
            return self._each.spikes_before(train, dtype)
        before = before.astype(dtype, copy=False) + np.array(start).astype(dtype)
        return [before[row] for row in self._rows]

    @cached_property
    def _each(self) -> Edges:
        return Edges(self._times)

    def _searched(self, spikes: Floats) -> Counts | None:
        """Return the numbers for each of the distinct rows, searched for; None if merged times differ."""
        found = spikes.searchsorted(self._first)
        if self._is_merged and not np.array_equal(found, spikes.searchsorted(self._last)):
            return None
        return np.asarray(found[self._place])

    def _summed(self, spikes: Floats, dtype: type[np.integer[Any]]) -> Counts | None:
        """Return the same by adding up the spikes from edge to edge.

        Edges that follow one another are in different lanes, so that whole lanes are added: one sum that runs
        from edge to edge takes several times as long.
        """
        lane_place = self._lane_places(spikes)
        if lane_place is None:
            return None
        lanes = np.bincount(lane_place, minlength=self._n_columns * LANES).astype(dtype).reshape(LANES, -1)
        for lane in range(1, LANES):
            lanes[lane] += lanes[lane - 1]
        lanes[:, 1:] += np.cumsum(lanes[-1, :-1], dtype=dtype)
        return np.asarray(lanes.ravel().take(self._place_in_lanes))

    def _lane_places(self, spikes: Floats) -> NDArray[np.int32] | None:
        """Return the place in the lanes of the first edge after each spike; None if merged times differ.

        Looked up by the spike's cell, and counted on in the few cells that hold edges. Times in ascending
        order have ascending cells, however they are rounded, so this is exact.
        """
        found = self._table.take(self._cells(spikes), mode="clip")
        unclear = np.flatnonzero(found < 0)
        edge, of = ~found[unclear], spikes[unclear]
        more = np.flatnonzero(self._ended[edge] <= of)
        while more.size:
            edge[more] += 1
            more = more[self._ended[edge[more]] <= of[more]]
        if np.any(of < self._last[edge - 1]):
            return None
        found[unclear] = self._in_lanes[edge]
        return found

    def _cells(self, times: Floats) -> NDArray[np.intp]:
        from_first = times - self._first[0]
        from_first *= CELLS_PER_EDGE * self._first.size / (self._first[-1] - self._first[0])
        return np.asarray(from_first.astype(np.intp))

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """Return, for each cell, the place in the lanes of the first edge after it.

        Where edges are in the cell: -1 less the number of edges in the cells before it.
        """
        cells = self._cells(self._first)
        in_cell = np.bincount(cells)
        before = np.cumsum(in_cell) - in_cell
        table = self._in_lanes[before]
        table[cells] = ~before[cells]
        return np.asarray(table)

    @cached_property
    def _in_lanes(self) -> NDArray[np.int32]:
        """Return the place of each edge in the lanes, one after the other."""
        column, lane = np.divmod(np.arange(self._n_columns * LANES, dtype=np.int32), LANES)
        return np.asarray(lane * self._n_columns + column)

    @cached_property
    def _place_in_lanes(self) -> NDArray[np.intp]:
        return self._in_lanes[self._place].astype(np.intp)

    @cached_property
    def _ended(self) -> Floats:
        """Return the edges and an end after which no edge is."""
        return np.asarray(np.append(self._first, np.inf))

    @property
    def _n_columns(self) -> int:
        return -(-self._first.size // LANES)
