"""Sources of a release: Amazon's bucket, a mirror on a web server, or a folder.

There are two layouts. In the *bucket* the manifests are in ``<project>/manifests/`` and the files next to
that folder; in AllenSDK's *cache* the manifests are at the top, and the files of each version in
``<project>-<version>/``. Both layouts are recognised in folders and on web servers.
"""

from __future__ import annotations

import contextlib
import html
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.request import url2pathname

from vbn.errors import AbsentError, DeniedError, NotFoundError, NotReadableError
from vbn.release.manifest import MANIFEST_NAME, PROJECT, Manifest, ManifestFile, version_key, version_of
from vbn.web.client import Patience, http_url, is_url, read_all

BUCKET_URL = "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com"
KNOWN_VERSIONS = ("0.5.0", "0.4.0", "0.3.0", "0.2.0", "0.1.0")
"""Versions to request by name from servers without a listing."""

BUCKET, CACHE = "bucket", "cache"
MAXIMUM_PAGES = 1000
PAGE_BYTES = 2**23


@dataclass(frozen=True)
class ManifestPlace:
    """Location of a manifest.

    Parameters
    ----------
    name : its file name.
    version : version of the release, from the file name.
    location : its URL or path.
    layout : ``bucket`` or ``cache``.
    """

    name: str
    version: str
    location: str
    layout: str

    def read(self, patience: Patience | None = None) -> Manifest:
        """Fetch and parse the manifest; errors as for `Manifest.read` and `read_location`."""
        return Manifest.read(self.content(patience), self.location)

    def content(self, patience: Patience | None = None) -> bytes:
        """Fetch the content of the manifest."""
        return read_location(self.location, patience)

    def data_location(self, manifest: Manifest) -> str:
        """Return the URL or path of the folder to which the manifest's paths are relative."""
        parent = _parent(self.location)
        return _join(parent, manifest.folder_name) if self.layout == CACHE else _parent(parent)

    def file_location(self, manifest: Manifest, file: ManifestFile) -> str:
        """Return the location of a file.

        If the manifest is from the same server as the file's URL, this is that URL, with the version in the
        manifest; otherwise the file's location relative to the manifest, because a mirror's manifest may be a
        copy of the release's, with its URLs.
        """
        if is_url(self.location):
            here, there = (urllib.parse.urlsplit(url) for url in (self.location, file.url))
            if _is_amazon(here.netloc) and _is_amazon(there.netloc):
                query = f"?versionId={urllib.parse.quote(file.version_id)}" if file.version_id else ""
                return file.url.partition("?")[0] + query
            if here.netloc == there.netloc and there.scheme in ("http", "https"):
                return file.url
        return _join(self.data_location(manifest), file.relative_path)


def open_local(path: str) -> BinaryIO:
    """Open a file of a release in a folder.

    Raises
    ------
    AbsentError, NotReadableError
        It does not exist, or cannot be read.
    """
    try:
        return Path(path).open("rb")
    except OSError as error:
        kind = AbsentError if isinstance(error, FileNotFoundError) else NotReadableError
        advice = "Check that the folder holds all of the release."
        raise kind(path, f"it cannot be read ({error.strerror}).", advice) from error


def read_location(location: str, patience: Patience | None) -> bytes:
    """Read a small file on a web server or in a folder; errors as for `read_all` and `open_local`."""
    if is_url(location):
        return read_all(location, patience)
    with open_local(location) as file:
        return file.read()


def find_manifests(source: str | Path, patience: Patience | None = None) -> list[ManifestPlace]:
    """Find the manifests of a release.

    Parameters
    ----------
    source : URL (``https``, ``http``, ``s3``, ``file``) or folder of a bucket, the project's folder in it, a
        copy of either, or AllenSDK's cache; or of a single manifest. Web servers need a listing, S3's or a
        page with links; without one, the known versions are requested by name.
    patience : retries and timeouts for web servers.

    Returns
    -------
    list of ManifestPlace
        Oldest version first, one manifest per version.

    Raises
    ------
    NotFoundError
        There is no manifest.
    NotReadableError
        The server does not respond.
    """
    found = _on_the_web(http_url(str(source)), patience) if is_url(source) else _in_folder(_local(source))
    if not found:
        raise NotFoundError(
            f"{source}: there is no manifest (*_manifest_v<version>.json) of a release. Name the bucket, a "
            f"copy of it with the folder '{PROJECT}/manifests', or AllenSDK's cache folder."
        )
    return sorted(found, key=lambda place: version_key(place.version))


def _local(source: str | Path) -> Path:
    """Return the path of a folder, which may be given as a ``file:`` URL."""
    parts = urllib.parse.urlsplit(str(source))
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(source)


def choose_version(places: list[ManifestPlace], version: str | None) -> ManifestPlace:
    """Return the manifest of a version, by default the newest.

    Raises
    ------
    NotFoundError
        There is no such version.
    """
    if version is None:
        return places[-1]
    wanted = version.removeprefix("v")
    for place in places:
        if place.version == wanted:
            return place
    known = ", ".join(place.version for place in places)
    raise NotFoundError(f"There is no version '{version}' of the release; there are {known}.")


