"""The job tables as a worker uses them.

A reservation names its worker (host, process, connection, heartbeat). Before a reserved job is changed, its
row is locked, and the reservation is checked to be still the expected one:

* the worker itself holds this lock from before its first insert until its commit. In the meantime nobody can
  take it for dead, and a worker whose reservation was returned (because its connection was lost) notices that
  before it has written anything;
* the lock is also held while the reservation of a dead worker is returned, or a failed job undone, and its
  arrays without rows are removed. So the arrays of rows that are about to be committed are never removed.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import platform
import re
import signal
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from populate.work import heartbeat
from schemas import session
from schemas.bases.lab import lab_schemas
from schemas.files.array_store import discard_leftovers
from schemas.files.store_identity import require_own_store
from schemas.server.access import RefusedError
from schemas.server.connection import active
from schemas.server.datajoint import JobTable, condition_of, dj, settings_of, use_jobs
from vbn.errors import SettingError, VbnError
from vbn.interruption import holding_interruptions, is_main_thread

Key = dict[str, Any]

LOCK_TIMEOUT_S = 50  # MySQL's default; PostgreSQL would wait forever
NO_SESSION_ID = 0
AGAIN_S, GRACE_S = 10.0, 60.0  # after the end of a job's time: interrupt it again, end the process
MOST_DEATHS = 3  # workers that are lost with a job before it is set aside
DEATHS = re.compile(r"^\[lost (\d+)\] ")
LONGEST_MESSAGE = 2000  # characters; the column holds 2047


class ReservationLostError(Exception):
    """The job was given to another worker, because this one was taken for dead."""


class OwnJobs(JobTable):
    """A table's job table in which each worker changes its own reservation only."""

    def __init__(self, target: Any) -> None:
        super().__init__(target)
        self.reservation: Key = {}
        self.stack: str | None = None
        self.given_back: list[Key] = []  # what this machine lacks, it lacks at the next try too
        self.without_room: list[Key] = []  # while the space of the table is too large

    def reserve(self, key: Key) -> bool:
        """Reserve a job for this process; return False if it is not available."""
        is_mysql = self.connection.adapter.backend == "mysql"
        query = "SELECT CONNECTION_ID()" if is_mysql else "SELECT pg_backend_pid()"
        # DataJoint reconnects by itself, but would go on recording the first connection.
        self.connection.connection_id = int(self.connection.query(query).fetchone()[0])
        self.reservation = {
            **self.key_of(key),
            "host": platform.node(),
            "pid": os.getpid(),
            "connection_id": self.connection.connection_id,
        }
        # If the answer was lost, the statement was sent twice and found the job reserved by us. If it were
        # interrupted, the server might execute it after we had looked for the job to return it.
        with holding_interruptions():
            is_ours = super().reserve(key) or bool(self.reserved & self.reservation)
            if is_ours and (name := heartbeat.name_of_this_process()):
                # With a condition, as there may be nothing left of a reservation that was just withdrawn.
                self.connection.query(
                    f"UPDATE {self.full_table_name} SET version = %s "  # noqa: S608
                    f"WHERE {condition_of(self, {**self.reservation, 'status': 'reserved'})}",
                    args=(name,),
                )
            return is_ours

    def left_by_this_process(self) -> Iterator[Key]:
        """Yield the jobs that this process has reserved; `reservation` is that of the last one yielded."""
        ours = {"host": platform.node(), "pid": os.getpid()}
        for row in (self.reserved & ours).proj("host", "pid", "connection_id").to_dicts():
            self.reservation = row
            yield self.key_of(row)

    def error(self, key: Key, error_message: str, error_stack: str | None = None) -> None:  # noqa: ARG002
        """Keep the traceback; `undo` decides what happens to the job, depending on the cause."""
        self.stack = error_stack

    def hold(self) -> None:
        """Lock the reservation of this process until the transaction ends.

        Raises
        ------
        ReservationLostError
            If this process no longer holds the job.
        """
        if not self._lock(self.reservation):
            raise ReservationLostError(f"{self.target.full_table_name}: {self.reservation}")

    def failures(self) -> int:
        """Return how often the reserved job has failed temporarily, over all workers."""
        words = _without_deaths(self._message()).split()
        return int(words[1]) if words[:1] == ["try"] and words[1].isdigit() else 0

    def _message(self) -> str:
        """Return what is recorded of the reserved job."""
        (message,) = (self & self.reservation).to_arrays("error_message").tolist() or [""]
        return str(message)

    def undo(self, *, message: str = "", wait_s: float = 0.0, is_final: bool = False) -> None:
        """Clean up after a job that did not succeed, and return it to the queue or record its failure.

        Parameters
        ----------
        message : what went wrong.
        wait_s : pause before the job may be tried again.
        is_final : whether the failure is recorded, so that the job is not tried again.
        """
        with self.connection.transaction:
            if not self._lock(self.reservation):
                return
            key = self.key_of(self.reservation)
            discard_leftovers(self.target, key)
            if is_final:
                super().error(key, message, self.stack)
            else:
                self._set_pending(key, _with_deaths(message, _deaths(self._message())), wait_s)

    def give_back(self) -> None:
        """Return the reserved job to the queue for other machines, and leave it alone in this process."""
        self.given_back.append(self.key_of(self.reservation))
        self.undo()

    def left_alone(self) -> list[Key]:
        """Return the jobs that were given back here and that no other machine has taken since."""
        if self.given_back:
            self.given_back = list((self.pending & self.given_back).keys())
        return [*self.given_back, *self.without_room]

    def return_from(self, row: Key, fate: str = "") -> bool:
        """Return a lost worker's job to the queue; return False if it is still running, or another's.

        A job with which workers die again and again is recorded as failed.

        Parameters
        ----------
        row : the reservation, as found.
        fate : what became of the worker; empty if it lives, and has only lost its connection.
        """
        names = (*self.primary_key, "host", "pid", "connection_id", "reserved_time")
        with self.connection.transaction:
            if not self._lock({name: row[name] for name in names}, skip_locked=True):
                return False
            key = self.key_of(row)
            discard_leftovers(self.target, key)
            deaths = _deaths(row["error_message"]) + bool(fate)
            if deaths < MOST_DEATHS:
                self._set_pending(key, _with_deaths(_without_deaths(row["error_message"]), deaths), 0.0)
            else:
                super().error(key, f"{deaths} workers were lost with this job, so it is set aside. {fate}")
        return True

    def add_missing(self, restriction: Any) -> None:
        """Add the jobs that can be done now and are neither done nor in the table.

        DataJoint's ``refresh`` sends one statement per job.
        """
        missing = (self.target.key_source & restriction) - self.target.proj()
        keys = missing.restrict(dj.Not(self), semantic_check=False).proj().keys(order_by="KEY")
        priority = settings_of(self.connection).jobs.default_priority
        rows = [{**key, "status": "pending", "priority": priority} for key in keys]
        if rows:
            with self._explaining_refusals():
                self.insert(rows, skip_duplicates=True, ignore_extra_fields=True)

    @contextlib.contextmanager
    def _explaining_refusals(self) -> Iterator[None]:
        """Say who lets workers fill a table of the lab that its owner has made since the last deploy."""
        try:
            yield
        except RefusedError as error:
            owners = [each.module for each in lab_schemas() if type(self.target) in each.masters]
            if not owners:
                raise
            name = type(self.target).__name__
            raise RefusedError(
                f"This account may not fill {name} of {owners[0]}. Its owner lets workers do so, or an "
                f"admin, with: vbn deploy --module {owners[0]} ({error})"
            ) from error

    def due_keys(self, restriction: Any, priority: int | None = None) -> list[Key]:
        """Return the jobs that may be reserved now, the most urgent first.

        Parameters
        ----------
        restriction : the jobs in question.
        priority : only those of this priority, or of a more urgent one, which is a lower number.
        """
        due = self.pending & "scheduled_time <= CURRENT_TIMESTAMP(3)" & restriction
        if priority is not None:
            due &= f"priority <= {priority}"
        alone = [*self.given_back, *self.without_room]
        return [key for key in due.keys(order_by=["priority", "KEY"]) if key not in alone]

    def forget_vanished(self) -> None:
        """Remove the jobs whose entries can no longer be made, as their session or parameters are gone."""
        vanished = self.restrict(dj.Not(self.target.key_source.proj()), semantic_check=False)
        vanished &= "status IN ('pending', 'error', 'success')"
        vanished = vanished.restrict(dj.Not(self.target.proj()), semantic_check=False)
        # By key: MySQL locks every row that a DELETE examines, and would wait for running jobs.
        keys: list[Key] = vanished.keys()
        for key in keys:
            (self & key & "status <> 'reserved'").delete_quick()

    def _lock(self, reservation: Key, *, skip_locked: bool = False) -> bool:
        """Lock the row of a reservation until the transaction ends; return False if there is none."""
        is_mysql = self.connection.adapter.backend == "mysql"
        limit = "" if is_mysql else f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'; "
        condition = condition_of(self, {**reservation, "status": "reserved"})
        query = f"{limit}SELECT 1 FROM {self.full_table_name} WHERE {condition} FOR UPDATE"  # noqa: S608
        return self.connection.query(query + " SKIP LOCKED" * skip_locked).fetchone() is not None

    def _set_pending(self, key: Key, message: str, wait_s: float) -> None:
        interval = self.adapter.interval_expr(round(wait_s, 3), "second")
        self.connection.query(
            f"UPDATE {self.full_table_name} SET status = 'pending', error_message = %s, "  # noqa: S608
            f"scheduled_time = CURRENT_TIMESTAMP(3) + {interval} WHERE {condition_of(self, key)}",
            args=(message[:LONGEST_MESSAGE],),
        )


