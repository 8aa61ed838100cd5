"""The tables that there are to ask: a freeze may have been made without some."""

from __future__ import annotations

from typing import Any

from schemas.bases.lab import all_tables
from schemas.server.published import configured


def present_tables(*tiers: type) -> list[Any]:
    """Return the tables in dependency order, without those that the freeze that is read was made without.

    To ask one of these is an error, since an empty one would be taken for a result.
    """
    found = all_tables(*tiers)
    if (folder := configured()) is None:
        return found
    from schemas.deploy.published import left_out  # Arrow takes a while to import

    lacking = left_out(folder)
    return [cls for cls in found if cls.__name__ not in lacking]
