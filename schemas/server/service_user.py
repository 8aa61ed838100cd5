"""The user as whom PostgreSQL runs: ours, or for root, as whom it refuses to run, one of its own."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from vbn.errors import ServerError, SettingError

logger = logging.getLogger("vbn")

ROOT_SERVES_AS = "vbn-postgres"


def service_account() -> tuple[int, int] | None:
    """Return user and group id to run PostgreSQL as, None to run it as the current user (not root).

    Raises
    ------
    ServerError
        If there is no such user, and none can be created.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(ROOT_SERVES_AS)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            ROOT_SERVES_AS,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ServerError(
                "PostgreSQL does not run as root, and no user could be created for it "
                f"({getattr(error, 'stderr', '') or error}). Run vbn as an ordinary user."
            ) from error
        entry = pwd.getpwnam(ROOT_SERVES_AS)
    return entry.pw_uid, entry.pw_gid


def server_user() -> int:
    """Return the number of the user as whom PostgreSQL runs."""
    account = service_account()
    return account[0] if account else os.geteuid()


def identity() -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that run a program as that user."""
    account = service_account()
    return {"user": account[0], "group": account[1], "extra_groups": []} if account else {}


def name_of(user: int) -> str:
    """Return the name of a user, or the number of one without a name."""
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def others_may_enter(folder: Path) -> bool:
    """Return whether users other than the owner may pass through a folder."""
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def let_pass(folder: Path) -> None:
    """Let the server's user, and nobody else, pass through a folder of ours."""
    if (account := service_account()) is not None:
        os.chown(folder, -1, account[1])
        folder.chmod(0o710)


def _may_pass(folder: Path, account: tuple[int, int]) -> bool:
    found = folder.stat()
    by_group = found.st_gid == account[1] and found.st_mode & stat.S_IXGRP
    return bool(by_group) or found.st_uid == account[0] or others_may_enter(folder)


def hand_over(path: Path) -> None:
    """Make the server's user the owner of a path of ours if we are root, and let that user reach it.

    Raises
    ------
    SettingError
        If a folder on the way is somebody else's and closed.
    """
    account = service_account()
    if account is None:
        return
    os.chown(path, *account, follow_symlinks=False)
    for parent in path.parents:
        if _may_pass(parent, account):
            continue
        if parent.stat().st_uid != 0:
            raise SettingError(
                f"The folder {parent} belongs to {name_of(parent.stat().st_uid)} and is closed to "
                "others, also to the user as whom PostgreSQL runs for root. Run vbn as its owner, or set "
                "VBN_HOME to a folder outside of it."
            )
        logger.warning("Letting the database server's user pass through %s (chmod o+x).", parent)
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
