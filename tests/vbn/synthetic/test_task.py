"""The rules of the task, on any seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.synthetic.task import (
    FLASHES_AFTER_CHANGE,
    SimulatedMouse,
    change_kinds,
    change_licks,
    change_wait,
    count_since_change,
    draw_mouse,
    draw_omissions,
    lay_flashes,
    lick_bout,
    plan_trials,
    spread_outcomes,
)

SEEDS = st.integers(0, 2**32 - 1)


def played(seed: int, n_flashes: int = 400) -> tuple:
    rng = np.random.default_rng(seed)
    plans = plan_trials(rng, draw_mouse(rng, novel=False), n_flashes, n_auto=2, catch_every=8)
    return plans, lay_flashes(rng, plans)


@given(SEEDS)
@settings(max_examples=30)
def test_trials_follow_each_other_and_keep_to_the_block(seed: int) -> None:
    plans, flashes = played(seed)
    assert plans[0].start_flash == 0
    assert [plan.next_flash for plan in plans[:-1]] == [plan.start_flash for plan in plans[1:]]
    assert len(flashes) == plans[-1].next_flash <= 400


@given(SEEDS)
@settings(max_examples=30)
def test_the_image_changes_exactly_where_a_trial_says_so(seed: int) -> None:
    plans, flashes = played(seed)
    changes = np.flatnonzero(np.diff(flashes.image)) + 1
    assert changes.tolist() == np.flatnonzero(flashes.is_change).tolist()
    assert changes.tolist() == [p.change_flash for p in plans if p.kind in ("hit", "miss", "auto")]
    assert np.flatnonzero(flashes.is_sham_change).tolist() == [
        p.change_flash for p in plans if p.kind in ("fa", "cr")
    ]
    for plan, after in pairwise(plans):
        assert plan.change_image == after.initial_image


@given(SEEDS)
@settings(max_examples=30)
def test_the_change_comes_5_to_11_flashes_after_the_start(seed: int) -> None:
    plans, _ = played(seed)
    waits = [plan.change_flash - plan.start_flash for plan in plans if plan.change_flash is not None]
    assert min(waits) >= 5
    assert max(waits) <= 11


def test_short_waits_are_more_frequent() -> None:
    """Geometric with p = 0.3: each flash more has 0.7 times the probability."""
    rng = np.random.default_rng(0)
    waits = np.array([change_wait(rng) for _ in range(20_000)])
    counts = np.bincount(waits, minlength=12)[5:]
    assert counts[1:] / counts[:-1] == pytest.approx(np.full(6, 0.7), abs=0.08)


@given(SEEDS)
@settings(max_examples=30)
def test_an_aborted_trial_has_its_lick_before_any_change_could_come(seed: int) -> None:
    plans, _ = played(seed)
    for plan in plans:
        if plan.kind == "aborted":
            assert plan.change_flash is None
            assert plan.change_image == plan.initial_image
            assert 0 < plan.licks_s[0] < 11 * 0.7507
            assert plan.licks_s[-1] < plan.licks_s[0] + 0.45


@given(SEEDS, st.sampled_from(["hit", "miss", "fa", "cr", "auto"]))
@settings(max_examples=100)
def test_licks_make_the_outcome(seed: int, kind: str) -> None:
    licks = np.array(change_licks(np.random.default_rng(seed), kind))
    # A lick counts at the next frame, up to 17 ms later; the outcome must not hang on that.
    early, late = licks > 0.15, licks < 0.75 - 0.017
    in_window = bool((early & late).any())
    assert (np.diff(licks) > 0).all()
    assert in_window == (kind in ("hit", "fa", "auto"))
    assert not ((licks > 0.13) & (licks < 0.15)).any()
    assert kind != "cr" or len(licks) == 0


@given(SEEDS)
@settings(max_examples=50)
def test_all_licks_come_before_the_next_trial(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for kind in ("hit", "miss", "fa", "auto"):
        assert all(lick < FLASHES_AFTER_CHANGE * 0.75 - 0.3 for lick in change_licks(rng, kind))


@given(SEEDS, st.floats(0.02, 0.98), st.integers(0, 200), st.integers(1, 9))
@settings(max_examples=100)
def test_outcomes_have_the_wanted_share(seed: int, share: float, n: int, block: int) -> None:
    drawn = spread_outcomes(np.random.default_rng(seed), share, n, phase=0.5, block=block)
    assert drawn.shape == (n,)
    assert abs(drawn.sum() - share * n) <= 1


def test_one_trial_in_eight_is_a_catch_trial_and_never_the_first_of_its_eight() -> None:
    mouse = SimulatedMouse(hit=0.75, false_alarm=0.2, abort=0.3)
    kinds = np.array(change_kinds(np.random.default_rng(3), mouse, 803, n_auto=3, catch_every=8))
    assert kinds[:3].tolist() == ["auto"] * 3
    groups = np.isin(kinds[3:], ["fa", "cr"]).reshape(100, 8)
    assert (groups.sum(axis=1) == 1).all()
    assert not groups[:, 0].any()
    assert (kinds == "fa").sum() == pytest.approx(20, abs=1)
    assert (kinds == "hit").sum() / np.isin(kinds, ["hit", "miss"]).sum() == pytest.approx(0.75, abs=0.04)


@given(SEEDS)
@settings(max_examples=50)
def test_omissions_keep_away_from_changes_and_from_each_other(seed: int) -> None:
    _, flashes = played(seed, n_flashes=200)
    keep = flashes.is_change | flashes.is_sham_change
    omitted = np.flatnonzero(flashes.omitted)
    assert len(omitted)
    assert omitted[0] > 0
    assert not keep[omitted].any()
    assert not keep[np.minimum(omitted + 1, len(keep) - 1)].any()
    assert (np.diff(omitted) > 1).all()


def test_about_one_flash_in_twenty_is_omitted_where_it_may_be() -> None:
    omitted = draw_omissions(np.random.default_rng(1), np.zeros(20_000, dtype=bool))
    assert omitted.mean() == pytest.approx(0.0475, abs=0.005)


def test_nothing_is_omitted_where_nothing_may_be() -> None:
    assert not draw_omissions(np.random.default_rng(1), np.ones(5, dtype=bool)).any()


def test_flashes_are_counted_from_the_change_and_omissions_keep_the_count() -> None:
    is_change = np.array([0, 0, 0, 1, 0, 0, 0], dtype=bool)
    omitted = np.array([0, 0, 1, 0, 0, 1, 0], dtype=bool)
    assert count_since_change(is_change, omitted).tolist() == [0, 1, 1, 0, 1, 1, 2]


def test_there_must_be_a_trial() -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        lay_flashes(np.random.default_rng(0), [])


@given(SEEDS, st.integers(1, 20))
@settings(max_examples=50)
def test_licks_of_a_bout_are_about_a_seventh_of_a_second_apart(seed: int, n: int) -> None:
    licks = np.array(lick_bout(np.random.default_rng(seed), 0.3, n))
    assert len(licks) == n
    assert licks[0] == 0.3
    assert ((np.diff(licks) > 0.099) & (np.diff(licks) < 0.191)).all()
