"""Finding NWB files and identifying their kind, by content and without pynwb.

A *recording* holds the units and the behavior of one session, an *LFP file* the field potential of one of its
probes, a *behavior-only file* a training session without probes. File names are not used: downloads get
renamed. Opening must stay cheap (attributes and a scalar, no column), because registration opens every file
of a release.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import h5py
import numpy as np
from numpy.typing import NDArray

from vbn.errors import (
    FileError,
    NotFoundError,
    NotNwbError,
    NotReadableError,
    WrongKindError,
    lacks_memory,
    quoted,
)
from vbn.nwb.hdf5 import scalars
from vbn.nwb.hdf5.filters import use_installed_plugins
from vbn.nwb.hdf5.harmless import HDF5_ERRORS, Read, require_harmless
from vbn.web.client import is_url
from vbn.web.remote_file import RemoteFile

LFP_DESCRIPTION = "LFP data and associated info for one probe"
"""Session description of LFP files (AllenSDK, ``Probe.to_nwb``)."""

OPHYS_GROUPS = ("general/optophysiology", "processing/ophys")

_OPEN_ADVICE = {
    errno.ENOENT: ("the file does not exist.", "Check the path."),
    errno.EACCES: ("permission to read the file is refused.", "Ask its owner for read permission."),
    errno.EPERM: ("permission to read the file is refused.", "Ask its owner for read permission."),
    errno.EISDIR: ("this is a folder, and a file was expected.", "Name the file in it."),
    errno.ENOTDIR: ("a part of the path is not a folder.", "Check the path."),
}


MOST_DIGITS = 18
"""Longest identifier, in digits; more do not fit into 64 bits."""


class FileKind(StrEnum):
    """What a VBN NWB file holds."""

    RECORDING = "recording"
    LFP = "lfp"
    BEHAVIOR_ONLY = "behavior_only"


@dataclass(frozen=True)
class FileIdentity:
    """Kind and identifier of a file.

    Parameters
    ----------
    path : local path or URL of the file.
    kind : its kind.
    identifier : ``ecephys_session_id`` of a recording, ``probe_id`` of an LFP file, ``behavior_session_id``
        of a behavior-only file.
    size_bytes : its size.
    """

    path: Path | str
    kind: FileKind
    identifier: int
    size_bytes: int


class FileVersion(NamedTuple):
    """Version of a local file's content, by inode, size and time of modification."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


def identify(path: str | Path) -> FileIdentity:
    """Identify a file by its content.

    Parameters
    ----------
    path : local path or URL (http, https, s3), which is read by ranges.

    Returns
    -------
    FileIdentity

    Raises
    ------
    NotReadableError
        The file does not exist, is a folder, unreadable, empty, truncated or not HDF5.
    NotNwbError
        The file is HDF5 without an NWB root.
    WrongKindError
        The file is NWB, but not one of the three kinds of VBN files.

    Notes
    -----
    VBN files have ``/general/metadata`` with a ``behavior_session_id``. LFP files are recognised by their
    session description; behavior-only files have neither units nor electrodes, and their behavior session id
    as identifier. All others are recordings, even if a part is missing, so that the reader of that part can
    report it.
    """
    with open_hdf5(path) as file:
        return identity_of(path, file)


def identity_of(path: str | Path, file: h5py.File) -> FileIdentity:
    """Identify an open file; otherwise like `identify`."""
    path = path if is_url(path) else Path(path)
    try:
        require_nwb(path, file)
        _require_vbn(path, file)
        return FileIdentity(path, _kind(file), _identifier(path, file), file.id.get_filesize())
    except (OSError, RuntimeError) as error:  # what h5py raises for a damaged object
        raise unreadable(path, error) from error


def require_recording(identity: FileIdentity) -> None:
    """Raise an error unless the file is a recording.

    Raises
    ------
    WrongKindError
        The message says what the file is and what to do instead.
    """
    if identity.kind is FileKind.LFP:
        raise WrongKindError(
            identity.path,
            f"this is the LFP file of one probe (probe {identity.identifier}), not a recording.",
            "Name the session's ecephys_session_<id>.nwb instead.",
        )
    if identity.kind is FileKind.BEHAVIOR_ONLY:
        raise WrongKindError(
            identity.path,
            f"this is behaviour-only session {identity.identifier}, not a recording.",
            "Name an ecephys_session_<id>.nwb instead.",
        )


def require_session(identity: FileIdentity) -> None:
    """Raise an error unless the file is a recording or a behavior-only session.

    Raises
    ------
    WrongKindError
        The message says what the file is and what to do instead.
    """
    if identity.kind is FileKind.LFP:
        require_recording(identity)


def require_lfp(identity: FileIdentity) -> None:
    """Raise an error unless the file is the LFP file of a probe.

    Raises
    ------
    WrongKindError
        The message says what the file is and what to do instead.
    """
    if identity.kind is not FileKind.LFP:
        kind = "a recording" if identity.kind is FileKind.RECORDING else "a behaviour-only session"
        raise WrongKindError(
            identity.path,
            f"this is {kind} ({identity.identifier}), not the LFP file of a probe.",
            "Name a probe_<name>_lfp.nwb instead; LFP files are found beside their recording.",
        )


