"""The folder that is published into: what was published, what is on its way, and nothing of anybody else.

New files wait in ``.new`` until all are there; then they take their places. A folder without its list of
checksums is not complete, and nobody opens it. Every path is noted in ``.files`` before it is written, and
only what is noted there is ever replaced or removed: the list of checksums is gone during an update.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from populate.admin.backup.folders import require_outside_store
from populate.output.publish.chunk_hashes import FileHashes, hashes_of
from populate.output.publish.fingerprints import Fingerprint
from schemas.server.connection import Database
from schemas.server.published import ARRAYS, CHECKSUMS, LARGEST_LIST, read_regular
from vbn.errors import ConflictError, SettingError, StoreError
from vbn.whole_files import write_whole

LOCK, STATE, NEW, FILES = ".lock", ".state", ".new", ".files"
OURS = "A folder of vbn publish.\n"
HIDDEN = (LOCK, STATE, NEW, FILES)
PART = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{32}\.part(?P<end>\.[^.]*)?")
"""The name of a file that is being written, as `vbn.whole_files` gives it."""


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


class Former(NamedTuple):
    """A table's file that was written before, what from, and its hashes, which were just compared."""

    path: Path
    state: FileState
    hashes: FileHashes


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
        require_outside_store(self.path, database)
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise SettingError(f"{self.path} is a file. Name a new or empty folder.")
        is_ours = (self.path / LOCK).is_file() and (self.path / LOCK).read_bytes()[:100] == OURS.encode()
        others = self.others() if is_ours else {each.name for each in self.path.iterdir()}
        if others:
            raise self._conflict(others)

    def require_no_arrays(self) -> None:
        """Raise ConflictError if arrays were published, which publishing without them would remove."""
        if self.path.is_dir() and any(name.startswith(f"{ARRAYS}/") for name in self.known()):
            raise ConflictError(
                f"{self.path} was published with its arrays, which publishing without them would remove. "
                "Publish with --arrays again, or name another folder."
            )

    def _conflict(self, others: Collection[str]) -> ConflictError:
        few = ", ".join(sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
        return ConflictError(
            f"{self.path} holds files that vbn publish has not written ({few}). Name a new or empty "
            "folder, or move them elsewhere."
        )

    def others(self) -> set[str]:
        """Return the files that vbn publish has not written."""
        known = self.known()
        return {name for name in self.files() if name not in known and not _is_part_of(name, known)}

    def known(self) -> set[str]:
        """Return the paths that vbn publish has written, or was about to."""
        with contextlib.suppress(FileNotFoundError):
            return {*read_regular(self.path / FILES, LARGEST_LIST).decode().splitlines(), CHECKSUMS}
        return self.listed() | {CHECKSUMS}

    def claim(self, names: Collection[str]) -> None:
        """Note the paths of files that are about to be written, each with what it may have been of others.

        Raises
        ------
        ConflictError
            If somebody else's file is in the place of one: it came while publishing was on its way.
        """
        known = self.known()
        new = sorted(set(names) - known)
        if taken := [name for name in new if os.path.lexists(self.path / name)]:
            raise self._conflict(taken)
        if new:
            self._note_files(known.union(new))

    def _note_files(self, names: Collection[str]) -> None:
        write_whole(self.path / FILES, "".join(f"{name}\n" for name in sorted(names)).encode())

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, but those that only vbn publish reads; links count as files."""
        for folder, folders, names in os.walk(self.path):
            if Path(folder) == self.path:
                folders[:] = [name for name in folders if name not in HIDDEN]
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in [*names, *links]:
                relative = (Path(folder) / name).relative_to(self.path).as_posix()
                if relative not in HIDDEN:
                    yield relative

    def listed(self) -> set[str]:
        """Return the paths of the files of the last publication."""
        if not os.path.lexists(self.path / CHECKSUMS):
            return set()
        lines = read_regular(self.path / CHECKSUMS, LARGEST_LIST).decode().splitlines()
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
                self._remove_parts()
                yield
        except OSError as error:
            raise StoreError(
                f"Publishing into {self.path} failed: {error.strerror or error}. What was written stays: "
                "after fixing the cause, run the same command again to continue."
            ) from error

    def _remove_parts(self) -> None:
        """Remove what one that was killed was writing; nothing of others, whatever it is called."""
        known = self.known() | {FILES}
        for name in {*self.files(), *(each.name for each in self.path.iterdir() if each.is_file())}:
            if _is_part_of(name, known):
                (self.path / name).unlink()
        for ours in (self.new, self.path / STATE):
            for part in ours.rglob(".*.part*"):
                part.unlink()

    def former(self, name: str) -> Former | None:
        """Return the file of a table that waits, else the published one, and what it was written from.

        None if there is none, or if it is not as it was written.
        """
        for root in (self.new, self.path):
            with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
                state = FileState.from_json((root / STATE / f"{name}.json").read_text())
                hashes = hashes_of(root / name)
                if hashes.sha256 == state.sha256:
                    return Former(root / name, state, hashes)
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
            self.claim([name])
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
            self.claim([path.as_posix() for path in waiting if path.parts[0] != STATE])
            self.open_for_change()
        for name in sorted(waiting, key=lambda path: (path.parts[0] == STATE, path)):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.new / name).replace(target)
        shutil.rmtree(self.new)

    def keep_only(self, names: set[str]) -> None:
        """Remove files that were published and are no longer, with folders that they leave empty."""
        for name in sorted((self.known() & set(self.files())) - names - {CHECKSUMS}):
            self.open_for_change()
            (self.path / name).unlink()
            (self.path / STATE / f"{name}.json").unlink(missing_ok=True)
            for folder in (self.path / name).parents:
                if folder == self.path or any(folder.iterdir()):
                    break
                folder.rmdir()

    def complete(self, checksums: dict[str, str]) -> str:
        """Write the list of checksums, by which the folder is complete; return its content."""
        content = "".join(f"{digest}  {name}\n" for name, digest in sorted(checksums.items()))
        if not (self.path / CHECKSUMS).is_file() or (self.path / CHECKSUMS).read_text() != content:
            os.sync()  # what it lists is on the disk before it is
            write_whole(self.path / CHECKSUMS, content.encode())
        if self.known() != {*checksums, CHECKSUMS}:
            self._note_files(checksums)
        return content


def _is_part_of(name: str, known: Collection[str]) -> bool:
    """Return whether a path is that of a known file while it is being written."""
    path = Path(name)
    found = PART.fullmatch(path.name)
    return found is not None and path.with_name(found["stem"] + (found["end"] or "")).as_posix() in known
