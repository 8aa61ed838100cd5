"""A file that means harm enters nothing, at registering and at import; the others go on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from benchmarks.fuzz import hostile

pytestmark = [pytest.mark.files, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
N_MUTANTS = 3
HARMFUL = (
    "external storage, absolute",
    "virtual, absolute",
    "external link, absolute",
    "nested, itself",
    "claim, spikes",
)
OF_FILES = ("Recording", "ChangeDetection", "Running")


@pytest.fixture
def harmful(synthetic_files: list[Path], open_folder: Path) -> list[Path]:
    return [hostile.make(name, synthetic_files[0], open_folder) for name in HARMFUL]


def test_harmful_files_are_refused_and_the_others_are_registered(
    empty_database: Any, synthetic_files: list[Path], harmful: list[Path]
) -> None:
    pipe = harmful[0].with_name("pipe.nwb")
    os.mkfifo(pipe)
    done = empty_database.call("register", pipe, *harmful, synthetic_files[0], "--json", check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    pipe.unlink()
    assert done.returncode == 1
    assert [line["status"] for line in lines] == ["failed"] * (len(HARMFUL) + 1) + ["registered"]
    for name, line in zip(HARMFUL, lines[1:], strict=False):
        assert re.search(hostile.HOSTILE[name][1], line["message"])
    assert hostile.SECRET_TEXT[:10].decode() not in repr(empty_database.contents())


def as_long_as(path: Path, size: int) -> None:
    """Let a file go on with nulls, which HDF5 passes over."""
    os.truncate(path, size)


def registered_copy(database: Any, source: Path, folder: Path, size: int = 0) -> Path:
    """Register a copy of a file, perhaps made longer."""
    path = folder / "registered.nwb"
    shutil.copyfile(source, path)
    as_long_as(path, max(size, path.stat().st_size))
    database.call("register", path)
    return path


def errors_of(database: Any) -> dict[str, str]:
    """Populate what is made from files; return the errors by table."""
    tables = [word for name in OF_FILES for word in ("--table", name)]
    database.call("populate", *tables, check=False)
    return {error["table"]: error["message"] for error in database.json("errors")}


@pytest.mark.parametrize("name", ["external storage, absolute", "external link, absolute"])
def test_a_harmful_file_put_in_the_place_of_a_registered_one_is_refused_at_import(
    empty_database: Any, synthetic_files: list[Path], open_folder: Path, name: str
) -> None:
    """Of the same size and last changed at the same time: only opening it tells."""
    bad = hostile.make(name, synthetic_files[0], open_folder)
    size = max(bad.stat().st_size, synthetic_files[0].stat().st_size) + 1
    path = registered_copy(empty_database, synthetic_files[0], open_folder, size)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    as_long_as(bad, size)
    bad.replace(path)
    os.utime(path, ns=times)
    errors = errors_of(empty_database)
    assert set(errors) == set(OF_FILES)
    assert all("another file" in message for message in errors.values())
    assert not empty_database.stored_files()


def test_a_file_whose_content_changed_is_refused_at_import(
    empty_database: Any, synthetic_files: list[Path], open_folder: Path
) -> None:
    path = registered_copy(empty_database, synthetic_files[0], open_folder)
    with h5py.File(path, "r+") as file:
        file["units/snr"][0] += 1
    errors = errors_of(empty_database)
    assert set(errors) == set(OF_FILES)
    assert all("its content has changed since it was registered" in message for message in errors.values())


def test_a_copy_of_a_registered_file_is_imported(
    empty_database: Any, synthetic_files: list[Path], open_folder: Path
) -> None:
    """Other times, same content."""
    path = registered_copy(empty_database, synthetic_files[0], open_folder)
    os.utime(path, (1, 1))
    assert errors_of(empty_database) == {}


def test_what_is_hashed_is_what_is_read(
    empty_database: Any, synthetic_files: list[Path], open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file is put in the place of the first between the two openings."""
    from populate.registration import register

    path = open_folder / "swapped.nwb"
    shutil.copyfile(synthetic_files[0], path)
    hash_it = register.hash_and_version

    def swap_and_hash(place: Path, report: Any) -> Any:
        shutil.copyfile(synthetic_files[1], path.with_suffix(".other"))
        path.with_suffix(".other").replace(path)
        return hash_it(place, report)

    monkeypatch.setattr(register, "hash_and_version", swap_and_hash)
    line = empty_database.json_lines("register", path, check=False)[0]
    assert line["status"] == "failed"
    assert "while it was read" in line["message"]


def test_a_file_on_a_web_server_does_not_read_the_files_of_its_reader(
    empty_database: Any, harmful: list[Path], serve: Callable[[Path], Any]
) -> None:
    site = serve(harmful[0].parent)
    line = empty_database.json_lines("register", f"{site.url}/{harmful[0].name}", check=False)[0]
    assert line["status"] == "failed"
    assert "lie in another file" in line["message"]


@pytest.mark.timeout(1200)
def test_mutants_of_those_who_mean_harm_end_in_success_in_issues_or_in_words(server: Any) -> None:
    """`make fuzz` tries many more."""
    backend = "mysql" if server.backend == "mysql" else "embedded"
    command = [sys.executable, "-m", "benchmarks.fuzz", "--backend", backend, "--mutants", str(N_MUTANTS)]
    environment = {**os.environ, **server.settings}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["mutants"] == N_MUTANTS
    assert summary["ends"]["imported"] >= 1
