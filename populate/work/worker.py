"""A worker: a process that makes missing entries, waits for more work, and ends on request.

Any number of workers on any number of machines share the work through the job tables. A worker survives the
loss of its connection: while the server or the store is away, it waits.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import schemas
from populate.work import heartbeat, jobs, quotas, reservations, runner, status
from populate.work.causes import Cause, JobPatience, cause_of
from populate.work.interruption import Interruptions, noticing_interruptions
from populate.work.jobs import OpenJobs
from populate.work.runner import JobResult, Outcome
from populate.work.worklog import Report
from schemas.files import open_file as files
from schemas.server.connection import DRIVER_ERRORS
from vbn.errors import HostError, QuotaError, ServerError, SettingError, StoreError

Key = dict[str, Any]

UNTIL_IDLE_GIVES_UP_S = 300.0
LEAST_FREE_MEMORY_BYTES = 2**27
LONGEST_NAP_S = 1.0
OUTAGE = JobPatience(tries=0, first_wait_s=1.0, longest_wait_s=60.0)


@dataclass(frozen=True)
class Plan:
    """What a worker does.

    Parameters
    ----------
    tables, sessions : names and ids; all, if empty.
    until_idle : whether to end when there is nothing left to do.
    poll_s : pause between two checks for new work.
    tries : how often a job that fails temporarily is tried.
    max_memory_bytes : limit of this process, None for no limit.
    memory_of_tables : other limits while jobs of some tables are made: their names and bytes.
    max_job_s : longest time of a job, None for any time.
    prefix : beginning of the schemas' names, None for the configured one.
    """

    tables: tuple[str, ...] = ()
    sessions: tuple[int, ...] = ()
    until_idle: bool = False
    poll_s: float = 10.0
    tries: int = 10
    max_memory_bytes: int | None = None
    memory_of_tables: tuple[tuple[str, int], ...] = ()
    max_job_s: float | None = None
    prefix: str | None = None


def work(
    plan: Plan,
    report: Report,
    should_stop: Callable[[], bool] = lambda: False,
    fates: Mapping[int, str] | None = None,
) -> None:
    """Work until requested to stop or, if the plan says so, until there is nothing left to do.

    Parameters
    ----------
    plan : what to do.
    report : called for each event.
    should_stop : called between jobs and while waiting.
    fates : what became of processes of this machine that have died, by their id.

    Raises
    ------
    KeyboardInterrupt
        After the current job was rolled back; `populate.work.interruption.Terminated` on SIGTERM.
    ServerError, StoreError
        If server or store cannot be used at all; with ``until_idle`` also if they stay away.
    NotFoundError, SettingError
        If sessions, tables or settings are wrong.
    """
    for limit in (*(size for _, size in plan.memory_of_tables), plan.max_memory_bytes):
        if limit is not None:
            _require_enough_memory(limit)
    if plan.max_memory_bytes is not None:
        set_memory_limit(plan.max_memory_bytes)
    outages = _Outages(plan, report, should_stop)
    while not should_stop():
        try:
            database = schemas.connect(plan.prefix)
            _WorkOnConnection(database, plan, report, should_stop, outages.over, fates or {}).run()
        except (*DRIVER_ERRORS, ServerError, StoreError) as error:
            outages.wait_after(error)
        else:
            return


def _require_enough_memory(limit_bytes: int) -> None:
    """Check a limit of the private memory of this process.

    Raises
    ------
    SettingError
        If the system has no such limit, or the limit is too small to work with.
    """
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - not a file of ours
            used = int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except OSError as error:
        raise SettingError("--max-memory works on Linux only. Use fewer --processes instead.") from error
    if limit_bytes < used + LEAST_FREE_MEMORY_BYTES:
        least = (used + LEAST_FREE_MEMORY_BYTES) / 1e9
        raise SettingError(f"--max-memory is too small to work with: at least {least:.1f}GB are needed.")


def set_memory_limit(limit_bytes: int | None) -> None:
    """Limit the private memory of this process, where the system can; mapped files do not count."""
    try:
        import resource
    except ImportError:
        return
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most if limit_bytes is None else limit_bytes, most))


def nap(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Sleep, checking now and then whether to stop."""
    end = time.monotonic() + seconds
    while not should_stop() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, LONGEST_NAP_S))


