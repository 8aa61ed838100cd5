"""The order in which a mouse met the image sets, and which sets an image is in, as columns of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas import session, stimulus
from schemas.queries.checks import knowing_arguments, require_choice, restrict
from vbn.analysis.task.flash_behavior import SHARED_IMAGES

SETS = "GH"
OTHER = dict(zip(SETS, reversed(SETS), strict=True))
SHARED = "shared"
MEMBERSHIPS = (*(f"{letter} only" for letter in SETS), SHARED)


def _trajectories() -> dict[str, list[dict[str, Any]]]:
    """Return each trajectory, with what tells its two recordings."""
    found: dict[str, list[dict[str, Any]]] = {}
    for image_set in SETS:
        for number in (1, 2):
            for level in ("Familiar", "Novel"):
                trained = image_set if level == "Familiar" else OTHER[image_set]
                days = image_set + OTHER[image_set]
                name = trained + (days if number == 1 else days[::-1])
                row = {"image_set": image_set, "session_number": number, "experience_level": level}
                found.setdefault(name, []).append(row)
    return found


TRAJECTORIES = _trajectories()
"""Trajectory -> what tells its recordings: letters of the trained set, of the first and of the second day.

GGH, HHG and GHG are those of Bennett et al. 2025; HGH would be the fourth.
"""


def _case(rows: dict[str, list[dict[str, Any]]]) -> str:
    def condition(row: dict[str, Any]) -> str:
        return " AND ".join(f"{name} = {value!r}" for name, value in row.items())

    whens = (f"WHEN {condition(row)} THEN '{name}'" for name, known in rows.items() for row in known)
    return f"CASE {' '.join(whens)} END"


TRAJECTORY = {"training_trajectory": _case(TRAJECTORIES)}
"""Attribute of a projection of `session.Session`."""


def of_trajectories(names: str | Sequence[str]) -> Any:
    """Return the recordings of mice that met the image sets in one of these orders."""
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        require_choice("training trajectory", name, list(TRAJECTORIES))
    return session.Session.proj() & (session.Session & [row for name in chosen for row in TRAJECTORIES[name]])


@knowing_arguments
def images(membership: str | Sequence[str] | None = None) -> Any:
    """Return the images of the task with ``image_membership``: ``G only``, ``H only`` or ``shared``.

    Parameters
    ----------
    membership : one or more of these; None for all.

    Returns
    -------
    query expression
        One row per image, its key that of ``stimulus.Image``; NULL for images of no set, and for omissions.
    """
    shared = ", ".join(f"'{name}'" for name in SHARED_IMAGES)
    n_sets = "COUNT(image_set_name)"
    column = (
        f"CASE WHEN image_name IN ({shared}) OR {n_sets} > 1 THEN '{SHARED}' "
        f"WHEN {n_sets} = 1 THEN CONCAT(MIN(image_set_name), ' only') END"
    )
    found = stimulus.Image.proj("image_sha256").aggr(
        stimulus.Image.Set, "image_sha256", image_membership=column, exclude_nonmatching=False
    )
    if membership is None:
        return found
    chosen = [membership] if isinstance(membership, str) else list(membership)
    for name in chosen:
        require_choice("membership of an image", name, MEMBERSHIPS)
    return restrict(found, {"image_membership": chosen})
