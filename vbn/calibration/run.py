"""Simulate, measure, compare with the truth, session by session.

Every result is a *score*: a sum over units and the number of units (for false discoveries: a proportion and
one) of one session. Over sessions they add up to a rate or a mean.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vbn.analysis.spikes.trains import Booleans, Floats
from vbn.calibration.columns import (
    FLAG,
    INDEX,
    LATENCY,
    SIGN,
    SIZE,
    ClaimingColumn,
    Measure,
    P,
    Q,
    as_spikes,
)
from vbn.calibration.events import SimulatedEvents, simulate_events
from vbn.calibration.replaced import EVERY_MEASURE
from vbn.calibration.worlds import MIXTURES, WORLDS, World, mixed
from vbn.errors import SettingError, quoted
from vbn.nearest import nearest
from vbn.threads import in_one_thread

WHOLE_SESSIONS, WHOLE_UNITS, WHOLE_MIXTURES = 40, 50, 200
FALSE_POSITIVE, FALSE_POSITIVE_01, FALSE_DISCOVERY = "false_positive", "false_positive_01", "fdr"
POWER, MEAN, SIGN_ERROR, GIVEN, BIAS_MS = "power", "mean", "sign_error", "given", "bias_ms"
FALSE_PAIRS = "false_pairs"
SHARES = (FALSE_POSITIVE, FALSE_POSITIVE_01, FALSE_DISCOVERY, POWER, SIGN_ERROR, GIVEN, FALSE_PAIRS)
_LEVEL, _STRICT_LEVEL = 0.05, 0.01
_SPIKES = 40


class CellKey(NamedTuple):
    """A column in a world, and what was asked of it."""

    table: str
    column: str
    world: str
    what: str


class Score(NamedTuple):
    """What one session contributes to a cell: the cell's value is the sum of sums over the sum of n."""

    total: float
    n: float


class Part(NamedTuple):
    """What is scored at once: one table in one world of one session."""

    session: int
    world: str
    table: str


Scores = dict[CellKey, Score]


@dataclass(frozen=True)
class Cell:
    """A cell over all sessions; ``low`` and ``high`` are its 95 % interval, ``n`` its units or sessions."""

    key: CellKey
    value: float
    low: float
    high: float
    n: int
    sessions: int


@dataclass(frozen=True)
class CalibrationSettings:
    """What to simulate and to measure.

    Parameters
    ----------
    sessions, units : number of sessions, and of units per session and world.
    seed : equal settings with equal seeds give equal results.
    worlds : names of `WORLDS` and `MIXTURES`; all if empty.
    columns : ``Table``, ``Table.column`` or ``column``; all if empty.
    mixtures : sessions of the mixtures, where they are more than ``sessions``: a session has one proportion
        of false discoveries, of few, and 50 units to count in every other world.

    Raises
    ------
    SettingError
        A number is out of its range, or a name unknown.
    """

    sessions: int = WHOLE_SESSIONS
    units: int = WHOLE_UNITS
    seed: int = 0
    worlds: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    mixtures: int = 0

    def __post_init__(self) -> None:
        if self.sessions < 2 or self.units < 1 or self.seed < 0 or self.mixtures < 0:
            raise SettingError(
                "A calibration needs 2 sessions or more, 1 unit or more and a seed of 0 or more, got "
                f"{self.sessions}, {self.units} and {self.seed}, and of mixtures 0 sessions or more, got "
                f"{self.mixtures}."
            )
        _check_known("world", self.worlds, [*WORLDS, *MIXTURES])
        known = {name for of in EVERY_MEASURE for column in of.columns for name in _names(of, column)}
        _check_known("column", self.columns, sorted(known))

    @property
    def chosen_worlds(self) -> tuple[str, ...]:
        """Names of the worlds to simulate."""
        return self.worlds or (*WORLDS, *MIXTURES)

    @property
    def all_sessions(self) -> int:
        """Number of sessions, those with mixtures only included."""
        has_mixtures = any(name in MIXTURES for name in self.chosen_worlds)
        return max(self.sessions, self.mixtures if has_mixtures else 0)

    def wanted(
        self, index: int, measures: Sequence[Measure] = EVERY_MEASURE
    ) -> dict[str, dict[Part, Measure]]:
        """Return what is to be scored of one session, by world; of mixtures, what is adjusted over units."""
        chosen = self.chosen_measures(measures)
        adjusted = [of for of in chosen if any(column.kind in (Q, FLAG) for column in of.columns)]
        return {
            name: {Part(index, name, of.table): of for of in (adjusted if name in MIXTURES else chosen)}
            for name in self.chosen_worlds
            if name in MIXTURES or index < self.sessions
        }

    def chosen_measures(self, measures: Sequence[Measure] = EVERY_MEASURE) -> list[Measure]:
        """Return the measures with the chosen columns only."""
        if not self.columns:
            return list(measures)
        chosen = [
            replace(of, columns=tuple(c for c in of.columns if {*_names(of, c)} & {*self.columns}))
            for of in measures
        ]
        return [of for of in chosen if of.columns]


