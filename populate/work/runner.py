"""Populating: session by session, table by table, with DataJoint's job reservation.

Several processes, on one or more machines, share the work through the job tables. A session's tables are
populated one after the other, so that its file is opened once. Failures are recorded and stay until they are
retried; the other sessions go on.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import psycopg2
import pymysql

from populate.work import heartbeat, jobs, quotas, reservations
from populate.work.causes import STORE_IS_FULL, Cause, JobPatience, cause_of
from populate.work.interruption import Terminated, noticing_interruptions
from schemas import session
from schemas.bases.lab import all_tables
from schemas.files import open_file as files
from schemas.files.store_identity import require_own_store, unreachable
from schemas.reading.kept_frames import keeping_frames
from schemas.server.connection import DRIVER_ERRORS, active
from schemas.server.datajoint import dj, reconnect
from schemas.server.settings import STORE_NAME
from schemas.server.stores import opened_store
from vbn.errors import (
    AbsentArrayError,
    NotFoundError,
    ServerError,
    StoreError,
    VbnError,
    WrongStoreError,
    shortened,
)
from vbn.interruption import holding_interruptions
from vbn.web.client import TRAFFIC, Traffic

Key = dict[str, Any]

NO_SESSION: Key = {}  # instead of a session's key, for entries that belong to none

# What the server raises for values that a table cannot hold; DataJoint passes some of it on unchanged.
REFUSALS = (
    dj.errors.QueryError,
    psycopg2.DataError,
    psycopg2.IntegrityError,
    pymysql.err.DataError,
    pymysql.err.IntegrityError,
)
INTERRUPTING = (KeyboardInterrupt, SystemExit)
SET_ASIDE_BYTES = 2**22
_set_aside: list[bytearray] = []
# Somebody is waiting: only dropped connections and deadlocks are tried again, soon; reading from the web has
# retries of its own (`vbn.web.client.Patience`).
IMPATIENT = JobPatience(3, 0.5, 5.0, causes=(Cause.SERVER, Cause.LOCK))


class Outcome(StrEnum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"
    TRIED = "retry"  # it failed temporarily
    GIVEN_BACK = "given back"  # this machine cannot do it, others may; or its space is too large for now


@dataclass(frozen=True)
class JobResult:
    """The result of one job."""

    table: str
    key: Key
    error: str | None = None
    outcome: Outcome = Outcome.DONE
    cause: Cause | None = None
    tries: int = 1
    wait_s: float = 0.0
    duration_s: float = 0.0
    lack: str | None = None  # what this machine lacks, or which space is too large, if it was given back
    traffic: Traffic = field(default_factory=Traffic)  # with web servers


@dataclass
class Summary:
    """What a run did."""

    done: int = 0
    failures: list[JobResult] = field(default_factory=list)
    given_back: list[JobResult] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)

    def add(self, result: JobResult) -> None:
        """Add the result of a job."""
        self.traffic.requests += result.traffic.requests
        self.traffic.bytes += result.traffic.bytes
        if result.outcome is Outcome.DONE:
            self.done += 1
        elif result.outcome is Outcome.GIVEN_BACK:
            self.given_back.append(result)
        else:
            self.failures.append(result)

    def lacks(self) -> list[str]:
        """Return one message for each thing that this machine lacks."""
        first: dict[str, JobResult] = {}
        jobs: dict[str, set[str]] = {}
        for result in self.given_back:
            lack = result.lack or ""
            first.setdefault(lack, result)
            jobs.setdefault(lack, set()).add(f"{result.table} {result.key}")
        return [
            f"{first[lack].error} {_counted(len(given), 'job')} {_UNTIL[first[lack].cause is Cause.QUOTA]}."
            for lack, given in jobs.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, failures and, if there are any, jobs that were given back, for JSON."""
        shown = ("table", "key", "error")
        lists = {"failures": self.failures, "given_back": self.given_back}
        listed = {
            label: [{name: asdict(result)[name] for name in shown} for result in results]
            for label, results in lists.items()
            if results or label == "failures"
        }
        moved = {"traffic": asdict(self.traffic)} if self.traffic.requests else {}
        return {"done": self.done, **listed, **moved}


_UNTIL = ("given back, for a machine that can do it", "left for later")


def _counted(number: int, thing: str) -> str:
    return f"1 {thing} was" if number == 1 else f"{number} {thing}s were"