def _in_folder(folder: Path) -> list[ManifestPlace]:
    """Find manifests in a folder or, for a version's folder in AllenSDK's cache, in its parent."""
    if folder.is_file():
        return _places(
            [str(folder.absolute())], BUCKET if folder.absolute().parent.name == "manifests" else CACHE
        )
    if not folder.is_dir():
        raise NotReadableError(folder, "there is no such folder.", "Check its spelling.")
    folder = folder.absolute()
    candidates = [
        (folder / PROJECT / "manifests", BUCKET),
        (folder / "manifests", BUCKET),
        (folder, CACHE),
    ]
    for here, layout in candidates:
        found = _places([str(path) for path in sorted(here.glob("*_manifest_v*.json"))], layout)
        if found:
            return found
    around = _places([str(path) for path in folder.parent.glob("*_manifest_v*.json")], CACHE)
    return [place for place in around if folder.name.endswith(f"-{place.version}")]


def _on_the_web(url: str, patience: Patience | None) -> list[ManifestPlace]:
    """Find manifests on a web server."""
    base = url.partition("?")[0].rstrip("/")
    name = urllib.parse.unquote(base.rpartition("/")[2])
    if version_of(name):
        return _places([base], BUCKET if _parent(base).endswith("/manifests") else CACHE)
    looks = [_in_bucket(base, patience), _in_pages(base, patience)]
    for look in looks if _is_amazon(urllib.parse.urlsplit(base).netloc) else reversed(looks):
        for found in look:
            if found:
                return found
    return _by_known_names(base, patience)


def _in_pages(base: str, patience: Patience | None) -> Iterator[list[ManifestPlace]]:
    """Yield the manifests in pages that list a folder."""
    for folder, layout in (
        (f"{base}/manifests", BUCKET),
        (f"{base}/{PROJECT}/manifests", BUCKET),
        (base, BUCKET if base.endswith("/manifests") else CACHE),
    ):
        page = _read_if_allowed(folder + "/", patience) or b""
        if b"<ListBucketResult" not in page:
            names = _names_in(page)
            yield _places([f"{folder}/{urllib.parse.quote(name)}" for name in names], layout)


def _in_bucket(base: str, patience: Patience | None) -> Iterator[list[ManifestPlace]]:
    """Yield the manifests in an S3 listing (ListObjectsV2); the URL may be the bucket or a folder in it."""
    bucket = base.removesuffix("/manifests").removesuffix(f"/{PROJECT}")
    folder = f"{PROJECT}/manifests/"
    names: list[str] = []
    token = ""
    for _ in range(MAXIMUM_PAGES):
        query = {"list-type": "2", "prefix": folder} | ({"continuation-token": token} if token else {})
        url = f"{bucket}/?{urllib.parse.urlencode(query)}"
        page = _read_if_allowed(url, patience) or b""
        if b"<ListBucketResult" not in page:
            break
        names += _names_in(page)
        found = re.search(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>", page)
        if not found:
            break
        token = html.unescape(found.group(1).decode())
    yield _places([f"{bucket}/{folder}{urllib.parse.quote(name)}" for name in names], BUCKET)


def _by_known_names(base: str, patience: Patience | None) -> list[ManifestPlace]:
    """Request the known versions, newest first, until one exists."""
    folders = (f"{base}/manifests", f"{base}/{PROJECT}/manifests")
    for version in KNOWN_VERSIONS:
        for folder in folders:
            location = f"{folder}/{PROJECT}_project_manifest_v{version}.json"
            if _read_if_allowed(location, patience) is not None:
                return _places([location], BUCKET)
    return []


def _read_if_allowed(url: str, patience: Patience | None) -> bytes | None:
    """Read a page; None if there is none, or none for us, as S3 answers where lists are private."""
    with contextlib.suppress(AbsentError, DeniedError):
        return read_all(url, patience, maximum_bytes=PAGE_BYTES)
    return None


def _names_in(page: bytes) -> list[str]:
    """List the manifests named in a page of any format (HTML, XML, JSON, text), each once."""
    text = urllib.parse.unquote(html.unescape(page.decode("utf-8", errors="replace")))
    return list(dict.fromkeys(match.group() for match in MANIFEST_NAME.finditer(text)))


def _places(locations: list[str], layout: str) -> list[ManifestPlace]:
    places: dict[str, ManifestPlace] = {}
    for location in locations:
        name = urllib.parse.unquote(re.split(r"[/\\]", location)[-1])
        version = version_of(name)
        if version:
            places.setdefault(version, ManifestPlace(name, version, location, layout))
    return list(places.values())


def _parent(location: str) -> str:
    return location.rpartition("/")[0] if is_url(location) else str(Path(location).parent)


def _join(location: str, relative_path: str) -> str:
    return f"{location}/{relative_path}" if is_url(location) else str(Path(location) / relative_path)


def _is_amazon(host: str) -> bool:
    return host.partition(":")[0].endswith(".amazonaws.com")
