"""Change 8 of the layout: what responses to omissions, to the laser and around events are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.deploy.stored_table import FLAG, FLOAT, INTEGER, SMALL_INTEGER, StoredTable
from schemas.server.connection import Database

OMISSION_WINDOWS = {
    "first_gray_window_s": (-0.5, -0.25),
    "second_gray_window_s": (-0.25, 0.0),
    "evoked_window_s": (0.05, 0.3),
    "lick_free": True,
    "engagement": None,
}
SUMMARY_WINDOWS = {
    "baseline_start": "(s) begin of the window of the baseline relative to the event",
    "baseline_stop": "(s) end of the window of the baseline",
    "response_start": "(s) begin of the window of the response relative to the event",
    "response_stop": "(s) end of the window of the response",
}


def compare_with_what_came_before(database: Database) -> Iterator[str]:
    """Give omissions and alignments other windows; what was not tested on the laser may be NULL.

    All sets of parameters of the omission response get the new windows, since the old ones compared with the
    tail of the flash before. They keep their names and thresholds.
    """
    _change_omission_columns(database)
    yield from _change_omission_windows(database)
    _add_summary_windows(database)
    units = StoredTable(database, "optotagging", "__optotag_label__unit")
    passes = "whether it meets the rule, whatever the genotype, NULL if not tested"
    units.allow_null("optotag_passes", FLAG, passes)
    labels = StoredTable(database, "optotagging", "__optotag_label")
    labels.allow_null("n_tagged", INTEGER, "units labelled tagged, NULL where none has a label")
    passing = "units that meet the rule, whatever the genotype, NULL where none was tested"
    labels.allow_null("n_passing", INTEGER, passing)
    evidence = StoredTable(database, "optotagging", "__optotagging__evidence")
    for name, text in {
        "p_wilcoxon": "(1) paired signed-rank test, pulse above an equal window before",
        "censored_p_wilcoxon": "(1) evoked spikes against equal light-free windows before",
        "first_spike_latency": "(s) median first spike in the pulses, NULL without a response",
    }.items():
        evidence.describe(name, FLOAT, text)
    shares = StoredTable(database, "responses", "__area_summary__structure")
    shares.describe(
        "share_tagged", FLOAT, "(1) of the units with a label, NULL in a wild type or without a laser"
    )


def _change_omission_columns(database: Database) -> None:
    sessions = StoredTable(database, "responses", "__omission_response")
    units = StoredTable(database, "responses", "__omission_response__unit")
    for condition, where in (("active", "task"), ("passive", "replay")):
        tested = f"n_omission_tested_{condition}"
        comment = "of which measured, NULL before method version 2"
        sessions.add(tested, INTEGER, comment, after=f"n_omission_omissions_{condition}")
        old = ("baseline_rate", "early_rate", "late_rate", "early_index", "late_index", "p_early", "p_late")
        units.drop(*(f"omission_{name}_{condition}" for name in old))
        rates = {
            "first_gray_rate": f"(Hz) rate 500 to 250 ms before, in the {where}",
            "second_gray_rate": "(Hz) rate in the 250 ms before",
            "evoked_rate": "(Hz) rate from 50 to 300 ms after the expected onset",
            "expected_rate": "(Hz) nearest rate that continues the two before",
            "response_index": "(1) evoked against expected, difference over sum",
            "flash_rate": "(Hz) rate from 50 to 300 ms after the flash before",
            "flash_index": "(1) evoked rate against the flash, difference over sum",
            "p_value": "(1) test of the evoked rate against all continuations",
        }
        added = {f"omission_{name}_{condition}": comment for name, comment in rates.items()}
        units.add_all(FLOAT, added, after="unit_id" if condition == "active" else "omission_p_value_active")
    units.describe("omission_p_value", FLOAT, "(1) the same test over the omissions of both conditions")
    sign = "1 rise, -1 fall, 0 no response, NULL where not tested"
    units.allow_null("omission_sign", SMALL_INTEGER, sign)
    flag = "whether q is at most the threshold, NULL where not tested"
    units.allow_null("omission_is_responsive", FLAG, flag)


def _change_omission_windows(database: Database) -> Iterator[str]:
    def change(_name: str, content: dict[str, Any]) -> None:
        if not OMISSION_WINDOWS.keys() <= content.keys():
            kept = content["max_q_value"]
            content.clear()
            content |= {**OMISSION_WINDOWS, "max_q_value": kept}

    for name in StoredTable(database, "responses", "#omission_response_params").change_contents(change):
        yield f"The parameters '{name}' of the omission response have other windows now."


def _add_summary_windows(database: Database) -> None:
    """Add the windows of baseline and response to the alignments, by their events."""
    StoredTable(database, "psth", "__psth__unit").drop("half_maximum_latency")
    alignments = StoredTable(database, "psth", "#alignment")
    if not alignments.columns():
        return  # deploy creates it
    alignments.add_all(FLOAT, SUMMARY_WINDOWS, after="bin_width")
    units = StoredTable(database, "psth", "__psth__unit")
    for name, text in {
        "baseline_rate": "(Hz) mean rate in the baseline window of the alignment",
        "response_rate": "(Hz) mean rate in the response window of the alignment",
        "peak_rate": "(Hz) highest bin in the response window",
    }.items():
        units.describe(name, FLOAT, text)
    _fill_summary_windows(database)


def _fill_summary_windows(database: Database) -> None:
    query, adapter = database.connection.query, database.connection.adapter
    table = adapter.make_full_table_name(f"{database.prefix}psth", "#alignment")
    change = ", ".join(f"{name} = %s" for name in SUMMARY_WINDOWS)
    for windows, where in (
        ((-0.05, -0.002, 0.0015, 0.9985), "event = 'laser_pulse' AND waveform_condition = 'raised_cosine'"),
        ((-0.05, -0.002, 0.0015, 0.0085), "event = 'laser_pulse'"),
        ((-1.0, 0.0, 0.0, 0.25), "event IN ('lick_bout', 'reward')"),
        ((-0.25, 0.0, 0.0, 0.25), "event IS NOT NULL"),
    ):
        unfilled = f"{where} AND response_stop IS NULL"
        query(f"UPDATE {table} SET {change} WHERE {unfilled}", args=windows)  # noqa: S608
