"""Deleting entries with all that was made from them, and recording who did it, when and why.

The rows that are shown, confirmed and deleted are the same: those that DataJoint's cascade finds. They are
deleted in one transaction, with the record in `administration.Deletion`.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import platform
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg2

import schemas
from populate.admin.spaces import owners
from populate.admin.untrusted_tables import require_no_code, tables_of_spaces
from populate.work.quotas import BEGINNING
from schemas import administration
from schemas.bases.lab import all_tables, with_parts
from schemas.bases.registry import part_classes
from schemas.queries.checks import name_and_value
from schemas.queries.words import hint, our_name
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import JobTable, dj
from schemas.server.error_codes import LOCKED, code_of, is_lost
from vbn.errors import ConflictError, NotFoundError, ServerError, SettingError, shortened
from vbn.nearest import nearest

DEFAULT_THRESHOLD = 1  # sessions; to delete more, their number must be typed
LONGEST_REASON, LONGEST_RESTRICTION = 1000, 2000
VALUES_SHOWN = 10
LOCK_TIMEOUT_S = 30  # time for workers to finish writing; PostgreSQL would wait forever
TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class DeletionPlan:
    """What a deletion would delete."""

    table: str  # name of the class
    restriction: str  # in words
    rows: dict[str, int]  # schema.table on the server -> number of rows to delete, if any
    sessions: tuple[int, ...]  # sessions that lose rows
    cascade: Any  # DataJoint's diagram of the restricted tables
    foreign: str  # why the deletion is refused, if tables of other packages would lose rows; else empty

    @property
    def n_rows(self) -> int:
        """Return the total number of rows."""
        return sum(self.rows.values())


def plan(table_name: str, conditions: Sequence[str], session_ids: Sequence[int] = ()) -> DeletionPlan:
    """Find what deleting some entries of a table would delete; change nothing.

    Parameters
    ----------
    table_name : class name of a table, not of a part.
    conditions : ``attribute=value``; all must hold.
    session_ids : restrict the entries to these sessions.

    Raises
    ------
    SettingError
        If there is no condition, or a value is of the wrong type.
    NotFoundError
        If a table, an attribute or a value does not exist, or no entry matches.
    """
    cls = _table(table_name)
    if not conditions and not session_ids:
        raise SettingError(
            f"Which entries of {table_name}? Name sessions (--session ID) or values (--where name=value)."
        )
    wanted = [_condition(cls, condition) for condition in conditions]
    if session_ids:
        _require_attribute(cls, "session_id")
    values = {name: [value] for name, value in wanted}
    if len(values) < len(wanted) or (session_ids and "session_id" in values):
        raise SettingError("Give each attribute once: the conditions must all hold.")
    if session_ids:
        values["session_id"] = list(session_ids)
    target = cls()
    for name, allowed in values.items():
        _require_values(cls, name, allowed)
        target = target & [{name: value} for value in allowed]
    restriction = " and ".join(f"{name} = {' or '.join(map(str, some))}" for name, some in values.items())
    if not target:
        raise NotFoundError(f"{table_name} has no entry with {restriction}.")
    return _plan_for(table_name, restriction, target)


def _plan_for(table_name: str, restriction: str, target: Any) -> DeletionPlan:
    connection = dj.conn()
    of_spaces = tables_of_spaces(connection, _spaces())
    try:
        with _transaction(connection):
            _wait_for_locks(connection)
            require_no_code(connection, _spaces(), of_spaces, "ACCESS SHARE")
            diagram = dj.Diagram.cascade(target)
            rows = {_plain_name(name): number for name, number in diagram.counts().items() if number}
            _require_whole(rows)
            return DeletionPlan(table_name, restriction, rows, _sessions(diagram), diagram, _foreign(rows))
    except DRIVER_ERRORS as error:
        if code_of(error) in LOCKED:
            raise ConflictError(
                "Somebody else is changing tables that depend on these. Try again."
            ) from error
        raise


def _spaces() -> str:
    """Return what the names of spaces begin with."""
    return schemas.connect().prefix + BEGINNING


def _wait_for_locks(connection: Any) -> None:
    """Let the transaction wait for others for a limited time."""
    is_mysql = connection.adapter.backend == "mysql"
    wait = "SESSION innodb_lock_wait_timeout = {}" if is_mysql else "LOCAL lock_timeout = '{}s'"
    connection.query(f"SET {wait.format(LOCK_TIMEOUT_S)}")


def _sessions(cascade: Any) -> tuple[int, ...]:
    """Return the sessions that lose rows; parts are deleted with their masters."""
    masters = {cls().full_table_name for cls in all_tables()}
    found: set[int] = set()
    for table in cascade:
        if table.full_table_name in masters and "session_id" in table.primary_key:
            found |= {int(number) for number in (dj.U("session_id") & table).to_arrays("session_id")}
    return tuple(sorted(found))


def delete(planned: DeletionPlan, reason: str) -> str:
    """Delete what was planned, in one transaction with the record of it; return the record's id.

    Workers that are making entries from the deleted ones lose their reservations and their results.

    Raises
    ------
    SettingError
        If the reason is empty or too long.
    ConflictError
        If tables of other packages depend on these entries, more sessions than planned would now lose rows,
        or somebody else is writing the same rows.
    RefusedError
        If the account may not delete these rows.
    """
    reason = checked_reason(reason)
    if planned.foreign:
        raise ConflictError(planned.foreign)
    connection = dj.conn()
    of_spaces = tables_of_spaces(connection, _spaces())
    try:
        with _transaction(connection):
            _wait_for_locks(connection)
            require_no_code(connection, _spaces(), of_spaces, "ROW EXCLUSIVE")
            _withdraw_jobs(planned)
            if extra := set(_sessions(planned.cascade)) - set(planned.sessions):
                names = ", ".join(map(str, sorted(extra)))
                raise ConflictError(
                    f"Other sessions would lose rows now ({names}). Nothing was deleted: check again."
                )
            rows = _delete_rows(planned.cascade)
            _require_whole(rows)
            _forget_vanished_jobs(planned)
            return _insert_record(planned, rows, reason)
    except dj.errors.IntegrityError as error:
        raise ConflictError(_contention_message(planned)) from error
    except DRIVER_ERRORS as error:
        code = code_of(error)
        if code in LOCKED:
            raise ConflictError(_contention_message(planned)) from error
        if isinstance(error, dj.errors.LostConnectionError | psycopg2.InterfaceError) or is_lost(code):
            raise ServerError(
                "The connection to the database was lost. All was deleted or nothing: see vbn deletions."
            ) from error
        raise


@contextlib.contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    """Commit all that the block does, or nothing, even if an interruption breaks the connection."""
    connection.start_transaction()
    try:
        yield
    except BaseException:
        with contextlib.suppress(*DRIVER_ERRORS):  # the server then rolls back by itself
            connection.cancel_transaction()
        raise
    connection.commit_transaction()


def history(limit: int | None = None) -> list[dict[str, Any]]:
    """Return the deletions, latest first, each with the number of rows that every table lost."""
    counts: dict[str, dict[str, int]] = {}
    for row in administration.Deletion.Count.to_dicts(order_by="KEY"):
        counts.setdefault(row["deletion_id"], {})[row["deleted_from_table"]] = row["n_deleted_rows"]
    rows: list[dict[str, Any]] = administration.Deletion.to_dicts(order_by="deleted_at DESC", limit=limit)
    return [{**row, "rows": counts.get(row["deletion_id"], {})} for row in rows]


def checked_reason(reason: str) -> str:
    """Return a reason without surrounding spaces.

    Raises
    ------
    SettingError
        If it is empty, or too long for its column.
    """
    reason = reason.strip()
    if not reason:
        raise SettingError("Give a reason, for those who look for the rows later: --reason TEXT.")
    if len(reason) > LONGEST_REASON:
        raise SettingError(f"The reason has {len(reason)} characters; {LONGEST_REASON} can be kept.")
    return reason


def _table(name: str) -> Any:
    """Return the class of a table whose entries may be deleted."""
    known: dict[str, Any] = {cls.__name__: cls for cls in all_tables() if cls not in _records()}
    if name in known:
        return known[name]
    if name in {cls.__name__ for cls in _records()}:
        raise SettingError(f"{name} is a record of what was done, and cannot be deleted.")
    master = name.partition(".")[0]
    if master in known and name.partition(".")[2] in {part.__name__ for part in part_classes(known[master])}:
        raise SettingError(
            f"{name} is a part of {master} and is deleted with its entries: delete those of {master}."
        )
    raise NotFoundError(f"There is no table '{name}'.{nearest(name, known)}")


def _records() -> set[type]:
    return set(administration.schema.masters)


def _condition(cls: Any, text: str) -> tuple[str, Any]:
    """Return attribute and value of ``attribute=value``, the value in the attribute's type."""
    name, value = name_and_value(text)
    if not value:  # more likely an unset shell variable than a search for empty texts
        raise SettingError(f"'{text}' names no value.")
    name = our_name(name, cls.heading.names) or name
    _require_attribute(cls, name)
    return name, _typed(cls.heading.attributes[name], value)


