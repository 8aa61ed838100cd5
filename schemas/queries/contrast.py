"""Contrasts of any column of units between sessions or mice, over mice as the observation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pandas as pd

from schemas.queries.checks import knowing_arguments
from schemas.queries.layers import unit_layers
from schemas.queries.projects import ALL, Names, of_one_project
from schemas.queries.results import OF_SESSION, RESPONSES, responses_table
from schemas.queries.units import all_units, criteria_condition
from schemas.queries.words import our_names
from schemas.rows.fetch import fetch_frame
from vbn.analysis.contrasts import FEWEST_MICE, Index, paired_contrast, unpaired_contrast
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.statistics import benjamini_hochberg
from vbn.anatomy.layers import LAYER_GROUPS
from vbn.errors import NotFoundError, SettingError

Pair = Literal["mouse"] | None
LAYER, LAYER_GROUP = "cortical_layer", "layer_group"
CRITERIA = ("criteria", "unit_criteria")
LAYERED = (LAYER, LAYER_GROUP)


@knowing_arguments
def contrast(
    units: Any,
    column: str,
    between: str = "experience_level",
    *,
    levels: tuple[Any, Any] | None = None,
    within: Sequence[str] = (),
    pair: Pair = "mouse",
    index: Index = "difference",
    across: Mapping[str, Sequence[str]] | None = None,
    project: Names = None,
    atlas: str | None = None,
    optotag_method: str = DEFAULT_METHOD,
    min_units: int = 6,
    n_resamples: int = 2000,
    seed: int = 0,
    parameters: Mapping[str, str] | None = None,
    missing: Literal["error", "drop", "nan"] = "error",
    allow_mixed: bool = False,
) -> pd.DataFrame:
    """Contrast a column of units between two kinds of sessions or mice.

    Parameters
    ----------
    units : query of units, as returned by `units`.
    column : number or flag of each unit: of `units`, or of one of the tables of `RESPONSES`.
    between : attribute of sessions, mice or units that has two values, or of which `levels` names two.
    levels : the two values, the estimate being the second less the first. By default those that there are, in
        alphabetical order: ``Familiar``, then ``Novel``.
    within : attributes that divide the units, such as ``structure_acronym``, ``cell_class``,
        ``cortical_layer`` or ``layer_group`` (1 with 2/3, and 6a with 6b; both need an `atlas`): one row for
        each combination.
    pair : ``mouse`` compares within mice that have both, None between mice.
    index : ``difference`` of means, or the index of Bennett et al. 2025 (``bennett_2025``; only within mice).
    across : names of parameter sets, or of quality filters, such as
        ``{"criteria": ["all", "bennett_2025"]}``: the contrast by each of them, or each combination of
        several, which says how much it depends on choices (a specification curve).
    project : data sets of the sessions, ``all`` to join them; required if the units are of several.
    atlas : name of the atlas of layers, if there are several.
    optotag_method : labelling method of labels and cell classes.
    min_units : mice with fewer units in a group are left out.
    n_resamples, seed : of the bootstrap.
    parameters, missing, allow_mixed : see `responses_table`.

    Returns
    -------
    pandas.DataFrame
        One row for each combination of ``across`` and ``within``, sorted: ``estimate``, ``low``, ``high`` (by
        hierarchical bootstrap over mice and units, 95 %), ``p_value`` (permutation over mice; NaN below 6),
        ``q_value`` (adjusted over the rows, of each choice of ``across`` by itself), ``lowest``, ``highest``
        (estimates without one of the mice), ``n_mice``, ``n_sessions``, ``n_units``, ``mice`` (their ids).
        ``attrs`` says what was compared, and names the mice of all rows.

    Raises
    ------
    SettingError
        For an unknown or unfit column, if ``between`` has not two values, or for units of several projects.
    NotFoundError, ConflictError
        As `responses_table`.

    See Also
    --------
    vbn.analysis.contrasts : the definitions.
    """
    column, between, *within = our_names("column", [column, between, *within], contrast_columns())
    units = of_one_project(units, project, "The contrast")
    if across:
        options = {"min_units": min_units, "n_resamples": n_resamples, "seed": seed, "atlas": atlas,
                   "optotag_method": optotag_method, "missing": missing, "allow_mixed": allow_mixed,
                   "levels": levels, "within": within, "pair": pair, "index": index,
                   "project": ALL}  # fmt: skip
        return _across(units, column, between, across, dict(parameters or {}), options)
    frame = unit_values(
        units, [column, between, *within], atlas=atlas, optotag_method=optotag_method, parameters=parameters,
        missing=missing, allow_mixed=allow_mixed,
    )  # fmt: skip
    numbers = {"min_units": min_units, "n_resamples": n_resamples, "seed": seed}
    return contrast_of(
        frame, column, between, levels=levels, within=within, pair=pair, index=index, **numbers
    )


def unit_values(
    units: Any, names: Sequence[str], *, atlas: str | None = None, **options: Any
) -> pd.DataFrame:
    """Return the units with columns of any table of responses, of sessions, mice and layers.

    Parameters
    ----------
    units : query of units.
    names : the columns.
    atlas, options : see `contrast`.
    """
    our_names("column", names, contrast_columns())
    frame = responses_table(units, _tables_of(names), **options)
    if {*LAYERED} & {*names}:
        layers = fetch_frame(unit_layers(atlas=atlas, of=units).proj(LAYER))
        frame = frame.merge(layers[["unit_id", LAYER]], on="unit_id", how="left")
        frame[LAYER_GROUP] = frame[LAYER].map(LAYER_GROUPS)
    return frame


def contrast_columns() -> set[str]:
    """Return the names of columns that units can be contrasted in, and divided by."""
    of_tables = {name for table in RESPONSES.values() for name in table.Unit.heading.names}
    return {*all_units().heading.names, *of_tables, *OF_SESSION, *LAYERED}


def contrast_of(
    frame: pd.DataFrame,
    column: str,
    between: str,
    *,
    levels: tuple[Any, Any] | None,
    within: Sequence[str],
    pair: Pair,
    index: Index,
    **numbers: Any,
) -> pd.DataFrame:
    """Return the contrast of one column of units that were fetched; see `contrast`."""
    if not (frame[column].isna().all() or pd.api.types.is_numeric_dtype(frame[column].dtype)):
        raise SettingError(f"'{column}' is no number and no flag, so that it has no mean.")
    pair_of_levels = _levels(frame[between], between, levels)
    chosen = frame[frame[between].isin(pair_of_levels)]
    kept = chosen.assign(value=chosen[column].astype(float), is_second=chosen[between] == pair_of_levels[1])
    if pair is None and kept.groupby("mouse_id")["is_second"].nunique().max() > 1:
        raise SettingError(f"Some mice have both values of {between}: compare within mice (pair='mouse').")
    if pair is None and index != "difference":
        raise SettingError("An index compares the sessions of a mouse (pair='mouse').")
    rows = []
    for names, group in kept.groupby(list(within), sort=True) if within else [((), kept)]:
        found = (
            paired_contrast(group, index=index, **numbers) if pair else unpaired_contrast(group, **numbers)
        )
        rows.append({**dict(zip(within, names, strict=True)), **asdict(found)})
    if not rows:
        raise NotFoundError(f"No unit has a value of each of {', '.join(within)}, by which they are divided.")
    table = pd.DataFrame(rows)
    table.insert(len(within) + 4, "q_value", benjamini_hochberg(table["p_value"]))
    table.attrs = {
        "contrast": f"{column}: {pair_of_levels[1]} less {pair_of_levels[0]}",
        "mice": sorted({mouse for mice in table["mice"] for mouse in mice.split()}),
        "fewest_mice": FEWEST_MICE,
    }
    return table


def _across(
    units: Any,
    column: str,
    between: str,
    across: Mapping[str, Sequence[str]],
    parameters: dict[str, str],
    options: dict[str, Any],
) -> pd.DataFrame:
    """Return the contrasts by each combination of parameter sets, one below the other."""
    tables = []
    for names in itertools.product(*across.values()):
        chosen = dict(zip(across, names, strict=True))
        sets = {name: value for name, value in chosen.items() if name not in CRITERIA}
        among = units
        for name in CRITERIA:
            among = among & criteria_condition(chosen[name]) if name in chosen else among
        named = options | {name: sets.pop(name) for name in ("optotag_method",) if name in sets}
        table = contrast(among, column, between, parameters=parameters | sets, **named)
        for position, (name, value) in enumerate(chosen.items()):
            table.insert(position, name, value)
        tables.append(table)
    if not tables:
        raise SettingError("across= names no sets.")
    found = pd.concat(tables, ignore_index=True)
    found.attrs = tables[0].attrs | {"mice": sorted({each for of in tables for each in of.attrs["mice"]})}
    return found


def _tables_of(names: Sequence[str]) -> list[str]:
    """Return the tables of responses that have one of the columns."""
    return [
        name
        for name, table in RESPONSES.items()
        if set(names) & {*table.Unit.heading.names} - {*table.Unit.primary_key}
    ]


def _levels(values: pd.Series, between: str, wanted: tuple[Any, Any] | None) -> tuple[Any, Any]:
    known = sorted(values.dropna().unique().tolist(), key=str)
    if wanted is not None:
        of_text = {str(level): level for level in known}  # as the command line has them
        for level in wanted:
            if str(level) not in of_text:
                raise SettingError(
                    f"No unit has {between} {level!r}. There are: {', '.join(map(str, known))}."
                )
        return of_text[str(wanted[0])], of_text[str(wanted[1])]
    if len(known) != 2:
        raise SettingError(
            f"{between} has {len(known)} values among these units, not 2: "
            f"{', '.join(map(str, known)) or 'none'}. Choose other units, or name two levels."
        )
    return known[0], known[1]
