"""First spikes of simulated responses, whose median is known from the rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.vbn.analysis.responses.test_onset_latency import responses
from vbn.analysis.responses.first_spike import (
    FirstSpikeParameters,
    first_spike_latency,
    poisson_median_s,
)

N_CHANGES = 200
CHANGES_S = 10 + 2.0 * np.arange(250)  # of `responses`; the last 50 do not count


Spikes = tuple[np.ndarray, np.ndarray, np.ndarray]


def measured(spikes: Spikes, presentations: Any = None, trials: Any = None) -> pd.DataFrame:
    shown, counted = task()
    return first_spike_latency(
        *spikes, shown if presentations is None else presentations, counted if trials is None else trials
    )


def task() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Changes every 2 s, of hits and misses; those that do not count have early licks, or are rewarded."""
    flashes = np.ravel([CHANGES_S - 0.75, CHANGES_S], order="F")
    names = np.repeat(["a", "b"], 2)
    presentations = pd.DataFrame(
        {
            "start_time": flashes,
            "active": True,
            "image_name": np.resize(np.roll(names, 1), flashes.size),
            "is_change": np.resize([False, True], flashes.size),
            "omitted": False,
        }
    )
    number = np.arange(CHANGES_S.size)
    trials = pd.DataFrame(
        {
            "trials_id": number,
            "start_time": CHANGES_S - 1,
            "stop_time": CHANGES_S + 0.99,
            "hit": number < 100,
            "miss": (number >= 100) & (number < 225),
            "auto_rewarded": number >= 225,
            **dict.fromkeys(("false_alarm", "correct_reject", "aborted"), False),
            # an early lick, and a late one
            "lick_times": [[at + (0.1 if 200 <= k < 225 else 0.3)] for k, at in enumerate(CHANGES_S)],
        }
    )
    return presentations, trials


def true_median_s(base_hz: float, add_hz: float, onset_s: float = 0.05) -> float:
    """The time by which half of the first spikes of 30 to 150 ms have come, of the hazard of both rates."""
    times = np.linspace(0.03, 0.15, 100_001)
    fired = 1 - np.exp(-(base_hz * (times - 0.03) + add_hz * (times - max(onset_s, 0.03)).clip(0)))
    return float(times[np.searchsorted(fired, fired[-1] / 2)])


@pytest.mark.parametrize(("base_hz", "add_hz"), [(2, 40), (10, 10), (10, 60), (20, -15)])
def test_the_median_is_that_of_the_rates(base_hz: float, add_hz: float) -> None:
    spikes = responses(np.random.default_rng([base_hz, abs(add_hz)]), 40, base_hz, add_hz)
    found = measured(spikes)
    assert set(found["n_changes"]) == {N_CHANGES}
    chance = poisson_median_s(np.array([float(base_hz)]), (0.03, 0.15))[0]
    truth = true_median_s(base_hz, add_hz)
    assert found["poisson_latency_s"].mean() == pytest.approx(chance, abs=0.002)
    assert found["siegle_2021_latency_s"].mean() == pytest.approx(truth, abs=0.003)
    given = found.dropna(subset=["siegle_2021_response_latency_s"])
    if add_hz < 0 or abs(truth - chance) < 0.005:  # a pause has no first spike; 10 + 10 Hz: 69 ms, chance 73
        assert len(given) <= 2
        return
    assert len(given) >= 38
    assert (given["siegle_2021_response_latency_s"] == given["siegle_2021_latency_s"]).all()
    covers = (given["siegle_2021_response_latency_low_s"] <= truth) & (
        truth <= given["siegle_2021_response_latency_high_s"]
    )
    assert covers.mean() >= 0.85


def test_units_without_a_response_have_that_of_chance_and_no_latency() -> None:
    trains = [responses(np.random.default_rng([9, base]), 30, base, 0) for base in (2, 10, 30)]
    for base, spikes in zip((2, 10, 30), trains, strict=True):
        found = measured(spikes)
        assert found["siegle_2021_response_latency_s"].isna().all()
        assert found["siegle_2021_latency_s"].mean() == pytest.approx(true_median_s(base, 0), abs=0.003)
        assert (found["siegle_2021_latency_s"] - found["poisson_latency_s"]).mean() == pytest.approx(
            0, abs=0.003
        )


def test_the_interval_is_that_of_very_many_resamples() -> None:
    rng = np.random.default_rng(5)
    spikes = responses(rng, 1, 5, 40)
    (found,) = measured(spikes).to_dict("records")
    changes = CHANGES_S[:N_CHANGES]
    relative = spikes[0] - changes[:, np.newaxis]
    first = np.where((relative > 0.03) & (relative < 0.15), relative, np.inf).min(axis=1)
    known = first[np.isfinite(first)]
    assert found["siegle_2021_latency_s"] == pytest.approx(np.median(known))
    assert found["share"] == known.size / N_CHANGES
    resampled = np.median(rng.choice(known, (20_000, known.size)), axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert found["siegle_2021_response_latency_low_s"] == pytest.approx(low, abs=0.0005)
    assert found["siegle_2021_response_latency_high_s"] == pytest.approx(high, abs=0.0005)


def test_what_is_not_there_is_missing() -> None:
    presentations, trials = task()
    spikes = responses(np.random.default_rng(1), 1, 5, 40)
    columns = [
        "siegle_2021_latency_s",
        "poisson_latency_s",
        "p_response",
        "siegle_2021_response_latency_s",
        "share",
    ]
    for nothing in (
        measured(spikes, presentations.iloc[:0]),
        measured(spikes, trials=trials.assign(hit=False, miss=False)),
    ):
        assert set(nothing["n_changes"]) == {0}
        assert nothing[columns].isna().all(axis=None)
    (silent,) = first_spike_latency([], [0], [0], presentations, trials).to_dict("records")
    assert silent["share"] == 0
    assert silent["p_response"] == 1
    assert silent["poisson_latency_s"] == pytest.approx(0.09)
    assert np.isnan([silent["siegle_2021_latency_s"], silent["siegle_2021_response_latency_s"]]).all()
    few = np.sort(np.append(CHANGES_S[:4] + 0.06, CHANGES_S[4:N_CHANGES] + 1.5))
    (rare,) = first_spike_latency(few, [0], [few.size], presentations, trials).to_dict("records")
    assert rare["siegle_2021_latency_s"] == pytest.approx(0.06)
    assert np.isnan(rare["siegle_2021_response_latency_s"])
    edge = CHANGES_S[:N_CHANGES] + 0.03  # not after it: on one side of it only by rounding
    (at_edge,) = first_spike_latency(edge, [0], [edge.size], presentations, trials).to_dict("records")
    assert at_edge["share"] < 1
    assert len(first_spike_latency([], [], [], presentations, trials)) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"window_s": (0.03, 0.2)}, "equally long"),
        ({"min_spikes": 0}, "min_spikes"),
        ({"max_sd_s": 0.0}, "max_sd_s above 0"),
        ({"chance_margin_s": float("inf")}, "chance_margin_s"),
        ({"max_q_value": 1.5}, "max_q_value"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FirstSpikeParameters(**fields)
