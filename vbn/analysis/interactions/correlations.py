"""Correlations of pairs of units: of what their responses share from flash to flash, and over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.interactions.flash_counts import FlashCounts, flash_counts
from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.analysis.spikes.windows import Window, check_windows


@dataclass(frozen=True)
class CorrelationParameters:
    """Which counts are correlated, of which units, and which pairs enter the means of areas.

    Parameters
    ----------
    window_s : seconds relative to the start of a flash, half open.
    flash_set : name of the flashes, see `vbn.analysis.task.flash_sets`.
    min_flashes : images with fewer are left out.
    min_mean_count : units with fewer spikes per flash are left out: their correlations are all near 0.
    min_distance_um : pairs of one probe that are nearer do not enter means of areas, since a spike of one may
        have been taken for one of the other, or hidden it.
    """

    window_s: Window = (0.0, 0.25)
    flash_set: str = "lick_free"
    min_flashes: int = 20
    min_mean_count: float = 0.5
    min_distance_um: float = 50.0

    def __post_init__(self) -> None:
        check_windows(self, "window_s")
        if self.min_flashes < 2 or not self.min_mean_count > 0 or not self.min_distance_um >= 0:
            raise ValueError(
                "min_flashes must be 2 or more, min_mean_count above 0 and min_distance_um 0 or more, got "
                f"{self.min_flashes}, {self.min_mean_count} and {self.min_distance_um}."
            )


DEFAULT = CorrelationParameters()
MIN_IMAGES = 4
MIN_PAIRS = 20
PAIR_COLUMNS = [
    "first", "second", "n_pairs", "noise_mean", "noise_sd", "plain_noise_mean", "signal_mean",
    "signal_noise_slope",
]  # fmt: skip


@dataclass(frozen=True)
class PairCorrelations:
    """Correlations of all pairs of the units that fire enough.

    Parameters
    ----------
    is_used : (n_all_units,) which units these are.
    noise : (n_units, n_units) correlation of the differences between successive flashes of a run.
    plain_noise : (n_units, n_units) correlation of the deviations from the image's mean, which slow drift of
        both enters.
    signal : (n_units, n_units) correlation of the mean counts over images, of one unit in one half of the
        runs with the other in the other half, both ways averaged, so that noise of the moment does not enter;
        on the diagonal that of a unit with itself. NaN with fewer than `MIN_IMAGES` images or two runs of
        each.
    n_flashes, n_pairs, n_images : what they are taken over: flashes, pairs of successive ones, images.
    """

    is_used: Booleans
    noise: Floats
    plain_noise: Floats
    signal: Floats
    n_flashes: int
    n_pairs: int
    n_images: int


def pair_correlations(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    parameters: CorrelationParameters = DEFAULT,
) -> PairCorrelations:
    """Correlate the responses of all pairs of units of a session.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    flashes : start_time (s), image_name and run of the flashes of the flash set.
    parameters : windows and bounds; the flash set has been applied.
    """
    window, least = parameters.window_s, parameters.min_flashes
    counted = flash_counts(spike_times, offsets, n_spikes, flashes, window, least)
    mean = counted.counts.mean(axis=1) if counted.image.size else np.zeros(len(counted.counts))
    is_used = mean >= parameters.min_mean_count
    used = counted.of_units(is_used)
    differences = used.differences()
    return PairCorrelations(
        is_used=is_used,
        noise=_correlations(differences, differences),
        plain_noise=_correlations(used.deviations(), used.deviations()),
        signal=_signal(used),
        n_flashes=counted.image.size,
        n_pairs=differences.shape[1],
        n_images=counted.n_images,
    )


def _correlations(one: Floats, other: Floats) -> Floats:
    """Return (n, n) the correlations of rows that have a mean of 0; NaN where a row is constant."""
    of_one, of_other = (np.sqrt(np.sum(rows**2, axis=1)) for rows in (one, other))
    size = of_one[:, np.newaxis] * of_other
    found = np.divide(one @ other.T, size, out=np.full(size.shape, np.nan), where=size > 0)
    return np.asarray(found.clip(-1, 1))


def _signal(used: FlashCounts) -> Floats:
    n_units = len(used.counts)
    halves = used.image_means(2) if used.n_images >= MIN_IMAGES else None
    if halves is None:
        return np.full((n_units, n_units), np.nan)
    first, second = halves - halves.mean(axis=2, keepdims=True)
    found = _correlations(first, second)
    return (found + found.T) / 2


def area_pairs(
    found: PairCorrelations,
    structures: ArrayLike,
    probes: ArrayLike,
    positions_um: ArrayLike,
    parameters: CorrelationParameters = DEFAULT,
) -> pd.DataFrame:
    """Average the correlations over the pairs of each two structures, and within each.

    Parameters
    ----------
    found : correlations of the units.
    structures, probes : (n_all_units,) names of structure and probe of all units; units whose structure is
        None or NaN are left out.
    positions_um : (n_all_units,) height above the probe's tip.
    parameters : the distance below which a pair of one probe is left out.

    Returns
    -------
    DataFrame
        One row per two structures with a pair, in the order of their names, columns `PAIR_COLUMNS`: first,
        second; n_pairs; noise_mean, noise_sd (standard deviation over pairs, NaN for one),
        plain_noise_mean, signal_mean; signal_noise_slope: of the noise on the signal correlation over the
        pairs, NaN with fewer than `MIN_PAIRS` pairs.
    """
    structure, probe = (np.asarray(names, dtype=object)[found.is_used] for names in (structures, probes))
    position = np.asarray(positions_um, dtype=np.float64)[found.is_used]
    one, other = np.triu_indices(structure.size, k=1)
    is_near = ~(np.abs(position[one] - position[other]) >= parameters.min_distance_um)  # or not known
    is_known = pd.notna(structure)
    is_pair = is_known[one] & is_known[other] & ~(is_near & (probe[one] == probe[other]))
    is_pair &= np.isfinite(found.noise[one, other])
    one, other = one[is_pair], other[is_pair]
    names = np.sort(np.stack([structure[one], structure[other]]).astype(str), axis=0)
    frame = pd.DataFrame(
        {
            "first": names[0],
            "second": names[1],
            **{
                name: matrix[one, other]
                for name, matrix in (
                    ("noise", found.noise), ("plain", found.plain_noise), ("signal", found.signal)
                )
            },
        }
    )  # fmt: skip
    found_rows = [(*pair, *_averaged(rows)) for pair, rows in frame.groupby(["first", "second"], sort=True)]
    return pd.DataFrame(found_rows, columns=PAIR_COLUMNS)


def _averaged(rows: pd.DataFrame) -> tuple[object, ...]:
    noise, signal = rows["noise"], rows["signal"]
    return (
        len(rows),
        noise.mean(),
        noise.std(ddof=1),
        rows["plain"].mean(),
        signal.mean(),
        _slope(signal.to_numpy(np.float64), noise.to_numpy(np.float64)),
    )


def _slope(x: Floats, y: Floats) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < MIN_PAIRS or np.ptp(x[known]) == 0:
        return np.nan
    centred = x[known] - x[known].mean()
    return float(centred @ y[known] / (centred @ centred))
