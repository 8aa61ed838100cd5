"""Behaviour-only sessions: opening them, their own columns, gratings; what older ones do not store."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError, WrongKindError
from vbn.nwb.readers import derived_columns

BEHAVIOR_ONLY = nwb.FileKind.BEHAVIOR_ONLY


def unchanged(_):
    """Change nothing in a copy."""


def test_open_session_takes_recordings_and_behaviour_only_files(usual_path, behavior_path):
    with nwb.open_session(usual_path) as session:
        assert session.identity.kind is nwb.FileKind.RECORDING
        assert nwb.read_session(session).kind is nwb.FileKind.RECORDING
    with nwb.open_session(str(behavior_path)) as session:
        assert session.identity.kind is BEHAVIOR_ONLY
        assert session.nwbfile.identifier == str(session.identity.identifier)
    assert not session.file


def test_open_session_refuses_lfp_files(lfp_path):
    with pytest.raises(WrongKindError, match="LFP file of one probe"), nwb.open_session(lfp_path):
        pass


def test_open_lfp_refuses_sessions(usual_path, behavior_path):
    with pytest.raises(WrongKindError, match="this is a recording"), nwb.open_lfp(usual_path):
        pass
    with pytest.raises(WrongKindError, match="a behaviour-only session"), nwb.open_lfp(behavior_path):
        pass


def test_open_recording_stays_strict(behavior_path):
    with pytest.raises(WrongKindError, match="behaviour-only"), nwb.open_recording(behavior_path):
        pass


def test_a_missing_part_is_told_of_the_right_kind(mutated, open_plainly, behavior_path):
    path = mutated(lambda file: file.__delitem__("intervals/trials/hit"), behavior_path)
    with pytest.raises(InvalidContentError, match=r"hit is missing, which a VBN behaviour-only ses"):
        nwb.read_trials(open_plainly(path, BEHAVIOR_ONLY))


def test_each_kind_needs_its_own_change_time(make_recording, task):
    """The name tells the time base, so that one must not pass for the other."""
    name = "intervals/trials/change_time"
    other = {path: value for path, value in task.items() if not path.startswith(name)}
    training = other | {name: task[f"{name}_no_display_delay"]}
    recorded = nwb.read_trials(make_recording(training))
    assert recorded["change_time_no_display_delay"].isna().all()
    assert "change_time" not in recorded
    trained = nwb.read_trials(make_recording(task, BEHAVIOR_ONLY))
    assert trained["change_time"].isna().all()
    assert "change_time_no_display_delay" not in trained
    found = nwb.read_trials(make_recording(training, BEHAVIOR_ONLY))
    assert found["change_time"][0] == 12.9
    assert found["response_latency"].isna().all()


def test_an_infinite_latency_means_no_lick(make_recording, task):
    name = "intervals/trials/change_time"
    training = task | {
        name: task[f"{name}_no_display_delay"],
        "intervals/trials/response_latency": [0.4, np.nan, np.inf],
    }
    found = nwb.read_trials(make_recording(training, BEHAVIOR_ONLY))["response_latency"]
    np.testing.assert_array_equal(found, [0.4, np.nan, np.inf])


def test_a_recording_has_no_description_and_no_uuid(recording):
    """The writer puts the text ``None`` for the uuid."""
    session = nwb.read_session(recording)
    assert session.behavior_session_uuid is None
    assert session.experiment_description is None


def gratings(file):
    """Turn the images of a training session into gratings that change orientation every 20 flashes."""
    intervals = file["intervals"]
    table = next(name for name in intervals if name.endswith("_presentations"))
    intervals.move(table, "grating_presentations")
    group = intervals["grating_presentations"]
    n_rows = len(group["id"])
    orientation = np.where(np.arange(n_rows) // 20 % 2, 90.0, 0.0)
    group["orientation"] = orientation
    group["phase"] = np.zeros(n_rows)
    group["spatial_frequency"] = np.full(n_rows, 0.04)
    group["image_name"][:] = [f"gratings_{value}" for value in orientation]
    group["stimulus_name"][:] = ["grating"] * n_rows
    group["image_set"][:] = ["grating"] * n_rows
    group["omitted"][:] = np.zeros(n_rows, dtype=group["omitted"].dtype)
    file["general/task_parameters"].attrs["session_type"] = "TRAINING_1_gratings"
    file["general/task_parameters"].attrs["stimulus_duration_sec"] = np.nan


def test_gratings_have_their_parameters_and_no_image_set_letter(mutated, open_plainly, behavior_path):
    session = open_plainly(mutated(gratings, behavior_path), BEHAVIOR_ONLY)
    found = nwb.read_stimulus_presentations(session)
    assert found["phase"].dtype == np.float64
    assert set(found["phase"]) == {0.0}
    assert set(found["spatial_frequency"]) == {0.04}
    assert set(found["image_name"]) == {"gratings_0.0", "gratings_90.0"}
    assert set(found["image_set"]) == {"grating"}
    assert not found["omitted"].any()
    assert found[["position_x", "contrast", "color", "temporal_frequency"]].isna().all(axis=None)
    parameters = nwb.read_task_parameters(session)
    assert (parameters.image_set, parameters.stimulus_duration_sec) == ("gratings", None)


def test_changes_of_training_are_found_anew(mutated, open_plainly, behavior_path):
    """Every 20th grating differs from the one before, whatever is stored (as AllenSDK does it)."""
    session = open_plainly(mutated(gratings, behavior_path), BEHAVIOR_ONLY)
    found = nwb.read_stimulus_presentations(session)
    numbers = np.arange(len(found))
    assert found["is_change"].tolist() == ((numbers % 20 == 0) & (numbers > 0)).tolist()
    assert found["flashes_since_change"].tolist() == (numbers % 20).tolist()


def test_gratings_without_names_are_named_by_their_orientation(mutated, open_plainly, behavior_path):
    def nameless(file):
        gratings(file)
        del file["intervals/grating_presentations/image_name"]

    wanted = nwb.read_stimulus_presentations(open_plainly(mutated(gratings, behavior_path), BEHAVIOR_ONLY))
    found = nwb.read_stimulus_presentations(open_plainly(mutated(nameless, behavior_path), BEHAVIOR_ONLY))
    assert found.equals(wanted)


@pytest.mark.parametrize("names", [("trials_id",), ("active", "trials_id", "is_sham_change"), ("is_change",)])
def test_what_an_old_training_file_lacks_is_worked_out(mutated, open_plainly, behavior_path, names):
    def drop(file):
        for table in file["intervals"].values():
            for name in names:
                if name in table and "flashes_since_change" in table:
                    del table[name]

    found = nwb.read_stimulus_presentations(open_plainly(mutated(drop, behavior_path), BEHAVIOR_ONLY))
    with h5py.File(behavior_path) as file:
        table = next(name for name in file["intervals"] if name.endswith("_presentations"))
        for name in names:
            worked_out = found[name].fillna(-99) if name == "trials_id" else found[name]
            assert worked_out.tolist() == file[f"intervals/{table}/{name}"][:].tolist()


def slow_changes(names, blocks):
    """AllenSDK's rules, row by row, for each block by itself."""
    changes: list[Any] = []
    counts: list[Any] = []
    for k, (name, block) in enumerate(zip(names, blocks, strict=True)):
        earlier = [n for n, b in zip(names[:k], blocks[:k], strict=True) if b == block and n is not None]
        shown = [n for n in earlier if n != "omitted"]
        if name is None:
            changes.append(None)
            counts.append(None)
            continue
        changes.append(name != "omitted" and bool(shown) and name != shown[-1])
        before = [c for c, b in zip(counts, blocks[:k], strict=True) if b == block and c is not None]
        if name == "omitted":
            counts.append(before[-1] if before else 0)
        else:
            counts.append(before[-1] + 1 if shown and not changes[-1] else 0)
    return changes, counts


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "omitted", None]), st.integers(0, 2)), max_size=15))
def test_changes_and_flashes_are_those_of_a_plain_loop(rows):
    rows = sorted(rows, key=lambda row: row[1])
    names, blocks = [name for name, _ in rows], [block for _, block in rows]
    frame = pd.DataFrame(
        {
            "image_name": pd.Series(names, dtype=object),
            "omitted": pd.array([None if name is None else name == "omitted" for name in names], "boolean"),
            "stimulus_block": np.array(blocks, dtype=np.int64),
        }
    )
    frame["is_change"] = derived_columns.image_changes(frame)
    frame["flashes_since_change"] = derived_columns.flashes_since_change(frame)
    changes, counts = slow_changes(names, blocks)
    assert [None if pd.isna(value) else value for value in frame["is_change"]] == changes
    assert [None if pd.isna(value) else value for value in frame["flashes_since_change"]] == counts
