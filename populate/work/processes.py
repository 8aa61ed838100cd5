"""Child processes on one machine: workers, which are replaced when they die, or shares of one run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import schemas
from populate.work.interruption import Terminated, terminated_by_signal
from populate.work.worker import Plan, work
from populate.work.worklog import Event, Report, logging_to, reporter
from vbn.errors import ServerError, VbnError

LONGEST_WAIT_S = 0.5
RESTART_AFTER_S = 5.0


@dataclass
class ChildProcess:
    """A process and its pipe of messages: any objects, then None, or the error that ended it."""

    process: Any
    messages: Any
    is_done: bool = False


def start(target: Callable[..., None], *arguments: Any) -> ChildProcess:
    """Start a process: a new interpreter, as neither a connection nor an HDF5 file survives a fork.

    Parameters
    ----------
    target : called with the arguments, the sending end of a pipe, and the id of this process.
    arguments : arguments of the target.
    """
    context = multiprocessing.get_context("spawn")
    # A pipe for each: a process that is killed while it holds the lock of a queue never releases it.
    messages, end = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, end, os.getpid()), daemon=True)
    process.start()
    end.close()
    return ChildProcess(process, messages)


def collect(children: Sequence[ChildProcess]) -> Iterator[Any]:
    """Yield the messages of child processes until all have ended; none is replaced.

    Raises
    ------
    VbnError
        The error that ended a child process.
    ServerError
        At the end, if some were killed.
    """
    received: list[Any] = []
    try:
        running = list(children)
        while running:
            ready: list[Any] = wait([child.messages for child in running])
            running = [
                each for each in running if each.messages not in ready or _receive(each, received.append)
            ]
            yield from received
            received.clear()
    except BaseException:
        _stop(children)
        raise
    for child in children:
        child.process.join()
    if codes := sorted({child.process.exitcode for child in children if not child.is_done}):
        raise ServerError(
            f"A worker process was killed (exit code {', '.join(map(str, codes))}), perhaps for lack of "
            "memory. Nothing is lost: start again, with fewer --processes if memory is short."
        )


def run_workers(plan: Plan, processes: int, send: Callable[[Event], None]) -> None:
    """Work in several processes; one that is killed is replaced after a pause.

    Parameters
    ----------
    plan : what each process does.
    processes : number of processes.
    send : called with each of their events and ours.

    Raises
    ------
    VbnError
        The error that ended a worker; the others are then stopped.
    KeyboardInterrupt
        After all workers have rolled back their jobs; `populate.work.interruption.Terminated` on SIGTERM.
    """
    children: list[ChildProcess] = []
    report = reporter(send)
    try:
        children.extend(start(_work, plan, {}) for _ in range(processes))
        while children:
            children = _supervise(children, plan, send, report)
    except BaseException:
        _stop(children, send)
        raise


def _supervise(
    children: list[ChildProcess], plan: Plan, send: Callable[[Event], None], report: Report
) -> list[ChildProcess]:
    """Pass on the messages of the workers; return those still running, and replacements of the dead."""
    ready: list[Any] = wait([child.messages for child in children], LONGEST_WAIT_S)
    running = []
    for child in children:
        if child.messages not in ready or _receive(child, send):
            running.append(child)
            continue
        child.process.join()
        if not child.is_done:
            fate = _fate(child.process.exitcode)
            report("worker_died", error=f"Process {child.process.pid} {fate}")
            time.sleep(RESTART_AFTER_S)
            running.append(start(_work, plan, {child.process.pid: fate}))
    return running


def _fate(code: int) -> str:
    """Return how a process that ended with an exit code died."""
    if code >= 0:
        return f"ended with exit code {code}."
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    if name == "SIGKILL":
        return "was killed (SIGKILL), as a system does when memory runs out."
    return f"was ended by {name}, perhaps a crash in a library."


def _receive(child: ChildProcess, send: Callable[[Any], object]) -> bool:
    """Receive one message; return False at the end of the messages."""
    try:
        message = child.messages.recv()
    except (EOFError, OSError):
        return False
    if isinstance(message, VbnError):
        child.is_done = True
        raise message
    if message is None:
        child.is_done = True
    else:
        send(message)
    return True


def _stop(children: Sequence[ChildProcess], send: Callable[[Any], object] = lambda _message: None) -> None:
    """Ask all to end, and wait until they have, passing on their last messages."""
    for child in children:
        if child.process.is_alive():
            os.kill(child.process.pid, signal.SIGTERM)
    for child in children:
        try:
            while _receive(child, send):
                pass
        except VbnError:
            pass  # an error was raised already, or the end was requested
        child.process.join()


def send_to_parent(messages: Any, message: Any) -> None:
    """Send a message to the parent process, if that is still there."""
    with contextlib.suppress(BrokenPipeError):
        messages.send(message)


@contextlib.contextmanager
def reporting_end(
    messages: Any, on_interruption: Callable[[KeyboardInterrupt], None] = lambda _: None
) -> Iterator[None]:
    """Run the block as the work of a child process; send None at its end, or the error.

    Parameters
    ----------
    messages : the sending end of the pipe.
    on_interruption : called with an interruption, which usually came to the parent too, or from it.
    """
    try:
        with terminated_by_signal():
            yield
        send_to_parent(messages, None)
    except VbnError as error:
        send_to_parent(messages, error)
    except KeyboardInterrupt as interruption:
        on_interruption(interruption)
        send_to_parent(messages, None)
    finally:
        schemas.disconnect()


def _work(plan: Plan, fates: dict[int, str], messages: Any, parent: int) -> None:
    report = reporter(lambda event: send_to_parent(messages, event))

    def on_interruption(interruption: KeyboardInterrupt) -> None:
        report("stopped", reason="SIGTERM" if isinstance(interruption, Terminated) else "interrupted")

    with logging_to(report), reporting_end(messages, on_interruption):
        try:
            work(plan, report, should_stop=lambda: os.getppid() != parent, fates=fates)
        except (VbnError, KeyboardInterrupt):
            raise
        except Exception as error:  # which would print itself
            report("crashed", error=traceback.format_exc())
            raise SystemExit(1) from error
