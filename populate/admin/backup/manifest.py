"""The manifest of a backup."""

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
    """The contents of a complete backup.

    Attributes
    ----------
    made_at : time of database and arrays, UTC.
    store : where the arrays were.
    has_arrays : False if the store is not a folder, so that only the database was saved.
    files : path below the store -> the array's file.
    store_id : the store's id (`schemas.files.store_identity`); None of layouts before change 12.
    checksums : `populate.admin.checksums` at that time, including arrays if there are any.
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
    store_id: str | None = None

    @property
    def size_bytes(self) -> int:
        """Return the size of the backup on disk."""
        return self.dump_file.size_bytes + sum(file.size_bytes for file in self.files.values())

    def write(self, folder: Path) -> None:
        """Write it into the folder of a backup, completely or not at all."""
        write_whole(folder / MANIFEST, json.dumps(asdict(self), indent=1).encode())


def read_manifest(folder: Path) -> BackupManifest:
    """Return the manifest of a backup.

    Raises
    ------
    NotFoundError
        If the folder holds no complete backup.
    InvalidContentError
        If the manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(
            f"{folder} holds no complete backup: {MANIFEST}, which is written last, is missing. If vbn "
            "backup was interrupted, run it again with this folder; it continues where it stopped."
        )
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise InvalidContentError(
                path,
                f"it has format {content['format']}, and only {FORMAT} is known here.",
                "Update vbn-datajoint.",
            )
        files = {name: SavedFile(**file) for name, file in content["files"].items()}
        return BackupManifest(**{**content, "dump_file": SavedFile(**content["dump_file"]), "files": files})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidContentError(
            path,
            f"it is not a manifest of a backup ({type(error).__name__}: {error}).",
            "Use another backup.",
        ) from error
