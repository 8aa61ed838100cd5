"""Preparing a folder for ``docker compose up``: its files, passwords, this machine's settings, folders.

The folder is a clone of the repository, or an empty one, into which the installed package writes what the
images are built from: a wheel brings these files along (``force-include`` in pyproject.toml).

Compose mounts a secret file with the owner and mode that it has here. For the containers to read a file of
mode 600, they run under the user id that owns it (``VBN_UID`` in ``.env``).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from vbn.errors import NotFoundError, SettingError
from vbn.whole_files import whole_file
from vbn_datajoint import HOME, NAMES

COMPOSE_FILE = "docker-compose.yml"
BROUGHT_FILES = (
    COMPOSE_FILE, "Dockerfile", ".dockerignore", "docker", "notebooks", "pyproject.toml", "README.md",
    "LICENSE",
)  # fmt: skip
"""What the images need besides the packages."""
IN_A_WHEEL = Path(__file__).with_name("compose")
SECRETS = ("root_password", "admin_password", "worker_password", "reader_password", "jupyter_token")
FOLDERS = {"VBN_DATA": "./data", "VBN_STORE": "./store", "VBN_BACKUP": "./backup"}
UNPRIVILEGED_ID = 10001
"""User and group of the containers if root prepares a folder that root owns."""

HEADER = """\
# This machine's settings for docker-compose.yml, made by `vbn admin init`. No passwords here.
#   VBN_UID, VBN_GID        who the containers run as: the owner of secrets/ and of the store
#   VBN_DATA, VBN_STORE, VBN_BACKUP     folders of the NWB files, of the arrays and of backups
#   VBN_BACKUP_KEEP, VBN_BACKUP_EVERY_S     of scheduled backups: how many stay, seconds between; 7, 86400
#   VBN_BACKUP_KEEP_WITHIN     how old others may be that stay, too, such as 30d
#   VBN_QUOTA_EVERY_S       seconds between two looks at the quotas of spaces; 600
#   VBN_MYSQL_BIND, VBN_PAGE_BIND, VBN_JUPYTER_BIND     0.0.0.0 to listen on all networks; default 127.0.0.1
#   VBN_MYSQL_PORT, VBN_PAGE_PORT, VBN_JUPYTER_PORT     default 3306, 5006 and 8888
#   VBN_PAGE_ORIGINS        names of the page behind a proxy, such as page.lab.org
#   VBN_MYSQL_MEMORY, VBN_WORKER_MEMORY, VBN_PAGE_MEMORY, VBN_JUPYTER_MEMORY    limits; default 4g, 6g, 4g, 8g
"""


@dataclass
class Prepared:
    """What `prepare` created, and what existed already."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)


def prepare(folder: Path, *, data: Path | None = None, store: Path | None = None) -> Prepared:
    """Create missing secret files, ``.env`` and folders; existing ones are kept.

    Parameters
    ----------
    folder : a clone, or an empty folder, which gets the files that compose needs.
    data : folder of the NWB files, which must exist; default ``data`` in the folder.
    store : folder of the arrays; default ``store`` in the folder.

    Raises
    ------
    NotFoundError
        If the folder is neither a clone nor empty, or the data folder does not exist.
    SettingError
        If ``.env`` already names other folders or another user, or something, such as a folder's odd name,
        cannot be written.
    """
    is_new = not (folder / COMPOSE_FILE).is_file()
    if is_new and folder.is_dir() and any(folder.iterdir()):
        raise NotFoundError(
            f"There is no {COMPOSE_FILE} in {folder.absolute()}, which is not empty. Run this in an empty "
            "folder or in a clone of the repository, or name one: --folder FOLDER"
        )
    if data is not None and not data.is_dir():
        raise NotFoundError(f"The folder {data} does not exist. Give the folder of the NWB files as --data.")
    try:
        done = Prepared()
        if is_new:
            _bring_files(folder, done)
        return _prepare(folder, data, store, done)
    except OSError as error:
        raise SettingError(
            f"{error.filename} cannot be created: {error.strerror}. Run this as the owner of the folder."
        ) from error


