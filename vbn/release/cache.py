"""AllenSDK's cache folder, as filled by AllenSDK or by `vbn.release`.

::

    <cache>/visual-behavior-neuropixels_project_manifest_v<version>.json
    <cache>/_downloaded_data.json                 path to hash of what was downloaded, an optional record
    <cache>/visual-behavior-neuropixels-<version>/project_metadata/*.csv
    <cache>/visual-behavior-neuropixels-<version>/behavior_ecephys_sessions/<id>/...nwb

A copy of the bucket (AllenSDK's "static" cache) has ``visual-behavior-neuropixels/manifests/`` and no
version in the folder's name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vbn.errors import NotFoundError
from vbn.release.manifest import Manifest, ManifestFile
from vbn.release.names import NamedFile, parse_name
from vbn.release.sources import find_manifests
from vbn.whole_files import write_whole

RECORD_NAME = "_downloaded_data.json"
HASH_BLOCK_BYTES = 2**26
"""Large, because a hashing thread has to wait for the interpreter lock after each block."""


@dataclass(frozen=True)
class CachedFile:
    """A data file in a cache.

    Parameters
    ----------
    path : its path.
    file : its entry in the manifest.
    named : information from its name, None for an unknown name.
    is_recorded : whether AllenSDK's record says that it was downloaded with the hash of the manifest.
    """

    path: Path
    file: ManifestFile
    named: NamedFile | None
    is_recorded: bool


@dataclass(frozen=True)
class Cache:
    """A version of the release in a folder.

    Parameters
    ----------
    manifest : manifest of the version.
    data_folder : folder to which the manifest's paths are relative.
    """

    manifest: Manifest
    data_folder: Path

    @property
    def metadata_folder(self) -> Path:
        """The folder of the tables."""
        return self.data_folder / "project_metadata"

    def files(self) -> list[CachedFile]:
        """List the existing data files, sorted by relative path, without checking their content."""
        record = Record(self.data_folder.parent)
        files = sorted(self.manifest.data_files.values(), key=lambda file: file.relative_path)
        return [
            CachedFile(path, file, parse_name(path), record.has(path, file.blake2b))
            for file in files
            if (path := self.data_folder / file.relative_path).is_file()
        ]


def find_caches(folder: str | Path) -> list[Cache]:
    """Find versions of the release in a folder.

    Parameters
    ----------
    folder : AllenSDK's cache folder, a version's folder in it, or a copy of the bucket.

    Returns
    -------
    list of Cache
        Oldest version first; only those whose folder exists. Empty if the folder is none of the three.

    Raises
    ------
    NotReadableError, InvalidContentError
        The folder does not exist, or a manifest is damaged.
    """
    try:
        places = find_manifests(Path(folder))
    except NotFoundError:
        return []
    manifests = [(place, place.read()) for place in places]
    caches = [Cache(manifest, Path(place.data_location(manifest))) for place, manifest in manifests]
    return [cache for cache in caches if cache.data_folder.is_dir()]


class Record:
    """AllenSDK's record of downloaded files (``_downloaded_data.json``): absolute path to hash.

    AllenSDK uses it to link files that are unchanged in a newer version, instead of downloading them again.

    Parameters
    ----------
    folder : the cache folder; without one, nothing is recorded.
    """

    _lock = threading.Lock()

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / RECORD_NAME

    @functools.cached_property
    def _at_first(self) -> Mapping[str, str]:
        return self.read()

    def has(self, path: Path, blake2b: str) -> bool:
        """Return whether a file was recorded with a hash when this was asked first."""
        return self._at_first.get(str(path.resolve())) == blake2b

    def read(self) -> Mapping[str, str]:
        """Read the record; empty if it does not exist or cannot be read."""
        try:
            found = json.loads(self._path.read_bytes()) if self._path else {}
        except (OSError, ValueError):
            return {}
        return {str(path): str(value) for path, value in found.items()} if isinstance(found, dict) else {}

    def add(self, path: Path, blake2b: str) -> None:
        """Add a file. The record only saves work, so a failure to write it is ignored."""
        if self._path is None:
            return
        with self._lock, contextlib.suppress(OSError):
            found = {**self.read(), str(path.resolve()): blake2b}
            write_whole(self._path, json.dumps(found, indent=2, sort_keys=True).encode())


def content_hash(path: Path | int, report: Callable[[int], object] | None = None) -> str:
    """Return the blake2b hash of a file, as in manifests.

    Parameters
    ----------
    path : the file, or the descriptor of an open file, which stays open.
    report : called with the number of bytes read so far.
    """
    digest, done = hashlib.blake2b(), 0
    with open(path, "rb", buffering=0, closefd=isinstance(path, Path)) as file:
        block = memoryview(bytearray(min(HASH_BLOCK_BYTES, os.fstat(file.fileno()).st_size) or 1))
        while n_read := file.readinto(block):
            digest.update(block[:n_read])
            done += n_read
            if report:
                report(done)
    return digest.hexdigest()
