"""Whatever interrupts ``vbn populate``, running it again ends in the same rows as an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

pytestmark = pytest.mark.slow

N_KILLS = 2
PATIENCE_S = 300
SEED = 20260
PARAMETER_KEYS = ("alignment", "optotag_method", "unit_criteria")


# What the interruptions fall into: files of all kinds, arrays in the store, parts of parts.
TABLES = (
    "Recording", "ChangeDetection", "Licks", "Running", "EyeTracking", "TaskParameters", "RigGeometry",
    "Stimulus", "OptoStimulation", "TrialResponse", "Optotagging", "Performance",
)  # fmt: skip
POPULATE = ("populate", *(word for name in TABLES for word in ("--table", name)))


@pytest.fixture(scope="module")
def undisturbed(make_database: Callable[..., Any], populated_synthetic: Any) -> Any:
    """Two sessions, populated without a disturbance."""
    database = make_database().register_as(populated_synthetic)
    database.call(*POPULATE)
    return database


@pytest.fixture
def registered(empty_database: Any, populated_synthetic: Any) -> Any:
    """Two sessions that wait to be populated, from the same files as ``populated_synthetic``."""
    return empty_database.register_as(populated_synthetic)


def wait_for(condition: Callable[..., bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.02)


def has_reserved(database: Any) -> bool:
    return database.job_states()["reserved"] > 0


def assert_as_undisturbed(database: Any, reference: Any) -> None:
    contents, expected = database.contents(), reference.contents()
    assert contents.keys() == expected.keys()
    for table, rows in expected.items():
        assert contents[table] == rows, table
    assert database.job_states().keys() <= {"success"}
    assert database.stored_files() == database.referenced_files()


def assert_whole_or_empty(database: Any, reference: Any) -> None:
    """A table and its parts have all rows of a session or none, also right after a kill."""
    for session_id in (
        row[0]
        for row in database.server.query(f'SELECT session_id FROM "{database.prefix}session"."session"')
    ):
        found = counts_by_parameters(database, session_id).items()
        assert found <= counts_by_parameters(reference, session_id).items(), session_id


def counts_by_parameters(database: Any, session_id: int) -> dict[tuple[Any, ...], int]:
    """Return how many rows each table has of a session by each parameter set."""
    counts: dict[tuple[Any, ...], int] = {}
    for table, columns in database.tables().items():
        if "session_id" in columns and not table.startswith(f'"{database.prefix}session"'):
            names = [name for name in columns if name.endswith("_params") or name in PARAMETER_KEYS]
            keys = "".join(f'"{name}", ' for name in names)
            statement = f"SELECT {keys}count(*) FROM {table} WHERE session_id = {session_id}"
            rows = database.server.query(f"{statement} GROUP BY {keys[:-2]}" if names else statement)
            counts |= {(table.replace(database.prefix, ""), *row[:-1]): row[-1] for row in rows if row[-1]}
    return counts


def test_populate_that_is_killed_again_and_again_ends_as_undisturbed(
    registered: Any, undisturbed: Any
) -> None:
    """Killed (SIGKILL) in the import, the computing and wherever else the moments of the seed fall."""
    moments = np.random.default_rng(SEED).uniform(0, 1.2, size=4)
    for moment_s in moments:
        with registered.start(*POPULATE) as process:
            wait_for(lambda: has_reserved(registered) or process.poll() is not None, "the work to begin")
            time.sleep(moment_s)
            process.kill()
        wait_for(lambda: not has_open_transactions(registered), "the server to notice")
        assert_whole_or_empty(registered, undisturbed)
    done = registered.vbn(*POPULATE)
    assert done.stderr == ""
    assert_as_undisturbed(registered, undisturbed)


def has_open_transactions(database: Any) -> bool:
    """Tell whether a transaction of a killed client is still open on the server."""
    if database.server.backend == "mysql":
        time.sleep(0.2)  # this table stays as it is for whoever reads it more often than each 0.1 s
        statement = "SELECT count(*) FROM information_schema.innodb_trx"
    else:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    return database.server.query(statement)[0][0] > 0


def test_a_kill_right_at_each_reservation_leaves_nothing_behind(registered: Any, undisturbed: Any) -> None:
    """Killed as soon as an array is written; the next run takes reservation and array back."""
    for _ in range(2):
        with registered.start(
            "populate", "--table", "Recording", "--table", "EyeTracking", "--table", "Running"
        ) as process:
            before = len(registered.stored_files())
            wait_for(
                lambda before=before, process=process: (
                    len(registered.stored_files()) > before or process.poll() is not None
                ),
                "an array to be written",
            )
            process.kill()
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


def assert_interrupted(process: subprocess.Popen[str], errors: str) -> None:
    """Tell whether a run ended as interrupted, and said nothing else.

    Python ends by the signal itself, which shells call 130 as well, if it came within ``exec``, by which
    dataclasses are made; and it says so if the signal came within a callback, where nothing can be raised.
    """
    assert process.returncode in (130, -signal.SIGINT)
    said = re.sub(r"Exception ignored in: .*?\nKeyboardInterrupt: *\n", "", errors, flags=re.DOTALL)
    assert said.lstrip() == "vbn: interrupted; run the same command again to continue.\n"  # after the ^C


@pytest.mark.files
def test_an_interrupted_populate_says_so_and_goes_on_later(registered: Any, undisturbed: Any) -> None:
    """Ctrl-C: exit code 130, nothing reserved, nothing failed."""
    with registered.start(*POPULATE) as process:
        wait_for(lambda: has_reserved(registered) or process.poll() is not None, "the work to begin")
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert_interrupted(process, errors)
    states = registered.job_states()
    assert states["reserved"] == states["error"] == 0
    assert_whole_or_empty(registered, undisturbed)
    assert registered.stored_files() == registered.referenced_files()
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


def test_a_terminated_populate_gives_its_job_back_and_goes_on_later(
    registered: Any, undisturbed: Any
) -> None:
    """SIGTERM in the middle of a job, as of a cluster's scheduler: as Ctrl-C."""
    with stopped_within_a_job(registered) as process:
        assert has_reserved(registered)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (130, "")
    assert errors.lstrip() == "vbn: interrupted; run the same command again to continue.\n"
    states = registered.job_states()
    assert states["reserved"] == states["error"] == 0
    assert_whole_or_empty(registered, undisturbed)
    assert registered.stored_files() == registered.referenced_files()
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


