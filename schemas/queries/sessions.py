"""Sessions: by experience, images, mouse, behaviour and completeness."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from schemas import behavior, ecephys, performance, session, stimulus
from schemas.bases.registry import tables
from schemas.queries.checks import Condition, require_choice, restrict, restrict_all
from schemas.queries.units import FLAGS, Names, Numbers, known_flags, warn_of_unknown
from schemas.server.datajoint import dj
from vbn.errors import SettingError

Range = tuple[float | None, float | None]

OF_MOUSE = ("genotype", "cre_line", "reporter_line", "sex")


def sessions(
    *,
    experience_level: Names = None,
    image_set: Names = None,
    genotype: Names = None,
    cre_line: Names = None,
    stage: Names = None,
    session_type: Names = None,
    mouse_id: Names = None,
    session_id: Numbers = None,
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
    genotype, cre_line : of the mouse; the genotype of a wild type is ``wt/wt``.
    stage, session_type : of the session, such as ``EPHYS_1`` and ``EPHYS_1_images_G_3uL_reward``.
    mouse_id, session_id : which mice and sessions.
    abnormal : False for recordings without abnormal histology and activity, as in AllenSDK's session table
        (103 of the release's 153), True for those with either. The tables of the release say so, not the
        files: recordings of which it is not known are left out of both.
    dprime : lowest and highest sensitivity, both included; None for no bound. Sessions without a sensitivity
        are left out.
    dprime_metric : which attribute of `performance.Performance` that is: AllenSDK's ``mean_dprime``,
        ``mean_dprime_engaged``, ``max_dprime`` or ``max_dprime_engaged``.
    requires : what a session must have, of `REQUIREMENTS`.
    where : further conditions on the attributes, see `restrict`; all must be met.

    Returns
    -------
    query expression
        One row per session, its key that of ``session.Session``.

    Raises
    ------
    SettingError, NotFoundError
        For a name or value that there is not, with the nearest ones.

    Warns
    -----
    IncompleteWarning
        If some of the recordings are left out because it is not known whether they are abnormal.
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
    query = session.Session * session.Mouse.proj(*OF_MOUSE) * session.NwbFile.proj("file_kind")
    query = restrict(query, {name: value for name, value in wanted.items() if value is not None})
    query = restrict_all(query, where)
    if dprime is not None:
        query = query & sensitivity(dprime, dprime_metric).proj()
    required = [requires] if isinstance(requires, str) else requires
    for requirement in required:
        require_choice("requirement", requirement, list(REQUIREMENTS))
    if abnormal is not None or NORMAL & set(required):
        warn_of_unknown(query, "They are left out.")
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
    """Return the rows of `performance.Performance`, default parameters, with a sensitivity in a range."""
    found = performance.Performance & {"performance_params": performance.PerformanceParams.default_name()}
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
        raise SettingError(f"A bound of the sensitivity is a number, or None for none, and not {value!r}.")
    return number


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
    both = [  # renamed in the table itself: DataJoint quotes names of joins as MySQL does, on every server
        (session.Session & sessions(experience_level=level.title(), **conditions).proj()).proj(
            **{f"{level}_{name}": name for name in ("session_id", *names)}
        )
        for level in ("familiar", "novel")
    ]
    return both[0] * both[1] * session.Mouse.proj(*OF_MOUSE)


def _made(tier: type) -> list[Any]:
    """Return the restrictions to sessions with an entry in each table of a tier that is for them."""
    brain = {table().full_table_name for table in (ecephys.Recording, stimulus.OptoStimulation)}
    found: list[Any] = []
    for cls in tables(tier):
        if getattr(cls, "is_optional", False) or ecephys.Lfp().full_table_name in cls().ancestors():
            continue
        needs_recording = bool(brain & set(cls().ancestors()))
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
        "imported": lambda: _made(dj.Imported),
        "computed": lambda: _made(dj.Computed),
    }
)
"""What a session may be required to have: what makes the restrictions."""
