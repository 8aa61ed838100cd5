"""What the page of units shows: a page of rows, the numbers of units by facet, the values of a column."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from populate.page.unit_question import FACETS, ROWS_PER_PAGE, UnitQuestion
from schemas import ecephys, queries, selection
from schemas.queries.layers import layer_names
from schemas.queries.unit_table import n_passing
from schemas.queries.words import our_names

MOST_CHOICES = 200
"""Values of a text column that are listed, the most frequent ones."""


@dataclass(frozen=True)
class UnitColumn:
    """A column of units.

    Attributes
    ----------
    name, table, unit, kind, meaning : as in `queries.columns`.
    """

    name: str
    table: str = "units"
    unit: str = ""
    kind: str = "text"
    meaning: str = ""

    @property
    def described(self) -> str:
        """Return unit and meaning in a line."""
        unit = f" ({self.unit})" if self.unit not in ("", "1") else ""
        return f"{self.name}{unit}: {self.meaning}"


def shown(column: UnitColumn, value: Any) -> str:
    """Return a value as a reader sees it: four digits of numbers that are no integers; empty if missing."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if value is None or value is pd.NA or pd.isna(value):
        return ""
    if column.kind == "flag":
        return "yes" if value else "no"
    if column.kind == "number":
        return f"{value:.4g}" if isinstance(value, float) and not value.is_integer() else str(int(value))
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "strftime") else str(value)


@dataclass(frozen=True)
class Choice:
    """A value of a facet or a column, how many units have it, and whether it is chosen."""

    value: str
    n_units: int
    is_chosen: bool = False


@dataclass(frozen=True)
class UnitNumbers:
    """Numbers of units.

    Attributes
    ----------
    n_units : of all that meet the question.
    n_before : of those that meet all but its facets.
    facets : choices by name of the facet, the most frequent first; the numbers are of the units that meet
        all else.
    missing : by name of the facet, number of units without a value.
    """

    n_units: int
    n_before: int
    facets: dict[str, list[Choice]]
    missing: dict[str, int]


@cache
def known_columns() -> dict[str, UnitColumn]:
    """Return the columns that units can be asked by."""
    rows = queries.columns().itertuples(index=False)
    return {str(row.column): UnitColumn(*map(str, row)) for row in rows}


def rows(question: UnitQuestion) -> tuple[pd.DataFrame, list[str]]:
    """Return a page of rows, with what the answer lacks, in words."""
    with warnings.catch_warnings(record=True) as caught:
        for category in (queries.IncompleteWarning, queries.EarlierMethodWarning):
            warnings.simplefilter("always", category)
        frame = queries.unit_table(
            question.units(),
            question.columns,
            sort=question.sort,
            limit=ROWS_PER_PAGE,
            offset=ROWS_PER_PAGE * (question.page - 1),
            **question.methods(),
        )
    return frame, list(dict.fromkeys(str(each.message) for each in caught))


def combinations(question: UnitQuestion) -> pd.DataFrame:
    """Return how many units there are for each combination of facets and quality filters.

    None of these may be chosen. ``layer`` is left out where there is not one atlas.
    """
    has_layers = question.atlas or len(ecephys.AtlasParams.names()) == 1
    by = [column for name, (_argument, column) in FACETS.items() if name != "layer" or has_layers]
    passing = selection.UnitCriteria.names()
    return queries.count_units(question.units(), by, passing=passing, **question.methods())


def counts(table: pd.DataFrame, question: UnitQuestion) -> UnitNumbers:
    """Return how many units meet a question, and how many more each choice of a facet would give.

    Parameters
    ----------
    table : the `combinations` of the question without its facets and filter, which select here.
    question : the question.
    """
    names = [name for name, (_argument, column) in FACETS.items() if column in table]
    number = _number(question.criteria)
    numbers = {
        name: table[_matching(table, question, names, name)]
        .groupby(FACETS[name][1], dropna=False)[number]
        .sum()
        for name in names
    }
    counted = {name: each[each > 0] for name, each in numbers.items()}
    return UnitNumbers(
        n_units=int(table.loc[_matching(table, question, names), number].sum()),
        n_before=int(table[number].sum()),
        facets={name: choices_among(each, question.selected.get(name, ())) for name, each in counted.items()},
        missing={name: int(each[each.index.isna()].sum()) for name, each in counted.items()},
    )


