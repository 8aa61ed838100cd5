"""The comments of a table's attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.bases.lab import all_tables, with_parts


def column_comments(table: Any) -> dict[str, str]:
    """Return the comment of each attribute of a table, empty where there is none.

    Parameters
    ----------
    table : table, as an instance.

    Notes
    -----
    The server stores no comment for the attributes of a foreign key; for these it is the comment in the table
    referred to.
    """
    table.connection.dependencies.load(force=False)
    ours = [each() for each in with_parts(all_tables())]
    return _comments(table, {each.full_table_name: each for each in ours})


def _comments(table: Any, ours: Mapping[str, Any]) -> dict[str, str]:
    found = {name: attribute.comment or "" for name, attribute in table.heading.attributes.items()}
    for parent, reference in table.parents(foreign_key_info=True):
        names = {own: other for own, other in reference["attr_map"].items() if not found[own]}
        if names and parent in ours:
            above = _comments(ours[parent], ours)
            found |= {own: above[other] for own, other in names.items()}
    return found
