"""Task statistics beyond AllenSDK's 23 numbers in `vbn.analysis.task.performance`.

A *go* trial has a change and is a hit or a miss; a *catch* trial has a sham change and is a false alarm or a
correct reject. Auto-rewarded and aborted trials are neither. *Pooled* numbers are computed from the counts
over all trials, where AllenSDK averages rolling rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.task.engagement import ENGAGEMENT, engaged_trials
from vbn.analysis.task.licking import LICK_GAPS_S, bout_onsets
from vbn.analysis.task.performance import ALLEN, response_latencies
from vbn.analysis.task.presentations import (
    change_flash_times,
    check_columns,
    flags,
    image_names,
    in_order_of_time,
    is_change,
    is_flash,
    is_in_block,
    start_times,
    trial_ids,
)

ALLENSDK_RATE_CLIP = ALLEN.rate_clip
GO_AND_CATCH = ("hit", "miss", "false_alarm", "correct_reject")
TRIAL_SETS: Mapping[str, tuple[str | None, float | None]] = {
    "pooled": (None, ALLENSDK_RATE_CLIP),
    "engaged": ("allensdk", ALLENSDK_RATE_CLIP),
    "bennett_2025": ("bennett_2025", None),
    "siegle_2021": ("siegle_2021", None),
}
"""The definition of engagement whose trials are pooled (None: all trials), and the clip of the rates."""


@dataclass(frozen=True)
class OutcomeCounts:
    """Go and catch trials by outcome."""

    hit: int
    miss: int
    false_alarm: int
    correct_reject: int


@dataclass(frozen=True)
class Sensitivity:
    """Rates, sensitivity and bias from outcome counts.

    Attributes
    ----------
    hit_rate, false_alarm_rate : fractions of go and of catch trials, uncorrected; NaN without such trials.
    d_prime : z(hit rate) - z(false alarm rate), of the corrected rates; NaN where a rate is.
    criterion : -(z(hit rate) + z(false alarm rate)) / 2, of the corrected rates; NaN where a rate is.
        Negative for a bias towards licking.
    """

    hit_rate: float
    false_alarm_rate: float
    d_prime: float
    criterion: float


def count_outcomes(trials: pd.DataFrame, chosen: ArrayLike | None = None) -> OutcomeCounts:
    """Count the go and catch trials.

    Parameters
    ----------
    trials : one row per trial: hit, miss, false_alarm, correct_reject.
    chosen : (n_trials,) True for the trials to count; None counts all.
    """
    counted = np.ones(len(trials), dtype=np.bool_) if chosen is None else np.asarray(chosen, dtype=np.bool_)
    return OutcomeCounts(*(int((flags(trials, name) & counted).sum()) for name in GO_AND_CATCH))


def sensitivity(counts: OutcomeCounts, rate_clip: float | None = ALLENSDK_RATE_CLIP) -> Sensitivity:
    """Compute d' and criterion from counts.

    Rates are corrected for the number of trials N, limited to 1/(2N) .. 1 - 1/(2N) (Macmillan & Creelman
    2005; AllenSDK ``trial_number_limit``). ``calcHitRate`` of Bennett et al. 2025 and Siegle et al. 2021
    replaces only 0 and 1, which is equivalent, since no other rate is closer to them than 1/N. Criterion:
    Macmillan & Creelman 2005, eq. 2.1.

    Parameters
    ----------
    counts : counts from `count_outcomes`.
    rate_clip : rates are clipped to ``rate_clip .. 1 - rate_clip`` (AllenSDK ``get_dprime``: 0.01); None for
        no clip (``calcDprime``).
    """
    n_go, n_catch = counts.hit + counts.miss, counts.false_alarm + counts.correct_reject
    z_hit = _z(_corrected(counts.hit, n_go), rate_clip)
    z_false = _z(_corrected(counts.false_alarm, n_catch), rate_clip)
    return Sensitivity(
        hit_rate=_share(counts.hit, n_go),
        false_alarm_rate=_share(counts.false_alarm, n_catch),
        d_prime=z_hit - z_false,
        criterion=-(z_hit + z_false) / 2,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _corrected(part: int, whole: int) -> float:
    return min(max(_share(part, whole), 0.5 / whole), 1 - 0.5 / whole) if whole else float("nan")


def _z(rate: float, clip: float | None) -> float:
    return float(scipy.special.ndtri(rate if clip is None else np.clip(rate, clip, 1 - clip)))


def pooled_statistics(trials: pd.DataFrame, presentations: pd.DataFrame) -> dict[str, int | float]:
    """Summarise the go and catch trials of a session, all and engaged ones.

    Parameters
    ----------
    trials : one row per trial in order of time, with AllenSDK's columns, see `vbn.analysis.task.performance`.
    presentations : one row per presentation, in any order, with AllenSDK's columns.

    Returns
    -------
    For each set of trials in `TRIAL_SETS` (``pooled``: all; ``engaged``: reward rate above 2 per minute;
    ``bennett_2025`` and ``siegle_2021``: engaged by their definitions, without AllenSDK's clip, as in their
    code): <set>_trial_count, the go and catch trials, <set>_hit_rate, <set>_false_alarm_rate, <set>_dprime
    and <set>_criterion. NaN without go or catch trials.
    """
    statistics: dict[str, int | float] = {}
    for name, (definition, clip) in TRIAL_SETS.items():
        chosen = None
        if definition is not None:
            chosen = engaged_trials(trials, presentations, ENGAGEMENT[definition])
        counts = count_outcomes(trials, chosen)
        result = sensitivity(counts, clip)
        statistics[f"{name}_trial_count"] = sum(vars(counts).values())
        statistics[f"{name}_hit_rate"] = result.hit_rate
        statistics[f"{name}_false_alarm_rate"] = result.false_alarm_rate
        statistics[f"{name}_dprime"] = result.d_prime
        statistics[f"{name}_criterion"] = result.criterion
    return statistics


@dataclass(frozen=True)
class FlashResponseParameters:
    """When a flash counts as responded to; the defaults are those of Bennett et al. 2025.

    Parameters
    ----------
    bout_gap_s : minimum pause between two lick bouts in seconds.
    window_s : seconds after the flash, both limits exclusive, in which a bout must begin.
    """

    bout_gap_s: float = LICK_GAPS_S["bennett_2025"]
    window_s: tuple[float, float] = (0.1, 0.75)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_s", tuple(self.window_s))  # from JSON it is a list
        if len(self.window_s) != 2 or not 0 <= self.window_s[0] < self.window_s[1]:
            raise ValueError(f"window_s must be (start, stop) with 0 <= start < stop, got {self.window_s}.")
        if not self.bout_gap_s > 0:
            raise ValueError(f"bout_gap_s must be positive, got {self.bout_gap_s}.")


FLASH_RESPONSE = FlashResponseParameters()


def flash_responses(
    presentations: pd.DataFrame, lick_times: ArrayLike, parameters: FlashResponseParameters = FLASH_RESPONSE
) -> Booleans:
    """Return which flashes and omissions the mouse responded to.

    A bout belongs to the last flash or omission that started before it (Bennett et al. 2025,
    ``lickbout_for_flash_during_response_window``, without its pause of two seconds).

    Parameters
    ----------
    presentations : one row per presentation, in any order, with AllenSDK's columns.
    lick_times : (n_licks,) seconds.
    parameters : pause between bouts, and response window.

    Returns
    -------
    (n_presentations,) True where a bout begins in the window; False outside the active block.
    """
    responded = np.zeros(len(presentations), dtype=np.bool_)
    active = np.flatnonzero(is_in_block(presentations, "active"))
    starts = start_times(presentations)[active]
    order = np.argsort(starts, kind="stable")
    onsets = bout_onsets(lick_times, parameters.bout_gap_s)
    position = np.searchsorted(starts[order], onsets, side="left") - 1
    onsets, position = onsets[position >= 0], position[position >= 0]
    delay = onsets - starts[order][position]
    inside = (delay > parameters.window_s[0]) & (delay < parameters.window_s[1])
    responded[active[order[position[inside]]]] = True
    return responded


def image_statistics(
    trials: pd.DataFrame,
    presentations: pd.DataFrame,
    lick_times: ArrayLike,
    parameters: FlashResponseParameters = FLASH_RESPONSE,
) -> pd.DataFrame:
    """Count trials and flashes, and responses to them, by image.

    Parameters
    ----------
    trials : one row per trial, with change_image_name (for a catch trial, the image that stayed) and the
        outcomes.
    presentations : one row per presentation, in any order, with AllenSDK's columns.
    lick_times : (n_licks,) seconds, of the licks table; may be empty.
    parameters : definition of a response to a flash.

    Returns
    -------
    One row per image, sorted by name: image_name; trials changing to it: n_go, n_hit, n_miss, hit_rate,
    n_auto_rewarded; catch trials with it: n_catch, n_false_alarm, n_correct_reject, false_alarm_rate; its
    flashes in the active block: n_flashes, n_flash_responses, flash_response_rate; and those that are not
    changes: n_nonchange_flashes, n_nonchange_responses, nonchange_response_rate. Rates are uncorrected
    fractions, NaN where the denominator is 0. No rows without images.
    """
    check_columns(presentations)
    trial_image = _images_of_trials(trials)
    flash_image = image_names(presentations).to_numpy(object)
    shown = is_flash(presentations) & is_in_block(presentations, "active")
    names = sorted({name for name in (*trial_image, *flash_image[shown]) if name is not None})
    table: dict[str, Any] = {"image_name": names}
    for name in (*GO_AND_CATCH, "auto_rewarded"):
        table[f"n_{name}"] = _per_image(trial_image, flags(trials, name), names)
    table["n_go"] = table["n_hit"] + table["n_miss"]
    table["n_catch"] = table["n_false_alarm"] + table["n_correct_reject"]
    table["hit_rate"] = _shares(table["n_hit"], table["n_go"])
    table["false_alarm_rate"] = _shares(table["n_false_alarm"], table["n_catch"])
    responded = flash_responses(presentations, lick_times, parameters)
    table |= _flash_columns("flash", flash_image, shown, responded, names)
    table |= _flash_columns("nonchange", flash_image, shown & ~is_change(presentations), responded, names)
    return pd.DataFrame(table)[list(IMAGE_COLUMNS)]


IMAGE_COLUMNS = (
    "image_name",
    *("n_go", "n_hit", "n_miss", "hit_rate", "n_auto_rewarded"),
    *("n_catch", "n_false_alarm", "n_correct_reject", "false_alarm_rate"),
    *("n_flashes", "n_flash_responses", "flash_response_rate"),
    *("n_nonchange_flashes", "n_nonchange_responses", "nonchange_response_rate"),
)


def _images_of_trials(trials: pd.DataFrame) -> Any:
    """Return (n_trials,) image names; None for aborted trials, and where the image is unknown."""
    names = trials["change_image_name"].astype(object)
    known = names.notna() & (names != "") & ~flags(trials, "aborted")
    return names.where(known, None).to_numpy(object)


def _per_image(image: Any, chosen: Booleans, names: list[str]) -> Integers:
    return np.array([np.count_nonzero(chosen & (image == name)) for name in names], dtype=np.int64)


def _shares(part: Integers, whole: Integers) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, np.nan))


def _flash_columns(
    kind: str, image: Any, chosen: Booleans, responded: Booleans, names: list[str]
) -> dict[str, Any]:
    n_flashes = _per_image(image, chosen, names)
    n_responses = _per_image(image, chosen & responded, names)
    return {
        "n_flashes" if kind == "flash" else f"n_{kind}_flashes": n_flashes,
        f"n_{kind}_responses": n_responses,
        f"{kind}_response_rate": _shares(n_responses, n_flashes),
    }


def lick_latencies(trials: pd.DataFrame, presentations: pd.DataFrame, lick_times: ArrayLike) -> pd.DataFrame:
    """Return each trial's lick latency, from the change on screen and from the trial's change time.

    Parameters
    ----------
    trials : one row per trial, in any order: start_time, stop_time, the outcomes, lick_times and the change
        time.
    presentations : one row per presentation, in any order, with AllenSDK's columns.
    lick_times : (n_licks,) seconds, of the licks table (sensor times); may be empty.

    Returns
    -------
    One row per trial: trial_id; flash_time (s, start of the change or sham change on screen);
    latency_from_flash (s), to the first lick of the licks table after it and before the next trial;
    latency_from_change_time (s), from the change time, which does not include the display lag, to the trial's
    first lick after it. NaN without a change or without a lick.
    """
    check_columns(presentations)
    flash_time = change_flash_times(presentations, trials)
    licks = np.append(np.sort(np.asarray(lick_times, dtype=np.float64)), np.inf)
    lick = licks[np.searchsorted(licks[:-1], flash_time, side="right")]
    in_trial = lick < _next_starts(trials)
    since_change = response_latencies(trials, replace(ALLEN, response_window_s=(0.0, np.inf)))
    columns = {
        "trial_id": trial_ids(trials),
        "flash_time": flash_time,
        "latency_from_flash": np.where(in_trial, lick - flash_time, np.nan),
        "latency_from_change_time": np.where(np.isfinite(since_change), since_change, np.nan),
    }
    return pd.DataFrame(columns)


def _next_starts(trials: pd.DataFrame) -> Floats:
    """Return (n_trials,) the start of the next trial in seconds; infinite for the last trial."""
    ordered = in_order_of_time(trials)
    following = np.full(len(trials), np.inf)
    following[ordered.index.to_numpy()[:-1]] = start_times(ordered)[1:]
    return following


def lick_latency_statistics(latencies: pd.DataFrame, chosen: ArrayLike) -> dict[str, int | float]:
    """Summarise the lick latencies of chosen trials, such as hits.

    Parameters
    ----------
    latencies : table from `lick_latencies`.
    chosen : (n_trials,) True for the trials to use.

    Returns
    -------
    For each of latency_from_flash and latency_from_change_time: <name>_count, the number of trials with a
    lick, and in seconds <name>_median, _mean, _std (ddof 1), _min and _max; NaN without a lick, _std also
    with a single one.
    """
    used = np.asarray(chosen, dtype=np.bool_)
    statistics: dict[str, int | float] = {}
    for name in ("latency_from_flash", "latency_from_change_time"):
        values = latencies[name].to_numpy(np.float64)[used]
        values = values[np.isfinite(values)]
        statistics[f"{name}_count"] = values.size
        for measure, function in _MEASURES.items():
            enough = values.size > (measure == "std")
            statistics[f"{name}_{measure}"] = float(function(values)) if enough else float("nan")
    return statistics


def _std(values: Floats) -> Any:
    return values.std(ddof=1)


_MEASURES: Mapping[str, Any] = {
    "median": np.median,
    "mean": np.mean,
    "std": _std,
    "min": np.min,
    "max": np.max,
}
