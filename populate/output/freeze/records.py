"""Freezes that there are: which, whether they are whole, exporting and dropping them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import parquet

import schemas
from populate.admin.backup.folders import require_outside_store
from populate.admin.checksums import hash_in_store
from populate.admin.deletion import checked_reason, record_deletion
from populate.output.freeze.create import LIST_AUTHOR, NOBODY, require_maker, withdraw
from populate.output.publish.describe import described_json
from populate.output.publish.readme import WITH_ARRAYS, WITHOUT_ARRAYS
from schemas.administration import Freeze
from schemas.deploy.frozen import brought_folder, folder_here, freeze_row
from schemas.deploy.published import forget_loaded
from schemas.queries.authors import require_author
from schemas.rows.fetch import fetch_frame
from schemas.server import frozen
from schemas.server.embedded import EmbeddedServer
from schemas.server.published import (
    ARRAYS,
    CHECKSUMS,
    MANIFEST,
    PublishedFolder,
    hash_of,
    is_array_file,
    require_database,
)
from schemas.server.stores import opened_in_database
from vbn.errors import ConflictError, InvalidContentError, NotFoundError, SettingError, StoreError
from vbn.home import home_folder
from vbn.whole_files import write_whole

COLUMNS = (
    "freeze_name",
    "frozen_at",
    "freeze_author",
    "n_sessions",
    "n_units",
    "size_mb",
    "freeze_description",
)
NOTES = ("UnitNote", "SessionNote", "NamedList")
README = "README.md"


@dataclass(frozen=True)
class Exported:
    """What `export` has written.

    Attributes
    ----------
    folder : where.
    n_files : number of files, with arrays.
    n_arrays : number of arrays.
    n_bytes : size of all.
    """

    folder: Path
    n_files: int
    n_arrays: int
    n_bytes: int


def freezes() -> pd.DataFrame:
    """Return the freezes of the database, by name, with numbers of sessions and units, and their sizes."""
    require_database("list the freezes of")
    schemas.connect()
    frame = fetch_frame(Freeze())
    counts = frame["freeze_counts"]
    frame["n_sessions"] = [each["sessions"] for each in counts]
    frame["n_units"] = [each["units"] for each in counts]
    frame["size_mb"] = (frame["freeze_size_bytes"].astype(float) / 1e6).round(1)
    return frame[list(COLUMNS)]


def about(name: str) -> dict[str, Any]:
    """Return what a freeze is, as its row says.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    """
    require_database("show the freezes of")
    schemas.connect()
    return freeze_row(name)


def damage(name: str) -> list[str]:
    """Return what the store has lost of a freeze, or has otherwise by now, a line each; reads all files.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    """
    freeze_row(name)
    key = {"freeze_name": name}
    found = []
    for row in (Freeze.Piece & key).to_dicts(order_by="piece"):
        reference = row["piece_content"]
        try:
            is_same = hashlib.sha256(reference.load().tobytes()).hexdigest() == row["piece_sha256"]
            problem = "" if is_same else "it is another file by now"
        except (StoreError, ValueError, EOFError) as error:
            problem = str(error)
        if problem:
            found.append(f"{reference.path} (tables, piece {row['piece']}): {problem}")
    for row in (Freeze.Array & key).to_dicts(order_by="frozen_array"):
        place = row["frozen_array_source"]["path"]
        try:
            is_same = hash_in_store(place) == row["frozen_array_sha256"]
            problem = "" if is_same else "it is another file by now"
        except StoreError as error:
            problem = str(error)
        if problem:
            found.append(f"{place} ({row['frozen_array_path']}): {problem}")
    return found


def export(name: str, target: Path, *, arrays: bool = True, with_notes: bool = False) -> Exported:
    """Write a freeze to a new folder, which opens without the database, on any machine.

    The files are those of the freeze, byte for byte, but without arrays those that say what there is.

    Parameters
    ----------
    name : the freeze.
    target : a new or empty folder.
    arrays : copy the arrays, too; without them, rows hold shape and type only.
    with_notes : allow that the folder has notes and lists of people.

    Raises
    ------
    SettingError, ConflictError
        If the folder cannot be used, or people have written notes that would be handed on.
    StoreError
        If the store has lost a part of the freeze, or the disk is full.
    """
    require_database("export its freezes")
    database = schemas.connect()
    freeze_row(name)
    target = _require_new(target)
    require_outside_store(target, database)
    source = PublishedFolder.read(brought_folder(name))
    if not with_notes:
        _require_nothing_private(name, source)
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        done = _copy(source, part, arrays=arrays)
        if target.exists():
            target.rmdir()  # it is empty
        part.rename(target)
    except OSError as error:
        raise StoreError(
            f"Exporting to {target} failed: {error.strerror or error}. Nothing was kept."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(target, *done)


def _require_new(target: Path) -> Path:
    """Return the folder's place, with links followed; raise an error unless it is new or empty."""
    target = target.resolve()
    if target in (Path.cwd(), *Path.cwd().parents):
        raise SettingError(
            f"{target} is the current folder, or above it, which cannot be replaced. Name a new "
            "folder in it, such as exported."
        )
    if target.exists() and not target.is_dir():
        raise SettingError(f"{target} is a file. Name a new or empty folder.")
    if target.is_dir() and any(target.iterdir()):
        raise ConflictError(f"{target} is not empty. Name a new or empty folder.")
    return target


