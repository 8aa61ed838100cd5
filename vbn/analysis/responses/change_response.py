"""Responses of units to image changes.

A *change* is a flash that shows a different image from the flash before, its *pre-change flash*. Both are
aligned to the start of the presentation on screen. A change that follows an omission or begins a block has no
pre-change flash: it counts for the response, but not for the modulation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.flash_selection import (
    CONDITIONS,
    image_before,
    is_in_condition,
    outcome_of_change,
)
from vbn.analysis.responses.onset_latency import onset_latency
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
from vbn.analysis.task.engagement import ENGAGEMENT, engaged_trials
from vbn.analysis.task.presentations import (
    NO_ROW,
    image_names,
    is_change,
    is_flash,
    start_times,
    trial_rows,
)

Counter = Callable[[Floats, Window], NDArray[np.int32]]
Trains = tuple[ArrayLike, ArrayLike, ArrayLike]
EVERY_CHANGE = "none"
OUTCOMES = "hit", "miss"
_ROUNDING_HZ = 1e-9  # a sum of rates below this is rounding error
# Siegle 2021: licks before this are early; the rule of its responsive units.
_EARLY_S = 0.15
_DENSITY_S, _DENSITY_AXIS = 0.005, TimeAxis(-0.3, 0.75, 0.001)  # the first 50 ms settle the filter
_SOURCE_WINDOWS_S = (-0.25, 0.0), (0.0, 0.25)
_LEAST_RATE_HZ, _LEAST_DEVIATIONS = 0.1, 5.0


@dataclass(frozen=True)
class ChangeResponseParameters:
    """Windows in seconds relative to the start of a flash, half open.

    Parameters
    ----------
    baseline_window_s, response_window_s : windows of the response to the change: the last 80 ms before the
        flash, and 20 to 100 ms after its start (Bennett 2025, ``make_unit_responsiveness_table``).
    modulation_baseline_window_s, modulation_window_s : windows of the change modulation: the 250 ms before
        the flash, and the 250 ms of the flash (Siegle 2021).
    engaged : which hits and misses are measured on: those in which the mouse was engaged by a definition of
        `vbn.analysis.task.engagement.ENGAGEMENT` (the default is that of Bennett 2025), or all of them,
        ``none``, which makes the difference between hits and misses one of engagement.
    lick_margin_s : changes with a lick before the end of a window and so many seconds more are left out of
        what is measured in it, since what goes with licks that follow the change would be taken for a
        response to it; None for no limit.
    first_spike_window_s : search window for the first spike after a change (Siegle 2021, Fig. 4).
    latency_window_s : search window for the onset of the response.
    max_latency_sd_s : latencies that vary as much over resamples of the changes, or more, are not given.
    n_resamples : number of these.
    max_q_value : units with at most this q are responsive, or change-modulated.
    """

    baseline_window_s: Window = (-0.08, 0.0)
    response_window_s: Window = (0.02, 0.1)
    modulation_baseline_window_s: Window = (-0.25, 0.0)
    modulation_window_s: Window = (0.0, 0.25)
    engaged: str = "bennett_2025"
    lick_margin_s: float | None = 0.1
    first_spike_window_s: Window = (0.03, 0.15)
    latency_window_s: Window = (0.0, 0.25)
    max_latency_sd_s: float = 0.01
    n_resamples: int = 500
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        check_windows(self, *(name for name in self.__annotations__ if name.endswith("window_s")))
        check_equal_lengths(self, "baseline_window_s", "response_window_s")
        if self.engaged not in (EVERY_CHANGE, *ENGAGEMENT):
            known = ", ".join(map(repr, (EVERY_CHANGE, *ENGAGEMENT)))
            raise ValueError(f"Unknown definition of engaged {self.engaged!r}. Known: {known}.")
        if self.lick_margin_s is not None and not 0 <= self.lick_margin_s < np.inf:
            raise ValueError(f"lick_margin_s must be a number of seconds >= 0, got {self.lick_margin_s}.")
        if not self.max_latency_sd_s > 0 or self.n_resamples < 2:
            raise ValueError(
                "max_latency_sd_s must be above 0 and n_resamples 2 or more, got "
                f"{self.max_latency_sd_s} and {self.n_resamples}."
            )
        check_max_q_value(self)


DEFAULT = ChangeResponseParameters()


def change_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    parameters: ChangeResponseParameters = DEFAULT,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure each unit's response to image changes, in the task and in the replay, in hits and in misses.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), active, image_name, is_change, omitted, and trials_id if known.
    trials : table for `vbn.analysis.outcome_of_change`, needed for hits and misses, engagement and licks
        (lick_times, s); None if there is none: then all pairs are taken.
    parameters : windows, changes and threshold.
    seed : of the resamples for the interval of the latency.

    Returns
    -------
    DataFrame
        One row per unit, in input order. For each condition C, active and passive:

        * n_changes_C, n_pairs_C: number of changes without a lick near the windows of the response, and of
          those with a pre-change flash and without a lick near the windows of the modulation;
        * baseline_rate_C_hz, evoked_rate_C_hz: mean rates in the two windows of the response;
        * p_response_C, q_response_C: two-sided paired Wilcoxon test between the two, and its q-value over
          units;
        * change_rate_C_hz, pre_change_rate_C_hz: mean rates in the modulation window after the change and
          after its pre-change flash, over pairs;
        * p_modulation_C, q_modulation_C: two-sided paired Wilcoxon test between these two;
        * change_modulation_C: the bounded index, -2 to 2; response_sign_C: 1 where change and pre-change
          flash together excite the unit, -1 where they suppress it; both missing without a response to
          either;
        * siegle_2021_modulation_C: the index of Siegle 2021, image by image, over its choice of changes.

        Then p_response, q_response, p_modulation, q_modulation: the two tests over the changes of both
        conditions; for the outcomes hit and miss of active pairs, while engaged, n_pairs_O,
        change_modulation_O, response_sign_O, siegle_2021_modulation_O; latency_s, latency_low_s,
        latency_high_s: onset of the response to active changes, with its 95 % interval;
        siegle_2021_first_spike_latency_s (median over active changes with a spike in the window) and
        siegle_2021_responsive; is_responsive and is_change_modulated: q_response or q_modulation at most
        max_q_value, in either direction.

        Rates, indices, latencies, p and flags are missing without events; p is 1 where all differences are 0,
        as for a unit silent in both windows. Latencies are missing where q_response_active is above
        max_q_value.

    Notes
    -----
    For image i, c_i is the mean rate in the 250 ms of the flash over changes to it, and p_i that over
    pre-change flashes of it; images that have both count. The bounded index is (c - p) / max(abs(c), abs(p))
    (form of Bennett 2025, ``get_mod_index_norm``) of their means over images, weighted as by Mantel and
    Haenszel and less one baseline, the mean rate in the 250 ms before both kinds. It is positive where the
    unit fires more at the change, also for suppressed units.

    Without a response c and p are noise, and their ratio is anything from -2 to 2. So there is an index only
    where the unit responds to changes or to the flashes before them (signed-rank tests of the 250 ms against
    the gray before, over the pairs of both conditions; twice the smaller p, adjusted over units), and, to
    that of the two with the smaller p, within the pairs of the index: p at most max_q_value, too, which takes
    six pairs. Siegle 2021 takes responsive units only, too, by its own rule.

    Siegle 2021 (``ephys_behavior``) averages (c_i - p_i) / (c_i + p_i), each less the baseline of its own
    kind, which has the wrong sign where c_i + p_i is negative: it is missing where c + p is not positive, or
    c or p negative, of the unit, and such images are left out.
    """
    spikes = spike_times, offsets, n_spikes
    count = partial(count_in_windows, *spikes)
    times, choice = start_times(presentations), _choose(presentations, trials, parameters)
    columns: dict[str, object] = {}
    pairs, source, gains = {}, {}, {}
    for condition in CONDITIONS:
        changes, rows = _changes(presentations, condition)
        changes = changes[choice.measured[changes]]
        baseline = count(times[changes], parameters.baseline_window_s)
        evoked = count(times[changes], parameters.response_window_s)
        gains[condition] = evoked - baseline
        every = _pairs(count, presentations, rows, choice.outcome, parameters)
        pairs[condition], source[condition] = (
            every.only(choice.compared[rows]),
            every.only(choice.source[rows]),
        )
        response = _response(evoked, baseline, parameters)
        columns |= _named({**response, **_modulation(pairs[condition])}, condition)
        if condition == "active":
            responds = np.asarray(response["q_response"]) <= parameters.max_q_value
            columns |= _latencies(
                spikes, times[changes], baseline, gains[condition], responds, parameters, seed
            )
    responding = _Responding.over(pairs.values(), parameters.max_q_value)
    for condition in CONDITIONS:
        columns |= _named(_indices(pairs[condition], source[condition], responding), condition)
    for outcome in OUTCOMES:
        of = pairs["active"].of_outcome(outcome)
        of = of.only(choice.engaged[of.rows])
        columns[f"n_pairs_{outcome}"] = of.rows.size
        indices = _indices(of, source["active"].of_outcome(outcome), responding)
        columns |= _named(indices, outcome)
    columns |= _tested("response", np.hstack(list(gains.values())))
    columns |= _tested("modulation", np.hstack([of.differences for of in pairs.values()]))
    columns["siegle_2021_responsive"] = _source_responsive(
        spikes, *(times[source[of].rows] for of in CONDITIONS)
    )
    columns["is_responsive"] = _flag(columns["q_response"], parameters)
    columns["is_change_modulated"] = _flag(columns["q_modulation"], parameters)
    return pd.DataFrame(columns)


