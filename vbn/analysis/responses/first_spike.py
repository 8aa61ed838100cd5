"""When units first spike after changes, beside when a unit without a response would.

The median first spike in a window follows the rate of a unit: with one true onset of 50 ms, it is 52 ms at a
baseline of 30 Hz, and 84 ms at 2 Hz; `vbn.analysis.responses.onset_latency` does not. It is here because
Siegle et al. 2021 (Fig. 4) order areas by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.responses.change_response import median_of_known, siegle_changes
from vbn.analysis.spikes.trains import Booleans, Floats
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
from vbn.analysis.task.presentations import start_times


@dataclass(frozen=True)
class FirstSpikeParameters:
    """Windows in seconds relative to changes, and what a median must be to be given.

    Parameters
    ----------
    window_s : where the first spike is searched, without its start (Siegle 2021: 30 to 150 ms).
    baseline_window_s : gray before, as long; its rate is that of the unit without a response.
    max_q_value : units with at most this q respond.
    min_spikes : least number of changes with a spike.
    max_sd_s : medians that vary as much over resamples of the changes, or more, are not given.
    chance_margin_s : nor are those whose interval comes as near to the median without a response.
    """

    window_s: Window = (0.03, 0.15)
    baseline_window_s: Window = (-0.12, 0.0)
    max_q_value: float = 0.05
    min_spikes: int = 5
    max_sd_s: float = 0.01
    chance_margin_s: float = 0.005

    def __post_init__(self) -> None:
        check_windows(self, "window_s", "baseline_window_s")
        check_equal_lengths(self, "window_s", "baseline_window_s")
        check_max_q_value(self)
        if not (self.min_spikes >= 1 and self.max_sd_s > 0 and 0 <= self.chance_margin_s < np.inf):
            raise ValueError(
                "min_spikes must be 1 or more, max_sd_s above 0 and chance_margin_s 0 or more, got "
                f"{self.min_spikes}, {self.max_sd_s} and {self.chance_margin_s}."
            )


DEFAULT = FirstSpikeParameters()


def first_spike_latency(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    trials: pd.DataFrame,
    parameters: FirstSpikeParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's first spike after the changes of Siegle 2021, whether the mouse is engaged or not.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations, trials : as for `vbn.analysis.responses.change_response.change_response`.
    parameters : windows, and what a median must be.

    Returns
    -------
    DataFrame
        One row per unit, in input order:

        * n_changes: hits and misses without an early lick;
        * share: of them that have a spike in the window;
        * siegle_2021_latency_s: median first spike of these, given for every unit with a spike;
        * poisson_latency_s: `poisson_median_s` of the rate in the gray before;
        * p_response, q_response: two-sided paired Wilcoxon test between both windows, and over units;
        * siegle_2021_response_latency_s: the median where it says something of a response: the unit is
          excited, q at most max_q_value, at least min_spikes changes have a spike, the median is known to
          max_sd_s, and differs from chance; siegle_2021_response_latency_low_s and
          siegle_2021_response_latency_high_s: its 95 % interval over resamples of the changes.

        Missing without changes.
    """
    spikes = spike_times, offsets, n_spikes
    changes_s = start_times(presentations)[siegle_changes(presentations, trials)]
    before, after = (
        count_in_windows(*spikes, changes_s, window)
        for window in (parameters.baseline_window_s, parameters.window_s)
    )
    p = exact_signed_rank_p_values(after - before)
    q = benjamini_hochberg(p)
    first = first_spikes_in_windows(*spikes, changes_s, parameters.window_s)
    first[first <= parameters.window_s[0]] = np.nan
    median = median_of_known(first)
    n_before = before.sum(axis=1)
    with np.errstate(invalid="ignore"):
        rate_hz = n_before / np.float64(changes_s.size * window_length_s(parameters.baseline_window_s))
    chance = poisson_median_s(rate_hz, parameters.window_s)
    excited = (q <= parameters.max_q_value) & (after.sum(axis=1) > n_before)
    low, high = _intervals(first, excited, parameters)
    given = (low > chance + parameters.chance_margin_s) | (high < chance - parameters.chance_margin_s)
    return pd.DataFrame(
        {
            "n_changes": changes_s.size,
            "share": np.isfinite(first).mean(axis=1) if changes_s.size else np.full(p.size, np.nan),
            "siegle_2021_latency_s": median,
            "poisson_latency_s": chance,
            "p_response": p,
            "q_response": q,
            "siegle_2021_response_latency_s": np.where(given, median, np.nan),
            "siegle_2021_response_latency_low_s": np.where(given, low, np.nan),
            "siegle_2021_response_latency_high_s": np.where(given, high, np.nan),
        }
    )


def poisson_median_s(rate_hz: Floats, window_s: Window) -> Floats:
    """Return the median first spike in a window, where there is one, of Poisson units of constant rates.

    Parameters
    ----------
    rate_hz : (n_units,) rates.
    window_s : start and stop in seconds after an event.

    Returns
    -------
    (n_units,) seconds after the event; of a rate of 0 the middle of the window, which is the limit.

    Notes
    -----
    The start less ``ln(1 - (1 - exp(-r d)) / 2) / r``, of rate r in a window of length d.

    Examples
    --------
    >>> (1000 * poisson_median_s(np.array([2.0, 10.0, 30.0]), (0.03, 0.15))).round(1).tolist()
    [86.4, 73.0, 52.2]
    """
    length_s = window_length_s(window_s)
    rate = np.where(rate_hz == 0, 1e-6, rate_hz)  # by the formula a nanosecond from the limit
    return np.asarray(window_s[0] - np.log1p(np.expm1(-rate * length_s) / 2) / rate)


def _intervals(first: Floats, wanted: Booleans, parameters: FirstSpikeParameters) -> tuple[Floats, Floats]:
    """Return (n_units,) limits of the medians over resamples of the changes; NaN where they are not known.

    That of as many resamples as there are is known: the median of n values drawn from n is the k-th in order
    with the probability of a beta distribution (Maritz & Jarrett 1978, J. Am. Stat. Assoc. 73:194).
    """
    low, high = np.full(len(first), np.nan), np.full(len(first), np.nan)
    for unit in np.flatnonzero(wanted):
        values = np.sort(first[unit][~np.isnan(first[unit])])
        n = values.size
        if n < parameters.min_spikes:
            continue
        up_to = scipy.special.betainc((n + 1) / 2, (n + 1) / 2, np.arange(n + 1) / n)
        weights = np.diff(up_to)
        sd_s = np.sqrt(np.average((values - np.average(values, weights=weights)) ** 2, weights=weights))
        if sd_s < parameters.max_sd_s:
            low[unit], high[unit] = values[np.searchsorted(up_to[1:], (0.025, 0.975))]
    return low, high
