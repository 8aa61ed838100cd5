"""Fair shares: how many workers work for each of several people who have registered sessions.

    python -m benchmarks.shares                                # 16 workers, 100, 20 and 20 sessions
    python -m benchmarks.shares --sessions 60 6 --workers 8

The workers are processes that do what `vbn worker --module benchmarks.naps` does, with jobs that sleep. Their
reservations are counted on the server until nothing is left. On an embedded server of its own, or on the one
that DJ_HOST names, under the prefix ``bench_``, which is dropped at the end.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from benchmarks import naps
from benchmarks.measure import Results, at_least, parser
from benchmarks.release import PREFIX, drop, vbn

LOOK_S = 0.2  # between two counts
ALMOST_ALL = 0.75  # of the workers: some are between two jobs
MODULE = "benchmarks.naps"
DAY = datetime(2026, 1, 1)


def main() -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument("--workers", type=int, default=16)
    options_parser.add_argument(
        "--sessions", type=int, nargs="+", default=[100, 20, 20], help="of each person"
    )
    options_parser.add_argument("--sleep", type=float, default=0.5, help="mean seconds of a job")
    options = options_parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        Path(name).chmod(0o755)
        os.environ.update(VBN_PREFIX=PREFIX, VBN_HOME=f"{name}/home", DJ_IGNORE_CONFIG_FILE="true")
        os.environ.update({"VBN_MODULES": MODULE, naps.SECONDS: str(options.sleep)})
        try:
            vbn("deploy")
            results = Results("shares", {"workers": options.workers, "mean seconds of a job": options.sleep})
            measure(results, options.workers, options.sessions)
            results.finish(options.json)
        finally:
            drop()
            if "DJ_HOST" not in os.environ:
                vbn("down")


def measure(results: Results, n_workers: int, n_sessions: list[int]) -> None:
    """Let workers make everything, and add how many worked for whom."""
    import schemas

    people = [f"person {chr(ord('A') + number)}" for number in range(len(n_sessions))]
    owners = [name for name, number in zip(people, n_sessions, strict=True) for _ in range(number)]
    enter(owners)
    naps.Nap().jobs.refresh()
    schemas.disconnect()
    processes = [multiprocessing.get_context("fork").Process(target=work) for _ in range(n_workers)]
    for process in processes:
        process.start()
    began, looks = time.monotonic(), []
    while any(process.is_alive() for process in processes):
        looks.append((time.monotonic() - began, *look()))
        time.sleep(LOOK_S)
    if codes := {process.exitcode for process in processes} - {0}:
        sys.exit(f"workers ended with {codes}")
    if len(naps.Nap()) != len(owners) * naps.NAPS:
        sys.exit(f"{len(naps.Nap())} jobs were made, not {len(owners) * naps.NAPS}")
    everybody_waits = [
        reserved
        for _, reserved, due in looks
        if set(due) == set(people) and sum(reserved.values()) >= ALMOST_ALL * n_workers
    ]
    equal = n_workers / len(people)
    for name, number in zip(people, n_sessions, strict=True):
        shares = [reserved[name] for reserved in everybody_waits]
        about = f"{name}, {number} sessions"
        results.add(f"{about}: workers while all wait, mean of {len(shares)} looks", statistics.fmean(shares),
                    unit="workers", goal=at_least(round(0.8 * equal, 1), "workers"))  # fmt: skip
        results.add(f"{about}: fewest", min(shares), unit="workers")
        results.add(f"{about}: most", max(shares), unit="workers")
        done = max(moment for moment, reserved, due in looks if reserved[name] or due[name])
        results.add(f"{about}: all done after", done)


def enter(owners: list[str]) -> None:
    """Enter sessions without files, each registered by somebody."""
    import schemas
    from schemas import session

    schemas.connect()
    session.Mouse.insert1({"mouse_id": "1", "driver_line": []})
    keys = [{"mouse_id": "1", "session_id": number} for number in range(1, len(owners) + 1)]
    about = {"session_type": "nap", "date_of_acquisition": DAY, "behavior_session_id": 0}
    session.Session.insert({**key, **about} for key in keys)
    file = {"root": "none", "file_kind": "recording", "size_bytes": 0, "registered_at": DAY,
            "package_version": "none"}  # fmt: skip
    session.NwbFile.insert(
        {**key, **file, "relative_path": str(key["session_id"]), "registered_by": name}
        for key, name in zip(keys, owners, strict=True)
    )


def look() -> tuple[Counter[str], Counter[str]]:
    """Return for whom the workers work now, and whose jobs wait."""
    import schemas
    from populate.work import jobs

    schemas.connect()
    reserved, due = Counter[str](), Counter[str]()
    for state in jobs.open_jobs([naps.Nap()]).values():
        reserved[state.submitter] += state.reserved
        due[state.submitter] += state.due
    return +reserved, +due


def work() -> None:
    """Work as `vbn worker --until-idle --table Nap` does."""
    from populate.work import worker

    worker.work(worker.Plan(tables=("Nap",), until_idle=True, poll_s=LOOK_S), lambda *_, **__: None)


if __name__ == "__main__":
    main()
