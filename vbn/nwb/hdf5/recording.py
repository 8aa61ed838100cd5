"""One open file (a recording, a behaviour-only or an LFP file), and what every reader of it does alike.

A reader gets a `RecordingFile`, reads only the columns it returns, and lets errors out in three ways:
a missing or contradictory part is an `InvalidContentError` that names the HDF5 path; data that the
system cannot deliver are a `NotReadableError`; everything else keeps its type and gains a note.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import h5py
import numpy as np

from vbn.errors import FileError, InvalidContentError, NotReadableError, shortened
from vbn.nwb.hdf5.filters import explain_missing
from vbn.nwb.hdf5.identify import (
    FileIdentity,
    FileKind,
    identity_of,
    open_hdf5,
    require_lfp,
    require_recording,
    require_session,
    unreadable,
)
from vbn.nwb.hdf5.scalars import length_of, texts
from vbn.nwb.hdf5.walk import unnameable, walk, walk_links
from vbn.nwb.issue import first_of

if TYPE_CHECKING:
    import pynwb
    from hdmf.build import TypeMap

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_REASON = 300
"""How much of pynwb's words a message shows, in characters."""

SPECIFICATIONS_ATTRIBUTE = ".specloc"
"""Of the root: refers to the group that holds the file's specifications."""

MOST_KNOWN_TYPES = 4
"""How many descriptions of types are kept: some 10 MB each."""

INCOMPLETE_ADVICE = "Compare the file with the release's, or download it again."

KIND_WORDS = {
    FileKind.RECORDING: "a VBN recording",
    FileKind.BEHAVIOR_ONLY: "a VBN behaviour-only session",
    FileKind.LFP: "a VBN LFP file",
}

HARMLESS_WARNINGS = (
    # The file brings the schema it was written with; the installed, newer one reads it as well.
    r"Ignoring (the following )?cached namespace",
    # Written by AllenSDK for each device; newer NWB schemas keep the maker elsewhere.
    r"The 'manufacturer' field is deprecated",
    # Said with a path into pynwb; the readers say it in words, with the file.
    r".*Length of data does not match length of timestamps",
    r".*second dimension of data does not match the length of electrodes",
    r"DynamicTableRegion values",
    r"Path to Group altered/broken at",
    # The readers take it for UTC, as all times of the release are.
    r"Date is missing timezone information",
)

NWB_ROOT = ("identifier", "session_description", "session_start_time", "timestamps_reference_time")
"""What pynwb cannot do without."""

EYE_PARTS = ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking", "likely_blink")


LISTS = ("colnames", "driver_line", "file_create_date")
"""Attributes and data sets that are arrays, also with one element."""

RAGGED = frozenset({"spike_times", "spike_amplitudes", "waveform_mean"})
"""Columns that are of no use without their index."""