def _require_attribute(cls: Any, name: str) -> None:
    """Raise NotFoundError unless a table has an attribute; DataJoint ignores unknown ones."""
    if name not in cls.heading.names:
        raise NotFoundError(f"{cls.__name__} has no attribute '{name}'.{hint(name, cls.heading.names)}")


def _typed(attribute: Any, value: str) -> Any:
    """Convert a value to the attribute's type; the server might treat 'abc' as 0."""
    if attribute.is_blob or attribute.json or attribute.codec is not None:
        raise SettingError(f"{attribute.name} holds no single value by which entries could be selected.")
    if (attribute.original_type or attribute.type).lower().startswith("bool"):
        if value.lower() not in TRUTHS:
            raise SettingError(f"{attribute.name} is true or false, not '{value}'.")
        return TRUTHS[value.lower()]
    if not attribute.numeric:
        return value
    try:
        number = int(value) if "int" in attribute.type else float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    except ValueError:
        raise SettingError(f"{attribute.name} is a number ({attribute.type}), not '{value}'.") from None


def _require_values(cls: Any, name: str, wanted: Sequence[Any]) -> None:
    """Raise NotFoundError unless a table has entries with each of some values."""
    try:
        absent = [str(value) for value in wanted if not (cls & {name: value})]
    except SettingError as error:  # by the connection, of what the server says
        text = shortened((error.__cause__ or error).args[-1])
        raise SettingError(f"{name} cannot be {' or '.join(map(str, wanted))} ({text}).") from error
    if not absent:
        return
    found = sorted(map(str, (dj.U(name) & cls).to_arrays(name, limit=VALUES_SHOWN + 1)))
    known = ", ".join(found[:VALUES_SHOWN]) + (", ..." if len(found) > VALUES_SHOWN else "")
    raise NotFoundError(
        f"{cls.__name__} has no entry with {name} = {' or '.join(absent)}. There are: {known or 'none'}."
    )


