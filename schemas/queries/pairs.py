"""Correlations between units: means of pairs of structures, and all pairs of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from schemas import ecephys, interactions, selection
from schemas.files.array_store import mapped
from schemas.queries.checks import knowing_arguments, of_sessions, require_choice, require_structures
from schemas.queries.methods import require_present_methods, warn_of_earlier_methods
from schemas.queries.missing import not_computed, warn_of_missing
from schemas.reading.recordings import located_frame
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError, SettingError

if TYPE_CHECKING:
    import xarray as xr

KINDS = {
    "noise": "noise_correlation",
    "plain_noise": "plain_noise_correlation",
    "signal": "signal_correlation",
}
DEFAULT_SET = "successive_flashes"


@knowing_arguments
def correlations(
    structures: Sequence[str] | None = None,
    criteria: str = "bennett_2025",
    *,
    sessions: Any = True,
    correlation_params: str = DEFAULT_SET,
) -> pd.DataFrame:
    """Return the mean correlations between the units of two structures, session by session.

    Parameters
    ----------
    structures : acronyms; only pairs of two of these, and each with itself. None for all.
    criteria : quality filter of the units, one of those for populations.
    sessions : a session's id or several, a key, or a query with the session's key; True for all.
    correlation_params : name of a row of `interactions.CorrelationParams`.

    Returns
    -------
    pandas.DataFrame
        One row per session and two structures (in the order of their names): the attributes of
        `interactions.Correlations.AreaPair`. Units of one session are not independent: compare sessions or
        mice.

    Raises
    ------
    NotFoundError
        If there is no such parameter set or structure.
    SettingError
        If the filter is not one for populations.

    Warns
    -----
    IncompleteWarning, EarlierMethodWarning
        If correlations of some recordings are not computed, or were computed by an earlier method.
    """
    key = _sets(criteria, correlation_params)
    recordings = of_sessions(ecephys.Recording.proj(), sessions)
    warn_of_missing(interactions.Correlations, key, recordings, "They are left out.")
    warn_of_earlier_methods({interactions.Correlations: key}, recordings)
    found = interactions.Correlations.AreaPair & key & recordings
    return fetch_frame(between(found, structures))


@knowing_arguments
def noise_correlation(
    session: Any,
    kind: str = "noise",
    criteria: str = "bennett_2025",
    *,
    correlation_params: str = DEFAULT_SET,
) -> xr.DataArray:
    """Return the correlations between all units of a session.

    Parameters
    ----------
    session : a session's id, a key, or a query of one session.
    kind : ``noise``, of differences between successive flashes; ``plain_noise``, of deviations from the
        image's mean, which slow drift enters; ``signal``, of the mean counts of images.
    criteria : quality filter of the units, one of those for populations.
    correlation_params : name of a row of `interactions.CorrelationParams`.

    Returns
    -------
    (unit, other_unit) float32, both with the units' ids as index. Coordinates: ``structure_acronym``,
    ``probe_name`` and ``probe_vertical_position`` (um above the tip) of ``unit``.

    Raises
    ------
    NotFoundError
        If there is no such session or parameter set, or the correlations are not computed.
    SettingError
        For an unknown kind, a filter that is not one for populations, and for more than one session.
    ConflictError
        If an earlier method has computed them.
    """
    import xarray as xr  # takes half a second

    require_choice("kind", kind, list(KINDS))
    key = _sets(criteria, correlation_params)
    recordings = of_sessions(ecephys.Recording.proj(), session).keys(limit=2)
    if not recordings:
        raise NotFoundError("There is no such recording. See: vbn sessions, vbn status.")
    if len(recordings) > 1:
        raise SettingError(
            "noise_correlation takes one session at a time: units of two have no flash in common."
        )
    rows = (interactions.Correlations & recordings[0] & key).to_dicts()
    if not rows:
        raise NotFoundError(not_computed(interactions.Correlations, key, [recordings[0]["session_id"]]))
    require_present_methods({interactions.Correlations: key}, recordings[0])
    ids = np.asarray(rows[0]["correlated_unit_ids"])
    places = ("structure_acronym", "probe_vertical_position")
    units = located_frame(recordings[0], (), places).set_index("unit_id").loc[ids]
    return xr.DataArray(
        np.asarray(mapped(rows[0][KINDS[kind]])),
        dims=("unit", "other_unit"),
        coords={"unit": ids, "other_unit": ids}
        | {name: ("unit", units[name].to_numpy()) for name in ("probe_name", *places)},
        name=KINDS[kind],
    )


def _sets(criteria: str, correlation_params: str) -> dict[str, str]:
    """Return the key of the parameter sets, which are there."""
    require_population_filter(criteria, "Correlations are")
    interactions.CorrelationParams.get(correlation_params)
    return {"unit_criteria": criteria, "correlation_params": correlation_params}


def require_population_filter(criteria: str, what: str) -> None:
    """Raise SettingError unless a filter is one of those that populations are measured with."""
    selection.UnitCriteria.get(criteria)
    populations = selection.UnitCriteria.for_populations()
    if criteria not in populations:
        raise SettingError(f"{what} computed for the filters for populations only: {', '.join(populations)}.")


def between(pairs: Any, structures: Sequence[str] | None) -> Any:
    """Return pairs of structures of which both are among some; all for None.

    Raises
    ------
    SettingError
        If there is no such structure, with the nearest.
    """
    require_structures(structures or ())
    for name in ("first_structure", "second_structure") if structures is not None else ():
        pairs = pairs & [{name: structure} for structure in structures or ()]
    return pairs
