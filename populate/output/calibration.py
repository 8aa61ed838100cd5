"""Running a calibration: in several processes, and on from where an earlier run was ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from populate.work.processes import collect, reporting_end, send_to_parent, start
from schemas import decoding, encoding, interactions, optotagging, responses, strategy
from vbn.calibration.columns import MEASURES
from vbn.calibration.kept import KeptScores
from vbn.calibration.models.mice import MICE
from vbn.calibration.models.run import (
    WHOLE_MODEL_SESSIONS,
    ModelSettings,
    all_model_parts,
    model_parts,
    model_tables,
)
from vbn.calibration.models.worlds import POPULATIONS
from vbn.calibration.run import (
    WHOLE_MIXTURES,
    CalibrationSettings,
    Part,
    Scores,
    all_parts,
    session_parts,
)
from vbn.calibration.worlds import WORLDS

Settings = CalibrationSettings | ModelSettings
_OF_UNITS = frozenset(measure.table for measure in MEASURES)
_MODULES = (responses, optotagging, encoding, decoding, interactions, strategy)


def calibrate(
    settings: Settings, processes: int = 1, kept: Path | None = None
) -> Iterator[tuple[Part, Scores]]:
    """Yield the scores of all sessions, worlds and tables, in any order.

    Parameters
    ----------
    settings : what to simulate: of measures of single units, or of models.
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
    done = frozenset(kept_scores).intersection(parts_to_score(settings))
    yield from ((part, kept_scores[part]) for part in done)
    yield from file.keep(_scored(settings, processes, done))


def chosen_settings(
    sessions: int,
    units: int,
    models: int | None,
    seed: int,
    worlds: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    mixtures: int | None = None,
) -> tuple[CalibrationSettings | None, ModelSettings | None]:
    """Say what of single units and what of models is asked for; None for nothing.

    Parameters
    ----------
    sessions, units, seed : as of `CalibrationSettings`.
    models : sessions of models; None for the usual number, or that of ``sessions`` where a table or a world
        of models is named; else none where names are given.
    worlds, columns : names of either. A table of models is named as a whole.
    mixtures : sessions of the mixtures of units; None for the usual number, or as many as ``sessions`` where
        names are given.

    Raises
    ------
    SettingError
        A number is out of its range, or a name unknown.
    """
    own = tuple(name for name in columns if name in model_tables() and name not in _OF_UNITS)
    of_units = tuple(name for name in columns if name not in own)
    beyond = tuple(name for name in worlds if name not in WORLDS and name in {*POPULATIONS, *MICE})
    known = tuple(name for name in worlds if name not in beyond)
    is_whole = not columns and not worlds
    of_mixtures = mixtures if mixtures is not None else WHOLE_MIXTURES if is_whole else 0
    n = models if models is not None else WHOLE_MODEL_SESSIONS if is_whole else sessions
    has_units = (not columns or bool(of_units)) and (not worlds or bool(known))
    in_models = tuple(name for name in worlds if name in {*POPULATIONS, *MICE})
    is_named = bool(own) or bool(beyond) or (models is not None and not of_units)
    has_models = n != 0 and (is_whole or is_named) and (not worlds or bool(in_models))
    return (
        CalibrationSettings(sessions, units, seed, known, of_units, of_mixtures) if has_units else None,
        ModelSettings(n, seed, in_models, own) if has_models else None,
    )


def parts_to_score(settings: Settings) -> list[Part]:
    """Return everything that is to be scored, in order."""
    return all_model_parts(settings) if isinstance(settings, ModelSettings) else all_parts(settings)


def _n_sessions(settings: Settings) -> int:
    return settings.sessions if isinstance(settings, ModelSettings) else settings.all_sessions


def _session(settings: Settings, index: int, done: frozenset[Part]) -> Iterator[tuple[Part, Scores]]:
    if isinstance(settings, ModelSettings):
        return model_parts(settings, index, done=done)
    return session_parts(settings, index, done=done)


def _scored(settings: Settings, processes: int, done: frozenset[Part]) -> Iterator[tuple[Part, Scores]]:
    if processes == 1:
        for index in range(_n_sessions(settings)):
            yield from _session(settings, index, done)
    else:
        shares = (range(number, _n_sessions(settings), processes) for number in range(processes))
        yield from collect([start(_work, settings, share, done) for share in shares if share])


def _work(settings: Settings, sessions: range, done: frozenset[Part], messages: Any, parent: int) -> None:
    with reporting_end(messages):
        for index in sessions:
            for scored in _session(settings, index, done):
                if os.getppid() != parent:
                    return
                send_to_parent(messages, scored)


def _method_versions() -> dict[str, int]:
    tables = {*(measure.table for measure in MEASURES), *model_tables()}
    versions = {
        name: getattr(module, name).method_version
        for module in _MODULES
        for name in tables
        if hasattr(module, name)
    }
    return versions | {"PublishedEncodingModel": versions["EncodingModel"]}
