"""The content of a database, for comparison with that of an undisturbed run."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.launcher import ForkedCommand, Launcher

Environment = dict[str, str]
ROOT = Path(__file__).parents[2]
LONGEST_COMMAND_S = 600
PATIENCE_S = 20

LEAVES_OF_A_SNAPSHOT = """
import json, sys
import schemas
from schemas.bases.registry import part_classes, tables
from schemas.server.datajoint import dj
schemas.connect()
found = {}
for master in tables(dj.Imported, dj.Computed):
    names = list(master.primary_key)
    entries = {json.dumps(key, sort_keys=True): {} for key in master().keys()}
    for part in part_classes(master):
        columns = ", ".join(names)
        query = f"SELECT {columns}, count(*) FROM {part().full_table_name} GROUP BY {columns}"
        for *values, number in dj.conn().query(query).fetchall():
            key = json.dumps(dict(zip(names, values)), sort_keys=True)
            entries.setdefault(key, {"without a master": 1})[part.__name__] = number
    found[master.__name__] = entries
print(json.dumps(found))
"""
LOCKS = """
import schemas
from schemas.server.connection import open_database
database = open_database()
names = database.prefix.replace("_", r"\\_") + "%"
if database.backend == "mysql":
    query = "SELECT count(*) FROM performance_schema.metadata_locks WHERE object_schema LIKE %s "
    query += "AND owner_thread_id <> ps_current_thread_id()"
else:
    query = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
    query += "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname LIKE %s"
print(database.connection.query(query, (names,)).fetchone()[0])
"""
FILES_THAT_ROWS_NAME = """
import json
import schemas
from schemas.bases.registry import part_classes, tables
schemas.connect()
paths = []
for master in tables():
    for table in (master, *part_classes(master)):
        names = [name for name, a in table().heading.attributes.items() if a.codec and a.codec.name == "npy"]
        for name in names:
            for row in table().proj(name).to_dicts():
                if row[name] is not None:
                    paths.append(row[name].path)
print(json.dumps(paths))
"""


@dataclass(frozen=True)
class Verdict:
    """Problems after a run; all zero if there were none."""

    lost_rows: int = 0
    doubled_rows: int = 0
    half_entries: int = 0
    reservations_left: int = 0
    unexpected_errors: int = 0
    different_tables: int = 0
    files_left: int = 0
    files_put_aside: int = 0
    locks_left: int = 0
    details: tuple[str, ...] = field(default=(), compare=False)  # which tables and jobs

    @property
    def is_good(self) -> bool:
        """Return whether there was no problem; garbage that gc removes is not one."""
        wrong = (
            self.lost_rows,
            self.doubled_rows,
            self.half_entries,
            self.reservations_left,
            self.locks_left,
        )
        return not any((*wrong, self.unexpected_errors, self.different_tables, self.files_left))


@functools.cache
def launcher() -> Launcher:
    """Return what starts commands without importing everything anew."""
    return Launcher.start()


def start(words: list[str], environment: Environment, log: Path) -> ForkedCommand:
    """Start Python in a session of its own, which adds its output to a log."""
    with log.open("ab") as file:
        return launcher().fork(words, environment, str(ROOT), stdout=file, stderr=file, own_session=True)


def python(words: list[str], environment: Environment) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    with launcher().fork(words, environment, str(ROOT)) as process:
        output, errors = process.communicate(LONGEST_COMMAND_S)
        return subprocess.CompletedProcess(words, process.wait(), output, errors)


def vbn(environment: Environment, *arguments: object) -> str:
    """Run a command, which must succeed, and return its output."""
    done = python(["-m", "populate", *map(str, arguments)], environment)
    if done.returncode:
        raise RuntimeError(f"vbn {' '.join(map(str, arguments))} failed: {done.stderr or done.stdout}")
    return done.stdout


def script(environment: Environment, text: str) -> Any:
    """Run a Python script in a process of its own, and return the JSON that it prints."""
    done = python(["-c", text], environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def locks_left(environment: Environment) -> int:
    """Return the number of locks on tables of a database, once processes that ended are forgotten."""
    deadline = time.monotonic() + PATIENCE_S
    while (number := int(script(environment, LOCKS))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return number


def entries(environment: Environment) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of rows of each part, per table and entry."""
    found: dict[str, dict[str, dict[str, int]]] = script(environment, LEAVES_OF_A_SNAPSHOT)
    return found


def half_entries(found: dict[str, Any], reference: dict[str, Any]) -> int:
    """Return the number of entries whose parts differ from those of the undisturbed run."""
    return sum(
        parts != reference[table].get(key)
        for table, present in found.items()
        for key, parts in present.items()
    )


@dataclass(frozen=True)
class Content:
    """The complete result of a run."""

    checksums: dict[str, str]
    entries: dict[str, dict[str, dict[str, int]]]
    errors: Counter[str]

    @classmethod
    def of(cls, environment: Environment) -> Content:
        """Return the content of a database."""
        checksums = json.loads(vbn(environment, "checksum", "--stable", "--json"))["tables"]
        errors = json.loads(vbn(environment, "errors", "--json"))
        names = Counter(f"{error['table']} {sorted(error['key'].items())}" for error in errors)
        return cls(checksums, entries(environment), names)

    def compare(self, other: Content, environment: Environment, store: Path) -> Verdict:
        """Return how another run differs, after gc has quarantined files without rows."""
        wanted, found = _counts(self.entries), _counts(other.entries)
        status = json.loads(vbn(environment, "status", "--json"))
        rows_name = set(map(str, script(environment, FILES_THAT_ROWS_NAME)))
        found_files = stored(store)
        put_aside = 0
        if rows_name <= found_files:  # else gc refuses to work
            options = ("--go", "--older-than", "0s", "--max-share", "100", "--json")
            put_aside = len(json.loads(vbn(environment, "gc", *options))["files"])
            found_files = stored(store)
        different = [
            table
            for table in sorted(self.checksums.keys() | other.checksums.keys())
            if self.checksums.get(table) != other.checksums.get(table)
        ]
        errors = (other.errors - self.errors) + (self.errors - other.errors)
        return Verdict(
            lost_rows=sum((wanted - found).values()),
            doubled_rows=sum((found - wanted).values()),
            half_entries=half_entries(other.entries, self.entries),
            reservations_left=sum(state["reserved"] for state in status),
            unexpected_errors=errors.total(),
            different_tables=len(different),
            files_left=len(found_files ^ rows_name),
            files_put_aside=put_aside,
            details=(*different, *map(str, errors)),
        )


def stored(store: Path) -> set[str]:
    """Return the array files in the store."""
    return {path.relative_to(store).as_posix() for path in (store / "_schema").rglob("*") if path.is_file()}


def _counts(entries: dict[str, dict[str, dict[str, int]]]) -> Counter[str]:
    """Return the number of rows of each table and part, per entry."""
    counts: Counter[str] = Counter()
    for table, present in entries.items():
        for key, parts in present.items():
            counts[f"{table} {key}"] += 1
            for part, number in parts.items():
                counts[f"{table}.{part} {key}"] += number
    return counts
