"""Taking SQL conditions apart at AND and OR, so that each part is asked of the tables that it names alone."""

from __future__ import annotations

from collections.abc import Sequence

AND, OR = "and", "or"


def parts_of(words: Sequence[str]) -> tuple[str, list[list[str]]]:
    """Return what connects the parts of a condition, and the parts.

    Parameters
    ----------
    words : tokens of the condition, text in its quotes.

    Returns
    -------
    connective : `OR`, `AND`, or empty for a condition of one part.
    parts : the words of each part, without parentheses around the whole.

    Notes
    -----
    A condition that is not understood, with a parenthesis or an operand too few, is one part.

    Examples
    --------
    >>> parts_of("( a = 1 or b between 2 and 3 )".split())
    ('or', [['a', '=', '1'], ['b', 'between', '2', 'and', '3']])
    """
    inner = _without_parentheses(list(words))
    depths = _depths(inner)
    for connective in (OR, AND):
        if depths and len(parts := _split(inner, depths, connective)) > 1 and all(parts):
            return connective, parts
    return "", [inner]


def _split(words: Sequence[str], depths: Sequence[int], connective: str) -> list[list[str]]:
    """Return the words between connectives that are in no parentheses."""
    parts: list[list[str]] = [[]]
    is_range = False
    for word, depth in zip(words, depths, strict=True):
        is_outside = depth == 0
        if is_outside and word.lower() == connective and not (is_range and connective == AND):
            parts.append([])
        else:
            parts[-1].append(word)
        if is_outside and word.lower() in (AND, "between"):
            is_range = word.lower() == "between"
    return parts


def _depths(words: Sequence[str]) -> list[int]:
    """Return within how many parentheses, or CASE ... END, each word is; empty if they do not match."""
    depths, depth = [], 0
    for word in words:
        if word == ")" or word.lower() == "end":
            depth -= 1
            depths.append(depth + 1)
        else:
            depth += word == "(" or word.lower() == "case"
            depths.append(depth)
        if depth < 0:
            return []
    return depths if depth == 0 else []


def _without_parentheses(words: list[str]) -> list[str]:
    """Return a condition without parentheses around all of it."""
    while len(words) > 2 and words[0] == "(" and words[-1] == ")" and min(_depths(words), default=0) > 0:
        words = words[1:-1]
    return words
