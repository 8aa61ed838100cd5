"""Restoring a backup into an empty database, and checking one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from populate.admin.backup import files, mysql, postgres
from populate.admin.backup.manifest import STORE, BackupManifest, read_manifest
from populate.admin.checksums import checksums_of, hash_of_file
from populate.admin.snapshot import Snapshot, existing_schemas, job_tables
from schemas.bases.parameter_table import parameter_tables
from schemas.files.store_identity import (
    record_of,
    recorded_id,
    require_own_store,
    stored_id,
    write_stored_id,
)
from schemas.server.connection import Database, server_lock
from vbn.errors import ConflictError, SettingError, StoreError, WrongStoreError


@dataclass(frozen=True)
class Restored:
    """The result of a restore: its checksums, and the tables whose checksum differs from the saved one."""

    manifest: BackupManifest
    checksums: dict[str, str]
    different: list[str]


def check(folder: Path) -> list[str]:
    """Return what is wrong with a backup; an empty list if it is complete.

    Raises
    ------
    NotFoundError, InvalidContentError
        If the folder holds no backup.
    """
    manifest = read_manifest(folder)
    saved = {f"{STORE}/{path}": file for path, file in manifest.files.items()}
    return list(files.damaged_files({manifest.dump: manifest.dump_file, **saved}, folder))


def restore(database: Database, folder: Path, *, mysql_client: str | None = None) -> Restored:
    """Restore the tables and rows of a backup into an empty database, and its arrays into the store.

    The hash of every file is checked. Existing tables may hold no rows except the default parameter sets, and
    are replaced. Reservations are not restored: their workers work elsewhere.

    Parameters
    ----------
    database : an empty database with the same kind of server and the same prefix.
    folder : the backup.
    mysql_client : path of the program ``mysql``; by default ``VBN_MYSQL``, else the one on PATH.

    Raises
    ------
    SettingError
        If server, prefix or store do not match the backup.
    ConflictError
        If the database is not empty, or the backup is damaged. The database is then not changed.
    """
    manifest = read_manifest(folder)
    _require_match(manifest, database)
    if hash_of_file(folder / manifest.dump) != manifest.dump_file.sha256:
        raise ConflictError(f"{folder / manifest.dump} is damaged: it has changed. Use another backup.")
    with server_lock("deploy", database):
        _require_empty(database)
        if manifest.has_arrays:
            _require_own_store(manifest, database)
            _restore_arrays(manifest, folder, database)
        _drop(database)
        with _dropping_on_failure(database):
            if database.backend == "mysql":
                mysql.load(database, folder / manifest.dump, mysql_client)
            else:
                postgres.load(database, folder / manifest.dump)
            _forget_reservations(database)
        if manifest.has_arrays and manifest.store_id:
            write_stored_id(database, manifest.store_id)
    return _compared(manifest, database)


def _compared(manifest: BackupManifest, database: Database) -> Restored:
    hash_file = (lambda path: manifest.files[path].sha256) if manifest.has_arrays else None
    with Snapshot.taken(database) as snapshot:
        checksums = checksums_of(snapshot, hash_file=hash_file)
    names = sorted(manifest.checksums.keys() | checksums.keys())
    different = [name for name in names if manifest.checksums.get(name) != checksums.get(name)]
    return Restored(manifest, checksums, different)


def _require_match(manifest: BackupManifest, database: Database) -> None:
    if manifest.backend != database.backend:
        raise SettingError(
            f"The backup is of {manifest.backend}, and the database is {database}. Restore it into "
            f"{manifest.backend} (DJ_HOST, DJ_BACKEND)."
        )
    if manifest.prefix != database.prefix:
        raise SettingError(
            f"The backup is of the tables under '{manifest.prefix}...', not '{database.prefix}...', and the "
            f"arrays' paths hold that name. Restore it as: vbn --prefix {manifest.prefix} restore ..."
        )
    if manifest.has_arrays:
        database.store.require_configured()
    if manifest.has_arrays and database.store.folder is None:
        raise SettingError(
            f"The backup has arrays, which are restored into a folder, and the store is {database.store}. "
            "Configure a store in a folder (DJ_STORES)."
        )


def _require_own_store(manifest: BackupManifest, database: Database) -> None:
    """Raise WrongStoreError if the store is absent, or another database's than the saved or the empty one."""
    found, recorded = stored_id(database), recorded_id(database)
    if found is None and recorded is not None:
        require_own_store(database)
    if found not in (None, manifest.store_id, recorded):
        raise WrongStoreError(
            f"The array store {database.store} belongs to another database with the prefix "
            f"'{database.prefix}'. Restore into an empty store (DJ_STORES), or, if that database is no "
            f"longer used, remove {record_of(database.prefix)} from the store."
        )


def _require_empty(database: Database) -> None:
    """Raise ConflictError if a row would be lost."""
    defaults = {
        f"{table.__module__.rpartition('.')[2]}.{table.table_name}": len(table.defaults)
        for table in parameter_tables().values()
    }
    filled = []
    with Snapshot.taken(database) as snapshot:
        for table in snapshot.tables():
            name = table.full_name.removeprefix(database.prefix)
            n_rows = sum(1 for _ in snapshot.rows(table, list(table.columns)[:1]))
            is_seeded = name in (
                "administration.migration",
                "administration.array_store",
                "ecephys.#structure",
            ) or (name in defaults and n_rows <= defaults[name])
            if n_rows and not is_seeded and "#unit_criteria__" not in name:
                filled.append(f"{table.full_name} ({n_rows} rows)")
    if filled:
        few = ", ".join(filled[:3]) + (", ..." if len(filled) > 3 else "")
        raise ConflictError(
            f"The {database} has rows under '{database.prefix}...' already: {few}. Restore into another "
            "server, or, if they are no longer needed, drop the schemas "
            f"{', '.join(existing_schemas(database))} first."
        )


def _restore_arrays(manifest: BackupManifest, folder: Path, database: Database) -> None:
    store = database.store.folder
    assert store is not None
    try:
        files.copy_out_of_backup(manifest.files, folder / STORE, store)
    except OSError as error:
        raise StoreError(
            f"The arrays cannot be restored into {store}: {error.strerror or error}. The database is "
            "unchanged; after fixing the cause, run the same command again to continue."
        ) from error


def _drop(database: Database) -> None:
    """Remove the schemas, which hold nothing of value."""
    query = database.connection.query
    names = [database.connection.adapter.quote_identifier(name) for name in existing_schemas(database)]
    if names and database.backend != "mysql":
        query(f"DROP SCHEMA {', '.join(names)} CASCADE")
    elif names:
        query("SET SESSION foreign_key_checks = 0")
        for name in names:
            query(f"DROP DATABASE {name}")
        query("SET SESSION foreign_key_checks = 1")


@contextlib.contextmanager
def _dropping_on_failure(database: Database) -> Iterator[None]:
    """Drop an incomplete database if loading fails or is interrupted."""
    try:
        yield
    except BaseException:
        _drop(database)
        raise


def _forget_reservations(database: Database) -> None:
    for table in job_tables(database):
        database.connection.query(f"DELETE FROM {table} WHERE status = 'reserved'")  # noqa: S608
