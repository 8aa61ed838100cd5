"""The results of a calibration in words and tables: ``docs/calibration.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from vbn.analysis.spikes.trains import Floats
from vbn.calibration.columns import LEFT_OUT, ClaimingColumn, P
from vbn.calibration.control import EXPECTED, summarize_control
from vbn.calibration.mice import WORLDS_PER_SESSION, mice_section
from vbn.calibration.replaced import EVERY_MEASURE
from vbn.calibration.run import (
    BIAS_MS,
    FALSE_DISCOVERY,
    FALSE_POSITIVE,
    FALSE_POSITIVE_01,
    GIVEN,
    MEAN,
    POWER,
    SIGN_ERROR,
    WHOLE_MIXTURES,
    WHOLE_SESSIONS,
    WHOLE_UNITS,
    CalibrationSettings,
    Cell,
)
from vbn.calibration.worlds import MIXED_EFFECTS, MIXTURES, WORLDS

MAX_SHARE, LEVEL = 0.07, 0.05
MAX_MEAN, MAX_BIAS_MS = 0.05, 5.0
CONSERVATIVE = 0.02
_FAULTS = (FALSE_POSITIVE, FALSE_DISCOVERY, SIGN_ERROR, GIVEN, MEAN, BIAS_MS)
_NAMED = {
    FALSE_POSITIVE: "{}",
    FALSE_DISCOVERY: "FDR {}",
    SIGN_ERROR: "wrong sign {}",
    GIVEN: "given to {}",
    MEAN: "mean {}",
    BIAS_MS: "{} ms",
}
_VERDICTS = f"""\
A column *fails* in a world if a share is above {MAX_SHARE} and its interval above {LEVEL}, if the mean of an
index that should be 0 is beyond {MAX_MEAN}, or a latency is off by more than {MAX_BIAS_MS:g} ms, either with
an interval without 0. *unclear*: beyond the bound, but the interval holds the right value. *conservative*:
on average over the worlds, p <= .05 in at most {CONSERVATIVE:.0%} of the units. Of so many cells, one in
forty is beyond its interval by chance: with few sessions, a single world just beyond a bound proves nothing.
In the whole calibration, chance does not lead so far.
""".splitlines()
_MATRICES = {
    FALSE_POSITIVE: "Share with p or q <= .05, or flagged, where the claim is false",
    FALSE_POSITIVE_01: "Share with p <= .01 where the claim is false",
    FALSE_DISCOVERY: "False discoveries among all units with q <= .05, or flagged",
    POWER: "Share with p or q <= .05, or flagged, where the claim is true",
    SIGN_ERROR: "Share of units whose index has the wrong sign",
    MEAN: "Mean of indices that should be 0",
    GIVEN: "Share of units with a latency, sign or index of a response, though they have none",
    BIAS_MS: "Latency less its true value (ms)",
}
_MOST_NAMED = 4
_SIGNS = {-1: " -", 0: "", 1: " +"}
_HEAD = """\
Sessions with a known truth are simulated, and their units measured by the functions that fill the tables,
with the default parameter sets: how often does a column say what is not true?

Sessions have the release's blocks and length, changes, omissions, licks and rewards. Mice stop working
before the end, find some images easier than others, and lick to some more than to others; running and pupil
fluctuate slowly, have trends, and differ between task and replay. Units of a session share half of the
variance of slow fluctuations, so they are not independent: intervals (95 %) take sessions as clusters, and
are Wilson's where that is wider.

Each column *claims* something of a unit. In a world where the claim is false, p <= .05 may come in 5 % of
the units; where it is true, the share is the column's power. Where what is claimed goes along with what
drives the unit (the mouse stands while it drinks), it is neither, and the world is left out. `flash` is an
image that repeats the one before, `onset` a changed one, `change` more or less firing to the changed than to
the repeated, `outcome` a difference between hits and misses. Columns are named as in
[the definitions](responses.md); of the laser's, those of the highest level, after the name of the waveform.
`change_modulation_hit_less_miss` is the difference of two columns: engagement should not make one. Wrong
signs of the indices of changes are counted among units whose p is at most .05: of the rest, they are chance.
Columns named after a source follow its rule, by which some fail; no flag depends on them. What stands
under `Replaced...` is of no table: statistics of earlier method versions, or nearly so, that fail in the same
worlds, and why they were replaced. `novelty` is a different response to images because they are new: it holds
in no world.