def find_nwb_files(paths: Iterable[str | Path]) -> list[Path]:
    """List the NWB files among files and folders.

    Parameters
    ----------
    paths : files, taken as they are, and folders, searched recursively for ``*.nwb``.

    Returns
    -------
    list of Path
        In the order given, each folder's files sorted, without duplicates. Hidden files and folders
        (``.name``) and unfinished downloads (``*.part``) are skipped; links to folders are followed.

    Raises
    ------
    NotReadableError
        A path does not exist, or a folder cannot be listed.
    NotFoundError
        A folder contains no NWB file.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    unique: dict[Path, Path] = {}
    for path in given:
        for file in _files_of(Path(path)):
            unique.setdefault(file.resolve(), file)
    return list(unique.values())


_remotes: WeakKeyDictionary[h5py.File, RemoteFile] = WeakKeyDictionary()
"""The files on web servers that are open."""


def rows_from_afar(file: h5py.File, dataset: h5py.Dataset, rows: Sequence[int]) -> NDArray[np.generic] | None:
    """Return some rows of a data set on a web server, and request nothing else.

    HDF5 would read what lies between them as well, as it reads 64 kB at a time.

    Parameters
    ----------
    file : as `open_hdf5` yields it.
    dataset : in that file; numbers.
    rows : which.

    Returns
    -------
    The rows; None if the file is on this machine, or rows are stored in chunks or packed.
    """
    remote, start = _remotes.get(file), dataset.id.get_offset()
    is_plain = dataset.chunks is None and dataset.external is None and dataset.dtype.kind in "iuf"
    # One that was never written has a place nevertheless.
    if remote is None or start is None or not is_plain or dataset.id.get_storage_size() != dataset.nbytes:
        return None
    shape = dataset.shape[1:]
    length = dataset.dtype.itemsize * math.prod(shape)
    parts = remote.read_parts([(start + row * length, length) for row in rows])
    return np.frombuffer(b"".join(parts), dataset.dtype).reshape(len(rows), *shape)


@contextmanager
def open_hdf5(path: Path | str) -> Iterator[Any]:
    """Open an HDF5 file for reading; errors say why it cannot be opened.

    Parameters
    ----------
    path : local path or URL of the file.

    Yields
    ------
    h5py.File
        Closed when the block ends.

    Raises
    ------
    NotReadableError
        The file does not exist, is a folder or device, unreadable, empty, truncated, locked or not HDF5.
    InvalidContentError
        The file would read other files, or take more memory than its size justifies (`harmless`).
    """
    use_installed_plugins()
    if is_url(path):
        with RemoteFile(str(path)) as remote, _opened(path, remote) as file:
            _require_harmless(path, file, remote.size_bytes, remote.read_at)
            _remotes[file] = remote
            yield file
        return
    _require_regular(path)
    with _opened(path, path, locking="best-effort") as file:
        number = file.id.get_vfd_handle()
        _require_harmless(path, file, os.fstat(number).st_size, lambda start, n: os.pread(number, n, start))
        yield file


def version_of(file: int | h5py.File) -> FileVersion:
    """Return the version of an open local file.

    Parameters
    ----------
    file : a file descriptor, or a file opened with `open_hdf5`.
    """
    found = os.fstat(file if isinstance(file, int) else file.id.get_vfd_handle())
    return FileVersion(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _require_regular(path: Path | str) -> None:
    """Reject anything but a regular, non-empty file: reading a pipe or device might never end."""
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise NotReadableError(
                path,
                "this is not a regular file but a device, a pipe or a socket.",
                "Name an NWB file (*.nwb).",
            )
        Path(path).open("rb").close()
    except OSError as error:
        raise unreadable(path, error) from error
    if found.st_size == 0:
        raise NotReadableError(path, "the file is empty.", "Download it again.")


def _require_harmless(path: Path | str, file: h5py.File, size_bytes: int, read: Read) -> None:
    try:
        require_harmless(path, file, size_bytes, read)
    except HDF5_ERRORS as error:
        raise unreadable(path, error) from error


def _opened(path: Path | str, source: Any, **options: Any) -> Any:
    """Open a path or a file object with h5py."""
    try:
        return h5py.File(source, "r", **options)
    except (OSError, FileError) as error:
        # h5py's frames hold an HDF5 property list that refers to a remote file. If the traceback kept it
        # alive until the process ends, HDF5 would call into the finalised Python, and crash.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, FileError):
            raise
        raise unreadable(path, error) from error


MEMORY_ADVICE = "Try again on a larger machine, or with a larger --max-memory."


def unreadable(path: str | Path, error: Exception) -> NotReadableError:
    """Return an error that explains why a file could not be read.

    Parameters
    ----------
    path : the file or folder.
    error : error of the system or the HDF5 library.

    Returns
    -------
    NotReadableError
        To be raised ``from error``.
    """
    advice = _OPEN_ADVICE.get(getattr(error, "errno", None) or 0)
    if advice:
        return NotReadableError(path, *advice)
    text = str(error)
    if lacks_memory(error):
        return NotReadableError(
            path, f"there is not enough memory to read it ({text or 'MemoryError'}).", MEMORY_ADVICE
        )
    if "truncated file" in text:
        return NotReadableError(path, f"the file is cut short ({text}).", "Download it again.")
    if "file signature not found" in text:
        return NotReadableError(path, "this is not an HDF5 file.", "Name an NWB file (*.nwb).")
    if "unable to lock file" in text:
        return NotReadableError(
            path,
            f"the file is locked ({text}).",
            "Wait until the program that writes it has ended; "
            "on a file system without locks set HDF5_USE_FILE_LOCKING=FALSE.",
        )
    return NotReadableError(path, f"the file cannot be read ({text}).", "Check it, or download it again.")


def require_nwb(path: Path | str, file: Any) -> None:
    """Raise an error unless the file's root is that of an NWB 2 file."""
    if _text(file.attrs.get("neurodata_type")) != "NWBFile" or "nwb_version" not in file.attrs:
        raise NotNwbError(
            path,
            "this HDF5 file is not an NWB file: its root lacks neurodata_type 'NWBFile' or an nwb_version.",
            "Name a Visual Behavior Neuropixels NWB file.",
        )


