"""Adopting sessions: rows that others have imported and computed, as they published them.

What sessions share (mice, parameter sets, images ...) is entered first, all of it or nothing; then each
session in one transaction. Rows that are here are compared, and never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute
from tqdm import tqdm

import schemas
from populate.admin.snapshot import Snapshot
from populate.adoption.arrays import split_rows
from populate.adoption.comparison import SharedRows, differing_tables
from populate.adoption.folder import FolderTable, FolderTables
from populate.adoption.values import checked_rows
from populate.registration.rig import require_own_mouse
from populate.work.runner import REFUSALS
from schemas import session
from schemas.bases.parameter_table import ParameterTable
from schemas.bases.publication import LEFT_OUT
from schemas.bases.unique_ids import PARTS, require_own_ids
from schemas.files.array_store import discard_leftovers
from schemas.files.store_identity import require_own_store
from schemas.rows.insert import insert_made_rows
from schemas.server.connection import Database, server_lock
from schemas.server.datajoint import dj
from schemas.server.datajoint.by_columns import StoredReference
from schemas.server.published import REPAIR, require_database
from schemas.server.unpublished import ROOT
from vbn.errors import ConflictError, InvalidContentError, NotFoundError, SettingError, shortened
from vbn.nearest import nearest
from vbn.nwb.mapping.definition import check_project
from vbn.nwb.readers.templates import picture_hash

Row = dict[str, Any]
KEPT_WHERE_IT_DIFFERS = (
    "Image", "Structure", "CatalogueSession", "CatalogueProbe", "CatalogueChannel", "CatalogueUnit",
)  # fmt: skip
"""Tables of which the first row stays, as on import; the user is told."""

NEEDED = ("Mouse", "Session", "NwbFile", "Recording.Probe", "Recording.Channel", "Recording.Unit")
"""Tables without which nothing can be adopted."""

PICTURE = ("image_sha256", "thumbnail", "warped", "unwarped")


@dataclass(frozen=True)
class AdoptionOutcome:
    """What became of one session.

    Attributes
    ----------
    session_id : the session.
    status : adopted, unchanged or failed; in a rehearsal, new.
    message : why it failed, or what is to be known.
    n_rows : number of rows that were entered.
    n_unpublished_arrays : number of arrays of which these have shape and type only.
    """

    session_id: int
    status: str
    message: str = ""
    n_rows: int = 0
    n_unpublished_arrays: int = 0


class Adoption:
    """The adoption of a folder's sessions into the connected database.

    Parameters
    ----------
    tables : the folder's tables.
    database : the database.
    wanted : ids of the sessions to adopt; empty for all.
    """

    def __init__(self, tables: FolderTables, database: Database, wanted: Collection[int] = ()) -> None:
        self._tables, self._database = tables, database
        for name in NEEDED:
            tables.table(name)
        self._projects: dict[int, str] = {}
        self.mice = self._chosen(wanted)
        self._require_their_sessions()
        self._is_all = not wanted
        self.notes: list[str] = []
        self.n_unpublished_shared = 0

    def _chosen(self, wanted: Collection[int]) -> dict[int, str]:
        """Return the mouse of each session that is to be adopted, by its id."""
        found: dict[int, str] = {}
        for rows in self._tables.table("Session").rows():
            for row in rows:
                check_project(row["project"], str(self._tables.published.folder))
                found[int(row["session_id"])] = str(row["mouse_id"])
                self._projects[int(row["session_id"])] = str(row["project"])
        if unknown := sorted(set(wanted) - found.keys()):
            known = [str(number) for number in found]
            raise NotFoundError(
                f"{self._tables.published.folder} has no session {unknown[0]}."
                f"{nearest(str(unknown[0]), known)}"
            )
        return {number: found[number] for number in sorted(wanted or found)}

    def _require_their_sessions(self) -> None:
        """Raise InvalidContentError if rows, which would be left out, are of sessions that Session lacks."""
        for each in self._tables.of_sessions():
            if lacking := sorted(each.sessions - self._projects.keys()):
                problem = f"It has rows of session {lacking[0]}, which Session does not have."
                raise InvalidContentError(each.path, problem, REPAIR)

    @cached_property
    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)

    @cached_property
    def _user(self) -> str:
        return str(self._database.connection.get_user())[:255]

    def enter_shared(self, *, dry_run: bool = False) -> None:
        """Enter what sessions share and the database lacks: all of it, or nothing.

        Raises
        ------
        ConflictError
            If the database has a mouse or a parameter set with other content.
        InvalidContentError
            If the folder holds what no table can.
        """
        with _explained(self._tables), Snapshot.taken(self._database) as snapshot:
            connection = dj.conn()
            connection.start_transaction()
            try:
                for each in self._tables.shared():
                    self._enter_table(each, snapshot, dry_run=dry_run)
            except BaseException:
                connection.cancel_transaction()
                raise
            connection.cancel_transaction() if dry_run else connection.commit_transaction()

    def _enter_table(self, each: FolderTable, snapshot: Snapshot, *, dry_run: bool) -> None:
        master = getattr(each.table, "_master", None)
        if issubclass(each.table, ParameterTable):
            for rows in each.rows():
                for row in rows:
                    self._adopt_set(each, row)
            return
        if master is not None and issubclass(master, ParameterTable):
            return  # it follows from the set
        present = SharedRows(snapshot, each)
        for batch in each.batches():
            lacking, differences = present.compared(self._wanted_rows(each, batch))
            self._settle(each, differences)
            rows = checked_rows(lacking, each.published, each.path)
            _check_rows(each, rows)
            if not dry_run:  # which would write arrays
                self.n_unpublished_shared += self._insert(each, rows)

    def _adopt_set(self, each: FolderTable, row: Row) -> None:
        try:
            each.table.adopt(row)
        except ConflictError as error:
            raise ConflictError(
                f"{self._tables.published.folder} cannot be adopted here. {error} Its results refer "
                "to its set by this name; adopt it into another database or under another prefix (--prefix)."
            ) from error
        except SettingError as error:
            raise InvalidContentError(each.path, f"{error}", REPAIR) from error

    def _wanted_rows(self, each: FolderTable, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of the chosen sessions and their mice, where rows belong to any."""
        if self._is_all:
            return batch
        for name, chosen in (
            ("catalogue_session_id", pa.array(list(self.mice), pa.int64())),
            ("mouse_id", pa.array(sorted(set(self.mice.values())), pa.string())),
        ):
            if name in each.columns:
                column = batch[name]
                column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                batch = batch.filter(compute.is_in(column, chosen))
        return batch

    def _settle(self, each: FolderTable, differences: dict[str, tuple[Row, Any, Any]]) -> None:
        """Refuse rows that contradict those of the database; tell of those that are only other."""
        shown = {name: differences[name] for name in differences if name not in PICTURE[1:]}
        if each.name in KEPT_WHERE_IT_DIFFERS or not (shown or differences):
            for name, (key, own, other) in shown.items():
                told = ", ".join(map(str, key.values()))
                self.notes.append(
                    f"{each.name} {told}: {name} is {shortened(own, 60)} here, and stays, "
                    f"{shortened(other, 60)} in {self._tables.name}."
                )
            return
        name, (key, own, other) = next(iter((shown or differences).items()))
        told = ", ".join(map(str, key.values()))
        raise ConflictError(
            f"{each.name} {told} is here with other content than in {self._tables.name}: {name} is "
            f"{shortened(own, 100)} here, {shortened(other, 100)} there. Nothing was adopted. Adopt it into "
            "another database or under another prefix (--prefix), or delete what is here (vbn delete)."
        )

    def enter_session(self, session_id: int, *, dry_run: bool = False) -> AdoptionOutcome:
        """Enter all rows of a session, or none; or find that they are here.

        Raises
        ------
        ConflictError
            If the session, its mouse or one of its ids is here with other content.
        InvalidContentError
            If the folder holds what no table can.
        """
        mouse_id = self.mice[session_id]
        own = [each for each in self._tables.of_sessions() if "session_id" in each.session_columns]
        if session.Session & {"session_id": session_id}:
            return self._compared(session_id, own)
        self._require_own(session_id, mouse_id)
        if dry_run:
            return AdoptionOutcome(session_id, "new")
        key = {"mouse_id": mouse_id, "session_id": session_id}
        try:
            with _explained(self._tables), dj.conn().transaction:
                outcome = self._enter(key, own)
        except BaseException:
            if not session.Session & {"session_id": session_id}:  # else somebody else's, who may write arrays
                _discard(own, key)
            raise
        return outcome

    def _compared(self, session_id: int, own: list[FolderTable]) -> AdoptionOutcome:
        known = (session.AdoptedSession & {"session_id": session_id}).to_dicts()
        if known and known[0]["adopted_digest"] == self._tables.published.digest:
            if (lost := known[0]["n_adopted_rows"] - self._count_here(session_id, own)) > 0:
                raise ConflictError(
                    f"Session {session_id} was adopted from this folder, and has lost {lost} of its rows "
                    f"since. To have them: vbn delete --session {session_id}, then adopt it again."
                )
            return AdoptionOutcome(session_id, "unchanged")
        key = (session.Session & {"session_id": session_id}).proj().fetch1()
        with Snapshot.taken(self._database) as snapshot:
            different = differing_tables(snapshot, own, key)
        if not different:
            return AdoptionOutcome(session_id, "unchanged")
        few = ", ".join(different[:3]) + (f" and {len(different) - 3} more" if len(different) > 3 else "")
        came = f", adopted from {known[0]['adopted_from']}," if known else ""
        raise ConflictError(
            f"Session {session_id} is here{came} with other content than in {self._tables.published.folder} "
            f"({few}). To have the folder's: vbn delete --session {session_id}, then adopt it again."
        )

    def _count_here(self, session_id: int, own: list[FolderTable]) -> int:
        counts = " UNION ALL ".join(
            f"SELECT COUNT(*) AS n FROM {each.table().full_table_name} WHERE session_id = {session_id:d}"  # noqa: S608
            for each in own
        )
        rows = self._database.connection.query(f"SELECT SUM(n) FROM ({counts}) AS counts")  # noqa: S608
        return int(rows.fetchone()[0])

    def _require_own(self, session_id: int, mouse_id: str) -> None:
        place = self._tables.published.folder
        require_own_mouse(place, mouse_id, self._projects[session_id], session_id)
        ids = {}
        for name, part in zip(PARTS, ("Probe", "Channel", "Unit"), strict=True):
            batches = self._tables.table(f"Recording.{part}").batches([session_id])
            ids[name] = [number for batch in batches for number in batch[name].drop_null().to_pylist()]
        require_own_ids(session_id, place, ids)

    def _enter(self, key: Row, own: list[FolderTable]) -> AdoptionOutcome:
        session_id, n_rows, n_of_pairs, n_unpublished = key["session_id"], 0, 0, 0
        of_folder = session.AdoptedSession & {"adopted_digest": self._tables.published.digest}
        partners = {session_id, *of_folder.to_arrays("session_id").tolist()}
        for each in self._tables.of_sessions():
            chosen = {session_id} if each in own else partners
            for rows in each.rows(chosen):
                found = [row for row in rows if session_id in (row[name] for name in each.session_columns)]
                n_rows += len(found) if each in own else 0
                n_of_pairs += 0 if each in own else len(found)
                n_unpublished += self._insert(each, found)
        session.AdoptedSession.insert1(
            {
                **key,
                "adopted_from": self._tables.name[:255],
                "adopted_version": self._tables.version,
                "adopted_digest": self._tables.published.digest,
                "n_adopted_rows": n_rows,
                "n_unpublished_arrays": n_unpublished,
                "adopted_at": self._now,
                "adopted_by": self._user,
            }
        )
        return AdoptionOutcome(session_id, "adopted", "", n_rows + n_of_pairs, n_unpublished)

    def _insert(self, each: FolderTable, rows: list[Row]) -> int:
        """Insert rows; return how many of their arrays were not published."""
        fills = self._fills(each)
        filled = [{**row, **fills} for row in rows]
        written, others = split_rows(self._tables, each, filled)
        _check_pictures(each, written)
        for row in written:
            each.table.insert1(row, allow_direct_insert=True)
        if others:
            insert_made_rows(each.table(), others)
        return sum(isinstance(value, StoredReference) for row in others for value in row.values())

    def _fills(self, each: FolderTable) -> Row:
        """Return the values of the columns that are not published."""
        values = {"root": ROOT, "lfp_root": ROOT, "registered_by": self._user}
        names = [name for name in each.table.heading.names if name in LEFT_OUT]
        return {name: None if name.endswith("modified_ns") else values.get(name, self._now) for name in names}


