"""The errors that a user may meet, as a tree.

::

    VbnError
    ├── FileError               something is wrong with one file
    │   ├── NotReadableError        absent, no permission, cut short, not HDF5
    │   ├── NotNwbError             HDF5, but no NWB file
    │   ├── WrongKindError          an NWB file, but not a VBN recording (foreign, LFP, behaviour only)
    │   └── InvalidContentError     a VBN recording whose content contradicts itself or misses a part
    ├── ConflictError           what is entered already disagrees with what is being entered
    ├── NotFoundError           a session, structure, table or row that is not there
    ├── SettingError            a setting or an argument that cannot be used
    ├── ServerError             the database cannot be reached, or refuses
    └── StoreError              the array store cannot be written or read

Each message says what is wrong, with what, and what to do about it. Programming errors stay
``TypeError`` and ``ValueError``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vbn.visible import visible

LONGEST_QUOTE = 60
"""How much of a value a message shows, in characters."""


def shortened(text: object, longest: int = LONGEST_QUOTE) -> str:
    """Return a text as a message shows it: in one line, all visible, without its end where it is long.

    Parameters
    ----------
    text : anything; its ``str``.
    longest : characters that are kept.

    Examples
    --------
    >>> shortened("images_G")
    'images_G'
    >>> shortened("a long text\\nof two lines", 11)
    'a long text... (24 characters)'
    """
    line = visible(" ".join(str(text).split()))
    return line if len(line) <= longest else f"{line[:longest]}... ({len(line)} characters)"


def quoted(value: Any) -> str:
    """Return a value of a file as a message quotes it: text in quotes, and not more than a line of it.

    Examples
    --------
    >>> quoted("images_G"), quoted(3), quoted(None)
    ("'images_G'", '3', 'nothing')
    """
    if value is None:
        return "nothing"
    return f"'{shortened(value)}'" if isinstance(value, str) else shortened(value)


class VbnError(Exception):
    """Base of every error that is the input's, the settings' or the server's fault, not the program's."""


class FileError(VbnError):
    """Something is wrong with one file.

    Parameters
    ----------
    path : path or URL of the file.
    problem : what was expected and what was found.
    advice : what the reader of the message can do.
    """

    def __init__(self, path: str | Path, problem: str, advice: str = "") -> None:
        self.path = str(path)
        self.problem = problem
        self.advice = advice
        super().__init__(f"{visible(self.path)}: {problem}" + (f" {advice}" if advice else ""))

    def __reduce__(self) -> tuple[type[FileError], tuple[str, str, str]]:
        """Make the error survive the way back from a worker process."""
        return type(self), (self.path, self.problem, self.advice)


class NotReadableError(FileError):
    """The file is absent, forbidden, cut short, or not HDF5."""


class AbsentError(NotReadableError):
    """There is no such file."""


class NotNwbError(FileError):
    """The file is HDF5 but not NWB."""


class WrongKindError(FileError):
    """The file is NWB, but not of the kind that was asked for."""


class InvalidContentError(FileError):
    """The file is a VBN file whose content contradicts itself or misses a required part."""


class ConflictError(VbnError):
    """What is being entered disagrees with what is entered already."""


class NotFoundError(VbnError):
    """Something that was named does not exist."""


class SettingError(VbnError):
    """A setting or an argument cannot be used."""


class ServerError(VbnError):
    """The database server cannot be reached, or refuses."""


class StoreError(VbnError):
    """The array store cannot be written or read."""
