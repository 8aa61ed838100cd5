"""Files in the store that no row refers to: finding them, and moving them to a quarantine.

Deleted rows and killed workers leave array files behind. DataJoint's collector lists the files; its own
search for references treats as garbage what it cannot read (an unknown codec, which it only logs) and what a
worker has not committed yet. Here references are read from the rows' JSON, which needs no codec, after the
files were listed; a failed scan is an error, and recent files and those of running jobs are left alone.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import schemas
from populate.admin.snapshot import Snapshot, job_tables
from schemas.bases.registry import modules, schema_names
from schemas.files.store_identity import require_own_store
from schemas.server.connection import Database
from schemas.server.datajoint import dj
from schemas.server.settings import STORE_NAME
from vbn.errors import ConflictError, SettingError, StoreError

QUARANTINE = "_quarantine"
MOMENT = "%Y%m%dT%H%M%SZ"  # names of the quarantine's folders
SECTIONS = ("_schema", "_hash")
YOUNG = timedelta(days=1)
KEPT = timedelta(days=30)
LARGEST_SHARE = 0.10
CLOCKS_DIFFER_S = 3600  # largest difference between database, store and this machine


@dataclass(frozen=True)
class Garbage:
    """Files and folders that no row refers to.

    Attributes
    ----------
    files : path below the store -> size in bytes.
    n_stored : number of files in the store for these schemas.
    n_spared : number of unreferenced files that are recent or may belong to a running job.
    folders : empty folders, deepest first.
    n_unpublished : number of arrays that rows of adopted sessions refer to, and that never were in the store.
    """

    files: dict[str, int]
    n_stored: int
    n_spared: int
    folders: list[str]
    n_unpublished: int = 0

    @property
    def share(self) -> float:
        """Return the share of stored files that are garbage, 0 to 1."""
        return len(self.files) / self.n_stored if self.n_stored else 0.0

    @property
    def size_bytes(self) -> int:
        """Return the total size of the files."""
        return sum(self.files.values())


def find_garbage(older_than: timedelta = YOUNG) -> Garbage:
    """Return the files of this prefix's schemas that no row refers to; change nothing.

    Files of other prefixes in the same store are in other folders, and are not examined.

    Parameters
    ----------
    older_than : files younger than this are spared.

    Raises
    ------
    StoreError
        If a part of the database or of the store could not be read, or an array that a row refers to is
        missing: what looks like garbage may then be in use.
    """
    database = schemas.connect()
    store = _require_folder(database)
    stored = _stored_files()
    # In this order: a worker commits its rows before it releases its job.
    latest = min(time.time() - older_than.total_seconds(), _start_of_running_jobs(database))
    with Snapshot.taken(database) as snapshot:
        referenced = snapshot.arrays()
        n_unpublished = snapshot.count_unpublished()
    _require_nothing_missing(store, referenced)
    orphans = sorted(path for path in stored if not _is_used(path, referenced))
    states = ((path, _stat(store / path)) for path in orphans)
    sizes = {path: state.st_size for path, state in states if state and state.st_mtime <= latest}
    folders = list(_empty_folders(store, database.prefix, latest))
    return Garbage(sizes, len(stored), len(orphans) - len(sizes), folders, n_unpublished)


def put_aside(garbage: Garbage, largest_share: float = LARGEST_SHARE) -> Path | None:
    """Move garbage into the store's quarantine, and remove empty folders; return the folder there.

    No file is deleted. Moving the files of that folder back undoes it.

    Raises
    ------
    ConflictError
        If it exceeds the allowed share of the files.
    """
    store = _require_folder(schemas.connect())
    if garbage.share > largest_share:
        raise ConflictError(
            f"{len(garbage.files)} of {garbage.n_stored} files ({garbage.share:.0%}) would be moved, more "
            f"than {largest_share:.0%}. Check that database and store belong together (vbn doctor): another "
            "database may use this store under the same prefix. If this is right: --max-share "
            f"{min(100, int(garbage.share * 100) + 1)}"
        )
    target = store / QUARANTINE / f"{datetime.now(UTC):{MOMENT}}"
    try:
        for path in garbage.files:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # somebody else moved it
                (store / path).rename(target / path)
                _remove_empty_folders(store, path)
        for folder in garbage.folders:
            with contextlib.suppress(OSError):  # no longer empty
                (store / folder).rmdir()
    except OSError as error:
        raise StoreError(
            f"The store {store} cannot be changed: {error.strerror} ({error.filename})."
        ) from error
    return target if garbage.files else None


def empty_quarantine(older_than: timedelta = KEPT, *, dry_run: bool = True) -> Garbage:
    """Permanently delete files quarantined longer ago than this; return what was, or would be, deleted."""
    store = _require_folder(schemas.connect())
    latest = datetime.now(UTC) - older_than
    files: dict[str, int] = {}
    folders = [
        folder for folder in sorted((store / QUARANTINE).glob("*")) if _quarantined_at(folder) <= latest
    ]
    n_stored = sum(path.is_file() for path in (store / QUARANTINE).rglob("*"))
    for folder in folders:
        found = (path for path in folder.rglob("*") if path.is_file())
        files |= {str(path.relative_to(store)): path.stat().st_size for path in found}
        if not dry_run:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise StoreError(f"{folder} cannot be deleted: {error.strerror}.") from error
    return Garbage(files, n_stored, n_stored - len(files), [])


def _quarantined_at(folder: Path) -> datetime:
    try:
        return datetime.strptime(folder.name, MOMENT).replace(tzinfo=UTC)
    except ValueError:  # not ours, and never old enough
        return datetime.max.replace(tzinfo=UTC)


def _require_folder(database: Database) -> Path:
    database.store.require_configured()
    folder = database.store.folder
    if folder is None:
        raise SettingError(f"Only stores in folders can be cleaned up, and the store is {database.store}.")
    require_own_store(database)
    return folder


def _stored_files() -> list[str]:
    """Return the files of this prefix in the store; what DataJoint only logs is an error here."""
    collector = dj.gc.GarbageCollector(*(module.schema for module in modules()), store=STORE_NAME)
    found: list[str] = []
    with _warnings_of_datajoint() as warnings:
        for schema in collector.schemas:
            found += collector.list_hash_paths(schema.database)
            found += collector.list_schema_paths(schema.database)
    if warnings:
        raise StoreError(
            f"The store could not be read ({len(warnings)} times): {warnings[0]}. Nothing was moved. "
            "Fix that first."
        )
    return found


def _is_used(path: str, referenced: set[str]) -> bool:
    """Return whether a row refers to a file, or to a folder above it."""
    place = Path(path.removesuffix(".manifest.json"))
    return any(str(step) in referenced for step in (place, *place.parents))


@contextlib.contextmanager
def _warnings_of_datajoint() -> Iterator[list[str]]:
    """Collect DataJoint's log messages of level warning or above, instead of showing them."""
    messages: list[str] = []
    logger = logging.getLogger("datajoint")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    before = logger.level, logger.propagate, logger.handlers
    logger.setLevel(logging.WARNING)
    logger.propagate, logger.handlers = False, [handler]
    try:
        yield messages
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1:]


