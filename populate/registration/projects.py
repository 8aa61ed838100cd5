"""Projects of registered sessions: how much each has, and moving sessions that are in the wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas import ecephys, session
from schemas.files.open_file import mapping_of
from schemas.server.access import require_admin
from schemas.server.connection import Database
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, NotFoundError, shortened
from vbn.nearest import nearest
from vbn.nwb.mapping.definition import RELEASE_PROJECT, check_project


@dataclass(frozen=True)
class ProjectSize:
    """What a project has.

    Attributes
    ----------
    n_units : of its recordings that are imported.
    """

    project: str
    n_mice: int
    n_sessions: int
    n_recordings: int
    n_units: int


@dataclass(frozen=True)
class Move:
    """A session that was moved from one project to another.

    Attributes
    ----------
    mapping_project : the project that its mapping names, if it has one that names another: read anew by
        that mapping, the session would go back.
    """

    session_id: int
    old: str
    new: str
    mapping_project: str | None


def project_sizes() -> list[ProjectSize]:
    """Return what each project has, by name."""
    counts = {"n_mice": "COUNT(DISTINCT mouse_id)", "n_sessions": "COUNT(*)"}
    rows = dj.U("project").aggr(session.Session, **counts).to_dicts(order_by="project")
    files = session.Session.proj("project") * session.NwbFile.proj("file_kind")
    recordings = dj.U("project").aggr(files & {"file_kind": "recording"}, n="COUNT(*)")
    units = dj.U("project").aggr(
        session.Session.proj("project") * ecephys.Recording.proj("n_units"), n="SUM(n_units)"
    )
    n_recordings, n_units = (
        dict(zip(*query.to_arrays("project", "n"), strict=True)) for query in (recordings, units)
    )
    return [
        ProjectSize(
            str(row["project"]),
            int(row["n_mice"]),
            int(row["n_sessions"]),
            int(n_recordings.get(row["project"], 0)),
            int(n_units.get(row["project"], 0)),
        )
        for row in rows
    ]


def sessions_of_mice(mouse_ids: Sequence[str]) -> list[int]:
    """Return the ids of all registered sessions of mice; raise NotFoundError for a mouse without any."""
    known = session.Session.to_arrays("mouse_id").tolist()
    for mouse in mouse_ids:
        if mouse not in known:
            raise NotFoundError(f"There is no mouse '{shortened(mouse)}'.{nearest(mouse, known)}")
    rows = session.Session & [{"mouse_id": mouse} for mouse in mouse_ids]
    return sorted(int(number) for number in rows.to_arrays("session_id"))


def move_sessions(database: Database, session_ids: Sequence[int], project: str) -> list[Move]:
    """Put registered sessions into another project; imported and computed rows stay as they are.

    Parameters
    ----------
    session_ids : ids of all sessions of their mice: a mouse belongs to one project.
    project : name of the project, which need not exist.

    Returns
    -------
    One for each session that was not there already.

    Raises
    ------
    NotFoundError
        A session is not registered.
    ConflictError
        A mouse would be in two projects, or a session of the release's tables would leave `vbn-release`.
    SettingError
        The name is not one for a project.
    RefusedError
        The account may not do this.
    """
    require_admin(database, "move sessions to another project")
    check_project(project, "The project")
    with database.connection.transaction:
        rows = _registered(session_ids)
        _require_whole_mice(rows)
        _require_not_of_release(rows, project)
        moved = [row for row in rows if row["project"] != project]
        for row in moved:
            key = {name: row[name] for name in session.Session.primary_key}
            session.Session.update1({**key, "project": project})
    return [
        Move(row["session_id"], row["project"], project, _mapped(row["session_id"], project)) for row in moved
    ]


def _registered(session_ids: Sequence[int]) -> list[dict[str, Any]]:
    known = (
        (session.Session & [{"session_id": int(number)} for number in session_ids]).proj("project").to_dicts()
    )
    if lacking := sorted({*session_ids} - {row["session_id"] for row in known}):
        near = nearest(str(lacking[0]), session.Session.to_arrays("session_id").tolist())
        raise NotFoundError(f"There is no session {lacking[0]}.{near} Nothing was moved.")
    return sorted(known, key=lambda row: row["session_id"])


def _require_whole_mice(rows: Sequence[dict[str, Any]]) -> None:
    named = {row["session_id"] for row in rows}
    of_mice = session.Session & [{"mouse_id": row["mouse_id"]} for row in rows]
    for row in of_mice.proj().to_dicts(order_by="session_id"):
        if row["session_id"] not in named:
            raise ConflictError(
                f"Session {row['session_id']} is of the same mouse, {row['mouse_id']}, and a mouse belongs "
                "to one project. Name all sessions of the mouse (--mouse). Nothing was moved."
            )


def _require_not_of_release(rows: Sequence[dict[str, Any]], project: str) -> None:
    if project == RELEASE_PROJECT:
        return
    ids = [{"catalogue_session_id": row["session_id"]} for row in rows]
    listed = sorted((session.CatalogueSession & ids).to_arrays("catalogue_session_id").tolist())
    if listed:
        raise ConflictError(
            f"Session {listed[0]} is in the tables of the release, whose sessions stay in "
            f"'{RELEASE_PROJECT}'. Nothing was moved."
        )


def _mapped(session_id: int, project: str) -> str | None:
    mapping = mapping_of(session_id)
    return None if mapping is None or mapping.project == project else mapping.project
