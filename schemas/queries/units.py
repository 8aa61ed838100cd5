"""Selecting units, with their locations, as a query that can be restricted and joined further."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from schemas import ecephys, responses, selection, session
from schemas.queries.checks import Condition, knowing_arguments, of_sessions, restrict
from schemas.queries.columns import parameter_sets, restrict_units
from schemas.queries.layers import unit_layers
from schemas.queries.methods import warn_of_earlier_methods
from schemas.queries.missing import IncompleteWarning, listed, warn_of_missing
from schemas.queries.named_lists import in_lists
from schemas.queries.projects import in_project
from schemas.queries.trajectories import TRAJECTORY, of_trajectories
from schemas.queries.written_notes import with_labels
from schemas.server.datajoint import dj
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.analysis.selection import Criterion

Names = str | Sequence[str] | None
Numbers = int | Sequence[int] | None

LOCATION = (
    "structure_acronym", "probe_channel_number", "probe_vertical_position", "probe_horizontal_position",
    "anterior_posterior_ccf_coordinate", "dorsal_ventral_ccf_coordinate", "left_right_ccf_coordinate",
    "valid_data",
)  # fmt: skip
OF_SESSION = (
    "session_type", "date_of_acquisition", "image_set", "experience_level", "session_number",
    "abnormal_histology", "abnormal_activity", "project",
)  # fmt: skip
OF_MOUSE = ("genotype", "cre_line", "sex")
OF_BOTH = ("mouse_id", "session_id", "experience_level", "image_set")
FLAGS = ("abnormal_histology", "abnormal_activity")
OPERATORS = {"==": "=", "!=": "<>"}


@knowing_arguments
def units(
    *,
    criteria: str | None = None,
    structure: Names = None,
    group: Names = None,
    cell_class: Names = None,
    optotag_method: str = DEFAULT_METHOD,
    cortical_layer: Names = None,
    atlas: str | None = None,
    genotype: Names = None,
    cre_line: Names = None,
    experience_level: Names = None,
    image_set: Names = None,
    trajectory: Names = None,
    mouse_id: Names = None,
    session_id: Numbers = None,
    project: Names = None,
    in_list: Names = None,
    not_in_list: Names = None,
    label: Names = None,
    without_label: Names = None,
    sessions: Any = True,
    where: Condition | Sequence[Condition] = (),
) -> Any:
    """Return units with their metrics, location, mouse and session.

    Parameters
    ----------
    criteria : name of a quality filter (`selection.UnitCriteria`), such as ``bennett_2025``.
    structure : acronyms of structures, such as ``VISp``.
    group : groups of structures, such as ``visual cortex``.
    cell_class : ``Sst``, ``Vip``, ``RS``, ``FS`` or ``unlabelled``, by `optotag_method`.
    cortical_layer : ``1``, ``2/3``, ``4``, ``5``, ``6a``, ``6b``, ``6`` for both, or ``none``, by `atlas`;
        see `unit_layers`.
    genotype, cre_line : of the mouse; the genotype of a wild type is ``wt/wt``.
    experience_level, image_set : of the session: ``Familiar`` or ``Novel``; ``G`` or ``H``.
    trajectory : order of the image sets: ``GGH``, ``HHG``, ``GHG`` (trained, first day, second day).
    mouse_id, session_id : ids of mice and sessions.
    project : data set of the session, ``vbn-release`` or a rig of the lab; ``all`` for any.
    in_list, not_in_list : named lists (`lists`): only units in one of them, or in none. A list of sessions
        stands for their units.
    label, without_label : labels of people's notes (`notes`) on the unit or its session: only units with one
        of them, or with none.
    sessions : a query of sessions, as returned by `sessions`, or a key; all by default.
    where : further conditions, see `restrict`, on the attributes and on results: the columns of the tables of
        `RESPONSES`, with their default parameter sets, and layers; all must be met. See `columns`.

    Each takes one value or several, one of which must match.

    Returns
    -------
    query expression
        One row per unit, its key that of ``ecephys.Recording.Unit``: the unit's metrics, the structure, its
        group and the location of the peak channel, session and mouse. ``waveform_halfwidth`` is NULL until
        the release's tables are loaded (``vbn catalogue``), because no file has it.

    Raises
    ------
    SettingError, NotFoundError
        For an unknown name or value, suggesting the nearest.

    Warns
    -----
    IncompleteWarning
        If cell classes are requested and some recordings have none yet, or if the filter requires normal
        sessions and it is unknown for some whether they are.
    """
    wanted = {
        "structure_acronym": structure,
        "structure_group": group,
        "genotype": genotype,
        "cre_line": cre_line,
        "experience_level": experience_level,
        "image_set": image_set,
        "mouse_id": mouse_id,
        "session_id": session_id,
    }
    query = restrict(all_units(), {name: value for name, value in wanted.items() if value is not None})
    query = in_project(query, project)
    if criteria is not None:
        query = query & criteria_condition(criteria)
    query = of_sessions(query, sessions)
    query = in_lists(in_lists(query, in_list), not_in_list, without=True)
    query = with_labels(with_labels(query, label), without_label, without=True)
    if trajectory is not None:
        query = query & of_trajectories(trajectory)
    query = restrict_units(query, where, optotag_method, atlas)
    if criteria is not None and requires_normal(criteria):
        among = {name: wanted[name] for name in OF_BOTH if wanted[name] is not None}
        described = in_project(restrict(session.Session, among), project)
        warn_of_unknown(of_sessions(described, sessions), "They are assumed to be normal.")
    if cell_class is not None:
        query = query & cell_classes(cell_class, optotag_method, query).proj()
    if cortical_layer is not None:
        query = query & unit_layers(cortical_layer, atlas, query).proj()
    return query


def all_units() -> Any:
    """Return all units with the attributes that `units` returns."""
    metrics = ("peak_channel_id", "cluster_id", "local_index", *selection.UNIT_METRICS)
    channels = ecephys.Recording.Channel.proj(*LOCATION, peak_channel_id="channel_id")
    located = ecephys.Recording.Unit.proj(*metrics) * channels
    described = located.join(ecephys.Structure.proj("structure_group"), left=True)  # some are in no structure
    # Every unit has its session and mouse. PostgreSQL expects an inner join by two columns to leave few rows,
    # and continues row by row; left joins that are not needed it skips. MySQL begins with the selected
    # sessions, unless a left join prevents that.
    is_left = described.connection.adapter.backend == "postgresql"
    described = described.join(session.Session.proj(*OF_SESSION, **TRAJECTORY), left=is_left)
    described = described.join(session.Mouse.proj(*OF_MOUSE), left=is_left)
    # Only the release's tables have the width. To DataJoint, their ids are unrelated to those of the files.
    widths = session.CatalogueUnit.proj("waveform_halfwidth", unit_id="catalogue_unit_id")
    return described.join(widths, semantic_check=False, left=True)


def criteria_condition(name: str) -> Any:
    """Return a quality filter as a restriction of what `all_units` returns.

    Parameters
    ----------
    name : name of a row of `selection.UnitCriteria`.

    Notes
    -----
    The units are those of ``selection.UnitSelection.Unit``, also for sessions where it is not computed.
    """
    return dj.AndList(map(_condition, selection.UnitCriteria.get(name).criteria))


def _condition(criterion: Criterion) -> list[Any]:
    """Return the conditions that meet a criterion, one of which must hold."""
    column, comparison = criterion.column, criterion.comparison
    if criterion.value is None:
        return [f"{column} {comparison.upper()}"]
    if isinstance(criterion.value, tuple):
        met = f"{column} IN ({', '.join(map(_literal, criterion.value)) or 'NULL'})"
    else:
        met = f"{column} {OPERATORS.get(comparison, comparison)} {_literal(criterion.value)}"
    is_null = f"{column} IS NULL"
    if criterion.null_passes:
        return [met, is_null]
    return [met, dj.AndList([is_null, _recordings_without(column)])] if criterion.absent_passes else [met]


def _recordings_without(column: str) -> Any:
    """Return the recordings in which no unit has a value."""
    return ecephys.Recording.proj() - (ecephys.Recording.Unit & f"{column} IS NOT NULL").proj()


def _literal(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


@knowing_arguments
def cell_classes(cell_class: Names = None, method: str = DEFAULT_METHOD, of: Any = True) -> Any:
    """Return the units' cell classes by one method of labelling.

    Parameters
    ----------
    cell_class : one or more classes, None for all.
    method : name of a row of `optotagging.OptotagMethod`.
    of : query of units; a warning names their recordings that have no classes yet.

    Returns
    -------
    query expression : rows of ``responses.CellClass.Unit``.
    """
    key = parameter_sets(responses.CellClass, method)
    found = responses.CellClass.Unit & key
    warn_of_missing(responses.CellClass, key, of)
    warn_of_earlier_methods({responses.CellClass: key}, of if of is True else of.proj())
    return found if cell_class is None else restrict(found, {"cell_class": cell_class})


def requires_normal(criteria: str) -> bool:
    """Return whether a quality filter requires sessions without abnormal histology or activity."""
    return any(criterion.column in FLAGS for criterion in selection.UnitCriteria.get(criteria).criteria)


def known_flags() -> list[Any]:
    """Return a restriction to sessions for which it is known whether they are abnormal.

    The files do not contain this. It is known for recordings that are listed in the release's tables.
    """
    filled = [f"{name} IS NOT NULL" for name in (*FLAGS, "experience_level")]
    recordings = session.CatalogueSession & {"catalogue_kind": "recording"}
    # By id: DataJoint joins by foreign keys only, and these rows refer to no session of ours.
    return [
        *filled,
        *({"session_id": int(number)} for number in recordings.to_arrays("catalogue_session_id")),
    ]


def warn_of_unknown(sessions: Any, consequence: str) -> None:
    """Warn if it is unknown for some recordings, among sessions, whether they are abnormal."""
    recordings = sessions & (session.NwbFile & {"file_kind": "recording"}).proj()
    unknown = (recordings - known_flags()).to_arrays("session_id").tolist()
    if unknown:
        one = len(unknown) == 1
        warnings.warn(
            f"Whether {'a session is' if one else f'{len(unknown)} sessions are'} abnormal is not known: "
            f"{listed(unknown)}. {consequence} Load the tables of the release: vbn catalogue FOLDER",
            IncompleteWarning,
            stacklevel=3,
        )
