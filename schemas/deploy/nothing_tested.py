"""Part of change 17 of the layout: numbers of units are NULL where nothing was tested."""

from __future__ import annotations

from schemas.deploy.stored_table import FLAG, FLOAT, INTEGER, StoredTable
from schemas.server.connection import Database

# Table -> parameters, number, what it is, and what of the units is NULL where they were not tested.
_NUMBERS = {
    "change_response": (
        "n_change_responsive",
        "units that respond to changes, NULL where none was tested",
        "change_is_responsive",
    ),
    "first_spike_latency": (
        "n_first_spike_known",
        "units whose first spike says something of a response",
        "first_spike_p_response",
    ),
    "omission_response": (
        "n_omission_responsive",
        "units that respond to omissions, NULL where none was tested",
        "omission_is_responsive",
    ),
    "full_field_response": (
        "n_full_field_responsive",
        "units that respond to either, NULL where none was tested",
        "full_field_is_responsive",
    ),
    "intrinsic_timescale": (
        "n_timescale_valid",
        "units with a valid intrinsic timescale, NULL where none was fitted",
        "timescale_is_valid_intrinsic",
    ),
    "receptive_field": (
        "n_rf_significant",
        "units with a significant receptive field, NULL where none was tested",
        "rf_is_significant",
    ),
}
_OF_MODELS = {
    "glm_variance_explained": (FLOAT, "(1) of left-out bins, mean over folds, at least 0"),
    "glm_variance_explained_raw": (FLOAT, "(1) the same, also below 0"),
    "glm_variance_explained_train": (FLOAT, "(1) of all bins, by weights fitted to them"),
    "glm_is_explained": (FLAG, "whether more is explained than the threshold, NULL without a fit"),
}


def forget_numbers_of_nothing(database: Database) -> None:
    """Let numbers be NULL, and make those so that were 0 because nothing was tested, or fitted."""
    for name, (number, comment, flag) in _NUMBERS.items():
        sessions = StoredTable(database, "responses", f"__{name}")
        sessions.allow_null(number, INTEGER, comment)
        parameters = next((each for each in sessions.columns() if each.endswith("_params")), None)
        key = f"mouse_id, session_id, {parameters}"
        tested = f"SELECT {key} FROM {{__{name}__unit}} WHERE {flag} IS NOT NULL"  # noqa: S608
        sessions.clear([number], key, f"NOT IN ({tested})")
    models = StoredTable(database, "encoding", "__encoding_model")
    models.allow_null(
        "n_glm_explained", INTEGER, "units of which more is explained than the threshold, NULL without a fit"
    )
    units = StoredTable(database, "encoding", "__encoding_model__unit")
    for column, (kind, comment) in _OF_MODELS.items():
        units.allow_null(column, kind, comment)
    key = "mouse_id, session_id, encoding_params"
    fitted = f"SELECT {key} FROM {{__encoding_model}} WHERE n_glm_bins > 0"  # noqa: S608
    units.clear(list(_OF_MODELS), key, f"NOT IN ({fitted})")
    models.clear(["n_glm_explained"], "n_glm_bins", "= 0")
