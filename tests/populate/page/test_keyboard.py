"""The page by keyboard alone: everything is reached, choices are asked for once, and the focus comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.page import WAIT_MS, Served

expect = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser").expect

pytestmark = pytest.mark.files

FOCUSED = """() => {
  let part = document.activeElement;
  while (part.shadowRoot?.activeElement) part = part.shadowRoot.activeElement;
  const { boxShadow, outlineStyle, outlineWidth } = getComputedStyle(part);
  return {
    name: part.getAttribute("aria-label") ?? part.labels?.[0]?.innerText ?? part.textContent.trim(),
    is_page: part === document.body,
    is_seen: boxShadow !== "none" || (outlineStyle !== "none" && parseFloat(outlineWidth) > 0),
  };
}"""
MOST_STEPS = 300


def tab_to(page: Any, name: str) -> None:
    """Press Tab until a part has the focus whose name begins so."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED)["name"].startswith(name):
            return
    pytest.fail(f"Tab does not come to {name!r}")


def steps(page: Any) -> list[dict[str, Any]]:
    """Return what has the focus after each Tab, until the page ends."""
    found: list[dict[str, Any]] = []
    while len(found) < MOST_STEPS:
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused["is_page"]:
            return found
        found.append(focused)
    pytest.fail("Tab does not come to the end of the page")


def has_focus(page: Any, name: str) -> None:
    """Wait until what has the focus has a name that begins so."""
    page.wait_for_function(f"name => ({FOCUSED})().name.startsWith(name)", arg=name)


def test_a_link_leads_from_above_the_table_to_the_filters_without_asking_anew(
    served: Served, visit: Callable[[str], Any]
) -> None:
    page = visit(f"{served.url}units")
    page.evaluate("window.isSame = true")
    tab_to(page, "Filters, columns and files")
    assert page.get_by_text("Filters, columns and files").bounding_box()["x"] > 0  # seen as long as it has it
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    has_focus(page, "column to filter by")
    page.evaluate("window.scrollTo(0, 0)")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("window.isSame")  # to follow a link within the page was to ask for it again


def test_arrow_keys_pass_choices_that_enter_asks_for(served: Served, visit: Callable[[str], Any]) -> None:
    """Each arrow changes a closed menu at once: what is passed on the way must not be asked for."""
    page = visit(f"{served.url}units")
    page.get_by_label("column to filter by").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert "filter=" not in page.url
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("filter=probe_name"))
    has_focus(page, "column to filter by")
    page.get_by_role("radio", name="all units").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "criteria=" not in page.url
    page.keyboard.press("Tab")  # goes on, and asks
    page.wait_for_url(re.compile("criteria=bennett_2025"))
    page.get_by_role("checkbox", name="VISp ").focus()
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("structure=VISp"))
    has_focus(page, "VISp")


def test_enter_in_a_field_asks_for_what_is_written(served: Served, visit: Callable[[str], Any]) -> None:
    """The first button of a form is what Enter presses: it was the first heading, which sorts."""
    page = visit(f"{served.url}sessions")
    page.locator("input[name=find]").fill("novel")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"sessions\?find=novel$"))
    page = visit(f"{served.url}units?filter=snr")
    page.get_by_label("value to compare with").fill("2")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"units\?where=snr"))
    page.get_by_label("condition, as in --where").fill("presence_ratio > 0.9 AND quality = 'good'")
    page.keyboard.press("Enter")
    page.get_by_role("checkbox", name="presence_ratio > 0.9").wait_for()
    assert "sort" not in page.url


def test_headings_keep_the_focus(served: Served, visit: Callable[[str], Any]) -> None:
    page = visit(f"{served.url}units")
    for address in ("sort=-snr", "sort=snr"):
        tab_to(page, "snr") if address == "sort=-snr" else has_focus(page, "snr")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(address))
    has_focus(page, "snr")


@pytest.mark.parametrize("path", ["units?filter=snr", "unit?unit={unit}", "session", "across", "issues"])
def test_what_the_keyboard_reaches_has_a_name_and_is_seen(
    served: Served, visit: Callable[[str], Any], path: str
) -> None:
    from schemas import queries

    served.database.connect()
    unit = min(queries.units(criteria="good").to_arrays("unit_id"))
    page = visit(served.url + path.format(unit=unit))
    expect(page.locator(".waiting")).to_have_count(0, timeout=WAIT_MS)
    if path.startswith("unit?"):  # the last picture, named once it is drawn
        expect(page.get_by_role("img", name="Receptive field")).to_be_visible(timeout=WAIT_MS)
    found = steps(page)
    assert len(found) > 8  # the menu alone has as many
    assert [each for each in found if not (each["name"] and each["is_seen"])] == []
    names = [each["name"] for each in found]
    assert "Bokeh" not in " ".join(names)  # its sign leads away
    if path.startswith("unit?"):
        assert {"Bins (ms)", "Smoothing (ms)", "Receptive field", "Pan", "Save"} <= set(names)
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1
    for picture in page.locator("figure img").all():
        assert picture.get_attribute("alt")


def test_a_menu_of_the_figures_keeps_the_focus(served: Served, visit: Callable[[str], Any]) -> None:
    page = visit(f"{served.url}across")
    page.get_by_label("Images").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("experience="))
    has_focus(page, "Images")
