from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vbn.analysis import EVENTS, select_event_times


@pytest.fixture
def presentations() -> pd.DataFrame:
    """Two blocks of five flashes, the second replaying the first, with a gabor between them.

    Active: A A(omitted) A B(change) B(sham); passive the same, and its first flash follows no active one.
    """
    flags = {
        "is_change": [False, False, False, True, False],
        "omitted": [False, True, False, False, False],
        "is_sham_change": [False, False, False, False, True],
    }
    frame = pd.DataFrame({name: pd.array(2 * values, dtype="boolean") for name, values in flags.items()})
    frame["start_time"] = np.concatenate((np.arange(5.0), 100 + np.arange(5.0)))
    frame["active"] = [True] * 5 + [False] * 5
    gabor = pd.DataFrame({"start_time": [50.0], "active": [False], "is_sham_change": [False]})
    gabor[["is_change", "omitted"]] = pd.array([pd.NA], dtype="boolean")[0]
    gabor = gabor.astype({"is_change": "boolean", "omitted": "boolean", "is_sham_change": "boolean"})
    return pd.concat([frame.iloc[:5], gabor, frame.iloc[5:]], ignore_index=True)


@pytest.mark.parametrize(
    ("event", "condition", "times"),
    [
        ("change", "active", [3]),
        ("change", "passive", [103]),
        ("omission", "active", [1]),
        ("omission", "passive", [101]),
        ("pre_change", "active", [2]),
        ("pre_change", "passive", [102]),
        ("sham_change", "active", [4]),
        ("sham_change", "passive", [104]),
    ],
)
def test_finds_each_event_in_each_condition(presentations, event, condition, times):
    assert select_event_times(presentations, event, condition).tolist() == times


@pytest.mark.parametrize("event", EVENTS)
def test_order_and_index_of_the_rows_do_not_matter(presentations, event):
    shuffled = presentations.sample(frac=1, random_state=0).set_index(np.zeros(11, int))
    np.testing.assert_array_equal(
        select_event_times(shuffled, event, "active"), select_event_times(presentations, event, "active")
    )


@pytest.mark.parametrize("event", EVENTS)
def test_flags_may_be_numbers_with_nan_as_in_the_files(presentations, event):
    as_stored = presentations.astype({"is_change": float, "omitted": float, "is_sham_change": float})
    np.testing.assert_array_equal(
        select_event_times(as_stored, event, "passive"), select_event_times(presentations, event, "passive")
    )


def test_the_last_flash_before_the_replay_is_not_before_a_change(presentations):
    """Even if the replay began with one."""
    presentations.loc[6, "is_change"] = True
    assert select_event_times(presentations, "pre_change", "active").tolist() == [2]


def test_an_omitted_flash_before_a_change_is_left_out(presentations):
    presentations.loc[2, "omitted"] = True
    assert select_event_times(presentations, "pre_change", "active").tolist() == []


@pytest.mark.parametrize("event", EVENTS)
def test_no_presentations_no_events(presentations, event):
    assert select_event_times(presentations.iloc[:0], event, "active").shape == (0,)


def test_does_not_change_its_input(presentations):
    before = presentations.copy(deep=True)
    select_event_times(presentations, "pre_change", "active")
    pd.testing.assert_frame_equal(presentations, before)


def test_unknown_names_are_refused_with_the_known_ones(presentations):
    with pytest.raises(ValueError, match=r"Unknown event 'chnage'\. Known: 'change', 'omission'"):
        select_event_times(presentations, "chnage", "active")
    with pytest.raises(ValueError, match=r"Unknown condition 'both'\. Known: 'active', 'passive'"):
        select_event_times(presentations, "change", "both")


def test_the_corpus_has_as_many_changes_and_omissions_as_were_made(recordings):
    for recording in recordings:
        presentations, truth = recording.table("stimulus_presentations"), recording.content("ground_truth")
        for condition in ("active", "passive"):
            changes = select_event_times(presentations, "change", condition)
            before = select_event_times(presentations, "pre_change", condition)
            assert changes.size == before.size == truth["n_changes"]
            assert select_event_times(presentations, "omission", condition).size == truth["n_omitted"]
            np.testing.assert_allclose(changes - before, 0.75, atol=0.05)
