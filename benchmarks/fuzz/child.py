"""The process that makes and imports mutants, one after the other, monitored by its parent.

Numbers come in by standard input, one a line; for each two lines of JSON go out, when the mutant is made and
when it is imported. The memory of this process is limited to `MOST_BYTES`, and it reports its peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

MOST_BYTES = 4 * 2**30
ALL_TABLES_OF = 5
"""Of so many mutants, one is computed with as well."""


def main(folder: Path) -> None:
    """Answer each number with the outcome of that mutant."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    import schemas
    from benchmarks.fuzz.mutants import Sources

    schemas.connect()
    sources = Sources(**{name: path and Path(path) for name, path in json.loads(sys.argv[2]).items()})
    say({"ready": True})
    for line in sys.stdin:
        say(outcome_of(int(line), sources, folder))


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), file=ANSWERS, flush=True)


def outcome_of(number: int, sources: Any, folder: Path) -> dict[str, Any]:
    """Make a mutant and import it."""
    from benchmarks.fuzz import mutants
    from benchmarks.fuzz.importing import Tally, import_files, partial_rows, tables_of_files, without_escape

    if number < 0:
        paths, changes = mutants.make_mutant(-number, sources, folder, lambda _file, _rng: "nothing", ())
    else:
        paths, changes = mutants.make_mutant(number, sources, folder, mutants.distort, (4, 9, 14, 19))
    say({"number": number, "changes": changes})
    tally, began = Tally(), time.monotonic()
    # What is computed from the tables takes ten times as long as they do.
    only = tables_of_files() if number % ALL_TABLES_OF else ()
    forget_peak()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        problems = list(without_escape(import_files(paths, tally, only)))
        problems += partial_rows(mutants.FIRST_ID + abs(number))
    for path in paths:
        path.unlink()
    return {
        "number": number,
        "problems": problems + [f"warned: {one.message}"[:400] for one in caught],
        "ends": Counter(tally.ends),
        "duration_s": time.monotonic() - began,
        "peak_bytes": peak_bytes(),
    }


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the peak memory of this process since `forget_peak`."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    # What a library prints is no answer.
    ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(Path(sys.argv[1]))
