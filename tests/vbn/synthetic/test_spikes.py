"""Spike trains: never unsorted, never outside the recording, and with the responses they were given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.simulate import SimulatedSession, simulate_session
from vbn.synthetic.spikes import (
    DEAD_TIME_S,
    Response,
    background,
    baseline_scale,
    draw_responses,
    drop_refractory,
    even_delays,
    expected_response_count,
    precise_delays,
    raised_cosine_delays,
    spread_delays,
)

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def session() -> SimulatedSession:
    return simulate_session(SyntheticSettings(sessions=1, seed=4, minutes=6, units_per_probe=40), 0)


@pytest.fixture(scope="module")
def trains(session: SimulatedSession) -> list[np.ndarray]:
    return list(session.spike_trains())


def test_every_train_is_ascending_and_inside_the_recording(
    session: SimulatedSession, trains: list[np.ndarray]
) -> None:
    for train in trains:
        assert train.dtype == np.float64
        assert (np.diff(train) >= 0).all()
        assert len(train) == 0 or (train[0] > 0 and train[-1] < session.end_s)


def test_the_same_session_gives_the_same_trains_at_every_call(
    session: SimulatedSession, trains: list[np.ndarray]
) -> None:
    for first, again in zip(trains, session.spike_trains(), strict=True):
        assert np.array_equal(first, again)


def test_only_noise_and_light_violate_the_dead_time(
    session: SimulatedSession, trains: list[np.ndarray]
) -> None:
    for unit, train in zip(session.units, trains, strict=True):
        if unit.role not in ("noise", "opto_artifact"):
            assert np.diff(train).min() >= 0.9 * DEAD_TIME_S


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.001, 0.2))
@settings(max_examples=200)
def test_dropping_leaves_no_short_interval_and_keeps_the_first_spike(
    times: list[float], dead_time_s: float
) -> None:
    before = np.sort(np.array(times))
    after = drop_refractory(before, dead_time_s)
    assert (np.diff(after) >= dead_time_s).all()
    assert np.isin(after, before).all()
    assert (len(after) > 0) == (len(before) > 0)
    if len(before):
        assert after[0] == before[0]


def test_spikes_far_apart_are_all_kept() -> None:
    times = np.arange(10) * 0.01
    assert drop_refractory(times, 0.002) is times


@given(SEEDS, st.floats(0.5, 80))
@settings(max_examples=40)
def test_the_background_has_its_rate_and_its_dead_time(seed: int, rate_hz: float) -> None:
    train = background(np.random.default_rng(seed), rate_hz, 5.0, 105.0)
    assert abs(len(train) - 100 * rate_hz) < 6 * np.sqrt(100 * rate_hz) + 2
    assert len(train) == 0 or (train[0] >= 5.0 and train[-1] < 105.0)
    assert (np.diff(train) >= DEAD_TIME_S - 1e-12).all()


@pytest.mark.parametrize(("rate_hz", "end_s"), [(0.0, 10.0), (5.0, 5.0), (5.0, 2.0)])
def test_no_rate_or_no_time_gives_no_spikes(rate_hz: float, end_s: float) -> None:
    assert len(background(np.random.default_rng(0), rate_hz, 5.0, end_s)) == 0


@given(SEEDS)
@settings(max_examples=30)
def test_delays_stay_in_their_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for delays, low, high in (
        (spread_delays(0.05, 0.1), 0.05, 0.15),
        (even_delays(-0.001, 0.002), -0.001, 0.001),
        (precise_delays(0.0035, 0.0006), 0.0017, 0.0053),
        (raised_cosine_delays(1.0), 0.0, 1.0),
    ):
        drawn = delays(rng, 200)
        assert drawn.shape == (200,)
        assert drawn.min() >= low - 1e-12
        assert drawn.max() <= high + 1e-12


def test_raised_cosine_delays_have_its_shape() -> None:
    """Density (1 - cos 2 pi x): a quarter of its mass, less 1 / (2 pi), lies below 1/4."""
    drawn = raised_cosine_delays(1.0)(np.random.default_rng(0), 100_000)
    assert (drawn < 0.25).mean() == pytest.approx(0.25 - 1 / (2 * np.pi), abs=0.005)
    assert drawn.mean() == pytest.approx(0.5, abs=0.005)


def test_a_response_has_its_mean_count() -> None:
    many = Response(np.arange(5000.0), np.full(5000, 0.7), even_delays(0, 0.1))
    assert len(draw_responses(np.random.default_rng(0), [many])) == pytest.approx(3500, abs=250)


def test_a_single_response_has_at_most_one_spike_an_event() -> None:
    events = np.arange(1000.0)
    single = Response(events, np.full(1000, 0.9), even_delays(0, 0.1), single=True)
    drawn = draw_responses(np.random.default_rng(0), [single])
    assert np.unique(np.floor(drawn)).size == len(drawn) == pytest.approx(900, abs=40)


def test_no_response_is_no_spikes() -> None:
    assert draw_responses(np.random.default_rng(0), []).shape == (0,)


@pytest.mark.parametrize("wanted_hz", [2.5, 4.0, 12.0])
def test_the_wanted_mean_rate_is_reached(wanted_hz: float) -> None:
    """Within 8 %: spikes too close to others are dropped, so the mean lies a little low."""
    session = simulate_session(
        SyntheticSettings(minutes=4, probes=3, units_per_probe=60, mean_rate_hz=wanted_hz), 0
    )
    n_spikes = sum(len(train) for train in session.spike_trains())
    assert n_spikes / session.end_s / 180 == pytest.approx(wanted_hz, rel=0.08)


def test_backgrounds_are_not_scaled_without_a_wanted_rate(session: SimulatedSession) -> None:
    assert baseline_scale(session.units, session.stimuli, None) == 1.0


def test_backgrounds_never_vanish_below_the_responses(session: SimulatedSession) -> None:
    units = [unit for unit in session.units if unit.role == "change"]
    assert baseline_scale(units, session.stimuli, 0.5) == 0.02


def test_untuned_units_get_no_extra_spikes(session: SimulatedSession) -> None:
    unit = next(unit for unit in session.units if unit.role == "untuned")
    assert expected_response_count(unit, session.stimuli) == 0


def test_a_stronger_unit_has_more_extra_spikes(session: SimulatedSession) -> None:
    unit = next(unit for unit in session.units if unit.role == "change")
    weaker = replace(unit, parameters={**unit.parameters, "add_hz_active": 1.0})
    assert expected_response_count(weaker, session.stimuli) < expected_response_count(unit, session.stimuli)
