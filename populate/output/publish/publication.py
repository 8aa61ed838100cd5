"""Publishing a database: all tables as of one moment, whatever has not changed since left as it is."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

import schemas
import vbn
from populate.admin.snapshot import ServerTable, Snapshot
from populate.output.publish import describe, provenance
from populate.output.publish.arrays import ArrayFiles
from populate.output.publish.chunk_hashes import FileHashes, chunk_lists, hashes_of
from populate.output.publish.fingerprints import WHOLE, Fingerprint, fingerprints, is_by_session
from populate.output.publish.folder import FileState, Former, PublishFolder
from populate.output.publish.parquet_files import FormerRows, write_parquet
from populate.output.publish.rows import RowReader, layout_of
from populate.output.publish.scope import Scope
from schemas.bases.publication import (
    FORMAT,
    PRIVATE_MODULES,
    PublishedTable,
    is_stored_array,
)
from schemas.queries.column_comments import column_comments
from schemas.server.connection import Database
from schemas.server.published import ARRAYS, require_database
from vbn.errors import SettingError
from vbn.nearest import nearest
from vbn.whole_files import whole_file


@dataclass(frozen=True)
class Published:
    """What a run of `publish` has done.

    Attributes
    ----------
    folder : where.
    version : of what is published; the same rows have the same one.
    n_tables, n_rows, n_bytes : of all.
    written : the tables whose files were written, others were as they should be.
    n_read : number of rows that were read for them, others came from the former files.
    n_arrays : number of arrays.
    """

    folder: Path
    version: str
    n_tables: int
    n_rows: int
    n_bytes: int
    written: list[str]
    n_read: int
    n_arrays: int


@dataclass(frozen=True)
class Additions:
    """What is published besides what the database has.

    Attributes
    ----------
    rows : called with the files of the tables in their places; returns them, some with more rows.
    texts : called with the same and those of provenance; returns texts, path -> content.
    """

    rows: Callable[[list[describe.TableFile]], list[describe.TableFile]] = lambda files: files
    texts: Callable[[list[describe.TableFile]], Mapping[str, str]] = lambda _files: {}


@dataclass(frozen=True)
class _Task:
    """A table, what the database holds of it, and the columns of its file."""

    published: PublishedTable
    found: dict[Any, Fingerprint]
    layout: pa.Schema
    with_arrays: bool
    where: str

    @property
    def types(self) -> str:
        return _digest(self.layout.remove_metadata())

    def is_done(self, state: FileState) -> bool:
        return (
            self.may_reuse(state)
            and state.layout == _digest(self.layout)
            and self.hashes == {session: each.hash for session, each in state.sessions.items()}
        )

    def may_reuse(self, state: FileState) -> bool:
        return (state.types, state.with_arrays) == (self.types, self.with_arrays)

    @property
    def hashes(self) -> dict[Any, str]:
        return {session: each.hash for session, each in self.found.items()}

    @property
    def n_rows(self) -> int:
        return sum(each.n_rows for each in self.found.values())


def publish(folder: Path, *, arrays: bool = False, include: Collection[str] = ()) -> Published:
    """Write all tables to a folder, as of one moment, with their meanings, provenance and checksums.

    A folder that was published before is brought up to date: only tables and sessions whose rows have changed
    are read again. The same rows give the same bytes. After a kill, the same call goes on.

    Parameters
    ----------
    folder : a new or empty folder, or one of a former publication.
    arrays : whether the arrays of the store are copied, too.
    include : private modules to publish: ``curation``, ``administration``.

    Raises
    ------
    SettingError, ConflictError
        If the folder cannot be used, has arrays that would be removed, or a module does not exist.
    StoreError
        If an array cannot be read, or the disk is full.
    """
    require_database("publish it")
    for name in include:
        if name not in PRIVATE_MODULES:
            raise SettingError(f"There is no private module '{name}'.{nearest(name, PRIVATE_MODULES)}")
    database = schemas.connect()
    target = PublishFolder(folder)
    target.require_usable(database)
    if not arrays:
        target.require_no_arrays()
    with target.used():
        return publish_scope(database, target, Scope(tuple(include)), ArrayFiles(target, wanted=arrays))


def publish_scope(
    database: Database,
    target: PublishFolder,
    scope: Scope,
    copies: ArrayFiles,
    additions: Additions | None = None,
) -> Published:
    """Write what is in a scope to a folder that nobody else publishes into.

    Parameters
    ----------
    database : the connected database.
    target : the folder, which is `PublishFolder.used`.
    scope : which tables and rows.
    copies : what publishes the arrays of the store.
    additions : what is published besides what the database has.
    """
    with Snapshot.taken(database) as snapshot:
        tasks = list(_tasks(snapshot, database, scope, arrays=copies.wanted))
        done = _write(snapshot, tasks, target, copies)
    copies.keep_journal()
    if additions is not None:  # which may change files
        done = replace(done, hashes={})
    return _complete(target, tasks, done, copies, scope, additions or Additions())


def _tasks(snapshot: Snapshot, database: Database, scope: Scope, *, arrays: bool) -> Iterator[_Task]:
    """Yield what is to be published of each table."""
    server = {table.full_name: table for table in snapshot.tables()}
    published = list(scope.published())
    for each in tqdm(published, desc="compare", unit="table", disable=not sys.stderr.isatty()):
        table = each.table()
        where = scope.condition(each)
        place = f"{database.prefix}{each.module}.{table.table_name}"
        found = fingerprints_of(snapshot, each, server[place], where)
        comments = column_comments(table)
        about = {
            "table": each.name,
            "meaning": table.heading.table_status["comment"],
            "primary_key": " ".join(table.primary_key),
            "package": f"vbn-datajoint {vbn.__version__}",
            "format": str(FORMAT),
        }
        has_arrays = any(map(is_stored_array, each.attributes))
        yield _Task(each, found, layout_of(each, found, comments, about), arrays and has_arrays, where)


def fingerprints_of(
    snapshot: Snapshot, published: PublishedTable, server: ServerTable, where: str = ""
) -> dict[Any, Fingerprint]:
    """Return the fingerprints of a table's published columns, in the order of the sessions."""
    table = published.table()
    columns = {each.name: server.columns[each.name] for each in published.attributes}
    by_session = is_by_session(table.primary_key)
    found = fingerprints(snapshot, table.full_table_name, columns, by_session=by_session, where=where)
    return {session: found[session] for session in sorted(found)}


