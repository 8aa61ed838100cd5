"""Timing, and the tables that the benchmarks print.

A benchmark builds a `Results`, adds a row for each thing that it timed, and ends with `Results.finish`:

>>> results = Results("sums", {"numbers": 1000})
>>> results.add("a pass", 0.002)
>>> results.add("sum", 0.005, base="a pass", goal=at_most(3, "x"))
>>> results.add("rows", 60_000, unit="rows/s", goal=at_least(50_000, "rows/s"))
>>> print(results.markdown())
| sums | measured | against | goal | met |
|---|---|---|---|---|
| a pass | 0.0020 s |  |  |  |
| sum | 0.0050 s | 2.5 x a pass | at most 3 x | yes |
| rows | 60,000 rows/s |  | at least 50,000 rows/s | yes |
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

# Runs a command as its only child, so that the peak memory of the children is that of the command.
RUN_ALONE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, code]))
"""


@dataclass(frozen=True)
class Timing:
    """Wall seconds of the repeats of one call."""

    median: float
    fastest: float
    all: tuple[float, ...]


def timed(call: Callable[[], object], repeats: int) -> Timing:
    """Time repeated calls, after a first one that pays for imports, caches and fresh memory."""
    call()
    return timed_cold(call, repeats)


def timed_cold(call: Callable[[], object], repeats: int) -> Timing:
    """Like `timed`, without the first call."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return timing(seconds)


def timing(seconds: list[float]) -> Timing:
    """Summarize times that were measured elsewhere."""
    return Timing(statistics.median(seconds), min(seconds), tuple(seconds))


def timed_process(command: list[str], env: dict[str, str] | None = None) -> tuple[float, float]:
    """Return wall seconds and peak memory (GB) of a process, its start included."""
    run = [sys.executable, "-c", RUN_ALONE, *command]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=env)
    seconds, gigabytes, code = json.loads(done.stdout)
    if code != 0:
        sys.exit(f"failed: {' '.join(command)}\n{done.stderr}")
    return seconds, gigabytes


def machine() -> dict[str, Any]:
    """Return the properties of this machine that matter for speed, without its name."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


@dataclass(frozen=True)
class Goal:
    """A bound on what was measured, or with the unit ``x`` on its ratio to the base."""

    limit: float
    unit: str
    is_upper: bool

    def met(self, value: float) -> bool:
        return value <= self.limit if self.is_upper else value >= self.limit

    def __str__(self) -> str:
        return f"at {'most' if self.is_upper else 'least'} {self.limit:,} {self.unit}"


def at_most(limit: float, unit: str = "s") -> Goal:
    return Goal(limit, unit, is_upper=True)


def at_least(limit: float, unit: str = "s") -> Goal:
    return Goal(limit, unit, is_upper=False)


@dataclass(frozen=True)
class Row:
    """One thing measured. ``repeats`` are all of its seconds; ``ratio`` is to the row ``base``."""

    name: str
    value: float
    unit: str
    base: str | None
    ratio: float | None
    goal: Goal | None
    met: bool | None
    repeats: tuple[float, ...]
    note: str


class Results:
    """The rows of one benchmark; ``settings`` say on what they were measured."""

    def __init__(self, title: str, settings: dict[str, Any] | None = None) -> None:
        self.title = title
        self.settings = settings or {}
        self.machine = machine()
        self.rows: list[Row] = []

    def add(
        self,
        name: str,
        measured: Timing | float,
        *,
        unit: str = "s",
        base: str | None = None,
        goal: Goal | None = None,
        note: str = "",
    ) -> None:
        """Add a row; of a `Timing` the median. ``base`` names a row that is there already."""
        repeats = measured.all if isinstance(measured, Timing) else (measured,)
        value = measured.median if isinstance(measured, Timing) else measured
        ratio = value / self[base].value if base is not None else None
        if goal is not None and goal.unit not in ({unit, "x"} if base else {unit}):
            raise ValueError(f"a goal in {goal.unit!r} for {name!r}, which is in {unit!r} with base {base!r}")
        met = goal.met(ratio if goal.unit == "x" and ratio is not None else value) if goal else None
        self.rows.append(Row(name, value, unit, base, ratio, goal, met, repeats, note))

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def markdown(self) -> str:
        """Return the table; the column of notes only where there are some."""
        return as_markdown(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        rows = [{**asdict(row), "goal": str(row.goal) if row.goal else None} for row in self.rows]
        return {"title": self.title, "settings": self.settings, "machine": self.machine, "rows": rows}

    def finish(self, json_file: Path | None = None) -> None:
        """Print the settings and the table, and write the JSON file if one is asked for."""
        print(in_words(self.settings))
        print(in_words(self.machine))
        print(f"\n{self.markdown()}\n", flush=True)
        if json_file is not None:
            json_file.write_text(json.dumps(self.as_dict(), indent=1) + "\n")


def in_words(settings: dict[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in settings.items())


def as_markdown(results: dict[str, Any]) -> str:
    """Return the table of what `Results.as_dict` gave, or its JSON file."""
    rows = results["rows"]
    has_notes = any(row["note"] for row in rows)
    head = [results["title"], "measured", "against", "goal", "met", *["note"] * has_notes]
    lines = [head, *(_cells(row)[: len(head)] for row in rows)]
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([table[0], "|---" * len(head) + "|", *table[1:]])


def _cells(row: dict[str, Any]) -> list[str]:
    against = f"{readable(row['ratio'])} x {row['base']}" if row["base"] else ""
    met = {None: "", True: "yes", False: "no"}[row["met"]]
    return [
        row["name"],
        f"{readable(row['value'])} {row['unit']}",
        against,
        row["goal"] or "",
        met,
        row["note"],
    ]


def readable(value: float) -> str:
    """Return a number with two to four digits; thousands with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.{1 if value >= 1 else 2 if value >= 0.1 else 4}f}"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the text of a benchmark's module, and its ``--json FILE``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there as JSON too")
    return made


BEGIN, END = "<!-- benchmark: begin -->\n", "<!-- benchmark: end -->\n"


def with_table(page: str, table: str) -> str:
    """Return a page of the documentation with a table between its marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END)[1]
