"""Named lists of units or sessions: making, showing and removing them, and selecting by them.

A list of units stands for their sessions where sessions are asked for; one of sessions stands for all their
units where units are.
"""

from __future__ import annotations

import contextlib
import numbers
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from schemas import ecephys, session
from schemas.curation import SESSIONS, UNITS, ListSession, ListUnit, NamedList
from schemas.queries.authors import author, checked_name, checked_text, require_author
from schemas.queries.missing import IncompleteWarning
from schemas.queries.words import our_name
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import dj
from schemas.server.error_codes import LOCKED, code_of
from vbn.errors import ConflictError, NotFoundError, SettingError, shortened
from vbn.nearest import nearest

Names = str | Sequence[str] | None

LONGEST_NAME, LONGEST_DESCRIPTION, LONGEST_SOURCE = 64, 1000, 1900
IDS_AT_A_TIME = 10_000
SHOWN = 5
ID = {UNITS: "unit_id", SESSIONS: "session_id"}
KNOWN: dict[str, Any] = {UNITS: ecephys.Recording.Unit, SESSIONS: session.Session}
MEMBERS: dict[str, Any] = {UNITS: ListUnit, SESSIONS: ListSession}


@dataclass(frozen=True)
class SavedList:
    """What became of a list.

    Attributes
    ----------
    kind : ``units`` or ``sessions``.
    n_listed : how many it lists.
    n_repeated : how many ids were given again.
    missing : ids that were left out, as nothing has them.
    """

    name: str
    kind: str
    n_listed: int
    n_repeated: int = 0
    missing: tuple[int, ...] = ()


def lists() -> pd.DataFrame:
    """Return the named lists.

    Returns
    -------
    pandas.DataFrame
        By name: ``list_name``, ``list_kind`` (units or sessions), ``n_listed`` when it was made, ``n_left``
        of these (fewer where sessions were deleted), ``list_author``, ``list_made_at`` (UTC),
        ``list_made_from``, ``list_description``.
    """
    frame = fetch_frame(NamedList())
    left: dict[str, int] = {}
    for table in MEMBERS.values():
        counted = dj.U("list_name").aggr(table, n_left="COUNT(*)")
        left |= {str(name): int(number) for name, number in zip(*counted.to_arrays("list_name", "n_left"),
                                                               strict=True)}  # fmt: skip
    frame["n_left"] = [left.get(name, 0) for name in frame["list_name"]]
    names = ("list_name", "list_kind", "n_listed", "n_left", "list_author", "list_made_at")
    return frame[[*names, "list_made_from", "list_description"]]


def list_members(name: str) -> pd.DataFrame:
    """Return what a list has, with its sessions and mice.

    Returns
    -------
    pandas.DataFrame
        Sorted by key: ``unit_id`` (of a list of units), ``session_id``, ``mouse_id`` and, of units,
        ``is_imported``: False for those that are not in the tables now.

    Raises
    ------
    NotFoundError
        If there is no such list.
    """
    kind = list_row(name)["list_kind"]
    frame = fetch_frame(MEMBERS[kind] & {"list_name": name}).drop(columns="list_name")
    if kind == SESSIONS:
        return frame[["session_id", "mouse_id"]]
    present = KNOWN[UNITS].proj().restrict(ListUnit & {"list_name": name}, semantic_check=False)
    frame["is_imported"] = frame["unit_id"].isin(present.to_arrays("unit_id"))
    return frame[["unit_id", "session_id", "mouse_id", "is_imported"]]


def list_kind(name: str) -> str:
    """Return what a list is of, ``units`` or ``sessions``; raise NotFoundError if there is none."""
    return str(list_row(name)["list_kind"])


def list_row(name: str) -> dict[str, Any]:
    """Return the row of a list; raise NotFoundError, with the nearest names, if there is none."""
    found: list[dict[str, Any]] = (NamedList & {"list_name": name}).to_dicts()
    if not found:
        known = NamedList.to_arrays("list_name").tolist()
        raise NotFoundError(f"There is no list '{shortened(name)}'.{nearest(name, known)}")
    return found[0]


