"""Requests with urllib3: open connections, certificates, proxies, incomplete answers.

Only this module makes requests, and it is imported when the first is made: `vbn status` makes none. It adds
the rules of this project: where redirects may lead, how slow is too slow, which failures are temporary. All
threads of a process share its connections, which stay open between requests.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, make_headers
from urllib3 import exceptions as problems
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import parse_url

from vbn.errors import AbsentError, DeniedError, NotReadableError, shown_url
from vbn.web.client import TRAFFIC, Patience, Transient, http_url

CHUNK_BYTES = 2**18
MAXIMUM_REDIRECTS = 5
SLOW_WINDOW_S = 15.0
"""Longest time for the head of an answer after its first byte, and over which a body's pace is measured."""

SLOWEST_BYTES_PER_S = 1000.0
IDLE_CONNECTIONS = 16
"""Connections to a server that stay open: as many as the largest number of simultaneous downloads."""

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT, FORBIDDEN = (AbsentError, "there is no such file"), (DeniedError, "permission to read it is refused")
REFUSALS = {401: FORBIDDEN, 403: FORBIDDEN, 404: ABSENT, 410: ABSENT}
HEADERS = {"User-Agent": "vbn-datajoint", "Accept-Encoding": "identity"}
AS_IT_COMES: dict[str, Any] = {"redirect": False, "retries": False, "preload_content": False}


class _PacedStream(io.BufferedReader):
    """A socket's stream that fails if bytes come too slowly; the socket's timeout limits each wait only."""

    _received, _since, is_head = 0, 0.0, True

    def readinto(self, buffer: Any) -> int:
        now = time.monotonic()
        elapsed_s = now - (self._since or now)
        if elapsed_s > SLOW_WINDOW_S:
            if self.is_head or self._received < elapsed_s * SLOWEST_BYTES_PER_S:
                raise TimeoutError(f"only {self._received} bytes came in {elapsed_s:.0f} s")
            self._since, self._received = now, 0
        count = self.raw.readinto(buffer) or 0
        self._received += count
        self._since = self._since or time.monotonic()
        return count


