"""Projects: the data sets that sessions belong to, and averages that would mix them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from schemas import session
from schemas.queries.checks import restrict
from schemas.server.datajoint import dj
from vbn.errors import SettingError

ALL = "all"
"""Stands for all projects, together."""

Names = str | Sequence[str] | None


def in_project(query: Any, project: Names) -> Any:
    """Return the rows of a query that are of projects; all of them for None and for ``all``.

    Raises
    ------
    NotFoundError
        There is no such project; the message names the nearest.
    """
    return query if project is None or ALL in _listed(project) else restrict(query, {"project": project})


def of_one_project(query: Any, project: Names, what: str) -> Any:
    """Return the rows of a query that may be averaged over sessions.

    Parameters
    ----------
    query : query of units or sessions.
    project : names of projects, or ``all`` to join them; None where there is one only.
    what : what would mix them, for the message.

    Raises
    ------
    SettingError
        The rows are of several projects, and none is named.
    """
    if project is not None:
        return in_project(query, project)
    if len(projects()) > 1:
        found = sorted((dj.U("project") & query).to_arrays("project").tolist())
        if len(found) > 1:
            raise SettingError(
                f"{what} would mix {len(found)} projects: {', '.join(found)}. Name one (--project "
                f"{found[0]}), or join them (--project {ALL})."
            )
    return query


def projects() -> list[str]:
    """Return the names of the projects that have sessions, sorted."""
    return sorted((dj.U("project") & session.Session).to_arrays("project").tolist())


def sessions_by_project(session_ids: Iterable[int]) -> dict[str, int]:
    """Return the number of some sessions in each project, by name."""
    project_of = dict(zip(*session.Session.to_arrays("session_id", "project"), strict=True))
    return dict(sorted(Counter(str(project_of[number]) for number in set(session_ids)).items()))


def mice_by_project(mouse_ids: Iterable[str]) -> dict[str, int]:
    """Return the number of some mice in each project, by name; a mouse belongs to one."""
    project_of = dict(zip(*session.Session.to_arrays("mouse_id", "project"), strict=True))
    return dict(sorted(Counter(str(project_of[mouse]) for mouse in set(mouse_ids)).items()))


def _listed(project: str | Sequence[str]) -> list[str]:
    return [project] if isinstance(project, str) else list(project)
