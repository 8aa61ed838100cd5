"""Contrasts of any column of units between sessions or mice, over mice as the observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pandas as pd

from schemas.queries.checks import require_choice
from schemas.queries.layers import unit_layers
from schemas.queries.results import OF_SESSION, RESPONSES, responses_table
from schemas.queries.units import all_units
from schemas.rows.fetch import fetch_frame
from vbn.analysis.contrasts import FEWEST_MICE, Index, paired_contrast, unpaired_contrast
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.statistics import benjamini_hochberg
from vbn.errors import NotFoundError, SettingError

Pair = Literal["mouse"] | None
LAYER = "cortical_layer"


def contrast(
    units: Any,
    column: str,
    between: str = "experience_level",
    *,
    levels: tuple[Any, Any] | None = None,
    within: Sequence[str] = (),
    pair: Pair = "mouse",
    index: Index = "difference",
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
    within : attributes that divide the units, such as ``structure_acronym``, ``cortical_layer`` (needs an
        `atlas`), ``cell_class``: one row for each combination.
    pair : ``mouse`` compares within mice that have both, None between mice.
    index : ``difference`` of means, or the index of Bennett et al. 2025 (``bennett_2025``; only within mice).
    atlas : name of the atlas of layers, if there are several.
    optotag_method : labelling method of labels and cell classes.
    min_units : mice with fewer units in a group are left out.
    n_resamples, seed : of the bootstrap.
    parameters, missing, allow_mixed : see `responses_table`.

    Returns
    -------
    pandas.DataFrame
        One row for each combination of ``within``, sorted: ``estimate``, ``low``, ``high`` (95 % hierarchical
        bootstrap over mice and units), ``p_value`` (permutation over mice; NaN with fewer than 6),
        ``q_value`` (adjusted over the rows), ``lowest``, ``highest`` (estimates without one of the mice),
        ``n_mice``, ``n_sessions``, ``n_units``. ``attrs`` names the mice of the whole table, and what was
        compared.

    Raises
    ------
    SettingError
        For an unknown or unfit column, or if ``between`` has not two values.
    NotFoundError, ConflictError
        As `responses_table`.

    See Also
    --------
    vbn.analysis.contrasts : the definitions.
    """
    of_tables = {name for table in RESPONSES.values() for name in table.Unit.heading.names}
    for name in (column, between, *within):
        require_choice("column", name, sorted({*all_units().heading.names, *of_tables, *OF_SESSION, LAYER}))
    frame = responses_table(
        units, _tables_of([column, between, *within]), optotag_method=optotag_method,
        parameters=parameters, missing=missing, allow_mixed=allow_mixed,
    )  # fmt: skip
    if LAYER in (between, *within):
        layers = fetch_frame(unit_layers(atlas=atlas, of=units).proj(LAYER))
        frame = frame.merge(layers[["unit_id", LAYER]], on="unit_id", how="left")
    if not pd.api.types.is_numeric_dtype(frame[column].dtype):
        raise SettingError(f"'{column}' is no number and no flag, so that it has no mean.")
    pair_of_levels = _levels(frame[between], between, levels)
    chosen = frame[frame[between].isin(pair_of_levels)]
    kept = chosen.assign(value=chosen[column].astype(float), is_second=chosen[between] == pair_of_levels[1])
    if pair is None and kept.groupby("mouse_id")["is_second"].nunique().max() > 1:
        raise SettingError(f"Some mice have both values of {between}: compare within mice (pair='mouse').")
    if pair is None and index != "difference":
        raise SettingError("An index compares the sessions of a mouse (pair='mouse').")
    options = {"min_units": min_units, "n_resamples": n_resamples, "seed": seed}
    rows = []
    for names, group in kept.groupby(list(within), sort=True) if within else [((), kept)]:
        found = (
            paired_contrast(group, index=index, **options) if pair else unpaired_contrast(group, **options)
        )
        rows.append({**dict(zip(within, names, strict=True)), **asdict(found)})
    if not rows:
        raise NotFoundError(f"No unit has a value of each of {', '.join(within)}, by which they are divided.")
    table = pd.DataFrame(rows)
    table.insert(len(within) + 4, "q_value", benjamini_hochberg(table["p_value"]))
    with_value = kept.dropna(subset=["value"])
    table.attrs = {
        "contrast": f"{column}: {pair_of_levels[1]} less {pair_of_levels[0]}",
        "mice": sorted(with_value["mouse_id"].unique().tolist()),
        "fewest_mice": FEWEST_MICE,
    }
    return table


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
        for level in wanted:
            if level not in known:
                raise SettingError(
                    f"No unit has {between} {level!r}. There are: {', '.join(map(str, known))}."
                )
        return wanted
    if len(known) != 2:
        raise SettingError(
            f"{between} has {len(known)} values among these units, not 2: "
            f"{', '.join(map(str, known)) or 'none'}. Choose other units, or name two levels."
        )
    return known[0], known[1]
