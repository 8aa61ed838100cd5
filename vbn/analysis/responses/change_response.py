"""Responses of units to image changes.

A *change* is a flash that shows a different image from the flash before, its *pre-change flash*. Both are
aligned to the start of the presentation on screen. A change that follows an omission or begins a block has no
pre-change flash: it counts for the response, but not for the modulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.flash_selection import (
    CONDITIONS,
    image_before,
    is_in_condition,
    outcome_of_change,
)
from vbn.analysis.spikes.psth import TimeAxis, count_spikes
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import (
    Window,
    check_equal_lengths,
    check_max_q_value,
    check_windows,
    count_in_windows,
    first_spikes_in_windows,
    window_length_s,
)
from vbn.analysis.statistics import benjamini_hochberg, exact_signed_rank_p_values
from vbn.analysis.task.presentations import NO_ROW, image_names, is_change, is_flash, start_times

Counter = Callable[[Floats, Window], NDArray[np.int32]]
_CURVE_BIN_S = 0.001
_ROUNDING_HZ = 1e-9  # a sum of rates below this is rounding error


@dataclass(frozen=True)
class ChangeResponseParameters:
    """Windows in seconds relative to the start of a flash, half open.

    Parameters
    ----------
    baseline_window_s, response_window_s : windows of the response to the change: the last 80 ms before the
        flash, and 20 to 100 ms after its start (Bennett 2025, ``make_unit_responsiveness_table``).
    modulation_baseline_window_s, modulation_window_s : windows of the change modulation index: the 250 ms
        before the flash, and the 250 ms of the flash (Siegle 2021).
    first_spike_window_s : search window for the first spike after a change (Siegle 2021, Fig. 4).
    half_maximum_window_s : search window for the peak, whose half maximum gives the latency.
    smoothing_s : standard deviation of the Gaussian that smooths the response for this latency (our choice).
    max_q_value : units with at most this q are responsive, or change-modulated.
    """

    baseline_window_s: Window = (-0.08, 0.0)
    response_window_s: Window = (0.02, 0.1)
    modulation_baseline_window_s: Window = (-0.25, 0.0)
    modulation_window_s: Window = (0.0, 0.25)
    first_spike_window_s: Window = (0.03, 0.15)
    half_maximum_window_s: Window = (0.0, 0.25)
    smoothing_s: float = 0.01
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        check_windows(self, *(name for name in self.__annotations__ if name.endswith("window_s")))
        check_equal_lengths(self, "baseline_window_s", "response_window_s")
        if not 0 <= self.smoothing_s < np.inf:
            raise ValueError(f"smoothing_s must be a number of seconds >= 0, got {self.smoothing_s}.")
        check_max_q_value(self)


DEFAULT = ChangeResponseParameters()


def change_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    parameters: ChangeResponseParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's response to image changes, in the task and in the replay, in hits and in misses.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), active, image_name, is_change, omitted, and trials_id if known.
    trials : table for `vbn.analysis.outcome_of_change`, needed for hits and misses; None if there is none.
    parameters : windows and threshold.

    Returns
    -------
    DataFrame
        One row per unit, in input order. For each condition C, active and passive:

        * n_changes_C, n_pairs_C: number of changes, and of those with a pre-change flash;
        * baseline_rate_C_hz, evoked_rate_C_hz: mean rates in the two windows;
        * p_response_C, q_response_C: two-sided paired Wilcoxon test between the two, and its q-value over
          units;
        * change_rate_C_hz, pre_change_rate_C_hz: mean rates in the modulation window after the change and
          after its pre-change flash;
        * p_modulation_C, q_modulation_C: two-sided paired Wilcoxon test between these two;
        * change_modulation_C: the index of Siegle 2021, image by image;
        * change_modulation_pooled_C: the same with all images pooled, less noisy when changes are few.

        Then p_response, q_response, p_modulation, q_modulation: the two tests over the changes of both
        conditions; n_pairs_hit, change_modulation_hit, n_pairs_miss, change_modulation_miss: active changes
        by outcome, without auto-rewarded ones; first_spike_latency_s (median over active changes with a spike
        in the window) and half_maximum_latency_s (active changes); is_responsive and is_change_modulated:
        q_response or q_modulation at most max_q_value, in either direction.

        Rates, indices, latencies and p are NaN without events; an index also where c_i + p_i (see Notes) is
        0; p is 1 where all differences are 0, as for a unit silent in both windows.

    Notes
    -----
    Change modulation index (Siegle 2021; ``ephys_behavior``): for image i, c_i is the mean rate in the 250 ms
    of the flash over changes to it, and p_i that over pre-change flashes of it, each minus the mean rate in
    the 250 ms before all flashes of its kind; clip((c_i - p_i) / (c_i + p_i), -1, 1) is averaged over the
    images that have both.
    """
    count = partial(count_in_windows, spike_times, offsets, n_spikes)
    times = start_times(presentations)
    columns: dict[str, object] = {}
    paired, gains = {}, []
    for condition in CONDITIONS:
        changes, rows = _changes(presentations, condition)
        baseline = count(times[changes], parameters.baseline_window_s)
        evoked = count(times[changes], parameters.response_window_s)
        paired[condition] = _pairs(count, presentations, rows, parameters)
        gains.append(evoked - baseline)
        columns |= _named(_response(evoked, baseline, parameters), condition)
        columns |= _named(_modulation(paired[condition]), condition)
    columns |= _tested("response", np.hstack(gains))
    columns |= _tested("modulation", np.hstack([pairs.change - pairs.pre for pairs in paired.values()]))
    outcomes = None if trials is None else outcome_of_change(presentations, trials)
    for outcome in ("hit", "miss"):
        rows = paired["active"].rows
        chosen = np.zeros(rows.size, dtype=np.bool_) if outcomes is None else outcomes[rows] == outcome
        columns[f"n_pairs_{outcome}"] = np.count_nonzero(chosen)
        columns[f"change_modulation_{outcome}"] = paired["active"].only(chosen).index_by_image()
    active = times[_changes(presentations, "active")[0]]
    columns["first_spike_latency_s"] = median_of_known(
        first_spikes_in_windows(spike_times, offsets, n_spikes, active, parameters.first_spike_window_s)
    )
    columns["half_maximum_latency_s"] = _half_maximum(spike_times, offsets, n_spikes, active, parameters)
    table = pd.DataFrame(columns)
    table["is_responsive"] = table["q_response"] <= parameters.max_q_value
    table["is_change_modulated"] = table["q_modulation"] <= parameters.max_q_value
    return table


