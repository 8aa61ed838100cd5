"""What protects the page's visitors: the headers of every answer, and the names that the page answers to.

A page runs the scripts of this server and those that its template marks, and nothing else: if a value of the
database became a part of a page by mistake, it could still not run. Names are checked because a foreign web
site can give its own name this machine's address (DNS rebinding): to a browser they are then one site.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from bokeh.server.util import check_allowlist
from panel.io.server import COMPONENT_PATH
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.routing import Matcher, PathMatches, Rule
from tornado.web import Application, ErrorHandler, OutputTransform, RequestHandler

POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'nonce-{nonce}'",
    "style-src": "'self' 'unsafe-inline'",  # Bokeh sets the styles of what it lays out
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Headers(OutputTransform):
    """Sets the headers of an answer, whatever made it; ``request.nonce`` marks the template's scripts."""

    def __init__(self, request: HTTPServerRequest) -> None:
        self._nonce = secrets.token_urlsafe(16)
        request.nonce = self._nonce

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,  # noqa: ARG002 - Tornado's signature
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name in [name for name in headers if name.startswith("Access-Control-")]:
            del headers[name]  # Bokeh lets every web site include a part of the page
        for name, value in HEADERS.items():
            headers[name] = value.format(nonce=self._nonce)
        return status_code, headers, chunk


class _ForeignName(Matcher):
    """Matches requests by a name that the page does not have."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return None if check_allowlist(request.host.lower(), self._names) else {}


class _Refusal(RequestHandler):
    """Says that the page does not answer to a name."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(
            f"This page does not answer to the name '{self.request.host}'. If it is reached by that name, "
            "through a proxy or a tunnel, add the name where it is started: vbn serve --origin NAME:PORT\n"
        )


def protect(application: Application, names: Collection[str]) -> None:
    """Let an application answer to these names (``name:port``) only, and always send the headers."""
    application.add_transform(_Headers)
    application.default_router.rules[:0] = [
        Rule(_ForeignName(names), _Refusal),
        # Panel would import any module that an address names.
        Rule(PathMatches(f"/{COMPONENT_PATH}.*"), ErrorHandler, {"status_code": 404}),
    ]
