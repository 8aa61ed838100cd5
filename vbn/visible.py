"""Escaping of invisible and control characters in text from files.

Names in a file are untrusted. Terminals obey control characters (moving the cursor, clearing the screen,
renaming the window, even typing for the user); bidirectional and zero-width characters make different texts
look alike.
"""

from __future__ import annotations

import re

# Invisible, although Unicode classes them as letters, marks or spaces.
INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
)
_SUSPECT = re.compile(rf"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u0233]|[{INVISIBLE}]")
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


def visible(text: str, keep: str = "") -> str:
    r"""Escape invisible characters: control, bidirectional, zero-width, surrogate and unassigned ones.

    Parameters
    ----------
    text : any text.
    keep : characters that are not escaped, such as a line feed.

    Returns
    -------
    str
        Printable text. Visible characters, including backslashes, are unchanged, so that escaping again has
        no effect.

    Examples
    --------
    >>> visible("Sst\x1b[2J")
    'Sst\\x1b[2J'
    >>> visible("µm, 鼠")
    'µm, 鼠'
    """
    return _SUSPECT.sub(lambda found: _escaped(found.group(), keep), text)


def _escaped(character: str, keep: str) -> str:
    if character in keep or (character.isprintable() and not _INVISIBLE.match(character)):
        return character
    return character.encode("unicode_escape").decode()
