"""Terminal output in which control characters from files have no effect.

`main` replaces the process's streams by these, so that this holds for everything printed: by ``click.echo``,
by a log, by a warning. Code that uses terminal codes, or writes data into a pipe, requests the stream behind,
and escapes text from elsewhere itself.
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
"""Control characters that messages and tables may contain."""

_PROGRESS_BAR = re.compile(r"\n*(?:\x1b\[A)+")
"""Control codes of tqdm: it moves up between several bars. Bars are redrawn after a carriage return."""


class VisibleStream:
    """A text stream that makes control characters visible.

    Parameters
    ----------
    behind : the stream to write to.
    """

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def write(self, text: str | bytes) -> int:
        """Write text; characters that the encoding lacks are escaped as well.

        click writes what a shell completes as bytes.
        """
        if isinstance(text, bytes):
            text = text.decode("utf-8", "backslashreplace")
        if _PROGRESS_BAR.fullmatch(text):
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
        if name == "buffer":  # bytes would bypass it
            raise AttributeError(name)
        return getattr(self.behind, name)


@contextlib.contextmanager
def visible_output() -> Iterator[None]:
    """Let the process write through `VisibleStream` within the block; closed streams are discarded."""
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout, sys.stderr = (cast(TextIO, VisibleStream(stream or nowhere)) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def on_terminal() -> bool:
    """Return whether people see the output: into a pipe nothing is shortened, rounded, framed or coloured."""
    return sys.stdout.isatty()


def data_stream() -> TextIO:
    """Return the stream for data: unchanged for other programs, with visible characters on a terminal."""
    return sys.stdout if sys.stdout.isatty() else _behind(sys.stdout)


def console() -> Console:
    """Return rich's console, which uses terminal codes; give it `plain` text."""
    from rich.console import Console

    return Console(file=_behind(sys.stdout))


def plain(text: object) -> Text:
    """Return a cell or title for rich, without its markup and without terminal codes."""
    from rich.text import Text

    return Text(visible(str(text)))


def _behind(stream: TextIO) -> TextIO:
    return cast(TextIO, getattr(stream, "behind", stream))
