"""Are results of the present methods? Asked before results of several sessions are put together.

A row whose method version is not that of this package means something else, though its columns have the same
names. ``vbn stale`` lists such rows one by one, ``vbn recompute`` replaces them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.bases.provenance import METHOD, MadeWith
from schemas.bases.registry import tables
from schemas.server.datajoint import dj
from vbn.errors import ConflictError

Key = Mapping[str, Any]


class EarlierMethodWarning(UserWarning):
    """Some of the results were computed by an earlier, or a later, method than this package's."""


@dataclass(frozen=True)
class MethodRows:
    """How many rows of a table each method version has made.

    Attributes
    ----------
    table : name of the table.
    present : the version of this package.
    rows : version -> number of rows.
    """

    table: str
    present: int
    rows: Mapping[int, int]

    def __str__(self) -> str:
        """Say it in words."""
        numbers = [f"{number} of version {version}" for version, number in sorted(self.rows.items())]
        return f"{self.table} (rows: {', '.join(numbers)}; present: version {self.present})"


def earlier_methods(keys: Mapping[Any, Key], sessions: Any = True) -> list[MethodRows]:
    """Return the tables with rows that the present methods did not make.

    Parameters
    ----------
    keys : table class -> key that its rows have, such as that of a parameter set. The tables that it is made
        from are asked, too.
    sessions : restriction to sessions.

    Notes
    -----
    One grouped query for each table, and another only if there are such rows in any session.
    """
    asked: dict[Any, dict[str, Any]] = {}
    for cls, key in keys.items():
        above = set(cls().ancestors())
        for each in tables(MadeWith):
            if each().full_table_name in above:
                asked.setdefault(each, {}).update(key)
    found = _earlier(asked, True)
    # Restrictions such as a query of units take long: only where there is something to restrict.
    return found if sessions is True or not found else _earlier(asked, sessions)


def require_present_methods(
    keys: Mapping[Any, Key], sessions: Any = True, *, allow_mixed: bool = False
) -> None:
    """Refuse to put together results of which some were made by other methods than the present ones.

    Parameters
    ----------
    keys, sessions : as for `earlier_methods`.
    allow_mixed : warn, and go on.

    Raises
    ------
    ConflictError
        With tables, versions and numbers of rows.

    Warns
    -----
    EarlierMethodWarning
        Instead, with ``allow_mixed``.
    """
    if found := earlier_methods(keys, sessions):
        if not allow_mixed:
            raise ConflictError(
                f"{in_words(found)} To put them together nevertheless: allow_mixed=True, --allow-mixed."
            )
        warnings.warn(in_words(found), EarlierMethodWarning, stacklevel=3)


def warn_of_earlier_methods(keys: Mapping[Any, Key], sessions: Any = True) -> None:
    """Warn of results that other methods than the present ones made, where none are put together."""
    require_present_methods(keys, sessions, allow_mixed=True)


def in_words(found: Iterable[MethodRows]) -> str:
    """Return what `earlier_methods` found as a message."""
    return (
        f"Some results were not computed by the present method: {', '.join(map(str, found))}. "
        "vbn stale lists them, vbn recompute replaces them."
    )


def _earlier(asked: Mapping[Any, Key], sessions: Any) -> list[MethodRows]:
    found = [_method_rows(cls, key, sessions) for cls, key in asked.items()]
    return [each for each in found if not set(each.rows) <= {each.present}]


def _method_rows(cls: Any, key: Key, sessions: Any) -> MethodRows:
    version = f"{cls.provenance_prefix()}_{METHOD}"
    rows = dj.U(version).aggr(cls.proj(version) & dict(key) & sessions, n_rows="count(*)")
    versions, numbers = rows.to_arrays(version, "n_rows")
    counted = {int(each): int(number) for each, number in zip(versions, numbers, strict=True)}
    return MethodRows(cls.__name__, cls.method_version, counted)
