"""``vbn worker``: it shares, waits, outlives what breaks, and ends when asked to."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pymysql
import pytest

PATIENCE_S = 300
OF_THE_FILE = ("Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "TaskParameters")
OF_OTHER_TABLES = ("Stimulus", "TrialResponse", "Performance")
TABLES = (*OF_THE_FILE, *OF_OTHER_TABLES)
WORKER = ("worker", "--log", "json", "--poll", "0.3")
WORK = (*WORKER, "--tables", ",".join(TABLES))
RUNNING = (*WORKER, "--table", "Running", "--until-idle")

# A worker that waits, where it is told to, until a file is there.
HELD_WORKER = """
import sys, time
from pathlib import Path
from schemas.behavior import Running
from populate.cli import main

gate, place = Path(sys.argv[1]), sys.argv[2]

def held(step, is_before):
    def wait(self, *arguments):
        result = None if is_before else step(self, *arguments)
        reached = gate.with_name("reached")
        if not reached.exists():
            reached.touch()
            while not gate.exists():
                time.sleep(0.02)
        return step(self, *arguments) if is_before else result
    return wait

def greedy(self, *arguments):
    import numpy as np
    return np.ones(2**32)

if place == "compute":
    Running.make_compute = held(Running.make_compute, True)
elif place in ("before insert", "before commit"):
    Running.make_insert = held(Running.make_insert, place == "before insert")
elif place == "memory":
    Running.make_compute = greedy
main(sys.argv[3:])
"""


@pytest.fixture(scope="module")
def undisturbed(make_database: Callable[..., Any], populated_synthetic: Any) -> Any:
    """Two sessions, populated without a disturbance."""
    database = make_database().register_as(populated_synthetic)
    database.call("populate", *(word for name in TABLES for word in ("--table", name)))
    return database


@pytest.fixture
def registered(empty_database: Any, populated_synthetic: Any) -> Any:
    """Two sessions that wait to be populated."""
    return empty_database.register_as(populated_synthetic)


@pytest.fixture
def one_session(registered: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One session that waits to be populated: the held workers have one job."""
    schema = f'"{registered.prefix}session"'
    number = registered.server.query(f"SELECT min(session_id) FROM {schema}.session")[0][0]
    for table in ("import_issue", "nwb_file", "session"):
        registered.server.query(f"DELETE FROM {schema}.{table} WHERE session_id <> {number}")
    monkeypatch.setenv("VBN_PREFIX", registered.prefix)
    return registered


