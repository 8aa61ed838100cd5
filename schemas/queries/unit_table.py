"""Units as a table: chosen columns, sorted, all rows or some of them; and numbers of units of each kind.

The server sorts, counts and cuts: a page of 319,013 units is there as soon as one of a few. Missing values
come last whichever way a column is sorted, and equal rows follow by key: pages repeat and skip no unit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from schemas import ecephys
from schemas.queries.checks import knowing_arguments
from schemas.queries.column_list import with_results
from schemas.queries.columns import left_joined, result_queries, table_of_results
from schemas.queries.layers import OF_LAYER, atlas_name, unit_layers
from schemas.queries.words import our_names
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
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
    frame = fetch_frame(
        joined.proj(*sorted(plain), **flags),
        _order(joined, sort, list(flags)),
        nullable_integers=True,
        limit=limit,
        offset=offset,
    )
    some = units if limit is None else ecephys.Recording.Unit.proj() & _among(frame["unit_id"])
    return with_results(frame, some, wanted, optotag_method, atlas)[wanted]


@knowing_arguments
def count_units(
    units: Any, by: Sequence[str], *, optotag_method: str = DEFAULT_METHOD, atlas: str | None = None
) -> pd.DataFrame:
    """Return how many units there are for each combination of values of some columns.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    by : names of columns, see `columns`.
    optotag_method, atlas : as for `unit_table`.

    Returns
    -------
    pandas.DataFrame
        A column for each of `by`, missing where the unit has no value, and ``n_units``.

    Raises
    ------
    SettingError
        As for `unit_table`.
    """
    by = our_names("column", by, {*units.heading.names, *table_of_results(), *OF_LAYER})
    joined = with_result_columns(units, by, optotag_method, atlas)
    _require_ordered(joined, by)
    counted = joined.proj(*(name for name in by if name not in joined.primary_key))
    return fetch_frame(dj.U(*by).aggr(counted, n_units="COUNT(*)"), nullable_integers=True)


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
