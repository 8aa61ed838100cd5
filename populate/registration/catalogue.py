"""Entering the release's tables: data missing in the files, sessions without a file, and comparisons of both.

The tables' data of a session are entered in one transaction, together with the additions to the session's own
row: completely or not at all. Sessions are entered one after the other; a failure does not stop the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from populate.registration import catalogue_channels
from populate.registration.catalogue_tables import FROM_BEHAVIOR, ListedSession, ReleaseTables, Row, completed
from populate.work.staleness import withdraw_selections
from schemas import ecephys, session
from schemas.bases.issues import note_issues
from schemas.rows.insert import insert_rows, key_of_session
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, VbnError, quoted
from vbn.nwb import Issue
from vbn.nwb.issue import issue
from vbn.nwb.mapping.definition import RELEASE_PROJECT

Key = dict[str, Any]

FROM_ECEPHYS = (
    "experience_level",
    "session_number",
    "training_session_number",
    "prior_exposures_to_session_type",
    "prior_exposures_to_image_set",
    "prior_exposures_to_omissions",
    "abnormal_histology",
    "abnormal_activity",
)
PARTS = (session.CatalogueProbe, session.CatalogueChannel, session.CatalogueUnit)
COMPARED = ("mouse_id", "genotype", "sex", "age_in_days", "session_type", "equipment_name", "image_set")
COUNTED = ("unit", "probe", "channel")
NOT_STATED = (None, "U")  # U is an unknown sex
ABNORMAL = ("abnormal_histology", "abnormal_activity")
HOURS_OFF = (0, 7, 8)  # the release labels Pacific time as UTC


@dataclass
class Entered:
    """The result of entering the release's tables.

    Parameters
    ----------
    added : table -> number of new rows.
    completed : registered sessions to which the tables added something.
    disagreeing : registered sessions for which the tables contradict the file.
    failed : sessions of which nothing was entered, with the reason.
    problems : each problem once.
    n_withdrawn : number of removed results, which were made before the tables completed their session.
    n_unlisted : file -> number of rows left out, because no table lists their session.
    """

    added: Counter[str] = field(
        default_factory=lambda: Counter({table.__name__: 0 for table in (session.CatalogueSession, *PARTS)})
    )
    completed: set[int] = field(default_factory=set)
    disagreeing: list[int] = field(default_factory=list)
    failed: dict[int, VbnError] = field(default_factory=dict)
    problems: list[VbnError] = field(default_factory=list)
    n_withdrawn: int = 0
    n_unlisted: Counter[str] = field(default_factory=Counter)


def enter(tables: ReleaseTables) -> Entered:
    """Enter the release's tables, and complete and compare the registered sessions.

    Existing rows stay; missing values of a session are added.
    """
    done = Entered(failed=dict(tables.left_out), problems=list(tables.problems), n_unlisted=tables.n_unlisted)
    known = {row["catalogue_session_id"]: row for row in session.CatalogueSession.to_dicts()}
    of_release = session.Session & {"project": RELEASE_PROJECT}
    registered = {key["session_id"]: key for key in (session.NwbFile & of_release.proj()).proj().to_dicts()}
    without_parts = []
    for number, listed in sorted(tables.sessions.items()):
        if listed.parts or number in registered or number in known:
            _enter_one(done, listed, known.get(number), registered.get(number))
        else:
            without_parts.append(_session_row(listed))
    insert_rows(session.CatalogueSession(), without_parts)  # thousands of training days, one row each
    done.added["CatalogueSession"] += len(without_parts)
    return done


def _enter_one(done: Entered, listed: ListedSession, known: Row | None, key: Key | None) -> None:
    """Enter one session, and record its failure or result."""
    try:
        with dj.conn().transaction:
            added = {"CatalogueSession": _enter_row(listed, known), **_enter_parts(listed)}
            is_new, withdrawn = complete_session(key) if key else (False, 0)
            found = note_catalogue(key) if key else []
    except (dj.errors.DuplicateError, dj.errors.IntegrityError) as error:
        _fail(done, listed.session_id, _id_conflict(listed, error))
    except VbnError as error:
        _fail(done, listed.session_id, error)
    else:
        done.added.update(added)
        done.n_withdrawn += withdrawn
        done.completed |= {listed.session_id} if is_new else set()
        if any(one.code == "catalogue_disagrees" for one in found):
            done.disagreeing.append(listed.session_id)


def _fail(done: Entered, session_id: int, error: VbnError) -> None:
    done.failed[session_id] = error
    done.problems.append(error)


def _id_conflict(listed: ListedSession, error: Exception) -> ConflictError:
    return ConflictError(
        f"Session {listed.session_id}: another session has the id of one of its probes, channels or units "
        f"({quoted(str(error))}). Check that the tables are of one release."
    )


def _session_row(listed: ListedSession) -> Row:
    identity = {"catalogue_session_id": listed.session_id, "catalogue_kind": listed.kind}
    return {**identity, "catalogue_mouse_id": listed.row["mouse_id"], "catalogue_row": listed.row}


def _enter_row(listed: ListedSession, known: Row | None) -> int:
    """Enter a session's row, or add its new values to the existing one; return the number of new rows."""
    row = _session_row(listed)
    if known is None:
        session.CatalogueSession.insert1(row)
        return 1
    if known["catalogue_mouse_id"] != row["catalogue_mouse_id"]:
        raise ConflictError(
            f"Session {listed.session_id}: the tables name mouse {quoted(row['catalogue_mouse_id'])}, and "
            f"those entered before mouse {quoted(known['catalogue_mouse_id'])}. Check which are right."
        )
    merged = completed(listed.row, known["catalogue_row"])
    if merged != known["catalogue_row"]:
        session.CatalogueSession.update1({**row, "catalogue_row": merged})
    return 0


