"""The design of an encoding model: bins, kernels, columns; rows are made when they are needed.

Bins and events are those of visual_behavior_glm_NP: each flash or omission has 29 bins of 25 ms from its
start. Lags are counted in bins, so that they skip what is left of each flash (some 25 ms), whose events the
last bin takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.encoding.parameters import (
    BIN_S,
    BINS_PER_FLASH,
    CONTINUOUS,
    IMAGES,
    EncodingParameters,
    Kernel,
)
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events, unit_trains
from vbn.analysis.task.flash_behavior import SHARED_IMAGES
from vbn.analysis.task.licking import bout_onsets

INTERCEPT, DRIFT = "intercept", "drift"
LONGEST_GAP_S = 1.0
"""Blinks take a fifth of a second."""
LONGEST_REST_S = 0.1
"""A last bin takes events up to this long after it, so that a pause of the stimulus is not in it."""
_UNITS_COUNTED = 32
"""Units that are counted before they are put into their columns, in which their counts are not adjacent."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "all_images": (IMAGES,),
    "task": ("hits", "misses", "changes"),
    "behavioral": ("running", "pupil", "licks", "lick_bouts"),
}
"""Groups of kernels that are left out together, by the events that they follow."""


@dataclass(frozen=True)
class SessionTraces:
    """What happens in a session, for the columns of a design.

    Attributes
    ----------
    flashes : as of `vbn.analysis.task.flash_behavior.flash_behavior`.
    lick_times_s : (n_licks,) seconds.
    running : times (n_samples,) in seconds and speeds (n_samples,) in cm/s; None without.
    pupil : times (n_frames,) in seconds, areas (n_frames,) in px^2 and likely blinks (n_frames,); None
        without eye tracking.
    """

    flashes: pd.DataFrame
    lick_times_s: Floats
    running: tuple[ArrayLike, ArrayLike] | None
    pupil: tuple[ArrayLike, ArrayLike, ArrayLike] | None


@dataclass(frozen=True)
class Columns:
    """The columns of one kernel.

    Attributes
    ----------
    name : of the kernel; for images the image's name.
    events : what it follows.
    first : index of its first column.
    first_lag : in bins.
    signal : (n_bins of the block,) whether there is an event, or the standardised trace.
    n : number of columns.
    """

    name: str
    events: str
    first: int
    first_lag: int
    signal: Floats
    n: int

    @property
    def index(self) -> Integers:
        """Indices of the columns."""
        return np.arange(self.first, self.first + self.n)

    def rows(self, bins: Integers, out: Floats) -> None:
        """Write the values in some bins: row t and column j hold the signal at t - j - first lag.

        Parameters
        ----------
        bins : (n_rows,) numbers of bins.
        out : (n_rows, n) to write into.
        """
        beyond = self.n - 1 + abs(self.first_lag)
        rest = np.zeros(beyond, self.signal.dtype)
        windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([rest, self.signal, rest]), self.n)
        out[:] = windows[bins - self.first_lag + beyond - self.n + 1, ::-1]


