"""Responsiveness and modulation by the rules of Bennett et al. 2025, for comparison with the calibrated ones.

Spikes are counted as bins of the published tensor (`vbn.analysis.spikes.presentation_counts`), and the gray
before a flash is the end of the row of the flash or omission before it, as in the published code
(``make_unit_responsiveness_table``, ``get_matched_change_prechange``, ``get_mod_index_norm``). An older
responsiveness (``calculate_imagewise_stats``) is `OLDER`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.responses.change_response import ratio
from vbn.analysis.spikes.presentation_counts import (
    TENSOR_BIN_S,
    CountWindow,
    known_counts,
    presentations_with_spikes,
)
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import BINS, Window, check_windows
from vbn.analysis.statistics import benjamini_hochberg_of_rows, scipy_signed_rank_p_values
from vbn.analysis.task.presentations import NO_ROW, OMITTED, flags

KINDS = ("image", "omission", "change")
FLASHES, TIME = "flashes", "time"
WINDOWS = ("response_window_s", "baseline_window_s", "modulation_baseline_window_s")


@dataclass(frozen=True)
class PublishedResponseParameters:
    """Windows in seconds after the start of a presentation, whole milliseconds; flashes; threshold.

    Parameters
    ----------
    response_window_s : of the flash, omission or change.
    baseline_window_s : of the flash or omission before it, for responsiveness.
    modulation_baseline_window_s : the same for change and state modulation.
    image_flash_set, omission_flash_set, change_flash_set : names of the flashes that are measured on, see
        `vbn.analysis.task.flash_sets`.
    max_p_corrected : conditions with at most this corrected p are significant.
    peak_over : the peak of a response is the greatest mean of a single flash (``flashes``), or the greatest
        millisecond of the mean over flashes (``time``).
    """

    response_window_s: Window = (0.02, 0.1)
    baseline_window_s: Window = (0.67, 0.75)
    modulation_baseline_window_s: Window = (0.7, 0.75)
    image_flash_set: str = "bennett_2025"
    omission_flash_set: str = "bennett_2025_omissions"
    change_flash_set: str = "bennett_2025_changes"
    max_p_corrected: float = 0.05
    peak_over: str = FLASHES

    def __post_init__(self) -> None:
        check_windows(self, *WINDOWS)
        for name in WINDOWS:
            _bins_of(self, name)
        if not 0 < self.max_p_corrected < 1:
            raise ValueError(f"max_p_corrected must lie between 0 and 1, got {self.max_p_corrected}.")
        if self.peak_over not in (FLASHES, TIME):
            raise ValueError(f"peak_over must be '{FLASHES}' or '{TIME}', got {self.peak_over!r}.")

    @property
    def flash_sets(self) -> dict[str, str]:
        """Kind of `KINDS` -> name of its flash set."""
        return {kind: getattr(self, f"{kind}_flash_set") for kind in KINDS}


def _bins_of(parameters: PublishedResponseParameters, name: str) -> CountWindow:
    start_s, stop_s = getattr(parameters, name)
    return CountWindow(name, start_s, stop_s, BINS)


DEFAULT = PublishedResponseParameters()
OLDER = PublishedResponseParameters(
    baseline_window_s=(0.7, 0.75),
    image_flash_set="bennett_2025_novelty",
    omission_flash_set="bennett_2025_novelty_omissions",
    peak_over=TIME,
)
"""The older variant of the published code: other gray, flashes and peaks. It has no changes and no test:
those are here as in the other."""


def published_response(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    trials: pd.DataFrame,
    chosen: Mapping[str, Booleans],
    parameters: PublishedResponseParameters = DEFAULT,
) -> tuple[pd.DataFrame, list[str]]:
    """Measure each unit's responses to each image, to omissions and to changes, and their modulation.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    flashes : table from `vbn.analysis.task.flash_behavior.flash_behavior`.
    trials : the trials that its column ``trial`` counts; hit.
    chosen : for each of `KINDS` (n_rows,) True for the flashes that are measured on.
    parameters : windows and threshold; its flash sets have been applied.

    Returns
    -------
    table : DataFrame One row per unit, in input order. For each K of change and omission, and for the images,
        an array over the second value returned:

        * n_K: number of flashes; image_flashes, a list;
        * K_p_value; image_p_values: two-sided Wilcoxon test between the response and the gray before;
        * K_p_corrected; image_p_corrected: the same, adjusted (Benjamini & Hochberg) over the conditions of
          the unit: images, omission and change;
        * K_is_significant: p_corrected at most max_p_corrected; responds_to_image: that of any image;
        * K_mean_evoked_hz; image_mean_evoked_hz: mean response less mean gray;
        * K_peak_evoked_hz; image_peak_evoked_hz: the response to the one flash with the greatest, or the
          millisecond of the mean response with the greatest (``peak_over``), less mean gray.

        Then, over engaged hits and images that are not shared, for task (active) and replay (passive):
        n_matched_images; change_rate_S_hz, prechange_rate_S_hz: responses less gray to changes and to the
        flashes before changes; change_index_S: (change - prechange) / max(abs(change), abs(prechange));
        state_index: the same of the responses to changes in task and replay. -2 to 2.

        Missing where there are no flashes of the kind, and indices where both responses are 0.
    names : the images, sorted.

    Notes
    -----
    In the source p is 1 where the differences add up to 0; here only where each of them is 0. Rates of
    changes and prechange flashes are means over images of means over flashes, of images that have both; the
    replay's are of the flashes that repeat those of the task.
    """
    count = _Counts((spike_times, offsets, n_spikes), flashes, parameters)
    image = flashes["image_name"].to_numpy(object)
    names = sorted({str(name) for name in image[chosen["image"]]} - {OMITTED})
    conditions = {name: chosen["image"] & (image == name) for name in names}
    conditions |= {kind: chosen[kind] for kind in ("omission", "change")}
    responses = {name: _Response.to(count, np.flatnonzero(rows)) for name, rows in conditions.items()}
    p = np.array([each.p_values for each in responses.values()])
    corrected = benjamini_hochberg_of_rows(p.T).T
    columns: dict[str, object] = {}
    for (kind, response), q in zip(
        list(responses.items())[len(names) :], corrected[len(names) :], strict=True
    ):
        columns |= {
            f"n_{kind}": response.n_flashes,
            f"{kind}_p_value": response.p_values,
            f"{kind}_p_corrected": q,
            f"{kind}_is_significant": _flag(q, parameters),
            f"{kind}_mean_evoked_hz": response.mean_evoked_hz,
            f"{kind}_peak_evoked_hz": response.peak_evoked_hz,
        }
    of_images = [responses[name] for name in names]
    arrays = {
        "image_p_values": p[: len(names)].T,
        "image_p_corrected": corrected[: len(names)].T,
        "image_mean_evoked_hz": _stacked([each.mean_evoked_hz for each in of_images], count.n_units),
        "image_peak_evoked_hz": _stacked([each.peak_evoked_hz for each in of_images], count.n_units),
    }
    best = np.fmin.reduce(corrected[: len(names)], axis=0) if names else np.full(count.n_units, np.nan)
    columns["responds_to_image"] = _flag(best, parameters)
    columns |= {name: pd.Series(list(values), dtype=object) for name, values in arrays.items()}
    columns["image_flashes"] = pd.Series(
        [[each.n_flashes for each in of_images]] * count.n_units, dtype=object
    )
    return pd.DataFrame({**columns, **_modulation(count, flashes, trials)}), names


class _Counts:
    """Counts of the bins with a spike around the rows of a table of flashes, in the windows of the rules."""

    def __init__(
        self,
        spikes: tuple[ArrayLike, ArrayLike, ArrayLike],
        flashes: pd.DataFrame,
        parameters: PublishedResponseParameters,
    ) -> None:
        self.n_units = np.size(spikes[1])
        self._spikes, self._peak_over = spikes, parameters.peak_over
        self._windows = {name: _bins_of(parameters, name) for name in WINDOWS}
        self._starts = flashes["start_time"].to_numpy(np.float64)
        counts = known_counts(*spikes, self._starts, list(self._windows.values()))
        self._counts = dict(zip(self._windows, counts, strict=True))
        active = flashes["active"].to_numpy(np.bool_)
        self.before = np.full(len(flashes), NO_ROW, dtype=np.int64)
        for of_block in (np.flatnonzero(active), np.flatnonzero(~active)):
            self.before[of_block[1:]] = of_block[:-1]

    def shares(self, rows: Integers, window: str) -> Floats:
        """Return (n_units, n_rows) the share of the bins of a window that have a spike."""
        first, last = self._windows[window].bins
        # Divided as in the source, so that what rounding makes of ties is the same.
        return np.asarray(self._counts[window][:, rows] / (last - first))

    def peaks(self, rows: Integers) -> Floats:
        """Return (n_units,) the peak of the response to rows, as a share of bins with a spike."""
        window = "response_window_s"
        if self._peak_over == FLASHES:
            return np.asarray(self.shares(rows, window).max(axis=1))
        with_spikes = presentations_with_spikes(*self._spikes, self._starts[rows], self._windows[window])
        return np.asarray(with_spikes.max(axis=1) / rows.size)

    def gain_hz(self, rows: Integers) -> Floats:
        """Return (n_units,) the mean response to rows less the gray before, for modulation."""
        gray = self.shares(self.before[rows], "modulation_baseline_window_s").mean(axis=1)
        return np.asarray((self.shares(rows, "response_window_s").mean(axis=1) - gray) / TENSOR_BIN_S)


@dataclass(frozen=True)
class _Response:
    """The response of all units in one condition, (n_units,)."""

    n_flashes: int
    p_values: Floats
    mean_evoked_hz: Floats
    peak_evoked_hz: Floats

    @classmethod
    def to(cls, count: _Counts, rows: Integers) -> _Response:
        """Measure it over rows; the first of a block has no row before, and is left out."""
        rows = rows[count.before[rows] != NO_ROW]
        if rows.size == 0:
            missing = np.full(count.n_units, np.nan)
            return cls(0, missing, missing, missing)
        response = count.shares(rows, "response_window_s")
        gray = count.shares(count.before[rows], "baseline_window_s")
        mean_gray = gray.mean(axis=1)
        return cls(
            n_flashes=rows.size,
            p_values=scipy_signed_rank_p_values(response - gray),
            mean_evoked_hz=(response.mean(axis=1) - mean_gray) / TENSOR_BIN_S,
            peak_evoked_hz=(count.peaks(rows) - mean_gray) / TENSOR_BIN_S,
        )


def _stacked(columns: list[Floats], n_rows: int) -> Floats:
    """Return (n_rows, n_columns)."""
    return np.array(columns).reshape(len(columns), n_rows).T


def _flag(p: Floats, parameters: PublishedResponseParameters) -> pd.arrays.BooleanArray:
    """Return (n_units,) whether p is small enough; NA where nothing was tested."""
    return pd.arrays.BooleanArray(p <= parameters.max_p_corrected, np.isnan(p))


def _modulation(count: _Counts, flashes: pd.DataFrame, trials: pd.DataFrame) -> dict[str, object]:
    """Return the columns of change and state modulation."""
    hit = np.append(flags(trials, "hit"), False)[flashes["trial"].to_numpy(np.int64)]  # False for row -1
    usable = hit & flashes["active"].to_numpy(np.bool_) & flashes["engaged_bennett_2025"].to_numpy(np.bool_)
    usable &= count.before != NO_ROW
    image = flashes["image_name"].to_numpy(object)
    changes = usable & flags(flashes, "is_change") & ~flags(flashes, "is_shared")
    prechange = usable & flags(flashes, "is_prechange")
    matched = sorted({str(name) for name in image[changes]} & {str(name) for name in image[prechange]})
    kinds = {"change": changes, "prechange": prechange}
    rows = {kind: [np.flatnonzero(of & (image == name)) for name in matched] for kind, of in kinds.items()}
    replayed = flashes.index.get_indexer(pd.Index(flashes["replay"]))
    has_replay = all((replayed[each] != NO_ROW).all() for of in rows.values() for each in of)
    columns: dict[str, object] = {"n_matched_images": len(matched)}
    rates = {}
    for state in ("active", "passive"):
        for kind, of_images in rows.items():
            known = matched and (state == "active" or has_replay)
            shown = [each if state == "active" else replayed[each] for each in of_images]
            rates[kind, state] = (
                np.mean([count.gain_hz(each) for each in shown], axis=0)
                if known
                else np.full(count.n_units, np.nan)
            )
            columns[f"{kind}_rate_{state}_hz"] = rates[kind, state]
        columns[f"change_index_{state}"] = _index(rates["change", state], rates["prechange", state])
    columns["state_index"] = _index(rates["change", "active"], rates["change", "passive"])
    return columns


def _index(one: Floats, other: Floats) -> Floats:
    """Return the difference of two responses over the greater, by size."""
    return ratio(one - other, np.maximum(np.abs(one), np.abs(other)))
