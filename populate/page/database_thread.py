"""The one thread that runs all queries, one after the other.

DataJoint has one connection, and matplotlib one set of settings, per process; meanwhile the server goes on
answering browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import schemas
from populate.work.causes import Cause, cause_of
from schemas.server.connection import DRIVER_ERRORS, Database
from vbn.errors import ServerError, shortened

Result = TypeVar("Result")


class DatabaseThread:
    """The thread that runs the queries of all browsers."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "database")
        self._turn = asyncio.Lock()

    def connect(self) -> Database:
        """Connect, and wait until that is done."""
        return self._thread.submit(schemas.connect).result()

    async def run(
        self, function: Callable[..., Result], *arguments: Any, is_wanted: Callable[[], bool] = lambda: True
    ) -> Result:
        """Return the result of a function, which may use the tables and draw.

        Parameters
        ----------
        function, arguments : the function to call, and its arguments.
        is_wanted : called when its turn comes; if it returns False, the calling task is cancelled.

        Raises
        ------
        ServerError
            If the server is away.
        """
        async with self._turn:
            if not is_wanted():
                raise asyncio.CancelledError
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _connected, function, *arguments)

    def close(self) -> None:
        """Drop waiting queries, and finish the running one."""
        self._thread.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class BrowserView:
    """One view in one browser. Its queries are dropped when the browser has left it."""

    thread: DatabaseThread
    document: Any

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a function; see `DatabaseThread.run`."""
        return await self.thread.run(function, *arguments, is_wanted=self._is_open)

    def _is_open(self) -> bool:
        context = self.document.session_context
        return bool(context and context.session and context.session.connection_count)


def _connected(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function with an open connection; a lost one is reopened, once."""
    try:
        return _once(function, *arguments)
    except ServerError:
        return _once(function, *arguments)


def _once(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function with an open connection; if it is lost, close it and raise ServerError."""
    try:
        schemas.connect()
        return function(*arguments)
    except (*DRIVER_ERRORS, ServerError) as error:
        if cause_of(error) is not Cause.SERVER:
            raise
        with contextlib.suppress(*DRIVER_ERRORS):
            schemas.disconnect()
        raise ServerError(f"The server is away: {shortened(error, 200)} Try again later.") from error
