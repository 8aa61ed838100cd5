"""A worker's sign of life on the server, by which others know that it works, however long its job takes.

It is a connection of its own, on which a thread asks something trivial now and then. The server is told to
close it when nothing was asked for `schemas.server.settings.lost_after_s`: so it ends with its machine, which
the connection that works would outlive by hours, and lasts as long as the worker, even if the connection that
works is cut. It bears a random name: on MySQL as a named lock, on PostgreSQL as the application's name. A
reservation records the name in the column ``version`` of the job.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from multiprocessing.connection import wait
from typing import Any

from schemas.server import settings
from schemas.server.connection import DRIVER_ERRORS, Database
from schemas.server.datajoint import descriptor_of, open_driver
from vbn.errors import HostError

NAME = "vbn heartbeat "
BEATS = 5  # asked so often before the server would close the connection
RETRY_S = 0.5  # before connecting again
RECONNECT_S = 2.0  # in which one that was cut off is there again
START_S = 10.0
BEGIN_S = 60.0  # even on a machine with far too much to do
KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


class Heartbeat:
    """The sign of life of this process, given by a thread from `start` to `stop`.

    Parameters
    ----------
    connection : DataJoint's connection; another one is opened in the same way.
    """

    def __init__(self, connection: Any) -> None:
        self.name = NAME + secrets.token_hex(8)
        self._connection = connection
        self._is_mysql = connection.adapter.backend == "mysql"
        self._lost_after_s = settings.lost_after_s()
        self.deadline = float("inf")
        self._has_begun, self._is_up, self._is_over = (threading.Event() for _ in range(3))
        self._wake, self._stop = socket.socketpair()

    @property
    def is_up(self) -> bool:
        """Whether the server knows of it."""
        return self._is_up.is_set()

    def start(self) -> None:
        """Start, and wait for a moment until the server knows of it.

        Raises
        ------
        HostError
            If there is no memory for it: a `threading.Thread` that dies of that while it starts is waited for
            without end.
        """
        lack = HostError(
            "There is no memory left for another thread. Start this worker again, with a larger --max-memory."
        )
        try:
            _thread.start_new_thread(self._run, ())
        except (RuntimeError, MemoryError) as error:
            self._stop.close()
            raise lack from error
        if not self._has_begun.wait(BEGIN_S):
            self._stop.close()  # by which one that is only late ends
            raise lack
        self._is_up.wait(START_S)

    def stop(self) -> None:
        """End the thread; one that waits for an answer from a lost server is left to itself."""
        self._stop.close()
        self._is_over.wait(RETRY_S)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        self._has_begun.set()
        is_over = False
        while not is_over:
            driver = None
            try:
                driver = open_driver(self._connection)
                self._introduce(driver)
                is_over = self._keep(driver)
            except (*DRIVER_ERRORS, OSError, MemoryError):  # of which a job may have taken all for now
                is_over = self._is_stopped(RETRY_S)
            finally:
                self._is_up.clear()
                with contextlib.suppress(*DRIVER_ERRORS, OSError):
                    if driver is not None:
                        driver.close()
        self._wake.close()
        self._is_over.set()

    def _introduce(self, driver: Any) -> None:
        """Tell the server the name, and when it is to close the connection."""
        if not self._is_mysql:
            _ask(driver, "SET idle_session_timeout = %s", f"{self._lost_after_s * 1000:.0f}ms")
            _ask(driver, "SET application_name = %s", self.name)
            return
        _ask(driver, "SET SESSION wait_timeout = %s", max(1, round(self._lost_after_s)))
        if _ask(driver, "SELECT GET_LOCK(%s, 0)", self.name) != 1:  # an earlier connection still has it
            raise OSError("the name is taken")

    def _keep(self, driver: Any) -> bool:
        """Ask now and then; return when this is over."""
        self._is_up.set()
        while not self._is_stopped(self._lost_after_s / BEATS, driver):
            _ask(driver, "SELECT 1")
            if time.monotonic() > self.deadline:
                os.kill(os.getpid(), signal.SIGKILL)
        return True

    def _is_stopped(self, wait_s: float, driver: Any = None) -> bool:
        """Wait until this is over, the server says something on its own account, or time has passed."""
        others = [] if driver is None else [descriptor_of(driver)]
        return self._wake in wait([self._wake, *others], wait_s)


_current: Heartbeat | None = None


def name_of_this_process() -> str:
    """Return the name under which the server knows of this process now; empty if it does not."""
    return _current.name if _current is not None and _current.is_up else ""


@contextlib.contextmanager
def beating(database: Database) -> Iterator[None]:
    """Give a sign of life while the block runs.

    The embedded server needs none: all its workers are on one machine, where processes can be seen.
    """
    global _current
    if database.embedded is not None:
        yield
        return
    connection = database.connection
    if database.backend == "postgresql":  # the server then notices sooner that this machine is gone
        for name, value in KEEPALIVES.items():
            connection.query(f"SET {name} = {value}")
    own, before = Heartbeat(connection), _current
    own.start()
    _current = own
    try:
        yield
    finally:
        _current = before
        own.stop()


@contextlib.contextmanager
def ending_process_after(seconds: float) -> Iterator[None]:
    """Kill this process if the block takes longer: what it waits for in a library cannot be interrupted."""
    if (own := _current) is None:
        yield
        return
    own.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        own.deadline = float("inf")


def alive(connection: Any, names: Collection[str]) -> set[str]:
    """Return those names of heartbeats that the server knows of."""
    wanted = sorted(names)
    if not wanted:
        return set()
    if connection.adapter.backend == "mysql":
        columns = ", ".join(["IS_USED_LOCK(%s)"] * len(wanted))
        (held,) = connection.query(f"SELECT {columns}", args=wanted).fetchall()
        return {name for name, holder in zip(wanted, held, strict=True) if holder is not None}
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE %s"
    found = {row[0] for row in connection.query(query, args=(NAME + "%",)).fetchall()}
    return found & set(wanted)


def _ask(driver: Any, statement: str, *args: Any) -> Any:
    """Execute a statement; return the first value of its answer, if it has one."""
    with driver.cursor() as cursor:
        cursor.execute(statement, args)
        return cursor.fetchone()[0] if cursor.description else None


def _forget_in_child() -> None:
    """Leave the sign of life to the process that this one was forked from."""
    global _current
    _current = None


os.register_at_fork(after_in_child=_forget_in_child)
