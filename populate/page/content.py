"""Fetching the tables that the page shows: one row per session, unit or issue."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd

import schemas
from populate.output.listing import SEVERITIES, list_issues
from populate.output.optotagging_report import shares_by_line
from populate.page.unit_question import whole_number
from populate.work.status import imported_counts, job_errors, table_status
from schemas import ecephys, performance, queries, selection, session, stimulus
from schemas.bases.provenance import MadeWith
from schemas.bases.registry import tables
from schemas.figures import session_key
from schemas.figures.hierarchy import RESPONDS, change_hierarchy
from schemas.figures.training import training_sessions
from schemas.figures.unit import unit_field, unit_key
from schemas.queries.checks import choices
from schemas.queries.layers import LAYERS, layer_names
from schemas.queries.methods import earlier_methods, in_words
from schemas.queries.projects import ALL
from schemas.queries.units import all_units
from schemas.rows.fetch import fetch_frame
from vbn.analysis.optotagging import DEFAULT_METHOD
from vbn.errors import NotFoundError, SettingError, shortened
from vbn.nwb.issue import CODES
from vbn.plots.field import Field
from vbn.plots.hierarchy import ChangeHierarchy

Query = Mapping[str, str]
"""The query part of a view's address: text by name."""

DEFAULT_CRITERIA = "bennett_2025"
"""The default quality filter of units."""
EVERY_UNIT = "all"

SESSION_COLUMNS = [
    "session_id", "mouse_id", "date_of_acquisition", "file_kind", "session_type", "stage", "experience_level",
    "image_set", "genotype", "abnormal_histology", "abnormal_activity", "project",
]  # fmt: skip


def number_in(query: Query, name: str) -> int | None:
    """Return a number in the address, None if it is absent.

    Raises
    ------
    SettingError
        If it is not a number.
    """
    text = query.get(name, "").strip()
    return whole_number(name, text) if text else None


def needed_number(query: Query, name: str) -> int:
    """Return a number that the address must have, else raise SettingError."""
    number = number_in(query, name)
    if number is None:
        raise SettingError(f"The address must name a {name}: ?{name}=NUMBER.")
    return number


def notice() -> str:
    """Return what to say of results that the present methods did not compute; empty if there are none."""
    found = earlier_methods({cls: {} for cls in tables(MadeWith)})
    return in_words(found) if found else ""


def status() -> dict[str, Any]:
    """Return the progress: states per table, failures, and sessions that are not imported."""
    kinds = dict(zip(*session.NwbFile.to_arrays("session_id", "file_kind"), strict=True))
    imported, tables = imported_counts(), table_status()
    return {
        "place": str(schemas.connect()),
        "tables": tables,
        "failures": job_errors() if any(table.errors for table in tables) else [],
        "n_recordings": sum(kind == "recording" for kind in kinds.values()),
        "n_behavior_only": sum(kind == "behavior_only" for kind in kinds.values()),
        "n_units": len(ecephys.Recording.Unit()),
        "n_mice": len(session.Mouse()),
        "n_imported": sum(state == "all" for state in imported.values()),
        "unfinished": [
            (int(number), imported.get(int(number), "nothing"))
            for number in sorted(kinds)
            if imported.get(int(number)) != "all"
        ],
    }


def sessions_frame() -> pd.DataFrame:
    """Return one row per registered session, latest first."""
    frame = fetch_frame(queries.sessions())[SESSION_COLUMNS]
    of_default = performance.Performance & {
        "performance_params": performance.PerformanceParams.default_name()
    }
    passing = selection.UnitSelection & {"unit_criteria": DEFAULT_CRITERIA}
    for column in (
        of_default.proj(dprime="mean_dprime_engaged"),
        ecephys.Recording.proj("n_units"),
        passing.proj("n_selected"),
    ):
        rows = fetch_frame(column)[["session_id", column.heading.secondary_attributes[0]]]
        frame = frame.merge(rows, on="session_id", how="left", validate="one_to_one")
    issues = pd.Series(session.ImportIssue.to_arrays("session_id").tolist(), dtype="int64").value_counts()
    imported = imported_counts()
    frame = frame.assign(
        date=frame["date_of_acquisition"].dt.strftime("%Y-%m-%d"),
        n_issues=frame["session_id"].map(issues).fillna(0).astype(int),
        imported=[imported.get(number, "nothing") for number in frame["session_id"]],
        abnormal=[
            ", ".join(kind for kind in ("histology", "activity") if row[f"abnormal_{kind}"])
            for row in records(frame)
        ],
    )
    return frame.sort_values("date_of_acquisition", ascending=False, ignore_index=True)


