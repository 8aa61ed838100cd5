"""The spike trains of many units in one array.

All functions of this package that take spikes take the same three arrays: ``spike_times``, the spikes of one
unit after the other, ascending within a unit; ``offsets``, the index of each unit's first spike; and
``n_spikes``, their number. ``spike_times`` may be a memory map: it is never copied as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class SpikePieces:
    """The spike times of several probes, used like one array without copying them.

    Offsets run through the pieces in order. All spikes of a unit are in one piece.

    Parameters
    ----------
    pieces : (n_spikes_of_probe,) seconds each; may be memory maps.
    """

    def __init__(self, pieces: Sequence[ArrayLike]) -> None:
        # Plain arrays on the same memory: slicing an np.memmap object takes ten times as long.
        self.pieces = [np.asarray(piece, dtype=np.float64) for piece in pieces] or [np.empty(0)]
        sizes = [piece.size for piece in self.pieces]
        self.starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Concatenate the pieces into one array."""
        whole = np.concatenate(self.pieces)
        return whole.astype(dtype) if dtype is not None else whole

    @property
    def are_plain(self) -> bool:
        """Whether compiled kernels can read all pieces: without gaps, and aligned."""
        return all(piece.flags.c_contiguous and piece.flags.aligned for piece in self.pieces)

    def part(self, start: int, stop: int) -> Floats:
        """Return a view of the spikes from start to stop, which must lie in one piece."""
        number = int(np.searchsorted(self.starts[1:-1], start, side="right"))
        first = int(self.starts[number])
        if stop > self.starts[number + 1]:
            raise ValueError(f"Spikes {start} to {stop} do not lie in one piece: {self.starts.tolist()}.")
        return self.pieces[number][start - first : stop - first]

    def units_by_piece(
        self, offsets: ArrayLike, n_spikes: ArrayLike
    ) -> Iterator[tuple[Floats, Integers, Integers, Integers]]:
        """Yield the pieces that have units, with the rows of these units and their bounds in the piece.

        Parameters
        ----------
        offsets, n_spikes : (n_units,), see `unit_trains`.

        Yields
        ------
        The piece, and of its units: (n,) rows, (n,) indices of the first spike, (n,) of that after the last.

        Raises
        ------
        ValueError
            If offsets and numbers do not describe parts of the pieces.
        """
        first, last = _checked_bounds(self, offsets, n_spikes)
        number = np.searchsorted(self.starts[1:-1], first, side="right")
        for row in np.flatnonzero(last > self.starts[number + 1])[:1].tolist():
            self.part(int(first[row]), int(last[row]))  # says what is wrong
        for each in np.unique(number).tolist():
            rows, begin = np.flatnonzero(number == each), self.starts[each]
            yield self.pieces[each], rows, first[rows] - begin, last[rows] - begin


def as_pieces(spike_times: ArrayLike) -> SpikePieces:
    """Return spike times as pieces, of which there may be one."""
    return spike_times if isinstance(spike_times, SpikePieces) else SpikePieces([spike_times])


def unit_trains(spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike) -> Iterator[Floats]:
    """Yield each unit's spike times, as a view where possible.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit; or
        `SpikePieces`.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.

    Yields
    ------
    Spike times of a unit: (n_spikes,) seconds.

    Raises
    ------
    ValueError
        If offsets and numbers do not describe parts of ``spike_times``.
    """
    whole = as_pieces(spike_times)
    first, last = _checked_bounds(whole, offsets, n_spikes)
    return (whole.part(start, stop) for start, stop in zip(first.tolist(), last.tolist(), strict=True))


def _checked_bounds(whole: SpikePieces, offsets: ArrayLike, n_spikes: ArrayLike) -> tuple[Integers, Integers]:
    first = np.asarray(offsets, dtype=np.int64)
    counts = np.asarray(n_spikes, dtype=np.int64)
    shapes = [piece.shape for piece in whole.pieces]
    if any(len(shape) != 1 for shape in shapes) or first.ndim != 1 or first.shape != counts.shape:
        raise ValueError(
            "spike_times must be (n_all_spikes,), offsets and n_spikes both (n_units,): "
            f"got {', '.join(map(str, shapes))}, {first.shape} and {counts.shape}."
        )
    last = first + counts
    n_all = int(whole.starts[-1])
    outside = np.flatnonzero((first < 0) | (counts < 0) | (last > n_all))
    if outside.size:
        raise ValueError(
            f"offsets and n_spikes must lie inside the {n_all} spike times: "
            f"{outside.size} units do not, the first at row {outside[0]}."
        )
    return first, last


def checked_events(event_times: ArrayLike, name: str = "event_times") -> Floats:
    """Return event times as float64, in the given order.

    Parameters
    ----------
    event_times : (n_events,) seconds, in any order.
    name : name of the argument, for error messages.

    Returns
    -------
    (n_events,) seconds.

    Raises
    ------
    ValueError
        If times are not finite, or the array is not one-dimensional.
    """
    events = np.asarray(event_times, dtype=np.float64)
    if events.ndim != 1:
        raise ValueError(f"{name} must be of shape (n_events,), got {events.shape}.")
    n_bad = int(np.count_nonzero(~np.isfinite(events)))
    if n_bad:
        raise ValueError(f"{name} must be finite, in seconds: {n_bad} of {events.size} are not.")
    return events
