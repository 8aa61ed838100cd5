"""What was put into the corpora's sessions, as far as a file says it, is what the tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import behavior, ecephys, session, stimulus

pytestmark = pytest.mark.corpus
KINDS = {"auto": "auto_rewarded", "cr": "correct_reject", "fa": "false_alarm"}
CCF = ("anterior_posterior", "dorsal_ventral", "left_right")


def trials(recorded: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (behavior.ChangeDetection.Trial & recorded.key).to_dicts(order_by="trial_id")
    return rows


def issues_of(recorded: Any, table: str) -> dict[str, str]:
    """Code -> detail."""
    rows = (session.ImportIssue & recorded.key & {"issue_table": table}).to_dicts()
    return {row["issue_code"]: row["issue_detail"] for row in rows}


def test_the_session_is_the_one_that_was_made(recorded: Any) -> None:
    truth, row = recorded.truth, (session.Session & recorded.key).fetch1()
    names = ("behavior_session_id", "mouse_id", "image_set", "experience_level", "session_type")
    assert {name: row[name] for name in names} == {name: truth[name] for name in names}
    assert row["session_id"] == truth["ecephys_session_id"]


def test_every_trial_is_of_the_kind_and_at_the_frame_that_were_made(recorded: Any) -> None:
    rows, truth = trials(recorded), recorded.truth
    for row, kind in zip(rows, truth["trial_kinds"], strict=True):
        outcomes = ("hit", "miss", "aborted", *KINDS.values())
        assert [name for name in outcomes if row[name]] == [KINDS.get(kind, kind)]
    assert [row["change_frame"] for row in rows] == truth["change_frames"]


def test_every_flash_change_and_omission_is_there(recorded: Any) -> None:
    truth = recorded.truth
    shown = (stimulus.Stimulus.Presentation & recorded.key & "image_name IS NOT NULL").to_dicts()
    for active in (True, False):  # the replay repeats the task
        own = [row for row in shown if bool(row["active"]) == active]
        names = {"omitted": "n_omitted", "is_change": "n_changes", "is_sham_change": "n_sham"}
        counted = {truth_name: sum(bool(row[name]) for row in own) for name, truth_name in names.items()}
        expected = {name: truth[name] for name in ("n_flash", *counted)}
        assert {"n_flash": len(own), **counted} == expected


def test_the_blocks_start_when_they_were_made_to(recorded: Any) -> None:
    rows = (stimulus.Stimulus.Block & recorded.key).to_dicts()
    starts = {str(row["block"]): row["block_start_time"] for row in rows}
    assert starts == pytest.approx(recorded.truth["block_start"], rel=1e-12)


def test_changes_come_on_the_screen_by_the_display_lag_later(recorded: Any) -> None:
    """The stored times of the frames hold 20 ms of it already."""
    rows = (stimulus.Stimulus.Change & recorded.key).to_dicts()
    assert len(rows) == recorded.truth["n_changes"] + recorded.truth["n_sham"]
    residuals = np.array([row["change_residual"] for row in rows])
    assert residuals.mean() == pytest.approx(recorded.truth["display_lag_s"], abs=1e-3)
    beside = residuals - np.array([row["frame_residual"] for row in rows])
    np.testing.assert_allclose(beside, 0.02, atol=1e-9)


def test_every_unit_is_where_it_was_put_with_its_spikes(recorded: Any) -> None:
    channels = ecephys.Recording.Channel.proj(
        "probe_channel_number", "structure_acronym", "valid_data", peak_channel_id="channel_id"
    )
    probes = ecephys.Recording.Probe.proj("probe_id")
    rows = (ecephys.Recording.Unit * channels * probes & recorded.key).to_dicts()
    assert len(rows) == len(recorded.injected)
    for row in rows:
        unit = recorded.injected[row["unit_id"]]
        assert row["probe_name"] == unit["probe"]
        assert row["structure_acronym"] == (unit["structure"] or None)
        assert bool(row["valid_data"]) == unit["channel_valid"]
        names = ("probe_id", "peak_channel_id", "n_spikes", "quality")
        assert {name: row[name] for name in names} == {name: unit[name] for name in names}
        assert row["probe_channel_number"] == unit["peak_channel_number"]
    assert sum(row["n_spikes"] for row in rows) == recorded.truth["n_spikes"]


def test_a_mouse_that_gave_up_answers_no_more(recorded: Any) -> None:
    gave_up = recorded.truth.get("mouse_gives_up_at_s", float("inf"))
    rows = trials(recorded)
    answering = [row for row in rows if row["hit"] or row["false_alarm"] or row["aborted"]]
    assert answering
    assert max(row["trial_start_time"] for row in answering) < gave_up


def test_what_a_file_lacks_is_missing_and_told(recorded: Any) -> None:
    cases = recorded.truth["edge_cases"]
    assert lacks_eye_tracking(recorded) == recorded.table("eye_tracking").empty
    assert lacks_eye_tracking(recorded) or "no eye tracking, no rig geometry" not in cases
    assert last_probe_lacks_places(recorded) == ("last probe without CCF, location ''" in cases)
    assert lacks_trials_of_presentations(recorded) == ("no trials_id / is_sham_change stored" in cases)


def lacks_eye_tracking(recorded: Any) -> bool:
    eye = (behavior.EyeTracking & recorded.key).fetch1("has_eye_tracking")
    assert bool((behavior.RigGeometry & recorded.key).fetch1("has_rig_geometry")) == bool(eye)
    assert ("missing_pupil" in issues_of(recorded, "eye_tracking")) == (not eye)
    return not eye


def last_probe_lacks_places(recorded: Any) -> bool:
    last = max((ecephys.Recording.Probe & recorded.key).to_arrays("probe_name"))
    rows = (ecephys.Recording.Channel & recorded.key & {"probe_name": last}).to_dicts()
    names = ("structure_acronym", *(f"{axis}_ccf_coordinate" for axis in CCF))
    return all(row[name] is None for row in rows for name in names)


def lacks_trials_of_presentations(recorded: Any) -> bool:
    derived = issues_of(recorded, "stimulus_presentations").get("derived_column", "")
    assert ("trials_id" in derived) == ("is_sham_change" in derived)
    return "trials_id" in derived


def test_flags_of_a_session_are_entered_told_and_keep_it_out_of_bennett_2025(recorded: Any) -> None:
    from schemas import queries

    flags = recorded.truth.get("flags", {})
    row = (session.Session & recorded.key).fetch1()
    for name in ("abnormal_histology", "abnormal_activity"):
        assert row[name] == flags.get(name)
        told = [detail for detail in issues_of(recorded, "session").values() if name in detail]
        assert len(told) == (name in flags)
        assert all(str(place) in detail for detail in told for place in flags[name])
    chosen = queries.units(criteria="bennett_2025") & recorded.key
    assert (len(chosen) == 0) == bool(flags)
    assert len(queries.units(criteria="good") & recorded.key) > 0
