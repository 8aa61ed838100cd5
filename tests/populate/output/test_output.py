"""Names from a file on their way out: to the terminal, into a CSV file, onto the page."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from populate.output.rendering import render
from populate.output.spreadsheet import guarded, unguarded
from populate.output.terminal import VisibleStream, console, data_stream, plain, visible_output

pytestmark = pytest.mark.files

ANY_TEXT = st.text(st.characters(exclude_categories=()))
# What a terminal may be sent by this package: text, line ends and tabs.
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
EVIL = "\x1b[2J\x1b]0;owned\x07\u202e[bold red]<img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://evil","click")'


# -- the terminal


@given(ANY_TEXT)
def test_a_stream_lets_nothing_through_that_a_terminal_obeys(text: str) -> None:
    behind = io.StringIO()
    assert VisibleStream(behind).write(f"vbn: {text}") == len(f"vbn: {text}")
    assert not OBEYED.search(behind.getvalue())


@given(ANY_TEXT)
def test_only_a_return_or_the_moves_of_a_bar_pass_at_the_beginning(text: str) -> None:
    behind = io.StringIO()
    VisibleStream(behind).write(text)
    sent = behind.getvalue()
    is_move = re.fullmatch(r"\n*(\x1b\[A)+", text)
    assert sent == text if is_move else not OBEYED.search(sent.removeprefix("\r"))


def test_what_an_encoding_does_not_have_is_written_out() -> None:
    raw = io.BytesIO()
    stream = VisibleStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.writelines(["µm ", "\udcff"])
    stream.flush()
    assert raw.getvalue() == rb"\xb5m \udcff"
    assert not hasattr(stream, "buffer")


def test_output_is_visible_within_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with visible_output():
        print("\x1b[2J")
        console().print(plain("[bold]\x1b[2J[/bold]"))
        data_stream().write("\u200b")
    assert sys.stdout is out
    assert out.getvalue() == "\\x1b[2J\n[bold]\\x1b[2J[/bold]\n\u200b"


def test_data_on_a_terminal_are_visible_too(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", out)
    with visible_output():
        data_stream().write("\x1b[2J")
    assert out.getvalue() == "\\x1b[2J"


# -- spreadsheets


@given(ANY_TEXT)
def test_a_cell_can_be_turned_back(text: str) -> None:
    assert unguarded(guarded(text)) == text


@given(ANY_TEXT, st.sampled_from("=+-@\t\r\n＝＋－＠"), st.text(" \t\n", max_size=2))  # noqa: RUF001
def test_no_cell_begins_as_a_formula_does(text: str, sign: str, space: str) -> None:
    cell = guarded(space + sign + text)
    assert cell.startswith("'") or re.fullmatch(r"[+-][\d.eE+-]+", cell)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_numbers_stay_as_they_are(value: float, whole: int) -> None:
    assert (guarded(repr(value)), guarded(str(whole))) == (repr(value), str(whole))


def test_csv_of_a_frame_keeps_numbers_and_guards_texts() -> None:
    frame = pd.DataFrame(
        {
            "text": [FORMULA, "'quoted", None],
            "number": [-1.5, 2.0, None],
            "mixed": ["@SUM(1)", -1, None],
            "whole": pd.array([-1, None, 3], "Int64"),
            "=evil": [True, False, None],
        }
    )
    out = io.StringIO()
    render(frame, "csv", out)
    header, *rows = list(csv.reader(out.getvalue().splitlines()))
    assert header == ["text", "number", "mixed", "whole", "'=evil"]
    assert rows == [
        [f"'{FORMULA}", "-1.5", "'@SUM(1)", "-1", "True"],
        ["''quoted", "2.0", "-1", "", "False"],
        ["", "", "", "3", ""],
    ]


# -- from a file to all ways out


def with_evil_names(file: h5py.File) -> None:
    for path, text in {
        "general/subject/genotype": FORMULA + EVIL,
        "general/subject/subject_id": "-mouse",
    }.items():
        del file[path]
        file[path] = text
    file["general/metadata"].attrs["equipment_name"] = "[red]" + EVIL[:20]
    file["units"].create_dataset(f"odd{EVIL}".replace("/", ""), data=[1])
    file["processing"].create_group(b"not utf-8 \xff")


@pytest.fixture(scope="module")
def evil(make_database: Callable[..., Any], damaged_copy: Callable[..., Path], open_folder: Path) -> Any:
    database = make_database()
    folder = open_folder / "\x1b[31m\nvbn: all is well"
    folder.mkdir()
    path = Path(shutil.move(damaged_copy(with_evil_names), folder / "=evil\u202e.nwb"))
    database.registered = database.vbn("register", path)
    database.populated = database.vbn(
        "populate", "--table", "Recording", "--table", "Optotagging", check=False
    )
    database.path = path
    return database


def test_the_terminal_gets_nothing_to_obey(evil: Any) -> None:
    commands = (
        ["sessions"], ["issues"], ["status"], ["verify"], ["errors"], ["doctor"],
        ["register", evil.path],
        ["query", "sessions", "--columns", "genotype,equipment_name"],
        ["query", "sessions", "--columns", "genotype,equipment_name", "--format", "json"],
        ["explain", "Recording"], ["export", "Mouse", "--out", evil.folder / "mouse.csv"],
        ["register", evil.path.with_name("\x1b[2Jabsent.nwb")],
        ["query", "units", "--structure", "\x1b[2J"],
    )  # fmt: skip
    for done in (evil.registered, evil.populated, *(evil.call(*words, check=False) for words in commands)):
        said = done.stdout + done.stderr
        assert said
        assert not OBEYED.search(said), (done.args, said)
        assert "\nvbn: all is well" not in said, (done.args, said)


def test_what_is_odd_is_named_written_out(evil: Any) -> None:
    found = {row["issue_code"]: row["issue_detail"] for row in evil.json("issues")}
    assert r"/units/odd\x1b[2J\x1b]0;owned\x07\u202e[bold red]" in found["unknown_column"]
    assert r"/processing/not utf-8 \udcff" in found["unknown_column"]
    assert found["not_checked"] == r"it holds names that are not UTF-8: 1: processing/not utf-8 \udcff"


def test_exported_names_can_be_turned_back(evil: Any) -> None:
    out = evil.folder / "mice.csv"
    evil.call("export", "Mouse", "--out", out)
    ((mouse_id, genotype),) = [
        (row["mouse_id"], row["genotype"]) for row in csv.DictReader(io.StringIO(out.read_bytes().decode()))
    ]
    assert (mouse_id, genotype) == ("'-mouse", f"'{FORMULA}{EVIL}")
    queried = evil.folder / "sessions.csv"
    evil.call("query", "sessions", "--columns", "genotype", "--out", queried)
    (row,) = csv.DictReader(io.StringIO(queried.read_bytes().decode()))
    assert unguarded(row["genotype"]) == FORMULA + EVIL


def test_a_query_into_a_pipe_is_data(evil: Any) -> None:
    done = evil.vbn("query", "sessions", "--columns", "genotype", "--format", "csv")
    ((_, (cell,)),) = [(header, row) for header, row in [tuple(csv.reader(io.StringIO(done.stdout)))]]
    assert unguarded(cell) == FORMULA + EVIL


def test_a_path_that_is_not_utf8_is_refused_in_words(
    shared_database: Any, synthetic_files: list[Path], open_folder: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(open_folder) + b"/b\xffd.nwb"))
    os.link(synthetic_files[0], path)
    done = shared_database.vbn("register", path, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"vbn: {open_folder}/b\\udcffd.nwb: its path is not valid UTF-8, which a database requires. "
        "Rename the file or the folder."
    )
    assert (
        json.loads(shared_database.vbn("register", path, "--json", check=False).stdout)["status"] == "failed"
    )
    path.unlink()


def test_the_page_writes_names_out() -> None:
    pytest.importorskip("panel")
    from populate.page.views import html

    assert "<img" not in html("message.html", text=EVIL).object
