"""Modulation of firing by running and by pupil size.

There are two measures. Over flashes: rates during flashes in a high state against those in a low state
(AllenSDK's ``running_modulation``). Over time: the correlation of firing rate and state in bins of one
second, in the task and in the replay, which also works for units that no image drives. A *state* is a number
per flash or bin, running speed or pupil area; flashes and bins where it is unknown (NaN) are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.change_response import mean_rate_hz
from vbn.analysis.responses.flash_selection import (
    CONDITIONS,
    check_condition,
    is_in_condition,
    is_repeated_image,
)
from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.spikes.windows import (
    Window,
    check_windows,
    count_in_windows,
    mean_in_windows,
    window_length_s,
)
from vbn.analysis.statistics import benjamini_hochberg
from vbn.analysis.task.presentations import is_change, start_times

_ROUNDING = 1e-9
_AT_ONCE = 8  # units whose signals are transformed together: fewer calls, within a processor's cache
CHANGE_S = 0.75
"""Mice stop for their reward, and pupils widen, after a change: the flash of a change is not correlated."""
SHIFTED_SHARE = 0.25
"""Part of a block by which states are shifted to either side: the other half is what is correlated."""
MIN_SHIFTS = 19
"""With fewer shifts to either side, no p could be 0.05."""


@dataclass(frozen=True)
class StateModulationParameters:
    """Parameters of the comparison of firing between states.

    Parameters
    ----------
    response_window_s : window in which spikes are counted and the state is averaged, in seconds relative to
        the start of a flash, half open.
    condition : flashes of the ``active`` block, the ``passive`` one, or ``either``; correlations are
        given for both blocks in any case.
    running_threshold_cm_s : the mouse is running at or above this mean speed (AllenSDK: 1 cm/s).
    min_events : with fewer flashes in either state there is no index and no test (AllenSDK: 2).
    bin_s : bin width of the correlation (our choice).
    """

    response_window_s: Window = (0.0, 0.25)
    condition: str = "active"
    running_threshold_cm_s: float = 1.0
    min_events: int = 2
    bin_s: float = 1.0

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s")
        check_condition(self.condition)
        if not np.isfinite(self.running_threshold_cm_s):
            raise ValueError(f"running_threshold_cm_s must be a number, got {self.running_threshold_cm_s}.")
        if self.min_events < 2:
            raise ValueError(f"min_events must be 2 or more, got {self.min_events}.")
        if not 0 < self.bin_s < np.inf:
            raise ValueError(f"bin_s must be a positive number of seconds, got {self.bin_s}.")


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
        Columns of `state_modulation`, and of `state_correlation` for either block, ending in ``_active`` and
        ``_passive``. The state is *high* if the mean speed over the flash is at or above the threshold.

    Notes
    -----
    Correlated are bins from the first to the last flash of a block, without those that meet the `CHANGE_S`
    after an image change: what a unit fires to changes would go along with the mouse's stop for its reward.
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
        Columns as of `running_modulation`. The state is *high* if the mean area over the flash is above the
        median of all flashes that have one. All NaN (counts 0) without eye tracking or if all frames are
        blinks.
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
    for condition in CONDITIONS:
        bins = _bins(presentations, condition, parameters.bin_s)
        binned = count_in_windows(spike_times, offsets, n_spikes, bins, bin_window)
        used = ~_has_change(presentations, bins, parameters.bin_s)
        correlation = state_correlation(binned, mean_in_windows(*trace, bins, bin_window), used)
        table = table.join(correlation.add_suffix(f"_{condition}"))
    return table


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else np.nan


def _bins(presentations: pd.DataFrame, condition: str, bin_s: float) -> Floats:
    """Return the starts of the bins from the first to the last flash or omission of a condition."""
    starts = start_times(presentations)[is_in_condition(presentations, condition)]
    if starts.size == 0:
        return np.empty(0)
    n = int((starts.max() - starts.min()) / bin_s)
    return np.asarray(starts.min() + np.arange(n) * bin_s)


def _has_change(presentations: pd.DataFrame, bins: Floats, bin_s: float) -> Booleans:
    """Return (n_bins,) True where a bin meets the `CHANGE_S` after an image change."""
    changes = np.sort(start_times(presentations)[is_change(presentations)])
    first, last = (np.searchsorted(changes, bins + edge) for edge in (-CHANGE_S, bin_s))
    return np.asarray(last > first)


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
        * allensdk_modulation_index: (high - low) / high where high is greater, else -(low - high) / low: -1
          to 1;
        * allensdk_p_value: two-sided Welch's t-test.

        Index and p are NaN with fewer than min_events events in either state; the index also for a silent
        unit, p also where counts vary in neither state.

    Notes
    -----
    Index and Welch's test are those of AllenSDK's ``stimulus_analysis.running_modulation``. The test takes
    successive events for independent: where firing and state change slowly, whatever the one has to do with
    the other, half of all units have p <= .05. So it has, too often, with only a handful of events in one
    state, which by chance may all have no spike and so no variance. The index is a ratio of noisy means: of
    units of 0.1 Hz, or that were lost for a while, it is above 0 on average, since there are few events at
    rest, and the fewer spikes these have the nearer it is to 1.
    """
    values, high = np.asarray(counts), np.asarray(is_high, dtype=np.bool_)
    if values.ndim != 2 or high.shape != values.shape[1:]:
        raise ValueError(
            f"counts must be (n_units, n_events), is_high (n_events,): {values.shape}, {high.shape}."
        )
    window = (0.0, duration_s)
    high_hz, low_hz = mean_rate_hz(values[:, high], window), mean_rate_hz(values[:, ~high], window)
    enough = min(np.count_nonzero(high), np.count_nonzero(~high)) >= max(min_events, 2)
    index, p = np.full((2, values.shape[0]), np.nan)
    if enough:
        greater = np.maximum(high_hz, low_hz)
        np.divide(high_hz - low_hz, greater, out=index, where=greater > 0)
        p = welch_p_values(values[:, high], values[:, ~high])
    columns = {
        "n_high": np.count_nonzero(high),
        "n_low": np.count_nonzero(~high),
        "high_rate_hz": high_hz,
        "low_rate_hz": low_hz,
        "allensdk_modulation_index": index,
        "allensdk_p_value": p,
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


def state_correlation(counts: ArrayLike, state: ArrayLike, used: ArrayLike | None = None) -> pd.DataFrame:
    """Correlate the spike counts of every unit with a state, within one block.

    Parameters
    ----------
    counts : (n_units, n_bins) spikes in successive bins.
    state : (n_bins,) numbers; not finite where the state is unknown.
    used : (n_bins,) False for bins whose spikes are left out; all are used if None.

    Returns
    -------
    DataFrame
        One row per unit: n_bins (that are used, and whose state is known), n_shifts (to either side; 0
        without a test), spearman_r, p_shift (of the correlation, two-sided, see `linear_shift_p_values`) and
        q_shift (over units). NaN where counts or state do not vary; p and q also with fewer than
        `MIN_SHIFTS` shifts.
    """
    values, y = np.asarray(counts), np.asarray(state, dtype=np.float64)
    is_used = np.ones(y.shape, np.bool_) if used is None else np.asarray(used, dtype=np.bool_)
    if values.ndim != 2 or not y.shape == is_used.shape == values.shape[1:]:
        raise ValueError(
            "counts must be (n_units, n_bins), state and used (n_bins,): got "
            f"{values.shape}, {y.shape}, {is_used.shape}."
        )
    is_known = np.isfinite(y)
    both = is_used & is_known
    n_shifts = int(SHIFTED_SHARE * y.size)
    trace, ranks = np.full(y.size, np.nan), np.full(values.shape, np.nan)
    of_used = _ranks(values.compress(is_used, axis=1))
    trace[is_known], ranks[:, is_used] = _mean_ranks(y[is_known]), of_used
    of_both = of_used if np.array_equal(both, is_used) else _ranks(values.compress(both, axis=1))
    r = _correlations(of_both, _mean_ranks(y[both]))
    p = linear_shift_p_values(ranks, trace, n_shifts)
    is_tested = np.isfinite(p).any()
    p[np.isnan(r)] = np.nan
    columns = {
        "n_bins": np.count_nonzero(both),
        "n_shifts": n_shifts if is_tested else 0,
        "spearman_r": r,
        "p_shift": p,
        "q_shift": benjamini_hochberg(p),
    }
    return pd.DataFrame(columns)


def _mean_ranks(values: Floats) -> Floats:
    """Return the ranks from 1 on, ties the mean of theirs; `scipy.stats` takes half a second to import."""
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place])


