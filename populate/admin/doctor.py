"""Finding out what is wrong with the setup, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import schemas
from populate.work import reservations, runner, status
from schemas import session
from schemas.bases.registry import tables
from schemas.files import roots
from schemas.server import settings
from schemas.server.connection import Database
from schemas.server.datajoint import configuration_source, dj
from schemas.server.ownership import network_file_system
from vbn.errors import VbnError
from vbn_datajoint import HOME, NAMES, in_front_of

LOW_SPACE_GB = 5
LEAST_DATABASE_SPACE_GB = 1
OLDEST = {"mysql": (8, 0), "postgresql": (15, 0)}
PRIVILEGES = {
    "reader": "a reader: it may read, but not write",
    "worker": "a worker: it may read, import and compute",
    "admin": "an admin: it may do everything here",
}


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    is_good: bool
    finding: str
    advice: str = ""


def examine() -> list[Check]:
    """Check names, settings, server, privileges, schemas, store, files and jobs, in this order."""
    checks = [_check_names(), _check_configuration()]
    try:
        database = schemas.connect()
    except VbnError as error:
        return [*checks, Check("server", False, str(error))]
    return [
        *checks,
        _check_server(database),
        _check_privileges(database),
        Check("schemas", True, f"{len(tables())} tables under '{database.prefix}...'"),
        *_check_store(database),
        _check_files(),
        _check_jobs(),
    ]


def _check_names() -> Check:
    """Check what a notebook or script in this folder would import; this command has found our packages."""
    others = {name: other for name in NAMES if (other := in_front_of(name, ["", *sys.path]))}
    if not others:
        return Check("names", True, f"{', '.join(NAMES)} are those in {HOME}")
    found = ", ".join(f"{name} is {other!r}" for name, other in others.items())
    advice = "Rename it, work in another folder, or write: from vbn_datajoint import schemas"
    return Check("names", False, f"for Python in this folder, {found}", advice)


def _check_configuration() -> Check:
    if settings.server_is_configured():
        source = configuration_source() or "DJ_* variables"
        info = dj.config.database
        return Check(
            "configuration", True, f"{info.backend} on {info.host}:{info.port}, user {info.user} ({source})"
        )
    return Check(
        "configuration", True, f"no server configured: embedded PostgreSQL in {settings.home_folder()}"
    )


def _check_server(database: Database) -> Check:
    version = str(database.connection.query("SELECT version()").fetchone()[0])
    number = version.split()[1] if database.backend == "postgresql" else version
    found = tuple(int(part) for part in number.split("-")[0].split(".")[:2] if part.isdigit())
    oldest = OLDEST[database.backend]
    advice = "" if found >= oldest else f"Upgrade the server to {'.'.join(map(str, oldest))} or newer."
    state = f"{database}, version {number}"
    if database.embedded:
        folder = database.embedded.data_folder
        free_gb = shutil.disk_usage(folder).free / 1e9
        state += f", {free_gb:.0f} GB free"
        if free_gb < LEAST_DATABASE_SPACE_GB:
            advice = f"Its disk is nearly full: make room where {folder} is."
        elif kind := network_file_system(folder):
            advice = f"It is on a network file system ({kind}): set VBN_HOME to a disk of this machine."
    return Check("server", not advice, state, advice)


def _check_privileges(database: Database) -> Check:
    """Report the account's role; without one, try to write, and roll that back."""
    user = database.connection.get_user()
    if database.role:
        return Check("privileges", True, f"{user} is {PRIVILEGES[database.role]}")
    try:
        database.connection.start_transaction()
        session.Mouse.insert1({"mouse_id": "vbn doctor", "genotype": "", "driver_line": []})
    except dj.errors.AccessError:
        return Check("privileges", True, f"{user} may read, but not write")
    finally:
        database.connection.cancel_transaction()
    return Check("privileges", True, f"{user} may read and write")


def _check_store(database: Database) -> list[Check]:
    folder = database.store.folder
    if folder is None and database.role == "reader":
        return [Check("store", True, str(database.store))]
    if folder is not None and database.role == "reader":
        advice = (
            "" if os.access(folder, os.R_OK | os.X_OK) else "Ask its owner for permission to read its files."
        )
        return [Check("store", not advice, f"{folder}, {'not ' if advice else ''}readable", advice)]
    try:
        runner.require_writable_store()
    except VbnError as error:
        return [Check("store", False, str(error))]
    if folder is None:
        return [Check("store", True, f"{database.store}, writable")]
    free_gb = shutil.disk_usage(folder).free / 1e9
    advice = "" if free_gb > LOW_SPACE_GB else "A session takes about 1 GB: free some space."
    return [Check("store", not advice, f"{folder}, writable, {free_gb:.0f} GB free", advice)]


def _check_files() -> Check:
    """Check whether the registered files are in their places."""
    rows = session.NwbFile.to_dicts()
    try:
        paths = [roots.resolve(row["root"], row["relative_path"]) for row in rows]
    except VbnError as error:
        return Check("files", False, f"{len(rows)} registered", str(error))
    missing = [path for path in paths if isinstance(path, Path) and not path.exists()]
    others = " and others" if len(missing) > 1 else ""
    advice = f"Bring back {missing[0]}{others}, or set the new location: vbn roots." if missing else ""
    return Check("files", not missing, f"{len(rows)} registered, {len(missing)} not found", advice)


def _check_jobs() -> Check:
    errors = status.job_errors()
    dead = reservations.count_dead([cls() for cls in runner.populated_tables()])
    advice = "See them with: vbn errors" if errors else ""
    if dead:
        advice = (advice + " The next vbn populate returns the reservations of dead workers.").strip()
    return Check("jobs", not errors, f"{len(errors)} failed, {dead} reserved by dead workers", advice)