class Log:
    """What a worker writes, read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.other: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(process.stdout, True), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, False), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any, is_log: bool) -> None:
        for line in stream:
            if is_log:
                self.events.append(json.loads(line))
            else:
                self.other.append(line)

    def of(self, *names: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] in names]

    def wait_for(self, name: str) -> dict[str, Any]:
        wait_for(lambda: bool(self.of(name)) or self.process.poll() is not None, name)
        assert self.of(name), (self.events, self.other)
        return self.of(name)[-1]

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, and return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return code


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def worker(database: Any, *arguments: object, **options: Any) -> Iterator[Log]:
    """A running worker, killed at the end if it is still there."""
    with database.start(*arguments, **options) as process:
        try:
            yield Log(process)
        finally:
            process.kill()


@contextlib.contextmanager
def held_worker(
    database: Any, place: str, *arguments: object, env: dict[str, str] | None = None
) -> Iterator[tuple[Log, Path]]:
    """A worker that waits in its first job; the file to make to let it go on."""
    gate = database.folder / "gate"
    for path in (gate, gate.with_name("reached")):
        path.unlink(missing_ok=True)
    command = [sys.executable, "-c", HELD_WORKER, str(gate), place, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=database.folder, env={**database.environment, "DJ_LOG_LEVEL": "CRITICAL", **(env or {})},
    ) as process:  # fmt: skip
        log = Log(process)
        try:
            if place != "memory":
                wait_for(
                    lambda: gate.with_name("reached").exists() or process.poll() is not None, "the worker"
                )
                assert process.poll() is None, log.other
            yield log, gate
        finally:
            process.kill()


def jobs_of(database: Any, table: str = "running", columns: str = "status") -> list[tuple[Any, ...]]:
    rows = database.server.query(f'SELECT {columns} FROM "{database.prefix}behavior"."~~{table}"')
    return [tuple(str(value).strip() if isinstance(value, str) else value for value in row) for row in rows]


def rows_of_running(database: Any) -> int:
    return int(database.server.query(f'SELECT count(*) FROM "{database.prefix}behavior"."_running"')[0][0])


def assert_as_undisturbed(database: Any, reference: Any) -> None:
    contents, expected = database.contents(), reference.contents()
    for table, rows in expected.items():
        assert contents[table] == rows, table
    assert not database.job_states()
    assert database.stored_files() == database.referenced_files()


def end_connection(database: Any, number: int) -> None:
    """Have the server close a connection."""
    mysql = database.server.backend == "mysql"
    database.server.query(f"KILL {number}" if mysql else f"SELECT pg_terminate_backend({number})")


def test_workers_find_share_and_finish_what_is_registered_while_they_run(
    empty_database: Any, populated_synthetic: Any, undisturbed: Any
) -> None:
    """Two begin with nothing to do; one is ended by SIGTERM, the other by Ctrl-C, a third when idle."""
    with worker(empty_database, *WORK) as first, worker(empty_database, *WORK) as second:
        first.wait_for("idle")
        second.wait_for("idle")
        empty_database.register_as(populated_synthetic)
        n_jobs = sum(len(rows) for name, rows in undisturbed.contents().items() if is_master(name))
        wait_for(lambda: len(first.of("job_done") + second.of("job_done")) == n_jobs, "all jobs")
        assert (first.end(signal.SIGTERM), second.end(signal.SIGINT)) == (0, 130)
    assert_as_undisturbed(empty_database, undisturbed)
    both = [*first.of("job_done"), *second.of("job_done")]
    done = Counter(json.dumps([event["table"], event["key"]]) for event in both)
    assert len(done) == n_jobs  # each by one of them
    assert first.of("job_done")
    assert second.of("job_done")
    assert not first.of("job_failed", "job_retry") + second.of("job_failed", "job_retry")
    assert first.events[-1]["reason"] == "SIGTERM"
    assert first.other == []
    event = first.of("job_done")[0]
    of_all = {"event", "time", "level", "host", "pid", "message", "table", "session"}
    assert event.keys() == of_all | {"key", "duration_s"}
    assert event["time"].endswith("Z")
    assert event["pid"] == first.process.pid
    third = empty_database.vbn(*WORK, "--until-idle", "--processes", "2")
    assert [json.loads(line)["event"] for line in third.stdout.splitlines()] == ["started", *["stopped"] * 2]


def is_master(name: str) -> bool:
    return name.split(".")[1].startswith("_") and "__" not in name.split(".")[1][2:]


def test_a_file_without_sense_stops_nobody_else(
    registered: Any, undisturbed: Any, synthetic_files: list[Path], open_folder: Path, own_ids: Any
) -> None:
    """It is recorded once per imported table; what would be made from it is not attempted."""
    path = open_folder / "poison_9300000001.nwb"
    shutil.copyfile(synthetic_files[0], path)
    import h5py

    with h5py.File(path, "r+") as file:
        del file["identifier"]
        file["identifier"] = "9300000001"
        own_ids(file, 1)
    registered.call("register", path)
    path.write_bytes(b"\0" * path.stat().st_size)
    with worker(registered, *WORK, "--until-idle") as log:
        assert log.end() == 1
    assert len(log.of("job_done")) == sum(
        len(rows) for name, rows in undisturbed.contents().items() if is_master(name)
    )
    failed = log.of("job_failed")
    assert Counter(event["table"] for event in failed) == Counter(OF_THE_FILE)
    assert {(event["key"]["session_id"], event["cause"], event["attempt"]) for event in failed} == {
        (9300000001, "data", 1)
    }
    assert registered.job_states() == {"error": len(OF_THE_FILE)}
    again = registered.vbn(*WORK, "--until-idle")
    assert "job_started" not in again.stdout
    assert f"{path}: " in registered.call("errors").stdout


def test_long_work_holds_nothing_and_a_lost_connection_costs_nothing(one_session: Any) -> None:
    """While it computes: no transaction, no lock, nobody takes the job. Its connection is then killed."""
    from populate.work import jobs, reservations
    from schemas import behavior

    database = one_session
    with held_worker(database, "compute", *RUNNING) as (log, gate):
        ((state, connection),) = jobs_of(database, columns="status, connection_id")
        assert state == "reserved"
        assert held_by(database, connection) == []
        alter_parent(database)
        # As it looks from another machine: its connection speaks for it.
        database.server.query(f'UPDATE "{database.prefix}behavior"."~~running" SET host = \'elsewhere\'')
        assert reservations.return_dead([jobs.prepared(behavior.Running)]) == 0
        database.server.query(
            f'UPDATE "{database.prefix}behavior"."~~running" SET host = \'{os.uname().nodename}\''
        )
        end_connection(database, connection)
        # Here its process does, when the connection is gone.
        wait_for(lambda: connection not in connections(database), "the connection to end")
        assert reservations.return_dead([jobs.prepared(behavior.Running)]) == 0
        gate.touch()
        assert log.end() == 0, log.events
    assert rows_of_running(database) == 1
    assert not database.job_states()
    assert database.stored_files() == database.referenced_files()


def connections(database: Any) -> list[int]:
    mysql = database.server.backend == "mysql"
    listing = "SELECT id FROM performance_schema.processlist" if mysql else "SELECT pid FROM pg_stat_activity"
    return [row[0] for row in database.server.query(listing)]


def held_by(database: Any, connection: int) -> list[Any]:
    """Return the open transaction and the locks of a connection."""
    if database.server.backend != "mysql":
        transaction = (
            f"SELECT xact_start FROM pg_stat_activity WHERE pid = {connection} "
            "AND (xact_start IS NOT NULL OR state <> 'idle')"
        )
        locks = f"SELECT mode FROM pg_locks WHERE pid = {connection}"
    else:
        transaction = (
            f"SELECT trx_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {connection}"
        )
        locks = (
            "SELECT object_name FROM performance_schema.metadata_locks JOIN performance_schema.threads "
            f"ON owner_thread_id = thread_id WHERE processlist_id = {connection}"
        )
    return database.server.query(transaction) + database.server.query(locks)


def alter_parent(database: Any) -> None:
    """Change the table that the job depends on; fail if it has to wait."""
    mysql = database.server.backend == "mysql"
    database.server.query("SET lock_wait_timeout = 2" if mysql else "SET lock_timeout = '2s'")
    table = f'"{database.prefix}session"."nwb_file"'
    database.server.query(f"ALTER TABLE {table} ADD COLUMN for_a_moment int")
    database.server.query(f"ALTER TABLE {table} DROP COLUMN for_a_moment")
    database.server.query("SET lock_wait_timeout = DEFAULT" if mysql else "SET lock_timeout = DEFAULT")


@pytest.mark.parametrize("place", ["before insert", "before commit"])
def test_a_job_whose_transaction_is_lost_is_made_again(one_session: Any, place: str) -> None:
    """Of a commit without an answer nobody knows, until one looks, whether it took place."""
    database = one_session
    with held_worker(database, place, *RUNNING) as (log, gate):
        ((connection,),) = jobs_of(database, columns="connection_id")
        # Arrays that no row refers to yet.
        assert bool(database.stored_files()) == (place == "before commit")
        end_connection(database, connection)
        gate.touch()
        assert log.end() == 0, log.events
    (lost,) = log.of("job_retry")
    assert (lost["cause"], lost["attempt"]) == ("server", 1)
    assert [event["table"] for event in log.of("job_done")] == ["Running"]
    assert rows_of_running(database) == 1
    assert not database.job_states()
    assert database.stored_files() == database.referenced_files()


def test_an_entry_that_somebody_makes_by_hand_meanwhile_is_no_failure(one_session: Any) -> None:
    by_hand = "import schemas; schemas.connect(); from schemas.behavior import Running; Running.populate()"
    with held_worker(one_session, "compute", *RUNNING) as (log, gate):
        with one_session.start(by_hand, program=("-c",)) as process:
            assert process.communicate(timeout=PATIENCE_S) is not None
        assert rows_of_running(one_session) == 1
        gate.touch()
        assert log.end() == 0, log.events
    assert not log.of("job_failed", "job_retry", "job_done")
    assert rows_of_running(one_session) == 1
    assert not one_session.job_states()
    assert one_session.stored_files() >= one_session.referenced_files()  # ours stay for gc


@pytest.mark.parametrize(("place", "number"), [("before commit", signal.SIGTERM), ("compute", signal.SIGINT)])
def test_a_signal_within_a_job_leaves_nothing_behind(
    one_session: Any, place: str, number: signal.Signals
) -> None:
    with held_worker(one_session, place, *RUNNING) as (log, _):
        assert log.end(number) == (0 if number == signal.SIGTERM else 130)
    assert log.events[-1]["event"] == "stopped"
    assert not log.of("job_failed", "job_done")
    assert rows_of_running(one_session) == 0
    assert one_session.job_states() == {"pending": 1}
    assert not one_session.stored_files()


def test_the_job_of_a_killed_worker_is_made_by_another_that_runs(one_session: Any) -> None:
    with (
        held_worker(one_session, "before commit", *RUNNING) as (held, _),
        worker(one_session, *WORKER, "--table", "Running") as other,
    ):
        other.wait_for("idle")
        held.end(signal.SIGKILL)
        assert other.wait_for("job_done")["table"] == "Running"
        assert other.of("reservations_returned")[0]["count"] == 1
        assert other.end(signal.SIGTERM) == 0, (other.events, other.other)
    assert rows_of_running(one_session) == 1
    assert one_session.stored_files() == one_session.referenced_files()


@pytest.fixture
def elsewhere(one_session: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database as another machine works on it: processes of this one say nothing there."""
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    return one_session


