"""What grows with the database, and what does not: the same queries as sessions are added.

    python -m benchmarks.growth                                               # 38, 153 and 306 sessions
    python -m benchmarks.growth --thin --minutes 30 --sessions 153 765 1530   # ten releases

One synthetic session is imported and computed, and copied by the server as in `benchmarks.release`. At each
size the same is asked: something of one session, the curves of units of the same sessions each time, and
something that looks at every unit or trial; and another session is imported and computed. A session takes
some 21 MB and a second to copy, thin 4.3 MB and 0.2 s: the parts of the tables of ``responses`` and
``optotagging``, and the presentations, are then those of the first session alone. On an embedded server of
its own, or on the one that DJ_HOST names, under the prefix ``bench_``, which is dropped at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import release
from benchmarks.measure import Results, Timing, parser, timed, timed_cold, timed_process, timing

CRITERIA = "bennett_2025"
ALIGNMENTS = ["change_active"]
SESSIONS_AT_A_TIME = 8
REPEATS = 5
SMALL = ("--probes", "2", "--units-per-probe", "40", "--minutes", "8")
LEFT_OUT_OF_THIN = ("responses", "optotagging", "stimulus")
"""Modules whose part tables are not copied."""


def main() -> None:
    options = parse_options()
    sizes = sorted(options.sessions)
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = str(folder / "home")
        os.environ.update(VBN_PREFIX=release.PREFIX, VBN_HOME=home, DJ_IGNORE_CONFIG_FILE="true")
        results = Results("question, at sessions", {"units per session": 6 * options.units})
        try:
            others = build(folder, options, len(sizes))
            for n_there, size, file in zip([1, *sizes], sizes, others, strict=False):
                grow(results, n_there, size, thin=options.thin)
                ask_all(results, sizes, size, thin=options.thin)
                add(results, sizes, size, "import and compute a small session", release.timed_session(file))
            results.finish(options.json)
        finally:
            if not options.keep:
                release.drop()
            if "DJ_HOST" not in os.environ:
                release.vbn("down")


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--sessions", type=int, nargs="+", default=[38, 153, 306])
    options.add_argument("--units", type=int, default=352, help="units per probe, of six")
    options.add_argument("--minutes", type=float, default=8, help="length of the session that is copied")
    options.add_argument("--rate", type=float, default=1.0, help="mean rate of its units (Hz)")
    options.add_argument("--thin", action="store_true", help="leave large tables out of the copies")
    options.add_argument("--keep", action="store_true", help="leave the database as it is")
    return options.parse_args()


def build(folder: Path, options: argparse.Namespace, n_others: int) -> list[Path]:
    """Import and compute one session; return the files of small ones, of other mice."""
    shape = ("--probes", "6", "--units-per-probe", str(options.units), "--genotype", "sst")
    length = ("--minutes", str(options.minutes), "--mean-rate", str(options.rate))
    release.vbn("synthetic", "--out", str(folder / "copied"), "--sessions", "1", *shape, *length)
    release.vbn("synthetic", "--out", str(folder / "small"), "--sessions", str(n_others + 2), *SMALL)
    release.vbn("deploy")
    copied, *_ = (folder / "copied").rglob("*.nwb")
    release.timed_session(copied)
    return sorted((folder / "small").rglob("*.nwb"))[2:]  # the first two have the mouse of the copied one


def grow(results: Results, n_there: int, n_sessions: int, *, thin: bool) -> None:
    """Add copies of the first session."""
    import schemas
    from schemas import session

    database, tables = schemas.connect(), copied_tables(thin=thin)
    first = min(session.Session.to_arrays("session_id").tolist())
    began = time.perf_counter()
    for start in tqdm(range(n_there, n_sessions, SESSIONS_AT_A_TIME), desc="copy"):
        numbers = range(start, min(start + SESSIONS_AT_A_TIME, n_sessions))
        release.copy_mice(numbers)
        for table in tables:
            release.copy_rows(database, table, first, numbers, ALIGNMENTS)
    each = (time.perf_counter() - began) / (n_sessions - n_there)
    analyse = "ANALYZE" if database.backend == "postgresql" else "ANALYZE TABLE"
    for table in tables:
        database.connection.query(f"{analyse} {table.full_table_name}")
    results.settings["server"] = database.backend
    results.add(f"copying a session within the server: {n_sessions}", each)
    results.add(f"database: {n_sessions}", release.size_of_tables(database) / 1e6, unit="MB")


def copied_tables(*, thin: bool) -> list[Any]:
    from schemas.bases.registry import part_classes, tables
    from schemas.server.datajoint import dj

    masters = tables(dj.Manual, dj.Imported, dj.Computed)
    whole = [cls for cls in masters if not (thin and cls.__module__.endswith(LEFT_OUT_OF_THIN))]
    found = [table() for cls in masters for table in (cls, *(part_classes(cls) if cls in whole else []))]
    return [table for table in found if "session_id" in table.heading.names]


def ask_all(results: Results, sizes: list[int], size: int, *, thin: bool) -> None:
    for name, ask in questions(sizes[0], thin=thin).items():
        add(results, sizes, size, name, timed(ask, REPEATS), note=f"{len(ask()):,} rows")
    status = [sys.executable, "-m", "populate", "status"]
    seconds = [timed_process(status)[0] for _ in range(REPEATS)]
    add(results, sizes, size, "`vbn status`, with the start of Python", timing(seconds))
    add(results, sizes, size, "scheduling a new alignment", timed_cold(release.schedule, 2))


def questions(n_first: int, *, thin: bool) -> dict[str, Callable[[], Any]]:
    from schemas import queries, session
    from schemas.rows.fetch import fetch_frame
    from schemas.server.datajoint import dj

    copies = sorted(number for number in session.Session.to_arrays("session_id").tolist() if number % 10 == 1)
    units = queries.units(criteria=CRITERIA)
    counted = dj.U("structure_acronym").aggr(units, n="count(*)").to_dicts()
    largest = max(counted, key=lambda row: row["n"])["structure_acronym"]
    of_first = queries.units(criteria=CRITERIA, structure=largest, session_id=copies[:n_first])
    of_all = queries.units(criteria=CRITERIA, structure=largest)
    per_structure = dj.U("structure_acronym", "experience_level").aggr(units, n="count(*)")
    asked: dict[str, Callable[[], Any]] = {
        f"PSTHs of {largest} in {n_first} sessions": lambda: queries.psth_matrix(of_first),
        f"PSTHs of {largest} in all sessions": lambda: queries.psth_matrix(of_all),
        "passing units per structure and experience": lambda: fetch_frame(per_structure),
        "all trials with their sessions": queries.trial_table,
    }
    if not thin:
        asked["all presentations of one session"] = lambda: fetch_frame(queries.flashes(copies[-1]))
    return asked


def add(
    results: Results, sizes: list[int], size: int, name: str, measured: Timing | float, note: str = ""
) -> None:
    """Add a result, relative to that at the first size."""
    base = None if size == sizes[0] else f"{name}: {sizes[0]}"
    results.add(f"{name}: {size}", measured, base=base, note=note)


if __name__ == "__main__":
    main()
