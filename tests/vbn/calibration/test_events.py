"""What happens in the simulated sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vbn.calibration.events import GRID_S, SimulatedEvents, simulate_events, since_last


@pytest.fixture(scope="module")
def task(events: SimulatedEvents) -> pd.DataFrame:
    images = events.images()
    return images[images["active"].astype(bool)].reset_index(drop=True)


def test_a_session_is_as_long_as_in_the_release(events: SimulatedEvents, task: pd.DataFrame) -> None:
    minutes = (task["start_time"].iloc[-1] - task["start_time"].iloc[0]) / 60
    assert 55 < minutes < 65
    assert 9300 < events.end_s < 9900
    assert 150 < (task["is_change"] == 1).sum() < 400
    for name, value in (("color", 150), ("position_x", 45 * 81)):
        assert events.presentations[name].notna().sum() == value


def test_the_replay_repeats_the_task(events: SimulatedEvents, task: pd.DataFrame) -> None:
    images = events.images()
    replay = images[~images["active"].astype(bool)]
    assert replay["image_name"].tolist() == task["image_name"].tolist()


def test_omissions_are_one_in_twenty_and_never_a_change_or_before_one(task: pd.DataFrame) -> None:
    omitted, change = task["omitted"].to_numpy() == 1, task["is_change"].to_numpy() == 1
    assert 0.035 < omitted.mean() < 0.055
    assert not (omitted & change).any()
    assert not (omitted[:-1] & change[1:]).any()
    assert not (omitted[1:] & omitted[:-1]).any()


def test_images_come_in_runs_between_changes(task: pd.DataFrame) -> None:
    shown = task[task["omitted"] == 0]
    differs = shown["image_name"].to_numpy()[1:] != shown["image_name"].to_numpy()[:-1]
    assert (differs == (shown["is_change"].to_numpy()[1:] == 1)).all()
    runs = np.diff(np.flatnonzero(task["is_change"] == 1))
    assert runs.min() >= 11  # six flashes to the next trial, five until its change
    assert np.median(runs) < 20


def test_trials_are_found_and_rewards_follow_hits(events: SimulatedEvents) -> None:
    trials = events.trials
    assert events.reward_times_s.size == int(trials["hit"].sum() + trials["auto_rewarded"].sum())
    assert (np.diff(events.lick_times_s) >= 0).all()
    hit = trials[trials["hit"].astype(bool)]
    delay = hit["reward_time"] - hit["change_time_no_display_delay"]
    assert delay.between(0.15, 0.75).all()


def test_mice_stop_working(events: SimulatedEvents, other_events: SimulatedEvents) -> None:
    for session in (events, other_events):
        go = session.trials[session.trials["go"].astype(bool)]
        engaged = session.engaged[(go["start_time"].to_numpy() / GRID_S).astype(int)]
        hit = go["hit"].to_numpy(bool)
        assert hit[engaged].mean() > hit[~engaged].mean() + 0.3
        assert (~engaged).sum() > 20


def test_mice_lick_to_some_images_more_than_to_others(events: SimulatedEvents, task: pd.DataFrame) -> None:
    """Not only after changes: in flashes that repeat the image, of the engaged part."""
    start = task["start_time"].to_numpy()
    repeats = (task["omitted"] == 0) & (task["is_change"] == 0) & events.engaged[(start / GRID_S).astype(int)]
    licks = np.searchsorted(events.lick_times_s, start + 0.75) - np.searchsorted(events.lick_times_s, start)
    by_image = pd.Series(licks)[repeats].groupby(task["image_name"][repeats]).mean()
    assert by_image.max() > 2 * by_image.min()


def test_running_is_slow_to_change_and_slower_in_the_replay(
    events: SimulatedEvents, other_events: SimulatedEvents
) -> None:
    for session in (events, other_events):
        images = session.images()
        start = images.loc[~images["active"].astype(bool), "start_time"].min()
        replay = session.grid_s > start
        assert session.speed[replay].mean() < session.speed[~replay].mean()
        assert 0.02 < (session.speed < 1).mean() < 0.5  # standing
        assert _correlation(session.speed, 1.0) > 0.7
        assert _correlation(session.speed, 60.0) > 0.1


def _correlation(trace: np.ndarray, lag_s: float) -> float:
    lag = round(lag_s / GRID_S)
    return float(np.corrcoef(trace[:-lag], trace[lag:])[0, 1])


@pytest.mark.parametrize("time_constant_s", [5.0, 60.0])
def test_slow_noise_has_its_time_constant_and_half_of_it_is_shared(
    events: SimulatedEvents, time_constant_s: float
) -> None:
    first, second = (events.slow_noise(np.random.default_rng(unit), time_constant_s) for unit in (1, 2))
    for noise in (first, second):
        assert noise.std() == pytest.approx(1.0, abs=0.25)
        assert _correlation(noise, time_constant_s) == pytest.approx(np.exp(-1), abs=0.2)
        assert _correlation(noise, 6 * time_constant_s) == pytest.approx(0.0, abs=0.25)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=0.2)


def test_a_short_session_has_few_events() -> None:
    images = simulate_events(0, 0, 15.0).images()
    assert 5 < (images["is_change"] == 1).sum() / 2 < 40


def test_equal_seeds_give_equal_sessions(events: SimulatedEvents, other_events: SimulatedEvents) -> None:
    again = simulate_events(seed=3, index=0)
    pd.testing.assert_frame_equal(again.presentations, events.presentations)
    assert np.array_equal(again.speed, events.speed)
    assert not np.array_equal(again.lick_times_s[:50], other_events.lick_times_s[:50])


def test_time_since_the_last_event() -> None:
    since, row = since_last(np.array([0.5, 1.0, 2.5]), np.array([1.0, 2.0]))
    assert since.tolist() == [np.inf, 0.0, 0.5]
    assert row.tolist() == [-1, 0, 1]
