"""Functional connectivity: planted synapses are found, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from vbn.analysis.interactions.connectivity import (
    N_BINS,
    Coincidences,
    Connectivity,
    ConnectivityParameters,
    Expected,
    FlashTrains,
    area_peaks,
    correlograms,
    flash_trains,
    functional_connectivity,
)

N_FLASHES, PERIOD_S = 300, 0.7506
STARTS = 10 + PERIOD_S * np.arange(N_FLASHES)
NAMES = np.array([f"im{number:03}" for number in range(4)], dtype=object)[np.arange(N_FLASHES) // 5 % 4]
FLASHES = pd.DataFrame({"start_time": STARTS, "image_name": NAMES})
END_S = STARTS[-1] + 5
FEW = ConnectivityParameters(min_expected=20)
Trains = list[np.ndarray]


def poisson(rng: np.random.Generator, rate_hz: float) -> np.ndarray:
    return np.sort(rng.uniform(0, END_S, rng.poisson(rate_hz * END_S)))


def driven(rng: np.random.Generator, train: np.ndarray, weight: float, delay_s: float = 0.003) -> np.ndarray:
    """Return the spikes that a synapse adds: one of each spike with a probability, after a delay."""
    hit = rng.random(train.size) < weight
    return np.asarray(train[hit] + delay_s + rng.normal(0, 0.0003, hit.sum()))


def as_spikes(trains: Trains) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = np.array([train.size for train in trains], dtype=np.int64)
    return np.concatenate([*trains, np.empty(0)]), np.cumsum(sizes) - sizes, sizes


def connected(trains: Trains, parameters: ConnectivityParameters = FEW, **changed: Any) -> Connectivity:
    n = len(trains)
    fields: dict[str, Any] = {
        "flashes": FLASHES, "probes": ["probeA", "probeB"] * n, "positions_um": 40.0 * np.arange(n),
        "parameters": parameters,
    }  # fmt: skip
    fields["probes"] = fields["probes"][:n]
    return functional_connectivity(*as_spikes(trains), **{**fields, **changed})


def drawn(n_units: int, seed: int = 0, n_flashes: int = 40) -> FlashTrains:
    """Return trains with some response to images, of few flashes."""
    rng = np.random.default_rng(seed)
    flashes = FLASHES.iloc[:n_flashes]
    starts = flashes["start_time"].to_numpy()
    trains = [
        np.sort(np.append(poisson(rng, 12), rng.choice(starts, 60) + rng.uniform(0.05, 0.08, 60)))
        for _ in range(n_units)
    ]
    return flash_trains(*as_spikes(trains), flashes, 2)


def test_the_correlogram_is_that_of_a_plain_double_loop() -> None:
    trains = drawn(3)
    places = [
        [(flash, place) for flash, place in zip(trains.flash[of], trains.of_bin[of], strict=True)]
        for of in (trains.unit == unit for unit in range(3))
    ]
    longest = 100
    for one, other in ((0, 1), (1, 2)):
        counts = np.zeros(2 * longest + 1)
        for flash, place in places[one]:
            for later_flash, later in places[other]:
                if flash == later_flash and abs(later - place) <= longest:
                    counts[later - place + longest] += 1
        pair = np.array([one]), np.array([other])
        assert np.array_equal(correlograms(trains, *pair, longest)[0], counts)
        found = Coincidences(trains, [(-100, -50), (-10, 10), (50, 100)]).of_unit(one)[other]
        chosen = np.r_[0:51, 90:111, 150:201]
        assert np.array_equal(found[chosen], counts[chosen])
        assert found.sum() == counts[chosen].sum()


def test_spikes_are_in_the_bins_of_their_flashes_only() -> None:
    train = np.array([9.9, STARTS[0], STARTS[0] + 0.0014, STARTS[0] + 0.7502, STARTS[1] + 0.7499])
    found = flash_trains(*as_spikes([train]), FLASHES, 20)
    assert found.flash.tolist() == [0, 0, 1]
    assert found.of_bin.tolist() == [0, 1, 749]


def test_the_closed_form_is_the_mean_over_many_jitters() -> None:
    trains = drawn(2, seed=3)
    pair = np.array([0]), np.array([1])
    jitters = [correlograms(trains.jittered(25, seed), *pair, 60)[0] for seed in range(400)]
    expected = Expected(trains, 25).of_pairs(*pair, 60)[0]
    error = np.std(jitters, axis=0) / np.sqrt(len(jitters))
    assert np.abs((np.mean(jitters, axis=0) - expected) / error).max() < 4.5
    assert np.std(jitters, axis=0).min() > 0
    assert np.mean(jitters, axis=0).sum() == pytest.approx(expected.sum(), rel=0.01)


@pytest.mark.parametrize("by_image", [True, False])
def test_all_pairs_at_once_are_as_each_pair_alone(by_image: bool) -> None:
    trains = drawn(5, seed=4)
    expected = Expected(trains, 25, by_image=by_image)
    lags = [-100, -76, -30, -3, 0, 4, 25, 60]
    found = expected.of_rows(slice(1, 3), slice(1, 5), lags)
    for row, column in np.argwhere(np.ones((2, 4))).tolist():
        alone = expected.of_pairs(np.array([1 + row]), np.array([1 + column]), 100)[0]
        np.testing.assert_allclose(found[:, row, column], alone[np.array(lags) + 100], rtol=1e-4, atol=1e-4)


def test_jitter_keeps_numbers_in_windows_and_mean_responses() -> None:
    trains = drawn(4, seed=5)
    other = trains.jittered(25, 1)
    cells = [np.stack([each.unit, each.flash, each.of_bin // 25]) for each in (trains, other)]
    assert np.array_equal(*cells)
    of_image = [
        np.unique(np.stack([each.unit, each.image[each.flash], each.of_bin]), axis=1, return_counts=True)
        for each in (trains, other)
    ]
    assert all(np.array_equal(first, second) for first, second in zip(*of_image, strict=True))
    assert (trains.of_bin != other.of_bin).mean() > 0.5
    assert np.array_equal(trains.jittered(25, 1).of_bin, other.of_bin)


def test_planted_synapses_are_found_with_their_direction() -> None:
    rng = np.random.default_rng(0)
    n = 24
    trains = [poisson(rng, rng.uniform(5, 15)) for _ in range(n)]
    planted = {}
    for pre in range(0, n, 4):
        for post, weight in ((pre + 1, 0.08), (pre + 3, 0.08)):
            one, other = (pre, post) if pre % 8 else (post, pre)  # in both directions
            trains[other] = np.sort(np.append(trains[other], driven(rng, trains[one], weight)))
            planted[min(one, other), max(one, other)] = 0.003 if one < other else -0.003
    found = connected(trains)
    assert found.is_tested.sum() == n * (n - 1) // 2
    lags = found.peaks.set_index(["first", "second"])["lag_s"].to_dict()
    hits = [lags[pair] == pytest.approx(lag, abs=0.0011) for pair, lag in planted.items() if pair in lags]
    assert len(hits) / len(planted) >= 0.8
    assert all(hits)
    # Two targets of one unit fire together as well, half of whose peaks are high enough.
    assert {pair for pair in lags if pair not in planted} <= {
        (first, second) for first in range(n) for second in range(n) if first // 4 == second // 4
    }
    assert found.n_surrogate_peaks == 0
    row = found.peaks.iloc[0]
    column = found.counts.shape[1] // 2 + round(1000 * row["lag_s"])
    assert found.counts[0, column] == row["n_coincidences"]
    assert found.expected[0, column] == pytest.approx(row["n_expected"])


def independent(rng: np.random.Generator, _unit: int) -> np.ndarray:
    return poisson(rng, rng.uniform(4, 15))


def drifting(rng: np.random.Generator, _unit: int) -> np.ndarray:
    shared = np.random.default_rng(99).standard_normal(int(END_S / 20) + 2)
    train = poisson(rng, 24)
    rate = np.exp(0.5 * np.interp(train / 20, np.arange(shared.size), shared)) / 4
    return train[rng.random(train.size) < rate]


def locked(rng: np.random.Generator, _unit: int) -> np.ndarray:
    """Respond to each flash in 20 ms, of each image 6 ms later than of the one before."""
    latency = {name: 0.05 + 0.006 * number for number, name in enumerate(np.unique(NAMES))}
    times = STARTS + np.array([latency[name] for name in NAMES]) + rng.uniform(0, 0.02, N_FLASHES)
    return np.sort(np.append(poisson(rng, 3), times[rng.random(N_FLASHES) < 0.8]))


def refractory(rng: np.random.Generator, _unit: int) -> np.ndarray:
    times = np.cumsum(0.02 + rng.exponential(0.05, int(END_S / 0.05)))
    return times[times < END_S]


def bursty(rng: np.random.Generator, _unit: int) -> np.ndarray:
    first = np.repeat(poisson(rng, 4), 3)
    return np.sort(first + rng.exponential(0.008, first.size))


@pytest.mark.parametrize("draw", [independent, drifting, locked, refractory, bursty])
def test_units_without_connections_have_no_peaks(
    draw: Callable[[np.random.Generator, int], np.ndarray],
) -> None:
    trains = [draw(np.random.default_rng([7, unit]), unit) for unit in range(46)]
    found = connected(trains)
    assert found.is_tested.sum() > 1000
    assert len(found.peaks) == found.n_surrogate_peaks == 0  # of a thousand pairs: less than .1 %


@pytest.mark.simulation
def test_a_hill_that_jitter_leaves_of_what_units_share_for_thirty_milliseconds_is_no_peak() -> None:
    rng = np.random.default_rng(0)
    starts = 1 + PERIOD_S * np.arange(1800)
    step_s, keep = 0.002, np.exp(-0.002 / 0.03)
    n = round((starts[-1] + 1) / step_s)
    shared = lfilter([np.sqrt(1 - keep**2)], [1, -keep], rng.standard_normal(n))
    rate = 40 * np.exp(0.7 * shared - 0.7**2 / 2)
    trains = []
    for _ in range(7):
        number = rng.poisson(rate * step_s)
        at = np.repeat(np.arange(n), number)
        trains.append(np.sort((at + rng.random(at.size)) * step_s))
    flashes = pd.DataFrame({"start_time": starts, "image_name": rng.choice(["a", "b"], starts.size)})
    apart = (["A"] * 7, 200.0 * np.arange(7))
    found = functional_connectivity(*as_spikes(trains), flashes, *apart)
    assert found.is_tested.sum() == 21
    assert len(found.peaks) == 0  # a third of them stand seven deviations above what is expected
    at_will = ConnectivityParameters(beside_s=(0.049, 0.049))
    assert len(functional_connectivity(*as_spikes(trains), flashes, *apart, at_will).peaks) > 3


def test_slow_and_rare_units_are_not_tested() -> None:
    rng = np.random.default_rng(1)
    trains = [poisson(rng, 1.5), poisson(rng, 3), poisson(rng, 3), poisson(rng, 20)]
    found = connected(trains, ConnectivityParameters(min_expected=100))
    assert found.is_used.tolist() == [False, True, True, True]
    assert found.is_tested.tolist() == [[False, False, True], [False, False, True], [False, False, False]]


def test_of_neighbours_spikes_at_once_do_not_count() -> None:
    rng = np.random.default_rng(2)
    one = poisson(rng, 10)
    same = np.sort(np.append(poisson(rng, 10), driven(rng, one, 0.2, 0.0)))
    later = np.sort(np.append(poisson(rng, 10), driven(rng, one, 0.2, 0.004)))
    places: dict[str, Any] = {"probes": ["probeA"] * 3, "positions_um": [0.0, 20.0, 40.0]}
    near = connected([one, same, later], **places).peaks  # the third follows what the others share
    assert near[["first", "second", "lag_s"]].to_numpy().tolist() == [[0, 2, 0.004], [1, 2, 0.004]]
    places["positions_um"] = [0.0, 200.0, 400.0]
    assert len(connected([one, same, later], **places).peaks) == 3
    places["positions_um"] = [np.nan] * 3  # where it is not known, they may be neighbours
    assert len(connected([one, same, later], **places).peaks) == 2


def test_peaks_are_counted_by_structures_in_both_orders() -> None:
    peaks = pd.DataFrame(
        {"first": [0, 0, 1, 2], "second": [2, 3, 3, 3], "lag_s": [0.002, -0.003, 0.0, 0.001]}
    )
    tested = np.triu(np.ones((4, 4), dtype=bool), 1)
    empty = np.empty((4, 201))
    found = Connectivity(np.ones(4, dtype=bool), tested, peaks, empty, empty, 0, 9)
    places: tuple[Any, Any, Any] = (["VISp", "VISp", "LP", "LP"], list("aabb"), [0.0, 100.0, 0.0, 10.0])
    rows = area_peaks(found, *places).set_index(["first", "second"])
    assert rows.loc[("VISp", "LP")].tolist() == [4, 3, 1, 1, 0.0]
    assert rows.loc[("LP", "VISp")].tolist() == [4, 3, 1, 1, 0.0]
    assert rows.loc[("VISp", "VISp")].tolist()[:2] == [1, 0]
    assert rows.loc[("VISp", "VISp")].iloc[2:].isna().all()  # which of them is the first says nothing
    assert ("LP", "LP") not in rows.index  # neighbours only
    nowhere = area_peaks(found, [None, "VISp", np.nan, "LP"], *places[1:])
    assert nowhere[["first", "second", "n_pairs", "n_peaks"]].to_numpy().tolist() == [
        ["LP", "VISp", 1, 1],
        ["VISp", "LP", 1, 1],
    ]


@pytest.mark.parametrize("n_units", [0, 1, 2])
@pytest.mark.parametrize("n_flashes", [0, 3, N_FLASHES])
def test_sessions_in_which_there_is_nothing_to_find(n_units: int, n_flashes: int) -> None:
    rng = np.random.default_rng(5)
    trains = [poisson(rng, 8) for _ in range(n_units)]
    found = connected(trains, flashes=FLASHES.iloc[:n_flashes])
    assert found.n_flashes == (n_flashes if n_flashes > 3 else 0)  # too few of an image
    assert (len(found.peaks), found.n_surrogate_peaks) == (0, 0)
    assert found.is_tested.sum() == (n_units == 2 and n_flashes > 3)
    assert area_peaks(found, ["VISp"] * n_units, ["a"] * n_units, [0.0] * n_units).empty
    silent = connected([np.empty(0)] * n_units, flashes=FLASHES.iloc[:n_flashes])
    assert not silent.is_used.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_z": 0.0}, "min_z"),
        ({"max_lag_s": 0.06}, "max_lag_s"),
        ({"flank_s": (0.1, 0.05)}, "flank_s"),
        ({"jitter_s": 0.02}, "jitter_s"),
        ({"jitter_s": 0.005}, "jitter_s"),
        ({"censored_lag_s": 0.02}, "censored_lag_s"),
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConnectivityParameters(**changes)


def test_windows_of_jitter_fill_a_flash() -> None:
    assert N_BINS % ConnectivityParameters().jitter_bins == 0
