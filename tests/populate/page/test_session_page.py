"""The page of a session, which zooms, and the page of sessions, which finds one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.fixtures.page import WAIT_MS, Served, rows_of_page

expect = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser").expect

pytestmark = [
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]

COLUMN_OF_BROWSER = """([name, column]) => {
    for (const document of Bokeh.documents)
        for (const model of document._all_models.values())
            if (model.type == 'ColumnDataSource' && name in model.data) return Array.from(model.data[column]);
}"""


sessions_page = partial(rows_of_page, path="sessions")


def first_session(served: Served) -> int:
    return min(row["session_id"] for row in served.json("sessions") if row["has_file"])


def test_sessions_are_found_filtered_and_sorted(served: Served) -> None:
    known = {str(row["session_id"]): row for row in served.json("sessions") if row["has_file"]}
    _address, page, rows = sessions_page(served)
    assert sorted(row[0] for row in rows) == sorted(known)
    n_issues = {row[0]: int(row[11]) for row in rows}
    assert n_issues == {number: len(served.json("issues", "--session", number)) for number in known}
    novel = [number for number, row in known.items() if "_H_" in row["session_type"]]
    assert 0 < len(novel) < len(known)
    for asked in ({"find": "NOVEL ephys"}, {"find": novel[0]}, {"experience": "Novel"}):
        _address, page, rows = sessions_page(served, **asked)
        assert [row[0] for row in rows] == novel, asked
    # What else could be chosen.
    assert re.search(r'name="experience" value="Familiar".*?<small>(\d+)</small>', page)
    dates = [[row[2] for row in sessions_page(served, sort=sort)[2]] for sort in ("date", "-date", "")]
    assert dates[0] == dates[1][::-1] == dates[2][::-1] == sorted(row["date"] for row in known.values())
    address, page, rows = sessions_page(served, find="no such words", sort="", page=1)
    assert rows == []
    assert urlsplit(address).query == "find=no+such+words"
    assert "No session meets all of this" in page


def test_words_of_a_search_are_no_pattern_and_no_markup(served: Served) -> None:
    for words in ("(", "<x-s>", "'; --", ".*"):
        _address, page, rows = sessions_page(served, find=words)
        assert rows == [] or words == "("  # genotypes have brackets
        assert "<x-s>" not in page
    with pytest.raises(HTTPError) as refused:
        sessions_page(served, sort="dprim")
    assert refused.value.code == 404
    assert "Near to it: dprime" in refused.value.read().decode()


def test_a_session_is_found_and_opened_by_keyboard(served: Served, visit: Callable[[str], Any]) -> None:
    wanted = first_session(served)
    page = visit(f"{served.url}session")
    search = page.get_by_label("Find another session")
    search.press_sequentially(str(wanted))
    search.press("Enter")
    page.wait_for_url(re.compile(f"sessions\\?find={wanted}"))
    page.get_by_role("link", name=str(wanted)).press("Enter")
    page.get_by_role("heading", name=f"Session {wanted}").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Sessions").wait_for()


def test_a_part_is_zoomed_into_and_a_row_opens_its_unit(served: Served, visit: Callable[[str], Any]) -> None:
    """The rows are those of the figure: by structure, and depth from the surface down."""
    session_id = first_session(served)
    query, prefix = served.database.server.query, served.database.prefix
    n_units = query(f'SELECT n_units FROM "{prefix}ecephys"."_recording" WHERE session_id = {session_id}')[0][
        0
    ]
    flashes = query(
        f'SELECT presentation_start_time FROM "{prefix}stimulus"."_stimulus__presentation" '
        f"WHERE session_id = {session_id} AND image_name IS NOT NULL ORDER BY 1"
    )
    first = np.ceil(flashes[0][0])
    last = first + 20
    page = visit(f"{served.url}session?session={session_id}&from={first}&to={last}")
    window = page.locator(".window")
    window.wait_for()
    assert window.inner_text() == f"{first:.1f} to {last:.1f} s"
    starts = page.evaluate(COLUMN_OF_BROWSER, ["kind", "start"])
    wanted = [start for (start,) in flashes if first - 1 < start < last]
    assert np.allclose(starts, wanted, rtol=0, atol=1e-9)
    assert len(starts) > 10
    units = page.evaluate(COLUMN_OF_BROWSER, ["unit", "unit"])
    assert len(units) == n_units
    picture = page.locator(".bk-Figure").nth(1)
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.9 * box["height"], steps=3)
    page.mouse.up()
    expect(window).not_to_have_text(f"{first:.1f} to {last:.1f} s", timeout=WAIT_MS)
    start, stop = map(float, re.findall(r"[\d.]+", window.inner_text()))
    assert first < start < stop < last
    assert 1 < stop - start < 4
    # In the middle of the rows that were dragged over, which are all that is shown now.
    page.mouse.click(box["x"] + 0.5 * box["width"], middle)
    page.wait_for_url(re.compile(r"/unit\?unit="))
    opened = re.search(r"unit=(\d+)", page.url)
    assert opened
    assert abs(units.index(opened[1]) - 0.7 * n_units) < 0.1 * n_units


NAMELESS = """() => {
    const within = root => [...root.querySelectorAll('*')].flatMap(
        each => [each, ...(each.shadowRoot ? within(each.shadowRoot) : [])]);
    return within(document).filter(each => each.matches('input:not([type=hidden]), select, button'))
        .filter(each => !each.labels?.length && !each.ariaLabel && !each.textContent.trim())
        .map(each => each.outerHTML);
}"""


@pytest.mark.slow
def test_pages_fit_a_phone_and_name_what_can_be_used(served: Served, visit: Callable[[str], Any]) -> None:
    unit_id = served.database.server.query(
        f'SELECT min(unit_id) FROM "{served.database.prefix}ecephys"."_recording__unit"'
    )[0][0]
    for path in (
        "",
        "sessions",
        "session?from=5",
        "units?filter=snr",
        f"unit?unit={unit_id}",
        "across",
        "issues",
        "no",
    ):
        page = visit(served.url + path)
        page.set_viewport_size({"width": 390, "height": 844})
        expect(page.get_by_text("Querying the database")).to_have_count(0, timeout=WAIT_MS)
        if path.startswith("session?"):
            page.locator(".window").wait_for()
        page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
        assert page.evaluate(NAMELESS) == [], path
        page.close()


def test_a_unit_shows_its_field_laser_place_and_images(served: Served, visit: Callable[[str], Any]) -> None:
    """What the browser was given is what the database holds."""
    query, prefix = served.database.server.query, served.database.prefix
    unit_id = query(f'SELECT min(unit_id) FROM "{prefix}ecephys"."_recording__unit"')[0][0]
    page = visit(f"{served.url}unit?unit={unit_id}&by=image")
    expect(page.locator("main .waiting")).to_have_count(0, timeout=WAIT_MS)
    expect(page.locator(".images img")).not_to_have_count(0, timeout=WAIT_MS)
    assert (
        page.locator(".images img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
        > 90
    )
    fields = page.evaluate(COLUMN_OF_BROWSER, ["spikes", "spikes"])
    assert len(fields) == 81
    page.get_by_text("There is no waveform of this unit in its file.").wait_for()
    page.get_by_alt_text(f"Place in the brain: {unit_id}").wait_for()
    page.get_by_label("Laser", exact=True).select_option(label="raised cosine, 1 s")
    page.wait_for_url(re.compile("laser=raised_cosine"))
    assert "by=image" in page.url


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_of_an_issue_is_cut(served: Served, visit: Callable[[str], Any], width: int) -> None:
    page = visit(f"{served.url}issues")
    page.set_viewport_size({"width": width, "height": 844})
    within = page.locator(".sheet").first.bounding_box()
    cells = page.locator(".sheet").first.locator("tbody tr").first.locator("td").all()
    assert len(cells) == 8
    for cell in cells:
        box = cell.bounding_box()
        assert box["x"] + box["width"] <= within["x"] + within["width"] <= width
        assert cell.evaluate("each => each.scrollWidth <= each.clientWidth + 1")


def test_the_names_of_curves_have_room_beside_them() -> None:
    """At 12 pixels a letter is about 6.5 wide: what does not fit is cut at both ends."""
    from populate.page.session_plots import AXIS_PX, TRACE_PX
    from populate.page.unit_plots import BEHAVIOR_LABELS, BEHAVIOR_PX

    longest = 6.5 * max(map(len, BEHAVIOR_LABELS.values()))
    assert longest < min(TRACE_PX, BEHAVIOR_PX - AXIS_PX)
