"""Measure the populations of simulated sessions, and compare with what is true of them.

Scores are those of `vbn.calibration.run`, so that they are kept and added up in the same way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.calibration.models.columns import DEVIATION, FLAG, LATENCY, PAIRS, SHARE, SHOWN, ModelColumn, P
from vbn.calibration.models.measures import MODEL_MEASURES, ModelMeasure
from vbn.calibration.models.mice import MICE
from vbn.calibration.models.session import ModelSession
from vbn.calibration.models.worlds import POPULATIONS
from vbn.calibration.run import (
    FALSE_PAIRS,
    FALSE_POSITIVE,
    FALSE_POSITIVE_01,
    GIVEN,
    MEAN,
    POWER,
    CellKey,
    Part,
    Score,
    Scores,
)
from vbn.errors import SettingError, quoted
from vbn.nearest import nearest
from vbn.threads import in_one_thread

WHOLE_MODEL_SESSIONS = 40
ONE_IN: Mapping[str, int] = {
    "EncodingModel": 4,
    "PublishedEncodingModel": 4,
    "EncodingNull": 4,
    "FunctionalConnectivity": 4,
    "ReplacedFunctionalConnectivity": 4,
    "StrategyModel": 4,
}
"""Table -> one in so many sessions is used, since it is dearer."""
_LEVEL, _STRICT_LEVEL = 0.05, 0.01
_OTHER = " (other pairs)"
"""Of a world with synapses: the pairs that have none."""


@dataclass(frozen=True)
class ModelSettings:
    """What to simulate and to measure.

    Parameters
    ----------
    sessions : number of sessions; 0 for none.
    seed : equal settings with equal seeds give equal results.
    worlds : of `POPULATIONS` and `MICE`; all if empty.
    tables : names of tables; all if empty.

    Raises
    ------
    SettingError
        If there is one session only, or a name is unknown.
    """

    sessions: int = WHOLE_MODEL_SESSIONS
    seed: int = 0
    worlds: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sessions < 0 or self.sessions == 1 or self.seed < 0:
            raise SettingError(
                "Models are calibrated with no sessions, or 2 or more, and a seed of 0 or more, got "
                f"{self.sessions} and {self.seed}."
            )
        for what, names, known in (
            ("world of models", self.worlds, [*POPULATIONS, *MICE]),
            ("table of models", self.tables, model_tables()),
        ):
            if unknown := [name for name in names if name not in known]:
                raise SettingError(f"There is no {what} {quoted(unknown[0])}.{nearest(unknown[0], known)}")

    def chosen(self, measures: Sequence[ModelMeasure] = MODEL_MEASURES) -> list[ModelMeasure]:
        """Return the measures of the chosen tables, in the chosen worlds."""
        of = [each for each in measures if not self.tables or each.table in self.tables]
        if self.worlds:
            of = [replace(each, worlds=tuple(w for w in each.worlds if w in self.worlds)) for each in of]
        return [each for each in of if each.worlds]


def model_tables() -> list[str]:
    """Return the names of the tables."""
    return [measure.table for measure in MODEL_MEASURES]


def all_model_parts(settings: ModelSettings, measures: Sequence[ModelMeasure] = MODEL_MEASURES) -> list[Part]:
    """Return everything that is to be scored, in order."""
    return [
        Part(index, world, measure.table)
        for index in range(settings.sessions)
        for measure in settings.chosen(measures)
        if is_used(measure.table, index)
        for world in measure.worlds
    ]


def is_used(table: str, index: int) -> bool:
    """Return whether a session is one of those that a table is put to the test in.

    Those of two processes that take every other session are as many.
    """
    return (index + index // 2) % ONE_IN.get(table, 1) == 0


def model_parts(
    settings: ModelSettings,
    index: int,
    measures: Sequence[ModelMeasure] = MODEL_MEASURES,
    done: Container[Part] = (),
) -> Iterator[tuple[Part, Scores]]:
    """Simulate one session, and score all tables of models; yield the scores of each table and world.

    Parameters
    ----------
    settings : what to simulate.
    index : number of the session.
    measures : functions to put to the test.
    done : what to leave out.
    """
    session = ModelSession(settings.seed, index)
    for measure in settings.chosen(measures):
        worlds = [world for world in measure.worlds if Part(index, world, measure.table) not in done]
        if not worlds or not is_used(measure.table, index):
            continue
        found = in_one_thread(measure.function)(session, worlds)
        for world in worlds:
            yield Part(index, world, measure.table), _scores(measure, world, found)


def _scores(measure: ModelMeasure, world: str, found: Mapping[tuple[str, str], Floats]) -> Scores:
    scores: Scores = {}
    for column in measure.columns:
        values = found.get((column.name, world), np.empty(0))
        for what, score in score_model_column(column, holds(world, column.claims), values).items():
            scores[CellKey(measure.table, column.name, world, what)] = score
        others = found.get((column.name, f"{world}{_OTHER}"), np.empty(0))
        for what, score in score_model_column(column, False, others).items():
            scores[CellKey(measure.table, column.name, world, what)] = score
    return scores


def holds(world: str, claims: Iterable[str]) -> bool | None:
    """Return whether one of the claims is true of a world; None if it is neither true nor false."""
    of = MICE[world] if world in MICE else POPULATIONS[world]
    return of.holds(tuple(claims))


def score_model_column(column: ModelColumn, truth: bool | None, values: Floats) -> dict[str, Score]:
    """Compare one column of one session with the truth of a world.

    Parameters
    ----------
    column : its kind says what is asked.
    truth : whether its claim holds; None if it is neither true nor false.
    values : of units, populations, pairs or mice; NaN where nothing was measured.

    Returns
    -------
    Scores by what was asked.
    """
    known = values[~np.isnan(values)]
    if truth is None or not values.size:
        return {}
    if column.kind == LATENCY and not truth:
        return {GIVEN: Score(known.size, values.size)}
    if not known.size:
        return {}
    if column.kind in (DEVIATION, SHOWN):
        return {} if truth else {MEAN: Score(float(known.sum()), known.size)}
    if column.kind == LATENCY:
        return {POWER: Score(known.size, values.size)}
    if truth:
        return {POWER: _share(says_there_is(column, known))}
    if column.kind == PAIRS:
        return {FALSE_PAIRS: _share(known == 1)}
    if column.kind == SHARE:
        return {FALSE_POSITIVE: Score(float(known.sum()), known.size)}
    scores = {FALSE_POSITIVE: _share(says_there_is(column, known))}
    if column.kind == P:
        scores[FALSE_POSITIVE_01] = _share(says_there_is(column, known, _STRICT_LEVEL))
    return scores


def says_there_is(column: ModelColumn, values: Floats, level: float = _LEVEL) -> Booleans:
    """Return where a column says that there is something."""
    return values == 1 if column.kind in (FLAG, PAIRS) else values <= level


def _share(chosen: Booleans) -> Score:
    return Score(float(np.count_nonzero(chosen)), chosen.size)
