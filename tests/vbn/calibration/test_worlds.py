"""How units fire in each world."""

from __future__ import annotations

import numpy as np
import pytest

from vbn.calibration.events import SimulatedEvents
from vbn.calibration.run import draw_trains
from vbn.calibration.trains import bursty_train, modulated_train, poisson_train, refractory_train, suppressed
from vbn.calibration.worlds import (
    CLAIMS,
    EFFECT_WORLDS,
    MIXED_EFFECTS,
    MIXTURES,
    NULL_WORLDS,
    WORLDS,
    Images,
    mixed,
)


def fano(train: np.ndarray, bin_s: float, end_s: float) -> float:
    counts = np.histogram(train, np.arange(0, end_s, bin_s))[0]
    return float(counts.var() / counts.mean())


def rate_hz(train: np.ndarray, events_s: np.ndarray, start_s: float, stop_s: float) -> float:
    """Return the mean rate in a window after events."""
    n = np.searchsorted(train, events_s + stop_s) - np.searchsorted(train, events_s + start_s)
    return float(n.mean() / (stop_s - start_s))


def drawn(world: str, events: SimulatedEvents, n: int = 1) -> list[np.ndarray]:
    return draw_trains(7, world, [world] * n, events)


def test_trains_have_the_rate_and_regularity_that_they_claim() -> None:
    rng, end_s = np.random.default_rng(0), 2000.0
    trains = {
        "poisson": poisson_train(rng, 10.0, end_s),
        "bursty": bursty_train(rng, 10.0, end_s),
        "refractory": refractory_train(rng, 10.0, 0.02, end_s),
        "modulated": modulated_train(rng, 10.0, np.ones(20_000)),
    }
    for train in trains.values():
        assert train.size / end_s == pytest.approx(10.0, rel=0.05)
        assert (np.diff(train) >= 0).all()
    assert fano(trains["poisson"], 0.25, end_s) == pytest.approx(1.0, abs=0.1)
    assert fano(trains["modulated"], 0.25, end_s) == pytest.approx(1.0, abs=0.1)
    assert fano(trains["bursty"], 0.25, end_s) > 2
    assert np.diff(trains["refractory"]).min() >= 0.02 - 1e-12
    assert fano(trains["refractory"], 0.25, end_s) < 0.8


def test_suppression_drops_a_share_of_the_spikes_in_a_window() -> None:
    rng = np.random.default_rng(0)
    train, events_s = poisson_train(rng, 50.0, 400.0), np.arange(1.0, 399.0)
    depth = np.where(np.arange(events_s.size) % 2 == 0, 0.6, 0.0)
    left = suppressed(rng, train, events_s, depth, (0.1, 0.5))
    assert rate_hz(left, events_s[::2], 0.1, 0.5) == pytest.approx(20.0, rel=0.1)
    assert rate_hz(left, events_s[1::2], 0.1, 0.5) == pytest.approx(50.0, rel=0.1)
    assert rate_hz(left, events_s[::2], 0.5, 1.0) == pytest.approx(50.0, rel=0.1)


def test_slow_worlds_fluctuate_slowly_and_fast_ones_do_not(events: SimulatedEvents) -> None:
    slow = {name: _slow_variance(name, events) for name in ("poisson", "ou_5", "ou_60", "ou_600", "drift")}
    assert slow["poisson"] < 0.01
    assert all(slow[name] > 0.02 for name in ("ou_60", "ou_600", "drift"))
    assert slow["poisson"] < slow["ou_5"] < slow["ou_60"]


def _slow_variance(world: str, events: SimulatedEvents) -> float:
    """Return the squared coefficient of variation of counts in 30 s, less that of a Poisson train."""
    counts = [np.histogram(train, np.arange(0, events.end_s, 30.0))[0] for train in drawn(world, events, 8)]
    return float(np.mean([(c.var() - c.mean()) / c.mean() ** 2 for c in counts]))


def test_a_lost_unit_is_silent_for_a_third(events: SimulatedEvents) -> None:
    for train in drawn("lost", events, 5):
        longest = np.diff(np.concatenate([[0.0], train, [events.end_s]])).max()
        assert longest == pytest.approx(events.end_s / 3, rel=0.02)


def test_a_low_rate_is_a_tenth_of_a_hertz(events: SimulatedEvents) -> None:
    rates = [train.size / events.end_s for train in drawn("low_rate", events, 10)]
    assert np.mean(rates) == pytest.approx(0.1, rel=0.05)


def test_units_fire_around_licks_and_after_rewards(events: SimulatedEvents) -> None:
    lick, reward = drawn("lick_locked", events)[0], drawn("reward_locked", events)[0]
    assert rate_hz(lick, events.lick_times_s, -0.05, 0.05) > 15
    before = rate_hz(reward, events.reward_times_s, -1.0, 0.0)
    assert rate_hz(reward, events.reward_times_s, 0.05, 2.55) > before + 3


@pytest.mark.parametrize("world", ["run_locked", "pupil"])
def test_units_follow_a_state(world: str, events: SimulatedEvents) -> None:
    state = events.speed if world == "run_locked" else events.pupil_area
    counts = np.histogram(drawn(world, events)[0], np.arange(events.speed.size // 10 + 1))[0]
    assert np.corrcoef(counts, state[: counts.size * 10].reshape(-1, 10).mean(axis=1))[0, 1] > 0.3


def test_effects_have_their_size_and_begin_after_50_ms(events: SimulatedEvents) -> None:
    images = Images.of(events)
    repeat = images.start_s[images.shown & ~images.change]
    change, omitted = images.start_s[images.change], images.start_s[images.omitted]
    train = draw_trains(0, "latency_15_50", ["latency_15_50"], events)[0]
    assert rate_hz(train, change, 0.05, 0.25) == pytest.approx(65.0, rel=0.05)
    for window in ((0.0, 0.05), (0.26, 0.7)):
        assert rate_hz(train, change, *window) == pytest.approx(15.0, rel=0.15)
    assert rate_hz(train, repeat, 0.05, 0.25) == pytest.approx(15.0, rel=0.05)
    dark = drawn("suppressed", events)[0]
    base = rate_hz(dark, images.start_s, 0.3, 0.7)
    assert rate_hz(dark, change, 0.05, 0.25) == pytest.approx(0.4 * base, rel=0.25)
    assert rate_hz(dark, repeat, 0.05, 0.25) == pytest.approx(0.8 * base, rel=0.1)
    tail = drawn("flash_tail", events)[0]
    assert rate_hz(tail, repeat, 0.05, 0.15) > rate_hz(tail, repeat, 0.4, 0.7) > 4
    assert rate_hz(tail, omitted, 0.3, 0.75) == pytest.approx(3.0, abs=0.8)


def test_every_world_draws_an_ascending_train_and_knows_known_claims(events: SimulatedEvents) -> None:
    assert not NULL_WORLDS.keys() & EFFECT_WORLDS.keys()
    for name, world in WORLDS.items():
        (train,) = drawn(name, events)
        assert (np.diff(train) >= 0).all()
        assert train.size > 100
        assert {*world.effects, *world.entangled} <= {*CLAIMS}
        assert not {*world.effects} & world.entangled
    assert {name for of in MIXTURES.values() for name in of} | {*MIXED_EFFECTS} <= WORLDS.keys()


def test_half_of_a_mixture_has_effects() -> None:
    worlds = mixed("mixed_mild", 24)
    assert sum(world in MIXED_EFFECTS for world in worlds) == 12
    assert {world for world in worlds if world not in MIXED_EFFECTS} == {*MIXTURES["mixed_mild"]}
