"""Detecting interruptions that a library has swallowed.

SIGINT and SIGTERM become exceptions wherever the program happens to be. Some libraries catch every exception
(fsspec's ``exists``, DataJoint's ``is_connected``), and the work would go on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

from vbn.interruption import INTERRUPTIONS, is_main_thread


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: somebody other than the person at the keyboard ends the program."""


class Interruptions:
    """The interruptions received so far.

    Parameters
    ----------
    reader : socket to which the interpreter writes the numbers of signals, None if it writes them elsewhere.
    """

    def __init__(self, reader: socket.socket | None) -> None:
        self._reader = reader

    def __call__(self) -> bool:
        """Return whether an interruption was received since the last call."""
        return bool(self._received())

    def raise_swallowed(self) -> None:
        """Raise an interruption that a library has swallowed: KeyboardInterrupt, or Terminated."""
        if received := self._received():
            raise Terminated if signal.SIGTERM in received else KeyboardInterrupt

    @contextlib.contextmanager
    def raised_before_errors(self) -> Iterator[None]:
        """Raise an interruption instead of the error that it led to.

        Within a query it leaves the connection in the middle of an answer, and what fails next, such as the
        rollback, would look like a failure of the server.
        """
        try:
            yield
        except Exception:
            self.raise_swallowed()
            raise

    def _received(self) -> frozenset[int]:
        if self._reader is None:
            return frozenset()
        try:
            return INTERRUPTIONS & set(self._reader.recv(4096))
        except BlockingIOError:
            return frozenset()


@contextlib.contextmanager
def noticing_interruptions() -> Iterator[Interruptions]:
    """Yield the interruptions received since the block was entered.

    The interpreter writes the number of each signal that it handles to a socket, which is read on demand.
    Nothing is noticed outside the main thread, and where somebody else listens already (as notebooks do).
    """
    if not is_main_thread():
        yield Interruptions(None)
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        other = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if other != -1:
            signal.set_wakeup_fd(other)
        try:
            with _hiding_unraisable_interruptions():
                yield Interruptions(reader)
        finally:
            if other == -1:
                signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def _hiding_unraisable_interruptions() -> Iterator[None]:
    """Print no interruption that came where it cannot be raised, as in the callback of a weak reference."""
    before = sys.unraisablehook

    def print_others(unraisable: sys.UnraisableHookArgs) -> None:
        # DataJoint turns SIGTERM into SystemExit.
        if not issubclass(unraisable.exc_type, KeyboardInterrupt | SystemExit):
            before(unraisable)

    sys.unraisablehook = print_others
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Let SIGTERM raise Terminated, as Ctrl-C raises KeyboardInterrupt."""
    if not is_main_thread():
        yield
        return

    def terminate(_number: int, _frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
