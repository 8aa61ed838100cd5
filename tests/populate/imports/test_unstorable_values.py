"""Values that the columns of the database cannot hold: an error in one line, and nothing of the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from schemas import stimulus

pytestmark = pytest.mark.slow

Damage = Callable[[h5py.File], None]


def images(file: h5py.File) -> h5py.Group:
    return next(table for name, table in file["intervals"].items() if name.startswith("Natural"))


def replace(parent: h5py.Group, name: str, values: Any) -> None:
    attributes = dict(parent[name].attrs)
    del parent[name]
    is_text = np.asarray(values).dtype.kind in "OU"
    parent.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
    parent[name].attrs.update(attributes)


def replace_text(file: h5py.File, name: str, text: str) -> None:
    del file[name]
    file[name] = text


def large_block(file: h5py.File) -> None:
    images(file)["stimulus_block"][...] = 2**62


def large_frame(file: h5py.File) -> None:
    file["intervals/flash_250ms_presentations/start_frame"][0] = 2**40


def large_cluster(file: h5py.File) -> None:
    file["units/cluster_id"][0] = 2**40


def endless_trial(file: h5py.File) -> None:
    file["intervals/trials/trial_length"][0] = np.nan


def infinite_trial(file: h5py.File) -> None:
    file["intervals/trials/trial_length"][0] = np.inf


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


def long_session(file: h5py.File) -> None:
    file["general/task_parameters"].attrs["task"] = "task " * 100


@dataclass(frozen=True)
class Refused:
    """The table that fails, and its message after the file's name; the rest is read, or refused with it."""

    table: str
    message: str


WHOLE = "a whole number from -{0} to {1} is expected"
INT16, INT32 = (WHOLE.format(2**bits, 2**bits - 1) for bits in (15, 31))
DAMAGES: dict[Damage, Refused] = {
    large_block: Refused(
        "Stimulus", rf"Stimulus\.Block cannot hold block = {2**62} of block {2**62}: {INT16}"
    ),
    large_frame: Refused(
        "Stimulus",
        rf"Stimulus\.Presentation cannot hold start_frame = {2**40} of presentation_id \d+: {INT32}",
    ),
    large_cluster: Refused(
        "Recording", rf"Recording\.Unit cannot hold cluster_id = {2**40}(\.0)? of unit_id \d+: {INT32}"
    ),
    endless_trial: Refused(
        "ChangeDetection",
        r"ChangeDetection\.Trial cannot hold trial_length = nan of trial_id 0: a value is required",
    ),
    infinite_trial: Refused(
        "ChangeDetection",
        r"ChangeDetection\.Trial cannot hold trial_length = inf of trial_id 0: a value is required",
    ),
    endless_block: Refused(
        "Stimulus", r"Stimulus\.Block cannot hold block_stop_time = nan of block 4: a value is required"
    ),
    long_quality: Refused(
        "Recording",
        r"Recording\.Unit cannot hold quality = '(good ){12}\.\.\. \(\d+ characters\)' of unit_id \d+, "
        r"and \d+ more: text of at most 16 characters without NUL characters is expected",
    ),
    long_acronym: Refused(
        "Recording",
        r"Recording\.Channel cannot hold structure_acronym = '(VISp){15}\.\.\. \(400 characters\)' "
        r"of channel_id \d+: text of at most 32 characters",
    ),
    long_image: Refused("Stimulus", r"the image name '(im){30}\.\.\. \(400 characters\)' is longer than 64"),
    long_session: Refused("TaskParameters", r"TaskParameters cannot hold task = '(task ){12}"),
}
PREFIX = {
    "Recording": "ecephys._recording",
    "Stimulus": "stimulus._stimulus",
    "ChangeDetection": "behavior._change_detection",
    "TaskParameters": "behavior._task_parameters",
}


@pytest.fixture(scope="module")
def imported(make_database: Callable[..., Any], damaged_copy: Callable[..., Path]) -> tuple[Any, dict, dict]:
    database = make_database()
    paths = {damage: damaged_copy(damage) for damage in (*DAMAGES, trials_of_nowhere)}
    outcomes = database.json_lines("register", *paths.values())
    assert {outcome["status"] for outcome in outcomes} == {"registered"}
    wanted = [word for table in PREFIX for word in ("--table", table)]
    database.call("populate", *wanted, check=False)
    return database, {damage: int(path.stem.rsplit("_")[-1]) for damage, path in paths.items()}, paths


