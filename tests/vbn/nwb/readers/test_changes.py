"""Joining trials and presentations, from the three trials and eleven presentations of the fixtures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.nwb.readers.changes import frame_times

FRAMES = np.arange(1000) / 10
"""10 Hz; the fixtures' presentations start on time, their trials know a time 0.1 s earlier."""


@pytest.fixture
def frames(make_recording, task, stimuli):
    recording = make_recording(task | stimuli)
    return nwb.read_trials(recording), nwb.read_stimulus_presentations(recording)


def test_changes_are_joined_by_frame(frames: tuple[Any, Any]):
    """Trial 0 changes in frame 130, trial 2 has a sham change in frame 220; trial 1 is aborted."""
    found = nwb.match_changes(*frames, FRAMES)
    assert found["trial_id"].tolist() == [0, 2]
    assert found["is_sham_change"].tolist() == [False, True]
    assert found["presentation_id"].tolist() == [1, 4]
    assert found["presentation_start_time"].tolist() == [13.0, 22.0]
    np.testing.assert_allclose(found["residual"], [0.1, 0.1])
    np.testing.assert_allclose(found["frame_residual"], [0.0, 0.0])
    assert found["presentation_id"].dtype == "Int64"


def test_the_replay_is_never_a_trials_change(frames: tuple[Any, Any]):
    trials, presentations = frames
    trials.loc[0, "change_frame"] = 330  # where the replay shows the same change
    found = nwb.match_changes(trials, presentations, FRAMES)
    assert found["presentation_id"].isna().tolist() == [True, False]
    assert np.isnan(found["residual"][0])
    assert found["frame_time"][0] == 33.0


def test_a_frame_beside_is_not_joined(frames: tuple[Any, Any]):
    trials, presentations = frames
    trials["change_frame"] += 1
    assert nwb.match_changes(trials, presentations, FRAMES)["presentation_id"].isna().all()


def test_a_frame_without_time_has_no_frame_residual(frames: tuple[Any, Any]):
    found = nwb.match_changes(*frames, FRAMES[:200])
    assert np.isnan(found["frame_time"]).tolist() == [False, True]
    assert np.isnan(found["frame_residual"]).tolist() == [False, True]
    assert found["presentation_id"].tolist() == [1, 4]


def test_training_is_joined_by_its_own_change_time(frames: tuple[Any, Any]):
    trials, presentations = frames
    training = trials.rename(columns={"change_time_no_display_delay": "change_time"})
    wanted = nwb.match_changes(trials, presentations, FRAMES)
    pd.testing.assert_frame_equal(nwb.match_changes(training, presentations, FRAMES), wanted)


def test_trials_need_a_change_time(frames: tuple[Any, Any]):
    trials, presentations = frames
    with pytest.raises(ValueError, match="trials must have one of"):
        nwb.match_changes(trials.drop(columns="change_time_no_display_delay"), presentations, FRAMES)


def test_the_inputs_stay_as_they_are(frames: tuple[Any, Any]):
    trials, presentations = frames
    before = trials.copy(), presentations.copy()
    nwb.match_changes(trials, presentations, FRAMES)
    pd.testing.assert_frame_equal(trials, before[0])
    pd.testing.assert_frame_equal(presentations, before[1])


@pytest.mark.parametrize("which", [0, 1])
def test_without_trials_or_presentations_the_columns_stay(frames: tuple[Any, Any], which):
    trials, presentations = (
        frame.iloc[:0] if number == which else frame for number, frame in enumerate(frames)
    )
    found = nwb.match_changes(trials, presentations, FRAMES)
    assert len(found) == (0 if which == 0 else 2)
    assert list(found) == list(nwb.match_changes(*frames, FRAMES))
    assert found["presentation_id"].dtype == "Int64"
    assert found["residual"].dtype == np.float64


@given(st.lists(st.integers(-5, 15)), st.integers(0, 10))
def test_frame_times_are_those_of_a_plain_loop(frames, n):
    times = np.arange(n) * 0.5
    wanted = [times[frame] if 0 <= frame < n else np.nan for frame in frames]
    np.testing.assert_array_equal(frame_times(np.array(frames, dtype=np.int64), times), wanted)
