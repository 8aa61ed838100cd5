"""What somebody may have meant by a word that is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from vbn.errors import shortened

NEAR = 4
LISTED = 12
"""How many known words a sentence lists where none is near."""
SEARCHED = 5000
"""Among how many known words the nearest is looked for."""


def nearest(word: object, known: Collection[object], first: Collection[object] = ()) -> str:
    """Return a sentence with what is near to a word or, where nothing is, with what there is.

    Parameters
    ----------
    word : what was asked for.
    known : what could have been asked for.
    first : which of these to name before the others.

    Returns
    -------
    str
        It begins with a blank, to be put behind a message.

    Examples
    --------
    >>> nearest("VISpp", ["VISp", "VISl", "LGd"])
    ' Near to it: VISp, VISl.'
    >>> nearest("hippocampus", ["VISp", "LGd"])
    ' There are: LGd, VISp.'
    """
    words = sorted({str(each) for each in known})
    if not words:
        return " There is none yet."
    if found := near(word, words, first):
        return f" Near to it: {', '.join(found)}."
    if first:
        words = sorted({str(each) for each in first})
    few = ", ".join(shortened(each) for each in words[:LISTED])
    return f" There {'is' if len(words) == 1 else 'are'}: {few}{', ...' if len(words) > LISTED else ''}."


def near(word: object, known: Collection[object], first: Collection[object] = ()) -> list[str]:
    """Return the few known words that are near to one, the nearest first; see `nearest`."""
    lower = {str(each).lower(): str(each) for each in sorted(map(str, known))}
    if len(lower) > SEARCHED:
        return []
    found = [lower[each] for each in difflib.get_close_matches(str(word).lower(), lower, n=2 * NEAR)]
    preferred = {str(each) for each in first}
    found.sort(key=lambda each: (each.lower() != str(word).lower(), each not in preferred))
    return found[:NEAR]
