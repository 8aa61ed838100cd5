"""Workers under faults: nothing is lost, duplicated, incomplete or left behind.

Each run registers the same synthetic sessions (one of them with a file that turns bad) in a database of its
own, lets several workers import and compute them, injects faults of one or of all kinds until the work is
done, then lets one undisturbed worker finish. By checksum, the result must be that of an undisturbed run.
Runs follow each other until the requested number of faults was injected.

    python -m benchmarks.faults --faults 120 --seed 1              the embedded server
    python -m benchmarks.faults --backend mysql --faults 120 --kill-server CMD --start-server CMD

The table in docs/reliability.md is written with --write (both servers' results are kept side by side).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.faults.content import Content, Environment, Verdict, entries, half_entries, vbn
from benchmarks.faults.report import write_report
from benchmarks.faults.servers import EmbeddedPostgres, MySql, Proxy
from benchmarks.faults.worker import POINTS

FOLDER = Path(__file__).parent
LONGEST_RUN_S = 240
STORE_MB = 256
PAUSE_S = (0.2, 1.2)  # between two faults
OUTAGE_S = (0.3, 2.0)  # of a store or a server
LOST_S = (0.5, 4.0)  # of a host; workers count as lost after one second
LONGEST_SKEW_S = 3 * 86400


def main() -> int:
    """Run, print the table, and return 0 if there was no problem."""
    arguments = _arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="vbn-faults-"))
        folder.chmod(0o755)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        harness = Harness(folder, arguments, stack)
        runs = harness.run()
    for run in runs:
        print(json.dumps(run.as_dict()))
    counts = sum((run.faults for run in runs), Counter[str]())
    bad = [run for run in runs if not run.verdict.is_good]
    summary = f"{counts.total()} faults in {len(runs)} runs, {len(bad)} runs with something wrong"
    print(f"{harness.server.name}: {summary}")
    if arguments.write:
        write_report(harness.server.name, [run.as_dict() for run in runs], arguments)
    return bool(bad)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backend", choices=("embedded", "mysql"), default="embedded")
    parser.add_argument("--faults", type=int, default=120, help="so many faults at least")
    parser.add_argument("--per-run", type=int, default=30, help="then the run is left to finish")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--sessions", type=int, default=2, help="sound sessions; one with a bad file is added"
    )
    parser.add_argument("--kinds", nargs="+", help="only these kinds of faults")
    parser.add_argument("--kill-server", help="command that kills the MySQL server (SIGKILL)")
    parser.add_argument("--start-server", help="command that starts it again")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    return parser.parse_args()


@dataclass
class Run:
    """One run: what was injected, and what was found afterwards."""

    number: int
    faults: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    duration_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the results for JSON."""
        return {**vars(self), "faults": dict(self.faults), "verdict": asdict(self.verdict)}


