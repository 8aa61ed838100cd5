"""Workers under faults: nothing is lost, duplicated, incomplete or left behind.

Each run registers the same synthetic sessions (one of them with a file that turns bad) in a database of its
own, lets several workers import and compute them, injects faults until there were enough or the work is done,
then lets one undisturbed worker finish. By checksum, the result must be that of an undisturbed run.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.content import (
    Content,
    Environment,
    Verdict,
    entries,
    half_entries,
    locks_left,
    python,
    start,
    vbn,
)
from benchmarks.faults.kinds import FAULTS, STARTS, Kind, is_surprised
from benchmarks.faults.world import Tally, World, WrongStateError

LONGEST_RUN_S = 300
PAUSE_S = (0.2, 1.2)  # between two faults
LONGEST_ACTION_S = 2.0  # before it may be killed
SHARE_OF_STARTS, SHARE_KILLED = 0.65, 0.5
AFTERWARDS = "an undisturbed worker afterwards"
SHORT_OF_MEMORY = "not enough memory"


@dataclass
class Started:
    """A process beside the workers."""

    process: Any
    name: str
    log: Path
    dies_at: float | None = None
    is_killed: bool = False


class Workers:
    """Several worker processes, which are restarted when they end, as by a service manager."""

    def __init__(self, environment: Environment, number: int, log: Path) -> None:
        self.environment, self.log = environment, log
        self.places: list[Any] = [None] * number
        self.faults: list[tuple[str, str] | None] = [None] * number

    def start(self, place: int, kind: str | None = None, **extra: str) -> None:
        """Start a worker, with a fault of a kind if one is named."""
        other_host = {"VBN_HOST": f"host{place}", "VBN_LOST_AFTER": "1"}
        words = ["-m", "benchmarks.faults.worker", "worker", "--until-idle", "--poll", "0.3"]
        words += ["--log", "json", "--tries", "1000"]
        self.places[place] = start(words, {**self.environment, **other_host, **extra}, self.log)
        self.faults[place] = None if kind is None else (kind, extra.get("VBN_FAULT", ""))

    def ended(self) -> Iterator[tuple[int, tuple[str, str] | None]]:
        """Yield exit code and fault of each worker that has ended."""
        for place, process in enumerate(self.places):
            if process is not None and (code := process.poll()) is not None:
                self.places[place] = None
                yield code, self.faults[place]

    def alive(self) -> list[Any]:
        """Return the running workers."""
        return [process for process in self.places if process is not None and process.poll() is None]

    def kill(self, process: Any) -> bool:
        """Kill a worker, which then does not die of the fault that it was started with."""
        self.faults[self.places.index(process)] = None
        process.kill()
        return True

    def kill_all(self) -> None:
        """Kill all workers."""
        for process in filter(None, self.places):
            process.kill()
            process.wait()
        self.places = [None] * len(self.places)


@dataclass
class Run:
    """One run on a database of its own: what is injected into it, and what was found afterwards."""

    world: World
    prefix: str
    kinds: dict[str, Kind]
    workers: Workers = field(init=False)
    others: list[Started] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.chooser = self.world.chooser
        self.folder = self.world.folder / f"run-{self.prefix}"
        self.folder.mkdir()
        self.backup = self.folder / "backup"
        self.plain = self.world.environment(self.prefix)
        proxied = self.world.environment(self.prefix, self.world.proxy.port)
        self.workers = Workers(proxied, self.world.arguments.workers, self.folder / "workers.log")

    def start(self, *words: object, name: str = "", **extra: str) -> Started:
        """Start a process beside the workers."""
        log = self.folder / f"process-{len(self.others)}.log"
        process = start(list(map(str, words)), {**self.workers.environment, **extra}, log)
        self.others.append(Started(process, name, log))
        return self.others[-1]

    def act(self, *words: object) -> bool:
        """Let an administrator start a command, which in half of the cases will be killed soon."""
        started = self.start("-m", "populate", *words, name=str(words[0]))
        if self.chooser.random() < SHARE_KILLED:
            started.dies_at = time.monotonic() + self.chooser.uniform(0, LONGEST_ACTION_S)
        return True

    def disturb(self) -> None:
        """Inject faults until there were enough, or the workers have nothing left to do."""
        end, idle, wanted = time.monotonic() + LONGEST_RUN_S, 0, self.world.arguments.per_run
        try:
            while time.monotonic() < end and idle < len(self.workers.places) and self.n_faults < wanted:
                for code, fault in list(self.workers.ended()):
                    idle = idle + 1 if code in (0, 1) and fault is None else 0
                    self._settle_start(code, fault)
                for place, process in enumerate(self.workers.places):
                    if process is None and idle < len(self.workers.places):
                        self._start_worker(place)
                time.sleep(self.chooser.uniform(*PAUSE_S))
                self._kill_due()
                external = [name for name in self.kinds if name in FAULTS]
                if external and self.workers.alive():
                    self._inject(self.chooser.choice(external))
        finally:
            self.workers.kill_all()
            self._end_others()

    def _inject(self, name: str) -> None:
        self.tally.tries[name] += 1
        try:
            happened = FAULTS[name].inject(self)
        except WrongStateError as problem:
            happened = True
            self.tally.problems[name].append(str(problem))
        if happened:
            self._count(name)

    @property
    def n_faults(self) -> int:
        """Return how many faults there were."""
        return self.tally.faults.total()

    def _count(self, kind: str) -> None:
        self.tally.faults[kind] += 1

    def _start_worker(self, place: int) -> None:
        starts = [name for name in self.kinds if name in STARTS]
        if not starts or self.chooser.random() > SHARE_OF_STARTS:
            self.workers.start(place)
            return
        name = self.chooser.choice(starts)
        settings = STARTS[name].inject(self)
        self.workers.start(place, name, **settings)
        if name == "kill -9 at a point":
            name = _at(settings["VBN_FAULT"])
        self.tally.tries[name] += name != "out of memory"  # of which only what failed is counted
        if name == "clock skew":
            self._count(name)

    def _settle_start(self, code: int, fault: tuple[str, str] | None) -> None:
        """Count what can be counted only when a worker has ended."""
        if fault is None:
            return
        if fault[0] == "kill -9 at a point" and code == -signal.SIGKILL:
            self._count(_at(fault[1]))
        if fault[0] in ("missing mount", "wrong store") and code == 1:
            self._count(fault[0])
        if fault[0] == "wrong store" and any((self.folder / "unmounted").iterdir()):
            self.tally.problems["wrong store"].append("something was written to the wrong store")

    def _kill_due(self) -> None:
        for each in self.others:
            if each.dies_at and time.monotonic() > each.dies_at and each.process.poll() is None:
                os.killpg(each.process.pid, signal.SIGKILL)
                each.dies_at, each.is_killed = None, True
                self.tally.tries[f"kill -9 of vbn {each.name}"] += 1
                self._count(f"kill -9 of vbn {each.name}")

    def _end_others(self) -> None:
        """Let commands of people end, and kill the rest."""
        for each in self.others:
            if each.name:
                each.process.wait(LONGEST_RUN_S)
                if not each.is_killed and is_surprised(said := each.log.read_text()):
                    self.tally.problems[f"vbn {each.name} at once"].append(said.strip()[-500:])
            elif each.process.poll() is None:
                os.killpg(each.process.pid, signal.SIGKILL)
                each.process.wait()

    def finish(self, reference: Content) -> None:
        """Let one undisturbed worker do the rest, and compare."""
        events = (json.loads(line) for line in self.workers.log.read_text().splitlines() if line[:1] == "{")
        crashes = [event["error"].strip()[-500:] for event in events if event["event"] == "crashed"]
        if crashes:
            self.tally.problems["a worker that crashed"] += crashes
        locks = locks_left(self.plain)
        found_half = half_entries(entries(self.plain), reference.entries)
        self._retry_jobs_short_of_memory()
        if "vbn recompute at once" in self.kinds:
            vbn(self.plain, "recompute", "--yes")
        finish(self.plain)
        if self.backup.exists():
            vbn(self.plain, "backup", self.backup)
            vbn(self.plain, "restore", self.backup, "--check")
        verdict = reference.compare(Content.of(self.plain), self.plain, self.world.store)
        found = {"half_entries": verdict.half_entries + found_half, "locks_left": locks}
        self.verdict = Verdict(**{**asdict(verdict), **found})

    def _retry_jobs_short_of_memory(self) -> None:
        if "out of memory" not in self.kinds:
            return
        for error in json.loads(vbn(self.plain, "errors", "--json")):
            if SHORT_OF_MEMORY in str(error):
                session = ("--session", error["key"]["session_id"]) if "session_id" in error["key"] else ()
                vbn(self.plain, "retry", "--table", error["table"], *session)
                self.tally.tries["out of memory"] += 1
                self._count("out of memory")


def _at(fault: str) -> str:
    return f"kill -9 at '{fault.partition(':')[0]}'"


def finish(environment: Environment) -> None:
    """Let one undisturbed worker finish; it ends with 1, as one file is bad."""
    words = ["-m", "populate", "worker", "--until-idle", "--poll", "0.3", "--log", "json"]
    done = python(words, environment)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the worker ended with {done.returncode}: {done.stderr}\n{done.stdout[-2000:]}")


@functools.cache
def undisturbed(world: World) -> Content:
    """Return what there is when nothing went wrong."""
    prefix = world.new_database()
    finish(world.environment(prefix))
    content = Content.of(world.environment(prefix))
    world.drop(prefix)
    return content


def run(world: World, kinds: dict[str, Kind], n_faults: int, progress: Callable[[str], Any]) -> Iterator[Run]:
    """Disturb workers in one run after the other, until so many faults were injected; yield each."""
    possible = {name: kind for name, kind in kinds.items() if kind.is_possible(world)}
    reference = undisturbed(world)
    injected = 0
    while injected < n_faults:
        each = Run(world, world.new_database(), possible)
        each.disturb()
        try:
            each.finish(reference)
        except RuntimeError as error:
            each.tally.problems[AFTERWARDS].append(str(error)[-500:])
        injected += each.n_faults
        world.tally.add(each.tally)
        progress(f"{each.prefix}: {each.n_faults} faults, {each.verdict}, {dict(each.tally.problems)}")
        if each.tally.problems or not each.verdict.is_good:
            kept = Path(tempfile.mkdtemp(prefix="vbn-faults-kept-"))
            for log in each.folder.glob("*.log"):
                shutil.move(log, kept)
            progress(f"logs: {kept}")
        yield each
        world.drop(each.prefix)
