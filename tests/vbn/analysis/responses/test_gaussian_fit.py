"""Gaussians fitted to maps: those that were planted, those of SciPy, and always the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from vbn.analysis.responses.gaussian_fit import fit_gaussians

SHAPE = (9, 9)


def gaussian(parameters: np.ndarray, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Return a map; by a formula of its own, axis by axis."""
    amplitude, x, y, width, height, *offset = parameters
    along_x = np.exp(-0.5 * ((np.arange(shape[1]) - x) / width) ** 2)
    along_y = np.exp(-0.5 * ((np.arange(shape[0]) - y) / height) ** 2)
    return amplitude * np.outer(along_y, along_x) + (offset[0] if offset else 0.0)


def start_of(field: np.ndarray, *, with_offset: bool = True) -> np.ndarray:
    level = float(np.median(field)) if with_offset else 0.0
    row, column = divmod(int(np.abs(field - level).argmax()), field.shape[1])
    found = [field[row, column] - level, column, row, 1.0, 1.0]
    return np.array([*found, level] if with_offset else found)


def noisy(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return maps of counts, from those of noise alone to strong ones, and where to start."""
    rng = np.random.default_rng(seed)
    drawn = np.column_stack(
        [rng.choice([0, 4, 20], n), *rng.uniform(0, 8, (2, n)), *rng.uniform(0.7, 3, (2, n)), np.full(n, 3.0)]
    )
    fields = np.array([rng.poisson(5 * gaussian(each)) / 0.25 for each in drawn])
    return fields, np.array([start_of(field) for field in fields])


@given(
    st.tuples(
        st.floats(-50, 50).filter(lambda height: abs(height) > 0.5),
        st.floats(1, 7), st.floats(1, 7), st.floats(0.8, 2), st.floats(0.8, 2), st.floats(-20, 20),
    )
)  # fmt: skip
def test_planted_ones_are_found_to_the_last_digits(planted: tuple[float, ...]) -> None:
    for truth in (np.array(planted), np.array(planted[:5])):
        field = gaussian(truth)
        found = fit_gaussians(field[np.newaxis], start_of(field, with_offset=truth.size == 6)[np.newaxis])
        found.parameters[:, 3:5] = np.abs(found.parameters[:, 3:5])
        np.testing.assert_allclose(found.parameters[0], truth, rtol=1e-6, atol=1e-6)
        assert found.squares[0] < 1e-9


def test_they_are_the_minima_that_scipy_finds() -> None:
    fields, starts = noisy(60)
    strong = np.flatnonzero(fields.max(axis=(1, 2)) > 250)
    assert strong.size >= 8
    found = fit_gaussians(fields[strong], starts[strong])
    for row, parameters, squares in zip(strong, found.parameters, found.squares, strict=True):

        def residuals(p: np.ndarray, field: np.ndarray = fields[row]) -> np.ndarray:
            return (gaussian(p) - field).ravel()

        scipys = least_squares(residuals, starts[row], xtol=1e-14, ftol=1e-14, gtol=1e-14)
        assert squares == pytest.approx(2 * scipys.cost, rel=1e-9)
        np.testing.assert_allclose(parameters, scipys.x, rtol=1e-5, atol=1e-5)


def test_a_map_has_one_fit_whatever_is_fitted_beside_it_or_was_in_memory() -> None:
    """`leastsq` of SciPy 1.17 gives several for one in twenty of these."""
    fields, starts = noisy(120)
    found = fit_gaussians(fields, starts)
    assert np.isfinite(found.squares).mean() > 0.9
    rng, held = np.random.default_rng(1), []
    for _ in range(5):
        held.append(bytearray(rng.bytes(int(rng.integers(1, 10_000)))))
        order = rng.permutation(120)
        again = fit_gaussians(fields[order], starts[order])
        assert again.parameters.tobytes() == found.parameters[order].tobytes()
    for row in range(0, 120, 7):
        alone = fit_gaussians(fields[row : row + 1].copy(), starts[row : row + 1])
        assert alone.parameters.tobytes() == found.parameters[row].tobytes()


UNKIND = {
    "zeros": np.zeros(SHAPE),
    "a constant": np.full(SHAPE, 7.0),
    "no numbers": np.full(SHAPE, np.nan),
    "what overflows": np.full(SHAPE, 1e200),
    "what underflows": np.eye(9) * 1e-300,
    "infinite values": np.where(np.eye(9) > 0, np.inf, 0),
    "four zeros": np.zeros((2, 2)),
    "four numbers": np.arange(4.0).reshape(2, 2),
}


@pytest.mark.parametrize("with_offset", [True, False])
@pytest.mark.parametrize("field", UNKIND.values(), ids=UNKIND)
def test_what_has_no_gaussian_ends_without_one_and_in_silence(field: np.ndarray, with_offset: bool) -> None:
    start = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.5][: 5 + with_offset])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_gaussians(np.stack([field, field]), np.stack([start, start]))
    assert np.isfinite(found.parameters).all(axis=1).tolist() == np.isfinite(found.squares).tolist()
    assert found.parameters[0].tobytes() == found.parameters[1].tobytes()


def test_no_maps_have_no_fits() -> None:
    found = fit_gaussians(np.empty((0, *SHAPE)), np.empty((0, 6)))
    assert (found.parameters.shape, found.squares.shape) == ((0, 6), (0,))
