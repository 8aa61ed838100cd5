"""A published folder on a web server: its files are requested when they are used, and kept by their hashes.

The list of checksums is requested at each opening, and sent only if it has changed. Small files come as a
whole and are compared with the list. Of large tables come the footer and the column chunks that are asked
for; ``chunks/`` has the SHA-256 of each (written by `populate.output.publish.chunk_hashes`), so that no byte
is used that was not published. What has come stays below ``VBN_HOME``, in a folder named by the hash of the
list.

Tokens in the query of a URL are sent with each request, and neither shown nor written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import urllib.parse
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from schemas.server.published import (
    ARRAYS,
    CHECKSUMS,
    LARGEST_FILE,
    LARGEST_LIST,
    ChunkHashes,
    PublishedFolder,
    Span,
    hash_of,
    hash_of_span,
    is_array_file,
    parsed_checksums,
)
from vbn.errors import (
    AbsentError,
    InvalidContentError,
    NotFoundError,
    SettingError,
    StoreError,
    shown_url,
)
from vbn.home import home_folder
from vbn.web.client import Patience, Version, http_url, read_if_changed
from vbn.web.ranges import NoRangesError, RangeReader
from vbn.whole_files import whole_file, write_whole

PLACE = "published"
"""Folder below ``VBN_HOME`` for what came from web servers."""

AGAIN = "Open it again: it may have been published anew meanwhile. Else ask whoever publishes it."
PATIENCE = Patience()
LARGEST_TEXT = 64 * 2**20
"""(bytes) What a file that is no table or array may have."""

PARALLEL = 4
"""Requests at once."""
GAPS = 0.1
"""What may be requested that is not needed, to save requests, as a share of what is."""


@dataclass(frozen=True)
class PublishedSite(PublishedFolder):
    """A published folder on a web server.

    Attributes
    ----------
    folder : where this machine keeps what has come.
    url : address of the folder, with what must not be shown.
    """

    url: str = ""

    @property
    def place(self) -> str:
        """Its address without a token."""
        return shown_url(self.url)

    @property
    def source(self) -> str:
        """Its address, which processes that are started from here need as it is."""
        return self.url

    @property
    def repair(self) -> str:
        """What to do about a file that is not as it was published."""
        return AGAIN

    def __repr__(self) -> str:
        """Return no token: lists of local variables show this."""
        return f"PublishedSite({self.place!r})"

    def checked(self, name: str) -> Path:
        """Return the path of a file whose content is what was published; it comes, unless it is here."""
        path = self.folder / name
        if name in self.checksums and not (path.is_file() and hash_of(path) == self.checksums[name]):
            self._download(name)
        return super().checked(name)

    def bring(self, name: str) -> None:
        """Have a file in its place, which was compared with its checksum when it came."""
        if name in self.checksums and not (self.folder / name).is_file():
            self._download(name)

    def with_spans(self, name: str, known: ChunkHashes, spans: Collection[Span]) -> Path:
        """Return the path of a file in which some parts are as they were published; those not here come."""
        path = self.folder / name
        with _explaining_disk(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                file.truncate(known.size_bytes)
                missing = [
                    span
                    for span in sorted(set(spans) & known.hashes.keys())
                    if hash_of_span(file, span) != known.hashes[span]
                ]
                if missing:
                    try:
                        self._request(name, file, joined(missing, GAPS))
                    except NoRangesError:
                        return self.checked(name)
        return super().with_spans(name, known, spans)

    def _unusable(self, path: Path, problem: str) -> InvalidContentError:
        return InvalidContentError(path, problem, self.repair)

    def _other(self, name: str, problem: str) -> InvalidContentError:
        return InvalidContentError(_address(self.url, name), problem, AGAIN)

    def _request(self, name: str, file: Any, runs: Sequence[Span]) -> None:
        """Write parts of a file on the server to the same places of a file here."""
        total = sum(stop - start for start, stop in runs)
        with (
            tqdm(
                total=total, desc=PurePosixPath(name).stem, unit="B", unit_scale=True, delay=1,
                disable=not sys.stderr.isatty(),
            ) as bar,
            ThreadPoolExecutor(PARALLEL) as pool,
        ):  # fmt: skip
            shares = [runs[number::PARALLEL] for number in range(min(PARALLEL, len(runs)))]
            copy = partial(_copy_spans, _address(self.url, name), file.fileno(), bar.update)
            list(pool.map(copy, shares))

    def _download(self, name: str) -> None:
        """Bring a whole file, if it is what was published."""
        largest = LARGEST_FILE if name.endswith((".parquet", ".npy")) else LARGEST_TEXT
        digest = hashlib.sha256()

        def take(position: int, chunk: bytes) -> None:
            if position + len(chunk) > largest:
                raise self._other(name, f"It has more than {largest} bytes, far too many.")
            digest.update(chunk)
            copy.write(chunk)

        with (
            _explaining_disk(self.folder),
            whole_file(self.folder / name) as part,
            part.open("wb") as copy,
        ):
            RangeReader(_address(self.url, name), PATIENCE, allow_whole=True).read(0, largest + 1, take)
            if digest.hexdigest() != self.checksums[name]:
                raise self._other(name, f"It is not the file that {CHECKSUMS} lists.")


def read_site(url: str) -> PublishedSite:
    """Return a published folder on a web server with its list of files.

    Raises
    ------
    SettingError
        If the URL cannot be used.
    NotFoundError
        If nothing was published there.
    NotReadableError, InvalidContentError
        If the list cannot be read, or is none.
    """
    _require_usable(url)
    content = _list_of_files(url)
    digest = hashlib.sha256(content).hexdigest()
    checksums = parsed_checksums(shown_url(_address(url, CHECKSUMS)), content)
    folder = home_folder() / PLACE / digest[:32]
    with _explaining_disk(folder):
        if any(map(is_array_file, checksums)):
            (folder / ARRAYS).mkdir(parents=True, exist_ok=True)
    return PublishedSite(folder, checksums, digest, url)


def _list_of_files(url: str) -> bytes:
    """Return the list of checksums, from here if the server says that it has not changed."""
    note = home_folder() / PLACE / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"
    kept, version = _kept_list(note)
    try:
        found = read_if_changed(_address(url, CHECKSUMS), version, PATIENCE, maximum_bytes=LARGEST_LIST)
    except AbsentError as error:
        raise NotFoundError(
            f"{shown_url(url)} has no {CHECKSUMS}: vbn publish has written nothing there, or not to its end. "
            "Name the URL of the folder that has it."
        ) from error
    if found is None:
        return kept
    content, version = found
    digest = hashlib.sha256(content).hexdigest()
    with _explaining_disk(note.parent):
        write_whole(home_folder() / PLACE / digest[:32] / CHECKSUMS, content)
        write_whole(note, json.dumps({**vars(version), "digest": digest}).encode())
    return content


def _kept_list(note: Path) -> tuple[bytes, Version]:
    """Return the list that the server sent last, and what it said of it; nothing if there is none."""
    try:
        known = json.loads(note.read_bytes())
        content = (home_folder() / PLACE / str(known["digest"])[:32] / CHECKSUMS).read_bytes()
        if hashlib.sha256(content).hexdigest() == known["digest"]:
            return content, Version(len(content), str(known["etag"]), str(known["last_modified"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is requested again
    return b"", Version()


def joined(spans: Sequence[Span], gaps: float) -> list[Span]:
    """Return spans joined where they touch, and over the shortest gaps between them.

    Parameters
    ----------
    spans : sorted, none overlaps another.
    gaps : how much the gaps may have together, as a share of the spans.

    Examples
    --------
    >>> joined([(0, 10), (10, 20), (22, 30), (90, 100)], 0.1)
    [(0, 30), (90, 100)]
    """
    left = gaps * sum(stop - start for start, stop in spans)
    between = {start: start - stop for (_, stop), (start, _) in pairwise(spans)}
    bridged = set()
    for start, gap in sorted(between.items(), key=lambda item: item[1]):
        if gap <= left:
            bridged.add(start)
            left -= gap
    found: list[Span] = []
    for start, stop in spans:
        found[-1:] = [(found[-1][0], stop)] if start in bridged else [*found[-1:], (start, stop)]
    return found


def _copy_spans(url: str, descriptor: int, moved: Any, spans: Sequence[Span]) -> None:
    def write(position: int, chunk: bytes) -> None:
        moved(os.pwrite(descriptor, chunk, position))

    reader = RangeReader(url, PATIENCE)
    for start, stop in spans:
        reader.read(start, stop, write)


def _require_usable(url: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise SettingError(
            f"{shown_url(url)} was given with a user or password, which is not sent. Give it without; a "
            "token in the query (?...) is sent with each request."
        )
    try:
        http_url(_address(url, CHECKSUMS))
    except ValueError:
        raise SettingError(
            f"{shown_url(url)} is no URL of a published folder: https://host/folder is one."
        ) from None


def _address(url: str, name: str) -> str:
    """Return the URL of a file in the folder at a URL."""
    place, mark, query = url.partition("#")[0].partition("?")
    if place.lower().startswith("s3://"):  # the key is quoted later
        return f"{place.rstrip('/')}/{name}"
    return f"{place.rstrip('/')}/{urllib.parse.quote(name)}{mark}{query}"


@contextlib.contextmanager
def _explaining_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"What a published folder sends cannot be written to {folder}: {error.strerror or error}. Make "
            "room there, or set VBN_HOME to another disk."
        ) from error