@contextlib.contextmanager
def _explained(tables: FolderTables) -> Iterator[None]:
    """Say of which folder the rows are that a server refuses."""
    folder = tables.published.folder
    try:
        yield
    except dj.errors.AccessError:
        raise
    except dj.errors.DuplicateError as error:
        raise ConflictError(
            f"{folder}: somebody enters the same rows at this moment (try again), they are here, or it has "
            f"them twice: {_first_line(error)}."
        ) from error
    except REFUSALS as error:
        problem = f"The database refuses its rows: {_first_line(error)}."
        raise InvalidContentError(folder, problem, REPAIR) from error


def _first_line(error: BaseException) -> str:
    return shortened(str(error).strip().split("\n")[0], 300)


def _discard(own: list[FolderTable], key: Row) -> None:
    """Remove the arrays of a session that was not entered to its end."""
    for each in own:
        if "." not in each.name:  # parts go with their masters
            discard_leftovers(each.table(), key)


def _check_rows(each: FolderTable, rows: list[Row]) -> None:
    """Refuse a mapping of names under the hash of another: files would be read by it."""
    if each.name != "RigMapping":
        return
    for row in rows:
        text = row["mapping_text"].get("toml")
        if not isinstance(text, str) or hashlib.sha256(text.encode()).hexdigest() != row["mapping_hash"]:
            raise InvalidContentError(each.path, "It has a mapping under the hash of another.", REPAIR)


