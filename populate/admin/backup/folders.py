"""Who may write into, and read from, the folder of a backup: one writer, or any number of readers."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from populate.admin.backup.files import JOURNAL
from populate.admin.backup.manifest import MANIFEST
from schemas.server.connection import Database
from vbn.errors import ConflictError, SettingError, StoreError

LOCK = "lock"
OURS = "A folder of vbn backup. What it does not know stays.\n"


def require_usable(folder: Path, database: Database) -> None:
    """Raise an error unless a folder is new or empty, or one of ours, and not in the store.

    Raises
    ------
    SettingError
        If it is in the store.
    ConflictError
        If it holds something else.
    """
    require_outside_store(folder, database)
    with explaining_errors(folder):
        is_usable = not folder.is_dir() or not any(folder.iterdir()) or _is_ours(folder)
    if not is_usable:
        raise ConflictError(
            f"{folder} holds files that are not a backup of ours. Name a new or empty folder."
        )


def require_outside_store(folder: Path, database: Database) -> None:
    """Raise SettingError if a folder that is written into lies in the array store."""
    store = database.store.folder
    if store is not None and folder.resolve().is_relative_to(store.resolve()):
        raise SettingError(f"{folder} is in the store itself. Name a folder elsewhere, best on another disk.")


def _is_ours(folder: Path) -> bool:
    lock = folder / LOCK
    if not lock.is_file():
        return False
    names = {path.name for path in folder.iterdir()}
    return lock.read_bytes()[:100] == OURS.encode() or bool(names & {MANIFEST, JOURNAL}) or names == {LOCK}


@contextlib.contextmanager
def explaining_errors(folder: Path) -> Iterator[None]:
    """Turn what the operating system says of a full disk, a closed folder and the like into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The backup in {folder} failed: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. What was copied stays: after fixing the "
            "cause, run the same command again to continue."
        ) from error


@contextlib.contextmanager
def using(folder: Path) -> Iterator[None]:
    """Let nobody else write into a folder, or read what it holds; it is created.

    Raises
    ------
    ConflictError
        If somebody does.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"Another vbn backup is writing into {folder}, or it is read.") from None
        if file.tell() == 0:
            file.write(OURS)
            file.flush()
        yield


@contextlib.contextmanager
def being_read(folder: Path) -> Iterator[None]:
    """Let nobody write into a folder that is read; without a lock where it has none, or it cannot be opened.

    Raises
    ------
    ConflictError
        If somebody writes into it.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context((folder / LOCK).open())
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConflictError(
                    f"A vbn backup is writing into {folder}. Wait until it has ended."
                ) from None
        yield
