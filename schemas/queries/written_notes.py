"""Notes and labels of people on units and sessions: writing and withdrawing them, and selecting by them."""

from __future__ import annotations

import numbers
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from schemas.curation import SessionNote, UnitNote
from schemas.queries.authors import author, checked_name, checked_text, require_author
from schemas.queries.named_lists import ID, KNOWN, SESSIONS, UNITS, Names, ids_with_keys, rows_with_keys
from schemas.rows.fetch import fetch_frame
from schemas.rows.insert import insert_rows
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError, SettingError, shortened
from vbn.nearest import nearest

LABELS = "labels"
LONGEST_LABEL, LONGEST_NOTE = 32, 2000
MOST_AT_ONCE = 1000
NOTES: dict[str, Any] = {UNITS: UnitNote, SESSIONS: SessionNote}
NAMES = {
    kind: {
        f"{one}_note_id": "note_id",
        f"{one}_label": "label",
        f"{one}_note": "note",
        f"{one}_note_author": "author",
        f"{one}_noted_at": "noted_at",
    }
    for kind, one in ((UNITS, "unit"), (SESSIONS, "session"))
}
"""Attribute of a table of notes -> its name in `notes`."""
COLUMNS = ("note_id", "unit_id", "session_id", "label", "note", "author", "noted_at")


def notes(
    *,
    unit_id: int | Sequence[int] | None = None,
    session_id: int | Sequence[int] | None = None,
    label: Names = None,
    author: Names = None,
) -> pd.DataFrame:
    """Return the notes on units and sessions, the latest first.

    Parameters
    ----------
    unit_id : only notes on these units.
    session_id : only notes on these sessions and on their units.
    label, author : only notes with one of these labels, of one of these authors.

    Returns
    -------
    pandas.DataFrame
        ``note_id``, ``unit_id`` (missing for a note on a session), ``session_id``, ``label``, ``note``,
        ``author``, ``noted_at`` (UTC).

    Raises
    ------
    NotFoundError
        If nobody has used such a label, with the nearest.
    """
    wanted = {"unit_id": unit_id, "session_id": session_id}
    found = []
    for kind, table in NOTES.items():
        if kind == SESSIONS and unit_id is not None:
            continue
        names = {ours: theirs for theirs, ours in NAMES[kind].items()}
        given = {**wanted, names["label"]: label, names["author"]: author}
        query = table()
        for name, values in given.items():
            if values is not None and name in table.heading.names:
                query = query & [{name: each} for each in _several(values)]
        found.append(fetch_frame(query).rename(columns=NAMES[kind]).reindex(columns=list(COLUMNS)))
    _require_labels(label)
    frame = pd.concat([each.astype(object) for each in found], ignore_index=True)
    frame = frame.astype({"unit_id": "Int64", "session_id": "Int64"})
    return frame.sort_values("noted_at", ascending=False, kind="stable", ignore_index=True)


def add_notes(ids: Any, text: str = "", *, label: str = "", of: str = "units") -> list[str]:
    """Write a note on units or sessions; what it is about does not change.

    Parameters
    ----------
    ids : one id or several, a query, or a data frame.
    text : the text, at most 2,000 characters; may be empty beside a label.
    label : small letters, digits, ``-``, ``_`` and ``.``, at most 32; may be empty beside a text.
    of : ``units`` or ``sessions``.

    Returns
    -------
    The notes' ids, by which they can be withdrawn. What has the label by the same author already is left out,
    unless there is a text besides.

    Raises
    ------
    SettingError
        If there is neither text nor label, or one that cannot be stored.
    NotFoundError
        If nothing has an id.
    ConflictError
        If what it is about was deleted meanwhile.
    """
    text = checked_text("note", text, LONGEST_NOTE)
    label = checked_name("label", label, LONGEST_LABEL) if label else ""
    if not text and not label:
        raise SettingError("A note needs a text, or a label, or both.")
    keys, who = ids_with_keys(_several(ids), of), author()
    theirs = {ours: name for name, ours in NAMES[of].items()}
    if label and not text:
        labelled = NOTES[of] & {theirs["label"]: label, theirs["author"]: who}
        keys = keys[~keys[ID[of]].isin(labelled.to_arrays(ID[of]))]
    about = {"label": label or None, "note": text or None, "author": who, "noted_at": _now()}
    shared = {theirs[name]: value for name, value in about.items()}
    note_ids = [secrets.token_hex(8) for _ in range(len(keys))]
    rows = rows_with_keys(keys.assign(**{theirs["note_id"]: note_ids}), shared)
    try:
        with dj.conn().transaction:
            insert_rows(NOTES[of](), rows)
    except dj.errors.IntegrityError as error:
        raise ConflictError("What the note is about is being deleted. Nothing was written.") from error
    return note_ids


