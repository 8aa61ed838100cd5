from __future__ import annotations

import doctest
import itertools
from typing import Any

import numpy as np
import pytest

from vbn.analysis.spikes import edges, presentation_counts
from vbn.analysis.spikes.presentation_counts import (
    COUNT_WINDOWS,
    CountWindow,
    count_presentations,
    known_counts,
    millisecond_spikes,
)
from vbn.analysis.spikes.trains import SpikePieces
from vbn.analysis.spikes.windows import BINS, SPIKES, CountedSpikes, count_in_windows


def published_tensor(train: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The rule of Bennett et al. 2025, ``make_unit_tensor``, in other words."""
    edges = np.arange(0, 0.75 + 0.001, 0.001)
    rows = []
    for start in starts:
        first, last = np.searchsorted(train, [start, start + 0.75])  # not the spike at start + 0.75
        rows.append(np.histogram(train[first:last] - start, edges)[0] > 0)
    return np.array(rows).reshape(len(starts), 750)


@pytest.fixture(params=range(4))
def world(request: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two units, of which the first fires on edges of bins and windows, and in bursts; unsorted, overlapping
    presentations."""
    rng = np.random.default_rng(request.param)
    starts = rng.permutation(np.round(rng.uniform(0, 40, 60), 3 + request.param))
    shifts = np.array([-0.5, -0.25, -0.08, 0, 0.02, 0.05, 0.1, 0.25, 0.3, 0.67, 0.7, 0.749, 0.75, 0.7506])
    edges = (starts[:, np.newaxis] + shifts).ravel()
    near = [np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)]
    bursts = (rng.uniform(0, 40, 200)[:, np.newaxis] + np.arange(6) * 4e-4).ravel()
    first = np.sort(np.concatenate([*near, bursts, np.round(rng.uniform(0, 41, 3000), 4)]))
    second = np.sort(rng.uniform(0, 41, 300))
    n_spikes = np.array([first.size, second.size])
    return np.concatenate([first, second]), np.array([0, first.size]), n_spikes, starts


def test_the_tensor_is_the_published_one_bin_by_bin(world: Any) -> None:
    times, offsets, n_spikes, starts = world
    tensor = millisecond_spikes(*world)
    for unit, (offset, n) in enumerate(zip(offsets, n_spikes, strict=True)):
        expected = published_tensor(times[offset : offset + n], starts)
        np.testing.assert_array_equal(tensor[unit], expected)


