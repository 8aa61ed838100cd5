from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis import TimeAxis, align_behavior, align_trace

AXIS = TimeAxis(-0.5, 1.0, 0.25)  # centres -0.375, -0.125, ... 0.875
TIMES = np.arange(0, 20, 0.1)


def align(events, **changed):
    given_ = {"running": (TIMES, 2 * TIMES), "lick_times": [], "pupil": None, **changed}
    return align_behavior(events, AXIS, **given_)


def test_a_linear_trace_is_read_at_the_centres():
    """Speed 2 t around events at 5 and 7: mean 2 (6 + centre), standard error 2 * sqrt(2) / sqrt(2) = 2."""
    aligned = align([7.0, 5.0])
    np.testing.assert_allclose(aligned.time_s, [-0.375, -0.125, 0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(aligned.running_speed_cm_s, 12 + 2 * aligned.time_s)
    np.testing.assert_allclose(aligned.running_speed_sem, 2)
    assert aligned.n_events == 2


def test_licks_are_counted_per_second():
    """Two events, one lick 0.1 s after the first: 1 lick / 2 events / 0.25 s = 2 Hz in the bin 0..0.25."""
    aligned = align([5.0, 7.0], lick_times=[15.0, 5.1])
    np.testing.assert_allclose(aligned.lick_rate_hz, [0, 0, 2, 0, 0, 0])
    np.testing.assert_allclose(aligned.lick_rate_sem, [0, 0, 2, 0, 0, 0])


def test_no_licks_are_a_rate_of_0():
    assert align([5.0]).lick_rate_hz.tolist() == [0] * 6


def test_blinks_and_missing_fits_are_interpolated_over():
    area, center_x = 100 + TIMES, 300 - TIMES
    blink = (TIMES > 5.05) & (TIMES < 5.45)
    area[blink] = 1e6
    area[60] = np.nan
    center_x[blink] = -1
    aligned = align([5.0, 6.0], pupil=(TIMES, area, center_x, blink))
    np.testing.assert_allclose(aligned.pupil_area, 105.5 + aligned.time_s)
    np.testing.assert_allclose(aligned.pupil_x, 294.5 - aligned.time_s)
    np.testing.assert_allclose(aligned.pupil_area_sem, 0.5)


def test_a_pupil_that_is_lost_is_missing_not_interpolated():
    """A jump by 1000 in ten minutes without a pupil: no event has half of it, the mean is of the others."""
    times = np.arange(0, 700, 0.1)
    area = np.where(times < 50, 100.0, 1100.0)
    blink = (times > 20) & (times < 620)
    pupil = (times, area, area, blink)
    lost = align([300.0], pupil=pupil)
    assert np.isnan(lost.pupil_area).all()
    assert np.isnan(lost.pupil_x).all()
    both = align([10.0, 300.0, 400.0, 650.0], pupil=pupil)
    np.testing.assert_allclose(both.pupil_area, 600)
    edge = align([20.0], pupil=pupil)  # seen until 20
    np.testing.assert_allclose(edge.pupil_area[:2], 100)
    assert np.isnan(edge.pupil_area[2:]).all()


def test_without_eye_tracking_the_pupil_is_none():
    aligned = align([5.0])
    assert aligned.pupil_area is aligned.pupil_area_sem is aligned.pupil_x is aligned.pupil_x_sem is None


def test_nothing_is_known_outside_a_trace():
    """The trace ends at 19.9: of the event at 19.5, only centres up to 0.4 are inside."""
    aligned = align([19.5])
    assert np.isfinite(aligned.running_speed_cm_s).tolist() == [True, True, True, True, False, False]
    assert np.isnan(aligned.running_speed_sem).all(), "one event has no standard error"
    both = align([5.0, 19.5])
    np.testing.assert_allclose(both.running_speed_cm_s[4:], 2 * (5 + both.time_s[4:]))
    assert np.isnan(both.running_speed_sem).tolist() == [False, False, False, False, True, True]


def test_degenerate_inputs_give_nan_quietly():
    for aligned in (align([]), align([5.0], running=([], [])), align([5.0], running=(TIMES, TIMES * np.nan))):
        assert np.isnan(aligned.running_speed_cm_s).all()
    assert np.isnan(align([]).lick_rate_hz).all()
    blinking = align([5.0], pupil=(TIMES, TIMES, TIMES, np.ones(TIMES.size, bool)))
    assert np.isnan(blinking.pupil_area).all()


def test_refuses_events_without_a_time_and_traces_of_unequal_length():
    with pytest.raises(ValueError, match="event_times must be finite"):
        align([np.nan])
    with pytest.raises(ValueError, match="one length"):
        align([5.0], running=(TIMES, TIMES[1:]))
    with pytest.raises(ValueError, match="likely_blink must be as long"):
        align([5.0], pupil=(TIMES, TIMES, TIMES, np.zeros(3, bool)))


@given(st.lists(st.floats(-5, 25), min_size=2, max_size=8), st.integers(0, 2**32 - 1))
def test_mean_and_error_are_those_of_single_events(events, seed):
    values = np.random.default_rng(seed).normal(size=TIMES.size)
    mean, sem = align_trace(events, AXIS, TIMES, values)
    single = np.array([align_trace([event], AXIS, TIMES, values)[0] for event in events])
    for column in range(AXIS.n_bins):
        known = single[:, column][np.isfinite(single[:, column])]
        expected = known.mean() if known.size else np.nan
        expected_sem = known.std(ddof=1) / np.sqrt(known.size) if known.size > 1 else np.nan
        np.testing.assert_allclose([mean[column], sem[column]], [expected, expected_sem], atol=1e-12)


def test_in_the_corpus_the_mouse_slows_down_and_licks_after_changes(recordings):
    axis = TimeAxis(-1.0, 1.5, 0.01)
    for recording in recordings:
        flashes = recording.table("stimulus_presentations")
        is_change = flashes["is_change"].fillna(False).to_numpy(bool) & flashes["active"].to_numpy(bool)
        events = flashes.loc[is_change, "start_time"].to_numpy()
        running, licks = recording.table("running_speed"), recording.table("licks")["timestamps"]
        eye = recording.table("eye_tracking")  # empty without eye tracking
        names = ["timestamps", "pupil_area", "pupil_center_x", "likely_blink"]
        pupil = tuple(eye[name] for name in names) if len(eye) else None
        aligned = align_behavior(
            events, axis, running=(running["timestamps"], running["speed"]), lick_times=licks, pupil=pupil
        )
        before, after = axis.bins_within(-1.0, 0.0), axis.bins_within(0.5, 1.5)
        assert aligned.running_speed_cm_s[after].mean() < aligned.running_speed_cm_s[before].mean() - 5
        assert aligned.lick_rate_hz[after].mean() > aligned.lick_rate_hz[before].mean()
        assert (aligned.pupil_area is None) == eye.empty
        if aligned.pupil_area is not None:
            assert np.isfinite(aligned.pupil_area).all()
            assert np.isfinite(aligned.pupil_x).all()
