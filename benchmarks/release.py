"""Queries of a database of the size of the release: 153 sessions, 905 probes, 318,560 units.

    python -m benchmarks.release                     # 160-minute sessions, eight alignments
    python -m benchmarks.release --sessions 10 --units 60 --minutes 8
    python -m benchmarks.release --keep              # leave the database, and VBN_HOME if that is set
    python -m benchmarks.release --ask               # only ask the one that was left

The whole takes some ten minutes and 10 GB. A synthetic session as long as a real one, whose units fire at a
fifth of the usual rate, is written, imported and computed; then the server copies its rows, with other ids,
until there are as many sessions as asked for, every second one with novel images, every eleventh without one
of its six probes. The copies share the arrays in the store. As in the release a third of the sessions are
abnormal, and about a quarter of all units pass the published criteria, of VISp some 5,400; the stored
selections of the copies are those of the first session. Another session that is imported and computed at the
end shows what that costs in a full database. Everything happens in a temporary folder on an embedded server
of its own, or on the server that DJ_HOST names, under the prefix ``bench_release_``, which is dropped at the
end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import Goal, Results, at_most, parser, timed, timed_cold, timed_process, timing

PREFIX = "bench_"
RELEASE_PREFIX = "bench_release_"
"""Apart, as it may be kept."""
SHIFTED = {"unit_id": 10**7, "channel_id": 10**7, "peak_channel_id": 10**7, "probe_id": 10**4}
SHIFTED |= {"session_id": 10, "behavior_session_id": 10}
SESSIONS_AT_A_TIME = 4
REPEATS = 5
FIRST = "register, import and compute the first session"
MORE_ALIGNMENTS = {"flash_active": ("flash", "active"), "reward": ("reward", None)}
"""With the six that `vbn deploy` enters, eight."""


def main() -> None:
    options = parse_options()
    os.environ["VBN_PREFIX"] = RELEASE_PREFIX
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.setdefault("VBN_HOME", str(folder / "home"))
        os.environ["DJ_IGNORE_CONFIG_FILE"] = "true"
        results = Results("question")
        try:
            if options.ask:
                report(results)
            else:
                build_and_report(folder, options, results)
            results.finish(options.json)
        finally:
            if not (options.keep or options.ask):
                drop()
            if "DJ_HOST" not in os.environ:
                vbn("down")


def parse_options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--sessions", type=int, default=153)
    options.add_argument("--units", type=int, default=352, help="units per probe, of six")
    options.add_argument("--minutes", type=float, default=160)
    options.add_argument("--rate", type=float, default=1.0, help="mean rate of the units (Hz)")
    options.add_argument("--keep", action="store_true", help="leave the database and VBN_HOME as they are")
    options.add_argument("--ask", action="store_true", help="ask a database that --keep has left")
    options.add_argument("--alignments", default="all", help="names, with commas between; or 'all'")
    return options.parse_args()


def vbn(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "populate", *words], check=True, stdout=subprocess.DEVNULL)


def timed_session(file: Path) -> float:
    """Register, import and compute a session; return the seconds that it took."""
    began = time.perf_counter()
    vbn("register", str(file), "--catalogue", str(file.parents[2] / "project_metadata"))
    vbn("populate", "--session", file.stem.rpartition("_")[2])
    return time.perf_counter() - began


def build_and_report(folder: Path, options: argparse.Namespace, results: Results) -> None:
    """Import and compute one session, copy it, ask, and import and compute another one."""
    size = ["--units-per-probe", str(options.units), "--minutes", str(options.minutes), "--probes", "6"]
    size += ["--mean-rate", str(options.rate), "--genotype", "sst"]
    vbn("synthetic", "--out", str(folder / "data"), "--sessions", "2", *size)
    vbn("deploy")
    add_alignments()
    first, last = sorted((folder / "data").rglob("*.nwb"))
    results.add(FIRST, timed_session(first))
    began = time.perf_counter()
    copy_session(options)
    results.add("copying a session within the server", (time.perf_counter() - began) / (options.sessions - 1))
    report(results)
    report_sizes(results, options.sessions)
    results.add("the same of one more session", timed_session(last), base=FIRST, goal=at_most(1.1, "x"))


def add_alignments() -> None:
    """Enter the alignments that `vbn deploy` does not enter."""
    from dataclasses import replace

    import schemas
    from schemas.psth import Alignment

    schemas.connect()
    usual = Alignment.get("change_active")
    for name, (event, block) in MORE_ALIGNMENTS.items():
        Alignment.add(name, replace(usual, event=event, block_condition=block))


def copy_session(options: argparse.Namespace, n_there: int = 1) -> None:
    """Let the server copy the rows of the first session until there are ``options.sessions``."""
    import schemas
    from schemas import session
    from schemas.bases.registry import part_classes, tables
    from schemas.server.datajoint import dj

    database = schemas.connect()
    first = min(session.Session.to_arrays("session_id").tolist())
    chosen = None if options.alignments == "all" else options.alignments.split(",")
    of_sessions = [
        table()
        for cls in tables(dj.Manual, dj.Imported, dj.Computed)
        for table in (cls, *part_classes(cls))
        if "session_id" in table.heading.names
    ]
    with tqdm(total=options.sessions - n_there, desc="copy", unit="session") as progress:
        for start in range(n_there, options.sessions, SESSIONS_AT_A_TIME):
            numbers = range(start, min(start + SESSIONS_AT_A_TIME, options.sessions))
            copy_mice(numbers)
            for table in of_sessions:
                copy_rows(database, table, first, numbers, chosen)
            progress.update(len(numbers))
    for table in of_sessions:
        analyse = "ANALYZE" if database.backend == "postgresql" else "ANALYZE TABLE"
        database.connection.query(f"{analyse} {table.full_table_name}")


def copy_mice(numbers: range) -> None:
    from schemas import session

    rows = session.Mouse.to_dicts(limit=1)
    mice = [{**rows[0], "mouse_id": str(200000 + number)} for number in {number // 2 for number in numbers}]
    session.Mouse.insert(mice, skip_duplicates=True)


def copy_rows(database: Any, table: Any, first: int, numbers: range, alignments: list[str] | None) -> None:
    """Copy the rows of the first session, one copy for each number, with ids and mice of their own."""
    from schemas import session

    quote = database.connection.adapter.quote_identifier
    schema, name = (part.strip('`"') for part in table.full_table_name.split("."))
    listing = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
        "ORDER BY ordinal_position"
    )
    columns = [row[0] for row in database.connection.query(listing, args=(schema, name)).fetchall()]
    part = name.rpartition("__")[2]
    values = [_value(database, quote, part, column) for column in columns]
    copies = " UNION ALL ".join(f"SELECT {number} AS copy_number" for number in numbers)
    where = f"t.{quote('session_id')} = {first}"
    if "mouse_id" in columns:  # with which all primary keys begin
        mouse_id = (session.Session & {"session_id": first}).fetch1("mouse_id")
        where += f" AND t.mouse_id = '{mouse_id}'"
    if "probe_name" in columns:  # 905 probes, not 918
        where += " AND NOT (t.probe_name = 'probeF' AND MOD(copy_number, 11) = 0)"
    if alignments is not None and "alignment" in columns:
        where += f" AND t.alignment IN ({', '.join(repr(each) for each in alignments)})"
    database.connection.query(
        f"INSERT INTO {table.full_table_name} ({', '.join(map(quote, columns))}) "
        f"SELECT {', '.join(values)} FROM {table.full_table_name} t CROSS JOIN ({copies}) AS copies "
        f"WHERE {where}"
    )


def _value(database: Any, quote: Callable[[str], str], name: str, column: str) -> str:
    if column == "mouse_id":
        text = "text" if database.backend == "postgresql" else "char(32)"
        half = "/" if database.backend == "postgresql" else "DIV"
        return f"CAST(200000 + copy_number {half} 2 AS {text})"
    if column == "abnormal_histology":
        return """CASE WHEN MOD(copy_number, 3) = 2 THEN CAST('["VISp"]' AS json) END"""
    if column == "isi_violations":
        return "CASE WHEN MOD(t.unit_id + 37 * copy_number, 100) < 54 THEN 1.0 ELSE t.isi_violations END"
    if (name, column) == ("channel", "structure_acronym"):  # of the synthetic units too many are in VISp
        of_few = "t.structure_acronym = 'VISp' AND MOD(copy_number, 5) > 2"
        return f"CASE WHEN {of_few} THEN 'VISl' ELSE t.structure_acronym END"
    if column == "experience_level":
        return "CASE WHEN MOD(copy_number, 2) = 0 THEN 'Familiar' ELSE 'Novel' END"
    if column in SHIFTED:
        return f"t.{quote(column)} + copy_number * {SHIFTED[column]}"
    return f"t.{quote(column)}"


def questions() -> dict[str, tuple[Callable[[], Any], Goal | None]]:
    from schemas import queries, session, stimulus
    from schemas.rows.fetch import fetch_frame
    from schemas.server.datajoint import dj

    good = "bennett_2025"

    def per_structure(*more: str) -> Any:
        units = queries.units(criteria=good)
        found = units * queries.cell_classes().proj("cell_class") if more else units
        return fetch_frame(dj.U("structure_acronym", "experience_level", *more).aggr(found, n="count(*)"))

    visp = queries.units(structure="VISp", criteria=good)
    last = int(queries.sessions().to_arrays("session_id")[-1])
    presentations = stimulus.Stimulus.Presentation & (session.Session & {"session_id": last})
    return {
        "PSTHs of all passing units of VISp": (lambda: queries.psth_matrix(visp), at_most(1)),
        "all responses of the same": (lambda: queries.responses_table(visp), None),
        "passing units per structure and experience": (per_structure, at_most(0.3)),
        "the same per cell class too": (lambda: per_structure("cell_class"), at_most(0.3)),
        "all presentations of one session": (lambda: fetch_frame(presentations), at_most(0.2)),
        "all trials with their sessions": (queries.trial_table, at_most(2)),
    }


def report(results: Results) -> None:
    import schemas

    database = schemas.connect()
    results.settings["server"] = database.backend
    results.settings |= {name: f"{number:,}" for name, number in numbers_of_rows().items()}
    for name, (ask, goal) in questions().items():
        results.add(name, timed(ask, REPEATS), goal=goal, note=f"{len(ask()):,} rows")
    command = [sys.executable, "-m", "populate", "status"]
    seconds = [timed_process(command)[0] for _ in range(REPEATS)]
    results.add("`vbn status`, with the start of Python", timing(seconds), goal=at_most(1))
    results.add("start of Python with DataJoint", timed_cold(start_datajoint, REPEATS))
    results.add("scheduling a new alignment for all sessions", timed_cold(schedule, REPEATS), goal=at_most(2))


def numbers_of_rows() -> dict[str, int]:
    """Return the numbers of rows."""
    from schemas import behavior, ecephys, psth, session, stimulus

    counted = {
        "sessions": session.Session,
        "probes": ecephys.Recording.Probe,
        "channels": ecephys.Recording.Channel,
        "units": ecephys.Recording.Unit,
        "presentations": stimulus.Stimulus.Presentation,
        "trials": behavior.ChangeDetection.Trial,
        "PSTHs": psth.Psth.Unit,
    }
    return {name: len(table()) for name, table in counted.items()}


def start_datajoint() -> None:
    """Time what every command needs."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", "import datajoint"], check=True)


