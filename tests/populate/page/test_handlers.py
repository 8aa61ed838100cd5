"""Answers that nobody waits for any more."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

pytest.importorskip("panel", reason="vbn serve needs Panel")


class BusyThread:
    """Has a turn for a question when the browser has left, and then calls nothing, as `DatabaseThread`."""

    def __init__(self) -> None:
        self.is_asked, self.is_over = asyncio.Event(), asyncio.Event()

    async def run(self, _function: Any, *_arguments: Any, is_wanted: Any) -> None:
        self.is_asked.set()
        while is_wanted():
            await asyncio.sleep(0.01)
        self.is_over.set()
        raise asyncio.CancelledError


def test_whoever_leaves_before_their_turn_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port
    from tornado.web import Application

    from populate.page.files import ImageFile

    async def visit_and_leave() -> None:
        thread = BusyThread()
        server = HTTPServer(Application([("/image", ImageFile, {"thread": thread})]))
        listener, port = bind_unused_port()
        server.add_socket(listener)
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /image?name=im012_r HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await thread.is_asked.wait()
        writer.close()
        await asyncio.wait_for(thread.is_over.wait(), 60)
        server.stop()
        await server.close_all_connections()

    with caplog.at_level(logging.WARNING):
        asyncio.run(visit_and_leave())
    assert [record.getMessage() for record in caplog.records] == []