@dataclass(frozen=True)
class Design:
    """The design of a session: which bins are fitted, and what each of their rows holds.

    Attributes
    ----------
    bin_starts : (n_fitted,) seconds, of the bins that are fitted.
    bins : (n_fitted,) their numbers in the block.
    flash : (n_fitted,) number of the flash of each.
    flash_class : (n_fitted,) index of `class_names`, the image or omission that the bin belongs to.
    class_names : images in order of their names, then ``omitted``.
    columns : of the kernels, those of events first.
    drift : (n_fitted, n_drift) slow columns, the last ones.
    missing : kernel -> why it has no columns.
    n_missing : kernel -> bins in which the trace had no value.
    conditions : condition -> (n_flashes,) whether the flash belongs to it, of those that are fitted.
    """

    bin_starts: Floats
    bins: Integers
    flash: Integers
    flash_class: Integers
    class_names: list[str]
    columns: list[Columns]
    drift: Floats
    missing: dict[str, str]
    n_missing: dict[str, int]
    conditions: dict[str, Booleans]

    @property
    def n_rows(self) -> int:
        """Number of bins that are fitted."""
        return int(self.bins.size)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.n_counts + self._n_traces

    @property
    def too_few_rows(self) -> dict[str, str]:
        """Kernel -> why none can be fitted; empty if there are as many bins as columns.

        With fewer, whatever units do by chance is explained, and now and then what they do in left-out bins:
        a quarter of Poisson units seemed to be explained in two flashes.
        """
        if self.n_rows >= self.n_columns:
            return {}
        return {each.name: f"{self.n_rows} bins for {self.n_columns} columns" for each in self.columns}

    @property
    def base(self) -> Integers:
        """Columns that every model has: the intercept and the slow ones."""
        n = self.n_columns
        return np.array([0, *range(n - self.drift.shape[1], n)])

    @property
    def n_counts(self) -> int:
        """Number of the first columns, which hold 0 and 1."""
        return 1 + sum(each.n for each in self.columns if each.events not in CONTINUOUS)

    @property
    def _n_traces(self) -> int:
        return sum(each.n for each in self.columns if each.events in CONTINUOUS) + int(self.drift.shape[1])

    @property
    def column_names(self) -> list[str]:
        """Names of the columns: kernel and lag in bins."""
        slow = [f"{DRIFT}:{number}" for number in range(self.drift.shape[1])]
        lags = [f"{each.name}:{each.first_lag + lag}" for each in self.columns for lag in range(each.n)]
        return [f"{INTERCEPT}:0", *lags, *slow]

    @cached_property
    def events(self) -> Any:
        """The columns of 0 and 1, (n_fitted, n_counts), as a sparse array: a row holds a few ones only."""
        from scipy.sparse import csr_array

        size = int(self.bins[-1]) + 1 if self.bins.size else 0
        row_of_bin = np.full(size, -1)
        row_of_bin[self.bins] = np.arange(self.bins.size)
        rows, columns = [np.arange(self.bins.size)], [np.zeros(self.bins.size, np.int64)]
        for each in self.columns:
            if each.events in CONTINUOUS:
                continue
            place = np.flatnonzero(each.signal)[:, None] + each.first_lag + np.arange(each.n)
            row = np.where((place >= 0) & (place < size), row_of_bin[np.clip(place, 0, size - 1)], -1)
            rows.append(row[row >= 0])
            columns.append(np.broadcast_to(each.index, row.shape)[row >= 0])
        places = np.concatenate(rows), np.concatenate(columns)
        return csr_array((np.ones(places[0].size), places), shape=(self.n_rows, self.n_counts))

    def rows(self, chosen: slice | Integers) -> Floats:
        """Return rows of the design, (n_chosen, n_columns)."""
        return np.concatenate([self.events[chosen].toarray(), self.trace_rows(chosen)], axis=1)

    def trace_rows(self, chosen: slice | Integers) -> Floats:
        """Return rows of the columns that do not hold 0 and 1, (n_chosen, n_columns - n_counts)."""
        bins = self.bins[chosen]
        found = np.empty((bins.size, self._n_traces))
        for each in self.columns:
            if each.events in CONTINUOUS:
                start = each.first - self.n_counts
                each.rows(bins, found[:, start : start + each.n])
        found[:, self._n_traces - self.drift.shape[1] :] = self.drift[chosen]
        return found

    def groups(self) -> dict[str, list[Columns]]:
        """Return the kernels of each dropout: every kernel, and the groups that have some."""
        found = {each.name: [each] for each in self.columns}
        for name, events in GROUPS.items():
            found[name] = [each for each in self.columns if each.events in events]
        of_images = found["all_images"]
        found["shared_images"] = [each for each in of_images if each.name in SHARED_IMAGES]
        found["non_shared_images"] = [each for each in of_images if each.name not in SHARED_IMAGES]
        return {name: members for name, members in found.items() if members}

    def support(self, members: Sequence[Columns]) -> Booleans:
        """Return the rows in which any column of some kernels is not 0, (n_fitted,)."""
        if any(each.events in CONTINUOUS for each in members):
            return np.ones(self.n_rows, np.bool_)
        index = np.concatenate([each.index for each in members])
        return np.asarray(np.diff(self.events[:, index].indptr) > 0)