@pytest.mark.files
def test_terminated_workers_give_their_jobs_back(registered: Any, undisturbed: Any) -> None:
    """SIGTERM to the parent and to its workers, as a scheduler or ``timeout`` sends it to a whole group."""
    with registered.start(*POPULATE, "--processes", "2", own_session=True) as process:
        wait_for(lambda: has_reserved(registered) or process.poll() is not None, "the work to begin")
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (130, 143, -signal.SIGTERM)
    assert "Traceback" not in errors
    assert "unexpected" not in errors
    wait_for(lambda: not has_open_transactions(registered), "the server to notice")
    assert_whole_or_empty(registered, undisturbed)
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


@contextlib.contextmanager
def stopped_within_a_job(database: Any) -> Iterator[subprocess.Popen[str]]:
    """Give a process that populates and has stopped right after it has written an array of a job."""
    faults = Path(__file__).parents[3] / "benchmarks" / "faults" / "worker.py"
    fault = {"VBN_FAULT": "array_written:1", "VBN_FAULT_SIGNAL": "SIGSTOP"}
    with database.start(*POPULATE, env=fault, program=(str(faults),)) as process:
        try:
            wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it to stop")
            yield process
        finally:
            process.kill()


@pytest.mark.files
def test_an_interrupt_while_starting_is_answered_in_words(registered: Any) -> None:
    with registered.start("status", fork=False) as process:
        time.sleep(0.25)  # within the imports
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (130, -signal.SIGINT)
    assert process.returncode == -signal.SIGINT or errors.lstrip().startswith("vbn: interrupted")


@pytest.mark.files
def test_two_processes_make_the_rows_of_one(registered: Any, populated_synthetic: Any) -> None:
    done = registered.vbn("populate", "--processes", "2", "--json")
    entries = sum(row["done"] for row in populated_synthetic.json("status"))
    assert json.loads(done.stdout) == {"done": entries, "failures": []}
    assert done.stderr == ""
    assert_as_undisturbed(registered, populated_synthetic)


def test_two_populates_at_once_share_the_work(registered: Any, undisturbed: Any) -> None:
    with registered.start(*POPULATE, "--json") as first, registered.start(*POPULATE, "--json") as second:
        results = [process.communicate(timeout=PATIENCE_S) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], results
    assert_as_undisturbed(registered, undisturbed)


