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
import subprocess
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

LONGEST_RUN_S = 600
PAUSE_S = (0.2, 1.2)  # between two faults
LONGEST_PATIENCE_S = 20.0  # with workers that have taken up no job since the last fault
LONGEST_ACTION_S = 2.0  # before it may be killed
SHARE_OF_STARTS, SHARE_KILLED = 0.5, 0.5
AFTERWARDS = "an undisturbed worker afterwards"
SHORT_OF_MEMORY = "not enough memory"
SET_ASIDE = "workers were lost with this job"
SIGNS = {
    "missing mount": ('"host_lacks"',),
    "wrong store": ("is not the one of this database",),
    "out of memory": (SHORT_OF_MEMORY, "OpenBLAS error: Memory allocation still failed"),  # which exits
}
"""What a worker's log says when the fault has happened that it was started with."""
DEATHS = (
    -signal.SIGSEGV,
    -signal.SIGABRT,
    -signal.SIGBUS,
)  # of libraries that ask for memory and take any answer


@dataclass
class Started:
    """A process beside the workers."""

    process: Any
    name: str
    log: Path
    dies_at: float | None = None
    is_killed: bool = False


@dataclass
class StartFault:
    """A fault that a worker was started with, and where the worker says what happens to it."""

    kind: str
    setting: str
    log: Path
    place: int
    is_counted: bool = False

    def has_happened(self) -> bool:
        """Return whether the log says so."""
        text = self.log.read_text() if self.kind in SIGNS else ""
        return any(words in text for words in SIGNS.get(self.kind, ()))