class _Choice(NamedTuple):
    """Which changes are measured on, compared with the flash before, taken by Siegle 2021, and made engaged.

    All (n_presentations,), without regard to whether it is a change.
    """

    measured: Booleans
    compared: Booleans
    source: Booleans
    engaged: Booleans
    outcome: np.ndarray


def _choose(
    presentations: pd.DataFrame, trials: pd.DataFrame | None, parameters: ChangeResponseParameters
) -> _Choice:
    every = np.ones(len(presentations), dtype=np.bool_)
    if trials is None:
        return _Choice(every, every, every, every, np.full(len(presentations), None, dtype=object))
    margin_s = np.inf if parameters.lick_margin_s is None else parameters.lick_margin_s
    without = partial(_without_licks, presentations, trials, parameters)
    windows = parameters.response_window_s, parameters.modulation_window_s
    measured, compared = (every if np.isinf(margin_s) else without(stop + margin_s) for _, stop in windows)
    return _Choice(
        measured=measured,
        compared=compared,
        source=_engaged(presentations, trials, "siegle_2021")
        & _late_or_never(presentations, trials, parameters),
        engaged=_engaged(presentations, trials, parameters.engaged),
        outcome=outcome_of_change(presentations, trials),
    )


def siegle_changes(presentations: pd.DataFrame, trials: pd.DataFrame) -> Integers:
    """Return the rows of the changes in the task of hits and misses without early licks (Siegle 2021)."""
    changes, _ = _changes(presentations, "active")
    return changes[_late_or_never(presentations, trials, DEFAULT)[changes]]


