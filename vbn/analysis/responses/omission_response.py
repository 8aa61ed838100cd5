"""Responses of units to omitted flashes.

An omission's start_time is when the image would have appeared. The rate before it is seldom flat: what the
flash before has raised or lowered is still on its way back. A response is what that return cannot explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.change_response import mean_rate_hz, ratio
from vbn.analysis.responses.flash_selection import CONDITIONS, image_before, is_in_condition
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, checked_events
from vbn.analysis.spikes.windows import (
    Window,
    check_equal_lengths,
    check_max_q_value,
    check_windows,
    count_in_windows,
)
from vbn.analysis.statistics import benjamini_hochberg, one_sided_t_p_values
from vbn.analysis.task.engagement import ENGAGEMENT, engaged_flashes
from vbn.analysis.task.presentations import NO_ROW, is_change, is_flash, is_omission, start_times

MIN_OMISSIONS = 5


@dataclass(frozen=True)
class OmissionResponseParameters:
    """Windows in seconds relative to the expected onset, half open and equally long; omissions; threshold.

    Parameters
    ----------
    first_gray_window_s, second_gray_window_s : halves of the gray before the expected onset, 250 to 500 and
        500 to 750 ms after the start of the flash before.
    evoked_window_s : after the expected onset.
    lick_free : whether omissions with a lick from the first window's start to the last one's stop are left
        out.
    engagement : name of a definition of `vbn.analysis.task.engagement.ENGAGEMENT`: only omissions of the task
        during which the mouse was engaged; None for all.
    max_q_value : units with at most this q are responsive.
    """

    first_gray_window_s: Window = (-0.5, -0.25)
    second_gray_window_s: Window = (-0.25, 0.0)
    evoked_window_s: Window = (0.05, 0.3)
    lick_free: bool = True
    engagement: str | None = None
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        windows = ("first_gray_window_s", "second_gray_window_s", "evoked_window_s")
        check_windows(self, *windows)
        check_equal_lengths(self, *windows)
        check_max_q_value(self)
        starts = [getattr(self, name)[0] for name in windows]
        if not starts[0] < starts[1] < starts[2]:
            raise ValueError(f"{', '.join(windows)} must follow one another, got starts at {starts} s.")
        if self.engagement not in (None, *ENGAGEMENT):
            raise ValueError(f"engagement must be one of {', '.join(ENGAGEMENT)}, got {self.engagement!r}.")

    @property
    def steps(self) -> float:
        """How many distances between the gray windows lie between the second one and the evoked window."""
        first, second, evoked = self.first_gray_window_s, self.second_gray_window_s, self.evoked_window_s
        return (evoked[0] - second[0]) / (second[0] - first[0])


DEFAULT = OmissionResponseParameters()


def omission_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    lick_times: ArrayLike,
    trials: pd.DataFrame | None = None,
    parameters: OmissionResponseParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's response to omitted flashes.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), active, image_name, is_change, omitted.
    lick_times : (n_licks,) seconds, in any order.
    trials : as for `vbn.analysis.task.engagement.engaged_flashes`; needed where engagement is asked for.
    parameters : windows, omissions and threshold.

    Returns
    -------
    DataFrame
        One row per unit, in input order. For each condition C, active and passive:

        * n_omissions_C, n_tested_C: number of omissions, and of those that are measured: after a flash, free
          of licks and engaged if asked for;
        * first_gray_rate_C_hz, second_gray_rate_C_hz, evoked_rate_C_hz: mean rates W1, W2, W3 in the windows;
        * expected_rate_C_hz: of the rates between W2 and its straight continuation L = W2 + 1.2 (W2 - W1),
          not below 0, the one nearest to W3;
        * response_index_C: (W3 - expected) / (W3 + expected), 0 where W3 lies between W2 and L;
        * flash_rate_C_hz: mean rate in the evoked window of the flashes before, without changes: at the same
          phase after the last image, but with a new one; flash_index_C: (W3 - flash) / (W3 + flash), below 0
          where a unit responds to the image rather than to its omission;
        * p_value_C: two-sided test of W3 against both W2 and L.

        Then p_value (omissions of both conditions together), q_value (over units), is_responsive (q at most
        max_q_value, in either direction; NA where not tested) and sign (of the responsive units: 1 if W3 is
        above both W2 and L, -1 if it is below both; 0 of the others, NA where not tested).

        Rates, indices and p are NaN without such omissions, p, sign and flag with fewer than `MIN_OMISSIONS`,
        indices also where both rates are 0; p is 1 where W3 never differs.

    Notes
    -----
    What a flash leaves behind relaxes monotonically and ever more slowly, so it lies between W2 and L. A rise
    is above both, a fall below both: one-sided t-tests of the contrasts W3 - W2 and W3 - L over omissions,
    the larger p of the two; two-sided, twice the smaller of rise and fall. Both conditions are pooled for q
    because a session has few omissions (3 % of the flashes).
    """
    count = partial(count_in_windows, spike_times, offsets, n_spikes)
    times, before = start_times(presentations), image_before(presentations)
    tested = _is_tested(presentations, before, lick_times, trials, parameters)
    repeated = is_flash(presentations) & ~is_change(presentations)
    columns: dict[str, object] = {}
    for condition in CONDITIONS:
        here = is_in_condition(presentations, condition)
        rows = np.flatnonzero(tested & here)
        flashes = before[rows][repeated[before[rows]]]
        flash_hz = mean_rate_hz(count(times[flashes], parameters.evoked_window_s), parameters.evoked_window_s)
        columns[f"n_omissions_{condition}"] = np.count_nonzero(is_omission(presentations) & here)
        columns[f"n_tested_{condition}"] = rows.size
        columns |= _Windows.counted(count, times[rows], parameters).columns(condition, flash_hz)
    pooled = _Windows.counted(count, times[tested], parameters)
    p = pooled.p_values()
    q = benjamini_hochberg(p)
    is_known, responds = ~np.isnan(q), q <= parameters.max_q_value
    sign = pd.Series(np.where(responds, pooled.direction(), 0), dtype="Int64").where(is_known)
    is_responsive = pd.Series(responds, dtype="boolean").where(is_known)
    return pd.DataFrame({**columns, "p_value": p, "q_value": q, "sign": sign, "is_responsive": is_responsive})


