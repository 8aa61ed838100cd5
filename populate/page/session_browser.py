"""``/sessions``: all registered sessions, searched, filtered, counted and sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from populate.page import content
from populate.page.content import DEFAULT_CRITERIA
from populate.page.handlers import DatabaseHandler
from populate.page.layout import rendered
from populate.page.save_key import shows_form
from populate.page.unit_browser import rows_shown
from populate.page.unit_facts import UnitColumn, choices_among, meeting_facets
from populate.page.unit_question import ROWS_PER_PAGE, Address, given_values, last_value, page_number
from schemas.queries.checks import require_choice
from vbn.errors import VbnError

TITLE, PATH = "Sessions", "sessions"
FACETS = {
    "project": ("Project", "project"),
    "kind": ("Kind", "file_kind"),
    "experience": ("Experience", "experience_level"),
    "images": ("Images", "image_set"),
    "genotype": ("Genotype", "genotype"),
    "abnormal": ("Abnormal", "abnormal"),
    "imported": ("Imported", "imported"),
    "stage": ("Stage", "stage"),
    "mouse": ("Mouse", "mouse_id"),
}
"""Name in the address -> title, and column of `content.sessions_frame`."""
COLUMNS = (
    UnitColumn("session_id", kind="number", meaning="its number; leads to its page"),
    UnitColumn("mouse_id", meaning="the mouse"),
    UnitColumn("date", meaning="day of the session"),
    UnitColumn("file_kind", meaning="recording, or behavior_only"),
    UnitColumn("stage", meaning="of the training"),
    UnitColumn("experience_level", meaning="whether the mouse knew the images"),
    UnitColumn("image_set", meaning="the images"),
    UnitColumn("dprime", kind="number", meaning="mean d' over engaged trials"),
    UnitColumn("n_units", kind="number", meaning="units that were recorded"),
    UnitColumn("n_selected", kind="number", meaning=f"units that pass {DEFAULT_CRITERIA}"),
    UnitColumn("genotype", meaning="of the mouse"),
    UnitColumn("n_issues", kind="number", meaning="irregularities in its file"),
    UnitColumn("abnormal", meaning="what is abnormal by the release's tables"),
    UnitColumn("project", meaning="data set that it belongs to"),
    UnitColumn("imported", meaning="all, part or nothing of its file"),
)
SEARCHED = (
    "session_id", "mouse_id", "date", "file_kind", "session_type", "stage", "experience_level", "image_set",
    "genotype", "project",
)  # fmt: skip


@dataclass(frozen=True)
class SessionQuestion:
    """Which sessions, in which order, and which page of them.

    Attributes
    ----------
    selected : values by names in `FACETS`, one of which must match.
    find : words that must all occur in a session's row, in any case.
    sort : name of a column, ``-dprime`` for the greatest first; by default the latest session first.
    page : number of the page of rows, from 1.
    """

    selected: Mapping[str, tuple[str, ...]]
    find: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def of_address(cls, address: Address) -> SessionQuestion:
        """Return what an address asks; raise SettingError for a column or page that there is not."""
        sort = next(iter(given_values(address, "sort")), "")  # a heading comes before the present order
        if sort:
            require_choice("column", sort.removeprefix("-"), [column.name for column in COLUMNS])
        selected = {name: given_values(address, name) for name in FACETS if given_values(address, name)}
        return cls(selected, " ".join(last_value(address, "find").split()), sort, page_number(address))

    def address(self) -> str:
        """Return the query part of the shortest address that asks this."""
        pairs = [(name, value) for name, values in self.selected.items() for value in values]
        single = {"find": self.find, "sort": self.sort, "page": "" if self.page == 1 else str(self.page)}
        return urlencode([*pairs, *((name, value) for name, value in single.items() if value)])


class SessionBrowser(DatabaseHandler):
    """The page of sessions."""

    async def get(self) -> None:
        """Answer the question in the address, or lead to the shortest address that asks it."""
        try:
            question = SessionQuestion.of_address(self.address)
            shortest = question.address()
            if parse_qsl(self.request.query, keep_blank_values=True) != parse_qsl(shortest):
                self.redirect(f"./sessions?{shortest}".rstrip("?"))
                return
            frame = await self.ask(content.sessions_frame)
            shown = sessions_shown(question, frame, with_ids=shows_form(self))
        except VbnError as error:
            await self.refuse(error, TITLE, PATH)
            return
        self.start(TITLE, PATH)
        self.write(rendered("sessions.html", **shown))
        await self.end()


def sessions_found(question: SessionQuestion, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions that a question asks for, in its order.

    Parameters
    ----------
    question, frame : as for `sessions_shown`.
    """
    found = frame[_having(frame, question.find)]
    return _sorted(found[meeting_facets(found, FACETS, question.selected)], question.sort)


def sessions_shown(
    question: SessionQuestion, frame: pd.DataFrame, *, with_ids: bool = False
) -> dict[str, Any]:
    """Return what the template shows.

    Parameters
    ----------
    question : what is asked.
    frame : all sessions, as of `content.sessions_frame`.
    with_ids : whether sessions can be ticked, for a list.
    """
    found, rows = frame[_having(frame, question.find)], sessions_found(question, frame)
    first = (question.page - 1) * ROWS_PER_PAGE
    shown = rows.iloc[first : first + ROWS_PER_PAGE]
    of_page = rows_shown(COLUMNS, shown, (question.sort,) if question.sort else (), question.page)
    has_projects = len(set(frame["project"])) > 1
    return {
        **of_page,
        "ids": shown["session_id"].tolist() if with_ids else [],
        "may_save": with_ids,
        "address": replace(question, page=1).address(),
        "has_more": first + ROWS_PER_PAGE < len(rows),
        "what": PATH,
        "n_found": len(rows),
        "n_all": len(frame),
        "find": question.find,
        "sort": question.sort,
        "facets": [_facet(found, question, name) for name in FACETS if name != "project" or has_projects],
    }


def _having(frame: pd.DataFrame, find: str) -> pd.Series:
    """Return which sessions have all words in their row."""
    columns = [frame[name].astype(object).fillna("").astype(str) for name in SEARCHED]
    text = pd.concat(columns, axis=1).agg(" ".join, axis=1) if len(frame) else pd.Series(dtype=str)
    has = pd.Series(data=True, index=frame.index)
    for word in find.split():
        has &= text.str.contains(word, case=False, regex=False)
    return has


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    """Return rows in order; missing values come last, and equal rows as they are, the latest first."""
    if not sort:
        return frame
    ascending = not sort.startswith("-")
    return frame.sort_values(sort.removeprefix("-"), ascending=ascending, na_position="last", kind="stable")


def _facet(found: pd.DataFrame, question: SessionQuestion, name: str) -> dict[str, Any]:
    """Return the choices of a facet, with how many sessions each would give."""
    title, column = FACETS[name]
    values = found.loc[meeting_facets(found, FACETS, question.selected, but=name), column]
    known = values[values.notna() & (values != "")]
    choices = choices_among(known.value_counts(), question.selected.get(name, ()))
    missing = len(values) - len(known)
    return {"name": name, "title": title, "choices": choices, "missing": missing, "is_single": False}
