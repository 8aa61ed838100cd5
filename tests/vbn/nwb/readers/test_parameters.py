"""Task parameters, rig geometry, images and waveforms, from hand-made contents."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.parameters import stimulus_set

TASK = "general/task_parameters"
RIG = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"
IMAGES = "stimulus/templates/Images_G_2019.05.26"


@pytest.fixture
def parameters():
    return {
        f"{TASK}@session_type": "EPHYS_1_images_G_3uL_reward",
        f"{TASK}@task": "change detection",
        f"{TASK}@stimulus": "images",
        f"{TASK}@stimulus_distribution": "geometric",
        f"{TASK}@stimulus_duration_sec": 0.25,
        f"{TASK}@blank_duration_sec": ["0.5", "0.5"],
        f"{TASK}@response_window_sec": ["0.15", "0.75"],
        f"{TASK}@omitted_flash_fraction": np.nan,
        f"{TASK}@reward_volume": 0.003,
        f"{TASK}@auto_reward_volume": 0.005,
        f"{TASK}@n_stimulus_frames": 2265,
    }


def test_texts_become_numbers_and_missing_ones_none(make_recording, parameters):
    found = nwb.read_task_parameters(make_recording(parameters))
    assert found == nwb.TaskParameters(
        session_type="EPHYS_1_images_G_3uL_reward",
        task="change detection",
        stimulus="images",
        stimulus_name=None,
        image_set="images_G",
        stimulus_distribution="geometric",
        stimulus_duration_sec=0.25,
        blank_duration_sec=(0.5, 0.5),
        response_window_sec=(0.15, 0.75),
        omitted_flash_fraction=None,
        reward_volume=0.003,
        auto_reward_volume=0.005,
        n_stimulus_frames=2265,
    )


def test_numbers_may_be_stored_as_numbers(make_recording, parameters):
    stored = {f"{TASK}@response_window_sec": [0.15, 0.75], f"{TASK}@n_stimulus_frames": 2265.0}
    assert nwb.read_task_parameters(make_recording(parameters | stored)) == nwb.read_task_parameters(
        make_recording(parameters)
    )


def test_what_the_file_lacks_is_none(make_recording, parameters):
    less = {path: value for path, value in parameters.items() if not path.endswith(("volume", "window_sec"))}
    found = nwb.read_task_parameters(make_recording(less))
    assert found.reward_volume is found.auto_reward_volume is None
    assert found.response_window_sec is None
    assert found.blank_duration_sec == (0.5, 0.5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({f"{TASK}@response_window_sec": [0.15]}, "2 numbers are expected"),
        ({f"{TASK}@reward_volume": "much"}, "reward_volume: a number is expected, and it is 'much'"),
        ({f"{TASK}@reward_volume": [1.0, 2.0]}, "one number is expected"),
        ({f"{TASK}@n_stimulus_frames": 0.5}, "a whole number is expected"),
        ({f"{TASK}@n_stimulus_frames": np.inf}, "a whole number is expected"),
    ],
)
def test_wrong_parameters_are_named(make_recording, parameters, changes, problem):
    changed = {path: value for path, value in (parameters | changes).items() if value is not None}
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_task_parameters(make_recording(changed))


@pytest.mark.parametrize(
    ("session_type", "wanted"),
    [
        ("TRAINING_0_gratings_autorewards_15min", "gratings"),
        ("TRAINING_1_gratings", "gratings"),
        ("TRAINING_5_images_G_handoff_ready_5uL_reward", "images_G"),
        ("HABITUATION_5_images_H_handoff_ready_3uL_reward", "images_H"),
        ("EPHYS_1_images_H_3uL_reward", "images_H"),
        ("EPHYS", None),
    ],
)
def test_the_set_of_stimuli_is_in_the_session_type(session_type, wanted):
    assert stimulus_set(session_type) == wanted


def rig():
    names = ("monitor_position", "monitor_rotation", "camera_position", "camera_rotation", "led_position")
    return {f"{RIG}@equipment": "NP.1"} | {f"{RIG}/{name}": [k, 2.0, 3.0] for k, name in enumerate(names)}


def test_rig_geometry_is_read_or_none(make_recording):
    found = nwb.read_rig_geometry(make_recording(rig()))
    assert found.equipment == "NP.1"
    assert found.camera_position_mm == (2.0, 2.0, 3.0)
    assert found.led_position_mm == (4.0, 2.0, 3.0)
    assert nwb.read_rig_geometry(make_recording({"identifier": "1"})) is None


@pytest.mark.parametrize("position", [[1.0, 2.0], ["a", "b", "c"], 1.0])
def test_a_position_is_three_numbers(make_recording, position):
    with pytest.raises(InvalidContentError, match="three numbers are expected"):
        nwb.read_rig_geometry(make_recording(rig() | {f"{RIG}/led_position": position}))


@pytest.fixture
def images():
    warped = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    return {
        f"{IMAGES}/data": warped,
        f"{IMAGES}/unwarped": np.where(warped == 5, np.nan, warped.astype(float)),
        f"{IMAGES}/control_description": ["im1_r", "im2_r"],
    }


def test_images_come_one_at_a_time(make_recording, images):
    found = nwb.read_stimulus_templates(make_recording(images))
    first = next(found)
    assert (first.image_set, first.image_name) == ("Images_G_2019.05.26", "im1_r")
    assert (first.warped.dtype, first.unwarped.dtype) == (np.dtype(np.uint8), np.dtype(np.float64))
    assert np.argwhere(np.isnan(first.unwarped)).tolist() == [[1, 1]]
    assert [image.image_name for image in found] == ["im2_r"]


def test_a_file_without_images_has_none(make_recording):
    empty = make_recording({"identifier": "1"})
    assert list(nwb.read_stimulus_templates(empty)) == []
    assert nwb.image_names(empty) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {f"{IMAGES}/unwarped": np.zeros((2, 3, 5))},
        {f"{IMAGES}/control_description": ["im1_r"]},
        {f"{IMAGES}/data": np.zeros((2, 3))},
    ],
)
def test_images_must_fit_each_other(make_recording, images, changes):
    file = make_recording(images | changes)
    with pytest.raises(InvalidContentError, match="names, data of shape"):
        list(nwb.read_stimulus_templates(file))


def test_a_thumbnail_is_the_mean_of_what_it_stands_for():
    image = np.array([[0, 10, 20, 30], [10, 20, 30, 40], [0, 0, 0, 0], [4, 4, 8, 8]], np.uint8)
    assert nwb.image_thumbnail(image, 2).tolist() == [[10, 30], [2, 4]]
    assert nwb.image_thumbnail(image, 1).tolist() == [[12]]  # 188 / 16 = 11.75


def test_a_pixel_may_be_shared():
    """Three pixels for two: each takes one and a half."""
    assert nwb.image_thumbnail(np.array([[30, 60, 90]], np.uint8), 2).tolist() == [[40, 80]]


def test_thumbnails_keep_the_shape_and_never_grow():
    image = np.zeros((1200, 1920), np.uint8)
    assert nwb.image_thumbnail(image, 96).shape == (60, 96)
    assert nwb.image_thumbnail(image[:3, :4], 96).shape == (3, 4)


@pytest.mark.parametrize(("shape", "width"), [((3, 4), 0), ((3,), 2), ((0, 4), 2)])
def test_impossible_thumbnails_are_refused(shape, width):
    with pytest.raises(ValueError, match="width 1 or more"):
        nwb.image_thumbnail(np.zeros(shape, np.uint8), width)


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    st.integers(1, 25),
)
def test_a_thumbnail_stays_within_the_image(image, width):
    found = nwb.image_thumbnail(image, width)
    assert found.shape[1] == min(width, image.shape[1])
    assert image.min() <= found.min() <= found.max() <= image.max()
    # Each pixel is rounded, so the means differ by half a level at most.
    assert abs(found.mean() - image.mean()) <= 0.5 + 1e-9


@pytest.fixture
def waveforms(ephys):
    """Three rows a unit, but none for the third; sample s of row r is 100 r + s."""
    return ephys | {
        "units/waveform_mean": 100.0 * np.arange(9)[:, None] + np.arange(5),
        "units/waveform_mean_index": np.array([3, 6, 6, 9], np.uint8),
        "units/spike_amplitudes": [1e-5, 2e-5, 3e-5, np.nan, 5e-5, 6e-5],
        "units/spike_amplitudes_index": np.array([2, 5, 5, 6], np.uint8),
    }


def test_peak_waveforms_are_the_rows_of_the_peak_channels(make_recording, waveforms):
    """Units 40, 30, 10, 20 peak at channels number 0, 0, 2 and 1."""
    recording = make_recording(waveforms)
    found = nwb.read_peak_waveforms(recording, nwb.read_units(recording))
    assert found.shape == (4, 5)
    np.testing.assert_array_equal(found[:, 0], [0, 300, np.nan, 700])
    assert found[3].tolist() == [700, 701, 702, 703, 704]


def test_peak_waveforms_are_in_the_order_asked_for(make_recording, waveforms):
    recording = make_recording(waveforms)
    units = nwb.read_units(recording).iloc[[3, 0]]
    assert nwb.read_peak_waveforms(recording, units)[:, 0].tolist() == [700, 0]
    assert nwb.read_peak_waveforms(recording, units.iloc[:0]).shape == (0, 5)


def test_a_whole_waveform_has_all_channels(make_recording, waveforms):
    recording = make_recording(waveforms)
    assert nwb.read_unit_waveform(recording, 30)[:, 0].tolist() == [300, 400, 500]
    assert nwb.read_unit_waveform(recording, 10).shape == (0, 5)
    with pytest.raises(ValueError, match="the first is 99"):
        nwb.read_unit_waveform(recording, 99)


def test_a_file_without_waveforms_has_nan(make_recording, ephys):
    recording = make_recording(ephys)
    found = nwb.read_peak_waveforms(recording, nwb.read_units(recording))
    assert found.shape == (4, 82)
    assert np.isnan(found).all()
    with pytest.raises(InvalidContentError, match="/units/waveform_mean is missing"):
        nwb.read_unit_waveform(recording, 30)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"units/waveform_mean_index": np.array([3, 6, 6, 8])}, "must ascend to the number of rows, 9"),
        ({"units/waveform_mean_index": np.array([6, 3, 6, 9])}, "must ascend"),
        ({"units/waveform_mean_index": np.array([3, 6, 8, 9])}, "unit 10 has 2 channels, and its peak chann"),
        ({"units/waveform_mean": np.zeros(9)}, "has shape"),
    ],
)
def test_waveforms_must_fit_their_index(make_recording, waveforms, changes, problem):
    recording = make_recording(waveforms | changes)
    units = nwb.read_units(recording)
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_peak_waveforms(recording, units)


def test_amplitudes_come_as_the_spike_times_do(make_recording, waveforms):
    recording = make_recording(waveforms)
    units = nwb.read_units(recording)
    times = list(nwb.iterate_spike_times(recording, units))
    found = list(nwb.iterate_spike_amplitudes(recording, units))
    for (name, rows, _), (wanted_name, wanted_rows, _) in zip(found, times, strict=True):
        assert name == wanted_name
        pd.testing.assert_frame_equal(rows, wanted_rows)
    np.testing.assert_array_equal(found[0][2], [1e-5, 2e-5])
    np.testing.assert_array_equal(found[1][2], [3e-5, np.nan, 5e-5, 6e-5])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"units/spike_amplitudes_index": np.array([1, 5, 5, 6])}, "do not fit the 6 spikes"),
        ({"units/spike_amplitudes": np.zeros(5)}, "has 5 values"),
        ({"units/spike_amplitudes": np.zeros((6, 2))}, "has shape"),
        ({"units/spike_amplitudes": None}, "/units/spike_amplitudes is missing"),
    ],
)
def test_amplitudes_must_fit_the_spikes(make_recording, waveforms, changes, problem):
    changed = {path: value for path, value in (waveforms | changes).items() if value is not None}
    recording = make_recording(changed)
    units = nwb.read_units(recording)
    with pytest.raises(InvalidContentError, match=problem):
        list(nwb.iterate_spike_amplitudes(recording, units))