class Workers:
    """Several worker processes, which are restarted when they end, as by a service manager."""

    def __init__(self, environment: Environment, number: int, log: Path) -> None:
        self.environment, self.log = environment, log
        self.places: list[subprocess.Popen[bytes] | None] = [None] * number
        self.others: list[subprocess.Popen[bytes]] = []
        self.armed: list[str | None] = [None] * number

    def start(self, place: int, fault: str | None = None, **extra: str) -> None:
        """Start a worker, with an internal fault if one is named."""
        other_host = {"VBN_HOST": f"host{place}", "VBN_LOST_AFTER": "1"}
        environment = {**self.environment, **other_host, **extra}
        if fault is not None:
            environment["VBN_FAULT"] = fault
        command = [sys.executable, str(FOLDER / "worker.py"), "worker", "--until-idle", "--poll", "0.3"]
        command += ["--log", "json", "--tries", "1000"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.places[place], self.armed[place] = process, fault

    def ended(self) -> Iterator[tuple[int, str | None]]:
        """Yield exit code and fault of each worker that has ended."""
        for place, process in enumerate(self.places):
            if process is not None and (code := process.poll()) is not None:
                self.places[place] = None
                yield code, self.armed[place]

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """Return the running workers."""
        return [process for process in self.places if process is not None and process.poll() is None]

    def kill_all(self) -> None:
        """Kill all workers."""
        for process in filter(None, [*self.places, *self.others]):
            process.kill()
            process.wait()
        self.places = [None] * len(self.places)


class Harness:
    """Creates the databases, injects the faults, and checks the results."""

    def __init__(self, folder: Path, arguments: argparse.Namespace, stack: contextlib.ExitStack) -> None:
        self.folder, self.arguments = folder, arguments
        self.chooser = random.Random(arguments.seed)
        home = folder / "home"
        self.server: Any = (
            EmbeddedPostgres(home)
            if arguments.backend == "embedded"
            else MySql(home, arguments.kill_server, arguments.start_server)
        )
        stack.callback(self.server.close)
        self.proxy = Proxy(self.server.address)
        stack.callback(self.proxy.close)
        self.store = folder / "store"
        self.store.mkdir()
        self.has_own_disk = _mount(self.store)
        if self.has_own_disk:
            stack.callback(subprocess.run, ["umount", "-l", str(self.store)], check=True)
        self.files = self._write_files()
        self.injectors = self._injectors()

    def run(self) -> list[Run]:
        """Run until the given number of faults was injected; the first run is undisturbed."""
        reference_prefix = self._new_database()
        plain = self._environment(reference_prefix)
        vbn_worker(plain, expected=(0, 1))
        reference = Content.of(plain)
        self._drop(reference_prefix)
        runs: list[Run] = []
        with tqdm(total=self.arguments.faults, unit="fault", desc=self.server.name) as bar:
            while sum(run.faults.total() for run in runs) < self.arguments.faults:
                run = self._disturbed_run(len(runs) + 1, reference, bar.update)
                runs.append(run)
                if not run.verdict.is_good:
                    bar.write(f"run {run.number}: {run.verdict}; log: {self._keep_log(run.number)}")
        return runs

    def _disturbed_run(self, number: int, reference: Content, progress: Callable[[int], Any]) -> Run:
        run, began = Run(number), time.monotonic()
        prefix = self._new_database()
        plain = self._environment(prefix)
        workers = Workers(
            self._environment(prefix, self.proxy.port), self.arguments.workers, self._log(number)
        )
        try:
            self._disturb(run, workers, progress)
        finally:
            workers.kill_all()
        found_half = half_entries(entries(plain), reference.entries)
        vbn_worker(plain, expected=(0, 1))
        verdict = reference.compare(Content.of(plain), plain, self.store)
        run.verdict = Verdict(**{**asdict(verdict), "half_entries": verdict.half_entries + found_half})
        self._drop(prefix)
        run.duration_s = round(time.monotonic() - began, 1)
        return run

    def _disturb(self, run: Run, workers: Workers, progress: Callable[[int], Any]) -> None:
        """Inject faults until there were enough, or the workers have nothing left to do."""
        end = time.monotonic() + LONGEST_RUN_S
        idle = 0
        while (
            time.monotonic() < end
            and idle < self.arguments.workers
            and run.faults.total() < self.arguments.per_run
        ):
            for code, fault in list(workers.ended()):
                if code == -signal.SIGKILL and fault is not None:
                    self._count(run, f"kill -9 at '{fault.partition(':')[0]}'", progress)
                idle = idle + 1 if code in (0, 1) else 0
            for place, process in enumerate(workers.places):
                if process is None and idle < self.arguments.workers:
                    self._start_one(run, workers, place, progress)
            time.sleep(self.chooser.uniform(*PAUSE_S))
            kind = self.chooser.choice(list(self.injectors) or [""])
            if kind and workers.alive() and self.injectors[kind](workers):
                self._count(run, kind, progress)

    def _start_one(self, run: Run, workers: Workers, place: int, progress: Callable[[int], Any]) -> None:
        chance = self.chooser.random()
        if chance < 0.5 and self._wants("kill -9 at a point"):
            point = self.chooser.choice(list(POINTS))
            workers.start(place, f"{point}:{self.chooser.randint(1, 12)}")
        elif chance < 0.65 and self._wants("clock skew"):
            workers.start(place, VBN_SKEW_S=str(self.chooser.uniform(-LONGEST_SKEW_S, LONGEST_SKEW_S)))
            self._count(run, "clock skew", progress)
        else:
            workers.start(place)

    def _injectors(self) -> dict[str, Callable[[Workers], bool]]:
        """Return the external faults by name; each function returns whether it was injected."""
        found: dict[str, Callable[[Workers], bool]] = {
            "kill -9 of a worker": self._kill_worker,
            "dropped connections": lambda _workers: self.proxy.drop_all() > 0,
            "entries made by hand": self._intrude,
            "lost host": self._lose_host,
        }
        if self.server.can_be_killed:
            found["kill -9 of the server"] = self._kill_server
        if self.has_own_disk:
            found["full disk"] = self._fill_disk
            found["read-only store"] = self._close_store
        return {name: inject for name, inject in found.items() if self._wants(name)}

    def _wants(self, kind: str) -> bool:
        return not self.arguments.kinds or kind in self.arguments.kinds

    def _kill_worker(self, workers: Workers) -> bool:
        self.chooser.choice(workers.alive()).kill()
        return True

    def _lose_host(self, workers: Workers) -> bool:
        """Stop a worker, whose connections stay open, until others have its job; then it wakes."""
        process = self.chooser.choice(workers.alive())
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chooser.uniform(*LOST_S))
        process.send_signal(signal.SIGCONT)
        return True

    def _kill_server(self, _workers: Workers) -> bool:
        self.server.kill()
        time.sleep(self.chooser.uniform(*OUTAGE_S))
        self.server.start()
        return True

    def _intrude(self, workers: Workers) -> bool:
        environment = {**workers.environment, "VBN_INTRUDER_SEED": str(self.chooser.random())}
        with workers.log.open("ab") as log:
            command = [sys.executable, str(FOLDER / "intruder.py")]
            workers.others.append(subprocess.Popen(command, env=environment, stderr=log))
        return True

    def _fill_disk(self, _workers: Workers) -> bool:
        ballast = self.store / "ballast"
        try:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(2**20)):
                    pass
            time.sleep(self.chooser.uniform(*OUTAGE_S))
        finally:
            ballast.unlink(missing_ok=True)
        return True

    def _close_store(self, _workers: Workers) -> bool:
        """Mount the store read-only for a moment; return False if somebody is writing to it."""
        if subprocess.run(["mount", "-o", "remount,ro", str(self.store)], capture_output=True).returncode:
            return False
        time.sleep(self.chooser.uniform(*OUTAGE_S))
        subprocess.run(["mount", "-o", "remount,rw", str(self.store)], check=True)
        return True

    def _count(self, run: Run, kind: str, progress: Callable[[int], Any]) -> None:
        run.faults[kind] += 1
        progress(1)

    def _write_files(self) -> list[Path]:
        """Write the sessions."""
        number = self.arguments.sessions + 1
        options = ["--probes", "1", "--units-per-probe", "12", "--minutes", "4", "--seed", "7"]
        vbn({**os.environ}, "synthetic", "--out", self.folder / "files", "--sessions", number, *options)
        return sorted((self.folder / "files").rglob("*.nwb"))

    def _new_database(self) -> str:
        """Deploy a new database and register all sessions; then damage the last file."""
        prefix = f"faults{secrets.token_hex(3)}_"  # not by the seed: an earlier run may have left its own
        environment = self._environment(prefix)
        vbn(environment, "deploy")
        good = self.files[-1].with_suffix(".good")
        if good.exists():
            good.replace(self.files[-1])
        vbn(environment, "register", *self.files)
        shutil.copy2(self.files[-1], good)
        with self.files[-1].open("r+b") as file:  # same size: what it holds is no HDF5 any more from there on
            file.seek(4096)
            file.write(bytes(good.stat().st_size - 4096))
        return prefix

    def _drop(self, prefix: str) -> None:
        from benchmarks.faults.cleanup import drop

        drop(self._environment(prefix))
        for path in self.store.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _environment(self, prefix: str, port: int | None = None) -> Environment:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "VBN_"))}
        stores = {"vbn": {"protocol": "file", "location": str(self.store)}}
        own = {"VBN_PREFIX": prefix, "DJ_STORES": json.dumps(stores), "DJ_IGNORE_CONFIG_FILE": "true"}
        return {**clean, **own, **self.server.settings(port)}

    def _log(self, number: int) -> Path:
        return self.folder / f"run-{number}.log"

    def _keep_log(self, number: int) -> Path:
        kept = Path(tempfile.gettempdir()) / f"vbn-faults-run-{number}.log"
        shutil.copyfile(self._log(number), kept)
        return kept


def vbn_worker(environment: Environment, expected: tuple[int, ...]) -> None:
    """Let one undisturbed worker finish."""
    command = [sys.executable, "-m", "populate", "worker", "--until-idle", "--poll", "0.3", "--log", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONGEST_RUN_S)
    if done.returncode not in expected:
        raise RuntimeError(f"the worker ended with {done.returncode}: {done.stderr}\n{done.stdout[-2000:]}")


def _mount(folder: Path) -> bool:
    """Mount a small file system at a folder; return False if that is not allowed."""
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={STORE_MB}m,mode=0755", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
