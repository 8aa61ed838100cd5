"""Weights that walk: against a dense solution, scikit-learn, psytrack, and walks that are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vbn.analysis.strategy.mice import walk
from vbn.analysis.strategy.random_walk import (
    SMALLEST_SIGMA,
    WalkPrior,
    _Fit,
    fit_walks,
    left_out_probability,
    sd_of_unknown_sigma,
    walks_of_sigma,
)

pytestmark = pytest.mark.simulation


def simulate(n: int, seed: int, sigma: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return regressors, answers and the true weights."""
    rng = np.random.default_rng(seed)
    first = (-1.0, 1.5, -0.5)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    weights = np.column_stack([walk(rng, n, *pair) for pair in zip(first, sigma, strict=True)])
    y = rng.random(n) < 1 / (1 + np.exp(-(x * weights).sum(axis=1)))
    return x, y, weights


def dense(x: np.ndarray, y: np.ndarray, sigma: np.ndarray, initial: float) -> tuple[np.ndarray, ...]:
    """Return weights, their standard deviation and the log evidence by whole matrices, a weight at a time."""
    n, k = x.shape
    differences = np.eye(n) - np.eye(n, k=-1)
    variances = [np.diag(np.append(initial**2, np.full(n - 1, each**2))) for each in sigma]
    inverse = np.linalg.inv(differences)
    covariance = np.zeros((n * k, n * k))
    for at, each in enumerate(variances):
        covariance[at * n : (at + 1) * n, at * n : (at + 1) * n] = inverse @ each @ inverse.T
    precision = np.linalg.inv(covariance)
    design = np.hstack([np.diag(column) for column in x.T])
    w = np.zeros(n * k)
    for _ in range(25):
        p = 1 / (1 + np.exp(-design @ w))
        curvature = design.T @ np.diag(p * (1 - p)) @ design + precision
        w = w + np.linalg.solve(curvature, design.T @ (y - p) - precision @ w)
    p = 1 / (1 + np.exp(-design @ w))
    curvature = design.T @ np.diag(p * (1 - p)) @ design + precision
    likelihood = np.log(np.where(y, p, 1 - p)).sum()
    log_prior = -0.5 * w @ precision @ w - 0.5 * np.linalg.slogdet(covariance)[1]
    evidence = likelihood + log_prior - 0.5 * np.linalg.slogdet(curvature)[1]
    sd = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return w.reshape(k, n).T, sd.reshape(k, n).T, evidence


@pytest.mark.parametrize("n", [2, 3, 30, 45])
def test_the_banded_solution_is_the_dense_one(n: int) -> None:
    x, y, _ = simulate(n, n, (0.3, 0.1, 0.05))
    sigma = np.array([0.3, 0.05, 0.8])
    found = walks_of_sigma(x, y, sigma, 4.0)
    weights, sd, evidence = dense(x, y, sigma, 4.0)
    np.testing.assert_allclose(found.weights, weights, atol=2e-5)
    np.testing.assert_allclose(found.weight_sd, sd, rtol=1e-5)
    assert found.log_evidence == pytest.approx(evidence, abs=1e-6)


def test_the_gradient_is_that_of_the_evidence() -> None:
    x, y, _ = simulate(300, 1, (0.1, 0.05, 0.02))
    fit = _Fit(x, y, 16.0)
    at = np.log([0.1, 0.02, 0.3])
    _, gradient = fit.loss(at)
    step = 1e-3 * np.eye(3)
    measured = [(fit.loss(at + each)[0] - fit.loss(at - each)[0]) / 2e-3 for each in step]
    np.testing.assert_allclose(gradient, measured, rtol=1e-3)
    assert np.abs(gradient).min() > 1e-2


