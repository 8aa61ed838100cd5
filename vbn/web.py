"""Reading files over HTTP(S): ranges, retries, and the certainty that all bytes are of one file.

A *try* is one request. It fails *for now* (`Transient`: a dropped or stalled connection, an overloaded
server) and is repeated with growing waits, going on where it stopped; or for good
(`vbn.errors.NotReadableError`). Every answer must be of the `Version` that the first one was of, so that
pieces of two files are never put together. The next function here must never hand on a byte whose place
in the file the server did not confirm.
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
from types import TracebackType
from typing import TypeVar

from vbn.errors import NotReadableError

T = TypeVar("T")

CHUNK_BYTES = 2**18
MAXIMUM_REDIRECTS = 5
PROGRESS_BYTES = 2**14
"""A try that brought fewer bytes counts as failed; after one that brought more the count starts anew."""

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
        return NotReadableError(url, f"there is no such file ({status}).", "Check the URL.")
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