def _ranks(counts: NDArray[np.int64]) -> Floats:
    """Return the ranks within each row, ties the mean of theirs; a look-up table is faster than sorting."""
    ranks = np.empty(counts.shape)
    for row, unit in enumerate(counts):
        ties = np.bincount(unit)
        (np.cumsum(ties) - (ties - 1) / 2).take(unit, out=ranks[row], mode="clip")  # "raise" would copy
    return ranks


def _correlations(values: Floats, trace: Floats) -> Floats:
    """Return (n_units,) Pearson's r; NaN where either is constant."""
    n = max(trace.size, 1)
    x, y = values - values.sum(axis=1, keepdims=True) / n, trace - trace.sum() / n
    size = np.sqrt((x**2).sum(axis=1) * (y @ y))
    r = np.divide(x @ y, size, out=np.full(size.shape, np.nan), where=size > _ROUNDING)
    return np.asarray(np.clip(r, -1, 1))


def linear_shift_p_values(values: ArrayLike, trace: ArrayLike, n_shifts: int) -> Floats:
    """Test by shifting in time whether signals correlate with a trace, both of which change slowly.

    Parameters
    ----------
    values : (n_units, n_bins) NaN in bins to leave out, which must be the same for all units.
    trace : (n_bins,) NaN where it is unknown.
    n_shifts : N, in bins.

    Returns
    -------
    (n_units,) p-values; NaN for N below `MIN_SHIFTS`, and where too few bins are known.

    Notes
    -----
    N bins are cut off both ends of the trace, and what is left is shifted along the signal by -N to N bins.
    If m of the 2 N + 1 absolute correlations, that without shift included, are as great as that without
    shift, then p = m / (N + 1), at most 1 (Harris 2020, "Nonsense correlations in neuroscience"). For a
    stationary signal or trace, p is at most alpha with a probability of at most alpha, however slowly both
    change: of any N + 1 successive shifts, at most m are among the m greatest of the 2 N + 1 around each.
    Unlike circular shifts, these join no end to a beginning, where a trend would make a jump.
    """
    signals, y = np.asarray(values, dtype=np.float64), np.asarray(trace, dtype=np.float64)
    p = np.full(signals.shape[0], np.nan)
    inner = y[n_shifts : y.size - n_shifts]
    if n_shifts < MIN_SHIFTS or not len(signals) or not np.isfinite(inner).any():
        return p
    stretches = _Stretches.of(inner, np.isfinite(signals[0]))
    if stretches.n.min() < MIN_SHIFTS:
        return p
    for row in range(0, len(signals), _AT_ONCE):
        strength = np.abs(stretches.correlations(signals[row : row + _AT_ONCE]))
        m = np.count_nonzero(strength >= strength[:, n_shifts, np.newaxis] - _ROUNDING, axis=1)
        p[row : row + _AT_ONCE] = np.minimum(m / (n_shifts + 1), 1.0)
    return p


