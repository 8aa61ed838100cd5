"""Text from elsewhere as people may see it: what a screen would not show, or would obey, is written out.

Names in a file are anybody's. A terminal obeys control characters (it moves, clears, renames its window,
types for the user); characters of direction and of no width make one text look like another.
"""

from __future__ import annotations

import re

# Drawn as nothing, although Unicode counts them among letters, marks or spaces.
UNSEEN = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
)
_SUSPECT = re.compile(rf"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u0233]|[{UNSEEN}]")
_UNSEEN = re.compile(f"[{UNSEEN}]")


def visible(text: str, keep: str = "") -> str:
    r"""Write out what is not seen: controls, directions, no width, halves of characters, unknown ones.

    Parameters
    ----------
    text : from anywhere.
    keep : characters that stay as they are, such as a line's end.

    Returns
    -------
    str
        Printable. What is visible, backslashes too, stays, so that doing it again changes nothing.

    Examples
    --------
    >>> visible("Sst\x1b[2J")
    'Sst\\x1b[2J'
    >>> visible("µm, 鼠")
    'µm, 鼠'
    """
    return _SUSPECT.sub(lambda found: _written_out(found.group(), keep), text)


def _written_out(character: str, keep: str) -> str:
    if character in keep or (character.isprintable() and not _UNSEEN.match(character)):
        return character
    return character.encode("unicode_escape").decode()