class Workers:
    """Several worker processes, which are restarted when they end, as by a service manager."""

    def __init__(self, environment: Environment, number: int, log: Path) -> None:
        self.environment, self.log = environment, log
        self.places: list[Any] = [None] * number
        self.faults: list[StartFault | None] = [None] * number
        self.started_with: list[StartFault] = []

    def start(self, place: int, kind: str | None = None, **extra: str) -> None:
        """Start a worker, with a fault of a kind if one is named."""
        other_host = {"VBN_HOST": f"host{place}", "VBN_LOST_AFTER": "1"}
        words = ["-m", "benchmarks.faults.worker", "worker", "--until-idle", "--poll", "0.3"]
        words += ["--log", "json", "--tries", "1000"]
        log, fault = self.log, None
        if kind is not None:
            log = self.log.with_name(f"workers-{len(self.started_with)}.log")
            fault = StartFault(kind, extra.get("VBN_FAULT", ""), log, place)
            self.started_with.append(fault)
        self.places[place] = start(words, {**self.environment, **other_host, **extra}, log)
        self.faults[place] = fault

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield what the workers have reported."""
        for log in [self.log, *(fault.log for fault in self.started_with)]:
            lines = log.read_text().splitlines() if log.exists() else []
            yield from (json.loads(line) for line in lines if line[:1] + line[-1:] == "{}")

    def n_begun(self) -> int:
        """Return how many jobs the workers have taken up."""
        return sum(event["event"] == "job_started" for event in self.events())

    def ended(self) -> Iterator[tuple[int, StartFault | None]]:
        """Yield exit code and fault of each worker that has ended."""
        for place, process in enumerate(self.places):
            if process is not None and (code := process.poll()) is not None:
                self.places[place] = None
                yield code, self.faults[place]

    def alive(self) -> list[Any]:
        """Return the running workers."""
        return [process for process in self.places if process is not None and process.poll() is None]

    def settled(self) -> list[int]:
        """Return the places of workers that have had their fault, or were started without."""
        return [place for place, fault in enumerate(self.faults) if fault is None or fault.is_counted]

    def kill(self, process: Any) -> bool:
        """Kill a worker, which then does not die of the fault that it was started with."""
        self.faults[self.places.index(process)] = None
        process.kill()
        return True

    def stop(self, place: int) -> None:
        """Let a worker give its job back and end, as a service manager does; kill one that does not."""
        process = self.places[place]
        self.places[place] = self.faults[place] = None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(LONGEST_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

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
    n_begun: int = 0

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
                self._count_signs()
                for code, fault in list(self.workers.ended()):
                    idle = idle + 1 if code in (0, 1) and fault is None else 0
                    self._settle_start(code, fault)
                for place, process in enumerate(self.workers.places):
                    if process is None and idle < len(self.workers.places):
                        self._start_any_worker(place)
                self._await_work()
                self._kill_due()
                if self.workers.alive():
                    self._inject(self.chooser.choice(list(self.kinds)))
        finally:
            self.workers.kill_all()
            self._count_signs()
            self._end_others()

    def _await_work(self) -> None:
        """Let workers take up a job, so that a fault hits more than their start on a busy machine."""
        end = time.monotonic() + LONGEST_PATIENCE_S
        while self.workers.n_begun() == self.n_begun and self.workers.alive() and time.monotonic() < end:
            time.sleep(0.1)
        self.n_begun = self.workers.n_begun()
        time.sleep(self.chooser.uniform(*PAUSE_S))

    def _inject(self, name: str) -> None:
        if name in STARTS:
            if settled := self.workers.settled():  # else there are enough such faults that are to come
                place = self.chooser.choice(settled)
                self.workers.stop(place)
                self._start_worker(place, name)
            return
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

    def _start_any_worker(self, place: int) -> None:
        starts = [name for name in self.kinds if name in STARTS]
        if not starts or self.chooser.random() > SHARE_OF_STARTS:
            self.workers.start(place)
        else:
            self._start_worker(place, self.chooser.choice(starts))

    def _start_worker(self, place: int, name: str) -> None:
        settings = STARTS[name].inject(self)
        self.workers.start(place, name, **settings)
        if name == "kill -9 at a point":
            name = _at(settings["VBN_FAULT"])
        self.tally.tries[name] += 1
        if name == "clock skew" and (fault := self.workers.faults[place]):
            fault.is_counted = True
            self._count(name)

    def _settle_start(self, code: int, fault: StartFault | None) -> None:
        """Count kills at a point, and deaths of a lack of memory; look into the wrong store."""
        if fault is None:
            return
        if fault.kind == "kill -9 at a point" and code == -signal.SIGKILL:
            self._count(_at(fault.setting))
        if fault.kind == "out of memory" and code in DEATHS and not fault.is_counted:
            fault.is_counted = True
            self._count(fault.kind)
        if fault.kind == "wrong store" and any((self.folder / "unmounted").iterdir()):
            self.tally.problems["wrong store"].append("something was written to the wrong store")

    def _count_signs(self) -> None:
        """Count the faults that the logs of workers tell of, also of those that were killed since."""
        for fault in self.workers.started_with:
            if not fault.is_counted and fault.has_happened():
                fault.is_counted = True
                self._count(fault.kind)
                if fault.kind == "missing mount" and self.workers.faults[fault.place] is fault:
                    self.workers.stop(fault.place)  # it would wait for the others from now on

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
        crashes = [e["error"].strip()[-500:] for e in self.workers.events() if e["event"] == "crashed"]
        if crashes:
            self.tally.problems["a worker that crashed"] += crashes
        locks = locks_left(self.plain)
        found_half = half_entries(entries(self.plain), reference.entries)
        self._retry_jobs()
        if "vbn recompute at once" in self.kinds:
            vbn(self.plain, "recompute", "--yes")
        finish(self.plain)
        if self.backup.exists():
            vbn(self.plain, "backup", self.backup)
            vbn(self.plain, "restore", self.backup, "--check")
        verdict = reference.compare(Content.of(self.plain), self.plain, self.world.store)
        found = {"half_entries": verdict.half_entries + found_half, "locks_left": locks}
        self.verdict = Verdict(**{**asdict(verdict), **found})

    def _retry_jobs(self) -> None:
        """Retry jobs that had no memory, or were set aside as workers were lost with them again and again."""
        words = [SET_ASIDE, *([SHORT_OF_MEMORY] if "out of memory" in self.kinds else ())]
        for error in json.loads(vbn(self.plain, "errors", "--json")):
            if any(each in str(error) for each in words):
                session = ("--session", error["key"]["session_id"]) if "session_id" in error["key"] else ()
                vbn(self.plain, "retry", "--table", error["table"], *session)


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
        if not each.verdict.different_tables:  # else somebody looks what differs
            world.drop(each.prefix)