def described_session(query: Query) -> dict[str, Any]:
    """Return the row of `sessions_frame` for the session in the address, by default the latest recording.

    It also has ``sessions``, the rows of all sessions, to choose from.

    Raises
    ------
    NotFoundError
        If it is not registered, or no session is.
    """
    wanted = number_in(query, "session")
    if wanted is not None:
        session_key(wanted)
    frame = sessions_frame()
    if frame.empty:
        raise NotFoundError("No session is registered yet: vbn register.")
    rows = records(frame)
    recordings = [row for row in rows if row["file_kind"] == "recording"]
    if wanted is not None:
        chosen = next(row for row in rows if row["session_id"] == wanted)
    else:
        chosen = (recordings or rows)[0]
    return {**chosen, "sessions": rows}


def training_days(mouse_id: str) -> list[dict[str, Any]]:
    """Return one row per session of a mouse, also of those that are known from the release's tables only."""
    frame = training_sessions(mouse_id)
    days = frame.assign(
        date=frame["date_of_acquisition"].dt.strftime("%Y-%m-%d"),
        stage=[session.stage(name) or name for name in frame["session_type"]],
    )
    return records(days)


def structures(session_id: int, criteria: str) -> dict[str, int]:
    """Return the structures of a session with their numbers of passing units, largest first."""
    units = queries.units(session_id=session_id, criteria=criteria)
    names = pd.Series(units.to_arrays("structure_acronym").tolist(), dtype=object)
    return {str(name): int(count) for name, count in names.dropna().value_counts().items()}


def described_unit(unit_id: int) -> dict[str, Any]:
    """Return where a unit is, and its session and mouse.

    Raises
    ------
    NotFoundError
        If the unit does not exist, with the nearest ones.
    """
    key = unit_key(unit_id)
    row: dict[str, Any] = (all_units() & key).fetch1()
    return row


def field_of(unit_id: int) -> Field | str:
    """Return the receptive field of a unit, or why there is none."""
    return unit_field(unit_key(unit_id))


def notes_on(unit_id: int | None = None, session_id: int | None = None) -> list[dict[str, Any]]:
    """Return the notes on a unit and its session, or on a session alone, as text."""
    if unit_id is None:
        frame = queries.notes(session_id=session_id)
        frame = frame[frame["unit_id"].isna()]
    else:
        frame = pd.concat([queries.notes(unit_id=unit_id), _of_session_of(unit_id)], ignore_index=True)
    days = pd.to_datetime(frame["noted_at"]).dt.strftime("%Y-%m-%d")
    about = frame["unit_id"].isna().map({True: "session", False: "unit"})
    return records(frame.assign(day=days, about=about)[["day", "author", "label", "note", "about"]])


def _of_session_of(unit_id: int) -> pd.DataFrame:
    frame = queries.notes(session_id=int(unit_key(unit_id)["session_id"]))
    return frame[frame["unit_id"].isna()]


def pictures_of_images() -> set[str]:
    """Return the names of the images of which the database has a picture."""
    return set(map(str, (stimulus.Image & "thumbnail IS NOT NULL").to_arrays("image_name")))


