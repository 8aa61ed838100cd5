"""Receptive fields, mapped with Gabor patches.

A *map* holds one number per Gabor position: rows are y ascending, columns x ascending, so the first row is
the bottom of the screen (plot it with ``origin="lower"``). AllenSDK's maps have the top row first.

There are two coordinate frames. In the *screen* frame, x and y are those of the file, in degrees from the
screen's centre, y upwards. In *AllenSDK's* frame, azimuth = 10 * column + 10 and elevation = 10 * (8 - row) -
30, with columns counted from the left and rows from the top; for positions from -40 to 40 this is azimuth = x
+ 50, elevation = y + 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from vbn.analysis.responses.gaussian_fit import fit_gaussians
from vbn.analysis.spikes.trains import Booleans, Floats, Integers
from vbn.analysis.spikes.windows import (
    Window,
    check_max_q_value,
    check_windows,
    count_in_windows,
    window_length_s,
)
from vbn.analysis.statistics import benjamini_hochberg
from vbn.analysis.task.presentations import start_times

AZIMUTH_OF_X_0 = 50.0
ELEVATION_OF_Y_0 = 10.0
_FIT = ("fit_amplitude_hz", "fit_offset_hz", "fit_x_deg", "fit_y_deg", "fit_width_deg", "fit_height_deg")
_ROUNDING = 1e-9
_SHUFFLES_AT_ONCE = 1000
ENOUGH = 10
"""A p-value is precise enough if this many shuffles reach the observed chi-square."""


@dataclass(frozen=True)
class ReceptiveFieldParameters:
    """Parameters of receptive field mapping.

    The defaults are those of AllenSDK's ``ReceptiveFieldMapping``; the Gaussian is that of its port to this
    data set.

    Parameters
    ----------
    response_window_s : window in which spikes are counted, in seconds relative to the start of a Gabor, half
        open.
    positions_deg : the Gabor positions on either axis, ascending and evenly spaced.
    min_spikes : units with fewer spikes in all windows together get no result.
    n_shuffles : number of shuffles of the chi-square test.
    max_shuffles : greatest number, for units whose chi-square fewer than `ENOUGH` shuffles reach; p is
        at least 1 / (1 + max_shuffles).
    max_p_value : fields with a smaller p are fitted; those of Siegle 2021.
    max_q_value : those of them with at most this q are significant.
    smoothing_bins : standard deviation of the Gaussian that smooths a map before it is thresholded.
    mask_deviations : the field is where the smoothed map exceeds its maximum minus this many of its standard
        deviations.
    fit_offset : whether the fitted Gaussian has a constant offset, as in ``ReceptiveFieldMapping_VBN`` of
        ``brain_observatory_utilities``. AllenSDK's has none, so it takes a unit's spontaneous rate for the
        flanks of a wide field.
    """

    response_window_s: Window = (0.0, 0.249)
    positions_deg: tuple[float, ...] = (-40.0, -30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0)
    min_spikes: int = 10
    n_shuffles: int = 1000
    max_shuffles: int = 10_000
    max_p_value: float = 0.01
    max_q_value: float = 0.05
    smoothing_bins: float = 1.0
    mask_deviations: float = 0.5
    fit_offset: bool = True

    def __post_init__(self) -> None:
        check_windows(self, "response_window_s")
        positions = tuple(float(position) for position in self.positions_deg)
        object.__setattr__(self, "positions_deg", positions)
        steps = np.diff(positions)
        if len(positions) < 2 or not (steps > 0).all() or not np.allclose(steps, steps[0]):
            raise ValueError(f"positions_deg must ascend evenly, got {positions}.")
        if self.min_spikes < 1 or self.n_shuffles < 1 or self.max_shuffles < 1:
            raise ValueError(f"min_spikes, n_shuffles and max_shuffles must be 1 or more, got {self}.")
        if not 0 < self.max_p_value <= 1 or self.smoothing_bins <= 0 or self.mask_deviations <= 0:
            raise ValueError(f"max_p_value, smoothing_bins and mask_deviations must be positive, got {self}.")
        check_max_q_value(self)

    @property
    def step_deg(self) -> float:
        """Distance between neighbouring positions in degrees."""
        return self.positions_deg[1] - self.positions_deg[0]


DEFAULT = ReceptiveFieldParameters()


def receptive_field(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    seed: int | np.random.Generator,
    parameters: ReceptiveFieldParameters = DEFAULT,
) -> tuple[pd.DataFrame, NDArray[np.int32]]:
    """Map each unit's receptive field.

    Parameters
    ----------
    spike_times : (n_all_spikes,) seconds, units one after the other, ascending within a unit.
    offsets : (n_units,) index of each unit's first spike.
    n_spikes : (n_units,) number of spikes of each unit.
    presentations : start_time (s), position_x and position_y (degrees; missing for other stimuli).
    seed : seed or generator of the shuffles. With equal seeds a unit gets equal p-values, whatever other
        units there are.
    parameters : window, positions, test, mask and fit.

    Returns
    -------
    fields : DataFrame One row per unit, in input order:

        * n_gabors, n_rf_spikes: number of presentations, and of spikes in all windows;
        * p_value, n_shuffles: of the chi-square test (`chi_square_p_values`); p_is_upper_bound is True if no
          shuffle reached the observed chi-square;
        * q_value: p_value adjusted over units (Benjamini-Hochberg);
        * is_significant: p_value below max_p_value, and q_value at most max_q_value;
        * peak_x_deg, peak_y_deg: position with the most spikes per Gabor (ties: the first, row by row);
          peak_rate_hz: its rate;
        * center_x_deg, center_y_deg (screen) and azimuth_deg, elevation_deg (AllenSDK): centre of the mask;
        * area_deg2: area of the mask;
        * is_inverted: True for a suppressive field, where the mask covers more than half of the border or the
          fitted amplitude is negative; centre and area are then those of the inverted map;
        * fit_amplitude_hz, fit_offset_hz, fit_x_deg, fit_y_deg, fit_width_deg, fit_height_deg: the Gaussian
          fitted to fields with p_value below max_p_value (width and height are standard deviations); for
          inverted fields without an offset it is fitted to the inverted map;
        * is_on_screen: whether the Gaussian's centre lies on the screen; NA without a fit.

        For units with fewer than min_spikes spikes, and for all units if there are no Gabors, n_shuffles is
        0, further numbers are NaN and flags NA. Peak, centre, area, fit and is_inverted require that every
        position was shown.
    counts : (n_units, n_y, n_x) int32 Spikes per position, y and x ascending, all orientations together.

    Raises
    ------
    ValueError
        If a Gabor's position is not among ``positions_deg``.

    Notes
    -----
    The test is AllenSDK's ``chisq_from_stim_table`` but for the number of shuffles. Maps are
    smoothed as floating-point numbers, where AllenSDK smooths integers and rounds. AllenSDK counts 250 ms for
    the test and 249 ms for the map; here it is 249 ms for both. Centre and area of an inverted field are
    those of the suppressed region, as in ``brain_observatory_utilities``; AllenSDK's are those of its
    surround.
    """
    gabors = presentations[presentations["position_x"].notna() & presentations["position_y"].notna()]
    position = _position_indices(gabors, parameters)
    per_gabor = count_in_windows(
        spike_times, offsets, n_spikes, start_times(gabors), parameters.response_window_s
    )
    n_positions = len(parameters.positions_deg) ** 2
    shown = np.bincount(position, minlength=n_positions)
    counts = _sum_per_position(per_gabor, position, n_positions)
    columns = {"n_gabors": position.size, "n_rf_spikes": counts.sum(axis=1)}
    enough = counts.sum(axis=1) >= parameters.min_spikes
    p, n_draws = np.full(enough.shape, np.nan), np.zeros(enough.shape, dtype=np.int64)
    p[enough], n_draws[enough] = chi_square_p_values(
        per_gabor[enough],
        position,
        np.random.default_rng(seed),
        parameters.n_shuffles,
        parameters.max_shuffles,
    )
    q, is_fitted = benjamini_hochberg(p), p < parameters.max_p_value
    test = {
        "p_value": p,
        "n_shuffles": n_draws,
        "p_is_upper_bound": _flag(p * (n_draws + 1) < 1 + _ROUNDING, enough),
        "q_value": q,
        "is_significant": _flag(is_fitted & (q <= parameters.max_q_value), enough),
    }
    side = len(parameters.positions_deg)
    maps = np.full((counts.shape[0], side, side), np.nan)
    if (shown > 0).all():
        per_second = shown * window_length_s(parameters.response_window_s)
        maps[enough] = (counts / per_second)[enough].reshape(-1, side, side)
    table = pd.DataFrame({**columns, **test, **_geometry(maps, is_fitted, parameters)})
    return table, counts.reshape(-1, side, side)


def _position_indices(gabors: pd.DataFrame, parameters: ReceptiveFieldParameters) -> Integers:
    """Return (n_gabors,) the index of each Gabor's position in a flattened map."""
    positions = np.array(parameters.positions_deg)
    indices = []
    for axis in ("position_y", "position_x"):
        at = gabors[axis].to_numpy(np.float64)
        index = np.rint((at - positions[0]) / parameters.step_deg).astype(np.int64)
        known = (index >= 0) & (index < positions.size)
        known &= np.isclose(positions[np.clip(index, 0, positions.size - 1)], at, atol=1e-6)
        if not known.all():
            raise ValueError(
                f"{axis} must be one of {list(parameters.positions_deg)}: {np.count_nonzero(~known)} of "
                f"{known.size} gabors are elsewhere, the first at {at[~known][0]:g}."
            )
        indices.append(index)
    return np.asarray(indices[0] * positions.size + indices[1], dtype=np.int64)


