"""Backing up a database and its arrays, as of one moment, while others work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import vbn
from populate.admin.backup import files, mysql, postgres
from populate.admin.backup.folders import explaining_errors, require_usable, using
from populate.admin.backup.manifest import (
    DUMP_NAME,
    FORMAT,
    MANIFEST,
    MOMENT,
    STORE,
    BackupManifest,
    SavedFile,
    generations,
    read_manifest,
)
from populate.admin.backup.stored_files import StoredFiles
from populate.admin.checksums import checksums_of, hash_of_file
from populate.admin.snapshot import Snapshot
from schemas.files.store_identity import recorded_id, require_own_store
from schemas.server.connection import Database
from vbn.errors import ConflictError, SettingError

ATTEMPTS = 3


def back_up(
    database: Database,
    folder: Path,
    *,
    mysqldump: str | None = None,
    with_arrays: bool = True,
    former: Path | None = None,
) -> BackupManifest:
    """Save the database, and the arrays that its rows refer to, into a folder.

    Everything is of one moment; others may work meanwhile. A folder with a backup of the same database is
    updated: arrays that it has are not copied again. The old backup stays complete until the new one is.

    Parameters
    ----------
    database : the database to save.
    folder : a new or empty folder, or one with a complete or unfinished backup.
    mysqldump : path of the program; by default ``VBN_MYSQLDUMP``, else the one on PATH.
    with_arrays : without them, the backup lacks what rows refer to in the store.
    former : another backup of the same database, with which this one shares arrays.

    Raises
    ------
    SettingError
        If the folder or the program cannot be used.
    ConflictError
        If the folder holds something else.
    StoreError
        If the store is not the database's, an array is missing, or the folder is full.
    """
    if with_arrays:
        require_own_store(database)
    require_usable(folder, database)
    with explaining_errors(folder), using(folder):
        previous = _previous(folder, database, with_arrays=with_arrays)
        _remove_dumps(folder, previous)  # of killed attempts
        known = {**(previous.files if previous else {}), **files.read_journal(folder)}
        if former is not None:
            known = {**read_manifest(former).files, **known}
        for attempt in range(ATTEMPTS):
            try:
                manifest = _save(database, folder, known, mysqldump, with_arrays=with_arrays, former=former)
                break
            except files.VanishedError:  # deleted since the dump, row and file
                require_own_store(database)  # unless all of it went away
                if attempt == ATTEMPTS - 1:
                    raise
        os.sync()  # what it names is on the disk before it is
        manifest.write(folder)
        _tidy(folder, manifest, known)
        return manifest


def _save(
    database: Database,
    folder: Path,
    known: dict[str, SavedFile],
    mysqldump: str | None,
    *,
    with_arrays: bool,
    former: Path | None,
) -> BackupManifest:
    now = datetime.now(UTC)
    is_mysql = database.backend == "mysql"
    dump = f"database-{now:{MOMENT}}{mysql.SUFFIX if is_mysql else postgres.SUFFIX}"
    target = folder / dump
    dumped: AbstractContextManager[Snapshot] = (
        mysql.dumped(database, target, mysqldump) if is_mysql else postgres.dumped(database, target)
    )
    copied: dict[str, SavedFile] = {}
    with _removed_on_failure(target), dumped as snapshot:
        if with_arrays:
            paths = _arrays_to_save(snapshot)
            store = StoredFiles(database.store)
            arrays_of_former = former / STORE if former else None
            copied = files.copy_into_backup(paths, store, folder / STORE, known, arrays_of_former)
        hash_file = (lambda path: copied[path].sha256) if with_arrays else None
        checksums = checksums_of(snapshot, hash_file=hash_file)
        schemas = snapshot.schemas()
        n_unpublished = snapshot.count_unpublished()
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
        has_arrays=with_arrays,
        files=copied,
        checksums=checksums,
        schemas=schemas,
        n_unpublished=n_unpublished,
    )


@contextlib.contextmanager
def _removed_on_failure(dump: Path) -> Iterator[None]:
    """Leave no part of a dump, which the next attempt makes anew: it takes the room that may be lacking."""
    try:
        yield
    except BaseException:
        dump.unlink(missing_ok=True)
        raise


def _arrays_to_save(snapshot: Snapshot) -> set[str]:
    """Return the paths of all arrays; refuse those of a lab's tables that are not in the array store."""
    references = list(snapshot.array_references())
    if elsewhere := sorted({reference.table for reference in references if not reference.is_ours}):
        raise SettingError(
            f"Rows of {', '.join(elsewhere)} have folders, or arrays in another store than 'vbn', which "
            "are not saved here. Save the rest with --without-arrays and the stores with their own tools, or "
            "keep arrays in files of the store 'vbn' (<npy@vbn>, <blob@vbn>)."
        )
    return {reference.path for reference in references}


def _previous(folder: Path, database: Database, *, with_arrays: bool) -> BackupManifest | None:
    """Return the backup that the folder already holds; it must be of the same database."""
    if not (folder / MANIFEST).exists():
        if kept := generations(folder):
            raise ConflictError(
                f"{folder} holds {len(kept)} backups made with --keep. Use it again, or name another folder."
            )
        return None
    previous = read_manifest(folder)
    if not previous.is_of(database):
        raise ConflictError(
            f"{folder} holds a backup of '{previous.prefix}...' on {previous.backend}, not of "
            f"'{database.prefix}...' on {database.backend}, or of an array store with another id. "
            "Name another folder."
        )
    if previous.has_arrays and not with_arrays:
        raise ConflictError(
            f"{folder} holds a backup with arrays, which one without them would replace. Name another folder."
        )
    return previous


def _tidy(folder: Path, manifest: BackupManifest, known: dict[str, SavedFile]) -> None:
    """Remove files of earlier and interrupted backups that this one does not need, and no others."""
    _remove_dumps(folder, manifest)
    files.remove_parts(folder / STORE)
    files.remove_files(known.keys() - manifest.files.keys(), folder / STORE)
    (folder / files.JOURNAL).unlink(missing_ok=True)


def _remove_dumps(folder: Path, manifest: BackupManifest | None) -> None:
    """Remove the dumps of earlier and interrupted backups."""
    for old in folder.iterdir():
        if DUMP_NAME.fullmatch(old.name) and not (manifest and old.name == manifest.dump):
            old.unlink()
