"""Functional connectivity: pairs of units with a peak, and numbers of peaks between structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from schemas import ecephys, interactions
from schemas.queries.checks import knowing_arguments, of_sessions, require_structures
from schemas.queries.column_list import with_results
from schemas.queries.layers import atlas_name
from schemas.queries.located_units import located_units
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.missing import warn_of_missing
from schemas.queries.pairs import between, require_population_filter
from schemas.rows.fetch import fetch_frame
from vbn.analysis.optotagging import DEFAULT_METHOD

DEFAULT_SET = "jitter_25"
ASK = "They are left out. Compute it: vbn populate --table FunctionalConnectivity"
OF_UNIT = {"structure_acronym": "structure", "cortical_layer": "layer", "cell_class": "cell_class"}


@knowing_arguments
def connectivity(
    structures: Sequence[str] | None = None,
    criteria: str = "bennett_2025",
    *,
    sessions: Any = True,
    connectivity_params: str = DEFAULT_SET,
    optotag_method: str = DEFAULT_METHOD,
    atlas: str | None = None,
) -> pd.DataFrame:
    """Return the pairs of units that fire together within milliseconds, with what both units are.

    Parameters
    ----------
    structures : acronyms; only pairs of which both units are in one of these. None for all.
    criteria : quality filter of the units, one of those for populations.
    sessions : a session's id or several, a key, or a query with the session's key; True for all.
    connectivity_params : name of a row of `interactions.ConnectivityParams`.
    optotag_method : labelling method of the cell classes.
    atlas : name of the atlas of the layers, if there are several.

    Returns
    -------
    pandas.DataFrame
        One row per pair, by key: the attributes of `interactions.FunctionalConnectivity.Pair`, and of each
        unit, ``first_`` and ``second_``: ``structure``, ``layer`` (missing where no atlas is entered) and
        ``cell_class``. Neighbours on a probe, of which a spike of one may have been taken for one of the
        other, are those with a small ``pair_distance`` (um).

    Raises
    ------
    NotFoundError
        If there is no such parameter set, structure or atlas.
    SettingError
        If the filter is not one for populations.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        If connectivity of some recordings is not computed, or was computed by an earlier method.
    """
    key, recordings = _chosen(criteria, connectivity_params, sessions, structures)
    pairs = fetch_frame(interactions.FunctionalConnectivity.Pair & key & recordings)
    units = located_units(key={}) & recordings & _of_pairs(pairs)
    names = ["structure_acronym", "cell_class"]
    frame = fetch_frame(units.proj("structure_acronym"))[["unit_id", "structure_acronym"]]
    if atlas is not None or len(ecephys.AtlasParams()) > 0:
        atlas_name(atlas)
        names.append("cortical_layer")
    frame = with_results(frame, units, names, optotag_method, atlas).reindex(columns=["unit_id", *OF_UNIT])
    for name in ("first", "second"):
        of_unit = {"unit_id": f"{name}_unit_id"} | {column: f"{name}_{OF_UNIT[column]}" for column in OF_UNIT}
        pairs = pairs.merge(frame.rename(columns=of_unit), on=f"{name}_unit_id", how="left")
    if structures is not None:
        wanted = [pairs[f"{name}_structure"].isin(list(structures)) for name in ("first", "second")]
        pairs = pairs[wanted[0] & wanted[1]].reset_index(drop=True)
    return pairs


@knowing_arguments
def area_connectivity(
    structures: Sequence[str] | None = None,
    criteria: str = "bennett_2025",
    *,
    sessions: Any = True,
    connectivity_params: str = DEFAULT_SET,
) -> pd.DataFrame:
    """Return how many pairs of units of two structures have a peak, and which structure leads.

    Parameters
    ----------
    structures, criteria, sessions, connectivity_params : as for `connectivity`.

    Returns
    -------
    pandas.DataFrame
        One row per session and two structures, in both orders: the attributes of
        `interactions.FunctionalConnectivity.AreaPair`. Pairs of one session are not independent: compare
        sessions or mice.

    Raises
    ------
    NotFoundError, SettingError
        As `connectivity`.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        As `connectivity`.
    """
    key, recordings = _chosen(criteria, connectivity_params, sessions, structures)
    return fetch_frame(between(interactions.FunctionalConnectivity.AreaPair & key & recordings, structures))


def _chosen(
    criteria: str, connectivity_params: str, sessions: Any, structures: Sequence[str] | None
) -> tuple[dict[str, str], Any]:
    """Return the key of the parameter sets, and the recordings; say which are not computed."""
    require_population_filter(criteria, "Connectivity is")
    interactions.ConnectivityParams.get(connectivity_params)
    require_structures(structures or ())
    key = {"unit_criteria": criteria, "connectivity_params": connectivity_params}
    recordings = of_sessions(ecephys.Recording.proj(), sessions)
    warn_of_missing(interactions.FunctionalConnectivity, key, recordings, ASK)
    warn_of_earlier_methods({interactions.FunctionalConnectivity: key}, recordings)
    return key, recordings


def _of_pairs(pairs: pd.DataFrame) -> list[dict[str, int]]:
    """Return a restriction to the sessions of pairs."""
    return [{"session_id": int(number)} for number in pairs["session_id"].unique()]
