"""Trying files out before anything of them is entered: in a database of their own, which is removed again.

It is filled by the same code as the lab's, so that what is said here is what happens there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

import vbn.nwb
from populate.registration.catalogue import enter
from populate.registration.catalogue_tables import ReleaseTables
from populate.registration.register import FileOutcome, register
from populate.registration.rig import Rig
from populate.work.interruption import terminated_by_signal
from populate.work.progress import populate_with_progress
from populate.work.runner import JobResult, populated_tables
from schemas import session
from schemas.bases.registry import part_classes
from schemas.deploy.connect import connect
from schemas.server.connection import disconnect
from schemas.server.datajoint import dj
from schemas.server.embedded import EmbeddedServer
from vbn.errors import ServerError, SettingError, VbnError
from vbn.home import home_folder
from vbn.nwb.checks.absent import find_absent_parts
from vbn.web.client import is_url
from vbn.whole_files import write_whole

ANSWER = "answer.json"
FAILED = "failed"
REMOVE, PREFIX = "remove", "vbn-inspect-"
TIMES_GONE, LONGEST_REMOVAL_S = 4, 300.0
KEPT_VARIABLES = ("VBN_ROOTS",)  # the others say which database is the lab's


@dataclass
class FileReport:
    """What would become of a file.

    Attributes
    ----------
    path : the file.
    session_id : its session; None if the file is refused.
    refusal : why it cannot be registered; empty if it can.
    absent : parts that the release's files hold and this one lacks, with similar names that it has.
    issues : its irregularities: ``severity``, ``issue_table``, ``issue_code``, ``issue_detail``.
    made : tables that get entries: table -> number of them.
    empty : those of them whose entries have no rows, such as of a laser in sessions without.
    failed : tables that fail, with one of their parameter sets at least: table -> why.
    lost : tables that get no entry because others fail: table -> these.
    not_made : tables that get no entry for another reason; the file has nothing for them.
    """

    path: str
    session_id: int | None = None
    refusal: str = ""
    absent: list[str] = field(default_factory=list)
    issues: list[dict[str, str]] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    not_made: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Return whether it can be registered, and no table fails."""
        return not self.refusal and not self.failed


def inspect_files(
    places: Sequence[str],
    catalogue: Path | None = None,
    *,
    import_only: bool = False,
    mapping: Path | None = None,
    metadata: Path | None = None,
) -> list[FileReport]:
    """Register and populate files in a database of their own, and report what came of each.

    Parameters
    ----------
    places : NWB files, folders that contain them, or URLs.
    catalogue : folder with the release's tables, entered first.
    import_only : leave out computed tables, of which only those that are lost are reported.
    mapping, metadata : how files of another rig are read, and the lab's table of sessions.

    Raises
    ------
    VbnError
        If a path does not exist, a table of the release cannot be read, or the database cannot be made.
    """
    named = [place if is_url(place) else str(Path(place).absolute()) for place in places]
    if paths := [Path(place) for place in named if not is_url(place)]:
        vbn.nwb.find_nwb_files(paths)  # raises an error before a database is made
    _ = Rig.read(mapping, metadata, None)  # the same
    folder, *others = [
        None if each is None else str(each.absolute()) for each in (catalogue, mapping, metadata)
    ]
    home = Path(tempfile.mkdtemp(prefix=PREFIX))
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)  # PostgreSQL's user must pass through root's
    answer = home / ANSWER
    asked = json.dumps([named, folder, import_only, *others])
    try:
        with terminated_by_signal():
            done = subprocess.run(  # ended with this process, see `_main`
                # -P: a folder "populate" of the user's, where this is run, is not ours.
                [sys.executable, "-P", "-m", "populate.registration.inspection", asked],
                env=_environment(home), check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,  # DataJoint logs there
            )  # fmt: skip
        if not answer.exists():
            raise ServerError(f"The trial ended without a result (exit status {done.returncode}); see above.")
        found = json.loads(answer.read_text())
    finally:
        _remove(home)
    if isinstance(found, str):
        raise VbnError(found)
    return [FileReport(**report) for report in found]


def _remove(home: Path) -> None:
    """Stop the server of a trial, and remove its folders."""
    server = EmbeddedServer(home)
    socket_folder = server.socket_folder
    with contextlib.suppress(VbnError):
        server.stop()
    for folder in {home, socket_folder}:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a process that knows of no database but its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJ_", "VBN_")) or name in KEPT_VARIABLES
    }
    path = os.pathsep.join(filter(None, sys.path))
    return {**kept, "VBN_HOME": str(home), "DJ_IGNORE_CONFIG_FILE": "true", "PYTHONPATH": path}


def try_out(
    places: Sequence[str], catalogue: Path | None, *, import_only: bool, rig: Rig
) -> list[FileReport]:
    """Fill the database that this process is connected to with files, and report what came of each."""
    entered = enter(ReleaseTables.read(catalogue)) if catalogue else None
    outcomes = list(register(places, entered, rig=rig))
    names = [cls.__name__ for cls in populated_tables() if not import_only or issubclass(cls, dj.Imported)]
    done = populate_with_progress((), names, 1)
    failures = [*done.failures, *done.given_back]
    return [_report(outcome, failures, set(names), rig) for outcome in outcomes]


