"""Files of another rig: mapped, registered, computed, beside sessions of the release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.fixtures.rig import MAPPING, SERIES_MAPPING, RigFile, with_series

FLASHES = (
    '--set=event="flash"', "--set=window_start=-0.2", "--set=window_stop=0.4", "--set=bin_width=0.1",
    "--set=block_condition=null",
)  # fmt: skip


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


@pytest.fixture
def gratings(database: Any) -> Iterator[tuple[int, int]]:
    """Angles with an alignment each, taken out again: sets are not emptied with the database."""
    angles = (0, 45)
    for angle in angles:
        condition = f'--set=image_condition="grating_{angle}"'
        database.call(
            "params", "add", "Alignment", f"grating_{angle}", "--like", "change_active", *FLASHES, condition
        )
    yield angles
    database.empty()
    database.connect()
    from schemas import psth

    (psth.Alignment & [{"alignment": f"grating_{angle}"} for angle in angles]).delete_quick()


@pytest.fixture(scope="module")
def rig_file(open_folder: Path) -> Path:
    return RigFile().write(open_folder / "our_1.nwb")


@pytest.fixture(scope="module")
def mapping(open_folder: Path) -> Path:
    path = open_folder / "rig.toml"
    path.write_text(MAPPING)
    return path


def register(database: Any, *arguments: object) -> list[dict[str, Any]]:
    done = database.call("register", *arguments, "--json", check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def rates_of(path: Path, angle: float) -> np.ndarray:
    """Return the rates around gratings of one angle: what anybody would write."""
    edges = np.array([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4])
    with h5py.File(path) as file:
        starts = file["intervals/gratings/start_time"][:][file["intervals/gratings/angle"][:] == angle]
        times, ends = file["units/spike_times"][:], file["units/spike_times_index"][:]
    rates = []
    for first, last in zip(np.append(0, ends[:-1]), ends, strict=True):
        spikes = times[first:last]
        counts = [np.histogram(spikes - start, edges)[0] for start in starts]
        rates.append(np.mean(counts, axis=0) / 0.1)
    return np.array(rates)


def test_a_foreign_file_becomes_a_session_whose_psths_are_those_of_ten_lines(
    database: Any, rig_file: Path, mapping: Path, synthetic_files: list[Path], gratings: tuple[int, int]
) -> None:
    database.call("register", synthetic_files[0])
    (outcome,) = register(database, rig_file, "--mapping", mapping)
    assert outcome["status"] == "registered", outcome
    imported = ("Recording", "ChangeDetection", "Licks", "OptoStimulation", "Stimulus", "Psth")
    number = outcome["session_id"]
    database.call("populate", *(f"--table={name}" for name in imported), "--session", number)
    database.connect()
    from schemas import behavior, ecephys, psth, session, stimulus

    key = {"session_id": number}
    for angle in gratings:
        rows = (psth.Psth.Unit & key & {"alignment": f"grating_{angle}"}).to_dicts(order_by="unit_id")
        found = np.array([row["psth_rate"] for row in rows])
        np.testing.assert_allclose(found, rates_of(rig_file, angle), rtol=1e-6)
        assert found.max() > 10
    described = (session.Session * session.Mouse & key).fetch1()
    assert described["project"] == "our-rig"
    assert (described["genotype"], described["sex"], described["age_in_days"]) == ("wt/wt", "F", 90)
    assert described["stimulus_frame_rate"] is None
    assert not len(behavior.ChangeDetection.Trial & key)
    assert set((ecephys.Recording.Channel & key).to_arrays("valid_data").tolist()) == {None}
    assert set((ecephys.Recording.Channel & key).to_arrays("structure_acronym").tolist()) == {None, "VISp"}
    assert (ecephys.Recording.Unit & key).to_arrays("unit_id").tolist() == [
        number * 100_000 + n for n in range(4)
    ]
    shown = (stimulus.Stimulus.Presentation & key).to_arrays("image_name")
    assert set(shown) == {"grating_0", "grating_45", "grating_90", "im_tree", "house"}
    issues = {(row["issue_table"], row["issue_code"]): row for row in (session.ImportIssue & key).to_dicts()}
    assert "valid_data" in issues["channels", "missing_column"]["issue_detail"]
    assert issues["channels", "missing_column"]["severity"] == "warning"
    assert issues["trials", "missing_table"]["severity"] == "warning"


@pytest.mark.slow
@pytest.mark.files
def test_a_rig_is_inspected_as_it_is_imported(database: Any, rig_file: Path, mapping: Path) -> None:
    done = database.call("inspect", rig_file, "--mapping", mapping, "--import-only", "--json", check=False)
    (report,) = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert report["failed"] == {}
    assert report["made"]["Recording"] == 1
    assert report["session_id"] == register(database, rig_file, "--mapping", mapping)[0]["session_id"]


@pytest.mark.slow
@pytest.mark.files
def test_licks_rewards_running_and_pupil_are_those_that_the_mapping_names(
    database: Any, tmp_path: Path
) -> None:
    path, mapping = RigFile(add=with_series).write(tmp_path / "our_2.nwb"), tmp_path / "rig.toml"
    mapping.write_text(MAPPING + SERIES_MAPPING)
    done = database.call("inspect", path, "--mapping", mapping, "--import-only", "--json", check=False)
    (report,) = json.loads(done.stdout)
    (outcome,) = register(database, path, "--mapping", mapping)
    assert (report["failed"], outcome["status"]) == ({}, "registered")
    imported = ("ChangeDetection", "Licks", "Running", "EyeTracking", "Stimulus", "OptoStimulation")
    tables = (*imported, "AlignedBehavior")
    done = database.call("populate", *(f"--table={name}" for name in tables))
    assert done.stdout == "12 entries made, 0 failed.\n"
    from schemas import behavior, session

    licks, running = behavior.Licks.fetch1(), behavior.Running.fetch1()
    assert licks["lick_timestamps"].tolist() == [6.0, 6.2, 41.1, 50.0]
    assert len(behavior.ChangeDetection.Reward()) == 2
    assert (len(running["running_speed"].load()), running["running_speed"].load().max() > 150) == (4200, True)
    eye = behavior.EyeTracking.fetch1()
    assert (eye["has_eye_tracking"], eye["eye_area"]) == (True, None)
    assert np.nanmax(eye["pupil_area"].load()) == pytest.approx(np.pi * 10.5**2, rel=1e-3)
    about = {
        row["issue_table"] for row in session.ImportIssue.to_dicts() if row["issue_code"] == "missing_table"
    }
    assert not about & {"licks", "running", "rewards"}


def test_registering_again_changes_nothing_and_another_mapping_is_refused_once_it_is_imported(
    database: Any, rig_file: Path, mapping: Path, tmp_path: Path
) -> None:
    (first,) = register(database, rig_file, "--mapping", mapping)
    before = database.contents()
    (again,) = register(database, rig_file, "--mapping", mapping)
    assert again["status"] == "unchanged"
    assert database.contents() == before
    other = tmp_path / "other.toml"
    other.write_text(MAPPING.replace('genotype = "wt/wt"', 'genotype = "wt/wt"\nspecies = "Mus"'))
    (changed,) = register(database, rig_file, "--mapping", other)
    assert (changed["status"], changed["session_id"]) == ("updated", first["session_id"])
    database.call("populate", "--table", "Recording")
    (refused,) = register(database, rig_file, "--mapping", mapping)
    assert refused["status"] == "failed"
    assert "is imported already, by another mapping (Recording)" in refused["message"]
    assert f"vbn delete --session {first['session_id']}" in refused["message"]


def test_one_file_is_not_registered_as_two_sessions(
    database: Any, rig_file: Path, mapping: Path, tmp_path: Path
) -> None:
    (first,) = register(database, rig_file, "--mapping", mapping)
    other = tmp_path / "other.toml"
    other.write_text(MAPPING.replace('"our-rig"', '"their-rig"'))
    (refused,) = register(database, rig_file, "--mapping", other)
    assert f"is registered as session {first['session_id']} of the project 'our-rig'" in refused["message"]


@pytest.mark.slow
def test_ids_sessions_and_mice_of_two_projects_do_not_collide(
    database: Any, mapping: Path, tmp_path: Path, synthetic_release: Path, synthetic_files: list[Path]
) -> None:
    stored = tmp_path / "stored.toml"
    stored.write_text(MAPPING.replace("[session]", 'ids = "per session"\n[session]'))
    database.call("register", synthetic_files[0], "--catalogue", synthetic_release)
    database.connect()
    from schemas import session

    mouse, taken = session.Session.to_arrays("mouse_id")[0], session.Session.to_arrays("session_id")[0]
    of_mouse = RigFile(subject_id=str(mouse)).write(tmp_path / "mouse.nwb")
    (refused,) = register(database, of_mouse, "--mapping", mapping)
    assert (
        f"mouse '{mouse}' is one of the project 'vbn-release', and this file is of 'our-rig'"
        in refused["message"]
    )
    of_session = RigFile(identifier=str(taken)).write(tmp_path / "session.nwb")
    (refused,) = register(database, of_session, "--mapping", mapping)
    assert "(project vbn-release)" in refused["message"]
    files = [RigFile(identifier=f"s{n}", seed=n).write(tmp_path / f"s{n}.nwb") for n in range(2)]
    outcomes = register(database, *files, "--mapping", stored)
    assert [each["status"] for each in outcomes] == ["registered"] * 2
    database.call("populate", "--table", "Recording", "--session", outcomes[0]["session_id"])
    database.call("populate", "--table", "Recording", "--session", outcomes[1]["session_id"])


@pytest.mark.files
def test_a_session_without_mouse_gets_it_from_the_table_of_the_lab(
    database: Any, mapping: Path, tmp_path: Path
) -> None:
    path = RigFile(subject_id=None).write(tmp_path / "our_2.nwb")
    (refused,) = register(database, path, "--mapping", mapping)
    assert "says which mouse it is" in refused["message"]
    table = tmp_path / "sessions.csv"
    table.write_text(
        "file,session_id,mouse_id,genotype,sex,age_in_days,date_of_acquisition,experience_level,session_number,weight\n"
        "our_2,7001,M9,Vip-IRES-Cre/wt;Ai32/wt,M,101,2026-03-02 10:00:00+00:00,Novel,3,21.5\n"
    )
    (outcome,) = register(database, path, "--mapping", mapping, "--metadata", table)
    assert (outcome["status"], outcome["session_id"]) == ("registered", 7001), outcome
    database.connect()
    from schemas import session

    row = (session.Session * session.Mouse).fetch1()
    assert (row["mouse_id"], row["genotype"], row["sex"], row["age_in_days"]) == (
        "M9", "Vip-IRES-Cre/wt;Ai32/wt", "M", 101,
    )  # fmt: skip
    assert (row["experience_level"], row["session_number"], row["project"]) == ("Novel", 3, "our-rig")
    assert row["date_of_acquisition"].isoformat() == "2026-03-02T10:00:00"
    assert session.MappedFile.fetch1()["lab_row"]["weight"] == "21.5"
    table.write_text("file,experiense_level\nour_2,Novel\n")
    wrong = database.call("register", path, "--mapping", mapping, "--metadata", table, check=False)
    assert wrong.returncode == 1
    assert "'experiense_level' is not known. Is it experience_level?" in wrong.stderr
    table.write_text("file,mouse_id\nour_3,M9\n")
    (unlisted,) = register(database, path, "--mapping", mapping, "--metadata", table)
    assert "has no row whose column 'file' is 'our_2.nwb'" in unlisted["message"]


@pytest.mark.files
def test_a_file_of_our_own_in_the_layout_of_the_release_has_a_project_and_a_table(
    database: Any, damaged_copy: Callable[..., Path], tmp_path: Path
) -> None:
    def as_it_is(file: h5py.File) -> None:
        assert file

    path = damaged_copy(as_it_is)
    table = tmp_path / "sessions.csv"
    table.write_text(f"file,experience_level,sex\n{path.name},Novel,F\n")
    (refused,) = register(database, path, "--project", "our-rig", "--metadata", table)
    assert "sex is 'F' in the table, 'M' in the file" in refused["message"]
    table.write_text(f"file,experience_level\n{path.name},Novel\n")
    (outcome,) = register(database, path, "--project", "our-rig", "--metadata", table)
    assert outcome["status"] == "registered", outcome
    database.connect()
    from schemas import session

    row = session.Session.fetch1()
    assert (row["project"], row["experience_level"]) == ("our-rig", "Novel")
    wrong = database.call("register", path, "--project", "all", check=False)
    assert "cannot be the name of a project" in wrong.stderr


def test_a_moved_file_is_found_and_a_backup_brings_the_mapping_back(
    database: Any, rig_file: Path, mapping: Path, open_folder: Path, tmp_path: Path
) -> None:
    from tests.populate.admin.test_backup import bring_back

    moved, back = open_folder / "moved" / "other_name.nwb", tmp_path / "backup"
    moved.parent.mkdir(exist_ok=True)
    source = open_folder / "to_move.nwb"
    shutil.copy2(rig_file, source)
    (outcome,) = register(database, source, "--mapping", mapping)
    shutil.move(source, moved)
    assert "1 relocated" in database.call("relocate", moved.parent).stdout
    database.call("backup", back)
    bring_back(database, back)
    database.call("populate", "--table", "Recording")
    database.connect()
    from schemas import ecephys

    assert (ecephys.Recording & {"session_id": outcome["session_id"]}).fetch1("n_units") == 4


def test_projects_are_said_and_not_mixed_unasked(
    database: Any, mapping: Path, synthetic_files: list[Path], tmp_path: Path
) -> None:
    database.call("register", synthetic_files[0])
    rig_file = RigFile(n_units=8).write(tmp_path / "our_8.nwb")  # contrasts take mice of six units
    database.call("register", rig_file, "--mapping", mapping)
    listed = {row["project"]: row for row in database.json("sessions")}
    assert set(listed) == {"vbn-release", "our-rig"}
    assert len(database.json("sessions", "--project", "our-rig")) == 1
    assert "2 sessions (1 of our-rig, 1 of vbn-release)" in database.call("sessions").stdout
    assert "Sessions: 1 of our-rig, 1 of vbn-release." in database.call("status").stdout
    wrong = database.call("sessions", "--project", "our-ring", check=False)
    assert "There is no project 'our-ring'. Near to it: our-rig" in wrong.stderr
    database.call("populate", "--table", "Recording")
    asked = ("query", "units", "--columns", "unit_id,project")
    of_rig = database.json(*asked, "--project", "our-rig")
    assert {row["project"] for row in of_rig} == {"our-rig"}
    of_release = database.json(*asked, "--project", "vbn-release")
    assert (
        len(database.json(*asked))
        == len(of_rig) + len(of_release)
        == len(database.json(*asked, "--project", "all"))
    )
    contrast = ("query", "contrast", "n_spikes", "--between", "project", "--unpaired")
    refused = database.call(*contrast, check=False)
    assert (
        "The contrast would mix 2 projects: our-rig, vbn-release. Name one (--project our-rig)"
        in refused.stderr
    )
    (row,) = database.json(*contrast, "--project", "all")
    assert row["n_sessions"] == 2
    assert (
        "The hierarchy would mix 2 projects"
        in database.call(
            "plot", "hierarchy", "--criteria", "all", "--out", database.folder / "x.png", check=False
        ).stderr
    )


def lab_table(path: Path, *rows: str, columns: str = "file,session_id,experience_level") -> Path:
    path.write_text("\n".join([columns, *rows, ""]))
    return path


def test_a_corrected_table_of_sessions_is_taken_also_after_the_import(
    database: Any, rig_file: Path, mapping: Path, tmp_path: Path
) -> None:
    table = tmp_path / "sessions.csv"
    columns = "file,session_id,session_type,experience_level,image_set,abnormal_activity,weight"
    again = (rig_file, "--mapping", mapping, "--metadata", table)
    lab_table(table, "our_1,7001,gratings_1,Novel,H,,21.5", columns=columns)
    assert [each["status"] for each in register(database, *again)] == ["registered"]
    lab_table(table, "our_1,7001,gratings_2,Familiar,H,,21.5", columns=columns)
    assert [each["status"] for each in register(database, *again)] == ["updated"]
    assert [each["status"] for each in register(database, *again)] == ["unchanged"]
    database.connect()
    from schemas import ecephys, selection, session

    row = session.Session.fetch1()
    assert (row["session_type"], row["experience_level"]) == ("gratings_2", "Familiar")
    database.call("populate", "--table", "Recording", "--table", "UnitSelection")
    n_selections = len(selection.UnitSelection())
    assert n_selections
    lab_table(table, "our_1,7001,gratings_2,Novel,,[212],23", columns=columns)
    (outcome,) = register(database, *again, "--replace")
    assert outcome["status"] == "updated", outcome
    row = session.Session.fetch1()
    assert (row["experience_level"], row["image_set"]) == ("Novel", None)
    assert session.MappedFile.fetch1()["lab_row"]["weight"] == "23"
    assert len(ecephys.Recording())
    assert selection.UnitSelection.stale_rows({"session_id": 7001}).empty
    n_gone = n_selections - len(selection.UnitSelection())
    assert n_gone
    assert f"{n_gone} results of its former values are removed" in outcome["message"]
    lab_table(table, "our_1,7001,gratings_3,Novel,,[212],23", columns=columns)
    (refused,) = register(database, *again)
    assert refused["status"] == "failed"
    assert "otherwise of session_type ('gratings_2'; now 'gratings_3')" in refused["message"]
    assert "vbn delete --session 7001" in refused["message"]
    assert session.Session.fetch1()["session_type"] == "gratings_2"


def test_a_table_corrected_for_a_file_in_the_layout_of_the_release_is_taken_or_refused(
    database: Any, damaged_copy: Callable[..., Path], tmp_path: Path
) -> None:
    def as_it_is(file: h5py.File) -> None:
        assert file

    path = damaged_copy(as_it_is)
    columns = "file,experience_level"
    table = lab_table(tmp_path / "sessions.csv", f"{path.name},Novel", columns=columns)
    again = (path, "--project", "our-rig", "--metadata", table)
    assert [each["status"] for each in register(database, *again)] == ["registered"]
    assert [each["status"] for each in register(database, *again)] == ["unchanged"]
    lab_table(table, f"{path.name},Familiar", columns=columns)
    assert [each["status"] for each in register(database, *again)] == ["updated"]
    database.connect()
    from schemas import session

    assert session.Session.fetch1()["experience_level"] == "Familiar"
    lab_table(table, f"{path.name},F", columns="file,sex")
    (refused,) = register(database, *again)
    assert "sex is 'F' in the table, 'M' in the file" in refused["message"]


@pytest.mark.slow
def test_another_mapping_takes_no_mouse_into_two_projects_and_no_session_out_of_the_release(
    database: Any, mapping: Path, tmp_path: Path, damaged_copy: Callable[..., Path]
) -> None:
    def as_it_is(file: h5py.File) -> None:
        assert file

    files = [RigFile(identifier=str(n), seed=n).write(tmp_path / f"s{n}.nwb") for n in (11, 12)]
    assert [each["status"] for each in register(database, *files, "--mapping", mapping)] == ["registered"] * 2
    other = tmp_path / "other.toml"
    other.write_text(MAPPING.replace('"our-rig"', '"their-rig"'))
    (refused,) = register(database, files[0], "--mapping", other)
    assert "mouse 'mouse 7' is one of the project 'our-rig'" in refused["message"], refused
    database.call("delete", "--session", 12, "--yes", "--reason", "alone then")
    assert [each["status"] for each in register(database, files[0], "--mapping", other)] == ["updated"]
    database.connect()
    from schemas import session

    assert set(session.Session.to_arrays("project")) == {"their-rig"}
    plain = tmp_path / "plain.toml"
    plain.write_text('project = "their-rig"\nids = "stored"\n')
    of_release = damaged_copy(as_it_is)
    (first,) = register(database, of_release)
    number = first["session_id"]
    session.CatalogueSession.insert1(
        {
            "catalogue_session_id": number,
            "catalogue_kind": "recording",
            "catalogue_mouse_id": "1",
            "catalogue_row": {},
        }
    )
    (refused,) = register(database, of_release, "--mapping", plain)
    assert f"{number} is the id of a session of 'vbn-release' in its tables" in refused["message"]
    (project,) = set((session.Session & {"session_id": number}).to_arrays("project"))
    assert project == "vbn-release"


def test_a_row_of_the_table_is_that_of_one_file(database: Any, mapping: Path, tmp_path: Path) -> None:
    files = []
    for number in (3, 4):
        folder = tmp_path / "data" / f"s{number}"
        folder.mkdir(parents=True)
        files.append(RigFile(identifier=str(number), seed=number).write(folder / "recording.nwb"))
    table = lab_table(tmp_path / "sessions.csv", "recording.nwb,Novel", columns="file,experience_level")
    again = (tmp_path / "data", "--mapping", mapping, "--metadata", table)
    outcomes = register(database, *again)
    assert [each["status"] for each in outcomes] == ["failed"] * 2
    assert all("the row 'recording.nwb' of" in each["message"] for each in outcomes)
    assert all("Write their folders into its column 'file'" in each["message"] for each in outcomes)
    assert [each["status"] for each in register(database, files[0], *again[1:])] == ["registered"]
    lab_table(table, "s3/recording.nwb,Novel", ".\\s4\\recording,Familiar", columns="file,experience_level")
    assert [each["status"] for each in register(database, *again)] == ["unchanged", "registered"]
    database.connect()
    from schemas import session

    assert session.Session.to_arrays("experience_level", order_by="session_id").tolist() == [
        "Novel", "Familiar",
    ]  # fmt: skip
    lab_table(table, "s4/recording,Novel", "./s4/recording,Novel", columns="file,experience_level")
    twice = database.call("register", *again, check=False)
    assert "a file is listed twice, written in two ways" in twice.stderr


def test_a_mapped_file_without_a_hash_hides_no_other_that_has_moved(
    database: Any,
    rig_file: Path,
    mapping: Path,
    open_folder: Path,
    synthetic_files: list[Path],
    tmp_path: Path,
) -> None:
    source, moved = open_folder / "s" / synthetic_files[0].name, tmp_path / synthetic_files[0].name
    source.parent.mkdir()
    shutil.copy2(synthetic_files[0], source)
    register(database, source)
    (outcome,) = register(database, rig_file, "--mapping", mapping)
    database.connect()
    from schemas import session

    (mapped,) = (session.NwbFile & {"session_id": outcome["session_id"]}).keys()
    session.NwbFile.update1({**mapped, "blake2b": None, "modified_ns": None})  # as of a URL
    shutil.move(source, moved)
    done = database.call("relocate", tmp_path, check=False)
    assert "1 relocated" in done.stdout, done.stderr
    assert "is not the registered file" not in done.stderr