def trials_of_nowhere(file: h5py.File) -> None:
    images(file)["trials_id"][...] = 700


def errors_of(database: Any, session_id: int) -> dict[str, str]:
    found = database.json("errors")
    return {error["table"]: error["message"] for error in found if error["key"]["session_id"] == session_id}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_error_names_file_table_column_row_and_value(imported: Any, damage: Damage) -> None:
    database, ids, paths = imported
    wanted = DAMAGES[damage]
    errors = errors_of(database, ids[damage])
    assert errors.keys() == {wanted.table}
    message = errors[wanted.table]
    assert message.startswith(f"{paths[damage]}: "), message
    assert re.match(wanted.message, message.removeprefix(f"{paths[damage]}: ")), message
    assert message.endswith("download it again."), message
    assert len(message) < 500


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_nothing_of_the_table_is_entered_and_the_others_are(imported: Any, damage: Damage) -> None:
    database, ids, _ = imported
    counts = database.row_counts(ids[damage])
    failed = DAMAGES[damage].table
    assert {counts[name] for name in counts if name.startswith(PREFIX[failed])} == {0}
    needing = {failed, "Stimulus"} if failed == "ChangeDetection" else {failed}
    assert all(counts[PREFIX[table]] == 1 for table in PREFIX.keys() - needing)


def test_presentations_of_trials_that_there_are_not_lose_them_with_an_issue(imported: Any) -> None:
    database, ids, _ = imported
    session_id = ids[trials_of_nowhere]
    assert errors_of(database, session_id) == {}
    database.connect()
    shown = stimulus.Stimulus.Presentation & {"session_id": session_id} & "is_change IS NOT NULL"
    unknown = shown & "trial_id IS NULL"
    assert len(unknown) == len(shown) > 0
    (found,) = [
        row
        for row in database.json("issues", "--session", session_id)
        if row["issue_code"] == "unknown_trial"
    ]
    assert (found["imported_by"], found["issue_table"]) == ("Stimulus", "stimulus_presentations")
    assert found["severity"] == "warning"
    assert found["issue_detail"].startswith(f"{len(shown)}: 0, 1, 2")


def long_genotype(file: h5py.File) -> None:
    replace_text(file, "general/subject/genotype", "wt/wt;" * 100)


def long_equipment(file: h5py.File) -> None:
    file["general/metadata"].attrs["equipment_name"] = "NP.0" * 100


def huge_age(file: h5py.File) -> None:
    replace_text(file, "general/subject/age", f"P{10**12}D")


def early_date(file: h5py.File) -> None:
    replace_text(file, "session_start_time", "0001-01-01T00:00:00+14:00")


def long_identifier(file: h5py.File) -> None:
    replace_text(file, "identifier", "9" * 30)


UNREGISTERED = {
    long_genotype: r"Mouse cannot hold genotype = '(wt/wt;){10}\.\.\. \(600 characters\)'",
    long_equipment: r"Session cannot hold equipment_name = '(NP\.0){15}\.\.\. \(400 characters\)'",
    early_date: r"/session_start_time '0001-01-01T00:00:00\+14:00' is no ISO date",
    long_identifier: "the identifier '9{30}' of this NWB file is not a whole number",
}


@pytest.mark.parametrize("damage", UNREGISTERED, ids=lambda damage: damage.__name__)
def test_a_session_that_cannot_be_described_is_not_registered(
    imported: Any, damaged_copy: Callable[..., Path], damage: Damage
) -> None:
    database, _, _ = imported
    path = damaged_copy(damage)
    (outcome,) = database.json_lines("register", path, check=False)
    assert outcome["status"] == "failed"
    assert re.match(rf"{path}: {UNREGISTERED[damage]}", outcome["message"]), outcome["message"]


def test_the_store_holds_nothing_of_what_failed(imported: Any) -> None:
    database, _, _ = imported
    assert database.stored_files() == database.referenced_files()


def test_an_age_beyond_a_mouses_is_an_issue(imported: Any, damaged_copy: Callable[..., Path]) -> None:
    from schemas import session

    database, _, _ = imported
    (outcome,) = database.json_lines("register", damaged_copy(huge_age))
    assert outcome["status"] == "registered"
    database.connect()
    key = {"session_id": outcome["session_id"]}
    assert (session.Session & key).fetch1("age_in_days") is None
    assert "unclear_age" in (session.ImportIssue & key).to_arrays("issue_code")
