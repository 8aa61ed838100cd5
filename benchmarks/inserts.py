"""Rows per second inserted into the table of presentations, and upper bounds.

python -m benchmarks.inserts                  # 14,000 presentations, as a session of two and a half hours has
python -m benchmarks.inserts --rows 100000

The same rows are inserted by DataJoint's ``insert``, by this package, by the driver with a statement that is
ready made, and by the server alone, which copies rows that it has; each in a transaction that is taken back.
On an embedded server of its own, or on the one that DJ_HOST names, under the prefix ``bench_``, which is
dropped at the end.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, at_least, parser, timed
from benchmarks.release import PREFIX, drop

TABLES = ("Recording", "ChangeDetection", "Licks", "Stimulus")


def main() -> None:
    options_parser = parser(__doc__)
    options_parser.add_argument("--rows", type=int, default=14_000)
    options_parser.add_argument("--repeats", type=int, default=5)
    options = options_parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        os.environ.update(VBN_PREFIX=PREFIX, VBN_HOME=str(folder / "home"), DJ_IGNORE_CONFIG_FILE="true")
        try:
            import_a_session(folder / "data")
            report(options.rows, options.repeats).finish(options.json)
        finally:
            drop()
            if "DJ_HOST" not in os.environ:
                vbn("down")


def vbn(*words: object) -> None:
    command = [sys.executable, "-m", "populate", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def import_a_session(data: Path) -> None:
    vbn("deploy")
    vbn("synthetic", "--out", data, "--sessions", 1, "--probes", 1, "--units-per-probe", 4, "--minutes", 2)
    vbn("register", data)
    vbn("populate", *itertools.chain.from_iterable(("--table", table) for table in TABLES))


def report(n_rows: int, repeats: int) -> Results:
    import schemas
    from schemas import stimulus
    from schemas.rows.insert import insert_rows

    database = schemas.connect()
    table = stimulus.Stimulus.Presentation()
    rows = more_rows(table, n_rows)
    ready = ready_made(table, rows)
    copy = copying(table, n_rows)
    ways: dict[str, Callable[[], Any]] = {
        "the server alone, INSERT ... SELECT": lambda: database.connection.query(copy),
        "the driver, a statement ready made": lambda: database.connection.query(*ready),
        "insert_rows": lambda: insert_rows(table, rows),
        "DataJoint's insert": lambda: table.insert(rows),
    }
    results = Results("inserts", {"server": str(database.backend), "rows": n_rows, "columns": len(rows[0])})
    for name, insert in ways.items():
        seconds = timed(lambda insert=insert: taken_back(database.connection, insert), repeats).median
        goal = at_least(50_000, "rows/s") if name == "insert_rows" else None
        base = None if name.startswith("the server") else "the server alone, INSERT ... SELECT"
        results.add(name, n_rows / seconds, unit="rows/s", base=base, goal=goal)
    return results


def taken_back(connection: Any, insert: Callable[[], Any]) -> None:
    connection.start_transaction()
    try:
        insert()
    finally:
        connection.cancel_transaction()


def more_rows(table: Any, n_rows: int) -> list[dict[str, Any]]:
    """Return rows like those of the table, with ids that it does not have."""
    known = table.to_dicts()
    number = table.primary_key[-1]
    first = max(row[number] for row in known) + 1
    return [
        {**row, number: first + count} for count, row in zip(range(n_rows), itertools.cycle(known))
    ]  # fmt: skip


def ready_made(table: Any, rows: list[dict[str, Any]]) -> tuple[str]:
    """Return the statement with all values written out, as the driver sends it."""
    quote = table.connection.adapter.quote_identifier
    values = f"({','.join(['%s'] * len(rows[0]))})"
    statement = (
        f"INSERT INTO {table.full_table_name} ({','.join(map(quote, rows[0]))}) "
        f"VALUES {','.join([values] * len(rows))}"
    )
    arguments = [value for row in rows for value in row.values()]
    with table.connection._conn.cursor() as cursor:
        text = cursor.mogrify(statement, arguments)
    return ((text.decode() if isinstance(text, bytes) else text).replace("%", "%%"),)


def copying(table: Any, n_rows: int) -> str:
    """Return a statement by which the server inserts copies of its own rows."""
    quote = table.connection.adapter.quote_identifier
    number = table.primary_key[-1]
    n_known = len(table)
    copies = -(-n_rows // n_known)
    first = int(table.to_arrays(number).max()) + 1
    columns = ", ".join(map(quote, table.heading.names))
    values = ", ".join(
        f"t.{quote(name)} + {first} * c.copy_number" if name == number else f"t.{quote(name)}"
        for name in table.heading.names
    )
    numbers = " UNION ALL ".join(f"SELECT {count} AS copy_number" for count in range(1, copies + 1))
    return (
        f"INSERT INTO {table.full_table_name} ({columns}) SELECT {values} "
        f"FROM {table.full_table_name} t CROSS JOIN ({numbers}) c ORDER BY c.copy_number LIMIT {n_rows}"
    )


if __name__ == "__main__":
    main()
