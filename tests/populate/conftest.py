"""Files that are damaged in one place, and databases to try them on."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest

FIRST_DAMAGED_ID = 9_400_000_001


@pytest.fixture(scope="session")
def shared_database(make_database: Callable[..., Any]) -> Any:
    """An empty database for tests that are expected to leave it empty."""
    return make_database()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may enter; pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-files-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def damaged_copy(synthetic_files: list[Path], open_folder: Path) -> Callable[..., Path]:
    """Copy a recording, give it an id of its own and damage it.

    ``damaged_copy(damage, session_id=None)``, where ``damage`` changes the open HDF5 file; the
    copy's name ends with its session id.
    """
    ids = itertools.count(FIRST_DAMAGED_ID)

    def copy(damage: Callable[[h5py.File], None], session_id: int | None = None) -> Path:
        session_id = next(ids) if session_id is None else session_id
        path = open_folder / f"{damage.__name__}_{session_id}.nwb"
        shutil.copyfile(synthetic_files[0], path)
        with h5py.File(path, "r+") as file:
            replace_text(file, "identifier", str(session_id))
            damage(file)
        return path

    return copy


def replace_text(file: h5py.File, name: str, text: str) -> None:
    """Put a scalar text in the place of another."""
    del file[name]
    file[name] = text


@pytest.fixture
def as_anybody() -> list[str]:
    """Beginning of a command that runs it without root's right to open every file."""
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("root may open every file, and setpriv, which could take that away, is not installed")
    return [program, "--bounding-set=-dac_override,-dac_read_search"]
