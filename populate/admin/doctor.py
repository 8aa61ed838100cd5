"""Finding out what is wrong with the setup, and what to do about it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import schemas
import vbn
from populate.admin.snapshot import Snapshot
from populate.admin.spaces import spaces
from populate.work import reservations, runner, status
from populate.work.quotas import described_size
from schemas import administration, session
from schemas.bases.lab import lab_schemas
from schemas.bases.registry import tables
from schemas.files import roots
from schemas.files.store_identity import recorded_id, require_own_store
from schemas.server import settings
from schemas.server.connection import Database
from schemas.server.datajoint import configuration_source, dj
from schemas.server.ownership import network_file_system
from schemas.server.unpublished import ROOT
from vbn.analysis.spikes import compiled
from vbn.errors import VbnError, shortened
from vbn_datajoint import HOME, NAMES, in_front_of

LIBRARIES = ("datajoint", "numpy", "h5py", "pynwb", "hdf5plugin")
LOW_SPACE_GB = 5
LEAST_SPACE_GB = 0.1
CLOCKS_DIFFER_S = 60
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
    values: dict[str, Any] = field(default_factory=dict)  # what was found, for programs


def examine() -> list[Check]:
    """Check what this machine has, then the server, and what of this machine the database's work needs."""
    checks = [_check_names(), _check_versions(), _check_counting(), _check_space(), _check_configuration()]
    try:
        database = schemas.connect()
    except VbnError as error:
        return [*checks, Check("server", False, str(error))]
    return [
        *checks,
        _check_server(database),
        _check_clock(database),
        privileges := _check_privileges(database),
        _check_tables(database),
        *_check_spaces(database),
        *_check_freezes(database),
        *_check_adopted(database),
        _check_store(database, is_writer=privileges.values["may_write"]),
        _check_roots(),
        _check_files(),
        _check_jobs(),
    ]


def _check_spaces(database: Database) -> list[Check]:
    """Check whether personal schemas have become larger than they may, if there are any."""
    found = spaces(database)
    large = [
        f"{each.name} of {shortened(each.owner)} has {described_size(each.size_bytes)}, more than its "
        f"{described_size(each.quota_bytes or 0)}"
        for each in found
        if each.is_too_large
    ]
    if large:
        return [Check("spaces", False, "; ".join(large), "Ask the owners to drop what they do not need.")]
    return [Check("spaces", True, f"{len(found)}, none of them too large")] if found else []


def _check_freezes(database: Database) -> list[Check]:
    """Check whether the store has the files of the freezes, if there are any; it does not read them."""
    names = administration.Freeze.to_arrays("freeze_name").tolist()
    if not names or database.store.folder is None:
        return [Check("freezes", True, f"{len(names)}, their files not looked for")] if names else []
    lacking = Counter(
        str(row["freeze_name"])
        for table, column in (("Piece", "piece_content"), ("Array", "frozen_array_source"))
        for row in getattr(administration.Freeze, table).to_dicts()
        if not (database.store.folder / _path_of(row[column])).is_file()
    )
    if not lacking:
        return [Check("freezes", True, f"{len(names)}, the store has their files")]
    finding = "; ".join(f"{name} lacks {number} files in the store" for name, number in lacking.items())
    advice = (
        "Restore the store's files from a backup; folders made by vbn freeze export are not affected. "
        f"What is missing: vbn freeze show {min(lacking)} --check"
    )
    return [Check("freezes", False, finding, advice, dict(lacking))]


def _check_adopted(database: Database) -> list[Check]:
    """Say which sessions were adopted from published folders, and how many arrays these did not have."""
    folders = Counter(session.AdoptedSession.to_arrays("adopted_from").tolist())
    if not folders:
        return []
    with Snapshot.taken(database) as snapshot:
        number = snapshot.count_unpublished()
    found = ", ".join(f"{count} from {shortened(name)}" for name, count in sorted(folders.items()))
    finding = f"{found}; {number} of their arrays were not published, and cannot be read here"
    return [Check("adopted", True, finding, values={"sessions": dict(folders), "unpublished_arrays": number})]


def _path_of(reference: Any) -> str:
    """Return the path in the store of an array, or of what refers to one."""
    return str(reference["path"] if isinstance(reference, dict) else reference.path)


def _check_tables(database: Database) -> Check:
    own = Counter(schema.module for schema in lab_schemas() for _ in schema.masters)
    of_lab = "".join(f", {number} of {module}" for module, number in own.items())
    return Check("schemas", True, f"{len(tables())} tables under '{database.prefix}...'{of_lab}")


def _check_names() -> Check:
    """Check what a notebook or script in this folder would import; this command has found our packages."""
    others = {name: other for name in NAMES if (other := in_front_of(name, ["", *sys.path]))}
    if not others:
        return Check("names", True, f"{', '.join(NAMES)} are those in {HOME}")
    found = ", ".join(f"{name} is {other!r}" for name, other in others.items())
    advice = "Rename it, work in another folder, or write: from vbn_datajoint import schemas"
    return Check("names", False, f"for Python in this folder, {found}", advice)


