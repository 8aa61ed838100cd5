"""Rehearsing a restore: whether a backup is what it says, and becomes the database that it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from populate.admin.backup import postgres
from populate.admin.backup.folders import being_read
from populate.admin.backup.manifest import BackupManifest, generations, read_manifest
from populate.admin.backup.renaming import Renaming
from populate.admin.backup.restore import check, compared, load, marked, require_empty, require_match
from schemas.server.connection import Database, server_lock
from schemas.server.settings import Store

PREFIX = "vbncheck_"


@dataclass(frozen=True)
class Rehearsal:
    """The result of a rehearsal.

    Attributes
    ----------
    folder : the backup, the newest of a folder with several.
    damage : what is wrong with its files.
    different : restored tables whose checksum differs from the saved one.
    n_tables : number of tables that were restored and compared, 0 if files are damaged.
    """

    folder: Path
    manifest: BackupManifest
    damage: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    n_tables: int = 0

    @property
    def is_good(self) -> bool:
        """Return whether it can be restored, to what it was; it may have no arrays."""
        return not self.damage and not self.different


def rehearse(database: Database, folder: Path, *, mysql_client: str | None = None) -> Rehearsal:
    """Check each file of a backup, restore it in a place of its own, compare its tables, and drop them.

    That is a prefix on MySQL, and a database on PostgreSQL; what an earlier rehearsal has left there is
    removed. The arrays are compared where they are, and not copied.

    Parameters
    ----------
    database : a database on a server of the same kind; nothing of its own is touched.
    folder : a backup, or a folder of several, of which the newest is taken.
    mysql_client : path of the program ``mysql``.

    Raises
    ------
    NotFoundError, InvalidContentError
        If the folder holds no backup.
    SettingError
        If the server is of another kind.
    ConflictError
        If somebody uses the prefix of rehearsals, or rows refer to arrays that the backup does not have.
    """
    kept = generations(folder)
    folder = kept[-1] if kept else folder
    manifest = read_manifest(folder)
    scratch = replace(database, prefix=PREFIX, store=Store({}, is_default=False))
    require_match(replace(manifest, has_arrays=False), scratch, rename=True)
    if damage := check(folder):
        return Rehearsal(folder, manifest, damage)
    with (
        being_read(folder),
        server_lock("deploy", scratch),
        _aside(scratch, manifest, folder) as (place, names),
    ):
        load(manifest, folder, place, names, mysql_client)
        done = compared(manifest, place, names)
    return Rehearsal(folder, manifest, [], done.different, len(done.checksums))


@contextlib.contextmanager
def _aside(scratch: Database, manifest: BackupManifest, folder: Path) -> Iterator[tuple[Database, Renaming]]:
    """Yield a place to restore a backup into, which is removed at the end, and the names there."""
    if scratch.backend == "mysql":
        names = Renaming.of(manifest, PREFIX)
        require_empty(scratch, names)
        with marked(scratch, folder, names, keep=False):
            yield scratch, names
    else:  # a database of its own, where the names can stay
        with postgres.database_aside(scratch) as aside:
            yield replace(aside, prefix=manifest.prefix), Renaming.of(manifest, manifest.prefix)
