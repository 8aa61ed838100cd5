"""Time without light, cut into windows of equal length.

Two ways to a baseline: bins drawn at random from the gaps between pulses (Bennett 2025), and, for
the latency test, the windows that last came before each pulse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vbn.analysis.spikes.trains import Floats, Integers


@dataclass(frozen=True)
class Windows:
    """Windows without overlap: (n_windows,) ``start_s`` ascending, all of ``length_s``; half open."""

    start_s: Floats
    length_s: float

    def place(self, spike_times: Floats) -> tuple[Integers, Floats]:
        """Find the spikes that lie in a window: (n,) its index and the time since its start, in order."""
        if self.start_s.size == 0:
            return np.empty(0, dtype=np.int64), np.empty(0)
        index = np.searchsorted(self.start_s, spike_times, side="right") - 1
        since = spike_times - self.start_s[index]
        inside = (index >= 0) & (since < self.length_s)
        return index[inside], since[inside]


@dataclass(frozen=True)
class DrawnBins:
    """Bins drawn with replacement: ``windows`` and, (n_windows,), how often each was drawn."""

    windows: Windows
    multiplicity: Floats

    def histogram(self, spike_times: Floats) -> Floats:
        """Count the drawn bins by their number of spikes: entry k is how many hold k; empty without bins."""
        if self.windows.start_s.size == 0:
            return np.empty(0)
        index, _ = self.windows.place(spike_times)
        # Spikes come in order, so that those of one window are neighbours; most windows hold none.
        first = np.flatnonzero(np.diff(index, prepend=-1))
        counts = np.diff(first, append=index.size)
        drawn = self.multiplicity[index[first]]
        histogram = np.bincount(counts, weights=drawn, minlength=1)
        histogram[0] = self.n_drawn - drawn.sum()
        return np.asarray(histogram, dtype=np.float64)

    @property
    def n_drawn(self) -> int:
        """How many bins were drawn."""
        return int(self.multiplicity.sum())


def gap_windows(start_s: Floats, stop_s: Floats, length_s: float, margin_s: float) -> Windows:
    """Cut the gaps between pulses into windows, as Bennett 2025 does.

    Parameters
    ----------
    start_s, stop_s : (n_pulses,) of the pulses, in order of their start.
    length_s : of a window; they lie end to end from the beginning of a gap.
    margin_s : gaps begin so much after a pulse and end so much before the next.

    Notes
    -----
    Half of the shortest gap is taken from the beginning of every gap. Where pulses overlap or nearly touch
    there is no gap, and none is counted as the shortest.
    """
    begin = np.maximum.accumulate(stop_s)[:-1] + margin_s
    end = start_s[1:] - margin_s
    is_gap = end > begin
    begin, end = begin[is_gap], end[is_gap]
    if begin.size:
        begin = begin + np.min(end - begin) / 2
    return Windows(_end_to_end(begin, end, length_s), length_s)


def _end_to_end(begin: Floats, end: Floats, length_s: float) -> Floats:
    """Start as many windows as fit between each begin and end."""
    n = np.maximum(np.ceil((end - begin) / length_s - 1e-9).astype(np.int64) - 1, 0)
    place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.asarray(np.repeat(begin, n) + place * length_s)


def draw_bins(rng: np.random.Generator, windows: Windows, n_bins: int) -> DrawnBins:
    """Draw ``n_bins`` of the windows with replacement."""
    n_windows = windows.start_s.size
    if n_windows == 0:
        return DrawnBins(windows, np.empty(0))
    drawn = np.bincount(rng.integers(n_windows, size=n_bins), minlength=n_windows)
    return DrawnBins(windows, drawn.astype(np.float64))


def mean_and_deviation(histogram: Floats) -> tuple[float, float]:
    """Mean and (population) standard deviation of counts, from their histogram; NaN if it is empty."""
    n = histogram.sum()
    if n == 0:
        return np.nan, np.nan
    counts = np.arange(histogram.size)
    mean = float(histogram @ counts / n)
    return mean, float(np.sqrt(histogram @ (counts - mean) ** 2 / n))


def preceding_windows(
    start_s: Floats, stop_s: Floats, length_s: float, n_windows: int, *, margin_s: float, recovery_s: float
) -> tuple[Windows, Integers]:
    """Find the windows without light that last came before each pulse.

    Parameters
    ----------
    start_s, stop_s : (n_pulses,) of all pulses, in order of their start.
    length_s : of a window.
    n_windows : how many before each pulse; where the time since the light before is too short, those before
        that light are taken as well, so that every pulse has as many.
    margin_s, recovery_s : time before and after a pulse that does not count as without light.

    Returns
    -------
    The windows, and (n_windows, n_pulses) their indices, the nearest first.
    """
    light_end = np.maximum.accumulate(stop_s) + recovery_s
    end = start_s - margin_s
    begin = np.concatenate([end[:1] - (n_windows + 0.5) * length_s, light_end[:-1]])
    # The half window more and the small share make the number of windows safe from rounding.
    n = np.maximum(np.floor((end - begin) / length_s + 1e-9).astype(np.int64), 0)
    place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    starts = np.repeat(end - n * length_s, n) + place * length_s
    windows = Windows(starts, length_s)
    return windows, np.cumsum(n) - 1 - np.arange(n_windows)[:, np.newaxis]
