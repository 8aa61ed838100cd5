"""Requests with urllib3: open connections, certificates, proxies, incomplete answers.

This is the only module that uses urllib3, and is imported only for requests: `vbn status` makes none. It
adds the rules of this project: where redirects may lead, how slow is too slow, which failures are retried.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPResponse, PoolManager, ProxyManager
from urllib3 import exceptions as problems
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import parse_url

from vbn.errors import NotReadableError
from vbn.web.client import Patience, Transient, http_url

CHUNK_BYTES = 2**18
MAXIMUM_REDIRECTS = 5
SLOW_WINDOW_S = 15.0
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
HEADERS = {"User-Agent": "vbn-datajoint", "Accept-Encoding": "identity"}


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Wait for the head of an answer for a limited time; the timeout only limits that for each byte."""
        assert self.sock is not None
        longest_s = (self.sock.gettimeout() or 0.0) + SLOW_WINDOW_S
        end = threading.Timer(longest_s, _end_reading, [self.sock])
        end.daemon = True
        end.start()
        try:
            return super().getresponse()
        finally:
            end.cancel()
            end.join()


def _end_reading(connected: socket.socket) -> None:
    """Let a waiting read fail; below TLS, whose own method would have the rest read without decrypting it."""
    with suppress(OSError):  # the server has gone meanwhile
        socket.socket.shutdown(connected, socket.SHUT_RD)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Client:
    """Makes requests, one after another, over connections that stay open in between.

    It must not be shared among threads.

    Parameters
    ----------
    patience : retries and timeouts.
    """

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._pools: dict[str, PoolManager] = {}

    def close(self) -> None:
        """Close all connections."""
        for pools in self._pools.values():
            pools.clear()

    @contextmanager
    def get(self, url: str, headers: dict[str, str] | None = None) -> Iterator[BaseHTTPResponse]:
        """Request a URL, following redirects.

        Yields
        ------
        BaseHTTPResponse
            With any status, except those that ask to try again later. The rest of the answer that the block
            does not read is dropped.

        Raises
        ------
        Transient
            The server does not answer, or asks to try again later.
        NotReadableError
            The certificate is wrong, or the redirects do not end or are not safe to follow.
        """
        here = url
        for _ in range(MAXIMUM_REDIRECTS + 1):
            response = self._ask(here, {**HEADERS, **(headers or {})})
            try:
                location = response.get_redirect_location()
                if not location:
                    _require_usable(url, response)
                    yield response
                    return
                here = _redirected(url, here, location)
            finally:
                response.close()  # and the connection, unless the body was read to its end
        raise NotReadableError(
            url, f"the server redirected more than {MAXIMUM_REDIRECTS} times.", "Check the URL."
        )

    def chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises
        ------
        Transient
            The connection broke, stalled or is too slow, or the body ended before its announced length.
        """
        since, received = time.monotonic(), 0
        while True:
            with _classifying_failures(response.url or ""):
                chunk = response.read1(CHUNK_BYTES, decode_content=False)
            if not chunk:
                return
            received += len(chunk)
            yield chunk
            elapsed = time.monotonic() - since
            if elapsed > SLOW_WINDOW_S:
                if received < elapsed * self.patience.slowest_bytes_per_s:
                    raise Transient(f"only {received} bytes came in {elapsed:.0f} s")
                since, received = time.monotonic(), 0

    def _ask(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        """Send a request and wait for the head of the answer."""
        plain: dict[str, Any] = {"redirect": False, "retries": False, "preload_content": False}
        with _classifying_failures(url):
            pools = self._pools_for(url)
            try:
                return pools.urlopen("GET", url, headers=headers, **plain)
            except problems.ProtocolError:
                # The server may have closed an idle connection: that is not a failure yet.
                return pools.urlopen("GET", url, headers=headers, **plain)

    def _pools_for(self, url: str) -> PoolManager:
        """Return the connections through the proxy that system or environment set for a URL."""
        parts = urllib.parse.urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme, "")
        if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = ""
        if proxy not in self._pools:
            self._pools[proxy] = _new_pools(proxy, self.patience.timeout_s)
        return self._pools[proxy]


def _new_pools(proxy: str, timeout_s: float) -> PoolManager:
    """Return new connections, through a proxy unless that is empty."""
    pools = PoolManager(timeout=timeout_s)
    if proxy:
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        user = urllib.parse.unquote(parse_url(proxy).auth or "")
        login = {"Proxy-Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
        pools = ProxyManager(proxy, proxy_headers=login, timeout=timeout_s)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pools


def _redirected(url: str, here: str, location: str) -> str:
    """Return the target of a redirect; never from https to http, to another scheme, or into this network."""
    there = location
    try:
        there = urllib.parse.urljoin(here, location)
        schemes = ("https://",) if here.startswith("https:") else ("https://", "http://")
        if there.lower().startswith(schemes) and (_is_inside(here) or not _is_inside(there)):
            return http_url(there)
    except ValueError:
        pass
    shown = there.partition("?")[0]  # the rest may be a token
    raise NotReadableError(
        url, f"the server redirects to '{shown}', which is not safe to follow.", "Check the URL."
    )


def _is_inside(url: str) -> bool:
    """Return whether a URL says of itself that only this machine or its network can reach the host."""
    host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    try:
        return not ipaddress.ip_address(socket.inet_aton(host)).is_global  # such as 127.1, or one number
    except OSError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def _require_usable(url: str, response: BaseHTTPResponse) -> None:
    """Raise if an answer asks to try again later, or its bytes are not those of the file."""
    if response.status in TRANSIENT_STATUSES:
        asked = response.headers.get("Retry-After", "").strip()
        wait_s = float(asked) if asked.isascii() and asked.isdigit() else None
        raise Transient(f"the server answered {response.status} {response.reason}", wait_s)
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if response.status in (200, 206) and encoding not in ("", "identity"):
        raise NotReadableError(
            url,
            f"the server sends it compressed (Content-Encoding: {encoding}), which was not requested.",
            "Use a server that sends files unchanged.",
        )


@contextmanager
def _classifying_failures(url: str) -> Iterator[None]:
    """Raise `Transient` for temporary failures of the network, and an error for permanent ones."""
    try:
        yield
    except problems.LocationValueError as error:
        raise NotReadableError(
            url, f"it cannot be requested ({error}).", "Check the URL or proxy."
        ) from error
    except (problems.HTTPError, OSError) as error:
        cause = error.args[0] if isinstance(error, problems.SSLError) else error.__cause__ or error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise NotReadableError(
                url,
                f"the server's certificate is not trusted ({cause.verify_message}).",
                "Check the URL and this machine's certificates (SSL_CERT_FILE).",
            ) from error
        if isinstance(cause, TimeoutError):
            raise Transient("no answer came in time") from error
        raise Transient(f"the connection failed ({type(cause).__name__}: {cause})") from error