def _deaths(message: str) -> int:
    """Return how many workers were lost with a job, according to what is recorded of it."""
    found = DEATHS.match(message)
    return int(found[1]) if found else 0


def _without_deaths(message: str) -> str:
    return DEATHS.sub("", message)


def _with_deaths(message: str, deaths: int) -> str:
    return f"[lost {deaths}] {message}" if deaths else message


def job_table_name(table: Any) -> str:
    """Return the full name of a table's job table, without a query."""
    name: str = table.adapter.make_full_table_name(table.database, f"~~{table.table_name.lstrip('_')}")
    return name


class EndError(RuntimeError):
    """The make of a table asked the program to end; that is no interruption."""


class JobTimeError(VbnError):
    """A job took longer than it may."""


@contextlib.contextmanager
def at_most(seconds: float | None, name: str) -> Iterator[None]:
    """Raise JobTimeError in the block when it takes longer; end the process if even that does not end it.

    Parameters
    ----------
    seconds : the limit, None for no limit.
    name : name of the table, for the message.
    """
    if seconds is None or not is_main_thread():
        yield
        return

    is_over = False

    def interrupt(_number: int, _frame: object) -> None:
        if not is_over:
            raise JobTimeError(
                f"The job of {name} took longer than --max-job-time ({seconds:g} s). If it needs more, retry "
                "it with a longer one: vbn retry"
            )

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)  # again, as a library may swallow the first
    try:
        try:
            with heartbeat.ending_process_after(seconds + GRACE_S):
                yield
        finally:
            is_over = True
    finally:  # even if the time was over at the end of the block
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _staying() -> Iterator[None]:
    """Take the end of the program, which a make of the lab asks for, for an error of the job."""
    try:
        yield
    except SystemExit as error:
        if error.args == ("SIGTERM received",):  # DataJoint's
            raise
        raise EndError(f"it asked the program to end (SystemExit: {error})") from error