def _late_or_never(
    presentations: pd.DataFrame, trials: pd.DataFrame, parameters: ChangeResponseParameters
) -> Booleans:
    """Return (n_presentations,) those of hits and misses, not auto-rewarded, without early licks."""
    outcome = outcome_of_change(presentations, trials)
    counts = (outcome == "hit") | (outcome == "miss")
    return np.asarray(counts & _without_licks(presentations, trials, parameters, _EARLY_S))


def _engaged(presentations: pd.DataFrame, trials: pd.DataFrame, definition: str) -> Booleans:
    """Return (n_presentations,) True in engaged trials, and where the replay repeats them."""
    if definition == EVERY_CHANGE:
        return np.ones(len(presentations), dtype=np.bool_)
    engaged = engaged_trials(trials, presentations, ENGAGEMENT[definition])
    return np.asarray(np.append(engaged, False)[trial_rows(presentations, trials)])  # False for row -1


def _without_licks(
    presentations: pd.DataFrame, trials: pd.DataFrame, parameters: ChangeResponseParameters, until_s: float
) -> Booleans:
    """Return (n_presentations,) whether there is no lick from the baseline of the flash before on."""
    times, before = start_times(presentations), image_before(presentations)
    licks = np.sort(np.concatenate([np.empty(0), *trials.get("lick_times", ())]))
    first = np.where(before == NO_ROW, times, times[before]) + parameters.modulation_baseline_window_s[0]
    return np.asarray(np.searchsorted(licks, times + until_s) <= np.searchsorted(licks, first))


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


def _flag(q_values: object, parameters: ChangeResponseParameters) -> pd.arrays.BooleanArray:
    """Return (n_units,) whether q is small enough; NA where nothing was tested."""
    q = np.asarray(q_values, dtype=np.float64)
    return pd.arrays.BooleanArray(q <= parameters.max_q_value, np.isnan(q))


