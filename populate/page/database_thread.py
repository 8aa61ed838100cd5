"""What runs queries and draws: a thread for what is quick, and processes beside it for what takes its time.

DataJoint has one connection, and matplotlib one set of settings, per process. Tables are fetched by the one
thread of this process, one after the other. Figures, numbers of units and files come from processes, each
with a connection of its own: nobody waits for another's figure to see a table. Meanwhile the server goes on
answering browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import schemas
from populate.work.causes import Cause, cause_of
from schemas.server.connection import DRIVER_ERRORS, Database
from schemas.server.writes import sign_of_writes
from vbn.errors import ServerError, shortened

Result = TypeVar("Result")
IsWanted = Callable[[], bool]

N_PROCESSES = 2
KEPT_S = 60.0
KEPT = 128


def _always() -> bool:
    return True


@dataclass
class _Answer:
    """An answer that waits for its turn, is on its way, or was given a moment ago.

    Attributes
    ----------
    sign : of what had been written when it was last asked for, before it was begun.
    """

    sign: str = ""
    wanted: list[IsWanted] = field(default_factory=list)
    asked: float = field(default_factory=time.monotonic)
    is_begun: bool = False
    task: asyncio.Future[Any] = field(default_factory=asyncio.Future)

    def begins(self) -> bool:
        """Return whether somebody still waits for it, now that its turn has come."""
        self.is_begun = any(each() for each in self.wanted)
        return self.is_begun

    def holds(self, sign: str) -> bool:
        """Return whether it is, or will be, that of what has been written by now."""
        is_old = self.task.done() and time.monotonic() - self.asked > KEPT_S  # files change without a sign
        is_present = sign == self.sign or not self.is_begun
        return is_present and not (is_old or self.task.cancelled())

    def join(self, sign: str, is_wanted: IsWanted) -> None:
        """Let somebody else wait for it."""
        self.wanted.append(is_wanted)
        if not self.is_begun:
            self.sign = sign


class DatabaseThread:
    """The thread and the processes that run the queries of all browsers.

    Make it before anything else: the processes begin as copies of this one. ``folder`` is for files on their
    way, and goes with it.
    """

    def __init__(self) -> None:
        # A copy has all imports; a new interpreter takes seconds for them. Now there is neither a connection
        # nor an open file that would not survive this. macOS has libraries that do not.
        self._processes = _processes("fork" if sys.platform == "linux" else "spawn")
        self.folder = tempfile.mkdtemp(prefix="vbn-page-")
        self._thread = ThreadPoolExecutor(1, "database")
        self._turn, self._turns = asyncio.Lock(), asyncio.Semaphore(N_PROCESSES)
        self._long_turns = asyncio.Semaphore(N_PROCESSES - 1)
        self._kept: dict[tuple[Callable[..., Any], str], _Answer] = {}

    def new_file(self) -> Path:
        """Return the path of a new file on its way."""
        folder = Path(self.folder)
        folder.mkdir(mode=0o700, exist_ok=True)  # what cleans up temporary folders may have taken it
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        return Path(name)

    def connect(self) -> Database:
        """Connect, and wait until that is done."""
        return self._thread.submit(schemas.connect).result()

    async def run(
        self, function: Callable[..., Result], *arguments: Any, is_wanted: IsWanted = _always
    ) -> Result:
        """Return the result of a quick function, which may use the tables.

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

    async def run_apart(
        self, function: Callable[..., Result], *arguments: Any, is_wanted: IsWanted = _always
    ) -> Result:
        """Return the result of a function that takes its time, from a process of its own.

        Parameters
        ----------
        function, arguments, is_wanted : as for `run`; function, arguments and result are pickled.

        Raises
        ------
        ServerError
            If the server is away, or the process was killed.
        """
        async with self._turns:
            if not is_wanted():
                raise asyncio.CancelledError
            loop = asyncio.get_running_loop()
            processes = self._processes
            try:
                return await loop.run_in_executor(processes, _connected, function, *arguments)
            except BrokenProcessPool as error:
                if processes is self._processes:  # by now there are threads, which forbid a copy
                    self._processes = _processes("spawn")
                raise ServerError("The process was killed, perhaps for lack of memory. Try again.") from error

    async def run_long(
        self, function: Callable[..., Result], *arguments: Any, is_wanted: IsWanted = _always
    ) -> Result:
        """Like `run_apart`, for what may take many seconds: it leaves a process to the others."""
        async with self._long_turns:
            return await self.run_apart(function, *arguments, is_wanted=is_wanted)

    async def run_kept(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        is_wanted: IsWanted = _always,
        is_long: bool = False,
    ) -> Result:
        """Like `run_apart` or `run_long`; an answer is for all who ask the same before anything is written.

        It is made anew after `KEPT_S`, as what it says of files may have changed.
        """
        question, sign = (function, repr(arguments)), await self.run(sign_of_writes)
        answer = self._kept.get(question)
        if answer is None or not answer.holds(sign):
            run = self.run_long if is_long else self.run_apart
            answer = self._kept[question] = _Answer()
            answer.task = asyncio.ensure_future(run(function, *arguments, is_wanted=answer.begins))
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        answer.join(sign, is_wanted)
        try:
            result: Result = await asyncio.shield(answer.task)
        except Exception:  # an error may be gone when it is asked again
            if self._kept.get(question) is answer:
                del self._kept[question]
            raise
        return result

    def close(self) -> None:
        """Drop waiting queries, finish the running one, and stop the processes."""
        self._processes.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        self._thread.shutdown(cancel_futures=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _processes(method: str) -> ProcessPoolExecutor:
    """Return processes, started if they are copies of this one."""
    pool = ProcessPoolExecutor(N_PROCESSES, multiprocessing.get_context(method), initializer=_begin)
    with warnings.catch_warnings():  # of threads in libraries, which know what to do in a copy
        warnings.simplefilter("ignore", DeprecationWarning)
        pool.submit(os.getpid)
    return pool


def _begin() -> None:
    """Let a process end with the page, however that ends, and only then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class BrowserView:
    """One view in one browser. Its queries are dropped when the browser has left it."""

    thread: DatabaseThread
    document: Any

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a quick function; see `DatabaseThread.run`."""
        return await self.thread.run(function, *arguments, is_wanted=self._is_open)

    async def run_kept(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return the result of a slow function; see `DatabaseThread.run_kept`."""
        return await self.thread.run_kept(function, *arguments, is_wanted=self._is_open)

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
