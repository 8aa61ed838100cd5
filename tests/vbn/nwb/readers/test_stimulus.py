"""Stimulus presentations, from hand-made files; see the fixtures `stimuli` and `task`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers import derived_columns
from vbn.nwb.readers.stimulus import COLUMNS, runs_of

IMAGE = "intervals/Natural_Images_presentations"
GRAY = "intervals/spontaneous_presentations"
FLAGS = ["is_change", "is_image_novel", "omitted", "rewarded"]


def less(contents, *names):
    return {path: value for path, value in contents.items() if path.rsplit("/", 1)[-1] not in names}


def test_tables_are_joined_in_time_with_all_columns(make_recording, stimuli):
    found = nwb.read_stimulus_presentations(make_recording(stimuli))
    assert tuple(found) == COLUMNS
    assert len(found.columns) == 28
    assert found["presentation_id"].tolist() == list(range(11))
    assert found["start_time"].is_monotonic_increasing
    assert found["stimulus_block"].tolist() == [0] * 5 + [1] + [2] * 5


def test_each_column_has_one_type_whatever_the_file_holds(make_recording, stimuli):
    found = nwb.read_stimulus_presentations(make_recording(stimuli)).dtypes.astype(str)
    assert set(found[FLAGS]) == {"boolean"}
    assert set(found[["flashes_since_change", "stimulus_index", "trials_id", "end_frame"]]) == {"Int64"}
    assert set(found[["active", "is_sham_change"]]) == {"bool"}
    assert set(found[["stimulus_block", "start_frame", "presentation_id"]]) == {"int64"}
    assert set(found[["image_name", "stimulus_name"]]) == {"object"}
    assert set(found[["color", "contrast", "orientation", "duration"]]) == {"float64"}


def test_what_does_not_apply_is_missing(make_recording, stimuli):
    gray = nwb.read_stimulus_presentations(make_recording(stimuli)).loc[5]
    assert gray["image_name"] is None
    assert gray[[*FLAGS, "flashes_since_change", "stimulus_index", "trials_id", "contrast"]].isna().all()
    assert not gray["active"]


def test_an_omitted_image_has_no_novelty_and_no_duration(make_recording, stimuli):
    omitted = nwb.read_stimulus_presentations(make_recording(stimuli)).loc[3]
    assert omitted["omitted"]
    assert omitted[["is_image_novel", "duration"]].isna().all()


@pytest.mark.parametrize("missing", [np.nan, -99])
def test_an_omitted_image_may_have_no_end(make_recording, stimuli, missing):
    ends = np.where(np.asarray(stimuli[f"{IMAGE}/omitted"]) == 1, missing, stimuli[f"{IMAGE}/end_frame"])
    found = nwb.read_stimulus_presentations(make_recording(stimuli | {f"{IMAGE}/end_frame": ends}))
    assert found["end_frame"].isna().tolist() == found["omitted"].fillna(False).tolist()


@pytest.mark.parametrize("missing", ["N/A", ""])
def test_a_stimulus_without_a_name_has_that_of_its_table(make_recording, stimuli, missing):
    unnamed = {f"{GRAY}/stimulus_name": [missing]}
    found = nwb.read_stimulus_presentations(make_recording(stimuli | unnamed))
    assert found.equals(nwb.read_stimulus_presentations(make_recording(stimuli)))


def test_sorting_keeps_the_order_of_equal_times(make_recording, stimuli):
    starts = np.full(10, 5.0)
    found = nwb.read_stimulus_presentations(make_recording(stimuli | {f"{IMAGE}/start_time": starts}))
    assert found["start_frame"][:10].tolist() == stimuli[f"{IMAGE}/start_frame"].tolist()


def test_plain_bools_are_trusted_where_there_are_images(make_recording, stimuli):
    """As older files have them: in every table, True for missing."""
    old = dict(stimuli)
    for name in FLAGS:
        old[f"{IMAGE}/{name}"] = np.nan_to_num(np.asarray(stimuli[f"{IMAGE}/{name}"]), nan=1.0) != 0
        old[f"{GRAY}/{name}"] = [True]
    old[f"{GRAY}/image_name"] = ["N/A"]
    old[f"{IMAGE}/flashes_since_change"] = np.asarray(stimuli[f"{IMAGE}/flashes_since_change"], float)
    old[f"{GRAY}/flashes_since_change"] = [np.nan]
    found = nwb.read_stimulus_presentations(make_recording(old))
    assert found.equals(nwb.read_stimulus_presentations(make_recording(stimuli)))


@pytest.mark.parametrize(
    "absent",
    [
        ("stimulus_block",),
        ("stimulus_name",),
        ("active",),
        ("trials_id",),
        ("is_sham_change",),
        ("stimulus_block", "active", "trials_id", "is_sham_change"),
    ],
)
def test_what_is_not_stored_is_worked_out(make_recording, stimuli, task, absent):
    found = nwb.read_stimulus_presentations(make_recording(less(stimuli, *absent) | task))
    assert found.equals(nwb.read_stimulus_presentations(make_recording(stimuli | task)))


def test_what_is_stored_is_not_worked_out(make_recording, stimuli, task):
    """Even where the trials say otherwise, as AllenSDK does it."""
    stored = {
        f"{IMAGE}/trials_id": [-99] * 10,
        f"{IMAGE}/active": [False] * 10,
        f"{IMAGE}/is_sham_change": [False] * 10,
    }
    found = nwb.read_stimulus_presentations(make_recording(stimuli | stored | task))
    assert found["trials_id"].isna().all()
    assert not found[["active", "is_sham_change"]].any(axis=None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({f"{IMAGE}/start_time": None}, f"/{IMAGE}/start_time is missing"),
        ({f"{GRAY}/start_time": [np.nan]}, "1 start times are missing"),
        ({f"{GRAY}/stimulus_block": None}, "some presentations have no stimulus_block, those of spontaneous"),
        ({f"{IMAGE}/is_change": np.full(10, 3.0)}, f"/{IMAGE}/is_change: 0 and 1 are expected"),
        ({f"{IMAGE}/trials_id": np.full(10, 0.5)}, f"/{IMAGE}/trials_id: whole numbers are expected"),
    ],
)
def test_contradictions_are_named(make_recording, stimuli, changes, problem):
    changed = {path: value for path, value in (stimuli | changes).items() if value is not None}
    recording = make_recording(changed)
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_stimulus_presentations(recording)


def test_presentations_need_no_trials_frames_images_or_ends(make_recording, stimuli):
    assert len(nwb.read_stimulus_presentations(make_recording(stimuli))) == 11
    alone = nwb.read_stimulus_presentations(make_recording(less(stimuli, "trials_id")))
    assert alone["trials_id"].isna().all()
    lost = ("start_frame", "end_frame", "stop_time", "image_name")
    bare = {path: value for path, value in stimuli.items() if not path.endswith(lost)}
    found = nwb.read_stimulus_presentations(make_recording(bare))
    assert len(found) == 11
    assert found[["start_frame", "end_frame", "end_time", "image_name"]].isna().all(axis=None)


def test_a_file_without_presentations_has_none(make_recording, root):
    found = nwb.read_stimulus_presentations(make_recording(root))
    assert len(found) == 0
    assert "start_time" in found


def test_stimulus_timestamps_are_those_of_the_frames(make_recording):
    times = nwb.read_stimulus_timestamps(
        make_recording({"processing/stimulus/timestamps/timestamps": np.arange(3, dtype=np.float32)})
    )
    assert times.dtype == np.float64
    assert times.tolist() == [0.0, 1.0, 2.0]


@given(st.lists(st.sampled_from("abc")))
def test_runs_are_counted_as_in_a_plain_loop(names):
    wanted: list[Any] = []
    for k, name in enumerate(names):
        wanted.append(0 if not k else wanted[-1] + (name != names[k - 1]))
    assert runs_of(np.array(names, dtype=object)).tolist() == wanted


def presentations(starts, images, blocks, active):
    return pd.DataFrame(
        {
            "start_time": np.array(starts, dtype=float),
            "start_frame": np.array(starts, dtype=np.int64),
            "image_name": pd.Series(images, dtype=object),
            "stimulus_block": np.array(blocks, dtype=np.int64),
            "active": np.array(active, dtype=bool),
        }
    )


def slow_trials_ids(rows, trials):
    """AllenSDK's rule, trial by trial: a later trial takes what an earlier one had."""
    found = [None] * len(rows)
    for trial in trials.itertuples():
        for k, row in enumerate(rows.itertuples()):
            if trial.start_time < row.start_time < trials["stop_time"].max() and row.image_name is not None:
                found[k] = trial.trial_id
    return found


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["im1", "im2", None])), max_size=12),
    st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True),
)
def test_trials_of_presentations_are_those_of_a_plain_loop(shown, starts):
    shown = sorted(shown, key=lambda row: row[0])
    rows = presentations(
        [start for start, _ in shown], [image for _, image in shown], [0] * len(shown), [True] * len(shown)
    )
    starts = np.sort(np.array(starts, dtype=float))
    trials = pd.DataFrame({"trial_id": range(len(starts)), "start_time": starts, "stop_time": starts + 3})
    found = derived_columns.trials_of_presentations(rows, trials)
    assert [None if pd.isna(value) else value for value in found] == slow_trials_ids(rows, trials)