def _sum_per_position(
    per_gabor: NDArray[np.int32], position: Integers, n_positions: int
) -> NDArray[np.int32]:
    """Return (n_units, n_positions) spikes."""
    order, shown = np.argsort(position, kind="stable"), np.bincount(position, minlength=n_positions)
    total = np.zeros((per_gabor.shape[0], n_positions), dtype=np.int32)
    if position.size:
        starts = (np.cumsum(shown) - shown)[shown > 0]
        total[:, shown > 0] = np.add.reduceat(per_gabor.take(order, axis=1), starts, axis=1)
    return total


# --- The chi-square test


def chi_square_p_values(
    counts: NDArray[np.int32],
    category: ArrayLike,
    rng: np.random.Generator,
    n_shuffles: int,
    max_shuffles: int,
) -> tuple[Floats, Integers]:
    """Test by shuffling whether spike counts depend on the category of the presentation.

    Parameters
    ----------
    counts : (n_units, n_presentations) spikes.
    category : (n_presentations,) whole numbers >= 0.
    rng : generator of the shuffles, which are the same for all units.
    n_shuffles : number of shuffles of all units.
    max_shuffles : greatest number, for units whose chi-square few shuffles reach.

    Returns
    -------
    p_values : (n_units,) (1 + k) / (1 + n), where k of n shuffles have a chi-square as great as the observed
        one; 1 for units without spikes.
    n_shuffled : (n_units,) n.

    Notes
    -----
    As in AllenSDK's ``compute_chi_shuffle``, chi-square is the sum over categories of (observed - expected)^2
    / expected, where expected is the category's number of presentations times the mean count. A shuffle
    replaces the count of every presentation by that of one drawn at random, with replacement. AllenSDK's p is
    k / n, which may be 0, of shuffles with a greater chi-square.

    Units of which fewer than `ENOUGH` shuffles reach the chi-square are shuffled ten times as often, and so
    on: after Besag & Clifford 1991, "Sequential Monte Carlo p-values", but in few steps.

    A category of n presentations gets the sum of n independent draws from the unit's own distribution of
    counts. We draw this sum directly from its distribution (via the n-th power of the characteristic
    function), which is equivalent and thousands of times faster than drawing presentations.
    """
    _, label, sizes = np.unique(np.asarray(category), return_inverse=True, return_counts=True)
    tests = [_ShuffleTest.of(row, label, sizes) for row in np.asarray(counts, dtype=np.int64)]
    reached, n_shuffled = np.zeros((2, len(tests)), dtype=np.int64)
    undecided, n, goal = np.arange(len(tests)), 0, n_shuffles
    while undecided.size and n < goal:
        while n < goal:  # in parts, which a processor's cache can hold
            draws = _Draws.prepared(rng, min(goal - n, _SHUFFLES_AT_ONCE), sizes)
            for unit in undecided.tolist():
                reached[unit] += tests[unit].n_reached(draws)
            n += draws.n_shuffles
        n_shuffled[undecided] = n
        undecided = undecided[reached[undecided] < ENOUGH]
        goal = min(10 * n, max_shuffles)
    return (1 + reached) / (1 + n_shuffled), n_shuffled


