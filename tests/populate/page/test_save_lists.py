"""Lists saved on the page: by who has started it, and by nobody else."""

from __future__ import annotations

import os
import pickle
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from schemas.server.access import RefusedError
from tests.fixtures.page import Served, start, stop

pytestmark = [
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ``xdg-open`` that writes down how it was called."""
    folder = tmp_path_factory.mktemp("opener")
    (folder / "xdg-open").write_text(
        f'#!/bin/sh\necho "$@" > {folder}/part && mv {folder}/part {folder}/words\n'
    )
    (folder / "xdg-open").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def saving(
    populated_synthetic: Any, reader_account: dict[str, str], opener: Path
) -> Iterator[tuple[Served, str]]:
    """A page on which lists can be saved, and the address by which that is so."""
    path = {"PATH": f"{opener}:{os.environ['PATH']}"}
    served = start(populated_synthetic, {**reader_account, **path}, "--save-lists", "--open")
    line = served.process.stdout.readline() if served.process.stdout else ""
    assert line.endswith("  the same, where you can save lists. Keep this address to yourself.\n")
    yield served, line.split()[0]
    stop(served)


@pytest.fixture(autouse=True)
def lists(populated_synthetic: Any) -> Iterator[Callable[[], dict[str, Any]]]:
    """Return the lists by name; they are removed at the end."""

    def lists() -> dict[str, Any]:
        return {row["list_name"]: row for row in populated_synthetic.json("lists")}

    before = set(lists())
    yield lists
    for name in set(lists()) - before:
        populated_synthetic.call("list", "remove", name)


class Visitor:
    """A browser that sends what it is told to."""

    def __init__(self, served: Served) -> None:
        self.host = urlsplit(served.url).netloc
        self.cookie = self.key = ""

    def ask(
        self, method: str, path: str, form: dict[str, Any] | None = None, **headers: str | None
    ) -> tuple[int, str, Any]:
        """Return status, body and headers of an answer; ``Origin=None`` leaves a header out."""
        connection = HTTPConnection(self.host, timeout=120)
        usual = {"Cookie": self.cookie, "Origin": f"http://{self.host}"}
        sent = {name.replace("_", "-"): value for name, value in {**usual, **headers}.items() if value}
        body = None
        if form is not None:
            body = urlencode(form, doseq=True)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def enter(self, address: str) -> Visitor:
        parts = urlsplit(address)
        status, text, headers = self.ask("GET", f"{parts.path}?{parts.query}")
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert re.search(r"HttpOnly.*SameSite=Strict", headers["Set-Cookie"])
        self.cookie = headers["Set-Cookie"].partition(";")[0]
        (self.key,) = re.findall('data-save-key="(.*?)"', text)
        assert self.key == parts.query.partition("=")[2]
        assert self.key not in self.cookie  # which the browser sends to all ports of this machine
        return self

    def save(self, address: str = "/save-units", **form: Any) -> tuple[int, str]:
        """Return the status, and where it leads or what is said."""
        status, text, headers = self.ask("POST", address, {"key": self.key, **form})
        found = re.search(r'role="alert">(.*?)</div>', text, re.DOTALL)
        return status, headers["Location"] or unescape(found[1] if found else text)


@pytest.fixture
def visitor(saving: tuple[Served, str]) -> Visitor:
    return Visitor(saving[0]).enter(saving[1])


def ids_of(database: Any, *words: str) -> list[int]:
    return [row["unit_id"] for row in database.json("query", "units", *words, "--columns", "unit_id")]


@pytest.mark.slow
def test_what_is_ticked_and_what_is_filtered_become_lists_in_a_browser(
    saving: tuple[Served, str], visit: Callable[[str], Any], lists: Callable[[], dict[str, Any]]
) -> None:
    served, address = saving
    database, page = served.database, visit(address)
    page.wait_for_url(served.url)
    page.goto(f"{served.url}units?where=snr+%3E+2&columns=snr&sort=-snr")
    page.get_by_label("name of the list").wait_for()
    ticks = page.locator("tbody input[type=checkbox]")
    ticked = [int(ticks.nth(number).get_attribute("value")) for number in (0, 3)]
    ticks.nth(0).check()
    ticks.nth(3).check()
    page.get_by_label("name of the list").fill("two")
    page.get_by_label("what the list is for").fill("a look")
    page.get_by_role("button", name="Save the ticked units").click()
    page.get_by_text("A list of 2 units").wait_for()
    assert sorted(ticked) == ids_of(database, "--list", "two")
    assert lists()["two"]["list_description"] == "a look"
    page.go_back()
    page.get_by_label("name of the list").fill("loud")
    page.get_by_role("button", name=re.compile("^Save all ")).click()
    page.get_by_role("heading", name="loud").wait_for()
    assert ids_of(database, "--list", "loud") == ids_of(database, "--where", "snr > 2")
    assert lists()["loud"]["list_made_from"] == "the page: vbn query units --where 'snr > 2'"
    page.get_by_role("link", name="Its units").click()
    page.locator(".total b").wait_for()
    assert int(page.locator(".total b").inner_text()) == lists()["loud"]["n_left"]


def test_sessions_are_saved_and_used_in_shell_and_python(
    saving: tuple[Served, str], visitor: Visitor, lists: Callable[[], dict[str, Any]]
) -> None:
    database = saving[0].database
    rows = database.json("sessions")
    number = rows[0]["session_id"]
    _status, page, _headers = visitor.ask("GET", "/sessions")
    assert f'form="save-list" name="id" value="{number}"' in page
    assert visitor.save("/save-sessions", name="one", of="ticked", id=number) == (
        303, "./saved-list?name=one",
    )  # fmt: skip
    assert visitor.save(f"/save-sessions?find={number}", name="found", of="all")[0] == 303
    assert visitor.save("/save-sessions", name="every", of="all")[0] == 303
    saved = lists()
    assert [saved[name]["n_listed"] for name in ("one", "found", "every")] == [1, 1, len(rows)]
    assert [row["session_id"] for row in database.json("list", "show", "found")] == [number]
    _status, page, _headers = visitor.ask("GET", "/saved-list?name=one")
    assert 'queries.sessions(in_list="one")' in unescape(page)
    database.connect()
    from schemas import queries

    assert set(queries.sessions(in_list="one").to_arrays("session_id")) == {number}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
def test_nobody_else_saves(
    visitor: Visitor, lists: Callable[[], dict[str, Any]], headers: dict[str, str | None]
) -> None:
    before = lists()
    form = {"key": visitor.key, "name": "theirs", "of": "all"}
    status, _text, _headers = visitor.ask("POST", "/save-units", form, **headers)
    assert (status, lists()) == (403, before)


@pytest.mark.parametrize("key", ["", "x", "\u00e9", "the cookie's"])
def test_the_cookie_alone_saves_nothing(
    visitor: Visitor, lists: Callable[[], dict[str, Any]], key: str
) -> None:
    """Another user of the machine, whose page on another port the browser has visited, has the cookie."""
    before = lists()
    given = visitor.cookie.partition("=")[2] if key == "the cookie's" else key
    status, _text, _headers = visitor.ask("POST", "/save-units", {"key": given, "name": "a", "of": "all"})
    assert (status, lists()) == (403, before)
    assert visitor.ask("GET", f"/enter?{urlencode({'key': given})}")[0] == 403


@pytest.mark.skipif(sys.platform != "linux", reason="other systems open browsers by other programs")
def test_the_key_is_not_among_the_arguments_of_a_browser(saving: tuple[Served, str], opener: Path) -> None:
    deadline = time.monotonic() + 60
    while not (opener / "words").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    words = (opener / "words").read_text().strip()
    assert urlsplit(saving[1]).query.partition("=")[2] not in words
    file = Path(urlsplit(words).path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert f'url={saving[1]}"' in unescape(file.read_text())


def test_a_form_that_no_page_has_is_not_read(saving: tuple[Served, str], visitor: Visitor) -> None:
    def send_without_end(sent: socket.socket) -> None:
        head = f"POST /save-units HTTP/1.1\r\nHost: {visitor.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent.sendall(head.encode())
        for _piece in range(1000):  # as long as somebody reads
            sent.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    with socket.create_connection(visitor.host.split(":")) as sent, pytest.raises(ConnectionError):
        send_without_end(sent)
    connection = HTTPConnection(visitor.host, timeout=60)
    connection.request("POST", "/save-units", headers={"Content-Length": str(10**9)})
    assert connection.getresponse().status == 400
    connection.close()


def test_who_has_no_key_sees_no_form(saving: tuple[Served, str]) -> None:
    stranger = Visitor(saving[0])
    for path in ("/units", "/sessions"):
        assert "save-list" not in stranger.ask("GET", path)[1].replace("--save-list", "")
    for key in ("", "x", "\u00e9"):
        assert stranger.ask("GET", f"/enter?{urlencode({'key': key})}")[0] == 403
    assert stranger.ask("GET", "/save-units")[0] == 405


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"name": "<script>x</script>"}, 400, "cannot be the name of a list"),
        ({"name": "x'; DROP TABLE y; --"}, 400, "cannot be the name of a list"),
        ({"name": "a" * 1000}, 400, "cannot be the name of a list"),
        ({"name": ""}, 400, "cannot be the name of a list"),
        ({"description": "d" * 1001}, 400, "1,000 can be kept"),
        ({"description": "\u202eabc"}, 400, "cannot be seen"),
        ({"of": "ticked"}, 400, "No units are ticked."),
        ({"of": "ticked", "id": ["1", "x"]}, 400, "'x' is no id"),
        ({"of": "ticked", "id": ["1"]}, 404, "1 of 1 ids are those of no unit here: 1."),
        ({"name": "taken"}, 409, "There is a list 'taken' already: 1 units, by somebody-else"),
    ],
)
def test_what_cannot_be_saved_is_said(
    saving: tuple[Served, str],
    visitor: Visitor,
    lists: Callable[[], dict[str, Any]],
    tmp_path: Path,
    form: dict[str, Any],
    status: int,
    message: str,
) -> None:
    database = saving[0].database
    (tmp_path / "one.txt").write_text(f"{ids_of(database, '--limit', '1')[0]}\n")
    database.call("list", "add", "taken", tmp_path / "one.txt")
    place = f'"{database.prefix}curation"."named_list"'
    database.server.query(f"UPDATE {place} SET list_author = 'somebody-else'")
    before = lists()
    found = visitor.save("/save-units?where=snr+%3E+2", **{"name": "mine", "of": "all", **form})
    assert found[0] == status
    assert message in found[1]
    assert lists() == before


def test_a_filter_that_nothing_meets_or_that_is_wrong_is_said(visitor: Visitor) -> None:
    assert visitor.save("/save-units?where=snr+%3E+9999", name="none", of="all") == (
        400, "The list 'none' would have no units.",
    )  # fmt: skip
    assert visitor.save("/save-units?where=snr+%3E+1%3B+DROP", name="none", of="all")[0] == 400
    assert visitor.save("/save-sessions?find=nothing-of-this", name="none", of="all")[0] == 400


def test_one_of_two_tabs_saves_and_the_other_is_told(
    visitor: Visitor, lists: Callable[[], dict[str, Any]]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _tab: visitor.save(name="both", of="all"), range(2)))
    assert sorted(status for status, _text in found) == [303, 409]
    assert visitor.save("/save-units?where=snr+%3E+2", name="both", of="all", replace="1")[0] == 303
    assert lists()["both"]["n_left"] == lists()["both"]["n_listed"] > 0


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--origin", "page.lab.org"),
                                     ("--origin", "page.lab.org:443")])  # fmt: skip
def test_a_page_that_others_can_reach_saves_nothing(
    populated_synthetic: Any, options: tuple[str, ...]
) -> None:
    done = populated_synthetic.call("serve", "--save-lists", *options, check=False)
    assert done.returncode == 1
    assert "--save-lists is for a page of your own" in done.stderr


def test_a_refusal_comes_back_from_the_process_that_saves() -> None:
    error = pickle.loads(pickle.dumps(RefusedError("may not insert into named_list")))
    assert str(error) == "may not insert into named_list"
