"""Making a freeze: rows as of one moment, published into a folder that goes into the array store."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

import schemas
import vbn
from populate.output.freeze.fingerprints import fingerprints_text
from populate.output.freeze.methods import SOFTWARE, methods_text, software_versions
from populate.output.freeze.package import KeptArrays, pieces, write_package
from populate.output.freeze.request import COUNTED, Request
from populate.output.publish.describe import TableFile
from populate.output.publish.folder import LOCK, PublishFolder
from populate.output.publish.parquet_files import write_parquet
from populate.output.publish.publication import Additions, Published, publish_scope
from populate.work.runner import require_writable_store
from schemas.administration import Freeze
from schemas.queries.authors import author
from schemas.queries.named_lists import rows_with_keys
from schemas.rows.insert import insert_rows
from schemas.server import frozen
from schemas.server.access import RefusedError
from schemas.server.connection import DRIVER_ERRORS, Database
from schemas.server.datajoint import dj
from schemas.server.error_codes import LOCKED, code_of
from schemas.server.published import TABLES, PublishedFolder, require_database
from schemas.server.settings import STORE_NAME
from schemas.server.stores import opened_store
from vbn.errors import ConflictError, StoreError, shortened
from vbn.home import home_folder
from vbn.whole_files import whole_file

METHODS, ABOUT = "METHODS.md", "freeze.json"
LONGEST_SOURCE = 1900
PACKAGE, BEGINNING = ".package.zip", ".new-"
ABANDONED_S = 3600
LIST_AUTHOR = "vbn freeze"
NOBODY = ""
"""In the place of the author of a list that is kept without what people say of it."""

OF_PEOPLE = ("list_author", "list_made_from", "list_description")


@dataclass(frozen=True)
class Made:
    """A freeze that was made.

    Attributes
    ----------
    name : its name.
    digest : SHA-256 of its list of checksums.
    counts : number of mice, sessions, units, tables, rows and arrays.
    size_bytes : of its tables.
    """

    name: str
    digest: str
    counts: dict[str, int]
    size_bytes: int


def create(request: Request) -> Made:
    """Freeze what a request names, as of one moment; all is kept or nothing.

    Tables are written into a folder of this machine, then into pieces in the array store. Arrays are hashed,
    and stay in the store: a row refers to each, so that they outlive the rows that they are of.

    Raises
    ------
    ConflictError
        If there is a freeze of this name, also if somebody else has been faster.
    RefusedError
        If the account is that of a reader.
    StoreError
        If the store cannot be written, an array is missing, or the disk is full.
    """
    require_database("freeze it")
    database = schemas.connect()
    require_maker(database)
    _require_free(request.name)
    require_writable_store()
    frozen_at = datetime.now(UTC).replace(tzinfo=None)
    with _workplace() as folder:
        target = PublishFolder(folder)
        with target.used():
            kept = KeptArrays(target)
            additions = _Additions(request, frozen_at, len_arrays=lambda: len(kept.found))
            done = publish_scope(
                database, target, request.scope, kept, Additions(additions.rows, additions.texts)
            )
            files = PublishedFolder.read(folder)
            package = folder / PACKAGE
            write_package(
                folder, files.checksums, {frozen.FINGERPRINTS: _fingerprints(target, files)}, package
            )
        counts = {**additions.counts, "tables": done.n_tables, "rows": done.n_rows, "arrays": len(kept.found)}
        row = _row(request, frozen_at, files.digest, counts, done)
        _insert(row, package, kept)
    _require_kept(request.name, kept)
    return Made(request.name, files.digest, counts, done.n_bytes)


def _fingerprints(target: PublishFolder, files: PublishedFolder) -> str:
    """Return what the server's hashes of all tables were, by which later changes are found."""
    formers = {name: target.former(name) for name in files.checksums if name.startswith(f"{TABLES}/")}
    found = {
        name: {session: each.hash for session, each in former.state.sessions.items()}
        for name, former in formers.items()
        if former
    }
    return fingerprints_text(found)


def require_maker(database: Database) -> None:
    """Raise RefusedError for a reader, whose account may not write the store's files that a freeze has."""
    if database.role == "reader":
        raise RefusedError(
            f"The account '{database.connection.conn_info['user']}' (reader) may not make or drop freezes: "
            "they are kept in the array store, which workers and admins write. Ask one of them to run the "
            "same command."
        )


