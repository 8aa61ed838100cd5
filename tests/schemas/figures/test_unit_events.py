"""A unit around events, in groups: each event in one group, spikes those of the unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import ecephys, psth, queries
from schemas.figures.aligned import RateView
from schemas.figures.change import change_response, grouped_change_response
from schemas.figures.groups import grouped_events
from schemas.figures.unit_events import EVENTS, GROUPINGS, events_of_unit, groupings, unit_in_session
from vbn.analysis.spikes.psth import TimeAxis
from vbn.analysis.task.events import EventSelection, find_events
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files
WINDOW_S = (-0.2, 0.3)
AXIS = TimeAxis(*WINDOW_S, 0.05)


@pytest.fixture
def unit(populated_synthetic: Any) -> Any:
    populated_synthetic.connect()
    most = ecephys.Recording.Unit.to_arrays("unit_id", order_by="n_spikes DESC", limit=1)
    return unit_in_session(int(most[0]))


@pytest.mark.parametrize("event", EVENTS)
def test_groups_divide_the_events_and_hold_their_spikes(unit: Any, event: str) -> None:
    """Outcomes and engagement leave events out: those of aborted trials, and between trials."""
    assert groupings(event)[0] == "block"
    for by in groupings(event):
        groups = [each.spikes for each in events_of_unit(unit, event, by, WINDOW_S, AXIS)]
        times = find_events(unit.events, EventSelection(event, block=None if by == "block" else "active"))
        first, last = (np.searchsorted(unit.train_s, times + edge) for edge in WINDOW_S)
        n_events = sum(group.n_events for group in groups)
        n_spikes = sum(group.time_s.size for group in groups)
        if by in ("block", "image"):
            assert (n_events, n_spikes) == (len(times), (last - first).sum())
        else:
            assert n_events <= len(times)
            assert n_spikes <= (last - first).sum()


def test_changes_by_outcome_are_those_that_queries_count(unit: Any) -> None:
    session_id = int(queries.units(where={"unit_id": unit.unit_id}).fetch1("session_id"))
    groups = events_of_unit(unit, "change", "outcome", WINDOW_S, AXIS)
    assert groups
    for group in (each.spikes for each in groups):
        outcome = group.name.replace(" ", "_")
        assert group.n_events == len(queries.changes(session_id, block="active", outcome=outcome))


def test_behavior_around_changes_is_that_of_its_table(unit: Any) -> None:
    axis = psth.Alignment.get("change_active").axis
    found = {each.spikes.name: each for each in events_of_unit(unit, "change", "block", WINDOW_S, axis)}
    session = (ecephys.Recording.Unit & {"unit_id": unit.unit_id}).proj()
    row = (psth.AlignedBehavior & session & {"alignment": "change_active"}).fetch1()
    assert found["active"].spikes.n_events == row["n_aligned_events"] > 0
    columns = {"running": "running_speed_mean", "licks": "lick_rate", "pupil": "pupil_area_mean"}
    for name, column in columns.items():
        np.testing.assert_allclose(found["active"].behavior[name], row[column], rtol=1e-5, atol=1e-4)


def test_events_of_engaged_mice_are_not_divided_by_block(unit: Any) -> None:
    engaged = EventSelection("change", block="active", engagement="engaged")
    with pytest.raises(SettingError, match="of the task only"):
        grouped_events(unit.events, engaged, "block")


def test_no_flash_is_drawn_where_none_was(unit: Any) -> None:
    key = (ecephys.Recording.Unit & {"unit_id": unit.unit_id}).fetch1("KEY")
    structure = queries.units(where={"unit_id": unit.unit_id}).fetch1("structure_acronym")
    where = {"session_id": key["session_id"], "structure": structure, "criteria": "all"}
    (of_omissions,) = grouped_change_response(view=RateView(), alignment="omission_active", **where).values()
    assert of_omissions.flash_onsets_s == (-1.5, -0.75, 0.75, 1.5)
    assert of_omissions.event_name == "omitted flash"
    assert change_response(alignment="omission_active", **where).flash_onsets_s == of_omissions.flash_onsets_s
    assert 0.0 in change_response(alignment="change_active", **where).flash_onsets_s


def test_what_is_not_there_is_said(unit: Any) -> None:
    with pytest.raises(SettingError, match="Near to it: omission"):
        events_of_unit(unit, "omissions", "block", WINDOW_S, AXIS)
    with pytest.raises(SettingError, match="no grouping 'mood'"):
        events_of_unit(unit, "change", "mood", WINDOW_S, AXIS)
    with pytest.raises(NotFoundError, match="There is no unit 12"):
        unit_in_session(12)
    assert set(groupings("change")) == set(GROUPINGS)
