"""The groups into which the events of a figure are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from schemas.queries.checks import require_choice
from vbn.analysis.task.events import (
    BLOCKS,
    ENGAGEMENTS,
    EVENT_CONDITIONS,
    EVENT_OUTCOMES,
    NOVELTIES,
    EventSelection,
    SessionEvents,
    find_events,
)
from vbn.analysis.task.presentations import TRIAL_OUTCOMES
from vbn.errors import SettingError

GROUPINGS = {
    "block": "task and replay",
    "outcome": "outcome",
    "image": "image",
    "novelty": "novelty of the image",
    "engagement": "engagement",
}
"""Attribute of `EventSelection` that tells the groups -> its name."""


def groupings(event: str) -> list[str]:
    """Return the groupings that there are for a kind of event."""
    return [name for name in GROUPINGS if name in EVENT_CONDITIONS[event]]


def grouped_events(events: SessionEvents, chosen: EventSelection, group_by: str) -> dict[str, np.ndarray]:
    """Return the times of events by group, in seconds; groups without events are left out.

    Parameters
    ----------
    events : the tables of the session.
    chosen : the events to divide. All groupings but ``block`` keep its conditions.
    group_by : a key of `GROUPINGS`.

    Raises
    ------
    SettingError
        For an unknown grouping, one that these events do not have, or one in which they are a single group.
    """
    require_choice("grouping", group_by, list(GROUPINGS))
    if group_by not in groupings(chosen.event):
        known = ", ".join(groupings(chosen.event)) or "none"
        raise SettingError(
            f"Events '{chosen.event}' are not grouped by {group_by}. Their groupings: {known}."
        )
    single = getattr(chosen, group_by)
    if group_by != "block" and single is not None:
        raise SettingError(f"These events are of one {group_by} only, '{single}'. Choose another alignment.")
    if group_by == "block" and chosen.engagement is not None:
        raise SettingError("These events are of engaged or disengaged mice, and so of the task only.")
    if group_by == "engagement" and chosen.block == "passive":
        raise SettingError("There is no engagement in the passive block: the mouse has no task there.")
    found = {
        value: find_events(events, _of_group(chosen, group_by, value))
        for value in _values(events, chosen, group_by)
    }
    return {
        name if group_by == "image" else name.replace("_", " "): times
        for name, times in found.items()
        if len(times)
    }


def _values(events: SessionEvents, chosen: EventSelection, group_by: str) -> Sequence[str]:
    if group_by == "outcome":
        outcomes: Sequence[str] = EVENT_OUTCOMES.get(chosen.event, TRIAL_OUTCOMES[:4])  # not of aborted ones
        return outcomes
    if group_by == "image":
        table = events.presentations
        names = table.loc[table["active"].notna(), "image_name"].dropna()
        return sorted(set(map(str, names)) - {"omitted"})
    known: dict[str, Sequence[str]] = {"block": BLOCKS, "novelty": NOVELTIES[::-1], "engagement": ENGAGEMENTS}
    return known[group_by]


def _of_group(chosen: EventSelection, group_by: str, value: str) -> EventSelection:
    condition: dict[str, Any] = {group_by: value}
    return replace(chosen, **condition)