class _Outages:
    """Waits while the server or the store is away, longer after each failure."""

    def __init__(self, plan: Plan, report: Report, should_stop: Callable[[], bool]) -> None:
        self._plan, self._report, self._should_stop = plan, report, should_stop
        self._failures = 0
        self._since = 0.0

    def over(self) -> None:
        """Record that the outage is over."""
        if self._failures:
            self._report("back", duration_s=round(time.monotonic() - self._since, 3))
        self._failures = 0

    def wait_after(self, error: Exception) -> None:
        """Wait, without the connection; raise the error for people if waiting does not help."""
        cause = cause_of(error)
        if cause not in (Cause.SERVER, Cause.LOCK, Cause.STORE):
            if isinstance(error, ServerError | StoreError):
                raise error
            raise ServerError(f"The database refuses ({type(error).__name__}: {error}).") from error
        self._since = self._since if self._failures else time.monotonic()
        self._failures += 1
        if self._plan.until_idle and time.monotonic() - self._since > UNTIL_IDLE_GIVES_UP_S:
            kind = StoreError if cause is Cause.STORE else ServerError
            raise kind(f"Given up after {UNTIL_IDLE_GIVES_UP_S:.0f} s: {runner.explain(error)}") from error
        wait_s = OUTAGE.wait_s(self._failures)
        event = "store_away" if cause is Cause.STORE else "server_away"
        self._report(event, error=runner.explain(error), cause=str(cause), wait_s=round(wait_s, 1))
        if cause is not Cause.STORE:
            _disconnect()
        nap(wait_s, self._should_stop)


def _disconnect() -> None:
    """Close the connection, so that the next one is new."""
    try:
        schemas.disconnect()
    except DRIVER_ERRORS:
        schemas.disconnect()  # the driver raises once if the connection is closed already


