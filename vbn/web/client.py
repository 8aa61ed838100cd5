"""Asking web servers over HTTP(S), again when it fails for now.

A *try* is one request. It fails *for now* (`Transient`: a dropped or stalled connection, an overloaded
server) and is repeated with growing waits, or for good (`vbn.errors.NotReadableError`). The next function
here must keep the two apart: an overloaded server is never taken for an absent file.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from vbn.errors import AbsentError, NotReadableError

T = TypeVar("T")

CHUNK_BYTES = 2**18
MAXIMUM_REDIRECTS = 5
SLOW_WINDOW_S = 15.0
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BUCKET_HOSTS = {"visual-behavior-neuropixels-data": "s3.us-west-2.amazonaws.com"}
"""Hosts of buckets whose region is known; others are found by the general host."""

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


class Transient(Exception):  # noqa: N818 - it is no error yet: the try is repeated
    """A try failed and may succeed when repeated.

    Parameters
    ----------
    reason : what happened.
    wait_s : how long the server asks to wait, None if it does not say.
    progressed : whether the try brought something.
    """

    def __init__(self, reason: str, wait_s: float | None = None, *, progressed: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.progressed = progressed


@dataclass(frozen=True)
class Patience:
    """How long to insist.

    Parameters
    ----------
    tries : how often a request is made in all before it is given up; a try that brought something does
        not count.
    timeout_s : seconds without an answer or a byte after which a try has failed.
    first_wait_s, longest_wait_s : pause after the first failure, doubled after each further one.
    slowest_bytes_per_s : a connection slower than this over 15 s has failed.
    """

    tries: int = 6
    timeout_s: float = 30.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 30.0
    slowest_bytes_per_s: float = 1000.0

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """Give the pause after a number of failures, or what the server asks for, within bounds."""
        own = self.first_wait_s * 2.0 ** max(failures - 1, 0)
        return min(self.longest_wait_s, own if asked_s is None else max(asked_s, own))


def is_url(text: object) -> bool:
    """Tell whether something names a file on the web (``http://``, ``https://`` or ``s3://``)."""
    return str(text).lower().startswith(("http://", "https://", "s3://"))


def http_url(url: str) -> str:
    """Give the address to ask for a file.

    Parameters
    ----------
    url : ``http(s)://...``, or ``s3://bucket/key`` of a public bucket.

    Returns
    -------
    str
        An address in http or https, its blanks and control characters escaped. Buckets are sought at the
        endpoint in ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` (AWS's own variables), else at Amazon.

    Raises
    ------
    ValueError
        The text is no such URL.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https", "s3") or not parts.netloc:
        raise ValueError(f"a URL (https://..., http://... or s3://bucket/key) was expected, not '{url}'.")
    if parts.scheme.lower() == "s3":
        # The key is no URL yet: what would separate parts of a URL belongs to it.
        bucket, _, key = url[len("s3://") :].partition("/")
        return _bucket_url(bucket) + urllib.parse.quote(key)
    return _UNSAFE.sub(lambda match: urllib.parse.quote(match.group()), url.partition("#")[0])


def _bucket_url(bucket: str) -> str:
    """Give the address of a public bucket, with a slash at its end."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/"
    host = BUCKET_HOSTS.get(bucket, "s3.amazonaws.com")
    # Certificates cover one level below the host only, so names with dots go into the path.
    return f"https://{host}/{bucket}/" if "." in bucket else f"https://{bucket}.{host}/"


class Reply:
    """An answer whose body has not been read.

    Parameters
    ----------
    url : where it came from, after redirects.
    response : the answer itself.
    patience : how slow it may be.

    Attributes
    ----------
    status, reason : what the server says, such as 200 and OK.
    is_complete : whether the body has been read to its end.
    """

    def __init__(self, url: str, response: http.client.HTTPResponse, patience: Patience) -> None:
        self.url = url
        self.status = response.status
        self.reason = response.reason or http.client.responses.get(response.status, "")
        self.is_complete = False
        self._response = response
        self._patience = patience

    def header(self, name: str) -> str:
        """Give a header, empty if the server did not send it."""
        return self._response.getheader(name, "") or ""

    def chunks(self) -> Iterator[bytes]:
        """Go through the body as it comes.

        Raises
        ------
        Transient
            The connection broke, stalled or crawls, or the body ended before its announced length.
        """
        since, received = time.monotonic(), 0
        while True:
            left = self._response.length
            with _failures_as_transient():
                chunk = self._response.read1(CHUNK_BYTES)
            if not chunk:
                if left:
                    raise Transient(f"the connection was closed {left} bytes before the end")
                self._response.close()  # not the connection, which takes the next request
                self.is_complete = True
                return
            received += len(chunk)
            yield chunk
            elapsed = time.monotonic() - since
            if elapsed > SLOW_WINDOW_S:
                if received < elapsed * self._patience.slowest_bytes_per_s:
                    raise Transient(f"only {received} bytes came in {elapsed:.0f} s")
                since, received = time.monotonic(), 0


class Client:
    """Asks servers, one question after another, over connections that stay open in between.

    Not to be shared among threads.

    Parameters
    ----------
    patience : how long an answer may take.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._connections: dict[tuple[str, str], http.client.HTTPConnection] = {}

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    @contextmanager
    def get(self, url: str, headers: dict[str, str] | None = None) -> Iterator[Reply]:
        """Ask for a URL, following redirects.

        Parameters
        ----------
        url : address in http or https.
        headers : to be sent along.

        Yields
        ------
        Reply
            Of whatever status, but none that asks to come again later. What is left unread when the block
            ends is not waited for.

        Raises
        ------
        Transient
            The server does not answer, or asks to come again later.
        NotReadableError
            The certificate is wrong, or the redirects do not end.
        """
        sent = {"User-Agent": "vbn-datajoint", "Accept-Encoding": "identity", **(headers or {})}
        here = url
        for _ in range(MAXIMUM_REDIRECTS + 1):
            reply = self._ask(here, sent)
            try:
                if reply.status not in REDIRECTS or not reply.header("Location"):
                    _raise_if_transient(reply)
                    yield reply
                    return
                here = _redirected(url, here, reply.header("Location"))
            finally:
                if not reply.is_complete:
                    self._forget(reply.url)
        raise NotReadableError(
            url, f"the server redirected more than {MAXIMUM_REDIRECTS} times.", "Check the URL."
        )

    def _ask(self, url: str, headers: dict[str, str]) -> Reply:
        """Send one request and wait for the head of its answer."""
        is_kept = self._key(url) in self._connections
        try:
            return self._ask_once(url, headers)
        except Transient:
            if not is_kept:
                raise
        # The server may have closed a connection that was idle: that is no failure yet.
        return self._ask_once(url, headers)

    def _ask_once(self, url: str, headers: dict[str, str]) -> Reply:
        parts = urllib.parse.urlsplit(url)
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        proxy = _proxy_for(url)
        if proxy and parts.scheme == "http":
            target, headers = url, {**headers, **_proxy_headers(proxy)}
        try:
            with _failures_as_transient():
                connection = self._connection(url, proxy)
                connection.request("GET", target, headers=headers)
                return Reply(url, connection.getresponse(), self.patience)
        except ssl.SSLCertVerificationError as error:
            self._forget(url)
            raise NotReadableError(
                url,
                f"the server's certificate is not trusted ({error.verify_message}).",
                "Check the URL and this machine's certificates (SSL_CERT_FILE).",
            ) from error
        except Transient:
            self._forget(url)
            raise

    def _connection(self, url: str, proxy: str) -> http.client.HTTPConnection:
        """Give the open connection to a URL's host, or make one."""
        key = self._key(url)
        if key not in self._connections:
            self._connections[key] = _connect(url, proxy, self.patience.timeout_s)
        return self._connections[key]

    def _forget(self, url: str) -> None:
        """Close the connection to a URL's host."""
        connection = self._connections.pop(self._key(url), None)
        if connection is not None:
            connection.close()

    @staticmethod
    def _key(url: str) -> tuple[str, str]:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme, parts.netloc


def _connect(url: str, proxy: str, timeout_s: float) -> http.client.HTTPConnection:
    """Prepare a connection, through a proxy if there is one."""
    parts = urllib.parse.urlsplit(url)
    via = urllib.parse.urlsplit(proxy) if proxy else parts
    host, port = via.hostname or "", via.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    secure = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    if proxy:
        secure.set_tunnel(parts.hostname or "", parts.port, headers=_proxy_headers(proxy))
    return secure


def _proxy_for(url: str) -> str:
    """Give the proxy that the system or the environment names for a URL, empty if none."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_headers(proxy: str) -> dict[str, str]:
    """Give the header that names us to a proxy whose URL holds a user."""
    parts = urllib.parse.urlsplit(proxy)
    if not parts.username:
        return {}
    user = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(user.encode()).decode()}


def _redirected(url: str, here: str, location: str) -> str:
    """Give where a redirect leads; never from https to http, or to anything else."""
    there = _UNSAFE.sub(lambda match: urllib.parse.quote(match.group()), urllib.parse.urljoin(here, location))
    allowed = ("https://",) if here.lower().startswith("https:") else ("https://", "http://")
    if not there.lower().startswith(allowed):
        raise NotReadableError(
            url, f"the server redirects to '{there}', which is not safe to follow.", "Check the URL."
        )
    return there.partition("#")[0]


def _raise_if_transient(reply: Reply) -> None:
    if reply.status in TRANSIENT_STATUSES:
        asked = reply.header("Retry-After").strip()
        wait_s = float(asked) if asked.isascii() and asked.isdigit() else None
        raise Transient(f"the server answered {reply.status} {reply.reason}", wait_s)


@contextmanager
def _failures_as_transient() -> Iterator[None]:
    """Make what a network does now and then a `Transient`; a wrong certificate stays what it is."""
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise
    except TimeoutError as error:
        raise Transient("no answer came in time") from error
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"the connection failed ({type(error).__name__}: {error})") from error


def with_retries(
    action: Callable[[], T], url: str, patience: Patience, sleep: Callable[[float], object] = time.sleep
) -> T:
    """Repeat what fails for now.

    Parameters
    ----------
    action : raises `Transient` when it may be repeated.
    url : for the message.
    patience : how often, and after which waits.
    sleep : waits for a number of seconds.

    Returns
    -------
    what the action returns.

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


def refused(url: str, reply: Reply) -> NotReadableError:
    """Make the error for an answer that repeating does not better."""
    status = f"the server answered {reply.status} {reply.reason}".strip()
    if reply.status in (404, 410):
        return AbsentError(url, f"there is no such file ({status}).", "Check the URL.")
    if reply.status in (401, 403):
        return NotReadableError(
            url, f"permission to read it is refused ({status}).", "Check the URL, or ask its owner."
        )
    return NotReadableError(url, f"it cannot be read: {status}.", "Check the URL.")


def read_all(
    url: str, patience: Patience | None = None, *, maximum_bytes: int = 2**28, absent: bool = False
) -> bytes | None:
    """Read a small file or a listing as a whole.

    Parameters
    ----------
    url : as `http_url` takes it.
    patience : how long to insist.
    maximum_bytes : a longer answer is refused.
    absent : whether an answer such as 404 gives None; else it is an error.

    Returns
    -------
    bytes or None

    Raises
    ------
    NotReadableError
        The server does not answer, refuses, or sends more than is sensible.
    """
    patience = patience or Patience()
    client = Client(patience)

    def read() -> bytes | None:
        received = bytearray()
        with client.get(http_url(url)) as reply:
            if absent and 400 <= reply.status < 500:
                return None
            if reply.status != 200:
                raise refused(url, reply)
            for chunk in reply.chunks():
                received += chunk
                if len(received) > maximum_bytes:
                    raise NotReadableError(url, f"it is longer than {maximum_bytes} bytes.", "Check the URL.")
        return bytes(received)

    try:
        return with_retries(read, url, patience)
    finally:
        client.close()