def test_weights_that_do_not_walk_are_those_of_a_penalised_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y, _ = simulate(400, 2, (0.0, 0.0, 0.0))
    found = walks_of_sigma(x, y, np.full(3, 2.0**-16))
    plain = linear_model.LogisticRegression(C=2.0**8, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(found.weights.mean(axis=0), plain.coef_[0], atol=1e-3)
    assert np.ptp(found.weights, axis=0).max() < 1e-3


def test_sigmas_have_the_greatest_evidence() -> None:
    x, y, _ = simulate(600, 3, (0.1, 0.05, 0.0))
    found = fit_walks(x, y)
    for factor in (0.5, 0.8, 1.25, 2.0):
        for column in range(3):
            other = found.sigma.copy()
            other[column] *= factor
            assert walks_of_sigma(x, y, other).log_evidence < found.log_evidence + 1e-2


def test_the_truth_is_within_two_standard_deviations() -> None:
    """Over seeds: within one walk the errors of neighbouring rows go together."""
    truth = (0.1, 0.05, 0.02)
    inside: dict[str, list[np.ndarray]] = {"known": [], "unknown": [], "as if known": []}
    sigmas = []
    for seed in range(20):
        x, y, weights = simulate(600, 100 + seed, truth)
        known, found = walks_of_sigma(x, y, np.array(truth)), fit_walks(x, y)
        sd = {"unknown": sd_of_unknown_sigma(x, y, found), "as if known": found.weight_sd}
        inside["known"].append(np.abs(known.weights - weights) < 2 * known.weight_sd)
        for name, each in sd.items():
            inside[name].append(np.abs(found.weights - weights) < 2 * each)
        sigmas.append(found.sigma)
    assert np.mean(inside["known"]) == pytest.approx(0.95, abs=0.025)
    assert np.mean(inside["unknown"]) == pytest.approx(0.95, abs=0.025)
    assert np.mean(inside["unknown"], axis=(0, 1)).min() > 0.9
    assert np.mean(inside["as if known"]) < 0.92  # which is why there are two
    assert np.median(sigmas, axis=0)[:2] == pytest.approx(truth[:2], rel=0.4)


def test_a_weight_that_does_not_walk_is_constant() -> None:
    x, y, _ = simulate(1500, 7, (0.0, 0.1, 0.0))
    found = fit_walks(x, y)
    assert np.ptp(found.weights[:, 0]) < 0.5
    assert np.ptp(found.weights[:, 1]) > 1.0
    assert found.sigma.min() >= SMALLEST_SIGMA


# psytrack 2.0.2 with NumPy 2.4.6 and SciPy 1.17.1, on simulate(400, 11, (.1, .05, .02)).
OF_PSYTRACK = {
    "log_evidence": -249.020225,
    "sigma": [0.09211892636588331, 0.032852785965317, 0.0005306065214407495],
    "weights": [
        [-0.2959293, 1.0223729, -0.4379476],
        [0.3461008, 0.8010769, -0.4380517],
        [-0.047292, 1.0946465, -0.4381537],
        [0.2271397, 1.133176, -0.4381747],
    ],  # at rows 0, 133, 266 and 399
    "weight_sd": [
        [0.4480003, 0.2987015, 0.1148277],
        [0.318195, 0.2113606, 0.1147091],
        [0.3210128, 0.2249351, 0.1147002],
        [0.4683205, 0.305038, 0.1148056],
    ],
}


def test_the_numbers_are_those_of_psytrack() -> None:
    x, y, _ = simulate(400, 11, (0.1, 0.05, 0.02))
    same = walks_of_sigma(x, y, np.array(OF_PSYTRACK["sigma"]))
    at = [0, 133, 266, 399]
    assert same.log_evidence == pytest.approx(OF_PSYTRACK["log_evidence"], abs=1e-5)
    np.testing.assert_allclose(same.weights[at], OF_PSYTRACK["weights"], atol=1e-5)
    np.testing.assert_allclose(same.weight_sd[at], OF_PSYTRACK["weight_sd"], atol=1e-5)
    found = fit_walks(x, y)
    assert found.log_evidence > OF_PSYTRACK["log_evidence"] - 1e-3
    np.testing.assert_allclose(found.sigma[:2], OF_PSYTRACK["sigma"][:2], rtol=0.1)


def test_a_fold_is_predicted_by_the_others_alone() -> None:
    x, y, _ = simulate(200, 5, (0.1, 0.05, 0.02))
    fold = np.arange(200) % 4
    sigma = np.array([0.1, 0.05, 0.02])
    probability = left_out_probability(x, y, sigma, fold)
    turned = np.where(fold == 2, ~y, y)
    again = left_out_probability(x, turned, sigma, fold)
    np.testing.assert_array_equal(again[fold == 2], probability[fold == 2])
    assert np.abs(again - probability)[fold != 2].max() > 0.01


def test_what_cannot_be_fitted_is_refused() -> None:
    x, y, _ = simulate(20, 1, (0.1, 0.1, 0.1))
    for wrong in (x[:1], x[:-1], x[:, 0], x[:, :0]):
        with pytest.raises(ValueError, match="Two rows or more"):
            fit_walks(wrong, y[:1] if len(wrong) == 1 else y)
    with pytest.raises(ValueError, match="finite"):
        fit_walks(np.where(x > 1, np.nan, x), y)
    for prior in ({"sigma_start": 0.0}, {"sigma_start": 100.0}, {"sigma_initial": 0.0}):
        with pytest.raises(ValueError, match="positive"):
            WalkPrior(**prior)


@pytest.mark.parametrize("answer", [True, False])
def test_answers_that_are_all_the_same_have_finite_weights(answer: bool) -> None:
    x, y, _ = simulate(50, 1, (0.1, 0.1, 0.1))
    found = fit_walks(x, np.full_like(y, answer))
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found.weight_sd).all()
    assert np.isfinite(found.log_evidence)
