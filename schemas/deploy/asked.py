"""What a statement names of a published folder's tables, by its text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.deploy.scanned import depths

BEGINS = re.compile(r"\s*(BEGIN|START)\b", re.IGNORECASE)
"""Statements that begin a transaction."""

SELECTS = re.compile(r"\s*\(*\s*(SELECT|WITH)\b", re.IGNORECASE)
TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*') | (?P<name>"(?:[^"]|"")*")"""
    r"""| (?P<other>--|/\*|\$\w*\$|\\|\b[eEuU]&?['"]|;(?!\s*\Z))""",
    re.VERBOSE,
)
"""Texts and names in quotes; and what may hide where such texts begin and end."""

PLACES = re.compile(
    r"""'(?:[^']|'')*' | (?P<schema>"\w+"|\b[a-zA-Z_]\w*)\s*\.\s*(?P<table>"(?:[^"]|"")+"|[\w$]+)"""
    r""" | "(?:[^"]|"")*\"""",
    re.VERBOSE,
)
"""Two names with a point between them; and texts and names in quotes, in which there is none."""

NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
COLUMN = re.compile(rf"{NAME}(?:\s*\.\s*{NAME}){{0,2}}(?!\s*[.(])")
"""The name of a column; none of all columns of a table, and no function."""

GROUP_BY = re.compile(r"\bGROUP\s+BY\s", re.IGNORECASE)

REACHES_FURTHER = re.compile(r"set_config|_to_xml|ts_stat|ts_rewrite|dblink", re.IGNORECASE)
"""Functions by which a statement reads what it does not name, or lets a later one do so."""


@dataclass(frozen=True)
class Asked:
    """A statement about tables of a published folder.

    Attributes
    ----------
    statement : with its arguments, as it is sent.
    tables : schema.table, those that it may read.
    is_known : whether it can read no other table of the folder.
    is_plain_query : whether it is one query, so that its plan shows all that it reads.
    """

    statement: str
    tables: frozenset[str]
    is_known: bool
    is_plain_query: bool

    @classmethod
    def of(cls, statement: str, prefix: str) -> Asked | None:
        """Return what a statement asks of the schemas with a prefix; None if they do not occur in it.

        Examples
        --------
        >>> asked = Asked.of('SELECT a FROM "p_x"."__b" JOIN P_X.c', "p_")
        >>> sorted(asked.tables), asked.is_known, asked.is_plain_query
        (['p_x.__b', 'p_x.c'], True, True)
        >>> Asked.of("SET search_path = p_x", "p_").is_known, Asked.of("SELECT 'p_x'", "p_")
        (False, None)
        """
        folded = statement.lower()
        if prefix not in folded and 'u&"' not in folded:
            return None
        code = _code(statement)
        plain = is_plain_query(statement)
        text = code if code is not None and plain else statement
        named = re.compile(
            rf'"?\b({re.escape(prefix)}\w+)"?\s*\.\s*(?:"((?:[^"]|"")+)"|([\w$]+))', re.IGNORECASE
        )
        tables = {
            f"{schema.lower()}.{quoted or plain.lower()}" for schema, quoted, plain in named.findall(text)
        }
        rest = named.sub("", text).lower()
        is_known = prefix not in rest and 'u&"' not in rest
        return cls(statement, frozenset(tables), is_known, plain) if tables or not is_known else None

    def renamed(self, names: Mapping[str, str]) -> str:
        """Return the statement, which must be a plain query, with other tables in place of some.

        Parameters
        ----------
        names : schema.table -> what stands for it, as SQL.

        Examples
        --------
        >>> asked = Asked.of('SELECT a "p_x.b" FROM p_X."b" AS b', "p_")
        >>> asked.renamed({"p_x.b": '"other"'})
        'SELECT a "p_x.b" FROM "other" AS b'
        """
        return PLACES.sub(lambda found: _instead(found, names), self.statement)

    def grouped_also(self, position: int, names: Mapping[str, str]) -> Asked | None:
        """Return the statement with the column at a position of the renamed one in its ``GROUP BY``, too.

        None if there is no column's name, or no ``GROUP BY`` after it in the same query.

        Parameters
        ----------
        position : in what `renamed` returns.
        names : as `renamed` has it.

        Examples
        --------
        >>> asked = Asked.of("SELECT u.snr, max(a) FROM p_x.b AS u GROUP BY id", "p_")
        >>> asked.grouped_also(7, {"p_x.b": "other"}).statement
        'SELECT u.snr, max(a) FROM p_x.b AS u GROUP BY u.snr, id'
        """
        shift = 0
        for found in PLACES.finditer(self.statement):
            longer = len(_instead(found, names)) - len(found[0])
            if found.end() + shift + longer > position:
                break
            shift += longer
        column = COLUMN.match(self.statement, position - shift)
        end = _group_by_after(self.statement, position - shift)
        if column is None or end is None:
            return None
        statement = f"{self.statement[:end]}{column[0]}, {self.statement[end:]}"
        return replace(self, statement=statement)


def _instead(found: re.Match[str], names: Mapping[str, str]) -> str:
    """Return what stands for a place that `PLACES` has found."""
    if found["schema"] is None:
        return found[0]
    schema, table = found["schema"].strip('"').lower(), found["table"]
    name = table[1:-1] if table.startswith('"') else table.lower()
    return names.get(f"{schema}.{name}", found[0])


def _group_by_after(statement: str, position: int) -> int | None:
    """Return where the columns of a ``GROUP BY`` begin, of the query at a position or one around it."""
    least = None
    for place, depth in depths(statement):
        if place < position:
            continue
        least = depth if least is None else min(least, depth)
        if depth == least and (found := GROUP_BY.match(statement, place)):
            return found.end()
    return None


def is_plain_query(statement: str) -> bool:
    """Return whether a statement is one query that calls no function which reads what no plan shows.

    Examples
    --------
    >>> [is_plain_query(text) for text in ("SELECT 1", "SELECT 1; SELECT 2", "TABLE a", "SELECT 1 -- '")]
    [True, False, False, False]
    """
    code = _code(statement)
    return code is not None and bool(SELECTS.match(code)) and not REACHES_FURTHER.search(code)


def _code(statement: str) -> str | None:
    """Return a statement without texts; None if it is more than one, or not to be told without a parser."""
    parts, start = [], 0
    for token in TOKENS.finditer(statement):
        if token["other"]:
            return None
        if token["text"]:
            parts.append(statement[start : token.start()])
            start = token.end()
    return "''".join([*parts, statement[start:]])
