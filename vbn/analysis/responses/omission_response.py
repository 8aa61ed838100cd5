"""Responses of units to omitted flashes.

An omission's start_time is when the image would have appeared. A unit that responds to images is silent then;
one that responds to omissions fires, early or late in the 750 ms before the next flash.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.change_response import mean_rate_hz, ratio
from vbn.analysis.responses.flash_selection import CONDITIONS, EITHER, image_before, is_in_condition
from vbn.analysis.spikes.trains import Floats, Integers
from vbn.analysis.spikes.windows import (
    Window,
    check_equal_lengths,
    check_max_q_value,
    check_windows,
    count_in_windows,
)
from vbn.analysis.statistics import benjamini_hochberg, exact_signed_rank_p_values
from vbn.analysis.task.presentations import NO_ROW, is_flash, is_omission, start_times


@dataclass(frozen=True)
class OmissionResponseParameters:
    """Windows in seconds relative to the expected onset, half open and equally long.

    Parameters
    ----------
    early_window_s : first half of the time until the next flash (our choice).
    late_window_s : 400 to 750 ms, from which omissions are decoded best in VISp (Zidaric,
        visual-omission-decoding).
    baseline_window_s : the 350 ms before, which are 400 to 750 ms after the previous flash: the same phase as
        the late window.
    max_q_value : units with at most this q are responsive.
    """

    early_window_s: Window = (0.05, 0.4)
    late_window_s: Window = (0.4, 0.75)
    baseline_window_s: Window = (-0.35, 0.0)
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        windows = ("early_window_s", "late_window_s", "baseline_window_s")
        check_windows(self, *windows)
        check_equal_lengths(self, *windows)
        check_max_q_value(self)


DEFAULT = OmissionResponseParameters()


def omission_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    parameters: OmissionResponseParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's response to omitted flashes.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), active, image_name, is_change, omitted.
    parameters : windows and threshold.

    Returns
    -------
    DataFrame
        One row per unit, in input order. For each condition C, active and passive:

        * n_omissions_C: number of omissions;
        * baseline_rate_C_hz, early_rate_C_hz, late_rate_C_hz: mean rates in the windows;
        * flash_rate_C_hz: mean rate in the early window of the flash before the omission;
        * early_index_C, late_index_C: (rate - baseline) / (rate + baseline);
        * flash_index_C: (early - flash) / (early + flash), below 0 where the unit responds to the image;
        * p_early_C, p_late_C: two-sided paired Wilcoxon tests against the baseline.

        Then p_value (both conditions together; the smaller p of the two windows, doubled), q_value (over
        units), sign (1 if the rate rises in the window with the smaller p, -1 if it falls, 0 if neither) and
        is_responsive (q at most max_q_value, in either direction).

        Rates, indices and p are NaN without omissions, indices also where both rates are 0; p is 1 where all
        differences are 0.

    Notes
    -----
    Both conditions are pooled for q because a session has few omissions (3 % of the flashes), and tests on
    few pairs cannot reach significance once corrected for many units.
    """
    count = partial(count_in_windows, spike_times, offsets, n_spikes)
    times = start_times(presentations)
    columns: dict[str, object] = {}
    for condition in CONDITIONS:
        rows = _omissions(presentations, condition)
        before = image_before(presentations)[rows]
        before = before[(before != NO_ROW) & is_flash(presentations)[before]]
        flash_hz = mean_rate_hz(count(times[before], parameters.early_window_s), parameters.early_window_s)
        windows = _Windows.counted(count, times[rows], parameters)
        columns |= {f"n_omissions_{condition}": rows.size, **windows.columns(condition, flash_hz)}
    pooled = _Windows.counted(count, times[_omissions(presentations, EITHER)], parameters)
    p, sign = pooled.combined()
    q = benjamini_hochberg(p)
    columns |= {"p_value": p, "q_value": q, "sign": sign, "is_responsive": q <= parameters.max_q_value}
    return pd.DataFrame(columns)


def _omissions(presentations: pd.DataFrame, condition: str) -> Integers:
    return np.flatnonzero(is_omission(presentations) & is_in_condition(presentations, condition))


@dataclass(frozen=True)
class _Windows:
    """Spike counts (n_units, n_omissions) in the three windows."""

    baseline: NDArray[np.int32]
    early: NDArray[np.int32]
    late: NDArray[np.int32]
    window: Window  # any of the three: they are equally long

    @classmethod
    def counted(
        cls, count: partial[NDArray[np.int32]], events: Floats, parameters: OmissionResponseParameters
    ) -> _Windows:
        return cls(
            baseline=count(events, parameters.baseline_window_s),
            early=count(events, parameters.early_window_s),
            late=count(events, parameters.late_window_s),
            window=parameters.early_window_s,
        )

    def columns(self, condition: str, flash_hz: Floats) -> dict[str, object]:
        rates = (mean_rate_hz(counts, self.window) for counts in (self.baseline, self.early, self.late))
        baseline, early, late = rates
        return {
            f"baseline_rate_{condition}_hz": baseline,
            f"early_rate_{condition}_hz": early,
            f"late_rate_{condition}_hz": late,
            f"flash_rate_{condition}_hz": flash_hz,
            f"early_index_{condition}": ratio(early - baseline, early + baseline),
            f"late_index_{condition}": ratio(late - baseline, late + baseline),
            f"flash_index_{condition}": ratio(early - flash_hz, early + flash_hz),
            f"p_early_{condition}": exact_signed_rank_p_values(self.early - self.baseline),
            f"p_late_{condition}": exact_signed_rank_p_values(self.late - self.baseline),
        }

    def combined(self) -> tuple[Floats, Integers]:
        """Return (n_units,) Bonferroni-corrected p, and the sign of the change where p is smaller."""
        early, late = self.early - self.baseline, self.late - self.baseline
        p_early, p_late = exact_signed_rank_p_values(early), exact_signed_rank_p_values(late)
        change = np.where(p_early <= p_late, early.sum(axis=1), late.sum(axis=1))
        return np.minimum(1.0, 2 * np.minimum(p_early, p_late)), np.sign(change).astype(np.int64)
