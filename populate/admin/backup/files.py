"""Copying array files, with hashes, so that an interrupted backup continues where it stopped.

A file in the store never changes: it is written under a random name before its row is committed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from populate.admin.backup.manifest import SavedFile
from populate.admin.checksums import hash_of_file, hash_stream
from vbn.errors import ConflictError, StoreError
from vbn.whole_files import whole_file

JOURNAL = "copied.jsonl"


class VanishedError(StoreError):
    """A file that a row refers to is no longer in the store."""


def copy_into_backup(
    paths: Iterable[str], store: Path, target: Path, known: dict[str, SavedFile]
) -> dict[str, SavedFile]:
    """Copy array files of the store into a backup, except those that it already has.

    Parameters
    ----------
    paths : paths of the files, below both the store and the target.
    known : files that were copied before; one whose copy has another size is copied again. Files that are
        copied are added.

    Raises
    ------
    VanishedError
        If a file is not in the store.
    """
    files = {}
    wanted = sorted(set(paths))
    with (target.parent / JOURNAL).open("a") as journal:
        for path in tqdm(wanted, desc="arrays", unit="file", disable=None):
            if path not in known or not _has_size(target / path, known[path].size_bytes):
                known[path] = _copy_from_store(path, store, target)
                print(json.dumps([path, known[path].size_bytes, known[path].sha256]), file=journal)
            files[path] = known[path]
    return files


def read_journal(folder: Path) -> dict[str, SavedFile]:
    """Return the files that an unfinished backup has copied."""
    known = {}
    with contextlib.suppress(FileNotFoundError), (folder / JOURNAL).open() as lines:
        for line in lines:
            with contextlib.suppress(ValueError):  # the last line may be incomplete if the backup was killed
                path, size, sha256 = json.loads(line)
                known[path] = SavedFile(size, sha256)
    return known


def _copy_from_store(path: str, store: Path, target: Path) -> SavedFile:
    try:
        return copy_file(store / path, target / path)
    except FileNotFoundError as error:
        if (store / path).exists():
            raise
        raise VanishedError(
            f"A row refers to the array {path}, which is not in the store {store}. Check that it is the "
            "store that the rows were made with (vbn doctor); else delete that row and populate again."
        ) from error


def copy_file(source: Path, target: Path, expected: SavedFile | None = None) -> SavedFile:
    """Copy a file, completely or not at all; return its size and hash.

    Raises
    ------
    ConflictError
        If it is not the expected file. The target is then not written.
    """
    with whole_file(target) as part:
        with source.open("rb") as file, part.open("wb") as copy:
            sha256 = hash_stream(file, copy)
            copied = SavedFile(copy.tell(), sha256)
        if expected and copied != expected:
            raise ConflictError(
                f"{source} is damaged: its content is not what was saved (SHA-256 {sha256}, expected "
                f"{expected.sha256}). Use another backup."
            )
    return copied


def copy_out_of_backup(files: dict[str, SavedFile], source: Path, store: Path) -> None:
    """Copy files of a backup into a store; those present with the same content stay.

    Raises
    ------
    ConflictError
        If a file of the backup is damaged, or the store has another file under its name.
    """
    for path, expected in tqdm(sorted(files.items()), desc="arrays", unit="file", disable=None):
        if not (store / path).exists():
            _require_present(source / path)
            copy_file(source / path, store / path, expected)
        elif not _has_size(store / path, expected.size_bytes) or (
            hash_of_file(store / path) != expected.sha256
        ):
            raise ConflictError(
                f"The store {store} has another file {path} than the backup. Restore into an empty store, "
                "or move that file away."
            )


def damaged_files(files: dict[str, SavedFile], folder: Path) -> Iterator[str]:
    """Yield a message for each missing or damaged file of a backup."""
    for path, expected in tqdm(sorted(files.items()), desc="files", unit="file", disable=None):
        if not (folder / path).is_file():
            yield f"{path} is missing"
        elif not _has_size(folder / path, expected.size_bytes):
            size = (folder / path).stat().st_size
            yield f"{path} has {size} bytes instead of {expected.size_bytes}"
        elif hash_of_file(folder / path) != expected.sha256:
            yield f"{path} has changed (SHA-256)"


def remove_others(folder: Path, kept: Iterable[str]) -> None:
    """Remove files that are not among the given paths, and folders that are then empty."""
    wanted = {str(folder / path) for path in kept}
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            if (file := os.path.join(parent, name)) not in wanted:  # noqa: PTH118
                Path(file).unlink()
        if Path(parent) != folder:
            with contextlib.suppress(OSError):  # not empty
                Path(parent).rmdir()


def _require_present(path: Path) -> None:
    if not path.is_file():
        raise ConflictError(f"The backup is damaged: {path} is missing. Use another one.")


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except FileNotFoundError:
        return False
