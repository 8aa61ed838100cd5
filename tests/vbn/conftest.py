"""A web server on this machine that serves a folder, and misbehaves when it is told to."""

from __future__ import annotations

import email.utils
import html
import re
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

LISTED_PER_PAGE = 2
PIECE_BYTES = 4096


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    ``drop``: the connection breaks after a part of the body; ``stall``: nothing comes for a second after a
    part of the body; ``hang``: nor before ``release`` is set; ``status``: this is answered, with
    ``retry_after_s``; ``ignore_ranges``: the whole file is sent; ``shift``: the neighbouring range is sent;
    ``short``: a shorter range is sent, and said to be; ``corrupt``: a byte is changed; ``etag``: another
    ETag is sent; ``gzip``: said to be packed.
    """

    kind: str
    status: int = 503
    retry_after_s: int | None = None
    part: float = 0.5
    etag: str = '"other"'


@dataclass(frozen=True)
class Request:
    path: str
    range: tuple[int, int] | None
    status: int
    body_bytes: int


def no_fault(path: str) -> None:
    return None


@dataclass
class Site:
    """What is served, what goes wrong, and what was asked for.

    The faults in ``faults`` happen one per request for a file, in order; ``fault`` is asked as well.
    ``files`` are served beside the folder's; ``listing`` is ``html``, ``s3`` or empty.
    """

    folder: Path
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    listing: str = "html"
    ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    fault: Callable[[str], Fault | None] = no_fault
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, path: str) -> Fault | None:
        with self.lock:
            return self.faults.popleft() if self.faults else self.fault(path)

    def read(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        file = self.folder / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    def etag(self, path: str, body: bytes) -> str:
        file = self.folder / path.lstrip("/")
        stamp = file.stat().st_mtime_ns if file.is_file() else hash(body)
        return f'"{stamp:x}-{len(body):x}"'

    @property
    def body_bytes(self) -> int:
        return sum(request.body_bytes for request in self.requests)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept connection takes 40 ms
    site: Site

    def setup(self) -> None:
        super().setup()
        with self.site.lock:
            self.site.connections += 1

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if path in self.site.redirects:
            self._send(302, {"Location": self.site.redirects[path]}, b"")
        elif self.site.listing == "s3" and "list-type" in query:
            self._send(200, {"Content-Type": "application/xml"}, self._s3_page(query))
        elif path.endswith("/"):
            self._send_folder(path)
        else:
            self._send_file(path)

    def _send_folder(self, path: str) -> None:
        folder = self.site.folder / path.lstrip("/")
        if self.site.listing != "html" or not folder.is_dir():
            self._send(404, {}, b"nothing here")
            return
        names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
        links = "".join(f'<li><a href="{urllib.parse.quote(n)}">{html.escape(n)}</a></li>' for n in names)
        self._send(200, {"Content-Type": "text/html"}, f"<html><ul>{links}</ul></html>".encode())

    def _s3_page(self, query: dict[str, str]) -> bytes:
        keys = sorted(
            path.relative_to(self.site.folder).as_posix()
            for path in self.site.folder.rglob("*")
            if path.is_file()
        )
        keys = [key for key in keys if key.startswith(query.get("prefix", ""))]
        start = int(query.get("continuation-token", 0))
        page, rest = keys[start : start + LISTED_PER_PAGE], keys[start + LISTED_PER_PAGE :]
        entries = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in page)
        token = f"<NextContinuationToken>{start + LISTED_PER_PAGE}</NextContinuationToken>" if rest else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        ).encode()

    def _send_file(self, path: str) -> None:
        body = self.site.read(path)
        if body is None:
            self._send(404, {}, b"nothing here")
            return
        fault = self.site.next_fault(path)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            wait = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            self._send(fault.status, wait, b"no")
            return
        stamp = email.utils.formatdate(1e9, usegmt=True)
        etag = fault.etag if fault and kind == "etag" else self.site.etag(path, body)
        headers = {"ETag": etag, "Last-Modified": stamp}
        if kind == "gzip":
            headers["Content-Encoding"] = "gzip"
        wanted = self._wanted(len(body))
        if wanted is None or kind == "ignore_ranges" or not self.site.ranges:
            self._send(200, headers, body, fault)
            return
        start, stop = wanted
        if start >= len(body):
            self._send(416, {"Content-Range": f"bytes */{len(body)}"}, b"")
            return
        start, stop = (start + 1, stop + 1) if kind == "shift" else (start, stop)
        stop = min(stop, len(body)) if kind != "short" else (start + min(stop, len(body))) // 2 + 1
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        self._send(206, headers, body[start:stop], fault)

    def _wanted(self, size: int) -> tuple[int, int] | None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        return (int(match[1]), int(match[2]) + 1 if match[2] else size) if match else None

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        sent, is_cut = self._damaged(body, fault)
        with self.site.lock:
            self.site.requests.append(Request(self.path, self._wanted(len(body)), status, len(sent)))
        try:
            for start in range(0, len(sent), PIECE_BYTES * 64):
                self.wfile.write(sent[start : start + PIECE_BYTES * 64])
            self.wfile.flush()
        except OSError:  # the reader has gone
            self.close_connection = True
            return
        if is_cut:
            if fault and fault.kind == "stall":
                time.sleep(1.0)
            if fault and fault.kind == "hang":
                self.site.release.wait()
            self.close_connection = True

    def _damaged(self, body: bytes, fault: Fault | None) -> tuple[bytes, bool]:
        if fault and fault.kind in ("drop", "stall", "hang"):
            return body[: int(len(body) * fault.part)], True
        if fault and fault.kind == "corrupt" and body:
            middle = len(body) // 2
            return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :], False
        return body, False


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is what some tests are about."""


@pytest.fixture
def make_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """A function that serves a folder on this machine, until the test ends."""
    monkeypatch.setenv("NO_PROXY", "*")
    servers: list[Server] = []

    def make(folder: Path, **options: Any) -> Site:
        site = Site(folder, **options)
        handler = type("SiteHandler", (Handler,), {"site": site})
        servers.append(Server(("127.0.0.1", 0), handler))
        site.url = f"http://127.0.0.1:{servers[-1].server_address[1]}"
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return site

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(make_site: Callable[..., Site], tmp_path: Path) -> Site:
    """A server of an empty folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    return make_site(folder)


@pytest.fixture
def fault() -> type[Fault]:
    return Fault
