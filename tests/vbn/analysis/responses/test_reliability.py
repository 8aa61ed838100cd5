"""Reliability by a plain loop, of units without a response, with one, and with drift."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.responses.reliability import ReliabilityParameters, reliability

Spikes = tuple[np.ndarray, np.ndarray, np.ndarray]
N_RUNS, PER_RUN, PERIOD_S = 48, 8, 0.75


def flashes(n_images: int = 4) -> pd.DataFrame:
    """Runs of an image after one another; the order of images is irregular."""
    n = N_RUNS * PER_RUN
    of_runs = np.random.default_rng(8).permutation(np.resize(np.arange(n_images), N_RUNS))
    return pd.DataFrame(
        {
            "start_time": 5 + PERIOD_S * np.arange(n),
            "image_name": [f"im{image}" for image in np.repeat(of_runs, PER_RUN)],
            "run": np.repeat(np.arange(N_RUNS), PER_RUN),
        }
    )


def as_spikes(trains: list[np.ndarray]) -> Spikes:
    sizes = np.array([train.size for train in trains], dtype=np.int64)
    return np.concatenate(trains), np.cumsum(sizes) - sizes, sizes


def drawn(rng: np.random.Generator, rate_hz: Any, step_s: float = 0.005) -> np.ndarray:
    """Draw a train of a rate that is given at each time."""
    times = np.arange(0, 5 + N_RUNS * PER_RUN * PERIOD_S + 5, step_s)
    fired = rng.poisson(np.broadcast_to(rate_hz(times), times.shape) * step_s)
    return np.sort(np.repeat(times, fired) + rng.uniform(0, step_s, fired.sum()))


def responding(shown: pd.DataFrame, images: tuple[str, ...], add_hz: float) -> Any:
    """Return a rate of 5 Hz, and more from 50 to 150 ms of the images."""
    starts = shown.loc[shown["image_name"].isin(images), "start_time"].to_numpy()

    def rate(times: np.ndarray) -> np.ndarray:
        last = starts[np.searchsorted(starts, times, side="right") - 1]
        return 5 + add_hz * ((times - last >= 0.05) & (times - last < 0.15))

    return rate


def drifting(seed: int) -> Any:
    """Return a rate whose logarithm wanders by a factor of 1.6 over 20 s, which is some runs."""
    steps = np.random.default_rng(seed).standard_normal(2_000)
    knots = np.convolve(steps, np.exp(-np.arange(60) / 10), mode="same")
    knots *= 0.5 / knots.std()
    return lambda times: 8 * np.exp(np.interp(times, 2.0 * np.arange(knots.size), knots))


def test_it_is_what_a_plain_loop_finds() -> None:
    shown = flashes().sample(frac=1, random_state=1)  # in any order
    rng = np.random.default_rng(2)
    train = drawn(rng, responding(flashes(), ("im1",), 30))
    parameters = ReliabilityParameters(splits=2)
    (found,) = reliability(*as_spikes([train]), shown, parameters, seed=7).to_dict("records")
    assert (found["n_flashes"], found["n_images"], found["n_runs"]) == (N_RUNS * PER_RUN, 4, N_RUNS)

    edges = 0.025 * np.arange(31)
    table = flashes()
    counts = np.array([np.histogram(train, start + edges)[0] for start in table["start_time"]])
    by_run: dict[str, list[Any]] = {}
    for _, rows in table.groupby("run"):
        by_run.setdefault(rows["image_name"].iloc[0], []).append(counts[rows.index].sum(axis=0))
    early, late = [], []
    for image in sorted(by_run):
        of_image = by_run[image]
        early.append(np.sum(of_image[: len(of_image) // 2], axis=0) / (len(of_image) // 2 * PER_RUN))
        late.append(
            np.sum(of_image[len(of_image) // 2 :], axis=0) / ((len(of_image) - len(of_image) // 2) * PER_RUN)
        )
    expected = np.corrcoef(np.concatenate(early), np.concatenate(late))[0, 1]
    assert found["stability_halves"] == pytest.approx(expected, abs=1e-12)

    # The same halves, drawn as the function does.
    rng = np.random.default_rng([parameters.seed, 7])
    halves: list[tuple[list[Any], list[Any]]] = [([], []) for _ in range(2)]
    for image in sorted(by_run):
        runs = np.array(by_run[image])
        rank = rng.permuted(np.tile(np.arange(len(runs)), (2, 1)), axis=1)
        size = len(runs) // 2 + (rng.random((2, 1)) < 0.5) * (len(runs) % 2)
        for split, (first, second) in enumerate(halves):
            chosen = rank[split] < size[split]
            first.append(runs[chosen].mean(axis=0) / PER_RUN)
            second.append(runs[~chosen].mean(axis=0) / PER_RUN)
    pairs = [(np.concatenate(first), np.concatenate(second)) for first, second in halves]
    r = np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs])
    assert found["split_half"] == pytest.approx(r, abs=1e-12)
    assert found["spearman_brown"] == pytest.approx(2 * r / (1 + r), abs=1e-12)
    shared = np.mean([np.cov(*pair, ddof=0)[0, 1] for pair in pairs])
    of_images = [counts[rows.index] for _, rows in table.groupby("image_name")]
    variance = np.mean([np.mean(of**2) for of in of_images]) - np.mean([of.mean() for of in of_images]) ** 2
    assert found["explainable_share"] == pytest.approx(shared / variance, abs=1e-12)


def test_units_without_a_response_have_none_whatever_their_drift() -> None:
    steady = [drawn(np.random.default_rng([3, unit]), lambda _times: 8.0) for unit in range(40)]
    wander = [drawn(np.random.default_rng([4, unit]), drifting(unit)) for unit in range(40)]
    for trains in (steady, wander):
        found = reliability(*as_spikes(trains), flashes())
        assert abs(found["split_half"].mean()) < 0.03
        assert abs(found["stability_halves"].mean()) < 0.05
        assert abs(found["explainable_share"]).max() < 0.01


def test_halves_of_single_flashes_take_drift_for_a_response() -> None:
    """The test of the test: what the runs are for."""
    wander = as_spikes([drawn(np.random.default_rng([4, unit]), drifting(unit)) for unit in range(40)])
    singly = flashes().assign(run=np.arange(N_RUNS * PER_RUN))
    assert reliability(*wander, singly)["split_half"].mean() > 0.1


def test_a_response_repeats_and_what_it_explains_is_what_it_is() -> None:
    shown = flashes()
    trains = [
        drawn(np.random.default_rng([5, unit]), responding(shown, ("im0", "im2"), 40)) for unit in range(8)
    ]
    found = reliability(*as_spikes(trains), shown)
    assert (found["split_half"] > 0.8).all()
    assert (found["spearman_brown"] > found["split_half"]).all()
    rate = np.zeros((4, 30))
    rate[[0, 2], 2:6] = 40  # 50 to 150 ms
    mean = (5 + rate) * 0.025
    expected = mean.var() / (mean.var() + mean.mean())  # of Poisson counts
    assert found["explainable_share"].mean() == pytest.approx(expected, rel=0.1)


def test_a_response_that_fades_is_reliable_and_not_stable() -> None:
    shown = flashes()
    early = responding(shown[shown["run"] < N_RUNS // 2], ("im0", "im1", "im2", "im3"), 40)
    found = reliability(*as_spikes([drawn(np.random.default_rng(6), early)]), shown)
    assert found["split_half"][0] > 0.7
    assert found["stability_halves"][0] < 0.3


def test_units_do_not_depend_on_one_another() -> None:
    trains = [drawn(np.random.default_rng([7, unit]), lambda _times: 8.0) for unit in range(3)]
    one = reliability(*as_spikes(trains), flashes(), seed=3)
    other = reliability(*as_spikes(trains[::-1]), flashes(), seed=3)
    pd.testing.assert_frame_equal(one, other.iloc[::-1].reset_index(drop=True))
    assert not one.equals(reliability(*as_spikes(trains), flashes(), seed=4))


def test_what_cannot_be_said_is_missing() -> None:
    train = drawn(np.random.default_rng(1), lambda _times: 8.0)
    spikes = as_spikes([train])
    measures = ["split_half", "spearman_brown", "explainable_share", "stability_halves"]
    for shown in (
        flashes().iloc[:0],
        flashes().iloc[:PER_RUN],  # a single run
        flashes().iloc[:9].assign(run=np.arange(9)),  # too few flashes
    ):
        found = reliability(*spikes, shown)
        assert found[measures].isna().all(axis=None)
        assert found["n_images"].eq(0).all()
    silent = reliability(np.empty(0), [0], [0], flashes())
    assert silent[measures].isna().all(axis=None)
    # Of the spikes of a single run, one half has none.
    once = np.sort(flashes().loc[flashes()["run"] == 0, "start_time"].to_numpy().repeat(20))
    assert (
        reliability(*as_spikes([once + 0.1]), flashes())[measures].isna().all(axis=None)
    )  # one half is empty
    assert reliability([], [], [], flashes()).empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"bin_width_s": 0.04},
        {"bin_width_s": 0},
        {"bin_width_s": 1.0},
        {"splits": 0},
        {"min_spikes": 0},
        {"seed": -1},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        ReliabilityParameters(**wrong)
