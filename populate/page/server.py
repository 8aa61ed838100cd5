"""Serving the page: one process, one thread that answers browsers and one that asks the database."""

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
from bokeh.util.warnings import BokehUserWarning
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from populate.page import drawings, views
from populate.page.asking import Desk
from vbn.errors import SettingError, VbnError

LOCAL_NAMES = ("localhost", "127.0.0.1")


class PictureFile(RequestHandler):
    """A figure as a file: ``/figure/NAME.pdf?session=...``."""

    def initialize(self, desk: Desk) -> None:
        """Take over who asks the database."""
        self.desk = desk

    async def get(self, name: str, kind: str) -> None:
        """Send the file, or in words why there is none."""
        query = {word: self.get_query_argument(word) for word in self.request.query_arguments}
        try:
            content = await self.desk.ask(drawings.file_of, name, kind, query)
        except VbnError as error:
            self.set_status(404)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            await self.finish(f"{error}\n")
            return
        self.set_header("Content-Type", drawings.KINDS[kind])
        file_name = drawings.file_name(name, kind, query)
        self.set_header("Content-Disposition", f'attachment; filename="{file_name}"')
        await self.finish(content)


def is_local(host: str) -> bool:
    """Tell whether only this machine reaches a host name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(host: str, port: int) -> str:
    """Return the URL that a browser takes."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def origins_of(host: str, port: int, others: Sequence[str]) -> list[str]:
    """Return the names under which browsers may reach the page: of this machine, and others as given."""
    names = dict.fromkeys((host, *LOCAL_NAMES))
    if not is_local(host):
        names |= dict.fromkeys((socket.gethostname(), socket.getfqdn()))
    return [*(f"{name}:{port}" for name in names if ":" not in name), *others]


def serve(host: str, port: int, origins: Sequence[str], announce: Callable[[str, str], None]) -> None:
    """Serve the page until Ctrl-C, which raises KeyboardInterrupt, or SIGTERM.

    Parameters
    ----------
    host, port : where to listen.
    origins : further names, as ``name:port``, under which browsers reach it: behind a proxy or a tunnel.
    announce : told the URL and the database when the page is there.

    Raises
    ------
    SettingError
        If it cannot listen there, or an origin cannot be used.
    VbnError
        If the database cannot be used.
    """
    desk = Desk()
    try:
        database = str(desk.connect())
        server = _listening(desk, host, port, origins)
        received = _stopped_by_signals(server.io_loop)
        server.io_loop.asyncio_loop.set_exception_handler(_unless_gone)
        server.start()
        server.io_loop.add_callback(announce, address_of(host, port), database)
        server.io_loop.start()
        server.stop()
    finally:
        desk.close()
    if signal.SIGINT in received:
        raise KeyboardInterrupt


def _listening(desk: Desk, host: str, port: int, origins: Sequence[str]) -> Any:
    files = (r"/figure/([a-z-]+)\.([a-z]+)", PictureFile, {"desk": desk})
    pn.extension("tabulator", console_output="disable")
    # A browser's filter of a table comes with a model that the server has; nothing is lost.
    warnings.filterwarnings("ignore", "reference already known", BokehUserWarning)
    for name in ("bokeh", "tornado.access"):  # browsers that leave, and addresses that are nowhere
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return pn.io.server.get_server(
            views.applications(desk),
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
        raise SettingError(f"An origin is given as NAME:PORT: {error}.") from error


def _unless_gone(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what went wrong in the loop, but not that a browser left in the middle of an answer."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _stopped_by_signals(loop: IOLoop) -> list[int]:
    """Let SIGINT and SIGTERM end the loop; return the list of those that have come."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        loop.add_callback_from_signal(loop.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return received