def _named(columns: dict[str, object], condition: str) -> dict[str, object]:
    """Insert the condition into the column names, before a unit of Hz."""
    return {
        f"{name[:-3]}_{condition}_hz" if name.endswith("_hz") else f"{name}_{condition}": values
        for name, values in columns.items()
    }


def _changes(presentations: pd.DataFrame, condition: str) -> tuple[Integers, Integers]:
    """Return the rows of a condition's changes, and of those that have a pre-change flash."""
    changes = np.flatnonzero(is_change(presentations) & is_in_condition(presentations, condition))
    before = image_before(presentations)[changes]
    return changes, changes[(before != NO_ROW) & is_flash(presentations)[before]]


def _tested(name: str, differences: NDArray[np.int32]) -> dict[str, object]:
    """Return p and q of a paired test, given (n_units, n_events) differences."""
    p = exact_signed_rank_p_values(differences)
    return {f"p_{name}": p, f"q_{name}": benjamini_hochberg(p)}


def _response(
    evoked: NDArray[np.int32], baseline: NDArray[np.int32], parameters: ChangeResponseParameters
) -> dict[str, object]:
    return {
        "n_changes": evoked.shape[1],
        "baseline_rate_hz": mean_rate_hz(baseline, parameters.baseline_window_s),
        "evoked_rate_hz": mean_rate_hz(evoked, parameters.response_window_s),
        **_tested("response", evoked - baseline),
    }


@dataclass(frozen=True)
class _Pairs:
    """Changes with their pre-change flashes.

    Counts, in the flash and in the baseline before it, are (n_units, n_pairs); other arrays are (n_pairs,).
    """

    rows: Integers
    change: NDArray[np.int32]
    pre: NDArray[np.int32]
    change_baseline: NDArray[np.int32]
    pre_baseline: NDArray[np.int32]
    change_image: np.ndarray
    pre_image: np.ndarray
    parameters: ChangeResponseParameters

    def only(self, chosen: Booleans) -> _Pairs:
        """Return the chosen pairs."""
        return _Pairs(
            self.rows[chosen],
            self.change[:, chosen],
            self.pre[:, chosen],
            self.change_baseline[:, chosen],
            self.pre_baseline[:, chosen],
            self.change_image[chosen],
            self.pre_image[chosen],
            self.parameters,
        )

    def index_by_image(self) -> Floats:
        """Return (n_units,) the index averaged over the images that have both kinds of flash."""
        shown = sorted(set(self.change_image) & set(self.pre_image))
        indices = np.full((self.change.shape[0], len(shown)), np.nan)
        for column, name in enumerate(shown):
            indices[:, column] = self._index(self.change_image == name, self.pre_image == name)
        return mean_of_known(indices)

    def index_pooled(self) -> Floats:
        """Return (n_units,) the index of all images pooled."""
        every = np.ones(self.rows.size, dtype=np.bool_)
        return self._index(every, every)

    def _index(self, change: Booleans, pre: Booleans) -> Floats:
        window = self.parameters.modulation_window_s
        before = self.parameters.modulation_baseline_window_s
        c = mean_rate_hz(self.change[:, change], window) - mean_rate_hz(self.change_baseline, before)
        p = mean_rate_hz(self.pre[:, pre], window) - mean_rate_hz(self.pre_baseline, before)
        return np.clip(ratio(c - p, c + p), -1, 1)