def image_png(name: str) -> bytes:
    """Return the small picture of an image of the task as PNG.

    Raises
    ------
    NotFoundError
        If there is no such image, or no picture of it.
    """
    rows = (stimulus.Image & {"image_name": name}).proj("thumbnail").to_dicts()
    if not rows or rows[0]["thumbnail"] is None:
        known = "" if not rows else " No registered file has its picture (stimulus templates)."
        raise NotFoundError(f"There is no picture of an image '{shortened(name, 60)}'.{known}")
    if (png := as_png(rows[0]["thumbnail"])) is None:
        raise NotFoundError(f"What is stored for the image '{shortened(name, 60)}' is no picture.")
    return png


def as_png(stored: Any) -> bytes | None:
    """Return an array of gray levels as PNG; None for what is no picture, as others may have published it."""
    picture = np.asarray(stored)
    if picture.ndim != 2 or picture.dtype != np.uint8 or not picture.size:
        return None
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def optotagging_control(project: str | None = None) -> list[dict[str, Any]]:
    """Return how many units pass the default labeling method, by Cre line, in sessions of a project."""
    return records(shares_by_line([DEFAULT_METHOD], project=project, allow_mixed=True))


def across_choices(query: Query) -> dict[str, Any]:
    """Return what sessions can be compared by, and what an address has chosen of it.

    ``chosen`` has what figures and units are asked by: with several projects always one, or ``all``.

    Raises
    ------
    NotFoundError, SettingError
        If what has been chosen is not there, with the nearest.
    """
    projects = [str(name) for name in choices("project", session.Session())]
    several = [*projects, ALL] if len(projects) > 1 else []
    given = {name: query[name] for name in ("experience", "layer", "project") if query.get(name)}
    queries.sessions(experience_level=given.get("experience"), project=given.get("project"))
    layer_names(given.get("layer", ()))
    first = {"project": several[0]} if several else {}
    return {
        "levels": experience_levels(),
        "layers": list(LAYERS) if len(ecephys.AtlasParams.names()) == 1 else [],
        "projects": several,
        "chosen": first | given,
    }


def hierarchy_of(query: Query) -> ChangeHierarchy:
    """Return the responses to changes by structure that an address asks for."""
    return change_hierarchy(
        experience_level=query.get("experience"),
        cortical_layer=query.get("layer"),
        project=query.get("project"),
    )


def hierarchy_units(query: Query) -> list[dict[str, Any]]:
    """Return the structures of the hierarchy, with their units and the addresses that list them."""
    found = hierarchy_of(query)
    selected = {name: query[name] for name in ("experience", "layer", "project") if query.get(name)}
    if selected.get("project") == ALL:
        del selected["project"]
    asked = {"criteria": found.criteria, **selected}
    return [
        {
            "structure": name,
            "n_units": int(n_units),
            "n_responsive": int(n_responsive),
            "all": urlencode({"structure": name, **asked}),
            "responsive": urlencode({"structure": name, **asked, "where": f"{RESPONDS} = 1"}),
        }
        for name, n_units, n_responsive in zip(
            found.structures, found.n_units, found.n_responsive, strict=True
        )
    ]


def experience_levels() -> list[str]:
    """Return the experience levels that occur in sessions."""
    return list(map(str, choices("experience_level", session.Session())))


def issues_frame(session_id: int | None) -> pd.DataFrame:
    """Return one row per import issue of one or all sessions."""
    if session_id is not None:
        session_key(session_id)
    rows = list_issues([] if session_id is None else [session_id])
    names = ["severity", "session_id", "issue_code", "issue_table", "issue_detail"]
    return pd.DataFrame(rows, columns=names)


def issue_codes(issues: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the meaning of each code that occurs among issues, most severe first."""
    rows = [
        {
            "code": str(code),
            "meaning": CODES.get(str(code), ""),
            "n_sessions": of_code["session_id"].nunique(),
            "severities": sorted(set(of_code["severity"]), key=SEVERITIES.index, reverse=True),
        }
        for code, of_code in issues.groupby("issue_code", sort=True)
    ]
    return sorted(rows, key=lambda row: -SEVERITIES.index(row["severities"][0]))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