def as_configured(database: Any) -> dict[str, str]:
    """Return settings by which the server is one that other machines may use, too."""
    from schemas.server.embedded import EmbeddedServer

    if database.server.backend == "mysql":
        return {}
    place = {"DJ_HOST": str(EmbeddedServer(database.server.home).socket_folder), "DJ_PORT": "5432"}
    return {"DJ_BACKEND": "postgresql", "DJ_USER": "vbn", "DJ_PASS": "any", **place}


def return_lost() -> int:
    """Return the reservations that another machine finds to be those of lost workers."""
    from populate.work import jobs, reservations
    from schemas import behavior

    return reservations.return_dead([jobs.prepared(behavior.Running)])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["compute", "before commit"])
def test_a_lost_host_gives_its_job_back_and_commits_nothing_when_it_wakes(elsewhere: Any, place: str) -> None:
    """A stopped process says nothing, and its connections stay open, as those of a machine without power."""
    database = elsewhere
    settings = {**as_configured(database), "VBN_LOST_AFTER": "1"}
    with held_worker(database, place, *RUNNING, env=settings) as (log, gate):
        assert return_lost() == 0
        os.kill(log.process.pid, signal.SIGSTOP)
        wait_for(lambda: return_lost() == 1, "the lost host")
        assert database.call("populate", "--table", "Running").stdout == "1 entries made, 0 failed.\n"
        before = database.contents(), database.stored_files()
        gate.touch()
        os.kill(log.process.pid, signal.SIGCONT)
        assert log.end() == 0, log.events
    assert not log.of("job_failed", "job_done")
    assert (database.contents(), database.stored_files()) == before
    assert not database.job_states()


