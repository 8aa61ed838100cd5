"""What a figure cannot do without."""

from __future__ import annotations

from typing import Any

from vbn.errors import NotFoundError


def require_made(key: dict[str, Any], *tables: Any) -> None:
    """Raise a NotFoundError unless tables have an entry of a session.

    Parameters
    ----------
    key : the session's key, and the parameter sets' names of the tables that have these.
    tables : imported or computed ones.
    """
    missing = [table.__name__ for table in tables if not table & key]
    if missing:
        raise NotFoundError(
            f"Session {key['session_id']} has no {', '.join(missing)} yet. "
            "Run: vbn populate (and see vbn status, vbn errors)."
        )
