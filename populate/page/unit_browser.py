"""``/units``: all units of all sessions, filtered, counted, sorted and saved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd

from populate.output.rendering import render
from populate.page import unit_facts
from populate.page.handlers import DatabaseHandler
from populate.page.layout import rendered, said
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
)
from vbn.errors import VbnError

TITLE, PATH = "Units", "units"
FACET_TITLES = {
    "structure": "Structure",
    "layer": "Cortical layer",
    "cell_class": "Cell class",
    "genotype": "Genotype",
    "experience": "Experience",
}
IDS = {"unit_id": "./unit?unit=", "session_id": "./session?session="}
"""UnitColumn whose values lead to a page -> the beginning of its address."""
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
            frame, notes = await self.ask(unit_facts.rows, question)
            of_rows = await self.ask(rows_shown, question, frame)
        except VbnError as error:
            await self.refuse(error, TITLE, PATH)
            return
        self.start(TITLE, PATH)
        self.write(rendered("units.html", notes=notes, **of_rows))
        await self.flush()
        try:
            # One after the other, so that what a visitor who has clicked on no longer needs is not asked.
            await self.ask(unit_facts.counts, question)
            await self.ask(unit_facts.criteria_counts, question)
            asked = await self.ask(question_shown, question, self.address)  # has the numbers by now
            self.write(rendered("units_question.html", **asked))
        except VbnError as error:
            self.write(rendered("message.html", text=said(error)))
        await self.end()


class UnitFile(DatabaseHandler):
    """All rows as a file: ``/units.csv?...``, ``/units.parquet?...``."""

    async def get(self, kind: str) -> None:
        """Send the file, or a message why there is none."""
        try:
            content = await self.ask(file_of_units, kind, UnitQuestion.of_address(self.address))
        except VbnError as error:
            self.set_status(404)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            await self.finish(f"{error}\n")
            return
        self.set_header("Content-Type", KINDS[kind])
        self.set_header("Content-Disposition", f'attachment; filename="units.{kind}"')
        await self.finish(content)


def file_of_units(kind: str, question: UnitQuestion) -> bytes:
    """Return all rows of a question as the content of a file, as ``vbn query units --out`` writes it."""
    frame = unit_facts.all_rows(question)
    if kind == "parquet":
        file = io.BytesIO()
        render(frame, kind, file)
        return file.getvalue()
    text = io.StringIO()
    render(frame, kind, text)
    return text.getvalue().encode()


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
    return "" if parse_qsl(query) == parse_qsl(shortest) else f"./units?{shortest}".rstrip("?")


def rows_shown(question: UnitQuestion, frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template of the rows shows."""
    columns = [unit_facts.column(name) for name in question.columns]
    first = (question.page - 1) * ROWS_PER_PAGE
    values = frame.astype(object).itertuples(index=False)
    return {
        "columns": [_heading(column, question.sort) for column in columns],
        "rows": [
            [_cell(column, value) for column, value in zip(columns, row, strict=True)] for row in values
        ],
        "first": first + 1 if len(frame) else 0,
        "last": first + len(frame) if len(frame) else 0,
        "page": question.page,
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
        "sort": "" if column.kind == "list" else second if first in sort else first,
        "order": next((orders[each] for each in sort[:1] if each in orders), "none"),
    }


def _cell(column: UnitColumn, value: Any) -> dict[str, Any]:
    text = shown(column, value)
    link = IDS[column.name] + text if column.name in IDS and text else ""
    return {"text": text, "link": link, "is_right": _is_right(column)}


def question_shown(question: UnitQuestion, address: dict[str, Sequence[str]]) -> dict[str, Any]:
    """Return what the template of filters, columns and files shows."""
    counts = unit_facts.counts(question)
    others = replace(question, columns=DEFAULT_COLUMNS, page=1).address()
    tables: dict[str, list[UnitColumn]] = {}
    for column in unit_facts.known_columns().values():
        tables.setdefault(column.table, []).append(column)
    chosen = [unit_facts.column(name) for name in question.columns]
    rest = {table: [each for each in named if each not in chosen] for table, named in tables.items()}
    return {
        "counts": counts,
        "n_pages": max(1, -(-counts.n_units // ROWS_PER_PAGE)),
        "columns": "" if question.columns == DEFAULT_COLUMNS else ",".join(question.columns),
        "chips": list(_chips(question)),
        "has_facets": bool(question.rows_address()),
        "tables": {table: [each.name for each in named] for table, named in tables.items()},
        "tables_chosen_first": {"shown": chosen, **rest},
        "shown": set(question.columns),
        "editor": _editor(question, address.get("filter", [""])[-1]),
        "facets": [*_facets(counts), _criteria(question)],
        "others": parse_qsl(others),
        "address": replace(question, page=1).address(),
        "python": question.in_python(),
        "shell": question.in_shell(),
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
    ]


def _criteria(question: UnitQuestion) -> dict[str, Any]:
    choices: list[Choice] = unit_facts.criteria_counts(question)
    return {
        "name": "criteria",
        "title": "Quality filter",
        "choices": choices,
        "missing": 0,
        "is_single": True,
    }


def _editor(question: UnitQuestion, name: str) -> dict[str, Any] | None:
    """Return what a filter by a column is made with; None without a column."""
    if not name:
        return None
    column = unit_facts.column(name)
    ordered = {**COMPARISONS, "present": "there"}
    texts = {"contains": "contains", "=": "is exactly", "present": "there"}
    comparisons = ordered if column.kind in ("number", "time") else texts
    if column.kind == "list":
        comparisons = {"present": "there"}
    choices = unit_facts.choices_of_column(question, name)
    return {"column": column, "choices": choices, "comparisons": comparisons}
