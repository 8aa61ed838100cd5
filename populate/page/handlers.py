"""What answers requests that need no Bokeh: tables, files, unknown addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tornado.web import Finish, RequestHandler

from populate.page.database_thread import DatabaseThread
from populate.page.layout import plain_start, rendered, said
from populate.page.unit_question import Address

Result = TypeVar("Result")


class DatabaseHandler(RequestHandler):
    """Answers from the database."""

    def initialize(self, thread: DatabaseThread) -> None:
        """Keep the thread that runs queries."""
        self.thread = thread

    @property
    def address(self) -> Address:
        """All values of each name in the address."""
        return {name: self.get_query_arguments(name) for name in self.request.query_arguments}

    async def ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a quick function; not called if the browser has left when its turn comes."""
        return await self._answer(self.thread.run(function, *arguments, is_wanted=self._is_wanted))

    async def ask_long(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a function that may take many seconds, from a process of its own."""
        return await self._answer(self.thread.run_long(function, *arguments, is_wanted=self._is_wanted))

    async def ask_kept(
        self, function: Callable[..., Result], *arguments: Any, is_long: bool = False
    ) -> Result:
        """Return the result of a slow function, from a process of its own, kept until anything is written."""
        return await self._answer(
            self.thread.run_kept(function, *arguments, is_wanted=self._is_wanted, is_long=is_long)
        )

    async def _answer(self, answer: Awaitable[Result]) -> Result:
        """Return an answer; end the request without a word if the browser has left meanwhile.

        Tornado takes a cancelled answer for a failure of the handler, and logs it.
        """
        try:
            return await answer
        except asyncio.CancelledError:
            if self._is_wanted():
                raise
            raise Finish from None

    def _is_wanted(self) -> bool:
        connection: Any = self.request.connection
        return not connection.stream.closed()

    def start(self, title: str, path: str) -> None:
        """Write the beginning of a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(plain_start(title, path, getattr(self.request, "nonce", "")))

    async def end(self) -> None:
        """Write the end of a page."""
        await self.finish(rendered("plain_end.html"))

    async def fail(self, error: Exception, status: int = 404) -> None:
        """Say in plain text why there is no file."""
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.finish(f"{said(error)}\n")

    async def refuse(self, error: Exception, title: str, path: str, *, status: int = 404) -> None:
        """Say in a page why there is no answer, and lead back to a path."""
        self.set_status(status)
        self.start(title, path.partition("?")[0])
        self.write(rendered("refusal.html", title=title, text=said(error), path=path))
        await self.end()


class UnknownAddress(RequestHandler):
    """Says that there is no such page, and leads back."""

    async def prepare(self) -> None:
        """Answer any method."""
        self.set_status(404)
        self.write(plain_start("No such page", "no page of the menu", getattr(self.request, "nonce", "")))
        self.write(rendered("unknown.html", address=self.request.path[:200]))
        await self.finish(rendered("plain_end.html"))
