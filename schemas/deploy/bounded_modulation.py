"""Change 7 of the layout: change modulation is bounded, has a sign, and is of changes without licks."""

from __future__ import annotations

from typing import Any

from schemas.deploy.stored_table import FLAG, FLOAT, INTEGER, SMALL_INTEGER, StoredTable
from schemas.server.connection import Database

OWN_CHANGE_SET, EVERY_CHANGE = "siegle_2021_bennett_2025", {"engaged": "none", "lick_margin_s": None}
ENGAGED_CHANGES = {"engaged": "bennett_2025", "lick_margin_s": 0.1}
_OWN_CONTENT = {
    "baseline_window_s": [-0.08, 0.0],
    "response_window_s": [0.02, 0.1],
    "modulation_baseline_window_s": [-0.25, 0.0],
    "modulation_window_s": [0.0, 0.25],
    "first_spike_window_s": [0.03, 0.15],
    "half_maximum_window_s": [0.0, 0.25],
    "smoothing_s": 0.01,
    "max_q_value": 0.05,
}


def bound_change_modulation(database: Database) -> None:
    """Name Siegle's index and first spike after their source, and add the columns that take their places.

    Flags are NULL where nothing was tested. Parameter sets get the fields that say which changes are taken,
    and lose the window of a latency that is gone.
    """
    StoredTable(database, "responses", "#change_response_params").change_contents(_choose_changes)
    units = StoredTable(database, "responses", "__change_response__unit")
    units.drop(
        "change_half_maximum_latency", *(f"change_modulation_pooled_{c}" for c in ("active", "passive"))
    )
    units.rename("change_first_spike_latency", "change_siegle_2021_first_spike_latency")
    before = {"active": "change_q_modulation_active", "passive": "change_q_modulation_passive"}
    before |= {"hit": "change_q_modulation", "miss": "change_siegle_2021_modulation_hit"}
    for of, where in (
        ("active", "in the task"), ("passive", "in the replay"), ("hit", "in hits"), ("miss", "in misses"),
    ):  # fmt: skip
        names = f"change_modulation_{of}", f"change_response_sign_{of}", f"change_siegle_2021_modulation_{of}"
        units.rename(names[0], names[2])
        units.describe(names[2], FLOAT, f"(1) index of Siegle 2021 {where}")
        index = f"(1) change against flash before, bounded, {where}"
        units.add(names[0], FLOAT, index, after=before[of])
        sign = "1 where both together excite, -1 where they suppress"
        units.add(names[1], SMALL_INTEGER, sign, after=names[0])
    units.add_all(FLOAT, _LATENCY_COLUMNS, after="change_siegle_2021_modulation_miss")
    first_spike = "change_siegle_2021_first_spike_latency"
    units.describe(first_spike, FLOAT, "(s) median first spike after these changes")
    excited = "whether it is excited by the rule of Siegle 2021"
    units.add("change_siegle_2021_responsive", FLAG, excited, after=first_spike)
    for flag, what in (("responsive", "response"), ("change_modulated", "modulation")):
        comment = f"whether q of the {what} is at most the threshold"
        units.allow_null(f"change_is_{flag}", FLAG, comment)
    sessions = StoredTable(database, "responses", "__change_response")
    for of, where in (("active", "task"), ("passive", "replay")):
        for kind, use in (("changes", "measured on"), ("pairs", "compared with the flash right before")):
            comment = f"changes in the {where} that are {use}"
            sessions.describe(f"n_change_{kind}_{of}", INTEGER, comment, nullable=False)
    areas = StoredTable(database, "responses", "__area_summary__structure")
    areas.describe("share_responsive", FLOAT, "(1) of the units that were tested")


_LATENCY_COLUMNS = {
    "change_latency": "(s) onset of the response to changes in the task",
    "change_latency_low": "(s) 2.5th percentile of it over resamples of the changes",
    "change_latency_high": "(s) 97.5th percentile of it over resamples of the changes",
}


def _choose_changes(name: str, content: dict[str, Any]) -> None:
    """Add to a set of the change response what it lacks.

    Sets of users keep their choice of changes, the package's own gets the published one.
    """
    if "engaged" not in content:
        content |= ENGAGED_CHANGES if (name, content) == (OWN_CHANGE_SET, _OWN_CONTENT) else EVERY_CHANGE
        content["latency_window_s"] = content.pop("half_maximum_window_s")
        del content["smoothing_s"]
        content |= {"max_latency_sd_s": 0.01, "n_resamples": 500}
