"""Saying which sessions a query would need that are not computed yet."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from schemas import ecephys


class IncompleteWarning(UserWarning):
    """Some of the data that a query needs are not computed yet."""


def listed(session_ids: Sequence[int]) -> str:
    """Return the first session ids as text."""
    return ", ".join(map(str, sorted(session_ids)[:5])) + (", ..." if len(session_ids) > 5 else "")


def warn_of_missing(
    table: Any, key: dict[str, Any], of: Any = True, consequence: str = "Their units are excluded."
) -> None:
    """Warn if a table has no entry for some recordings whose units are requested, and what follows."""
    if missing := missing_sessions(table, key, of):
        warnings.warn(f"{not_computed(table, key, missing)} {consequence}", IncompleteWarning, stacklevel=4)


def missing_sessions(table: Any, key: dict[str, Any], of: Any = True) -> list[int]:
    """Return the recordings, among those of some units, for which a table has no entry with a key."""
    recordings = ecephys.Recording.proj() & (of if of is True else of.proj())
    return [int(number) for number in (recordings - (table & key).proj()).to_arrays("session_id")]


def not_computed(table: Any, key: dict[str, Any], session_ids: Sequence[int]) -> str:
    """Return a message that a table has no entries for some sessions."""
    sets = ", ".join(str(name) for name in key.values())
    return (
        f"{table.__name__} ({sets}) for {len(session_ids)} session{'s'[: len(session_ids) != 1]} is not "
        f"computed yet: {listed(session_ids)}. See: vbn status."
    )
