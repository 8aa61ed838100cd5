"""Which machine runs the server of a home folder, so that no second one starts on the same data.

A home folder may be on a disk that several machines, or a machine and its containers, share. PostgreSQL
itself only asks whether the process that its ``postmaster.pid`` names lives *here*, and would start a second
server on the same data. Two things tell more:

- ``postgres.host`` names the machine and the user that started the server. It is made exclusively, also on
  network file systems, and goes when the server is stopped in good order.
- ``postgres.running`` is locked for as long as the server lives: the server inherits the lock, and the kernel
  takes it back whatever the server dies of. It is also seen from other containers of the same machine.

What is not promised: a file system that keeps locks and new files from other machines for a while (NFS caches
names for up to a minute) is protected by the record only, and machines that share both a name and
``/etc/machine-id`` are taken for one.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from vbn.errors import ConflictError, SettingError

PATIENCE_S = 15
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "lustre", "beegfs", "gpfs", "ceph", "afs", "9p")


@dataclass(frozen=True)
class Host:
    """A machine since it was started, and who uses it.

    Attributes
    ----------
    name : its name in the network; a container has its own.
    machine : its lasting identity, empty where it has none.
    boot : what changes when it is started again; the same for a machine and its containers.
    user : name of the user.
    """

    name: str
    machine: str
    boot: str
    user: str

    @classmethod
    def this(cls) -> Host:
        """Return the machine and the user of this process."""
        boot = _text_of("/proc/sys/kernel/random/boot_id") or str(round(psutil.boot_time()))
        return cls(platform.node(), _text_of("/etc/machine-id"), boot, _user())

    def is_same_machine(self, other: Host) -> bool:
        """Return whether both are one machine, now or before it was started again."""
        return (self.name, self.machine) == (other.name, other.machine)


@dataclass(frozen=True)
class Ownership:
    """What a home folder says about the machine that runs its server."""

    home: Path

    @property
    def record(self) -> Path:
        """The file that names the machine."""
        return self.home / "postgres.host"

    @property
    def lock_file(self) -> Path:
        """The file that a running server keeps locked."""
        return self.home / "postgres.running"

    def holder(self) -> Host | None:
        """Return the machine on which the server was started and not stopped; None if there is none.

        Raises
        ------
        SettingError
            If the record cannot be read.
        """
        try:
            return Host(**json.loads(self.record.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise SettingError(
                f"{self.record} cannot be read ({error.strerror}): the database of this folder is somebody "
                "else's. Set VBN_HOME to a folder of yours."
            ) from error
        except (ValueError, TypeError) as error:
            raise SettingError(
                f"{self.record} does not say which machine runs the database of this folder. If none does, "
                "remove that file."
            ) from error

    def require_here(self, *, holds_lock: bool = False) -> None:
        """Raise unless the server runs on this machine, or on none.

        Parameters
        ----------
        holds_lock : whether this process holds the lock, so that no server on this kernel does.

        Raises
        ------
        ConflictError
            If it runs, or may run, on another machine or in another container.
        """
        holder, here = self.holder(), Host.this()
        if holder is None or holder.is_same_machine(here):
            return
        if holder.boot == here.boot and (holds_lock or not self.is_locked()):
            return  # of a container of this machine, and the kernel knows that it is gone
        raise ConflictError(self._refusal(holder))

    def require_unlocked(self) -> None:
        """Raise if a server lives that this process may not see: one of another container.

        Raises
        ------
        ConflictError
            If so.
        """
        if self.is_locked():
            raise ConflictError(self._refusal(self.holder() or Host.this()))

    def _refusal(self, holder: Host) -> str:
        here = Host.this()
        place, advice = f"on '{holder.name}'", ""
        if holder.boot == here.boot:
            place = f"in another container of this machine ('{holder.name}')"
        else:
            advice = f" If {holder.name} is gone for good, and only then: vbn up --take-over"
        return (
            f"The database in {self.home} runs {place}, started by {holder.user}, and can only be used "
            "there: a second server on the same files would destroy them. Work there, stop it there (vbn "
            f"down) to go on here, or set VBN_HOME to another folder.{advice}"
        )

    def is_locked(self) -> bool:
        """Return whether a running server holds the lock; False where files cannot be locked."""
        try:
            with self.lock_file.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[tuple[int, bool]]:
        """Hold the lock in the block; whoever inherits the descriptor holds it for longer.

        Yields
        ------
        descriptor, is_certain : of the open file, and whether the file system has locks.

        Raises
        ------
        ConflictError
            If a running server holds it.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor, self._lock(descriptor)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> bool:
        """Lock the file if it can be; the processes of a server that was killed may take a moment to end."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline or not self._has_processes_here():
                    self.require_unlocked()
                time.sleep(0.05)
            except OSError:
                return False  # the file system has no locks: the record must do
            else:
                return True

    def _has_processes_here(self) -> bool:
        """Return whether processes of a server are seen here, which work in its data folder."""
        data_folder = os.path.realpath(self.home / "postgres")
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cwd() == data_folder:
                    return True
        return False

    def claim(self, *, take_over: bool = False, holds_lock: bool = False) -> None:
        """Record this machine as the one that runs the server; see `require_here`.

        Raises
        ------
        ConflictError
            If another machine does, unless it is to be taken over.
        """
        if not take_over:
            self.require_here(holds_lock=holds_lock)
        here = json.dumps(asdict(Host.this()), indent=1)
        try:
            with self.record.open("x", encoding="utf-8") as file:
                file.write(here)
        except FileExistsError:
            if not take_over:
                self.require_here(holds_lock=holds_lock)  # of another machine, within this moment
            with tempfile.NamedTemporaryFile("w", dir=self.home, encoding="utf-8", delete=False) as draft:
                draft.write(here)
            Path(draft.name).replace(self.record)

    def release(self) -> None:
        """Say that the server was stopped: any machine may start it."""
        self.record.unlink(missing_ok=True)


def network_file_system(folder: Path) -> str | None:
    """Return the kind of network file system that a folder is on; None if it is on none."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    place = folder.resolve()
    kind = next((mounts[parent] for parent in (place, *place.parents) if parent in mounts), "")
    return kind if kind.startswith(NETWORK_FILE_SYSTEMS) else None


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.geteuid())
