"""Opening a freeze: its tables come from the store into a folder, which is read in place of a database.

A freeze is a published folder. Its files are kept in the array store, in pieces that rows of
`administration.Freeze.Piece` refer to, so that a backup has them and `vbn gc` spares them; so are the arrays,
which are not copied: rows of `administration.Freeze.Array` refer to them, too.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas import administration
from schemas.deploy.connect import connect, open_published
from schemas.server import connection, frozen
from schemas.server import published as published_folder
from schemas.server.connection import Database
from schemas.server.published import ARRAYS, CHECKSUMS, PublishedFolder, is_array_file, is_plain_path
from vbn.errors import InvalidContentError, NotFoundError, StoreError, shortened
from vbn.nearest import nearest

Freeze = administration.Freeze


def freeze_row(name: str) -> dict[str, Any]:
    """Return the row of a freeze.

    Raises
    ------
    NotFoundError
        If there is none of this name, with the nearest.
    """
    found: list[dict[str, Any]] = (Freeze & {"freeze_name": name}).to_dicts()
    if not found:
        known = Freeze.to_arrays("freeze_name").tolist()
        raise NotFoundError(
            f"There is no freeze '{shortened(name)}'.{nearest(name, known)} vbn freeze list shows all."
        )
    return found[0]


def open_frozen(name: str, prefix: str | None = None) -> Database:
    """Open a freeze of the configured database in its place, to be read with the same queries and figures.

    What was frozen is as it was, whatever has been recomputed or deleted since. `disconnect` ends it.

    Parameters
    ----------
    name : name of the freeze.
    prefix : as for `connect`, of the database that has the freeze.

    Returns
    -------
    The database, which can only be read.

    Raises
    ------
    NotFoundError
        If there is no such freeze.
    StoreError
        If the store has lost a part of it.
    ConflictError
        If another version of this package has made it, whose tables were others.
    """
    former = published_folder.configured()
    try:
        with frozen.looking_at_database():
            if former is not None:
                connection.disconnect()
            connect(prefix)
            folder = brought_folder(name)
        return open_published(folder)
    except Exception:
        if former is not None:
            open_published(former.folder)  # whoever asks on must not get the present rows
        raise


def folder_here(row: Mapping[str, Any]) -> Path:
    """Return where this machine keeps a freeze of the connected database.

    Raises
    ------
    StoreError
        If its row has a name or digest that no freeze has.
    """
    database = connection.active()
    info = database.connection.conn_info
    place = f"{info['host']}:{info['port']} {database.prefix}"
    return frozen.folder_of(row["freeze_name"], row["freeze_digest"], place)


def brought_folder(name: str) -> Path:
    """Return this machine's folder with the files of a freeze, which are brought unless they are there."""
    row = freeze_row(name)
    folder = folder_here(row)
    if not _is_whole(folder, row["freeze_digest"]):
        _bring(row, folder)
    sources = (Freeze.Array & {"freeze_name": name}).to_dicts()
    frozen.note_sources(
        folder,
        {
            each["frozen_array_path"]: {
                "path": each["frozen_array_source"]["path"],
                "sha256": each["frozen_array_sha256"],
            }
            for each in sources
        },
    )
    return folder


def _is_whole(folder: Path, digest: str, *, reading: bool = False) -> bool:
    """Return whether a folder has all files but arrays; compare each with its checksum, if it is to be read.

    Each table is compared again when it is loaded.
    """
    try:
        published = PublishedFolder.read(folder)
        if published.digest != digest:
            return False
        tables = [each for each in published.checksums if not is_array_file(each)]
        if reading:
            for each in tables:
                published.checked(each)
    except (NotFoundError, InvalidContentError):
        return False
    return all((folder / each).is_file() for each in [*tables, frozen.FINGERPRINTS])


def _bring(row: dict[str, Any], folder: Path) -> None:
    """Write the files of a freeze to a folder, all or none; another process may do the same."""
    name = row["freeze_name"]
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        (part / frozen.OURS).mkdir(parents=True, mode=0o700)
        package = part / frozen.OURS / "tables.zip"
        join_pieces(name, package)
        _unpack(name, package, part)
        package.unlink()
        (part / ARRAYS).mkdir(exist_ok=True)
        if not _is_whole(part, row["freeze_digest"], reading=True):
            raise StoreError(frozen.damaged(name, f"its {CHECKSUMS} are not those of its row"))
        if not _is_whole(folder, row["freeze_digest"]):
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    except OSError as error:
        if _is_whole(folder, row["freeze_digest"]):
            return  # another process was faster
        raise StoreError(
            f"The freeze '{name}' cannot be written to {folder}: {error.strerror or error}. Make room there, "
            "or set VBN_HOME to another disk."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def join_pieces(name: str, package: Path) -> None:
    """Write the ZIP file of a freeze; each piece is compared with its hash.

    Raises
    ------
    StoreError
        If the store has lost a piece, or has another in its place.
    """
    pieces = (Freeze.Piece & {"freeze_name": name}).to_dicts(order_by="piece")
    with package.open("wb") as file:
        for number, each in enumerate(pieces):
            try:
                content = each["piece_content"].load().tobytes()
            except (StoreError, ValueError, EOFError) as error:  # a file that is no array, or ends too soon
                raise StoreError(frozen.damaged(name, shortened(error, 300))) from error
            if each["piece"] != number or hashlib.sha256(content).hexdigest() != each["piece_sha256"]:
                problem = f"the file {each['piece_content'].path} of the store is another one by now"
                raise StoreError(frozen.damaged(name, problem))
            file.write(content)


def _unpack(name: str, package: Path, folder: Path) -> None:
    """Unpack the ZIP file of a freeze, unless it holds what none does: nothing is written then."""
    try:
        with zipfile.ZipFile(package) as archive:
            entries = archive.infolist()
            for each in entries:
                if not is_plain_path(each.filename):
                    raise zipfile.BadZipFile(each.filename)
                if each.compress_type != zipfile.ZIP_STORED:
                    raise zipfile.BadZipFile(f"{each.filename} is compressed")
            if sum(each.file_size for each in entries) > package.stat().st_size:
                raise zipfile.BadZipFile("its files are larger than itself")
            archive.extractall(folder, entries)
    except zipfile.BadZipFile as error:
        raise StoreError(
            frozen.damaged(name, f"it is no ZIP file of vbn freeze ({shortened(error)})")
        ) from error
