"""Locations of the data on this machine: named roots, mapped to folders or URLs.

A registered file is stored as a root's name and a path below it, so that machines with different
mounts can share it. Each machine has its own mapping: ``VBN_HOME/roots.json`` (written by ``vbn roots``),
overridden by ``VBN_ROOTS`` (JSON). Two roots always exist: ``local`` is this machine's file system,
``web`` any URL.
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

from schemas.server.settings import home_folder
from schemas.server.unpublished import require_file_here
from vbn.errors import AbsentFolderError, AbsentRootError, NotFoundError, NotReadableError, SettingError
from vbn.web.client import is_url
from vbn.whole_files import write_whole

LOCAL, WEB = "local", "web"
IS_ABSENT, IS_EMPTY = "is not there", "is empty"
CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOTCONN})
Place = Path | str  # a path of this machine, or a URL


def roots() -> dict[str, Place]:
    """Return the roots of this machine: name -> folder or URL.

    Raises
    ------
    SettingError
        If the mapping cannot be read.
    """
    file = roots_file()
    stored = _parse(file.read_text(), str(file)) if file.exists() else {}
    return {**stored, **_parse(os.environ.get("VBN_ROOTS", "{}"), "VBN_ROOTS")}


def roots_file() -> Path:
    """Return the file that holds the mapping of this machine."""
    return home_folder() / "roots.json"


def set_root(name: str, place: str | None) -> None:
    """Map a name to a folder or URL on this machine; None removes it.

    Raises
    ------
    SettingError
        If the name cannot be used or the folder does not exist.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name in (LOCAL, WEB):
        raise SettingError(
            f"'{name}' cannot name a root: use letters, digits, - and _, and neither '{LOCAL}' nor '{WEB}'."
        )
    if place is not None and not is_url(place):
        folder = Path(place).expanduser().absolute()
        if not folder.is_dir():
            raise SettingError(
                f"{folder} is not a folder on this machine. Use an existing folder or a URL for '{name}'."
            )
        place = str(folder)
    file = roots_file()
    mapping = _parse(file.read_text(), str(file)) if file.exists() else {}
    if place is None and mapping.pop(name, None) is None:
        raise NotFoundError(f"{file} has no root '{name}'. See: vbn roots list")
    if place is not None:
        mapping[name] = place
    content = json.dumps({known: str(value) for known, value in mapping.items()}, indent=2) + "\n"
    write_whole(file, content.encode())


def locate(place: Place) -> tuple[str, str]:
    """Return root name and relative path of a file, for the innermost root that contains it.

    Raises
    ------
    NotReadableError
        If the path is not valid UTF-8, which a database requires.
    """
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        raise NotReadableError(
            place, "its path is not valid UTF-8, which a database requires.", "Rename the file or the folder."
        ) from error
    if is_url(place):
        urls = {name: str(root).rstrip("/") + "/" for name, root in roots().items() if is_url(root)}
        holding = [name for name, root in urls.items() if str(place).startswith(root)]
        if not holding:
            return WEB, str(place)
        name = max(holding, key=lambda known: len(urls[known]))
        return name, str(place).removeprefix(urls[name])
    absolute = Path(place).absolute()
    folders = {name: Path(root) for name, root in roots().items() if not is_url(root)} | {LOCAL: Path("/")}
    name = max(
        (name for name in folders if absolute.is_relative_to(folders[name])),
        key=lambda n: len(folders[n].parts),
    )
    return name, absolute.relative_to(folders[name]).as_posix()


def resolve(root: str, relative_path: str) -> Place:
    """Return the location on this machine of a file below a root.

    Raises
    ------
    AbsentRootError
        If this machine does not know the root.
    UnpublishedFileError
        If the session was adopted from a published folder, without its file.
    """
    require_file_here(root, relative_path)
    if root == WEB:
        return relative_path
    known: dict[str, Place] = {**roots(), LOCAL: Path("/")}
    if root not in known:
        unknown = AbsentRootError(
            f"The root '{root}' is not known on this machine (for {relative_path}). "
            f"Set its folder or URL: vbn roots set {root} FOLDER"
        )
        unknown.lack = f"the root {root}"
        raise unknown
    base = known[root]
    return f"{str(base).rstrip('/')}/{relative_path}" if is_url(base) else Path(base) / relative_path


def folder_problem(folder: Path) -> str | None:
    """Return why no file can be found in a folder: it is absent, empty or closed; None if there are files."""
    try:
        with os.scandir(folder) as entries:
            return None if any(entries) else IS_EMPTY
    except FileNotFoundError:
        return IS_ABSENT
    except OSError as error:
        return f"cannot be read ({error.strerror})" if error.errno in CLOSED else None


def absent_folder(path: Path, folder: Path, problem: str, root: str) -> AbsentFolderError:
    """Return an error about a registered file, whose folder on this machine is the problem."""
    of_root = "" if root == LOCAL else f" of the root '{root}'"
    error = AbsentFolderError(
        path,
        f"the folder {folder}{of_root} {problem} on this machine.",
        "Mount its disk, or set the new location (vbn roots, vbn relocate).",
    )
    error.lack = f"{folder}: {problem}"
    return error


def _parse(text: str, source: str) -> dict[str, Place]:
    try:
        return {
            str(name): place if is_url(place) else Path(place) for name, place in json.loads(text).items()
        }
    except (ValueError, AttributeError, TypeError) as error:
        example = '{"data": "/mnt/vbn"}'
        raise SettingError(f"{source} must hold JSON such as '{example}', not: {text[:200]}") from error
