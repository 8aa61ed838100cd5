"""Serving the page: a thread for browsers, one for quick queries, and processes for what takes its time."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from bokeh.settings import settings
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

from populate.page import views
from populate.page.database_thread import DatabaseThread
from populate.page.files import ImageFile, Metrics, PictureFile
from populate.page.handlers import UnknownAddress
from populate.page.issue_browser import IssueBrowser, IssueFile
from populate.page.lab_page import LabFile, LabPage
from populate.page.list_saver import ListPage, ListSaver
from populate.page.protection import protect
from populate.page.save_key import KeyTaker, SaveKey
from populate.page.session_browser import SessionBrowser
from populate.page.unit_browser import UnitBrowser, UnitFile
from vbn.errors import SettingError

LARGEST_FORM = 2**20
"""(bytes) of what a browser sends: the ticked rows of a page are a hundredth of it."""

LOCAL_NAMES = ("localhost", "127.0.0.1")


def is_local(host: str) -> bool:
    """Return whether a host name or address is reachable only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(host: str, port: int) -> str:
    """Return the URL for a browser."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def origins_of(host: str, port: int, others: Sequence[str]) -> list[str]:
    """Return the names by which browsers may reach the page: those of this machine, and others given."""
    names = dict.fromkeys((host, *LOCAL_NAMES))
    if not is_local(host):
        names |= dict.fromkeys((socket.gethostname(), socket.getfqdn()))
    # Browsers do not name the port of https.
    return [
        *(f"{name}:{port}" for name in names if ":" not in name),
        *(name.removesuffix(":443") for name in others),
    ]


def serve(
    host: str,
    port: int,
    origins: Sequence[str],
    announce: Callable[[str, str, str], None],
    backups: Sequence[Path] = (),
    *,
    save_lists: bool = False,
) -> None:
    """Serve the page until Ctrl-C, which raises KeyboardInterrupt, or SIGTERM.

    Parameters
    ----------
    host, port : address to listen on.
    origins : further names, as ``name:port``, by which browsers reach it through a proxy or tunnel.
    announce : called when the page is ready with the URL, the database, and the URL by which lists can be
        saved, empty if they cannot.
    backups : folders of backups, for the metrics.
    save_lists : whether who has started it may save named lists on it; on this machine only.

    Raises
    ------
    SettingError
        If it cannot listen there, an origin is invalid, or lists would be saved from other machines.
    VbnError
        If the database cannot be used.
    """
    if save_lists:
        _require_this_machine(host, origins)
    thread = DatabaseThread()
    try:
        database = str(thread.connect())
        server = _listening(thread, host, port, origins, backups)
        received = _stopped_by_signals(server.io_loop)
        server.io_loop.asyncio_loop.set_exception_handler(_unless_gone)
        server.start()
        url = address_of(host, port)
        key = SaveKey(port) if save_lists else None
        server._tornado.settings["save_key"] = key
        server.io_loop.add_callback(announce, url, database, f"{url}enter?key={key.text}" if key else "")
        server.io_loop.start()
        server.stop()
    finally:
        thread.close()
    if signal.SIGINT in received:
        raise KeyboardInterrupt


def _require_this_machine(host: str, origins: Sequence[str]) -> None:
    """Raise SettingError if others than people of this machine may reach a page that writes."""
    names = {host: host} | {name: urlsplit(f"//{name}").hostname or "" for name in origins}
    if others := [name for name, of_host in names.items() if not is_local(of_host)]:
        raise SettingError(
            f"--save-lists is for a page of your own, and by '{others[0]}' others may reach it. Leave out "
            "--save-lists, or --host and --origin; from another machine, an SSH tunnel leads here."
        )


def _listening(
    thread: DatabaseThread, host: str, port: int, origins: Sequence[str], backups: Sequence[Path]
) -> Any:
    patterns = [
        (r"/figure/([a-z-]+)\.([a-z]+)", PictureFile, {"thread": thread}),
        (r"/image", ImageFile, {"thread": thread}),
        (r"/metrics", Metrics, {"thread": thread, "backups": backups}),
        (r"/sessions", SessionBrowser, {"thread": thread}),
        (r"/issues", IssueBrowser, {"thread": thread}),
        (r"/issues\.csv", IssueFile, {"thread": thread}),
        (r"/units", UnitBrowser, {"thread": thread}),
        (r"/units\.(csv|parquet)", UnitFile, {"thread": thread}),
        (r"/enter", KeyTaker),
        (r"/save-(units|sessions)", ListSaver, {"thread": thread}),
        (r"/saved-list", ListPage, {"thread": thread}),
        (r"/queries", LabPage, {"thread": thread}),
        (r"/queries\.(csv|parquet)", LabFile, {"thread": thread}),
    ]
    # Whatever BOKEH_RESOURCES and BOKEH_ALLOW_WS_ORIGIN are: the page asks nothing of the internet, and
    # answers to the names given here.
    settings.resources = "server"
    settings.allowed_ws_origin = []
    pn.extension(console_output="disable")
    for name in ("bokeh", "tornado.access"):  # browsers that leave, and unknown addresses
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        server = pn.io.server.get_server(
            views.applications(thread),
            port=port,
            address=host,
            websocket_origin=origins_of(host, port, origins),
            extra_patterns=patterns,
            http_server_kwargs={"max_body_size": LARGEST_FORM},
        )
    except OSError as error:
        raise SettingError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
        ) from error
    except ValueError as error:
        raise SettingError(f"An origin must be NAME:PORT: {error}.") from error
    names = server._tornado.websocket_origins
    if ":" in host:
        names.add(f"[{host}]:{port}")  # which Bokeh takes for no name
    server._tornado.settings["default_handler_class"] = UnknownAddress
    protect(server._tornado, names)
    return server


def _unless_gone(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report errors in the loop, except that a browser left in the middle of an answer."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _stopped_by_signals(loop: IOLoop) -> list[int]:
    """Let SIGINT and SIGTERM stop the loop; return the list of received signals."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        loop.add_callback_from_signal(loop.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return received