def _pairs(
    count: Counter, presentations: pd.DataFrame, changes: Integers, parameters: ChangeResponseParameters
) -> _Pairs:
    window, baseline = parameters.modulation_window_s, parameters.modulation_baseline_window_s
    before, times = image_before(presentations)[changes], start_times(presentations)
    names = image_names(presentations).to_numpy(object)
    return _Pairs(
        rows=changes,
        change=count(times[changes], window),
        pre=count(times[before], window),
        change_baseline=count(times[changes], baseline),
        pre_baseline=count(times[before], baseline),
        change_image=names[changes],
        pre_image=names[before],
        parameters=parameters,
    )


def _modulation(pairs: _Pairs) -> dict[str, object]:
    window = pairs.parameters.modulation_window_s
    return {
        "n_pairs": pairs.rows.size,
        "change_rate_hz": mean_rate_hz(pairs.change, window),
        "pre_change_rate_hz": mean_rate_hz(pairs.pre, window),
        **_tested("modulation", pairs.change - pairs.pre),
        "change_modulation": pairs.index_by_image(),
        "change_modulation_pooled": pairs.index_pooled(),
    }


def mean_rate_hz(counts: NDArray[np.int32], window: Window) -> Floats:
    """Return (n_units,) mean rates in Hz, given counts (n_units, n_events); NaN without events."""
    if counts.shape[1] == 0:
        return np.full(counts.shape[0], np.nan)
    return np.asarray(counts.mean(axis=1) / window_length_s(window))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element-wise; NaN where the denominator is 0 or a rounding error."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=np.abs(denominator) > _ROUNDING_HZ)
    return result


def mean_of_known(values: Floats) -> Floats:
    """Return (n_units,) means over columns, ignoring NaN; NaN where all are."""
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / np.where(n > 0, n, np.nan))


def median_of_known(values: Floats) -> Floats:
    """Return (n_units,) medians over columns, ignoring NaN; NaN where all are."""
    result = np.full(values.shape[0], np.nan)
    known = ~np.isnan(values).all(axis=1)
    if known.any():
        result[known] = np.nanmedian(values[known], axis=1)
    return result


def _half_maximum(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    events: Floats,
    parameters: ChangeResponseParameters,
) -> Floats:
    """Return (n_units,) seconds from the change to half the peak of the smoothed rate above baseline."""
    (base_start, base_stop), (start, stop) = parameters.baseline_window_s, parameters.half_maximum_window_s
    # A margin on both sides keeps edge effects of the smoothing out of the windows.
    margin = np.ceil(4 * parameters.smoothing_s / _CURVE_BIN_S)
    first = np.floor(min(base_start, start) / _CURVE_BIN_S + 1e-6) - margin
    last = np.ceil(max(base_stop, stop) / _CURVE_BIN_S - 1e-6) + margin
    axis = TimeAxis(first * _CURVE_BIN_S, last * _CURVE_BIN_S, _CURVE_BIN_S)
    rate = count_spikes(spike_times, offsets, n_spikes, events, axis).total.astype(np.float64)
    if parameters.smoothing_s > 0 and rate.size:
        from scipy.ndimage import gaussian_filter1d  # the import takes a tenth of a second

        rate = gaussian_filter1d(rate, parameters.smoothing_s / _CURVE_BIN_S, axis=1, truncate=4)
    evoked = rate - rate[:, axis.bins_within(base_start, base_stop)].mean(axis=1, keepdims=True)
    within = axis.bins_within(start, stop)
    return half_maximum_latency(evoked[:, within], axis.centers_s[within])


def half_maximum_latency(curves: Floats, times_s: Floats) -> Floats:
    """Find when curves last rise through half of their peak, before the peak.

    Parameters
    ----------
    curves : (n_units, n_bins) rates minus the baseline.
    times_s : (n_bins,) seconds.

    Returns
    -------
    (n_units,) seconds
        Interpolated linearly between the last bin before the peak that is at or below half of it and the next
        bin. NaN where the peak is not above 0, or every bin before it is above half.

    Notes
    -----
    The rule of Bennett 2025 (``get_latency2``) is the last time at or below 50 % of the normalised curve. We
    search only before the peak, since a response falls again.
    """
    peak = curves.argmax(axis=1) if curves.shape[1] else np.zeros(curves.shape[0], dtype=np.int64)
    latency = np.full(curves.shape[0], np.nan)
    for row, (curve, top) in enumerate(zip(curves, peak.tolist(), strict=True)):
        if not curve.size or not curve[top] > _ROUNDING_HZ:
            continue
        half = curve[top] / 2
        below = np.flatnonzero(curve[:top] <= half)
        if below.size:
            k = below[-1]
            share = (half - curve[k]) / (curve[k + 1] - curve[k])
            latency[row] = times_s[k] + share * (times_s[k + 1] - times_s[k])
    return latency
