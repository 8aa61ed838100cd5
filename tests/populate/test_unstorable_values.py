"""Values that the columns of the database cannot hold: an error in one line, and nothing of the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Damage = Callable[[h5py.File], None]


def images(file: h5py.File) -> h5py.Group:
    return next(table for name, table in file["intervals"].items() if name.startswith("Natural"))


def replace(parent: h5py.Group, name: str, values: Any) -> None:
    attributes = dict(parent[name].attrs)
    del parent[name]
    is_text = np.asarray(values).dtype.kind in "OU"
    parent.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
    parent[name].attrs.update(attributes)


def large_block(file: h5py.File) -> None:
    images(file)["stimulus_block"][...] = 2**62


def large_frame(file: h5py.File) -> None:
    file["intervals/flash_250ms_presentations/start_frame"][0] = 2**40


def large_cluster(file: h5py.File) -> None:
    file["units/cluster_id"][0] = 2**40


def endless_trial(file: h5py.File) -> None:
    file["intervals/trials/trial_length"][0] = np.nan


def endless_block(file: h5py.File) -> None:
    file["intervals/flash_250ms_presentations/stop_time"][...] = np.nan


def long_quality(file: h5py.File) -> None:
    replace(file["units"], "quality", ["good " * 100] * len(file["units/id"]))


def long_acronym(file: h5py.File) -> None:
    file["general/extracellular_ephys/electrodes/location"][0] = "VISp" * 100


def long_image(file: h5py.File) -> None:
    names = images(file)["image_name"].asstr()[:]
    names[0] = "im" * 200
    replace(images(file), "image_name", names)


DAMAGES: dict[Damage, str] = {
    large_block: "Stimulus",
    large_frame: "Stimulus",
    large_cluster: "Recording",
    endless_trial: "ChangeDetection",
    endless_block: "Stimulus",
    long_quality: "Recording",
    long_acronym: "Recording",
    long_image: "Stimulus",
}
PREFIX = {
    "Recording": "ecephys._recording",
    "Stimulus": "stimulus._stimulus",
    "ChangeDetection": "behavior._change_detection",
}


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> tuple[Any, dict]:
    database = make_database()
    paths = {damage: damaged_copy(damage) for damage in (*DAMAGES, trials_of_nowhere)}
    outcomes = database.json_lines("register", *paths.values())
    assert {outcome["status"] for outcome in outcomes} == {"registered"}
    wanted = [word for table in ("Recording", "ChangeDetection", "Stimulus") for word in ("--table", table)]
    database.call("populate", *wanted, check=False)
    return database, {damage: int(path.stem.rsplit("_")[-1]) for damage, path in paths.items()}


def trials_of_nowhere(file: h5py.File) -> None:
    images(file)["trials_id"][...] = 700


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_table_fails_in_one_line_or_holds_what_can_be_held(imported: Any, damage: Damage) -> None:
    database, ids = imported
    errors = [error for error in database.json("errors") if error["key"]["session_id"] == ids[damage]]
    assert {error["table"] for error in errors} <= {DAMAGES[damage], "Stimulus"}
    counts = database.row_counts(ids[damage])
    for error in errors:
        message = error["message"]
        assert "\n" not in message
        assert len(message) < 800
        assert not re.match(r"\w+(Error|OutOfRange|Truncation|Exception): ", message), message
        parts = {name for name in counts if name.startswith(PREFIX[error["table"]])}
        assert {counts[name] for name in parts} == {0}
    if not errors:
        assert all(counts[PREFIX[table]] == 1 for table in PREFIX)


def test_presentations_of_trials_that_there_are_not_end_in_words_or_an_issue(imported: Any) -> None:
    database, ids = imported
    session_id = ids[trials_of_nowhere]
    errors = [error for error in database.json("errors") if error["key"]["session_id"] == session_id]
    if errors:
        assert [error["table"] for error in errors] == ["Stimulus"]
        assert "\n" not in errors[0]["message"]
        assert not re.match(r"\w+Error: ", errors[0]["message"])
    counts = database.row_counts(session_id)
    assert (counts["stimulus._stimulus__presentation"] > 0) == (not errors)


def test_the_store_holds_nothing_of_what_failed(imported: Any) -> None:
    database, _ = imported
    assert database.stored_files() == database.referenced_files()