@dataclass(frozen=True)
class _Stretches:
    """A trace, prepared for correlation with all stretches of its length of longer signals."""

    used: Booleans  # (n_signal,) bins of the signals
    n: Floats  # (n_stretches,) bins that both have
    total: Floats  # (n_stretches,) sum over them of the trace, less its mean
    variation: Floats  # (n_stretches,) sum over them of its squared deviations; 0 where it is constant
    spectra: NDArray[np.complex128]  # of where the trace is known, and of the trace

    @classmethod
    def of(cls, trace: Floats, used: Booleans) -> _Stretches:
        known = np.isfinite(trace)
        y = np.where(known, trace - np.mean(trace, where=known), 0.0)
        spectra = cls._spectrum(np.stack([known, y, y**2]), used.size).conj()
        n, total, squares = cls._sums(cls._spectrum(used, used.size) * spectra, used.size, trace.size)
        n = np.rint(n)
        variation = squares - total**2 / np.maximum(n, 1)
        return cls(used, n, total, np.where(variation > _ROUNDING * (y @ y), variation, 0.0), spectra[:2])

    @staticmethod
    def _spectrum(signal: NDArray[Any], n_signal: int) -> NDArray[np.complex128]:
        padded = scipy.fft.next_fast_len(n_signal, real=True)
        return np.asarray(scipy.fft.rfft(signal.astype(np.float64, copy=False), padded))

    @staticmethod
    def _sums(spectra: NDArray[np.complex128], n_signal: int, n_trace: int) -> Floats:
        padded = scipy.fft.next_fast_len(n_signal, real=True)
        return np.asarray(scipy.fft.irfft(spectra, padded)[..., : n_signal - n_trace + 1])

    def correlations(self, signals: Floats) -> Floats:
        """Return (n_signals, n_stretches) Pearson's r of (n_signals, n_signal); 0 where either varies not."""
        means = np.mean(signals, axis=1, keepdims=True, where=self.used)
        both = np.empty((2, *signals.shape))
        x = np.subtract(signals, means, out=both[0])
        x[:, ~self.used] = 0.0
        np.square(x, out=both[1])
        once, squared = self._spectrum(both, x.shape[1])
        known, trace = self.spectra
        products = np.empty((3, *once.shape), dtype=np.complex128)
        np.multiply(once, known, out=products[0])
        np.multiply(squared, known, out=products[1])
        np.multiply(once, trace, out=products[2])
        total, squares, product = self._sums(products, x.shape[1], x.shape[1] - self.n.size + 1)
        x_variation = squares - total**2 / self.n
        least = _ROUNDING * np.array([[row @ row] for row in x])
        size = np.where(x_variation > least, x_variation, 0.0) * self.variation
        covariation = product - total * self.total / self.n
        return np.asarray(np.divide(covariation, np.sqrt(size), out=np.zeros(size.shape), where=size > 0))