def _require_nothing_private(name: str, source: PublishedFolder) -> None:
    """Raise ConflictError if people have written what would be handed on without their knowing."""
    found = {}
    for table in NOTES:
        rows = parquet.read_table(source.checked(f"tables/curation/{table}.parquet"), partitioning=None)
        mine = [each for each in rows.to_pylist() if each.get("list_author") not in (LIST_AUTHOR, NOBODY)]
        if mine:
            found[table] = len(mine)
    if found:
        what = ", ".join(f"{number} in {table}" for table, number in found.items())
        raise ConflictError(
            f"The freeze '{name}' has notes and lists of people ({what}), with their names. Hand them on "
            "with --with-notes, or make a freeze without them: vbn freeze create NAME --without-notes"
        )


def _copy(source: PublishedFolder, target: Path, *, arrays: bool) -> tuple[int, int, int]:
    """Copy the files of a freeze, each compared with its checksum; return how many files, arrays, bytes."""
    n_arrays = n_bytes = 0
    kept = {
        name: digest
        for name, digest in source.checksums.items()
        if arrays or not name.startswith(f"{ARRAYS}/")
    }
    for name in kept:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if is_array_file(name):
            n_arrays += 1
        if is_array_file(name) and not (source.folder / name).exists():
            frozen.copy_array(source.folder, name.removeprefix(f"{ARRAYS}/"), place, opened_in_database)
        else:
            shutil.copyfile(source.checked(name), place)
        n_bytes += place.stat().st_size
    if not arrays:
        kept |= _say_without_arrays(target)
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(kept.items()))
    write_whole(target / CHECKSUMS, lines.encode())
    return len(kept) + 1, n_arrays, n_bytes


def _say_without_arrays(folder: Path) -> dict[str, str]:
    """Let a copied folder say that it has no arrays; return the new hashes of what says so."""
    readme, manifest = folder / README, folder / MANIFEST
    write_whole(readme, readme.read_text().replace(WITH_ARRAYS, WITHOUT_ARRAYS).encode())
    content = json.loads(manifest.read_bytes()) | {"has_arrays": False}
    write_whole(manifest, described_json(content).encode())
    return {path.name: hash_of(path) for path in (readme, manifest)}


def drop(name: str, reason: str) -> str:
    """Drop a freeze, and record who did so, when and why; return the record's id.

    Its files in the store are garbage then (``vbn gc``), but arrays that rows refer to.

    Raises
    ------
    NotFoundError
        If there is none of this name.
    SettingError
        If there is no reason.
    RefusedError
        If it is somebody else's, and the account not an admin's; or a reader's.
    """
    require_database("drop its freezes")
    reason = checked_reason(reason)
    database = schemas.connect()
    require_maker(database)
    row = freeze_row(name)
    require_author(row["freeze_author"], f"The freeze '{name}'")
    with database.connection.transaction:
        rows = withdraw(name)
        if not any(rows.values()):
            raise NotFoundError(f"Somebody else has dropped the freeze '{name}' meanwhile.")
        deletion_id = record_deletion("Freeze", f"freeze_name = {name}", rows, reason)
    with contextlib.suppress(StoreError):  # a row that is none of ours has no folder
        _forget(folder_here(row))
    return deletion_id


def _forget(folder: Path) -> None:
    """Remove what this machine has of a freeze: files, and tables that were loaded from them."""
    if not frozen.is_kept_here(folder):
        return
    try:
        published = PublishedFolder.read(folder)
    except (NotFoundError, InvalidContentError):
        published = None
    if published is not None and EmbeddedServer(home_folder()).data_folder.exists():
        forget_loaded(published)
    shutil.rmtree(folder, ignore_errors=True)
