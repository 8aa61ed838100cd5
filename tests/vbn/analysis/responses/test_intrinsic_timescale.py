"""Timescales: known ones are found, and none where nothing decays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit
from scipy.signal import lfilter

from tests.vbn.analysis.interactions.test_connectivity import as_spikes
from vbn.analysis.responses.intrinsic_timescale import (
    TAU_S,
    TIMESCALES,
    TimescaleParameters,
    fit_decays,
    intrinsic_timescale,
    response_autocorrelation,
    rest_autocorrelation,
    separate_flashes,
)

N_FLASHES = 150
STARTS = 5 + 2.0017 * np.arange(N_FLASHES)
FLASHES = pd.DataFrame({"start_time": STARTS, "color": np.where(np.arange(N_FLASHES) % 2, 1.0, -1.0)})
END_S = STARTS[-1] + 5
STEP_S = 0.002


def fluctuating(rng: np.random.Generator, rate_hz: float, tau_s: float, sd: float) -> np.ndarray:
    """Draw a train whose log rate is an Ornstein-Uhlenbeck process."""
    n = int(END_S / STEP_S)
    keep = np.exp(-STEP_S / tau_s)
    noise = lfilter([1], [1, -keep], rng.standard_normal(n) * np.sqrt(1 - keep**2))
    counts = rng.poisson(rate_hz * STEP_S * np.exp(sd * noise - sd**2 / 2))
    bins = np.repeat(np.arange(n), counts)
    return np.sort((bins + rng.random(bins.size)) * STEP_S)


def poisson(rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    return np.sort(rng.uniform(0, END_S, rng.poisson(rate_hz * END_S)))


def measured(
    trains: list[np.ndarray], flashes: pd.DataFrame = FLASHES, name: str = "calibrated"
) -> pd.DataFrame:
    return intrinsic_timescale(*as_spikes(trains), flashes, TIMESCALES[name])


def plain_curves(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both autocorrelations by plain loops."""
    rest = np.array([np.histogram(train - at, np.arange(101) * 0.01 + 1)[0] for at in STARTS])
    response = np.array([np.histogram(train - at, np.arange(26) * 0.01 + 0.04)[0] for at in STARTS])
    mean = np.zeros(49)
    for lag in range(1, 50):
        pairs = [np.corrcoef(rest[:, bin_], rest[:, bin_ + lag])[0, 1] for bin_ in range(100 - lag)]
        mean[lag - 1] = np.nanmean(pairs)
    above = response - rest.mean()
    decay = np.zeros(13)
    for lag in range(13):
        products = above[:, : 25 - lag].T[:, :, None] * above[:, lag:].T[:, None, :]
        decay[lag] = products.sum() - np.einsum("bff->", products)
    return mean, decay / decay[0]


def test_both_autocorrelations_and_their_fits_are_those_of_plain_loops_and_curve_fit() -> None:
    rng = np.random.default_rng(0)
    train = np.sort(
        np.append(
            fluctuating(rng, 15, 0.08, 0.9),
            np.repeat(STARTS, 3) + 0.05 + rng.exponential(0.04, 3 * N_FLASHES),
        )
    )
    curves = plain_curves(train)
    row = measured([train]).iloc[0]

    def falling(lag: np.ndarray, height: float, tau: float, constant: float) -> np.ndarray:
        return np.asarray(height * np.exp(-lag / tau) + constant)

    for name, curve, first in (("intrinsic", curves[0], 1), ("decay", curves[1], 0)):
        lags = 0.01 * np.arange(first, curve.size + first)
        bounds = ([0, TAU_S[0], -np.inf], [np.inf, TAU_S[1], np.inf])
        found, spread = curve_fit(falling, lags, curve, (0.5, 0.05, 0), bounds=bounds, xtol=1e-14, ftol=1e-14)
        assert row[f"{name}_s"] == pytest.approx(found[1], rel=1e-3)
        assert row[f"error_{name}_s"] == pytest.approx(np.sqrt(spread[1, 1]), rel=5e-3)
        residual = curve - falling(lags, *found)
        assert row[f"explained_{name}"] == pytest.approx(1 - residual.var() / curve.var(), abs=1e-4)
        assert row[f"is_valid_{name}"]
    assert row["spikes_intrinsic"] == sum(((train >= at + 1) & (train < at + 2)).sum() for at in STARTS)


def test_curves_that_are_exponentials_are_fitted_exactly() -> None:
    lags = 0.01 * np.arange(1, 50)
    tau = np.array([0.003, 0.02, 0.11, 0.35, 0.9])
    fit = fit_decays(lags, 0.3 * np.exp(-lags / tau[:, np.newaxis]) + 0.05)
    np.testing.assert_allclose(fit.tau_s, tau, rtol=1e-5)
    np.testing.assert_allclose(fit.explained, 1)
    rising = fit_decays(lags, np.array([lags, np.full(49, 0.2), np.full(49, np.nan)]))
    assert np.isnan([rising.tau_s, rising.error_s, rising.explained]).all()


