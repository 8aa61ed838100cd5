"""Spike counts in many windows around many events, by a compiled loop (`vbn.analysis.spikes.compiled`).

Each spike is placed before an edge by a look-up; counts are differences of how many are before two edges.
Spikes are compared with the edges themselves, so counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.compiled import Kernel, loops
from vbn.analysis.spikes.trains import Booleans, Floats, SpikePieces, as_pieces, unit_trains

SPIKES_PER_EDGE = 6
"""With more spikes of a unit than so many for each edge, edges are searched for."""
CELLS_PER_EDGE = 4
MERGED_S = 1e-9
"""Edges that follow one another within so many seconds are looked up as one."""
_MOST_CELLS = np.iinfo(np.int32).max

Int32s = NDArray[np.int32]


@dataclass(frozen=True)
class Bins:
    """Bins of which those with a spike are counted, in some of the windows.

    Attributes
    ----------
    starts : (n_events,) seconds from which on bins follow each other.
    are_counted : (n_windows,) whether bins are counted, which then make up the window; else spikes.
    bin_s, n_bins : their length in seconds and number; the last one has no end.
    """

    starts: Floats
    are_counted: Booleans
    bin_s: float
    n_bins: int


def count_compiled(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    edges_s: Floats,
    bins: Bins | None = None,
) -> list[NDArray[np.unsignedinteger]] | None:
    """Count the spikes of every unit in windows around events; None where that is not the faster way.

    Parameters
    ----------
    spike_times, offsets, n_spikes : see `vbn.analysis.spikes.trains`.
    edges_s : (n_windows, 2, n_events) seconds, from which on and before which spikes are in each window.
    bins : of windows in which bins with a spike are counted; None if there are no such windows.

    Returns
    -------
    For each window (n_units, n_events), of the smallest unsigned type that holds its greatest count.
    """
    n_windows, _, n_events = edges_s.shape
    bins = bins or Bins(np.zeros(n_events), np.zeros(n_windows, dtype=np.bool_), 0.0, 1)
    pieces, n_all = as_pieces(spike_times), int(np.asarray(n_spikes, dtype=np.int64).sum())
    compiled_loops = loops(n_all) if pieces.are_plain else {}
    edges = _Edges.of(edges_s, bins.are_counted, MERGED_S) if compiled_loops else None
    if edges is None:
        return None
    return _Counting(compiled_loops, pieces, offsets, n_spikes, edges_s, bins).counts(edges)


@dataclass(frozen=True)
class _Edges:
    """Edges of windows, as `vbn.analysis.spikes.kernels` takes them, with arrays to work in."""

    look_up: tuple[Floats, Int32s, float]
    places: NDArray[np.int32]
    of_bins: tuple[Int32s, Int32s]
    before: Int32s
    repeats: NDArray[np.int32]

    @property
    def n_edges(self) -> int:
        return self.before.size

    @property
    def edges(self) -> Floats:
        """Return (2 * n_edges,) the first and the last of each that are one."""
        return self.look_up[0]

    @classmethod
    def of(cls, edges_s: Floats, are_bins: Booleans, merged_s: float) -> _Edges | None:
        """Return the edges, of which close ones are one; None where time cannot be divided into cells."""
        distinct, place = np.unique(edges_s, return_inverse=True)
        begins = np.diff(distinct, prepend=-np.inf) > merged_s
        first, last = distinct[begins], distinct[np.append(begins[1:], True)[: begins.size]]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            per_s = float(CELLS_PER_EDGE * first.size / (first[-1] - first[0])) if first.size else 0.0
        if not 0 < per_s < np.inf or CELLS_PER_EDGE * first.size >= _MOST_CELLS:
            return None
        places = (np.cumsum(begins) - 1)[place.reshape(edges_s.shape)].transpose(1, 0, 2)
        in_cell = np.bincount(((first - first[0]) * per_s).astype(np.intp))
        table = (np.cumsum(in_cell) - in_cell).astype(np.int32)
        return cls(
            look_up=(np.stack([first, last], axis=1).ravel(), table, per_s),
            places=np.ascontiguousarray(places, dtype=np.int32),
            of_bins=_windows_before(places, are_bins, first.size),
            before=np.empty(first.size, dtype=np.int32),
            repeats=np.empty((are_bins.size if are_bins.any() else 0, edges_s.shape[2]), dtype=np.int32),
        )


def _windows_before(places: NDArray[np.int64], are_bins: Booleans, n_edges: int) -> tuple[Int32s, Int32s]:
    """Return the windows of bins that lie over the times before each edge, and where each edge's begin."""
    n_events = places.shape[2]
    windows = (np.flatnonzero(are_bins)[:, np.newaxis] * n_events + np.arange(n_events)).ravel()
    start, stop = places[:, are_bins].reshape(2, -1)
    n_edges_in = stop - start
    edge = np.repeat(start + 1 - (np.cumsum(n_edges_in) - n_edges_in), n_edges_in)
    edge += np.arange(edge.size)
    targets = np.repeat(windows, n_edges_in)[np.argsort(edge)]
    begins = np.append(0, np.cumsum(np.bincount(edge, minlength=n_edges)))
    return begins.astype(np.int32), targets.astype(np.int32)


