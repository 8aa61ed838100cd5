"""One version of the release: its tables, its sessions, and what to download for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import pandas as pd

from vbn.errors import AbsentError, ConflictError, NotFoundError, NotReadableError
from vbn.release.cache import Cache, Record, content_hash
from vbn.release.download import Download, Progress, download
from vbn.release.manifest import Manifest, ManifestFile
from vbn.release.selection import Selection, choose, lfp_probes, list_files, list_sessions
from vbn.release.sources import (
    BUCKET_URL,
    ManifestPlace,
    choose_version,
    find_manifests,
    open_local,
    read_location,
)
from vbn.release.tables import read_table
from vbn.web.client import Patience, is_url
from vbn.web.ranges import RangeReader
from vbn.whole_files import write_whole

TABLES = ("ecephys_sessions", "behavior_sessions", "probes", "channels", "units")
SIZE_WORKERS = 8


class Release:
    """A version of the release at a source, and the folder to which its files are downloaded.

    Nothing is requested before it is needed.

    Parameters
    ----------
    source : URL or folder, as for `find_manifests`; by default the Allen Institute's public bucket.
    cache_folder : AllenSDK's cache folder, or a new one. By default, if the source is a folder, files are
        used where they are.
    version : such as ``0.5.0``; by default the newest.
    patience : how long to insist, of servers.

    Raises
    ------
    ValueError
        If the source is a URL and no cache folder is given.
    """

    def __init__(
        self,
        source: str | Path = BUCKET_URL,
        cache_folder: str | Path | None = None,
        *,
        version: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        if cache_folder is None and is_url(source):
            raise ValueError("a cache_folder is needed for a release on the web.")
        self.source = source
        self._cache_folder = None if cache_folder is None else Path(cache_folder).absolute()
        self._version = version
        self._patience = patience

    @cached_property
    def versions(self) -> list[ManifestPlace]:
        """The versions at the source, oldest first; errors as for `find_manifests`."""
        return find_manifests(self.source, self._patience)

    @cached_property
    def place(self) -> ManifestPlace:
        """Location of the manifest; `NotFoundError` if there is no such version."""
        return choose_version(self.versions, self._version)

    @cached_property
    def _manifest_content(self) -> bytes:
        return self.place.content(self._patience)

    @cached_property
    def manifest(self) -> Manifest:
        """Manifest of the version; errors as for `Manifest.read`."""
        return Manifest.read(self._manifest_content, self.place.location)

    @property
    def cache(self) -> Cache:
        """Local folder of the version, which may not exist yet."""
        if self._cache_folder is None:
            return Cache(self.manifest, Path(self.place.data_location(self.manifest)))
        return Cache(self.manifest, self._cache_folder / self.manifest.folder_name)

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """The sessions, as from `list_sessions`; downloads three small tables if needed.

        If the source lacks these tables, for example if only the manifest was copied, as from `list_files`.
        """
        if self.absent_table is not None:
            return list_files(self.manifest)
        tables = {name: self.table(name) for name in ("ecephys_sessions", "behavior_sessions", "probes")}
        return list_sessions(tables, self.manifest)

    @cached_property
    def absent_table(self) -> AbsentError | None:
        """Error for a source without the table of sessions; None if it has the table."""
        try:
            self.table_path("ecephys_sessions")
        except AbsentError as error:
            return error
        return None

    def choose(self, selection: Selection) -> pd.DataFrame:
        """Return the selected rows of `sessions`.

        Raises
        ------
        NotFoundError
            As for `vbn.release.choose`; or a criterion needs a table that the source lacks.
        """
        if self.absent_table is not None and selection.asks_tables:
            raise NotFoundError(
                "Without the release's tables, sessions are chosen by their number and kind only. "
                f"{self.absent_table}"
            )
        return choose(self.sessions, selection)

    def table(self, name: str) -> pd.DataFrame:
        """Read a table of the release, downloading it to the cache folder if needed.

        Parameters
        ----------
        name : ``ecephys_sessions``, ``behavior_sessions``, ``probes``, ``channels`` or ``units``.

        Returns
        -------
        DataFrame
            As in the CSV file, with nullable types; lists are lists.

        Raises
        ------
        NotFoundError
            The version has no such table.
        NotReadableError
            The table cannot be read, or its hash differs from the manifest's.
        """
        return read_table(self.table_path(name), name=f"{name}.csv").checked().frame()

    def table_path(self, name: str) -> Path:
        """Return the path of a table's CSV file, downloading it if needed; errors as for `table`."""
        file = self.manifest.metadata_files.get(name)
        if file is None:
            known = ", ".join(self.manifest.metadata_files)
            raise NotFoundError(
                f"Version {self.manifest.version} of the release has no table '{name}', but {known}."
            )
        target = self.cache.data_folder / file.relative_path
        if not target.is_file() or content_hash(target) != file.blake2b:
            self._fetch_small(file, target)
        return target

    def plan(
        self,
        selection: Selection | None = None,
        *,
        files: bool = True,
        lfp: bool = False,
        tables: bool = False,
    ) -> list[Download]:
        """List what to download.

        Parameters
        ----------
        selection : selects the sessions; all recordings by default.
        files : whether to include session files (2 to 3 GB per recording).
        lfp : whether to include LFP files (up to 4.7 GB per probe).
        tables : whether to include all tables of the release (160 MB), which AllenSDK needs.

        Returns
        -------
        list of Download
            Tables first, then session by session, including files that are already in the cache folder.

        Raises
        ------
        NotFoundError
            Unknown values in the selection, or a selected session without a file.
        NotReadableError
            The source lacks a file, or does not respond.
        """
        chosen = self.choose(selection or Selection()) if files or lfp else self.sessions.iloc[:0]
        wanted = list(self.manifest.metadata_files.values()) if tables else []
        if files:
            wanted += self._session_files(chosen)
        if lfp:
            wanted += self._lfp_files(chosen)
        unique = sorted({file.relative_path: file for file in wanted}.values(), key=_order)
        sizes = self._sizes(unique)
        return [self._download(file, size) for file, size in zip(unique, sizes, strict=True)]

    def locations(self, selection: Selection | None = None, *, lfp: bool = False) -> dict[str, str]:
        """Return where the files of sessions are, for reading them there: location -> hash (blake2b).

        Parameters
        ----------
        selection : selects the sessions; all recordings by default.
        lfp : whether to include LFP files.

        Raises
        ------
        NotFoundError
            Unknown values in the selection, or a selected session without a file.
        """
        chosen = self.choose(selection or Selection())
        wanted = self._session_files(chosen) + (self._lfp_files(chosen) if lfp else [])
        return {self.place.file_location(self.manifest, file): file.blake2b for file in wanted}

    def download(
        self,
        downloads: list[Download],
        *,
        workers: int = 4,
        progress: Callable[[Progress], object] | None = None,
    ) -> list[Progress]:
        """Download the planned files, and the manifest, to the cache folder; see `vbn.release.download`.

        Raises
        ------
        ConflictError
            The cache folder has another manifest of the same version.
        """
        if self._cache_folder is not None:
            self._keep_manifest(self._cache_folder)
        return download(
            downloads,
            workers=workers,
            progress=progress,
            patience=self._patience,
            cache_folder=self._cache_folder,
        )

    def _session_files(self, chosen: pd.DataFrame) -> list[ManifestFile]:
        without = chosen.loc[chosen["file_id"].isna(), "session_id"].tolist()
        if without:
            raise NotFoundError(
                f"Version {self.manifest.version} of the release has no file of session "
                + ", ".join(map(str, without))
                + "."
            )
        return self._data_files(chosen["file_id"])

    def _lfp_files(self, chosen: pd.DataFrame) -> list[ManifestFile]:
        probes = lfp_probes(self.table("probes"), self.manifest)
        recordings = chosen.loc[chosen["kind"] == "recording", "session_id"]
        return self._data_files(probes.loc[probes["ecephys_session_id"].isin(recordings), "file_id"])

    def _data_files(self, keys: Iterable[str]) -> list[ManifestFile]:
        return [self.manifest.data_files[key] for key in keys]

    def _download(self, file: ManifestFile, size_bytes: int) -> Download:
        return Download(
            self.place.file_location(self.manifest, file),
            self.cache.data_folder / file.relative_path,
            size_bytes,
            file.blake2b,
        )

    def _sizes(self, files: list[ManifestFile]) -> list[int]:
        """Look up the files' lengths, which the manifest does not have."""
        record = Record(self._cache_folder)
        with ThreadPoolExecutor(SIZE_WORKERS) as pool:
            return list(pool.map(lambda file: self._size(file, record), files))

    def _size(self, file: ManifestFile, record: Record) -> int:
        target = self.cache.data_folder / file.relative_path
        if target.is_file() and record.has(target, file.blake2b):
            return target.stat().st_size
        location = self.place.file_location(self.manifest, file)
        if not is_url(location):
            with open_local(location) as source:
                return source.seek(0, os.SEEK_END)
        return RangeReader(location, self._patience, allow_whole=True).read_version().size_bytes

    def _fetch_small(self, file: ManifestFile, target: Path) -> None:
        """Get a table whole, trying once more if its hash is wrong."""
        location = self.place.file_location(self.manifest, file)
        if self._cache_folder is not None:
            self._keep_manifest(self._cache_folder)
        for _ in range(2):
            content = read_location(location, self._patience)
            if hashlib.blake2b(content).hexdigest() == file.blake2b:
                write_whole(target, content)
                Record(self._cache_folder).add(target, file.blake2b)
                return
        raise NotReadableError(
            location, "its content is not what the manifest says (blake2b).", "Try again, or another mirror."
        )

    def _keep_manifest(self, cache_folder: Path) -> None:
        """Save the manifest in the cache folder, where AllenSDK expects it."""
        path = cache_folder / self.place.name
        if not path.is_file():
            write_whole(path, self._manifest_content)
        elif Manifest.read(path).hashes() != self.manifest.hashes():
            raise ConflictError(
                f"{path}: this manifest is of the same version ({self.manifest.version}) as that of "
                f"{self.place.location}, but lists other files. Use another cache folder."
            )


def _order(file: ManifestFile) -> tuple[bool, str]:
    """Sort tables before data, and data by folder, so that sessions are completed one by one."""
    return not file.relative_path.startswith("project_metadata/"), file.relative_path
