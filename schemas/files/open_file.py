"""From a session's row to its open NWB file."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schemas import session
from schemas.files.roots import Place, resolve
from vbn.errors import InvalidContentError, NotReadableError, SettingError
from vbn.nwb import RecordingFile, open_lfp, open_session
from vbn.nwb.hdf5.identify import FileVersion, version_of
from vbn.release.cache import content_hash
from vbn.web.client import is_url
from vbn.web.remote_file import RemoteFile


class _OpenFile:
    """The file that this process has open: the imports of one session share it."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.file: RecordingFile | None = None
        self.stack = contextlib.ExitStack()

    def get(self, place: Place, source: dict[str, Any]) -> RecordingFile:
        if self.place != place or self.file is None:
            self.close()
            open_kind = open_lfp if source["file_kind"] == "lfp" else open_session
            opened = open_kind(place, with_pynwb=not _is_unchanged(place, source))
            self.file = self.stack.enter_context(opened)
            _require_registered(place, self.file, source)
            self.place = place
        return self.file

    def close(self) -> None:
        self.stack.close()
        self.place = self.file = None


_open_file = _OpenFile()
# HDF5 must not be left to close a remote file when the interpreter is half gone: it would crash.
atexit.register(_open_file.close)


def registered_file(source: dict[str, Any]) -> RecordingFile:
    """Return the open file of a row of NwbFile; it stays open until another is asked for.

    Parameters
    ----------
    source
        ``root``, ``relative_path``, ``size_bytes`` and ``file_kind`` of the row. With its ``blake2b`` and
        ``modified_ns``, a file that was not changed since is not given to pynwb again, which takes two
        seconds: it was when the file was registered.

    Raises
    ------
    NotReadableError, InvalidContentError
        If the file is not there, or not the registered one any more.
    """
    place = resolve(source["root"], source["relative_path"])
    size = size_of(place)
    if size != source["size_bytes"]:
        raise InvalidContentError(
            place,
            f"it has {size} bytes, but had {source['size_bytes']} when it was registered.",
            "Bring the registered file back.",
        )
    return _open_file.get(place, source)


def _require_registered(place: Place, file: RecordingFile, source: dict[str, Any]) -> None:
    """Refuse an open file of this machine whose content is not the one that was registered.

    A file that was last changed at the registered time is taken for unchanged.
    """
    blake2b = source.get("blake2b")
    if is_url(place) or blake2b is None:
        return
    opened = version_of(file.file)
    if opened.modified_ns == source.get("modified_ns") and opened.size_bytes == source["size_bytes"]:
        return
    found, hashed = hash_and_version(Path(place))
    if found != blake2b or hashed != opened:
        raise InvalidContentError(
            place,
            f"its content has changed since it was registered (blake2b {found[:12]}..., "
            f"was {blake2b[:12]}...).",
            "Bring the registered file back, or register this one with --replace.",
        )


def hash_and_version(path: Path, report: Callable[[int], object] | None = None) -> tuple[str, FileVersion]:
    """Hash a file of this machine; return also which content of which file that is the hash of.

    Parameters
    ----------
    path : the file.
    report : as of `vbn.release.content_hash`.
    """
    with path.open("rb") as file:
        version = version_of(file.fileno())
        return content_hash(file.fileno(), report), version


def _is_unchanged(place: Place, source: dict[str, Any]) -> bool:
    """Tell whether a file of the registered size has the content that was registered.

    Without a hash nobody knows: the file of another place may have been entered for it (vbn relocate).
    """
    if is_url(place) or source.get("blake2b") is None:
        return False
    return bool(Path(place).stat().st_mtime_ns == source.get("modified_ns"))


def place_of_session(key: dict[str, Any]) -> Place:
    """Return where the file of a session is, for messages.

    Parameters
    ----------
    key : primary key of the session.
    """
    row = (session.NwbFile & key).fetch1()
    try:
        return resolve(row["root"], row["relative_path"])
    except SettingError:  # the root is another machine's
        return f"{row['root']}:{row['relative_path']}"


def size_of(place: Place) -> int:
    """Return the size in bytes of a file on this machine or on a web server.

    Raises
    ------
    NotReadableError
        If it is not there.
    """
    if is_url(place):
        with RemoteFile(str(place)) as remote:
            return int(remote.size_bytes)
    try:
        return Path(place).stat().st_size
    except OSError as error:
        advice = (
            "It was registered from there: bring it back, or name its new place (vbn roots, vbn relocate)."
        )
        raise NotReadableError(place, f"{error.strerror}.", advice) from error


def close_file() -> None:
    """Close the file that this process holds open, if any."""
    _open_file.close()


@contextlib.contextmanager
def closing_file() -> Iterator[None]:
    """Close the open file on leaving the block, whatever happens in it."""
    try:
        yield
    finally:
        close_file()