def save_list(
    name: str,
    members: Any,
    *,
    of: str | None = None,
    description: str = "",
    made_from: str = "Python",
    replace: bool = False,
    skip_missing: bool = False,
) -> SavedList:
    """Save units or sessions as a list.

    Parameters
    ----------
    name : small letters, digits, ``-``, ``_`` and ``.``, at most 64.
    members : a query, or a data frame with ``unit_id`` or else ``session_id``, or ids.
    of : ``units`` or ``sessions``; by default units wherever there are units, as of plain ids.
    description : what it is for.
    made_from : how it was made, for the record.
    replace : put it in the place of a list of this name, if that may be removed.
    skip_missing : leave out ids that nothing has.

    Raises
    ------
    SettingError
        If the name or an id cannot be one, or there are no members.
    NotFoundError
        If nothing has some of the ids, unless `skip_missing`.
    ConflictError
        If there is such a list already, or somebody else is writing it.
    RefusedError
        If the account may not write lists, or not replace this one.
    """
    name = checked_name("list", name, LONGEST_NAME)
    kind, given = _ids(members, of)
    ids = np.unique(given)
    keys, missing = _found(kind, ids)
    if missing and not skip_missing:
        raise NotFoundError(_about_missing(kind, missing, len(ids)))
    if keys.empty:
        raise SettingError(f"The list '{name}' would have no {kind}.")
    row = {
        "list_name": name,
        "list_kind": kind,
        "n_listed": len(keys),
        "list_description": checked_text("description", description, LONGEST_DESCRIPTION),
        "list_author": author(),
        "list_made_at": datetime.now(UTC).replace(tzinfo=None),
        "list_made_from": shortened(made_from, LONGEST_SOURCE),
    }
    replaced = (NamedList & {"list_name": name}).to_dicts() if replace else []
    for each in replaced:
        require_author(each["list_author"], f"The list '{name}'")
    with _writing(name):
        for each in replaced:
            _delete(each)
        _insert(row, keys)
    return SavedList(name, kind, len(keys), len(given) - len(ids), missing)


def remove_list(name: str) -> None:
    """Remove a list; what it lists stays.

    Raises
    ------
    NotFoundError
        If there is no such list.
    RefusedError
        If it is somebody else's.
    """
    row = list_row(name)
    require_author(row["list_author"], f"The list '{name}'")
    with _writing(name):
        _delete(row)


def rename_list(name: str, new: str) -> None:
    """Give a list another name.

    Raises
    ------
    SettingError, NotFoundError, ConflictError, RefusedError
        As for `save_list` and `remove_list`.
    """
    row = list_row(name)
    require_author(row["list_author"], f"The list '{name}'")
    new = checked_name("list", new, LONGEST_NAME)
    with _writing(new):
        members = fetch_frame(MEMBERS[row["list_kind"]] & {"list_name": name}).drop(columns="list_name")
        _insert({**row, "list_name": new}, members)
        _delete(row)


def in_lists(query: Any, names: Names, *, without: bool = False) -> Any:
    """Return the units or sessions of a query that are in one of some lists, or in none of them.

    Parameters
    ----------
    query : query expression with the session's key, and the unit's if it is one of units.
    names : names of lists; None for no restriction.
    without : those in none of the lists.

    Raises
    ------
    NotFoundError
        If there is no such list, with the nearest.

    Warns
    -----
    IncompleteWarning
        If a list has lost members with their sessions, or some of its units are not imported.
    """
    if names is None:
        return query
    rows = [list_row(name) for name in ([names] if isinstance(names, str) else dict.fromkeys(names))]
    for row in rows:
        _warn_of_lost(row)
    keys: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        keys.setdefault(row["list_kind"], []).append({"list_name": row["list_name"]})
    # Units are matched by their ids: they have no foreign key, so that DataJoint thinks they are unrelated.
    chosen = [MEMBERS[kind] & some for kind, some in keys.items()]
    return query.restrict(dj.Not(chosen) if without else chosen, semantic_check=False)


def sessions_in_lists(names: Collection[str]) -> list[int]:
    """Return the ids of the sessions in some lists, or of the units in them; empty for no lists.

    Raises
    ------
    NotFoundError
        If there is no such list.
    """
    if not names:
        return []
    return sorted(map(int, in_lists(session.Session.proj(), list(names)).to_arrays("session_id")))


def _warn_of_lost(row: dict[str, Any]) -> None:
    """Warn if not all that a list had is in the tables."""
    kind, members = row["list_kind"], MEMBERS[row["list_kind"]] & {"list_name": row["list_name"]}
    n_left = len(KNOWN[kind].proj().restrict(members, semantic_check=False))
    if n_left < row["n_listed"]:
        warnings.warn(
            f"The list '{row['list_name']}' had {row['n_listed']} {kind}, of which {n_left} are here: the "
            "others' sessions were deleted, or are not imported. See: vbn lists, vbn deletions, vbn status.",
            IncompleteWarning,
            stacklevel=4,
        )


def _ids(members: Any, of: str | None) -> tuple[str, np.ndarray]:
    """Return what members are, and their ids as they were given."""
    if of not in (None, *ID):
        raise SettingError(f"A list is of 'units' or 'sessions', not '{shortened(of)}'.")
    names = members.heading.names if hasattr(members, "proj") else getattr(members, "columns", None)
    if names is None:
        return of or UNITS, _whole(members)
    columns = list(map(str, names))
    found = {kind: our_name(word, columns) for kind, word in ID.items() if our_name(word, columns)}
    kind = of or next(iter(found), None)
    if kind is None or kind not in found:
        wanted = "Neither unit_id nor session_id" if of is None else f"No {ID[of]}"
        raise SettingError(f"{wanted} is among these columns: {shortened(', '.join(columns), 200)}.")
    if hasattr(members, "proj"):
        return kind, np.asarray(members.to_arrays(found[kind]), dtype=np.int64)
    return kind, _whole(members[found[kind]])


