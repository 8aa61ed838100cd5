"""Copying array files, with hashes, so that an interrupted backup continues where it stopped.

A file in the store never changes: it is written under a random name before its row is committed.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from populate.admin.backup.manifest import SavedFile, require_inside, saved_file
from populate.admin.backup.renaming import Renaming
from populate.admin.backup.stored_files import StoredFiles
from populate.admin.checksums import hash_of_file, hash_stream
from vbn.errors import AbsentArrayError, ConflictError, StoreError
from vbn.whole_files import whole_file

JOURNAL = "copied.jsonl"
PART = re.compile(r"\..+\.[0-9a-f]{32}\.part(\..*)?")  # `whole_file`


class VanishedError(StoreError):
    """A file that a row refers to is no longer in the store."""


def copy_into_backup(
    paths: Iterable[str],
    store: StoredFiles,
    target: Path,
    known: dict[str, SavedFile],
    former: Path | None = None,
) -> dict[str, SavedFile]:
    """Copy array files of the store into a backup, except those that it already has.

    Parameters
    ----------
    paths : paths of the files, below both the store and the target.
    known : files that were copied before; one whose copy has another size is copied again. Files that are
        copied are added.
    former : the arrays of another backup that has known files; they are shared with it where the file system
        can (hard links), since none ever changes.

    Raises
    ------
    VanishedError
        If a file is not in the store.
    """
    files = {}
    wanted = sorted(set(paths))
    with (target.parent / JOURNAL).open("a") as journal:
        for path in tqdm(wanted, desc="arrays", unit="file", disable=None):
            if not (path in known and _is_there(path, known[path].size_bytes, target, former)):
                known[path] = _copy_from_store(path, store, target)
                line = json.dumps([path, known[path].size_bytes, known[path].sha256])
                print(line, file=journal, flush=True)
            files[path] = known[path]
    return files


def _is_there(path: str, size_bytes: int, target: Path, former: Path | None) -> bool:
    """Return whether the backup has a file, which it may now share with a former one."""
    if not has_size(target / path, size_bytes) and former and has_size(former / path, size_bytes):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # this file system has no links: it is copied anew
            (target / path).unlink(missing_ok=True)
            (target / path).hardlink_to(former / path)
    return has_size(target / path, size_bytes)


def read_journal(folder: Path) -> dict[str, SavedFile]:
    """Return the files that an unfinished backup has copied."""
    known = {}
    with contextlib.suppress(FileNotFoundError), (folder / JOURNAL).open() as lines:
        for line in lines:
            # The last line may be incomplete if the backup was killed.
            with contextlib.suppress(ValueError, TypeError):
                path, size, sha256 = json.loads(line)
                require_inside(path)
                known[path] = saved_file({"size_bytes": size, "sha256": sha256})
    return known


def _copy_from_store(path: str, store: StoredFiles, target: Path) -> SavedFile:
    try:
        with store.opened(path) as file:
            return copy_file(file, target / path)
    except AbsentArrayError as error:
        raise VanishedError(
            f"A row refers to the array {path}, which is not in the store {store.store}. Check that it is "
            "the store that the rows were made with (vbn doctor); else delete that row and populate again."
        ) from error


def copy_file(source: Any, target: Path) -> SavedFile:
    """Copy an open file, completely or not at all; return its size and hash."""
    with whole_file(target) as part, part.open("wb") as copy:
        sha256 = hash_stream(source, copy)
        return SavedFile(copy.tell(), sha256)


def copy_out_of_backup(
    files: dict[str, SavedFile], source: Path, store: StoredFiles, names: Renaming
) -> None:
    """Copy files of a backup into a store; those present with the same content stay.

    Parameters
    ----------
    names : gives the path in the store of each file.

    Raises
    ------
    ConflictError
        If a file of the backup is damaged, or the store has another file under its name.
    """
    for path, expected in tqdm(sorted(files.items()), desc="arrays", unit="file", disable=None):
        place = names.path(path)
        found = store.find(place)
        if found is None:
            if problem := _damage(path, expected, source):
                raise ConflictError(f"The backup is damaged: {source / problem}. Use another one.")
            store.add(place, source / path)
        elif found != expected:
            raise ConflictError(
                f"The store {store.store} has another file {place} than the backup. Restore into an empty "
                "store, or move that file away."
            )


def damaged_files(files: dict[str, SavedFile], folder: Path) -> Iterator[str]:
    """Yield a message for each missing or damaged file of a backup."""
    for path, expected in tqdm(sorted(files.items()), desc="files", unit="file", disable=None):
        if problem := _damage(path, expected, folder):
            yield problem


def _damage(path: str, expected: SavedFile, folder: Path) -> str | None:
    """Return what is wrong with a file of a backup."""
    file = folder / path
    if not file.is_file():
        return f"{path} is missing"
    if not file.resolve().is_relative_to(folder.resolve()):
        return f"{path} is a link that leads out of it"
    if (size := file.stat().st_size) != expected.size_bytes:
        return f"{path} has {size} bytes instead of {expected.size_bytes}"
    return None if hash_of_file(file) == expected.sha256 else f"{path} has changed (SHA-256)"


def remove_files(files: Iterable[str], folder: Path) -> None:
    """Remove files, and the folders that are then empty."""
    for path in files:
        (folder / path).unlink(missing_ok=True)
        for parent in list(Path(path).parents)[:-1]:
            try:
                (folder / parent).rmdir()
            except OSError:  # not empty
                break


def has_size(path: Path, size_bytes: int) -> bool:
    """Return whether a file is there and has a size."""
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False


def remove_parts(folder: Path) -> None:
    """Remove what interrupted copies have left."""
    for path in folder.rglob(".*.part*"):
        if PART.fullmatch(path.name):
            path.unlink()
