"""Modulation of firing by running and by pupil size.

There are two measures. Over flashes: rates during flashes in a high state against those in a low state
(AllenSDK's ``running_modulation``). Over time: the correlation of firing rate and state in bins of one
second, which also works for units that no image drives. A *state* is a number per flash or bin, running speed
or pupil area; flashes and bins where it is unknown (NaN) are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.change_response import mean_rate_hz
from vbn.analysis.responses.flash_selection import check_condition, is_repeated_image
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.spikes.windows import (
    Window,
    check_windows,
    count_in_windows,
    mean_in_windows,
    window_length_s,
)
from vbn.analysis.statistics import benjamini_hochberg, kruskal_wallis_p_values
from vbn.analysis.task.presentations import start_times

_ROUNDING = 1e-9


@dataclass(frozen=True)
class StateModulationParameters:
    """Parameters of the comparison of firing between states.

    Parameters
    ----------
    response_window_s : window in which spikes are counted and the state is averaged, in seconds relative to
        the start of a flash, half open.
    condition : flashes of the ``active`` block, the ``passive`` one, or ``either``.
    running_threshold_cm_s : the mouse is running at or above this mean speed (AllenSDK: 1 cm/s).
    min_events : with fewer flashes in either state there is no index and no test (AllenSDK: 2).
    bin_s : bin width of the correlation (our choice).
    min_shift_s : minimum circular shift in the correlation's null distribution (our choice).
    """

    response_window_s: Window = (0.0, 0.25)
    condition: str = "active"
    running_threshold_cm_s: float = 1.0
    min_events: int = 2
    bin_s: float = 1.0
    min_shift_s: float = 10.0

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s")
        check_condition(self.condition)
        if not np.isfinite(self.running_threshold_cm_s):
            raise ValueError(f"running_threshold_cm_s must be a number, got {self.running_threshold_cm_s}.")
        if self.min_events < 2:
            raise ValueError(f"min_events must be 2 or more, got {self.min_events}.")
        if not 0 < self.bin_s <= self.min_shift_s < np.inf:
            raise ValueError(
                "bin_s must be a positive number of seconds and min_shift_s at least that, got "
                f"{self.bin_s} and {self.min_shift_s}."
            )


DEFAULT = StateModulationParameters()


def running_modulation(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    running: tuple[ArrayLike, ArrayLike],
    parameters: StateModulationParameters = DEFAULT,
) -> pd.DataFrame:
    """Compare firing between running and standing.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), active, image_name, is_change, omitted.
    running : times (n_samples,) in seconds, ascending, and speed (n_samples,) in cm/s; may be empty.
    parameters : window, condition, threshold and bins.

    Returns
    -------
    DataFrame
        Columns of `state_modulation` and `state_correlation`. The state is *high* if the mean speed over the
        flash is at or above the threshold.
    """
    return _modulation(
        spike_times,
        offsets,
        n_spikes,
        presentations,
        running,
        parameters.running_threshold_cm_s,
        parameters,
    )


def pupil_modulation(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    pupil: tuple[ArrayLike, ArrayLike, ArrayLike] | None,
    parameters: StateModulationParameters = DEFAULT,
) -> pd.DataFrame:
    """Compare firing between a wide and a narrow pupil.

    Parameters
    ----------
    spike_times, offsets, n_spikes, presentations : as for `running_modulation`.
    pupil : times (n_frames,) in seconds, ascending, area (n_frames,) in pixels squared, and likely_blink
        (n_frames,) True for frames to ignore; None without eye tracking.
    parameters : window, condition and bins.

    Returns
    -------
    DataFrame
        Columns of `state_modulation` and `state_correlation`. The state is *high* if the mean area over the
        flash is above the median of all flashes that have one. All NaN (n_high and n_low 0) without eye
        tracking or if all frames are blinks.
    """
    times, area = _without_blinks(pupil)
    return _modulation(spike_times, offsets, n_spikes, presentations, (times, area), None, parameters)


def _without_blinks(pupil: tuple[ArrayLike, ArrayLike, ArrayLike] | None) -> tuple[Floats, Floats]:
    if pupil is None:
        return np.empty(0), np.empty(0)
    times, area = (np.asarray(part, dtype=np.float64) for part in pupil[:2])
    blink = np.asarray(pupil[2], dtype=np.bool_)
    if not times.shape == area.shape == blink.shape:
        raise ValueError(
            f"A pupil needs times, area and likely_blink of one length, got {times.shape}, {area.shape} "
            f"and {blink.shape}."
        )
    return times[~blink], area[~blink]


def _modulation(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    trace: tuple[ArrayLike, ArrayLike],
    threshold: float | None,
    parameters: StateModulationParameters,
) -> pd.DataFrame:
    """Return both measures; without a threshold, states above the median are high."""
    window, bin_window = parameters.response_window_s, (0.0, parameters.bin_s)
    events = start_times(presentations)[is_repeated_image(presentations, parameters.condition)]
    state = mean_in_windows(*trace, events, window)
    events, state = events[np.isfinite(state)], state[np.isfinite(state)]
    is_high = state >= threshold if threshold is not None else state > _median(state)
    counts = count_in_windows(spike_times, offsets, n_spikes, events, window)
    table = state_modulation(counts, is_high, window_length_s(window), parameters.min_events)
    bins = _bins(presentations, parameters.bin_s)
    binned_state = mean_in_windows(*trace, bins, bin_window)
    known = np.isfinite(binned_state)
    binned = count_in_windows(spike_times, offsets, n_spikes, bins[known], bin_window)
    n_shift = int(np.ceil(parameters.min_shift_s / parameters.bin_s - 1e-9))
    return table.join(state_correlation(binned, binned_state[known], n_shift))


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else np.nan


def _bins(presentations: pd.DataFrame, bin_s: float) -> Floats:
    """Return the starts of the bins from the first to the last presentation of any stimulus."""
    starts = start_times(presentations)
    if starts.size == 0:
        return np.empty(0)
    n = int((starts.max() - starts.min()) / bin_s)
    return np.asarray(starts.min() + np.arange(n) * bin_s)


def state_modulation(
    counts: ArrayLike, is_high: ArrayLike, duration_s: float, min_events: int = 2
) -> pd.DataFrame:
    """Compare spike counts between events in a high and in a low state.

    Parameters
    ----------
    counts : (n_units, n_events) spikes.
    is_high : (n_events,) True for events in the high state.
    duration_s : length of the counting window in seconds.
    min_events : with fewer events in either state there is no index and no test; 2 or more.

    Returns
    -------
    DataFrame
        One row per unit, in input order:

        * n_high, n_low: number of events in each state;
        * high_rate_hz, low_rate_hz: mean rates; NaN without events in the state;
        * modulation_index: (high - low) / high where high is greater, else -(low - high) / low: -1 to 1;
        * p_value, q_value: two-sided Welch's t-test, and its q-value over units;
        * p_rank_sum, q_rank_sum: two-sided rank-sum test, and its q-value over units.

        Index and p are NaN with fewer than min_events events in either state; the index also for a silent
        unit, p_value also where counts vary in neither state. p_rank_sum is 1 where all counts are equal.

    Notes
    -----
    Index and Welch's test are those of AllenSDK's ``stimulus_analysis.running_modulation``. With only a
    handful of events in one state, which by chance may all have no spike and so no variance, Welch's test is
    significant far too often; the rank-sum test (our choice) is not.
    """
    values, high = np.asarray(counts), np.asarray(is_high, dtype=np.bool_)
    if values.ndim != 2 or high.shape != values.shape[1:]:
        raise ValueError(
            f"counts must be (n_units, n_events), is_high (n_events,): {values.shape}, {high.shape}."
        )
    window = (0.0, duration_s)
    high_hz, low_hz = mean_rate_hz(values[:, high], window), mean_rate_hz(values[:, ~high], window)
    enough = min(np.count_nonzero(high), np.count_nonzero(~high)) >= max(min_events, 2)
    index, p, p_rank = np.full((3, values.shape[0]), np.nan)
    if enough:
        greater = np.maximum(high_hz, low_hz)
        np.divide(high_hz - low_hz, greater, out=index, where=greater > 0)
        p = welch_p_values(values[:, high], values[:, ~high])
        p_rank = kruskal_wallis_p_values(values, high)
    columns = {
        "n_high": np.count_nonzero(high),
        "n_low": np.count_nonzero(~high),
        "high_rate_hz": high_hz,
        "low_rate_hz": low_hz,
        "modulation_index": index,
        "p_value": p,
        "q_value": benjamini_hochberg(p),
        "p_rank_sum": p_rank,
        "q_rank_sum": benjamini_hochberg(p_rank),
    }
    return pd.DataFrame(columns)


def welch_p_values(first: NDArray[np.int32], second: NDArray[np.int32]) -> Floats:
    """Return the two-sided p-value of Welch's t-test for every unit.

    Parameters
    ----------
    first, second : (n_units, n_events), at least two events each.

    Returns
    -------
    (n_units,) p-values, as `scipy.stats.ttest_ind` with ``equal_var=False`` gives them; NaN where the values
    vary in neither group.
    """
    errors = [group.var(axis=1, ddof=1) / group.shape[1] for group in (first, second)]
    total = errors[0] + errors[1]
    varies = total > _ROUNDING
    total, errors = total[varies], [error[varies] for error in errors]
    t = (first.mean(axis=1) - second.mean(axis=1))[varies] / np.sqrt(total)
    # Welch-Satterthwaite
    freedom = total**2 / (errors[0] ** 2 / (first.shape[1] - 1) + errors[1] ** 2 / (second.shape[1] - 1))
    p = np.full(varies.shape, np.nan)
    p[varies] = 2 * scipy.special.stdtr(freedom, -np.abs(t))
    return p


def state_correlation(counts: ArrayLike, state: ArrayLike, min_shift: int = 10) -> pd.DataFrame:
    """Correlate the spike counts of every unit with a state.

    Parameters
    ----------
    counts : (n_units, n_bins) spikes.
    state : (n_bins,) finite numbers.
    min_shift : minimum shift in the null distribution, in bins; 1 or more.

    Returns
    -------
    DataFrame
        One row per unit: n_bins, pearson_r, spearman_r, p_correlation (of spearman_r, two-sided) and
        q_correlation (over units). NaN where counts or state do not vary; p and q also with too few bins for
        a shift.

    Notes
    -----
    Firing and state are autocorrelated, so slow drifts correlate by chance far more often than a test of
    independent bins allows for (Harris 2020, "Nonsense correlations in neuroscience"). The p-value is
    therefore the fraction of circular shifts of the state against the spikes, including no shift, with a
    correlation at least as strong.
    """
    values, x = np.asarray(counts), np.asarray(state, dtype=np.float64)
    if values.ndim != 2 or x.shape != values.shape[1:] or not np.isfinite(x).all():
        raise ValueError(
            f"counts must be (n_units, n_bins), state (n_bins,) finite: got {values.shape}, {x.shape}."
        )
    if min_shift < 1:
        raise ValueError(f"min_shift must be 1 or more bins, got {min_shift}.")
    results = np.full((values.shape[0], 3), np.nan)
    if x.size:
        trace = _Trace.of(x)
        for row, unit in enumerate(values):
            results[row] = _correlations(unit, trace, min_shift)
    columns = {
        "n_bins": x.size,
        "pearson_r": results[:, 0],
        "spearman_r": results[:, 1],
        "p_correlation": results[:, 2],
        "q_correlation": benjamini_hochberg(results[:, 2]),
    }
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class _Trace:
    """A state, prepared for correlation with many units."""

    deviation: Floats  # (n_bins,) from the mean
    ranks: Floats  # (n_bins,) less their mean
    spectrum: NDArray[
        np.complex128
    ]  # of the ranks, repeated once and padded to a length that is fast to transform
    padded: int

    @classmethod
    def of(cls, state: Floats) -> _Trace:
        from scipy.stats import rankdata  # the import takes half a second

        ranks = rankdata(state) - (state.size + 1) / 2
        padded = int(scipy.fft.next_fast_len(2 * state.size, real=True))
        return cls(state - state.mean(), ranks, scipy.fft.rfft(np.tile(ranks, 2), padded), padded)

    def shifted_products(self, values: Floats) -> Floats:
        """Return (n_bins,) the sums over bins of values times ranks shifted circularly by 0, 1, ... bins."""
        spectrum = scipy.fft.rfft(values, self.padded).conj() * self.spectrum
        return np.asarray(scipy.fft.irfft(spectrum, self.padded)[: values.size])


def _correlations(counts: NDArray[np.int64], trace: _Trace, min_shift: int) -> tuple[float, float, float]:
    """Return Pearson's and Spearman's r of one unit, and the p-value of the latter."""
    # Counts take few different values, so a look-up table of ranks is faster than sorting.
    ties = np.bincount(counts)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[counts] - (counts.size + 1) / 2
    spearman = _correlation(ranks, trace.ranks)
    p = np.nan if np.isnan(spearman) else _shifted_p_value(trace.shifted_products(ranks), min_shift)
    return _correlation(counts - counts.mean(), trace.deviation), spearman, p


def _correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's r, given deviations from the mean; NaN where either is constant."""
    size = np.sqrt((first @ first) * (second @ second))
    return float(np.clip(first @ second / size, -1, 1)) if size > _ROUNDING else np.nan


def _shifted_p_value(products: Floats, min_shift: int) -> float:
    """Return the fraction of circular shifts, including 0, with a correlation at least as strong."""
    strength, n = np.abs(products), products.size
    if n < 2 * min_shift:
        return np.nan
    others = strength[min_shift : n - min_shift + 1]
    return float((1 + np.count_nonzero(others >= strength[0] * (1 - _ROUNDING))) / (1 + others.size))
