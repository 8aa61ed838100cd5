"""A lab's own table of its sessions, in the place of the release's: one row for each file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbn.errors import NotFoundError, NotReadableError, quoted
from vbn.nearest import nearest
from vbn.release.tables import (
    ABNORMAL_PLACES,
    ABNORMAL_TIMES,
    COUNT,
    ID,
    MOUSE,
    SHORT_TEXT,
    TEXT,
    TIME,
    ReleaseColumn,
    read_table,
)

FILE = "file"
OF_FILES = (
    "session_id", "mouse_id", "genotype", "sex", "age_in_days", "date_of_acquisition", "session_type",
    "equipment_name",
)  # fmt: skip
"""Columns that files may hold as well; the table's value is taken."""

OF_SESSIONS = (
    "image_set", "experience_level", "session_number", "training_session_number",
    "prior_exposures_to_session_type", "prior_exposures_to_image_set", "prior_exposures_to_omissions",
    "abnormal_histology", "abnormal_activity",
)  # fmt: skip
"""Columns that no file holds."""

_COUNTS = ("age_in_days", "session_number", "training_session_number", *OF_SESSIONS[4:7])
COLUMNS: dict[str, ReleaseColumn] = {
    FILE: ReleaseColumn(TEXT, is_needed=True, is_filled=True, is_key=True),
    "session_id": ReleaseColumn(ID),
    "mouse_id": ReleaseColumn(MOUSE),
    **dict.fromkeys(("genotype", "sex", "session_type", "equipment_name"), ReleaseColumn(TEXT)),
    **dict.fromkeys(_COUNTS, ReleaseColumn(COUNT)),
    "date_of_acquisition": ReleaseColumn(TIME),
    "image_set": ReleaseColumn(SHORT_TEXT),
    "experience_level": ReleaseColumn(SHORT_TEXT),
    "abnormal_histology": ReleaseColumn(ABNORMAL_PLACES),
    "abnormal_activity": ReleaseColumn(ABNORMAL_TIMES),
}
"""Columns that are used; others are kept with the session."""

NEAR = 0.8
"""Similarity of two names from which one is taken for a misspelling of the other."""


@dataclass(frozen=True)
class LabTable:
    """The rows of a lab's table of sessions.

    Parameters
    ----------
    path : its file.
    rows : name of a session's file, with or without its ending and the folders above it -> its row, None
        where a cell is empty.
    """

    path: Path
    rows: Mapping[str, Mapping[str, Any]]

    def row_of(self, place: Path | str) -> Mapping[str, Any]:
        """Return the row of a file, given its path or URL.

        Raises
        ------
        NotFoundError
            The table does not list it.
        """
        name = self.name_of(place)
        if name is not None:
            return self.rows[name]
        file_name = _plain(place).rpartition("/")[2]
        near = nearest(file_name, self.rows)
        raise NotFoundError(f"{self.path} has no row whose column '{FILE}' is {quoted(file_name)}.{near}")

    def name_of(self, place: Path | str) -> str | None:
        """Return the name by which the table lists a file, the one with most folders; None if it does not."""
        parts = _plain(place).split("/")
        for first in range(len(parts)):
            name = "/".join(parts[first:])
            for each in (name, name[: -len(suffix)] if (suffix := Path(name).suffix) else name):
                if each in self.rows:
                    return each
        return None

    def shared_rows(self, places: Iterable[Path | str]) -> dict[str, list[str]]:
        """Return the rows that are those of several files: name in the table -> paths of the files."""
        found: dict[str, set[str]] = {}
        for place in places:
            if (name := self.name_of(place)) is not None:
                found.setdefault(name, set()).add(str(place))
        return {name: sorted(files) for name, files in found.items() if len(files) > 1}


def _plain(name: Path | str) -> str:
    """Return a path with ``/`` between its parts, and without ``./`` before it."""
    return str(name).replace("\\", "/").rstrip("/").removeprefix("./")


def read_lab_table(path: Path) -> LabTable:
    """Read a lab's table of sessions, a CSV file with a column ``file``; see docs/rig.md.

    Raises
    ------
    NotReadableError
        It is no such table, a cell cannot be read, a file is listed twice, or a column seems misspelt.
    """
    table = read_table(path, known=COLUMNS).checked()
    for name in table.cells:
        near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=NEAR)
        if name not in COLUMNS and near:
            raise NotReadableError(
                path, f"the column {quoted(name)} is not known.", f"Is it {near[0]}? Then rename it."
            )
    records = list(table.records())
    rows = {_plain(row[FILE]): row for row in records}
    if len(rows) < len(records):
        raise NotReadableError(path, "a file is listed twice, written in two ways.", "Keep one of its rows.")
    return LabTable(path, rows)