def make_design(traces: SessionTraces, parameters: EncodingParameters) -> Design:
    """Return the design of a session.

    Parameters
    ----------
    traces : of the session.
    parameters : what to fit.

    Returns
    -------
    Design
        Without rows if there are no flashes in the block.

    Notes
    -----
    A flash that begins before the bins of the one before end is left out.
    """
    table = _flashes_of(traces.flashes, parameters.block)
    starts = table["start_time"].to_numpy(np.float64)
    bin_starts = (starts[:, None] + BIN_S * np.arange(BINS_PER_FLASH)).ravel()
    fitted = np.repeat(_chosen(table, parameters), BINS_PER_FLASH)
    bins = np.flatnonzero(fitted)
    names = sorted(set(table["image_name"][~table["omitted"].to_numpy(np.bool_)]))
    signals, missing, n_missing = _signals(table, bin_starts, fitted, names, traces, parameters)
    slow = _drift(bin_starts[bins], parameters.drift_s)
    columns = []
    first = 1
    for name, (kernel, signal) in sorted(signals.items(), key=lambda item: item[1][0].events in CONTINUOUS):
        lag = round(kernel.offset_s / BIN_S)
        columns.append(Columns(name, kernel.events, first, lag, signal, kernel.n_weights))
        first += kernel.n_weights
    shown = np.searchsorted(names, table["image_name"].to_numpy(str)) if names else np.zeros(len(table), int)
    classes = np.where(table["omitted"].to_numpy(np.bool_), len(names), shown)
    return Design(
        bin_starts=bin_starts[bins],
        bins=bins,
        flash=bins // BINS_PER_FLASH,
        flash_class=np.repeat(classes, BINS_PER_FLASH)[bins],
        class_names=[*names, "omitted"],
        columns=columns,
        drift=slow,
        missing=missing,
        n_missing=n_missing,
        conditions=_conditions(table),
    )


def spike_counts(
    spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, bin_starts: Floats
) -> NDArray[np.unsignedinteger]:
    """Count the spikes of units in bins.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    bin_starts : (n_bins,) seconds, ascending; a bin lasts `BIN_S`, its end excluded.

    Returns
    -------
    (n_bins, n_units) of the smallest unsigned type that holds them.
    """
    n_bins, n_units = bin_starts.size, int(np.size(n_spikes))
    counts: NDArray[np.unsignedinteger] = np.zeros((n_bins, n_units), np.uint8)
    if not n_bins:
        return counts
    some = np.zeros((_UNITS_COUNTED, n_bins), np.uint32)
    for unit, train in enumerate(unit_trains(spike_times, offsets, n_spikes)):
        first, last = np.searchsorted(train, (bin_starts[0], bin_starts[-1] + BIN_S))
        row = np.searchsorted(bin_starts, train[first:last], side="right") - 1
        row = row[train[first:last] < bin_starts[row] + BIN_S]
        some[unit % _UNITS_COUNTED] = np.bincount(row, minlength=n_bins)
        if unit % _UNITS_COUNTED == _UNITS_COUNTED - 1 or unit == n_units - 1:
            done = slice(unit - unit % _UNITS_COUNTED, unit + 1)
            found = some[: done.stop - done.start]
            if found.max() > np.iinfo(counts.dtype).max:
                counts = counts.astype(np.uint32)
            counts[:, done] = found.T
    return counts


