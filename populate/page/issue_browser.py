"""``/issues``: the import issues of all files, filtered by typed columns, counted, sorted and saved."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from populate.output.listing import SEVERITIES
from populate.output.rendering import render
from populate.page.handlers import DatabaseHandler
from populate.page.layout import rendered
from populate.page.unit_browser import filter_editor, rows_shown
from populate.page.unit_facts import MOST_CHOICES, UnitColumn, choices_among, meeting_facets
from populate.page.unit_question import (
    PRESENCE,
    ROWS_PER_PAGE,
    Address,
    condition,
    given_values,
    last_value,
    page_number,
    whole_number,
)
from schemas import session
from schemas.figures import session_key
from schemas.queries.checks import require_choice, restrict
from schemas.rows.fetch import fetch_frame
from schemas.server.datajoint import dj
from vbn.errors import VbnError
from vbn.nwb.issue import CODES

TITLE, PATH = "Import issues", "issues"
FACETS = {
    "severity": ("Severity", "severity"),
    "code": ("Code", "issue_code"),
    "table": ("Table of the file", "issue_table"),
    "importer": ("Imported by", "imported_by"),
}
"""Name in the address -> title, and column."""
COLUMNS = (
    UnitColumn("severity", meaning="info, warning, or error, which stops the import of the table"),
    UnitColumn("session_id", kind="number", meaning="the session; leads to its page"),
    UnitColumn("issue_code", meaning="kind of irregularity, explained below"),
    UnitColumn("issue_table", meaning="table of the file that it is about"),
    UnitColumn("issue_detail", meaning="how many, and the first of them"),
    UnitColumn("imported_by", meaning="table whose import met it"),
    UnitColumn("mouse_id", meaning="the mouse"),
    UnitColumn("noticed_at", kind="time", meaning="when the import met it (UTC)"),
)
NAMES = tuple(column.name for column in COLUMNS)
COUNT = "n_issues_counted"


@dataclass(frozen=True)
class IssueQuestion:
    """Which issues, in which order, and which page of them.

    Attributes
    ----------
    selected : values by names in `FACETS`, one of which must match.
    sessions : numbers of sessions; empty for all.
    where : further conditions on `COLUMNS`.
    sort : name of a column, ``-session_id`` for the greatest first; by default by session.
    page : number of the page of rows, from 1.
    """

    selected: Mapping[str, tuple[str, ...]]
    sessions: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    sort: str = ""
    page: int = 1

    @classmethod
    def of_address(cls, address: Address) -> IssueQuestion:
        """Return what an address asks; raise SettingError for what cannot be asked."""
        sort = next(iter(given_values(address, "sort")), "")  # a heading comes before the present order
        if sort:
            require_choice("column", sort.removeprefix("-"), NAMES)
        return cls(
            selected={name: given_values(address, name) for name in FACETS if given_values(address, name)},
            sessions=tuple(whole_number("session", each) for each in given_values(address, "session")),
            where=given_values(address, "where"),
            sort=sort,
            page=page_number(address),
        )

    def address(self) -> str:
        """Return the query part of the shortest address that asks this."""
        pairs = [(name, value) for name, values in self.selected.items() for value in values]
        pairs += [("session", str(number)) for number in self.sessions]
        pairs += [("where", each) for each in self.where]
        single = {"sort": self.sort, "page": "" if self.page == 1 else str(self.page)}
        return urlencode([*pairs, *((name, value) for name, value in single.items() if value)])

    def in_shell(self) -> str:
        """Return the command that lists the same."""
        words = ["--session", ",".join(map(str, self.sessions))] if self.sessions else []
        conditions = [_is_one_of(FACETS[name][1], values) for name, values in self.selected.items()]
        words += [word for each in (*conditions, *self.where) for word in ("--where", each)]
        return shlex.join(["vbn", "issues", *words])

    def without_facets(self) -> Any:
        """Return the issues as a query, whatever the facets are; raise SettingError for a wrong condition."""
        found = session.ImportIssue()
        if self.sessions:
            found = found & [session_key(number) for number in self.sessions]
        return restrict(found, *self.where)

    def issues(self) -> Any:
        """Return the issues as a query."""
        found = self.without_facets()
        for name, values in self.selected.items():
            column = FACETS[name][1]
            known = [value for value in values if column != "severity" or value in SEVERITIES]
            found = found & [{column: value} for value in known]
        return found

    def rows(self, *, whole: bool = False) -> pd.DataFrame:
        """Return the rows of the page, or all."""
        order = f"{self.sort[1:]} DESC" if self.sort.startswith("-") else self.sort
        limit, offset = (None, 0) if whole else (ROWS_PER_PAGE, ROWS_PER_PAGE * (self.page - 1))
        rows = fetch_frame(self.issues(), [*([order] if order else []), "KEY"], limit=limit, offset=offset)
        return rows[list(NAMES)]


def _is_one_of(column: str, values: Sequence[str]) -> str:
    known = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({known})"


class IssueBrowser(DatabaseHandler):
    """The page of import issues."""

    async def get(self) -> None:
        """Answer the question in the address, or lead to the shortest address that asks it."""
        try:
            shortest = shortest_address(self.address)
            if parse_qsl(self.request.query, keep_blank_values=True) != parse_qsl(shortest):
                self.redirect(f"./issues?{shortest}".rstrip("?"))
                return
            question = IssueQuestion.of_address(self.address)
            shown = await self.ask(issues_shown, question, last_value(self.address, "filter"))
        except VbnError as error:
            await self.refuse(error, TITLE, PATH)
            return
        self.start(TITLE, PATH)
        self.write(rendered("issues.html", **shown))
        await self.end()


class IssueFile(DatabaseHandler):
    """All rows as a file: ``/issues.csv?...``."""

    async def get(self) -> None:
        """Send the file, or a message why there is none."""
        try:
            text = await self.ask_long(issues_csv, IssueQuestion.of_address(self.address))
        except VbnError as error:
            await self.fail(error)
            return
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="issues.csv"')
        await self.finish(text)


def issues_csv(question: IssueQuestion) -> str:
    """Return all rows of a question as CSV."""
    file = io.StringIO()
    render(question.rows(whole=True), "csv", file)
    return file.getvalue()


def shortest_address(address: Address) -> str:
    """Return the shortest query part that asks the same, with a filter that is being added.

    Raises
    ------
    SettingError
        If the address adds a filter that cannot be.
    """
    question, name = IssueQuestion.of_address(address), last_value(address, "filter")
    comparison, values = next(iter(given_values(address, "is")), ""), given_values(address, "value")
    if last_value(address, "is") in PRESENCE:
        comparison = last_value(address, "is")
    if name:
        column = issue_column(name)
        if comparison and (values or comparison in PRESENCE):
            added = condition(name, column.kind, comparison, values)
            return replace(question, where=tuple(dict.fromkeys((*question.where, added)))).address()
    shortest = question.address()
    return shortest + (f"{'&' if shortest else ''}{urlencode({'filter': name})}" if name else "")


def issue_column(name: str) -> UnitColumn:
    """Return a column by its name; raise NotFoundError with the nearest if there is none."""
    require_choice("column", name, NAMES)
    return COLUMNS[NAMES.index(name)]


def issues_shown(question: IssueQuestion, filter_by: str = "") -> dict[str, Any]:
    """Return what the template shows.

    Parameters
    ----------
    question : what is asked.
    filter_by : name of the column that a filter is made for, if any.
    """
    table = _counted(question.without_facets(), [column for _title, column in FACETS.values()])
    rows = question.rows()
    of_page = rows_shown(COLUMNS, rows, (question.sort,) if question.sort else (), question.page)
    n_found = int(table.loc[meeting_facets(table, FACETS, question.selected), COUNT].sum())
    return {
        **of_page,
        "ids": [],
        "what": PATH,
        "has_more": ROWS_PER_PAGE * question.page < n_found,
        "n_found": n_found,
        "shell": question.in_shell(),
        "n_all": len(session.ImportIssue()),
        "address": replace(question, page=1).address(),
        "chips": _chips(question),
        "has_facets": bool(replace(question, sort="", page=1).address()),
        "tables": {PATH: COLUMNS},
        "editor": _editor(question, filter_by) if filter_by else None,
        "facets": [_facet(table, question, name) for name in FACETS],
        "codes": _codes(question.issues(), table[meeting_facets(table, FACETS, question.selected)]),
    }


def _counted(issues: Any, by: list[str]) -> pd.DataFrame:
    return fetch_frame(dj.U(*by).aggr(issues, **{COUNT: "COUNT(*)"}))


def _facet(table: pd.DataFrame, question: IssueQuestion, name: str) -> dict[str, Any]:
    """Return the choices of a facet, with how many issues each would give."""
    title, column = FACETS[name]
    numbers = table[meeting_facets(table, FACETS, question.selected, but=name)].groupby(column)[COUNT].sum()
    choices = choices_among(numbers, question.selected.get(name, ()))
    return {"name": name, "title": title, "choices": choices, "missing": 0, "is_single": False}


def _editor(question: IssueQuestion, name: str) -> dict[str, Any]:
    """Return what a filter by a column is made with: a list of the values, if they are few texts."""
    column, choices = issue_column(name), []
    if column.kind == "text":
        counted = _counted(question.issues(), [name])
        if len(counted) <= MOST_CHOICES:
            choices = choices_among(counted.set_index(name)[COUNT], ())
    return filter_editor(column, choices)


def _chips(question: IssueQuestion) -> list[dict[str, str]]:
    """Return what is chosen besides the facets; to take away a mark is to take it back."""
    chips = [{"name": "session", "value": str(n), "text": f"session {n}"} for n in question.sessions]
    chips += [{"name": "where", "value": each, "text": each} for each in question.where]
    if question.sort:
        chips.append({"name": "sort", "value": question.sort, "text": f"sorted by {question.sort}"})
    return chips


def _codes(issues: Any, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the meaning of each code that occurs, the most severe first."""
    of_sessions = fetch_frame(dj.U("issue_code").aggr(issues, n_sessions="COUNT(DISTINCT session_id)"))
    severities = table.groupby("issue_code")["severity"].agg(set)
    numbers = zip(map(str, of_sessions["issue_code"]), of_sessions["n_sessions"], strict=True)
    rows = [
        {
            "code": code,
            "meaning": CODES.get(code, ""),
            "n_sessions": int(number),
            "severities": sorted(severities[code], key=SEVERITIES.index, reverse=True),
        }
        for code, number in sorted(numbers)
        if code in severities.index  # an import may have met another since the table was counted
    ]
    return sorted(rows, key=lambda row: -SEVERITIES.index(row["severities"][0]))