def test_a_slow_worker_elsewhere_keeps_its_job_when_its_connection_is_cut(elsewhere: Any) -> None:
    """As a server cuts what was idle for hours; the heart goes on beating."""
    with held_worker(elsewhere, "compute", *RUNNING, env=as_configured(elsewhere)) as (log, gate):
        ((connection,),) = jobs_of(elsewhere, columns="connection_id")
        end_connection(elsewhere, connection)
        wait_for(lambda: connection not in connections(elsewhere), "the connection to end")
        assert return_lost() == 0
        gate.touch()
        assert log.end() == 0, log.events
    assert rows_of_running(elsewhere) == 1


def test_a_job_that_takes_its_workers_along_is_set_aside_with_the_reason(one_session: Any) -> None:
    from populate.work import reservations

    running, key = due_job()
    table = f'"{one_session.prefix}behavior"."~~running"'
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    for _ in range(3):  # of another machine, cut off as the server was started again: it may live
        assert running.jobs.reserve(key)
        one_session.server.query(
            f"UPDATE {table} SET host = 'elsewhere', connection_id = 2000000000, reserved_time = '2020-01-01'"
        )
        assert reservations.return_dead([running]) == 1
        assert jobs_of(one_session) == [("pending",)]
    for deaths in (1, 2, 3):
        assert running.jobs.reserve(key)
        one_session.server.query(f"UPDATE {table} SET pid = {dead.pid}, connection_id = 2000000000")
        assert reservations.return_dead([running], {dead.pid: "was killed (SIGKILL)."}) == 1
        assert jobs_of(one_session) == [("error" if deaths == 3 else "pending",)]
        if deaths == 2:  # a failure for another reason in between does not make it forgotten
            assert running.jobs.reserve(key)
            running.jobs.undo(message="try 1 failed for now: a lock")
            assert running.jobs.reserve(key)
            assert running.jobs.failures() == 1
            running.jobs.undo()
    shown = one_session.call("errors").stdout
    assert "3 workers were lost with this job, so it is set aside. The last, process" in shown
    assert "was killed (SIGKILL)." in shown
    assert one_session.call("retry").stdout.startswith("1 failed jobs")
    assert one_session.call("populate", "--table", "Running").stdout == "1 entries made, 0 failed.\n"


