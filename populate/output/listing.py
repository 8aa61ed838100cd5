"""Lists of the sessions, and of the import issues of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from populate.work.runner import session_keys
from populate.work.status import imported_counts
from schemas import session
from schemas.queries.projects import ALL
from vbn.errors import NotFoundError
from vbn.nearest import nearest
from vbn.nwb.mapping.definition import RELEASE_PROJECT

SESSION_COLUMNS = (
    "session_id", "mouse_id", "date", "session_type", "kind", "project", "has_file", "lfp_files", "imported",
)  # fmt: skip
"""Of the rows of `list_sessions`."""
SEVERITIES = ("info", "warning", "error")


def list_issues(session_ids: list[int], least: str = "info") -> list[dict[str, Any]]:
    """Return the import issues of sessions (default: all) with at least this severity.

    Raises
    ------
    NotFoundError
        If a session is not registered.
    """
    keys = session_keys(session_ids)
    wanted = [{"severity": name} for name in SEVERITIES[SEVERITIES.index(least) :]]
    issues = session.ImportIssue & wanted & (keys if session_ids else True)
    return list(issues.to_dicts(order_by="KEY"))


def list_sessions(mice: list[str], projects: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return one row per session that is registered or in the catalogue, by mouse and date.

    Raises
    ------
    NotFoundError
        If a mouse or a project is unknown.
    """
    rows = {row["session_id"]: row for row in (*_from_catalogue(), *_registered())}
    unknown = sorted(set(mice) - {row["mouse_id"] for row in rows.values()})
    if unknown:
        raise NotFoundError(f"No such mouse: {', '.join(unknown)}.")
    known = {row["project"] for row in rows.values()}
    if lacking := sorted(set(projects) - {*known, ALL}):
        raise NotFoundError(f"There is no project '{lacking[0]}'.{nearest(lacking[0], known)}")
    named = set() if ALL in projects else set(projects)
    chosen = [row for row in rows.values() if not named or row["project"] in named]
    chosen = [row for row in chosen if not mice or row["mouse_id"] in mice]
    return sorted(chosen, key=lambda row: (row["mouse_id"], row["date"], row["session_id"]))


def _registered() -> list[dict[str, Any]]:
    counts = imported_counts()
    lfp_files: dict[int, int] = {}
    for number in session.LfpFile.to_arrays("session_id").tolist():
        lfp_files[number] = lfp_files.get(number, 0) + 1
    described = session.Session.proj("session_type", "date_of_acquisition", "project")
    query = described * session.NwbFile.proj("file_kind")
    return [
        {
            "session_id": row["session_id"],
            "mouse_id": row["mouse_id"],
            "date": str(row["date_of_acquisition"].date()),
            "session_type": row["session_type"],
            "kind": row["file_kind"],
            "project": row["project"],
            "has_file": True,
            "lfp_files": lfp_files.get(row["session_id"], 0),
            "imported": counts.get(row["session_id"], "nothing"),
        }
        for row in query.to_dicts()
    ]


def _from_catalogue() -> list[dict[str, Any]]:
    return [
        {
            "session_id": row["catalogue_session_id"],
            "mouse_id": row["catalogue_mouse_id"],
            "date": str(row["catalogue_row"].get("date_of_acquisition") or "unknown")[:10],
            "session_type": row["catalogue_row"].get("session_type") or "unknown",
            "kind": row["catalogue_kind"],
            "project": RELEASE_PROJECT,
            "has_file": False,
            "lfp_files": 0,
            "imported": "nothing",
        }
        for row in session.CatalogueSession.to_dicts()
    ]
