"""The folder that is published into: what was published, what is on its way, and nothing of anybody else.

New files wait in ``.new`` until all are there; then they take their places. A folder without its list of
checksums is not complete, and nobody opens it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from populate.output.publish.fingerprints import Fingerprint
from schemas.server.connection import Database
from schemas.server.published import CHECKSUMS, hash_of
from vbn.errors import ConflictError, SettingError, StoreError
from vbn.whole_files import write_whole

LOCK, STATE, NEW = ".lock", ".state", ".new"
OURS = "A folder of vbn publish.\n"
HIDDEN = (LOCK, STATE, NEW)


@dataclass(frozen=True)
class FileState:
    """What a table's file was written from.

    Attributes
    ----------
    layout : hash of the names, types and meanings of its columns.
    types : hash of names and types alone.
    with_arrays : whether the arrays that it names were published.
    sessions : session -> fingerprint, in the order of the file.
    sha256 : hash of the file.
    """

    layout: str
    types: str
    with_arrays: bool
    sessions: dict[Any, Fingerprint]
    sha256: str

    def to_json(self) -> str:
        """Return the state as text."""
        rows = [[list(key) if key else None, asdict(each)] for key, each in self.sessions.items()]
        return json.dumps({**vars(self), "sessions": rows}, indent=0)

    @classmethod
    def from_json(cls, text: str) -> FileState:
        """Return the state from text."""
        content = json.loads(text)
        sessions = {}
        for key, each in content.pop("sessions"):
            sizes = {name: span and (span[0], span[1]) for name, span in each["sizes"].items()}
            sessions[(key[0], key[1]) if key else ""] = Fingerprint(each["hash"], each["n_rows"], sizes)
        return cls(**content, sessions=sessions)


@dataclass(frozen=True)
class PublishFolder:
    """A folder that is published into."""

    path: Path

    @property
    def new(self) -> Path:
        """Where new files wait."""
        return self.path / NEW

    def require_usable(self, database: Database) -> None:
        """Raise an error unless the folder is new, empty, or a publication, and not in the store.

        Raises
        ------
        SettingError
            If it is in the store.
        ConflictError
            If it holds something else.
        """
        store = database.store.folder
        if store is not None and self.path.resolve().is_relative_to(store.resolve()):
            raise SettingError(f"{self.path} is in the array store. Name a folder elsewhere.")
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise SettingError(f"{self.path} is a file. Name a new or empty folder.")
        is_ours = (self.path / LOCK).is_file() and (self.path / LOCK).read_bytes()[:100] == OURS.encode()
        others = sorted(self.others()) if is_ours else sorted(each.name for each in self.path.iterdir())
        if others:
            few = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
            raise ConflictError(
                f"{self.path} holds files that vbn publish has not written ({few}). Name a new or empty "
                "folder, or move them elsewhere."
            )

    def others(self) -> set[str]:
        """Return the files that belong to no publication; any may, before the first is complete."""
        known = self.listed() | {CHECKSUMS}
        if not (self.path / CHECKSUMS).exists():
            return set()
        return {name for name in self.files() if name not in known and ".part" not in Path(name).suffixes}

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, but those that only vbn publish reads."""
        for folder, folders, names in os.walk(self.path):
            if Path(folder) == self.path:
                folders[:] = [name for name in folders if name not in HIDDEN]
            for name in names:
                relative = (Path(folder) / name).relative_to(self.path).as_posix()
                if relative not in HIDDEN:
                    yield relative

    def listed(self) -> set[str]:
        """Return the paths of the files of the last publication."""
        try:
            lines = (self.path / CHECKSUMS).read_text().splitlines()
        except FileNotFoundError:
            return set()
        return {line[66:] for line in lines}

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let nobody else publish into the folder; it is created.

        Raises
        ------
        ConflictError
            If somebody does.
        StoreError
            If it cannot be written, or the disk is full.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / LOCK).open("a+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ConflictError(f"Another vbn publish is writing into {self.path}.") from None
                if file.tell() == 0:
                    file.write(OURS)
                    file.flush()
                for part in self.path.rglob(".*.part*"):  # of one that was killed
                    part.unlink()
                yield
        except OSError as error:
            raise StoreError(
                f"Publishing into {self.path} failed: {error.strerror or error}. What was written stays: "
                "after fixing the cause, run the same command again to continue."
            ) from error

    def former(self, name: str) -> tuple[Path, FileState] | None:
        """Return the file of a table that waits, else the published one, and what it was written from.

        None if there is none, or if it is not as it was written.
        """
        for root in (self.new, self.path):
            with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
                state = FileState.from_json((root / STATE / f"{name}.json").read_text())
                if hash_of(root / name) == state.sha256:
                    return root / name, state
        return None

    def waiting(self, name: str) -> Path:
        """Return where a new file waits; its folder is created."""
        path = self.new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def note(self, name: str, state: FileState) -> None:
        """Record what a waiting file was written from."""
        write_whole(self.new / STATE / f"{name}.json", state.to_json().encode())

    def put(self, name: str, content: str) -> None:
        """Write a small file, unless it is there."""
        path = self.path / name
        if not path.is_file() or path.read_bytes() != content.encode():
            self.open_for_change()
            write_whole(path, content.encode())

    def open_for_change(self) -> None:
        """Say that the folder is not complete."""
        (self.path / CHECKSUMS).unlink(missing_ok=True)

    def take_over(self) -> None:
        """Move the files that wait to their places, each before what is known of it."""
        if not self.new.is_dir():
            return
        waiting = [path.relative_to(self.new) for path in self.new.rglob("*") if path.is_file()]
        if waiting:
            self.open_for_change()
        for name in sorted(waiting, key=lambda path: (path.parts[0] == STATE, path)):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.new / name).replace(target)
        shutil.rmtree(self.new)

    def keep_only(self, names: set[str]) -> None:
        """Remove files that are no longer published."""
        for name in sorted(set(self.files()) - names - {CHECKSUMS}):
            self.open_for_change()
            (self.path / name).unlink()
            (self.path / STATE / f"{name}.json").unlink(missing_ok=True)
        for folder, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                if Path(folder) != self.path:
                    Path(folder).rmdir()

    def complete(self, checksums: dict[str, str]) -> str:
        """Write the list of checksums, by which the folder is complete; return its content."""
        content = "".join(f"{digest}  {name}\n" for name, digest in sorted(checksums.items()))
        if not (self.path / CHECKSUMS).is_file() or (self.path / CHECKSUMS).read_text() != content:
            os.sync()  # what it lists is on the disk before it is
            write_whole(self.path / CHECKSUMS, content.encode())
        return content
