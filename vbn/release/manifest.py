"""The manifest of a release: its files, with URLs and hashes.

The format is that of AllenSDK's data releases (AllenSDK, ``allensdk.api.cloud_cache.manifest``): a JSON
object with ``project_name``, ``manifest_version``, ``metadata_file_id_column_name``, ``data_pipeline``,
``metadata_files`` (by name, such as ``ecephys_sessions``) and ``data_files`` (by file id), each file with
``url``, ``version_id`` (S3's) and ``file_hash`` (blake2b, 64 bytes, hexadecimal).
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbn.errors import InvalidContentError, NotReadableError

PROJECT = "visual-behavior-neuropixels"
FOLDERS = ("behavior_ecephys_sessions", "behavior_only_sessions", "project_metadata")
"""Folders of a release, below the project's folder."""

MANIFEST_NAME = re.compile(r"[\w.-]*_manifest_v(?P<version>\d+(\.\d+)*[\w.+-]*?)\.json(?![\w.-])")
ADVICE = "Use the manifest of a Visual Behavior Neuropixels release, or download it again."

_HASH = re.compile(r"[0-9a-f]{128}")
_UNSAFE_PART = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


@dataclass(frozen=True)
class ManifestFile:
    """A file of a release.

    Parameters
    ----------
    key : name of a table, or file id of a data file.
    url : its URL in the release.
    version_id : S3 version id, empty if unknown.
    blake2b : hash of its content, hexadecimal.
    relative_path : path below the project's folder, with ``/``; never outside it.
    """

    key: str
    url: str
    version_id: str
    blake2b: str
    relative_path: str


@dataclass(frozen=True)
class Manifest:
    """A version of a release.

    Parameters
    ----------
    project : ``visual-behavior-neuropixels``.
    version : such as ``0.5.0``.
    file_id_column : column of the tables with the keys of data files.
    metadata_files : the tables, by name without ``.csv``.
    data_files : the NWB files, by file id as text.
    pipeline : versions of the programs that created the release, by name.
    """

    project: str
    version: str
    file_id_column: str
    metadata_files: Mapping[str, ManifestFile]
    data_files: Mapping[str, ManifestFile]
    pipeline: Mapping[str, str]

    @classmethod
    def read(cls, source: str | bytes | Path, name: str | Path = "") -> Manifest:
        """Read a manifest.

        Parameters
        ----------
        source : path of the file, or its content (a text that begins with ``{``, or bytes).
        name : name for messages, if the content is given.

        Raises
        ------
        NotReadableError
            The file cannot be read.
        InvalidContentError
            It is not a manifest, or its files would be outside the project's folder.
        """
        if isinstance(source, bytes):
            return _parse(source, name or "manifest")
        if isinstance(source, str) and source.lstrip().startswith("{"):
            return _parse(source.encode(), name or "manifest")
        try:
            return _parse(Path(source).read_bytes(), source)
        except OSError as error:
            raise NotReadableError(
                source, f"the manifest cannot be read ({error.strerror}).", "Check the path."
            ) from error

    @property
    def folder_name(self) -> str:
        """The folder of this version in AllenSDK's cache, such as ``visual-behavior-neuropixels-0.5.0``."""
        return f"{self.project}-{self.version}"

    def hashes(self) -> dict[str, str]:
        """Return the hashes of all files, by relative path."""
        files = [*self.metadata_files.values(), *self.data_files.values()]
        return {file.relative_path: file.blake2b for file in files}


def version_of(name: str) -> str | None:
    """Return the version in a manifest's file name, None if it is not such a name.

    >>> version_of("visual-behavior-neuropixels_project_manifest_v0.5.0.json")
    '0.5.0'
    """
    match = MANIFEST_NAME.fullmatch(name)
    return match["version"] if match else None


def version_key(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """Return a sort key for versions: numeric, with 1.0.0-beta before 1.0.0 (semver.org, 11).

    >>> sorted(["0.10.0", "0.9.0", "1.0.0", "1.0.0-rc.2"], key=version_key)
    ['0.9.0', '0.10.0', '1.0.0-rc.2', '1.0.0']
    """
    release, _, extra = version.partition("+")[0].partition("-")
    numbers = tuple(int(digits) for digits in re.findall(r"\d+", release))
    parts = tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in extra.split(".") if part
    )
    return numbers, not extra, parts


def _parse(content: bytes, name: str | Path) -> Manifest:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise InvalidContentError(name, f"the manifest is no JSON ({error}).", ADVICE) from error
    if not isinstance(found, dict):
        raise InvalidContentError(name, "the manifest is no JSON object.", ADVICE)
    project, version, column = (
        _text(found, key, name)
        for key in ("project_name", "manifest_version", "metadata_file_id_column_name")
    )
    if _UNSAFE_PART.search(project + version) or "/" in project + version or project in ("", ".", ".."):
        raise InvalidContentError(name, f"'{project}' '{version}' is no project and version.", ADVICE)
    return Manifest(
        project,
        version,
        column,
        _files(found, "metadata_files", project, name),
        _files(found, "data_files", project, name),
        _pipeline(found.get("data_pipeline")),
    )


def _text(found: dict[str, Any], key: str, name: str | Path) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidContentError(name, f"the manifest has no {key}.", ADVICE)
    return value


def _pipeline(found: object) -> dict[str, str]:
    """Read the versions of the programs; in some manifests the field is free text."""
    entries = found if isinstance(found, list) else []
    return {
        str(entry["name"]): str(entry.get("version", ""))
        for entry in entries
        if isinstance(entry, dict) and "name" in entry
    }


def _files(found: dict[str, Any], key: str, project: str, name: str | Path) -> dict[str, ManifestFile]:
    entries = found.get(key)
    if not isinstance(entries, dict):
        raise InvalidContentError(name, f"the manifest has no {key}.", ADVICE)
    return {str(own): _file(str(own), entry, project, name) for own, entry in entries.items()}


def _file(key: str, entry: object, project: str, name: str | Path) -> ManifestFile:
    values = entry if isinstance(entry, dict) else {}
    url, blake2b = values.get("url"), str(values.get("file_hash")).lower()
    if not isinstance(url, str) or not _HASH.fullmatch(blake2b):
        raise InvalidContentError(
            name, f"the manifest's file '{key}' has no url or no blake2b hash of 128 digits.", ADVICE
        )
    relative_path = _relative_path(url, project)
    if not relative_path:
        raise InvalidContentError(name, f"the manifest's file '{key}' has the unusable url '{url}'.", ADVICE)
    return ManifestFile(key, url, str(values.get("version_id") or ""), blake2b, relative_path)


def _relative_path(url: str, project: str) -> str:
    """Return the path of a file below the project's folder; empty if the URL is unsafe.

    AllenSDK drops the first part of the URL's path (``Manifest._create_file_attributes``), which in the
    bucket is the project's name. Mirrors may have more parts before it, or none.
    """
    parts = urllib.parse.urlsplit(url).path.strip("/").split("/")
    if project in parts[:-1]:
        parts = parts[parts.index(project) + 1 :]
    elif parts[0] not in FOLDERS:
        parts = parts[1:]
    is_safe = all(part not in ("", ".", "..") and not _UNSAFE_PART.search(part) for part in parts)
    return "/".join(parts) if is_safe else ""
