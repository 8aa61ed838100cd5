"""Run the benchmarks one after the other, and write one table and one JSON file.

python -m benchmarks                      # minutes, small
python -m benchmarks --full               # a 2 GB session and a simulated release; prints what it needs
python -m benchmarks psth session         # only these
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import as_markdown, in_words, machine, parser


@dataclass(frozen=True)
class Benchmark:
    """A module of this package, its options, and its approximate needs on two cores."""

    name: str
    small: Sequence[str]
    full: Sequence[str]
    small_minutes: float
    full_minutes: float
    full_gb: float


FEW_UNITS = ("--units", "100", "--rate", "6")  # those that fire less pass no criteria in a short session
BENCHMARKS = (
    Benchmark("psth", ["--repeats", "3"], ["--repeats", "5"], 1, 2, 0.1),
    Benchmark("counts", [], ["--full"], 1, 2, 0.4),
    Benchmark("opening", [], ["--full"], 1, 4, 2.2),
    Benchmark("session", [], ["--full"], 2, 4, 4.5),
    Benchmark("memory", [], ["--full"], 2, 6, 4.5),
    Benchmark("parallel", ["--sessions", "4"], [], 2, 5, 1),
    Benchmark("inserts", [], ["--rows", "100000"], 1, 1, 0.5),
    Benchmark("fetching", [], ["--rows", "100000"], 1, 1, 0.5),
    Benchmark("release", [*FEW_UNITS, "--sessions", "6", "--minutes", "8"], [], 2, 9, 10),
    Benchmark("models", ["--units", "100"], [], 1, 5, 1.5),
    Benchmark("page", ["--units", "100", "--rate", "6", "--sessions", "4"], [], 2, 10, 4),
    Benchmark("growth", [*FEW_UNITS, "--thin", "--sessions", "4", "8"], ["--thin"], 2, 9, 10),
)
SMALL_GB = 1.0  # of any one
PEERS_GB = 1.0  # their environments, made once


def main() -> int:
    options = parse_options()
    chosen = [one for one in BENCHMARKS if one.name in (options.names or [one.name])]
    announce(chosen, full=options.full)
    failed, tables = [], []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="vbn-bench-json-") as folder:
        for one in chosen:
            file = Path(folder) / f"{one.name}.json"
            words = [*(one.full if options.full else one.small), "--json", str(file)]
            print(f"\n# {one.name} {' '.join(words[:-2])}", flush=True)
            code = subprocess.run([sys.executable, "-m", f"benchmarks.{one.name}", *words]).returncode
            if code == 0 and file.exists():
                tables.append(json.loads(file.read_text()))
            else:
                failed.append(one.name)
    print(f"\n# All, in {(time.perf_counter() - started) / 60:.0f} minutes\n")
    for table in tables:
        print(f"{in_words(table['settings'])}\n\n{as_markdown(table)}\n")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "benchmarks": tables}, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def parse_options() -> argparse.Namespace:
    made = parser(__doc__)
    names = [one.name for one in BENCHMARKS]
    made.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; default: all")
    made.add_argument("--full", action="store_true")
    options = made.parse_args()
    if unknown := set(options.names) - set(names):
        made.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def announce(chosen: list[Benchmark], *, full: bool) -> None:
    """Print the required disk space and time, and stop if the disk is too small."""
    minutes = sum(one.full_minutes if full else one.small_minutes for one in chosen)
    needed_gb = max(one.full_gb if full else SMALL_GB for one in chosen) + PEERS_GB
    folder = tempfile.gettempdir()
    free_gb = shutil.disk_usage(folder).free / 1e9
    needs = f"About {minutes:.0f} minutes on two cores, and {needed_gb:.0f} GB"
    print(f"{needs} in {folder}, which has {free_gb:.0f} GB free.", flush=True)
    if free_gb < needed_gb:
        sys.exit(f"{folder} is too full: name another folder in TMPDIR.")


if __name__ == "__main__":
    sys.exit(main())
