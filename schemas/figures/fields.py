"""Data of the figure of a structure's receptive fields."""

from __future__ import annotations

import numpy as np

from schemas import responses
from schemas.figures.require_entries import require_entries
from schemas.figures.unit import field_of_row
from schemas.queries.located_units import no_units, session_key
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.units import units
from schemas.rows.fetch import fetch_frame
from vbn.errors import NotFoundError, SettingError
from vbn.plots.field import FieldGrid

NO_FILTER = "all"


def structure_fields(
    session_id: int, structure: str, *, criteria: str = NO_FILTER, at_most: int = 60
) -> FieldGrid:
    """Return the receptive fields of a structure's units in a session.

    Parameters
    ----------
    session_id, structure : id of the session, and acronym of the structure of the units' peak channels.
    criteria : name of a quality filter (`selection.UnitCriteria`).
    at_most : how many units to show: those with the least p, the others are counted.

    Raises
    ------
    NotFoundError
        If the session, such units or their receptive fields do not exist, or no Gabors were shown.
    SettingError
        If `at_most` is less than 1.
    """
    if at_most < 1:
        raise SettingError(f"At least one unit must be shown, got {at_most}.")
    key = session_key(session_id)
    computed = {**key, "receptive_field_params": responses.ReceptiveFieldParams.default_name()}
    require_entries(computed, responses.ReceptiveField)
    warn_of_earlier_methods({responses.ReceptiveField: {}}, key)
    n_gabors = int((responses.ReceptiveField & computed).fetch1("n_rf_gabors"))
    if not n_gabors:
        raise NotFoundError(f"No Gabors were shown in session {session_id}: there are no receptive fields.")
    chosen = units(session_id=session_id, structure=structure, criteria=criteria)
    frame = fetch_frame((responses.ReceptiveField.Unit & computed) * chosen.proj("probe_vertical_position"))
    if frame.empty:
        raise no_units(key, structure, criteria, "Include all units with --criteria all.")
    p_values = frame["rf_p_value"].to_numpy(float, na_value=np.nan)
    first = np.lexsort((frame["unit_id"], p_values))[:at_most]  # NaN comes last
    shown = frame.iloc[first].sort_values(["probe_vertical_position", "unit_id"], ascending=[False, True])
    return FieldGrid(
        session_id=session_id,
        structure=structure,
        unit_id=shown["unit_id"].tolist(),
        height_um=shown["probe_vertical_position"].to_numpy(float),
        fields=[field_of_row(row, n_gabors) for row in shown.to_dict("records")],
        n_units=len(frame),
        n_significant=int(frame["rf_is_significant"].eq(True).sum()),
        criteria="" if criteria == NO_FILTER else criteria,
    )
