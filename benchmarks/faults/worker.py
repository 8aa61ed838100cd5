"""``vbn`` with an internal fault: it kills itself at a named point, or has a wrong clock.

``VBN_FAULT=memory:n`` lets it have no more memory from the n-th reservation on, until a job has failed;
``VBN_FAULT=point:n`` sends SIGKILL (or ``VBN_FAULT_SIGNAL``) when a point is reached for the n-th time;
``VBN_SKEW_S=seconds`` shifts all clocks of this process, including the start times of other processes.
``VBN_HOST=name`` makes it the worker of another machine, whose processes the others cannot see. It may die
with the same job as often as chance has it.
None of this is in the product: the points are functions of DataJoint that every job calls.
"""

from __future__ import annotations

import ctypes
import datetime as datetimes
import functools
import importlib
import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_LEFT_BYTES = 2**19
LIBRARIES = ("hdf5plugin", "scipy.linalg", "scipy.signal", "scipy.stats", "scipy.ndimage", "scipy.optimize")

POINTS = {
    "reserved": ("datajoint.jobs", "Job", "reserve", "after"),
    "computed": ("datajoint.connection", "Connection", "start_transaction", "before"),
    "array_written": ("datajoint.storage", "StorageBackend", "put_buffer", "after"),
    "rows_inserted": ("datajoint.table", "Table", "insert", "after"),
    "before_commit": ("datajoint.connection", "Connection", "commit_transaction", "before"),
    "after_commit": ("datajoint.connection", "Connection", "commit_transaction", "after"),
    "before_completion": ("datajoint.jobs", "Job", "complete", "before"),
    "after_completion": ("datajoint.jobs", "Job", "complete", "after"),
}


def signal_at(point: str, number: int, what: signal.Signals) -> None:
    """Make this process send itself a signal when a point is reached for the n-th time."""
    from importlib import import_module

    import schemas  # noqa: F401  DataJoint without its notices

    module_name, class_name, method, when = POINTS[point]
    owner = getattr(import_module(module_name), class_name)
    original = getattr(owner, method)
    count = 0

    def reach() -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), what)

    @functools.wraps(original)
    def faulty(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            reach()
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        reach()
        return result

    setattr(owner, method, faulty)


def lack_memory(number: int) -> None:
    """Let this process have no more memory from its n-th reservation on, until a job was recorded as failed.

    Most jobs on these small sessions need little, and are done in what the process has already. Libraries are
    loaded before: some of them end the process, or say something else, when they find no room for themselves.
    """
    import resource

    for library in LIBRARIES:
        importlib.import_module(library)
    from datajoint.jobs import Job

    import schemas  # noqa: F401  DataJoint without its notices

    reserve, record, unlimited = Job.reserve, Job.error, resource.RLIM_INFINITY
    count, is_short, has_failed = 0, False, False

    @functools.wraps(reserve)
    def faulty(*args: Any, **kwargs: Any) -> Any:
        nonlocal count, is_short
        resource.setrlimit(resource.RLIMIT_DATA, (unlimited, unlimited))
        is_reserved = reserve(*args, **kwargs)
        count += bool(is_reserved)
        is_short = is_reserved and count >= number and not has_failed
        if is_short:
            ctypes.CDLL(None).malloc_trim(0)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LEFT_BYTES + _used_bytes(), unlimited))
        return is_reserved

    @functools.wraps(record)
    def recording(*args: Any, **kwargs: Any) -> Any:
        nonlocal has_failed
        result = record(*args, **kwargs)
        has_failed |= is_short
        return result

    Job.reserve, Job.error = faulty, recording


def _used_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def skew_clocks(offset_s: float) -> None:
    """Shift the clocks of this process."""
    import psutil

    def shifted(function: Callable[..., float]) -> Callable[..., float]:
        return lambda *args: function(*args) + offset_s

    time.time = shifted(time.time)
    psutil.Process.create_time = shifted(psutil.Process.create_time)  # type: ignore[method-assign]
    right = datetimes.datetime

    class Skewed(right):
        @classmethod
        def now(cls, tz: datetimes.tzinfo | None = None) -> datetimes.datetime:
            return right.now(tz) + datetimes.timedelta(seconds=offset_s)

    datetimes.datetime = Skewed  # type: ignore[misc]


if __name__ == "__main__":
    if skew := os.environ.get("VBN_SKEW_S"):
        skew_clocks(float(skew))
    if fault := os.environ.get("VBN_FAULT"):
        name, _, number = fault.partition(":")
        if name == "memory":
            lack_memory(int(number))
        else:
            signal_at(name, int(number), signal.Signals[os.environ.get("VBN_FAULT_SIGNAL", "SIGKILL")])

    if host := os.environ.get("VBN_HOST"):
        platform.node = lambda: host

    from populate.cli import main
    from populate.work import jobs

    jobs.MOST_DEATHS = 10**6
    main()