def prepared(table_class: type, longest_s: float | None = None) -> Any:
    """Return a table whose jobs follow the rules at the top of this module.

    Parameters
    ----------
    table_class : the table.
    longest_s : how long fetching and computing may each take for one job; None for any time.
    """
    table: Any = table_class()
    use_jobs(table, OwnJobs(table))
    make = getattr(table, "_make_tuples", table.make)  # the name that tables of the lab may have it by

    def make_at_once(key: Key) -> None:
        """Make, of a table of the lab, in one transaction; its rows are committed with the job's lock."""
        with at_most(longest_s, table_class.__name__), _staying():
            make(key)
        table.jobs.hold()
        _require_entry(table, key)

    def make_with_lock(key: Key) -> Generator[Any, Any, None]:
        """Fetch; first time: compute, outside of any transaction; second time: insert, inside one."""
        steps = make(key)
        with at_most(longest_s, table_class.__name__):
            fetched = next(steps)
        computed = yield fetched
        if computed is None:
            with at_most(longest_s, table_class.__name__), _staying():
                computed = next(steps)
            yield computed
        else:
            table.jobs.hold()
            require_own_store(active())
            result = steps.send(computed)
            _require_entry(table, key)
            yield result

    in_steps = inspect.isgeneratorfunction(make)
    setattr(table, make.__name__, make_with_lock if in_steps else make_at_once)
    return table