@dataclass(frozen=True)
class RecordingFile:
    """A file that is open for reading: a recording, or one of another kind that `identity` names.

    Parameters
    ----------
    path : the file.
    nwbfile : the file as pynwb sees it; None if it was opened without pynwb.
    file : the same file as h5py sees it; columns are read here, because a data frame of pynwb is slow.
    identity : what the file is.
    unchecked : why pynwb cannot read the file although it is sound; empty where it can, or was not asked.
    """

    path: Path | str
    nwbfile: pynwb.NWBFile | None
    file: h5py.File
    identity: FileIdentity
    unchecked: str = ""

    def has(self, hdf5_path: str) -> bool:
        """Tell whether a group or data set is there."""
        return self.file.get(hdf5_path) is not None

    def group(self, hdf5_path: str) -> Any:
        """Give a group, or raise `InvalidContentError`."""
        found = self.file.get(hdf5_path)
        if not isinstance(found, h5py.Group):
            raise self.missing(hdf5_path)
        return found

    def dataset(self, hdf5_path: str) -> Any:
        """Give a data set without reading it, or raise `InvalidContentError`."""
        found = self.file.get(hdf5_path)
        if not isinstance(found, h5py.Dataset):
            raise self.missing(hdf5_path)
        return found

    def length(self, hdf5_path: str) -> int:
        """Count the values of a column without reading it, or raise `InvalidContentError`."""
        column = self.dataset(hdf5_path)
        n_values = length_of(column)
        if n_values is None:
            raise self.invalid(f"{_absolute(hdf5_path)} has shape {column.shape}, and (n,) is expected.")
        return n_values

    def scalar(self, hdf5_path: str, convert: Callable[[Any], R]) -> R:
        """Read a data set of one value by a function of `scalars`, or raise `InvalidContentError`."""
        dataset = self.dataset(hdf5_path)
        return self._converted(hdf5_path, lambda: convert(dataset))

    def attribute(self, holder: str, name: str, convert: Callable[[Any], R]) -> R:
        """Read an attribute by a function of `scalars`, or raise `InvalidContentError`."""
        held = self.file.get(holder)
        if held is None or name not in held.attrs:
            raise self.missing(holder if held is None else f"{holder}@{name}")
        return self._converted(f"{holder}@{name}", lambda: convert(held.attrs[name]))

    def _converted(self, place: str, read: Callable[[], R]) -> R:
        try:
            return read()
        except (ValueError, TypeError) as error:  # the latter h5py raises for types that NumPy has not
            raise self.invalid(f"{_absolute(place)}: {shortened(error, LONGEST_REASON)}.") from error

    def missing(self, hdf5_path: str) -> InvalidContentError:
        """Make the error for a required part that is not there."""
        holder = KIND_WORDS[self.identity.kind]
        return self.invalid(f"{_absolute(hdf5_path)} is missing, which {holder} must hold.")

    def invalid(self, problem: str) -> InvalidContentError:
        """Make the error for content that contradicts itself or misses a part."""
        return InvalidContentError(self.path, problem, INCOMPLETE_ADVICE)


@contextmanager
def open_recording(path: str | Path) -> Iterator[RecordingFile]:
    """Open a recording; nothing but its structure is read.

    Parameters
    ----------
    path : the file.

    Yields
    ------
    RecordingFile
        Closed when the block ends.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As of `identify` and `require_recording`.
    InvalidContentError
        pynwb cannot make sense of the file.
    """
    with _open(path, require_recording) as recording:
        yield recording


@contextmanager
def open_session(path: str | Path, *, with_pynwb: bool = True) -> Iterator[RecordingFile]:
    """Open a recording or a behaviour-only file; nothing but its structure is read.

    Parameters
    ----------
    path : the file.
    with_pynwb : whether pynwb reads its structure, and refuses what it cannot make sense of. That takes a
        second or two, and is to no purpose for a file that it has read before.

    Yields
    ------
    RecordingFile
        Closed when the block ends; ``identity.kind`` tells which of the two it is.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As of `identify` and `require_session`.
    InvalidContentError
        pynwb cannot make sense of the file.
    """
    with _open(path, require_session, with_pynwb) as session:
        yield session


@contextmanager
def open_lfp(path: str | Path, *, with_pynwb: bool = True) -> Iterator[RecordingFile]:
    """Open the LFP file of one probe; nothing but its structure is read.

    Parameters
    ----------
    path : the file.
    with_pynwb : whether pynwb reads its structure, and refuses what it cannot make sense of. That takes a
        second or two, and is to no purpose for a file that it has read before.

    Yields
    ------
    RecordingFile
        Closed when the block ends.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As of `identify` and `require_lfp`.
    InvalidContentError
        pynwb cannot make sense of the file.
    """
    with _open(path, require_lfp, with_pynwb) as lfp:
        yield lfp