def _whole(values: Any) -> np.ndarray:
    """Return ids as integers; raise SettingError for one that is no whole number."""
    found = []
    several: Any = [values] if isinstance(values, str | numbers.Real) else values
    for value in several:
        try:
            number = int(value)
            if isinstance(value, str) and "_" in value:  # a digit separator of Python only
                raise ValueError
            is_whole = isinstance(value, int | np.integer | str) or number == float(value)
            if not is_whole or abs(number) >= 2**63 or isinstance(value, bool | np.bool_):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise SettingError(f"'{shortened(value)}' is no id: ids are whole numbers.") from None
        found.append(number)
    return np.asarray(found, dtype=np.int64)


def ids_with_keys(members: Any, of: str) -> pd.DataFrame:
    """Return the keys of units or sessions, each once; raise NotFoundError if nothing has an id.

    Parameters
    ----------
    members, of : as for `save_list`.
    """
    kind, given = _ids(members, of)
    keys, missing = _found(kind, ids := np.unique(given))
    if missing:
        raise NotFoundError(_about_missing(kind, missing, len(ids), can_skip=False))
    return keys


def _found(kind: str, ids: np.ndarray) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Return the keys that have some ids, and the ids that nothing has."""
    keys = _keys(kind, ids)
    return keys, tuple(int(each) for each in np.setdiff1d(ids, keys[ID[kind]].to_numpy(np.int64)))


def _keys(kind: str, ids: np.ndarray) -> pd.DataFrame:
    """Return the keys that have some ids, of those that are there."""
    table, name = KNOWN[kind].proj(), ID[kind]
    wanted = ["mouse_id", "session_id"] + ([name] if kind == UNITS else [])
    parts = [
        fetch_frame(table & f"{name} IN ({', '.join(map(str, ids[first : first + IDS_AT_A_TIME]))})")[wanted]
        for first in range(0, len(ids), IDS_AT_A_TIME)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=wanted)


def _about_missing(kind: str, missing: tuple[int, ...], n_given: int, *, can_skip: bool = True) -> str:
    few = ", ".join(map(str, missing[:SHOWN])) + (", ..." if len(missing) > SHOWN else "")
    text = f"{len(missing):,} of {n_given:,} ids are those of no {kind[:-1]} here: {few}."
    other = SESSIONS if kind == UNITS else UNITS
    if len(missing) == n_given and len(_keys(other, np.asarray(missing[:1]))):
        return f"{text} The first is that of a {other[:-1]}: ask for a list of {other}."
    others = ", or have them left out (--skip-missing, skip_missing=True)" if can_skip else ""
    return f"{text} Leave them out{others}."


def _insert(row: dict[str, Any], members: pd.DataFrame) -> None:
    NamedList.insert1(row)
    insert_rows(MEMBERS[row["list_kind"]](), rows_with_keys(members, {"list_name": row["list_name"]}))


def rows_with_keys(members: pd.DataFrame, shared: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield rows with the keys in a frame, and what they share."""
    for each in members.to_dict("records"):
        yield {**shared, **{str(name): value for name, value in each.items()}}


def _delete(row: dict[str, Any]) -> None:
    """Delete a list that was read before, unless another has taken its place."""
    key = {"list_name": row["list_name"]}
    if not NamedList & {name: row[name] for name in ("list_name", "list_author", "n_listed")}:
        raise ConflictError(f"The list '{row['list_name']}' has been changed meanwhile. See: vbn lists")
    (MEMBERS[row["list_kind"]] & key).delete_quick()
    (NamedList & key).delete_quick()


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Write a list wholly or not at all; explain what others do at the same time."""
    busy = (
        f"Somebody else is writing the list '{name}', or deletes what it lists. Nothing was changed: "
        "try again."
    )
    try:
        with dj.conn().transaction:
            yield
    except dj.errors.DuplicateError as error:
        raise ConflictError(_about_existing(name)) from error
    except dj.errors.IntegrityError as error:
        raise ConflictError(busy) from error
    except DRIVER_ERRORS as error:
        if code_of(error) in LOCKED:
            raise ConflictError(busy) from error
        raise


def _about_existing(name: str) -> str:
    rows = (NamedList & {"list_name": name}).to_dicts()
    if not rows:
        return f"Somebody else has just written the list '{name}'. Try again."
    row = rows[0]
    return (
        f"There is a list '{name}' already: {row['n_listed']:,} {row['list_kind']}, by "
        f"{shortened(row['list_author'])}, {row['list_made_at']:%Y-%m-%d}. Choose another name, or put "
        "yours in its place (--replace, replace=True)."
    )