def _bring_files(folder: Path, done: Prepared) -> None:
    """Write what compose needs; the file that makes the folder one of ours comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    source = IN_A_WHEEL if IN_A_WHEEL.is_dir() else HOME
    places = [
        *(HOME / name for name in (*NAMES, "vbn_datajoint")),
        *(source / name for name in reversed(BROUGHT_FILES)),
    ]
    unwanted = shutil.ignore_patterns("__pycache__", IN_A_WHEEL.name)
    for place in places:
        target = folder / place.name
        if place.is_dir():
            shutil.copytree(place, target, ignore=unwanted, dirs_exist_ok=True)
        else:
            shutil.copyfile(place, target)
        done.made.append(target)
    for name in ("docker/lock", "docker/pin", "docker/mysqld"):
        (folder / name).chmod(0o755)


def _prepare(folder: Path, data: Path | None, store: Path | None, done: Prepared) -> Prepared:
    given = {"VBN_DATA": data, "VBN_STORE": store}
    settings = _write_settings(folder, {name: place for name, place in given.items() if place}, done)
    owner = _owner_in(settings, folder / ".env")
    for name in FOLDERS:
        _make_folder(folder / settings[name], owner, done)
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    (folder / "secrets").chmod(0o700)
    _set_owner(folder / "secrets", owner)
    for name in SECRETS:
        _make_secret(folder / "secrets" / name, owner, done)
    for path in (folder / "docker").glob("mysql*"):
        path.chmod(path.stat().st_mode | 0o444)  # read in the container by the server's own user
    return done


def _write_settings(folder: Path, given: dict[str, Path], done: Prepared) -> dict[str, str]:
    """Add missing settings to ``.env``; return all settings."""
    path = folder / ".env"
    text = path.read_text() if path.exists() else HEADER
    known = _parse(text)
    wanted = {name: str(place.absolute()) for name, place in given.items()}
    if others := [name for name, place in wanted.items() if known.get(name, place) != place]:
        listed = ", ".join(f"{name}={known[name]}" for name in others)
        raise SettingError(
            f"{path} says {listed}. Edit it there: files that are registered or stored are not moved."
        )
    uid, gid = _owner_of(folder)
    defaults = {"VBN_UID": str(uid), "VBN_GID": str(gid), **FOLDERS}
    missing = {name: value for name, value in (defaults | wanted).items() if name not in known}
    if missing:
        lines = "".join(f"{name}={_quoted(value)}\n" for name, value in missing.items())
        path.write_text(text + "\n" * (not text.endswith("\n")) + lines)
    (done.made if missing else done.kept).append(path)
    return known | missing


def _quoted(value: str) -> str:
    """Return a value as compose reads it back: within single quotes, nothing stands for something else.

    Raises
    ------
    SettingError
        If there is no way to write it that all versions of compose read alike.
    """
    if re.fullmatch(r"[\w./@+:~-]+", value):
        return value
    if re.search(r"['\\\n\r]", value):
        raise SettingError(
            f"The folder {value!r} has a quote, a backslash or a line break in its name, which .env cannot "
            "hold. Name it by a link without them."
        )
    return f"'{value}'"


def _parse(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _owner_of(folder: Path) -> tuple[int, int]:
    """Return the ids that the containers run under: ours, never root's."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    found = folder.stat()
    return (found.st_uid, found.st_gid) if found.st_uid else (UNPRIVILEGED_ID, UNPRIVILEGED_ID)


def _owner_in(settings: dict[str, str], path: Path) -> tuple[int, int]:
    try:
        owner = int(settings["VBN_UID"]), int(settings["VBN_GID"])
    except ValueError as error:
        raise SettingError(f"VBN_UID and VBN_GID in {path} must be numbers: {error}.") from error
    if owner[0] and os.geteuid() not in (0, owner[0]):  # 0: we are root of a rootless engine
        raise SettingError(
            f"{path} says VBN_UID={owner[0]}, but you are {os.geteuid()}: the containers could not read the "
            "secrets that you create. Run this as that user, or remove the line."
        )
    return owner


def _make_folder(path: Path, owner: tuple[int, int], done: Prepared) -> None:
    if path.is_dir():
        done.kept.append(path)
        return
    path.mkdir(mode=0o755, parents=True)
    _set_owner(path, owner)
    done.made.append(path)


def _make_secret(path: Path, owner: tuple[int, int], done: Prepared) -> None:
    """Write random text, completely or not at all; for an existing file only set mode and owner."""
    if path.exists():
        done.kept.append(path)
    else:
        with whole_file(path) as part:
            part.touch(mode=0o600, exist_ok=False)
            part.write_text(secrets.token_hex(24))
        done.made.append(path)
    path.chmod(0o600)
    _set_owner(path, owner)


def _set_owner(path: Path, owner: tuple[int, int]) -> None:
    if os.geteuid() == 0:
        os.chown(path, *owner)