@dataclass(frozen=True)
class _Draws:
    """Uniform random numbers for (n_shuffles, n_categories) sums, sorted once for each size of category.

    Looking up sorted numbers in a distribution takes one search per value instead of one per number.
    """

    groups: tuple[tuple[int, Integers, Floats, Integers], ...]  # size, its categories, sorted, rank
    n_shuffles: int

    @classmethod
    def prepared(cls, rng: np.random.Generator, n_shuffles: int, sizes: Integers) -> _Draws:
        """Draw for all categories, those of one size together."""
        groups = []
        for size in np.unique(sizes).tolist():
            categories = np.flatnonzero(sizes == size)
            uniform = rng.random(n_shuffles * categories.size)
            order = np.argsort(uniform)
            rank = np.empty_like(order)
            rank[order] = np.arange(order.size)
            groups.append((int(size), categories, uniform[order], rank))
        return cls(tuple(groups), n_shuffles)


@dataclass(frozen=True)
class _ShuffleTest:
    """The chi-square of one unit, and the distributions from which shuffled ones are drawn."""

    observed: float
    sizes: Integers  # (n_categories,) presentations
    cumulative: dict[int, Floats]  # size of a category -> cumulative distribution of its sum of spikes

    @classmethod
    def of(cls, counts: Integers, label: Integers, sizes: Integers) -> _ShuffleTest:
        """Return the test of one unit's counts of spikes, each with the label of its category."""
        found = np.bincount(label, weights=counts, minlength=sizes.size)[np.newaxis].astype(np.float64)
        share = np.bincount(counts) / max(counts.size, 1)
        cumulative = {
            size: np.cumsum(_distribution_of_sum(share, size)) for size in np.unique(sizes).tolist()
        }
        return cls(float(_chi_square(found, sizes)[0]) if sizes.size else 0.0, sizes, cumulative)

    def n_reached(self, draws: _Draws) -> int:
        """Return how many shuffles have a chi-square as great as the observed one."""
        sums = np.empty((draws.n_shuffles, self.sizes.size))
        for size, categories, uniform, rank in draws.groups:
            # Rounding may leave the last cumulative value below 1; numbers past it give the greatest sum.
            edges = np.append(np.searchsorted(uniform, self.cumulative[size][:-1]), uniform.size)
            drawn = np.repeat(np.arange(edges.size, dtype=np.float64), np.diff(edges, prepend=0))
            of_group = drawn.take(rank).reshape(draws.n_shuffles, categories.size)
            if categories.size == self.sizes.size:
                sums = of_group
            else:
                sums[:, categories] = of_group
        margin = _ROUNDING * (1 + abs(self.observed))
        return int(np.count_nonzero(_chi_square(sums, self.sizes) >= self.observed - margin))