def test_only_a_replay_of_the_same_images_gets_the_values():
    """Block 1 shows the images of block 0, block 2 others, block 3 none, block 4 one fewer."""
    rows = presentations(
        range(9),
        ["a", "b", "a", "b", "b", "a", None, None, "a"],
        [0, 0, 1, 1, 2, 2, 3, 3, 4],
        [True, True, False, False, False, False, False, False, False],
    )
    values = pd.Series([10, 11, 0, 0, 0, 0, 0, 0, 0])
    assert derived_columns.copied_to_replay(values, rows).tolist() == [10, 11, 10, 11, 0, 0, 0, 0, 0]
    assert values.tolist() == [10, 11, 0, 0, 0, 0, 0, 0, 0]


def test_nothing_is_active_without_trials():
    rows = presentations([1, 2], ["a", "b"], [0, 0], [False, False])
    none = pd.DataFrame({"trial_id": [], "start_time": [], "stop_time": []}, dtype=float)
    assert not derived_columns.active_presentations(rows, none).any()
    assert derived_columns.trials_of_presentations(rows, none).isna().all()


def test_a_block_is_active_as_a_whole():
    """Its first image comes before the first trial."""
    rows = presentations([1, 3, 9], ["a", "b", "c"], [0, 0, 1], [False] * 3)
    trials = pd.DataFrame({"trial_id": [0], "start_time": [2.0], "stop_time": [5.0]})
    assert derived_columns.active_presentations(rows, trials).tolist() == [True, True, False]
