"""Reading the release's tables, grouped by session, so that a session is entered completely or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vbn.errors import NotReadableError, VbnError
from vbn.release.tables import BEHAVIOR, CHANNELS, ECEPHYS, PROBES, UNITS, ReleaseTable, read_table

Row = dict[str, Any]

# Attribute of Session -> column of behavior_sessions.csv.
FROM_BEHAVIOR = {
    "training_session_number": "session_number",  # counts all sessions, not the recording days
    "prior_exposures_to_session_type": "prior_exposures_to_session_type",
    "prior_exposures_to_image_set": "prior_exposures_to_image_set",
    "prior_exposures_to_omissions": "prior_exposures_to_omissions",
}
# Column of the release -> attribute of CatalogueChannel and CatalogueUnit.
OF_CHANNEL = {
    "ecephys_channel_id": "catalogue_channel_id",
    "ecephys_session_id": "catalogue_session_id",
    "ecephys_probe_id": "catalogue_channel_probe_id",
    "probe_channel_number": "catalogue_channel_number",
    "probe_vertical_position": "catalogue_vertical_position",
    "probe_horizontal_position": "catalogue_horizontal_position",
    "anterior_posterior_ccf_coordinate": "catalogue_anterior_posterior",
    "dorsal_ventral_ccf_coordinate": "catalogue_dorsal_ventral",
    "left_right_ccf_coordinate": "catalogue_left_right",
    "structure_acronym": "catalogue_structure",
    "valid_data": "catalogue_valid_data",
}
OF_UNIT = {
    "unit_id": "catalogue_unit_id",
    "ecephys_session_id": "catalogue_session_id",
    "structure_id": "structure_id",
    "waveform_halfwidth": "waveform_halfwidth",
}
SESSION = "ecephys_session_id"


@dataclass
class ListedSession:
    """The data of one session in the tables.

    Parameters
    ----------
    session_id : ``ecephys_session_id`` of a recording, else ``behavior_session_id``.
    kind : ``recording`` or ``behavior_only``.
    row : the row of its table; for a recording with the values that only ``behavior_sessions.csv`` has.
    parts : CatalogueProbe, CatalogueChannel, CatalogueUnit -> rows.
    """

    session_id: int
    kind: str
    row: Row
    parts: dict[str, list[Row]] = field(default_factory=dict)


@dataclass
class ReleaseTables:
    """The content of the release's tables.

    Parameters
    ----------
    sessions : sessions by id, without those with unreadable rows.
    left_out : the other sessions, and the problem of each.
    problems : problems of the tables, one message per column.
    n_unlisted : table -> number of rows left out, because no table lists their session.
    """

    sessions: dict[int, ListedSession] = field(default_factory=dict)
    left_out: dict[int, VbnError] = field(default_factory=dict)
    problems: list[VbnError] = field(default_factory=list)
    n_unlisted: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, folder: Path) -> ReleaseTables:
        """Read the tables in a folder or in its ``project_metadata``; only the first must exist.

        Raises
        ------
        NotReadableError
            If ``ecephys_sessions.csv`` is missing, or a file is not such a table. Unreadable cells are in
            `left_out` and `problems`.
        """
        found = metadata_folder(folder)
        recordings = read_table(found / ECEPHYS)
        behavior = _read_if_there(found / BEHAVIOR)
        probes = _read_if_there(found / PROBES)
        channels = _read_if_there(found / CHANNELS, OF_CHANNEL)
        units = _read_if_there(found / UNITS, OF_UNIT)
        read = cls()
        read._add_sessions(recordings, behavior)
        read._add_parts("CatalogueProbe", probes, _probe_rows)
        read._add_parts("CatalogueChannel", channels, lambda table: _renamed(table, OF_CHANNEL))
        read._add_parts("CatalogueUnit", units, lambda table: _renamed(table, OF_UNIT))
        for session_id in read.left_out:
            read.sessions.pop(session_id, None)
        return read

    def _add_sessions(self, recordings: ReleaseTable, behavior: ReleaseTable | None) -> None:
        trainings = {} if behavior is None else _by_id(behavior, "behavior_session_id")
        rows = _by_id(recordings, SESSION)
        recorded = {row["behavior_session_id"]: number for number, row in rows.items()}
        for number, row in rows.items():
            known = trainings.get(row["behavior_session_id"])
            more = {name: known.get(column) for name, column in FROM_BEHAVIOR.items()} if known else {}
            self.sessions[number] = ListedSession(number, "recording", completed(row, more))
        self._leave_out(recordings, recordings.cells[SESSION])
        if behavior is not None:
            numbers = [recorded.get(one, one) for one in behavior.cells["behavior_session_id"]]
            self._leave_out(behavior, numbers)
            for number, row in trainings.items():
                if number in rows:
                    self._refuse_both(number)
                elif number not in recorded and row.get(SESSION) not in rows:
                    self.sessions[number] = ListedSession(number, "behavior_only", row)

    def _add_parts(
        self, name: str, table: ReleaseTable | None, rows: Callable[[ReleaseTable], Iterator[Row]]
    ) -> None:
        """Assign the rows of a table to their sessions."""
        if table is None:
            return
        self._leave_out(table, table.cells[SESSION])
        by_session: dict[int, list[Row]] = defaultdict(list)
        for row in rows(table):
            by_session[row["catalogue_session_id"]].append(row)
        for number, some in by_session.items():
            if number in self.sessions:
                self.sessions[number].parts[name] = some
            elif number not in self.left_out and number is not None:
                self.n_unlisted[table.path.name] += len(some)

    def _leave_out(self, table: ReleaseTable, session_ids: list[int | None]) -> None:
        """Leave out the sessions of unreadable rows; the session of some rows is itself unreadable."""
        refused = defaultdict(list)
        for one in table.refused:
            refused[session_ids[one.row]].append(one)
        for number, some in refused.items():
            if number is not None:
                self.left_out.setdefault(number, table.problem(some))
        self.problems += table.problems()

    def _refuse_both(self, number: int) -> None:
        problem = NotReadableError(
            BEHAVIOR,
            f"behavior_session_id {number} is the ecephys_session_id of a recording too.",
            "Check both.",
        )
        self.left_out[number] = problem
        self.problems.append(problem)


def metadata_folder(folder: Path) -> Path:
    """Return the folder that holds ``ecephys_sessions.csv``: the folder or its ``project_metadata``."""
    for candidate in (folder, folder / "project_metadata"):
        if (candidate / ECEPHYS).is_file():
            return candidate
    raise NotReadableError(
        folder, f"there is no {ECEPHYS}.", "Give the folder project_metadata of the release."
    )


def _read_if_there(path: Path, columns: Iterable[str] | None = None) -> ReleaseTable | None:
    return read_table(path, columns) if path.exists() else None


def _by_id(table: ReleaseTable, key: str) -> dict[int, Row]:
    return {row[key]: row for row in table.records() if row[key] is not None}


def completed(row: Mapping[str, Any], more: Mapping[str, Any]) -> Row:
    """Return a row whose missing values are filled from another."""
    return {name: more.get(name) if row.get(name) is None else row[name] for name in {**row, **more}}


def _probe_rows(table: ReleaseTable) -> Iterator[Row]:
    for row in table.records():
        yield {
            "catalogue_probe_id": row["ecephys_probe_id"],
            "catalogue_session_id": row[SESSION],
            "catalogue_probe_row": row,
        }


def _renamed(table: ReleaseTable, names: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows with the attributes' names; values of columns that the table lacks are None."""
    nothing = [None] * len(table)
    columns = [table.cells.get(column, nothing) for column in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names.values(), values, strict=True))
