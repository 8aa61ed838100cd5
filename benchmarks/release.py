"""Questions to a database of the size of the release: 153 sessions, 319,000 units.

    python benchmarks/release.py                     # 153 sessions x 2,088 units, one alignment
    python benchmarks/release.py --sessions 20

One synthetic session is written, imported and computed; then the server copies its rows, with other ids,
until there are as many sessions as asked for, every second one with novel images. The copies share the arrays
in the store. Everything happens in a temporary folder on an embedded server of its own, or on the server that
DJ_HOST names, under the prefix ``bench_``, which is dropped at the end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

PREFIX = "bench_"
SHIFTED = {"unit_id": 10**7, "channel_id": 10**7, "peak_channel_id": 10**7, "probe_id": 10**4}
SHIFTED |= {"session_id": 10, "behavior_session_id": 10}
SESSIONS_AT_A_TIME = 8
REPEATS = 5
VISP_UNITS = 5400


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sessions", type=int, default=153)
    parser.add_argument("--units", type=int, default=348, help="units per probe, of six")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--keep", action="store_true", help="leave the database and its folder as they are")
    parser.add_argument("--alignments", default="change_active", help="with commas between; or 'all'")
    options = parser.parse_args()
    os.environ["VBN_PREFIX"] = PREFIX
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.setdefault("VBN_HOME", str(folder / "home"))
        os.environ["DJ_IGNORE_CONFIG_FILE"] = "true"
        try:
            build(folder, options)
            report(options)
        finally:
            if not options.keep:
                drop()
                if "DJ_HOST" not in os.environ:
                    vbn("down")


def vbn(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "populate", *words], check=True, stdout=subprocess.DEVNULL)


def build(folder: Path, options: argparse.Namespace) -> None:
    """Import and compute one session, and copy it."""
    size = ["--units-per-probe", str(options.units), "--minutes", str(options.minutes), "--probes", "6"]
    vbn("synthetic", "--out", str(folder / "data"), "--sessions", "1", *size)
    vbn("deploy")
    vbn("register", str(folder / "data"), "--catalogue", str(folder / "data" / "project_metadata"))
    vbn("populate", "--processes", "2")
    import schemas
    from schemas import session
    from schemas._datajoint import dj
    from schemas.connection import part_classes, tables

    database = schemas.connect()
    first = int(session.Session.to_arrays("session_id")[0])
    chosen = None if options.alignments == "all" else options.alignments.split(",")
    of_sessions = [
        table()
        for cls in tables(dj.Manual, dj.Imported, dj.Computed)
        for table in (cls, *part_classes(cls))
        if "session_id" in table.heading.names
    ]
    starts = range(1, options.sessions, SESSIONS_AT_A_TIME)
    with tqdm(total=options.sessions - 1, desc="copy", unit="session") as progress:
        for start in starts:
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
    quote = database.connection.adapter.quote_identifier
    schema, name = (part.strip('`"') for part in table.full_table_name.split("."))
    listing = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
        "ORDER BY ordinal_position"
    )
    columns = [row[0] for row in database.connection.query(listing, args=(schema, name)).fetchall()]
    values = [_value(database, quote, column) for column in columns]
    copies = " UNION ALL ".join(f"SELECT {number} AS copy_number" for number in numbers)
    where = f"t.{quote('session_id')} = {first}"
    if alignments is not None and "alignment" in columns:
        where += f" AND t.alignment IN ({', '.join(repr(each) for each in alignments)})"
    database.connection.query(
        f"INSERT INTO {table.full_table_name} ({', '.join(map(quote, columns))}) "
        f"SELECT {', '.join(values)} FROM {table.full_table_name} t CROSS JOIN ({copies}) AS copies "
        f"WHERE {where}"
    )


def _value(database: Any, quote: Callable[[str], str], column: str) -> str:
    if column == "mouse_id":
        text = "text" if database.backend == "postgresql" else "char(32)"
        half = "/" if database.backend == "postgresql" else "DIV"
        return f"CAST(200000 + copy_number {half} 2 AS {text})"
    if column == "experience_level":
        return "CASE WHEN MOD(copy_number, 2) = 0 THEN 'Familiar' ELSE 'Novel' END"
    if column in SHIFTED:
        return f"t.{quote(column)} + copy_number * {SHIFTED[column]}"
    return f"t.{quote(column)}"


def questions() -> dict[str, Callable[[], Any]]:
    from schemas import queries
    from schemas.fetching import fetch_frame

    good = "bennett_2025"

    def per_structure() -> Any:
        from schemas._datajoint import dj

        by = dj.U("structure_acronym", "experience_level")
        return fetch_frame(by.aggr(queries.units(criteria=good), n="count(*)"))

    structure, n_units = typical_structure(good)
    units = queries.units(structure=structure, criteria=good)
    one = int(queries.sessions().to_arrays("session_id")[-1])
    return {
        f"PSTHs of the {n_units:,} passing units of {structure}": lambda: queries.psth_matrix(units),
        f"all responses of the {n_units:,} passing units of {structure}": lambda: queries.responses_table(
            units
        ),
        "passing units per structure and experience": per_structure,
        "all trials with their sessions": lambda: queries.trial_table(),
        "flashes of one session": lambda: fetch_frame(queries.flashes(one)),
    }


def typical_structure(criteria: str) -> tuple[str, int]:
    """Return the structure whose number of passing units is nearest to that of VISp in the release."""
    from schemas import queries
    from schemas._datajoint import dj

    counted = dj.U("structure_acronym").aggr(queries.units(criteria=criteria), n="count(*)").to_dicts()
    found = min(counted, key=lambda row: abs(row["n"] - VISP_UNITS))
    return found["structure_acronym"], found["n"]


def report(options: argparse.Namespace) -> None:
    import schemas
    from schemas import ecephys

    database = schemas.connect()
    print(f"{database}: {options.sessions} sessions, {len(ecephys.Recording.Unit()):,} units")
    print("| question | rows | first (s) | median of the next (s) |\n|---|---|---|---|")
    for name, ask in questions().items():
        times = []
        for _ in range(REPEATS + 1):
            began = time.perf_counter()
            answer = ask()
            times.append(time.perf_counter() - began)
        print(
            f"| {name} | {len(answer):,} | {times[0]:.2f} | {statistics.median(times[1:]):.2f} |", flush=True
        )


def drop() -> None:
    """Drop the schemas of the prefix."""
    import schemas
    from schemas.connection import MODULES

    connection = schemas.connect().connection
    quote = connection.adapter.quote_identifier
    if connection.adapter.backend == "mysql":
        connection.query("SET foreign_key_checks = 0")
    for module in reversed(MODULES):
        cascade = " CASCADE" if connection.adapter.backend == "postgresql" else ""
        connection.query(f"DROP SCHEMA IF EXISTS {quote(PREFIX + module)}{cascade}")


if __name__ == "__main__":
    main()