@dataclass(frozen=True)
class _Counting:
    loops: Mapping[str, Kernel]
    pieces: SpikePieces
    offsets: ArrayLike
    n_spikes: ArrayLike
    edges_s: Floats
    bins: Bins

    @property
    def _bins(self) -> tuple[Floats, float, int]:
        return self.bins.starts, self.bins.bin_s, self.bins.n_bins

    def counts(self, edges: _Edges) -> list[NDArray[np.unsignedinteger]]:
        """Return the counts in each window, of the smallest type that holds them."""
        low, greatest = self._byte(edges, 0)
        counts: list[NDArray[np.unsignedinteger]] = list(low)
        high = [self._byte(edges, byte)[0] for byte in range(1, 4) if greatest.max(initial=0) >> (8 * byte)]
        for window in np.flatnonzero(greatest > np.iinfo(np.uint8).max).tolist():
            wide = low[window].astype(np.uint32)
            for byte, values in enumerate(high, start=1):
                wide |= values[window].astype(np.uint32) << np.uint32(8 * byte)
            counts[window] = wide.astype(np.min_scalar_type(greatest[window]))
        return counts

    def _byte(self, edges: _Edges, byte: int) -> tuple[NDArray[np.uint8], Int32s]:
        """Return the lowest byte, or a higher one, of each count, and the greatest count of each window."""
        n_windows, _, n_events = self.edges_s.shape
        counts = np.empty((n_windows, np.size(self.offsets), n_events), dtype=np.uint8)
        greatest = np.zeros(n_windows, dtype=np.int32)
        for row, train in enumerate(unit_trains(self.pieces, self.offsets, self.n_spikes)):
            written = 8 * byte, counts, row, greatest
            if not self._of_unit(train, edges, written):
                self._of_unit(train, self._each, written)
        return counts, greatest

    @cached_property
    def _each(self) -> _Edges:
        """Return the edges, none of which are merged."""
        edges = _Edges.of(self.edges_s, self.bins.are_counted, 0.0)
        assert edges is not None  # of merged ones there were some
        return edges

    def _of_unit(
        self, train: Floats, edges: _Edges, written: tuple[int, NDArray[np.uint8], int, Int32s]
    ) -> bool:
        """Count one unit, unless it has a spike within a merged edge; return whether it has none."""
        if self.bins.are_counted.any() or train.size <= SPIKES_PER_EDGE * edges.n_edges:
            is_clear = self.loops["place_spikes"](train, *edges.look_up, edges.before)
        else:
            is_clear = self.loops["search_edges"](train, edges.edges, edges.before)
        if is_clear:
            if self.bins.are_counted.any():
                self.loops["count_repeats"](train, *edges.look_up, *edges.of_bins, *self._bins, edges.repeats)
            self.loops["take_differences"](edges.before, edges.places, edges.repeats, *written)
        return bool(is_clear)