def _require_vbn(path: Path | str, file: Any) -> None:
    """Raise an error for NWB files of other data sets."""
    foreign = _foreign_reason(file)
    if foreign:
        raise WrongKindError(
            path,
            f"this NWB file is not of the Visual Behavior Neuropixels data set: {foreign}.",
            "Name an ecephys_session_<id>.nwb of the release, or say by a mapping what this file holds "
            "(--mapping, see docs/rig.md).",
        )


def _foreign_reason(file: Any) -> str:
    """Return why a file belongs to another data set; empty for a VBN file."""
    metadata = file.get("general/metadata")
    if metadata is None or "behavior_session_id" not in metadata.attrs:
        return "/general/metadata has no behavior_session_id"
    if any(group in file for group in OPHYS_GROUPS):
        return "it holds optical physiology"
    electrodes = file.get("general/extracellular_ephys/electrodes")
    if electrodes is not None and not any(
        name in electrodes for name in ("probe_id", "probe_channel_number")
    ):
        return "/general/extracellular_ephys/electrodes has neither probe_id nor probe_channel_number"
    if not any(part in file for part in ("units", "intervals/trials", "general/extracellular_ephys")):
        return "it holds neither units nor electrodes nor trials"
    return ""


def _kind(file: Any) -> FileKind:
    """Return the kind of a VBN file."""
    if _scalar_text(file, "session_description") == LFP_DESCRIPTION:
        return FileKind.LFP
    if "units" in file or "general/extracellular_ephys/electrodes" in file:
        return FileKind.RECORDING
    behavior_session_id = _text(file["general/metadata"].attrs["behavior_session_id"])
    has_behavior_id = _scalar_text(file, "identifier") == behavior_session_id
    return FileKind.BEHAVIOR_ONLY if has_behavior_id else FileKind.RECORDING


def _identifier(path: Path | str, file: Any) -> int:
    """Read the root's identifier, which in VBN files is a whole number."""
    text = _scalar_text(file, "identifier").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise WrongKindError(
            path,
            f"the identifier {quoted(text)} of this NWB file is not a whole number, as in VBN files.",
            "Name an ecephys_session_<id>.nwb of the release, or register it by a mapping (--mapping).",
        )
    return int(text)


def _scalar_text(file: Any, name: str) -> str:
    """Read a text data set; empty if it is absent or not a single text."""
    found = file.get(name)
    return _text(found) if isinstance(found, h5py.Dataset) else ""


def _text(stored: Any) -> str:
    """Return a stored text; empty if it is absent or not text."""
    try:
        return "" if stored is None else scalars.text(stored)
    except ValueError:
        return ""


def _files_of(path: Path) -> list[Path]:
    """Return the file itself, or the NWB files of a folder."""
    try:
        is_folder = path.is_dir()
        if not is_folder and not path.exists():
            raise NotReadableError(path, "the path does not exist.", "Check its spelling.")
    except PermissionError as error:
        raise unreadable(path, error) from error
    if not is_folder:
        return [path]
    files = sorted(_walk(path))
    if not files:
        raise NotFoundError(f"{path}: no NWB file (*.nwb) in this folder or below it. Name another folder.")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder's NWB files, visiting each real folder once, so that circular links end."""

    def refuse(error: OSError) -> None:
        raise unreadable(error.filename or folder, error) from error

    seen: set[str] = set()
    for here, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            yield from (Path(here, name) for name in names if _is_nwb_name(name))
        seen.add(real)


def _is_nwb_name(name: str) -> bool:
    """Return whether a file of this name is taken for an NWB file."""
    return name.lower().endswith(".nwb") and not name.startswith(".")
