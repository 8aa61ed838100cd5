"""Named lists that are saved on the page, where ``vbn serve --save-lists`` lets the person who started it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from populate.page import content
from populate.page.handlers import DatabaseHandler
from populate.page.layout import rendered
from populate.page.save_key import require_key, require_same_origin
from populate.page.session_browser import SessionQuestion, sessions_found
from populate.page.unit_question import UnitQuestion
from schemas import queries
from schemas.queries.named_lists import list_row
from schemas.server.access import RefusedError
from vbn.errors import ConflictError, NotFoundError, SettingError, VbnError

TITLES = {"units": "Units", "sessions": "Sessions"}
STATUS = {
    SettingError: HTTPStatus.BAD_REQUEST,
    NotFoundError: HTTPStatus.NOT_FOUND,
    RefusedError: HTTPStatus.FORBIDDEN,
    ConflictError: HTTPStatus.CONFLICT,
}


class ListSaver(DatabaseHandler):
    """``/save-units?...`` and ``/save-sessions?...``: save what the address asks for, or what is ticked."""

    async def post(self, kind: str) -> None:
        """Save the list and lead to a page that shows it, or say why there is none."""
        require_key(self)
        require_same_origin(self)
        try:
            members, made_from = await self._members(kind)
            form = {name: self.get_body_argument(name, "") for name in ("name", "description")}
            replace = bool(self.get_body_argument("replace", ""))
            name = await self.ask_long(save_members, kind, members, made_from, form, replace)
        except VbnError as error:
            status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
            await self.refuse(
                error, TITLES[kind], _way_back(kind, self.request.query),
                status=status or HTTPStatus.SERVICE_UNAVAILABLE,
            )  # fmt: skip
            return
        self.redirect(f"./saved-list?name={quote(name)}", status=HTTPStatus.SEE_OTHER)

    async def _members(self, kind: str) -> tuple[Any, str]:
        """Return the question or the ids whose rows become the list, and how that is put in words."""
        if self.get_body_argument("of", "ticked") != "all":
            ids = tuple(self.get_body_arguments("id"))
            if not ids:
                raise SettingError(f"No {kind} are ticked. Tick some in the table, or save all.")
            return ids, f"the page: {len(ids)} ticked {kind}"
        if kind == "units":
            asked = UnitQuestion.of_address(self.address)
            return asked, f"the page: {asked.selected_in_shell()}"
        question = SessionQuestion.of_address(self.address)
        found = sessions_found(question, await self.ask(content.sessions_frame))
        return tuple(map(int, found["session_id"])), f"the page: sessions?{question.address()}"


class ListPage(DatabaseHandler):
    """``/saved-list?name=...``: a list, and how to use it."""

    async def get(self) -> None:
        """Show the list, or say that there is none."""
        try:
            row = await self.ask(list_row, self.get_query_argument("name", ""))
        except VbnError as error:
            await self.refuse(error, "Units", "units")
            return
        self.start("List", row["list_kind"])
        self.write(rendered("saved_list.html", **row, address=quote(row["list_name"])))
        await self.end()


def save_members(
    kind: str, members: UnitQuestion | Sequence[Any], made_from: str, form: dict[str, str], replace: bool
) -> str:
    """Save a list, as ``vbn list add`` does; return its name."""
    chosen = members.units() if isinstance(members, UnitQuestion) else members
    name, description = form["name"].strip(), form["description"]
    saved = queries.save_list(
        name, chosen, of=kind, description=description, made_from=made_from, replace=replace
    )
    return saved.name


def _way_back(kind: str, query: str) -> str:
    return f"{kind}?{query}" if query else kind