@dataclass(frozen=True)
class _Pairs:
    """Changes with their pre-change flashes.

    Rates (Hz), in the flash and in the baseline before it, and the differences of the counts are (n_units,
    n_pairs); other arrays are (n_pairs,).
    """

    rows: Integers
    change: Floats
    pre: Floats
    change_baseline: Floats
    pre_baseline: Floats
    differences: NDArray[np.int32]
    change_image: np.ndarray
    pre_image: np.ndarray
    outcome: np.ndarray

    def only(self, chosen: Booleans) -> _Pairs:
        """Return the chosen pairs."""
        return _Pairs(*(getattr(self, each.name)[..., chosen] for each in fields(self)))

    def of_outcome(self, outcome: str) -> _Pairs:
        """Return the pairs of one outcome."""
        return self.only(self.outcome == outcome)

    def by_image(self, change: Floats, pre: Floats) -> tuple[Floats, Floats]:
        """Return (n_units, n_images) means of rates of both kinds, for the images that have both."""
        shown = sorted(set(self.change_image) & set(self.pre_image))
        means = [
            (change[:, self.change_image == name].mean(axis=1), pre[:, self.pre_image == name].mean(axis=1))
            for name in shown
        ]
        of_kind = [np.array(rates).reshape(len(shown), len(change)).T for rates in zip(*means, strict=True)]
        return (of_kind[0], of_kind[1]) if shown else (np.empty((len(change), 0)), np.empty((len(pre), 0)))

    def balanced(self, change: Floats, pre: Floats) -> tuple[Floats, Floats]:
        """Return (n_units,) means of rates of both kinds, as if both showed each image equally often.

        The weights of images are those of Mantel and Haenszel, n_c n_p / (n_c + n_p) of n_c changes and n_p
        pre-change flashes: an image that was seen once does not count as much as one seen often.
        """
        shown = sorted(set(self.change_image) & set(self.pre_image))
        n_change, n_pre = (
            np.array([np.count_nonzero(image == name) for name in shown], dtype=np.float64)
            for image in (self.change_image, self.pre_image)
        )
        weights = n_change * n_pre / (n_change + n_pre)
        total = weights.sum() if shown else np.nan
        of_change, of_pre = self.by_image(change, pre)
        return of_change @ weights / total, of_pre @ weights / total

    @property
    def gains(self) -> tuple[Floats, Floats]:
        """Return (n_units, n_pairs) Hz of both kinds above the gray before each."""
        return self.change - self.change_baseline, self.pre - self.pre_baseline


class _Responding(NamedTuple):
    """Units that respond to changes, or to the flashes before them, at all, and those more surely to changes.

    Both (n_units,).
    """

    either: Booleans
    to_changes: Booleans
    max_p: float

    @classmethod
    def over(cls, conditions: Iterable[_Pairs], max_p: float) -> _Responding:
        """Test all pairs of both conditions, and adjust over units."""
        kinds = zip(*(pairs.gains for pairs in conditions), strict=True)
        to_change, to_pre = (exact_signed_rank_p_values(np.hstack(gains)) for gains in kinds)
        either = np.minimum(1.0, 2 * np.minimum(to_change, to_pre))
        return cls(benjamini_hochberg(either) <= max_p, to_change <= to_pre, max_p)

    def within(self, pairs: _Pairs) -> Booleans:
        """Return (n_units,) those that respond in these pairs, too, to what they respond to more surely."""
        gains = np.where(self.to_changes[:, np.newaxis], *pairs.gains)
        return self.either & (exact_signed_rank_p_values(gains) <= self.max_p)


def _pairs(
    count: Counter,
    presentations: pd.DataFrame,
    changes: Integers,
    outcome: np.ndarray,
    parameters: ChangeResponseParameters,
) -> _Pairs:
    window, baseline = parameters.modulation_window_s, parameters.modulation_baseline_window_s
    before, times = image_before(presentations)[changes], start_times(presentations)
    names = image_names(presentations).to_numpy(object)
    change, pre = count(times[changes], window), count(times[before], window)
    return _Pairs(
        rows=changes,
        change=change / window_length_s(window),
        pre=pre / window_length_s(window),
        change_baseline=count(times[changes], baseline) / window_length_s(baseline),
        pre_baseline=count(times[before], baseline) / window_length_s(baseline),
        differences=change - pre,
        change_image=names[changes],
        pre_image=names[before],
        outcome=outcome[changes],
    )


def _modulation(pairs: _Pairs) -> dict[str, object]:
    return {
        "n_pairs": pairs.rows.size,
        "change_rate_hz": _row_means(pairs.change),
        "pre_change_rate_hz": _row_means(pairs.pre),
        **_tested("modulation", pairs.differences),
    }


