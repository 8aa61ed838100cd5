"""``/queries``: the queries of the lab's modules, each with a form of its arguments, and their rows."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from populate.output.as_json import plain_value
from populate.output.rendering import render, with_columns
from populate.page.handlers import DatabaseHandler
from populate.page.layout import rendered
from populate.page.unit_browser import IDS, KINDS
from populate.page.unit_question import Address
from schemas import queries
from schemas.bases.lab_queries import LabQuery
from schemas.queries.checks import require_choice
from schemas.queries.lab import lab_frame

TITLE, PATH = "Lab queries", "queries"
ROWS_SHOWN = 200
QUERY = "query"
"""Name in the address of the query; the others are those of its arguments."""


class LabPage(DatabaseHandler):
    """The list of queries; with one in the address, its form and rows."""

    async def get(self) -> None:
        """Answer the question in the address."""
        try:
            shown = None
            if self.address.get(QUERY):
                shown = await self.ask_kept(shown_query, self.address, is_long=True)
        except Exception as error:  # noqa: BLE001 - code of the lab may raise anything
            await self.refuse(error, TITLE, PATH)
            return
        self.start(TITLE, PATH)
        listed = [{"name": each.name, "summary": each.summary} for each in queries.lab_queries().values()]
        self.write(rendered("lab_queries.html", listed=listed, shown=shown, address=self.request.query))
        await self.end()


class LabFile(DatabaseHandler):
    """All rows as a file: ``/queries.csv?query=...``, ``/queries.parquet?query=...``."""

    async def get(self, kind: str) -> None:
        """Send the file, or a message why there is none."""
        try:
            content = await self.ask_long(file_of_query, kind, self.address)
        except Exception as error:  # noqa: BLE001 - code of the lab may raise anything
            await self.fail(error)
            return
        name = self.address[QUERY][-1]
        self.set_header("Content-Type", KINDS[kind])
        self.set_header("Content-Disposition", f'attachment; filename="{name}.{kind}"')
        await self.finish(content)


def asked(address: Address) -> tuple[LabQuery, dict[str, Any]]:
    """Return the query of an address, and the values of its parameters.

    Raises
    ------
    VbnError
        If there is no such query or parameter, or a value is of another type.
    """
    known = queries.lab_queries()
    name = (address.get(QUERY) or [""])[-1]
    require_choice("query of the lab", name, list(known))
    query, given = known[name], {}
    for word in address:
        if word != QUERY:
            require_choice("parameter", word, list(query.parameters))
    for parameter in query.parameters.values():
        texts = [text.strip() for text in address.get(parameter.name, ()) if text.strip()]
        if parameter.several:
            texts = [word.strip() for text in texts for word in text.split(",") if word.strip()]
        if texts:
            values = [parameter.value(text) for text in texts]
            given[parameter.name] = values if parameter.several else values[-1]
    return query, given


def shown_query(address: Address) -> dict[str, Any]:
    """Return what the template shows of a query; its rows, once all that it needs is given."""
    query, given = asked(address)
    fields = [
        {
            "name": parameter.name,
            "meaning": parameter.meaning or parameter.name.replace("_", " "),
            "kind": "several" if parameter.several else parameter.kind.__name__,
            "choices": list(parameter.choices) or (["true", "false"] if parameter.kind is bool else []),
            "default": "" if parameter.is_required or parameter.default is None else str(parameter.default),
            "is_required": parameter.is_required,
            "value": _text(given.get(parameter.name)),
        }
        for parameter in query.parameters.values()
    ]
    about = {"name": query.name, "help": query.help, "module": query.module, "fields": fields}
    lacking = [each.name for each in query.parameters.values() if each.is_required and each.name not in given]
    if lacking:
        return {**about, "lacking": lacking, "rows": [], "columns": [], "n_rows": 0, "shell": ""}
    frame = lab_frame(query, given)
    chosen = [name for name in query.columns if name in frame]
    head = with_columns(frame, chosen).head(ROWS_SHOWN)
    return {
        **about,
        "lacking": [],
        "columns": [str(name) for name in head],
        "rows": [[_cell(str(name), row[name]) for name in head] for row in head.to_dict("records")],
        "n_rows": len(frame),
        "shell": in_shell(query, given),
    }


def file_of_query(kind: str, address: Address) -> bytes:
    """Return all rows and columns of a query as the content of a file."""
    frame: pd.DataFrame = lab_frame(*asked(address))
    if kind == "parquet":
        file = io.BytesIO()
        render(frame, kind, file)
        return file.getvalue()
    text = io.StringIO()
    render(frame, kind, text)
    return text.getvalue().encode()


def in_shell(query: LabQuery, given: Mapping[str, Any]) -> str:
    """Return the command that gives the same rows."""
    words = ["vbn", "query", f"--module={query.module}", query.name.replace("_", "-")]
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words.append(f"--{option}={_text(value)}")
    return shlex.join([*words, "--out", f"{query.name}.csv"])


def _text(value: Any) -> str:
    """Return a value as it stands in a form and in a command."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(name: str, value: Any) -> dict[str, str]:
    plain = plain_value(value)
    text = "" if plain is None else f"{plain:.6g}" if isinstance(plain, float) else str(plain)
    return {"text": text, "link": IDS[name] + text if name in IDS and text else ""}