def _distribution_of_sum(share: Floats, n: int) -> Floats:
    """Return (n * (len(share) - 1) + 1,) probabilities of the sum of n independent draws from ``share``."""
    length = n * (share.size - 1) + 1
    padded = scipy.fft.next_fast_len(length, real=True)
    power = np.fft.irfft(np.fft.rfft(share, padded) ** n, padded)[:length]
    return np.clip(power, 0.0, None)


def _chi_square(observed: Floats, sizes: Integers) -> Floats:
    """Return (n,) chi-squares of (n, n_categories) spike counts; 0 where there is no spike.

    With E_c = n_c * T / N this is sum(O_c^2 / n_c) * N / T - T. Weights are relative to the greatest n_c, so
    that they are integers if all n_c are equal; then equal tables give equal values, to the last bit.
    """
    total = observed @ np.ones(observed.shape[1])  # of whole numbers: exact, and faster than their sum
    weighted = (observed**2) @ (sizes.max() / sizes)
    scale = sizes.sum() / sizes.max()
    per_total = np.divide(weighted * scale, total, out=np.zeros(total.shape), where=total > 0)
    return np.asarray(per_total - total)


def _flag(values: Booleans, is_known: Booleans) -> pd.arrays.BooleanArray:
    """Return flags that are NA where nothing was tested."""
    return pd.arrays.BooleanArray(values, ~is_known)