def _foreign(rows: dict[str, int]) -> str:
    own = {_plain_name(table().full_table_name) for table in with_parts(all_tables())}
    foreign = {name: number for name, number in rows.items() if name not in own}
    if not foreign:
        return ""
    whose = owners(schemas.connect())
    of_others = [_described(name, number, whose) for name, number in foreign.items()]
    return (
        f"Tables of others are made from these entries and would lose theirs: {', '.join(of_others)}. "
        "Ask their owners, and delete those rows first; or name the module that defines them, to have it "
        "done: --module, VBN_MODULES."
    )


def _described(table: str, n_rows: int, owners_of_spaces: Mapping[str, str]) -> str:
    """Return a table of others in words."""
    owner = owners_of_spaces.get(table.partition(".")[0])
    return f"{table} ({n_rows} rows" + (f", in the space of {shortened(owner)})" if owner else ")")


def _require_whole(rows: dict[str, int]) -> None:
    """Refuse to delete parts of entries that stay."""
    for name in rows:
        found = re.fullmatch(r"(.+\.[#_]*[^_].*?)__[^_].*", name)
        if found and found[1] not in rows:
            raise ConflictError(
                f"{name} would lose rows, but not the entries of {found[1]} that they are part of. "
                "Delete those entries first."
            )


def table_labels() -> dict[str, str]:
    """Return the name of each table in a record of rows -> its name in Python, such as ``Psth.Unit``.

    Two tables of one name, ours and a lab's, are left out: they keep the names that tell them apart.
    """
    labels = {}
    cls: Any
    for cls in all_tables():
        labels[_plain_name(cls().full_table_name)] = cls.__name__
        for part in part_classes(cls):
            labels[_plain_name(part().full_table_name)] = f"{cls.__name__}.{part.__name__}"
    numbers = Counter(labels.values())
    return {name: label for name, label in labels.items() if numbers[label] == 1}