@dataclass(frozen=True)
class _Written:
    """The tables whose files were written, how many rows were read for them, and the hashes of all files."""

    tables: list[str]
    n_read: int
    hashes: dict[str, FileHashes]


def _write(snapshot: Snapshot, tasks: list[_Task], target: PublishFolder, copies: ArrayFiles) -> _Written:
    """Write the files that are not as they should be."""
    damaged = copies.tables_to_write()
    files = [task.published.file for task in tasks]
    formers = {name: None if name in damaged else target.former(name) for name in files}
    open_tasks = [
        task for task in tasks if not ((found := formers[task.published.file]) and task.is_done(found.state))
    ]
    hashes = {name: each.hashes for name, each in formers.items() if each}
    n_read = 0
    total = sum(task.n_rows for task in open_tasks)
    with tqdm(
        total=total, desc="publish", unit="row", unit_scale=True, disable=not sys.stderr.isatty()
    ) as bar:
        for task in open_tasks:
            name = task.published.file
            reader = RowReader(task.published, task.layout, copies.publish, task.where)
            former = formers[name]
            pieces = _Pieces(
                snapshot, task, reader, former if former and task.may_reuse(former.state) else None, bar
            )
            with whole_file(target.waiting(name)) as part:
                write_parquet(part, task.layout, pieces)
                hashes[name] = hashes_of(part)
            pieces.close()
            n_read += pieces.n_read
            target.note(
                name,
                FileState(
                    _digest(task.layout), task.types, task.with_arrays, task.found, hashes[name].sha256
                ),
            )
    return _Written([task.published.name for task in open_tasks], n_read, hashes)


class _Pieces:
    """Yields the rows of each session, from the former file where they are the same, else from the server."""

    def __init__(
        self,
        snapshot: Snapshot,
        task: _Task,
        reader: RowReader,
        former: Former | None,
        bar: Any,
    ) -> None:
        self._snapshot, self._task, self._reader, self._bar = snapshot, task, reader, bar
        self._known: dict[Any, Fingerprint] = {}
        self._rows: FormerRows | None = None
        self.n_read = 0
        if former is not None:
            self._known = former.state.sessions
            self._rows = FormerRows(former.path, {key: each.n_rows for key, each in self._known.items()})

    def __iter__(self) -> Iterator[pa.Table]:
        for session, now in self._task.found.items():
            known = self._known.get(session)
            if self._rows is not None and known is not None and known.hash == now.hash:
                yield self._rows.of(session).cast(self._task.layout)
            else:
                yield self._read(session, now)
            self._bar.update(now.n_rows)

    def _read(self, session: Any, now: Fingerprint) -> pa.Table:
        key = {} if session == WHOLE else {"mouse_id": session[0], "session_id": session[1]}
        rows = self._reader.read(self._snapshot, key)
        if rows.num_rows != now.n_rows:
            raise AssertionError(f"{self._task.published.name}: {rows.num_rows} rows, not {now.n_rows}.")
        self.n_read += rows.num_rows
        return rows

    def close(self) -> None:
        """Close the former file."""
        if self._rows is not None:
            self._rows.close()


def _complete(
    target: PublishFolder,
    tasks: list[_Task],
    done: _Written,
    copies: ArrayFiles,
    scope: Scope,
    additions: Additions,
) -> Published:
    """Put all files in their places, write what describes them, and at last the checksums."""
    target.take_over()
    root = target.path
    files = [
        describe.TableFile(each.published, each.layout, each.n_rows, root / each.published.file)
        for each in tasks
    ]
    files = additions.rows(files)
    files += provenance.write_tables(target, files)
    stored = describe.published_arrays(files, copies.require) if copies.wanted else []
    hashes = {each.name: done.hashes.get(each.name) or hashes_of(each.path) for each in files}
    checksums = {name: each.sha256 for name, each in hashes.items()}
    checksums |= {f"{ARRAYS}/{each.path}": each.sha256 for each in stored}
    version = f"{vbn.__version__}+{_digest_of_text(repr(sorted(checksums.items())))[:12]}"
    files = [replace(each, sha256=checksums[each.name]) for each in files]
    texts = describe.describing_texts(
        files, stored, version, with_arrays=copies.wanted, left_out=scope.left_out()
    )
    texts |= chunk_lists(hashes)
    texts |= additions.texts(files)
    for name, text in texts.items():
        target.put(name, text)
        checksums[name] = _digest_of_text(text)
    target.keep_only(set(checksums))
    target.complete(checksums)
    return Published(
        folder=root,
        version=version,
        n_tables=len(files),
        n_rows=sum(each.n_rows for each in files),
        n_bytes=sum((root / name).stat().st_size for name in checksums if (root / name).exists()),
        written=done.tables,
        n_read=done.n_read,
        n_arrays=len(stored),
    )


def _digest(layout: pa.Schema) -> str:
    return hashlib.sha256(layout.serialize().to_pybytes()).hexdigest()


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
