"""Serving the page: one process with a thread for browsers and one for queries."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import warnings
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
from bokeh.settings import settings
from bokeh.util.warnings import BokehUserWarning
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from populate.page import figures, views
from populate.page.database_thread import DatabaseThread
from vbn.errors import SettingError, VbnError

LOCAL_NAMES = ("localhost", "127.0.0.1")


class PictureFile(RequestHandler):
    """A figure as a file: ``/figure/NAME.pdf?session=...``."""

    def initialize(self, thread: DatabaseThread) -> None:
        """Keep the thread that runs queries."""
        self.thread = thread

    async def get(self, name: str, kind: str) -> None:
        """Send the file, or a message why there is none."""
        query = {word: self.get_query_argument(word) for word in self.request.query_arguments}
        try:
            content = await self.thread.run(figures.file_of, name, kind, query)
        except VbnError as error:
            self.set_status(404)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            await self.finish(f"{error}\n")
            return
        self.set_header("Content-Type", figures.KINDS[kind])
        file_name = figures.file_name(name, kind, query)
        self.set_header("Content-Disposition", f'attachment; filename="{file_name}"')
        await self.finish(content)


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
    return [*(f"{name}:{port}" for name in names if ":" not in name), *others]


def serve(host: str, port: int, origins: Sequence[str], announce: Callable[[str, str], None]) -> None:
    """Serve the page until Ctrl-C, which raises KeyboardInterrupt, or SIGTERM.

    Parameters
    ----------
    host, port : address to listen on.
    origins : further names, as ``name:port``, by which browsers reach it through a proxy or tunnel.
    announce : called with the URL and the database when the page is ready.

    Raises
    ------
    SettingError
        If it cannot listen there, or an origin is invalid.
    VbnError
        If the database cannot be used.
    """
    thread = DatabaseThread()
    try:
        database = str(thread.connect())
        server = _listening(thread, host, port, origins)
        received = _stopped_by_signals(server.io_loop)
        server.io_loop.asyncio_loop.set_exception_handler(_unless_gone)
        server.start()
        server.io_loop.add_callback(announce, address_of(host, port), database)
        server.io_loop.start()
        server.stop()
    finally:
        thread.close()
    if signal.SIGINT in received:
        raise KeyboardInterrupt


def _listening(thread: DatabaseThread, host: str, port: int, origins: Sequence[str]) -> Any:
    files = (r"/figure/([a-z-]+)\.([a-z]+)", PictureFile, {"thread": thread})
    settings.resources = "server"  # whatever BOKEH_RESOURCES is: the page asks nothing of the internet
    pn.extension("tabulator", console_output="disable")
    # Table filters in a browser send back a model that the server has already; nothing is lost.
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)
    for name in ("bokeh", "tornado.access"):  # browsers that leave, and unknown addresses
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return pn.io.server.get_server(
            views.applications(thread),
            port=port,
            address=host,
            websocket_origin=origins_of(host, port, origins),
            extra_patterns=[files],
        )
    except OSError as error:
        raise SettingError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another --port."
        ) from error
    except ValueError as error:
        raise SettingError(f"An origin must be NAME:PORT: {error}.") from error


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