def _require_free(name: str) -> None:
    if rows := (Freeze & {"freeze_name": name}).to_dicts():
        raise ConflictError(about_existing(rows[0]))


def about_existing(row: dict[str, Any]) -> str:
    """Return what to say where a freeze has the name already."""
    return (
        f"There is a freeze '{row['freeze_name']}' already, by {shortened(row['freeze_author'])}, "
        f"{row['frozen_at']:%Y-%m-%d %H:%M} UTC. A freeze is never changed: choose another name, or drop it "
        f"first (vbn freeze drop {row['freeze_name']})."
    )


@contextlib.contextmanager
def _workplace() -> Iterator[Path]:
    """Yield a new folder below ``VBN_HOME``, which is removed; those of killed processes are, too."""
    place = home_folder() / frozen.PLACE
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(place)
        folder = place / f"{BEGINNING}{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error.strerror or error}.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """Remove what processes that were killed have left: nobody holds the lock of their folders."""
    for folder in place.glob(f"{BEGINNING}*"):
        try:
            with (folder / LOCK).open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue  # somebody is at work there
        except FileNotFoundError:
            if folder.exists() and time.time() - folder.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Additions:
    """What a freeze has besides the rows of the database: the list of its units, and how it was made."""

    request: Request
    frozen_at: datetime
    len_arrays: Any

    def __post_init__(self) -> None:
        self.counts: dict[str, int] = {}

    def rows(self, files: list[TableFile]) -> list[TableFile]:
        """Add the chosen units as a list of the freeze's name; take out what people have said, if asked to.

        Raises
        ------
        ConflictError
            If what was chosen is there no more.
        """
        self._require_chosen(files)
        if self.request.scope.lists is not None:
            files = [_anonymous(each) if each.published.name == "NamedList" else each for each in files]
        units = self.request.units
        if units is None:
            return files
        name = self.request.name
        own: dict[str, list[dict[str, Any]]] = {
            "NamedList": [
                {
                    "list_name": name,
                    "list_kind": "units",
                    "n_listed": len(units),
                    "list_description": self.request.description or f"The units of the freeze {name}",
                    "list_author": LIST_AUTHOR,
                    "list_made_at": self.frozen_at,
                    "list_made_from": shortened(self.request.made_from, LONGEST_SOURCE),
                }
            ],
            "ListUnit": [*rows_with_keys(units, {"list_name": name})],
        }
        return [
            _with_rows(each, own[each.published.name]) if each.published.name in own else each
            for each in files
        ]

    def _require_chosen(self, files: list[TableFile]) -> None:
        """Raise ConflictError unless all that was chosen before the moment of the freeze was there at it."""
        request, found = self.request, {each.published.name: each for each in files}
        chosen: list[tuple[str, str, set[Any]]] = [
            ("Session", "session_id", set(request.scope.sessions or ())),
            ("NamedList", "list_name", {*(request.scope.lists or ()), *request.scope.named}),
        ]
        if request.units is not None:
            chosen.append(("Recording.Unit", "unit_id", set(request.units["unit_id"].tolist())))
        for table, column, wanted in chosen:
            kept = parquet.read_table(found[table].path, columns=[column], partitioning=None)[column]
            if gone := wanted - set(kept.to_pylist()):
                raise ConflictError(
                    f"{len(gone)} of {len(wanted)} that were chosen, such as {column} {min(gone)}, were "
                    "deleted before the moment of the freeze. Nothing was kept: try again."
                )
            if table == "NamedList" and request.units is not None and request.name in kept.to_pylist():
                raise ConflictError(f"Somebody has made a list '{request.name}' meanwhile. Nothing was kept.")

    def texts(self, files: list[TableFile]) -> dict[str, str]:
        """Return the methods paragraph, and the same for programs."""
        rows = {each.published.name: each.n_rows for each in files}
        self.counts |= {what: rows.get(table, 0) for what, table in COUNTED.items()}
        request = self.request
        about = {
            "name": request.name,
            "description": request.description,
            "frozen_at": f"{self.frozen_at.isoformat(timespec='seconds')}Z",
            "made_from": request.made_from,
            "scope": request.recorded_scope,
            "counts": {**self.counts, "arrays": self.len_arrays()},
            SOFTWARE: software_versions(),
        }
        text = json.dumps(about, indent=1, ensure_ascii=False, sort_keys=True, default=str) + "\n"
        return {METHODS: methods_text(about, files), ABOUT: text}


def _anonymous(file: TableFile) -> TableFile:
    """Return the file of the lists without who made them, how and what for."""
    former = parquet.read_table(file.path, partitioning=None)
    rows = former
    for name in OF_PEOPLE:
        nothing = pa.array([NOBODY] * former.num_rows, pa.string())
        rows = rows.set_column(former.schema.get_field_index(name), former.schema.field(name), nothing)
    with whole_file(file.path) as part:
        write_parquet(part, former.schema, [rows])
    return file


def _with_rows(file: TableFile, more: list[dict[str, Any]]) -> TableFile:
    """Return a table's file with more rows, in the order of its key."""
    former = parquet.read_table(file.path, partitioning=None)
    added = pa.Table.from_pylist(more, former.schema)
    rows = pa.concat_tables([former, added]).sort_by([(name, "ascending") for name in file.primary_key])
    with whole_file(file.path) as part:
        write_parquet(part, former.schema, [rows])
    return replace(file, n_rows=rows.num_rows)


