"""Reading ranges of one file on a web server, with the certainty that all are from the same file.

Every answer must be from the `Version` of the first one, so that pieces of two files are never combined.
Functions here must never pass on a byte whose position in the file the server did not confirm.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vbn.errors import NotReadableError
from vbn.web.client import Patience, Sleep, Transient, Version, with_retries

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PROGRESS_BYTES = 2**14
"""An attempt that received fewer bytes counts as a failure; one that received more resets the count."""

_CONTENT_RANGE = re.compile(r"\s*bytes\s+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})\s*")


class NoRangesError(NotReadableError):
    """The server sends files only as a whole."""


@dataclass
class RangeReader:
    """Reads ranges of one file on a server; may be shared among threads once its version is known.

    Parameters
    ----------
    url : URL of the file, as `http_url` takes it.
    patience : retries and timeouts.
    version : the only version to accept; by default that of the first answer.
    allow_whole : whether a server that ignores ranges may send the whole file, whose beginning is then
        skipped.
    sleep : function that waits between attempts, for a number of seconds.
    """

    url: str
    patience: Patience | None = None
    version: Version | None = None
    allow_whole: bool = False
    sleep: Sleep = time.sleep

    def read_version(self) -> Version:
        """Request one byte to learn the file's version; errors as for `read`."""
        # Not HEAD, which some servers answer differently from GET, or not at all.
        if self.version is None:
            self.read_bytes(0, 1)
        assert self.version is not None
        return self.version

    def read_bytes(self, start: int, stop: int) -> bytes:
        """Return the bytes of a range; errors as for `read`."""
        received = bytearray()
        self.read(start, stop, lambda _, chunk: received.extend(chunk))
        return bytes(received)

    def read(self, start: int, stop: int, write: Callable[[int, bytes], object]) -> None:
        """Read the bytes from ``start`` to before ``stop``, or to the end of the file.

        Parameters
        ----------
        start, stop : positions in the file, in bytes; ``start`` lies within the file or at its end.
        write : called with a position and the bytes from there on; in order, with each byte once.

        Raises
        ------
        NotReadableError
            The file is absent, forbidden or has changed since the first answer; the server ignores ranges,
            sends others than requested, or fails repeatedly.
        """
        position = start

        def take(chunk: bytes) -> None:
            nonlocal position
            write(position, chunk)
            position += len(chunk)

        def attempt() -> None:
            before = position
            try:
                self._attempt(position, stop, take)
            except Transient as error:
                error.progressed = position - before >= PROGRESS_BYTES
                raise

        with_retries(attempt, self.url, self.patience, self.sleep)

    def _attempt(self, start: int, stop: int, take: Callable[[bytes], object]) -> None:
        """Request a range once, and hand on its bytes, no more and no fewer."""
        from vbn.web.connections import chunks, request

        if self.version is not None and start >= min(stop, self.version.size_bytes):
            return
        asked = {"Range": f"bytes={start}-{stop - 1}"}
        with request(self.url, asked, {200, 206, 416}, self.patience) as response:
            first, size_bytes = self._range_of(response, start, stop)
            self._require_version(Version.of(response.headers, size_bytes))
            skipped, wanted = start - first, min(stop, size_bytes) - start
            if wanted <= 0:
                return
            for chunk in chunks(response):
                useful = chunk[skipped : skipped + wanted]
                skipped = max(skipped - len(chunk), 0)
                wanted -= len(useful)
                if useful:
                    take(useful)
                if not wanted and response.length_remaining != 0:
                    return  # the rest of a whole file, or surplus bytes, are not needed
            if wanted:
                raise Transient(f"the answer ended {wanted} bytes early")

    def _require_version(self, version: Version) -> None:
        """Raise if the version of an answer differs from what is known, else note what was not."""
        known = self.version or version
        difference = known.difference(version)
        if difference:
            problem = f"the file changed while it was read ({difference})."
            raise NotReadableError(self.url, problem, "Start again when nobody writes it.")
        self.version = Version(
            known.size_bytes, known.etag or version.etag, known.last_modified or version.last_modified
        )

    def _range_of(self, response: BaseHTTPResponse, start: int, stop: int) -> tuple[int, int]:
        """Return the position where an answer begins, and the file's size; raise if it was not requested."""
        described = response.headers.get("Content-Range", "")
        length = response.headers.get("Content-Length", "")
        found = _CONTENT_RANGE.fullmatch(described)
        if response.status == 206 and found and found[1]:
            first, last, size_bytes = map(int, found.groups())
            if (first, last) == (start, min(stop, size_bytes) - 1) and length in ("", str(last - first + 1)):
                return first, size_bytes
        elif response.status == 416 and found and not found[1]:
            if start >= int(found[3]):
                return start, int(found[3])
        elif response.status == 200 and self.allow_whole and re.fullmatch("[0-9]{1,18}", length):
            return 0, int(length)
        elif response.status == 200 or (response.status == 206 and described):
            problem = (
                f"the server ignores ranges (it answered {response.status} {response.reason} to a request "
                "for a part), so that the file can only be downloaded as a whole."
            )
            advice = "Download it first, or use a server that supports ranges (S3, nginx, Apache)."
            raise NoRangesError(self.url, problem, advice)
        sent = f"{response.status} '{described}' ('Content-Length: {length}')"
        raise Transient(f"the server sent {sent}, not the bytes {start}-{stop - 1} as asked")