def _check_versions() -> Check:
    """Report what is installed; workers of one database should have the same."""
    found = {"host": platform.node(), "vbn": vbn.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    shown = ", ".join(f"{name} {version}" for name, version in found.items() if name != "host")
    return Check("versions", True, f"{shown} on {found['host']}", values=dict(found))


def _check_counting() -> Check:
    """Report whether spikes are counted by compiled loops; a broken numba costs time, but no result."""
    finding, is_sound = compiled.state()
    return Check("counting", True, finding, "" if is_sound else compiled.ADVICE)


def _check_space() -> Check:
    """Check the disks of VBN_HOME and of temporary files."""
    folders = {"home": settings.home_folder(), "temporary": Path(tempfile.gettempdir())}
    free_gb = {name: _free_gb(folder) for name, folder in folders.items()}
    full = [folders[name] for name, free in free_gb.items() if free < LEAST_SPACE_GB]
    finding = ", ".join(f"{free_gb[name]:.0f} GB free for {folder}" for name, folder in folders.items())
    advice = f"Make room where {full[0]} is." if full else ""
    values = {f"{name}_free_gb": free for name, free in free_gb.items()}
    return Check("space", not full, finding, advice, values)


def _free_gb(folder: Path) -> float:
    """Return the free space where a folder is, or would be made."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110
    return round(shutil.disk_usage(existing).free / 1e9, 3)


def _check_clock(database: Database) -> Check:
    """Compare this machine's clock with the server's."""
    is_mysql = database.backend == "mysql"
    now = "UTC_TIMESTAMP(6)" if is_mysql else "CURRENT_TIMESTAMP AT TIME ZONE 'UTC'"
    before = datetime.now(UTC)
    there = database.connection.query(f"SELECT {now}").fetchone()[0].replace(tzinfo=UTC)
    here = before + (datetime.now(UTC) - before) / 2
    ahead_s = (here - there).total_seconds()
    is_good = abs(ahead_s) <= CLOCKS_DIFFER_S
    relation = "ahead of" if ahead_s > 0 else "behind"
    advice = "" if is_good else "Set the clock of the one that is wrong (NTP)."
    finding = f"{abs(ahead_s):.1f} s {relation} the server's"
    return Check("clock", is_good, finding, advice, {"ahead_s": round(ahead_s, 3)})


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
    values = {"user": user, "role": database.role, "may_write": database.role != "reader"}
    if database.role:
        return Check("privileges", True, f"{user} is {PRIVILEGES[database.role]}", values=values)
    try:
        database.connection.start_transaction()
        session.Mouse.insert1({"mouse_id": "vbn doctor", "genotype": "", "driver_line": []})
    except dj.errors.AccessError:
        values["may_write"] = False
        return Check("privileges", True, f"{user} may read, but not write", values=values)
    finally:
        database.connection.cancel_transaction()
    return Check("privileges", True, f"{user} may read and write", values=values)


def _check_store(database: Database, *, is_writer: bool) -> Check:
    """Check that the store is the database's, and that this account can work with it."""
    store, folder = database.store, database.store.folder
    values: dict[str, Any] = {"place": str(store), "is_configured": bool(store.spec)}
    if not store.spec and not is_writer:
        finding = "no array store on this machine: all but arrays can be read"
        return Check("store", True, finding, settings.NOT_CONFIGURED, values)
    try:
        values["id"] = recorded_id(database)
        if is_writer:
            runner.require_writable_store()
        else:
            require_own_store(database)
    except VbnError as error:
        return Check("store", False, str(error), values=values)
    state = f"{store}, {'writable' if is_writer else 'readable'}"
    if folder is None:
        return Check("store", True, state, values=values)
    values["free_gb"] = _free_gb(folder)
    is_low = is_writer and values["free_gb"] <= LOW_SPACE_GB
    advice = "A session takes about 1 GB: free some space." if is_low else ""
    return Check("store", not is_low, f"{state}, {values['free_gb']:.0f} GB free", advice, values)


def _check_roots() -> Check:
    """Check whether this machine has the roots that registered files are below, and those that it names."""
    needed = {str(name) for name in session.NwbFile.to_arrays("root")} - {roots.LOCAL, roots.WEB, ROOT}
    try:
        known = roots.roots()
    except VbnError as error:
        return Check("roots", False, str(error))
    problems = dict.fromkeys(needed - known.keys(), "is not known on this machine")
    for name, place in known.items():
        if isinstance(place, Path) and (problem := roots.folder_problem(place)):
            problems[name] = f"is {place}, which {problem}"
    listed = {name: {"place": str(place), "problem": problems.get(name)} for name, place in known.items()}
    listed |= {name: {"place": None, "problem": problems[name]} for name in needed - known.keys()}
    if not problems:
        return Check("roots", True, ", ".join(sorted(listed)) or "none", values=listed)
    finding = "; ".join(f"{name} {problem}" for name, problem in sorted(problems.items()))
    advice = f"Mount its disk, or name its folder or URL: vbn roots set {min(problems)} FOLDER"
    return Check("roots", False, finding, advice, listed)


def _check_files() -> Check:
    """Check whether the registered files are in their places."""
    rows = (session.NwbFile - {"root": ROOT}).to_dicts()  # of adopted sessions there is no file here
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
