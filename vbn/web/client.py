"""Requests over HTTP(S): URLs, retries, traffic, versions, and small files read as a whole.

An attempt is one request. It fails either temporarily (`Transient`: a dropped or stalled connection, an
overloaded server) and is repeated after a pause, or permanently (`vbn.errors.NotReadableError`). The two must
never be confused: an overloaded server is not a missing file.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from vbn.errors import NotReadableError, shown_url

T = TypeVar("T")
Sleep = Callable[[float], object]

BUCKET_HOSTS = {"visual-behavior-neuropixels-data": "s3.us-west-2.amazonaws.com"}
"""Hosts of buckets whose region is known; others use the general host."""


class Transient(Exception):  # noqa: N818 - not an error yet: the request is repeated
    """An attempt failed and may succeed when repeated.

    Parameters
    ----------
    reason : what happened.
    wait_s : pause that the server requests, None if it requests none.
    progressed : whether the attempt received data.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, progressed: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.progressed = progressed


@dataclass(frozen=True)
class Patience:
    """Retries and timeouts of requests.

    Parameters
    ----------
    tries : number of attempts before a request is given up; those that received data do not count.
    timeout_s : seconds without a connection, an answer or a byte after which an attempt fails.
    first_wait_s, longest_wait_s : pause after the first failure, doubled after each further one.
    """

    tries: int = 6
    timeout_s: float = 30.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 30.0

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """Return the pause after a number of failures, or the one that the server requests, within bounds."""
        own = self.first_wait_s * 2.0 ** max(failures - 1, 0)
        return min(self.longest_wait_s, own if asked_s is None else max(asked_s, own))


@dataclass
class Traffic:
    """Requests that this process has made of web servers, and the bytes of files that it has received."""

    requests: int = 0
    bytes: int = 0

    def count(self, requests: int = 0, n_bytes: int = 0) -> None:
        """Add to it; several threads may do so at once."""
        with _counting:
            self.requests += requests
            self.bytes += n_bytes

    def since(self, before: Traffic) -> Traffic:
        """Return what was added to an earlier state."""
        return Traffic(self.requests - before.requests, self.bytes - before.bytes)


_counting = threading.Lock()
TRAFFIC = Traffic()


@dataclass(frozen=True)
class Version:
    """What a server says of a file's content, by which a change is noticed.

    Parameters
    ----------
    size_bytes : size of the whole file.
    etag, last_modified : as sent by the server, empty if it sent none.
    """

    size_bytes: int = 0
    etag: str = ""
    last_modified: str = ""

    @classmethod
    def of(cls, headers: Mapping[str, str], size_bytes: int) -> Version:
        """Return the version that the headers of an answer describe."""
        return cls(size_bytes, headers.get("ETag", ""), headers.get("Last-Modified", ""))

    @property
    def conditions(self) -> dict[str, str]:
        """Headers of a request for the file if it has changed."""
        known = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in known.items() if value}

    def difference(self, other: Version) -> str:
        """Return how two versions differ; empty if they agree in all that both have."""
        if self.size_bytes != other.size_bytes:
            return f"{self.size_bytes} bytes became {other.size_bytes}"
        etags, times = (self.etag, other.etag), (self.last_modified, other.last_modified)
        for name, (mine, theirs) in {"ETag": etags, "Last-Modified": times}.items():
            if mine and theirs and mine != theirs:
                return f"{name} '{mine}' became '{theirs}'"
        return ""


def is_url(text: object) -> bool:
    """Return whether something names a file on the web (``http://``, ``https://`` or ``s3://``)."""
    return str(text).lower().startswith(("http://", "https://", "s3://"))


def http_url(url: str) -> str:
    """Return the address of a file, with blanks and control characters escaped.

    Parameters
    ----------
    url : ``http(s)://...``, or ``s3://bucket/key`` of a public bucket. The endpoint of buckets is
        ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` (AWS's own variables), else Amazon's.

    Raises
    ------
    ValueError
        The text is not such a URL.
    """
    from urllib3.util import parse_url

    # The key is not part of a URL yet: separators of URLs belong to it.
    in_bucket = re.fullmatch("s3://([^/]+)/?(.*)", url, re.IGNORECASE | re.DOTALL)
    with suppress(ValueError):
        parts = parse_url(_bucket_url(in_bucket[1]) + quote(in_bucket[2]) if in_bucket else url)
        if parts.scheme in ("http", "https") and parts.host:
            return parts._replace(fragment=None).url
    expected = "a URL (https://..., http://... or s3://bucket/key) was expected"
    raise ValueError(f"{expected}, not '{shown_url(url)}'.")


def _bucket_url(bucket: str) -> str:
    """Return the address of a public bucket, with a trailing slash."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/"
    host = BUCKET_HOSTS.get(bucket, "s3.amazonaws.com")
    # Certificates cover only one level below the host, so names with dots go into the path.
    return f"https://{host}/{bucket}/" if "." in bucket else f"https://{bucket}.{host}/"


def with_retries(
    action: Callable[[], T], url: str, patience: Patience | None, sleep: Sleep = time.sleep
) -> T:
    """Repeat a function while it raises `Transient`, and return its result.

    Raises
    ------
    NotReadableError
        After the last attempt.
    """
    patience, failures = patience or Patience(), 0
    while True:
        try:
            return action()
        except Transient as error:
            failures = 1 if error.progressed else failures + 1
            if failures >= patience.tries:
                problem = f"it cannot be read: {failures} tries failed, the last because {error}."
                advice = "Check the URL and the connection, then try again."
                raise NotReadableError(url, problem, advice) from error
            sleep(patience.wait_s(failures, error.wait_s))


def read_all(url: str, patience: Patience | None = None, *, maximum_bytes: int = 2**28) -> bytes:
    """Read a small file or a listing.

    Parameters
    ----------
    url : as `http_url` takes it.
    patience : retries and timeouts.
    maximum_bytes : longer answers are refused.

    Raises
    ------
    NotReadableError
        The server does not answer or sends more than the maximum; `AbsentError` or `DeniedError` if it
        refuses.
    """
    found = read_if_changed(url, Version(), patience, maximum_bytes=maximum_bytes)
    assert found is not None  # as no version is known
    return found[0]


def read_if_changed(
    url: str, known: Version, patience: Patience | None = None, *, maximum_bytes: int
) -> tuple[bytes, Version] | None:
    """Read a small file with its version; None if that is the known one. Otherwise as `read_all`."""
    from vbn.web.connections import chunks, request

    def attempt() -> tuple[bytes, Version] | None:
        received, usable = bytearray(), {200, 304} if known.conditions else {200}
        with request(url, known.conditions, usable, patience) as response:
            if response.status == 304:
                return None
            for chunk in chunks(response):
                received += chunk
                if len(received) > maximum_bytes:
                    raise NotReadableError(url, f"it is longer than {maximum_bytes} bytes.", "Check the URL.")
            return bytes(received), Version.of(response.headers, len(received))

    return with_retries(attempt, url, patience)