def _check_pictures(each: FolderTable, rows: list[Row]) -> None:
    """Refuse a picture under the hash of another: sessions that bring the other would find it here."""
    for row in rows if each.name == "Image" else ():
        if row["warped"] is not None and picture_hash(row["warped"]) != row["image_sha256"]:
            name = shortened(row["image_name"], 60)
            raise InvalidContentError(
                each.path, f"It has a picture, {name}, under the hash of another.", REPAIR
            )


def adopt(
    folder: Path, sessions: Collection[int] = (), *, dry_run: bool = False, tell: Callable[[str], None]
) -> Iterator[AdoptionOutcome]:
    """Enter the sessions of a published folder into the connected database; yield what became of each.

    Parameters
    ----------
    folder : written by ``vbn publish``, or by ``vbn freeze export``.
    sessions : ids of the sessions; empty for all.
    dry_run : check, compare, and change nothing.
    tell : called with what is to be known beside.

    Raises
    ------
    NotFoundError, SettingError, InvalidContentError, ConflictError
        If the folder cannot be used, or the database contradicts what its sessions share. Nothing is changed.
    WrongStoreError
        If the array store is not the database's.
    """
    require_database("adopt sessions into it")
    if folder.parts and folder.parts[0].lower() in ("http:", "https:", "s3:"):
        raise SettingError(
            f"{folder} is no folder of this machine: adopting reads all of it. Bring it here first."
        )
    database = schemas.connect()
    require_own_store(database)
    with FolderTables.opened(folder) as tables, server_lock("adopt", database):
        if tables.lacking:
            few = ", ".join(tables.lacking[:5]) + (", ..." if len(tables.lacking) > 5 else "")
            tell(f"{folder} has no {few}: these tables stay empty for its sessions.")
        adoption = Adoption(tables, database, sessions)
        adoption.enter_shared(dry_run=dry_run)
        for note in adoption.notes:
            tell(note)
        if adoption.n_unpublished_shared:
            tell(f"{adoption.n_unpublished_shared:,} pictures were not published, and cannot be shown.")
        for session_id in tqdm(adoption.mice, desc="adopt", unit="session", delay=1, disable=None):
            try:
                yield adoption.enter_session(session_id, dry_run=dry_run)
            except (ConflictError, InvalidContentError) as error:
                yield AdoptionOutcome(session_id, "failed", str(error))
