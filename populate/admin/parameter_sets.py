"""Listing and adding parameter sets by table and name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from schemas.bases.parameter_table import ParameterTable, as_json, parameter_tables
from schemas.queries.checks import name_and_value
from vbn.errors import NotFoundError, SettingError
from vbn.nearest import nearest


def parameter_table(name: str) -> type[ParameterTable]:
    """Return the parameter table of a name.

    Raises
    ------
    NotFoundError
        If there is none; the message suggests the nearest.
    """
    known = parameter_tables()
    if name in known:
        return known[name]
    raise NotFoundError(f"There is no parameter table '{name}'.{nearest(name, known)}")


def list_parameter_sets(table: str | None = None) -> list[dict[str, Any]]:
    """Return table, name, version and hash of every set of one or all tables."""
    chosen = [parameter_table(table)] if table else parameter_tables().values()
    return [
        {
            "table": cls.__name__,
            "name": row[cls.primary_key[0]],
            "version": row[f"{cls.prefix()}_version"],
            "hash": row[f"{cls.prefix()}_hash"],
        }
        for cls in chosen
        for row in cls.to_dicts(order_by="KEY")
    ]


def add_parameter_set(
    table: str, name: str, text: str | None, like: str | None, changes: Sequence[str]
) -> bool:
    """Add a set from JSON, or from another set with changes; return whether it was new.

    Parameters
    ----------
    table, name : name of the table, and of the new set.
    text : JSON object with all parameters.
    like : name of the set to start from.
    changes : ``parameter=value``, the value as JSON or, if it is not JSON, as text.

    Raises
    ------
    NotFoundError, SettingError, ConflictError
        If a named table or set does not exist, or the set cannot be added.
    """
    cls = parameter_table(table)
    if text is not None and like is not None:
        raise SettingError("Give --content or --like, not both.")
    content: Any = _parsed(text) if text is not None else as_json(cls.get(like)) if like else {}
    if not isinstance(content, dict):
        raise SettingError('The content must be a JSON object: {"parameter": value, ...}.')
    for change in changes:
        parameter, value = name_and_value(change, "parameter")
        content[parameter] = _value(value)
    return cls.add(name, content)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingError(f"The content is not JSON: {error}.") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
