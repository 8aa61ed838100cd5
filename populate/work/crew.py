"""Several workers on one machine, each a process of its own, and one that looks after them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import schemas
from populate.work.interruption import Terminated, terminated_by_signal
from populate.work.worker import Plan, work
from populate.work.worklog import Event, Report, reporter
from vbn.errors import VbnError

LONGEST_WAIT_S = 0.5
RESTART_AFTER_S = 5.0


@dataclass
class _Member:
    """A worker process, and what it says."""

    process: Any
    messages: Any
    is_done: bool = False


def run_crew(plan: Plan, processes: int, send: Callable[[Event], None]) -> None:
    """Work in several processes; one that is killed is replaced after a while.

    Parameters
    ----------
    plan : what each shall do.
    processes : how many.
    send : takes their events and ours.

    Raises
    ------
    VbnError
        What a worker ended in; the others are stopped then.
    KeyboardInterrupt
        After all workers have rolled back their jobs; `populate.work.interruption.Terminated` on SIGTERM.
    """
    crew: list[_Member] = []
    report = reporter(send)
    try:
        crew.extend(_start(plan) for _ in range(processes))
        while crew:
            crew = _listen(crew, plan, send, report)
    except BaseException:
        for member in crew:
            if member.process.is_alive():
                os.kill(member.process.pid, signal.SIGTERM)
        _hear_out(crew, send)
        raise


def _start(plan: Plan) -> _Member:
    """Start a worker: a new interpreter, as neither a connection nor an HDF5 file survives a fork."""
    context = multiprocessing.get_context("spawn")
    # A pipe for each: a queue's lock would be lost with whoever is killed while holding it.
    messages, end = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(plan, end, os.getpid()), daemon=True)
    process.start()
    end.close()
    return _Member(process, messages)


def _listen(crew: list[_Member], plan: Plan, send: Callable[[Event], None], report: Report) -> list[_Member]:
    """Pass on what the workers say; return those that go on, and replacements of the dead."""
    ready: list[Any] = wait([member.messages for member in crew], LONGEST_WAIT_S)
    staying = []
    for member in crew:
        if member.messages not in ready or _hear(member, send):
            staying.append(member)
            continue
        member.process.join()
        if not member.is_done:
            code = member.process.exitcode
            report("worker_died", error=f"exit code {code}; if it was killed, perhaps for lack of memory.")
            time.sleep(RESTART_AFTER_S)
            staying.append(_start(plan))
    return staying


def _hear(member: _Member, send: Callable[[Event], None]) -> bool:
    """Take one message; return False if there will be none any more."""
    try:
        message = member.messages.recv()
    except (EOFError, OSError):
        return False
    if isinstance(message, VbnError):
        member.is_done = True
        raise message
    if message is None:
        member.is_done = True
    else:
        send(message)
    return True


def _hear_out(crew: list[_Member], send: Callable[[Event], None]) -> None:
    """Wait until all have ended, passing on what they have to say."""
    for member in crew:
        try:
            while _hear(member, send):
                pass
        except VbnError:
            pass  # one error has been raised already, or an end been asked for
        member.process.join()


def _work(plan: Plan, messages: Any, parent: int) -> None:
    """Work in a process of its own; say None at the end, or the error."""
    try:
        with terminated_by_signal():
            work(plan, reporter(messages.send), should_stop=lambda: os.getppid() != parent)
        messages.send(None)
    except VbnError as error:
        messages.send(error)
    except KeyboardInterrupt as interruption:
        # The parent got it as well, or sent it; unless it came to this process alone.
        reason = "SIGTERM" if isinstance(interruption, Terminated) else "interrupted"
        reporter(messages.send)("stopped", reason=reason)
        messages.send(None)
    except BrokenPipeError:
        pass  # the parent has gone
    finally:
        schemas.disconnect()
