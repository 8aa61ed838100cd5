"""The section of the page on models and populations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vbn.calibration.models.columns import (
    DEFAULT,
    LEFT_OUT,
    MOST_PAIRS,
    PAIRS,
    SHOWN,
    ModelColumn,
    P,
)
from vbn.calibration.models.measures import MODEL_MEASURES, ModelMeasure
from vbn.calibration.models.mice import MICE
from vbn.calibration.models.run import ModelSettings
from vbn.calibration.models.session import UNITS
from vbn.calibration.models.worlds import POPULATIONS
from vbn.calibration.report import CONSERVATIVE, LEVEL, MAX_SHARE, few_cells, plain, power_range
from vbn.calibration.run import (
    FALSE_PAIRS,
    FALSE_POSITIVE,
    FALSE_POSITIVE_01,
    GIVEN,
    MEAN,
    POWER,
    Cell,
)

MODELS_TITLE = "## Models and populations"
_JUDGED = (FALSE_POSITIVE, GIVEN, MEAN, FALSE_PAIRS)
_MATRICES = {
    FALSE_POSITIVE: "share with p <= .05, or flagged, where the claim is false",
    FALSE_POSITIVE_01: "share with p <= .01 where the claim is false",
    POWER: "share with p <= .05, flagged or given, where the claim is true",
    MEAN: "mean of the deviation from what is true",
    GIVEN: "share with a value where there should be none",
    FALSE_PAIRS: "share of tested pairs without a synapse that have a peak (percent)",
}
_HEAD = """\
The tables of models and populations, by their own functions and default parameter sets, in the sessions of
the worlds above and of further ones that are made for them (below). What is measured once for a unit, a
population of 20, a pair or a mouse is counted as such; intervals (95 %) have sessions as clusters. Means of
deviations are judged by a bound of their own. *fails*, *unclear* and *conservative* are as
above; of pairs without a synapse, at most one in a thousand may have a peak. *Published* columns follow a
source, and feed no flag; what stands under `Replaced...` is of no table: random folds with labels permuted
freely, rank sums over hits and misses, correlograms without jitter. Power is what is found where the claim is
true, in worlds whose effects are small as well as great.
""".splitlines()


_FAILURES = """\
What is not as it should be, and why. Slow fluctuations that the units of a session share (600 s) stay in
`signal_correlation` and, like units that are lost, make `signal_participation_ratio` be given: runs of an
image that are compared lie near each other in time. Compare their means over sessions, and take neither for
tuning. `glm_p_...` of single kernels are no tests where something else drives the unit: the shift takes
that away as well. `glm_task_change` is too great in units that are locked to single licks, which follow
hits and have no kernel of their own. `trial_free_p` takes drift and lost units for what tells hits from
misses, as it is usual; `trial_circular_p` does so where rates drift in one direction, as hits do:
`decoding_p (hit)` is the test. Worlds in which `decoding_p` is *unclear* rest on two populations a session:
see the mean over worlds.
""".splitlines()


def model_fault(cell: Cell, column: ModelColumn) -> str:
    """Say whether a cell is as it should be: ``fails``, ``unclear`` or an empty text."""
    what, value = cell.key.what, cell.value
    if what not in _JUDGED or column.kind == SHOWN:
        return ""
    if what == MEAN:
        beyond, sure = abs(value) > column.most, cell.low > 0 or cell.high < 0
    elif what == FALSE_PAIRS:
        beyond, sure = value > MOST_PAIRS, cell.low > MOST_PAIRS
    else:
        beyond, sure = value > MAX_SHARE, cell.low > LEVEL
    return ("fails" if sure else "unclear") if beyond else ""


def model_verdict(cells: Sequence[Cell], column: ModelColumn) -> str:
    """Return the verdict on one column, given all its cells."""
    judged = [cell for cell in cells if cell.key.what in _JUDGED and column.kind != SHOWN]
    for word in ("fails", "unclear"):
        found = sorted(
            (cell for cell in judged if model_fault(cell, column) == word), key=lambda c: -abs(c.value)
        )
        if found:
            return f"{word} in {few_cells(found, lambda cell: f'{cell.key.world} ({model_value(cell)})')}"
    if not judged:
        return "not judged"
    rates = [cell.value for cell in judged if cell.key.what == FALSE_POSITIVE]
    is_rare = column.kind == P and bool(rates) and sum(rates) <= CONSERVATIVE * len(rates)
    return "conservative" if is_rare else "holds"


def model_value(cell: Cell) -> str:
    """Return a cell's value: pairs in percent, small deviations with three decimals."""
    if cell.key.what == FALSE_PAIRS:
        return f"{100 * cell.value:.2f} %"
    if cell.key.what == MEAN:
        return f"{cell.value:+.3f}".replace("+0.", "+.").replace("-0.", "-.")
    return plain(cell.value)


