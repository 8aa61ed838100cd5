"""Responses of units to full-field flashes: white (on, color 1) and black (off, color -1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.responses.change_response import mean_rate_hz, ratio
from vbn.analysis.spikes.windows import (
    Window,
    check_equal_lengths,
    check_max_q_value,
    check_windows,
    count_in_windows,
)
from vbn.analysis.statistics import benjamini_hochberg, exact_signed_rank_p_values, kruskal_wallis_p_values
from vbn.analysis.task.presentations import start_times

COLORS = {"white": 1.0, "black": -1.0}


@dataclass(frozen=True)
class FullFieldResponseParameters:
    """Windows in seconds relative to the start of a full-field flash, half open and equally long.

    Parameters
    ----------
    response_window_s : the 250 ms of the flash (AllenSDK ``Flashes``, ``trial_duration``).
    baseline_window_s : the 250 ms before, on gray.
    max_q_value : units of which twice the smaller q of the two colors is at most this are responsive: of
        these, no larger share is false than of each of the two lists at half of it, added up.
    """

    response_window_s: Window = (0.0, 0.25)
    baseline_window_s: Window = (-0.25, 0.0)
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s", "baseline_window_s")
        check_equal_lengths(self, "response_window_s", "baseline_window_s")
        check_max_q_value(self)


DEFAULT = FullFieldResponseParameters()


def full_field_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    parameters: FullFieldResponseParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's response to white and black full-field flashes.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s) and color, 1 for white, -1 for black, missing for other stimuli.
    parameters : windows and threshold.

    Returns
    -------
    DataFrame
        One row per unit, in input order. For each color C, white and black:

        * n_C: number of flashes;
        * baseline_rate_C_hz, evoked_rate_C_hz: mean rates in the windows;
        * p_C, q_C: two-sided paired Wilcoxon test between the two over flashes, and its q-value over units.

        Then p_color, q_color (two-sided rank-sum test of white against black), on_off_ratio (white / black),
        on_off_index ((white - black) / (white + black), -1 to 1), preferred_color (1 or -1, the greater
        evoked rate; NaN where equal) and is_responsive (q_white or q_black at most half of max_q_value, or
        max_q_value itself where only one color was shown; NA without flashes).

        Rates and p are NaN without flashes of the color; p is 1 where all differences are 0; the ratio is NaN
        where black flashes evoke no spike, the index where neither color does.

    Notes
    -----
    The ratio is AllenSDK's ``on_off_ratio_fl``, based on mean counts in the flash.
    """
    color = presentations["color"].to_numpy(np.float64, na_value=np.nan)
    count = partial(count_in_windows, spike_times, offsets, n_spikes)
    columns: dict[str, object] = {}
    evoked = {}
    for name, value in COLORS.items():
        events = start_times(presentations)[color == value]
        evoked[name], baseline = (
            count(events, parameters.response_window_s),
            count(events, parameters.baseline_window_s),
        )
        p = exact_signed_rank_p_values(evoked[name] - baseline)
        columns |= {
            f"n_{name}": events.size,
            f"baseline_rate_{name}_hz": mean_rate_hz(baseline, parameters.baseline_window_s),
            f"evoked_rate_{name}_hz": mean_rate_hz(evoked[name], parameters.response_window_s),
            f"p_{name}": p,
            f"q_{name}": benjamini_hochberg(p),
        }
    is_white = np.repeat([1, 0], [evoked["white"].shape[1], evoked["black"].shape[1]])
    p_color = kruskal_wallis_p_values(np.hstack([evoked["white"], evoked["black"]]), is_white)
    table = pd.DataFrame({**columns, "p_color": p_color, "q_color": benjamini_hochberg(p_color)})
    return _compared(table, parameters)


def _compared(table: pd.DataFrame, parameters: FullFieldResponseParameters) -> pd.DataFrame:
    """Add the columns that compare the two colors."""
    white, black = (table[f"evoked_rate_{name}_hz"].to_numpy(np.float64) for name in COLORS)
    greater = np.sign(white - black)
    q = table[["q_white", "q_black"]]
    n_tests = q.notna().sum(axis=1)
    return table.assign(
        on_off_ratio=ratio(white, black),
        on_off_index=ratio(white - black, white + black),
        preferred_color=np.where(greater == 0, np.nan, greater),
        is_responsive=(n_tests * q.min(axis=1) <= parameters.max_q_value)
        .astype("boolean")
        .mask(n_tests == 0),
    )