def _row(
    request: Request, frozen_at: datetime, digest: str, counts: dict[str, int], done: Published
) -> dict[str, Any]:
    return {
        "freeze_name": request.name,
        "freeze_author": author(),
        "frozen_at": frozen_at,
        "freeze_made_from": shortened(request.made_from, LONGEST_SOURCE),
        "freeze_description": request.description,
        "freeze_package_version": vbn.__version__,
        "freeze_digest": digest,
        "freeze_scope": request.recorded_scope,
        "freeze_counts": counts,
        "freeze_size_bytes": done.n_bytes,
    }


def _insert(row: dict[str, Any], package: Path, kept: KeptArrays) -> None:
    """Enter a freeze, or nothing of it; files of what was not entered are garbage (vbn gc)."""
    key = {"freeze_name": row["freeze_name"]}
    busy = f"Somebody else is making a freeze '{row['freeze_name']}'. Try again, or choose another name."
    try:
        with dj.conn().transaction:
            Freeze.insert1(row)  # first: who is second waits here, and writes no piece
            for number, (content, digest) in enumerate(pieces(package)):
                Freeze.Piece.insert1(
                    {**key, "piece": number, "piece_content": content, "piece_sha256": digest}
                )
            arrays = (
                {**key, "frozen_array": number, "frozen_array_path": path,
                 "frozen_array_source": each.source, "frozen_array_sha256": each.sha256}
                for number, (path, each) in enumerate(sorted(kept.found.items()))
            )  # fmt: skip
            insert_rows(Freeze.Array(), arrays)
    except dj.errors.DuplicateError as error:
        found = (Freeze & key).to_dicts()
        raise ConflictError(about_existing(found[0]) if found else busy) from error
    except DRIVER_ERRORS as error:
        if code_of(error) in LOCKED:
            raise ConflictError(busy) from error
        raise


def _require_kept(name: str, kept: KeptArrays) -> None:
    """Withdraw a freeze of which an array has gone while it was made, with its row and as garbage.

    Raises
    ------
    ConflictError
        If one has.
    """
    store = opened_store(STORE_NAME)
    gone = [each.source["path"] for each in kept.found.values() if not store.exists(each.source["path"])]
    if gone:
        with dj.conn().transaction:
            withdraw(name)
        raise ConflictError(
            f"{len(gone)} arrays, such as {gone[0]}, were taken out of the store while the freeze was made "
            "(vbn gc). Nothing was kept: try again."
        )


def withdraw(name: str) -> dict[str, int]:
    """Delete the rows of a freeze, in a transaction; return how many, by ``schema.table``."""
    found = {}
    for table in (Freeze.Array, Freeze.Piece, Freeze):
        place = table().full_table_name.replace("`", "").replace('"', "")
        found[place] = int((table & {"freeze_name": name}).delete_quick(get_count=True) or 0)
    return found