def _enter_parts(listed: ListedSession) -> dict[str, int]:
    """Insert the rows with new ids; return their number for each table."""
    added = {}
    for table in PARTS:
        (name,) = table.primary_key
        held = (table & {"catalogue_session_id": listed.session_id}).to_arrays(name)
        known = set(held.tolist())
        new = [row for row in listed.parts.get(table.__name__, ()) if row[name] not in known]
        insert_rows(table(), new)
        added[table.__name__] = len(new)
    return added


def catalogue_attributes(session_id: int) -> Row:
    """Return the attributes of Session in the entered tables; empty if they do not list the session."""
    rows = (session.CatalogueSession & {"catalogue_session_id": session_id}).to_dicts()
    if not rows:
        return {}
    (row,) = rows
    is_recording = row["catalogue_kind"] == "recording"
    columns = dict(zip(FROM_ECEPHYS, FROM_ECEPHYS, strict=True)) if is_recording else FROM_BEHAVIOR
    return {name: row["catalogue_row"].get(column) for name, column in columns.items()}


def complete_session(key: Key) -> tuple[bool, int]:
    """Add values of the tables that a registered session's row lacks.

    Returns
    -------
    Whether the row changed, and how many results were removed because of it.

    Raises
    ------
    ConflictError
        If the tables contradict what is entered.
    """
    session_key = key_of_session(key)
    known = (session.Session & session_key).fetch1()
    stated = {
        name: value for name, value in catalogue_attributes(key["session_id"]).items() if value is not None
    }
    missing = {name: value for name, value in stated.items() if known[name] is None}
    different = [name for name, value in stated.items() if known[name] not in (None, value)]
    if different:
        raise ConflictError(
            f"Session {key['session_id']}: the catalogue disagrees with the database in "
            + ", ".join(
                f"{name} ({quoted(str(stated[name]))} against {quoted(str(known[name]))})"
                for name in different
            )
            + ". Check that the catalogue is of the same release."
        )
    if missing:
        session.Session.update1(session_key | missing)
    return bool(missing), withdraw_selections(session_key) if missing else 0


