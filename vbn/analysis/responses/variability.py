"""How variable a unit fires: from flash to flash of one image, and from spike to spike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.trains import Booleans, Floats, Integers, unit_trains
from vbn.analysis.spikes.windows import Window, check_windows, count_in_windows
from vbn.analysis.task.presentations import image_names, start_times


@dataclass(frozen=True)
class VariabilityParameters:
    """Windows in seconds relative to the start of a flash, half open; intervals between spikes in seconds.

    Parameters
    ----------
    response_window_s : the 250 ms of the flash.
    baseline_window_s : the 250 ms before, in the gray between flashes.
    flash_set : name of the flashes that are measured on, see `vbn.analysis.task.flash_sets`.
    min_mean_count : images with fewer spikes per flash are left out.
    burst_silence_s : a burst begins after no spike for so long ...
    burst_interval_s : ... and goes on while the next spike comes within this.
    """

    response_window_s: Window = (0.0, 0.25)
    baseline_window_s: Window = (-0.25, 0.0)
    flash_set: str = "lick_free"
    min_mean_count: float = 0.5
    burst_silence_s: float = 0.1
    burst_interval_s: float = 0.004

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s", "baseline_window_s")
        if not self.min_mean_count > 0:
            raise ValueError(f"min_mean_count must be above 0, got {self.min_mean_count}.")
        if not 0 < self.burst_interval_s < self.burst_silence_s:
            raise ValueError(
                "burst_interval_s must be above 0 and below burst_silence_s, got "
                f"{self.burst_interval_s} and {self.burst_silence_s}."
            )


DEFAULT = VariabilityParameters()
MIN_FLASHES_PER_IMAGE = 10
MIN_INTERVALS = 50


def variability(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    parameters: VariabilityParameters = DEFAULT,
) -> pd.DataFrame:
    """Measure each unit's variability over flashes and over intervals between spikes.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    flashes : the rows of `vbn.analysis.task.flash_behavior.flash_behavior` that the flash set has chosen:
        start_time (s), image_name, run.
    parameters : windows; its flash set has been applied.

    Returns
    -------
    DataFrame
        One row per unit, in input order:

        * n_flashes: number of flashes;
        * fano_factor, baseline_fano_factor: variance over mean of the counts in the flash, and in the gray
          before, of each image, mean over images; 1 for a Poisson unit of constant rate. Slow drift raises
          it;
        * fano_factor_local, baseline_fano_factor_local: the same without drift: half the mean squared
          difference between successive flashes of a run, over the mean of these flashes. An image has
          `MIN_FLASHES_PER_IMAGE` flashes, or pairs, or more, and min_mean_count spikes per flash;
        * burst_fraction: share of the spikes in bursts: two or more within burst_interval_s of one another
          after burst_silence_s of silence;
        * isi_cv2: mean of 2 |I' - I| / (I' + I) over successive intervals between spikes, 1 for a Poisson
          unit, whatever its drift;
        * isi_lv: 3 times the mean of ((I' - I) / (I' + I))^2 over them, likewise.

        The last three are of all spikes between the first and the last flash of the set; missing with fewer
        than `MIN_INTERVALS` intervals. What was not measured is missing.

    Notes
    -----
    cv2 is that of Holt et al. 1996 (J. Neurophysiol. 75:1806), lv that of Shinomoto et al. 2003 (Neural
    Comput. 15:2823); the local Fano factor is half of von Neumann's ratio of successive differences.
    """
    spikes, starts = (spike_times, offsets, n_spikes), start_times(flashes)
    order = np.argsort(starts, kind="stable")
    _, image = np.unique(image_names(flashes).to_numpy(str)[order], return_inverse=True)
    run = flashes["run"].to_numpy(np.int64)[order]
    columns: dict[str, object] = {"n_flashes": starts.size}
    for name, window in (
        ("fano_factor", parameters.response_window_s),
        ("baseline_fano_factor", parameters.baseline_window_s),
    ):
        counts = count_in_windows(*spikes, starts[order], window)
        columns[name] = fano_factor(counts, image, parameters.min_mean_count)
        columns[f"{name}_local"] = local_fano_factor(counts, image, run, parameters.min_mean_count)
    bounds = (starts.min(), starts.max()) if starts.size else (0.0, 0.0)
    of_intervals = np.array(
        [
            _intervals(train[slice(*train.searchsorted(bounds).tolist())], parameters)
            for train in unit_trains(*spikes)
        ]
    ).reshape(-1, 3)
    columns |= dict(zip(("burst_fraction", "isi_cv2", "isi_lv"), of_intervals.T, strict=True))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(of_intervals)))


def fano_factor(counts: NDArray[np.int32], image: Integers, min_mean_count: float = 0.5) -> Floats:
    """Return (n_units,) variance over mean, mean over the images with enough flashes and spikes.

    Parameters
    ----------
    counts : (n_units, n_flashes) spikes.
    image : (n_flashes,) index of the image.
    min_mean_count : images with fewer spikes per flash are left out.

    Examples
    --------
    >>> fano_factor(np.array([[0, 2] * 10]), np.zeros(20, int)).tolist()
    [1.0]
    """
    of_images = [(counts[:, of].var(axis=1), counts[:, of].mean(axis=1)) for of in _enough(image)]
    return _mean_ratio(of_images, len(counts), min_mean_count)


def local_fano_factor(
    counts: NDArray[np.int32], image: Integers, run: Integers, min_mean_count: float = 0.5
) -> Floats:
    """Return the same from the differences between successive flashes of a run, which drift hardly enters.

    Parameters
    ----------
    counts : (n_units, n_flashes) spikes, flashes in the order of time.
    image, run : (n_flashes,) index of the image, and number of the run.
    min_mean_count : images with fewer spikes per flash are left out.

    Examples
    --------
    >>> local_fano_factor(np.array([[0, 2] * 10]), np.zeros(20, int), np.zeros(20, int)).tolist()
    [2.0]
    """
    is_pair = (np.diff(run) == 0) & (np.diff(image) == 0)
    before, after = np.flatnonzero(is_pair), np.flatnonzero(is_pair) + 1
    of_images = []
    for of in _enough(image[before]):
        one, other = (counts[:, flash[of]].astype(np.float64) for flash in (before, after))
        of_images.append((np.mean((other - one) ** 2, axis=1) / 2, np.mean((one + other) / 2, axis=1)))
    return _mean_ratio(of_images, len(counts), min_mean_count)


def _enough(image: Integers) -> list[Booleans]:
    """Return which flashes are of each image that has enough of them."""
    number, n = np.unique(image, return_counts=True)
    return [image == one for one in number[n >= MIN_FLASHES_PER_IMAGE]]


def _mean_ratio(of_images: list[tuple[Floats, Floats]], n_units: int, min_mean_count: float) -> Floats:
    """Return (n_units,) the mean ratio over the images with enough spikes; NaN without any."""
    total, n = np.zeros(n_units), np.zeros(n_units)
    for spread, mean in of_images:
        is_enough = mean >= min_mean_count
        total[is_enough] += spread[is_enough] / mean[is_enough]
        n += is_enough
    return np.asarray(np.divide(total, n, out=np.full(n_units, np.nan), where=n > 0))


def _intervals(train: Floats, parameters: VariabilityParameters) -> tuple[float, float, float]:
    """Return burst_fraction, isi_cv2 and isi_lv of one unit."""
    intervals = np.diff(train)
    if intervals.size < MIN_INTERVALS:
        return np.nan, np.nan, np.nan
    total = intervals[1:] + intervals[:-1]
    known = total > 0  # spikes of one time say nothing
    contrast = np.diff(intervals)[known] / total[known]
    if not contrast.size:
        return np.nan, np.nan, np.nan
    is_in_burst = burst_spikes(train, parameters.burst_silence_s, parameters.burst_interval_s)
    return float(is_in_burst.mean()), float(2 * np.abs(contrast).mean()), float(3 * np.mean(contrast**2))


def burst_spikes(train: Floats, silence_s: float, interval_s: float) -> Booleans:
    """Return (n_spikes,) whether a spike belongs to a burst; what precedes the first spike is no silence.

    Parameters
    ----------
    train : (n_spikes,) seconds, ascending.
    silence_s : a burst begins after no spike for so long.
    interval_s : and goes on while the next spike comes within this.

    Examples
    --------
    >>> burst_spikes(np.array([0.0, 1.0, 1.003, 1.006, 1.02, 1.022]), 0.1, 0.004).tolist()
    [False, True, True, True, False, False]
    """
    intervals = np.diff(train)
    follows = np.append(False, intervals <= interval_s)
    begins = np.append(False, intervals >= silence_s) & np.append(follows[1:], False)
    # Each spike belongs to the last one that did not follow another at once.
    leader = np.maximum.accumulate(np.where(follows, 0, np.arange(train.size)))
    return np.asarray(begins[leader], dtype=np.bool_)
