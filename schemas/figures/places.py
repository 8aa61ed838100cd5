"""Where units are, and which session is meant."""

from __future__ import annotations

from typing import Any

from schemas import ecephys, session
from vbn.errors import NotFoundError

# The units of AllenSDK's VBN quick-start notebook.
GOOD_UNITS = "snr > 1 AND isi_violations < 1 AND unit_firing_rate > 0.1"


def located_units(key: dict[str, Any]) -> Any:
    """Return a session's units with the place of their peak channels, as a query expression.

    Parameters
    ----------
    key : a restriction by attributes of the session's key.
    """
    places = ("structure_acronym", "probe_vertical_position", "probe_horizontal_position", "valid_data")
    channels = ecephys.Recording.Channel.proj(*places, peak_channel_id="channel_id")
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
        known = session.Session.to_arrays("session_id", order_by="session_id")
        few = ", ".join(map(str, known[:5])) + (", ..." if len(known) > 5 else "")
        advice = f"There are: {few}." if few else "None is: vbn register."
        raise NotFoundError(f"Session {session_id} is not registered. {advice}")
    return dict(keys[0])