def _indices(pairs: _Pairs, source: _Pairs, responding: _Responding) -> dict[str, object]:
    """Return both indices, and the sign of c + p; ours only where there is a response in these pairs."""
    # Both kinds less one baseline: its noise is not in the difference, whose sign is that of the tested one.
    baseline = np.mean(pairs.balanced(pairs.change_baseline, pairs.pre_baseline), axis=0)
    c, p = (rate - baseline for rate in pairs.balanced(pairs.change, pairs.pre))
    responds = responding.within(pairs)
    index = ratio(c - p, np.maximum(np.abs(c), np.abs(p)))
    has_sign = responds & (np.abs(c + p) > _ROUNDING_HZ)
    sign = np.where(has_sign, np.sign(c + p), 0).astype(np.int16)
    return {
        "change_modulation": np.where(responds, index, np.nan),
        "response_sign": pd.arrays.IntegerArray(sign, ~has_sign),
        "siegle_2021_modulation": _source_index(source),
    }


def _source_index(pairs: _Pairs) -> Floats:
    """Return (n_units,) the index of Siegle 2021 of excited units."""
    change = pairs.change - _row_means(pairs.change_baseline)[:, np.newaxis]
    c, p = pairs.by_image(change, pairs.pre - _row_means(pairs.pre_baseline)[:, np.newaxis])
    of_images = np.where(np.minimum(c, p) > -_ROUNDING_HZ, ratio(c - p, c + p), np.nan)
    c, p = _row_means(c), _row_means(p)
    is_excited = (np.minimum(c, p) > -_ROUNDING_HZ) & (c + p > _ROUNDING_HZ)
    return np.where(is_excited, mean_of_known(of_images), np.nan)


def _source_responsive(spikes: Trains, active_s: Floats, passive_s: Floats) -> pd.arrays.BooleanArray:
    """Return (n_units,) the responsive units of Siegle 2021; NA without changes of either kind.

    Those whose mean spike density (causal exponential of 5 ms) exceeds, in the 250 ms after changes, the mean
    of the 250 ms before by more than 5 standard deviations over these, in the task or in the replay, and is
    above 0.1 Hz on average in both: excited units.
    """
    kept = np.exp(-_DENSITY_AXIS.bin_s / _DENSITY_S)
    n_units = np.size(spikes[1])
    fires, exceeds = np.ones(n_units, dtype=np.bool_), np.zeros(n_units, dtype=np.bool_)
    for events in (active_s, passive_s):
        total = count_spikes(*spikes, events, _DENSITY_AXIS).total / (
            max(events.size, 1) * _DENSITY_AXIS.bin_s
        )
        density = _decaying(total, kept)
        before, after = (density[:, _DENSITY_AXIS.bins_within(*window)] for window in _SOURCE_WINDOWS_S)
        rate = density[:, _DENSITY_AXIS.bins_within(_SOURCE_WINDOWS_S[0][0], _DENSITY_AXIS.stop_s)].mean(
            axis=1
        )
        fires &= rate > _LEAST_RATE_HZ
        exceeds |= after.max(axis=1) - before.mean(axis=1) > _LEAST_DEVIATIONS * before.std(axis=1)
    unknown = np.full(n_units, min(active_s.size, passive_s.size) == 0)
    return pd.arrays.BooleanArray(fires & exceeds, unknown)


def _decaying(values: Floats, kept: float) -> Floats:
    """Return the running mean over columns of which so much is kept from column to column.

    That of `scipy.signal.lfilter`, to the last bit; its import takes half a second.
    """
    density: Floats = np.ascontiguousarray(values.T) * (1 - kept)
    for before, here in itertools.pairwise(density):
        here += before * kept
    return np.ascontiguousarray(density.T)


def _latencies(
    spikes: Trains,
    changes_s: Floats,
    baseline: NDArray[np.int32],
    gain: NDArray[np.int32],
    responds: Booleans,
    parameters: ChangeResponseParameters,
    seed: int,
) -> dict[str, object]:
    found = onset_latency(
        *spikes,
        changes_s,
        np.where(responds, np.sign(gain.sum(axis=1)), 0),
        baseline,
        baseline_s=window_length_s(parameters.baseline_window_s),
        window_s=parameters.latency_window_s,
        max_sd_s=parameters.max_latency_sd_s,
        n_resamples=parameters.n_resamples,
        seed=seed,
    )
    first_spikes = first_spikes_in_windows(*spikes, changes_s, parameters.first_spike_window_s)
    return {**found._asdict(), "siegle_2021_first_spike_latency_s": median_of_known(first_spikes)}


def _row_means(values: Floats) -> Floats:
    """Return (n_rows,) means; NaN without columns."""
    if values.shape[1] == 0:
        return np.full(values.shape[0], np.nan)
    return np.asarray(values.mean(axis=1))


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
