"""Maliciously changed files: each must be imported, possibly with issues, or refused.

Mutants of a small recording (with VBN_CORPUS also of a training session and an LFP file) are made, registered
and populated, one after the other, in a monitored process. A mutant that ends in a traceback, a hang (longer
than LONGEST_S), a crash, more than PEAK_BYTES of memory, rows of a part of a session, or arrays without rows
is a failure. At the end an unchanged recording must be imported completely. Mutants are numbered: number 7 is
always the same.

    python -m benchmarks.fuzz --mutants 300                      the embedded server
    python -m benchmarks.fuzz --backend mysql --mutants 300      the server that DJ_HOST ... name
    python -m benchmarks.fuzz --first 123 --mutants 1            one mutant again
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.faults.cleanup import drop
from benchmarks.faults.content import FILES_THAT_ROWS_NAME, Environment, script, stored, vbn
from benchmarks.faults.servers import EmbeddedPostgres, MySql
from benchmarks.fuzz.mutants import Sources, find_sources

LONGEST_S = 120
PEAK_BYTES = 3 * 2**29
UNCHANGED = -1
"""What the number of an unchanged recording begins with."""


def main() -> int:
    """Run, print the failures, and return 0 if there was none."""
    arguments = parse_arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="vbn-fuzz-"))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        home = folder / "home"
        server = EmbeddedPostgres(home) if arguments.backend == "embedded" else MySql(home, None, None)
        stack.callback(server.close)
        environment = environment_of(server, folder / "store")
        vbn(environment, "deploy")
        stack.callback(drop, environment)
        harness = Harness(environment, folder, find_sources(folder / "seed"))
        stack.callback(harness.stop)
        numbers = range(arguments.first, arguments.first + arguments.mutants)
        n_wrong = 0
        for line in chain(harness.run(numbers), left_behind(environment, folder / "store")):
            print(line, flush=True)
            n_wrong += 1
    print(
        json.dumps(
            {"server": server.name, "mutants": arguments.mutants, "wrong": n_wrong, **harness.summary()}
        )
    )
    return bool(n_wrong)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backend", choices=("embedded", "mysql"), default="embedded")
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    return parser.parse_args()


def environment_of(server: Any, store: Path) -> Environment:
    """Return the environment of a process with its own database."""
    store.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "VBN_"))}
    own = {
        "VBN_PREFIX": f"fuzz{secrets.token_hex(3)}_",
        "DJ_STORES": json.dumps({"vbn": {"protocol": "file", "location": str(store)}}),
        "DJ_IGNORE_CONFIG_FILE": "true",
    }
    return {**clean, **own, **server.settings()}


def left_behind(environment: Environment, store: Path) -> Iterator[str]:
    """Yield unexpected content of the store and the job tables."""
    rows_name = set(map(str, script(environment, FILES_THAT_ROWS_NAME)))
    if stored(store) != rows_name:
        yield f"arrays without rows, or rows without: {sorted(stored(store) ^ rows_name)}"
    reserved = sum(state["reserved"] for state in json.loads(vbn(environment, "status", "--json")))
    if reserved:
        yield f"{reserved} jobs are reserved by nobody"


class Harness:
    """Passes mutants to a child process, and monitors it."""

    def __init__(self, environment: Environment, folder: Path, sources: Sources) -> None:
        self.environment, self.folder = environment, folder
        self.sources = json.dumps({name: path and str(path) for name, path in asdict(sources).items()})
        self.ends: Counter[str] = Counter()
        self.peak_bytes, self.longest_s = 0, 0.0
        self.child: subprocess.Popen[str] | None = None

    def run(self, numbers: range) -> Iterator[str]:
        """Yield the failures of each mutant, and of an unchanged recording after them."""
        for number in tqdm(numbers, unit="mutant"):
            yield from self.try_mutant(number)
        before = self.ends["imported"]
        yield from self.try_mutant(UNCHANGED - numbers.stop)
        if self.ends["imported"] != before + 1:
            yield "the unchanged recording was not imported whole"

    def try_mutant(self, number: int) -> Iterator[str]:
        """Let the child import a mutant; yield failures."""
        child = self.child or self.start()
        print(number, file=child.stdin, flush=True)
        made = self.answer()
        found = made and self.answer()
        name = f"{number} ({'; '.join(made['changes'])})" if made else f"{number} (not made)"
        if found is None:
            yield f"{name}: {self.end_of_child()}"
            return
        self.ends.update(found["ends"])
        self.peak_bytes = max(self.peak_bytes, found["peak_bytes"])
        self.longest_s = max(self.longest_s, found["duration_s"])
        yield from (f"{name}: {problem}" for problem in found["problems"])
        if found["peak_bytes"] > PEAK_BYTES:
            yield f"{name}: took {found['peak_bytes'] / 1e9:.1f} GB"

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.fuzz.child", str(self.folder), self.sources]
        self.child = subprocess.Popen(
            command,
            env=self.environment,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        if self.answer() is None:
            raise RuntimeError("the process that imports does not start")
        return self.child

    def answer(self) -> dict[str, Any] | None:
        """Wait for the child's next answer; None if it has died, or takes too long."""
        assert self.child is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            line = self.child.stdout.readline() if selector.select(LONGEST_S) else ""
        return json.loads(line) if line else None

    def end_of_child(self) -> str:
        """Stop the child, and return how it ended."""
        assert self.child is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(5)
        code = self.child.poll()
        self.stop()
        return f"no end within {LONGEST_S} s" if code is None else f"the process died with code {code}"

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
        self.child = None

    def summary(self) -> dict[str, Any]:
        """Return how the mutants ended."""
        return {
            "ends": dict(self.ends),
            "peak_gb": round(self.peak_bytes / 1e9, 2),
            "longest_s": round(self.longest_s, 1),
        }


if __name__ == "__main__":
    sys.exit(main())
