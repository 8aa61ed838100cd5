"""Registering files of a lab's own rig: their mapping, the lab's table of sessions, and their project."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vbn.nwb
from populate.registration.catalogue import catalogue_attributes
from schemas import session
from schemas.bases.registry import tables
from schemas.files.open_file import mapping_of
from schemas.files.roots import Place
from schemas.rows.insert import key_of_session
from schemas.server.datajoint import dj
from vbn.errors import ConflictError, SettingError, quoted
from vbn.nwb.hdf5.identify import open_hdf5
from vbn.nwb.issue import first_of
from vbn.nwb.mapping import FileMapping, MappedReading, read_mapping
from vbn.nwb.mapping.definition import RELEASE_PROJECT, check_project
from vbn.release.lab_table import FILE, OF_FILES, OF_SESSIONS, LabTable, read_lab_table

Key = dict[str, Any]


@dataclass(frozen=True)
class Rig:
    """What is known of files beside themselves.

    Parameters
    ----------
    mapping : which of their names stand for ours; None for files laid out as the release's.
    table : the lab's table of sessions.
    project : data set that the sessions belong to.
    hashes : place -> blake2b of its content, of files on the web of which a manifest says it.
    """

    mapping: FileMapping | None = None
    table: LabTable | None = None
    project: str = RELEASE_PROJECT
    hashes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, mapping: Path | None, metadata: Path | None, project: str | None) -> Rig:
        """Read what a user named.

        Raises
        ------
        SettingError, NotReadableError
            The mapping or the table is invalid, or mapping and user name two projects.
        """
        read = None if mapping is None else read_mapping(mapping)
        if project is not None:
            check_project(project, "--project")
        if read is not None and project not in (None, read.project):
            raise SettingError(
                f"{mapping} is of the project {read.project!r}, and --project says {quoted(project)}. "
                "Leave out --project."
            )
        table = None if metadata is None else read_lab_table(metadata)
        named = read.project if read is not None else project
        return cls(read, table, named or RELEASE_PROJECT)

    def row_of(self, place: Place) -> Mapping[str, Any]:
        """Return what the lab's table says of a file; nothing without a table."""
        return {} if self.table is None else self.table.row_of(place)

    def ambiguous(self, places: Sequence[Place]) -> dict[Place, ConflictError]:
        """Return an error for each file whose row of the lab's table is that of another file, too."""
        if self.table is None:
            return {}
        found: dict[Place, ConflictError] = {}
        for name, files in self.table.shared_rows(places).items():
            problem = (
                f"the row {quoted(name)} of {self.table.path} is that of {len(files)} files, "
                f"{first_of(files)}. Write their folders into its column 'file', one row for each."
            )
            found |= {place: ConflictError(f"{place}: {problem}") for place in places if str(place) in files}
        return found

    def reading_of(self, place: Place) -> MappedReading | None:
        """Return how a file is read; None for the release's layout."""
        return None if self.mapping is None else MappedReading(self.mapping, row=self.row_of(place))

    def identify(self, place: Place) -> vbn.nwb.FileIdentity:
        """Identify a file; see `vbn.nwb.identify`."""
        reading = self.reading_of(place)
        if reading is None:
            return vbn.nwb.identify(place)
        with open_hdf5(place) as file:
            return reading.identity_of(place, file)

    def session_row(self, place: Place) -> dict[str, Any]:
        """Return the attributes of Session that the project and the lab's table state."""
        row = self.row_of(place)
        stated = {name: row[name] for name in OF_SESSIONS if row.get(name) is not None}
        return {**stated, "project": self.project}


def require_same_values(place: Place, rig: Rig, metadata: vbn.nwb.SessionMetadata) -> None:
    """Refuse a table that contradicts a file of the release's layout, whose own values are entered.

    Raises
    ------
    ConflictError
        It names the values.
    """
    row = rig.row_of(place)
    held = {name: getattr(metadata, name) for name in OF_FILES}
    held["date_of_acquisition"] = metadata.date_of_acquisition.isoformat(" ")
    different = [
        f"{name} is {quoted(str(row[name]))} in the table, {quoted(str(held[name]))} in the file"
        for name in OF_FILES
        if row.get(name) is not None and row[name] != held[name]
    ]
    if different and rig.mapping is None:
        raise ConflictError(
            f"{place}: {'; '.join(different)}. Correct one of them, or read the file by a mapping, whose "
            "table of sessions is taken instead of the file."
        )


def require_own_mouse(place: Place, mouse_id: str, project: str, session_id: int) -> None:
    """Refuse a mouse of which another session is in another project: two labs may give one name to two mice.

    Raises
    ------
    ConflictError
        It names both projects.
    """
    besides = session.Session & {"mouse_id": mouse_id} & f"session_id <> {session_id:d}"
    others = dj.U("project") & (besides & f"project <> '{project}'")
    if names := sorted(others.to_arrays("project").tolist()):
        raise ConflictError(
            f"{place}: mouse {quoted(mouse_id)} is one of the project {names[0]!r}, and this file is of "
            f"{project!r}. Give the mouse another id: mouse_id in the mapping's [session], or in a table of "
            "sessions (--metadata)."
        )


def require_own_session(place: Place, session_id: int, project: str) -> None:
    """Refuse a session of a rig whose id is that of a session of the release.

    Raises
    ------
    ConflictError
        It names both projects.
    """
    if project != RELEASE_PROJECT and session.CatalogueSession & {"catalogue_session_id": session_id}:
        raise ConflictError(
            f"{place}: {session_id} is the id of a session of {RELEASE_PROJECT!r} in its tables, and this "
            f"file is of {project!r}. Give it another session_id by a table of sessions (--metadata)."
        )


