"""Time to fetch a session's presentations, and its lower bounds.

python -m benchmarks.fetching                 # 14,000 presentations
python -m benchmarks.fetching --rows 100000

The same rows are fetched by the driver alone, by `schemas.rows.fetch.fetch_frame`, and by DataJoint's own
``to_pandas`` and ``to_dicts``. On an embedded server of its own, or on the one that DJ_HOST names, under the
prefix ``bench_``, which is dropped at the end.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.inserts import import_a_session, more_rows, vbn
from benchmarks.measure import Results, parser, timed
from benchmarks.release import PREFIX, drop

DRIVER = "the driver alone"


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


def report(n_rows: int, repeats: int) -> Results:
    import schemas
    from schemas import stimulus
    from schemas.rows.fetch import fetch_frame
    from schemas.rows.insert import insert_rows

    database = schemas.connect()
    table = stimulus.Stimulus.Presentation()
    insert_rows(table, more_rows(table, n_rows - len(table)))
    ways: dict[str, Callable[[], Any]] = {
        DRIVER: lambda: table.cursor().fetchall(),
        "fetch_frame": lambda: fetch_frame(table),
        "DataJoint's to_pandas": table.to_pandas,
        "DataJoint's to_dicts": table.to_dicts,
    }
    results = Results("fetching", {"server": str(database.backend), "rows": len(table)})
    results.settings["columns"] = len(table.heading.names)
    for name, fetch in ways.items():
        results.add(name, timed(fetch, repeats), base=None if name == DRIVER else DRIVER)
    return results


if __name__ == "__main__":
    main()