class _Response(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stream = _PacedStream(self.fp.detach())
        self.fp = io.BufferedReader(self._stream)

    def begin(self) -> None:
        super().begin()
        self._stream.is_head = False


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


@contextmanager
def request(
    url: str, headers: dict[str, str], usable: Container[int], patience: Patience | None
) -> Iterator[BaseHTTPResponse]:
    """Request a URL, following redirects.

    Parameters
    ----------
    url : as `http_url` takes it.
    headers : in addition to `HEADERS`.
    usable : status codes of answers to yield.
    patience : timeouts.

    Yields
    ------
    BaseHTTPResponse
        What the block does not read of the answer is dropped.

    Raises
    ------
    Transient
        The server does not answer, or asks to try again later.
    AbsentError, DeniedError, NotReadableError
        The answer has another status or is compressed, the certificate is wrong, or the redirects do not end
        or are not safe to follow.
    """
    here = http_url(url)
    TRAFFIC.count(requests=1)
    for _ in range(MAXIMUM_REDIRECTS + 1):
        response = _requested(here, HEADERS | headers, (patience or Patience()).timeout_s)
        try:
            location = response.get_redirect_location()
            if not location:
                _require_usable(url, response, usable)
                yield response
                return
            here = _redirected(url, here, location)
        finally:
            response.close()  # and the connection, unless the body was read to its end
    problem = f"the server redirected more than {MAXIMUM_REDIRECTS} times."
    raise NotReadableError(url, problem, "Check the URL.")


def chunks(response: BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the body of an answer as it arrives.

    Raises
    ------
    Transient
        The connection broke, stalled or is too slow, or the body ended before its announced length.
    """
    while True:
        with _classifying_failures(response.url or ""):
            chunk = response.read1(CHUNK_BYTES, decode_content=False)
        if not chunk:
            return
        TRAFFIC.count(n_bytes=len(chunk))
        yield chunk


def _requested(url: str, headers: dict[str, str], timeout_s: float) -> BaseHTTPResponse:
    """Send a request and wait for the head of the answer."""
    with _classifying_failures(url):
        pools = _pools(_proxy_for(url), os.getpid())
        ask = functools.partial(pools.urlopen, "GET", url, headers=headers, timeout=timeout_s, **AS_IT_COMES)
        try:
            return ask()
        except problems.ProtocolError:
            return ask()  # by a new connection: that the server had closed an idle one is no failure


def _proxy_for(url: str) -> str:
    """Return the proxy that system or environment set for a URL, empty if none."""
    parts = urllib.parse.urlsplit(url)
    is_direct = urllib.request.proxy_bypass(parts.hostname or "")
    proxy = "" if is_direct else urllib.request.getproxies().get(parts.scheme, "")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


@functools.cache
def _pools(proxy: str, _process_id: int) -> PoolManager:
    """Return the connections of a process through a proxy; a forked process must not use its parent's."""
    pools = PoolManager(maxsize=IDLE_CONNECTIONS)
    if proxy:
        user = urllib.parse.unquote(parse_url(proxy).auth or "").encode().decode("latin-1")  # sent as UTF-8
        login = make_headers(proxy_basic_auth=user) if user else {}
        pools = ProxyManager(proxy, proxy_headers=login, maxsize=IDLE_CONNECTIONS)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pools


def _redirected(url: str, here: str, location: str) -> str:
    """Return the target of a redirect; never from https to http, to another scheme, or into this network."""
    there = location
    with suppress(ValueError):
        there = urllib.parse.urljoin(here, location)
        schemes = ("https://",) if here.startswith("https:") else ("https://", "http://")
        if there.lower().startswith(schemes) and (_is_inside(here) or not _is_inside(there)):
            return http_url(there)
    problem = f"the server redirects to '{shown_url(there)}', which is not safe to follow."
    raise NotReadableError(url, problem, "Check the URL.")


def _is_inside(url: str) -> bool:
    """Return whether a URL's host is, by its name or address, this machine or in its network."""
    host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    with suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))  # such as 127.1, or one number
    with suppress(ValueError):
        return not ipaddress.ip_address(host).is_global
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _require_usable(url: str, response: BaseHTTPResponse, usable: Container[int]) -> None:
    """Raise if an answer asks to try again later, refuses, or its bytes are not those of the file."""
    said = f"the server answered {response.status} {response.reason or ''}".strip()
    if response.status in TRANSIENT_STATUSES:
        wait_s = None
        with suppress(problems.InvalidHeader, ValueError, OverflowError):
            wait_s = Retry().get_retry_after(response)
        raise Transient(said, wait_s)
    if response.status not in usable:
        kind = DeniedError if 400 <= response.status < 500 else NotReadableError
        kind, problem = REFUSALS.get(response.status, (kind, "it cannot be read"))
        raise kind(url, f"{problem} ({said}).", "Check the URL, or ask its owner.")
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if response.status in (200, 206) and encoding not in ("", "identity"):
        problem = f"the server sends it compressed (Content-Encoding: {encoding}), which was not requested."
        raise NotReadableError(url, problem, "Use a server that sends files unchanged.")


@contextmanager
def _classifying_failures(url: str) -> Iterator[None]:
    """Raise `Transient` for temporary failures of the network, and an error for permanent ones."""
    try:
        yield
    except problems.LocationValueError as error:
        problem = "it cannot be requested: its address, or that of the proxy, is not of a web server."
        raise NotReadableError(url, problem, "Check the URL or proxy (http_proxy, https_proxy).") from error
    except (problems.HTTPError, OSError) as error:
        cause = error.args[0] if isinstance(error, problems.SSLError) else error.__cause__ or error
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem = f"the server's certificate is not trusted ({cause.verify_message})."
            advice = "Check the URL and this machine's certificates (SSL_CERT_FILE)."
            raise NotReadableError(url, problem, advice) from error
        if isinstance(cause, TimeoutError):
            raise Transient(f"no answer came in time ({cause})") from error
        raise Transient(f"the connection failed ({type(cause).__name__}: {cause})") from error