def _plain_name(full_table_name: str) -> str:
    """Return ``schema.table`` without the server's quotation marks."""
    return full_table_name.replace("`", "").replace('"', "")


def _jobs(planned: DeletionPlan) -> Iterator[tuple[Any, Any]]:
    """Yield the tables of a plan that have jobs, with the jobs of its sessions."""
    names = {table.full_table_name for table in planned.cascade}
    ours = [{"session_id": number} for number in planned.sessions]
    for cls in all_tables(dj.Imported, dj.Computed):
        table: Any = cls()
        if table.full_table_name in names:
            jobs = JobTable(table)
            yield table, jobs & (ours if "session_id" in jobs.primary_key else True)


def _withdraw_jobs(planned: DeletionPlan) -> None:
    """Delete pending and reserved jobs, so that no worker writes rows from now on.

    A worker locks its reservation while it writes, and writes nothing without it.
    """
    for _, jobs in _jobs(planned):
        (jobs & "status in ('pending', 'reserved')").delete_quick()


def _forget_vanished_jobs(planned: DeletionPlan) -> None:
    """Delete the jobs, mostly failed ones, whose entries can no longer be made."""
    for table, jobs in _jobs(planned):
        if jobs:
            jobs.restrict(dj.Not(table.key_source.proj()), semantic_check=False).delete_quick()


def _delete_rows(diagram: Any) -> dict[str, int]:
    """Delete the rows of a cascade, dependent rows first; return the number for each table."""
    rows = {}
    for table in reversed(diagram):
        if number := table.delete_quick(get_count=True):
            rows[_plain_name(table.full_table_name)] = number
    return rows


def _insert_record(planned: DeletionPlan, rows: dict[str, int], reason: str) -> str:
    return record_deletion(planned.table, planned.restriction, rows, reason, len(planned.sessions))


def record_deletion(
    table: str, restriction: str, rows: Mapping[str, int], reason: str, n_sessions: int = 0
) -> str:
    """Record a deletion, in the transaction of it; return the record's id.

    Parameters
    ----------
    table : the table whose entries were named.
    restriction : which of them.
    rows : ``schema.table`` -> number of rows that it lost.
    reason : why, as `checked_reason` returns it.
    n_sessions : number of sessions that lost rows.
    """
    key = {"deletion_id": str(uuid.uuid4())}
    record = {
        "deleted_at": datetime.now(UTC).replace(tzinfo=None),
        "deleted_by": schemas.connect().connection.conn_info["user"],
        "deleted_from": f"{getpass.getuser()} on {platform.node()}"[:255],
        "deletion_reason": reason,
        "deleted_table": table,
        "deletion_restriction": shortened(restriction, LONGEST_RESTRICTION - 30),
        "n_deleted_sessions": n_sessions,
    }
    administration.Deletion.insert1({**key, **record})
    administration.Deletion.Count.insert(
        {**key, "deleted_from_table": name, "n_deleted_rows": number} for name, number in rows.items()
    )
    return key["deletion_id"]


def _contention_message(planned: DeletionPlan) -> str:
    return (
        f"Somebody else, such as a worker, is writing rows made from these entries of {planned.table}. "
        "Nothing was deleted: try again."
    )
