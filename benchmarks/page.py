"""The page of units at the size of the release: 153 sessions, 318,560 units.

    python -m benchmarks.page                    # some ten minutes, most of them for copying rows
    python -m benchmarks.page --keep             # leave the database, and VBN_HOME if that is set
    python -m benchmarks.page --ask              # only ask the one that was left

One synthetic session is imported and computed, and the server copies its rows of units and results as in
`benchmarks.release`. Then the page is asked by HTTP, by nobody else at the time: until the first byte, with
which the rows are there, and until all counts of choices are. Nothing is kept from one answer to the next:
each question is asked once.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tqdm import tqdm

from benchmarks import release
from benchmarks.measure import Goal, Results, at_most, parser, timing
from benchmarks.visitors import percentile, visitors

WITH_PARTS = ("ecephys", "responses", "optotagging")
"""Modules whose part tables are copied: the page asks nothing of the others."""
SESSIONS_AT_A_TIME = 8
REPEATS = 3
QUESTIONS: dict[str, tuple[dict[str, str], Goal | None]] = {
    "all units, first page": ({}, at_most(1)),
    "all units, page 3,000": ({"page": "3000"}, at_most(1)),
    "sorted by a metric": ({"sort": "-snr"}, at_most(1)),
    "sorted by a result": ({"sort": "-change_rate_active"}, at_most(1)),
    "a metric above a number": ({"where": "snr > 2"}, at_most(1)),
    "a result and a metric": ({"where": "change_is_responsive = 1 AND snr > 2"}, None),
    "a structure and a cell class": ({"structure": "VISp", "cell_class": "RS"}, at_most(1)),
    "a quality filter": ({"criteria": "bennett_2025"}, at_most(1)),
    "a result": ({"where": "change_is_responsive = 1"}, at_most(1)),
}
"""Question -> address, and the goal until the rows are there."""


def main() -> None:
    options = parse_options()
    os.environ.update(VBN_PREFIX=release.RELEASE_PREFIX, DJ_IGNORE_CONFIG_FILE="true")
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.setdefault("VBN_HOME", str(folder / "home"))
        results = Results("question")
        try:
            if not options.ask:
                build(folder, options)
            if not options.only_visitors:
                report(results)
            report_visitors(results, options)
            results.finish(options.json)
        finally:
            if not (options.keep or options.ask):
                release.drop()
            if "DJ_HOST" not in os.environ:
                release.vbn("down")


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--sessions", type=int, default=153)
    options.add_argument("--units", type=int, default=352, help="units per probe, of six")
    options.add_argument("--minutes", type=float, default=8, help="length of the session that is copied")
    options.add_argument("--rate", type=float, default=1.0, help="mean rate of its units (Hz)")
    options.add_argument("--keep", action="store_true", help="leave the database as it is")
    options.add_argument("--ask", action="store_true", help="ask a database that --keep has left")
    options.add_argument("--visitors", type=int, default=20, help="visitors at once")
    options.add_argument("--visit", type=float, default=60, help="how long they stay (s)")
    options.add_argument("--pause", type=float, default=10, help="mean pause of each between two answers (s)")
    options.add_argument("--only-visitors", action="store_true", help="leave out the questions one by one")
    return options.parse_args()


def build(folder: Path, options: argparse.Namespace) -> None:
    """Import and compute one session, and let the server copy it."""
    import schemas

    size = ["--units-per-probe", str(options.units), "--minutes", str(options.minutes), "--probes", "6"]
    size += ["--mean-rate", str(options.rate), "--genotype", "sst"]
    release.vbn("synthetic", "--out", str(folder / "data"), "--sessions", "1", *size)
    release.vbn("deploy")
    release.timed_session(next((folder / "data").rglob("*.nwb")))
    database, tables = schemas.connect(), copied_tables()
    first = first_session()
    for start in tqdm(range(1, options.sessions, SESSIONS_AT_A_TIME), desc="copy"):
        numbers = range(start, min(start + SESSIONS_AT_A_TIME, options.sessions))
        release.copy_mice(numbers)
        for table in tables:
            release.copy_rows(database, table, first, numbers, None)
    analyse = "ANALYZE" if database.backend == "postgresql" else "ANALYZE TABLE"
    for table in tables:
        database.connection.query(f"{analyse} {table.full_table_name}")


def copied_tables() -> list[Any]:
    from schemas.bases.registry import part_classes, tables
    from schemas.server.datajoint import dj

    masters = tables(dj.Manual, dj.Imported, dj.Computed)
    found = [
        table()
        for cls in masters
        for table in (cls, *(part_classes(cls) if cls.__module__.endswith(WITH_PARTS) else []))
    ]
    return [table for table in found if "session_id" in table.heading.names]


def first_session() -> int:
    """Return the session that is copied, the one with all rows."""
    from schemas import session

    return int(min(session.Session.to_arrays("session_id").tolist()))


def report(results: Results) -> None:
    import schemas
    from schemas import ecephys

    results.settings |= {"server": schemas.connect().backend, "units": f"{len(ecephys.Recording.Unit()):,}"}
    warm_up = f"issues?session={first_session()}"
    rows: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    whole: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    for _ in range(REPEATS):  # a new process each time, as it keeps numbers of units while nothing is written
        with served() as url:
            urlopen(f"{url}{warm_up}").read()
            for name, (address, _goal) in QUESTIONS.items():
                first, last = seconds(f"{url}units?{urlencode(address)}")
                rows[name].append(first)
                whole[name].append(last)
    for name, (_address, goal) in QUESTIONS.items():
        results.add(f"{name}: rows", timing(rows[name]), goal=goal)
        results.add(f"{name}: counts of choices", timing(whole[name]))


def report_visitors(results: Results, options: argparse.Namespace) -> None:
    """Add how long visitors at once wait."""
    import schemas
    from schemas import ecephys

    schemas.connect()
    units = (ecephys.Recording.Unit & {"session_id": first_session()}).to_arrays("unit_id").tolist()
    with served() as url:
        seen = visitors(url, units, options.visitors, options.visit, options.pause)
    goals = {"table": (seen.tables, at_most(1)), "figure": (seen.figures, at_most(3))}
    for what, (waited, goal) in goals.items():
        name = f"{options.visitors} visitors: {what}"
        results.add(f"{name} ({len(waited)}), half within", percentile(waited, 0.5), unit="s")
        results.add(f"{name}, 95 % within", percentile(waited, 0.95), unit="s", goal=goal)


@contextmanager
def served() -> Iterator[str]:
    """Serve the page, and give its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    command = [sys.executable, "-m", "populate", "serve", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def seconds(url: str) -> tuple[float, float]:
    """Return when the first and when the last byte of an answer was there."""
    began = time.perf_counter()
    with urlopen(url) as answer:
        answer.read(1)
        first = time.perf_counter() - began
        answer.read()
    return first, time.perf_counter() - began


if __name__ == "__main__":
    main()
