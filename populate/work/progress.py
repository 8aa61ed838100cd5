"""Running the work in one or several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

import schemas
from populate.work import runner, status
from populate.work.runner import JobResult, Summary
from vbn.errors import ServerError, VbnError

POLL_S = 0.5


def populate_with_progress(session_ids: Sequence[int], table_names: Sequence[str], processes: int) -> Summary:
    """Populate, showing how far it is on a terminal; return what was done here.

    Raises
    ------
    VbnError
        If sessions or tables are unknown, or the store or the server cannot be used.
    """
    keys, classes = runner.session_keys(session_ids), runner.populated_tables(table_names)
    summary = Summary()
    names = {cls.__name__ for cls in classes}
    states = [state for state in status.table_status() if state.table in names]
    missing = sum(state.total - state.done - state.errors for state in states)
    bar = tqdm(total=None if session_ids else missing, unit="entry", disable=not sys.stderr.isatty())
    with bar:
        results = (
            runner.run(keys, classes) if processes == 1 else _run_in_processes(keys, table_names, processes)
        )
        for result in results:
            summary.add(result)
            bar.set_description(f"{result.table} {result.key['session_id']}")
            bar.update()
    return summary


def _run_in_processes(
    keys: Sequence[dict[str, Any]], table_names: Sequence[str], processes: int
) -> Iterator[JobResult]:
    """Share the work among processes of this machine through the job tables.

    Each begins at another session, so that two seldom read the same file. New interpreters are
    started, because neither a database connection nor an HDF5 file survives a fork.
    """
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    prefix = schemas.connect().prefix
    shares = [_rotate(keys, len(keys) * number // processes) for number in range(processes)]
    workers = [
        context.Process(
            target=_work, args=(prefix, share, list(table_names), results, os.getpid()), daemon=True
        )
        for share in shares
    ]
    for worker in workers:
        worker.start()
    try:
        yield from _collect(results, workers)
    finally:
        for worker in workers:
            worker.join()


def _collect(results: Any, workers: Sequence[Any]) -> Iterator[JobResult]:
    """Yield results until every worker has said that it is done, or has died."""
    waiting = len(workers)
    while waiting:
        try:
            item = results.get(timeout=POLL_S)
        except queue.Empty:
            if not any(worker.is_alive() for worker in workers):
                raise ServerError(_how_they_died(workers)) from None
            continue
        if isinstance(item, JobResult):
            yield item
        elif isinstance(item, VbnError):
            raise item
        else:
            waiting -= 1


def _how_they_died(workers: Sequence[Any]) -> str:
    """Say that workers ended without a word."""
    codes = sorted({worker.exitcode for worker in workers if worker.exitcode})
    return (
        f"A worker process was killed (exit code {', '.join(map(str, codes))}), perhaps for lack of memory. "
        "Nothing is lost: start again, with fewer --processes if memory is short."
    )


def _rotate(items: Sequence[Any], start: int) -> list[Any]:
    return [*items[start:], *items[:start]]


def _work(prefix: str, keys: list[dict[str, Any]], table_names: list[str], results: Any, parent: int) -> None:
    """Work in a process of its own; end with None, after a VbnError if there was one."""
    try:
        schemas.connect(prefix)
        classes = runner.populated_tables(table_names)
        for result in runner.run(keys, classes, should_stop=lambda: os.getppid() != parent):
            results.put(result)
    except VbnError as error:
        results.put(error)
    except KeyboardInterrupt:
        pass  # the parent got it as well and reports it
    finally:
        results.put(None)
        schemas.disconnect()
