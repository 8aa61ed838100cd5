"""The page of units: what it shows, saves and says in Python and in the shell are the same rows.

Through HTTP, without a browser.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Callable
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from tests.fixtures.page import Served
from vbn.errors import SettingError

pytestmark = [
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]

QUESTIONS = {
    "number above": {"filter": "snr", "is": ">", "value": "2.5"},
    "number below": {"filter": "unit_firing_rate", "is": "<", "value": "10"},
    "number between": {"filter": "isi_violations", "is": "between", "value": ["-.5", "5e-1"]},
    "integer": {"filter": "probe_vertical_position", "is": ">=", "value": "1000"},
    "flag": {"filter": "change_is_responsive", "is": "one of", "value": "0"},
    "choices": {"filter": "structure_acronym", "is": "one of", "value": ["VISp", "LP"]},
    "choice of an enum": {"filter": "sex", "is": "one of", "value": "M"},
    "text": {"filter": "cre_line", "is": "contains", "value": "sst"},
    "time": {"filter": "date_of_acquisition", "is": ">", "value": "2020-01-01"},
    "missing": {"filter": "change_latency", "is": "missing"},
    "condition": {"where": "change_evoked_rate_active > change_baseline_rate_active + 1", "sort": "unit_id"},
    "facets, sorted": {"structure": ["VISp", "VISam"], "cell_class": "RS", "sort": "-snr"},
    "criteria": {"criteria": "bennett_2025", "experience": "Novel", "sort": "cell_class,-unit_id"},
    "columns of results": {"columns": "unit_id,omission_p_value_active", "sort": "omission_p_value_active"},
}


def html_of(served: Served, question: dict[str, Any] | str) -> tuple[str, str]:
    """Return the address that a question leads to, and the page."""
    query = question if isinstance(question, str) else urlencode(question, doseq=True)
    with urlopen(f"{served.url}units?{query}") as answer:
        return answer.url, answer.read().decode()


def code(page: str, language: str) -> str:
    found = re.search(f'<code class="{language}">(.*?)</code>', page, re.DOTALL)
    assert found
    return unescape(found[1])


def column_of(page: str, number: int) -> list[str]:
    body = page[page.index("<tbody>") : page.index("</tbody>")]
    rows = [re.findall(r"<td.*?>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", body)]
    return [unescape(re.sub("<.*?>", "", row[number])) for row in rows]


def total(page: str) -> int:
    found = re.search('<p class="total" role="status"><b>([0-9,]+)</b>', page)
    assert found
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("name", QUESTIONS)
def test_page_file_python_and_shell_give_the_same_rows(served: Served, tmp_path: Path, name: str) -> None:
    from schemas import queries

    address, page = html_of(served, QUESTIONS[name])
    served.database.connect()
    in_python: pd.DataFrame = eval(code(page, "python"), {"queries": queries})
    words = shlex.split(code(page, "shell"))
    assert words[:3] == ["vbn", "query", "units"]
    assert words[-2:] == ["--out", "units.csv"]
    served.database.call(*words[1:-1], tmp_path / "units.csv")
    in_shell = (tmp_path / "units.csv").read_bytes()
    query = urlsplit(address).query
    with urlopen(f"{served.url}units.csv?{query}") as answer:
        assert answer.read() == in_shell
    with urlopen(f"{served.url}units.parquet?{query}") as answer:
        pd.testing.assert_frame_equal(
            pd.read_parquet(io.BytesIO(answer.read())), in_python, check_dtype=False
        )
    wanted = in_python["unit_id"].astype(str).tolist()
    assert pd.read_csv(io.BytesIO(in_shell))["unit_id"].astype(str).tolist() == wanted
    assert column_of(page, 0) == wanted[:50]
    assert total(page) == len(wanted)
    assert 0 < len(wanted) <= 360


def test_the_lines_for_pynapple_give_the_same_units(served: Served) -> None:
    from schemas import queries

    pytest.importorskip("pynapple")
    asked = {"where": "snr > 2", "columns": "unit_id,session_id,change_is_responsive"}
    _address, page = html_of(served, asked)
    served.database.connect()
    names: dict[str, Any] = {"queries": queries}
    exec(code(page, "pynapple"), names)
    wanted = eval(code(page, "python"), names)
    groups = names["groups"]
    assert list(groups) == sorted(set(wanted["session_id"]))
    assert len(groups) == 2
    found = [unit for group in groups.values() for unit in group.index]
    assert sorted(found) == sorted(wanted["unit_id"])
    assert all("change_is_responsive" in group.metadata for group in groups.values())


def test_filters_compare_numbers_as_numbers(served: Served) -> None:
    """As text, 10 would keep 7.6, and >5 nothing."""
    query, prefix = served.database.server.query, served.database.prefix
    _address, page = html_of(served, {"filter": "unit_firing_rate", "is": ">", "value": "5"})
    wanted = query(f'SELECT count(*) FROM "{prefix}ecephys"."_recording__unit" WHERE unit_firing_rate > 5')
    assert total(page) == wanted[0][0] > 0


def test_the_address_is_short_and_holds_the_whole_question(served: Served) -> None:
    asked = {"filter": "snr", "is": ">", "value": ["2", ""], "page": "1", "criteria": "", "structure": "VISp",
             "sort": ["snr", "-snr"], "columns": ["unit_id,snr", "cell_class"]}  # fmt: skip
    address, page = html_of(served, asked)
    assert parse_qs(urlsplit(address).query) == {
        "structure": ["VISp"], "where": ["snr > 2"], "sort": ["snr"], "columns": ["unit_id,snr,cell_class"]
    }  # fmt: skip
    again, same = html_of(served, urlsplit(address).query)
    strip = re.compile('nonce="[^"]*"')
    assert (again, strip.sub("", same)) == (address, strip.sub("", page))


def test_counts_of_choices_are_what_choosing_them_gives(served: Served) -> None:
    """Of each facet, given what is chosen in the others."""
    chosen = {"where": "snr > 1", "experience": "Novel"}
    _address, page = html_of(served, chosen)
    for facet in ("structure", "cell_class", "genotype", "experience", "criteria"):
        labels = re.findall(rf'name="{facet}" value="([^"]*)".*?<small>([\d,]+)</small>', page)
        assert labels, facet
        value, number = labels[1] if facet == "criteria" and len(labels) > 1 else labels[0]
        _address, then = html_of(served, {**chosen, facet: unescape(value)})
        assert total(then) == int(number.replace(",", "")), (facet, value)


def test_pages_follow_each_other(served: Served) -> None:
    found: list[str] = []
    for number in range(1, 20):
        _address, page = html_of(served, {"columns": "unit_id", "page": str(number)})
        found += column_of(page, 0)
        if 'name="page" value="' + str(number + 1) not in page:
            break
    assert len(found) == len(set(found)) == total(page)
    address, page = html_of(served, {"columns": "unit_id", "page": "9" * 18})  # no server counts so far
    assert column_of(page, 0) == []
    assert address.endswith("page=1000000000")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"structure": "V1"}, "VISp"),
        ({"criteria": "bennet"}, "bennett_2025"),
        ({"where": "snrr > 2"}, "Near to it: snr"),
        ({"where": "snr > 2; DROP TABLE x"}, "cannot contain ;"),
        ({"where": r"lower(genotype) = '\' OR lower(genotype) = '  '"}, "cannot contain a backslash"),
        ({"filter": "snr", "is": ">", "value": "high"}, "'snr' is a number, not 'high'"),
        ({"filter": "snr", "is": ">", "value": "nan"}, "'snr' is a number, not 'nan'"),
        ({"filter": "snr", "is": "between", "value": "1"}, "say how to compare it"),
        ({"filter": "date_of_acquisition", "is": ">", "value": "May"}, "a date such as"),
        ({"filter": "nothing", "is": "missing"}, "no column 'nothing'"),
        ({"session": "one"}, "'session' must be a number"),
        ({"page": "-1"}, "'page' must be a number"),
        ({"sort": "abnormal_histology"}, "have no order"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    served: Served, question: dict[str, Any], words: str
) -> None:
    with pytest.raises(HTTPError) as refused:
        html_of(served, question)
    assert refused.value.code == 404
    page = unescape(refused.value.read().decode())
    assert words in page
    assert 'href="./units"' in page


def test_texts_of_filters_are_quoted() -> None:
    from populate.page.unit_question import UnitQuestion, condition

    text = "o'neil'; --"
    assert condition("genotype", "text", "=", [text]) == "genotype = 'o''neil''; --'"
    asked = UnitQuestion.of_address({"genotype": [text], "where": ["genotype = 'o''neil'"]})
    assert shlex.split(asked.in_shell())[3:7] == ["--genotype", text, "--where", "genotype = 'o''neil'"]
    assert UnitQuestion.of_address(parse_qs(asked.address())) == asked
    with pytest.raises(SettingError, match=r"is 1 .yes. or 0"):
        condition("valid_data", "flag", "=", ["yes"])


def test_a_value_is_shown_with_four_digits_and_a_missing_one_is_none() -> None:
    from populate.page.unit_facts import UnitColumn, shown

    number, flag = UnitColumn("x", kind="number"), UnitColumn("x", kind="flag")
    values = (0.123456, 12.0, 1234567, float("nan"), None, pd.NA)
    assert [shown(number, value) for value in values] == ["0.1235", "12", "1234567", "", "", ""]
    assert [shown(flag, value) for value in (True, False, None)] == ["yes", "no", ""]
    assert shown(UnitColumn("x"), ["VISp"]) == '["VISp"]'


def test_an_old_address_of_a_unit_leads_to_it(served: Served) -> None:
    with urlopen(f"{served.url}units?session=1&unit=12") as answer:
        assert urlsplit(answer.url).path == "/unit"
        assert urlsplit(answer.url).query == "unit=12"


def test_an_unknown_address_has_a_way_back(served: Served) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{served.url}nothing/at%3Cx%3E")
    assert refused.value.code == 404
    page = refused.value.read().decode()
    assert "There is no such page" in page
    assert 'href="/units"' in page
    assert "<x>" not in page
    assert "nonce-" in refused.value.headers["Content-Security-Policy"]


def test_a_visitor_filters_by_clicks(served: Served, visit: Callable[[str], Any]) -> None:
    query, prefix = served.database.server.query, served.database.prefix
    page = visit(f"{served.url}units")
    page.get_by_label("column to filter by").select_option("snr")
    page.get_by_label("comparison").select_option(">")
    page.get_by_label("value to compare with").fill("2")
    page.get_by_role("button", name="Add the filter").click()
    page.get_by_role("checkbox", name="snr > 2").wait_for()
    for address in ("sort=-snr", "sort=snr", "sort=-snr"):
        page.get_by_role("button", name="snr").click()
        page.wait_for_url(re.compile(address))
    structure = page.locator("input[name=structure]").first.get_attribute("value")
    page.get_by_role("checkbox", name=f"{structure} ").first.check()
    page.wait_for_url(re.compile(f"structure={structure}"))
    unit = f'"{prefix}ecephys"."_recording__unit"'
    channel = f'"{prefix}ecephys"."_recording__channel"'
    wanted = query(
        f"SELECT unit_id FROM {unit} u JOIN {channel} c ON c.channel_id = u.peak_channel_id "
        f"WHERE snr > 2 AND structure_acronym = '{structure}' ORDER BY snr DESC"
    )
    assert page.locator(".total b").inner_text() == str(len(wanted))
    first = page.locator("tbody a").first
    assert first.inner_text() == str(wanted[0][0])
    first.click()
    page.get_by_role("heading", name=f"Unit {wanted[0][0]}").wait_for()


def test_without_an_option_the_page_shows_the_command_and_saves_nothing(served: Served) -> None:
    _address, page = html_of(served, {})
    assert "save-units" not in page
    assert "vbn query units --save-list my-list" in page
    own = {"Origin": served.url.rstrip("/")}
    for asked in (Request(f"{served.url}save-units", b"name=x&of=all", own), f"{served.url}enter?key="):
        with pytest.raises(HTTPError) as error, urlopen(asked):
            pass
        error.value.close()
        assert error.value.code == 403
    assert served.json("lists") == []