def test_killed_parents_take_their_workers_along_and_a_killed_worker_is_reported(
    registered: Any, undisturbed: Any
) -> None:
    """In one run the parent is killed, in the next one of its workers, as for lack of memory."""
    with registered.start(*POPULATE, "--processes", "2") as process:
        wait_for(lambda: has_reserved(registered) or process.poll() is not None, "the work to begin")
        workers = workers_of(process)
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert not alive

    with registered.start(*POPULATE, "--processes", "2") as process:
        wait_for(lambda: bool(workers_of(process)) or process.poll() is not None, "the workers")
        time.sleep(1.5)  # past their imports
        for worker in workers_of(process)[:1]:
            worker.kill()
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (0, 1)
    assert process.returncode == 0 or "worker" in errors
    for words in ("Traceback", "may be a bug", "unexpected"):
        assert words not in errors
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


def test_a_worker_killed_at_any_moment_leaves_no_other_waiting(
    registered: Any, undisturbed: Any, populated_synthetic: Any
) -> None:
    """Also while it says what it has made; what it had reserved is made by the next command."""
    moments = random.Random(5)
    for _ in range(N_KILLS):
        registered.empty()
        registered.register_as(populated_synthetic)
        with registered.start(*POPULATE, "--processes", "2") as process:
            wait_for(lambda: bool(workers_of(process)) or process.poll() is not None, "the workers")
            time.sleep(moments.uniform(0.0, 4.0))
            for worker in workers_of(process)[:1]:
                worker.kill()
            _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, 1)
        assert process.returncode == 0 or "A worker process was killed" in errors, errors
        assert "Traceback" not in errors
    registered.call(*POPULATE)
    assert_as_undisturbed(registered, undisturbed)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes that share the work; none when it is done."""
    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def test_the_reservation_of_a_living_worker_is_respected(registered: Any) -> None:
    """A worker that is stopped for a while (SIGSTOP) keeps its job, and finishes it when it goes on."""
    with registered.start("populate", "--table", "Recording") as process:
        wait_for(lambda: has_reserved(registered), "a reservation")
        process.send_signal(signal.SIGSTOP)
        other = registered.call("populate", "--table", "Recording")
        still_reserved = has_reserved(registered)
        process.send_signal(signal.SIGCONT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")
    assert still_reserved
    assert (other.stdout, output) == ("1 entries made, 0 failed.\n",) * 2
    assert registered.stored_files() == registered.referenced_files()


def test_deploying_twice_at_once_succeeds_or_says_why(make_database: Callable[..., Any]) -> None:
    from schemas.bases.registry import tables

    database = make_database(deployed=False)
    with database.start("deploy") as first, database.start("deploy") as second:
        results = [process.communicate(timeout=PATIENCE_S) for process in (first, second)]
    for process, (_, errors) in zip((first, second), results, strict=True):
        assert "Traceback" not in errors
        assert "bug" not in errors
        assert process.returncode == 0, errors
    done: subprocess.CompletedProcess[str] = database.vbn("deploy")
    assert f"{len(tables())} tables" in done.stdout


def test_a_command_that_loses_the_server_says_so_and_succeeds_when_it_is_run_again(
    shared_database: Any,
) -> None:
    """Its connections are cut while it waits for a lock that another process holds."""
    query, lock = shared_database.server.query, f"{shared_database.prefix}deploy"
    if shared_database.server.backend == "mysql":
        hold, release = f"SELECT GET_LOCK('{lock}', 0)", f"SELECT RELEASE_LOCK('{lock}')"
        waiting = "SELECT id FROM information_schema.processlist WHERE state = 'User lock'"
        kill = "KILL {}"
    else:
        hold, release = (f"SELECT pg_advisory_{way}lock(hashtext('{lock}'))" for way in ("", "un"))
        waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        kill = "SELECT pg_terminate_backend({})"
    query(hold)
    try:
        with shared_database.start("deploy") as process:

            def has_ended() -> bool:
                for (number,) in query(waiting):  # DataJoint connects again once, on MySQL
                    query(kill.format(number))
                return process.poll() is not None

            wait_for(has_ended, "the command to end")
            _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        query(release)
    assert process.returncode == 1
    assert errors.startswith("vbn: The database server was lost in the middle of this command (")
    assert "bug" not in errors
    assert "Traceback" not in errors
    shared_database.call("deploy")
