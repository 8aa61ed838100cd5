"""Populating in one or several processes, with a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

import schemas
from populate.work import runner, status
from populate.work.processes import collect, reporting_end, send_to_parent, start
from populate.work.runner import JobResult, Summary


def populate_with_progress(session_ids: Sequence[int], table_names: Sequence[str], processes: int) -> Summary:
    """Populate, with a progress bar on a terminal; return what was done here.

    Raises
    ------
    VbnError
        If sessions or tables are unknown, or the store or the server cannot be used.
    """
    keys, classes = runner.session_keys(session_ids), runner.populated_tables(table_names)
    if not session_ids and not all(map(runner.is_of_sessions, classes)):
        keys.append(runner.NO_SESSION)
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
            bar.set_description(f"{result.table} {result.key.get('session_id', '')}".strip())
            bar.update()
    return summary


def _run_in_processes(
    keys: Sequence[dict[str, Any]], table_names: Sequence[str], processes: int
) -> Iterator[JobResult]:
    """Share the work among processes of this machine through the job tables.

    Each begins at a different session, so that two seldom read the same file.
    """
    prefix = schemas.connect().prefix
    shares = [_rotate(keys, len(keys) * number // processes) for number in range(processes)]
    return collect([start(_work, prefix, share, list(table_names)) for share in shares])


def _rotate(items: Sequence[Any], start: int) -> list[Any]:
    of_sessions = [item for item in items if item != runner.NO_SESSION]
    rotated = [*of_sessions[start:], *of_sessions[:start]]
    return [*rotated, *items[len(of_sessions) :]]  # what is made from sessions comes last


def _work(
    prefix: str, keys: list[dict[str, Any]], table_names: list[str], messages: Any, parent: int
) -> None:
    with reporting_end(messages):
        schemas.connect(prefix)
        classes = runner.populated_tables(table_names)
        for result in runner.run(keys, classes, should_stop=lambda: os.getppid() != parent):
            send_to_parent(messages, result)
