"""What a backup says of itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vbn.errors import InvalidContentError, NotFoundError
from vbn.whole_files import write_whole

FORMAT = 1
MANIFEST = "manifest.json"
STORE = "store"


@dataclass(frozen=True)
class SavedFile:
    """Size and SHA-256 of a file of the backup."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    """A whole backup.

    Attributes
    ----------
    made_at : moment that database and arrays are of, UTC.
    store : where the arrays were.
    has_arrays : False where the store is no folder, and only the database was saved.
    files : path below the store -> the array's file.
    checksums : `populate.admin.checksums` of that moment; with arrays if there are.
    """

    format: int
    made_at: str
    vbn_version: str
    backend: str
    server_version: str
    prefix: str
    dump: str
    dump_file: SavedFile
    store: str
    has_arrays: bool
    files: dict[str, SavedFile]
    checksums: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Return what the backup takes on the disk."""
        return self.dump_file.size_bytes + sum(file.size_bytes for file in self.files.values())

    def write(self, folder: Path) -> None:
        """Write it into a backup's folder, in one step and to the disk itself."""
        write_whole(folder / MANIFEST, json.dumps(asdict(self), indent=1).encode())


def read_manifest(folder: Path) -> BackupManifest:
    """Return the manifest of a backup.

    Raises
    ------
    NotFoundError
        If the folder holds no whole backup.
    InvalidContentError
        If it cannot be understood.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(
            f"{folder} holds no whole backup: {MANIFEST}, which is written last, is not there. If vbn backup "
            "was interrupted, run it again with this folder; it goes on where it stopped."
        )
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise InvalidContentError(
                path,
                f"it is of format {content['format']}, and {FORMAT} is known here.",
                "Update vbn-datajoint.",
            )
        files = {name: SavedFile(**file) for name, file in content["files"].items()}
        return BackupManifest(**{**content, "dump_file": SavedFile(**content["dump_file"]), "files": files})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidContentError(
            path, f"it is no manifest of a backup ({type(error).__name__}: {error}).", "Use another backup."
        ) from error
