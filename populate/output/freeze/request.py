"""What a freeze is to hold, from what its author asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from populate.output.publish.scope import Scope
from schemas import session
from schemas.bases.lab import with_parts
from schemas.bases.registry import tables
from schemas.queries.authors import checked_name, checked_text
from schemas.queries.named_lists import list_row
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError
from vbn.nearest import nearest

LONGEST_NAME, LONGEST_DESCRIPTION = 64, 1000
INCLUDED = ("curation",)
KEY = ["mouse_id", "session_id", "unit_id"]
COUNTED = {"mice": "Mouse", "sessions": "Session", "units": "Recording.Unit"}
"""What is counted -> the table of which it is a row."""


@dataclass(frozen=True)
class Request:
    """What a freeze is to hold.

    Attributes
    ----------
    name : of the freeze.
    description : what it is for.
    made_from : how it is made: a command.
    scope : which tables and rows.
    filters : option -> value, as its author gave them.
    units : keys of the units that the filters choose; None if they choose none.
    """

    name: str
    description: str
    made_from: str
    scope: Scope
    filters: dict[str, Any] = field(default_factory=dict)
    units: pd.DataFrame | None = None

    @property
    def recorded_scope(self) -> dict[str, Any]:
        """The scope as its row keeps it."""
        scope = self.scope
        return {
            "filters": self.filters,
            "sessions": None if scope.sessions is None else list(scope.sessions),
            "tables": None if scope.tables is None else sorted(scope.tables),
            "lists": None if scope.lists is None else list(scope.lists),
            "named_lists": list(scope.named),
            "n_chosen_units": None if self.units is None else len(self.units),
        }


def scope_of(recorded: Mapping[str, Any]) -> Scope:
    """Return the scope of a freeze from its row."""
    sessions, names, lists = (recorded[name] for name in ("sessions", "tables", "lists"))
    return Scope(
        INCLUDED,
        None if sessions is None else tuple(map(int, sessions)),
        None if names is None else frozenset(names),
        None if lists is None else tuple(lists),
        tuple(recorded.get("named_lists") or ()),
    )


def request_for(
    name: str,
    *,
    units: Any = None,
    sessions: Sequence[int] = (),
    tables: Sequence[str] = (),
    lists: Sequence[str] = (),
    filters: Mapping[str, Any] | None = None,
    description: str = "",
    made_from: str = "Python",
    with_notes: bool = True,
) -> Request:
    """Return what is to be frozen; nothing is written.

    Parameters
    ----------
    name : small letters, digits, ``-``, ``_`` and ``.``, at most 64.
    units : a query of units, whose sessions are kept, and which become the list `name` of the freeze; None
        for all of the database, or of `sessions`.
    sessions : ids of the sessions that are kept, without `units`; none for all.
    tables : computed tables that are kept, with those that they are made from; none for all.
    lists : names of lists that were named in the filters.
    filters : option -> value, for the record.
    description : what it is for.
    made_from : how it is made.
    with_notes : keep all lists and notes of people on these sessions; else the named lists only.

    Raises
    ------
    SettingError
        If the name or the description cannot be kept.
    NotFoundError
        If no unit is chosen, or a session, a table or a list does not exist.
    ConflictError
        If the freeze would have two lists of its name.
    """
    name = checked_name("freeze", name, LONGEST_NAME)
    description = checked_text("description", description, LONGEST_DESCRIPTION)
    for each in lists:
        list_row(each)
    chosen = None if units is None else _chosen(units)
    if chosen is not None:
        ids: tuple[int, ...] | None = tuple(sorted({int(number) for number in chosen["session_id"]}))
        _require_free_list(name)
    else:
        ids = _known_sessions(sessions) if sessions else None
    named = tuple(dict.fromkeys(lists))
    scope = Scope(INCLUDED, ids, _with_ancestors(tables), None if with_notes else named, named)
    return Request(name, description, made_from, scope, dict(filters or {}), chosen)


def _chosen(units: Any) -> pd.DataFrame:
    keys = fetch_frame(units.proj())[KEY]
    if keys.empty:
        raise NotFoundError("No unit is chosen by these filters: there is nothing to freeze.")
    return keys.sort_values(KEY, ignore_index=True)


def _require_free_list(name: str) -> None:
    try:
        list_row(name)
    except NotFoundError:
        return
    raise ConflictError(
        f"There is a list '{name}', and the units that you choose would be the list of that name in the "
        "freeze. Choose another name for the freeze."
    )


def _known_sessions(ids: Sequence[int]) -> tuple[int, ...]:
    known = {int(number) for number in session.Session.to_arrays("session_id")}
    if missing := sorted(set(ids) - known):
        raise NotFoundError(
            f"There is no session {missing[0]}.{nearest(str(missing[0]), sorted(map(str, known)))}"
        )
    return tuple(sorted(set(ids)))


def _with_ancestors(names: Sequence[str]) -> frozenset[str] | None:
    """Return the names of computed tables with those that they are made from; None for none."""
    if not names:
        return None
    known: dict[str, Any] = {cls.__name__: cls for cls in tables(dj.Computed)}
    places = {part().full_table_name: master for master, cls in known.items() for part in with_parts([cls])}
    found: set[str] = set()
    for name in names:
        master = name.partition(".")[0]
        if master not in known:
            advice = "Only computed tables can be left out; what is imported is always kept."
            raise NotFoundError(f"There is no computed table '{name}'.{nearest(name, known)} {advice}")
        for part in with_parts([known[master]]):
            found |= {places[above] for above in part().ancestors() if above in places}
    return frozenset(found)