def populated_tables(names: Sequence[str] = ()) -> list[type]:
    """Return the populated tables, in dependency order: those named, or all.

    Optional tables are populated only if they are named.

    Raises
    ------
    NotFoundError
        If a name is not one of them.
    """
    known = {cls.__name__: cls for cls in all_tables(dj.Imported, dj.Computed)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFoundError(f"No such table: {', '.join(unknown)}. There are: {', '.join(known)}.")
    if names:
        return [cls for name, cls in known.items() if name in names]
    return [cls for cls in known.values() if not getattr(cls, "is_optional", False)]


def number_of(key: Key) -> int:
    """Return the session's id in its key; `jobs.NO_SESSION_ID` if it is `NO_SESSION`."""
    return int(key.get("session_id", jobs.NO_SESSION_ID))


def session_keys(session_ids: Sequence[int] = ()) -> list[Key]:
    """Return the keys of the registered sessions: those named, or all.

    Raises
    ------
    NotFoundError
        If a session is not registered.
    """
    keys = session.NwbFile.keys(order_by="session_id")
    unknown = sorted(set(session_ids) - {key["session_id"] for key in keys})
    if unknown:
        raise NotFoundError(f"No such session is registered: {', '.join(map(str, unknown))}. See: vbn status")
    return [key for key in keys if not session_ids or key["session_id"] in session_ids]


def is_of_sessions(table: Any) -> bool:
    """Return whether a table's entries each belong to one session, not to several as those of mice do."""
    return "session_id" in table.primary_key


def run(
    keys: Sequence[Key], table_classes: Sequence[type], *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[JobResult]:
    """Populate tables for sessions in this process; yield each job that was done or failed here.

    Parameters
    ----------
    keys : primary keys of sessions, in the order of the work; `NO_SESSION` for tables whose
        entries belong to none, as those of mice.
    table_classes : tables in dependency order.
    should_stop : called between jobs.

    Raises
    ------
    StoreError
        If the store cannot be written at all.
    KeyboardInterrupt
        After the interrupted job was rolled back and its reservation returned.
    """
    require_writable_store()
    instances = [jobs.prepared(cls) for cls in table_classes]
    try:
        for table in instances:
            table.jobs.forget_vanished()
        reservations.return_dead(instances)
        with (
            files.closing_file(),
            heartbeat.beating(active()),
            noticing_interruptions() as interruptions,
            interruptions.raised_before_errors(),
        ):
            n_done = 0
            for result in _passes(keys, instances, should_stop):
                n_done += result.outcome is Outcome.DONE
                if result.outcome is not Outcome.TRIED:
                    yield result
                interruptions.raise_swallowed()
        if n_done:
            count_rows(instances)
    except DRIVER_ERRORS as error:
        raise ServerError(
            f"The connection to the database was lost ({error}). Start again when it is back."
        ) from error


def count_rows(instances: Sequence[Any]) -> None:
    """Update the embedded server's row counts of these tables and their parts.

    The server does so by itself after a minute; until then it plans joins as if the tables were empty, and a
    query that should take milliseconds may take many seconds.
    """
    database = active()
    if database.embedded is not None:
        names = [name for table in instances for name in (table.full_table_name, *table.parts())]
        database.connection.query("ANALYZE " + ", ".join(names))


def _passes(
    keys: Sequence[Key], instances: Sequence[Any], should_stop: Callable[[], bool]
) -> Iterator[JobResult]:
    """Go through the sessions, and again through those that may have more to do."""
    for priority in jobs.urgent_priorities(instances):
        for key in _with_open_jobs(keys, instances):
            yield from work_on(key, instances, IMPATIENT, priority=priority, should_stop=should_stop)
    left = keys
    while left:
        waits: dict[int, float] = {}
        has_new = False  # of no session
        for key in _with_open_jobs(left, instances):
            for result in work_on(key, instances, IMPATIENT, should_stop=should_stop):
                has_new |= not key and result.outcome is Outcome.DONE
                if result.outcome is Outcome.TRIED:
                    waits[number_of(key)] = result.wait_s
                yield result
        # A worker may have died meanwhile, or its connection may have outlived it for a moment.
        is_open = reservations.return_dead(instances) or (has_new and _feed_sessions(instances))
        time.sleep(max(waits.values(), default=0.0))
        # What belongs to no session, as mice do, may be made from what is tried again.
        again = {*waits, jobs.NO_SESSION_ID} if waits else set()
        left = keys if is_open else [key for key in keys if number_of(key) in again]


def _with_open_jobs(keys: Sequence[Key], instances: Sequence[Any]) -> list[Key]:
    """Add the jobs that can be done now; return the sessions that have any, and `NO_SESSION` where it is.

    So that sessions where nothing is left are not asked about one by one, table by table. Those whose jobs
    others have, or that are tried again later, are returned, too.
    """
    of_sessions = [table for table in instances if is_of_sessions(table)]
    numbers = [number_of(key) for key in keys if key]
    if not (numbers and of_sessions):
        return list(keys)
    for table in of_sessions:
        table.jobs.add_missing(f"session_id IN ({', '.join(map(str, numbers))})")
    found = jobs.open_jobs(of_sessions, numbers)
    return [key for key in keys if not key or number_of(key) in found]


def _feed_sessions(instances: Sequence[Any]) -> bool:
    """Return whether entries of sessions are made from entries that belong to none."""
    of_none = {table.full_table_name for table in instances if not is_of_sessions(table)}
    return any(of_none & set(table.ancestors()) for table in instances if is_of_sessions(table))


def work_on(
    key: Key,
    instances: Sequence[Any],
    patience: JobPatience,
    *,
    priority: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    announce: Callable[[str, Key], None] = lambda _table, _key: None,
) -> Iterator[JobResult]:
    """Make the missing entries of a session, table by table; yield each job that ended here.

    Parameters
    ----------
    key : primary key of the session, or `NO_SESSION`.
    instances : tables in dependency order, from `populate.work.jobs.prepared`.
    patience : how often a job is tried.
    priority : only jobs of this priority and of more urgent ones; None for all.
    should_stop : called between jobs.
    announce : called with table and key before each job.

    Raises
    ------
    KeyboardInterrupt
        After the interrupted job was rolled back and its reservation returned.
    """
    # What belongs to no session, as mice do, reads many: they would all stay in memory.
    with keeping_frames() if key else contextlib.nullcontext():
        for table in instances:
            if is_of_sessions(table) != bool(key):
                continue
            table.jobs.add_missing(key or True)
            for job in table.jobs.due_keys(key or True, priority):
                if should_stop():
                    return
                if lack := quotas.lack_of_room(table):
                    yield _left_for_later(table, job, lack)
                    continue
                announce(type(table).__name__, job)
                if result := _make(table, job, patience):
                    yield result
    files.close_file()


def _left_for_later(table: Any, key: Key, lack: str) -> JobResult:
    """Leave a job where it is, as the space of its table is too large."""
    table.jobs.without_room.append(key)
    return JobResult(
        type(table).__name__, key, lack, outcome=Outcome.GIVEN_BACK, cause=Cause.QUOTA, lack=table.database
    )


def _make(table: Any, key: Key, patience: JobPatience) -> JobResult | None:
    """Make one entry; return None if another worker has it."""
    started, before = time.monotonic(), replace(TRAFFIC)
    _set_memory_aside()
    try:
        outcome = table.populate(
            key, reserve_jobs=True, suppress_errors=True, return_exception_objects=True, refresh=False
        )
        (error,) = [error for _, error in outcome["error_list"]] or [None]
    except BaseException as raised:
        if _led_to(raised, *INTERRUPTING, jobs.JobTimeError) is None:
            raise
        outcome, error = {"success_count": 0}, raised
    if interruption := _led_to(error, *INTERRUPTING):
        _return_job(table)
        raise Terminated if isinstance(interruption, SystemExit) else KeyboardInterrupt from error
    if timeout := _led_to(error, jobs.JobTimeError):
        reconnect(table.connection)  # it may be in the middle of an answer
        error = timeout
    name, duration_s = type(table).__name__, time.monotonic() - started
    traffic = TRAFFIC.since(before)
    if isinstance(error, Exception) and not isinstance(error, jobs.ReservationLostError):
        with holding_interruptions():
            if _was_made_meanwhile(table, key, error):
                table.jobs.undo()  # whoever looks at it next finds the entry, and removes the job
                return None
            failed = _settle(table, key, _lack_behind(error) or error, patience)
        return replace(failed, duration_s=duration_s, traffic=traffic)
    made = JobResult(name, key, duration_s=duration_s, traffic=traffic)
    return made if outcome["success_count"] else None


def _set_memory_aside() -> None:
    """Keep memory with which the failure of a job can be recorded that has none left."""
    if not _set_aside:
        with contextlib.suppress(MemoryError):  # then the job will say so
            _set_aside.append(bytearray(SET_ASIDE_BYTES))


def _led_to(error: BaseException | None, *kinds: type[BaseException]) -> BaseException | None:
    """Return the exception of some kinds that an error is, or that led to it; None if there was none.

    DataJoint turns SIGTERM into SystemExit. It then rolls back on the interrupted connection, which may be in
    the middle of an answer, and raises the error of the rollback.
    """
    while error is not None and not isinstance(error, kinds):
        error = None if isinstance(error, jobs.EndError) else error.__context__
    return error


def _return_job(table: Any) -> None:
    """Roll back the interrupted job, and return it to the queue.

    If the server does not answer, the reservation stays, and is later returned as that of a dead worker.
    """
    with holding_interruptions(), contextlib.suppress(*DRIVER_ERRORS):
        reconnect(table.connection)
        table.jobs.undo()


def _was_made_meanwhile(table: Any, key: Key, error: Exception) -> bool:
    """Return whether somebody has entered the same by hand, without a job, while we computed."""
    return isinstance(error, dj.errors.DuplicateError) and bool(table & key)


def _lack_behind(error: Exception) -> Exception | None:
    """Return an error about the store if it went away, which is why it had no array; None otherwise."""
    if isinstance(error, AbsentArrayError):
        try:
            require_own_store(active())
        except StoreError as lack:
            return lack
    return None


def _settle(table: Any, key: Key, error: Exception, patience: JobPatience) -> JobResult:
    """Undo a failed job, and record its failure or schedule another try."""
    cause = cause_of(error)
    if cause is Cause.MEMORY:
        traceback.clear_frames(error.__traceback__)  # what the job held is needed to record its failure
        _set_aside.clear()
    tries = table.jobs.failures() + 1
    failed = JobResult(
        type(table).__name__, key, explain(error), outcome=Outcome.FAILED, cause=cause, tries=tries
    )
    if cause in patience.causes and tries < patience.tries:
        wait_s = patience.wait_s(tries)
        table.jobs.undo(message=f"try {tries} failed for now: {failed.error}", wait_s=wait_s)
        return replace(failed, outcome=Outcome.TRIED, wait_s=wait_s)
    if isinstance(error, WrongStoreError):  # so would all other jobs
        table.jobs.undo()
        raise error
    if cause is Cause.HOST:
        table.jobs.give_back()
        return replace(failed, outcome=Outcome.GIVEN_BACK, lack=getattr(error, "lack", None) or failed.error)
    if cause is Cause.STORE and patience.waits_for_store:
        table.jobs.undo()
        raise StoreError(failed.error) from error
    table.jobs.undo(message=failed.error or "", is_final=True)
    return failed


def settle_lost(instances: Sequence[Any], patience: JobPatience) -> Iterator[JobResult]:
    """Settle the jobs that this process left reserved when it lost its connection; yield each.

    Parameters
    ----------
    instances : tables, from `populate.work.jobs.prepared`, on the new connection.
    patience : how often a job is tried.
    """
    lost = dj.errors.LostConnectionError("within this job")
    for table in instances:
        for key in table.jobs.left_by_this_process():
            yield _settle(table, key, lost, patience)


def explain(error: BaseException) -> str:
    """Return a message for people; an unexpected error keeps its type."""
    if isinstance(error, VbnError):
        return str(error)
    if isinstance(error, OSError) and cause_of(error) is Cause.STORE:
        return str(_store_error(error))
    if cause_of(error) is Cause.MEMORY:
        return (
            f"There is not enough memory{f' ({error})' if str(error) else ''}. Retry with a larger "
            "--max-memory, or on a larger machine: vbn retry"
        )
    if isinstance(error, REFUSALS):
        # The server's message may have many lines, with the whole row in them.
        first_line = shortened(str(error).strip().split("\n")[0], 300)
        return f"The database refuses a value of the file ({type(error).__name__}: {first_line})."
    if isinstance(error, dj.errors.LostConnectionError):
        return (
            f"The connection to the database was lost ({error}). If this happens at every try, a row may be "
            "larger than the server's max_allowed_packet."
        )
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error} {notes}".strip()


def _store_error(error: OSError) -> StoreError:
    problem = "is full" if error.errno in STORE_IS_FULL else "cannot be written"
    store = active().store
    return StoreError(
        f"The array store {store} {problem} ({error.strerror}). Make room or correct its permissions, "
        "then: vbn retry && vbn populate"
    )


def require_writable_store() -> None:
    """Raise StoreError unless the store is this database's, and a file can be written into it."""
    database = active()
    require_own_store(database)
    folder = database.store.folder
    name = f".writable-{os.getpid()}"
    if folder is None:
        _require_writable_bucket(name)
        return
    probe = folder / name
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _store_error(error) from error


def _require_writable_bucket(name: str) -> None:
    """Raise StoreError unless a file of this name can be written to a store that is not a folder."""
    try:
        backend = opened_store(STORE_NAME)
        backend.put_buffer(b"", name)
        backend.remove(name)
    except StoreError:
        raise
    except Exception as error:
        raise unreachable(active(), error, "written") from error