@contextmanager
def _open(
    path: str | Path, require: Callable[[FileIdentity], None], with_pynwb: bool = True
) -> Iterator[RecordingFile]:
    """Open a file whose kind is wanted."""
    with open_hdf5(path) as file:
        identity = identity_of(path, file)
        require(identity)
        if not with_pynwb:
            yield RecordingFile(identity.path, None, file, identity)
            return
        _require_filters(identity.path, file)
        with contextlib.ExitStack() as stack:
            nwbfile, unchecked = _structure(identity.path, file, stack)
            yield RecordingFile(identity.path, nwbfile, file, identity, unchecked)


def _require_filters(path: Path | str, file: h5py.File) -> None:
    """Refuse a file with data that this machine cannot decompress."""
    try:
        lacking = explain_missing(path, file)
    except (OSError, RuntimeError) as damaged:  # what h5py raises for a damaged object
        raise unreadable(path, damaged) from damaged
    if lacking:
        raise lacking


def _structure(
    path: Path | str, file: h5py.File, stack: contextlib.ExitStack
) -> tuple[pynwb.NWBFile | None, str]:
    """Let pynwb read the structure; a sound file that it cannot read is read without it, and why is said."""
    try:
        return _read_structure(path, file, stack.enter_context(_open_nwb(path, file))), ""
    except InvalidContentError:
        try:
            reason = "" if _lost(path, file) else beyond_pynwb(file)
        except (OSError, RuntimeError) as damaged:  # what h5py raises for a damaged object
            raise unreadable(path, damaged) from damaged
        if not reason:
            raise
        return None, reason


@contextmanager
def reading(recording: RecordingFile, concept: str) -> Iterator[None]:
    """Map failures inside a reader.

    Parameters
    ----------
    recording : the file that is read.
    concept : what is being read, for the note.

    Raises
    ------
    NotReadableError
        For an error of the system or the HDF5 library.
    Exception
        Everything else, unchanged but for a note that names file and concept.
    """
    try:
        yield
    except FileError:
        raise
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error) is not RuntimeError:
            raise  # a kind of its own is no damaged object of HDF5
        refused = _without_filter(recording) or unreadable(recording.path, error)
        refused.add_note(f"while reading the {concept} of {recording.path}")
        raise refused from error
    except UnicodeError as error:
        problem = f"a name or text among the {concept} is not UTF-8 ({shortened(error, LONGEST_REASON)})."
        raise InvalidContentError(recording.path, problem, INCOMPLETE_ADVICE) from error
    except Exception as error:
        error.add_note(f"while reading the {concept} of {recording.path}")
        raise


def _without_filter(recording: RecordingFile) -> NotReadableError | None:
    """Say that a filter is missing, if that is why a file could not be read."""
    try:
        return explain_missing(recording.path, recording.file)
    except (OSError, RuntimeError):  # the file is damaged, and that is the cause
        return None