def _require_entry(table: Any, key: Key) -> None:
    """Raise SettingError if a make has inserted nothing: its job would be found missing again for ever."""
    if not table & key:
        raise SettingError(
            f"The make of {type(table).__name__} inserted no entry for this key. Insert one, with NULL where "
            "there is no result, or restrict the table's key_source to what can be made."
        )


def urgent_priorities(tables: Sequence[Any]) -> list[int]:
    """Return the priorities of due jobs that are more urgent than the default, the most urgent first."""
    default = settings_of(dj.conn()).jobs.default_priority
    union = " UNION ".join(
        f"SELECT priority FROM {job_table_name(table)} WHERE status = 'pending' AND priority < {int(default)}"  # noqa: S608
        for table in tables
    )
    return sorted(int(row[0]) for row in dj.conn().query(union).fetchall()) if union else []


@dataclass(frozen=True)
class OpenJobs:
    """The unfinished jobs of a session: numbers of due and reserved ones, and when the next is due.

    The priority is that of the most urgent due job, the submitter the account that registered the session.
    """

    due: int
    reserved: int
    next_due_in_s: float | None
    priority: int | None = None
    submitter: str = ""


def open_jobs(tables: Sequence[Any], session_ids: Sequence[int] = ()) -> dict[int, OpenJobs]:
    """Return the open jobs of each session, by one query; of those of no session under `NO_SESSION_ID`.

    Parameters
    ----------
    tables : tables whose jobs are counted.
    session_ids : sessions to count; all, if empty.
    """
    connection = dj.conn()
    of_sessions = f" AND session_id IN ({', '.join(map(str, session_ids))})" if session_ids else ""
    if session_ids:
        tables = [table for table in tables if "session_id" in table.jobs.primary_key]
    is_mysql = connection.adapter.backend == "mysql"
    wait = (
        "TIMESTAMPDIFF(MICROSECOND, CURRENT_TIMESTAMP(3), scheduled_time) / 1e6"
        if is_mysql
        else "EXTRACT(EPOCH FROM scheduled_time - CURRENT_TIMESTAMP(3))"
    )
    union = " UNION ALL ".join(
        f"SELECT {'session_id' if 'session_id' in table.jobs.primary_key else NO_SESSION_ID} AS session_id, "  # noqa: S608
        f"priority, status = 'reserved' AS is_reserved, {wait} AS wait_s "
        f"FROM {table.jobs.full_table_name} WHERE status IN ('pending', 'reserved'){of_sessions}"
        for table in tables
    )
    query = (
        "SELECT jobs.session_id, "  # noqa: S608
        "SUM(CASE WHEN NOT is_reserved AND wait_s <= 0 THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN is_reserved THEN 1 ELSE 0 END), "
        "MIN(CASE WHEN NOT is_reserved AND wait_s > 0 THEN wait_s END), "
        "MIN(CASE WHEN NOT is_reserved AND wait_s <= 0 THEN priority END), MIN(registered_by) "
        f"FROM ({union}) AS jobs LEFT JOIN {session.NwbFile().full_table_name} AS files "
        "ON files.session_id = jobs.session_id GROUP BY jobs.session_id"
    )
    rows = connection.query(query).fetchall() if tables else []
    return {
        int(number): OpenJobs(
            int(due), int(reserved), None if wait_s is None else float(wait_s), priority, submitter or ""
        )
        for number, due, reserved, wait_s, priority, submitter in rows
    }
