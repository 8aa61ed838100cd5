"""What goes to the screen: text in which nothing from a file is obeyed by the terminal.

`main` puts these streams in the place of the process's own, so that this holds for whatever is printed: by
``click.echo``, by a log, by a warning. What draws with the terminal's own codes, or writes data into a pipe,
asks for the stream behind it, and makes visible itself what it takes from elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from vbn.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LAYOUT = "\n\t"
"""Characters of messages and tables that a terminal may obey."""

_OF_A_BAR = re.compile(r"\n*(?:\x1b\[A)+")
"""All that tqdm sends besides text: it moves up among several bars. A bar is drawn anew after a return."""


class VisibleStream:
    """A text stream that writes out what a terminal would obey.

    Parameters
    ----------
    behind : the stream that gets it.
    """

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        """Write a text; what the stream's encoding does not have is written out as well."""
        if _OF_A_BAR.fullmatch(text):
            return self.behind.write(text)
        returns = text[:1] == "\r"
        encoding = self.behind.encoding or "utf-8"
        shown = visible(text[returns:], LAYOUT).encode(encoding, "backslashreplace").decode(encoding)
        self.behind.write("\r" * returns + shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # bytes would pass by
            raise AttributeError(name)
        return getattr(self.behind, name)


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Let the process write through `VisibleStream` within the block; what was closed goes nowhere."""
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout, sys.stderr = (cast(TextIO, VisibleStream(stream or nowhere)) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def data_stream() -> TextIO:
    """Return where data go that another program reads: as they are, but on a terminal made visible."""
    return sys.stdout if sys.stdout.isatty() else _behind(sys.stdout)


def console() -> Console:
    """Return rich's console, which draws with the terminal's codes; give it `plain` texts."""
    from rich.console import Console

    return Console(file=_behind(sys.stdout))


def plain(text: object) -> Text:
    """Return a cell or title for rich in which nothing is taken for its markup or for a terminal's code."""
    from rich.text import Text

    return Text(visible(str(text)))


def _behind(stream: TextIO) -> TextIO:
    return cast(TextIO, getattr(stream, "behind", stream))
