"""Which tables, and which of their rows, are published."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from schemas import curation, session
from schemas.bases.publication import PublishedTable, published_tables
from schemas.server.datajoint import dj

SESSIONS = ("session_id", "familiar_session_id", "novel_session_id", "catalogue_session_id")
"""Columns that name a session to which a row belongs."""

NOTHING = "1 = 0"


@dataclass(frozen=True)
class Scope:
    """What of a database is published.

    Attributes
    ----------
    include : private modules that are published, too.
    sessions : ids of the sessions, with their mice and all that was measured in them; None for all.
    tables : computed tables, without the others; None for all. What is imported is always there.
    lists : names of the lists that are kept, and no note; None for all lists and notes, of `sessions` those
        that have one of them.
    named : names of lists that are kept in any case.
    mice : ids of the mice of `sessions`; None to look them up.
    """

    include: tuple[str, ...] = ()
    sessions: tuple[int, ...] | None = None
    tables: frozenset[str] | None = None
    lists: tuple[str, ...] | None = None
    named: tuple[str, ...] = ()
    mice: tuple[str, ...] | None = None

    def published(self) -> Iterator[PublishedTable]:
        """Yield the tables in dependency order."""
        for each in published_tables(self.include):
            if not self._is_left_out(each):
                yield each

    def left_out(self) -> list[str]:
        """Return the names of the tables that are left out by choice."""
        return [each.name for each in published_tables(self.include) if self._is_left_out(each)]

    def _is_left_out(self, published: PublishedTable) -> bool:
        master = published.name.partition(".")[0]
        return self.tables is not None and is_computed(published) and master not in self.tables

    def condition(self, published: PublishedTable) -> str:
        """Return the condition on the rows of a table, in SQL; empty for all."""
        table = published.table()
        found = [] if self.sessions is None else self._of_sessions(table)
        if self.lists is not None and published.module == "curation":
            # Notes, which are in no list, are left out.
            found.append(
                _one_of(table, "list_name", self.lists if "list_name" in table.heading.names else ())
            )
        return " AND ".join(found)

    def _of_sessions(self, table: Any) -> list[str]:
        names = table.heading.names
        if found := [name for name in SESSIONS if name in names]:
            return [_one_of(table, name, self.sessions or ()) for name in found]
        if isinstance(table, curation.NamedList):
            return [_one_of(table, "list_name", self._lists_of_sessions())]
        if "mouse_id" not in names:
            return []
        mice = self.mice
        if mice is None:
            chosen = session.Session & [{"session_id": number} for number in self.sessions or ()]
            mice = tuple(sorted(set(chosen.to_arrays("mouse_id").tolist())))
        return [_one_of(table, "mouse_id", mice)]

    def _lists_of_sessions(self) -> list[str]:
        """Return the names of the lists that have one of the sessions or of their units, or are named."""
        chosen = [{"session_id": number} for number in self.sessions or ()]
        found = {*self.named, *(self.lists or ())}
        for members in (curation.ListUnit, curation.ListSession):
            found |= set(
                dj.U("list_name").aggr(members & chosen, n="count(*)").to_arrays("list_name").tolist()
            )
        return sorted(found)


def is_computed(published: PublishedTable) -> bool:
    """Return whether a table, or the master of a part, is computed."""
    table = published.table
    return issubclass(getattr(table, "_master", None) or table, dj.Computed)


def _one_of(table: Any, column: str, values: Collection[str] | Collection[int]) -> str:
    """Return the condition that a column has one of some values."""
    is_mysql = table.connection.adapter.backend == "mysql"
    return f"{column} IN ({', '.join(_literal(value, is_mysql) for value in values)})" if values else NOTHING


def _literal(value: str | int, is_mysql: bool) -> str:
    if isinstance(value, int):
        return str(value)
    text = value.replace("'", "''")
    return "'" + (text.replace("\\", "\\\\") if is_mysql else text) + "'"