class _WorkOnConnection:
    """The work on one connection."""

    def __init__(
        self,
        database: schemas.Database,
        plan: Plan,
        report: Report,
        should_stop: Callable[[], bool],
        on_success: Callable[[], None],
        fates: Mapping[int, str],
    ) -> None:
        self._plan, self._report, self._on_success = plan, report, on_success
        self._should_stop, self._fates, self._database = should_stop, fates, database
        self._tables = [jobs.prepared(cls, plan.max_job_s) for cls in runner.populated_tables(plan.tables)]
        self._memory = dict(plan.memory_of_tables)
        runner.populated_tables(list(self._memory))  # raises if one does not exist
        self._lacks: dict[str, str] = {}  # what this machine lacks -> the first error about it
        self._full: dict[str, str] = {}  # space that is too large -> what is said of it
        self._has_done = False
        self._patience = JobPatience(plan.tries, 1.0, 60.0, waits_for_store=True)
        runner.session_keys(plan.sessions)  # raises if one is not registered

    def run(self) -> None:
        """Work and wait until requested to stop, or until idle."""
        with (
            files.closing_file(),
            heartbeat.beating(self._database),
            noticing_interruptions() as interruptions,
            interruptions.raised_before_errors(),
        ):
            for table in self._tables:
                table.jobs.forget_vanished()
            for lost in runner.settle_lost(self._tables, self._patience):
                self._report_job(lost)
            last_waited_for = -1
            while not self._should_stop():
                runner.require_writable_store()
                has_worked = self._make_due(interruptions)
                self._has_done |= has_worked
                left = self._open_jobs()
                self._require_something_left(left)
                if not left and self._plan.until_idle:
                    self._report("stopped", reason="idle")
                    return
                waited_for = sum(state.reserved for state in left.values())
                if has_worked or waited_for != last_waited_for:  # not at every check
                    self._report("idle", count=waited_for or None)
                last_waited_for = waited_for
                self._on_success()
                nap(_pause_s(left, self._plan.poll_s), self._should_stop)
                interruptions.raise_swallowed()

    def _make_due(self, interruptions: Interruptions) -> bool:
        """Do the jobs that can be done now, session by session; return whether any was."""
        blocked: set[int] = set()
        has_begun = has_done = False
        while not self._should_stop():
            if returned := reservations.return_dead(self._tables, self._fates):
                self._report("reservations_returned", count=returned)
            states = self._open_jobs()
            number = choose_session(states, blocked)
            if number is None:
                break
            if not has_begun:
                has_begun = True
                self._report("work_found", count=self._n_missing())
            done = self._work_on(number, states[number].priority, interruptions)
            blocked = set() if done else blocked | {number}
            has_done |= done > 0
        if has_done:
            runner.count_rows(self._tables)
        if blocked:  # due jobs that nobody could do: their entries may exist already
            for table in self._tables:
                table.jobs.forget_vanished()
        return has_done

    def _require_something_left(self, left: dict[int, OpenJobs]) -> None:
        """Raise HostError or QuotaError if all that is left are jobs that cannot be done here, or now.

        A worker that has done some and is to wait for more goes on waiting; any waits for room in a space.
        """
        can_wait = any(each.due or each.reserved or each.next_due_in_s is not None for each in left.values())
        if not left or can_wait:
            return
        if self._full and self._plan.until_idle:
            raise QuotaError(" ".join([*sorted(self._full.values()), "The rest is done."]))
        if self._full or not self._lacks:
            return
        if self._plan.until_idle or not self._has_done:
            lacks = " ".join(sorted(self._lacks.values()))
            raise HostError(
                f"Nothing is left that this machine can do: {lacks} The jobs were given back, for "
                "other machines; after mending it, start this worker again."
            )

    def _n_missing(self) -> int:
        """Return how many entries of these tables are missing, over all sessions."""
        names = {type(table).__name__ for table in self._tables}
        states = [state for state in status.table_status() if state.table in names]
        return sum(max(state.total - state.done - state.errors, 0) for state in states)

    def _work_on(self, number: int, priority: int | None, interruptions: Interruptions) -> int:
        """Make the missing entries of a session that are this urgent; return how many jobs ended here."""
        ended = 0
        key = runner.NO_SESSION
        if number != jobs.NO_SESSION_ID:
            (key,) = runner.session_keys([number])

        def announce(table: str, job: Key) -> None:
            if self._memory:
                set_memory_limit(self._memory.get(table, self._plan.max_memory_bytes))
            self._report("job_started", table=table, key=job)

        for result in runner.work_on(
            key,
            self._tables,
            self._patience,
            priority=priority,
            should_stop=self._should_stop,
            announce=announce,
        ):
            if result.outcome is Outcome.GIVEN_BACK:
                self._report_lack(result)
                continue
            ended += 1
            self._report_job(result)
            if result.outcome is Outcome.DONE:
                self._on_success()
            interruptions.raise_swallowed()
        return ended

    def _open_jobs(self) -> dict[int, OpenJobs]:
        """Add the jobs that can be done now to the job tables; return those open to us, per session."""
        self._look_for_room()
        sessions = [{"session_id": number} for number in self._plan.sessions]
        for table in self._tables:
            if not sessions or runner.is_of_sessions(table):
                table.jobs.add_missing(sessions or True)
        left_alone = Counter(
            runner.number_of(key) for table in self._tables for key in table.jobs.left_alone()
        )
        return {
            number: replace(state, due=max(state.due - left_alone[number], 0))
            for number, state in jobs.open_jobs(self._tables, self._plan.sessions).items()
        }

    def _look_for_room(self) -> None:
        """Take up the jobs of tables whose space was too large and is not any more."""
        for table in self._tables:
            if table.jobs.without_room and not quotas.lack_of_room(table):
                table.jobs.without_room.clear()
                self._full.pop(table.database, None)

    def _report_lack(self, result: JobResult) -> None:
        """Report what this machine lacks, or which space is too large, once; its jobs are given back."""
        lack, error = result.lack or "", result.error or ""
        if result.cause is Cause.QUOTA:
            if lack not in self._full:
                self._report("space_full", error=error, cause=str(result.cause))
            self._full[lack] = error
            return
        if lack not in self._lacks:
            self._lacks[lack] = error
            self._report("host_lacks", error=error, cause=str(result.cause))

    def _report_job(self, result: JobResult) -> None:
        events = {Outcome.DONE: "job_done", Outcome.FAILED: "job_failed", Outcome.TRIED: "job_retry"}
        self._report(
            events[result.outcome],
            table=result.table,
            key=result.key,
            duration_s=round(result.duration_s, 3),
            error=result.error,
            cause=result.cause and str(result.cause),
            attempt=result.tries if result.error else None,
            wait_s=round(result.wait_s, 1) or None,
            web_requests=result.traffic.requests or None,
            web_bytes=result.traffic.bytes or None,
        )


def choose_session(states: dict[int, OpenJobs], blocked: set[int]) -> int | None:
    """Return a session to work on; None if there is none.

    The most urgent come first; among these, those of the account for which the fewest workers work, so that
    who registers a hundred sessions does not keep others waiting; then those that nobody works on. The rest
    is chance, so that workers that start together spread over the sessions.
    """
    with_work = [number for number, state in states.items() if state.due and number not in blocked]
    # Last what belongs to no session, such as a mouse's summary: it is made from that of sessions.
    with_work = [number for number in with_work if number != jobs.NO_SESSION_ID] or with_work
    workers = Counter[str]()
    for state in states.values():
        workers[state.submitter] += state.reserved
    keys = {
        number: (states[number].priority or 0, workers[states[number].submitter], states[number].reserved > 0)
        for number in with_work
    }
    first = min(keys.values(), default=None)
    return secrets.choice([number for number in with_work if keys[number] == first]) if with_work else None


def _pause_s(states: dict[int, OpenJobs], poll_s: float) -> float:
    """Return how long to wait: until the next check for work, or until a job may be tried again."""
    waits: Sequence[float] = [s.next_due_in_s for s in states.values() if s.next_due_in_s is not None]
    return min([poll_s, *(max(wait, 0.05) for wait in waits)])
