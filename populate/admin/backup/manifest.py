"""The manifest of a backup."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from populate.admin.snapshot import SYSTEM
from schemas.bases.registry import schema_names
from schemas.files import store_identity
from schemas.server.connection import Database
from vbn.errors import InvalidContentError, NotFoundError
from vbn.whole_files import write_whole

FORMAT = 2
MANIFEST = "manifest.json"
STORE = "store"
MOMENT = "%Y%m%dT%H%M%S%fZ"
DUMP_NAME = re.compile(r"database-(\d{8}T\d{12}Z)(\.sql\.gz|\.pgdump)")
GENERATION_NAME = re.compile(r"\d{8}T\d{12}Z")
SCHEMA_NAME = re.compile(r"[^`\"\\\x00-\x1f]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
TEXTS = ("made_at", "vbn_version", "backend", "server_version", "prefix", "dump", "store")


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
    has_arrays : False if only the database was saved.
    files : path below the store -> the array's file.
    store_id : the store's id (`schemas.files.store_identity`); None of layouts before change 12.
    checksums : `populate.admin.checksums` at that time, including arrays if there are any.
    schemas : names of the saved schemas, with those of the lab (format 2).
    n_unpublished : number of arrays that no database here ever had, of adopted sessions.
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
    schemas: list[str] = field(default_factory=list)
    n_unpublished: int = 0

    @property
    def size_bytes(self) -> int:
        """Return the size of the backup on disk."""
        return self.dump_file.size_bytes + sum(file.size_bytes for file in self.files.values())

    @property
    def moment(self) -> str:
        """Return the time at which it was begun, as in the dump's name."""
        return self.dump.removeprefix("database-").partition(".")[0]

    def is_of(self, database: Database) -> bool:
        """Return whether it was made of a database; layouts before change 12 have no id of the store."""
        same = (self.backend, self.prefix) == (database.backend, database.prefix)
        return same and self.store_id in (None, store_identity.recorded_id(database))

    def write(self, folder: Path) -> None:
        """Write it into the folder of a backup, completely or not at all."""
        content = asdict(self)
        if not self.n_unpublished:
            del content["n_unpublished"]  # which earlier versions do not know
        write_whole(folder / MANIFEST, json.dumps(content, indent=1).encode())


def read_manifest(folder: Path) -> BackupManifest:
    """Return the manifest of a backup. No name in it leads out of the backup or the store.

    Raises
    ------
    NotFoundError
        If the folder holds no complete backup.
    InvalidContentError
        If the manifest cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(_why_none(folder))
    try:
        return _parsed(json.loads(path.read_text()), path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidContentError(
            path,
            f"it is not a manifest of a backup ({type(error).__name__}: {error}).",
            "Use another backup.",
        ) from error


def generations(folder: Path) -> list[Path]:
    """Return the complete backups that ``vbn backup --keep`` has made in a folder, oldest first."""
    places = folder.iterdir() if folder.is_dir() else ()
    named = (path for path in places if GENERATION_NAME.fullmatch(path.name))
    return sorted(path for path in named if (path / MANIFEST).is_file() and not path.is_symlink())


def _why_none(folder: Path) -> str:
    if kept := generations(folder):
        return f"{folder} holds {len(kept)} backups. Name one of them; the newest is {kept[-1]}."
    return (
        f"{folder} holds no complete backup: {MANIFEST}, which is written last, is missing. If vbn "
        "backup was interrupted, run it again with this folder; it continues where it stopped."
    )


def _parsed(content: dict[str, Any], path: Path) -> BackupManifest:
    if content["format"] not in (1, FORMAT):
        raise InvalidContentError(
            path,
            f"it has format {content['format']}, and only those up to {FORMAT} are known here.",
            "Update vbn-datajoint.",
        )
    files = {name: saved_file(file) for name, file in content["files"].items()}
    manifest = BackupManifest(**{**content, "dump_file": saved_file(content["dump_file"]), "files": files})
    for name in TEXTS:
        if not isinstance(getattr(manifest, name), str):
            raise TypeError(f"{name} is no text")
    datetime.fromisoformat(manifest.made_at)
    if not DUMP_NAME.fullmatch(manifest.dump):
        raise ValueError(f"the dump has the name {manifest.dump!r}")
    for name in files:
        require_inside(name)
    if not isinstance(manifest.has_arrays, bool) or (files and not manifest.has_arrays):
        raise ValueError("has_arrays contradicts the files")
    if type(manifest.n_unpublished) is not int:
        raise TypeError("the number of arrays that were not published is none")
    _require_texts(manifest.checksums)
    if manifest.format == 1:
        return BackupManifest(**{**vars(manifest), "schemas": schema_names(manifest.prefix)})
    if not all(SCHEMA_NAME.fullmatch(name) and name not in SYSTEM for name in manifest.schemas):
        raise ValueError("a schema has a name that cannot be one")
    return manifest


def saved_file(content: Mapping[str, Any]) -> SavedFile:
    """Return size and hash, which must be such; ValueError or TypeError if not."""
    file = SavedFile(**content)
    if type(file.size_bytes) is not int or file.size_bytes < 0 or not SHA256.fullmatch(file.sha256):
        raise ValueError(f"{content} is no size with a hash")
    return file


def require_inside(name: str) -> None:
    """Raise ValueError at a path that leads out of the store, or to the store's own records."""
    path = PurePosixPath(name)
    if (
        str(path) != name
        or path.is_absolute()
        or ".." in path.parts
        or path.parts[:1] in ((), (store_identity.FOLDER,))
        or "\\" in name
        or not name.isprintable()
    ):
        raise ValueError(f"the path {name!r} is not below the store")


def _require_texts(checksums: dict[str, str]) -> None:
    if not all(isinstance(text, str) for pair in checksums.items() for text in pair):
        raise TypeError("the checksums are no texts")
