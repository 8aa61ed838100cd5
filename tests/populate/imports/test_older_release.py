"""A file as the releases v0.3 and v0.4 have it gives the same rows, as far as they can be worked out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.files

FLAGS = ("is_change", "omitted", "rewarded", "is_image_novel")
OF_THE_COPY = ("_source_hash", "_at")
TABLES = ("Recording", "ChangeDetection", "Stimulus", "TaskParameters")


def drop(table: h5py.Group, *names: str) -> None:
    for name in names:
        if name in table:
            del table[name]
    table.attrs["colnames"] = [name for name in table.attrs["colnames"] if name not in names]


def replace(table: h5py.Group, name: str, values: np.ndarray) -> None:
    attributes = dict(table[name].attrs)
    del table[name]
    table[name] = values
    table[name].attrs.update(attributes)


def older(file: h5py.File) -> None:
    """No derived columns; counts as floats; flags without missing values, which had become True."""
    presentations = [table for name, table in file["intervals"].items() if name.endswith("_presentations")]
    for table in presentations:
        drop(table, "trials_id", "is_sham_change")
        for name in ("flashes_since_change", "stimulus_index"):
            if name in table:
                replace(table, name, table[name][:].astype(float))
        for name in FLAGS:
            if name in table:
                stored = table[name][:].astype(float)
                replace(table, name, np.where(np.isnan(stored), True, stored).astype(bool))
    without_stimulus_name(file)
    trials = file["intervals/trials"]
    trials.move("is_change", "stimulus_change")
    names = [{"is_change": "stimulus_change"}.get(name, name) for name in trials.attrs["colnames"]]
    trials.attrs["colnames"] = names
    drop(file["units"], "quality")


def without_stimulus_name(file: h5py.File) -> None:
    """Neither the parameter nor its place in the specification that the file brings with it."""
    del file["general/task_parameters"].attrs["stimulus_name"]
    found = [
        dataset
        for extension in file["specifications"].values()
        for version in extension.values()
        for dataset in version.values()
        if "BehaviorTaskParameters" in dataset[()].decode()
    ]
    assert found
    for dataset in found:
        specification = json.loads(dataset[()])
        for group in specification["groups"]:
            kept = [one for one in group.get("attributes", []) if one["name"] != "stimulus_name"]
            group["attributes"] = kept
        dataset[()] = json.dumps(specification)


def unchanged(file: h5py.File) -> None:
    """Change nothing."""


@pytest.fixture(scope="module")
def both(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> Any:
    """A database with the same session in the layouts of two releases."""
    database = make_database()
    paths = [damaged_copy(change) for change in (unchanged, older)]
    ids = [outcome["session_id"] for outcome in database.json_lines("register", *paths)]
    wanted = [word for table in TABLES for word in ("--table", table)]
    assert database.json("populate", *wanted) == {"done": 8, "failures": []}
    database.ids = ids
    return database


def rows_of(database: Any, table: Any, order: str) -> list[list[dict[str, Any]]]:
    database.connect()
    found = []
    for session_id in database.ids:
        rows = (table & {"session_id": session_id}).to_dicts(order_by=order)
        found.append([{k: _comparable(v) for k, v in row.items() if k != "session_id"} for row in rows])
    return found


def _comparable(value: Any) -> Any:
    """Return an id as the original has it, of which a copy's are so much larger."""
    return value % 10**10 if isinstance(value, int) and value > 10**10 else value


def test_presentations_are_the_same_but_for_what_was_not_stored(both: Any) -> None:
    from schemas import stimulus

    new, old = rows_of(both, stimulus.Stimulus.Presentation, "presentation_id")
    assert len(new) == len(old) > 0
    for now, then in zip(new, old, strict=True):
        different = {name for name in now if now[name] != then[name]}
        # An omission's novelty is missing now, and was True then.
        assert different <= ({"is_image_novel"} if now["omitted"] else set()), (now, then)


def test_changes_and_trials_are_the_same(both: Any) -> None:
    from schemas import behavior, stimulus

    new, old = rows_of(both, stimulus.Stimulus.Change, "trial_id")
    assert new == old
    assert all(row["presentation_id"] is not None for row in new)
    new, old = rows_of(both, behavior.ChangeDetection.Trial, "trial_id")
    for now, then in zip(new, old, strict=True):
        np.testing.assert_array_equal(now.pop("lick_times"), then.pop("lick_times"))
        assert now == then


def test_units_have_no_quality_and_are_the_same_else(both: Any) -> None:
    from schemas import ecephys

    new, old = rows_of(both, ecephys.Recording.Unit.proj(..., "-peak_waveform"), "unit_id")
    assert {row.pop("quality") for row in old} == {None}
    for row in new:
        del row["quality"]
    assert new == old


def test_the_task_has_no_name_of_its_images_and_is_the_same_else(both: Any) -> None:
    from schemas import behavior

    (new,), (old,) = rows_of(both, behavior.TaskParameters, "session_id")
    assert old.pop("stimulus_set_name") is None
    assert new.pop("stimulus_set_name") is not None
    assert {n: v for n, v in new.items() if not n.endswith(OF_THE_COPY)} == {
        n: v for n, v in old.items() if not n.endswith(OF_THE_COPY)
    }


def test_what_was_worked_out_and_what_is_missing_is_told(both: Any) -> None:
    rows = both.json("issues", "--session", both.ids[1])
    found = {(row["issue_table"], row["issue_code"]): row["issue_detail"] for row in rows}
    derived = found["stimulus_presentations", "derived_column"]
    assert "trials_id" in derived
    assert "is_sham_change" in derived
    assert "is_change (from stimulus_change)" in found["trials", "derived_column"]
    assert ("units", "no_quality") in found
    assert found["task_parameters", "missing_column"] == "stimulus_name"
    assert "error" not in {row["severity"] for row in rows}
    before = both.json("issues", "--session", both.ids[0])
    assert not [row for row in before if row["issue_code"] in ("derived_column", "no_quality")]
