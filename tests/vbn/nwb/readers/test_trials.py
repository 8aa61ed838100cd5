"""Trials and their licks, from hand-made files; see the fixture `task`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.trials import split_by_trial

TRIALS = "intervals/trials"


def licks_of(recording):
    return [licks.tolist() for licks in nwb.read_trials(recording)["lick_times"]]


def test_missing_changes_and_times_are_missing_values(make_recording, task):
    trials = nwb.read_trials(make_recording(task))
    assert trials["trial_id"].tolist() == [0, 1, 2]
    assert trials["change_frame"].dtype == "Int64"
    assert trials["change_frame"].isna().tolist() == [False, True, False]
    assert trials["reward_time"].isna().tolist() == [False, True, True]
    assert trials["hit"].dtype == bool


def test_change_frames_stored_as_float_are_read(make_recording, task):
    trials = nwb.read_trials(make_recording(task | {f"{TRIALS}/change_frame": [130.0, np.nan, 220.0]}))
    assert trials["change_frame"].tolist()[::2] == [130, 220]
    assert trials["change_frame"].isna()[1]


def test_missing_image_names_are_none(make_recording, task):
    trials = nwb.read_trials(make_recording(task | {f"{TRIALS}/change_image_name": ["im111_r", "", "N/A"]}))
    assert trials["change_image_name"].tolist() == ["im111_r", None, None]


def test_each_trial_has_its_licks(make_recording, task):
    recording = make_recording(task)
    assert licks_of(recording) == [[13.3, 13.5], [16.0], []]
    assert all(licks.dtype == np.float64 for licks in nwb.read_trials(recording)["lick_times"])


def test_the_column_that_degraded_to_text_has_no_licks(make_recording, task):
    """AllenSDK's writer puts one empty text into the column when no trial has a lick."""
    none = {f"{TRIALS}/lick_times": [""], f"{TRIALS}/lick_times_index": np.zeros(3, np.uint8)}
    assert licks_of(make_recording(task | none)) == [[], [], []]


def test_the_column_without_index_is_split_by_time(make_recording, task):
    """AllenSDK's writer leaves the index out when there are as many licks as trials, as here."""
    flat = {path: value for path, value in task.items() if not path.endswith("lick_times_index")}
    assert licks_of(make_recording(flat)) == licks_of(make_recording(task))


def test_a_lick_at_a_trials_start_belongs_to_the_trial_before():
    ends = split_by_trial(np.array([1.0, 2.0, 2.5]), np.array([0.0, 2.0, 3.0]))
    assert ends.tolist() == [2, 3, 3]


@given(st.lists(st.floats(0, 10), max_size=8), st.lists(st.floats(0, 10), min_size=1, max_size=5))
def test_every_lick_goes_to_the_last_trial_that_started_before_it(licks, starts):
    licks, starts = np.sort(licks), np.sort(starts)
    counts = np.diff(split_by_trial(licks, starts), prepend=0)
    owners = [max([0, *(k for k, start in enumerate(starts) if start < lick)]) for lick in licks]
    assert counts.tolist() == [owners.count(k) for k in range(len(starts))]


def test_the_flag_of_releases_before_0_5_is_read(make_recording, task):
    old = task | {f"{TRIALS}/stimulus_change": task[f"{TRIALS}/is_change"]}
    del old[f"{TRIALS}/is_change"]
    assert nwb.read_trials(make_recording(old))["is_change"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lick_times_index": [2, 1, 3]}, "lick_times_index must ascend"),
        ({"lick_times_index": [2, 3, 4]}, "number of licks, 3, and ends at 4"),
        ({"hit": [0.0, 2.0, 1.0]}, f"/{TRIALS}/hit: 0 and 1 are expected"),
        ({"start_time": [1.0]}, r"start_time has shape \(1,\)"),
        ({"change_frame": [1.5, 2, 3]}, r"change_frame: .* row 0 holds 1\.5"),
    ],
)
def test_contradictions_are_named(make_recording, task, changes, problem):
    changes = {f"{TRIALS}/{name}": value for name, value in changes.items()}
    recording = make_recording(task | changes)
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_trials(recording)
