"""Commands of an administrator that are killed at a random moment: nothing is half.

A small database is filled. Then each command runs undisturbed once, which gives its duration, and is killed
(SIGKILL, with all that it started) after a random part of it, again and again. After each kill the same
command must succeed, and `vbn doctor`, too; the checksum of all tables must be that of before, and every
array that a row names be there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.cleanup import drop
from benchmarks.faults.content import FILES_THAT_ROWS_NAME, Environment, script, start, stored, vbn
from benchmarks.faults.world import World, stores
from tests.fixtures.web_server import Site
from vbn.release import PROJECT

COMMANDS = ("backup", "restore", "gc", "deploy", "params add", "relocate", "release get")
NOT_COMPARED = ("params", "nwb_file")  # what params add and relocate change
ANSWER_S = 0.1  # of the server of the release
MOVED = "moved"
NO_PROBES = "ecephys_probe_id,ecephys_session_id,name,has_lfp_data\n"  # a table that the release has


class Trial:
    """A filled database, and what becomes of it."""

    def __init__(self, world: World, stack: contextlib.ExitStack) -> None:
        self.world, self.folder, self.stack = world, world.folder, stack
        self.site: Site | None = None
        self.store = self.folder / "plain-store"  # not the small one, which is too small for vbn doctor
        self.environment = world.environment(world.new_prefix(), store=self.store)
        del self.environment["VBN_ROOTS"]  # of files that move
        world.mend_last_file()
        vbn(self.environment, "deploy")
        stack.callback(drop, self.environment)
        vbn(self.environment, "register", *world.files)
        vbn(self.environment, "populate", "--table", "Recording", "--table", "Running")
        self.content = self._content(self.environment)
        vbn(self.environment, "backup", self.folder / "saved")

    def kill(self, command: str, number: int, progress: Callable[[str], Any]) -> None:
        """Kill a command several times, and look at what is there after each."""
        kind, prepare, tally = f"kill -9 of vbn {command}", self._preparations()[command], self.world.tally
        duration_s = self._run(prepare(0))
        for turn in range(1, number + 1):
            environment, words = prepare(turn)
            tally.tries[kind] += 1
            is_killed = self._kill(environment, words, self.world.chooser.uniform(0, duration_s))
            tally.faults[kind] += is_killed
            again = words if is_killed or command != "restore" else ["status"]  # it restores once only
            problems = self._problems(command, environment, words, again)
            tally.problems[kind] += problems
            progress(f"{kind}, {turn}: {problems or 'well'}")

    def _preparations(self) -> dict[str, Callable[[int], tuple[Environment, list[Any]]]]:
        """Return name of a command -> function that prepares its turn and returns environment and words."""
        here, folder = self.environment, self.folder

        def stray(_turn: int) -> tuple[Environment, list[Any]]:
            arrays = sorted(stored(self.store))
            lost = (self.store / arrays[0]).with_name(f"stray-{secrets.token_hex(4)}.npy")
            shutil.copyfile(self.store / arrays[0], lost)
            return here, ["gc", "--go", "--older-than", "0s", "--max-share", "100"]

        def elsewhere(_turn: int) -> tuple[Environment, list[Any]]:
            new = self.world.new_prefix()
            return {**here, "VBN_PREFIX": new, "DJ_STORES": stores(folder / new)}, ["deploy"]

        def moved(turn: int) -> tuple[Environment, list[Any]]:
            places = [self.world.data, folder / MOVED]
            old, new = places if turn % 2 == 0 else reversed(places)
            shutil.copytree(old, new, dirs_exist_ok=True)
            shutil.rmtree(old)
            old.mkdir()
            return here, ["relocate", new]

        def cached(turn: int) -> tuple[Environment, list[Any]]:
            site = self._release()
            return {**here, "NO_PROXY": "*"}, [
                "release", "get", "--from-url", site.url, "--cache", folder / f"cache-{turn}"
            ]  # fmt: skip

        return {
            "backup": lambda _turn: (here, ["backup", folder / "again"]),
            "restore": lambda _turn: (
                here,
                ["restore", folder / "saved", "--prefix", self.world.new_prefix()],
            ),
            "gc": stray,
            "deploy": elsewhere,
            "params add": lambda turn: (
                here,
                ["params", "add", "PerformanceParams", f"killed_{turn}", "--like", "allensdk",
                 "--set", f"sliding_window={50 + turn}"],
            ),
            "relocate": moved,
            "release get": cached,
        }  # fmt: skip

    def _release(self) -> Site:
        """Return a server of the sessions, laid out as the release's bucket, that takes its time."""
        if self.site is None:
            served = self.folder / "served"
            data = served / PROJECT
            shutil.copytree(
                next(p for p in (self.world.data, self.folder / MOVED) if any(p.rglob("*.nwb"))), data
            )
            _write_manifest(data)
            self.site = Site(served, fault=lambda _path: time.sleep(ANSWER_S))
            self.site.start()
            self.stack.callback(self.site.stop)
        return self.site

    def _kill(self, environment: Environment, words: list[Any], after_s: float) -> bool:
        """Return whether it was still at work then."""
        process = start(["-m", "populate", *map(str, words)], environment, self.folder / "killed.log")
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        return False

    def _problems(
        self, command: str, environment: Environment, words: list[Any], again: list[Any]
    ) -> list[str]:
        """Run the command again, and look for what is wrong."""
        compared = {
            "restore": [self.environment, {**environment, "VBN_PREFIX": str(words[-1])}],
            "deploy": [self.environment],
        }
        problems = []
        try:
            vbn(environment, *again)
            vbn(environment, "doctor")
            for each in compared.get(command, [environment]):
                if self._content(each) != self.content:
                    problems.append(f"the content of {each['VBN_PREFIX']} is another one")
            if missing := set(script(self.environment, FILES_THAT_ROWS_NAME)) - stored(self.store):
                problems.append(f"arrays are missing: {sorted(missing)}")
            if command == "relocate":
                vbn(environment, "verify")
            if command == "release get":
                problems += _differences(self.folder / "served" / PROJECT, Path(words[-1]))
        except RuntimeError as error:
            problems.append(str(error))
        if command in ("restore", "deploy"):
            new = words[-1] if command == "restore" else environment["VBN_PREFIX"]
            drop({**environment, "VBN_PREFIX": str(new)})
        return problems

    def _run(self, command: tuple[Environment, list[Any]]) -> float:
        began = time.monotonic()
        vbn(command[0], *command[1])
        return time.monotonic() - began

    def _content(self, environment: Environment) -> dict[str, str]:
        found: dict[str, str] = json.loads(vbn(environment, "checksum", "--stable", "--json"))["tables"]
        return {
            table: value
            for table, value in found.items()
            if not any(word in table.lower() for word in NOT_COMPARED)
        }


