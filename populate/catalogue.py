"""The release's tables: what is not in the files, what comes before a file, and whether both agree."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from populate import catalogue_channels
from schemas import ecephys, session
from schemas.issues import note_issues
from schemas.rows import insert_rows, key_of_session, plain
from vbn.errors import NotReadableError, quoted, shortened
from vbn.nwb import Issue
from vbn.nwb.issue import issue

ECEPHYS, BEHAVIOR = "ecephys_sessions.csv", "behavior_sessions.csv"
LIST_COLUMNS = ("abnormal_histology", "abnormal_activity", "structure_acronyms")
NEEDED = {
    ECEPHYS: ("ecephys_session_id", "behavior_session_id", "experience_level", "session_number"),
    BEHAVIOR: ("behavior_session_id", "session_number"),
    "probes.csv": ("ecephys_probe_id", "ecephys_session_id"),
    "units.csv": ("unit_id", "ecephys_session_id"),
    catalogue_channels.FILE: catalogue_channels.NEEDED,
}
FROM_ECEPHYS = (
    "experience_level",
    "session_number",
    "prior_exposures_to_image_set",
    "prior_exposures_to_omissions",
    "abnormal_histology",
    "abnormal_activity",
)
FROM_BEHAVIOR = {
    "training_session_number": "session_number",  # counts all sessions, not the recording days
    "prior_exposures_to_session_type": "prior_exposures_to_session_type",
    "prior_exposures_to_image_set": "prior_exposures_to_image_set",
    "prior_exposures_to_omissions": "prior_exposures_to_omissions",
}
COMPARED = ("mouse_id", "genotype", "sex", "age_in_days", "session_type", "equipment_name", "image_set")
ABNORMAL = ("abnormal_histology", "abnormal_activity")
AGAIN = "Download it again."
HOURS_OFF = (0, 7, 8)  # the release labels Pacific time as UTC


@dataclass
class Catalogue:
    """The release's session tables, by session id; empty without them."""

    recordings: dict[int, dict[str, Any]] = field(default_factory=dict)
    behavior: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Catalogue:
        """Read the session tables in a folder or in its ``project_metadata``.

        ``behavior_sessions.csv`` may be missing; it is needed for training sessions only.

        Raises
        ------
        NotReadableError
            If there is no ``ecephys_sessions.csv``, or a table lacks columns.
        """
        found = metadata_folder(folder)
        recordings = _by_id(_read(found / ECEPHYS), "ecephys_session_id")
        behavior = (
            _by_id(_read(found / BEHAVIOR), "behavior_session_id") if (found / BEHAVIOR).exists() else {}
        )
        return cls(recordings, behavior)

    def known_of(self, session_id: int) -> dict[str, Any]:
        """Return the attributes of Session that the tables know, an empty dictionary if nothing."""
        row = self.recordings.get(session_id)
        training = self.behavior.get(int(row["behavior_session_id"]) if row else session_id)
        known = {name: training.get(column) for name, column in FROM_BEHAVIOR.items()} if training else {}
        return {**known, **{name: row.get(name) for name in FROM_ECEPHYS}} if row else known

    def issues(self, known: dict[str, Any]) -> list[Issue]:
        """Compare a registered session with the tables, and pass on what they flag.

        Parameters
        ----------
        known : the session's row, joined with its mouse's.

        Notes
        -----
        The time of acquisition may be off by the hours between Pacific time and UTC, which is how
        the release has it.
        """
        row = self.recordings.get(known["session_id"]) or self.behavior.get(known["session_id"])
        if row is None:
            return []
        different = [
            f"{name} {quoted(str(row[name]))}, in the file {quoted(str(known[name]))}"
            for name in COMPARED
            if row.get(name) is not None and str(row[name]) != str(known[name])
        ]
        if not _is_same_time(row.get("date_of_acquisition"), known["date_of_acquisition"]):
            there, here = row["date_of_acquisition"], known["date_of_acquisition"]
            different.append(f"date_of_acquisition {there}, in the file {here}")
        flagged = [f"{name} {row[name]}" for name in ABNORMAL if row.get(name)]
        found = {"catalogue_disagrees": different, "abnormal": flagged}
        return [issue(code, "session", "; ".join(texts)) for code, texts in found.items() if texts]


def _is_same_time(there: str | None, here: datetime) -> bool:
    """Tell whether a time of the tables, where there is one, is that of a file up to whole Pacific hours."""
    if there is None:
        return True
    offset_s = abs((here.replace(tzinfo=UTC) - pd.Timestamp(there).tz_convert(UTC)).total_seconds())
    return min(abs(offset_s - 3600 * hours) for hours in HOURS_OFF) <= 1


def metadata_folder(folder: Path) -> Path:
    """Return the folder that holds ``ecephys_sessions.csv``: the folder or its ``project_metadata``."""
    for candidate in (folder, folder / "project_metadata"):
        if (candidate / ECEPHYS).is_file():
            return candidate
    raise NotReadableError(
        folder, f"there is no {ECEPHYS}.", "Give the folder project_metadata of the release."
    )


def load(folder: Path) -> dict[str, int]:
    """Enter the release's tables; rows that are there are left alone. Return the rows added per table.

    Raises
    ------
    NotReadableError
        If the tables cannot be read.
    """
    found = metadata_folder(folder)
    catalogue = Catalogue.read(found)
    recorded = {int(row["behavior_session_id"]) for row in catalogue.recordings.values()}
    only_behavior = {number: row for number, row in catalogue.behavior.items() if number not in recorded}
    sessions = [_session_row(number, "recording", row) for number, row in catalogue.recordings.items()]
    sessions += [_session_row(number, "behavior_only", row) for number, row in only_behavior.items()]
    known = {row["catalogue_session_id"] for row in sessions}
    probes = _probe_rows(found / "probes.csv", known) if (found / "probes.csv").exists() else []
    units = _unit_rows(found / "units.csv", known) if (found / "units.csv").exists() else []
    channels = _new_channels(found / catalogue_channels.FILE, known)
    # All tables are read before any is entered.
    return {
        "CatalogueSession": _enter(session.CatalogueSession(), sessions),
        "CatalogueProbe": _enter(session.CatalogueProbe(), probes),
        "CatalogueChannel": catalogue_channels.enter(channels),
        "CatalogueUnit": _enter(session.CatalogueUnit(), units),
    }


