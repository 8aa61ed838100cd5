"""Numbers with their nouns, for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "unit"), counted(2, "unit"), counted(2160, "unit")
    ('1 unit', '2 units', '2,160 units')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
