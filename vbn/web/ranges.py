"""Reading ranges of one file on a web server, with the certainty that all are from the same file.

Every answer must be from the `Version` of the first one, so that pieces of two files are never combined.
Functions here must never pass on a byte whose position in the file the server did not confirm.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vbn.errors import NotReadableError
from vbn.web.client import TRAFFIC, Patience, Transient, http_url, refused, with_retries

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PROGRESS_BYTES = 2**14
"""A try that received fewer bytes counts as a failure; one that received more resets the count."""

_NUMBER = r"(\d{1,18})"


class NoRangesError(NotReadableError):
    """The server sends files only as a whole."""


@dataclass(frozen=True)
class Version:
    """What distinguishes one content of a URL from another.

    Parameters
    ----------
    size_bytes : size of the whole file.
    etag, last_modified : as sent by the server, empty if it sent none.
    """

    size_bytes: int
    etag: str = ""
    last_modified: str = ""

    def difference(self, other: Version) -> str:
        """Return how two versions differ; empty if they agree in all that both have."""
        if self.size_bytes != other.size_bytes:
            return f"{self.size_bytes} bytes became {other.size_bytes}"
        for name, mine, theirs in (
            ("ETag", self.etag, other.etag),
            ("Last-Modified", self.last_modified, other.last_modified),
        ):
            if mine and theirs and mine != theirs:
                return f"{name} '{mine}' became '{theirs}'"
        return ""


class RangeReader:
    """Reads ranges of one file on a server; must not be shared among threads.

    Parameters
    ----------
    url : URL of the file, as `http_url` takes it.
    patience : retries and timeouts.
    allow_whole : whether a server that ignores ranges may send the whole file, whose beginning is then
        skipped.
    sleep : function that waits between tries, for a number of seconds.
    """

    def __init__(
        self,
        url: str,
        patience: Patience | None = None,
        *,
        allow_whole: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        from vbn.web.connections import Client

        self.url = url
        self.version: Version | None = None
        self.bytes_received = 0
        self.requests = 0
        self._address = http_url(url)
        self._allow_whole = allow_whole
        self._sleep = sleep
        self._client = Client(patience or Patience())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read_version(self) -> Version:
        """Request one byte to learn the file's version; errors as for `read`."""
        # Not HEAD, which some servers answer differently from GET, or not at all.
        if self.version is None:
            self.read(0, 1, lambda _: None)
        assert self.version is not None
        return self.version

    def read(self, start: int, stop: int, write: Callable[[bytes], object]) -> None:
        """Read the bytes from ``start`` to before ``stop``; both lie within the file, or one byte beyond.

        Parameters
        ----------
        start, stop : positions in the file, in bytes, ``start < stop``. The read ends at the end of the file.
        write : called with the bytes, in order, each once.

        Raises
        ------
        NotReadableError
            The file is absent, forbidden or has changed since the first answer; the server ignores ranges,
            sends others than requested, or fails repeatedly.
        """
        position = start

        def read_on() -> None:
            nonlocal position
            before = position
            try:
                with closing(self._try(position, stop)) as chunks:
                    for chunk in chunks:
                        write(chunk)
                        position += len(chunk)
            except Transient as error:
                error.progressed = position - before >= PROGRESS_BYTES
                raise

        with_retries(read_on, self.url, self._client.patience, self._sleep)

    def _try(self, start: int, stop: int) -> Generator[bytes]:
        """Try once to read a range."""
        if self.version is not None and start >= min(stop, self.version.size_bytes):
            return
        self.requests += 1
        TRAFFIC.count(requests=1)
        with self._client.get(self._address, {"Range": f"bytes={start}-{stop - 1}"}) as response:
            first, size_bytes = self._range_of(response, start, stop)
            headers = response.headers
            version = Version(size_bytes, headers.get("ETag", ""), headers.get("Last-Modified", ""))
            self._require_version(version)
            yield from self._part_of_body(response, start - first, min(stop, size_bytes) - start)

    def _part_of_body(self, response: BaseHTTPResponse, skipped: int, wanted: int) -> Generator[bytes]:
        """Yield the wanted bytes of a body, no more and no fewer."""
        if wanted <= 0:
            return
        for chunk in self._client.chunks(response):
            self.bytes_received += len(chunk)
            TRAFFIC.count(n_bytes=len(chunk))
            useful = chunk[skipped : skipped + wanted]
            skipped = max(skipped - len(chunk), 0)
            wanted -= len(useful)
            if useful:
                yield useful
            if not wanted and response.length_remaining != 0:
                return  # the rest of a whole file, or surplus bytes, are not needed
        if wanted:
            raise Transient(f"the answer ended {wanted} bytes early")

    def _require_version(self, version: Version) -> None:
        """Raise if the version differs from that of the first answer."""
        self.version = self.version or version
        difference = self.version.difference(version)
        if difference:
            raise NotReadableError(
                self.url,
                f"the file changed while it was read ({difference}).",
                "Start again when nobody writes it.",
            )

    def _range_of(self, response: BaseHTTPResponse, start: int, stop: int) -> tuple[int, int]:
        """Return the position where an answer begins, and the file's size; raise if it was not requested."""
        described = response.headers.get("Content-Range", "")
        length = response.headers.get("Content-Length", "")
        whole = re.fullmatch(rf"\s*bytes\s+\*/{_NUMBER}\s*", described)
        part = re.fullmatch(rf"\s*bytes\s+{_NUMBER}-{_NUMBER}/{_NUMBER}\s*", described)
        if response.status == 206 and part:
            first, last, size_bytes = map(int, part.groups())
            if (first, last) == (start, min(stop, size_bytes) - 1) and length in ("", str(last - first + 1)):
                return first, size_bytes
        elif response.status == 416 and whole:
            if start >= int(whole[1]):
                return start, int(whole[1])
        elif response.status == 200 and self._allow_whole and re.fullmatch(_NUMBER, length):
            return 0, int(length)
        elif response.status not in (200, 206):
            raise refused(self.url, response)
        elif response.status == 200 or described:
            raise NoRangesError(
                self.url,
                f"the server ignores ranges (it answered {response.status} {response.reason} to a request "
                "for a part), so that the file can only be downloaded as a whole.",
                "Download it first, or use a server that supports ranges (S3, nginx, Apache).",
            )
        raise Transient(
            f"the server sent {response.status} '{described}' ('Content-Length: {length}'), not the bytes "
            f"{start}-{stop - 1} as asked"
        )
