"""The log of a worker: lines for people or services, and a progress bar on a terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from vbn.errors import VbnError, lacks_memory

Event = dict[str, Any]
Report = Callable[..., None]

# Events that are not printed; on a terminal a progress bar stands for jobs that succeed.
QUIET_ON_A_TERMINAL = frozenset({"work_found", "job_started", "job_done", "idle"})
QUIET_IN_TEXT = frozenset({"job_started", "idle"})
LEVELS = {
    "job_failed": "error",
    "worker_died": "error",
    "crashed": "error",
    "refused": "error",
    "host_lacks": "warning",
    "space_full": "warning",
    "job_retry": "warning",
    "server_away": "warning",
    "store_away": "warning",
}
"""Levels of the events that are more than information."""


NO_MEMORY = (
    "There is not enough memory to go on, not even to record what became of the last job, which goes back to "
    "the queue. Start this worker again, with a larger --max-memory or fewer --processes."
)


def reporter(send: Callable[[Event], None]) -> Report:
    """Return a function that sends events of this process: ``report("job_done", table=..., key=...)``."""

    def report(event: str, **fields: Any) -> None:
        present = {name: value for name, value in fields.items() if value is not None}
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level = LEVELS.get(event, "info")
        where = {"host": platform.node(), "pid": os.getpid()}
        send({"event": event, "time": time, "level": level, **where, **present})

    return report


class LogEvents(logging.Handler):
    """Reports what libraries log and warn of, as events named ``log``."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record."""
        self._report("log", level=record.levelname.lower(), error=self.format(record))


@contextlib.contextmanager
def logging_to(report: Report) -> Iterator[None]:
    """Report what is logged and warned of in the block, and no longer write it to stderr."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, [LogEvents(report)]
    show = warnings.showwarning
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        warnings.showwarning = show
        root.handlers = before


@contextlib.contextmanager
def everything_to(report: Report) -> Iterator[None]:
    """Report all that is logged in the block and the error that ends it; then exit as the command would."""
    try:
        with logging_to(report):
            yield
    except KeyboardInterrupt as interruption:
        raise SystemExit(130) from interruption
    except VbnError as error:
        report("refused", error=str(error))
        raise SystemExit(1) from error
    except Exception as error:
        if lacks_memory(error):
            traceback.clear_frames(error.__traceback__)  # what they held is needed for a line of the log
            report("refused", error=NO_MEMORY)
        else:
            report("crashed", error=traceback.format_exc())
        raise SystemExit(1) from error


def json_log(event: Event) -> None:
    """Print an event as one line of JSON, in one write."""
    session = event.get("key", {}).get("session_id")
    line = {**event, "message": as_text(event), "table": event.get("table"), "session": session}
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


class TextLog:
    """Prints events for people: on a terminal with a progress bar of jobs, else a line per job."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._bar = tqdm(unit="job", disable=not self._is_terminal)

    def __call__(self, event: Event) -> None:
        """Print an event, or show it in the progress bar."""
        name = event["event"]
        if name == "job_started":
            self._bar.set_description(f"{event['key'].get('session_id')} {event['table']}")
        elif name == "work_found":
            self._bar.total = self._bar.n + event["count"]
            self._bar.refresh()
        elif name == "job_done":
            self._bar.update()
        elif name == "idle":
            self._bar.set_description("idle")
        if name not in (QUIET_ON_A_TERMINAL if self._is_terminal else QUIET_IN_TEXT):
            tqdm.write(f"{event['time'][:19]}Z {as_text(event)}", file=sys.stdout)
            sys.stdout.flush()


def as_text(event: Event) -> str:
    """Return an event as a line of text."""
    words = [str(event["event"]).replace("_", " ")]
    if "table" in event:
        words.append(f"{event['table']} ({', '.join(f'{n}={v}' for n, v in event['key'].items())})")
    if "duration_s" in event:
        words.append(f"in {event['duration_s']:.1f} s")
    if "attempt" in event:
        words.append(f"at try {event['attempt']}")
    if "reason" in event:
        words.append(f"({event['reason']})")
    if "count" in event:
        words.append(str(event["count"]))
    text = " ".join(words)
    text += f": {event['error']}" if "error" in event else ""
    return text + (f" Next try in {event['wait_s']:.0f} s." if "wait_s" in event else "")