def model_verdicts(
    cells: Sequence[Cell], measures: Sequence[ModelMeasure] = MODEL_MEASURES
) -> list[dict[str, str]]:
    """Return one row per column: table, column, kind, claim, verdict, rates."""
    rows = []
    for measure in measures:
        for column in measure.columns:
            of = [cell for cell in cells if cell.key[:2] == (measure.table, column.name)]
            if of:
                rows.append(
                    {
                        "table": measure.table,
                        "column": column.name,
                        "kind": column.kind,
                        "claim": column.says,
                        "verdict": model_verdict(of, column),
                        "worst at .05": _worst(of, FALSE_POSITIVE) or _worst(of, FALSE_PAIRS),
                        "worst at .01": _worst(of, FALSE_POSITIVE_01),
                        "worst FDR": "",
                        "power": power_range(of),
                        "mean at .05": _mean(of),
                        "status": column.status,
                    }
                )
    return rows


def _worst(cells: Iterable[Cell], what: str) -> str:
    found = [cell for cell in cells if cell.key.what == what]
    if not found:
        return ""
    worst = max(found, key=lambda cell: cell.value)
    if what == FALSE_PAIRS:
        return f"{100 * worst.value:.2f} % ({100 * worst.low:.2f} to {100 * worst.high:.2f})"
    return f"{plain(worst.value)} ({plain(worst.low)} to {plain(worst.high)})"


def _mean(cells: Iterable[Cell]) -> str:
    """Return the share over all worlds in which the claim is false."""
    found = [cell for cell in cells if cell.key.what == FALSE_POSITIVE]
    n = sum(cell.n for cell in found)
    return plain(sum(cell.value * cell.n for cell in found) / n) if n else ""


def model_section(cells: Sequence[Cell], settings: ModelSettings) -> Iterator[str]:
    """Yield the lines of the section."""
    yield MODELS_TITLE
    yield ""
    yield f"{settings.sessions} sessions, of which dearer tables have some; {UNITS} units in each world where"
    yield "nothing else is said (decoding: two populations of 20; pairs: 780)."
    yield ""
    yield from _HEAD
    yield ""
    yield from _FAILURES
    yield ""
    rows = model_verdicts(cells)
    names = ("claim", "status", "verdict", "mean at .05", "worst at .05", "worst at .01", "power")
    for table in dict.fromkeys(row["table"] for row in rows):
        yield f"### {table}"
        yield ""
        yield f"{_size(cells, table)}:"
        yield ""
        yield f"| column | {' | '.join(names)} |"
        yield "|---" * (len(names) + 1) + "|"
        for row in rows:
            if row["table"] == table:
                status = "" if row["status"] == DEFAULT else row["status"]
                yield (
                    f"| `{row['column']}` | "
                    + " | ".join(status if name == "status" else row[name] for name in names)
                    + " |"
                )
        yield ""
    yield "Not tested:"
    yield ""
    yield from (f"- `{name}`: {reason}" for name, reason in LEFT_OUT.items())
    yield ""
    yield "### Every world of the models"
    yield ""
    yield from _matrices(cells)
    yield from _worlds()


def _size(cells: Sequence[Cell], table: str) -> str:
    """Return how many sessions a table was tested in, and units of each world."""
    measure = next(each for each in MODEL_MEASURES if each.table == table)
    n = max(cell.sessions for cell in cells if cell.key.table == table)
    return f"{n} sessions, {measure.n_units} units" if measure.n_units else f"{n} sessions, one mouse"


def _matrices(cells: Sequence[Cell]) -> Iterator[str]:
    columns = {(of.table, column.name): column for of in MODEL_MEASURES for column in of.columns}
    for measure in MODEL_MEASURES:
        for what, title in _MATRICES.items():
            chosen = [cell for cell in cells if cell.key.table == measure.table and cell.key.what == what]
            if not chosen:
                continue
            names = dict.fromkeys(cell.key.column for cell in chosen)
            found = {(cell.key.world, cell.key.column): cell for cell in chosen}
            yield f"**{measure.table}.** {title.capitalize()}:"
            yield ""
            yield "| world | " + " | ".join(f"`{name}`" for name in names) + " |"
            yield "|---" * (len(names) + 1) + "|"
            for world in dict.fromkeys(cell.key.world for cell in chosen):
                marked = [_marked(found.get((world, name)), columns[measure.table, name]) for name in names]
                yield f"| {world} | {' | '.join(marked)} |"
            yield ""


def _marked(cell: Cell | None, column: ModelColumn) -> str:
    if cell is None:
        return ""
    mark = {"fails": "**", "unclear": "*"}.get(model_fault(cell, column), "")
    text = model_value(cell).removesuffix(" %") if column.kind == PAIRS else model_value(cell)
    return f"{mark}{text}{mark}"


def _worlds() -> Iterator[str]:
    yield "### Worlds of models"
    yield ""
    yield "Further claims that hold, and those that are neither true nor false; of worlds that stand below,"
    yield "those of the units are there."
    yield ""
    yield "| world | what | true | neither |"
    yield "|---|---|---|---|"
    for name, world in POPULATIONS.items():
        yield f"| {name} | {world.about} | {_listed(world.effects)} | {_listed(world.entangled)} |"
    for name, mouse in MICE.items():
        yield f"| {name} | {mouse.about} | {_listed(mouse.effects)} | |"
    yield ""


def _listed(claims: Iterable[str]) -> str:
    return ", ".join(sorted(claims))