@pytest.mark.files
def test_a_job_that_takes_too_long_is_recorded(one_session: Any) -> None:
    with held_worker(one_session, "compute", *RUNNING, "--max-job-time", "1s") as (log, _):
        assert log.end() == 1
    (failed,) = log.of("job_failed")
    assert "took longer than --max-job-time (1 s)" in failed["error"]
    assert one_session.job_states() == {"error": 1}


@pytest.mark.files
def test_a_process_that_died_and_was_not_asked_about_it_is_dead(one_session: Any) -> None:
    """As where process 1 of a container reaps none."""
    with held_worker(one_session, "before commit", *RUNNING) as (log, _):
        os.kill(log.process.pid, signal.SIGKILL)
        wait_for(lambda: psutil.Process(log.process.pid).status() == "zombie", "its end")
        wait_for(lambda: return_lost() == 1, "its job")
    assert jobs_of(one_session) == [("pending",)]


def test_whose_reservation_was_given_away_writes_nothing(one_session: Any) -> None:
    """A worker elsewhere whose connection was lost is taken for dead; it notices before its insert."""
    from populate.work import jobs, reservations
    from schemas import behavior

    database = one_session
    table = f'"{database.prefix}behavior"."~~running"'
    with held_worker(database, "compute", *RUNNING) as (log, gate):
        # Given away, and made by another in the meantime.
        taken = "host = 'elsewhere', connection_id = 2000000000, version = ''"
        database.server.query(f"UPDATE {table} SET {taken}")
        assert reservations.return_dead([jobs.prepared(behavior.Running)]) == 1
        assert database.call("populate", "--table", "Running").stdout == "1 entries made, 0 failed.\n"
        before = database.contents(), database.stored_files()
        gate.touch()
        assert log.end() == 0, log.events
    assert not log.of("job_failed", "job_retry", "job_done")
    assert (database.contents(), database.stored_files()) == before
    assert not database.job_states()


