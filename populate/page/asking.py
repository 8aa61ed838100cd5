"""All questions to the database are asked by one thread, one after the other.

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

Answer = TypeVar("Answer")


class Desk:
    """The thread that asks the database."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "database")
        self._turn = asyncio.Lock()

    def connect(self) -> Database:
        """Connect, and wait for it."""
        return self._thread.submit(schemas.connect).result()

    async def ask(
        self, function: Callable[..., Answer], *arguments: Any, is_wanted: Callable[[], bool] = lambda: True
    ) -> Answer:
        """Return a function's answer; it may use the tables and draw.

        Parameters
        ----------
        function, arguments : what is called.
        is_wanted : asked when its turn comes; if not, the task that asks is cancelled.

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
        """Drop the questions that wait, and let the one that is being asked come to its end."""
        self._thread.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Visitor:
    """One view in one browser. What it asks for is dropped when the browser has gone on to another."""

    desk: Desk
    document: Any

    async def ask(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Return a function's answer, as `Desk.ask` does."""
        return await self.desk.ask(function, *arguments, is_wanted=self._is_here)

    def _is_here(self) -> bool:
        context = self.document.session_context
        return bool(context and context.session and context.session.connection_count)


def _connected(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call a function with an open connection; one that was lost is opened anew, once."""
    try:
        return _once(function, *arguments)
    except ServerError:
        return _once(function, *arguments)


def _once(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call a function with an open connection; ServerError if it is lost, and closed, or cannot be opened."""
    try:
        schemas.connect()
        return function(*arguments)
    except (*DRIVER_ERRORS, ServerError) as error:
        if cause_of(error) is not Cause.SERVER:
            raise
        with contextlib.suppress(*DRIVER_ERRORS):
            schemas.disconnect()
        raise ServerError(f"The server is away: {shortened(error, 200)} Try again later.") from error
