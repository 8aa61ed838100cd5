"""A unit around events, in groups: each event in one group, spikes those of the unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas import ecephys, queries
from schemas.figures.unit_events import EVENTS, GROUPINGS, grouped_spikes, groupings, unit_in_session
from vbn.analysis.task.events import EventSelection, find_events
from vbn.errors import NotFoundError, SettingError

pytestmark = pytest.mark.files
WINDOW_S = (-0.2, 0.3)


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
        groups = grouped_spikes(unit, event, by, WINDOW_S)
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
    groups = grouped_spikes(unit, "change", "outcome", WINDOW_S)
    assert groups
    for group in groups:
        outcome = group.name.replace(" ", "_")
        assert group.n_events == len(queries.changes(session_id, block="active", outcome=outcome))


def test_what_is_not_there_is_said(unit: Any) -> None:
    with pytest.raises(SettingError, match="Near to it: omission"):
        grouped_spikes(unit, "omissions", "block", WINDOW_S)
    with pytest.raises(SettingError, match="no grouping 'mood'"):
        grouped_spikes(unit, "change", "mood", WINDOW_S)
    with pytest.raises(NotFoundError, match="There is no unit 12"):
        unit_in_session(12)
    assert set(groupings("change")) == set(GROUPINGS)