def reads(
    concept: str,
) -> Callable[[Callable[Concatenate[RecordingFile, P], R]], Callable[Concatenate[RecordingFile, P], R]]:
    """Decorate the reader of one concept with `reading`."""

    def decorate(
        function: Callable[Concatenate[RecordingFile, P], R],
    ) -> Callable[Concatenate[RecordingFile, P], R]:
        @functools.wraps(function)
        def reader(recording: RecordingFile, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with reading(recording, concept):
                return function(recording, *args, **kwargs)

        return reader

    return decorate


@contextmanager
def _harmless_warnings_silenced() -> Iterator[None]:
    """Silence what pynwb always says about these files, and nothing else."""
    with warnings.catch_warnings():
        for message in HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


_known_types: dict[bytes | None, TypeMap] = {}


@contextmanager
def _open_nwb(path: Path | str, file: h5py.File) -> Iterator[pynwb.NWBHDF5IO]:
    """Give pynwb an open HDF5 file, with the extensions that the file itself describes."""
    import pynwb  # takes half a second, which commands that open no file need not wait for
    from hdmf.build import BuildManager

    try:
        with _harmless_warnings_silenced():
            nwb_io = pynwb.NWBHDF5IO(file=file, mode="r", manager=BuildManager(_types_of(file)))
    except Exception as error:
        raise _refused_by_pynwb(path, file, error) from error
    try:
        yield nwb_io
    finally:
        nwb_io.close()


def _types_of(file: h5py.File) -> TypeMap:
    """Return the types that a file describes; those of the last few different descriptions are kept.

    To make them takes two seconds, and the files of a release describe the same.
    """
    import pynwb

    described = _digest_of_specifications(file)
    types = _known_types.pop(described, None)
    if types is None:
        types = pynwb.get_type_map()
        pynwb.NWBHDF5IO.load_namespaces(types, file=file)
    if described is not None:
        _known_types[described] = types  # as the last used
        while len(_known_types) > MOST_KNOWN_TYPES:
            _known_types.pop(next(iter(_known_types)))
    return types


def _digest_of_specifications(file: h5py.File) -> bytes | None:
    """Hash the specifications that a file holds; None where they are not plain, each text under one name.

    By links, or under further names, a file could have others than another one of the same digest.
    """
    hashed, seen = hashlib.blake2b(), set()
    if SPECIFICATIONS_ATTRIBUTE in file.attrs:
        specifications = file[file.attrs[SPECIFICATIONS_ATTRIBUTE]]
        if unnameable(specifications):
            return None
        for path, link, group in walk_links(specifications):
            item = group[path.rpartition("/")[2]] if isinstance(link, h5py.HardLink) else None
            text = item[()] if isinstance(item, h5py.Dataset) else b""
            if item is None or item.id in seen or not isinstance(text, bytes):
                return None
            seen.add(item.id)
            for part in (path.encode(), text):
                hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()


def _read_structure(path: Path | str, file: h5py.File, nwb_io: pynwb.NWBHDF5IO) -> pynwb.NWBFile:
    """Let pynwb build its objects; columns stay in the file."""
    try:
        with _harmless_warnings_silenced():
            return nwb_io.read()
    except Exception as error:
        raise _refused_by_pynwb(path, file, error) from error


def _refused_by_pynwb(path: Path | str, file: h5py.File, error: Exception) -> FileError:
    """Make the error for a file that pynwb, which raises many types, cannot take.

    pynwb shows the whole table but not what is wrong with it, so lost columns are looked for here.
    """
    if isinstance(error, FileError):
        return error
    if isinstance(error, OSError):
        return unreadable(path, error)
    try:
        lost = _lost(path, file)
    except NotReadableError as damaged:
        return damaged
    if lost:
        return InvalidContentError(path, f"{', '.join(lost)} missing from the file.", INCOMPLETE_ADVICE)
    reason = shortened(f"{type(error).__name__}: {_words_of(error)}", LONGEST_REASON)
    return InvalidContentError(path, f"pynwb cannot read the file ({reason}).", INCOMPLETE_ADVICE)


def _lost(path: Path | str, file: h5py.File) -> list[str]:
    """List what pynwb needs, or a table announces, and the file does not hold."""
    try:
        return lost_columns(file) + lost_parts(file)
    except RuntimeError as damaged:  # what h5py raises for a damaged object
        raise unreadable(path, damaged) from damaged


def beyond_pynwb(file: h5py.File) -> str:
    """Say what hinders pynwb in a file that may be sound all the same; empty for nothing.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    str
        That specifications are not cached, that scalars are stored as arrays of one element, that there are
        data sets without a data space, as MATLAB has both, or names and texts that are not UTF-8. The
        readers of this package need no specifications, take such an array for its element, such a data set
        for no rows, and write bytes out that are not UTF-8.
    """
    cached = set(file["specifications"]) if isinstance(file.get("specifications"), h5py.Group) else set()
    needed: set[str] = set()
    arrays: list[str] = []
    spaceless: list[str] = []
    not_utf8: list[str] = []

    for name, item in [("", file), *walk(file)]:
        if name.partition("/")[0] == "specifications":
            continue
        needed.update(_texts_of(item, "namespace"))
        arrays.extend(
            f"/{name}@{each}"
            for each in item.attrs
            if each not in LISTS and _is_array_of_one(item.attrs.get_id(each).shape)
        )
        not_utf8.extend(f"/{name}@{each}" for each in item.attrs if not _is_utf8(item.attrs.get, each))
        if not isinstance(item, h5py.Dataset):
            continue
        if item.shape is None:
            spaceless.append(f"/{name}")
        is_text = isinstance(item.id.get_type(), h5py.h5t.TypeStringID)
        if is_text and not _is_utf8(item.__getitem__, ()):
            not_utf8.append(f"/{name}")
        if is_text and name not in LISTS and _is_array_of_one(item.shape):
            arrays.append(f"/{name}")
    if lacking := sorted(needed - cached):
        return f"it holds no cached specifications of {shortened(', '.join(lacking), LONGEST_REASON)}"
    if not_utf8:
        return f"it holds texts that are not UTF-8: {first_of(not_utf8)}"
    if names := unnameable(file):
        return f"it holds names that are not UTF-8: {first_of(names)}"
    if spaceless:
        return f"it holds data sets without a data space: {first_of(spaceless)}"
    return f"it holds arrays in the place of scalars: {first_of(arrays)}" if arrays else ""


def _is_array_of_one(shape: tuple[int, ...] | None) -> bool:
    return bool(shape) and math.prod(shape or ()) == 1


def _is_utf8(read: Callable[[Any], Any], what: Any) -> bool:
    """Tell whether texts can be decoded; not of what is no text, or cannot be read."""
    try:
        for value in np.ravel(np.asarray(read(what), dtype=object)):
            _ = value.decode() if isinstance(value, bytes) else str(value).encode()
    except UnicodeError:
        return False
    except (OSError, RuntimeError, TypeError, ValueError):
        return True
    return True


def _texts_of(item: Any, name: str) -> list[str]:
    """Give the texts of an attribute; none where it is absent or no text."""
    try:
        return texts(item.attrs[name]) if name in item.attrs else []
    except (ValueError, TypeError):  # the latter h5py raises for types that NumPy has not
        return []


def _words_of(error: Exception) -> str:
    """Take the reason out of an error of hdmf, which shows the whole object before it."""
    *objects, reason = error.args or ("",)
    place = str(getattr(objects[0], "path", "")) if objects else ""
    words = str(reason if objects else error).strip()
    return " ".join(part for part in (place, words.splitlines()[0] if words else "") if part)


def lost_parts(file: h5py.File) -> list[str]:
    """List what pynwb needs of a file and does not find.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    list of str
        HDF5 paths: of the root's data sets, of parts of the eye tracking, and links that lead nowhere.
    """
    lost = [f"/{name}" for name in NWB_ROOT if name not in file]
    eye = "acquisition/EyeTracking"
    if eye in file:
        lost += [f"/{eye}/{name}" for name in EYE_PARTS if name not in file[eye]]
    lost += [
        f"/{name} -> {link.path}"
        for name, link, _ in walk_links(file)
        if isinstance(link, h5py.SoftLink) and name not in file
    ]
    return lost


def lost_columns(file: h5py.File) -> list[str]:
    """List the columns that a table announces but does not hold.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    list of str
        HDF5 paths, sorted; of tables anywhere but under ``/specifications``, and of the index that
        makes the spikes' column ragged.
    """
    lost: list[str] = []

    for name, item in walk(file):
        announced = _texts_of(item, "colnames") if isinstance(item, h5py.Group) else []
        if announced:
            columns = {"id", *announced}
            lost.extend(f"/{name}/{column}" for column in columns if column not in item)
            lost.extend(
                f"/{name}/{column}_index" for column in columns & RAGGED if f"{column}_index" not in item
            )
    return sorted(lost)


def _absolute(hdf5_path: str) -> str:
    """Write an HDF5 path from the root."""
    return "/" + hdf5_path.strip("/")
