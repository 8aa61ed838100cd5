"""Requests over HTTP(S), repeated after temporary failures.

A *try* is one request. It fails temporarily (`Transient`: a dropped or stalled connection, an overloaded
server) and is repeated with increasing waits, or permanently (`vbn.errors.NotReadableError`). All functions
here must distinguish the two: an overloaded server is never taken for a missing file.
"""

from __future__ import annotations

import os
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from vbn.errors import AbsentError, NotReadableError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from vbn.web.connections import Client

T = TypeVar("T")

BUCKET_HOSTS = {"visual-behavior-neuropixels-data": "s3.us-west-2.amazonaws.com"}
"""Hosts of buckets whose region is known; others use the general host."""


class Transient(Exception):  # noqa: N818 - not an error yet: the try is repeated
    """A try failed and may succeed when repeated.

    Parameters
    ----------
    reason : what happened.
    wait_s : wait that the server requests, None if it requests none.
    progressed : whether the try received data.
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
    tries : number of tries before a request is given up; tries that received data do not count.
    timeout_s : seconds without an answer or a byte after which a try fails.
    first_wait_s, longest_wait_s : pause after the first failure, doubled after each further one.
    slowest_bytes_per_s : a connection slower than this over 15 s fails.
    """

    tries: int = 6
    timeout_s: float = 30.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 30.0
    slowest_bytes_per_s: float = 1000.0

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """Return the pause after a number of failures, or the one that the server requests, within bounds."""
        own = self.first_wait_s * 2.0 ** max(failures - 1, 0)
        return min(self.longest_wait_s, own if asked_s is None else max(asked_s, own))


@dataclass
class Traffic:
    """What this process has requested of web servers, and received."""

    requests: int = 0
    bytes: int = 0

    def count(self, requests: int = 0, n_bytes: int = 0) -> None:
        """Add to it; several threads may."""
        with _counting:
            self.requests += requests
            self.bytes += n_bytes

    def since(self, before: Traffic) -> Traffic:
        """Return what was added to an earlier state."""
        return Traffic(self.requests - before.requests, self.bytes - before.bytes)


_counting = threading.Lock()
TRAFFIC = Traffic()


def is_url(text: object) -> bool:
    """Return whether something names a file on the web (``http://``, ``https://`` or ``s3://``)."""
    return str(text).lower().startswith(("http://", "https://", "s3://"))


def shown_url(url: str) -> str:
    """Return a URL without user, password and what stands in its query; a path as it is.

    Examples
    --------
    >>> shown_url("https://me:secret@host/tables?token=secret")
    'https://host/tables?...'
    """
    if not is_url(url):
        return url
    scheme, _, rest = url.partition("://")
    rest, mark, _ = rest.partition("?")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if mark else ''}"


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
    from urllib3.util import Url, parse_url

    bucket, _, key = url[len("s3://") :].partition("/")
    try:
        # The key is not part of a URL yet: separators of URLs belong to it.
        is_s3 = url.lower().startswith("s3://") and bucket
        parts = parse_url(_bucket_url(bucket) + urllib.parse.quote(key) if is_s3 else url)
    except ValueError:
        parts = Url()
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(f"a URL (https://..., http://... or s3://bucket/key) was expected, not '{url}'.")
    return parts._replace(fragment=None).url


def _bucket_url(bucket: str) -> str:
    """Return the address of a public bucket, with a trailing slash."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/"
    host = BUCKET_HOSTS.get(bucket, "s3.amazonaws.com")
    # Certificates cover only one level below the host, so names with dots go into the path.
    return f"https://{host}/{bucket}/" if "." in bucket else f"https://{bucket}.{host}/"


def with_retries(
    action: Callable[[], T], url: str, patience: Patience, sleep: Callable[[float], object] = time.sleep
) -> T:
    """Repeat a function while it raises `Transient`, and return its result.

    Raises
    ------
    NotReadableError
        After the last try.
    """
    failures = 0
    while True:
        try:
            return action()
        except Transient as error:
            failures = 1 if error.progressed else failures + 1
            if failures >= patience.tries:
                raise NotReadableError(
                    url,
                    f"it cannot be read: {failures} tries failed, the last because {error}.",
                    "Check the URL and the connection, then try again.",
                ) from error
            sleep(patience.wait_s(failures, error.wait_s))


def refused(url: str, response: BaseHTTPResponse) -> NotReadableError:
    """Return the error for an answer that would be the same on another try."""
    status = f"the server answered {response.status} {response.reason or ''}".strip()
    if response.status in (404, 410):
        return AbsentError(url, f"there is no such file ({status}).", "Check the URL.")
    if response.status in (401, 403):
        return NotReadableError(
            url, f"permission to read it is refused ({status}).", "Check the URL, or ask its owner."
        )
    return NotReadableError(url, f"it cannot be read: {status}.", "Check the URL.")


@dataclass(frozen=True)
class Validators:
    """What a server said of a file, to ask later whether it has changed; empty where it said nothing."""

    etag: str = ""
    last_modified: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Headers of a request for the file if it has changed."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value}


def read_if_changed(
    url: str, known: Validators, patience: Patience | None = None, *, maximum_bytes: int
) -> tuple[bytes | None, Validators] | None:
    """Read a small file, unless it is as it was.

    Parameters
    ----------
    url : as `http_url` takes it.
    known : what was said of the file before.
    patience : retries and timeouts.
    maximum_bytes : longer answers are refused.

    Returns
    -------
    The content, None if there is no such file, with what is said of it now; None if it has not changed.

    Raises
    ------
    NotReadableError
        The server does not answer, refuses, or sends more than the maximum.
    """
    from vbn.web.connections import Client

    client = Client(patience or Patience())

    def read() -> tuple[bytes | None, Validators] | None:
        TRAFFIC.count(requests=1)
        with client.get(http_url(url), known.headers) as response:
            if response.status == 304 and known.headers:
                return None
            if response.status in (404, 410):
                return None, Validators()
            if response.status != 200:
                raise refused(url, response)
            content = _whole_body(client, response, url, maximum_bytes)
            headers = response.headers
            return content, Validators(headers.get("ETag", ""), headers.get("Last-Modified", ""))

    try:
        return with_retries(read, url, client.patience)
    finally:
        client.close()


def _whole_body(client: Client, response: BaseHTTPResponse, url: str, maximum_bytes: int) -> bytes:
    received = bytearray()
    for chunk in client.chunks(response):
        TRAFFIC.count(n_bytes=len(chunk))
        received += chunk
        if len(received) > maximum_bytes:
            raise NotReadableError(url, f"it is longer than {maximum_bytes} bytes.", "Check the URL.")
    return bytes(received)


def read_all(
    url: str, patience: Patience | None = None, *, maximum_bytes: int = 2**28, absent: bool = False
) -> bytes | None:
    """Read a small file or a listing.

    Parameters
    ----------
    url : as `http_url` takes it.
    patience : retries and timeouts.
    maximum_bytes : longer answers are refused.
    absent : whether to return None for an answer such as 404; otherwise it is an error.

    Raises
    ------
    NotReadableError
        The server does not answer, refuses, or sends more than the maximum.
    """
    from vbn.web.connections import Client

    client = Client(patience or Patience())

    def read() -> bytes | None:
        TRAFFIC.count(requests=1)
        with client.get(http_url(url)) as response:
            if absent and 400 <= response.status < 500:
                return None
            if response.status != 200:
                raise refused(url, response)
            return _whole_body(client, response, url, maximum_bytes)

    try:
        return with_retries(read, url, client.patience)
    finally:
        client.close()
