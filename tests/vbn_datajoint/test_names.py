"""What stands in the way of our packages' names: each case in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vbn_datajoint import HOME, MARK, NAMES, in_front_of

Run = Callable[..., subprocess.CompletedProcess[str]]

LEAVES_A_TRACE = "open('trace', 'w').close()\n"
CALLED = ["-m", "vbn_datajoint", "--version"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder that somebody works in."""
    there = tmp_path / "work"
    there.mkdir()
    return there


@pytest.fixture
def run(folder: Path) -> Run:
    """Run Python in that folder; ours is found after it, as an installed package is."""

    def run(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, (before, str(HOME))))
        environment = {**os.environ, "PYTHONPATH": path, "VBN_HOME": str(folder)}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


def assert_in_words(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("vbn: ")
    assert [word for word in words if word not in done.stderr] == []


def test_the_mark_is_in_each_package() -> None:
    assert [name for name in NAMES if MARK not in (HOME / name / "__init__.py").read_text()] == []


def test_ours_is_not_a_stranger() -> None:
    assert [in_front_of(name, [str(HOME)]) for name in NAMES] == [None] * len(NAMES)


@pytest.mark.parametrize(
    ("name", "content"),
    [("vbn", LEAVES_A_TRACE), ("schemas", LEAVES_A_TRACE), ("populate", "this is no Python\n")],
)
def test_the_command_says_which_file_it_would_get_and_runs_none(
    run: Run, folder: Path, name: str, content: str
) -> None:
    file = folder / f"{name}.py"
    file.write_text(content)
    assert_in_words(run(*CALLED), str(file), f"'{name}'", str(HOME), "Rename")
    assert not (folder / "trace").exists()


def test_the_same_for_python_m_populate(run: Run, folder: Path) -> None:
    (folder / "schemas.py").write_text(LEAVES_A_TRACE)
    assert_in_words(run("-m", "populate", "--version"), str(folder / "schemas.py"))
    assert not (folder / "trace").exists()


def test_a_package_on_the_path_is_found_too(run: Run, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "schemas"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text(LEAVES_A_TRACE)
    assert_in_words(run(*CALLED, before=str(other.parent)), str(other / "__init__.py"), "PYTHONPATH")
    assert not (folder / "trace").exists()


def test_and_one_in_an_archive(run: Run, tmp_path: Path) -> None:
    archive = tmp_path / "libraries.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("populate.py", LEAVES_A_TRACE)
    assert_in_words(run(*CALLED, before=str(archive)), str(archive / "populate.py"))


def test_a_folder_that_is_no_package_does_no_harm(run: Run, folder: Path) -> None:
    """Python passes over it, as ours has an ``__init__.py``."""
    for name in NAMES:
        (folder / name).mkdir()
        (folder / name / "of_somebody.py").touch()
    done = run(*CALLED)
    assert (done.returncode, done.stderr) == (0, "")
    assert run("-c", "import schemas; print(schemas.__file__)").stdout == f"{HOME}/schemas/__init__.py\n"


def test_through_the_alias_all_of_ours_are_the_same_modules(run: Run, folder: Path) -> None:
    """A second copy of a module of tables would declare them twice."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(LEAVES_A_TRACE)
    script = """
from vbn_datajoint import populate, schemas, vbn
from vbn_datajoint.schemas import queries
import vbn_datajoint.schemas.psth as psth
import vbn_datajoint.vbn.analysis.spikes.psth
import schemas as again, schemas.queries, schemas.psth, vbn.errors
assert schemas is again and queries is schemas.queries and psth is schemas.psth
assert vbn_datajoint.schemas is schemas and vbn_datajoint.vbn.errors is vbn.errors
assert psth.__name__ == psth.__spec__.name == "schemas.psth"
assert vbn_datajoint.vbn.analysis.spikes.psth.__name__ == "vbn.analysis.spikes.psth"
print(schemas.__file__, populate.__file__, vbn.__file__, sep="\\n")
"""
    done = run("-c", script)
    assert done.stderr == ""
    assert done.stdout.split() == [f"{HOME}/{name}/__init__.py" for name in ("schemas", "populate", "vbn")]
    assert not (folder / "trace").exists()


def test_what_is_not_asked_for_stays_somebody_elses(run: Run, folder: Path) -> None:
    (folder / "populate.py").write_text("print('mine')\n")
    assert run("-c", "from vbn_datajoint import schemas\nimport populate").stdout == "mine\n"


def test_the_alias_says_who_was_there_first(run: Run, folder: Path) -> None:
    file = folder / "schemas.py"
    file.touch()
    done = run("-c", "import schemas\nfrom vbn_datajoint.schemas import queries")
    assert done.stderr.splitlines()[-1].startswith("ImportError: This process has imported 'schemas'")
    assert str(file) in done.stderr
    assert "rename that file" in done.stderr


def test_nor_does_the_alias_take_a_module_without_a_file(run: Run) -> None:
    script = "import sys, types\nsys.modules['vbn'] = types.ModuleType('vbn')\nimport vbn_datajoint.schemas"
    assert "has imported 'vbn' from 'no file' already" in run("-c", script).stderr


def test_an_unknown_name_is_an_import_error(run: Run) -> None:
    words = "cannot import name 'tables' from 'vbn_datajoint'"
    assert words in run("-c", "from vbn_datajoint import tables").stderr
    assert "No module named 'schemas.nowhere'" in run("-c", "import vbn_datajoint.schemas.nowhere").stderr


@pytest.mark.parametrize("is_there", [True, False])
def test_a_package_installed_over_ours_or_removed_with_its_files(
    run: Run, folder: Path, is_there: bool
) -> None:
    """Both distributions put their files into the same folder of site-packages."""
    for path in ("vbn_datajoint/__init__.py", "vbn_datajoint/__main__.py", "vbn/__init__.py"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text((HOME / path).read_text())
    (folder / "schemas").mkdir()
    if is_there:
        (folder / "schemas" / "__init__.py").write_text(LEAVES_A_TRACE)
    assert_in_words(run(*CALLED), str(folder / "schemas" / "__init__.py"), "--force-reinstall")
    assert "--force-reinstall" in run("-c", "from vbn_datajoint import schemas").stderr
    assert not (folder / "trace").exists()
