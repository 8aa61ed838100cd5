"""The arrays of the store as files of a published folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from populate.admin.checksums import hash_stream
from populate.output.publish.folder import STATE, PublishFolder
from schemas.server.published import ARRAYS
from schemas.server.settings import STORE_NAME
from schemas.server.stores import explaining_reads, opened_store
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
        self._folder, self._wanted = folder, wanted
        self._known = {**_read(folder.path / JOURNAL), **_read(folder.new / JOURNAL)}

    def publish(self, path: str, reference: Any) -> str | None:
        """Copy an array, unless it was; return the SHA-256 of its file, None if it is not wanted.

        An array is never changed under its path in the store.
        """
        if not self._wanted:
            return None
        known = self._known.get(path)
        if known and known["source"] == reference.path and self._is_there(path, known["bytes"]):
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
        self._known[path] = {"path": path, "source": reference.path, "bytes": size, "sha256": digest}
        with self._folder.waiting(JOURNAL).open("a") as journal:
            journal.write(json.dumps(self._known[path]) + "\n")
        return digest

    def _is_there(self, path: str, size: int) -> bool:
        places = (root / ARRAYS / path for root in (self._folder.new, self._folder.path))
        return any(place.is_file() and place.stat().st_size == size for place in places)

    def keep_journal(self) -> None:
        """Let a new journal contain the former one, in whose place it comes."""
        new = self._folder.new / JOURNAL
        if new.exists():
            new.write_text("".join(json.dumps(self._known[path]) + "\n" for path in sorted(self._known)))


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
