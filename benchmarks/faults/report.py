"""docs/reliability.md: what the runs of the test harness found, for each server."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import vbn
from benchmarks.faults.kinds import FAULTS, STARTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
RESULTS = Path(__file__).parent / "results.json"
MARKS = ("<!-- figures -->", "<!-- end of the figures -->")
FOUND = {
    "lost_rows": "rows lost",
    "doubled_rows": "rows doubled",
    "half_entries": "half entries",
    "reservations_left": "reservations left behind",
    "locks_left": "locks on tables left behind",
    "unexpected_errors": "jobs recorded as failed that are sound, or the other way round",
    "different_tables": "tables with another checksum than undisturbed",
    "files_left": "files in the store without a row, or rows without a file, after gc",
    "files_put_aside": "files that gc put aside",
}
CODE = ("populate", "schemas", "vbn")
RUN_HEAD = (
    "date", "code", "server", "campaign", "seed", "workers", "sessions", "faults", "problems", "databases",
    "minutes",
)  # fmt: skip
Entry = dict[str, Any]


def write_report(entry: Entry) -> None:
    """Add what was found to the results of earlier runs, and rewrite the page."""
    about = {
        "code": _code(),
        "date": date.today().isoformat(),
        "version": vbn.__version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    results = [*json.loads(RESULTS.read_text()), {**entry, **about}]
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    write_page(results)


def write_page(results: list[Entry]) -> None:
    """Write the results into the page, between its marks."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{_figures(results)}\n{MARKS[1]}{after}")


def table_of(results: list[Entry]) -> str:
    """Return one row for each kind and server: tries, faults that happened, problems.

    A try does not count where the worker or command had ended before.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for entry in results:
        for kind, numbers in entry["kinds"].items():
            found = Counter(
                tries=numbers["tries"], faults=numbers["faults"], problems=len(numbers["problems"])
            )
            counts.setdefault((kind, entry["server"]), Counter()).update(found)
    sums = sum(counts.values(), Counter())
    rows = [(kind, server, *_numbers(each)) for (kind, server), each in sorted(counts.items())]
    return _table([*rows, ("**all**", "", *_numbers(sums))], "fault", "server", "tries", "faults", "problems")


def _numbers(counts: Counter[str]) -> tuple[int, ...]:
    return tuple(counts[name] for name in ("tries", "faults", "problems"))


def _figures(results: list[Entry]) -> str:
    servers = sorted({entry["server"] for entry in results})
    runs = {
        server: [each for each in results if each["server"] == server and "found" in each]
        for server in servers
    }
    found = [
        (words, *(sum(entry["found"].get(name, 0) for entry in runs[server]) for server in servers))
        for name, words in FOUND.items()
    ]
    watched = [
        (
            entry["server"], entry["watch"]["minutes"], entry["watch"]["jobs"],
            *(" to ".join(map(str, entry["watch"][name])) for name in ("memory_mb", "descriptors")),
        )
        for entry in results if "watch" in entry
    ]  # fmt: skip
    kinds = {**FAULTS, **STARTS}
    parts = [
        "Injected, in all runs listed below:", table_of(results),
        "Found after the runs with workers:", _table(found, "", *servers),
        *(() if not watched else (
            "A worker that made the same rows again and again, after its first minutes and at its end:",
            _table(watched, "server", "minutes", "jobs", "memory (MB)", "descriptors"),
        )),
        "The runs:", _table([_run(entry) for entry in results], *RUN_HEAD),
        "The faults:", _table([(name, kind.how) for name, kind in kinds.items()], "fault", "how"),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _run(entry: Entry) -> tuple[Any, ...]:
    faults = sum(numbers["faults"] for numbers in entry["kinds"].values())
    problems = sum(len(numbers["problems"]) for numbers in entry["kinds"].values())
    code = entry.get("code") or entry["commit"]  # of earlier runs
    about = (entry[name] for name in ("server", "campaign", "seed", "workers", "sessions"))
    return (entry["date"], code, *about, faults, problems, entry.get("runs", ""), entry["minutes"])


def _table(rows: list[tuple[Any, ...]], *head: str) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _code() -> str:
    """Return a hash of what was run, whatever commit it comes to be in: of git's ids of its folders.

    ``git ls-tree HEAD populate schemas vbn | git hash-object --stdin`` prints it.
    """
    changed = _git("status", "--porcelain", "--", *CODE)
    listed = _git("ls-tree", "HEAD", *CODE)
    return _git("hash-object", "--stdin", given=listed)[:7] + ("+" if changed.strip() else "")


def _git(*words: str, given: str = "") -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    write_page(json.loads(RESULTS.read_text()))