# --- The shape of the field


def _geometry(maps: Floats, is_fitted: Booleans, parameters: ReceptiveFieldParameters) -> dict[str, Any]:
    """Return peak, centre, area and fit of (n_units, n_y, n_x) maps in Hz, some of which are NaN."""
    positions, step = np.array(parameters.positions_deg), parameters.step_deg
    n_units = maps.shape[0]
    peak_row, peak_column = _peaks(maps)
    masked = np.full((n_units, 3), np.nan)
    inverted = np.zeros(n_units, dtype=np.bool_)
    masks = {row: _mask(maps[row], parameters) for row in np.flatnonzero(~np.isnan(maps[:, 0, 0])).tolist()}
    for row, mask in masks.items():
        inverted[row] = _covers_border(mask)
    fit = _fitted(maps, is_fitted & ~np.isnan(maps[:, 0, 0]), inverted, parameters)
    inverted |= fit[:, 0] < 0
    for row, mask in masks.items():
        upright = _mask(_upright(maps[row], inverted=True), parameters) if inverted[row] else mask
        masked[row] = _center_and_size(upright)
    center_y, center_x = positions[0] + step * masked[:, 0], positions[0] + step * masked[:, 1]
    is_on_screen = _flag(_on_screen(fit, positions.size), ~np.isnan(fit[:, 2]))
    fit[:, 2:4] = positions[0] + step * fit[:, 2:4]
    fit[:, 4:6] *= step
    return {
        "peak_x_deg": positions[0] + step * peak_column,
        "peak_y_deg": positions[0] + step * peak_row,
        "peak_rate_hz": maps.max(axis=(1, 2)),
        "center_x_deg": center_x,
        "center_y_deg": center_y,
        "azimuth_deg": center_x + AZIMUTH_OF_X_0,
        "elevation_deg": center_y + ELEVATION_OF_Y_0,
        "area_deg2": masked[:, 2] * step**2,
        "is_inverted": _flag(inverted, ~np.isnan(maps[:, 0, 0])),
        **dict(zip(_FIT, fit.T, strict=True)),
        "is_on_screen": is_on_screen,
    }


def _peaks(maps: Floats) -> tuple[Floats, Floats]:
    """Return (n_units,) row and column of the greatest value; NaN for a map of NaN."""
    flat = maps.reshape(maps.shape[0], maps.shape[1] * maps.shape[2])
    best = flat.argmax(axis=1)
    missing = np.isnan(flat[:, 0])
    row, column = (np.where(missing, np.nan, index) for index in divmod(best, maps.shape[2]))
    return row, column


def _upright(field: Floats, inverted: bool) -> Floats:
    """Invert the values of an inverted map, so that its most suppressed position becomes the peak."""
    return np.asarray(field.max() - field) if inverted else field


