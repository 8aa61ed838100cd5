"""The page of import issues, and the pictures of images: through HTTP, without a browser."""

from __future__ import annotations

import csv
import io
import re
import shlex
from functools import partial
from html import unescape
from importlib.util import find_spec
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from urllib.request import urlopen

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.fixtures.page import Served, rows_of_page
from vbn.nwb import image_thumbnail
from vbn.nwb.issue import CODES

pytestmark = [
    pytest.mark.skipif(find_spec("panel") is None, reason="vbn serve needs Panel"),
    pytest.mark.files,
]


asked = partial(rows_of_page, path="issues")


def test_issues_are_listed_with_their_meaning_and_saved(served: Served) -> None:
    issues = served.json("issues")
    _address, page, rows = asked(served)
    assert sorted((row[1], row[2]) for row in rows) == sorted(
        (str(i["session_id"]), i["issue_code"]) for i in issues
    )
    for code in {issue["issue_code"] for issue in issues}:
        assert f'<code>{code}</code></td><td class="wide" data-name="Meaning">{CODES[code]}' in unescape(page)
    with urlopen(f"{served.url}issues.csv?severity=warning") as file:
        saved = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
    wanted = [issue["issue_detail"] for issue in issues if issue["severity"] == "warning"]
    assert sorted(row["issue_detail"] for row in saved) == sorted(wanted)


def test_filters_compare_by_the_type_of_the_column_and_counts_are_what_they_give(served: Served) -> None:
    issues = served.json("issues")
    numbers = sorted({issue["session_id"] for issue in issues})
    # As text, 10 000 000 000 would be below 9 000 000 001.
    for comparison, value in ((">", numbers[0]), ("<", 10**10), ("=", numbers[1]), (">=", float(numbers[1]))):
        address, _page, rows = asked(served, filter="session_id", **{"is": comparison}, value=value)
        meets = {
            ">": lambda n, v: n > v,
            "<": lambda n, v: n < v,
            "=": lambda n, v: n == v,
            ">=": lambda n, v: n >= v,
        }
        wanted = [issue for issue in issues if meets[comparison](issue["session_id"], value)]
        assert len(rows) == len(wanted) > 0
        assert list(parse_qs(urlsplit(address).query)) == ["where"]
    _address, page, rows = asked(served, where=f"session_id = {numbers[1]}", severity="info")
    for facet in ("code", "table", "severity"):
        value, number = re.findall(rf'name="{facet}" value="([^"]*)".*?<small>([\d,]+)</small>', page)[0]
        chosen = {"severity": "info", facet: value}
        _address, _then, found = asked(served, where=f"session_id = {numbers[1]}", **chosen)
        assert len(found) == int(number), (facet, value)
    orders = [[row[0] for row in asked(served, sort=sort)[2]] for sort in ("severity", "-severity")]
    assert orders[0] == sorted(orders[0], key=["info", "warning", "error"].index) == orders[1][::-1]
    _address, page, _rows = asked(served, filter="noticed_at", **{"is": "<"}, value="2020-01-01")
    assert "No issue meets all of this" in page


def test_the_command_on_the_page_lists_the_same(served: Served) -> None:
    numbers = sorted({issue["session_id"] for issue in served.json("issues")})
    for question in (
        {},
        {"session": numbers[0], "severity": ["warning", "info"], "table": "units"},
        {"where": [f"session_id <= {numbers[0]}", "noticed_at > '2020-01-01'"], "importer": "Recording"},
    ):
        _address, page, rows = asked(served, **question)
        (command,) = re.findall(r'<code class="shell">(.*?)</code>', page)
        found = served.json(*shlex.split(unescape(command))[1:])
        assert [(row[1], row[2]) for row in rows] == [
            (str(each["session_id"]), each["issue_code"]) for each in found
        ]
        assert rows


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"filter": "session_id", "is": ">", "value": "x"}, "'session_id' is a number, not 'x'"),
        ({"filter": "sesion_id", "is": ">", "value": "1"}, "Near to it: session_id"),
        ({"where": "severty = 'info'"}, "Near to it: severity"),
        ({"where": "1 = 1; DROP TABLE x"}, "cannot contain ;"),
        ({"sort": "detail"}, "Near to it: issue_detail"),
        ({"session": "12"}, "Session 12 is not registered"),
        ({"page": "-1"}, "'page' must be a number"),
    ],
)
def test_what_cannot_be_asked_of_issues_is_said(served: Served, question: dict[str, str], words: str) -> None:
    with pytest.raises(HTTPError) as refused:
        asked(served, **question)
    assert refused.value.code == 404
    assert words in unescape(refused.value.read().decode())


def test_the_picture_of_an_image_is_that_of_the_file(served: Served, synthetic_files: list[Any]) -> None:
    with h5py.File(synthetic_files[0]) as file:
        (group,) = file["stimulus/templates"].values()
        names = group["control_description"].asstr()[()].tolist()
        warped = group["data"][()]
    for name, pixels in zip(names, warped, strict=True):
        with urlopen(f"{served.url}image?name={quote(name)}") as answer:
            assert answer.headers["Content-Type"] == "image/png"
            shown = np.asarray(Image.open(io.BytesIO(answer.read())))
        assert np.array_equal(shown, image_thumbnail(pixels, 192))
    for name, words in (
        ("omitted", "no picture of an image 'omitted'"),
        ("", "no picture"),
        ("../x", "'../x'"),
    ):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{served.url}image?{urlencode({'name': name})}")
        assert refused.value.code == 404
        assert words in refused.value.read().decode()


def test_a_picture_stands_beside_the_name_of_an_image_that_has_one() -> None:
    from populate.page.unit_browser import rows_shown
    from populate.page.unit_facts import UnitColumn

    column = UnitColumn("selectivity_preferred_image")
    frame = pd.DataFrame({column.name: ["im012_r", "im/0&12", "im036_r", None]})
    shown = rows_shown([column], frame, (), 1, {"im012_r", "im/0&12"})
    cells = [row[0] for row in shown["rows"]]
    assert [cell["text"] for cell in cells] == ["im012_r", "im/0&12", "im036_r", ""]
    assert [cell["picture"] for cell in cells] == ["./image?name=im012_r", "./image?name=im%2F0%2612", "", ""]
