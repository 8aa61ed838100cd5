"""``vbn register``: files become sessions, once, whole, and with what the catalogue knows."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pytest

pytestmark = pytest.mark.files

CATALOGUE_COLUMNS = [
    "experience_level",
    "session_number",
    "prior_exposures_to_image_set",
    "prior_exposures_to_omissions",
    "abnormal_histology",
    "abnormal_activity",
]


def registered(database: Any) -> list[dict[str, Any]]:
    """Return the rows of Session with their NwbFile, read without DataJoint."""
    columns = ["session_id", *CATALOGUE_COLUMNS, "relative_path", "size_bytes", "blake2b", "file_kind"]
    query = (
        f'SELECT {", ".join(columns)} FROM "{database.prefix}session".session '
        f'JOIN "{database.prefix}session".nwb_file USING (mouse_id, session_id) ORDER BY session_id'
    )
    query = query.replace(".session ", '."session" ').replace(".nwb_file", '."nwb_file"')
    return [dict(zip(columns, row, strict=True)) for row in database.server.query(query)]


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


def test_a_file_is_registered_with_its_size_and_hash(database: Any, synthetic_files: list[Path]) -> None:
    outcomes = database.json_lines("register", synthetic_files[0])
    session_id = int(synthetic_files[0].stem.rsplit("_")[-1])
    assert outcomes == [
        {"path": str(synthetic_files[0]), "status": "registered", "session_id": session_id, "message": ""}
    ]
    (row,) = registered(database)
    content = synthetic_files[0].read_bytes()
    assert row["session_id"] == session_id
    assert row["file_kind"] == "recording"
    assert Path("/") / row["relative_path"] == synthetic_files[0]
    assert row["size_bytes"] == len(content)
    assert row["blake2b"].strip() == hashlib.blake2b(content).hexdigest()


def test_registering_again_changes_nothing(database: Any, synthetic_files: list[Path]) -> None:
    database.call("register", *synthetic_files)
    before = database.contents()
    again = database.call("register", *synthetic_files)
    assert again.stdout.splitlines()[-1] == "2 unchanged."
    assert again.stderr == ""
    assert database.contents() == before


def test_the_same_content_in_another_folder_is_the_same_session(
    database: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    database.call("register", synthetic_files[0])
    copy = Path(shutil.copyfile(synthetic_files[0], tmp_path / "renamed.nwb"))
    before = database.contents()
    assert [outcome["status"] for outcome in database.json_lines("register", copy)] == ["unchanged"]
    assert database.contents() == before


def test_a_file_named_twice_is_registered_once(database: Any, synthetic_files: list[Path]) -> None:
    outcomes = database.json_lines(
        "register", synthetic_files[0], synthetic_files[0].parent, synthetic_files[0]
    )
    assert [outcome["status"] for outcome in outcomes] == ["registered"]


def test_the_catalogue_may_come_later_and_must_agree(
    database: Any, synthetic_sessions: Path, synthetic_files: list[Path], tmp_path: Path
) -> None:
    """Without a catalogue its columns are NULL; it fills them later; another one is refused."""
    database.call("register", synthetic_sessions)
    assert all(row[name] is None for row in registered(database) for name in CATALOGUE_COLUMNS)

    metadata = synthetic_sessions / "project_metadata"
    later = database.call("register", synthetic_sessions, "--catalogue", metadata)
    assert later.stdout.splitlines()[-1] == "2 updated."
    table = pd.read_csv(metadata / "ecephys_sessions.csv").set_index("ecephys_session_id")
    filled = registered(database)
    for row in filled:
        for name in CATALOGUE_COLUMNS[:4]:
            assert row[name] == table.loc[row["session_id"], name]

    again = database.call("register", synthetic_sessions, "--catalogue", synthetic_sessions)
    assert again.stdout.splitlines()[-1] == "2 unchanged."

    table.loc[filled[0]["session_id"], "experience_level"] = "Novel"
    table.loc[filled[0]["session_id"], "session_number"] = 7
    table.to_csv(tmp_path / "ecephys_sessions.csv")
    refused = database.call("register", synthetic_sessions, "--catalogue", tmp_path, check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"vbn: Session {filled[0]['session_id']}: the catalogue disagrees with the database in "
        "experience_level ('Novel' against 'Familiar'), session_number ('7' against '1'). "
        "Check that the catalogue is of the same release.\n"
    )
    assert refused.stdout.splitlines()[-1] == "1 failed, 1 unchanged."
    assert registered(database) == filled


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no ecephys_sessions.csv"),
        (
            "ecephys_session_id,experience_level\n1,Novel\n",
            "the columns behavior_session_id, mouse_id, session_type, session_number are missing",
        ),
        ("", "it is no table"),
    ],
    ids=["absent", "columns-missing", "empty"],
)
def test_a_catalogue_that_is_none_is_refused_before_anything_is_entered(
    shared_database: Any, synthetic_files: list[Path], tmp_path: Path, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "ecephys_sessions.csv").write_text(content)
    done = shared_database.call("register", synthetic_files[0], "--catalogue", tmp_path, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert problem in done.stderr
    assert str(tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_content_under_the_same_id_is_refused(
    database: Any, synthetic_files: list[Path], damaged_copy: Callable[..., Path]
) -> None:
    def rewrite(file: h5py.File) -> None:
        file["units/firing_rate"][0] += 1

    session_id = int(synthetic_files[0].stem.rsplit("_")[-1])
    database.call("register", synthetic_files[0])
    changed = damaged_copy(rewrite, session_id=session_id)
    before = database.contents()
    done = database.call("register", changed, check=False)
    assert done.returncode == 1
    for words in (str(changed), f"session {session_id}", "different content", "register it with --replace"):
        assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert database.contents() == before


def test_a_mouse_that_contradicts_the_known_one_is_refused_with_its_session(
    database: Any, synthetic_files: list[Path], damaged_copy: Callable[..., Path]
) -> None:
    def change_sex(file: h5py.File) -> None:
        sex = file["general/subject/sex"][()].decode()
        del file["general/subject/sex"]
        file["general/subject/sex"] = "F" if sex == "M" else "M"

    database.call("register", synthetic_files[0])
    before = database.contents()
    done = database.call("register", damaged_copy(change_sex), check=False)
    assert done.returncode == 1
    assert "is known with another sex ('M', here 'F')" in done.stderr
    assert "Traceback" not in done.stderr
    assert database.contents() == before


def test_a_folder_is_searched_and_files_are_told_apart_by_their_content(release: Path, database: Any) -> None:
    outcomes = database.json_lines("register", release)
    by_status: dict[str, int] = {}
    for outcome in outcomes:
        by_status[outcome["status"]] = by_status.get(outcome["status"], 0) + 1
    assert by_status == {"registered": len(list(release.rglob("*.nwb")))}
    n_lfp = len(list(release.rglob("*_lfp.nwb")))
    sessions = database.json("sessions")
    assert sum(row["lfp_files"] for row in sessions) == n_lfp
    assert len(sessions) == by_status["registered"] - n_lfp


def test_roots_make_a_path_valid_on_other_machines(
    database: Any, synthetic_sessions: Path, synthetic_files: list[Path], tmp_path: Path
) -> None:
    """Registered below a named root, populated where that root is another folder."""
    here, there = synthetic_sessions, tmp_path / "mount"
    database.call("register", synthetic_files[0], env={"VBN_ROOTS": f'{{"data": "{here}"}}'})
    (row,) = registered(database)
    assert row["relative_path"] == synthetic_files[0].relative_to(here).as_posix()

    unknown = database.call("populate", "--table", "Licks", check=False)
    assert unknown.returncode == 1
    assert "The root 'data' is not known on this machine" in unknown.stderr

    there.symlink_to(here)
    database.call("retry")
    done = database.call("populate", "--table", "Licks", env={"VBN_ROOTS": f'{{"data": "{there}"}}'})
    assert done.stdout == "1 entries made, 0 failed.\n"


def test_roots_that_are_no_json_are_refused(shared_database: Any, synthetic_files: list[Path]) -> None:
    done = shared_database.call("register", synthetic_files[0], env={"VBN_ROOTS": "data=/mnt"}, check=False)
    assert done.returncode == 1
    assert "VBN_ROOTS must hold JSON such as" in done.stderr


@pytest.mark.parametrize(("first", "second"), [("U", "F"), ("F", "U"), ("F", "")])
def test_a_sex_that_is_not_known_refuses_no_session_and_is_completed(
    database: Any, damaged_copy: Callable[..., Path], first: str, second: str
) -> None:
    """Whichever of a mouse's files comes first, and each that does not state it has an issue."""
    from schemas import session

    def of_sex(sex: str) -> Callable[[h5py.File], None]:
        def change_sex(file: h5py.File) -> None:
            del file["general/subject/sex"]
            file["general/subject/sex"] = sex

        return change_sex

    paths = [damaged_copy(of_sex(sex)) for sex in (first, second)]
    outcomes = [database.json_lines("register", path)[0] for path in paths]
    assert [outcome["status"] for outcome in outcomes] == ["registered"] * 2
    assert session.Mouse.to_arrays("sex").tolist() == ["F"]
    rows = [row for row in database.json("issues") if row["issue_code"] == "incomplete_mouse"]
    without = outcomes[0 if first == "U" else 1]["session_id"]
    assert {row["session_id"] for row in rows} == {without}
    details = {row["issue_detail"] for row in rows}
    assert details == (
        {"sex 'U'"}
        if first == "U"
        else {f"sex {'nothing' if second == '' else repr(second)}", "known is sex 'F'"}
    )


def test_a_range_of_ages_is_registered_as_an_issue(database: Any, damaged_copy: Callable[..., Path]) -> None:
    from schemas import session

    def change_age(file: h5py.File) -> None:
        del file["general/subject/age"]
        file["general/subject/age"] = "P90D/P120D"

    database.json_lines("register", damaged_copy(change_age))
    assert session.Session.to_arrays("age_in_days").tolist() == [None]
    found = [row["issue_detail"] for row in database.json("issues") if row["issue_code"] == "unclear_age"]
    assert found == ["age 'P90D/P120D'"]
