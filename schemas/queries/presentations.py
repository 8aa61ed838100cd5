"""Presentations of stimuli: changes, omissions, flashes, Gabors and full-field flashes, by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas import behavior, stimulus
from schemas.queries.checks import (
    Condition,
    knowing_arguments,
    of_sessions,
    require_choice,
    restrict,
    restrict_all,
)
from schemas.queries.trajectories import images
from schemas.queries.units import Names

BLOCKS = {"active": True, "passive": False}
OUTCOMES = ("hit", "miss", "auto_rewarded", "false_alarm", "correct_reject", "aborted")
OF_TRIAL = ("go", "catch", *OUTCOMES)
OF_IMAGES = "image_name IS NOT NULL AND image_name <> 'omitted'"


@knowing_arguments
def changes(
    sessions: Any = True,
    *,
    block: str | None = None,
    outcome: Names = None,
    image_name: Names = None,
    image_membership: Names = None,
    novel: bool | None = None,
    sham: bool = False,
    where: Condition | Sequence[Condition] = (),
) -> Any:
    """Return the flashes at which the image changed, with the outcome of the trial.

    Parameters
    ----------
    sessions : one or more session ids, a key, or a query as returned by `sessions`; all by default.
    block : ``active``, the task, or ``passive``, its replay; both by default.
    outcome : outcome of the trial (in the replay, of the replayed trial): ``hit``, ``miss``,
        ``auto_rewarded``; for sham changes ``false_alarm``, ``correct_reject``.
    image_name : image after the change.
    image_membership : whether that image is in one set (``G only``, ``H only``) or in both (``shared``).
    novel : whether that image was new to the mouse.
    sham : sham changes of catch trials instead of changes.
    where : further conditions on the attributes, see `restrict`; all must be met.

    Returns
    -------
    query expression
        One row per presentation, its key that of ``stimulus.Stimulus.Presentation``;
        ``presentation_start_time`` is when the flash was on the screen.
    """
    query = _presentations(sessions, block, image_name, novel, image_membership)
    query = query & ({"is_sham_change": True} if sham else {"is_change": True})
    query = query.join(behavior.ChangeDetection.Trial.proj(*OF_TRIAL), left=True)
    if outcome is not None:
        outcomes = [outcome] if isinstance(outcome, str) else list(outcome)
        for each in outcomes:
            require_choice("outcome", each, OUTCOMES)
        query = query & [{each: True} for each in outcomes]
    return restrict_all(query, where)


@knowing_arguments
def omissions(
    sessions: Any = True, *, block: str | None = None, where: Condition | Sequence[Condition] = ()
) -> Any:
    """Return the omitted flashes; ``presentation_start_time`` is when the flash would have started.

    The parameters are as for `changes`.
    """
    return restrict_all(_presentations(sessions, block) & {"omitted": True}, where)


@knowing_arguments
def flashes(
    sessions: Any = True,
    *,
    block: str | None = None,
    image_name: Names = None,
    image_membership: Names = None,
    novel: bool | None = None,
    change: bool | None = None,
    where: Condition | Sequence[Condition] = (),
) -> Any:
    """Return the flashed images, without omissions.

    With ``change``, only changes (True) or only repetitions (False); the other parameters are as for
    `changes`.
    """
    query = _presentations(sessions, block, image_name, novel, image_membership) & OF_IMAGES
    return restrict_all(query if change is None else query & {"is_change": change}, where)


@knowing_arguments
def gabors(sessions: Any = True, *, where: Condition | Sequence[Condition] = ()) -> Any:
    """Return the Gabors for mapping receptive fields, with their position and orientation."""
    return restrict_all(_presentations(sessions) & "position_x IS NOT NULL", where)


@knowing_arguments
def full_field_flashes(sessions: Any = True, *, where: Condition | Sequence[Condition] = ()) -> Any:
    """Return the full-field flashes; ``color`` is 1 for white, -1 for black."""
    return restrict_all(_presentations(sessions) & "color IS NOT NULL", where)


def _presentations(
    sessions: Any,
    block: str | None = None,
    image_name: Names = None,
    novel: bool | None = None,
    membership: Names = None,
) -> Any:
    query = of_sessions(stimulus.Stimulus.Presentation(), sessions)
    if block is not None:
        require_choice("block", block, list(BLOCKS))
        query = query & {"active": BLOCKS[block]}
    if image_name is not None:
        query = restrict(query, {"image_name": image_name})
    if membership is not None:
        query = query & images(membership).proj()
    return query if novel is None else query & {"is_image_novel": novel}