def _write_manifest(data: Path) -> None:
    """Write the manifest of a release whose files lie in a folder."""

    def entry(path: Path) -> dict[str, str]:
        url = f"https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com/{PROJECT}"
        digest = hashlib.blake2b(path.read_bytes()).hexdigest()
        return {"url": f"{url}/{path.relative_to(data)}", "version_id": "abc", "file_hash": digest}

    (data / "project_metadata" / "probes.csv").write_text(NO_PROBES)
    recordings = sorted(data.rglob("*.nwb"))
    manifest = {
        "project_name": PROJECT,
        "manifest_version": "0.5.0",
        "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2", "comment": ""}],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {path.stem: entry(path) for path in data.glob("project_metadata/*.csv")},
        "data_files": {str(900_001 + i): entry(path) for i, path in enumerate(recordings)},
    }
    (data / "manifests").mkdir()
    (data / "manifests" / f"{PROJECT}_project_manifest_v0.5.0.json").write_text(json.dumps(manifest))


def _differences(served: Path, cache: Path) -> list[str]:
    """Return what in a cache is not as it was served."""
    (found,) = (path for path in cache.iterdir() if path.is_dir())
    wanted = {path.relative_to(served) for end in ("nwb", "csv") for path in served.rglob(f"*.{end}")}
    there = {path.relative_to(found) for path in found.rglob("*") if path.is_file()}
    same = {path for path in wanted & there if (served / path).read_bytes() == (found / path).read_bytes()}
    return [f"{path} differs from what was served" for path in sorted(wanted ^ there | wanted - same)]


def run(world: World, number: int, names: list[str], progress: Callable[[str], Any]) -> None:
    """Kill each command so many times."""
    with contextlib.ExitStack() as stack:
        trial = Trial(world, stack)
        for name in names:
            trial.kill(name, number, progress)
