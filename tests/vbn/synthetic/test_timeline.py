"""How a recording's minutes are shared out, and the tables of stimuli."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.simulate import simulate_session
from vbn.synthetic.timeline import block_frames, block_sizes, draw_clock, laser_table


def test_a_recording_of_160_minutes_has_the_releases_numbers() -> None:
    """3645 gabors (81 places x 45), 150 flashes, 300 pulses (6 x 50), gray of 10 and 288 s, an hour."""
    sizes = block_sizes(SyntheticSettings(minutes=160))
    assert sizes.gabor_repeats == 45
    assert sizes.flashes == 150
    assert sizes.laser_repeats == 50
    assert sizes.gray_frames == (600, 17280)
    assert 4600 <= sizes.active_flashes <= 5000


@pytest.mark.parametrize("minutes", [2, 3, 5.5, 8, 20])
@pytest.mark.parametrize("laser", [True, False])
def test_a_recording_takes_about_the_minutes_it_was_given(minutes: float, laser: bool) -> None:
    session = simulate_session(
        SyntheticSettings(minutes=minutes, laser=laser, units_per_probe=1, probes=1, eye_tracking=False), 0
    )
    assert minutes * 60 - 35 < session.end_s < minutes * 60 + 8
    assert sorted({b for table in session.presentations.values() for b in table["stimulus_block"]}) == list(
        range(6)
    )
    assert (len(session.laser) > 0) == laser


@given(st.floats(2, 160), st.booleans())
@settings(max_examples=60)
def test_blocks_follow_each_other_in_frames(minutes: float, laser: bool) -> None:
    sizes = block_sizes(SyntheticSettings(minutes=minutes, laser=laser))
    frames = block_frames(sizes.active_flashes, sizes)
    assert frames.starts[0] == 60
    assert (np.diff([*frames.starts, frames.replay_end, frames.n_frames]) > 0).all()
    assert frames.n_frames / 59.95 < minutes * 60 + 10


def test_every_gabor_place_is_shown_equally_often_in_every_orientation() -> None:
    table = simulate_session(SyntheticSettings(minutes=8), 0).presentations["gabor_20_deg_250ms"]
    counts = table.groupby(["position_x", "position_y", "orientation"]).size()
    assert len(counts) == 243
    assert (counts == 1).all()


def test_gabors_follow_without_a_gap() -> None:
    table = simulate_session(SyntheticSettings(minutes=4), 0).presentations["gabor_20_deg_250ms"]
    assert np.array_equal(table["stop_time"][:-1], table["start_time"][1:])


def test_half_of_the_flashes_are_white() -> None:
    table = simulate_session(SyntheticSettings(minutes=8), 0).presentations["flash_250ms"]
    assert table["color"].value_counts().to_dict() == {-1.0: 5, 1.0: 5}
    assert np.diff(table["start_time"]) == pytest.approx(np.full(9, 2.0), abs=0.01)


@pytest.mark.parametrize("repeats", [1, 5, 50])
def test_the_laser_gives_every_level_of_both_waveforms_equally_often(repeats: int) -> None:
    levels = (0.685, 0.8, 0.95)
    table = laser_table(np.random.default_rng(2), repeats, 500.0, levels)
    assert (table.groupby(["stimulus_name", "level"]).size() == repeats).all()
    assert len(table) == 6 * repeats
    gaps = table["start_time"].to_numpy()[1:] - table["stop_time"].to_numpy()[:-1]
    assert gaps.min() >= 1.5 - 1e-4
    assert gaps.max() <= 2.0 + 1e-4
    assert np.allclose(table["stop_time"] - table["start_time"], table["duration"])


def test_no_laser_is_an_empty_table() -> None:
    assert len(laser_table(np.random.default_rng(2), 0, 500.0, (1.0, 2.0, 3.0))) == 0


def test_a_lick_falls_to_the_first_frame_at_or_after_it() -> None:
    clock = draw_clock(np.random.default_rng(0), 100)
    frame_times = clock.undelayed
    licks = np.array([frame_times[7], frame_times[7] + 1e-6, frame_times[8] - 1e-6])
    assert clock.lick_frame(licks).tolist() == [7, 8, 8]


def test_frames_are_on_screen_after_the_display_lag() -> None:
    clock = draw_clock(np.random.default_rng(0), 5000)
    assert (np.diff(clock.stimulus_timestamps) > 0).all()
    assert (np.diff(clock.on_screen) > 0).all()
    assert np.median(clock.on_screen - clock.undelayed) == pytest.approx(clock.display_lag_s, abs=1e-4)
    assert 0.03 <= clock.display_lag_s <= 0.046
