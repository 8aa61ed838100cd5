"""Eye tracking and the rule for likely blinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.eye import is_outlier, likely_blinks

EYE = "acquisition/EyeTracking"
AREAS = st.one_of(st.floats(1, 1000), st.just(np.nan), st.just(5000.0))


def slow_blinks(eye, pupil, z_threshold, dilation_frames):
    """The rule of AllenSDK frame by frame."""

    def outlying(areas, k):
        known = [area for area in areas if not np.isnan(area)]
        mean = sum(known) / len(known)
        deviation = (sum((area - mean) ** 2 for area in known) / len(known)) ** 0.5
        return deviation > 1e-9 and abs(areas[k] - mean) / deviation > z_threshold

    bad = [any(np.isnan(areas[k]) or outlying(areas, k) for areas in (eye, pupil)) for k in range(len(eye))]
    reach = range(-dilation_frames, dilation_frames + 1)
    return [any(bad[k + step] for step in reach if 0 <= k + step < len(bad)) for k in range(len(bad))]


@given(
    st.integers(0, 30).flatmap(
        lambda n: st.tuples(arrays(float, n, elements=AREAS), arrays(float, n, elements=AREAS))
    ),
    st.sampled_from([0.71, 1.57, 2.93]),
    st.integers(0, 4),
)
def test_blinks_are_those_of_a_plain_loop(areas: tuple[Any, Any], z_threshold, dilation_frames):
    found = likely_blinks(*areas, z_threshold, dilation_frames)
    assert found.tolist() == slow_blinks(*areas, z_threshold, dilation_frames)


def test_a_blink_reaches_two_frames_to_both_sides():
    """One frame without an ellipse, at 4."""
    eye = np.ones(9)
    eye[4] = np.nan
    assert np.flatnonzero(likely_blinks(eye, np.ones(9))).tolist() == [2, 3, 4, 5, 6]
    assert np.flatnonzero(likely_blinks(eye, np.ones(9), dilation_frames=0)).tolist() == [4]


def test_one_far_value_is_an_outlier_from_eleven_frames_on():
    """Among n values, n - 1 of them equal, the other one lies sqrt(n - 1) deviations from the mean."""
    for n, expected in ((10, False), (11, True)):
        values = np.zeros(n)
        values[0] = 1.0
        assert is_outlier(values, 3.001 if n == 10 else 3.0)[0] == expected


def test_areas_that_never_change_have_no_outliers():
    assert not likely_blinks(np.ones(5), np.ones(5)).any()
    assert likely_blinks(np.full(5, np.nan), np.ones(5)).all()
    assert likely_blinks(np.empty(0), np.empty(0)).shape == (0,)


def test_an_infinite_area_hides_no_other_outlier():
    values = np.concatenate([np.zeros(20), [5.0, np.inf]])
    assert np.flatnonzero(is_outlier(values, 3.0)).tolist() == [20, 21]


@pytest.mark.parametrize("arguments", [(-1.0, 2), (np.nan, 2), (3.0, -1)])
def test_thresholds_must_not_be_negative(arguments):
    with pytest.raises(ValueError, match="must not be negative"):
        likely_blinks(np.ones(3), np.ones(3), *arguments)


def test_areas_must_be_of_equal_length():
    with pytest.raises(ValueError, match="equal length"):
        likely_blinks(np.ones(3), np.ones(4))
    with pytest.raises(TypeError):
        likely_blinks(np.ones(3), np.ones(3), 3.0, 1.5)


@pytest.fixture
def tracking():
    """Eight frames; the pupil is lost in the first, so that frames 0 to 2 are likely blinks."""
    contents = {f"{EYE}/eye_tracking/timestamps": np.arange(8) / 60}
    for part in ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking"):
        for name in ("area_raw", "width", "height", "angle"):
            contents[f"{EYE}/{part}/{name}"] = np.full(8, 2.0)
        contents[f"{EYE}/{part}/data"] = np.tile([10.0, 20.0], (8, 1))
    contents[f"{EYE}/pupil_tracking/area_raw"] = np.array([np.nan] + [2.0] * 7)
    return contents


def test_blinks_hide_areas_and_the_shapes_of_eye_and_pupil(make_recording, tracking):
    """Not the raw areas, the centres, or the shape of the corneal reflection."""
    eye = nwb.read_eye_tracking(make_recording(tracking))
    hidden = [name for name in eye if eye[name].isna()[1]]
    assert hidden == [
        "cr_area", "eye_area", "pupil_area",
        "eye_width", "eye_height", "eye_phi", "pupil_width", "pupil_height", "pupil_phi",
    ]  # fmt: skip
    assert eye["likely_blink"].tolist() == [True] * 3 + [False] * 5
    assert eye.shape == (8, 23)
    assert not eye.loc[3:].isna().any(axis=None)


def test_threshold_and_dilation_can_be_chosen(make_recording, tracking):
    recording = make_recording(tracking)
    assert nwb.read_eye_tracking(recording, dilation_frames=0)["likely_blink"].sum() == 1


def test_no_eye_tracking_is_none(make_recording, root, tracking):
    assert nwb.read_eye_tracking(make_recording(root)) is None
    assert (
        nwb.read_eye_tracking(make_recording({path: value[:0] for path, value in tracking.items()})) is None
    )


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("eye_tracking/timestamps", np.zeros(7), "timestamps has 7 times for 8 frames"),
        ("eye_tracking/data", np.zeros((8, 3)), r"data has shape \(8, 3\)"),
        ("eye_tracking/width", np.zeros(7), r"width has shape \(7,\)"),
    ],
)
def test_parts_of_other_lengths_are_named(make_recording, tracking, path, value, problem):
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_eye_tracking(make_recording(tracking | {f"{EYE}/{path}": value}))


def test_ellipses_of_unequal_length_are_named(make_recording, tracking):
    shorter = {path: value[:7] for path, value in tracking.items() if "corneal" in path}
    with pytest.raises(InvalidContentError, match="corneal_reflection_tracking has 7 frames"):
        nwb.read_eye_tracking(make_recording(tracking | shorter))
    shorter = {path: value[:7] for path, value in tracking.items() if "pupil" in path}
    with pytest.raises(InvalidContentError, match="pupil_tracking has 7 frames"):
        nwb.read_eye_tracking(make_recording(tracking | shorter))