def _number(criteria: str) -> str:
    """Return the column of `combinations` that counts the units that pass a quality filter, or all."""
    return n_passing(criteria) if criteria else "n_units"


def _matching(table: pd.DataFrame, question: UnitQuestion, names: list[str], but: str = "") -> pd.Series:
    """Return which combinations meet all facets but one."""
    meets = pd.Series(data=True, index=table.index)
    for name in names:
        wanted = question.selected.get(name, ())
        if wanted and name != but:
            meets &= table[FACETS[name][1]].isin(layer_names(wanted) if name == "layer" else wanted)
    return meets


def meeting_facets(
    table: pd.DataFrame, facets: Mapping[str, tuple[str, str]], selected: Mapping[str, Any], but: str = ""
) -> pd.Series:
    """Return which rows have one of the selected values of each facet but one.

    Parameters
    ----------
    table : the rows.
    facets : name in the address -> title, and column.
    selected : values by names of facets.
    but : the facet that does not count.
    """
    meets = pd.Series(data=True, index=table.index)
    for name, wanted in selected.items():
        if name != but:
            meets &= table[facets[name][1]].isin(wanted)
    return meets


def choices_among(numbers: pd.Series, chosen: tuple[str, ...]) -> list[Choice]:
    """Return the values with their numbers, most frequent first; chosen ones also if no unit has them."""
    found = {str(value): int(number) for value, number in numbers[numbers.index.notna()].items()}
    every = dict.fromkeys(chosen, 0) | found
    ordered = sorted(every, key=lambda value: (-every[value], value))
    return [Choice(value, every[value], value in chosen) for value in ordered]


def criteria_numbers(table: pd.DataFrame, question: UnitQuestion) -> dict[str, int]:
    """Return how many units meet each quality filter, and all else that is asked; the first is none.

    Parameters
    ----------
    table, question : as for `counts`.
    """
    names = [name for name, (_argument, column) in FACETS.items() if column in table]
    found = table[_matching(table, question, names)]
    return {name: int(found[_number(name)].sum()) for name in ("", *selection.UnitCriteria.names())}


def column(name: str) -> UnitColumn:
    """Return a column by its name.

    Raises
    ------
    SettingError
        If there is none, with the nearest.
    """
    (known,) = our_names("column", [name], known_columns())
    return known_columns()[known]


def choices_of_column(question: UnitQuestion, name: str) -> list[Choice]:
    """Return the values of a column among the units of a question; nothing if they are too many to list."""
    if column(name).kind in ("number", "time", "list"):
        return []
    table = queries.count_units(question.units(), [name], **question.methods())
    found = table.dropna(subset=[name])
    if len(found) > MOST_CHOICES:
        return []
    values = found[name].astype(int) if column(name).kind == "flag" else found[name]
    pairs = zip(values, found["n_units"], strict=True)
    return [Choice(str(value), int(number)) for value, number in sorted(pairs, key=lambda pair: -pair[1])]


def lists_of_units(question: UnitQuestion) -> dict[str, int]:
    """Return the named lists that are not chosen, each with how many units or sessions it has."""
    frame, chosen = queries.lists(), question.selected.get("list", ())
    numbers = zip(frame["list_name"], frame["n_left"], strict=True)
    return {str(name): int(number) for name, number in numbers if name not in chosen}


def all_rows(question: UnitQuestion) -> pd.DataFrame:
    """Return all rows, for a file."""
    return queries.unit_table(question.units(), question.columns, sort=question.sort, **question.methods())


def results_of(unit_id: int) -> dict[str, list[tuple[UnitColumn, str]]]:
    """Return by table all columns of a unit, each with its value as it is shown."""
    known = known_columns()
    with warnings.catch_warnings():  # what is not computed is shown as such
        warnings.simplefilter("ignore", queries.IncompleteWarning)
        has_layers = len(ecephys.AtlasParams.names()) == 1
        names = [name for name, each in known.items() if has_layers or each.table != "ChannelLayer"]
        units = queries.units(where={"unit_id": unit_id})
        (row,) = queries.unit_table(units, names, limit=1).astype(object).to_dict("records")
    tables: dict[str, list[tuple[UnitColumn, str]]] = {}
    for name in names:
        tables.setdefault(known[name].table, []).append((known[name], shown(known[name], row[name])))
    return tables