@pytest.mark.parametrize("tau_s", [0.03, 0.1, 0.25])
def test_the_timescale_of_a_fluctuating_rate_is_found(tau_s: float) -> None:
    rng = np.random.default_rng(1)
    found = measured([fluctuating(rng, rng.uniform(8, 20), tau_s, 0.7) for _ in range(40)])
    valid = found[found["is_valid_intrinsic"].fillna(False)]
    assert len(valid) >= 20
    # The autocorrelation of the rate falls a little faster than that of its logarithm.
    assert valid["intrinsic_s"].median() == pytest.approx(tau_s, rel=0.3)
    assert not found["is_valid_decay"].fillna(False).any()


def test_the_decay_of_a_response_is_found() -> None:
    rng = np.random.default_rng(2)
    trains = []
    for _ in range(30):
        times = np.repeat(STARTS, 2) + 0.045 + rng.exponential(0.05, 2 * N_FLASHES)
        trains.append(np.sort(np.append(poisson(rng, 5), times)))
    found = measured(trains)
    assert found["is_valid_decay"].mean() >= 0.8
    assert found["decay_s"].median() == pytest.approx(0.05, rel=0.25)
    assert found["is_valid_intrinsic"].fillna(False).sum() == 0


def steady(rng: np.random.Generator) -> np.ndarray:
    return poisson(rng, np.exp(rng.uniform(0, 3)))


def drifting(rng: np.random.Generator) -> np.ndarray:
    return fluctuating(rng, np.exp(rng.uniform(0, 3)), 60.0, 0.5)


def refractory(rng: np.random.Generator) -> np.ndarray:
    times = np.cumsum(0.02 + rng.exponential(1 / np.exp(rng.uniform(0, 3)), 8000))
    return times[times < END_S]


@pytest.mark.simulation
@pytest.mark.parametrize("draw", [steady, drifting, refractory])
def test_where_nothing_decays_hardly_a_timescale_is_valid(
    draw: Callable[[np.random.Generator], np.ndarray],
) -> None:
    rng = np.random.default_rng(3)
    trains = [draw(rng) for _ in range(300)]
    found = measured(trains)
    for name in ("intrinsic", "decay"):
        assert found[f"is_valid_{name}"].fillna(False).sum() <= 3  # 1 %, as the documentation says
    if draw is steady:  # what is published lets many through
        published = measured(trains, name="siegle_2021")
        assert published["is_valid_intrinsic"].fillna(False).mean() > 0.05


def test_flashes_that_another_follows_at_once_are_left_out() -> None:
    close = pd.DataFrame({"start_time": [1.0, 2.0, 3.995, 6.0], "color": [1.0, -1.0, np.nan, 1.0]})
    assert separate_flashes(close, 1.99).tolist() == [2.0, 6.0]
    assert measured([np.array([1.0])], close)["n_flashes"].tolist() == [2]


@pytest.mark.parametrize("n_flashes", [0, 1, 2])
def test_sessions_in_which_nothing_can_be_fitted(n_flashes: int) -> None:
    found = measured([np.empty(0), STARTS + 1.2], FLASHES.iloc[:n_flashes])
    assert found["n_flashes"].tolist() == [n_flashes] * 2
    assert found[["intrinsic_s", "error_intrinsic_s", "is_valid_intrinsic"]].isna().all(axis=None)
    assert found["spikes_intrinsic"].tolist() == [0, n_flashes]
    assert measured([], FLASHES.iloc[:n_flashes]).empty
    assert not set(found) ^ set(measured([]))


def test_a_bin_without_spikes_is_left_out_of_the_pairs() -> None:
    counts = np.random.default_rng(4).poisson(1.0, (1, 40, 12)).astype(float)
    counts[..., 3] = 0
    found = rest_autocorrelation(counts, 8)[0]
    r = [
        np.corrcoef(counts[0, :, bin_], counts[0, :, bin_ + 2])[0, 1]
        for bin_ in range(10)
        if bin_ not in (1, 3)
    ]
    assert found[1] == pytest.approx(np.mean(r))
    assert np.isnan(response_autocorrelation(np.zeros((1, 5, 10)), np.zeros((1, 1, 1)))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bin_s": 0.2}, "bin_s"),
        ({"max_lag_s": 1.0}, "max_lag_s"),
        ({"rest_window_s": (-1.0, 1.0)}, "rest_window_s"),
        ({"response_window_s": (0.04, 0.1)}, "response_window_s"),
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimescaleParameters(**changes)
