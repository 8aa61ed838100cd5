"""The hierarchy of errors that a user may see.

::

    VbnError
    ├── FileError               a problem with one file
    │   ├── NotReadableError        absent, no permission, truncated, not HDF5
    │   ├── NotNwbError             HDF5, but not NWB
    │   ├── WrongKindError          NWB, but not of the required kind (foreign, LFP, behavior only)
    │   └── InvalidContentError     a VBN file whose content is contradictory or incomplete
    ├── ConflictError           new data disagree with existing data
    ├── NotFoundError           a session, structure, table or row does not exist
    ├── SettingError            an invalid setting or argument
    ├── ServerError             the database server cannot be reached, or refuses
    ├── StoreError              the array store cannot be written or read
    ├── QuotaError              a personal schema is larger than it may be
    └── HostError               this machine lacks what others may have; besides one of the above

Each message says what is wrong, with what, and what to do about it. Programming errors remain ``TypeError``
and ``ValueError``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vbn.visible import visible

LONGEST_QUOTE = 60
"""Longest quote of a value in a message, in characters."""


def shortened(text: object, longest: int = LONGEST_QUOTE) -> str:
    """Return a text for a message: on one line, with all characters visible, truncated if long.

    Parameters
    ----------
    text : any object; its ``str`` is used.
    longest : number of characters to keep.

    Examples
    --------
    >>> shortened("images_G")
    'images_G'
    >>> shortened("a long text\\nof two lines", 11)
    'a long text... (24 characters)'
    """
    try:
        line = visible(" ".join(str(text).split()))
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return line if len(line) <= longest else f"{line[:longest]}... ({len(line)} characters)"


def quoted(value: Any) -> str:
    """Return a value for a message: text in quotes, truncated if long.

    Examples
    --------
    >>> quoted("images_G"), quoted(3), quoted(None)
    ("'images_G'", '3', 'nothing')
    """
    if value is None:
        return "nothing"
    return f"'{shortened(value)}'" if isinstance(value, str) else shortened(value)


def shown_url(url: str) -> str:
    """Return a URL without its user, password and query, which may be secret; a path as it is.

    Examples
    --------
    >>> shown_url("https://me:secret@host/tables?token=secret")
    'https://host/tables?...'
    """
    parts = re.fullmatch(r"(\w+://)(?:[^/?#]*@)?([^?]*)(\?.*)?", url, re.DOTALL)
    return f"{parts[1]}{parts[2]}{'?...' if parts[3] else ''}" if parts else url


class VbnError(Exception):
    """Base of all errors caused by input, settings or server rather than by a bug."""


class FileError(VbnError):
    """A problem with one file.

    Parameters
    ----------
    path : path or URL of the file; the error shows no password or token in it.
    problem : what was expected and what was found.
    advice : what the user can do.
    """

    def __init__(self, path: str | Path, problem: str, advice: str = "") -> None:
        self.path = shown_url(str(path))
        self.problem = problem
        self.advice = advice
        super().__init__(f"{visible(self.path)}: {problem}" + (f" {advice}" if advice else ""))

    def __reduce__(self) -> tuple[type[FileError], tuple[str, str, str]]:
        """Support pickling, so that the error can be returned from a worker process."""
        return type(self), (self.path, self.problem, self.advice)


class NotReadableError(FileError):
    """The file is absent, unreadable, truncated, or not HDF5."""


class AbsentError(NotReadableError):
    """The file does not exist."""


class DeniedError(NotReadableError):
    """A web server denies the request, and would do so again."""


class NotNwbError(FileError):
    """The file is HDF5 but not NWB."""


class WrongKindError(FileError):
    """The file is NWB, but not of the required kind."""


class InvalidContentError(FileError):
    """The file is a VBN file whose content is contradictory or incomplete."""


class ConflictError(VbnError):
    """New data disagree with existing data."""


class NotFoundError(VbnError):
    """A named object does not exist."""


class SettingError(VbnError):
    """A setting or an argument is invalid."""


class ServerError(VbnError):
    """The database server cannot be reached, or refuses."""


class StoreError(VbnError):
    """The array store cannot be written or read."""


class AbsentArrayError(StoreError):
    """The array store has no file under the name that a row refers to."""


class UnpublishedArrayError(AbsentArrayError):
    """An array was not published with the row that says its shape."""


class UnpublishedFileError(SettingError):
    """The NWB file of a session was not published with its rows."""


class HostError(VbnError):
    """The machine lacks something that others may have: no fault of the file or of the job."""

    lack: str | None = None
    """What is lacking, in a few words; one thing may be the reason of many errors."""


class QuotaError(VbnError):
    """A personal schema is larger than it may be: nothing is added to it for now."""


class WrongStoreError(StoreError, HostError):
    """The array store of this machine is absent, or not that of the database."""

    lack = "the array store"


class AbsentRootError(SettingError, HostError):
    """The machine does not know a root."""


class AbsentFolderError(NotReadableError, HostError):
    """The folder of a registered file is absent, empty or closed on this machine."""


class AbsentAtlasError(NotReadableError, HostError):
    """The volume of an atlas is not on this machine, or another one is in its place."""

    lack = "the volume of an atlas"


class AbsentFilterError(NotReadableError, HostError):
    """A file is compressed with an HDF5 filter that is not installed on this machine."""

    lack = "an HDF5 filter"


class AbsentExtraError(SettingError, HostError):
    """A package that only some computations need is not installed on this machine.

    Parameters
    ----------
    package : its name.
    extra : name of the extra of ``vbn-datajoint`` that brings it.
    purpose : what needs it, as the beginning of a sentence.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.arguments = package, extra, purpose
        self.lack = f"the package {package}"
        super().__init__(
            f"{purpose} needs the package {package}. In the environment of vbn, on each machine with "
            f"workers: pip install 'vbn-datajoint[{extra}]'."
        )

    def __reduce__(self) -> tuple[type[AbsentExtraError], tuple[str, str, str]]:
        """Support pickling, so that the error can be returned from a worker process."""
        return type(self), self.arguments


_SAYING_SO = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # h5py's, for errors of HDF5
_WORDS_OF_NO_MEMORY = ("memory allocation failed", "Cannot allocate memory", "can't start new thread")


def lacks_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one that it was raised from, comes of a lack of memory.

    The HDF5 library and the system say so in other exceptions than `MemoryError`, which would be taken for
    those of a damaged file.
    """
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, _SAYING_SO) and any(words in str(error) for words in _WORDS_OF_NO_MEMORY):
            return True
        error = error.__cause__
    return False
