"""Units as a table: chosen columns, sorted, all rows or some of them; and numbers of units of each kind.

The server sorts, counts and cuts: a page of 319,013 units is there as soon as one of a few. Missing values
come last whichever way a column is sorted, and equal rows follow by key: pages repeat and skip no unit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from schemas import ecephys, selection
from schemas.queries.checks import knowing_arguments
from schemas.queries.column_list import with_results
from schemas.queries.columns import RESPONSES, left_joined, parameter_sets, result_queries, table_of_results
from schemas.queries.layers import OF_LAYER, atlas_name, unit_layers
from schemas.queries.units import all_units, criteria_condition
from schemas.queries.words import our_names
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import condition_of, dj
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.errors import SettingError

UNORDERED = ("json", "jsonb")


@knowing_arguments
def unit_table(
    units: Any,
    columns: Sequence[str] | None = None,
    *,
    sort: Sequence[str] = (),
    limit: int | None = None,
    offset: int = 0,
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> pd.DataFrame:
    """Return units with any columns of theirs, of their results and of their layers.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    columns : names of columns, see `columns`; by default those of the query, and those to sort by.
    sort : names of columns to sort by, the first one first; ``-snr`` for the greatest first.
    limit, offset : return this many rows, after as many others; by default all rows.
    optotag_method : labelling method of labels and cell classes.
    atlas : name of the atlas of the layers, if there are several.

    Returns
    -------
    pandas.DataFrame
        One row per unit, by default sorted by key. What is not computed is missing, and missing values come
        last. Integers with missing values are Int64.

    Raises
    ------
    SettingError
        For a column that does not exist, suggesting the nearest, or whose values have no order.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        If results of some units are not computed, or were computed by an earlier method.
    """
    own = list(units.heading.names)
    known = {*own, *table_of_results(), *OF_LAYER}
    sort = our_names("column", sort, known)
    by = [name.removeprefix("-") for name in sort]
    wanted = our_names("column", columns, known) if columns else list(dict.fromkeys([*own, *by]))
    joined = with_result_columns(units, by, optotag_method, atlas)
    plain = {*by, *(name for name in wanted if name in own)} - set(joined.primary_key)
    flags = {f"sort_{number}_is_missing": f"{name} IS NULL" for number, name in enumerate(by)}
    order = _order(joined, sort, list(flags))
    page: dict[str, Any] = {"limit": limit, "offset": offset}
    if limit is not None and (first := _ids_of_page(units, sort, limit, offset, optotag_method)) is not None:
        joined, page = joined & _among(first), {}
    frame = fetch_frame(joined.proj(*sorted(plain), **flags), order, nullable_integers=True, **page)
    some = units if limit is None else ecephys.Recording.Unit.proj() & _among(frame["unit_id"])
    return with_results(frame, some, wanted, optotag_method, atlas)[wanted]


@knowing_arguments
def count_units(
    units: Any,
    by: Sequence[str],
    *,
    passing: Sequence[str] = (),
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> pd.DataFrame:
    """Return how many units there are for each combination of values of some columns.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    by : names of columns, see `columns`.
    passing : names of quality filters (`selection.UnitCriteria`), each of which is counted, too.
    optotag_method, atlas : as for `unit_table`.

    Returns
    -------
    pandas.DataFrame
        A column for each of `by`, missing where the unit has no value; ``n_units``; and ``n_passing_NAME``
        for each of `passing`. All are counted in one query.

    Raises
    ------
    SettingError
        As for `unit_table`.
    """
    by = our_names("column", by, {*units.heading.names, *table_of_results(), *OF_LAYER})
    joined = with_result_columns(units, by, optotag_method, atlas)
    _require_ordered(joined, by)
    # Not as further groups: PostgreSQL expects as many groups as rows of conditions on numbers, and sorts.
    counts = {f"n_passing_{number}": _passing_count(joined, name) for number, name in enumerate(passing)}
    needed = {each.column for name in passing for each in selection.UnitCriteria.get(name).criteria}
    counted = joined.proj(*({*by, *needed} - set(joined.primary_key)))
    frame = fetch_frame(dj.U(*by).aggr(counted, n_units="COUNT(*)", **counts), nullable_integers=True)
    return frame.rename(columns=dict(zip(counts, map(n_passing, passing), strict=True)))


def n_passing(criteria: str) -> str:
    """Return the name of the column of `count_units` that counts the units that pass a quality filter."""
    return f"n_passing_{criteria}"


def _passing_count(units: Any, criteria: str) -> str:
    """Return the SQL that counts the units that pass a quality filter."""
    # Not SUM, of whose comparisons DataJoint makes integers for PostgreSQL, in the middle of a condition.
    return f"COUNT(CASE WHEN {condition_of(units, criteria_condition(criteria))} THEN 1 END)"


def with_result_columns(
    units: Any, names: Collection[str], optotag_method: str = DEFAULT_METHOD, atlas: str | None = None
) -> Any:
    """Return a query of all the units with columns that it lacks, NULL where they are not computed.

    Parameters
    ----------
    units : query of units.
    names : names of columns of units, results and layers.
    optotag_method, atlas : as for `unit_table`.
    """
    lacking = [name for name in names if name not in units.heading.names]
    for key, rows in result_queries(units, lacking, optotag_method, "Their units have no value."):
        units = left_joined(units, rows, key)
    if layers := [name for name in OF_LAYER if name in lacking]:
        rows = unit_layers(atlas=atlas, of=units).proj(*layers)
        units = left_joined(units, rows, {"atlas": atlas_name(atlas)})
    return units


def _ids_of_page(
    units: Any, sort: Sequence[str], limit: int, offset: int, optotag_method: str
) -> pd.Series[int] | None:
    """Return the ids of a page of all units by one table alone, or None where that does not tell.

    The table is sorted without what units are joined with, so that the server keeps the first rows only:
    below a join it sorts all of them. Units without a value come last, and are in no page that values fill.
    """
    if _without_aliases(units) != _without_aliases(all_units()):
        return None
    names = [name.removeprefix("-") for name in sort]
    rows = _table_with(names, optotag_method)
    if rows is None:
        return None
    flags = {f"sort_{number}_is_missing": f"{name} IS NULL" for number, name in enumerate(names[1:], start=1)}
    wanted = rows.proj(*(name for name in names if name not in rows.primary_key), **flags)
    if names:
        wanted = wanted & f"{names[0]} IS NOT NULL"
    order = _order(wanted, sort, ["", *flags][: len(names)])
    found = fetch_frame(wanted, [each for each in order if each], limit=limit, offset=offset)
    return found["unit_id"] if len(found) == limit else None


def _without_aliases(query: Any) -> str:
    """Return the SQL of a query without the numbers that DataJoint gives to the queries within."""
    return re.sub(r"\$[0-9a-f]+", "$", query.make_sql())


def _table_with(names: Collection[str], optotag_method: str) -> Any:
    """Return the rows of the one table, of units or results, that has all these columns, else None."""
    if set(names) <= set(ecephys.Recording.Unit.heading.names):
        return ecephys.Recording.Unit()
    tables = {table_of_results().get(name) for name in names}
    if len(tables) > 1 or not tables <= set(RESPONSES):
        return None
    table = RESPONSES[str(tables.pop())]
    return table.Unit & parameter_sets(table, optotag_method)


def _require_ordered(query: Any, names: Collection[str]) -> None:
    for name in names:
        attribute = query.heading.attributes[name]
        if str(attribute.original_type or attribute.type) in UNORDERED:
            raise SettingError(f"The values of '{name}' are lists, which have no order.")


def _order(query: Any, sort: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return what to sort by: each column after the flag that it is missing, then the key."""
    _require_ordered(query, [name.removeprefix("-") for name in sort])
    columns = (f"{name[1:]} DESC" if name.startswith("-") else name for name in sort)
    return [*(each for pair in zip(flags, columns, strict=True) for each in pair), "KEY"]


def _among(unit_ids: pd.Series) -> str:
    """Return the condition that a unit is one of these."""
    return f"unit_id IN ({', '.join(map(str, unit_ids)) or 'NULL'})"
