"""A web server that fails now and then."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest


@dataclass(frozen=True)
class Request:
    """The so-manyth request for a file, for so many bytes."""

    number: int
    path: str
    n_bytes: int


@dataclass
class Site:
    """A folder on a web server of this machine, and what was asked of it.

    ``fails`` tells how a request fails: ``"drop"`` (the connection breaks in the middle of the body),
    ``"500"``, ``"corrupt"`` (a byte is changed), or not (None). Without it none does.
    """

    folder: Path
    url: str = ""
    fails: Callable[[Request], str | None] | None = None
    body_bytes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> None:
        """Begin to answer, at the same URL if a port is given."""
        handler = type("SiteHandler", (_Handler,), {"site": self})
        self.server = _QuietServer(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Go away: connections are refused from now on."""
        if self.server is not None:
            self.fails = always_drop  # also on connections that are open
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def always_drop(request: Request) -> str:
    return "drop"


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        target = self.site.folder / path.lstrip("/")
        if target.is_dir():
            names = sorted(entry.name + "/" * entry.is_dir() for entry in target.iterdir())
            links = "".join(f'<a href="{quote(name)}">{name}</a>' for name in names)
            self._send(200, {"Content-Type": "text/html"}, links.encode())
        elif not target.is_file():
            self._send(404, {}, b"")
        else:
            self._send_file(path, target)

    def _send_file(self, path: str, target: Path) -> None:
        content = target.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        stop = min(int(wanted[2]) + 1, len(content)) if wanted and wanted[2] else len(content)
        headers = {"ETag": f'"{len(content):x}"'}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        body = content[start:stop]
        with self.site.lock:
            self.site.requests += 1
            request = Request(self.site.requests, path, len(body))
            failure = self.site.fails(request) if self.site.fails else None
            if failure:
                self.site.failures[failure] += 1
        if failure == "500":
            self._send(500, {}, b"")
            return
        if failure == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        self._send(206 if wanted else 200, headers, body, is_cut=failure == "drop")
        with self.site.lock:
            self.site.body_bytes[path] += len(body)

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, is_cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
        except OSError:
            is_cut = True
        self.close_connection = self.close_connection or is_cut


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Site]]:
    """A function that serves a folder, until the test ends; commands run with short waits between tries."""
    from vbn.web.client import Patience

    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(Patience.__init__, "__defaults__", (4, 5.0, 0.01, 0.05, 1000.0))
    sites: list[Site] = []

    def start(folder: Path) -> Site:
        sites.append(Site(folder))
        sites[-1].start()
        return sites[-1]

    yield start
    for site in sites:
        site.stop()
