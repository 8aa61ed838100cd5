"""Rewards, licks, running and laser pulses, from hand-made files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.behavior import with_forward_positive

RUNNING = "processing/running"
PULSES = "processing/optotagging/optogenetic_stimulation"


def test_rewards_are_read_with_the_times_of_their_module(make_recording):
    contents = {
        "processing/rewards/autorewarded/timestamps": [1.0, 2.0],
        "processing/rewards/autorewarded/data": [True, False],
        "processing/rewards/volume/timestamps": [1.0, 2.0],
        "processing/rewards/volume/data": [0.005, 0.003],
    }
    rewards = nwb.read_rewards(make_recording(contents))
    assert rewards.to_dict("list") == {
        "timestamps": [1.0, 2.0],
        "volume": [0.005, 0.003],
        "auto_rewarded": [True, False],
    }
    contents["processing/rewards/volume/timestamps"] = [1.0]
    contents["processing/rewards/volume/data"] = [0.005]
    with pytest.raises(InvalidContentError, match=r"autorewarded has 2 entries and .*volume has 1"):
        nwb.read_rewards(make_recording(contents))


def test_no_rewards_and_no_licks_are_empty_frames_of_the_right_types(make_recording, root):
    recording = make_recording(root)
    rewards, licks = nwb.read_rewards(recording), nwb.read_licks(recording)
    assert [str(kind) for kind in rewards.dtypes] == ["float64", "float64", "bool"]
    assert [str(kind) for kind in licks.dtypes] == ["float64", "int64"]
    assert rewards.empty
    assert licks.empty


def running(speed, raw, raw_times=None):
    times = np.arange(len(speed), dtype=float)
    return {
        f"{RUNNING}/speed/timestamps": times,
        f"{RUNNING}/speed/data": np.asarray(speed, float),
        f"{RUNNING}/speed_unfiltered/timestamps": times if raw_times is None else raw_times,
        f"{RUNNING}/speed_unfiltered/data": np.asarray(raw, float),
    }


def test_each_trace_is_turned_round_by_its_own_mean(make_recording):
    """Means are -2 and -1 cm/s; the bound is not reached by the second."""
    found = nwb.read_running(make_recording(running([-3, -1], [-3, 1])))
    assert found["speed"].tolist() == [3, 1]
    assert found["raw_speed"].tolist() == [-3, 1]


def test_two_traces_of_different_times_are_refused(make_recording):
    with pytest.raises(InvalidContentError, match="/processing/running/speed_unfiltered/timestamps differ"):
        nwb.read_running(make_recording(running([1, 2], [1, 2], raw_times=[0.0, 1.5])))


@given(st.lists(st.one_of(st.floats(-50, 50), st.just(np.nan)), max_size=20))
def test_a_trace_is_turned_round_or_left(values):
    speed = np.array(values, dtype=float)
    known = [value for value in values if not np.isnan(value)]
    found = with_forward_positive(speed)
    if not known or np.mean(known) > -1:
        np.testing.assert_array_equal(found, speed)
    elif np.mean(known) < -1:
        np.testing.assert_array_equal(found, -speed)


def pulses(level):
    n = len(level)
    return {
        f"{PULSES}/id": np.arange(n),
        f"{PULSES}/start_time": np.arange(n, dtype=float),
        f"{PULSES}/stop_time": np.arange(n) + 0.01,
        f"{PULSES}/duration": np.full(n, 0.01),
        f"{PULSES}/condition": ["a single square pulse"] * n,
        f"{PULSES}/stimulus_name": ["pulse"] * n,
        f"{PULSES}/level": np.asarray(level, float),
    }


def test_levels_are_ranked_within_the_session(make_recording):
    found = nwb.read_optotagging(make_recording(pulses([1.7, 0.78, 1.0, 0.78])))
    assert found["level_rank"].tolist() == [2, 0, 1, 0]
    assert found["pulse_id"].tolist() == [0, 1, 2, 3]
    assert found["level_rank"].dtype == np.int64


def test_no_pulses_are_none(make_recording, root):
    assert nwb.read_optotagging(make_recording(root)) is None
    empty = {path: np.empty(0) for path in pulses([1.0])}
    assert nwb.read_optotagging(make_recording(empty)) is None


def test_pulses_that_end_before_they_start_are_named(make_recording):
    contents = pulses([1.0, 2.0, 1.0])
    contents[f"{PULSES}/stop_time"] = contents[f"{PULSES}/start_time"] + np.array([0.01, -0.01, -1e300])
    with pytest.raises(InvalidContentError, match=f"/{PULSES}: 2 pulses end before they start, .* row 1"):
        nwb.read_optotagging(make_recording(contents))


def test_a_pulse_without_level_is_named(make_recording):
    with pytest.raises(InvalidContentError, match=f"/{PULSES}/level: levels are expected, and 1 rows"):
        nwb.read_optotagging(make_recording(pulses([1.0, np.nan])))