def events_in_bins(times_s: ArrayLike, bin_starts: Floats) -> Floats:
    """Return the number of events in each bin; a bin also takes those of a short rest after it.

    Parameters
    ----------
    times_s : (n_events,) seconds, in any order.
    bin_starts : (n_bins,) seconds, ascending.
    """
    times = checked_events(times_s)
    row = np.searchsorted(bin_starts, times, side="right") - 1
    known = row >= 0
    known[known] &= times[known] < bin_starts[row[known]] + BIN_S + LONGEST_REST_S
    known &= times < (bin_starts[-1] + BIN_S if bin_starts.size else -np.inf)
    return np.bincount(row[known], minlength=bin_starts.size).astype(np.float64)


def trace_in_bins(times_s: ArrayLike, values: ArrayLike, bin_starts: Floats) -> Floats:
    """Return a trace at the centres of bins, interpolated linearly; NaN outside of it, and in long gaps.

    Parameters
    ----------
    times_s, values : (n_samples,) each; samples that are not finite are left out.
    bin_starts : (n_bins,) seconds.

    Notes
    -----
    A gap of more than `LONGEST_GAP_S` is not filled: what a lost eye did is not known.
    """
    times, samples = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(times) & np.isfinite(samples)
    if not known.any():
        return np.full(bin_starts.shape, np.nan)
    order = np.argsort(times[known], kind="stable")
    at, centres = times[known][order], bin_starts + BIN_S / 2
    found = np.interp(centres, at, samples[known][order], left=np.nan, right=np.nan)
    after = np.searchsorted(at, centres).clip(1, max(at.size - 1, 1))
    if at.size > 1:
        found[at[after] - at[after - 1] > LONGEST_GAP_S] = np.nan
    return np.asarray(found, dtype=np.float64)


def _flashes_of(flashes: pd.DataFrame, block: str) -> pd.DataFrame:
    """Return the flashes and omissions of a block whose bins do not overlap, in order of time."""
    table = flashes[flashes["active"].to_numpy(np.bool_) == (block == "active")]
    starts = table["start_time"].to_numpy(np.float64)
    length = BINS_PER_FLASH * BIN_S - 1e-9
    kept, end = [], -np.inf
    for row, start in enumerate(starts):
        if np.isfinite(start) and start >= end:
            kept.append(row)
            end = start + length
    chosen: pd.DataFrame = table.iloc[kept]
    return chosen


def _chosen(table: pd.DataFrame, parameters: EncodingParameters) -> Booleans:
    """Return which flashes are fitted."""
    if parameters.flashes == "all":
        return np.ones(len(table), np.bool_)
    engaged = table[f"engaged_{parameters.engagement}"].to_numpy(np.bool_)
    return engaged if parameters.flashes == "engaged" else ~engaged


def _event_times(table: pd.DataFrame, traces: SessionTraces, gap_s: float) -> dict[str, Floats]:
    """Return the times of each kind of events but images."""
    start = table["start_time"].to_numpy(np.float64)
    change, rewarded, omitted = (
        table[name].to_numpy(np.bool_) for name in ("is_change", "rewarded", "omitted")
    )
    return {
        "omissions": start[omitted],
        "hits": start[change & rewarded],
        "misses": start[change & ~rewarded],
        "changes": start[change],
        "licks": traces.lick_times_s,
        "lick_bouts": bout_onsets(traces.lick_times_s, gap_s),
    }