def check_counts() -> dict[int, list[Issue]]:
    """Compare the imported recordings' numbers of probes, channels and units with the catalogue's.

    Returns
    -------
    session id -> issues; an empty list where both agree.
    """
    found: dict[int, list[Issue]] = {}
    listed = {
        row["catalogue_session_id"]: row["catalogue_row"] for row in session.CatalogueSession.to_dicts()
    }
    for row in ecephys.Recording.to_dicts():
        catalogue = listed.get(row["session_id"])
        if catalogue is None:
            continue
        pairs = {
            name: (catalogue.get(f"{name}_count"), row[f"n_{name}s"]) for name in ("unit", "probe", "channel")
        }
        wrong = [
            f"{here} {name}s, {there} in the table"
            for name, (there, here) in pairs.items()
            if there not in (None, here)
        ]
        detail = "imported were " + "; ".join(wrong)
        found[row["session_id"]] = [issue("catalogue_disagrees", "counts", detail)] if wrong else []
    return found


def _read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table, all of it or those of the columns that it has."""
    try:
        table = pd.read_csv(path, usecols=None if columns is None else lambda name: name in columns)
    except (OSError, ValueError) as error:
        raise NotReadableError(path, f"it is no table: {shortened(error, 200)}.", AGAIN) from error
    absent = [name for name in NEEDED.get(path.name, ()) if name not in table]
    if absent:
        raise NotReadableError(
            path, f"the columns {', '.join(absent)} are missing.", "Give a release of VBN."
        )
    return table


def _by_id(table: pd.DataFrame, column: str) -> dict[int, dict[str, Any]]:
    return {
        int(row[column]): {str(name): _value(str(name), value) for name, value in row.items()}
        for row in table.to_dict("records")
    }


def _value(name: str, value: Any) -> Any:
    """Return a cell as the database takes it: whole numbers as such, written lists as lists."""
    value = plain(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if name in LIST_COLUMNS and value is not None:
        parsed = ast.literal_eval(value) if str(value).startswith("[") else value
        return list(parsed) if isinstance(parsed, list) else [parsed]
    return value


def _session_row(number: int, kind: str, row: dict[str, Any]) -> dict[str, Any]:
    identity = {"catalogue_session_id": number, "catalogue_kind": kind}
    return {**identity, "catalogue_mouse_id": str(row["mouse_id"]), "catalogue_row": row}


def _probe_rows(path: Path, known: set[int]) -> list[dict[str, Any]]:
    rows = _by_id(_read(path), "ecephys_probe_id")
    return [
        {
            "catalogue_probe_id": number,
            "catalogue_session_id": row["ecephys_session_id"],
            "catalogue_probe_row": row,
        }
        for number, row in rows.items()
        if row["ecephys_session_id"] in known
    ]


def _unit_rows(path: Path, known: set[int]) -> list[dict[str, Any]]:
    wanted = ["unit_id", "ecephys_session_id", "structure_id", "waveform_halfwidth"]
    table = _read(path, wanted).reindex(columns=wanted)
    table = table[table["ecephys_session_id"].isin(known)]
    return [
        {
            "catalogue_unit_id": int(row["unit_id"]),
            "catalogue_session_id": int(row["ecephys_session_id"]),
            "structure_id": None if pd.isna(row["structure_id"]) else int(row["structure_id"]),
            "waveform_halfwidth": plain(row["waveform_halfwidth"]),
        }
        for row in table.to_dict("records")
    ]


def _new_channels(path: Path, sessions: set[int]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame()
    table = _read(path, tuple(catalogue_channels.ATTRIBUTES))
    if unfit := catalogue_channels.find_unfit(table):
        raise NotReadableError(path, f"the columns {', '.join(unfit)} hold what they should not.", AGAIN)
    return catalogue_channels.find_new(table, sessions)


def _enter(table: Any, rows: list[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there; return how many."""
    (name,) = table.primary_key
    known = set(table.to_arrays(name).tolist())
    new = [row for row in rows if row[name] not in known]
    insert_rows(table, new)
    return len(new)


def check(catalogue: Catalogue) -> list[int]:
    """Compare the registered sessions with the tables, write down what is found, return the disagreeing."""
    counts, channels = check_counts(), catalogue_channels.find_disagreements()
    disagreeing = []
    for key in session.NwbFile.keys(order_by="session_id"):
        found = note_catalogue(key, catalogue)
        of_counts = counts.get(key["session_id"], [])
        of_channels = channels.get(key["session_id"], [])
        note_issues(key, "CatalogueSession", of_counts)
        note_issues(key, "CatalogueChannel", of_channels)
        if any(one.code == "catalogue_disagrees" for one in (*found, *of_counts, *of_channels)):
            disagreeing.append(int(key["session_id"]))
    return disagreeing


def note_catalogue(key: dict[str, Any], catalogue: Catalogue) -> list[Issue]:
    """Write down where the tables say something else than the file, and what they flag; return it."""
    known = (session.Session * session.Mouse & key_of_session(key)).fetch1()
    found = catalogue.issues(known)
    note_issues(key, "Session", found)
    return found
