"""What faults happen to: a server behind a proxy, sessions, a store, databases; and what was counted."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
import subprocess
import tempfile
from argparse import Namespace
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.cleanup import drop
from benchmarks.faults.content import Environment, vbn
from benchmarks.faults.servers import EmbeddedPostgres, MySql, Proxy

STORE_MB, HOME_MB = 256, 1800  # of their file systems; vbn doctor wants 1 GB free for a database
ROOT_NAME = "lab"


class WrongStateError(Exception):
    """What should not be, as a fault showed at once."""


@dataclass
class Tally:
    """How often each kind was tried and happened, and what was wrong."""

    tries: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    problems: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: Tally) -> None:
        """Add the counts and problems of another tally."""
        self.tries += other.tries
        self.faults += other.faults
        for kind, problems in other.problems.items():
            self.problems[kind] += problems

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return kind -> its numbers and problems."""
        kinds = sorted(self.tries.keys() | self.problems.keys())
        return {
            kind: {"tries": self.tries[kind], "faults": self.faults[kind], "problems": self.problems[kind]}
            for kind in kinds
        }


class World:
    """A server with sessions to import, in a folder of its own that is removed at the end."""

    def __init__(self, arguments: Namespace, stack: contextlib.ExitStack) -> None:
        self.arguments, self.chooser, self.tally = arguments, random.Random(arguments.seed), Tally()
        self.folder = Path(tempfile.mkdtemp(prefix="vbn-faults-"))
        self.folder.chmod(0o755)
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.home, self.store = self.folder / "home", self.folder / "store"
        self.store_is_mounted = _mount(self.store, STORE_MB, stack)
        self.data_disk: Path | None = arguments.data_disk
        if arguments.backend == "embedded" and _mount(self.home, HOME_MB, stack):
            self.data_disk = self.home
        self.server: Any = (
            EmbeddedPostgres(self.home)
            if arguments.backend == "embedded"
            else MySql(self.home, arguments.kill_server, arguments.start_server)
        )
        stack.callback(self.server.close)
        self.proxy = Proxy(self.server.address)
        stack.callback(self.proxy.close)
        self.data = self.folder / "files"
        options = ("--probes", 1, "--units-per-probe", 12, "--minutes", 4, "--seed", 7)
        vbn({**os.environ}, "synthetic", "--out", self.data, "--sessions", arguments.sessions + 1, *options)
        self.files = sorted(self.data.rglob("*.nwb"))

    def environment(self, prefix: str, port: int | None = None, store: Path | None = None) -> Environment:
        """Return the settings of a database, behind the proxy if its port is given."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DJ_")}
        own = {
            "VBN_PREFIX": prefix,
            "VBN_ROOTS": json.dumps({ROOT_NAME: str(self.data)}),
            "DJ_STORES": stores(store or self.store),
            "DJ_IGNORE_CONFIG_FILE": "true",
        }
        return {**clean, **own, **self.server.settings(port)}

    def new_prefix(self) -> str:
        """Return the prefix of a new database; not by the seed, as an earlier run may have left its own."""
        return f"faults{secrets.token_hex(3)}_"

    def new_database(self) -> str:
        """Deploy a database and register all sessions; then damage the last file. Return the prefix."""
        prefix = self.new_prefix()
        environment = self.environment(prefix)
        vbn(environment, "deploy")
        good = self.mend_last_file()
        vbn(environment, "register", *self.files)
        shutil.copy2(self.files[-1], good)
        with self.files[-1].open("r+b") as file:  # same size: what it holds is no HDF5 any more from there on
            file.seek(4096)
            file.write(bytes(good.stat().st_size - 4096))
        return prefix

    def mend_last_file(self) -> Path:
        """Undo the damage of the last file, if there is any; return where the sound one is kept meanwhile."""
        good = self.files[-1].with_suffix(".good")
        if good.exists():
            good.replace(self.files[-1])
        return good

    def drop(self, prefix: str) -> None:
        """Drop a database, and empty the store."""
        drop(self.environment(prefix))
        for path in self.store.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def stores(folder: Path) -> str:
    """Return the setting of a store in a folder."""
    return json.dumps({"vbn": {"protocol": "file", "location": str(folder)}})


def _mount(folder: Path, size_mb: int, stack: contextlib.ExitStack) -> bool:
    """Make a folder with a small file system of its own; return False if that is not allowed."""
    folder.mkdir()
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=0755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return True