def test_a_number_that_another_connection_has_now_is_no_sign_of_life(one_session: Any) -> None:
    """Numbers are given again: on MySQL when the server has started anew, on PostgreSQL at any time."""
    from populate.work import jobs, reservations
    from schemas import behavior

    database = one_session
    running = jobs.prepared(behavior.Running)
    running.jobs.add_missing(True)
    mysql = database.server.backend == "mysql"
    ours = database.server.query("SELECT CONNECTION_ID()" if mysql else "SELECT pg_backend_pid()")[0][0]
    user = database.server.query("SELECT USER()" if mysql else "SELECT current_user")[0][0]
    table = f'"{database.prefix}behavior"."~~running"'
    database.server.query(
        f"UPDATE {table} SET status = 'reserved', host = 'elsewhere', pid = 1, \"user\" = '{user}', "
        f"connection_id = {ours}, reserved_time = CURRENT_TIMESTAMP(3)"
    )
    assert reservations.return_dead([running]) == 0
    if mysql:
        uptime_s = int(database.server.query("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
        earlier = f"CURRENT_TIMESTAMP(3) - INTERVAL {uptime_s + 10} SECOND"
    else:
        earlier = f"(SELECT backend_start - INTERVAL '10 seconds' FROM pg_stat_activity WHERE pid = {ours})"
    database.server.query(f"UPDATE {table} SET reserved_time = {earlier}")
    assert reservations.return_dead([running]) == 1
    assert jobs_of(database) == [("pending",)]


def due_job() -> tuple[Any, dict[str, Any]]:
    """Return the table Running as a worker uses it, and the key of its only job."""
    from populate.work import jobs
    from schemas import behavior

    running = jobs.prepared(behavior.Running)
    running.jobs.add_missing(True)
    (key,) = running.jobs.due_keys(True)
    return running, key


def test_an_interruption_waits_for_the_end_of_a_reservation(
    one_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the server might make the reservation after the job was looked for to be given back."""
    running, key = due_job()
    query = running.connection.query

    def interrupted_query(statement: str, *args: Any, **kwargs: Any) -> Any:
        if statement.startswith("UPDATE"):
            signal.raise_signal(signal.SIGINT)
        return query(statement, *args, **kwargs)

    monkeypatch.setattr(running.connection, "query", interrupted_query)
    with pytest.raises(KeyboardInterrupt):
        running.jobs.reserve(key)
    monkeypatch.undo()
    assert jobs_of(one_session) == [("reserved",)]
    running.jobs.undo()
    assert jobs_of(one_session) == [("pending",)]


def test_who_is_interrupted_within_an_answer_gives_the_job_back(
    one_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rolling back fails then, and DataJoint raises that error in place of the interruption."""
    from populate.work import runner

    running, key = due_job()

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    def fail() -> None:
        raise pymysql.err.InternalError("Packet sequence number wrong - got 4 expected 1")

    monkeypatch.setattr(type(running), "make_fetch", interrupted)
    monkeypatch.setattr(running.connection, "cancel_transaction", fail)
    with pytest.raises(KeyboardInterrupt):
        runner._make(running, key, runner.IMPATIENT)
    assert jobs_of(one_session) == [("pending",)]


class Relay:
    """Stands between workers and the server, and can be away."""

    def __init__(self, database: Any) -> None:
        self.server, self.folder = database.server, database.folder / "relay"
        self.folder.mkdir(mode=0o755)
        self.sockets: list[socket.socket] = []
        self.listener: socket.socket | None = None
        self.port = 5432

    def environment(self) -> dict[str, str]:
        if self.server.backend == "mysql":
            return {"DJ_HOST": "127.0.0.1", "DJ_PORT": str(self.port)}
        place = {"DJ_HOST": str(self.folder), "DJ_PORT": "5432"}
        return {"DJ_BACKEND": "postgresql", "DJ_USER": "vbn", "DJ_PASS": "any", **place}

    def open(self) -> None:
        if self.server.backend == "mysql":
            listener = socket.create_server(("127.0.0.1", self.port if self.port != 5432 else 0))
            self.port = listener.getsockname()[1]
        else:
            path = self.folder / ".s.PGSQL.5432"
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Drop every connection, and take no new ones."""
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        for end in self.sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = self._connect()
            self.sockets += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket:
        if self.server.backend == "mysql":
            return socket.create_connection(
                (self.server.settings["DJ_HOST"], int(self.server.settings["DJ_PORT"]))
            )
        from schemas.server.embedded import EmbeddedServer

        server = socket.socket(socket.AF_UNIX)
        server.connect(str(EmbeddedServer(self.server.home).socket_folder / ".s.PGSQL.5432"))
        return server

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_is_waited_for(one_session: Any) -> None:
    """It goes in the middle of an insert; the worker reconnects, and makes that job again."""
    relay = Relay(one_session)
    relay.open()
    try:
        with held_worker(one_session, "before commit", *RUNNING, env=relay.environment()) as (log, gate):
            relay.close()
            gate.touch()
            away = log.wait_for("server_away")
            assert (away["cause"], "wait_s" in away) == ("server", True)
            relay.open()
            assert log.end() == 0, log.events
    finally:
        relay.close()
    assert log.of("back")
    assert not log.of("job_failed")
    assert [event["table"] for event in log.of("job_done")] == ["Running"]
    assert rows_of_running(one_session) == 1
    assert not one_session.job_states()
    assert one_session.stored_files() == one_session.referenced_files()


def small_files() -> None:
    """Let a process write no file larger than this, as on a full disk."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))


@pytest.mark.files
def test_a_full_store_is_waited_for_and_fails_no_job(one_session: Any) -> None:
    if not hasattr(psutil.Process, "rlimit"):
        pytest.skip("only Linux lets another process have its limit back")
    with worker(one_session, *RUNNING, preexec_fn=small_files) as log:
        away = log.wait_for("store_away")
        assert away["cause"] == "store"
        assert f"The array store {one_session.store} is full" in away["error"]
        assert jobs_of(one_session) == [("pending",)]
        assert not one_session.stored_files()
        infinite = resource.RLIM_INFINITY
        psutil.Process(log.process.pid).rlimit(psutil.RLIMIT_FSIZE, (infinite, infinite))
        assert log.end() == 0, log.events
    assert not log.of("job_failed")
    assert log.of("back")
    assert rows_of_running(one_session) == 1


@pytest.mark.files
def test_a_job_that_needs_more_memory_than_its_table_may_have_fails_in_words(one_session: Any) -> None:
    if sys.platform != "linux":
        pytest.skip("--max-memory works on Linux only")
    limits = ("--max-memory", "500GB", "--max-memory", "Running=3GB")
    with held_worker(one_session, "memory", *RUNNING, *limits) as (log, _):
        assert log.end() == 1
    (failed,) = log.of("job_failed")
    assert failed["cause"] == "memory"
    assert "--max-memory" in failed["error"]
    assert one_session.job_states() == {"error": 1}


@pytest.mark.files
def test_wrong_wishes_are_answered_in_words(shared_database: Any, make_database: Callable[..., Any]) -> None:
    for words, answer in (
        (("--max-memory", "1MB"), "too small to work with"),
        (("--sessions", "12"), "No such session is registered: 12"),
        (("--tables", "Runnning"), "No such table: Runnning"),
        (("--max-memory", "Runnning=4GB"), "No such table: Runnning"),
    ):
        done = shared_database.call("worker", "--until-idle", *words, check=False)
        assert (done.returncode, answer in done.stderr) == (1, True), done
    for option in ("--max-memory", "--max-job-time"):
        assert shared_database.call("worker", option, "much", check=False).returncode == 2
    assert (
        "'x' is not a valid integer"
        in shared_database.call("worker", "--sessions", "12,x", check=False).stderr
    )
    if shared_database.server.backend == "mysql":
        bare = make_database(deployed=False)
        done = bare.vbn("worker", check=False)
        assert (done.returncode, "vbn deploy" in done.stderr) == (1, True)
        assert bare.tables() == {}


def read_to_the_end(screen: Any) -> None:
    with contextlib.suppress(OSError):  # which is how a terminal says that nobody writes any more
        while screen.read(65536):
            pass


def test_status_is_shown_again_and_again(populated_synthetic: Any) -> None:
    ours, theirs = pty.openpty()  # on anything but a terminal it is shown once, at the end
    environment = {"COLUMNS": "80", "TERM": "xterm"}
    watching = populated_synthetic.start("status", "--watch", "0.5", env=environment, stdout=theirs)
    with watching as process, os.fdopen(ours, "rb", buffering=0) as screen:
        reader = threading.Thread(target=read_to_the_end, args=(screen,), daemon=True)
        try:
            shown = b""
            while shown.count(b"Recording") < 2 and process.poll() is None:
                shown += screen.read(65536)
            process.send_signal(signal.SIGINT)
            reader.start()  # a screen that nobody reads stops who writes on it
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            os.close(theirs)
            if reader.is_alive():
                reader.join(PATIENCE_S)
    assert process.returncode == 130
    assert shown.count(b"Recording") >= 2
    assert "Traceback" not in errors


def test_a_lock_that_another_holds_is_no_property_of_the_data(one_session: Any) -> None:
    """As the server itself says it."""
    from populate.work.causes import cause_of
    from schemas.server.datajoint import dj

    mysql = one_session.server.backend == "mysql"
    table = f'"{one_session.prefix}session"."session"'
    query = dj.conn().query
    query("SET innodb_lock_wait_timeout = 1" if mysql else "SET lock_timeout = '100ms'")
    one_session.server.query("BEGIN")
    one_session.server.query(f"SELECT 1 FROM {table} FOR UPDATE")
    with pytest.raises((pymysql.err.OperationalError, psycopg2.Error)) as refused:
        query(f"DELETE FROM {table}".replace('"', "`" if mysql else '"'))
    one_session.server.query("ROLLBACK")
    query("SET innodb_lock_wait_timeout = DEFAULT" if mysql else "SET lock_timeout = DEFAULT")
    assert cause_of(refused.value) == "lock"
