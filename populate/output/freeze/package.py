"""The files of a freeze for the array store: tables in a ZIP file, and arrays, which stay where they are."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from populate.admin.checksums import hash_in_store
from populate.output.publish.arrays import ArrayFiles
from populate.output.publish.folder import PublishFolder
from schemas.server.published import CHECKSUMS, is_array_file
from schemas.server.unpublished import is_unpublished

PIECE_BYTES = 32 * 2**20
"""A piece is in memory twice when it is written."""

MOMENT = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class KeptArray:
    """An array of a freeze: DataJoint's reference to its file in the store, and the hash of that."""

    source: dict[str, Any]
    sha256: str


class KeptArrays(ArrayFiles):
    """Arrays that are published where they are: hashed, and not copied."""

    def __init__(self, folder: PublishFolder) -> None:
        super().__init__(folder, wanted=True)
        self.found: dict[str, KeptArray] = {}

    def publish(self, path: str, reference: Any) -> str | None:
        """Note where an array is; return the SHA-256 of its file, None if its row was adopted without it.

        Raises
        ------
        StoreError
            If it cannot be read.
        """
        if is_unpublished(reference.path):
            return None
        digest = hash_in_store(reference.path)
        source = {
            "path": reference.path, "store": reference.store, "dtype": str(reference.dtype),
            "shape": list(map(int, reference.shape)),
        }  # fmt: skip
        self.found[path] = KeptArray(source, digest)
        return digest

    def require(self, path: str) -> None:
        """Raise KeyError unless an array was noted."""
        self.found[path]


def write_package(folder: Path, names: Collection[str], more: Mapping[str, str], package: Path) -> None:
    """Write files of a folder into a ZIP file; the same files give the same bytes.

    Parameters
    ----------
    folder : the folder.
    names : the paths of the files; arrays are left out.
    more : path -> text, of what is beside them.
    package : the ZIP file.
    """
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(more.items()):
            archive.writestr(zipfile.ZipInfo(name, MOMENT), text)
        for name in sorted([*(each for each in names if not is_array_file(each)), CHECKSUMS]):
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr = 0o644 << 16
            entry.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(entry, "w") as target:
                while piece := source.read(PIECE_BYTES):
                    target.write(piece)


def pieces(package: Path) -> Iterator[tuple[np.ndarray, str]]:
    """Yield the bytes of a file in pieces, each with its SHA-256."""
    with package.open("rb") as file:
        while content := file.read(PIECE_BYTES):
            yield np.frombuffer(content, np.uint8), hashlib.sha256(content).hexdigest()
