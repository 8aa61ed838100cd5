"""Commands of an administrator that are killed at a random moment: nothing is half.

A small database is filled. Then each command runs undisturbed once, which gives its duration, and is killed
(SIGKILL, with all that it started) after a random part of it, again and again. After each kill the same
command must succeed, and `vbn doctor`, too; the checksum of all tables must be that of before, and every
array that a row names be there.

    python -m benchmarks.faults.commands --kills 5                 5 kills of each; the embedded server

On the server that DJ_HOST names, if it is set; the databases there are dropped.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.cleanup import drop
from benchmarks.faults.content import FILES_THAT_ROWS_NAME, Environment, script, stored, vbn

COMMANDS = ("backup", "restore", "gc", "deploy", "params add")


def main() -> int:
    """Kill, print what was found, and return 0 if there was no problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=5, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="vbn-kills-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        trial = Trial(folder, random.Random(arguments.seed), stack)
        for name in arguments.commands:
            trial.kill(name, arguments.kills)
    print(
        json.dumps(
            {"killed": trial.killed, "ended before": trial.ended, "problems": trial.problems}, indent=1
        )
    )
    return bool(trial.problems)


class Trial:
    """A filled database, and what became of it."""

    def __init__(self, folder: Path, chooser: random.Random, stack: contextlib.ExitStack) -> None:
        self.folder, self.chooser, self.stack = folder, chooser, stack
        self.killed, self.ended = Counter[str](), Counter[str]()
        self.problems: list[str] = []
        self.store = folder / "store"
        self.environment = self._environment(self._prefix(), self.store)
        if "DJ_HOST" not in self.environment:
            stack.callback(vbn, self.environment, "down")
        vbn(self.environment, "deploy")
        stack.callback(drop, self.environment)
        options = ("--sessions", 1, "--probes", 1, "--units-per-probe", 12, "--minutes", 4)
        vbn(self.environment, "synthetic", "--out", folder / "files", *options)
        vbn(self.environment, "register", *sorted((folder / "files").rglob("*.nwb")))
        vbn(self.environment, "populate", "--table", "Recording")
        self.content = self._content(self.environment)
        vbn(self.environment, "backup", folder / "saved")

    def kill(self, name: str, number: int) -> None:
        """Kill a command several times, and look at what is there after each."""
        prepare = self._preparations()[name]
        duration_s = self._run(prepare(0))
        for turn in range(1, number + 1):
            command = prepare(turn)
            self._kill(name, command, self.chooser.uniform(0, duration_s))
            before = len(self.problems)
            self._check(name, turn, *command)
            print(f"{name}, kill {turn}:", self.problems[before:] or "well", file=sys.stderr, flush=True)

    def _preparations(self) -> dict[str, Callable[[int], tuple[Environment, list[Any]]]]:
        """Return name of a command -> function that prepares its turn and returns environment and words."""
        here, folder = self.environment, self.folder

        def stray(_turn: int) -> tuple[Environment, list[Any]]:
            arrays = sorted(stored(self.store))
            lost = (self.store / arrays[0]).with_name(f"stray-{secrets.token_hex(4)}.npy")
            shutil.copyfile(self.store / arrays[0], lost)
            return here, ["gc", "--go", "--older-than", "0s", "--max-share", "100"]

        return {
            "backup": lambda _turn: (here, ["backup", folder / "again"]),
            "restore": lambda _turn: (here, ["restore", folder / "saved", "--prefix", self._prefix()]),
            "gc": stray,
            "deploy": lambda _turn: (self._environment(new := self._prefix(), folder / new), ["deploy"]),
            "params add": lambda turn: (
                here,
                ["params", "add", "PerformanceParams", f"killed_{turn}", "--like", "allensdk",
                 "--set", f"sliding_window={50 + turn}"],
            ),
        }  # fmt: skip

    def _kill(self, name: str, command: tuple[Environment, list[Any]], after_s: float) -> None:
        process = self._start(*command)
        try:
            process.wait(after_s)
            self.ended[name] += 1
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.killed[name] += 1

    def _check(self, name: str, turn: int, environment: Environment, words: list[Any]) -> None:
        """Run the command again, and look for what is wrong."""
        try:
            vbn(environment, *words)
            vbn(environment, "doctor")
            missing = set(script(self.environment, FILES_THAT_ROWS_NAME)) - stored(self.store)
            others = [environment]
            if name == "restore":
                others.append({**environment, "VBN_PREFIX": words[-1]})
            if name == "deploy":
                others = [self.environment]
            for each in others:
                if self._content(each) != self.content:
                    self.problems.append(f"{name} {turn}: the content of {each['VBN_PREFIX']} is another one")
            if missing:
                self.problems.append(f"{name} {turn}: arrays are missing: {sorted(missing)}")
        except RuntimeError as error:
            self.problems.append(f"{name} {turn}: {error}")
        if name in ("restore", "deploy"):
            drop({**environment, "VBN_PREFIX": words[-1] if name == "restore" else environment["VBN_PREFIX"]})

    def _run(self, command: tuple[Environment, list[Any]]) -> float:
        began = time.monotonic()
        vbn(command[0], *command[1])
        return time.monotonic() - began

    def _start(self, environment: Environment, words: list[Any]) -> subprocess.Popen[bytes]:
        call = [sys.executable, "-m", "populate", *map(str, words)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(call, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)

    def _content(self, environment: Environment) -> dict[str, str]:
        found: dict[str, str] = json.loads(vbn(environment, "checksum", "--stable", "--json"))["tables"]
        return {table: value for table, value in found.items() if "params" not in table.lower()}

    def _prefix(self) -> str:
        return f"kills{secrets.token_hex(3)}_"

    def _environment(self, prefix: str, store: Path) -> Environment:
        stores = {"vbn": {"protocol": "file", "location": str(store)}}
        own = {"VBN_PREFIX": prefix, "DJ_STORES": json.dumps(stores), "DJ_IGNORE_CONFIG_FILE": "true"}
        return {**os.environ, **own, "VBN_HOME": str(self.folder / "home")}


if __name__ == "__main__":
    sys.exit(main())