def _start_of_running_jobs(database: Database) -> float:
    """Return the start of the longest running job, by this machine's clock; infinity if there is none."""
    begins = " UNION ALL ".join(
        f"SELECT min(reserved_time) AS moment FROM {table} WHERE status = 'reserved'"  # noqa: S608
        for table in job_tables(database)
    )
    query = f"SELECT min(moment), CURRENT_TIMESTAMP(3) FROM ({begins}) AS begins"  # noqa: S608
    begun, now = database.connection.query(query).fetchone()
    if begun is None:
        return math.inf
    age: timedelta = now.replace(tzinfo=None) - begun
    return time.time() - age.total_seconds() - CLOCKS_DIFFER_S


def _require_nothing_missing(store: Path, referenced: set[str]) -> None:
    missing = sorted(path for path in referenced if not (store / path).exists())
    if missing:
        raise StoreError(
            f"{len(missing)} arrays that rows refer to are not in the store {store}; the first is "
            f"{missing[0]}. Is it the store that the rows were made with (vbn doctor)? If it has lost files, "
            "restore them from a backup, or delete those rows and populate again."
        )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _empty_folders(store: Path, prefix: str, latest: float) -> Iterator[str]:
    """Yield the folders without files, deepest first."""
    for top in (store / section / name for section in SECTIONS for name in schema_names(prefix)):
        full: set[str] = set()
        for folder, _, names in os.walk(top, topdown=False):
            path = str(Path(folder).relative_to(store))
            state = _stat(Path(folder))
            if names or path in full or not state or state.st_mtime > latest:
                full |= {path, str(Path(path).parent)}
            else:
                yield path


def _remove_empty_folders(store: Path, path: str) -> None:
    """Remove the folders above a moved file that are now empty, up to that of the schema."""
    for parent in list(Path(path).parents)[:-3]:
        try:
            (store / parent).rmdir()
        except OSError:  # not empty
            return