`vbn control SESSION` does without a simulation: it rotates the spikes of a recording, of anybody's, within
each block of stimuli, and says how often the columns still find something.
""".splitlines()


def fault(cell: Cell) -> str:
    """Say whether a cell is as it should be.

    Returns
    -------
    ``fails`` if it is out of bounds beyond its interval's doubt, ``unclear`` if it is out of bounds, else an
    empty text. Bounds: a share of .07 (.05 outside the interval); a mean of .05 or a bias of 5 ms either
    way (0 outside the interval).
    """
    what, value = cell.key.what, cell.value
    if what not in _FAULTS:
        return ""
    if what in (MEAN, BIAS_MS):
        beyond, sure = abs(value) > (MAX_MEAN if what == MEAN else MAX_BIAS_MS), cell.low > 0 or cell.high < 0
    else:
        beyond, sure = value > MAX_SHARE, cell.low > LEVEL
    return ("fails" if sure else "unclear") if beyond else ""


def verdict(cells: Iterable[Cell], column: ClaimingColumn) -> str:
    """Return the verdict on one column, given all its cells."""
    of = list(cells)
    judged = [cell for cell in of if cell.key.what in _FAULTS]
    for word in ("fails", "unclear"):
        found = sorted((cell for cell in judged if fault(cell) == word), key=_size, reverse=True)
        if found:
            return f"{word} in {few_cells(found, _named)}"
    rates = [cell.value for cell in of if cell.key.what == FALSE_POSITIVE]
    if not judged:
        return "not judged"
    return "conservative" if column.kind == P and sum(rates) <= CONSERVATIVE * len(rates) else "holds"


def few_cells(cells: Sequence[Cell], named: Callable[[Cell], str]) -> str:
    """Return the first cells by name, and how many more there are."""
    more = f" and {len(cells) - _MOST_NAMED} more" if len(cells) > _MOST_NAMED else ""
    return ", ".join(map(named, cells[:_MOST_NAMED])) + more


def _size(cell: Cell) -> float:
    return abs(cell.value) / {MEAN: MAX_MEAN, BIAS_MS: MAX_BIAS_MS}.get(cell.key.what, MAX_SHARE)


def _named(cell: Cell) -> str:
    return f"{cell.key.world} ({_NAMED[cell.key.what].format(shown_value(cell))})"


def shown_value(cell: Cell) -> str:
    """Return a cell's value: a share without its leading 0, a bias in whole milliseconds with its sign."""
    if cell.key.what == BIAS_MS:
        return f"{cell.value:+.0f}"
    return plain(cell.value)


