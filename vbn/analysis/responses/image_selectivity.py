"""Which images a unit responds to, and how selectively.

Measured on the flashes of a flash set (`vbn.analysis.task.flash_sets`): responses to changes, to omissions
and to flashes after an omission differ for reasons other than the image, and licks drive units as images do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.change_response import mean_rate_hz, ratio
from vbn.analysis.spikes.trains import Floats
from vbn.analysis.spikes.windows import (
    Window,
    check_equal_lengths,
    check_max_q_value,
    check_windows,
    count_in_windows,
)
from vbn.analysis.statistics import benjamini_hochberg, exact_signed_rank_p_values, kruskal_wallis_p_values
from vbn.analysis.task.presentations import image_names, start_times


@dataclass(frozen=True)
class ImageSelectivityParameters:
    """Windows in seconds relative to the start of a flash, half open and equally long.

    Parameters
    ----------
    response_window_s : the 250 ms of the flash (AllenSDK's ``trial_duration``).
    baseline_window_s : the 250 ms before, in the gray between flashes.
    flash_set : name of the flashes that are measured on, see `vbn.analysis.task.flash_sets`.
    max_q_value : units with at most this q are responsive, or selective.
    """

    response_window_s: Window = (0.0, 0.25)
    baseline_window_s: Window = (-0.25, 0.0)
    flash_set: str = "lick_free"
    max_q_value: float = 0.05

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s", "baseline_window_s")
        check_equal_lengths(self, "response_window_s", "baseline_window_s")
        check_max_q_value(self)


DEFAULT = ImageSelectivityParameters()
INDICES = ["lifetime_sparseness", "novel_shared_index"]
MIN_FLASHES = 5
MIN_FLASHES_PER_RUN = 2
MIN_RUNS_PER_IMAGE = 2
MIN_SPIKES_PER_IMAGE = 10


def image_selectivity(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    parameters: ImageSelectivityParameters = DEFAULT,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure each unit's response to each image.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    flashes : the rows of `vbn.analysis.task.flash_behavior.flash_behavior` that the flash set has chosen:
        start_time (s), image_name, run, is_image_novel.
    parameters : windows and threshold; its flash set has been applied.

    Returns
    -------
    selectivity : DataFrame One row per unit, in input order:

        * n_flashes: number of flashes; with fewer than `MIN_FLASHES` nothing is measured;
        * n_images, n_novel_flashes, n_familiar_flashes: numbers of images and flashes measured on;
        * n_runs: runs of an image that were tested for selectivity;
        * baseline_rate_hz, evoked_rate_hz: mean over flashes;
        * p_response, q_response: two-sided paired Wilcoxon test between the two over flashes;
        * preferred_image, preferred_rate_hz: the image with the highest mean rate (ties: first by name); None
          and NaN where the unit is silent in all windows;
        * lifetime_sparseness: 0 for equal responses to all images, 1 for a response to one only, corrected
          for the noise of the mean rates; NaN for fewer than two images, an image with one flash only, or
          fewer than `MIN_SPIKES_PER_IMAGE` spikes per image;
        * p_selectivity, q_selectivity: Kruskal-Wallis test between images, with each run of an image (from a
          change to the next) as one observation: the mean over its flashes of evoked minus baseline counts.
          Runs with fewer than `MIN_FLASHES_PER_RUN` flashes are left out;
        * novel_shared_index: (novel - shared) / max(abs(novel), abs(shared)) of the mean responses above
          baseline to the images that are novel in this session, and to those that are not; -2 to 2.
          It and lifetime_sparseness are NaN where the unit is neither responsive nor selective;
        * is_responsive, is_selective: q_response, q_selectivity at most max_q_value; NA where there is none.

        NaN without flashes of the kind, and p_selectivity with fewer than two images of
        `MIN_RUNS_PER_IMAGE` runs; p is 1 where all values are equal.
    rates : DataFrame (n_units, n_images) mean rate in the response window in Hz; one column per image, sorted
        by name.

    Notes
    -----
    Lifetime sparseness of n mean rates r (Vinje & Gallant 2000; AllenSDK ``lifetime_sparseness``):
    (1 - (sum r)^2 / (n sum r^2)) / (1 - 1/n). Noise of the means raises it: their squared standard errors are
    taken off. AllenSDK's is `lifetime_sparseness` of the rates.

    Flashes of one run are not independent observations of an image: firing rates drift, and so differ between
    runs, whatever the image. Tested over flashes, as before method version 2, about half of all untuned units
    with slowly drifting rates are selective.

    The novel and the shared images differ, so a unit that is tuned to images has a novel_shared_index without
    any effect of novelty, which is a contrast between sessions. The index has the form of Bennett 2025
    (``get_nov_mod_index_norm``).
    """
    n_flashes = len(flashes)
    if n_flashes < MIN_FLASHES:
        flashes = flashes.iloc[:0]
    count = partial(count_in_windows, spike_times, offsets, n_spikes, start_times(flashes))
    evoked, baseline = count(parameters.response_window_s), count(parameters.baseline_window_s)
    names, image = np.unique(image_names(flashes).to_numpy(str), return_inverse=True)
    rates_hz = _rates_per_image(evoked, image, names.size, parameters.response_window_s)
    columns: dict[str, object] = {
        "n_flashes": n_flashes,
        "n_images": names.size,
        **_responses(evoked, baseline, parameters),
        **_preference(names, rates_hz),
        "lifetime_sparseness": _sparseness(evoked, image, names.size),
        **_selectivity(evoked - baseline, image, flashes["run"].to_numpy(np.int64)),
        **_novel_and_shared(evoked - baseline, flashes, parameters),
    }
    table = pd.DataFrame(columns, index=pd.RangeIndex(evoked.shape[0]))
    for flag, q in (("is_responsive", table["q_response"]), ("is_selective", table["q_selectivity"])):
        table[flag] = (q <= parameters.max_q_value).astype("boolean").mask(q.isna())
    responds = table[["is_responsive", "is_selective"]].fillna(False).any(axis=1)
    table[INDICES] = table[INDICES].where(responds)
    return table, pd.DataFrame(rates_hz, columns=pd.Index(names.tolist(), dtype=object))


def lifetime_sparseness(responses: ArrayLike, noise: ArrayLike = 0.0) -> Floats:
    """Return the lifetime sparseness of every unit (Vinje & Gallant 2000; as in AllenSDK).

    Parameters
    ----------
    responses : (n_units, n_stimuli) mean responses, >= 0.
    noise : (n_units,) sum over stimuli of the squared standard errors of these means, to correct for it.

    Returns
    -------
    (n_units,), 0 to 1; NaN for fewer than two stimuli and where all responses are 0. Corrected for noise, it
    can be somewhat below 0 by chance, and is NaN where the responses are no more than noise.

    Notes
    -----
    Both the squared sum and the sum of squares of noisy means exceed those of the true ones by the noise.

    Examples
    --------
    >>> lifetime_sparseness([[1.0, 1.0], [0.0, 3.0], [0.0, 0.0]]).tolist()
    [0.0, 1.0, nan]
    """
    r = np.asarray(responses, dtype=np.float64)
    n = r.shape[1]
    if n < 2:
        return np.full(r.shape[0], np.nan)
    squared_sum, sum_of_squares = r.sum(axis=1) ** 2 - noise, (r**2).sum(axis=1) - noise
    # (1 - (sum r)^2 / (n sum r^2)) / (1 - 1/n)
    return np.asarray((1 - ratio(squared_sum, n * np.maximum(sum_of_squares, 0))) / (1 - 1 / n))


def _rates_per_image(
    counts: NDArray[np.int32], image: NDArray[np.int64], n_images: int, window: Window
) -> Floats:
    """Return (n_units, n_images) Hz."""
    rates = np.zeros((counts.shape[0], n_images))
    for column in range(n_images):
        rates[:, column] = mean_rate_hz(counts[:, image == column], window)
    return rates


def _responses(
    evoked: NDArray[np.int32], baseline: NDArray[np.int32], parameters: ImageSelectivityParameters
) -> dict[str, object]:
    p = exact_signed_rank_p_values(evoked - baseline)
    return {
        "baseline_rate_hz": mean_rate_hz(baseline, parameters.baseline_window_s),
        "evoked_rate_hz": mean_rate_hz(evoked, parameters.response_window_s),
        "p_response": p,
        "q_response": benjamini_hochberg(p),
    }


def _preference(names: np.ndarray, rates_hz: Floats) -> dict[str, object]:
    best = rates_hz.argmax(axis=1) if names.size else np.zeros(rates_hz.shape[0], dtype=np.int64)
    best_hz = rates_hz.max(axis=1, initial=0.0)
    preferred = [
        str(names[column]) if rate > 0 else None
        for column, rate in zip(best.tolist(), best_hz.tolist(), strict=True)
    ]
    return {
        "preferred_image": pd.Series(preferred, dtype=object),
        "preferred_rate_hz": np.where(best_hz > 0, best_hz, np.nan),
    }


def _sparseness(counts: NDArray[np.int32], image: NDArray[np.int64], n_images: int) -> Floats:
    """Return (n_units,) sparseness less what the noise of the means adds; NaN of few spikes or flashes."""
    n_flashes = np.bincount(image, minlength=n_images)
    if n_images < 2 or n_flashes.min() < 2:
        return np.full(len(counts), np.nan)
    of_images = [counts[:, image == column] for column in range(n_images)]
    means = np.array([of.mean(axis=1) for of in of_images]).T
    noise = np.sum([of.var(axis=1, ddof=1) / of.shape[1] for of in of_images], axis=0)
    enough = counts.sum(axis=1) >= MIN_SPIKES_PER_IMAGE * n_images
    return np.where(enough, lifetime_sparseness(means, noise), np.nan)


def _selectivity(
    gain: NDArray[np.int32], image: NDArray[np.int64], run: NDArray[np.int64]
) -> dict[str, object]:
    """Test between images, with a run as one observation; divided where a file does not mark a change."""
    run = run * (image.max(initial=0) + 1) + image
    _, first, sizes = np.unique(run, return_index=True, return_counts=True)
    image_of_run = image[first]
    long = sizes >= MIN_FLASHES_PER_RUN
    repeated = np.bincount(image_of_run[long], minlength=image.max(initial=0) + 1) >= MIN_RUNS_PER_IMAGE
    tested = long & repeated[image_of_run]
    starts = np.cumsum(sizes) - sizes
    means = np.add.reduceat(gain[:, np.argsort(run, kind="stable")], starts, axis=1) / sizes
    p = kruskal_wallis_p_values(means[:, tested], image_of_run[tested])
    return {"n_runs": int(tested.sum()), "p_selectivity": p, "q_selectivity": benjamini_hochberg(p)}


def _novel_and_shared(
    gain: NDArray[np.int32], flashes: pd.DataFrame, parameters: ImageSelectivityParameters
) -> dict[str, object]:
    stored = pd.Series(pd.NA, index=flashes.index, dtype="boolean")
    if "is_image_novel" in flashes:
        stored = flashes["is_image_novel"].astype("boolean")
    known, is_novel = stored.notna().to_numpy(), stored.fillna(False).to_numpy(np.bool_)
    novel, shared = known & is_novel, known & ~is_novel
    novel_hz, shared_hz = (
        mean_rate_hz(gain[:, kind], parameters.response_window_s) for kind in (novel, shared)
    )
    return {
        "n_novel_flashes": int(novel.sum()),
        "n_familiar_flashes": int(shared.sum()),
        "novel_shared_index": ratio(novel_hz - shared_hz, np.maximum(np.abs(novel_hz), np.abs(shared_hz))),
    }
