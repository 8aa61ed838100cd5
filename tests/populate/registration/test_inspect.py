"""What ``vbn inspect`` says of files is what becomes of them."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from populate.registration.inspection import FileReport, _remove_until_gone, inspect_files, report_lines
from tests.populate.registration.test_bad_files import losing, write_foreign_nwb
from vbn.errors import SettingError

pytestmark = pytest.mark.files

UNITS, TRIALS = "units", "intervals/trials"
ELECTRODES = "general/extracellular_ephys/electrodes"
REFUSED = "refused"


def without_column(table: str, name: str, new: str | None = None) -> Callable[[h5py.File], None]:
    """Return a function that takes a column out of a file, or renames it, as a program that never had it."""

    def change(file: h5py.File) -> None:
        group = file[table]
        names = [each for each in group.attrs["colnames"] if each != name]
        if new is None:
            del group[name]
        else:
            group.move(name, new)
            names.append(new)
        group.attrs["colnames"] = names

    return change


def with_descending_index(file: h5py.File) -> None:
    file[f"{UNITS}/spike_times_index"][0] = 60_000


def as_it_is(file: h5py.File) -> None:
    assert file


MUTILATIONS = {
    "nothing": (as_it_is, None),
    "validity": (without_column(ELECTRODES, "valid_data"), None),
    "a metric under another name": (without_column(UNITS, "isi_violations", "isi_violation"), None),
    "damaged": (losing(f"{UNITS}/snr"), REFUSED),
    "a spike index": (with_descending_index, "Recording"),
    "laser": (losing("processing/optotagging"), None),
    "licks": (losing("processing/licking"), None),
    "eye": (losing("acquisition/EyeTracking"), None),
    "peaks": (without_column(UNITS, "peak_channel_id"), "Recording"),
    "trials": (losing(TRIALS), None),
    "outcome": (without_column(TRIALS, "hit"), "ChangeDetection"),
    "running": (losing("processing/running"), None),
    "age": (losing("general/subject/age"), None),
    "stimuli": (losing("stimulus/templates"), None),
}
"""What is done to a recording, and the table that fails for it, if it is not refused."""


@pytest.fixture(scope="module")
def files(damaged_copy: Callable[..., Path], open_folder: Path) -> dict[str, Path]:
    found = {name: damaged_copy(damage) for name, (damage, _) in MUTILATIONS.items()}
    foreign = open_folder / "foreign.nwb"
    write_foreign_nwb(foreign, with_units=True)
    return {**found, "foreign": foreign}


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


def inspected(database: Any, *arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    done: subprocess.CompletedProcess[str] = database.vbn("inspect", *arguments, "--json", check=False)
    assert done.stdout, done.stderr
    return done.returncode, {Path(report["path"]).name: report for report in json.loads(done.stdout)}


def imported_tables() -> list[str]:
    from populate.work.runner import populated_tables
    from schemas.server.datajoint import dj

    return [cls.__name__ for cls in populated_tables() if issubclass(cls, dj.Imported)]


def became(database: Any, path: Path) -> dict[str, Any]:
    """Return of a file that was registered and populated what a report should say."""
    from populate.work.runner import populated_tables
    from schemas import session

    database.connect()
    key = {"session_id": int(path.stem.rpartition("_")[2])}
    issues = (session.ImportIssue & key).to_dicts(order_by=["issue_table", "issue_code"])
    made = {
        cls.__name__: len(cls & key)
        for cls in populated_tables()
        if "session_id" in cls.primary_key and len(cls & key)
    }
    failed = [row for row in database.json("errors") if row["key"]["session_id"] == key["session_id"]]
    return {
        "issues": [(row["issue_table"], row["issue_code"], row["issue_detail"]) for row in issues],
        "made": made,
        "failed": {row["table"]: row["message"] for row in failed},
    }


def said(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "issues": [(row["issue_table"], row["issue_code"], row["issue_detail"]) for row in report["issues"]],
        "made": report["made"],
        "failed": report["failed"],
    }


@pytest.mark.slow
def test_what_is_said_of_mutilated_files_is_what_becomes_of_them(
    database: Any, files: dict[str, Path]
) -> None:
    code, reports = inspected(database, *files.values(), "--import-only")
    assert code == 1
    database.connect()
    from schemas import session

    assert not len(session.Mouse())  # nothing was entered
    refused = database.vbn("register", *files.values(), "--json", check=False).stdout
    refused = [json.loads(line) for line in refused.splitlines()]
    refused = {Path(one["path"]).name: one["message"] for one in refused if one["status"] == "failed"}
    expected = {name: table for name, (_, table) in MUTILATIONS.items()}
    assert set(refused) == {files["damaged"].name, "foreign.nwb"}
    assert {name: each["refusal"] for name, each in reports.items() if each["refusal"]} == refused
    database.vbn("populate", *(f"--table={name}" for name in imported_tables()), check=False)
    for name, table in expected.items():
        report = reports[files[name].name]
        if table != REFUSED:
            assert said(report) == became(database, files[name]), name
            assert list(report["failed"]) == ([table] if table else []), name
    absent = {name: reports[path.name]["absent"] for name, path in files.items()}
    always = set(absent["nothing"])  # small sessions have no waveforms
    renamed = f"/{UNITS}/isi_violations (is it /{UNITS}/isi_violation?)"
    assert set(absent["a metric under another name"]) - always == {renamed}
    assert set(absent["validity"]) - always == {f"/{ELECTRODES}/valid_data"}
    assert set(absent["trials"]) - always == {f"/{TRIALS}"}
    assert set(absent["age"]) - always == {"/general/subject/age"}
    assert set(absent["damaged"]) - always == {f"/{UNITS}/snr"}
    assert reports[files["laser"].name]["empty"] == ["OptoStimulation"]
    lost = reports[files["outcome"].name]["lost"]
    assert lost["Performance"] == ["ChangeDetection"]
    assert "Psth" in reports[files["peaks"].name]["lost"]
    tolerated = {"validity": "channels", "trials": "trials", "running": "running"}
    for name, table in tolerated.items():
        found = [row for row in reports[files[name].name]["issues"] if row["issue_table"] == table]
        codes = {row["issue_code"]: row["severity"] for row in found}
        assert "warning" in (codes.get("missing_table"), codes.get("missing_column")), name


@pytest.mark.slow
def test_computed_tables_that_are_lost_are_said_too(database: Any, files: dict[str, Path]) -> None:
    path = files["peaks"]
    code, reports = inspected(database, path)
    assert code == 1
    database.vbn("register", path)
    database.vbn("populate", check=False)
    assert said(reports[path.name]) == became(database, path)
    lost = reports[path.name]["lost"]
    assert lost["Psth"] == ["Recording"]
    assert "Licks" not in lost


def test_nothing_stays_of_a_trial_that_was_killed(
    database: Any, files: dict[str, Path], open_folder: Path
) -> None:
    place = open_folder / "trials"
    place.mkdir()
    place.chmod(0o711)
    with database.start("inspect", files["nothing"], env={"TMPDIR": str(place)}) as trial:
        wait_until(lambda: list(place.glob("vbn-inspect-*/postgres/postmaster.pid")), "the server to start")
        trial.kill()
        trial.communicate()
    wait_until(lambda: not list(place.glob("vbn-inspect-*")), "the trial to end")


def test_what_is_made_while_a_trial_is_removed_is_removed_too(tmp_path: Path) -> None:
    home = tmp_path / "vbn-inspect-0"

    def go_on() -> None:
        for _ in range(20):
            (home / "postgres").mkdir(parents=True, exist_ok=True)
            time.sleep(0.1)

    going_on = threading.Thread(target=go_on)
    going_on.start()
    _remove_until_gone(home)
    going_on.join()
    assert not home.exists()


def test_only_the_folder_of_a_trial_is_removed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with pytest.raises(SettingError, match="is no folder of a trial"):
        _remove_until_gone(tmp_path / "home")
    assert (tmp_path / "home").exists()


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.slow
def test_a_folder_of_the_users_with_our_name_is_not_taken_for_ours(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "populate").mkdir()
    (tmp_path / "populate" / "__init__.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    (report,) = inspect_files([str(files["outcome"])], import_only=True)
    assert list(report.failed) == ["ChangeDetection"]


def test_a_file_that_does_not_exist_is_told_at_once(database: Any, files: dict[str, Path]) -> None:
    done = database.call("inspect", files["laser"].parent / "nowhere.nwb", check=False)
    assert done.returncode == 1
    assert "nowhere.nwb" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_is_for_people_too() -> None:
    issue = {
        "severity": "info",
        "issue_table": "units",
        "issue_code": "nan_metrics",
        "issue_detail": "6",
    }
    report = FileReport(
        "a.nwb", 1, absent=["/units/snr"], issues=[issue], made={"Licks": 1, "Optotagging": 1},
        empty=["Optotagging"], failed={"Recording": "no units"},
        lost={"Psth": ["Recording"], "Lfp": ["Recording"]}, not_made=["LfpPiece"],
    )  # fmt: skip
    assert list(report_lines(report)) == [
        "lacks     /units/snr",
        "info      units: nan_metrics: 6",
        "failed    Recording: no units",
        "lost      Psth, Lfp, made from Recording",
        "empty     Optotagging",
        "not made  LfpPiece",
        "made      2 entries of 2 tables",
    ]
    refused = FileReport("a.nwb", refusal="a.nwb: no NWB file.", absent=["/units"])
    assert list(report_lines(refused)) == ["lacks     /units", "refused   a.nwb: no NWB file."]