def _signals(
    table: pd.DataFrame,
    bin_starts: Floats,
    fitted: Booleans,
    names: list[str],
    traces: SessionTraces,
    parameters: EncodingParameters,
) -> tuple[dict[str, tuple[Kernel, Floats]], dict[str, str], dict[str, int]]:
    """Return the signal of each kernel, why others have none, and how many bins a trace lacked."""
    times = _event_times(table, traces, parameters.lick_gap_s)
    shown = table["start_time"].to_numpy(np.float64), table["image_name"].to_numpy(object)
    found: dict[str, tuple[Kernel, Floats]] = {}
    missing: dict[str, str] = {}
    n_missing: dict[str, int] = {}
    for kernel in parameters.kernels:
        if kernel.events in CONTINUOUS:
            trace = _trace(kernel.events, traces, bin_starts)
            n_missing[kernel.events] = int(np.isnan(trace[fitted]).sum())
            signal, why = _standardised(trace, fitted, parameters.max_missing)
            _sort_in(kernel.events, kernel, signal, why, found, missing)
            continue
        of_kind = (
            {name: shown[0][shown[1] == name] for name in names}
            if kernel.events == IMAGES
            else {kernel.events: times[kernel.events]}
        )
        for name, events in of_kind.items():
            signal = np.minimum(events_in_bins(events, bin_starts), 1.0)
            n_events = int(signal[fitted].sum())
            too_few = n_events < max(parameters.min_events, 1)
            why = f"{n_events} events" if too_few else ""
            _sort_in(name, kernel, signal, why, found, missing)
    return found, missing, n_missing


def _sort_in(
    name: str,
    kernel: Kernel,
    signal: Floats,
    why: str,
    found: dict[str, tuple[Kernel, Floats]],
    missing: dict[str, str],
) -> None:
    if why:
        missing[name] = why
    else:
        found[name] = (kernel, signal)


def _trace(events: str, traces: SessionTraces, bin_starts: Floats) -> Floats:
    """Return running speed (cm/s) or the radius of the pupil (px) in bins."""
    if events == "running":
        return trace_in_bins(*(traces.running or ((), ())), bin_starts)
    if traces.pupil is None:
        return np.full(bin_starts.shape, np.nan)
    times, area, blink = traces.pupil
    seen = ~np.asarray(blink, np.bool_)
    radius = np.sqrt(np.maximum(np.asarray(area, np.float64)[seen], 0.0) / np.pi)
    return trace_in_bins(np.asarray(times)[seen], radius, bin_starts)


def _standardised(trace: Floats, fitted: Booleans, max_missing: float) -> tuple[Floats, str]:
    """Return a trace as z-scores over the fitted bins, 0 where it is missing; and why it cannot be used."""
    known = trace[fitted & np.isfinite(trace)]
    n_fitted = int(fitted.sum())
    if not known.size:
        return trace, "no values"
    if n_fitted - known.size > max_missing * n_fitted:
        return trace, f"no values in {n_fitted - known.size} of {n_fitted} bins"
    size = known.std()
    if not size > 1e-12 * max(1.0, float(np.abs(known).max())):
        return trace, "always the same value"
    return np.nan_to_num((trace - known.mean()) / size, nan=0.0), ""


def _drift(times_s: Floats, drift_s: float) -> Floats:
    """Return piecewise linear functions of time with knots at about a distance, (n_bins, n_knots).

    There are two at least: within a short block rates drift, too.
    """
    if not drift_s or times_s.size < 2:
        return np.empty((times_s.size, 0))
    n_pieces = max(round((times_s[-1] - times_s[0]) / drift_s), 1)
    knots = np.linspace(times_s[0], times_s[-1], n_pieces + 1)
    place = (times_s - knots[0]) / (knots[1] - knots[0])
    return np.asarray(np.clip(1 - np.abs(place[:, None] - np.arange(knots.size)), 0, None))


def _conditions(table: pd.DataFrame) -> dict[str, Booleans]:
    """Return the flashes by which predicted and measured rates are averaged."""
    change, rewarded, omitted = (
        table[name].to_numpy(np.bool_) for name in ("is_change", "rewarded", "omitted")
    )
    return {
        "repeats": ~change & ~omitted,
        "hits": change & rewarded,
        "misses": change & ~rewarded,
        "omissions": omitted,
    }
