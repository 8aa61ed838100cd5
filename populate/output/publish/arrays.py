"""The arrays of the store as files of a published folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from populate.admin.checksums import hash_stream
from populate.output.publish.folder import STATE, PublishFolder
from schemas.server.published import ARRAYS, TABLES, hash_of
from schemas.server.settings import STORE_NAME
from schemas.server.stores import explaining_reads, opened_store
from schemas.server.unpublished import is_unpublished
from vbn.errors import InvalidContentError
from vbn.whole_files import whole_file

JOURNAL = f"{STATE}/arrays.jsonl"


class ArrayFiles:
    """Copies arrays into a folder, and none twice.

    Parameters
    ----------
    folder : the folder.
    wanted : whether arrays are published at all.
    """

    def __init__(self, folder: PublishFolder, *, wanted: bool) -> None:
        self._folder, self.wanted = folder, wanted
        self._known = {**_read(folder.path / JOURNAL), **_read(folder.new / JOURNAL)}
        self._is_changed = False

    def tables_to_write(self) -> set[str]:
        """Forget arrays that are not as they were copied; return the files of the tables that name them.

        A file of the same size and time is taken for the one that was copied; ``vbn publish --check`` reads
        all, and has those that differ copied again (`have_copied_again`).
        """
        if not self.wanted:
            return set()
        published, found = self._folder.known(), set()
        for path in [path for path, each in self._known.items() if not self._is_there(path, each)]:
            del self._known[path]
            self._is_changed = True
            if f"{ARRAYS}/{path}" in published:
                module, name = path.split("/")[:2]
                found.add(f"{TABLES}/{module}/{name}.parquet")
        return found

    def publish(self, path: str, reference: Any) -> str | None:
        """Copy an array, unless it was; return the SHA-256 of its file, None if it is not wanted or not here.

        An array is never changed under its path in the store.
        """
        if not self.wanted or is_unpublished(reference.path):
            return None
        known = self._known.get(path)
        if known and known["source"] == reference.path:
            return str(known["sha256"])
        store = opened_store(STORE_NAME)
        target = self._folder.waiting(f"{ARRAYS}/{path}")
        with (
            whole_file(target) as part,
            part.open("wb") as copy,
            explaining_reads(store, reference.path),
            store.open(reference.path) as file,
        ):
            digest = hash_stream(file, copy)
            size = copy.tell()
        self._known[path] = {
            "path": path, "source": reference.path, "bytes": size, "sha256": digest,
            "modified_ns": target.stat().st_mtime_ns,
        }  # fmt: skip
        with self._folder.waiting(JOURNAL).open("a") as journal:
            journal.write(json.dumps(self._known[path]) + "\n")
        return digest

    def require(self, path: str) -> None:
        """Raise InvalidContentError unless an array is in its place in the folder."""
        place = self._folder.path / ARRAYS / path
        if not place.is_file():
            advice = "Remove the folder .state of the publication, and publish again."
            raise InvalidContentError(place, "It was published, and is gone.", advice)

    def _is_there(self, path: str, known: dict[str, Any]) -> bool:
        places = (root / ARRAYS / path for root in (self._folder.new, self._folder.path))
        place = next((place for place in places if place.is_file() and not place.is_symlink()), None)
        if place is None or place.stat().st_size != known["bytes"]:
            return False
        modified = place.stat().st_mtime_ns
        if known.get("modified_ns") != modified:
            if hash_of(place) != known["sha256"]:
                return False
            known["modified_ns"], self._is_changed = modified, True
        return True

    def keep_journal(self) -> None:
        """Let a new journal contain the former one, in whose place it comes."""
        new = self._folder.new / JOURNAL
        if self._is_changed or new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text("".join(json.dumps(self._known[path]) + "\n" for path in sorted(self._known)))


def have_copied_again(folder: PublishFolder, paths: Iterable[str]) -> None:
    """Note arrays that were found to be damaged, so that they are copied again when the folder is published.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    journal = folder.path / JOURNAL
    if journal.exists() and (lines := [{"path": path, "source": "", "bytes": -1} for path in paths]):
        with journal.open("a") as file:
            file.write("".join(f"{json.dumps(line)}\n" for line in lines))


def _read(journal: Path) -> dict[str, dict[str, Any]]:
    try:
        lines = journal.read_text().splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # the last line of a process that was killed
            continue
        found[str(entry["path"])] = entry
    return found
