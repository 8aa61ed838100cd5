"""Several processes on one machine that work for one: workers that are replaced, or shares of one run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import schemas
from populate.work.interruption import Terminated, terminated_by_signal
from populate.work.worker import Plan, work
from populate.work.worklog import Event, Report, reporter
from vbn.errors import ServerError, VbnError

LONGEST_WAIT_S = 0.5
RESTART_AFTER_S = 5.0


@dataclass
class Member:
    """A process, and what it says: anything, an error that it ends in, or None at its end."""

    process: Any
    messages: Any
    is_done: bool = False


def start(target: Callable[..., None], *arguments: Any) -> Member:
    """Start a process: a new interpreter, as neither a connection nor an HDF5 file survives a fork.

    Parameters
    ----------
    target : gets the arguments, the end of a pipe for what it says, and the id of this process.
    arguments : of the target.
    """
    context = multiprocessing.get_context("spawn")
    # A pipe for each: a queue's lock would be lost with whoever is killed while holding it.
    messages, end = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, end, os.getpid()), daemon=True)
    process.start()
    end.close()
    return Member(process, messages)


def collect(crew: Sequence[Member]) -> Iterator[Any]:
    """Yield what the members of a crew say, until all of them have ended; none is replaced.

    Raises
    ------
    VbnError
        What a member ended in.
    ServerError
        At the end, if some were killed.
    """
    said: list[Any] = []
    try:
        staying = list(crew)
        while staying:
            ready: list[Any] = wait([member.messages for member in staying])
            staying = [each for each in staying if each.messages not in ready or _hear(each, said.append)]
            yield from said
            said.clear()
    except BaseException:
        _stop(crew)
        raise
    for member in crew:
        member.process.join()
    if codes := sorted({member.process.exitcode for member in crew if not member.is_done}):
        raise ServerError(
            f"A worker process was killed (exit code {', '.join(map(str, codes))}), perhaps for lack of "
            "memory. Nothing is lost: start again, with fewer --processes if memory is short."
        )


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
    crew: list[Member] = []
    report = reporter(send)
    try:
        crew.extend(start(_work, plan) for _ in range(processes))
        while crew:
            crew = _listen(crew, plan, send, report)
    except BaseException:
        _stop(crew, send)
        raise


def _listen(crew: list[Member], plan: Plan, send: Callable[[Event], None], report: Report) -> list[Member]:
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
            staying.append(start(_work, plan))
    return staying


def _hear(member: Member, send: Callable[[Any], object]) -> bool:
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


def _stop(crew: Sequence[Member], send: Callable[[Any], object] = lambda _message: None) -> None:
    """Ask all to end, and wait until they have, passing on what they have to say."""
    for member in crew:
        if member.process.is_alive():
            os.kill(member.process.pid, signal.SIGTERM)
    for member in crew:
        try:
            while _hear(member, send):
                pass
        except VbnError:
            pass  # one error has been raised already, or an end been asked for
        member.process.join()


def say(messages: Any, message: Any) -> None:
    """Say something to the process that listens, if that is still there."""
    with contextlib.suppress(BrokenPipeError):
        messages.send(message)


def _work(plan: Plan, messages: Any, parent: int) -> None:
    """Work in a process of its own; say None at the end, or the error."""
    report = reporter(lambda event: say(messages, event))
    try:
        with terminated_by_signal():
            work(plan, report, should_stop=lambda: os.getppid() != parent)
        say(messages, None)
    except VbnError as error:
        say(messages, error)
    except KeyboardInterrupt as interruption:
        # The parent got it as well, or sent it; unless it came to this process alone.
        report("stopped", reason="SIGTERM" if isinstance(interruption, Terminated) else "interrupted")
        say(messages, None)
    finally:
        schemas.disconnect()
