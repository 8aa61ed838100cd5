from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.spikes.autocorrelogram import autocorrelogram


@given(st.lists(st.integers(0, 4000), max_size=60, unique=True))
def test_lags_are_those_of_all_pairs(quarters):
    """Times are multiples of 1/4096 s, bins of 1/1024 s: exact in binary, edges too."""
    times = np.sort(np.array(quarters, dtype=float)) / 4096
    counts = np.zeros(50)
    for at, first in enumerate(times):
        for second in times[at + 1 :]:
            lag_bin = int((second - first) * 1024)
            if lag_bin < 50:
                counts[lag_bin] += 1
    rate_hz = autocorrelogram(times, window_s=50 / 1024, bin_s=1 / 1024)
    np.testing.assert_allclose(rate_hz * max(len(times), 1) / 1024, counts)


def test_a_poisson_train_is_flat_at_its_rate():
    rng = np.random.default_rng(7)
    rate_hz = autocorrelogram(np.sort(rng.uniform(0, 2000, 40_000)))
    assert rate_hz.mean() == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("times", [[], [1.0]])
def test_without_two_spikes_there_is_nothing(times):
    assert autocorrelogram(times).tolist() == [0.0] * 50
