"""Counts of a population around flashes, and what of them varies from flash to flash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import Window, count_in_windows
from vbn.analysis.task.presentations import image_names, start_times


@dataclass(frozen=True)
class FlashCounts:
    """Spikes of units in a window of flashes, in the order of time.

    Parameters
    ----------
    counts : (n_units, n_flashes) spikes.
    image : (n_flashes,) index of the image; only images with enough flashes are here.
    run : (n_flashes,) number of the run of the image, from a change to the next.
    """

    counts: NDArray[np.int32]
    image: Integers
    run: Integers

    def __post_init__(self) -> None:
        if not self.counts.shape[1] == self.image.size == self.run.size:
            raise ValueError(
                "counts must be (n_units, n_flashes), image and run both (n_flashes,): got "
                f"{self.counts.shape}, {self.image.shape} and {self.run.shape}."
            )

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(np.unique(self.image).size)

    def of_units(self, chosen: Booleans | Integers) -> FlashCounts:
        """Return some of the units."""
        return FlashCounts(self.counts[chosen], self.image, self.run)

    def differences(self) -> Floats:
        """Return what differs between successive flashes of a run, which slow drift hardly enters.

        Returns
        -------
        (n_units, n_pairs) spikes, in each image over their root mean square; 0 in images where a unit never
        differs. Pairs are those of `pairs`.

        Notes
        -----
        Of two independent units with slowly drifting rates, deviations from the image's mean correlate by
        chance twice as widely as these do.
        """
        later = self.pairs()
        found = (self.counts[:, later] - self.counts[:, later - 1]).astype(np.float64)
        return _over_rms(found, self.image[later])

    def pairs(self) -> Integers:
        """Return (n_pairs,) the index of the later flash of each two successive ones of a run."""
        is_pair = (np.diff(self.run) == 0) & (np.diff(self.image) == 0)
        return np.flatnonzero(is_pair) + 1

    def deviations(self) -> Floats:
        """Return (n_units, n_flashes) the deviations from the image's mean, scaled likewise."""
        found = self.counts.astype(np.float64)
        for image in np.unique(self.image):
            of = self.image == image
            found[:, of] -= found[:, of].mean(axis=1, keepdims=True)
        return _over_rms(found, self.image)

    def image_means(self, n_parts: int) -> Floats | None:
        """Return the mean counts of each image in disjoint parts of its runs, taken in turn.

        Returns
        -------
        (n_parts, n_units, n_images) in standard deviations of the unit's counts over all flashes, so that
        units of high rates do not outweigh the others; images in the order of their index. None if an image
        has fewer runs than parts.
        """
        means = np.empty((n_parts, len(self.counts), self.n_images))
        for column, image in enumerate(np.unique(self.image)):
            of = np.flatnonzero(self.image == image)
            number = np.unique(self.run[of], return_inverse=True)[1]
            if number.max() + 1 < n_parts:
                return None
            for part in range(n_parts):
                means[part, :, column] = self.counts[:, of[number % n_parts == part]].mean(axis=1)
        spread = self.counts.std(axis=1)
        return means / np.where(spread > 0, spread, 1.0)[:, np.newaxis]


def _over_rms(values: Floats, image: Integers) -> Floats:
    for one in np.unique(image):
        of = image == one
        rms = np.sqrt(np.mean(values[:, of] ** 2, axis=1, keepdims=True))
        values[:, of] /= np.where(rms > 0, rms, 1)
    return values


def flash_counts(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    window_s: Window,
    min_flashes: int,
) -> FlashCounts:
    """Count the spikes of every unit in the flashes of the images that have enough of them.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    flashes : start_time (s), image_name and run of the flashes of a flash set, in any order.
    window_s : seconds relative to the start of a flash, half open.
    min_flashes : images with fewer are left out.
    """
    order = np.argsort(start_times(flashes), kind="stable")
    _, image, n = np.unique(
        image_names(flashes).to_numpy(str)[order], return_inverse=True, return_counts=True
    )
    kept = order[(n >= min_flashes)[image]]
    counts = count_in_windows(spike_times, offsets, n_spikes, start_times(flashes)[kept], window_s)
    return FlashCounts(counts, image[(n >= min_flashes)[image]], flashes["run"].to_numpy(np.int64)[kept])