def _is_tested(
    presentations: pd.DataFrame,
    before: Integers,
    lick_times: ArrayLike,
    trials: pd.DataFrame | None,
    parameters: OmissionResponseParameters,
) -> Booleans:
    """Return (n_presentations,) True for the omissions on which responses are measured."""
    # The gray windows are gray only after a flash.
    tested = is_omission(presentations) & (before != NO_ROW) & is_flash(presentations)[before]
    if parameters.lick_free:
        edges_s = parameters.first_gray_window_s[0], parameters.evoked_window_s[1]
        licks, times = np.sort(checked_events(lick_times, "lick_times")), start_times(presentations)
        first, stop = (np.searchsorted(licks, times + edge_s) for edge_s in edges_s)
        tested &= first == stop
    if parameters.engagement is not None:
        if trials is None:
            raise ValueError("Whether the mouse was engaged is not known without trials.")
        tested &= engaged_flashes(presentations, trials, ENGAGEMENT[parameters.engagement])
    return np.asarray(tested, dtype=np.bool_)


@dataclass(frozen=True)
class _Windows:
    """Spike counts (n_units, n_omissions) in the three windows."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    evoked: NDArray[np.int32]
    parameters: OmissionResponseParameters

    @classmethod
    def counted(
        cls, count: partial[NDArray[np.int32]], events: Floats, parameters: OmissionResponseParameters
    ) -> _Windows:
        """Count the spikes around omissions."""
        return cls(
            first=count(events, parameters.first_gray_window_s),
            second=count(events, parameters.second_gray_window_s),
            evoked=count(events, parameters.evoked_window_s),
            parameters=parameters,
        )

    @property
    def contrasts(self) -> tuple[Floats, Floats]:
        """Return W3 - W2 and W3 - L, (n_units, n_omissions) spikes."""
        rise = (self.evoked - self.second).astype(np.float64)
        return rise, rise - self.parameters.steps * (self.second - self.first)

    def columns(self, condition: str, flash_hz: Floats) -> dict[str, object]:
        """Return the rates and indices of one condition, and its test."""
        counts = self.first, self.second, self.evoked
        first, second, evoked = (mean_rate_hz(each, self.parameters.evoked_window_s) for each in counts)
        straight = np.maximum(second + self.parameters.steps * (second - first), 0)
        expected = np.clip(evoked, np.minimum(second, straight), np.maximum(second, straight))
        return {
            f"first_gray_rate_{condition}_hz": first,
            f"second_gray_rate_{condition}_hz": second,
            f"evoked_rate_{condition}_hz": evoked,
            f"expected_rate_{condition}_hz": expected,
            f"response_index_{condition}": ratio(evoked - expected, evoked + expected),
            f"flash_rate_{condition}_hz": flash_hz,
            f"flash_index_{condition}": ratio(evoked - flash_hz, evoked + flash_hz),
            f"p_value_{condition}": self.p_values(),
        }

    def p_values(self) -> Floats:
        """Return (n_units,) p of W3 beyond both W2 and L."""
        if self.evoked.shape[1] < MIN_OMISSIONS:
            return np.full(len(self.evoked), np.nan)
        rise = np.maximum(*(one_sided_t_p_values(contrast) for contrast in self.contrasts))
        fall = np.maximum(*(one_sided_t_p_values(-contrast) for contrast in self.contrasts))
        return np.asarray(np.minimum(1.0, 2 * np.minimum(rise, fall)))

    def direction(self) -> Integers:
        """Return (n_units,) 1 where W3 is above W2, -1 where below."""
        return np.asarray(np.sign((self.evoked - self.second).sum(axis=1)), dtype=np.int64)
