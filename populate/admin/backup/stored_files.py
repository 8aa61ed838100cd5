"""The files of the array store, in a folder or in a bucket, as a backup reads and a restore writes them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from populate.admin.backup.manifest import SavedFile
from populate.admin.checksums import hash_stream
from schemas.server.settings import STORE_NAME, Store
from schemas.server.stores import explaining_reads, opened_store
from vbn.errors import AbsentArrayError, StoreError, shortened
from vbn.whole_files import whole_file


@dataclass(frozen=True)
class _Reading:
    """An open file in a bucket, whose failures are explained."""

    file: Any
    backend: Any
    path: str

    def read(self, size: int) -> bytes:
        with explaining_reads(self.backend, self.path):
            content: bytes = self.file.read(size)
            return content


class StoredFiles:
    """The files of an array store.

    Parameters
    ----------
    store : the store, which must be configured.
    """

    def __init__(self, store: Store) -> None:
        self.store, self._folder = store, store.folder
        self._backend = None if self._folder else opened_store(STORE_NAME)
        if self._backend is not None:
            self._backend.fs.invalidate_cache()  # others write, too

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        """Yield a file, open for reading.

        Raises
        ------
        AbsentArrayError
            If it is not there.
        StoreError
            If a bucket cannot be read.
        """
        if self._folder is not None:
            try:
                file = (self._folder / path).open("rb")
            except FileNotFoundError as error:
                raise AbsentArrayError(f"The array {path} is not in the store {self.store}.") from error
            with file:
                yield file
            return
        with explaining_reads(self._backend, path):
            file = self._backend.open(path)  # type: ignore[union-attr]
        with file:
            yield _Reading(file, self._backend, path)

    def has(self, path: str) -> bool:
        """Return whether a file is there."""
        if self._folder is not None:
            return (self._folder / path).exists()
        with explaining_reads(self._backend, path):
            return bool(self._backend.exists(path))  # type: ignore[union-attr]

    def find(self, path: str) -> SavedFile | None:
        """Return size and hash of a file, None if it is not there."""
        try:
            with self.opened(path) as file:
                counter = _Counter()
                return SavedFile(sha256=hash_stream(file, counter), size_bytes=counter.size)
        except AbsentArrayError:
            return None

    def add(self, path: str, source: Path) -> None:
        """Write a file that the store lacks, completely or not at all."""
        if self._folder is not None:
            with whole_file(self._folder / path) as part:
                shutil.copyfile(source, part)
            return
        try:
            self._backend.put_file(source, path)  # type: ignore[union-attr]
        except Exception as error:  # what a bucket raises depends on the library that writes it
            raise StoreError(
                f"The array {path} cannot be written to the store {self.store} "
                f"({type(error).__name__}: {shortened(str(error), 300)})."
            ) from error


class _Counter:
    """Counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, piece: bytes) -> None:
        self.size += len(piece)
