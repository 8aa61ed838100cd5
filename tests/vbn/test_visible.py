"""Nothing of a text from elsewhere is hidden, or obeyed by a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.errors import FileError, quoted, shortened
from vbn.visible import visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")


@given(ANY_TEXT)
def test_what_comes_out_is_printable_and_stays_so(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert not any(unicodedata.category(character) in HIDDEN for character in shown)
    assert visible(shown) == shown


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"), max_codepoint=0x33F)))
def test_what_is_visible_stays(text: str) -> None:
    assert visible(text) == text


@given(ANY_TEXT)
def test_only_what_is_named_is_kept(text: str) -> None:
    kept = visible(text, "\n\t")
    assert kept.replace("\n", "").replace("\t", "").isprintable()
    assert kept.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]8;;http://evil\x07here\x1b]8;;\x07", r"\x1b]8;;http://evil\x07here\x1b]8;;\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202egnp.exe", r"abc\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("filler\u3164", r"filler\u3164"),
        ("not utf-8 \udcff", r"not utf-8 \udcff"),
        ("line\u2028end\r\n", r"line\u2028end\r\n"),
        ("Sst-µ 鼠 é 😀", "Sst-µ 鼠 é 😀"),
        (r"a\b", r"a\b"),
    ],
)
def test_hidden_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY_TEXT)
def test_messages_are_visible_and_in_one_line(text: str) -> None:
    for message in (shortened(text), quoted(text), str(FileError(text, "it is odd."))):
        assert message.isprintable()
