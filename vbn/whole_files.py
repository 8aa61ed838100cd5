"""Writing files and folders completely or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vbn.errors import FileError, SettingError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes the file if the block succeeds, else it is removed.

    Parameters
    ----------
    path : the file; its folder is created. An existing file stays unchanged until the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file, synced to disk, completely or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def locked_part(part: Path) -> Iterator[BinaryIO]:
    """Open an incomplete file for appending, and keep other processes from writing it.

    It is removed if it is empty at the end; otherwise it stays, to be continued or renamed.

    Raises
    ------
    FileError
        Another process is downloading the file.
    """
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileError(part, "another process is downloading it.", "Wait until it is done.") from error
        except OSError:  # a file system without locks: the hash is what counts
            pass
        try:
            yield file
        finally:
            file.flush()
            if not os.fstat(file.fileno()).st_size:
                part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to write into; it becomes the folder if the block succeeds.

    Parameters
    ----------
    path : path of the folder; its parent is created.

    Raises
    ------
    SettingError
        If it exists already: old files would be mixed with the new ones.
    """
    if path.exists():
        raise SettingError(f"'{path}' exists already. Remove it, or name another folder.")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
