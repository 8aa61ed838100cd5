"""Restoring a backup into an empty database, and checking one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from populate.admin.backup import files, mysql, postgres
from populate.admin.backup.folders import being_read
from populate.admin.backup.manifest import STORE, BackupManifest, read_manifest
from populate.admin.backup.renaming import Renaming
from populate.admin.backup.stored_files import StoredFiles
from populate.admin.checksums import checksums_of
from populate.admin.snapshot import Snapshot, all_schemas, existing_schemas, job_tables
from schemas.bases.parameter_table import parameter_tables
from schemas.bases.registry import schema_names
from schemas.files.store_identity import (
    record_of,
    recorded_id,
    require_own_store,
    stored_id,
    write_stored_id,
)
from schemas.server.connection import Database, server_lock
from schemas.server.restoring import find_mark, remove_mark, set_mark
from vbn.errors import ConflictError, NotFoundError, SettingError, StoreError, WrongStoreError


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    Attributes
    ----------
    manifest : what was restored.
    checksums : the checksums of the restored tables.
    different : the tables whose checksum differs from the saved one.
    missing : how many arrays that rows refer to are not in the store, where the backup has none itself; None
        if there is no store.
    """

    manifest: BackupManifest
    checksums: dict[str, str]
    different: list[str]
    missing: int | None = 0


def check(folder: Path) -> list[str]:
    """Return what is wrong with the files of a backup; an empty list if it is complete.

    Raises
    ------
    NotFoundError, InvalidContentError
        If the folder holds no backup.
    """
    manifest = read_manifest(folder)
    with being_read(folder):
        damage = list(files.damaged_files({manifest.dump: manifest.dump_file}, folder))
        in_store = files.damaged_files(manifest.files, folder / STORE)
        return damage + [f"{STORE}/{problem}" for problem in in_store]


def restore(
    database: Database, folder: Path, *, mysql_client: str | None = None, rename: bool = False
) -> Restored:
    """Restore the tables and rows of a backup into an empty database, and its arrays into the store.

    The hash of every file is checked. Existing tables may hold no rows except the default parameter sets, and
    are replaced. Reservations are not restored: their workers work elsewhere. A mark stands in the database
    until all is done (`schemas.server.restoring`): after a kill, restoring begins again.

    Parameters
    ----------
    database : an empty database with the same kind of server.
    folder : the backup.
    mysql_client : path of the program ``mysql``; by default ``VBN_MYSQL``, else the one on PATH.
    rename : restore a backup of another prefix, too, under that of the database. Arrays get other paths.

    Raises
    ------
    SettingError
        If server, prefix or store do not match the backup.
    ConflictError
        If the database is not empty, or the backup is damaged. The database is then not changed.
    """
    manifest = read_manifest(folder)
    require_match(manifest, database, rename=rename)
    names = Renaming.of(manifest, database.prefix)
    with being_read(folder), server_lock("deploy", database):
        require_dump(manifest, folder)
        require_empty(database, names)
        if manifest.has_arrays:
            _require_own_store(manifest, database)
            _restore_arrays(manifest, folder, database, names)
        with marked(database, folder, names):
            load(manifest, folder, database, names, mysql_client)
            if manifest.has_arrays and manifest.store_id:
                write_stored_id(database, manifest.store_id)
            return compared(manifest, database, names)


def undo(database: Database) -> list[str]:
    """Remove what an interrupted restore has made, and return the names of the schemas.

    Raises
    ------
    NotFoundError
        If none was interrupted.
    """
    with server_lock("deploy", database):
        mark = find_mark(database.connection, database.prefix)
        if mark is None:
            raise NotFoundError(f"No restore of '{database.prefix}...' on the {database} was interrupted.")
        _drop(database, mark.schemas)
        remove_mark(database.connection, database.prefix)
    return list(mark.schemas)


def require_dump(manifest: BackupManifest, folder: Path) -> None:
    """Raise ConflictError if the dump is not what was saved."""
    for problem in files.damaged_files({manifest.dump: manifest.dump_file}, folder):
        raise ConflictError(f"{folder} is damaged: {problem}. Use another backup.")


@contextlib.contextmanager
def marked(database: Database, folder: Path, names: Renaming, *, keep: bool = True) -> Iterator[None]:
    """Drop the schemas that the block is to make, and say that they are incomplete until it has ended.

    If it fails, or they are not to be kept, they are dropped again; if it is killed, the mark stays.
    """
    connection, prefix = database.connection, database.prefix
    mark = find_mark(connection, prefix)
    replaced = {*schema_names(prefix), *names.schemas.values(), *(mark.schemas if mark else ())}
    set_mark(connection, prefix, str(folder.absolute()), replaced)
    try:
        _drop(database, replaced)
        yield
    except BaseException:
        _drop(database, replaced)
        remove_mark(connection, prefix)
        raise
    if not keep:
        _drop(database, replaced)
    remove_mark(connection, prefix)


def load(
    manifest: BackupManifest, folder: Path, database: Database, names: Renaming, mysql_client: str | None
) -> None:
    """Create the schemas, tables and rows of a backup."""
    if database.backend == "mysql":
        mysql.load(database, folder / manifest.dump, names.schemas, mysql_client)
    else:
        postgres.load(database, folder / manifest.dump, names)
    names.apply(database)
    for table in job_tables(database):
        database.connection.query(f"DELETE FROM {table} WHERE status = 'reserved'")  # noqa: S608


