"""Frames of a session that many tables are made from, read once while these are made one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator
from functools import wraps
from typing import Any

import pandas as pd

from schemas.bases.provenance import METHOD, PACKAGE, PARAMETERS, SOURCE, MadeWith
from schemas.rows.insert import key_of_session

Key = dict[str, Any]
Reading = Callable[..., pd.DataFrame]

_kept: dict[Hashable, pd.DataFrame] | None = None


@contextlib.contextmanager
def keeping_frames() -> Iterator[None]:
    """Keep in memory, during the block, what functions with `read_once` return."""
    global _kept
    before, _kept = _kept, {}
    try:
        yield
    finally:
        _kept = before


def read_once(*tables: type[MadeWith]) -> Callable[[Reading], Reading]:
    """Decorate a function that reads rows of a session, given its key and parameters.

    Within `keeping_frames` it reads them once, and again when the rows of ``tables``, from which they come,
    were made from another file or by another version. Each caller has a copy of its own.

    Parameters
    ----------
    tables : the tables with the session's entries.
    """

    def decorate(read: Reading) -> Reading:
        @wraps(read)
        def kept(key: Key, *parameters: Any, **named: Any) -> pd.DataFrame:
            if _kept is None:
                return read(key, *parameters, **named)
            made = tuple(_made_with(table, key_of_session(key)) for table in tables)
            place = (read, made, parameters, *sorted(named.items()))
            if place not in _kept:
                _kept[place] = read(key, *parameters, **named)
            return _kept[place].copy()

        return kept

    return decorate


def _made_with(table: Any, key: Key) -> tuple[Hashable, ...]:
    """Return a table's name, the session, and how and from what the session's entry was made."""
    names = [f"{table.provenance_prefix()}_{name}" for name in (PACKAGE, METHOD, PARAMETERS, SOURCE)]
    rows = (table & key).proj(*names).to_dicts()
    return table.full_table_name, *(tuple(row.values()) for row in rows)
