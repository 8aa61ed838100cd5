"""The job tables as a worker uses them.

A reservation names its worker (host, process, connection). Before a reserved job is changed, its row is
locked, and the reservation is checked to be still the expected one:

* the worker itself holds this lock from before its first insert until its commit. In the meantime nobody can
  take it for dead, and a worker whose reservation was returned (because its connection was lost) notices that
  before it has written anything;
* the lock is also held while the reservation of a dead worker is returned, or a failed job undone, and its
  arrays without rows are removed. So the arrays of rows that are about to be committed are never removed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.files.array_store import discard_leftovers
from schemas.files.store_identity import require_own_store
from schemas.server.connection import active
from schemas.server.datajoint import JobTable, condition_of, dj, settings_of, use_jobs
from vbn.interruption import holding_interruptions

Key = dict[str, Any]

LOCK_TIMEOUT_S = 50  # MySQL's default; PostgreSQL would wait forever
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
            return super().reserve(key) or bool(self.reserved & self.reservation)

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
        (message,) = (self & self.reservation).to_arrays("error_message").tolist() or [""]
        words = str(message).split()
        return int(words[1]) if words[:1] == ["try"] and words[1].isdigit() else 0

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
                self._set_pending(key, message, wait_s)

    def give_back(self) -> None:
        """Return the reserved job to the queue for other machines, and leave it alone in this process."""
        self.given_back.append(self.key_of(self.reservation))
        self.undo()

    def left_alone(self) -> list[Key]:
        """Return the jobs that were given back here and that no other machine has taken since."""
        if self.given_back:
            self.given_back = list((self.pending & self.given_back).keys())
        return self.given_back

    def return_from(self, row: Key) -> bool:
        """Return a dead worker's job to the queue; return False if it is still running, or another's.

        Parameters
        ----------
        row : the reservation, as found.
        """
        names = (*self.primary_key, "host", "pid", "connection_id", "reserved_time")
        with self.connection.transaction:
            if not self._lock({name: row[name] for name in names}, skip_locked=True):
                return False
            key = self.key_of(row)
            discard_leftovers(self.target, key)
            self._set_pending(key, row["error_message"], 0.0)
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
            self.insert(rows, skip_duplicates=True, ignore_extra_fields=True)

    def due_keys(self, restriction: Any) -> list[Key]:
        """Return the jobs that may be reserved now."""
        due = self.pending & "scheduled_time <= CURRENT_TIMESTAMP(3)" & restriction
        return [key for key in due.keys(order_by="KEY") if key not in self.given_back]

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


def job_table_name(table: Any) -> str:
    """Return the full name of a table's job table, without a query."""
    name: str = table.adapter.make_full_table_name(table.database, f"~~{table.table_name.lstrip('_')}")
    return name


def prepared(table_class: type) -> Any:
    """Return a table whose jobs follow the rules at the top of this module."""
    table: Any = table_class()
    use_jobs(table, OwnJobs(table))
    make = table.make

    def make_with_lock(key: Key) -> Generator[Any, Any, None]:
        """Fetch; first time: compute, outside of any transaction; second time: insert, inside one."""
        steps = make(key)
        computed = yield next(steps)
        if computed is None:
            yield next(steps)
        else:
            table.jobs.hold()
            require_own_store(active())
            yield steps.send(computed)

    table.make = make_with_lock
    return table


@dataclass(frozen=True)
class OpenJobs:
    """The unfinished jobs of a session: numbers of due and reserved ones, and when the next is due."""

    due: int
    reserved: int
    next_due_in_s: float | None


def open_jobs(tables: Sequence[Any], session_ids: Sequence[int] = ()) -> dict[int, OpenJobs]:
    """Return the open jobs of each session, by one query.

    Parameters
    ----------
    tables : tables whose jobs are counted.
    session_ids : sessions to count; all, if empty.
    """
    connection = dj.conn()
    of_sessions = f" AND session_id IN ({', '.join(map(str, session_ids))})" if session_ids else ""
    is_mysql = connection.adapter.backend == "mysql"
    wait = (
        "TIMESTAMPDIFF(MICROSECOND, CURRENT_TIMESTAMP(3), scheduled_time) / 1e6"
        if is_mysql
        else "EXTRACT(EPOCH FROM scheduled_time - CURRENT_TIMESTAMP(3))"
    )
    union = " UNION ALL ".join(
        f"SELECT session_id, status = 'reserved' AS is_reserved, {wait} AS wait_s "  # noqa: S608
        f"FROM {table.jobs.full_table_name} WHERE status IN ('pending', 'reserved'){of_sessions}"
        for table in tables
    )
    query = (
        "SELECT session_id, "  # noqa: S608
        "SUM(CASE WHEN NOT is_reserved AND wait_s <= 0 THEN 1 ELSE 0 END), "
        "SUM(CASE WHEN is_reserved THEN 1 ELSE 0 END), "
        "MIN(CASE WHEN NOT is_reserved AND wait_s > 0 THEN wait_s END) "
        f"FROM ({union}) AS jobs GROUP BY session_id"
    )
    rows = connection.query(query).fetchall() if tables else []
    return {
        int(number): OpenJobs(int(due), int(reserved), None if wait_s is None else float(wait_s))
        for number, due, reserved, wait_s in rows
    }
