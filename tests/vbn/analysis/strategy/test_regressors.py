"""What is known at each flash: Piet's rules of bouts, checked by a plain loop and by the table of flashes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.vbn.analysis.strategy.mice import FLASH_S, mouse, task
from vbn.analysis.strategy.regressors import (
    BIAS,
    OMISSION,
    POST_OMISSION,
    REGRESSORS,
    TASK,
    TIMING,
    flash_licking,
    regressors,
    task_flashes,
    timing,
)
from vbn.analysis.task.licking import lick_bouts

GAP_S = 0.7


def random_licks(seed: int, starts: np.ndarray) -> np.ndarray:
    """Licks of all kinds: long bouts, single licks, some on the very start of a flash, some outside."""
    rng: Any = np.random.default_rng(seed)
    stop = starts[-1] + 3
    long = np.concatenate([t + 0.12 * np.arange(rng.integers(1, 30)) for t in rng.uniform(5, stop, 12)])
    return np.concatenate([long, rng.uniform(5, stop, 20), rng.choice(starts, 5)])


def by_loop(starts: np.ndarray, licks: np.ndarray) -> list[tuple[bool, bool, int]]:
    """Go through the flashes one by one: bout_start, in_bout, since_bout."""
    licks = np.sort(licks[(licks > starts[0]) & (licks <= starts[-1] + 0.75)])
    bouts = [(row.start_time, row.stop_time) for row in lick_bouts(licks, gap_s=GAP_S).itertuples()]
    rows = []
    last_end = -1
    for at, start in enumerate(starts):
        stop = starts[at + 1] if at + 1 < len(starts) else start + 0.75
        begins = any(start < first <= stop for first, _ in bouts)
        goes_on = any(first <= start and last > start for first, last in bouts)
        rows.append((begins, goes_on and not begins, at - last_end))
        if any(start < last <= stop for _, last in bouts):
            last_end = at
    return rows


@pytest.mark.parametrize("seed", range(25))
def test_flashes_are_those_of_a_plain_loop(seed: int) -> None:
    starts = 10 + FLASH_S * np.arange(120)
    licks = random_licks(seed, starts)
    table = flash_licking(starts, licks, GAP_S)
    assert list(table[["bout_start", "in_bout", "since_bout"]].itertuples(index=False, name=None)) == by_loop(
        starts, licks
    )
    # What the source asserts:
    inside = licks[(licks > starts[0]) & (licks <= starts[-1] + 0.75)]
    licked = np.unique(np.searchsorted(starts, inside, side="left") - 1)
    assert set(np.flatnonzero(table["bout_start"])) <= set(licked)
    assert not (table["bout_start"] & table["in_bout"]).any()
    assert set(np.flatnonzero(table["bout_end"])) <= set(licked)


def test_bouts_begin_where_the_table_of_flashes_says(synthetic_session_like: tuple) -> None:
    flashes, licks = synthetic_session_like
    table = flash_licking(flashes["start_time"], licks, GAP_S)
    np.testing.assert_array_equal(table["bout_start"], flashes["lick_for_flash"])


@pytest.fixture
def synthetic_session_like() -> tuple:
    """What `flash_behavior` says of a mouse's task, without licks outside of it."""
    import pandas as pd

    from vbn.analysis.task.flash_behavior import flash_behavior

    made = mouse(400, 3, {"bias": -1.0, "task0": 2.0})
    shown = made.flashes.assign(
        image_name=np.where(made.flashes["omitted"], "omitted", "im061_r"), rewarded=False
    )
    trials = pd.DataFrame({"start_time": [0.0], "stop_time": [400.0]})
    for name in ("go", "catch", "hit", "miss", "false_alarm", "correct_reject", "aborted", "auto_rewarded"):
        trials[name] = False
    trials["lick_times"] = pd.Series([None], dtype=object)
    trials = trials.assign(change_time=np.nan, reward_volume=0.0, is_change=False)
    return flash_behavior(shown, trials, made.lick_times, GAP_S), made.lick_times


def test_the_licks_of_a_flash_do_not_tell_its_time() -> None:
    """A bout that begins and ends in a flash leaves the regressor of that flash as it was."""
    starts = 10 + FLASH_S * np.arange(20)
    once, twice = starts[5] + 0.3, starts[12] + 0.3
    table = flash_licking(starts, [once, twice], GAP_S)
    assert table["since_bout"].tolist() == [*range(1, 7), *range(1, 8), *range(1, 8)]


def test_timing_is_the_published_curve() -> None:
    assert timing([1, 2, 4, 8, 40]).tolist() == pytest.approx([-1, -32 / 33, -0.5, -1 / 33, 0])
    rising = timing(np.arange(1, 60))
    assert (np.diff(rising) >= 0).all()
    assert rising.min() == -1
    assert rising.max() == 0


def test_regressors_are_made_before_flashes_are_left_out_and_centred_after() -> None:
    made = mouse(600, 1, {"bias": -1.0}, long_bouts=0.8)
    licking = flash_licking(made.flashes["start_time"], made.lick_times, GAP_S)
    rows = regressors(made.flashes, licking)
    assert rows.names == list(REGRESSORS)
    assert 0 < rows.kept.sum() < len(made.flashes)
    assert rows.x[:, 0].tolist() == [1.0] * rows.kept.sum()
    np.testing.assert_allclose(rows.x[:, 1:].mean(axis=0), 0, atol=1e-12)
    omitted = made.flashes["omitted"].to_numpy()
    after = np.append(False, omitted[:-1])[rows.kept]
    column = rows.x[:, rows.names.index(POST_OMISSION)]
    assert set(np.flatnonzero(column > 0)) == set(np.flatnonzero(after))
    np.testing.assert_array_equal(rows.without(TASK), np.delete(rows.x, 3, axis=1))


def test_a_regressor_that_never_varies_is_left_out_and_said_why() -> None:
    made = mouse(200, 1, {"bias": -1.0}, omitted=0)
    licking = flash_licking(made.flashes["start_time"], made.lick_times, GAP_S)
    rows = regressors(made.flashes.assign(is_change=False), licking)
    assert rows.names == [BIAS, TIMING]
    assert rows.missing == {OMISSION: "no omissions", POST_OMISSION: "no omissions", TASK: "no changes"}


def test_omissions_before_the_first_image_and_the_replay_are_no_flashes_of_the_task() -> None:
    flashes = task(10, 1).assign(omitted=[True, True, False, *[False] * 7])
    flashes["active"] = [True] * 6 + [False] * 4
    assert task_flashes(flashes).index.tolist() == [9, 10, 11, 12]
    assert task_flashes(flashes.iloc[:0]).empty


@pytest.mark.parametrize("n_flashes", [0, 1, 2])
def test_hardly_any_flashes(n_flashes: int) -> None:
    starts = 10 + FLASH_S * np.arange(n_flashes)
    table = flash_licking(starts, [10.1, 10.2], GAP_S)
    assert len(table) == n_flashes
    assert table["bout_start"].sum() == min(n_flashes, 1)
    flashes = task(3, 1).iloc[:n_flashes]
    assert regressors(flashes, table).x.shape[0] == n_flashes


def test_what_happens_within_bouts_only_is_not_said_to_be_absent() -> None:
    made = mouse(200, 1, {"bias": -1.0})
    licking = flash_licking(made.flashes["start_time"], made.lick_times, GAP_S)
    within = np.flatnonzero(licking["in_bout"].to_numpy())
    assert within.size
    changes = np.isin(np.arange(len(made.flashes)), within)
    rows = regressors(made.flashes.assign(is_change=changes), licking)
    assert rows.missing[TASK] == "all changes are within bouts of licks"
