"""Fano factors and intervals of trains of which they are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vbn.analysis.responses.test_reliability import as_spikes, drawn, drifting, flashes
from vbn.analysis.responses.variability import (
    VariabilityParameters,
    burst_spikes,
    fano_factor,
    local_fano_factor,
    variability,
)

MEASURES = [
    "fano_factor", "fano_factor_local", "baseline_fano_factor", "baseline_fano_factor_local",
    "burst_fraction", "isi_cv2", "isi_lv",
]  # fmt: skip


def test_poisson_units_have_ones() -> None:
    trains = [drawn(np.random.default_rng([1, unit]), lambda _times: 10.0) for unit in range(40)]
    found = variability(*as_spikes(trains), flashes())
    for name in (*MEASURES[:4], "isi_cv2", "isi_lv"):
        assert found[name].mean() == pytest.approx(1, abs=0.03), name
    # A spike is in a burst of a Poisson unit if ... : silence of 100 ms, then one within 4 ms; small.
    assert found["burst_fraction"].between(0, 0.06).all()


def test_drift_raises_the_plain_fano_factor_only() -> None:
    trains = [drawn(np.random.default_rng([2, unit]), drifting(unit)) for unit in range(40)]
    found = variability(*as_spikes(trains), flashes())
    assert found["fano_factor"].mean() > 1.3
    assert found["fano_factor_local"].mean() == pytest.approx(1, abs=0.06)
    assert found["isi_cv2"].mean() == pytest.approx(1, abs=0.03)


def test_a_regular_unit_has_less_and_a_bursting_one_more() -> None:
    regular = np.arange(0, 300, 0.05) + np.random.default_rng(3).uniform(0, 0.005, 6000)
    bursting = np.sort((np.arange(0, 300, 0.5)[:, np.newaxis] + [0, 0.003, 0.006]).ravel())
    found = variability(*as_spikes([regular, bursting]), flashes())
    assert found["isi_cv2"][0] < 0.2
    assert found["fano_factor"][0] < 0.2
    assert found["burst_fraction"].tolist() == [0.0, pytest.approx(1.0, abs=0.01)]


def test_by_hand() -> None:
    counts = np.array([[0, 1, 2, 1] * 5, [4, 4, 4, 4] * 5], dtype=np.int32)
    image = np.zeros(20, dtype=np.int64)
    assert fano_factor(counts, image).tolist() == [0.5, 0.0]
    # Differences 1, 1, -1 and, to the next four, -1: half of their mean square over the mean.
    run = np.repeat(np.arange(5), 4)
    within = local_fano_factor(counts, image, run)
    assert within.tolist() == [pytest.approx(0.5 / np.mean([0.5, 1.5, 1.5])), 0.0]
    assert np.isnan(fano_factor(counts, image, min_mean_count=3)).tolist() == [True, False]
    assert np.isnan(fano_factor(counts[:, :9], image[:9])).all()  # too few flashes


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_bursts_are_those_of_a_plain_loop(steps: list[int]) -> None:
    train = np.cumsum(steps) / 1000
    expected = [False] * train.size
    for first in range(1, train.size):
        if train[first] - train[first - 1] < 0.1:
            continue
        last = first
        while last + 1 < train.size and train[last + 1] - train[last] <= 0.004:
            last += 1
        if last > first:
            expected[first : last + 1] = [True] * (last + 1 - first)
    assert burst_spikes(train, 0.1, 0.004).tolist() == expected


def test_what_was_not_measured_is_missing() -> None:
    few = variability(*as_spikes([np.array([6.0, 7.0])]), flashes())
    assert few[MEASURES].isna().all(axis=None)
    train = drawn(np.random.default_rng(1), lambda _times: 8.0)
    none = variability(*as_spikes([train]), flashes().iloc[:0])
    assert none[MEASURES].isna().all(axis=None)
    assert none["n_flashes"].tolist() == [0]
    same = variability(*as_spikes([np.full(200, 20.0)]), flashes())  # spikes of one time
    assert same[["isi_cv2", "isi_lv"]].isna().all(axis=None)
    assert variability([], [], [], flashes()).empty


def test_order_of_the_flashes_does_not_matter() -> None:
    spikes = as_spikes([drawn(np.random.default_rng(1), lambda _times: 8.0)])
    shuffled = flashes().sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(variability(*spikes, flashes()), variability(*spikes, shuffled))


@pytest.mark.parametrize("wrong", [{"min_mean_count": 0}, {"burst_interval_s": 0.2}, {"burst_interval_s": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        VariabilityParameters(**wrong)
