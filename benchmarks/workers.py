"""Many workers on one queue: the overhead of a job, and whether all workers get jobs.

python -m benchmarks.workers                     # 1, 8 and 64 workers, jobs that sleep for half a second
python -m benchmarks.workers --workers 1 16 --sleep 0.1

The jobs go through the code that `vbn worker` runs: looking for reservations of dead workers and for what is
open, reserving, computing outside of a transaction, inserting inside one. They sleep in place of computing,
so that two cores stand for many machines as far as the queue is concerned, until the cores themselves are
busy (which is reported). Workers are processes that share what Python has imported. On an embedded server of
its own, or on the one that DJ_HOST names, under the prefix ``bench_``, which is dropped at the end.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Results, at_most, parser
from benchmarks.release import PREFIX, drop

NAPS = 10  # jobs of a session
SCHEMA = PREFIX + "naps"
START_S = 300  # in which all workers must have connected
LOOK_S = 0.1  # between two looks who waits for a lock


def main() -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    options_parser.add_argument("--sleep", type=float, default=0.5, help="seconds of each job")
    options_parser.add_argument("--jobs", type=int, default=30, help="jobs for each worker")
    options = options_parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        Path(name).chmod(0o755)
        os.environ.update(VBN_PREFIX=PREFIX, VBN_HOME=f"{name}/home", DJ_IGNORE_CONFIG_FILE="true")
        try:
            vbn("deploy")
            results = Results("workers", {"jobs for each": options.jobs, "seconds of a job": options.sleep})
            for n_workers in options.workers:
                measure(results, n_workers, options.jobs, options.sleep)
            results.finish(options.json)
        finally:
            drop_naps()
            drop()
            if "DJ_HOST" not in os.environ:
                vbn("down")


def drop_naps() -> None:
    """Drop the schema of the jobs, which is below no other."""
    import schemas

    connection = schemas.connect().connection
    cascade = " CASCADE" if connection.adapter.backend == "postgresql" else ""
    connection.query(f"DROP SCHEMA IF EXISTS {connection.adapter.quote_identifier(SCHEMA)}{cascade}")


def vbn(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "populate", *words], check=True, stdout=subprocess.DEVNULL)


def napping(seconds: float) -> Any:
    """Connect, and return the table of the jobs, with a table of sessions above it."""
    import schemas
    from schemas.server.datajoint import dj

    schemas.connect()
    schema = dj.Schema(SCHEMA, connection=dj.conn())

    class NapSession(dj.Manual):
        definition = """
        # A session
        session_id : int64
        """

    class Kind(dj.Lookup):
        definition = """
        # A kind of nap
        nap : int16
        """
        contents = tuple((number,) for number in range(NAPS))

    class Nap(dj.Computed):
        definition = """
        # A nap
        -> NapSession
        -> Kind
        ---
        seconds : float64  # (s) how long
        """

        def make_fetch(self, key: dict[str, Any]) -> tuple[float]:  # noqa: ARG002
            return (seconds,)

        def make_compute(self, key: dict[str, Any], length: float) -> tuple[float]:  # noqa: ARG002
            time.sleep(length)
            return (length,)

        def make_insert(self, key: dict[str, Any], length: float) -> None:
            self.insert1({**key, "seconds": length})

    for cls in (NapSession, Kind, Nap):
        schema(cls, context=locals())
    return NapSession, Nap


def measure(results: Results, n_workers: int, jobs_each: int, seconds: float) -> None:
    """Let some workers make all jobs, and add what it took."""
    import schemas
    from populate.work import jobs

    sessions, nap = napping(seconds)
    nap.delete(prompt=False)
    sessions.delete(prompt=False)
    nap().jobs.refresh()  # makes the job table
    n_sessions = n_workers * jobs_each // NAPS
    sessions.insert({"session_id": number} for number in range(n_sessions))
    jobs.prepared(nap).jobs.add_missing(True)
    schemas.disconnect()

    context = multiprocessing.get_context("fork")
    ready = context.Barrier(n_workers + 1)
    done: Any = context.Queue()
    processes = [context.Process(target=work, args=(seconds, ready, done)) for _ in range(n_workers)]
    for process in processes:
        process.start()
    locks = Locks()
    ready.wait(START_S)
    began = time.perf_counter()
    psutil.cpu_percent()
    with locks:
        found = reports(processes, done)
    elapsed, busy = time.perf_counter() - began, psutil.cpu_percent()
    for process in processes:
        process.join()

    n_jobs = n_sessions * NAPS
    made = Counter({pid: count for pid, count, _ in found})
    waits = [wait for _, _, overheads in found for wait in overheads]
    if made.total() != n_jobs:
        sys.exit(f"{made.total()} jobs were made, not {n_jobs}")
    name = f"{n_workers} worker" + "s" * (n_workers > 1)
    goal = at_most(20, "ms") if n_workers == 1 else None
    overhead = 1e3 * (elapsed * n_workers / n_jobs - seconds)
    results.add(f"{name}: jobs a second", n_jobs / elapsed, unit="jobs/s")
    results.add(f"{name}: beyond a job's own work", overhead, unit="ms", goal=goal)
    results.add(f"{name}: within the job, median", 1e3 * statistics.median(waits), unit="ms")
    results.add(f"{name}: within the job, longest", 1e3 * max(waits), unit="ms")
    results.add(f"{name}: fewest jobs of a worker", min(made.values()), unit="jobs")
    results.add(f"{name}: most jobs of a worker", max(made.values()), unit="jobs")
    results.add(f"{name}: processors busy", busy, unit="%")
    results.add(f"{name}: waiting for a lock, mean of {locks.n_looks} looks", locks.mean, unit="workers")
    results.add(f"{name}: waiting for a lock, at most", locks.most, unit="workers")
    results.add(f"{name}: deadlocks", locks.deadlocks, unit="deadlocks")


class Locks:
    """Monitors how many connections wait for a lock during a block, and counts deadlocks."""

    def __init__(self) -> None:
        import schemas

        self._connection = schemas.connect().connection

    def __enter__(self) -> Locks:
        self._stop = threading.Event()
        self._waiting: list[int] = []
        self._before = self._n_deadlocks()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.n_looks = len(self._waiting)
        self.mean, self.most = statistics.fmean(self._waiting), max(self._waiting)
        self.deadlocks = self._n_deadlocks() - self._before

    def _look(self) -> None:
        is_mysql = self._connection.adapter.backend == "mysql"
        query = (
            "SELECT count(DISTINCT requesting_thread_id) FROM performance_schema.data_lock_waits"
            if is_mysql
            else "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        while True:
            self._waiting.append(int(self._connection.query(query).fetchone()[0]))
            if self._stop.wait(LOOK_S):
                return

    def _n_deadlocks(self) -> int:
        is_mysql = self._connection.adapter.backend == "mysql"
        query = (
            "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"
            if is_mysql
            else "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return int(self._connection.query(query).fetchone()[0])


def reports(processes: list[Any], done: Any) -> list[Any]:
    """Return the final reports of the workers; stop if one died without a report."""
    found: list[Any] = []
    while len(found) < len(processes):
        try:
            found.append(done.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in processes):
                for process in processes:
                    process.terminate()
                sys.exit("a worker failed, see above")
    return found


def work(seconds: float, ready: Any, done: Any) -> None:
    """Make jobs as a worker does, until there are none; report how many, and what each took too long."""
    from populate.work import jobs

    _, nap = napping(seconds)
    table = jobs.prepared(nap)
    ready.wait(START_S)
    overheads = make_all(table, seconds)
    done.put((os.getpid(), len(overheads), overheads))


def make_all(table: Any, seconds: float) -> list[float]:
    """Do what a worker does between two pauses (`populate.work.worker`)."""
    from populate.work import jobs, reservations, runner, worker

    overheads: list[float] = []
    fruitless: set[int] = set()
    while True:
        reservations.return_dead([table])
        number = worker.choose_session(jobs.open_jobs([table]), fruitless)
        if number is None:
            return overheads
        n_before = len(overheads)
        for result in runner.work_on({"session_id": number}, [table], runner.IMPATIENT):
            if result.outcome is runner.Outcome.FAILED:
                raise RuntimeError(f"a job failed: {result.error}")
            if result.outcome is runner.Outcome.DONE:
                overheads.append(result.duration_s - seconds)
        fruitless = set() if len(overheads) > n_before else fruitless | {number}


if __name__ == "__main__":
    main()