def _names(measure: Measure, column: ClaimingColumn) -> tuple[str, ...]:
    return measure.table, f"{measure.table}.{column.name}", column.name


def _check_known(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingError(f"There is no {what} {quoted(unknown[0])}.{nearest(unknown[0], known)}")


def session_parts(
    settings: CalibrationSettings,
    index: int,
    measures: Sequence[Measure] = EVERY_MEASURE,
    done: Container[Part] = (),
) -> Iterator[tuple[Part, Scores]]:
    """Simulate one session in all worlds, and score all columns; yield the scores of each world and table.

    Parameters
    ----------
    settings : what to simulate.
    index : number of the session.
    measures : functions to put to the test.
    done : what to leave out.
    """
    events: dict[float, SimulatedEvents] = {}
    for name, parts in settings.wanted(index, measures).items():
        wanted = {part: measure for part, measure in parts.items() if part not in done}
        if not wanted:
            continue
        of_units = mixed(name, 2 * settings.units) if name in MIXTURES else [name] * settings.units
        minutes = WORLDS[of_units[0]].minutes
        if minutes not in events:
            events[minutes] = simulate_events(settings.seed, index, minutes)
        spikes = as_spikes(draw_trains(settings.seed, name, of_units, events[minutes]))
        for part, measure in wanted.items():
            table = in_one_thread(measure.function)(spikes, events[minutes], settings.seed + index)
            yield part, _table_scores(measure, table, name, of_units)


def all_parts(settings: CalibrationSettings) -> list[Part]:
    """Return everything that a calibration consists of, in the order in which it is scored."""
    return [
        part
        for index in range(settings.all_sessions)
        for parts in settings.wanted(index).values()
        for part in parts
    ]


def session_scores(
    settings: CalibrationSettings, index: int, measures: Sequence[Measure] = EVERY_MEASURE
) -> Scores:
    """Return all scores of one session; see `session_parts`."""
    return {
        key: score for _, scores in session_parts(settings, index, measures) for key, score in scores.items()
    }


def _table_scores(measure: Measure, table: pd.DataFrame, name: str, of_units: Sequence[str]) -> Scores:
    """Score the columns of one table in one world or mixture, given the world of each unit."""
    worlds = [WORLDS[world] for world in of_units]
    scores: Scores = {}
    for column in measure.columns:
        values = _numbers(table[column.name])
        if column.tested_by and name not in MIXTURES and worlds[0].holds(column.claim):
            values = np.where(_numbers(table[column.tested_by]) <= _LEVEL, values, np.nan)
        found = (
            _discoveries(column, worlds, values)
            if name in MIXTURES
            else score_column(column, worlds[0], values)
        )
        scores |= {CellKey(measure.table, column.name, name, what): score for what, score in found.items()}
    return scores


def _numbers(values: pd.Series[Any]) -> Floats:
    return np.asarray(values.astype("Float64").to_numpy(np.float64, na_value=np.nan), dtype=np.float64)


def draw_trains(seed: int, name: str, of_units: Sequence[str], events: SimulatedEvents) -> list[Floats]:
    """Draw one train for each unit, in the world that is named for it; ``name`` enters the seed."""
    return [
        WORLDS[world].draw(
            np.random.default_rng([seed, events.index, _SPIKES, zlib.crc32(name.encode()), unit]), events
        )
        for unit, world in enumerate(of_units)
    ]


def called(column: ClaimingColumn, values: Floats, level: float = _LEVEL) -> Booleans:
    """Return where a column says that there is an effect, (n_units,)."""
    return values == 1 if column.kind == FLAG else values <= level


def score_column(column: ClaimingColumn, world: World, values: Floats) -> dict[str, Score]:
    """Compare one column of one session with the truth of a world.

    Parameters
    ----------
    column : its kind says what is asked.
    world : of all units.
    values : (n_units,), NaN where nothing was measured; those units are left out, but counted where there
        should be no value.

    Returns
    -------
    Scores by what was asked; empty where the claim is neither true nor false, or nothing was measured.
    """
    truth = world.holds(column.claim)
    known = values[~np.isnan(values)]
    if truth is None or not values.size:
        return {}
    needed = [world.holds(claim) for claim in column.needs]
    if needed and not any(needed):
        return {} if None in needed else {GIVEN: Score(known.size, values.size)}
    if not known.size:
        return {}
    if column.kind == LATENCY:
        return _latency_scores(world, known)
    if column.kind in (INDEX, SIZE, SIGN):
        sign = 0 if column.kind == SIZE else world.effects.get(column.claim, 0)
        if not truth:
            return {MEAN: Score(float(known.sum()), known.size)}
        return {SIGN_ERROR: _share(np.sign(known) == -sign)} if sign else {}
    if truth:
        return {POWER: _share(called(column, known))}
    scores = {FALSE_POSITIVE: _share(called(column, known))}
    if column.kind == P:
        scores[FALSE_POSITIVE_01] = _share(called(column, known, _STRICT_LEVEL))
    return scores


def _share(chosen: Booleans) -> Score:
    return Score(float(np.count_nonzero(chosen)), chosen.size)


def _latency_scores(world: World, known: Floats) -> dict[str, Score]:
    if world.latency_s is None:
        return {}
    return {BIAS_MS: Score(float(1000 * (known - world.latency_s).sum()), known.size)}


def _discoveries(column: ClaimingColumn, worlds: Sequence[World], values: Floats) -> dict[str, Score]:
    """Return the proportion of false discoveries among all, of columns adjusted over units."""
    if column.kind not in (Q, FLAG):
        return {}
    yes = called(column, values)
    truths = [world.holds(column.claim) for world, is_called in zip(worlds, yes, strict=True) if is_called]
    n_false, n_true = truths.count(False), truths.count(True)
    return {FALSE_DISCOVERY: Score(n_false / max(n_false + n_true, 1), 1)}


def summarize(sessions: Sequence[Mapping[CellKey, Score]]) -> list[Cell]:
    """Add up the sessions' scores.

    Parameters
    ----------
    sessions : of `session_scores`.

    Returns
    -------
    One cell per key, in the order in which they were scored.
    """
    keys = dict.fromkeys(key for scores in sessions for key in scores)
    return [_cell(key, [scores[key] for scores in sessions if key in scores]) for key in keys]


def _cell(key: CellKey, scores: Sequence[Score]) -> Cell:
    totals, sizes = np.array(scores, dtype=np.float64).T
    low, high = interval(totals, sizes, is_share=key.what in SHARES)
    return Cell(key, float(totals.sum() / sizes.sum()), low, high, int(sizes.sum()), len(scores))


def interval(totals: Floats, sizes: Floats, *, is_share: bool) -> tuple[float, float]:
    """Return the 95 % interval of a ratio of sums over sessions.

    Parameters
    ----------
    totals, sizes : (n_sessions,) each.
    is_share : whether the ratio is a share of units.

    Returns
    -------
    Infinite for one session, but for shares.

    Notes
    -----
    Linearised ratio estimator with sessions as clusters, since units of a session share their events and
    fluctuations, and Student's t of one degree of freedom less than sessions. For shares it is widened to
    Wilson's interval where that is wider: sessions that all have none would have an interval of no width.
    """
    from scipy.special import stdtrit

    ratio, n, n_sessions = totals.sum() / sizes.sum(), sizes.sum(), totals.size
    half = np.inf
    if n_sessions > 1:
        variance = ((totals - ratio * sizes) ** 2).sum() * n_sessions / (n_sessions - 1)
        half = stdtrit(n_sessions - 1, 0.975) * np.sqrt(variance) / n
    low, high = ratio - half, ratio + half
    if is_share:
        z = 1.96
        centre = (ratio + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(ratio * (1 - ratio) / n + z**2 / (4 * n**2))
        low, high = max(0.0, min(low, centre - half)), min(1.0, max(high, centre + half))
    return float(low), float(high)
