"""Where the files are: named roots, machines with other mounts, moved and changed files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.files

BELOW = "behavior_ecephys_sessions"
IMPORT = ("populate", "--table", "Licks", "--table", "Running")


class Machine:
    """A machine of its own: the database is everybody's, the roots are not."""

    def __init__(self, database: Any, home: Path) -> None:
        self.database, self.home = database, home
        home.mkdir(parents=True, exist_ok=True)

    def call(self, *arguments: object, env: dict[str, str] | None = None, check: bool = True) -> Any:
        return self.database.call(*arguments, env={"VBN_HOME": str(self.home), **(env or {})}, check=check)

    def json(self, *arguments: object, **options: Any) -> Any:
        return json.loads(self.call(*arguments, "--json", **options).stdout)

    def lines(self, *arguments: object, **options: Any) -> list[Any]:
        return [json.loads(line) for line in self.call(*arguments, "--json", **options).stdout.splitlines()]


@pytest.fixture
def database(empty_database: Any) -> Any:
    return empty_database


@pytest.fixture
def make_machine(database: Any, tmp_path: Path) -> Callable[[str], Machine]:
    return lambda name: Machine(database, tmp_path / "machines" / name)


@pytest.fixture
def machine(make_machine: Callable[[str], Machine]) -> Machine:
    return make_machine("here")


@pytest.fixture
def data(synthetic_sessions: Path, tmp_path: Path) -> Path:
    """A copy of the two sessions that the test may move."""
    return Path(shutil.copytree(synthetic_sessions, tmp_path / "data"))


@pytest.fixture
def rooted(machine: Machine, data: Path) -> Machine:
    """A machine that has registered the sessions below the root ``data``."""
    machine.call("roots", "set", "data", data)
    machine.call("register", data)
    return machine


def places() -> list[tuple[str, str]]:
    from schemas import session

    return [(row["root"], row["relative_path"]) for row in session.NwbFile.to_dicts(order_by="session_id")]


def relative_paths(data: Path) -> list[str]:
    return sorted(path.relative_to(data).as_posix() for path in data.rglob("*.nwb"))


def statuses(machine: Machine, *options: str, check: bool = True) -> list[str]:
    return [line["status"] for line in machine.lines("verify", *options, check=check)]


def test_roots_are_set_listed_changed_and_removed(machine: Machine, tmp_path: Path) -> None:
    assert machine.json("roots", "list") == {}
    assert machine.call("roots", "list").stdout == "0 roots.\n"
    other = tmp_path / "other"
    other.mkdir()
    machine.call("roots", "set", "data", tmp_path)
    machine.call("roots", "set", "web-1", "https://example.org/data")
    assert machine.json("roots", "list") == {"data": str(tmp_path), "web-1": "https://example.org/data"}
    machine.call("roots", "set", "data", other)
    assert machine.json("roots", "list")["data"] == str(other)
    machine.call("roots", "remove", "data")
    assert machine.json("roots", "list") == {"web-1": "https://example.org/data"}


