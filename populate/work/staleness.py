"""Rows whose code, parameters or file have changed since they were made, and recomputing them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from populate.work import runner
from populate.work.jobs import NO_SESSION_ID
from populate.work.present import present_tables
from populate.work.runner import JobResult, Summary
from schemas import responses, selection, session
from schemas.bases.lab import all_tables, lab_tables
from schemas.bases.provenance import MadeWith
from schemas.files.open_file import reachable_place
from schemas.server.datajoint import dj
from vbn.errors import ConflictError

Key = dict[str, Any]


@dataclass(frozen=True)
class StaleRow:
    """One master row that differs from what would be computed now."""

    table: str
    key: Key
    reason: str


def stale_rows() -> list[StaleRow]:
    """Return all stale rows, in dependency order, including those made from stale rows of other tables."""
    found: dict[Any, pd.DataFrame] = {}
    for cls in (each for each in present_tables(MadeWith) if {*each.session_columns} <= {*each.primary_key}):
        own = cls.stale_rows()
        inherited = [
            _below(cls, upper, frame)
            for upper, frame in found.items()
            if upper in cls.also_reads or _is_above(upper, cls)
        ]
        everything = pd.concat([own, *inherited]) if inherited else own
        rows = everything.drop_duplicates(list(cls.primary_key), ignore_index=True)
        if len(rows):
            found[cls] = rows
    return [
        StaleRow(
            cls.__name__,
            {str(column): value for column, value in row.items() if column != "reason"},
            row["reason"],
        )
        for cls, frame in found.items()
        for row in frame.to_dict("records")
    ]


def _is_above(upper: Any, cls: Any) -> bool:
    return upper().full_table_name in set(cls().ancestors()) - {cls().full_table_name}


def _below(cls: Any, upper: Any, stale: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table that were made from stale rows of another."""
    rows = pd.DataFrame(cls.made_from(upper).keys(), columns=list(cls.primary_key))
    # A table of mice has the keys of sessions under other names.
    names = ("session_id",) if "session_id" not in stale else cls.session_columns
    below = []
    for name in names:
        renamed = stale.rename(columns={"session_id": name})
        shared = [column for column in renamed.columns if column in rows.columns]
        below.append(rows.merge(renamed[shared].drop_duplicates(), on=shared))
    return (
        pd.concat(below, ignore_index=True)
        .drop_duplicates()
        .assign(reason=f"made from {upper.__name__}, which is stale")
    )


def recompute(rows: list[StaleRow], show: Callable[[JobResult], object] = lambda _: None) -> Summary:
    """Delete stale rows with all that was made from them, session by session, and recompute them.

    An interruption loses nothing: the next ``vbn populate`` makes what was deleted and not yet recomputed.

    Raises
    ------
    ConflictError
        If rows of tables of other packages depend on them.
    StoreError, HostError
        If this machine has not what it takes to make them again; nothing more is deleted then.
    """
    runner.require_writable_store()
    stale: dict[str, list[StaleRow]] = {}
    for row in rows:
        stale.setdefault(row.table, []).append(row)
    classes = [cls for cls in all_tables(MadeWith) if cls.__name__ in stale]
    _require_nothing_foreign(classes)
    below = {name for cls in classes for name in cls().descendants()}
    of_lab = [cls for cls in lab_tables(dj.Imported, dj.Computed) if cls().full_table_name in below]
    again = [*classes, *(cls for cls in of_lab if cls not in classes)]
    summary = Summary()

    def remake(keys: list[Key]) -> None:
        for result in runner.run(keys, again):
            summary.add(result)
            show(result)

    def withdraw(session_id: int) -> None:
        with dj.conn().transaction:
            for cls in classes:
                keys = [row.key for row in stale[cls.__name__] if runner.number_of(row.key) == session_id]
                if left := cls & keys:  # some were deleted with rows that they depend on
                    left.delete(prompt=False, transaction=False)

    for session_id in sorted({runner.number_of(row.key) for row in rows} - {NO_SESSION_ID}):
        if any(issubclass(cls, dj.Imported) for cls in classes):
            place = (session.NwbFile & {"session_id": session_id}).fetch1("root", "relative_path")
            reachable_place(*place)
        withdraw(session_id)
        remake(runner.session_keys([session_id]))
    if not all(map(runner.is_of_sessions, again)):
        withdraw(NO_SESSION_ID)
        remake([runner.NO_SESSION])
    return summary


def withdraw_selections(key: Key) -> int:
    """Delete a session's stale selections of units, with the averages over them; return how many.

    Call it in a transaction, when the session's row has changed: filters may depend on it, as by leaving out
    abnormal sessions. The next ``vbn populate`` makes them again. If tables of other packages depend on them,
    they stay, and are stale.
    """
    stale = selection.UnitSelection.stale_rows(key).drop(columns="reason").to_dict("records")
    if not stale or _foreign_tables([selection.UnitSelection]):
        return 0
    (selection.UnitSelection & stale).delete(prompt=False, transaction=False)
    return len(stale)


def withdraw_novelty(key: Key) -> int:
    """Delete what compares a session, as a familiar or a novel one, with another; return how many.

    Call it in a transaction, when the session's experience level has changed, which chose the pair.
    """
    names = ("familiar_session_id", "novel_session_id")
    pairs = responses.MouseNovelty & [{name: key["session_id"]} for name in names]
    number = len(pairs)
    if not number or _foreign_tables([responses.MouseNovelty]):
        return 0
    pairs.delete(prompt=False, transaction=False)
    return number


def _foreign_tables(above: list[Any]) -> list[str]:
    """Return the tables of other packages that depend on these."""
    own = {cls().full_table_name for cls in all_tables()}
    own |= {part for cls in all_tables() for part in cls().parts()}
    return sorted({name for cls in above for name in cls().descendants()} - own)


def _require_nothing_foreign(stale: list[Any]) -> None:
    """Refuse to delete rows that tables of other packages depend on."""
    if foreign := _foreign_tables(stale):
        raise ConflictError(
            f"Tables of others are made from the stale rows and would lose theirs: {', '.join(foreign)}. "
            "Ask their owners, and delete those rows first; or name the module that defines them, to have it "
            "done: --module, VBN_MODULES."
        )
