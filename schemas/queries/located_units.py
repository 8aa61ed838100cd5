"""Units with their locations, and keys of sessions."""

from __future__ import annotations

from typing import Any

import pandas as pd

from schemas import ecephys, session
from vbn.errors import NotFoundError
from vbn.nearest import nearest


def located_units(key: dict[str, Any]) -> Any:
    """Return a session's units with the location of their peak channels, as a query expression.

    Parameters
    ----------
    key : a restriction by attributes of the session's key.
    """
    columns = ("structure_acronym", "probe_vertical_position", "probe_horizontal_position", "valid_data")
    channels = ecephys.Recording.Channel.proj(*columns, peak_channel_id="channel_id")
    return ecephys.Recording.Unit * channels & key


def session_key(session_id: int) -> dict[str, Any]:
    """Return the primary key of a session.

    Raises
    ------
    NotFoundError
        If it is not registered.
    """
    keys = (session.Session & {"session_id": session_id}).keys()
    if not keys:
        known = session.Session.to_arrays("session_id").tolist()
        advice = nearest(session_id, known) if known else " No session is. Run: vbn register"
        raise NotFoundError(f"Session {session_id} is not registered.{advice}")
    return dict(keys[0])


def names_or_none(column: pd.Series[Any]) -> list[str | None]:
    """Return the names in a column of a fetched frame, None where missing."""
    return [None if pd.isna(name) else str(name) for name in column]


def no_units(key: dict[str, Any], structure: str, criteria: str, advice: str) -> NotFoundError:
    """Return the error that a session has no units in a structure, or none that passes.

    Parameters
    ----------
    key : the session's key.
    structure : acronym of the structure.
    criteria : what units had to pass.
    advice : what to do where the structure has units, but none that passes.
    """
    everywhere = located_units(key).proj("structure_acronym").to_arrays("structure_acronym")
    present = sorted({str(name) for name in everywhere if name})
    if structure in present:
        return NotFoundError(
            f"No unit of '{structure}' in session {key['session_id']} passes '{criteria}'. {advice}"
        )
    return NotFoundError(
        f"Session {key['session_id']} has no units in '{structure}'. It has units in: {', '.join(present)}."
    )
