"""Populating: session after session, table after table, on DataJoint's job reservation.

Several processes, on one machine or many, share the work through the job tables. A session's
tables are made one after the other, so that its file is opened once. What fails is recorded and
stays until it is retried; the other sessions go on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pymysql

import schemas
from populate import reservations
from populate.interruption import noticing_interruptions
from schemas import files, session
from schemas._datajoint import dj
from schemas.connection import DRIVER_ERRORS, tables
from schemas.store import discard_leftovers
from vbn.errors import NotFoundError, ServerError, StoreError, VbnError, shortened

Key = dict[str, Any]

# What the server says of values that a table cannot hold; DataJoint passes some of it on as it is.
REFUSALS = (
    dj.errors.QueryError,
    psycopg2.DataError,
    psycopg2.IntegrityError,
    pymysql.err.DataError,
    pymysql.err.IntegrityError,
)
STORE_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STORE_IS_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class JobResult:
    """One job that was done or failed."""

    table: str
    key: Key
    error: str | None = None


@dataclass
class Summary:
    """What a run did."""

    done: int = 0
    failures: list[JobResult] = field(default_factory=list)

    def add(self, result: JobResult) -> None:
        """Count a job."""
        if result.error is None:
            self.done += 1
        else:
            self.failures.append(result)


def populated_tables(names: Sequence[str] = ()) -> list[type]:
    """Return the tables that are populated, in dependency order; all, or those named.

    Optional tables are populated only when they are named.

    Raises
    ------
    NotFoundError
        If a name is not one of them.
    """
    known = {cls.__name__: cls for cls in tables(dj.Imported, dj.Computed)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFoundError(f"No such table: {', '.join(unknown)}. There are: {', '.join(known)}.")
    if names:
        return [cls for name, cls in known.items() if name in names]
    return [cls for cls in known.values() if not getattr(cls, "is_optional", False)]


def session_keys(session_ids: Sequence[int] = ()) -> list[Key]:
    """Return the keys of the registered sessions; all, or those named.

    Raises
    ------
    NotFoundError
        If a session is not registered.
    """
    keys = session.NwbFile.keys(order_by="session_id")
    unknown = sorted(set(session_ids) - {key["session_id"] for key in keys})
    if unknown:
        raise NotFoundError(f"No such session is registered: {', '.join(map(str, unknown))}. See: vbn status")
    return [key for key in keys if not session_ids or key["session_id"] in session_ids]


def run(
    keys: Sequence[Key], table_classes: Sequence[type], *, should_stop: Callable[[], bool] = lambda: False
) -> Iterator[JobResult]:
    """Populate tables for sessions in this process; yield each job that was done or failed here.

    Parameters
    ----------
    keys : primary keys of sessions, in the order of the work.
    table_classes : tables in dependency order.
    should_stop : asked between jobs.

    Raises
    ------
    StoreError
        If the store cannot be written at all.
    KeyboardInterrupt
        After the interrupted job was rolled back and its reservation returned.
    """
    require_writable_store()
    instances = [cls() for cls in table_classes]  # each looks up its job table once
    try:
        reservations.return_dead(instances)
        with files.closing_file(), noticing_interruptions() as is_interrupted:
            n_done = 0
            for result in _passes(keys, instances, should_stop):
                n_done += result.error is None
                yield result
                if is_interrupted():  # and a library has swallowed it
                    raise KeyboardInterrupt
        if n_done:
            _count_rows(instances)
    except DRIVER_ERRORS as error:
        raise ServerError(
            f"The connection to the database was lost ({error}). Start again when it is back."
        ) from error


def _count_rows(instances: Sequence[Any]) -> None:
    """Let the embedded server look how many rows these tables and their parts have now.

    It does so by itself after a minute; until then it plans joins as if the tables were empty, and a
    question that takes milliseconds may take many seconds.
    """
    database = schemas.connect()
    if database.embedded is not None:
        names = [name for table in instances for name in (table.full_table_name, *table.parts())]
        database.connection.query("ANALYZE " + ", ".join(names))


def _passes(
    keys: Sequence[Key], instances: Sequence[Any], should_stop: Callable[[], bool]
) -> Iterator[JobResult]:
    yield from _pass(keys, instances, should_stop)
    # A worker may have died meanwhile, or its connection have outlived it for a moment.
    while reservations.return_dead(instances):
        yield from _pass(keys, instances, should_stop)


def _pass(
    keys: Sequence[Key], instances: Sequence[Any], should_stop: Callable[[], bool]
) -> Iterator[JobResult]:
    for key in keys:
        for table in instances:
            if should_stop():
                return
            yield from _populate_table(table, key)
        files.close_file()


def _populate_table(table: Any, key: Key) -> Iterator[JobResult]:
    """Make a table's missing entries of one session."""
    table.jobs.refresh(key, delay=-1)
    while pending := _pending_keys(table, key):
        error = _make(table, pending[0])
        if isinstance(error, Exception):
            yield JobResult(type(table).__name__, pending[0], _record(table, pending[0], error))
        elif error is None:
            yield JobResult(type(table).__name__, pending[0])


def _make(table: Any, key: Key) -> Exception | bool | None:
    """Make one entry; return None, the exception that it ended in, or False if another worker has it.

    An interruption is no failure: DataJoint records it as one, which is undone before it goes on.
    """
    interruption: BaseException | None = None
    try:
        outcome = table.populate(
            key, reserve_jobs=True, suppress_errors=True, return_exception_objects=True, refresh=False
        )
    except SystemExit as terminated:  # DataJoint's handler of SIGTERM
        interruption, outcome = terminated, {"error_list": [(key, terminated)], "success_count": 0}
    for _, error in outcome["error_list"]:
        discard_leftovers(table, key)
        if isinstance(error, Exception):
            return error
        interruption = error
    if interruption is not None:
        (table.jobs & key).delete_quick()
        raise KeyboardInterrupt from interruption
    return None if outcome["success_count"] else False


def _pending_keys(table: Any, key: Key) -> list[Key]:
    return list((table.jobs.pending & key).keys(order_by="KEY", limit=1))


def _record(table: Any, key: Key, error: Exception) -> str:
    """Store the message for people beside the job, and return it."""
    message = explain(error)
    table.jobs.error(key, error_message=message)
    return message


def explain(error: BaseException) -> str:
    """Return what went wrong in words; an unexpected error keeps its type."""
    if isinstance(error, VbnError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (*STORE_IS_FULL, *STORE_IS_CLOSED):
        return str(_store_error(error))
    if isinstance(error, REFUSALS):
        # The server's words go on over many lines, with the whole row in them.
        first_line = shortened(str(error).strip().split("\n")[0], 300)
        return f"The database refuses what the file holds ({type(error).__name__}: {first_line})."
    notes = " ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}: {error} {notes}".strip()


def _store_error(error: OSError) -> StoreError:
    problem = "is full" if error.errno in STORE_IS_FULL else "cannot be written"
    store = schemas.connect().store
    return StoreError(
        f"The array store {store} {problem} ({error.strerror}). Make room or correct its permissions, "
        "then: vbn retry && vbn populate"
    )


def require_writable_store() -> None:
    """Raise StoreError unless a file can be written into the store's folder."""
    folder = schemas.connect().store.folder
    if folder is None:
        return
    probe = folder / f".writable-{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _store_error(error) from error
