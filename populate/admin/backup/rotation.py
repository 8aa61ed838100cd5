"""Several backups of a database in one folder, of which only the last few or youngest are kept.

::

    DIR/20261129T040414000000Z/   a backup, named after the moment that it shows
    DIR/unfinished/               the one that is being made
    DIR/20261128T...Z.removed/    one that is being removed

Each is complete by itself. An array in several of them is one file on the disk, where the file system has
links.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from populate.admin.backup.create import back_up
from populate.admin.backup.files import JOURNAL, has_size
from populate.admin.backup.folders import LOCK, explaining_errors, require_usable, using
from populate.admin.backup.manifest import (
    GENERATION_NAME,
    MANIFEST,
    STORE,
    BackupManifest,
    generations,
    read_manifest,
)
from schemas.server.connection import Database
from vbn.errors import ConflictError, VbnError

UNFINISHED = "unfinished"
FEWEST = 3
"""So many stay where only their age is limited: the newest may hold a mistake, or a clock that was wrong."""
REMOVED = re.compile(rf"{GENERATION_NAME.pattern}\.removed")


@dataclass(frozen=True)
class Rotation:
    """A new backup, those that were removed for it, and why others that are older were not."""

    manifest: BackupManifest
    folder: Path
    removed: list[Path]
    spared: dict[Path, str]


def back_up_and_rotate(
    database: Database,
    folder: Path,
    keep: int = 0,
    *,
    within: timedelta | None = None,
    mysqldump: str | None = None,
    with_arrays: bool = True,
) -> Rotation:
    """Make a backup of its own in a folder of backups; when it is complete, remove those too old to be kept.

    Only whole backups that this function has made, of the same database, are removed; a backup without arrays
    replaces none with them.

    Parameters
    ----------
    database : the database to save.
    folder : a new or empty folder, or one that this function has used.
    keep : how many complete backups stay, with the new one, which always stays; 0 for `FEWEST`.
    within : how much older than the new one a backup may be, to stay although it is not among these.
    mysqldump, with_arrays : see `back_up`.

    Raises
    ------
    SettingError, ConflictError, StoreError
        As `back_up` does; no backup is removed then.
    """
    require_usable(folder, database)
    if (folder / MANIFEST).exists():
        raise ConflictError(f"{folder} holds a single backup, made without --keep. Name another folder.")
    with explaining_errors(folder), using(folder):
        _finish_removals(folder)
        if (folder / UNFINISHED / MANIFEST).is_file():  # complete, and killed before it got its name
            (folder / UNFINISHED).rename(folder / read_manifest(folder / UNFINISHED).moment)
        own = [path for path in generations(folder) if _problem(path, database) is None]
        with_files = [path for path in own if read_manifest(path).has_arrays]
        manifest = back_up(
            database,
            folder / UNFINISHED,
            mysqldump=mysqldump,
            with_arrays=with_arrays,
            former=with_files[-1] if with_files and with_arrays else None,
        )
        made = (folder / UNFINISHED).rename(folder / manifest.moment)
        removed, spared = _remove_oldest(folder, made, database, keep, within)
        return Rotation(manifest, made, removed, spared)


def _remove_oldest(
    folder: Path, made: Path, database: Database, keep: int, within: timedelta | None
) -> tuple[list[Path], dict[Path, str]]:
    """Remove complete backups of the same kind as the one just made that are neither new nor young enough."""
    problems = {path: _problem(path, database) for path in generations(folder) if path != made}
    spared = {path: problem for path, problem in problems.items() if problem is not None}
    has_arrays = read_manifest(made).has_arrays
    others = [
        path for path in problems.keys() - spared.keys() if read_manifest(path).has_arrays == has_arrays
    ]
    removed = []
    for path in sorted(others)[: max(len(others) + 1 - (keep or FEWEST), 0)]:
        if within is not None and _made_at_s(made) - _made_at_s(path) <= within.total_seconds():
            continue
        if why := _remove(path):
            spared[path] = why
        else:
            removed.append(path)
    return removed, spared


def _made_at_s(folder: Path) -> float:
    return datetime.fromisoformat(read_manifest(folder).made_at).timestamp()


def _problem(folder: Path, database: Database) -> str | None:
    """Return why a folder is no complete backup of a database that `back_up_and_rotate` has made."""
    try:
        manifest = read_manifest(folder)
    except VbnError as error:
        return str(error)
    if manifest.moment != folder.name or not manifest.is_of(database):
        return "it is of another database, or was put there by somebody"
    saved = {manifest.dump: manifest.dump_file} | {
        f"{STORE}/{path}": file for path, file in manifest.files.items()
    }
    lacking = (path for path, file in saved.items() if not has_size(folder / path, file.size_bytes))
    return next((f"it is damaged: {path} is missing or cut short" for path in lacking), None)


def _remove(folder: Path) -> str | None:
    """Remove a backup, unless it holds anything else; return why not."""
    manifest = read_manifest(folder)
    ours = {MANIFEST, LOCK, JOURNAL, manifest.dump} | {f"{STORE}/{path}" for path in manifest.files}
    found = {
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    if others := sorted(found - ours):
        return f"it holds files that are not of a backup: {others[0]}"
    try:
        with using(folder):
            gone = folder.rename(folder.with_name(f"{folder.name}.removed"))
    except ConflictError:
        return "it is being read"
    shutil.rmtree(gone)
    return None


def _finish_removals(folder: Path) -> None:
    """Remove the rest of backups whose removal was interrupted."""
    for path in folder.iterdir():
        if REMOVED.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path)
