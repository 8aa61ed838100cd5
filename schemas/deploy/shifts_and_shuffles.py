"""Change 9 of the layout: running and pupil are tested within blocks, fields by enough shuffles."""

from __future__ import annotations

from schemas.deploy.stored_table import FLAG, FLOAT, INTEGER, StoredTable
from schemas.server.connection import Database


def correlate_states_within_blocks(database: Database) -> None:
    """Give running and pupil a correlation and a test for each block; take away the p-values before.

    Welch's t-test gets AllenSDK's name. What took successive flashes for independent, or joined blocks, goes.
    """
    for prefix, trace in (("running", "speed"), ("pupil", "area")):
        units = StoredTable(database, "responses", f"__{prefix}_modulation__unit")
        units.rename(f"{prefix}_p_value", f"{prefix}_allensdk_p_value")
        old = (
            "q_value",
            "p_rank_sum",
            "q_rank_sum",
            "pearson_r",
            "spearman_r",
            "p_correlation",
            "q_correlation",
        )
        units.drop(*(f"{prefix}_{name}" for name in old))
        described = {"allensdk_p_value": "(1) t-test of Welch of the two; invalid if firing drifts"}
        counts: dict[str, str] = {}
        for block, where in (("active", "task"), ("passive", "replay")):
            described |= {
                f"spearman_r_{block}": f"(1) rank correlation of rate and {trace} in the {where}",
                f"p_shift_{block}": "(1) test of it against shifts in time",
                f"q_shift_{block}": "(1) the same, adjusted over the units of the session",
            }
            counts |= {
                f"n_{prefix}_bins_{block}": f"bins of the {where} that were correlated",
                f"n_{prefix}_shifts_{block}": "shifts to either side, 0 if too few for a test",
            }
        units.add_all(FLOAT, _prefixed(prefix, described), after=f"{prefix}_modulation_index")
        sessions = StoredTable(database, "responses", f"__{prefix}_modulation")
        sessions.drop(f"n_{prefix}_bins")
        sessions.add_all(INTEGER, counts, after=f"n_{prefix}_low")
    sets = StoredTable(database, "responses", "#state_modulation_params")
    sets.change_contents(lambda _name, content: content.pop("min_shift_s", None))
    _shuffle_strong_fields_more_often(database)


def _shuffle_strong_fields_more_often(database: Database) -> None:
    units = StoredTable(database, "responses", "__receptive_field__unit")
    if "n_rf_spikes" in units.columns():
        return  # change 10 has renamed what this one had changed
    shuffles = "shuffles of the unit, NULL before method version 2"
    units.add("n_field_shuffles", INTEGER, shuffles, after="n_field_spikes")
    units.describe("field_p_value", FLOAT, "(1) share of shuffles with as great a chi-square, never 0")
    for name, comment in (
        ("p_is_upper_bound", "whether no shuffle had, NULL if not tested"),
        ("is_significant", "whether the p-value is below the threshold, NULL if not tested"),
        ("is_inverted", "whether the unit is suppressed in its field, NULL without a map"),
    ):
        units.allow_null(f"field_{name}", FLAG, comment)
    sets = StoredTable(database, "responses", "#receptive_field_params")
    sets.change_contents(lambda _name, content: content.setdefault("max_shuffles", 10_000))


def _prefixed(prefix: str, described: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}_{name}": comment for name, comment in described.items()}
