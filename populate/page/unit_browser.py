"""``/units``: all units of all sessions, filtered, counted, sorted and saved."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd

from populate.output.rendering import render
from populate.page import unit_facts
from populate.page.content import pictures_of_images
from populate.page.handlers import DatabaseHandler
from populate.page.layout import image_address, rendered, said
from populate.page.save_key import shows_form
from populate.page.unit_facts import Choice, UnitColumn, UnitNumbers, shown
from populate.page.unit_question import (
    COMPARISONS,
    DEFAULT_COLUMNS,
    FACETS,
    PRESENCE,
    ROWS_PER_PAGE,
    SELECTORS,
    UnitQuestion,
    condition,
    last_value,
)
from vbn.errors import VbnError

Editor = dict[str, Any] | None

TITLE, PATH = "Units", "units"
PIECE = 1 << 20  # bytes
FACET_TITLES = {
    "structure": "Structure",
    "layer": "Cortical layer",
    "cell_class": "Cell class",
    "genotype": "Genotype",
    "experience": "Experience",
    "project": "Project",
}
IDS = {"unit_id": "./unit?unit=", "session_id": "./session?session="}
"""UnitColumn whose values lead to a page -> the beginning of its address."""
IMAGE_COLUMNS = ("selectivity_preferred_image",)
"""Columns whose values are names of images."""
WIDE, BADGES = ("issue_detail",), ("severity",)
"""Columns whose texts are wrapped, and those that are shown as badges."""
KINDS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


class UnitBrowser(DatabaseHandler):
    """The page of units: the rows are sent as soon as they are there, numbers and filters follow."""

    async def get(self) -> None:
        """Answer the question in the address, or lead to the address that asks it in the shortest way."""
        try:
            if target := await self.ask(redirection, self.address, self.request.query):
                self.redirect(target)
                return
            question = UnitQuestion.of_address(self.address)
            is_savers = shows_form(self)
            with_ids = replace(question, columns=tuple(dict.fromkeys((*question.columns, "unit_id"))))
            frame, notes = await self.ask(unit_facts.rows, with_ids if is_savers else question)
            columns = await self.ask(shown_columns, question)
            names_images = not set(IMAGE_COLUMNS).isdisjoint(question.columns)
            pictures = await self.ask(pictures_of_images) if names_images else set()
        except VbnError as error:
            await self.refuse(error, TITLE, PATH)
            return
        self.start(TITLE, PATH)
        of_rows = rows_shown(columns, frame, question.sort, question.page, pictures)
        of_rows["ids"] = frame["unit_id"].tolist() if is_savers else []
        self.write(rendered("units.html", notes=notes, what=PATH, **of_rows))
        await self.flush()
        try:
            numbers = await self._numbers(question)
            lists = await self.ask(unit_facts.lists_of_units, question)
            named = {"lists": lists, "may_save": is_savers}
            shown_question = question_shown(question, columns, *numbers)
            self.write(rendered("units_question.html", **named, **shown_question))
        except VbnError as error:
            self.write(rendered("message.html", text=said(error)))
        await self.end()

    async def _numbers(self, question: UnitQuestion) -> tuple[UnitNumbers, list[Choice], Editor]:
        """Return the numbers of units of each choice, and what a filter by a column is made with."""
        rows, name = question.as_rows(), last_value(self.address, "filter")
        asked = replace(rows.without_facets(), criteria="")
        table = await self.ask_kept(unit_facts.combinations, asked, is_long=True)
        counts = unit_facts.counts(table, question)
        criteria = await self.ask(unit_facts.criteria_numbers, table, question)
        choices = [Choice(each, number, each == question.criteria) for each, number in criteria.items()]
        if not name:
            return counts, choices, None
        column = await self.ask(unit_facts.column, name)
        values = await self.ask_kept(unit_facts.choices_of_column, rows, name, is_long=True)
        return counts, choices, filter_editor(column, values)


class UnitFile(DatabaseHandler):
    """All rows as a file: ``/units.csv?...``, ``/units.parquet?...``."""

    async def get(self, kind: str) -> None:
        """Send the file piece by piece, or a message why there is none."""
        path = self.thread.new_file()
        try:
            await self.ask_long(write_units, path, kind, UnitQuestion.of_address(self.address))
            self.set_header("Content-Type", KINDS[kind])
            self.set_header("Content-Disposition", f'attachment; filename="units.{kind}"')
            self.set_header("Content-Length", str(path.stat().st_size))
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    self.write(piece)
                    await self.flush()
            await self.finish()
        except VbnError as error:
            await self.fail(error)
        finally:
            path.unlink(missing_ok=True)


def write_units(path: Path, kind: str, question: UnitQuestion) -> None:
    """Write all rows of a question to a file, as ``vbn query units --out`` does."""
    frame = unit_facts.all_rows(question)
    with path.open("wb") if kind == "parquet" else path.open("w", encoding="utf-8", newline="") as file:
        render(frame, kind, file)


def redirection(address: dict[str, Sequence[str]], query: str) -> str:
    """Return where an address leads: to a unit, or to the shorter address of the same; empty if it is that.

    Raises
    ------
    SettingError
        If the address adds a filter that cannot be.
    """
    if address.get("unit", [""])[-1]:
        return f"./unit?unit={UnitQuestion.of_address({'session': address['unit']}).selected['session'][-1]}"
    question, name = UnitQuestion.of_address(address), address.get("filter", [""])[-1]
    comparison, values = (
        address.get("is", [""])[-1],
        [each for each in address.get("value", ()) if each.strip()],
    )
    if name and comparison and (values or comparison in PRESENCE):
        added = condition(name, unit_facts.column(name).kind, comparison, values)
        question, name = replace(question, where=tuple(dict.fromkeys((*question.where, added)))), ""
    shortest = question.address()
    if name:
        shortest += ("&" if shortest else "") + f"filter={name}"
    return (
        ""
        if parse_qsl(query, keep_blank_values=True) == parse_qsl(shortest)
        else f"./units?{shortest}".rstrip("?")
    )


def shown_columns(question: UnitQuestion) -> list[UnitColumn]:
    """Return the columns that are shown; raise SettingError for one that there is not."""
    return [unit_facts.column(name) for name in question.columns]


def rows_shown(
    columns: Sequence[UnitColumn],
    frame: pd.DataFrame,
    sort: Sequence[str],
    page: int,
    pictures: Set[str] = frozenset(),
) -> dict[str, Any]:
    """Return what the template of the rows shows.

    Parameters
    ----------
    columns : the columns to show.
    frame : the rows of the page, with these columns.
    sort : what the rows are sorted by.
    page : number of the page, from 1.
    pictures : names of the images of which there are pictures.
    """
    first = (page - 1) * ROWS_PER_PAGE
    values = frame[[column.name for column in columns]].astype(object).itertuples(index=False)
    return {
        "columns": [_heading(column, sort) for column in columns],
        "rows": [
            [_cell(column, value, pictures) for column, value in zip(columns, row, strict=True)]
            for row in values
        ],
        "first": first + 1 if len(frame) else 0,
        "last": first + len(frame) if len(frame) else 0,
        "page": page,
        "has_more": len(frame) == ROWS_PER_PAGE,
    }


def _is_right(column: UnitColumn) -> bool:
    return column.kind == "number" and column.name not in IDS


def _heading(column: UnitColumn, sort: Sequence[str]) -> dict[str, Any]:
    """Return a heading, with what a click sorts by: numbers from the greatest first, then the reverse."""
    up, down = column.name, f"-{column.name}"
    first, second = (down, up) if column.kind in ("number", "flag") else (up, down)
    orders = {up: "ascending", down: "descending"}
    return {
        "name": column.name,
        "unit": column.unit,
        "described": column.described,
        "is_right": _is_right(column),
        "is_wide": column.name in WIDE,
        "sort": "" if column.kind == "list" else second if first in sort else first,
        "order": next((orders[each] for each in sort[:1] if each in orders), "none"),
    }


def _cell(column: UnitColumn, value: Any, pictures: Set[str]) -> dict[str, Any]:
    text = shown(column, value)
    picture = image_address(text) if column.name in IMAGE_COLUMNS and text in pictures else ""
    link = IDS[column.name] + text if column.name in IDS and text else ""
    return {
        "text": text,
        "link": link,
        "picture": picture,
        "badge": text if column.name in BADGES else "",
        "is_right": _is_right(column),
        "is_wide": column.name in WIDE,
        "is_time": column.kind == "time",
    }


def question_shown(
    question: UnitQuestion,
    chosen: Sequence[UnitColumn],
    counts: UnitNumbers,
    criteria: list[Choice],
    editor: Editor,
) -> dict[str, Any]:
    """Return what the template of filters, columns and files shows.

    Parameters
    ----------
    question : the question.
    chosen : its columns.
    counts, criteria : the numbers of units of the choices of facets and quality filters.
    editor : what a filter by a column is made with, if one is chosen.
    """
    others = replace(question, columns=DEFAULT_COLUMNS, page=1).address()
    tables: dict[str, list[UnitColumn]] = {}
    for column in unit_facts.known_columns().values():
        tables.setdefault(column.table, []).append(column)
    rest = {table: [each for each in named if each not in chosen] for table, named in tables.items()}
    return {
        "counts": counts,
        "n_pages": max(1, -(-counts.n_units // ROWS_PER_PAGE)),
        "columns": "" if question.columns == DEFAULT_COLUMNS else ",".join(question.columns),
        "what": PATH,
        "chips": list(_chips(question)),
        "has_facets": bool(question.as_rows().address()),
        "tables": tables,
        "tables_chosen_first": {"shown": chosen, **rest},
        "shown": set(question.columns),
        "editor": editor,
        "facets": [*_facets(counts), _criteria(criteria)],
        "others": parse_qsl(others),
        "address": replace(question, page=1).address(),
        "python": question.in_python(),
        "shell": question.in_shell(),
        "pynapple": question.in_pynapple(),
        "saved_in_python": question.saved_in_python(),
        "saved_in_shell": question.saved_in_shell(),
    }


def _chips(question: UnitQuestion) -> list[dict[str, str]]:
    """Return what is chosen besides the facets; to take away a mark is to take it back."""
    pairs = [
        (name, value) for name in SELECTORS if name not in FACETS for value in question.selected.get(name, ())
    ]
    pairs += question.methods().items()
    chips = [{"name": name, "value": value, "text": f"{name} {value}"} for name, value in pairs]
    chips += [{"name": "where", "value": each, "text": each} for each in question.where]
    if question.sort:
        value = ",".join(question.sort)
        chips.append({"name": "sort", "value": value, "text": f"sorted by {value}"})
    return chips


def _facets(counts: UnitNumbers) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "title": FACET_TITLES[name],
            "choices": choices,
            "missing": counts.missing[name],
            "is_single": False,
        }
        for name, choices in counts.facets.items()
        if name != "project" or len(choices) > 1
    ]


def _criteria(choices: list[Choice]) -> dict[str, Any]:
    return {
        "name": "criteria",
        "title": "Quality filter",
        "choices": choices,
        "missing": 0,
        "is_single": True,
    }


def filter_editor(column: UnitColumn, choices: list[Choice]) -> dict[str, Any]:
    """Return what a filter by a column is made with: its choices, if there are any, or a comparison."""
    ordered = {**COMPARISONS, "present": "there"}
    texts = {"contains": "contains", "=": "is exactly", "present": "there"}
    comparisons = ordered if column.kind in ("number", "time") else texts
    if column.kind == "list":
        comparisons = {"present": "there"}
    return {"column": column, "choices": choices, "comparisons": comparisons}
