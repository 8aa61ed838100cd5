"""Noticing an interruption that a library has swallowed.

SIGINT and SIGTERM become exceptions wherever the program happens to be. Some libraries catch all of them
(fsspec's ``exists``, DataJoint's ``is_connected``), and the work would go on as if nothing had been said.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

INTERRUPTIONS = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def noticing_interruptions() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether an interruption has come since the block was entered.

    The interpreter writes the number of each signal that it handles to a socket, which is read when asked.
    In another thread than the main one, and where somebody else listens already (as notebooks do), nothing
    is noticed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        other = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if other != -1:
            signal.set_wakeup_fd(other)
        try:
            yield lambda: _has_come(reader)
        finally:
            if other == -1:
                signal.set_wakeup_fd(-1)


def _has_come(reader: socket.socket) -> bool:
    try:
        return bool(INTERRUPTIONS & set(reader.recv(4096)))
    except BlockingIOError:
        return False
