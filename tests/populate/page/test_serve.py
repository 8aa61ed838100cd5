"""``vbn serve`` in a real browser; on MySQL, with the account of a reader."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from tests.fixtures.page import Served, start, stop

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
# Not imported to find out: that takes seconds, in each process that collects the tests.
pytestmark = [
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]


def picture_in(page: Any, title: str) -> Any:
    """Return the picture of the figure with a title, when it is drawn."""
    picture = page.locator("figure", has=page.locator("h2", has_text=title)).locator("img")
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    return picture


def recordings(served: Served) -> list[int]:
    return [
        row["session_id"] for row in served.json("sessions") if row["kind"] == "recording" and row["has_file"]
    ]


def test_the_status_is_that_of_the_database(served: Served, visit: Callable[[str], Any]) -> None:
    page = visit(served.url)
    tiles = page.locator(".tile").all_inner_texts()
    counts = {words.split()[-1]: number for number, words in (tile.split("\n", 1) for tile in tiles)}
    prefix, query = served.database.prefix, served.database.server.query
    n_units = query(f'SELECT count(*) FROM "{prefix}ecephys"."_recording__unit"')[0][0]
    assert {"recordings": "2", "mouse": "1", "units": str(n_units)}.items() <= counts.items()
    assert "2\nsessions, 2 imported" in tiles
    states = {
        state.locator(".name").inner_text(): state.locator(".count").inner_text()
        for state in page.locator(".state").all()
    }
    assert states == {
        each["table"]: f"{each['done']} / {each['total']}" if each["total"] else "none"
        for each in served.json("status")
    }


def test_picking_a_structure_draws_it_and_the_address_leads_there_again(
    served: Served, visit: Callable[[str], Any]
) -> None:
    session_id = recordings(served)[0]
    page = visit(f"{served.url}session?session={session_id}")
    for title in ("Change response", "Behavior", "Probes", "Optotagging", "Training"):
        picture_in(page, title)
    first = picture_in(page, "Change response").get_attribute("srcset")
    chooser = page.get_by_label("Structure")
    now, other = chooser.input_value(), chooser.locator("option").nth(1).inner_text()
    chooser.select_option(label=other)
    name = other.split()[0]
    page.wait_for_url(re.compile(f"structure={name}"))
    page.get_by_alt_text(f"Change response: {session_id}, {name}").wait_for()
    second = picture_in(page, "Change response").get_attribute("srcset")
    assert second != first
    again = visit(page.url)
    again.get_by_alt_text(f"Change response: {session_id}, {name}").wait_for()
    assert again.get_by_label("Structure").input_value() == chooser.input_value() != now
    page.go_back()
    page.wait_for_function("() => !location.search.includes('structure')")
    page.get_by_alt_text(f"Change response: {session_id}, {now.split()[0]}").wait_for()


def test_a_figure_is_saved_as_a_file(served: Served, visit: Callable[[str], Any]) -> None:
    session_id = recordings(served)[0]
    page = visit(f"{served.url}session?session={session_id}")
    figure = page.locator("figcaption", has=page.locator("h2", has_text="Overview"))
    for kind, beginning in {"PDF": b"%PDF", "SVG": b"<?xml", "PNG": b"\x89PNG"}.items():
        with page.expect_download() as download:
            figure.get_by_role("link", name=kind).click()
        assert download.value.suggested_filename == f"session_{session_id}.{kind.lower()}"
        assert Path(download.value.path()).read_bytes().startswith(beginning)


def test_a_unit_is_found_in_the_list_and_its_card_drawn(served: Served, visit: Callable[[str], Any]) -> None:
    session_id = recordings(served)[0]
    page = visit(f"{served.url}units?session={session_id}&criteria=bennett_2025")
    prefix, query = served.database.prefix, served.database.server.query
    n_passing = query(
        f'SELECT n_selected FROM "{prefix}selection"."__unit_selection" '
        f"WHERE session_id = {session_id} AND unit_criteria = 'bennett_2025'"
    )
    assert page.locator(".total b").inner_text() == str(n_passing[0][0])
    unit_id = page.locator("tbody a").nth(2).inner_text()
    page.get_by_role("link", name=unit_id).click()
    page.get_by_alt_text(f"Unit: {unit_id}").wait_for()
    picture_in(page, "Unit")
    assert parse_qs(urlsplit(page.url).query) == {"unit": [unit_id]}
    page.get_by_text("active (").first.wait_for(state="attached")
    page.get_by_label("Grouped by").select_option(label="image")
    page.wait_for_url(re.compile("by=image"))
    page.locator("td", has_text=re.compile("^im[0-9]+")).first.wait_for(state="attached")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("session?session=12", "Session 12 is not registered. There are: {sessions}."),
        ("session?session=twelve", "'session' must be a number, not 'twelve'"),
        ("units?unit=12", "There is no unit 12. The nearest are: "),
        ("session?session={session}&structure=VISX", "has no units in 'VISX'. It has units in: "),
        ("across?experience=novl", "Nothing has experience_level 'novl'. Near to it: Novel."),
    ],
)
def test_what_is_not_there_is_said_in_words(
    served: Served, visit: Callable[[str], Any], address: str, words: str
) -> None:
    known = {"session": recordings(served)[0], "sessions": ", ".join(map(str, sorted(recordings(served))))}
    page = visit(served.url + address.format(**known))
    said = page.locator(".message", has_text=words.format(**known))
    said.wait_for()
    assert "Traceback" not in page.content()


def test_an_unknown_address_leads_back_and_is_no_page_of_the_menu(
    served: Served, visit: Callable[[str], Any]
) -> None:
    for address in ("session?session=12", "unit?unit=12", "across?layer=7"):
        page = visit(f"{served.url}{address}")
        page.locator("main").get_by_role("link", name="sessions", exact=True).click()
        page.get_by_role("heading", name="Sessions").wait_for()
    page = visit(f"{served.url}nothing")
    assert page.locator("nav [aria-current]").count() == 0


def test_the_units_behind_the_points_are_those_that_the_links_list(
    populated_synthetic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.page import content
    from populate.page.unit_question import UnitQuestion
    from schemas import queries

    populated_synthetic.connect()
    located = queries.units(experience_level="Novel", criteria="all").to_pandas()
    counts = located["structure_acronym"].value_counts()
    # The sessions are too small for changes to excite a unit: the links lead to none, and say so.
    drawn = SimpleNamespace(
        structures=list(counts.index), n_units=counts.to_numpy(), n_responsive=0 * counts, criteria="all"
    )
    monkeypatch.setattr(content, "hierarchy_of", lambda _query: drawn)
    rows = content.hierarchy_units({"experience": "Novel"})
    assert [row["structure"] for row in rows] == list(counts.index)
    for row in rows:
        for link, number in (("all", row["n_units"]), ("responsive", 0)):
            assert len(UnitQuestion.of_address(parse_qs(row[link])).units()) == number, row


def test_a_file_that_cannot_be_made_says_why(served: Served) -> None:
    for address in ("figure/probe.pdf?session=12", "figure/probes.pdf?session=12", "figure/probe.gif"):
        with pytest.raises(HTTPError) as refused:
            urlopen(served.url + address)
        assert refused.value.code == 404
        said = refused.value.read().decode()
        assert any(
            words in said for words in ("Session 12 is not registered", "Near to it: probe", "kind of file")
        )


def test_several_browsers_at_once_and_by_another_name(served: Served, visit: Callable[[str], Any]) -> None:
    first, second = recordings(served)
    by_name = served.url.replace("127.0.0.1", "localhost")
    addresses = {f"{served.url}units?session={first}": first, f"{by_name}units?session={second}": second}
    pages = [visit(address) for address in addresses]
    for page, number in zip(pages, addresses.values(), strict=True):
        assert set(page.locator("tbody tr td:nth-child(2)").all_inner_texts()) == {str(number)}


def test_a_lost_connection_is_opened_anew(
    populated_synthetic: Any, reader_account: dict[str, str], served: Served, visit: Callable[[str], Any]
) -> None:
    visit(f"{served.url}sessions")
    urlopen(f"{served.url}figure/probe.png?session={recordings(served)[0]}").read()
    query, own = populated_synthetic.server.query, populated_synthetic.connect().connection.query
    if populated_synthetic.server.backend == "mysql":
        kill = "KILL {}"
        lost = query(
            f"SELECT id FROM information_schema.processlist WHERE user = '{reader_account['DJ_USER']}'"
        )
    else:
        kill = "SELECT pg_terminate_backend({})"
        ours = own("SELECT pg_backend_pid()").fetchone()[0]
        others = "SELECT pid FROM pg_stat_activity WHERE usename = 'vbn' AND pid <> pg_backend_pid()"
        lost = query(f"{others} AND pid <> {ours}")
    assert lost
    for (number,) in lost:
        query(kill.format(number))
    page = visit(f"{served.url}sessions")
    assert page.locator("tbody tr").count() == 2
    urlopen(f"{served.url}figure/probe.pdf?session={recordings(served)[0]}").read()


def test_what_is_not_computed_yet_says_what_to_do(
    database: Any, populated_synthetic: Any, visit: Callable[[str], Any]
) -> None:
    """Two sessions are registered, nothing is imported, and one job has failed; then Ctrl-C."""
    from schemas.behavior import RigGeometry

    database.register_as(populated_synthetic)
    jobs = RigGeometry().jobs
    jobs.refresh(delay=-1)
    failed = jobs.pending.keys(limit=1)[0]
    jobs.reserve(failed)
    jobs.error(failed, error_message="the <file> is cut short")
    served = start(database)
    try:
        page = visit(served.url)
        assert page.locator("section", has_text="not imported yet").locator("tr").count() == 1 + 2
        problem = page.locator("section", has_text="Failed jobs").locator("tbody tr").inner_text()
        assert problem.split("\t")[:3] == [
            "RigGeometry",
            str(failed["session_id"]),
            "the <file> is cut short",
        ]
        assert page.locator(".failed .extra").inner_text() == "1 failed"
        page = visit(f"{served.url}session")
        for title in ("Overview", "Behavior", "Probes"):
            figure = page.locator("figure", has=page.locator("h2", has_text=title))
            figure.locator(".message", has_text="vbn populate").wait_for()
        for path in ("sessions", "units", "across", "issues"):
            page = visit(served.url + path)
        for each in page.context.pages:
            each.close()  # which would complain that the server has gone
    finally:
        code, errors = stop(served, signal.SIGINT)
    assert code == 130
    assert errors.strip() == "vbn: interrupted; run the same command again to continue."


def test_a_port_in_use_and_an_open_address_are_said(served: Served) -> None:
    port = urlsplit(served.url).port
    done = served.database.vbn("serve", "--host", "0.0.0.0", "--port", port, check=False)
    assert done.returncode == 1
    warning, problem = done.stderr.splitlines()
    assert warning.startswith("vbn: warning: whoever reaches this machine at 0.0.0.0")
    assert problem.startswith(f"vbn: Cannot listen on 0.0.0.0:{port}: ")


def test_without_panel_it_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['panel'] = None; from populate.cli import main; main(['serve'])"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "vbn: The page needs Panel. Run: pip install 'vbn-datajoint[serve]'\n"


def ask(served: Served, address: str, host: str, **headers: str) -> HTTPResponse:
    """Return the answer to a request that gives the server this name."""
    connection = HTTPConnection("127.0.0.1", urlsplit(served.url).port)
    connection.request("GET", f"/{address}", headers={"Host": host, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def addresses() -> list[str]:
    """Return addresses of every kind that the page answers to, and of kinds that it does not."""
    from populate.page.figures import FIGURES_OF_PAGE
    from populate.page.layout import NAVIGATION
    from populate.page.views import PAGES

    below = ("", "/ws", "/metadata", "/autoload.js?bokeh-autoload-element=x")
    others = (
        "metrics",
        "units.csv",
        "issues.csv",
        "image?name=im012_r",
        "favicon.ico",
        "static/js/bokeh.min.js",
        "components/antigravity/a/b/c",
        "nothing",
    )
    pages = (f"{path}{suffix}".lstrip("/") for path in {**PAGES, **NAVIGATION} for suffix in below)
    return [*pages, *(f"figure/{name}.png" for name in FIGURES_OF_PAGE), *others]


def test_every_answer_forbids_foreign_scripts_frames_and_readers(served: Served) -> None:
    name = urlsplit(served.url).netloc
    for address in addresses():
        answer = ask(served, address, name, Origin="http://elsewhere.org")
        assert answer.status < 500, address
        policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
        assert re.fullmatch(r"'self' 'nonce-[\w-]{20,}'", policy["script-src"])
        assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Access-Control-Allow-Origin"] is None, address
    assert ask(served, "components/antigravity/a/b/c", name).status == 404


def test_the_page_answers_to_its_own_names_only(served: Served) -> None:
    """A foreign site that gives its name this address (DNS rebinding) reads nothing."""
    port = urlsplit(served.url).port
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "A" * 22 + "==", "Sec-WebSocket-Protocol": "bokeh"}  # fmt: skip
    for address in addresses():
        headers = upgrade if address.endswith("ws") else {}
        for host in (
            f"elsewhere.org:{port}",
            "elsewhere.org",
            "localhost",
            f"localhost.elsewhere.org:{port}",
            "",
        ):
            assert ask(served, address, host, **headers).status == 403, (address, host)
    assert ask(served, "sessions", f"LOCALHOST:{port}").status == 200


def test_a_monitor_reads_the_metrics_from_the_page(served: Served) -> None:
    with urlopen(f"{served.url}metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'vbn_sessions{kind="recording"} 2\n' in answer.read().decode()


def test_markup_that_got_into_a_page_does_not_run(served: Served, browser: Any) -> None:
    """What the policy is for: a mistake of ours that lets markup through."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.url)
    refused: list[str] = []
    page.on("console", lambda each: refused.append(each.text))
    for markup in ("<img src onerror=window.ran=1>", "<a href='javascript:window.ran=1'>x</a>"):
        page.evaluate("markup => document.body.insertAdjacentHTML('beforeend', markup)", markup)
    page.get_by_role("link", name="x", exact=True).click()
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran=1'}))"
    )
    sync_api.expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert sum("Content Security Policy" in text for text in refused) == 3
    context.close()


def test_only_loopback_is_local() -> None:
    from populate.page.server import address_of, is_local, origins_of

    assert [name for name in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "lab") if is_local(name)] == [
        "127.0.0.1", "::1", "localhost",
    ]  # fmt: skip
    assert origins_of("127.0.0.1", 80, ["lab:443"]) == ["127.0.0.1:80", "localhost:80", "lab"]
    assert {"10.0.0.5:80", "localhost:80", f"{socket.gethostname()}:80"} <= set(
        origins_of("10.0.0.5", 80, [])
    )
    assert address_of("::1", 80) == "http://[::1]:80/"
    assert address_of("0.0.0.0", 80) == f"http://{socket.gethostname()}:80/"


def test_sigterm_ends_it_without_a_word(served: Served) -> None:
    status, errors = stop(served)
    print(errors)  # whole, where it is not empty
    assert (status, errors) == (0, "")
