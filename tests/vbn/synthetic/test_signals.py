"""Wheel and eye camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbn.synthetic.images import unwarped_image, warped_image
from vbn.synthetic.signals import (
    WHEEL_RADIUS_CM,
    bump,
    likely_blinks,
    simulate_eye,
    simulate_running,
    slow_noise,
)
from vbn.synthetic.task import IMAGES

FRAMES_S = 4.0 + 0.0166806 * np.arange(12_000)


def test_a_missing_area_marks_two_frames_on_either_side() -> None:
    """One NaN at frame 10: frames 8 to 12 are likely blinks."""
    area = 100 + np.sin(np.arange(30.0))
    area[10] = np.nan
    blink = likely_blinks(area, 50 + np.cos(np.arange(30.0)))
    assert np.flatnonzero(blink).tolist() == [8, 9, 10, 11, 12]


def test_a_far_off_pupil_marks_a_blink_and_a_near_one_does_not() -> None:
    """Of 100 values one at 10, the others 0: z = 9.95; with the other side at +-1 and one at 2.5, z = 2.4."""
    far, near = np.zeros(100), np.tile([-1.0, 1.0], 50)
    far[50], near[50] = 10.0, 2.5
    steady = np.ones(100)
    assert np.flatnonzero(likely_blinks(steady, far)).tolist() == [48, 49, 50, 51, 52]
    assert not likely_blinks(steady, near).any()


def test_steady_areas_are_no_blinks() -> None:
    assert not likely_blinks(np.ones(5), np.ones(5)).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_stored_masks_follow_from_the_raw_areas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    running = simulate_running(rng, FRAMES_S[:3000], np.array([10.0]), 40.0)
    eye = simulate_eye(rng, 60.0, np.array([10.0, 20.0]), running)
    assert np.array_equal(eye.likely_blink, likely_blinks(eye.eye.area_raw, eye.pupil.area_raw))
    assert eye.likely_blink[:16].all()
    for ellipse in (eye.eye, eye.pupil, eye.corneal_reflection):
        assert np.isnan(ellipse.area[eye.likely_blink]).all()
        seen = ~eye.likely_blink
        assert np.array_equal(ellipse.area[seen], ellipse.area_raw[seen], equal_nan=True)
    for ellipse in (eye.eye, eye.pupil):
        assert np.isnan(ellipse.width[eye.likely_blink]).all()
        assert not np.isnan(ellipse.area[~eye.likely_blink]).any()
    widest = np.pi * np.maximum(eye.pupil.width, eye.pupil.height) ** 2
    assert np.allclose(widest[~eye.likely_blink], eye.pupil.area[~eye.likely_blink])


def test_the_unfiltered_speed_is_the_wheels_turn() -> None:
    running = simulate_running(np.random.default_rng(0), FRAMES_S, np.array([50.0, 80.0]), 150.0)
    dt = np.gradient(FRAMES_S)
    assert np.allclose(running.speed_unfiltered, np.radians(running.dx) * WHEEL_RADIUS_CM / dt)
    assert running.speed.mean() == pytest.approx(running.speed_unfiltered.mean(), rel=0.01)
    assert running.speed.std() < running.speed_unfiltered.std()
    assert running.v_sig.min() >= 0
    assert running.v_sig.max() <= 5.07


def test_running_without_rewards_has_no_dips() -> None:
    running = simulate_running(np.random.default_rng(0), FRAMES_S, np.empty(0), 150.0)
    assert np.isfinite(running.speed).all()


def test_a_bump_is_zero_before_and_one_at_its_peak() -> None:
    """Rise 0.5, fall 1: the difference of exponentials peaks at ln 2 after the event."""
    times = np.arange(0, 20, 0.001)
    trace = bump(times, np.array([3.0]), 0.5, 1.0)
    assert (trace[times < 3.0] == 0).all()
    assert trace.max() == pytest.approx(1.0, abs=1e-6)
    assert times[trace.argmax()] == pytest.approx(3 + np.log(2), abs=0.002)
    assert (trace[times > 11.1] == 0).all()


def test_no_events_no_bumps() -> None:
    assert not bump(np.arange(5.0), np.empty(0), 0.5, 1.0).any()


def test_slow_noise_has_unit_variance_and_its_time_constant() -> None:
    noise = slow_noise(np.random.default_rng(0), 400_000, 20.0)
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(noise[:-20], noise[20:])[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


def test_an_image_is_the_same_in_every_session_and_unlike_the_others() -> None:
    names = {*IMAGES["G"], *IMAGES["H"]}
    pictures = {warped_image(name, (60, 96)).tobytes() for name in names}
    assert len(pictures) == len(names) == 14
    assert np.array_equal(warped_image("im083_r", (60, 96)), warped_image("im083_r", (60, 96)))


def test_the_unwarped_image_lacks_its_corners_only() -> None:
    warped = warped_image("im012_r", (60, 96))
    unwarped = unwarped_image(warped)
    assert np.isnan(unwarped[[0, 0, -1, -1], [0, -1, 0, -1]]).all()
    seen = ~np.isnan(unwarped)
    assert seen.mean() > 0.7
    assert np.array_equal(unwarped[seen], warped[seen])
