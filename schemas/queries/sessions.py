"""Selecting sessions by experience, images, mouse, behavior and completeness."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from schemas import behavior, ecephys, performance, session, stimulus
from schemas.bases.provenance import MadeWith
from schemas.bases.registry import tables
from schemas.queries.checks import Condition, knowing_arguments, require_choice, restrict, restrict_all
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.named_lists import in_lists
from schemas.queries.projects import in_project
from schemas.queries.trajectories import TRAJECTORY, of_trajectories
from schemas.queries.units import FLAGS, Names, Numbers, known_flags, warn_of_unknown
from schemas.queries.written_notes import with_labels
from schemas.server.datajoint import dj
from vbn.errors import SettingError

Range = tuple[float | None, float | None]

OF_MOUSE = ("genotype", "cre_line", "reporter_line", "sex")


@knowing_arguments
def sessions(
    *,
    experience_level: Names = None,
    image_set: Names = None,
    trajectory: Names = None,
    genotype: Names = None,
    cre_line: Names = None,
    stage: Names = None,
    session_type: Names = None,
    mouse_id: Names = None,
    session_id: Numbers = None,
    project: Names = None,
    in_list: Names = None,
    not_in_list: Names = None,
    label: Names = None,
    without_label: Names = None,
    abnormal: bool | None = None,
    dprime: Range | None = None,
    dprime_metric: str = "mean_dprime_engaged",
    requires: str | Sequence[str] = (),
    where: Condition | Sequence[Condition] = (),
) -> Any:
    """Return sessions with their mouse and the kind of their file.

    Parameters
    ----------
    experience_level, image_set : ``Familiar`` or ``Novel``; ``G`` or ``H``.
    trajectory : order of the image sets: ``GGH``, ``HHG``, ``GHG`` (trained, first day, second day). It is
        ``training_trajectory`` of the rows, NULL where it is not known from the release's tables.
    genotype, cre_line : of the mouse; the genotype of a wild type is ``wt/wt``.
    stage, session_type : of the session, such as ``EPHYS_1`` and ``EPHYS_1_images_G_3uL_reward``.
    mouse_id, session_id : ids of mice and sessions.
    project : data set that sessions belong to, ``vbn-release`` or a rig of the lab; ``all`` for any.
    in_list, not_in_list : named lists (`lists`): only sessions in one of them, or in none. A list of units
        stands for their sessions.
    label, without_label : labels of people's notes (`notes`) on the session: only sessions with one of
        them, or with none.
    abnormal : False for recordings without abnormal histology and activity, as in AllenSDK's session table
        (103 of the release's 153), True for those with either. This is known from the release's
        tables, not from the files: recordings for which it is unknown are excluded in both cases.
    dprime : lowest and highest d', both inclusive; None for no limit. Sessions without a d' are excluded.
    dprime_metric : the attribute of `performance.Performance` to use: AllenSDK's ``mean_dprime``,
        ``mean_dprime_engaged``, ``max_dprime`` or ``max_dprime_engaged``.
    requires : names from `REQUIREMENTS` of what a session must have.
    where : further conditions on the attributes, see `restrict`; all must be met.

    Returns
    -------
    query expression
        One row per session, its key that of ``session.Session``.

    Raises
    ------
    SettingError, NotFoundError
        For an unknown name or value, suggesting the nearest.

    Warns
    -----
    IncompleteWarning
        If recordings are excluded because it is unknown whether they are abnormal.
    """
    wanted = {
        "experience_level": experience_level,
        "image_set": image_set,
        "genotype": genotype,
        "cre_line": cre_line,
        "stage": stage,
        "session_type": session_type,
        "mouse_id": mouse_id,
        "session_id": session_id,
    }
    described = session.Session.proj(..., **TRAJECTORY)
    query = described * session.Mouse.proj(*OF_MOUSE) * session.NwbFile.proj("file_kind")
    query = restrict(query, {name: value for name, value in wanted.items() if value is not None})
    query = in_project(query, project)
    if trajectory is not None:
        query = query & of_trajectories(trajectory)
    query = in_lists(in_lists(query, in_list), not_in_list, without=True)
    query = with_labels(with_labels(query, label), without_label, without=True)
    query = restrict_all(query, where)
    if dprime is not None:
        query = query & sensitivity(dprime, dprime_metric).proj()
    required = [requires] if isinstance(requires, str) else requires
    for requirement in required:
        require_choice("requirement", requirement, list(REQUIREMENTS))
    if abnormal is not None or NORMAL & set(required):
        warn_of_unknown(query, "They are excluded.")
    if abnormal is not None:
        query = query & _abnormal(abnormal)
    for requirement in required:
        for condition in REQUIREMENTS[requirement]():
            query = query & condition
    return query


def _abnormal(wanted: bool) -> Any:
    """Return the restriction to recordings that are known to be abnormal, or known not to be."""
    if wanted:
        return [f"{name} IS NOT NULL" for name in FLAGS]
    return dj.AndList([*(f"{name} IS NULL" for name in FLAGS), known_flags()])


def sensitivity(dprime: Range, metric: str) -> Any:
    """Return the rows of `performance.Performance`, default parameters, with a d' in a range."""
    key = {"performance_params": performance.PerformanceParams.default_name()}
    warn_of_earlier_methods({performance.Performance: key})
    found = performance.Performance & key
    require_choice("sensitivity", metric, [name for name in found.heading.names if "dprime" in name])
    bounds = [
        f"{metric} {comparison} {_bound(value)!r}"
        for comparison, value in zip((">=", "<="), dprime, strict=True)
        if value is not None
    ]
    return found & dj.AndList([*bounds, f"{metric} IS NOT NULL"])


def _bound(value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingError(f"A limit of d' must be a number, or None for no limit, not {value!r}.")
    return number


@knowing_arguments
def familiar_novel_pairs(**conditions: Any) -> Any:
    """Return the recordings with familiar and with novel images of each mouse that has both.

    Parameters
    ----------
    conditions : as for `sessions`; both sessions must meet them.

    Returns
    -------
    query expression
        One row per pair: ``mouse_id``, ``familiar_session_id``, ``novel_session_id``, the days and image sets
        of both.
    """
    names = ("date_of_acquisition", "image_set")
    both = [  # renamed in the table itself: in joins DataJoint uses MySQL's quotes on every server
        (session.Session & sessions(experience_level=level.title(), **conditions).proj()).proj(
            **{f"{level}_{name}": name for name in ("session_id", *names)}
        )
        for level in ("familiar", "novel")
    ]
    return both[0] * both[1] * session.Mouse.proj(*OF_MOUSE)


def _complete(tier: type) -> list[Any]:
    """Return restrictions to sessions with an entry in each table of a tier that applies to them."""
    recordings = {table().full_table_name for table in (ecephys.Recording, stimulus.OptoStimulation)}
    found: list[Any] = []
    for cls in tables(tier):
        if "session_id" not in cls().primary_key:
            continue  # of mice: a session without a partner is complete
        if getattr(cls, "is_optional", False) or ecephys.Lfp().full_table_name in cls().ancestors():
            continue
        if issubclass(cls, MadeWith) and not all(table.defaults for table in cls.parameters()):
            continue  # made only with what somebody has entered, as layers with an atlas
        needs_recording = bool(recordings & set(cls().ancestors()))
        found.append([cls.proj(), {"file_kind": "behavior_only"}] if needs_recording else cls.proj())
    return found


NORMAL = {"normal_histology", "normal_activity"}
REQUIREMENTS: Mapping[str, Callable[[], list[Any]]] = MappingProxyType(
    {
        "recording": lambda: [{"file_kind": "recording"}],
        "six_probes": lambda: [ecephys.Recording & {"n_probes": 6}],
        "eye_tracking": lambda: [behavior.EyeTracking & {"has_eye_tracking": True}],
        "laser": lambda: [stimulus.OptoStimulation & {"has_laser_table": True}],
        "lfp": lambda: [session.LfpFile.proj()],
        "normal_histology": lambda: [{"abnormal_histology": None}, known_flags()],
        "normal_activity": lambda: [{"abnormal_activity": None}, known_flags()],
        "imported": lambda: _complete(dj.Imported),
        "computed": lambda: _complete(dj.Computed),
    }
)
"""Requirement of a session -> function that returns its restrictions."""
