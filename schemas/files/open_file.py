"""Opening the registered NWB files of sessions."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schemas import session
from schemas.files.roots import (
    CLOSED,
    IS_EMPTY,
    LOCAL,
    Place,
    absent_folder,
    folder_problem,
    resolve,
    roots,
)
from vbn.errors import InvalidContentError, NotReadableError, SettingError
from vbn.nwb import RecordingFile, open_lfp, open_session
from vbn.nwb.hdf5.identify import FileVersion, version_of
from vbn.nwb.mapping import FileMapping, MappedReading, parse_mapping
from vbn.release.cache import content_hash
from vbn.web.client import is_url
from vbn.web.remote_file import RemoteFile


class _OpenFile:
    """The file that this process has open, shared by the imports of one session."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.mapping: FileMapping | None = None
        self.file: RecordingFile | None = None
        self.stack = contextlib.ExitStack()

    def get(self, place: Place, source: dict[str, Any]) -> RecordingFile:
        mapping = mapping_of(source.get("session_id"))
        if self.place != place or self.mapping != mapping or self.file is None:
            self.close()
            self.file = self.stack.enter_context(_opened(place, source, mapping))
            _require_registered(place, self.file, source)
            self.place, self.mapping = place, mapping
        return self.file

    def close(self) -> None:
        self.stack.close()
        self.place = self.file = self.mapping = None


def _opened(
    place: Place, source: dict[str, Any], mapping: FileMapping | None
) -> contextlib.AbstractContextManager[RecordingFile]:
    with_pynwb = not _is_unchanged(place, source)
    if source["file_kind"] == "lfp":
        return open_lfp(place, with_pynwb=with_pynwb)
    reading = None if mapping is None else MappedReading(mapping, source["session_id"])
    return open_session(place, with_pynwb=with_pynwb, mapping=reading)


def mapping_of(session_id: int | None) -> FileMapping | None:
    """Return the mapping by which a session's file is read; None if it has the release's names."""
    if session_id is None:
        return None
    texts = (session.RigMapping & (session.MappedFile & {"session_id": session_id})).to_dicts()
    return _parsed(texts[0]["mapping_text"]["toml"]) if texts else None


_parsed = functools.lru_cache(maxsize=16)(parse_mapping)
_open_file = _OpenFile()
# Otherwise HDF5 would close a remote file during the interpreter's shutdown, and crash.
atexit.register(_open_file.close)


def registered_file(source: dict[str, Any]) -> RecordingFile:
    """Return the open file of a row of NwbFile; it stays open until another is requested.

    Parameters
    ----------
    source
        ``root``, ``relative_path``, ``size_bytes`` and ``file_kind`` of the row. With its ``blake2b`` and
        ``modified_ns``, an unchanged file is not opened with pynwb again, which takes two seconds and was
        done when the file was registered.

    Raises
    ------
    HostError
        If this machine lacks the file's root or folder, or this user may not read it.
    NotReadableError, InvalidContentError
        If the file is missing, or no longer the registered one.
    """
    place = reachable_place(source["root"], source["relative_path"])
    size = size_of(place)
    if size != source["size_bytes"]:
        raise InvalidContentError(
            place,
            f"it has {size} bytes, but had {source['size_bytes']} when it was registered.",
            "Restore the registered file.",
        )
    return _open_file.get(place, source)


def file_at_hand(source: dict[str, Any]) -> RecordingFile:
    """Return the open file of a row of NwbFile, as `registered_file`, if that takes a moment only.

    Raises
    ------
    NotReadableError
        If the file is on a web server, or would first have to be read through, as it may be another one.
    HostError, InvalidContentError
        As `registered_file`.
    """
    place = reachable_place(source["root"], source["relative_path"])
    if is_url(place):
        raise NotReadableError(place, "it is on the web, and is not read from there for this.", "")
    if size_of(place) == source["size_bytes"] and not _is_unchanged(place, source):
        advice = "Copy files with their times, or register it again."
        raise NotReadableError(place, "its time is not that with which it was registered.", advice)
    return registered_file(source)


def reachable_place(root: str, relative_path: str) -> Place:
    """Return the location of a registered file on this machine; raise an error if it cannot have it.

    A file that is absent from a folder where others are is not this machine's fault, and no error here; nor
    is the only one that was in a folder without a root.

    Raises
    ------
    AbsentRootError
        If this machine does not know the root.
    AbsentFolderError
        If the root's folder, or the file's, is absent, empty, closed or another one, or this user may not
        read the file.
    """
    place = resolve(root, relative_path)
    if is_url(place) or os.access(place, os.R_OK) or _is_away_for_now(place):
        return place
    path = Path(place)
    base = path.parent if root == LOCAL else Path(roots()[root])
    others = _registered_below(base, root) - {path}
    for folder in (base, path.parent):
        problem = folder_problem(folder)
        if problem and (others or root != LOCAL or problem != IS_EMPTY):
            raise absent_folder(path, folder, problem, root)
    if os.path.lexists(path):
        raise absent_folder(path, path.parent, "has files that this user may not read", root)
    if others and not any(map(os.path.exists, others)):
        raise absent_folder(path, base, "has none of the registered files", root)
    return place


def _is_away_for_now(place: Place) -> bool:
    """Return whether a file's disk does not answer, which may be over soon."""
    try:
        Path(place).stat()
    except OSError as error:
        return error.errno not in CLOSED | {errno.ENOENT}
    return False


def _registered_below(folder: Path, root: str) -> set[Path]:
    """Return the places of all registered sessions' files below a folder."""
    places = (resolve(root, path) for path in (session.NwbFile & {"root": root}).to_arrays("relative_path"))
    return {Path(place) for place in places if Path(place).is_relative_to(folder)}


def _require_registered(place: Place, file: RecordingFile, source: dict[str, Any]) -> None:
    """Refuse an open file on this machine that does not have the registered content.

    A file with the registered modification time is assumed to be unchanged.
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
            "Restore the registered file, or register this one with --replace.",
        )


def hash_and_version(path: Path, report: Callable[[int], object] | None = None) -> tuple[str, FileVersion]:
    """Return the hash of a file on this machine, and the version of the file that was hashed.

    Parameters
    ----------
    path : the file.
    report : as in `vbn.release.content_hash`.
    """
    with path.open("rb") as file:
        version = version_of(file.fileno())
        return content_hash(file.fileno(), report), version


def _is_unchanged(place: Place, source: dict[str, Any]) -> bool:
    """Return whether a file of the registered size is known to have the registered content.

    Without a hash this is unknown: the row may have been changed to another file (vbn relocate).
    """
    if is_url(place) or source.get("blake2b") is None:
        return False
    return bool(Path(place).stat().st_mtime_ns == source.get("modified_ns"))


def place_of_session(key: dict[str, Any]) -> Place:
    """Return the location of a session's file, for messages.

    Parameters
    ----------
    key : primary key of the session.
    """
    row = (session.NwbFile & key).fetch1()
    try:
        return resolve(row["root"], row["relative_path"])
    except SettingError:  # a root of another machine
        return f"{row['root']}:{row['relative_path']}"


def size_of(place: Place) -> int:
    """Return the size in bytes of a file on this machine or on a web server.

    Raises
    ------
    NotReadableError
        If it does not exist.
    """
    if is_url(place):
        with RemoteFile(str(place)) as remote:
            return int(remote.size_bytes)
    try:
        return Path(place).stat().st_size
    except OSError as error:
        advice = "It was registered there: restore it, or set its new location (vbn roots, vbn relocate)."
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