def note_catalogue(key: Key) -> list[Issue]:
    """Record as issues, and return, where the tables contradict the file, and what they flag."""
    known = (session.Session * session.Mouse & key_of_session(key)).fetch1()
    listed = (session.CatalogueSession & {"catalogue_session_id": key["session_id"]}).to_dicts()
    row = listed[0]["catalogue_row"] if listed else {}
    found = {
        "Session": compare_metadata(row, known),
        "CatalogueSession": _compare_counts(key, row),
        "CatalogueChannel": catalogue_channels.compare(key),
    }
    for imported_by, issues in found.items():
        note_issues(key, imported_by, issues)
    return [one for issues in found.values() for one in issues]


def compare_metadata(row: Row, known: Row) -> list[Issue]:
    """Return issues for disagreements of a registered session with the tables, and for their flags.

    Parameters
    ----------
    row : the session's row in the tables, empty if they do not list it.
    known : the session's row in the database, joined with that of its mouse.

    Notes
    -----
    The time of acquisition may differ by the hours between Pacific time and UTC, as in the release.
    """
    different = [
        f"{name} {quoted(str(row[name]))}, in the file {_quoted_value(known[name])}"
        for name in COMPARED
        if row.get(name) not in NOT_STATED and str(row[name]) != str(known[name])
    ]
    if not _is_same_time(row.get("date_of_acquisition"), known["date_of_acquisition"]):
        there, here = row["date_of_acquisition"], known["date_of_acquisition"]
        different.append(f"date_of_acquisition {there}, in the file {here}")
    flagged = [f"{name} {row[name]}" for name in ABNORMAL if row.get(name)]
    found = [issue("catalogue_disagrees", "session", "; ".join(different))] if different else []
    return found + ([issue("abnormal_session", "session", "; ".join(flagged))] if flagged else [])


def _quoted_value(value: Any) -> str:
    return quoted(None if value is None else str(value))


def _is_same_time(there: str | None, here: datetime) -> bool:
    """Return whether a time in the tables, if any, is that of the file up to whole Pacific hours."""
    if there is None:
        return True
    offset_s = abs((here.replace(tzinfo=UTC) - pd.Timestamp(there).tz_convert(UTC)).total_seconds())
    return min(abs(offset_s - 3600 * hours) for hours in HOURS_OFF) <= 1


def _compare_counts(key: Key, row: Row) -> list[Issue]:
    """Compare an imported recording's numbers of probes, channels and units with the tables'."""
    imported = (ecephys.Recording & key_of_session(key)).to_dicts()
    pairs = [(name, row.get(f"{name}_count"), one[f"n_{name}s"]) for one in imported for name in COUNTED]
    wrong = [
        f"{here} {name}s, {there} in the table" for name, there, here in pairs if there not in (None, here)
    ]
    detail = "imported were " + "; ".join(wrong)
    return [issue("catalogue_disagrees", "counts", detail)] if wrong else []


def summary_lines(done: Entered) -> Iterable[str]:
    """Yield a summary for people, without the problems."""
    yield ", ".join(f"{number} rows added to {table}" for table, number in done.added.items()) + "."
    for file, number in done.n_unlisted.items():
        yield f"{number} rows of {file} are left out: their sessions are not in the tables of sessions."
    if done.completed:
        yield f"{len(done.completed)} registered sessions were completed."
    if done.n_withdrawn:
        yield (
            f"{done.n_withdrawn} selections of units were made before the tables completed their session; "
            "they and their averages are removed, and vbn populate makes them again."
        )
    if done.failed:
        few = ", ".join(map(str, sorted(done.failed)[:5])) + (", ..." if len(done.failed) > 5 else "")
        yield f"Sessions left out: {len(done.failed)} ({few})"
    yield f"{len(done.disagreeing)} registered sessions disagree with the tables (vbn issues)."
