"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from vbn.errors import SettingError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a place to write beside a file; it becomes the file when all went well, else it is removed.

    Parameters
    ----------
    path : the file; its folder is made. An existing file stays as it is until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file to the disk itself, so that it is there as a whole or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write into beside a place; it becomes the folder there when all went well.

    Parameters
    ----------
    path : where the folder will be; the folder above is made.

    Raises
    ------
    SettingError
        If there is something already: files of another time would lie among the new ones.
    """
    if path.exists():
        raise SettingError(f"'{path}' is there already. Remove it, or name another folder.")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
