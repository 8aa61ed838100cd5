"""Each kind of issue, on frames that have it and frames that do not."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.nwb.checks.findings import (
    find_change_issues,
    find_channel_issues,
    find_frame_issues,
    find_infinite_values,
    find_late_spikes,
    find_lick_issues,
    find_missing_laser_table,
    find_missing_pupil,
    find_presentation_issues,
    find_reward_issues,
    find_trial_issues,
    find_unit_issues,
    find_unsorted_times,
)
from vbn.nwb.issue import CODES, SEVERITIES, first_of, issue


def codes(found):
    return {one.code: one.detail for one in found}


@pytest.fixture
def recording(make_recording, ephys, task, stimuli):
    return make_recording(ephys | task | stimuli)


@pytest.fixture
def trials(recording):
    return nwb.read_trials(recording)


@pytest.fixture
def presentations(recording):
    return nwb.read_stimulus_presentations(recording)


def test_every_code_is_a_sentence_and_has_a_severity():
    assert CODES.keys() == SEVERITIES.keys()
    for code, sentence in CODES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", code)
        assert sentence.endswith(".")
        assert sentence[0].isupper()
    assert set(SEVERITIES.values()) == {"info", "warning", "error"}


def test_an_unknown_code_is_our_own_bug():
    with pytest.raises(KeyError):
        issue("no_such_code", "units", "")


def test_channels(recording):
    """101 is invalid; 102 has no coordinates and no structure, 200 has `None`."""
    found = codes(find_channel_issues(nwb.read_channels(recording)))
    assert found == {
        "invalid_channels": "1: 101",
        "missing_ccf": "1: 102",
        "missing_structure": "2: 102, 200",
    }


def test_channels_that_are_not_registered(recording):
    """Seven sessions of the release are at (0, 0, 0); one coordinate may well be 0."""
    channels = nwb.read_channels(recording)
    channels.loc[[0, 1], list(issues_of_ccf())] = 0.0
    channels.loc[3, issues_of_ccf()[0]] = 0.0
    assert codes(find_channel_issues(channels))["zero_ccf"] == "2: 100, 101"


def issues_of_ccf():
    return [f"{axis}_ccf_coordinate" for axis in ("anterior_posterior", "dorsal_ventral", "left_right")]


def test_units(recording):
    units, channels = nwb.read_units(recording), nwb.read_channels(recording)
    found = codes(find_unit_issues(units, channels))
    assert found == {"nan_metrics": "units 1: 30 (snr 1)"}
    channels["valid_data"] = channels["channel_id"] != 200
    assert codes(find_unit_issues(units, channels))["unit_on_invalid_channel"] == "1: 30"


def test_a_metric_that_no_unit_has_is_a_missing_column(recording):
    """`ephys` stores snr alone; that the other columns are NaN is not counted for each unit."""
    units, channels = nwb.read_units(recording), nwb.read_channels(recording)
    assert units["d_prime"].isna().all()
    assert "d_prime" not in codes(find_unit_issues(units, channels))["nan_metrics"]


def test_infinite_values():
    frame = pd.DataFrame({"id": [7, 8, 9], "a": [np.inf, 1.0, -np.inf], "b": [0.0, np.nan, np.inf]})
    found = find_infinite_values(frame, "units")
    assert codes(found) == {"infinite_values": "rows 2: 7, 9 (a 2, b 1)"}
    assert found[0].table == "units"
    assert find_infinite_values(frame[:2], "units", but=["a"]) == []
    assert find_infinite_values(pd.DataFrame({"id": []}), "units") == []


def test_times_that_go_back_or_are_none():
    times = np.array([1.0, 1.0, 0.5, np.nan, 0.7, 0.6])
    assert codes(find_unsorted_times(times, "running")) == {
        "unsorted_times": "rows 2: 2, 5",
        "missing_times": "rows 1: 3",
    }


@given(st.lists(st.one_of(st.just(np.nan), st.floats(0, 10))))
def test_times_are_compared_with_the_last_known_one(times):
    back, last = [], -np.inf
    for row, time in enumerate(times):
        if not np.isnan(time):
            back += [row] if time < last else []
            last = time
    found = codes(find_unsorted_times(np.array(times, dtype=float), "running"))
    assert found.get("unsorted_times") == (f"rows {first_of(back)}" if back else None)
    assert ("missing_times" in found) == np.isnan(times).any()


def test_outcomes(trials):
    assert find_trial_issues(trials) == []
    trials.loc[0, "miss"] = True
    trials.loc[1, "aborted"] = False
    assert codes(find_trial_issues(trials)) == {"trial_outcome_not_one": "2: 0, 1"}


def test_changes(trials, presentations):
    assert find_change_issues(trials, presentations) == []
    trials.loc[0, "change_frame"] = 131
    trials.loc[2, "change_frame"] = 222
    assert codes(find_change_issues(trials, presentations)) == {
        "change_without_presentation": "1: 2",
        "change_beside_presentation": "1: 0",
    }


def test_a_change_in_the_replay_is_no_change(trials, presentations):
    presentations["active"] = False
    found = codes(find_change_issues(trials, presentations))
    assert found == {"change_without_presentation": "2: 0, 2"}


def test_presentations_that_overlap(presentations):
    """One that lasts over three others makes the three overlap; touching is no overlap."""
    assert find_presentation_issues(presentations) == []
    presentations.loc[0, "end_time"] = presentations.loc[1, "start_time"] + 1e-6
    assert find_presentation_issues(presentations) == []
    presentations.loc[0, "end_time"] = presentations.loc[3, "start_time"] + 0.1
    presentations.loc[1, "end_time"] = np.nan
    found = codes(find_presentation_issues(presentations))
    assert found == {"overlapping_presentations": "3: 1, 2, 3"}


def test_blocks_of_several_stimuli(presentations):
    presentations.loc[10, "stimulus_name"] = "other"
    found = find_presentation_issues(presentations)
    assert codes(found) == {"mixed_block": "blocks 1: 2"}
    assert found[0].severity == "error"


def test_frames_without_time(trials, presentations):
    licks = pd.DataFrame({"timestamps": [1.0, 2.0], "frame": [-1, 10]})
    found = find_frame_issues(trials, presentations, licks, np.arange(220.0))
    assert {one.table: one.detail for one in found} == {
        "trials": "rows 1: 2",
        "stimulus_presentations": "rows 7: 4, 5, 6, 7, 8 and 2 more",
        "licks": "rows 1: 0",
    }
    assert find_frame_issues(trials, presentations, licks[1:], np.arange(500.0)) == []


def test_licks():
    licks = pd.DataFrame({"timestamps": [1.0, 2.0, 1.5, 3.0], "frame": [10, 20, 21, 15]})
    assert codes(find_lick_issues(licks)) == {"licks_out_of_order": "2: 2, 3"}
    assert find_lick_issues(licks[:2]) == []
    assert codes(find_lick_issues(licks[:0])) == {"no_licks": "0 licks"}


def test_rewards():
    """Licks at 2 and 5 s: they earn rewards until 3 and 6 s, both ends included."""
    licks = pd.DataFrame({"timestamps": [5.0, 2.0], "frame": [50, 20]})
    times = [1.99, 2.0, 3.0, 3.01, 4.0, 6.0]
    automatic = [False, False, False, False, True, False]
    rewards = pd.DataFrame({"timestamps": times, "volume": 0.003, "auto_rewarded": automatic})
    assert codes(find_reward_issues(rewards, licks)) == {"reward_without_lick": "2: 0, 3"}
    assert codes(find_reward_issues(rewards, licks[:0])) == {"reward_without_lick": "5: 0, 1, 2, 3, 5"}
    assert codes(find_reward_issues(rewards[:0], licks)) == {"no_rewards": "0 rewards"}


@pytest.mark.parametrize(("last", "severity"), [(100.5, "info"), (160.5, "warning")])
def test_spikes_after_everything_else(last, severity):
    (found,) = find_late_spikes({3: 99.0, 4: last}, 100.0)
    assert found.severity == severity
    assert found.detail == f"units 1: 4; the last spike is {last - 100:.3f} s after 100.000 s"


def test_no_spike_is_late_without_times():
    assert find_late_spikes({3: 1.0}, float("nan")) == []
    assert find_late_spikes({}, 1.0) == []


def test_a_missing_pupil_or_laser_table():
    eye = pd.DataFrame({"pupil_area_raw": [np.nan, np.nan]})
    assert codes(find_missing_pupil(None)) == {"missing_pupil": "there is no eye tracking"}
    assert codes(find_missing_pupil(eye)) == {"missing_pupil": "no pupil in 2 frames"}
    assert find_missing_pupil(eye.fillna(1.0)) == []
    assert codes(find_missing_laser_table(None)) == {
        "missing_laser_table": "there is no table of laser pulses"
    }
    assert find_missing_laser_table(eye) == []
