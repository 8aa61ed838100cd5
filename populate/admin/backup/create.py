"""Backing up a database and its arrays, as of one moment, while others work."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import vbn
from populate.admin.backup import files, mysql, postgres
from populate.admin.backup.manifest import FORMAT, MANIFEST, STORE, BackupManifest, SavedFile, read_manifest
from populate.admin.checksums import checksums_of, hash_of_file
from populate.admin.snapshot import Snapshot
from schemas.files.store_identity import recorded_id, require_own_store
from schemas.server.connection import Database
from vbn.errors import ConflictError, SettingError, StoreError

ATTEMPTS = 3
LOCK = "lock"


def back_up(database: Database, folder: Path, *, mysqldump: str | None = None) -> BackupManifest:
    """Save the database, and the arrays that its rows refer to, into a folder.

    Everything is of one moment; others may work meanwhile. A folder with a backup of the same database is
    updated: arrays that it has are not copied again. The old backup stays complete until the new one is.

    Parameters
    ----------
    database : the database to save.
    folder : a new or empty folder, or one with a complete or unfinished backup.
    mysqldump : path of the program; by default ``VBN_MYSQLDUMP``, else the one on PATH.

    Raises
    ------
    SettingError
        If the folder or the program cannot be used.
    ConflictError
        If the folder holds something else.
    StoreError
        If the store is not the database's, an array is missing, or the folder is full.
    """
    require_own_store(database)
    with _explaining_errors(folder), _locked(folder, database):
        previous = _previous(folder, database)
        known = {**(previous.files if previous else {}), **files.read_journal(folder)}
        for attempt in range(ATTEMPTS):
            try:
                manifest = _save(database, folder, known, mysqldump)
                break
            except files.VanishedError:  # deleted since the dump, row and file
                if attempt == ATTEMPTS - 1:
                    raise
        manifest.write(folder)
        _tidy(folder, manifest)
        return manifest


def _save(
    database: Database, folder: Path, known: dict[str, SavedFile], mysqldump: str | None
) -> BackupManifest:
    now = datetime.now(UTC)
    is_mysql = database.backend == "mysql"
    dump = f"database-{now:%Y%m%dT%H%M%S%f}Z{mysql.SUFFIX if is_mysql else postgres.SUFFIX}"
    target = folder / dump
    dumped: AbstractContextManager[Snapshot] = (
        mysql.dumped(database, target, mysqldump) if is_mysql else postgres.dumped(database, target)
    )
    store = database.store.folder
    with dumped as snapshot:
        paths = {reference.path for reference in snapshot.array_references()}
        copied = files.copy_into_backup(paths, store, folder / STORE, known) if store else {}
        hash_file = (lambda path: copied[path].sha256) if store else None
        checksums = checksums_of(snapshot, hash_file=hash_file)
    return BackupManifest(
        format=FORMAT,
        made_at=now.isoformat(timespec="seconds"),
        vbn_version=vbn.__version__,
        backend=database.backend,
        server_version=str(database.connection.query("SELECT version()").fetchone()[0]),
        prefix=database.prefix,
        dump=dump,
        dump_file=SavedFile(target.stat().st_size, hash_of_file(target)),
        store=str(database.store),
        store_id=recorded_id(database),
        has_arrays=store is not None,
        files=copied,
        checksums=checksums,
    )


def _previous(folder: Path, database: Database) -> BackupManifest | None:
    """Return the backup that the folder already holds; it must be of the same database."""
    if not (folder / MANIFEST).exists():
        return None
    previous = read_manifest(folder)
    if (previous.backend, previous.prefix) != (database.backend, database.prefix):
        raise ConflictError(
            f"{folder} holds a backup of '{previous.prefix}...' on {previous.backend}, not of "
            f"'{database.prefix}...' on {database.backend}. Name another folder."
        )
    return previous


@contextlib.contextmanager
def _locked(folder: Path, database: Database) -> Iterator[None]:
    """Lock the folder, which must hold a backup or be empty."""
    store = database.store.folder
    if store is not None and (folder.resolve().is_relative_to(store.resolve())):
        raise SettingError(f"{folder} is in the store itself. Name a folder elsewhere, best on another disk.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise ConflictError(
            f"{folder} holds files that are not a backup of ours. Name a new or empty folder."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"Another vbn backup is writing into {folder}.") from None
        yield


@contextlib.contextmanager
def _explaining_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The backup in {folder} failed: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. What was copied stays: after fixing the "
            "cause, run the same command again to continue."
        ) from error


def _tidy(folder: Path, manifest: BackupManifest) -> None:
    """Remove files of earlier and interrupted backups that this one does not need."""
    for old in folder.glob("database-*"):
        if old.name != manifest.dump:
            old.unlink()
    files.remove_others(folder / STORE, manifest.files)
    (folder / files.JOURNAL).unlink(missing_ok=True)
