"""Deferring Ctrl-C and SIGTERM over a block that must not be left in the middle."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

INTERRUPTIONS = frozenset({signal.SIGINT, signal.SIGTERM})


def is_main_thread() -> bool:
    """Return whether this is the thread that handles signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def holding_interruptions() -> Iterator[None]:
    """Defer interruptions to the end of the block.

    In the middle of a job's rollback they would leave it half done; in the middle of an import they would be
    lost where a compiled module or the callback of a weak reference swallows what is raised.
    """
    if not is_main_thread():
        yield
        return
    deferred: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: deferred.append(number))
        for number in INTERRUPTIONS
        if signal.getsignal(number) is not None  # another program's that runs Python: cannot be put back
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in deferred[:1]:
            signal.raise_signal(received)