def schedule() -> None:
    """Enter a parameter set and add its jobs, and take both back."""
    from dataclasses import replace

    from populate.work import jobs, runner
    from schemas.psth import Alignment

    tables = [jobs.prepared(cls) for cls in runner.populated_tables()]
    changed = Alignment.get("change_active")
    Alignment.add("bench", replace(changed, window_stop=changed.window_stop + changed.bin_width))
    for table in tables:
        table.jobs.add_missing(True)
    jobs.open_jobs(tables)
    added = {"alignment": "bench"}
    for table in tables:
        if "alignment" in table.primary_key:
            (table.jobs & added).delete_quick()
    (Alignment & added).delete_quick()


def report_sizes(results: Results, n_sessions: int) -> None:
    """Add the size of the database, and of the arrays of the one session that has them, per session."""
    import schemas

    database = schemas.connect()
    results.add("database per session", size_of_tables(database) / n_sessions / 1e6, unit="MB")
    if database.store.folder is not None:
        in_store = sum(file.stat().st_size for file in database.store.folder.rglob("*") if file.is_file())
        results.add("store per session", in_store / 1e6, unit="MB", note="of one at that rate")


def size_of_tables(database: Any) -> float:
    """Return the bytes of the tables and their indexes."""
    from schemas.bases.registry import schema_names

    names = ", ".join(f"'{name}'" for name in schema_names(database.prefix))
    if database.backend == "mysql":
        database.connection.query("SET information_schema_stats_expiry = 0")
    size = (
        f"SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = "
        f"c.relnamespace WHERE c.relkind = 'r' AND n.nspname IN ({names})"
        if database.backend == "postgresql"
        else "SELECT sum(data_length + index_length) FROM information_schema.tables "
        f"WHERE table_schema IN ({names})"
    )
    return float(database.connection.query(size).fetchone()[0])


def drop() -> None:
    """Drop the schemas of the prefix."""
    import schemas
    from schemas.bases.registry import MODULES

    database = schemas.connect()
    connection = database.connection
    quote = connection.adapter.quote_identifier
    if connection.adapter.backend == "mysql":
        connection.query("SET foreign_key_checks = 0")
    for module in reversed(MODULES):
        cascade = " CASCADE" if connection.adapter.backend == "postgresql" else ""
        connection.query(f"DROP SCHEMA IF EXISTS {quote(database.prefix + module)}{cascade}")


if __name__ == "__main__":
    main()