def test_a_relative_folder_becomes_absolute(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    machine.call("roots", "set", "data", "below")
    assert machine.json("roots", "list") == {"data": str(tmp_path / "below")}


@pytest.mark.parametrize("name", ["local", "web", "", "a b", "a/b", "x" * 65, "é"])
def test_a_name_that_cannot_be_one_is_refused(machine: Machine, tmp_path: Path, name: str) -> None:
    done = machine.call("roots", "set", name, tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot name a root" in done.stderr


def test_a_folder_that_is_not_there_is_refused(machine: Machine, tmp_path: Path) -> None:
    done = machine.call("roots", "set", "data", tmp_path / "nowhere", check=False)
    assert done.returncode == 1
    assert f"{tmp_path / 'nowhere'} is not a folder on this machine" in done.stderr
    assert machine.json("roots", "list") == {}


def test_removing_a_root_that_is_not_there_is_told(machine: Machine) -> None:
    done = machine.call("roots", "remove", "nothing", check=False)
    assert done.returncode == 1
    assert "nothing" in done.stderr


def test_a_mapping_that_is_damaged_is_named(machine: Machine, tmp_path: Path) -> None:
    (machine.home / "roots.json").write_text("{ not json")
    done = machine.call("roots", "list", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{machine.home / 'roots.json'} must hold JSON" in done.stderr
    done = machine.call("roots", "list", env={"VBN_ROOTS": '["a"]'}, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("text", ["{ not json", '["a"]', '{"data": 7}'])
def test_a_variable_that_is_damaged_is_named(machine: Machine, text: str) -> None:
    done = machine.call("roots", "list", env={"VBN_ROOTS": text}, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "VBN_ROOTS must hold JSON" in done.stderr


def test_a_file_below_a_root_is_registered_relative_to_it(rooted: Machine, data: Path) -> None:
    assert places() == [("data", path) for path in relative_paths(data)]


def test_a_file_outside_of_all_roots_is_on_this_machines_file_system(machine: Machine, data: Path) -> None:
    machine.call("register", data)
    assert places() == [("local", str(path)[1:]) for path in sorted(data.rglob("*.nwb"))]


def test_the_innermost_root_counts(machine: Machine, data: Path) -> None:
    machine.call("roots", "set", "outer", data)
    machine.call("roots", "set", "inner", data / BELOW)
    machine.call("register", data)
    assert places() == [("inner", path.removeprefix(f"{BELOW}/")) for path in relative_paths(data)]


def test_a_folder_whose_name_only_begins_alike_is_outside(machine: Machine, data: Path) -> None:
    lookalike = data.with_name("data2")
    data.rename(lookalike)
    data.mkdir()
    machine.call("roots", "set", "data", data)
    machine.call("register", lookalike)
    assert {root for root, _ in places()} == {"local"}


def test_a_moved_folder_is_found_again_by_its_root(rooted: Machine, data: Path) -> None:
    moved = data.with_name("moved")
    data.rename(moved)
    done = rooted.call(*IMPORT, check=False)
    assert done.returncode == 1
    assert str(data) in done.stderr
    assert "vbn roots" in done.stderr
    assert statuses(rooted, check=False) == ["problem", "problem"]
    rooted.call("roots", "set", "data", moved)
    rooted.call("retry")
    assert rooted.json(*IMPORT) == {"done": 4, "failures": []}
    assert statuses(rooted) == ["ok", "ok"]


def test_the_variable_comes_before_the_stored_mapping(rooted: Machine, data: Path) -> None:
    moved = data.with_name("moved")
    data.rename(moved)
    here = {"VBN_ROOTS": json.dumps({"data": str(moved), "more": "s3://bucket"})}
    assert rooted.json("roots", "list", env=here) == {"data": str(moved), "more": "s3://bucket"}
    assert rooted.json(*IMPORT, env=here) == {"done": 4, "failures": []}
    assert rooted.json("roots", "list") == {"data": str(data)}


def test_machines_with_other_mounts_agree(
    rooted: Machine, make_machine: Callable[[str], Machine], data: Path
) -> None:
    elsewhere = Path(shutil.copytree(data, data.with_name("mounted elsewhere")))
    there = make_machine("there")
    there.call("roots", "set", "data", elsewhere)
    assert {line["status"] for line in there.lines("register", elsewhere)} == {"unchanged"}
    before = places()
    assert rooted.json("populate", "--table", "Licks") == {"done": 2, "failures": []}
    data.rename(data.with_name("not mounted any more"))
    assert there.json("populate", "--table", "Running") == {"done": 2, "failures": []}
    assert statuses(there) == ["ok", "ok"]
    assert places() == before
    assert {number["relative_path"] for number in _rows()} == set(relative_paths(elsewhere))


def _rows() -> list[dict[str, Any]]:
    from schemas import session

    return list(session.NwbFile.to_dicts())


def test_a_machine_without_the_root_is_told_what_to_do(
    rooted: Machine, make_machine: Callable[[str], Machine]
) -> None:
    there = make_machine("there")
    done = there.call(*IMPORT, check=False)
    assert done.returncode == 1
    assert "The root 'data' is not known on this machine" in done.stderr
    assert "vbn roots set data FOLDER" in done.stderr
    assert "unexpected" not in done.stderr
    for line in there.lines("verify", check=False):
        assert line["status"] == "problem"
        assert "The root 'data' is not known" in line["problem"]
    (files,) = (check for check in there.json("doctor", check=False) if check["name"] == "files")
    assert not files["is_good"]
    assert "vbn roots set data FOLDER" in files["advice"]


@pytest.mark.slow
def test_every_process_sees_the_roots(rooted: Machine, database: Any) -> None:
    """Worker processes and a later command line, not only the process that set them."""
    roots = json.loads((rooted.home / "roots.json").read_text())
    done = database.vbn(*IMPORT, "--processes", "2", "--json", env={"VBN_ROOTS": json.dumps(roots)})
    assert json.loads(done.stdout) == {"done": 4, "failures": []}


@pytest.mark.slow
def test_relocating_finds_moved_files_without_a_root(machine: Machine, data: Path) -> None:
    machine.call("register", data)
    old, moved = places(), data.with_name("moved")
    data.rename(moved)
    dry = machine.call("relocate", moved, "--dry-run")
    assert dry.stdout.splitlines()[-1] == "2 would be relocated, 0 failed."
    assert f"local:{old[0][1]} -> local:{str(moved)[1:]}/" in dry.stdout
    assert places() == old
    done = machine.call("relocate", moved)
    assert done.stdout.splitlines()[-1] == "2 relocated, 0 failed."
    assert places() == [("local", str(path)[1:]) for path in sorted(moved.rglob("*.nwb"))]
    assert statuses(machine) == ["ok", "ok"]
    assert machine.call("relocate", moved).stdout.splitlines() == ["0 relocated, 0 failed."]


def test_relocating_takes_files_below_a_new_root(machine: Machine, data: Path) -> None:
    machine.call("register", data)
    machine.call("roots", "set", "data", data)
    machine.call("relocate", data)
    assert places() == [("data", path) for path in relative_paths(data)]
    assert machine.json(*IMPORT) == {"done": 4, "failures": []}


def test_relocating_refuses_another_content_and_takes_the_others(rooted: Machine, data: Path) -> None:
    moved = data.with_name("moved")
    data.rename(moved)
    first, _ = sorted(moved.rglob("*.nwb"))
    change_a_byte(first)
    old = places()
    done = rooted.call("relocate", moved, check=False)
    assert done.returncode == 1
    assert f"{first}: its content has changed" in done.stderr
    assert "It is not the registered file." in done.stderr
    assert done.stdout.splitlines()[-1] == "1 relocated, 1 failed."
    new = places()
    assert new[0] == old[0]
    assert new[1] != old[1]


def test_relocating_passes_over_files_that_are_not_registered(
    machine: Machine, data: Path, synthetic_files: list[Path]
) -> None:
    machine.call("register", sorted(data.rglob("*.nwb"))[0])
    done = machine.call("relocate", data)
    assert done.stdout.splitlines() == ["0 relocated, 0 failed."]
    assert len(places()) == 1


def test_relocating_needs_a_path_that_is_there(machine: Machine, tmp_path: Path) -> None:
    done = machine.call("relocate", tmp_path / "nowhere", check=False)
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "unexpected" not in done.stderr


def change_a_byte(path: Path) -> None:
    """Change one number inside, so that the size stays and the file is the same session."""
    import h5py

    with h5py.File(path, "r+") as file:
        file["processing/running/speed/data"][0] += 1.0


def test_verifying_compares_sizes_and_contents(rooted: Machine, data: Path) -> None:
    assert statuses(rooted) == ["ok", "ok"]
    first, second = sorted(data.rglob("*.nwb"))
    change_a_byte(first)
    assert statuses(rooted, "--quick") == ["ok", "ok"]
    results = rooted.lines("verify", check=False)
    assert [line["status"] for line in results] == ["problem", "ok"]
    assert "its content has changed" in results[0]["problem"]
    second.write_bytes(second.read_bytes()[:-7])
    for options in ((), ("--quick",)):
        results = rooted.lines("verify", *options, check=False)
        assert results[1]["status"] == "problem"
        size = second.stat().st_size
        assert f"has {size} bytes, but had {size + 7}" in results[1]["problem"]
    second.unlink()
    done = rooted.call("verify", "--quick", check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split()[0] == "ok"
    assert "No such file" in done.stdout.splitlines()[1]


def test_doctor_counts_files_that_are_not_there(rooted: Machine, data: Path) -> None:
    def files() -> dict[str, Any]:
        return next(check for check in rooted.json("doctor", check=False) if check["name"] == "files")

    assert files()["is_good"]
    first = sorted(data.rglob("*.nwb"))[0]
    first.unlink()
    found = files()
    assert not found["is_good"]
    assert found["finding"] == "2 registered, 1 not found"
    assert str(first) in found["advice"]


def test_lfp_files_have_a_root_as_well(machine: Machine, lfp_file: Path, tmp_path: Path) -> None:
    from schemas import session

    data = Path(shutil.copytree(lfp_file.parent, tmp_path / "lab" / lfp_file.parent.name))
    machine.call("roots", "set", "lab", data.parent)
    machine.call("register", data)
    row = session.LfpFile().fetch1()
    assert (row["lfp_root"], row["lfp_relative_path"]) == ("lab", f"{data.name}/{lfp_file.name}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (data / lfp_file.name).rename(elsewhere / lfp_file.name)
    assert sorted(statuses(machine, check=False)) == ["ok", "problem"]
    machine.call("relocate", elsewhere)
    assert session.LfpFile().fetch1("lfp_root") == "local"
    assert statuses(machine) == ["ok", "ok"]
    done = machine.json("populate", "--table", "Recording", "--table", "Lfp")
    assert done == {"done": 2, "failures": []}