def _report(outcome: FileOutcome, failures: Sequence[JobResult], tried: set[str], rig: Rig) -> FileReport:
    report = FileReport(str(outcome.path), outcome.session_id)
    # As far as it can be opened: what it lacks is of interest where it is refused, too.
    with contextlib.suppress(VbnError):
        opened = vbn.nwb.open_session(outcome.path, with_pynwb=False, mapping=rig.reading_of(outcome.path))
        with opened as file:
            report.absent = [str(part) for part in find_absent_parts(file)]
    if outcome.status == FAILED:
        report.refusal = outcome.message
        return report
    key = {"session_id": outcome.session_id}
    shown = ("severity", "issue_table", "issue_code", "issue_detail")
    report.issues = (session.ImportIssue & key).to_dicts(order_by=["issue_table", "issue_code"])
    report.issues = [{name: issue[name] for name in shown} for issue in report.issues]
    for failure in failures:
        if failure.key.get("session_id") == outcome.session_id:
            report.failed.setdefault(failure.table, failure.error or "")
    for cls in populated_tables():
        _add_table(report, cls, key, tried)
    return report


def _add_table(report: FileReport, cls: Any, key: dict[str, Any], tried: set[str]) -> None:
    """Add what became of one table."""
    if "session_id" not in cls.primary_key:
        return
    if number := len(cls & key):
        report.made[cls.__name__] = number
        parts = part_classes(cls)
        if parts and not any(len(part & key) for part in parts):
            report.empty.append(cls.__name__)
        return
    if cls.__name__ in report.failed:
        return
    above = set(cls().ancestors())
    failed = [each for each in populated_tables() if each.__name__ in report.failed]
    if causes := [each.__name__ for each in failed if each().full_table_name in above]:
        report.lost[cls.__name__] = causes
    elif cls.__name__ in tried:
        report.not_made.append(cls.__name__)


def report_lines(report: FileReport) -> Iterator[str]:
    """Yield a report as text, without the path."""
    yield from (f"lacks     {part}" for part in report.absent)
    if report.refusal:
        yield f"refused   {report.refusal}"
        return
    for issue in report.issues:
        yield f"{issue['severity']:<9} {issue['issue_table']}: {issue['issue_code']}: {issue['issue_detail']}"
    yield from (f"failed    {table}: {why}" for table, why in report.failed.items())
    by_cause: dict[tuple[str, ...], list[str]] = {}
    for table, causes in report.lost.items():
        by_cause.setdefault(tuple(causes), []).append(table)
    for names, tables in by_cause.items():
        yield f"lost      {', '.join(tables)}, made from {', '.join(names)}"
    if report.empty:
        yield f"empty     {', '.join(report.empty)}"
    if report.not_made:
        yield f"not made  {', '.join(report.not_made)}"
    yield f"made      {sum(report.made.values())} entries of {len(report.made)} tables"


def _end_with(parent: int, ended: threading.Event) -> None:
    """End this process, and all that it made, as soon as its parent has died.

    Another process removes the rest: what this one did at that moment, such as starting the server, would go
    on beside the removal, and what it makes after that would stay.
    """
    while not ended.wait(0.5):
        if os.getppid() != parent:
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            subprocess.Popen(
                [sys.executable, "-P", "-m", "populate.registration.inspection", REMOVE],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            os._exit(1)


def _remove_until_gone(home: Path) -> None:
    """Remove the folders of a trial until nothing has made them anew for two seconds."""
    if not home.name.startswith(PREFIX):
        raise SettingError(f"{home} is no folder of a trial.")
    n_gone, deadline = 0, time.monotonic() + LONGEST_REMOVAL_S
    while n_gone < TIMES_GONE and time.monotonic() < deadline:
        n_gone = 0 if home.exists() else n_gone + 1
        with contextlib.suppress(OSError):  # made while it is removed: next time
            _remove(home)
        time.sleep(0.5)


def _main() -> None:
    if sys.argv[1] == REMOVE:
        _remove_until_gone(home_folder())
        return
    places, catalogue, import_only, *others = json.loads(sys.argv[1])
    mapping, metadata = (Path(each) if each else None for each in others)
    home, ended = home_folder(), threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it, too, and ends this process
    watcher = threading.Thread(target=_end_with, args=(os.getppid(), ended))
    watcher.start()
    try:
        rig = Rig.read(mapping, metadata, None)
        found = _answer(places, Path(catalogue) if catalogue else None, import_only=import_only, rig=rig)
        write_whole(home / ANSWER, json.dumps(found).encode())
    finally:
        ended.set()
        watcher.join()  # which does not return where this process ends under this thread


def _answer(
    places: Sequence[str], catalogue: Path | None, *, import_only: bool, rig: Rig
) -> list[dict[str, Any]] | str:
    """Return the reports of files, or why there are none."""
    try:
        connect(create=True)
        try:
            return [asdict(report) for report in try_out(places, catalogue, import_only=import_only, rig=rig)]
        finally:
            disconnect()
    except VbnError as error:
        return str(error)


if __name__ == "__main__":
    _main()