def _center_and_size(mask: Booleans) -> tuple[float, float, float]:
    """Return row and column of a mask's centre, and its number of positions; NaN for an empty mask."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return np.nan, np.nan, np.nan
    return float(rows.mean()), float(columns.mean()), float(rows.size)


def _mask(field: Floats, parameters: ReceptiveFieldParameters) -> Booleans:
    """Mark the connected region around the smoothed maximum; empty for a uniform map."""
    from scipy import ndimage  # the import takes a tenth of a second

    smooth = ndimage.gaussian_filter(field, parameters.smoothing_bins)
    deviation = smooth.std()
    if deviation <= 1e-9 * max(1.0, float(np.abs(smooth).max())):
        return np.zeros(field.shape, dtype=np.bool_)
    labels, _ = ndimage.label(smooth > smooth.max() - parameters.mask_deviations * deviation)
    return np.asarray(labels == labels[np.unravel_index(smooth.argmax(), smooth.shape)], dtype=np.bool_)


def _covers_border(mask: Booleans) -> bool:
    border = np.ones(mask.shape, dtype=np.bool_)
    border[1:-1, 1:-1] = False
    return bool(np.count_nonzero(mask & border) > np.count_nonzero(border) / 2)


def _on_screen(fit: Floats, n: int) -> Booleans:
    """Apply AllenSDK's rule: 0 < centre < 9 on both axes of its own map, whose rows go downwards."""
    column, row = fit[:, 2], (n - 1) - fit[:, 3]
    return np.asarray((column > 0) & (column < n) & (row > 0) & (row < n), dtype=np.bool_)


def _fitted(
    maps: Floats, is_fitted: Booleans, inverted: Booleans, parameters: ReceptiveFieldParameters
) -> Floats:
    """Return (n_units, 6) Gaussians: amplitude, offset (NaN if none), column, row and both widths.

    With an offset the Gaussian may also be a dip: the fit is started from the map's maximum and from its
    minimum, and the better fit is returned. Without one an inverted map is turned upright. A unit without a
    fit has NaN.
    """
    fit = np.full((maps.shape[0], len(_FIT)), np.nan)
    rows = np.flatnonzero(is_fitted)
    if not rows.size:
        return fit
    fields = maps[rows] if parameters.fit_offset else _upright_where(maps[rows], inverted[rows])
    top, bottom = _extremes(fields, parameters)
    if parameters.fit_offset:
        level = np.median(fields, axis=(1, 2))
        highest, lowest = fields.max(axis=(1, 2)) - level, fields.min(axis=(1, 2)) - level
        of_top = fit_gaussians(fields, np.column_stack([_starts(highest, top, fields), level]))
        of_bottom = fit_gaussians(fields, np.column_stack([_starts(lowest, bottom, fields), level]))
        is_dip = of_bottom.squares < of_top.squares
        found = np.where(is_dip[:, np.newaxis], of_bottom.parameters, of_top.parameters)
    else:
        found = fit_gaussians(fields, _starts(fields.max(axis=(1, 2)), top, fields)).parameters
    fit[rows, 0] = found[:, 0]
    fit[rows, 1] = found[:, 5] if parameters.fit_offset else np.nan
    fit[rows, 2:4], fit[rows, 4:6] = found[:, 1:3], np.abs(found[:, 3:5])
    return fit


def _upright_where(fields: Floats, inverted: Booleans) -> Floats:
    return np.where(
        inverted[:, np.newaxis, np.newaxis], fields.max(axis=(1, 2), keepdims=True) - fields, fields
    )


def _extremes(fields: Floats, parameters: ReceptiveFieldParameters) -> tuple[Integers, Integers]:
    """Return (n_fields,) places of the maximum and the minimum of each smoothed field."""
    from scipy import ndimage  # the import takes a tenth of a second

    flat = [ndimage.gaussian_filter(field, parameters.smoothing_bins).ravel() for field in fields]
    smooth = np.array(flat).reshape(len(flat), fields.shape[1] * fields.shape[2])
    return smooth.argmax(axis=1), smooth.argmin(axis=1)


def _starts(amplitude: Floats, place: Integers, fields: Floats) -> Floats:
    """Return (n_fields, 5) amplitude, column, row and widths of one bin, from which to start a fit."""
    row, column = np.divmod(place, fields.shape[2])
    return np.column_stack([amplitude, column, row, np.ones((place.size, 2))])
