"""Progress of the work: rows done, and jobs waiting, reserved and failed, per table."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import schemas
from populate.work.causes import Cause, cause_of
from populate.work.jobs import job_table_name
from populate.work.present import present_tables
from schemas import ecephys, session, stimulus
from schemas.bases.lab import lab_tables
from schemas.bases.registry import tables
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import JobTable, dj
from vbn.errors import ServerError, shortened

Key = dict[str, Any]
SESSION_KEY = ["mouse_id", "session_id"]


@dataclass(frozen=True)
class TableStatus:
    """The state of one populated table."""

    table: str
    done: int
    total: int
    reserved: int
    errors: int


@dataclass(frozen=True)
class JobError:
    """One job that failed."""

    table: str
    key: Key
    message: str
    host: str
    failed_at: str


def sessions_per_project() -> dict[str, int]:
    """Return the number of registered sessions of each project, by name."""
    return dict(sorted(Counter(session.Session.to_arrays("project").tolist()).items()))


def table_status() -> list[TableStatus]:
    """Return the state of every populated table, in dependency order.

    The total is what there will be when all is done: registered sessions times parameter sets. For the lab's
    tables, and those of mice, it is what can be made now.
    """
    n_files, n_lfp_files = _count_files()
    populated = [cls() for cls in present_tables(dj.Imported, dj.Computed)]
    rows, jobs = _count_rows_and_jobs(populated)
    of_lfp, of_recordings = _below(ecephys.Lfp), _below(ecephys.Recording, stimulus.OptoStimulation)
    of_lab, found = lab_tables(), []
    n_sets: dict[tuple[Any, Any], int] = {}
    for number, table in enumerate(populated):
        states = jobs[number]
        name = table.full_table_name
        n_keys = n_files["recording"] if name in of_recordings else n_files.total()
        # By the class: the key is a heading's, which takes questions.
        if getattr(table, "is_optional", False):
            total = rows[number] + sum(states.values())
        elif type(table) in of_lab or "session_id" not in table.session_columns:
            total = len(table.key_source)
        else:
            total = (n_lfp_files if name in of_lfp else n_keys) * prod(_n_sets(type(table), n_sets))
        found.append(
            TableStatus(type(table).__name__, rows[number], total, states["reserved"], states["error"])
        )
    return found


def _count_files() -> tuple[Counter[str], int]:
    """Return the numbers of registered sessions of each kind and of LFP files, by one query."""
    query = (
        f"SELECT CAST(file_kind AS char(16)), count(*) FROM {session.NwbFile().full_table_name} GROUP BY 1 "  # noqa: S608
        f"UNION ALL SELECT 'lfp', count(*) FROM {session.LfpFile().full_table_name}"
    )
    counts = Counter({str(kind).strip(): int(count) for kind, count in dj.conn().query(query).fetchall()})
    return counts, counts.pop("lfp")


def _count_rows_and_jobs(populated: list[Any]) -> tuple[list[int], list[Counter[str]]]:
    """Return the number of rows of each table, and of its jobs in each state, by two queries."""
    query = dj.conn().query
    counting = " UNION ALL ".join(
        f"SELECT {number}, count(*) FROM {table.full_table_name}"  # noqa: S608
        for number, table in enumerate(populated)
    )
    rows = dict(query(counting).fetchall())
    counting = " UNION ALL ".join(
        f"SELECT {number}, CAST(status AS char(16)), count(*) FROM {job_table_name(table)} GROUP BY 2"  # noqa: S608
        for number, table in enumerate(populated)
    )
    jobs: list[Counter[str]] = [Counter() for _ in populated]
    for number, state, count in query(counting).fetchall():
        jobs[number][str(state).strip()] = int(count)
    return [int(rows[number]) for number in range(len(populated))], jobs


def watched_status() -> Iterator[tuple[str, list[TableStatus], str | None]]:
    """Yield again and again the database, the states of its tables, and any problem of the server.

    The states are empty while the server is away.
    """
    place = ""
    while True:
        try:
            database = schemas.connect()
            place, states, problem = str(database), table_status(), None
        except (*DRIVER_ERRORS, ServerError) as error:
            if cause_of(error) is not Cause.SERVER:
                raise
            states, problem = [], f"The server is away; waiting for it: {shortened(error, 200)}"
            with contextlib.suppress(*DRIVER_ERRORS):
                schemas.disconnect()
        yield place, states, problem


def _below(*above: Any) -> set[str]:
    """Return the names of these tables, and of those that depend on one of them."""
    return {name for cls in above for name in cls().descendants()}


def _n_sets(cls: Any, known: dict[tuple[Any, Any], int]) -> list[int]:
    """Return how many sets of each parameter table in its key a table is computed with, asking once."""
    numbers = []
    for table in cls.parameters():
        asked = cls.wanted_sets.__func__, table
        if asked not in known:
            known[asked] = len(cls.wanted_sets(table))
        numbers.append(known[asked])
    return numbers


def job_errors() -> list[JobError]:
    """Return all jobs that failed, table by table."""
    found = []
    for cls in present_tables(dj.Imported, dj.Computed):
        jobs = JobTable(cls())
        for row in jobs.errors.proj("error_message", "host", "completed_time").to_dicts(order_by="KEY"):
            key = {name: row[name] for name in jobs.primary_key}
            failed_at = (
                row["completed_time"].isoformat(sep=" ", timespec="seconds") if row["completed_time"] else ""
            )
            found.append(JobError(cls.__name__, key, row["error_message"], row["host"], failed_at))
    return found


def error_columns(errors: Sequence[JobError]) -> list[str]:
    """Return the names by which failed jobs can be asked: what is known of each, and what their keys have."""
    keys = dict.fromkeys(name for error in errors for name in error.key)
    return list(dict.fromkeys(["table", "session_id", *keys, "message", "host", "failed_at"]))


def error_rows(errors: Sequence[JobError]) -> list[Key]:
    """Return failed jobs as rows with the columns of `error_columns`."""
    names = error_columns(errors)
    return [{**dict.fromkeys(names), **asdict(error), **error.key} for error in errors]


def retry(table_names: list[str], session_ids: list[int]) -> int:
    """Forget failed jobs, so that the next run makes them again; return how many there were.

    Raises
    ------
    NotFoundError
        If a table or a session that was named does not exist.
    """
    from populate.work import runner
    from populate.work.runner import populated_tables, session_keys

    forgotten = 0
    keys = session_keys(session_ids)
    for cls in populated_tables(table_names):
        errors = JobTable(cls()).errors
        if session_ids:
            if not runner.is_of_sessions(cls):
                continue
            errors = errors & keys
        forgotten += errors.delete_quick(get_count=True)
    return forgotten


def imported_counts() -> dict[int, str]:
    """Return how much of each session is imported: ``all``, or ``3 of 8 tables``; absent if nothing is."""
    kinds = dict(zip(*session.NwbFile.to_arrays("session_id", "file_kind"), strict=True))
    imported = [cls for cls in tables(dj.Imported) if list(cls().primary_key) == SESSION_KEY]
    done: dict[int, int] = {}
    for cls in imported:
        for number in cls.to_arrays("session_id").tolist():
            done[number] = done.get(number, 0) + 1
    wanted = {kind: sum(_is_for(cls, kind) for cls in imported) for kind in ("recording", "behavior_only")}
    return {
        int(number): "all" if done[number] >= wanted[kind] else f"{done[number]} of {wanted[kind]} tables"
        for number, kind in kinds.items()
        if number in done
    }


def _is_for(cls: Any, kind: str) -> bool:
    """Return whether an imported table has entries by default for sessions of a kind."""
    if getattr(cls, "is_optional", False):
        return False
    return kind == "recording" or cls not in (ecephys.Recording, stimulus.OptoStimulation)
