"""A freeze in place of the database's present rows: which one, and where this machine keeps its files.

``vbn --freeze NAME`` or ``VBN_FREEZE`` name it. Its tables come from the store once, into a folder below
``VBN_HOME`` that is opened as any published folder (`schemas.deploy.frozen`). Its arrays stay in the store of
the database and are copied when they are first read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vbn.errors import InvalidContentError, StoreError, shortened
from vbn.home import home_folder
from vbn.whole_files import whole_file, write_whole

VARIABLE = "VBN_FREEZE"
PLACE = "frozen"
OURS = ".freeze"
"""Folder within that of a freeze, with what is not part of what is handed on."""
SOURCES = f"{OURS}/sources.json"
FINGERPRINTS = f"{OURS}/fingerprints.json"
"""The server's hashes of the tables when they were frozen."""

_is_looking = False


def wanted() -> str | None:
    """Return the name of the freeze that is read in place of the present rows; None if they are."""
    return None if _is_looking else os.environ.get(VARIABLE) or None


@contextlib.contextmanager
def looking_at_database() -> Iterator[None]:
    """Let the block connect to the database that has the freeze."""
    global _is_looking
    before, _is_looking = _is_looking, True
    try:
        yield
    finally:
        _is_looking = before


def folder_of(name: str, digest: str, database: str) -> Path:
    """Return where this machine keeps the files of a freeze.

    Parameters
    ----------
    name, digest : of its row, which whoever may write rows could have written.
    database : server and prefix of the database; copies in two databases may have arrays in two stores.

    Raises
    ------
    StoreError
        If no freeze of ours has such a name or digest: they would lead to somebody's folder.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise StoreError(
            f"The freeze {shortened(ascii(name), 80)} has a name or a digest that vbn freeze does not give: "
            "its row was written by something else. An admin can drop it (vbn freeze drop NAME), which "
            "removes rows, and no folder."
        )
    mark = hashlib.sha256(f"{digest} {database}".encode()).hexdigest()[:16]
    return home_folder() / PLACE / f"{name}-{mark}"


def freeze_in(folder: Path) -> str | None:
    """Return the name of the freeze whose files are in a folder; None if it is another published folder."""
    is_ours = folder.parent.name == PLACE and (folder / OURS).is_dir()
    return folder.name.rpartition("-")[0] if is_ours else None


def is_kept_here(folder: Path) -> bool:
    """Return whether a folder is this machine's of a freeze, and may be removed as one."""
    place = home_folder() / PLACE
    return folder.parent.resolve() == place.resolve() and not folder.is_symlink() and (folder / OURS).is_dir()


def note_sources(folder: Path, sources: dict[str, dict[str, Any]]) -> None:
    """Record where the store has the arrays of a freeze.

    Parameters
    ----------
    folder : where this machine keeps the freeze.
    sources : path of an array in the folder -> ``path`` in the store, and ``sha256``.
    """
    content = json.dumps(sources, sort_keys=True).encode()
    path = folder / SOURCES
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)


def bring_array(folder: Path, path: str, opened: Callable[[str], Any]) -> None:
    """Copy an array of a freeze out of the store, unless it is here; of another folder, do nothing.

    Parameters
    ----------
    folder : where this machine keeps the freeze.
    path : of the array, below the folder of arrays.
    opened : opens a file of the store.

    Raises
    ------
    StoreError
        If the store has it no more, or has another file in its place.
    InvalidContentError
        If the path leads out of the folder's arrays.
    """
    arrays = folder / "arrays"
    target = arrays / path
    if target.exists() or freeze_in(folder) is None:
        return
    if not target.resolve().is_relative_to(arrays.resolve()):
        raise InvalidContentError(target, "It is not below the folder's arrays.")
    copy_array(folder, path, target, opened)


def copy_array(folder: Path, path: str, target: Path, opened: Callable[[str], Any]) -> None:
    """Copy an array of a freeze out of the store, if it is one; compare it with its hash.

    Parameters
    ----------
    folder, path, opened : as for `bring_array`.
    target : the new file.

    Raises
    ------
    StoreError
        If the store has it no more, or has another file in its place.
    """
    name, source = freeze_in(folder), json.loads((folder / SOURCES).read_bytes()).get(path)
    if source is None:
        return
    with whole_file(target) as part:
        digest = hashlib.sha256()
        with opened(source["path"]) as file, part.open("wb") as copy:
            while piece := file.read(4 * 2**20):
                digest.update(piece)
                copy.write(piece)
        if digest.hexdigest() != source["sha256"]:
            problem = f"the file {source['path']} of the store is another one by now"
            raise StoreError(damaged(str(name), problem))


def damaged(name: str, problem: str) -> str:
    """Return what to say of a freeze of which the store has lost something."""
    return (
        f"The freeze '{name}' is damaged: {problem}. Restore the store's files from a backup "
        "(vbn restore), or open a folder that it was exported to (vbn --published DIR)."
    )
