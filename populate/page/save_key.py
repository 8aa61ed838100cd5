"""Who may save lists on the page: whoever started it, if it was by ``vbn serve --save-lists``.

All else on the page only reads. What writes asks for two things that no other web site can make a browser
send: a cookie with a key that only the terminal has shown, and an ``Origin`` that is the page's own. Another
user of this machine, who can reach the page, has no key.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import tempfile
from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler


class SaveKey:
    """The key by which the person who started the page is known to it."""

    def __init__(self, port: int) -> None:
        self.text = secrets.token_urlsafe(24)
        self.cookie = f"vbn_lists_{port}"  # a browser sends those of all ports

    def is_that_of(self, handler: RequestHandler) -> bool:
        """Return whether a request has the key in its cookie."""
        return hmac.compare_digest(self.text.encode(), (handler.get_cookie(self.cookie) or "").encode())


def may_save(handler: RequestHandler) -> bool:
    """Return whether lists can be saved here, and this browser is that of who may."""
    key: SaveKey | None = handler.settings.get("save_key")
    return key is not None and key.is_that_of(handler)


class KeyTaker(RequestHandler):
    """``/enter?key=...``: takes the key that the terminal shows."""

    def get(self) -> None:
        """Keep the key in a cookie, and lead to the page."""
        key: SaveKey | None = self.settings.get("save_key")
        given = self.get_query_argument("key", "")
        if key is None or not hmac.compare_digest(key.text.encode(), given.encode()):
            raise HTTPError(HTTPStatus.FORBIDDEN)
        self.set_cookie(key.cookie, key.text, httponly=True, samesite="Strict", path="/")
        self.redirect("./")


@contextlib.contextmanager
def private_way(address: str) -> Iterator[str]:
    """Yield the URI of a file that leads a browser to an address, which only this account can read.

    A browser's arguments are shown to all users of the machine, and the address has the key.
    """
    with tempfile.NamedTemporaryFile("w", prefix="vbn-page-", suffix=".html") as file:  # mode 600
        file.write(
            f'<!doctype html><title>vbn</title><meta http-equiv="refresh" content="0; url={escape(address)}">'
        )
        file.flush()
        yield Path(file.name).as_uri()


def require_same_origin(handler: RequestHandler) -> None:
    """Refuse a request that another page has made the browser send."""
    headers = handler.request.headers
    origin = urlsplit(headers.get("Origin", ""))
    is_own = origin.scheme in ("http", "https") and origin.netloc.lower() == handler.request.host.lower()
    if not is_own or headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise HTTPError(HTTPStatus.FORBIDDEN)