def compared(manifest: BackupManifest, database: Database, names: Renaming) -> Restored:
    """Compare the restored tables with the saved ones, by their checksums; arrays are those of the backup."""
    saved = {names.path(path): file.sha256 for path, file in manifest.files.items()}
    missing: int | None = 0
    with Snapshot.taken(database) as snapshot:
        if manifest.has_arrays and (lacking := sorted(snapshot.arrays() - saved.keys())):
            raise ConflictError(
                f"The backup is damaged: rows refer to {len(lacking)} arrays that it does not have; the "
                f"first is {lacking[0]}. Use another backup."
            )
        hash_file = saved.__getitem__ if manifest.has_arrays else None
        checksums = checksums_of(snapshot, hash_file=hash_file)
        if not manifest.has_arrays:
            missing = _count_missing(snapshot.arrays(), database)
    both = sorted(manifest.checksums.keys() | checksums.keys())
    different = [name for name in both if manifest.checksums.get(name) != checksums.get(name)]
    return Restored(manifest, checksums, different, missing)


def _count_missing(arrays: set[str], database: Database) -> int | None:
    folder = database.store.folder
    if not database.store.spec:
        return None
    if folder is not None and not folder.is_dir():
        return len(arrays)
    store = StoredFiles(database.store)
    return sum(not store.has(path) for path in arrays)


def require_match(manifest: BackupManifest, database: Database, *, rename: bool) -> None:
    """Raise SettingError unless a backup can be restored into a database."""
    if manifest.backend != database.backend:
        raise SettingError(
            f"The backup is of {manifest.backend}, and the database is {database}. Restore it into "
            f"{manifest.backend} (DJ_HOST, DJ_BACKEND)."
        )
    if manifest.prefix != database.prefix and not rename:
        raise SettingError(
            f"The backup is of the tables under '{manifest.prefix}...', not '{database.prefix}...'. Restore "
            f"it as: vbn --prefix {manifest.prefix} restore ...; or, as a copy beside what is there: "
            f"vbn restore ... --prefix {database.prefix}"
        )
    if manifest.has_arrays:
        database.store.require_configured()


def _require_own_store(manifest: BackupManifest, database: Database) -> None:
    """Raise WrongStoreError if the store is absent, or another database's than the saved or the empty one."""
    found, recorded = stored_id(database), recorded_id(database)
    is_begun = find_mark(database.connection, database.prefix) is not None  # and what is recorded, half done
    if found is None and recorded is not None and not is_begun:
        require_own_store(database)
    if found not in (None, manifest.store_id, recorded):
        raise WrongStoreError(
            f"The array store {database.store} belongs to another database with the prefix "
            f"'{database.prefix}'. Restore into an empty store (DJ_STORES), or, if that database is no "
            f"longer used, remove {record_of(database.prefix)} from the store."
        )


def require_empty(database: Database, names: Renaming) -> None:
    """Raise ConflictError if a row would be lost, other than those of an interrupted restore."""
    mark = find_mark(database.connection, database.prefix)
    defaults = {
        f"{table.__module__.rpartition('.')[2]}.{table.table_name}": len(table.defaults)
        for table in parameter_tables().values()
    }
    known, ours = all_schemas(database.connection), set(schema_names(database.prefix))
    begun = set(mark.schemas if mark else ())
    of_lab = ({*existing_schemas(database), *names.schemas.values()} & known) - ours - begun
    in_the_way = [f"the schema {name}" for name in sorted(of_lab)]
    with Snapshot.taken(database) as snapshot:
        for table in snapshot.tables_in(ours - begun):
            name = table.full_name.removeprefix(database.prefix)
            n_rows = sum(1 for _ in snapshot.rows(table, list(table.columns)[:1]))
            is_seeded = name in (
                "administration.migration",
                "administration.array_store",
                "ecephys.#structure",
            ) or (name in defaults and n_rows <= defaults[name])
            if n_rows and not is_seeded and "#unit_criteria__" not in name:
                in_the_way.append(f"{table.full_name} ({n_rows} rows)")
    if in_the_way:
        few = ", ".join(in_the_way[:3]) + (", ..." if len(in_the_way) > 3 else "")
        raise ConflictError(
            f"The {database} has rows under '{database.prefix}...' already, or schemas that belong to it: "
            f"{few}. Restore into another server, or under another prefix (--prefix); or, if they are not "
            f"needed any more, drop the schemas {', '.join(sorted(of_lab | (ours & known)))} first."
        )


def _restore_arrays(manifest: BackupManifest, folder: Path, database: Database, names: Renaming) -> None:
    store = database.store
    try:
        files.copy_out_of_backup(manifest.files, folder / STORE, StoredFiles(store), names)
    except OSError as error:
        raise StoreError(
            f"The arrays cannot be restored into {store}: {error.strerror or error}. The database is "
            "unchanged; after fixing the cause, run the same command again to continue."
        ) from error


def _drop(database: Database, schemas: Iterable[str]) -> None:
    """Remove schemas, which hold nothing of value; wait for a program that still loads into them."""
    query = database.connection.query
    found = all_schemas(database.connection)
    names = [database.connection.adapter.quote_identifier(name) for name in schemas if name in found]
    if database.backend != "mysql":
        if names:
            query(f"DROP SCHEMA {', '.join(names)} CASCADE")
        return
    with server_lock("load", database):
        query("SET SESSION foreign_key_checks = 0")
        for name in names:
            query(f"DROP DATABASE {name}")
        query("SET SESSION foreign_key_checks = 1")
