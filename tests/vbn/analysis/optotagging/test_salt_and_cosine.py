"""The latency test and the raised-cosine fraction, beside second implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import mannwhitneyu

from vbn.analysis.optotagging.cosine import binned_counts, responsive_fraction
from vbn.analysis.optotagging.salt import latency_histogram, salt


def salt_of_rasters(baseline: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """SALT as Kvitsiani et al. 2013 describe it, written from the text.

    Rasters of 0 and 1: (n_trials, n_windows, n_bins) without light and (n_trials, n_bins) with it. SciPy's
    ``jensenshannon`` is the root of the divergence, so that the metric is sqrt(2) times it.
    """

    def histogram(raster: np.ndarray) -> np.ndarray:
        first = [trial.argmax() + 1 if trial.any() else 0 for trial in raster]
        return np.bincount(first, minlength=raster.shape[1] + 1) / len(raster)

    windows = [histogram(baseline[:, window]) for window in range(baseline.shape[1])]
    null = [
        np.sqrt(2) * jensenshannon(one, other) for row, one in enumerate(windows) for other in windows[:row]
    ]
    middle = np.median([np.sqrt(2) * jensenshannon(one, histogram(test)) for one in windows])
    return float(np.mean(np.array(null) >= middle - 1e-9)), float(middle - np.median(null))


def first_bins(raster: np.ndarray) -> np.ndarray:
    return np.where(raster.any(axis=-1), raster.argmax(axis=-1) + 1, 0)


def rasters(seed: int, rate: float, answer: float, n_trials: int, n_windows: int):
    rng = np.random.default_rng(seed)
    baseline = rng.random((n_trials, n_windows, 7)) < rate
    test = rng.random((n_trials, 7)) < rate
    test[:, 2] |= rng.random(n_trials) < answer
    return baseline, test


class TestSalt:
    @given(
        st.integers(0, 2**32 - 1),
        st.floats(0, 0.3),
        st.floats(0, 1),
        st.integers(1, 30),
        st.integers(2, 12),
    )
    def test_agrees_with_the_published_description(self, seed, rate, answer, n_trials, n_windows):
        baseline, test = rasters(seed, rate, answer, n_trials, n_windows)
        found = salt(
            latency_histogram(first_bins(baseline).T, 7),
            latency_histogram(first_bins(test)[np.newaxis], 7)[0],
        )
        assert found == pytest.approx(salt_of_rasters(baseline, test), abs=1e-7)

    def test_by_hand(self):
        """Silent without light, a spike in bin 2 of every trial with it: no overlap, sqrt(2 ln 2)."""
        baseline = np.zeros((5, 8), dtype=np.int64)
        baseline[:, 0] = 10
        test = np.array([0, 0, 10, 0, 0, 0, 0, 0])
        assert salt(baseline, test) == pytest.approx((0.0, np.sqrt(2 * np.log(2))))

    def test_a_silent_unit_does_not_answer(self):
        silent = np.tile([10, 0, 0], (4, 1))
        assert salt(silent, silent[0]) == (1.0, 0.0)

    @pytest.mark.parametrize("n_windows", [0, 1])
    def test_without_pairs_of_windows_nothing_is_known(self, n_windows):
        assert np.isnan(salt(np.tile([3, 1], (n_windows, 1)), np.array([4, 0]))).all()

    def test_without_trials_nothing_is_known(self):
        assert np.isnan(salt(np.zeros((4, 3), dtype=np.int64), np.zeros(3, dtype=np.int64))).all()

    def test_false_positives_are_as_rare_as_it_says(self):
        """300 units of 20 Hz without an answer: p below 0.05 in about one in twenty."""
        p = []
        for seed in range(300):
            baseline, test = rasters(seed, 0.02, 0.0, 50, 40)
            p.append(
                salt(
                    latency_histogram(first_bins(baseline).T, 7),
                    latency_histogram(first_bins(test)[np.newaxis], 7)[0],
                )[0]
            )
        assert np.mean(np.array(p) < 0.05) < 0.09


class TestRaisedCosine:
    @given(st.integers(0, 2**32 - 1), st.floats(0, 1.5), st.floats(0, 1.5), st.integers(1, 30))
    def test_each_bin_is_tested_as_scipy_tests_it(self, seed, light, dark, n_pulses):
        rng = np.random.default_rng(seed)
        counts, baseline = rng.poisson(light, (n_pulses, 9)), rng.poisson(dark, 200)
        responsive = []
        for of_bin in counts.T:
            if np.unique(np.concatenate([of_bin, baseline])).size == 1:
                responsive.append(False)
                continue
            p = mannwhitneyu(baseline, of_bin, method="asymptotic").pvalue
            responsive.append(p < 0.01 and of_bin.mean() > baseline.mean())
        found = responsive_fraction(counts, np.bincount(baseline).astype(np.float64), 0.01, 1)
        assert found == pytest.approx(np.mean(responsive))

    @given(st.integers(0, 2**32 - 1))
    def test_few_pulses_are_tested_on_neighbouring_bins_together(self, seed):
        """Four pulses and 12 counts wanted: runs of 3 bins, and the last two of 8 by themselves."""
        rng = np.random.default_rng(seed)
        counts, baseline = rng.poisson(0.8, (4, 8)), rng.poisson(0.2, 100)
        histogram = np.bincount(baseline).astype(np.float64)
        expected = 0.0
        for run in (counts[:, :3], counts[:, 3:6], counts[:, 6:]):
            alone = responsive_fraction(run.reshape(-1, 1), histogram, 0.01, 1)
            expected += alone * run.shape[1] / 8
        assert responsive_fraction(counts, histogram, 0.01, 12) == pytest.approx(expected)

    def test_enough_pulses_are_tested_bin_by_bin(self):
        rng = np.random.default_rng(0)
        counts, histogram = rng.poisson(0.5, (50, 99)), np.bincount(rng.poisson(0.1, 1000)).astype(np.float64)
        assert responsive_fraction(counts, histogram, 0.01, 50) == responsive_fraction(
            counts, histogram, 0.01, 1
        )

    @pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
    def test_nothing_to_test_gives_nan(self, shape):
        assert np.isnan(responsive_fraction(np.zeros(shape, dtype=np.int64), np.array([5.0]), 0.01, 1))
        assert np.isnan(responsive_fraction(np.zeros((2, 2), dtype=np.int64), np.empty(0), 0.01, 1))

    def test_silence_is_no_response(self):
        assert responsive_fraction(np.zeros((5, 4), dtype=np.int64), np.array([100.0]), 0.01, 50) == 0

    @given(st.integers(0, 2**32 - 1))
    def test_counts_in_bins_are_those_of_a_histogram(self, seed):
        """On a grid of quarter bins, so that no spike is a rounding error away from an edge."""
        rng = np.random.default_rng(seed)
        spikes = np.sort(rng.integers(0, 4000, 200)) / 256 + 1 / 512
        onsets = np.sort(rng.integers(0, 4000, 5)) / 256
        edges = np.arange(0, 20) / 64
        expected = [np.histogram(spikes - onset, edges)[0] for onset in onsets]
        np.testing.assert_array_equal(binned_counts(spikes, onsets, 1 / 64, 19), expected)
