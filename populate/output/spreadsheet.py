"""Escaping text that a spreadsheet would run as a formula, and the reverse.

A cell of a CSV file that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break is a formula to a
spreadsheet, and formulas can start programs and send data away. Such text is prefixed with an apostrophe, and
so is text that begins with an apostrophe: removing a single leading apostrophe restores the original.
Numbers, including negative ones and those stored as text, are not changed.
"""

from __future__ import annotations

import re

MARK = "'"
_RISKY = re.compile(r"[\s\0\u200b\ufeff]*['=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - spreadsheets accept the wide ones as well
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def guarded(text: str) -> str:
    """Return a text as a cell of a CSV file.

    Examples
    --------
    >>> guarded("=1+1"), guarded("-1.5"), guarded("'quoted'"), guarded("VISp")
    ("'=1+1", '-1.5', "''quoted'", 'VISp')
    """
    return MARK + text if _RISKY.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` was given.

    Examples
    --------
    >>> unguarded("'=1+1"), unguarded("-1.5")
    ('=1+1', '-1.5')
    """
    return cell.removeprefix(MARK)
