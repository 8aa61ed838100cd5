"""Preparing a clone for ``docker compose up``: passwords, this machine's settings, folders.

Compose mounts a secret file with the owner and mode that it has here. For the containers to read a file of
mode 600, they run under the user id that owns it (``VBN_UID`` in ``.env``).
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from vbn.errors import NotFoundError, SettingError
from vbn.whole_files import whole_file

COMPOSE_FILE = "docker-compose.yml"
SECRETS = ("root_password", "admin_password", "worker_password", "reader_password", "jupyter_token")
FOLDERS = {"VBN_DATA": "./data", "VBN_STORE": "./store", "VBN_BACKUP": "./backup"}
UNPRIVILEGED_ID = 10001
"""User and group of the containers if root prepares a folder that root owns."""

HEADER = """\
# This machine's settings for docker-compose.yml, made by `vbn admin init`. No passwords here.
#   VBN_UID, VBN_GID        who the containers run as: the owner of secrets/ and of the store
#   VBN_DATA, VBN_STORE, VBN_BACKUP     folders of the NWB files, of the arrays and of backups
#   VBN_MYSQL_BIND, VBN_JUPYTER_BIND    0.0.0.0 to listen on all networks; default 127.0.0.1
#   VBN_MYSQL_PORT, VBN_JUPYTER_PORT    default 3306 and 8888
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
    folder : the clone, where ``docker-compose.yml`` is.
    data : folder of the NWB files, which must exist; default ``data`` in the clone.
    store : folder of the arrays; default ``store`` in the clone.

    Raises
    ------
    NotFoundError
        If the folder is not a clone, or the data folder does not exist.
    SettingError
        If ``.env`` already names other folders or another user, or something cannot be written.
    """
    if not (folder / COMPOSE_FILE).is_file():
        raise NotFoundError(
            f"There is no {COMPOSE_FILE} in {folder.absolute()}. "
            "Run this in a clone of the repository, or name it: --folder CLONE"
        )
    if data is not None and not data.is_dir():
        raise NotFoundError(f"The folder {data} does not exist. Give the folder of the NWB files as --data.")
    try:
        return _prepare(folder, data, store)
    except OSError as error:
        raise SettingError(
            f"{error.filename} cannot be created: {error.strerror}. Run this as the owner of the folder."
        ) from error


def _prepare(folder: Path, data: Path | None, store: Path | None) -> Prepared:
    done = Prepared()
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
        lines = "".join(f"{name}={value}\n" for name, value in missing.items())
        path.write_text(text + "\n" * (not text.endswith("\n")) + lines)
    (done.made if missing else done.kept).append(path)
    return known | missing


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
