"""Reading stretches of one file on a web server, with the certainty that all are of the same file.

Every answer must be of the `Version` that the first one was of, so that pieces of two files are never
put together. The next function here must never hand on a byte whose place in the file the server did
not confirm.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from vbn.errors import NotReadableError
from vbn.web.client import Client, Patience, Reply, Transient, http_url, refused, with_retries

PROGRESS_BYTES = 2**14
"""A try that brought fewer bytes counts as failed; after one that brought more the count starts anew."""


@dataclass(frozen=True)
class Version:
    """What tells one content of a URL from another.

    Parameters
    ----------
    size_bytes : length of the whole file.
    etag, last_modified : as the server gave them, empty if it did not.
    """

    size_bytes: int
    etag: str = ""
    last_modified: str = ""

    def difference(self, other: Version) -> str:
        """Say in what two versions differ; empty if in nothing that both know."""
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
    """Reads stretches of one file on a server.

    Not to be shared among threads.

    Parameters
    ----------
    url : of the file, as `http_url` takes it.
    patience : how long to insist.
    allow_whole : whether a server that ignores ranges may send the whole file, whose beginning is then
        passed over.
    sleep : waits for a number of seconds between tries.
    """

    def __init__(
        self,
        url: str,
        patience: Patience | None = None,
        *,
        allow_whole: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url
        self.version: Version | None = None
        self.bytes_received = 0
        self.requests = 0
        self._address = http_url(url)
        self._patience = patience or Patience()
        self._allow_whole = allow_whole
        self._sleep = sleep
        self._client = Client(self._patience)

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read_version(self) -> Version:
        """Ask for one byte to learn the file's version.

        Raises
        ------
        NotReadableError
            As of `read`.
        """
        # Not HEAD, which some servers answer otherwise than GET, or not at all.
        if self.version is None:
            with_retries(self._ask_version, self.url, self._patience, self._sleep)
        assert self.version is not None
        return self.version

    def read(self, start: int, stop: int, write: Callable[[bytes], object]) -> None:
        """Read the bytes from ``start`` to before ``stop``; both lie within the file, or one byte beyond.

        Parameters
        ----------
        start, stop : places in the file, in bytes, ``start < stop``. The end of the file ends the read.
        write : is handed the bytes, in order, each once.

        Raises
        ------
        NotReadableError
            The file is absent, forbidden or has changed since the first answer; the server ignores ranges
            or sends others than were asked for; or it fails again and again.
        """
        position = start

        def take(chunk: bytes) -> None:
            nonlocal position
            write(chunk)
            position += len(chunk)

        def go_on() -> None:
            before = position
            try:
                self._receive(position, stop, take)
            except Transient as error:
                error.progressed = position - before >= PROGRESS_BYTES
                raise

        with_retries(go_on, self.url, self._patience, self._sleep)

    def _ask_version(self) -> None:
        """Learn the version from the head of an answer."""
        self.requests += 1
        with self._client.get(self._address, {"Range": "bytes=0-0"}) as reply:
            if reply.status == 416:
                self._require_version(self._empty_version(reply))
            elif reply.status == 206:
                self._require_version(self._ranged_version(reply, 0, 1))
                self._read_out(reply)
            else:
                self._require_version(self._whole_version(reply))

    def _read_out(self, reply: Reply) -> None:
        """Read what is left of a small answer, so that its connection can be used again."""
        for chunk in reply.chunks():
            self.bytes_received += len(chunk)

    def _receive(self, start: int, stop: int, take: Callable[[bytes], None]) -> None:
        """Make one try to read a stretch."""
        if self.version is not None and start >= min(stop, self.version.size_bytes):
            return
        self.requests += 1
        with self._client.get(self._address, {"Range": f"bytes={start}-{stop - 1}"}) as reply:
            if reply.status == 416:
                version = self._empty_version(reply)
                self._require_version(version)
                if start < version.size_bytes:
                    raise Transient(f"the server refuses the bytes from {start} of {version.size_bytes} on")
                return
            if reply.status == 206:
                version, passed_over = self._ranged_version(reply, start, stop), 0
            else:
                version, passed_over = self._whole_version(reply), start
            self._require_version(version)
            self._hand_on(reply, passed_over, min(stop, version.size_bytes) - start, take)

    def _hand_on(self, reply: Reply, passed_over: int, wanted: int, take: Callable[[bytes], None]) -> None:
        """Hand on the wanted bytes of a body, no more and no fewer."""
        for chunk in reply.chunks():
            self.bytes_received += len(chunk)
            useful = chunk[passed_over : passed_over + wanted]
            passed_over = max(passed_over - len(chunk), 0)
            wanted -= len(useful)
            if useful:
                take(useful)
            if wanted == 0 and reply.status == 200:
                return  # the rest of a whole file is of no use
        if wanted:
            raise Transient(f"the answer ended {wanted} bytes early")

    def _require_version(self, version: Version) -> None:
        """Refuse bytes of another version than the first answer's."""
        if self.version is None:
            self.version = version
        difference = self.version.difference(version)
        if difference:
            raise NotReadableError(
                self.url,
                f"the file changed while it was read ({difference}).",
                "Start again, when nobody writes it.",
            )

    def _ranged_version(self, reply: Reply, start: int, stop: int) -> Version:
        """Read the version off a partial answer, which must be of exactly the stretch asked for."""
        match = re.fullmatch(r"\s*bytes\s+(\d+)-(\d+)/(\d+)\s*", reply.header("Content-Range"))
        if not match or reply.header("Content-Encoding").lower() not in ("", "identity"):
            raise self._misunderstood(reply)
        first, last, size_bytes = (int(number) for number in match.groups())
        length = reply.header("Content-Length")
        expected = (start, min(stop, size_bytes) - 1)
        if (first, last) != expected or (length and length != str(last - first + 1)):
            raise Transient(
                f"the server sent bytes {first}-{last} ('Content-Length: {length}'), "
                f"not {expected[0]}-{expected[1]} as asked"
            )
        return Version(size_bytes, reply.header("ETag"), reply.header("Last-Modified"))

    def _whole_version(self, reply: Reply) -> Version:
        """Read the version off an answer that is the whole file."""
        if reply.status != 200:
            raise refused(self.url, reply)
        length = reply.header("Content-Length")
        is_plain = reply.header("Content-Encoding").lower() in ("", "identity")
        if not self._allow_whole or not length.isdigit() or not is_plain:
            raise self._misunderstood(reply)
        return Version(int(length), reply.header("ETag"), reply.header("Last-Modified"))

    def _empty_version(self, reply: Reply) -> Version:
        """Read the version off the refusal of a range beyond the file's end."""
        match = re.fullmatch(r"\s*bytes\s+\*/(\d+)\s*", reply.header("Content-Range"))
        if not match:
            raise refused(self.url, reply)
        return Version(int(match.group(1)), reply.header("ETag"), reply.header("Last-Modified"))

    def _misunderstood(self, reply: Reply) -> NotReadableError:
        return NotReadableError(
            self.url,
            f"the server ignores ranges (it answered {reply.status} {reply.reason} to a request for a part), "
            "so that the file can only be downloaded as a whole.",
            "Download it first, or use a server that honours ranges (S3, nginx, Apache).",
        )
