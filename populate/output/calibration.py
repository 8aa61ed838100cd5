"""Running a calibration: in several processes, and on from where an earlier run was ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from populate.work.processes import collect, reporting_end, send_to_parent, start
from schemas import optotagging, responses
from vbn.calibration.columns import MEASURES
from vbn.calibration.kept import KeptScores
from vbn.calibration.run import CalibrationSettings, Part, Scores, all_parts, session_parts


def calibrate(
    settings: CalibrationSettings, processes: int = 1, kept: Path | None = None
) -> Iterator[tuple[Part, Scores]]:
    """Yield the scores of all sessions, worlds and tables, in any order.

    Parameters
    ----------
    settings : what to simulate.
    processes : number of processes; the sessions are shared among them.
    kept : file in which scores are kept; those in it are used again (`KeptScores`).

    Raises
    ------
    SettingError
        If the file is another kind of file.
    ServerError
        If a process was killed.
    """
    if kept is None:
        yield from _scored(settings, processes, frozenset())
        return
    file = KeptScores(kept, settings, _method_versions())
    kept_scores = file.read()
    done = frozenset(kept_scores).intersection(all_parts(settings))
    yield from ((part, kept_scores[part]) for part in done)
    yield from file.keep(_scored(settings, processes, done))


def _scored(
    settings: CalibrationSettings, processes: int, done: frozenset[Part]
) -> Iterator[tuple[Part, Scores]]:
    if processes == 1:
        for index in range(settings.sessions):
            yield from session_parts(settings, index, done=done)
    else:
        shares = (range(number, settings.sessions, processes) for number in range(processes))
        yield from collect([start(_work, settings, share, done) for share in shares if share])


def _work(
    settings: CalibrationSettings, sessions: range, done: frozenset[Part], messages: Any, parent: int
) -> None:
    with reporting_end(messages):
        for index in sessions:
            for scored in session_parts(settings, index, done=done):
                if os.getppid() != parent:
                    return
                send_to_parent(messages, scored)


def _method_versions() -> dict[str, int]:
    tables = {measure.table for measure in MEASURES}
    return {
        name: getattr(module, name).method_version
        for module in (responses, optotagging)
        for name in tables
        if hasattr(module, name)
    }
