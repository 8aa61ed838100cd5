"""Noticing an interruption that a library has swallowed.

SIGINT and SIGTERM become exceptions wherever the program happens to be. Some libraries catch all of them
(fsspec's ``exists``, DataJoint's ``is_connected``), and the work would go on as if nothing had been said.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator

INTERRUPTIONS = frozenset({signal.SIGINT, signal.SIGTERM})


class Terminated(KeyboardInterrupt):
    """SIGTERM came: somebody else than the person at the keyboard wants an end."""


class Interruptions:
    """Tells of the signals that have come.

    Parameters
    ----------
    reader : where the interpreter's notes of them arrive, None if they go elsewhere.
    """

    def __init__(self, reader: socket.socket | None) -> None:
        self._reader = reader

    def __call__(self) -> bool:
        """Tell whether an interruption has come since the last question."""
        return bool(self._come())

    def raise_swallowed(self) -> None:
        """Raise what a library has swallowed: KeyboardInterrupt, or Terminated."""
        if come := self._come():
            raise Terminated if signal.SIGTERM in come else KeyboardInterrupt

    @contextlib.contextmanager
    def come_first(self) -> Iterator[None]:
        """Raise the interruption that has come, not the error that it led to.

        Within a query it leaves the connection in the middle of an answer, and what then fails, such as the
        rollback, would be taken for the server's doing.
        """
        try:
            yield
        except Exception:
            self.raise_swallowed()
            raise

    def _come(self) -> frozenset[int]:
        if self._reader is None:
            return frozenset()
        try:
            return INTERRUPTIONS & set(self._reader.recv(4096))
        except BlockingIOError:
            return frozenset()


@contextlib.contextmanager
def noticing_interruptions() -> Iterator[Interruptions]:
    """Give a function that tells whether an interruption has come since the block was entered.

    The interpreter writes the number of each signal that it handles to a socket, which is read when asked.
    In another thread than the main one, and where somebody else listens already (as notebooks do), nothing
    is noticed.
    """
    if not _is_main_thread():
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
            with _swallowed_in_silence():
                yield Interruptions(reader)
        finally:
            if other == -1:
                signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def _swallowed_in_silence() -> Iterator[None]:
    """Print no interruption that came where none can be raised, as in a weak reference's callback."""
    before = sys.unraisablehook

    def say_others(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)

    sys.unraisablehook = say_others
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def holding_interruptions() -> Iterator[None]:
    """Let interruptions wait for the end of the block, such as the rolling back of a job."""
    if not _is_main_thread():
        yield
        return
    come: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: come.append(number)) for number in INTERRUPTIONS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in come[:1]:
            signal.raise_signal(received)


@contextlib.contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Let SIGTERM raise Terminated wherever the program is, as Ctrl-C raises KeyboardInterrupt."""
    if not _is_main_thread():
        yield
        return

    def terminate(_number: int, _frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