def withdraw_note(note_id: str | Sequence[str]) -> int:
    """Withdraw a note, or several: all of them or none.

    Parameters
    ----------
    note_id : the ids, as in `notes`.

    Returns
    -------
    The number of notes withdrawn.

    Raises
    ------
    NotFoundError
        If there is none of one of the ids.
    RefusedError
        If one is somebody else's.
    """
    wanted = list(dict.fromkeys([note_id] if isinstance(note_id, str) else note_id))
    found: dict[str, Any] = {}
    for part in _batched(wanted):
        for query, theirs in _notes_of(part):
            for row in query.proj(theirs["author"]).to_dicts():
                require_author(row[theirs["author"]], f"The note {row[theirs['note_id']]}")
                found[row[theirs["note_id"]]] = row
    if absent := [each for each in wanted if each not in found]:
        raise NotFoundError(f"There is no note '{shortened(absent[0])}'. See: vbn notes")
    with dj.conn().transaction:
        for part in _batched(wanted):
            for query, _theirs in _notes_of(part):
                query.delete_quick()
    return len(found)


def _batched(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in parts, each for one statement."""
    return (ids[start : start + MOST_AT_ONCE] for start in range(0, len(ids), MOST_AT_ONCE))


def _notes_of(note_ids: Sequence[str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield the notes of each kind that have one of some ids, and how the table names its columns."""
    for kind, table in NOTES.items():
        theirs = {ours: name for name, ours in NAMES[kind].items()}
        yield table & [{theirs["note_id"]: each} for each in note_ids], theirs


def with_labels(query: Any, labels: Names, *, without: bool = False) -> Any:
    """Return the units or sessions of a query that somebody has given one of some labels, or nobody has.

    Parameters
    ----------
    query : query expression with the session's key, and the unit's if it is one of units.
    labels : the labels; None for no restriction. A session's label holds for its units, too.
    without : those with none of the labels.

    Raises
    ------
    NotFoundError
        If nobody has used such a label, with the nearest.
    """
    if labels is None:
        return query
    _require_labels(labels)
    chosen = [SessionNote & [{"session_label": each} for each in _several(labels)]]
    if "unit_id" in query.heading.names:
        chosen.append(UnitNote & [{"unit_label": each} for each in _several(labels)])
    return query.restrict(dj.Not(chosen) if without else chosen, semantic_check=False)


def labelled_units() -> Any:
    """Return the units that have labels, with these as one text, as a query."""
    return _labels(UNITS)


def _sessions_with_labels() -> Any:
    """Return the sessions that have labels, with these as one text, as a query."""
    return _labels(SESSIONS)


def labelled_sessions(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of sessions with their labels, missing where there are none."""
    labels = fetch_frame(_sessions_with_labels())[["session_id", LABELS]]
    return sessions.merge(labels, on="session_id", how="left", validate="one_to_one")


def _labels(kind: str) -> Any:
    theirs = {ours: name for name, ours in NAMES[kind].items()}
    label, table = theirs["label"], KNOWN[kind].proj()
    if table.connection.adapter.backend == "mysql":
        joined = f"GROUP_CONCAT(DISTINCT {label} ORDER BY {label} SEPARATOR ', ')"
    else:
        joined = f"STRING_AGG(DISTINCT {label}, ', ' ORDER BY {label})"
    labelled = NOTES[kind] & f"{label} IS NOT NULL"
    by_id = dj.U(ID[kind]).aggr(labelled, **{LABELS: joined})
    return table.join(by_id, semantic_check=False)


def _require_labels(labels: Names) -> None:
    """Require that somebody has used labels: a misspelt one selects nothing, or leaves out nothing."""
    if labels is None:
        return
    known = {
        str(each)
        for name, table in (("unit_label", UnitNote), ("session_label", SessionNote))
        for each in (dj.U(name) & (table & f"{name} IS NOT NULL")).to_arrays(name)
    }
    for each in _several(labels):
        if each not in known:
            raise NotFoundError(f"Nobody has used the label '{shortened(each)}'.{nearest(each, known)}")


def _several(values: Any) -> Any:
    return [values] if isinstance(values, str | numbers.Integral) else values


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
