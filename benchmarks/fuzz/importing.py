"""Importing one file in this process, and checking the outcome."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from populate.registration.register import register
from populate.work import runner
from schemas.bases.registry import part_classes, tables
from schemas.server.datajoint import dj

# What `populate.work.runner.explain` writes for an exception that nobody expected.
UNEXPECTED = re.compile(r"^[A-Za-z_.]*(Error|Exception|Warning|Interrupt)\b: |Traceback|object at 0x")
# Table and part -> the attribute of the table that counts the part.
COUNTED = {
    ("Recording", "Unit"): "n_units",
    ("Recording", "Channel"): "n_channels",
    ("Recording", "Probe"): "n_probes",
    ("ChangeDetection", "Trial"): "n_trials",
    ("ChangeDetection", "Reward"): "n_rewards",
    ("Stimulus", "Presentation"): "n_presentations_total",
    ("Stimulus", "Block"): "n_blocks",
    ("OptoStimulation", "Pulse"): "n_pulses",
}
LFP_TABLES = ("Recording", "Lfp", "CurrentSourceDensity", "LfpPiece")


@dataclass
class Tally:
    """Counts of the outcomes of mutants."""

    ends: Counter[str] = field(default_factory=Counter)
    mutants: int = 0
    wrong: list[str] = field(default_factory=list)
    warned: set[str] = field(default_factory=set)


def import_files(paths: list[Path], tally: Tally, only: Sequence[str] = ()) -> Iterator[str]:
    """Register and populate as the command line does; yield failures.

    Parameters
    ----------
    paths : the files, the one in question last; an LFP file comes with its recording.
    tally : counts how it ended.
    only : tables that are populated; all, if empty.
    """
    is_lfp = len(paths) > 1
    *_, outcome = register(list(paths))
    if outcome.status == "failed":
        tally.ends["refused"] += 1
        tally.ends["LFP files refused"] += is_lfp
        yield from wrong_message(outcome.message)
        return
    keys = runner.session_keys([outcome.session_id])
    results = list(runner.run(keys, runner.populated_tables(LFP_TABLES if is_lfp else only)))
    tally.ends["LFP files registered"] += is_lfp
    failed = {result.table: result.error for result in results if result.error is not None}
    tally.ends["with errors" if failed else "imported"] += 1
    tally.ends["tables with errors"] += len(failed)
    for table, message in failed.items():
        for problem in wrong_message(message):
            yield f"{table}: {problem}"


def tables_of_files() -> list[str]:
    """Return the names of the tables that are made from files, not from other tables."""
    return [table.__name__ for table in runner.populated_tables() if issubclass(table, dj.Imported)]


def wrong_message(message: str) -> Iterator[str]:
    """Yield the failure if a message is not for people."""
    if UNEXPECTED.search(message) or "\n" in message or len(message) > 1500:
        yield message[:400]


def partial_rows(session_id: int) -> Iterator[str]:
    """Yield tables that hold only a part of a session."""
    key = {"session_id": session_id}
    for master in tables(dj.Imported, dj.Computed):
        if "session_id" not in master().heading.names:
            continue
        is_there = len(master & key) > 0
        for part in part_classes(master):
            n_rows = len(part() & key)
            if n_rows and not is_there:
                yield f"{part.__name__} has {n_rows} rows without a row of {master.__name__}"
            attribute = COUNTED.get((master.__name__, part.__name__))
            if attribute and is_there and n_rows != (counted := (master & key).fetch1(attribute)):
                yield f"{part.__name__} has {n_rows} rows, {master.__name__}.{attribute} is {counted}"


def without_escape(problems: Iterator[str]) -> Iterator[str]:
    """Turn an exception that the user would see into a failure."""
    try:
        yield from problems
    except Exception as error:  # noqa: BLE001 - this is what the test looks for
        yield f"escaped: {type(error).__name__}: {error}"[:400]
