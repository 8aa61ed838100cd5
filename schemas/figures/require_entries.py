"""The entries that a figure needs."""

from __future__ import annotations

from typing import Any

from vbn.errors import NotFoundError


def require_entries(key: dict[str, Any], *tables: Any) -> None:
    """Raise a NotFoundError unless each table has an entry for a session.

    Parameters
    ----------
    key : the session's key, with the names of the parameter sets of the tables that have any.
    tables : imported or computed tables.
    """
    missing = [table.__name__ for table in tables if not table & key]
    if missing:
        raise NotFoundError(
            f"Session {key['session_id']} has no {', '.join(missing)} yet. "
            "Run: vbn populate (and see vbn status, vbn errors)."
        )
