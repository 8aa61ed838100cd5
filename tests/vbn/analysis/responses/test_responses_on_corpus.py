"""What was injected into the corpus' units is found by the measure of each kind of response.

The tables are AllenSDK's, the truth is that of the ``expected`` folders.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vbn.analysis.responses.change_response import change_response
from vbn.analysis.responses.full_field_response import full_field_response
from vbn.analysis.responses.image_selectivity import image_selectivity
from vbn.analysis.responses.omission_response import omission_response
from vbn.analysis.responses.receptive_field import receptive_field
from vbn.analysis.responses.running_modulation import pupil_modulation, running_modulation
from vbn.analysis.task.flash_behavior import flash_behavior
from vbn.analysis.task.flash_sets import FLASH_SETS, select_flashes

# What a test of few events may miss and invent: other sessions than those at hand may be looked at.
MIN_FOUND_SHARE = 0.8
MAX_FALSE_SHARE = 0.08

Spikes = tuple[np.ndarray, np.ndarray, np.ndarray]
Session = tuple[Spikes, Any, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def sessions(recordings) -> list[Session]:
    """Per session: spikes, presentations, trials, the injected units in order, and the folder's tables."""
    found = []
    for expected in recordings:
        unit_ids, times, offsets, n_spikes = expected.spikes()
        truth = json.loads((expected.folder / "ground_truth.json").read_text())["units"]
        by_id = {unit["unit_id"]: unit for unit in truth}
        units = [by_id[unit_id] for unit_id in unit_ids.tolist()]
        found.append(((times, offsets, n_spikes), expected, units))
    return found


def measured(sessions: list[Session], function: Callable[[Spikes, Any], pd.DataFrame]) -> pd.DataFrame:
    """Rows of all sessions with what was injected, side by side."""
    parts = []
    for spikes, expected, units in sessions:
        table = function(spikes, expected).assign(role=[unit["role"] for unit in units], truth=units)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def presentations_of(expected):
    return expected.table("stimulus_presentations")


def lick_free_flashes(expected):
    licks = expected.table("licks")["timestamps"]
    behavior = flash_behavior(presentations_of(expected), expected.table("trials"), licks)
    return behavior[select_flashes(behavior, FLASH_SETS["lick_free"])]


def false_share(table, found, *roles):
    return table.loc[~table["role"].isin(roles), found].dropna().astype(bool).mean()


def test_change_units_prefer_changes_and_more_so_in_the_task(sessions: list[Session]):
    table = measured(
        sessions,
        lambda spikes, e: change_response(*spikes, presentations_of(e), e.table("trials")),
    )
    change = table[table["role"] == "change"]
    assert len(change) > 0
    assert (change["change_modulation_active"] > 0).all()
    assert (change["change_modulation_hit"].dropna() > 0).all()
    assert (change["change_rate_active_hz"] > change["change_rate_passive_hz"]).all()
    assert change["is_change_modulated"].mean() >= MIN_FOUND_SHARE
    assert change["is_responsive"].mean() >= MIN_FOUND_SHARE
    latency = np.array([unit["latency_s"] for unit in change["truth"]])
    first_spike = change["siegle_2021_first_spike_latency_s"]
    assert (first_spike > latency - 0.02).all()
    assert (first_spike < latency + 0.04).all()
    assert change["siegle_2021_responsive"].mean() >= MIN_FOUND_SHARE
    error = np.abs(change["latency_s"] - latency)
    assert error.notna().mean() >= 0.5
    assert error.median() < 0.005
    assert false_share(table, "is_change_modulated", "change") <= MAX_FALSE_SHARE


def test_omission_units_answer_omissions(sessions: list[Session]):
    table = measured(
        sessions,
        lambda spikes, e: omission_response(
            *spikes, presentations_of(e), e.table("licks")["timestamps"].to_numpy()
        ),
    )
    omission = table[table["role"] == "omission"]
    assert len(omission) > 0
    assert omission["is_responsive"].mean() >= MIN_FOUND_SHARE
    assert (omission["sign"] == 1).all()
    assert (omission["flash_index_active"] > 0).all()
    assert false_share(table, "is_responsive", "omission") <= MAX_FALSE_SHARE


def test_visual_units_prefer_their_image_and_their_colour(sessions: list[Session]):
    table = measured(sessions, lambda spikes, e: image_selectivity(*spikes, lick_free_flashes(e))[0])
    rates = [image_selectivity(*spikes, lick_free_flashes(e))[1] for spikes, e, _ in sessions]
    colors = measured(sessions, lambda spikes, e: full_field_response(*spikes, presentations_of(e)))
    visual = table[table["role"] == "visual"]
    assert len(visual) > 0  # with one to five runs an image here, none need be selective
    shown = [set(part.columns) for part in rates for _ in range(len(part))]
    for row, unit in visual["truth"].items():
        gains = {image: gain for image, gain in unit["add_hz_by_image"].items() if image in shown[row]}
        assert gains[visual["preferred_image"][row]] >= 0.8 * max(gains.values())
        assert colors["preferred_color"][row] == unit["flash_color"]
    assert false_share(table, "is_selective", "visual") <= MAX_FALSE_SHARE


def test_fields_are_found_where_they_were_put(sessions: list[Session]):
    table = measured(sessions, lambda spikes, e: receptive_field(*spikes, presentations_of(e), seed=1)[0])
    field = table[table["role"] == "rf"]
    assert len(field) > 0
    assert field["is_significant"].astype(bool).mean() >= MIN_FOUND_SHARE
    field = field[field["is_significant"]]
    for axis in "xy":
        injected = np.array([unit[f"rf_{axis}"] for unit in field["truth"]])
        for name in (f"peak_{axis}_deg", f"center_{axis}_deg", f"fit_{axis}_deg"):
            assert (np.abs(field[name] - injected) <= 10).all()
    assert false_share(table, "is_significant", "rf") <= MAX_FALSE_SHARE


def test_running_units_fire_more_while_the_mouse_runs(sessions: list[Session]):
    def measure(spikes: Spikes, e):
        running = e.table("running_speed")
        trace = running["timestamps"].to_numpy(), running["speed"].to_numpy()
        result = running_modulation(*spikes, presentations_of(e), trace)
        return result.assign(found=(result["p_shift_active"] <= 0.05))

    table = measured(sessions, measure)
    running = table[table["role"] == "running"]
    assert len(running) > 0
    assert (running["allensdk_modulation_index"] > 0).all()
    assert (running["spearman_r_active"] > 0).all()
    # Of 30 shifts within two minutes hardly any p can be .05.
    assert (running["p_shift_active"] <= 0.1).mean() >= MIN_FOUND_SHARE
    assert false_share(table, "found", "running") <= MAX_FALSE_SHARE


def test_the_pupil_is_measured_where_there_is_eye_tracking(sessions: list[Session]):
    for spikes, expected, _ in sessions:
        eye = expected.table("eye_tracking")
        columns = (eye["timestamps"], eye["pupil_area"], eye["likely_blink"]) if len(eye) else None
        table = pupil_modulation(*spikes, presentations_of(expected), columns)
        assert (table["n_high"] + table["n_low"] > 0).all() == (len(eye) > 0)
        assert table["spearman_r_active"].notna().any() == (len(eye) > 0)
