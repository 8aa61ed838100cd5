"""Correlations and dimensions of populations of which they are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.vbn.analysis.responses.test_reliability import (
    N_RUNS,
    PER_RUN,
    Spikes,
    as_spikes,
    drawn,
    drifting,
    flashes,
    responding,
)
from vbn.analysis.interactions.correlations import CorrelationParameters, area_pairs, pair_correlations
from vbn.analysis.interactions.dimensionality import DimensionalityParameters, dimensionality
from vbn.analysis.interactions.flash_counts import FlashCounts

N = 24
STRUCTURES = np.array(["VISp"] * 12 + ["LP"] * 12, dtype=object)
FEW = DimensionalityParameters(n_units=10, n_pairs=200, draws=10)


def of_counts(counts: np.ndarray) -> Spikes:
    """Return trains with given counts, (n_units, n_flashes), in the 250 ms of the flashes."""
    starts = flashes()["start_time"].to_numpy()
    return as_spikes([np.repeat(starts, row) + 0.1 for row in counts])


def gaussian(shared: float, rng: np.random.Generator, n: int = N) -> np.ndarray:
    """Return counts with one common input, of correlation ``shared``."""
    size = len(flashes())
    common, own = rng.standard_normal(size), rng.standard_normal((n, size))
    values = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    return np.rint(60 + 10 * values).clip(0).astype(np.int64)


def test_the_noise_correlation_is_that_of_the_common_input() -> None:
    found = pair_correlations(*of_counts(gaussian(0.3, np.random.default_rng(1))), flashes())
    pairs = np.triu_indices(N, 1)
    assert found.noise.shape == (N, N)
    assert np.allclose(np.diag(found.noise), 1)
    assert found.noise[pairs].mean() == pytest.approx(0.3, abs=0.05)
    assert found.plain_noise[pairs].mean() == pytest.approx(0.3, abs=0.05)
    assert np.array_equal(found.noise, found.noise.T)


def test_it_equals_numpy_of_the_residuals() -> None:
    counts = gaussian(0.2, np.random.default_rng(2), n=5)
    found = pair_correlations(*of_counts(counts), flashes())
    table = flashes()
    residuals, differences = [], []
    for _, rows in table.groupby("image_name"):
        of = counts[:, rows.index].astype(float)
        of -= of.mean(axis=1, keepdims=True)
        residuals.append(of / of.std(axis=1, keepdims=True))
        steps = np.concatenate(
            [np.diff(counts[:, run.index]) for _, run in rows.groupby("run")], axis=1
        ).astype(float)
        differences.append(steps / np.sqrt(np.mean(steps**2, axis=1, keepdims=True)))
    np.testing.assert_allclose(found.plain_noise, np.corrcoef(np.hstack(residuals)), atol=1e-12)
    steps = np.hstack(differences)
    size = np.sqrt(np.sum(steps**2, axis=1))
    np.testing.assert_allclose(found.noise, steps @ steps.T / size / size[:, None], atol=1e-12)
    assert (found.n_flashes, found.n_pairs, found.n_images) == (len(table), 48 * 7, 4)


def test_independent_units_that_drift_together_are_correlated_in_the_plain_measure_only() -> None:
    trains = [drawn(np.random.default_rng([3, unit]), drifting(0)) for unit in range(N)]
    found = pair_correlations(*as_spikes(trains), flashes())
    pairs = np.triu_indices(N, 1)
    assert found.plain_noise[pairs].mean() > 0.15
    assert abs(found.noise[pairs].mean()) < 0.03


def test_the_signal_correlation_is_of_the_images_and_not_of_the_noise() -> None:
    shown = flashes(n_images=6)
    like = [responding(shown, ("im0", "im2"), 60)] * 4 + [responding(shown, ("im1", "im3"), 60)] * 4
    found = pair_correlations(
        *as_spikes([drawn(np.random.default_rng([4, unit]), rate) for unit, rate in enumerate(like)]), shown
    )
    same = found.signal[:4, :4][np.triu_indices(4, 1)]
    assert same.mean() > 0.7
    assert found.signal[:4, 4:].mean() < -0.2
    # Common input of the moment raises the correlation of the means, but not between halves.
    rng = np.random.default_rng(5)
    over_sessions = [
        pair_correlations(*of_counts(gaussian(0.8, rng, n=6)), flashes()).signal[np.triu_indices(6, 1)].mean()
        for _ in range(30)
    ]
    assert abs(np.mean(over_sessions)) < 0.25
    few = pair_correlations(*of_counts(gaussian(0.2, rng)), flashes(n_images=3))
    assert np.isnan(few.signal).all()


def test_means_of_areas_leave_neighbours_out() -> None:
    counts = gaussian(0.0, np.random.default_rng(6))
    counts[1] = counts[0]  # one unit sorted twice, 20 um away
    found = pair_correlations(*of_counts(counts), flashes())
    positions = 100.0 * np.arange(N)
    positions[1] = 20
    structures = STRUCTURES.copy()
    structures[-1] = None
    pairs = area_pairs(found, structures, ["probeA"] * N, positions).set_index(["first", "second"])
    assert pairs["n_pairs"].to_dict() == {("LP", "LP"): 55, ("LP", "VISp"): 132, ("VISp", "VISp"): 65}
    assert pairs["noise_mean"].abs().max() < 0.1
    unknown = np.where(np.arange(N) == 1, np.nan, positions)
    n_of = area_pairs(found, structures, ["probeA"] * N, unknown)["n_pairs"].sum()
    assert n_of == pairs["n_pairs"].sum() - 21  # what is not known may be near
    apart = area_pairs(found, structures, [f"probe{unit}" for unit in range(N)], positions)
    assert apart["n_pairs"].sum() == pairs["n_pairs"].sum() + 1
    one, other = np.triu_indices(11, 1)
    expected = found.noise[12:23, 12:23][one, other]
    assert pairs.loc[("LP", "LP"), "noise_mean"] == pytest.approx(expected.mean())
    assert pairs.loc[("LP", "LP"), "noise_sd"] == pytest.approx(expected.std(ddof=1))
    slope = np.polyfit(found.signal[12:23, 12:23][one, other], expected, 1)[0]
    assert pairs.loc[("LP", "LP"), "signal_noise_slope"] == pytest.approx(slope)


def test_independent_units_have_as_many_dimensions_as_there_are() -> None:
    found = dimensionality(
        *of_counts(gaussian(0.0, np.random.default_rng(7))), STRUCTURES, flashes(), FEW
    ).set_index("structure")
    assert list(found.index) == ["LP", "VISp"]
    assert found["participation_ratio"].to_numpy() == pytest.approx(10, abs=0.5)
    assert (found["plain_participation_ratio"] < found["participation_ratio"]).all()


def test_the_halves_have_no_flash_in_common() -> None:
    """Else of all pairs there are, 30 independent units have 29.1 dimensions."""
    counts = gaussian(0.0, np.random.default_rng(12), n=40)
    every = DimensionalityParameters(n_units=30, n_pairs=2 * (N_RUNS * (PER_RUN - 1) // 2), draws=40)
    found = dimensionality(*of_counts(counts), ["VISp"] * 40, flashes(), every)
    assert found["participation_ratio"][0] == pytest.approx(30, abs=0.6)


def test_a_fast_unit_does_not_outweigh_the_others() -> None:
    shown, rng = flashes(n_images=6), np.random.default_rng(13)
    image = shown["image_name"].str[2:].astype(int).to_numpy()
    rate = 20 + 5 * rng.standard_normal((N, 6))
    few = dimensionality(*of_counts(rng.poisson(rate[:, image])), STRUCTURES, shown, FEW)
    rate[0] *= 20
    one = dimensionality(*of_counts(rng.poisson(rate[:, image])), STRUCTURES, shown, FEW)
    pairs = zip(few["signal_participation_ratio"], one["signal_participation_ratio"], strict=True)
    assert all(after > 0.6 * before for before, after in pairs)


def test_a_common_input_has_one() -> None:
    counts = gaussian(1.0, np.random.default_rng(8))
    found = dimensionality(*of_counts(counts), STRUCTURES, flashes(), FEW)
    assert found["participation_ratio"].to_numpy() == pytest.approx(1, abs=0.01)
    assert found["dimensions_80"].to_numpy() == pytest.approx(1)


def test_dimensions_of_images_are_those_of_the_tuning() -> None:
    shown, rng = flashes(n_images=6), np.random.default_rng(9)
    tuning = rng.standard_normal((N, 2)) @ rng.standard_normal((2, 6))  # rank 2
    image = shown["image_name"].str[2:].astype(int).to_numpy()
    counts = rng.poisson(20 + 6 * tuning.clip(-3, 3)[:, image])
    found = dimensionality(*of_counts(counts), STRUCTURES, shown, FEW)
    centred = (6 * tuning.clip(-3, 3)) - (6 * tuning.clip(-3, 3)).mean(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(centred @ centred.T)
    expected = values.sum() ** 2 / np.sum(values**2)
    assert found["signal_participation_ratio"].to_numpy() == pytest.approx(expected, abs=0.6)
    untuned = dimensionality(*of_counts(rng.poisson(20, counts.shape)), STRUCTURES, shown, FEW)
    ratio = untuned["signal_participation_ratio"]
    assert (ratio.isna() | (ratio < 6)).all()


@pytest.mark.simulation
def test_weak_tuning_has_no_impossible_number_of_dimensions() -> None:
    """Images differ, but traces of noise over traces of noise would be anything from .1 to 60."""
    shown, found = flashes(n_images=6), []
    image = shown["image_name"].str[2:].astype(int).to_numpy()
    for session in range(30):
        rng = np.random.default_rng([14, session])
        of_images = np.exp(0.05 * rng.standard_normal(6))
        rate = 3 * np.broadcast_to(of_images, (N, 6))
        ratio = dimensionality(*of_counts(rng.poisson(rate[:, image])), STRUCTURES, shown, FEW)
        found += ratio["signal_participation_ratio"].tolist()
    known = np.array(found)[np.isfinite(found)]
    assert 0 < known.size < len(found)
    assert known.min() >= 0.8
    assert known.max() <= 6.25


def test_nothing_to_measure() -> None:
    spikes = of_counts(gaussian(0.1, np.random.default_rng(1)))
    none = flashes().iloc[:0]
    found = pair_correlations(*spikes, none)
    assert (found.noise.shape, found.n_flashes, found.n_images) == ((0, 0), 0, 0)
    assert area_pairs(found, STRUCTURES, ["probeA"] * N, np.zeros(N)).empty
    assert dimensionality(*spikes, STRUCTURES, none).empty
    assert dimensionality(*spikes, STRUCTURES, flashes()).empty  # fewer units than are drawn
    assert dimensionality([], [], [], [], flashes()).empty
    silent = pair_correlations(np.empty(0), [0], [0], flashes())
    assert silent.noise.shape == (0, 0)
    constant = pair_correlations(*of_counts(np.full((2, len(flashes())), 3)), flashes())
    assert np.isnan(constant.noise).all()
    with pytest.raises(ValueError, match="n_flashes"):
        FlashCounts(np.zeros((2, 3), np.int32), np.zeros(2, np.int64), np.zeros(3, np.int64))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (CorrelationParameters, {"min_flashes": 1}),
        (CorrelationParameters, {"min_mean_count": 0}),
        (CorrelationParameters, {"min_distance_um": -1}),
        (DimensionalityParameters, {"n_pairs": 5}),
        (DimensionalityParameters, {"n_units": 1}),
        (DimensionalityParameters, {"min_flashes": 0}),
        (DimensionalityParameters, {"draws": 0}),
    ],
)
def test_wrong_parameters_are_refused(settings: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        settings(**wrong)


def test_the_draws_of_a_structure_do_not_depend_on_the_others() -> None:
    counts = gaussian(0.2, np.random.default_rng(11))
    both = dimensionality(*of_counts(counts), STRUCTURES, flashes(), FEW)
    alone = dimensionality(*of_counts(counts[12:]), STRUCTURES[12:], flashes(), FEW)
    pd.testing.assert_frame_equal(both[both["structure"] == "LP"].reset_index(drop=True), alone)
