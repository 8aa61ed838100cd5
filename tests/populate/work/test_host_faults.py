"""What is true of a machine is no property of a job: it is given back, and the machine says what it lacks."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from populate.work.causes import cause_of
from vbn.errors import AbsentFilterError, WrongStoreError

pytestmark = pytest.mark.files  # what a machine lacks does not depend on the server

BELOW = "behavior_ecephys_sessions"
IMPORT = ("--table", "Licks", "--table", "Running")
LACKS: dict[str, Callable[[Path], dict[str, str]]] = {
    "is not known on this machine": lambda _folder: {},
    "is not there on this machine": lambda folder: {"lab": str(folder / "absent")},
    "is empty on this machine": lambda folder: {"lab": str(folder / "mount")},
    "cannot be read (Not a directory) on this machine": lambda folder: {"lab": str(folder / "file")},
}


@pytest.fixture
def two_disks(
    empty_database: Any, synthetic_sessions: Path, tmp_path: Path
) -> tuple[Any, dict[str, str], Path]:
    """Two sessions, each below a root of its own; the second root may be absent elsewhere."""
    roots = {}
    for name, folder in zip(("here", "lab"), sorted((synthetic_sessions / BELOW).iterdir()), strict=True):
        roots[name] = str(shutil.copytree(folder, tmp_path / name / folder.name).parent)
    (tmp_path / "mount").mkdir()
    (tmp_path / "file").touch()
    empty_database.call("register", *roots.values(), env=with_roots(roots))
    return empty_database, roots, tmp_path


def with_roots(roots: dict[str, str]) -> dict[str, str]:
    return {"VBN_ROOTS": json.dumps(roots)}


@pytest.mark.parametrize("lack", LACKS)
def test_a_machine_without_a_disk_does_the_rest_and_harms_no_job(two_disks: Any, lack: str) -> None:
    database, roots, folder = two_disks
    there = with_roots({"here": roots["here"], **LACKS[lack](folder)})

    done = database.call("populate", *IMPORT, env=there, check=False)

    assert done.returncode == 1
    assert done.stdout.endswith("2 entries made, 0 failed.\n")
    (line,) = done.stderr.splitlines()
    assert lack in line
    assert line.endswith("2 jobs were given back, for a machine that can do it.")
    assert set(database.job_states()) == {"pending"}
    summary = json.loads(database.call("populate", *IMPORT, "--json", env=there, check=False).stdout)
    assert [each["table"] for each in summary["given_back"]] == ["Licks", "Running"]

    worker = database.call("worker", "--until-idle", "--tables", "Licks,Running", env=there, check=False)
    assert worker.returncode == 1
    assert worker.stdout.count(lack) == 1
    assert "vbn: Nothing is left that this machine can do: " in worker.stderr
    assert set(database.job_states()) == {"pending"}

    doctor = {each["name"]: each for each in database.json("doctor", env=there, check=False)}
    roots_there = doctor["roots"]
    assert not roots_there["is_good"]
    assert roots_there["finding"].startswith("lab is")
    assert roots_there["values"]["here"]["problem"] is None

    database.call("worker", "--until-idle", "--tables", "Licks,Running", env=with_roots(roots))
    assert not database.job_states()


def test_a_root_that_leads_elsewhere_is_the_machines_fault_and_a_file_that_is_gone_is_not(
    two_disks: Any, synthetic_sessions: Path
) -> None:
    database, _roots, folder = two_disks
    database.empty()
    for file in sorted((synthetic_sessions / BELOW).rglob("*.nwb")):
        shutil.copy(file, folder / "mount")
    everywhere = with_roots({"lab": str(folder / "mount")})
    database.call("register", folder / "mount", env=everywhere)
    elsewhere = with_roots({"lab": str(folder)})
    done = database.call("populate", "--table", "Licks", env=elsewhere, check=False)
    assert "has none of the registered files on this machine" in done.stderr
    assert set(database.job_states()) == {"pending"}

    next((folder / "mount").iterdir()).unlink()
    done = database.call("populate", "--table", "Licks", env=everywhere, check=False)
    assert done.stdout == "1 entries made, 1 failed.\n"
    assert set(database.job_states()) == {"error"}


def test_a_worker_that_can_do_nothing_stops_and_one_that_has_done_some_waits(two_disks: Any) -> None:
    """Without --until-idle too: it would never do anything."""
    from populate.work.worker import Plan, work
    from vbn.errors import HostError

    database, roots, _folder = two_disks
    database.connect()
    plan = Plan(tables=("Licks",), poll_s=0.01, prefix=database.prefix)
    events: list[str] = []

    def report(event: str, **_fields: Any) -> None:
        events.append(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBN_ROOTS", "{}")
        with pytest.raises(HostError, match=r"The root 'here' .*The root 'lab'"):
            work(plan, report, should_stop=lambda: "idle" in events)
        patch.setenv("VBN_ROOTS", json.dumps({"here": roots["here"]}))
        work(plan, report, should_stop=lambda: events.count("idle") > 0)
    assert events.count("host_lacks") == 3
    assert events.count("job_done") == 1
    assert set(database.job_states()) == {"pending"}


def test_recomputing_deletes_nothing_that_this_machine_cannot_make_again(
    two_disks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemas import behavior

    database, roots, _folder = two_disks
    database.call("populate", *IMPORT, env=with_roots(roots))
    monkeypatch.setattr(behavior.Running, "method_version", 99)
    done = database.call("recompute", "--yes", env=with_roots({"here": roots["here"]}), check=False)
    assert done.returncode == 1
    assert "Running: 2 rows" in done.stdout, done.stderr
    assert "The root 'lab' is not known on this machine" in done.stderr
    assert len(behavior.Running()) == 2


WITHOUT_MEMORY = """
import ctypes, resource
from pathlib import Path
from populate.cli import main
from schemas import behavior

def make_fetch(self, key):
    ctypes.CDLL(None).malloc_trim(0)
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used, resource.RLIM_INFINITY))
    while True:
        held.append(bytearray(2**13))

held = []

behavior.Licks.make_fetch = make_fetch
main(["populate", "--table", "Licks"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_a_job_that_leaves_no_memory_at_all_is_recorded_as_failed(
    database: Any, synthetic_files: list[Path]
) -> None:
    database.call("register", synthetic_files[0])
    done = database.vbn(program=("-c", WITHOUT_MEMORY), check=False)
    assert done.returncode == 1, done.stderr
    (failed,) = database.json("errors")
    assert "There is not enough memory" in str(failed)


def test_a_filter_and_a_store_that_are_absent_are_the_machines_fault() -> None:
    assert cause_of(AbsentFilterError("/x", "it is compressed with ...")) == "host"
    assert cause_of(WrongStoreError("not there")) == "host"