def verdicts(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Return one row per column: table, column, kind, claim, verdict, rates."""
    rows = []
    for measure in EVERY_MEASURE:
        for column in measure.columns:
            of = [cell for cell in cells if cell.key[:2] == (measure.table, column.name)]
            if of:
                rows.append(
                    {
                        "table": measure.table,
                        "column": column.name,
                        "kind": column.kind,
                        "claim": column.claim,
                        "verdict": verdict(of, column),
                        "worst at .05": _worst(of, FALSE_POSITIVE),
                        "worst at .01": _worst(of, FALSE_POSITIVE_01),
                        "worst FDR": _worst(of, FALSE_DISCOVERY),
                        "power": power_range(of),
                    }
                )
    return rows


def control_rows(
    repeats: Sequence[Mapping[tuple[str, str], Floats]], kinds: Mapping[str, str]
) -> pd.DataFrame:
    """Return one row per column of a session with rotated spikes.

    Parameters
    ----------
    repeats, kinds : as for `vbn.calibration.control.summarize_control`.
    """
    names = ("table", "column", "kind", "share", "low", "high", "should be", "verdict", "n")
    rows = []
    for cell in summarize_control(repeats, kinds):
        kind = kinds[f"{cell.key.table}.{cell.key.column}"]
        found = (kind, cell.value, cell.low, cell.high, EXPECTED[kind], fault(cell) or "holds", cell.n)
        rows.append((*cell.key[:2], *found))
    return pd.DataFrame(rows, columns=list(names))


def _of_kind(cells: Iterable[Cell], what: str) -> list[Cell]:
    return [cell for cell in cells if cell.key.what == what]


def _worst(cells: Iterable[Cell], what: str) -> str:
    found = _of_kind(cells, what)
    if not found:
        return ""
    worst = max(found, key=lambda cell: cell.value)
    return f"{shown_value(worst)} ({plain(worst.low)} to {plain(worst.high)})"


def plain(value: float) -> str:
    """Return a number with two decimals, and without a leading 0."""
    text = f"{value:.2f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and "1." not in text else text


def power_range(cells: Iterable[Cell]) -> str:
    """Return the least and the greatest power; an empty text where no claim is true."""
    found = sorted(_of_kind(cells, POWER), key=lambda cell: cell.value)
    return (
        "" if not found else " to ".join(dict.fromkeys(shown_value(cell) for cell in (found[0], found[-1])))
    )


def as_page(
    cells: Sequence[Cell], settings: CalibrationSettings, models: Iterable[str] = (), model_sessions: int = 0
) -> str:
    """Return the page.

    Parameters
    ----------
    cells, settings : of single units.
    models : lines of the section on models (`vbn.calibration.models.report.model_section`).
    model_sessions : sessions that this is of, 0 for none.
    """
    of_mice = mice_section(WORLDS_PER_SESSION * settings.sessions, settings.seed)
    head = _head(settings, model_sessions)
    return "\n".join([*head, *_verdict_tables(cells), *models, *of_mice, *_matrices(cells), *_world_table()])


def _head(settings: CalibrationSettings, model_sessions: int) -> Iterator[str]:
    yield "# Calibration"
    yield ""
    options = [
        f"--sessions {settings.sessions}",
        *([f"--mixtures {settings.mixtures}"] if settings.mixtures else []),
        f"--units {settings.units}",
        f"--models {model_sessions} --seed {settings.seed}",
        *(f"--world {name}" for name in settings.worlds),
        *(f"--column {name}" for name in settings.columns),
    ]
    yield f"Made by `vbn calibrate {' '.join(options)} --write docs/calibration.md`:"
    yield f"{settings.sessions} sessions with {settings.units} units in each world. The whole one is"
    yield f"`vbn calibrate --write docs/calibration.md`: {WHOLE_SESSIONS} sessions with {WHOLE_UNITS} units."
    yield f"The mixtures have {max(settings.sessions, settings.mixtures)} sessions (in the whole one,"
    yield f"{WHOLE_MIXTURES}): each has one proportion of false discoveries only, mostly of five to ten."
    if model_sessions:
        yield f"[Models and populations](#models-and-populations) have {model_sessions} sessions."
    yield ""
    yield from _HEAD
    yield ""


def _verdict_tables(cells: Sequence[Cell]) -> Iterator[str]:
    rows = verdicts(cells)
    yield "## Verdicts"
    yield ""
    yield from _VERDICTS
    yield ""
    names = ("claim", "verdict", "worst at .05", "worst at .01", "worst FDR", "power")
    for table in dict.fromkeys(row["table"] for row in rows):
        yield f"### {table}"
        yield ""
        yield f"| column | {' | '.join(names)} |"
        yield "|---" * (len(names) + 1) + "|"
        for row in rows:
            if row["table"] == table:
                yield f"| `{row['column']}` | {' | '.join(row[name] for name in names)} |"
        yield ""
    yield "Not tested:"
    yield ""
    yield from (f"- `{name}`: {reason}" for name, reason in LEFT_OUT.items())
    yield ""


def _matrices(cells: Sequence[Cell]) -> Iterator[str]:
    yield "## Every world"
    yield ""
    yield "What fails is bold, what is unclear in italics."
    yield ""
    for what, title in _MATRICES.items():
        for table in dict.fromkeys(cell.key.table for cell in _of_kind(cells, what)):
            chosen = [cell for cell in _of_kind(cells, what) if cell.key.table == table]
            yield f"**{table}.** {title}:"
            yield ""
            yield from _matrix(chosen)
            yield ""


def _matrix(cells: Sequence[Cell]) -> Iterator[str]:
    columns = dict.fromkeys(cell.key.column for cell in cells)
    found = {(cell.key.world, cell.key.column): cell for cell in cells}
    yield "| world | " + " | ".join(f"`{name}`" for name in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for world in dict.fromkeys(cell.key.world for cell in cells):
        yield f"| {world} | " + " | ".join(_marked(found.get((world, name))) for name in columns) + " |"


def _marked(cell: Cell | None) -> str:
    if cell is None:
        return ""
    mark = {"fails": "**", "unclear": "*"}.get(fault(cell), "")
    return f"{mark}{shown_value(cell)}{mark}"


def _world_table() -> Iterator[str]:
    yield "## The worlds"
    yield ""
    yield "True: the claims that hold, with the sign of the effect. Rates are 1 to 20 Hz (log-uniform),"
    yield "trains Poisson where nothing else is said, and responses last from 50 to 250 ms."
    yield ""
    yield "| world | units | true | neither |"
    yield "|---|---|---|---|"
    for name, world in WORLDS.items():
        true = ", ".join(f"{claim}{_SIGNS[sign]}" for claim, sign in world.effects.items())
        yield f"| {name} | {world.about} | {true} | {', '.join(sorted(world.entangled))} |"
    for name, nulls in MIXTURES.items():
        yield f"| {name} | twice as many: half {', '.join(nulls)}; half {', '.join(MIXED_EFFECTS)} | | |"
    yield ""
