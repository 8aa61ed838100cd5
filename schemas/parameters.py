"""Parameter sets as rows: a readable name, and a hash of the content and the method's version.

Rows are only ever added. A result keeps the name of its parameter set in its key, so a changed
content under an old name would change what results mean without a trace; it is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vbn.errors import ConflictError


def content_hash(content: Mapping[str, Any], method_version: int) -> str:
    """Return the sha256 of the canonical JSON of the content and the method's version.

    Examples
    --------
    >>> content_hash({"b": 1, "a": 2}, 1) == content_hash({"a": 2, "b": 1}, 1)
    True
    """
    text = json.dumps([method_version, content], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def add_parameters(
    table: Any, row: Mapping[str, Any], content: Mapping[str, Any], method_version: int
) -> bool:
    """Enter a parameter set unless it is there; return whether a row was added.

    Parameters
    ----------
    table
        A parameter table: primary key is the name, with attributes ``content_hash`` and
        ``method_version``.
    row
        The row without its hash and version.
    content, method_version
        What the hash is made from.

    Raises
    ------
    ConflictError
        If the name stands for another content, or the content has another name.
    """
    name_attribute = table.primary_key[0]
    name, digest = row[name_attribute], content_hash(content, method_version)
    known = {found["content_hash"]: found[name_attribute] for found in table.proj("content_hash").to_dicts()}
    if known.get(digest) == name:
        return False
    if digest in known:
        raise ConflictError(
            f"The parameter set '{name}' of {table.class_name} has the content of '{known[digest]}'. "
            "Use that one."
        )
    if name in known.values():
        raise ConflictError(
            f"The parameter set '{name}' of {table.class_name} exists with another content. Sets are never "
            "changed: enter the new content under a new name."
        )
    table.insert1({**row, "content_hash": digest, "method_version": method_version})
    return True


def seed_defaults() -> None:
    """Enter the structures and default parameter sets that are missing (part of the deploy step)."""
    from schemas import ecephys, optotagging, performance, psth

    for module in (ecephys, psth, performance, optotagging):
        module.seed_defaults()


def as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content as JSON keeps it: tuples become lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}


def from_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content as the parameter classes take it: lists become tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
