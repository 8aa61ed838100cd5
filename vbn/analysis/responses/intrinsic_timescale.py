"""Intrinsic timescales: how fast the autocorrelation of a unit decays, at rest and in a response.

Siegle et al. 2021 (Nature 592:86) take them from full-field flashes: the gray a second after the flash for
the intrinsic timescale, the response to the flash for the decay of the response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vbn.analysis.spikes.rasters import spikes_around
from vbn.analysis.spikes.trains import Floats, unit_trains
from vbn.analysis.spikes.windows import Window, check_windows, window_length_s
from vbn.analysis.task.presentations import start_times

TAU_S = (0.001, 1.0)
"""Bounds of the fit, as published."""
N_PARAMETERS = 3
UNITS_AT_ONCE = 64
_GRID = np.geomspace(*TAU_S, 120)
_STEPS = 40


@dataclass(frozen=True)
class TimescaleBounds:
    """What a fit must meet to be valid.

    Parameters
    ----------
    tau_s : the timescale lies between these, both excluded.
    max_error_s : its standard error is less.
    min_spikes : more spikes than this, in all flashes together.
    min_explained : at least this share of the variance of the autocorrelation over lags is explained.
    """

    tau_s: Window
    max_error_s: float
    min_spikes: int
    min_explained: float

    def __post_init__(self) -> None:
        check_windows(self, "tau_s")
        if not self.max_error_s > 0 or self.min_spikes < 0 or not 0 <= self.min_explained <= 1:
            raise ValueError(
                "max_error_s must be above 0, min_spikes 0 or more and min_explained 0 to 1, got "
                f"{self.max_error_s}, {self.min_spikes} and {self.min_explained}."
            )


@dataclass(frozen=True)
class TimescaleParameters:
    """Windows in seconds from the start of a full-field flash, bins, and what makes a fit valid.

    Parameters
    ----------
    rest_window_s : gray long after the flash, for the intrinsic timescale.
    response_window_s : the response to the flash, for its decay.
    bin_s : width of the bins.
    max_lag_s : longest lag of the autocorrelation at rest; the shortest is one bin.
    rest, response : what a fit to either must meet.
    """

    rest_window_s: Window = (1.0, 2.0)
    response_window_s: Window = (0.04, 0.29)
    bin_s: float = 0.01
    max_lag_s: float = 0.49
    rest: TimescaleBounds = TimescaleBounds((0.005, 0.4), 0.1, 100, 0.25)
    response: TimescaleBounds = TimescaleBounds((0.001, 0.3), 0.02, 50, 0.9)

    def __post_init__(self) -> None:
        check_windows(self, "rest_window_s", "response_window_s")
        if not 0 < self.bin_s <= self.max_lag_s / 5:
            raise ValueError(
                "bin_s must be above 0 and at most a fifth of max_lag_s, got "
                f"{self.bin_s} and {self.max_lag_s}."
            )
        if self.rest_window_s[0] < 0 or self.response_window_s[0] < 0:
            raise ValueError("rest_window_s and response_window_s must begin with the flash or later.")
        if self.max_lag_s > window_length_s(self.rest_window_s) - self.bin_s:
            raise ValueError(
                "max_lag_s must be less than rest_window_s is long, got "
                f"{self.max_lag_s} and {self.rest_window_s}."
            )
        if window_length_s(self.response_window_s) < 8 * self.bin_s:
            raise ValueError("response_window_s must have 8 bins or more.")


TIMESCALES: Mapping[str, TimescaleParameters] = MappingProxyType(
    {
        "calibrated": TimescaleParameters(),
        "siegle_2021": TimescaleParameters(
            rest=TimescaleBounds((0.005, 0.4), 0.1, 100, 0.0),
            response=TimescaleBounds((0.001, 0.3), 0.02, 50, 0.0),
        ),
    }
)
"""``siegle_2021``: what that paper keeps, by which most units without any timescale are kept too;
``calibrated``: fits only that explain more than noise lets any explain."""


def intrinsic_timescale(
    spike_times: ArrayLike,
    offsets: ArrayLike,
    n_spikes: ArrayLike,
    presentations: pd.DataFrame,
    parameters: TimescaleParameters = TIMESCALES["calibrated"],
) -> pd.DataFrame:
    """Fit the decay of each unit's autocorrelation, at rest and in the response to full-field flashes.

    Parameters
    ----------
    spike_times, offsets, n_spikes : spikes of the units, see `vbn.analysis.spikes.trains`.
    presentations : start_time (s) and color, missing for what is no full-field flash.
    parameters : windows, bins and bounds.

    Returns
    -------
    DataFrame
        One row per unit, in input order: n_flashes; then of the intrinsic timescale and of the decay of the
        response, ``intrinsic`` and ``decay``: the timescale, _s, its standard error, error_NAME_s,
        explained_NAME (share of the variance over lags), spikes_NAME, and is_valid_NAME (NA where not
        fitted). NaN where the autocorrelation is not known at all lags, or does not fall with the lag.

    Notes
    -----
    At rest: Pearson's r over flashes between the counts of two bins, mean over all pairs of a lag. Rates that
    drift over the flashes raise it equally at all lags, which the constant of the fit takes up. The response:
    the mean over flashes less the rate at rest, its product with itself at each lag, summed over bins, for
    pairs of different flashes only, so that neither noise nor the unit's own timescale enters.
    """
    starts = separate_flashes(presentations, parameters.rest_window_s[1] - parameters.bin_s)
    windows = (parameters.rest_window_s, parameters.response_window_s)
    rows: dict[str, list[Floats]] = {"rest": [], "decay": [], "spikes": []}
    trains = list(unit_trains(spike_times, offsets, n_spikes))
    for first in range(0, len(trains), UNITS_AT_ONCE):
        rest, response = (
            binned(trains[first : first + UNITS_AT_ONCE], starts, window, parameters.bin_s)
            for window in windows
        )
        rows["rest"].append(rest_autocorrelation(rest, round(parameters.max_lag_s / parameters.bin_s)))
        at_rest = rest.sum(axis=(1, 2), keepdims=True) / max(rest[0].size, 1)
        rows["decay"].append(response_autocorrelation(response, at_rest))
        rows["spikes"].append(np.stack([rest.sum(axis=(1, 2)), response.sum(axis=(1, 2))], axis=1))
    curves = {name: np.concatenate(parts) for name, parts in rows.items()} if trains else {}
    table = pd.DataFrame({"n_flashes": starts.size}, index=pd.RangeIndex(len(trains)))
    kinds = (("intrinsic", "rest", parameters.rest, 1), ("decay", "decay", parameters.response, 0))
    for column, (name, kind, bounds, shift) in enumerate(kinds):
        curve = curves.get(kind, np.empty((0, 10)))
        lags: Floats = parameters.bin_s * np.arange(shift, curve.shape[1] + shift)
        spikes = curves["spikes"][:, column] if trains else np.empty(0)
        table = table.join(_columns(name, fit_decays(lags, curve), spikes, bounds))
    return table


def _columns(name: str, fit: DecayFit, spikes: Floats, bounds: TimescaleBounds) -> pd.DataFrame:
    known = np.isfinite(fit.tau_s)
    valid = (fit.tau_s > bounds.tau_s[0]) & (fit.tau_s < bounds.tau_s[1])  # NaN is not
    valid &= (fit.error_s < bounds.max_error_s) & (fit.explained >= bounds.min_explained)
    valid &= spikes > bounds.min_spikes
    return pd.DataFrame(
        {
            f"{name}_s": fit.tau_s,
            f"error_{name}_s": fit.error_s,
            f"explained_{name}": fit.explained,
            f"spikes_{name}": spikes.astype(np.int64),
            f"is_valid_{name}": pd.Series(valid, dtype="boolean").mask(~known),
        }
    )


def separate_flashes(presentations: pd.DataFrame, until_s: float) -> Floats:
    """Return the starts of the full-field flashes that none other follows so soon, ascending, in seconds."""
    is_flash = np.isfinite(presentations["color"].to_numpy(np.float64, na_value=np.nan))
    starts = np.sort(start_times(presentations)[is_flash])
    starts = starts[np.isfinite(starts)]
    separate: Floats = starts[np.diff(starts, append=np.inf) >= until_s]
    return separate


def binned(trains: list[Floats], starts: Floats, window: Window, bin_s: float) -> Floats:
    """Return the counts of trains in bins of a window of events that do not overlap.

    Returns
    -------
    (n_units, n_events, n_bins)
    """
    n_bins = int(window_length_s(window) / bin_s + 1e-6)
    counts = np.zeros((len(trains), starts.size * n_bins))
    for row, train in zip(counts, trains, strict=True):
        time_s, event = spikes_around(train, starts, window[0], window[0] + n_bins * bin_s)
        of_bin = ((time_s - window[0]) / bin_s).astype(np.int64).clip(0, n_bins - 1)
        row += np.bincount(event * n_bins + of_bin, minlength=row.size)
    return counts.reshape(len(trains), starts.size, n_bins)


def rest_autocorrelation(counts: Floats, n_lags: int) -> Floats:
    """Return Pearson's r over events between bins, mean over the pairs of a lag.

    Parameters
    ----------
    counts : (n_units, n_events, n_bins)
    n_lags : longest lag in bins.

    Returns
    -------
    (n_units, n_lags) for 1, 2 ... bins. NaN where all pairs of a lag have a bin without variance.
    """
    if not counts.shape[1]:
        return np.full((len(counts), n_lags), np.nan)
    scaled = counts - counts.mean(axis=1, keepdims=True)
    size = np.sqrt(np.sum(scaled**2, axis=1, keepdims=True))
    scaled = np.divide(scaled, size, out=np.zeros_like(scaled), where=size > 0)
    varies = (size[:, 0] > 0).astype(np.float64)
    found = np.full((len(counts), n_lags), np.nan)
    for lag in range(1, n_lags + 1):
        n = np.sum(varies[:, :-lag] * varies[:, lag:], axis=1)
        total = np.einsum("uej,uej->u", scaled[:, :, :-lag], scaled[:, :, lag:])
        np.divide(total, n, out=found[:, lag - 1], where=n > 0)
    return found


def response_autocorrelation(counts: Floats, rest: Floats) -> Floats:
    """Return the product of a response with itself at a lag, summed over bins, of pairs of different events.

    Parameters
    ----------
    counts : (n_units, n_events, n_bins)
    rest : (n_units, 1, 1) counts per bin at rest.

    Returns
    -------
    (n_units, n_lags) for 0, 1 ... half as many bins as there are, over the value at 0; NaN where that is not
    above 0.
    """
    n_lags = counts.shape[2] // 2 + 1
    above = counts - rest
    whole = above.sum(axis=1)
    found = np.empty((len(counts), n_lags))
    for lag in range(n_lags):
        stop = counts.shape[2] - lag
        own = np.einsum("uej,uej->u", above[:, :, :stop], above[:, :, lag:])
        found[:, lag] = np.einsum("uj,uj->u", whole[:, :stop], whole[:, lag:]) - own
    first = found[:, :1]
    return np.asarray(np.divide(found, first, out=np.full_like(found, np.nan), where=first > 0))


@dataclass(frozen=True)
class DecayFit:
    """Fits of a exp(-lag / tau) + c, all (n_units,); NaN where nothing was fitted.

    Parameters
    ----------
    tau_s, error_s : timescale and its standard error, as ``scipy.optimize.curve_fit`` has it.
    explained : share of the variance of the curve over lags.
    """

    tau_s: Floats
    error_s: Floats
    explained: Floats


def fit_decays(lags_s: Floats, curves: Floats) -> DecayFit:
    """Fit exponential decays to all curves at once, by least squares with a of 0 or more and tau in `TAU_S`.

    Parameters
    ----------
    lags_s : (n_lags,) seconds.
    curves : (n_units, n_lags); those with NaN, and those that no falling exponential fits better than a
        constant does, are left out.

    Notes
    -----
    Given tau, a and c follow; so only tau is searched for, on a grid and then by golden section.
    """
    known = np.isfinite(curves).all(axis=1)
    centred = curves[known] - curves[known].mean(axis=1, keepdims=True)
    total = np.sum(centred**2, axis=1)
    shapes = _unit_shapes(lags_s, _GRID)
    best = np.argmax(centred @ shapes.T, axis=1) if known.any() else np.empty(0, np.int64)
    low, high = (np.log(_GRID[(best + step).clip(0, _GRID.size - 1)]) for step in (-1, 1))
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(_STEPS):
        inner = high - golden * (high - low), low + golden * (high - low)
        gains = [np.sum(centred * _unit_shapes(lags_s, np.exp(each)), axis=1) for each in inner]
        is_low = gains[0] > gains[1]
        low, high = np.where(is_low, low, inner[0]), np.where(is_low, inner[1], high)
    tau = np.exp((low + high) / 2)
    gain = np.sum(centred * _unit_shapes(lags_s, tau), axis=1).clip(0)
    falls = (gain > 0) & (total > 0)
    rest = (total - gain**2).clip(0)
    values = np.full((3, len(curves)), np.nan)
    of = np.flatnonzero(known)[falls]
    values[0, of] = tau[falls]
    values[1, of] = _errors(lags_s, tau[falls], gain[falls], rest[falls])
    values[2, of] = 1 - rest[falls] / total[falls]
    return DecayFit(*values)


def _unit_shapes(lags_s: Floats, tau_s: Floats) -> Floats:
    """Return (n, n_lags) the exponentials without their mean, of length 1."""
    shapes = np.exp(-(lags_s - lags_s[0]) / tau_s[:, np.newaxis])
    shapes -= shapes.mean(axis=1, keepdims=True)
    return np.asarray(shapes / np.sqrt(np.sum(shapes**2, axis=1, keepdims=True)))


def _errors(lags_s: Floats, tau_s: Floats, gain: Floats, rest: Floats) -> Floats:
    """Return (n,) the standard errors of tau: of its derivative, what the other two do not take up."""
    since = lags_s - lags_s[0]
    shape = np.exp(-since / tau_s[:, np.newaxis])
    centred = shape - shape.mean(axis=1, keepdims=True)
    size = np.sqrt(np.sum(centred**2, axis=1, keepdims=True))
    # Amplitude at the first lag, so that its derivative by tau at a given first value is this.
    slope = (gain[:, np.newaxis] / size) * shape * since / tau_s[:, np.newaxis] ** 2
    slope -= slope.mean(axis=1, keepdims=True)
    unit = centred / size
    slope -= unit * np.sum(unit * slope, axis=1, keepdims=True)
    squares = np.sum(slope**2, axis=1)
    variance = rest / (lags_s.size - N_PARAMETERS)
    return np.asarray(
        np.sqrt(np.divide(variance, squares, out=np.full_like(rest, np.inf), where=squares > 0))
    )
