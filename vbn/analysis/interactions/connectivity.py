"""Functional connectivity: pairs of units that fire within milliseconds of each other beyond chance.

Cross-correlograms, corrected by jitter (Harrison and Geman 2009; Siegle et al. 2021, Nature 592:86): in
each flash, each window of 25 ms keeps its number of spikes, and these are spread as the spikes of that unit
in that window of that image are. What is expected then follows in closed form. It takes off what is much
slower than a window; of what two units share for 30 to 100 ms some is left, as a hill around lag 0. So a peak
must stand out of the lags beside it, too. A positive lag means that the first unit of a pair leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.spikes.trains import Booleans, Floats, Integers, unit_trains
from vbn.analysis.task.presentations import image_names, start_times

Matrix = NDArray[np.float32]

BIN_S = 0.001
N_BINS = 750
"""Bins of a flash: the image and the gray after it."""
ROWS_AT_ONCE, PAIRS_AT_ONCE, SPIKES_AT_ONCE = 32, 256, 512
PEAK_COLUMNS = ["first", "second", "lag_s", "peak", "z", "n_coincidences", "n_expected"]


@dataclass(frozen=True)
class ConnectivityParameters:
    """Which spikes are compared, and which peaks count.

    Parameters
    ----------
    flash_set : name of the flashes, see `vbn.analysis.task.flash_sets`; 750 ms of each.
    min_flashes : images with fewer are left out.
    min_rate_hz : units that do not fire more in these flashes are left out.
    jitter_s : length of the windows of jitter.
    max_lag_s : a peak lies within this of lag 0.
    flank_s : lags of both flanks, which say how much the correlogram varies; ends included.
    beside_s : distances from a peak, to both sides, ends included, of the lags that it must stand out of.
    min_z : a peak is higher than this above the mean of those, if that is above what is expected, in standard
        deviations: of the flanks, or of a Poisson number of the coincidences expected, whichever is more.
    min_expected : pairs with fewer coincidences expected within max_lag_s are not tested.
    min_distance_um : of pairs of one probe that are nearer, lags of at most ``censored_lag_s`` are left out:
        of two spikes at once on the same sites, sorting finds one.
    """

    flash_set: str = "lick_free"
    min_flashes: int = 20
    min_rate_hz: float = 2.0
    jitter_s: float = 0.025
    max_lag_s: float = 0.01
    flank_s: tuple[float, float] = (0.05, 0.1)
    beside_s: tuple[float, float] = (0.004, 0.01)
    min_z: float = 7.0
    min_expected: float = 50.0
    min_distance_um: float = 50.0
    censored_lag_s: float = 0.001

    def __post_init__(self) -> None:
        for name in ("flank_s", "beside_s"):
            object.__setattr__(self, name, tuple(float(edge) for edge in getattr(self, name)))
        if (
            self.min_flashes < 2
            or not self.min_rate_hz > 0
            or not self.min_z > 0
            or not self.min_expected > 0
        ):
            raise ValueError(
                "min_flashes must be 2 or more, min_rate_hz, min_z and min_expected above 0, got "
                f"{self.min_flashes}, {self.min_rate_hz}, {self.min_z} and {self.min_expected}."
            )
        if len(self.flank_s) != 2 or not 0 < self.max_lag_s < self.flank_s[0] < self.flank_s[1] <= 0.25:
            raise ValueError(
                "max_lag_s must be above 0 and below flank_s, which ends at .25 s at most, got "
                f"{self.max_lag_s} and {self.flank_s}."
            )
        if len(self.beside_s) != 2 or not 0 < self.beside_s[0] <= self.beside_s[1] < self.flank_s[0]:
            raise ValueError(f"beside_s must be above 0 and below flank_s, got {self.beside_s}.")
        if N_BINS % self.jitter_bins or not self.max_lag_s < self.jitter_s:
            raise ValueError(
                "jitter_s must be whole milliseconds that divide 750 ms, and more than max_lag_s, got "
                f"{self.jitter_s} and {self.max_lag_s}."
            )
        if not self.min_distance_um >= 0 or not 0 <= self.censored_lag_s < self.max_lag_s:
            raise ValueError(
                "min_distance_um must be 0 or more and censored_lag_s below max_lag_s, got "
                f"{self.min_distance_um} and {self.censored_lag_s}."
            )

    @property
    def jitter_bins(self) -> int:
        """Bins of a window of jitter."""
        return max(round(self.jitter_s / BIN_S), 1)

    @property
    def peak_lags(self) -> range:
        """Lags from 0 on that a peak may have, in bins."""
        return range(round(self.max_lag_s / BIN_S) + 1)

    @property
    def flank_lags(self) -> tuple[int, int]:
        """First and last lag of a flank, in bins."""
        first, last = (round(edge / BIN_S) for edge in self.flank_s)
        return first, last

    @property
    def lags(self) -> Integers:
        """All lags of peak and flanks, of both signs, in bins."""
        flank = np.arange(self.flank_lags[0], self.flank_lags[1] + 1)
        last = self.peak_lags[-1]
        return np.concatenate((-flank[::-1], np.arange(-last, last + 1), flank))


DEFAULT = ConnectivityParameters()


@dataclass(frozen=True)
class FlashTrains:
    """Spikes of units in the bins of flashes, unit after unit.

    Parameters
    ----------
    unit, flash, of_bin : (n_spikes,) number of the unit, of the flash, and bin of 1 ms in it.
    image : (n_flashes,) number of the image, from 0 on.
    n_units : number of units.
    """

    unit: Integers
    flash: Integers
    of_bin: Integers
    image: Integers
    n_units: int

    @property
    def n_flashes(self) -> int:
        """Number of flashes."""
        return int(self.image.size)

    @cached_property
    def sizes(self) -> Integers:
        """(n_units,) number of spikes."""
        return np.bincount(self.unit, minlength=self.n_units).astype(np.int64)

    def of_units(self, chosen: Booleans) -> FlashTrains:
        """Return some of the units."""
        number = np.cumsum(chosen) - 1
        kept = chosen[self.unit]
        return FlashTrains(
            number[self.unit[kept]], self.flash[kept], self.of_bin[kept], self.image, int(chosen.sum())
        )

    def jittered(self, jitter_bins: int, seed: int) -> FlashTrains:
        """Return a copy in which the spikes of a unit in a window of an image exchange their places in it.

        Each flash keeps its number of spikes in each window, and each unit its mean response to each image.
        """
        window, place = np.divmod(self.of_bin, jitter_bins)
        n_windows, n_images = N_BINS // jitter_bins, int(self.image.max(initial=0)) + 1
        group = (self.unit * n_images + self.image[self.flash]) * n_windows + window
        order = np.lexsort((np.random.default_rng(seed).random(group.size), group))
        drawn = np.empty_like(place)
        drawn[np.argsort(group, kind="stable")] = place[order]
        return FlashTrains(self.unit, self.flash, window * jitter_bins + drawn, self.image, self.n_units)


def flash_trains(
    spike_times: ArrayLike, offsets: ArrayLike, n_spikes: ArrayLike, flashes: pd.DataFrame, min_flashes: int
) -> FlashTrains:
    """Return the spikes of every unit in the flashes of the images that have enough of them.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    flashes : start_time (s) and image_name, in any order.
    min_flashes : images with fewer are left out.
    """
    order = np.argsort(start_times(flashes), kind="stable")
    names = image_names(flashes).to_numpy(str)[order]
    _, image, n = np.unique(names, return_inverse=True, return_counts=True)
    kept = (n >= min_flashes)[image]
    starts = start_times(flashes)[order][kept]
    image = np.unique(image[kept], return_inverse=True)[1]
    parts = [np.empty((3, 0), dtype=np.int64)]
    trains = list(unit_trains(spike_times, offsets, n_spikes))
    for unit, train in enumerate(trains):
        time_s, flash = spikes_around(train, starts, 0.0, N_BINS * BIN_S)
        of_bin = (time_s / BIN_S).astype(np.int64).clip(0, N_BINS - 1)
        parts.append(np.stack([np.full(flash.size, unit), flash, of_bin]))
    unit_of, flash_of, bin_of = np.concatenate(parts, axis=1)
    return FlashTrains(unit_of, flash_of, bin_of, image, len(trains))


class Expected:
    """Coincidences that jitter leaves, in closed form.

    Of two units, the spikes in windows w and w' of a flash coincide at a lag as often as their places in the
    windows do: with R, the products of the numbers of spikes in w and w' summed over the flashes of an image,
    and p(x), the share of a unit's spikes in the window of x that are in bin x, the number expected at lag d
    is the sum over images and bins x of p_i(x) p_j(x + d) R_ij(w(x), w(x + d)).

    Parameters
    ----------
    trains : spikes of the units.
    jitter_bins : length of the windows in bins.
    by_image : whether shares are those of an image, or of all images together, which is eight times faster.
    """

    def __init__(self, trains: FlashTrains, jitter_bins: int, *, by_image: bool = True) -> None:
        self.n_units, self.size = trains.n_units, jitter_bins
        self.n_windows = N_BINS // jitter_bins
        self._counts: list[Matrix] = []  # (n_windows, n_units, n_flashes) of an image
        self._shares: list[Matrix] = []  # (n_windows, n_units, jitter_bins) of an image
        image_of = trains.image if by_image else np.zeros_like(trains.image)
        for image in range(int(image_of.max(initial=-1)) + 1):
            of = np.flatnonzero(image_of == image)
            number = np.full(trains.n_flashes, -1)
            number[of] = np.arange(of.size)
            chosen = number[trains.flash] >= 0
            flash, unit, place = number[trains.flash[chosen]], trains.unit[chosen], trains.of_bin[chosen]
            window, phase = np.divmod(place, jitter_bins)
            cell = window * self.n_units + unit
            cells = self.n_windows * self.n_units
            counts = np.bincount(cell * of.size + flash, minlength=cells * of.size)
            shares = np.bincount(cell * jitter_bins + phase, minlength=cells * jitter_bins)
            shape = self.n_windows, self.n_units
            self._counts.append(counts.reshape(*shape, of.size).astype(np.float32))
            spread = shares.reshape(*shape, jitter_bins).astype(np.float32)
            self._shares.append(spread / np.maximum(spread.sum(axis=2, keepdims=True), 1))

    def of_rows(self, first: slice, second: slice, lags: list[int]) -> Matrix:
        """Return what is expected of all pairs of some units with some others.

        Returns
        -------
        (n_lags, n_first, n_second)
        """
        n_first, n_second = (len(range(*each.indices(self.n_units))) for each in (first, second))
        found = np.zeros((len(lags), n_first, n_second), dtype=np.float32)
        for counts, shares in zip(self._counts, self._shares, strict=True):
            for apart, uses in self._uses(lags):
                for window in range(max(-apart, 0), self.n_windows - max(apart, 0)):
                    later = window + apart
                    products = counts[window, first] @ counts[later, second].T
                    for number, own, other in uses:
                        places = shares[window, first, own] @ shares[later, second, other].T
                        places *= products
                        found[number] += places
        return found

    def of_pairs(self, first: Integers, second: Integers, longest: int) -> Floats:
        """Return what is expected of some pairs at all lags from ``-longest`` to ``longest``.

        Returns
        -------
        (n_pairs, n_lags)
        """
        found = np.zeros((first.size, 2 * longest + 1))
        for start in range(0, first.size, PAIRS_AT_ONCE):
            pairs = slice(start, start + PAIRS_AT_ONCE)
            for apart in range(-1 - longest // self.size, longest // self.size + 2):
                self._add_windows(found[pairs], first[pairs], second[pairs], apart, longest)
        return found

    def _add_windows(
        self, found: Floats, first: Integers, second: Integers, apart: int, longest: int
    ) -> None:
        """Add what windows that are so far apart contribute: the place of one by that of the other."""
        own = slice(max(-apart, 0), self.n_windows - max(apart, 0))
        other = slice(max(apart, 0), self.n_windows - max(-apart, 0))
        if own.start >= own.stop:
            return
        by_place = np.zeros((first.size, self.size, self.size))
        for counts, shares in zip(self._counts, self._shares, strict=True):
            products = np.einsum("wpf,wpf->wp", counts[own][:, first], counts[other][:, second])
            places = shares[own][:, first] * products[..., np.newaxis]
            by_place += places.transpose(1, 2, 0) @ shares[other][:, second].transpose(1, 0, 2)
        for shift in range(1 - self.size, self.size):
            lag = apart * self.size + shift
            if abs(lag) <= longest:
                found[:, lag + longest] += np.trace(by_place, shift, 1, 2)

    def _uses(self, lags: list[int]) -> Iterator[tuple[int, list[tuple[int, slice, slice]]]]:
        """Yield how far windows are apart, and for which lags which of their bins meet."""
        uses: dict[int, list[tuple[int, slice, slice]]] = {}
        for number, lag in enumerate(lags):
            apart, shift = divmod(lag, self.size)
            uses.setdefault(apart, []).append((number, slice(0, self.size - shift), slice(shift, self.size)))
            if shift:
                uses.setdefault(apart + 1, []).append(
                    (number, slice(self.size - shift, self.size), slice(0, shift))
                )
        yield from uses.items()


class Coincidences:
    """How often units fire at some lags before or after each of many others.

    Parameters
    ----------
    trains : spikes of the units.
    ranges : pairs of lags in bins, both included, in between which coincidences are counted.
    """

    def __init__(self, trains: FlashTrains, ranges: list[tuple[int, int]]) -> None:
        self.longest = max(abs(lag) for pair in ranges for lag in pair)
        self._ranges = np.array(ranges)
        place = trains.flash * (N_BINS + self.longest + 1) + trains.of_bin + self.longest
        order = np.argsort(place, kind="stable")
        self._place, self._unit = place[order], trains.unit[order]
        self._own = np.split(place[np.lexsort((place, trains.unit))], np.cumsum(trains.sizes)[:-1])
        self._size = (trains.n_flashes + 1) * (N_BINS + self.longest + 1) + 2 * self.longest
        self.n_units = trains.n_units
        self.forget(0)

    def forget(self, first: int) -> None:
        """Leave out the units before ``first`` from now on, as others of a pair."""
        kept = self._unit >= first
        self._place, self._unit, self._first = self._place[kept], self._unit[kept], first
        self._before = np.concatenate(([0], np.cumsum(np.bincount(self._place, minlength=self._size))))
        self._cell = (self._unit - first) * self.n_lags + self._place

    @property
    def n_lags(self) -> int:
        """Number of lags, from minus to plus the longest."""
        return 2 * self.longest + 1

    def of_unit(self, unit: int) -> Integers:
        """Return (n_units - n_forgotten, n_lags); positive lags are of others that fire later."""
        n_cells = (self.n_units - self._first) * self.n_lags
        found = np.zeros(n_cells, dtype=np.int64)
        for start in range(0, self._own[unit].size, SPIKES_AT_ONCE):
            own = self._own[unit][start : start + SPIKES_AT_ONCE, np.newaxis]
            low, high = (self._before[own + edges] for edges in (self._ranges[:, 0], self._ranges[:, 1] + 1))
            sizes = (high - low).ravel()
            before = np.cumsum(sizes) - sizes
            other = np.arange(sizes.sum()) + np.repeat(low.ravel() - before, sizes)
            origin = np.repeat(np.broadcast_to(own - self.longest, low.shape).ravel(), sizes)
            found += np.bincount(self._cell[other] - origin, minlength=n_cells)
        return found.reshape(-1, self.n_lags)


@dataclass(frozen=True)
class Connectivity:
    """Pairs of units with a peak, of those that were tested.

    Parameters
    ----------
    is_used : (n_all_units,) which units fire enough.
    is_tested : (n_units, n_units) which pairs of these were tested, above the diagonal.
    peaks : one row per pair with a peak, columns `PEAK_COLUMNS`: first, second (rows among all units); lag_s,
        positive where the first leads; peak, coincidences at that lag beyond those expected, per spike
        (geometric mean of both units); z; n_coincidences, n_expected at that lag.
    counts, expected : (n_peaks, n_lags) coincidences at all lags up to the end of the flanks, from minus to
        plus, and those expected.
    n_surrogate_peaks : pairs with a peak after jitter of all spikes.
    n_flashes : flashes that were used.
    """

    is_used: Booleans
    is_tested: Booleans
    peaks: pd.DataFrame
    counts: Floats
    expected: Floats
    n_surrogate_peaks: int
    n_flashes: int


def functional_connectivity(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    flashes: pd.DataFrame,
    probes: ArrayLike,
    positions_um: ArrayLike,
    parameters: ConnectivityParameters = DEFAULT,
    seed: int = 0,
) -> Connectivity:
    """Find the pairs of units of a session that fire together, or one shortly after the other.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    flashes : start_time (s) and image_name of the flashes of the flash set.
    probes, positions_um : (n_units,) name of the probe, and height above its tip.
    parameters : bounds; the flash set has been applied.
    seed : of the surrogate.
    """
    everything = flash_trains(spike_times, offsets, n_spikes, flashes, parameters.min_flashes)
    seconds = everything.n_flashes * N_BINS * BIN_S
    is_used = everything.sizes > parameters.min_rate_hz * seconds
    trains = everything.of_units(is_used)
    near = is_near(probes, positions_um, parameters.min_distance_um)[np.ix_(is_used, is_used)]
    both = [trains, trains.jittered(parameters.jitter_bins, seed)]
    is_tested, likely = _screened(both, near, parameters)
    expected_of = Expected(trains, parameters.jitter_bins)
    (peaks, counts, expected), (of_surrogate, _, _) = (
        _peaks(each, expected_of, pairs, near, parameters) for each, pairs in zip(both, likely, strict=True)
    )
    number = np.flatnonzero(is_used)
    for name in ("first", "second"):
        peaks[name] = number[peaks[name]]
    return Connectivity(
        is_used=is_used,
        is_tested=is_tested,
        peaks=peaks,
        counts=counts,
        expected=expected,
        n_surrogate_peaks=len(of_surrogate),
        n_flashes=everything.n_flashes,
    )


def is_near(probes: ArrayLike, positions_um: ArrayLike, min_distance_um: float) -> Booleans:
    """Return (n_units, n_units) which pairs are of one probe and nearer than this, or it is not known."""
    distance = pair_distances(probes, positions_um)
    probe = np.asarray(probes, dtype=object)
    same: Booleans = probe[:, np.newaxis] == probe
    return np.asarray(same & ~(distance >= min_distance_um))


def pair_distances(probes: ArrayLike, positions_um: ArrayLike) -> Floats:
    """Return (n_units, n_units) the distance along the probe in um; NaN for pairs of two probes."""
    probe = np.asarray(probes, dtype=object)
    position = np.asarray(positions_um, dtype=np.float64)
    distance = np.abs(position[:, np.newaxis] - position)
    same: Booleans = probe[:, np.newaxis] == probe
    return np.where(same, distance, np.nan)


def _screened(
    both: list[FlashTrains], near: Booleans, parameters: ConnectivityParameters
) -> tuple[Booleans, list[Booleans]]:
    """Return which pairs are tested, and for trains and surrogate which of them may have a peak.

    What is expected, of both the same, is taken with the mean response to all images, which is eight times
    faster; pairs with half the height of a peak are looked at again. (n_units, n_units) above the diagonal.
    """
    n = both[0].n_units
    is_tested = np.zeros((n, n), dtype=np.bool_)
    likely = [np.zeros((n, n), dtype=np.bool_) for _ in both]
    if n < 2 or not both[0].n_flashes:
        return is_tested, likely
    lags = parameters.lags
    expected = Expected(both[0], parameters.jitter_bins, by_image=False)
    last, (first, stop) = parameters.peak_lags[-1], parameters.flank_lags
    found = [Coincidences(each, [(-stop, -first), (-last, last), (first, stop)]) for each in both]
    for start in range(0, n, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, n))
        chance = expected.of_rows(rows, slice(start, n), lags.tolist())
        for each in found:
            each.forget(start)
        for unit in range(rows.start, rows.stop):
            own = chance[:, unit - start].T.astype(np.float64)
            total = own[:, np.abs(lags) <= last].sum(axis=1)
            is_tested[unit, start:] = (np.arange(start, n) > unit) & (total >= parameters.min_expected)
            for each, chosen in zip(found, likely, strict=True):
                counts = each.of_unit(unit)[:, lags + each.longest]
                _, z = highest(counts, own, lags, near[unit, start:], parameters)
                chosen[unit, start:] = is_tested[unit, start:] & (z > parameters.min_z / 2)
    return is_tested, likely


def highest(
    counts: ArrayLike,
    expected: Floats,
    lags: Integers,
    near: Booleans,
    parameters: ConnectivityParameters = DEFAULT,
) -> tuple[Integers, Floats]:
    """Return where correlograms are highest above what is expected, and how high, in standard deviations.

    Parameters
    ----------
    counts, expected : (n_pairs, n_lags) coincidences.
    lags : (n_lags,) bins.
    near : (n_pairs,) whether spikes at once may be missing or doubled.
    parameters : bounds.

    Returns
    -------
    column, z : (n_pairs,) column of the highest excess among the lags of peaks, and its z.
    """
    excess = np.asarray(counts) - expected
    size = np.abs(lags)
    is_peak = size <= parameters.peak_lags[-1]
    is_flank = (size >= parameters.flank_lags[0]) & (size <= parameters.flank_lags[1])
    allowed = np.where(is_peak, excess, -np.inf)
    censored = size * BIN_S <= parameters.censored_lag_s + BIN_S / 2
    allowed[near[:, np.newaxis] & censored] = -np.inf
    column = np.argmax(allowed, axis=1)
    at = np.arange(column.size), column
    spread = np.maximum(excess[:, is_flank].std(axis=1), np.sqrt(expected[at].clip(0)))
    z = np.divide(excess[at], spread, out=np.full(column.size, -np.inf), where=spread > 0)
    return column, z


def _peaks(
    trains: FlashTrains,
    expected_of: Expected,
    likely: Booleans,
    near: Booleans,
    parameters: ConnectivityParameters,
) -> tuple[pd.DataFrame, Floats, Floats]:
    """Return the peaks of some pairs, and their correlograms."""
    first, second = np.nonzero(likely)
    longest = parameters.flank_lags[1]
    counts = correlograms(trains, first, second, longest)
    expected = expected_of.of_pairs(first, second, longest)
    lags = np.arange(-longest, longest + 1)
    column, z = highest(counts, expected, lags, near[first, second], parameters)
    z *= _share_above_those_beside(counts - expected, column, parameters)
    kept = np.flatnonzero(z > parameters.min_z)
    first, second, at = first[kept], second[kept], (kept, column[kept])
    table = {
        "first": first,
        "second": second,
        "lag_s": lags[at[1]] * BIN_S,
        "peak": (counts[at] - expected[at]) / np.sqrt(trains.sizes[first] * trains.sizes[second]),
        "z": z[kept],
        "n_coincidences": counts[at].astype(np.int64),
        "n_expected": expected[at],
    }
    return pd.DataFrame(table), counts[kept], expected[kept]


def _share_above_those_beside(excess: Floats, column: Integers, parameters: ConnectivityParameters) -> Floats:
    """Return (n_pairs,) what part of the height of peaks is not that of the lags beside them."""
    first, last = (round(edge / BIN_S) for edge in parameters.beside_s)
    steps = np.arange(first, last + 1)
    beside = np.concatenate((-steps, steps)) + column[:, np.newaxis]
    hill = np.take_along_axis(excess, beside, axis=1).mean(axis=1).clip(0)
    height = excess[np.arange(column.size), column]
    return np.asarray(np.divide(height - hill, height, out=np.zeros(column.size), where=height > 0))


def correlograms(trains: FlashTrains, first: Integers, second: Integers, longest: int) -> Floats:
    """Return the cross-correlograms of some pairs.

    Parameters
    ----------
    trains : spikes of the units.
    first, second : (n_pairs,) numbers of the units.
    longest : longest lag in bins.

    Returns
    -------
    (n_pairs, n_lags) coincidences at lags from minus to plus the longest; positive where the second unit
    fires later.
    """
    counts = np.zeros((first.size, 2 * longest + 1))
    bounds = np.cumsum(np.concatenate(([0], trains.sizes)))
    place = trains.flash * (N_BINS + longest + 1) + trains.of_bin
    place = place[np.lexsort((place, trains.unit))]
    for row, one, other in zip(counts, first.tolist(), second.tolist(), strict=True):
        own, later = (place[bounds[unit] : bounds[unit + 1]] for unit in (one, other))
        lag, _ = spikes_around(later, own, -longest, longest + 1)
        row += np.bincount(lag.astype(np.int64) + longest, minlength=row.size)
    return counts


AREA_COLUMNS = ["first", "second", "n_pairs", "n_peaks", "n_leading", "n_following", "lead_score"]


def area_peaks(
    found: Connectivity,
    structures: ArrayLike,
    probes: ArrayLike,
    positions_um: ArrayLike,
    parameters: ConnectivityParameters = DEFAULT,
) -> pd.DataFrame:
    """Count the peaks of each two structures, in both orders, and within each.

    Parameters
    ----------
    found : peaks of the units.
    structures : (n_all_units,) names; units whose structure is None or NaN are left out.
    probes, positions_um : (n_all_units,) name of the probe, and height above its tip.
    parameters : the distance below which a pair of one probe is left out.

    Returns
    -------
    DataFrame
        One row per ordered pair of structures with a pair of units that was tested, columns `AREA_COLUMNS`:
        first, second; n_pairs, that were tested; n_peaks; n_leading, n_following: peaks with a unit of the
        first structure ahead, and behind; lead_score: their difference over their sum, -1 to 1, NaN without
        such peaks and within one structure, where both orders are the same.
    """
    structure, probe = (np.asarray(names, dtype=object)[found.is_used] for names in (structures, probes))
    position = np.asarray(positions_um, dtype=np.float64)[found.is_used]
    is_far = ~is_near(probe, position, parameters.min_distance_um)
    known = pd.notna(structure)
    one, other = np.nonzero(found.is_tested & is_far & known[:, np.newaxis] & known)
    row_of = np.cumsum(found.is_used) - 1
    matrix = np.zeros(found.is_tested.shape, dtype=np.int8)  # 1 no peak, 2 at once, 3 first leads, 4 second
    matrix[one, other] = 1
    first, second = (row_of[found.peaks[name].to_numpy(np.int64)] for name in ("first", "second"))
    kind = 2 + np.where(found.peaks["lag_s"] > 0, 1, np.where(found.peaks["lag_s"] < 0, 2, 0))
    matrix[first, second] = np.where(matrix[first, second], kind, 0)
    of_pair = matrix[one, other]
    pairs = pd.DataFrame(
        {
            "first": structure[one].astype(str),
            "second": structure[other].astype(str),
            "n_pairs": 1,
            "n_peaks": (of_pair > 1).astype(np.int64),
            "n_leading": (of_pair == 3).astype(np.int64),
            "n_following": (of_pair == 4).astype(np.int64),
        }
    )
    swapped = pairs[pairs["first"] != pairs["second"]].rename(
        columns={"first": "second", "second": "first", "n_leading": "n_following", "n_following": "n_leading"}
    )
    counted = pd.concat([pairs, swapped]).groupby(["first", "second"], sort=True).sum().reset_index()
    within = counted["first"] == counted["second"]
    for name in ("n_leading", "n_following"):  # within a structure, which unit is the first says nothing
        counted[name] = counted[name].astype("Int64").mask(within)
    n = counted["n_leading"] + counted["n_following"]
    score = ((counted["n_leading"] - counted["n_following"]) / n.where(n > 0)).astype("Float64")
    return counted.assign(lead_score=score.to_numpy(np.float64, na_value=np.nan))[AREA_COLUMNS]