@pytest.mark.parametrize("many_edges", [1, 10**6], ids=["by_cells", "by_search"])
def test_counts_are_those_of_each_window_and_of_the_tensor(
    world: Any, many_edges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, offsets, n_spikes, starts = world
    expected = [
        millisecond_spikes(*world)[..., slice(*window.bins)].sum(axis=2)
        if window.counted == BINS
        else count_in_windows(times, offsets, n_spikes, starts, window.window_s)
        for window in COUNT_WINDOWS
    ]
    monkeypatch.setattr(edges, "MANY_EDGES", many_edges)
    monkeypatch.setattr(edges, "SPIKES_PER_EDGE", 100)
    found = count_presentations(*world)
    assert {each.dtype for each in found} == {np.dtype(np.uint8)}
    for counts, of_window in zip(found, expected, strict=True):
        np.testing.assert_array_equal(counts, of_window)


@pytest.mark.parametrize(("n", "dtype"), [(255, np.uint8), (256, np.uint16), (65536, np.uint32)])
def test_counts_that_do_not_fit_take_a_wider_type(n: int, dtype: type) -> None:
    times = np.concatenate([np.linspace(1.01, 1.2, n), [1.0, 2.1]])
    (counts,) = count_presentations(times, [0, n], [n, 2], [1.0, 2.0], [CountWindow("flash", 0.0, 0.25)])
    assert counts.tolist() == [[n, 0], [1, 1]]
    assert counts.dtype == dtype


def test_a_burst_of_more_spikes_than_a_byte_counts_is_counted_wherever_it_begins() -> None:
    """Bytes are used where no 256 spikes can be in one window, told by blocks of 128 spikes."""
    window = [CountWindow("flash", 0.0, 0.25)]
    for n_before, n in itertools.product([0, 1, 100, 127, 128, 200], [255, 256, 300]):
        before = np.linspace(0.0, 99.0, n_before)
        train = np.concatenate([before, np.linspace(100.0, 100.249, n), [101.0]])
        (counts,) = count_presentations(train, [0], [train.size], [100.0, 101.0], window)
        assert counts.tolist() == [[n, 1]], n_before


def test_without_units_spikes_or_presentations_there_is_nothing_to_count() -> None:
    assert [each.shape for each in count_presentations([], [], [], [1.0])] == [(0, 1)] * len(COUNT_WINDOWS)
    assert {each.sum() for each in count_presentations([], [0], [0], [1.0, 2.0])} == {0}
    assert {each.shape for each in count_presentations([1.0], [0], [1], [])} == {(1, 0)}
    assert millisecond_spikes([1.0], [0], [1], []).shape == (1, 0, 750)


def test_known_counts_are_taken_only_for_the_same_units_events_and_windows() -> None:
    times, offsets, n_spikes, starts = (
        np.array([0.1, 1.1, 1.2, 2.05]),
        [0, 3],
        [3, 1],
        np.array([2.0, 1.0, 0.0]),
    )
    marked = {(0.0, 0.5, SPIKES): 100, (0.0, 0.5, BINS): 200}  # no real counts, so that one sees their use
    known = {
        key: lambda mark=mark: np.arange(mark, mark + 6, dtype=np.uint8).reshape(2, 3)
        for key, mark in marked.items()
    }
    spikes = CountedSpikes(SpikePieces([times]), offsets, n_spikes, starts, known)
    assert count_in_windows(spikes, offsets, n_spikes, [0.0, 2.0], (0.0, 0.5)).tolist() == [
        [102, 100],
        [105, 103],
    ]
    (bins,) = known_counts(spikes, offsets, n_spikes, [1.0], [CountWindow("bins", 0.0, 0.5, BINS)])
    assert bins.tolist() == [[201], [204]]
    assert count_in_windows(spikes, offsets, n_spikes, [], (0.0, 0.5)).shape == (2, 0)
    others: list[tuple[Any, ...]] = [
        (offsets, n_spikes, [0.0, 1.5], (0.0, 0.5)),  # another event
        (offsets, n_spikes, [np.nextafter(1.0, 2)], (0.0, 0.5)),
        (offsets, n_spikes, [9.0], (0.0, 0.5)),
        (offsets, n_spikes, [1.0], (0.0, 0.25)),  # another window
        (offsets[:1], n_spikes[:1], [1.0], (0.0, 0.5)),  # other units
        (offsets, [2, 1], [1.0], (0.0, 0.5)),
    ]
    for question in others:
        np.testing.assert_array_equal(count_in_windows(spikes, *question), count_in_windows(times, *question))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (("", 0.0, 0.1), "1 to 32 characters"),
        (("x", 0.1, 0.1), "start < stop"),
        (("x", 0.0, float("nan")), "start < stop"),
        (("x", 0.0, 0.1, "trials"), "'spikes' or 'bins'"),
        (("x", 0.0005, 0.1, "bins"), "whole milliseconds"),
        (("x", -0.08, 0.0, "bins"), "whole milliseconds"),
        (("x", 0.5, 0.751, "bins"), "whole milliseconds"),
    ],
)
def test_a_window_that_cannot_be_counted_is_refused(fields: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CountWindow(*fields)


def test_the_windows_of_the_package_have_names_and_bounds_of_their_own() -> None:
    for one, other in itertools.combinations(COUNT_WINDOWS, 2):
        assert one.name != other.name
        assert (one.window_s, one.counted) != (other.window_s, other.counted)


def test_examples() -> None:
    assert doctest.testmod(presentation_counts).failed == 0