def require_one_session(place: Place, row: Key, session_id: int) -> None:
    """Refuse a file that is registered as another session, by another mapping or table.

    Raises
    ------
    ConflictError
        It names that session and its project.
    """
    if row["blake2b"] is None:
        return
    same = (session.NwbFile & {"blake2b": row["blake2b"]}) * session.Session.proj("project")
    others = [each for each in same.to_dicts() if each["session_id"] != session_id]
    if others:
        number, project = others[0]["session_id"], others[0]["project"]
        raise ConflictError(
            f"{place}: the same file is registered as session {number} of the project {project!r}, and would "
            f"now be session {session_id}. Keep one (vbn delete --session {number})."
        )


def mapping_hash(mapping: FileMapping) -> str:
    """Return the hash by which the database knows a mapping."""
    return hashlib.sha256(mapping.text.encode()).hexdigest()


def enter_mapping(key: Key, rig: Rig, place: Place) -> None:
    """Insert the mapping and what the lab's table says, or replace them; for files without, nothing."""
    if rig.mapping is None:
        return
    digest = mapping_hash(rig.mapping)
    session.RigMapping.insert1(
        {"mapping_hash": digest, "mapping_text": {"toml": rig.mapping.text}}, skip_duplicates=True
    )
    entry = {**key_of_session(key), "mapping_hash": digest, "lab_row": stated_row(rig, place)}
    if session.MappedFile & key_of_session(key):
        session.MappedFile.update1(entry)
    else:
        session.MappedFile.insert1(entry)


def stated_row(rig: Rig, place: Place) -> dict[str, Any]:
    """Return what the lab's table states of a file, as the database keeps it."""
    row = {name: value for name, value in rig.row_of(place).items() if value is not None}
    stored: dict[str, Any] = json.loads(json.dumps(row))
    return stored


def has_other_row(key: Key, rig: Rig, place: Place) -> bool:
    """Return whether the lab's table says something else of a registered session than it did.

    Raises
    ------
    ConflictError
        It does, of a value that is taken instead of the file's, and something of the file is imported.
    """
    if rig.table is None:
        return False  # whoever names none means no other
    now = stated_row(rig, place)
    if lab_row := (session.MappedFile & key_of_session(key)).to_arrays("lab_row").tolist():
        before = lab_row[0]
        different = {name for name in {*now, *before} if now.get(name) != before.get(name)} - {FILE}
        of_files = sorted(different & {*OF_FILES})
    else:  # the file says the same, or registering is refused
        before, of_files = _known_values(key), []
        if stated := now.get("date_of_acquisition"):
            now["date_of_acquisition"] = datetime.fromisoformat(stated).astimezone(UTC).isoformat(" ")
        different = {name for name in {*now} & {*before} if now[name] != before[name]}
    if of_files and (imported := _imported(key)):
        raise ConflictError(
            f"{place}: session {key['session_id']} is imported already ({', '.join(imported[:3])}), and the "
            f"table now says otherwise of {', '.join(of_files)} ({_said(before, of_files)}; now "
            f"{_said(now, of_files)}). To take it, remove the session first: "
            f"vbn delete --session {key['session_id']}"
        )
    return bool(different)


def _said(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(quoted(row.get(name)) for name in names)


def _known_values(key: Key) -> dict[str, Any]:
    """Return what the database has of a session's values that a lab's table may state."""
    found = (session.Session * session.Mouse & key_of_session(key)).fetch1()
    values = {name: found[name] for name in (*OF_FILES, *OF_SESSIONS)}
    if found["project"] == RELEASE_PROJECT:  # whose tables are taken before a lab's
        values = {
            name: values[name] for name in values if name not in catalogue_attributes(key["session_id"])
        }
    values["date_of_acquisition"] = found["date_of_acquisition"].replace(tzinfo=UTC).isoformat(" ")
    return values


def withdrawn(key: Key, rig: Rig, place: Place) -> dict[str, None]:
    """Return the attributes of Session that the lab's table stated when last read, and no longer does."""
    held = (session.MappedFile & key_of_session(key)).to_arrays("lab_row").tolist()
    if rig.table is None or not held:
        return {}
    return dict.fromkeys((set(held[0]) & {*OF_SESSIONS}) - {*stated_row(rig, place)})


def has_other_mapping(key: Key, rig: Rig, place: Place) -> bool:
    """Return whether a registered file would be read in another way than it is.

    Raises
    ------
    ConflictError
        It would, and something of it is imported.
    """
    if rig.mapping is None:
        return False  # whoever names none means no other
    held = (session.MappedFile & key_of_session(key)).to_dicts()
    if held and held[0]["mapping_hash"] == mapping_hash(rig.mapping):
        return False
    if imported := _imported(key):
        now = "by another mapping" if held else "without a mapping"
        raise ConflictError(
            f"{place}: session {key['session_id']} is imported already, {now} ({', '.join(imported[:3])}). "
            f"To read it by this one, remove it first: vbn delete --session {key['session_id']}"
        )
    return True


def _imported(key: Key) -> list[str]:
    """Return the tables that have been imported of a session."""
    return [table.__name__ for table in tables(dj.Imported) if _has_rows(table, key)]


def _has_rows(table: Any, key: Key) -> bool:
    return "session_id" in table.primary_key and bool(table & key_of_session(key))


def of_registered(known: Key, rig: Rig) -> Rig:
    """Return how a registered file is read: as it was, unless the user names another mapping.

    The project stays as well, unless a mapping names it.
    """
    if rig.mapping is not None:
        return rig
    project = (session.Session & key_of_session(known)).fetch1("project")
    held = mapping_of(known["session_id"])
    return Rig(held, rig.table, project)
