"""Who may save lists on the page: whoever started it, if it was by ``vbn serve --save-lists``.

All else on the page only reads. What writes asks for two things that no other web site can make a browser
send: a key that only the terminal has shown, and an ``Origin`` that is the page's own. Another user of this
machine, who can reach the page, has no key.

The key is in no cookie, since a browser sends cookies to all ports of a host, also to a page that another
user of this machine serves there: the browser keeps it for this page's origin (``localStorage``), and its
script adds it to the form that saves. A cookie, which is worth nothing, says only where that form is shown.
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

from populate.page.layout import plain_start, rendered


class SaveKey:
    """The key by which the person who started the page is known to it."""

    def __init__(self, port: int) -> None:
        self.text = secrets.token_urlsafe(24)
        self.cookie, self.mark = f"vbn_lists_{port}", secrets.token_urlsafe(24)

    def is_that_of(self, text: str) -> bool:
        """Return whether a text is the key."""
        return hmac.compare_digest(self.text.encode(), text.encode())

    def is_marked(self, handler: RequestHandler) -> bool:
        """Return whether a request comes from a browser that has taken the key."""
        return hmac.compare_digest(self.mark.encode(), (handler.get_cookie(self.cookie) or "").encode())


def shows_form(handler: RequestHandler) -> bool:
    """Return whether lists can be saved here, and this browser has the key by which that is done."""
    key: SaveKey | None = handler.settings.get("save_key")
    return key is not None and key.is_marked(handler)


def require_key(handler: RequestHandler) -> None:
    """Refuse a form that comes without the key."""
    key: SaveKey | None = handler.settings.get("save_key")
    if key is None or not key.is_that_of(handler.get_body_argument("key", "")):
        raise HTTPError(HTTPStatus.FORBIDDEN)


class KeyTaker(RequestHandler):
    """``/enter?key=...``: takes the key that the terminal shows."""

    def get(self) -> None:
        """Let the browser keep the key for this page alone, and lead to the page."""
        key: SaveKey | None = self.settings.get("save_key")
        if key is None or not key.is_that_of(self.get_query_argument("key", "")):
            raise HTTPError(HTTPStatus.FORBIDDEN)
        self.set_cookie(key.cookie, key.mark, httponly=True, samesite="Strict", path="/")
        self.set_header("Cache-Control", "no-store")
        self.write(plain_start("Save lists", "", getattr(self.request, "nonce", "")))
        self.write(rendered("enter.html", key=key.text))
        self.finish(rendered("plain_end.html"))


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
