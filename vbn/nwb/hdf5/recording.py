"""An open file (a recording, a behavior-only or an LFP file), and what all readers have in common.

A reader gets a `RecordingFile`, reads only the columns it returns, and reports errors in three ways: a
missing or contradictory part is an `InvalidContentError` that names the HDF5 path; data that the system
cannot read are a `NotReadableError`; any other exception keeps its type and gains a note.
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

from vbn.errors import FileError, InvalidContentError, NotReadableError, lacks_memory, shortened
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
from vbn.nwb.hdf5.view import Reading, View
from vbn.nwb.hdf5.walk import unnameable, walk, walk_links
from vbn.nwb.issue import first_of

if TYPE_CHECKING:
    import pynwb
    from hdmf.build import TypeMap

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_REASON = 300
"""Longest quote of a pynwb message, in characters."""

SPECIFICATIONS_ATTRIBUTE = ".specloc"
"""Attribute of the root that refers to the group with the file's specifications."""

MOST_KNOWN_TYPES = 4
"""Number of type maps kept in memory: some 10 MB each."""

INCOMPLETE_ADVICE = "See vbn inspect for what the file lacks; if it is of the release, download it again."

MAPPED_ADVICE = (
    "Compare the file with its mapping (docs/rig.md); vbn inspect --mapping says what becomes of it."
)

KIND_WORDS = {
    FileKind.RECORDING: "a VBN recording",
    FileKind.BEHAVIOR_ONLY: "a VBN behaviour-only session",
    FileKind.LFP: "a VBN LFP file",
}

HARMLESS_WARNINGS = (
    # The file includes the schema it was written with; the installed, newer one reads it as well.
    r"Ignoring (the following )?cached namespace",
    # Written by AllenSDK for each device; newer NWB schemas store it elsewhere.
    r"The 'manufacturer' field is deprecated",
    # pynwb's message lacks the file; the readers report these themselves.
    r".*Length of data does not match length of timestamps",
    r".*second dimension of data does not match the length of electrodes",
    r"DynamicTableRegion values",
    r"Path to Group altered/broken at",
    # The readers treat it as UTC, as all times of the release are.
    r"Date is missing timezone information",
)

NWB_ROOT = ("identifier", "session_description", "session_start_time", "timestamps_reference_time")
"""Data sets of the root that pynwb requires."""

EYE_PARTS = ("eye_tracking", "pupil_tracking", "corneal_reflection_tracking", "likely_blink")


LISTS = ("colnames", "driver_line", "file_create_date")
"""Attributes and data sets that are arrays even with one element."""

RAGGED = frozenset({"spike_times", "spike_amplitudes", "waveform_mean"})
"""Columns that are useless without their index."""


@dataclass(frozen=True)
class RecordingFile:
    """A file open for reading: a recording, or another kind given by `identity`.

    Parameters
    ----------
    path : path or URL of the file.
    nwbfile : pynwb's view of the file; None if it was opened without pynwb.
    file : h5py's view of the same file, from which columns are read, because pynwb's data frames are slow.
    identity : kind and identifier of the file.
    unchecked : why pynwb cannot read the file although it is valid; empty if it can, or was not used.
    view : the file under the release's names, if it is read by a mapping; None for files that have them.
    is_mapped : whether it is read by a mapping, also before there is a view.
    """

    path: Path | str
    nwbfile: pynwb.NWBFile | None
    file: h5py.File
    identity: FileIdentity
    unchecked: str = ""
    view: View | None = None
    is_mapped: bool = False

    @property
    def root(self) -> h5py.File:
        """The groups under the names that readers use."""
        return self.file if self.view is None else self.view.skeleton

    def _get(self, hdf5_path: str) -> Any:
        return self.file.get(hdf5_path) if self.view is None else self.view.get(hdf5_path)

    def has(self, hdf5_path: str) -> bool:
        """Return whether a group or data set exists."""
        return self._get(hdf5_path) is not None

    def group(self, hdf5_path: str) -> Any:
        """Return a group, or raise `InvalidContentError`."""
        found = self._get(hdf5_path)
        if not isinstance(found, h5py.Group):
            raise self.missing(hdf5_path)
        return found

    def dataset(self, hdf5_path: str) -> Any:
        """Return a data set without reading it, or raise `InvalidContentError`."""
        found = self._get(hdf5_path)
        if not isinstance(found, h5py.Dataset):
            raise self.missing(hdf5_path)
        return found

    def length(self, hdf5_path: str) -> int:
        """Return the length of a column without reading it, or raise `InvalidContentError`."""
        column = self.dataset(hdf5_path)
        n_values = length_of(column)
        if n_values is None:
            raise self.invalid(f"{_absolute(hdf5_path)} has shape {column.shape}, and (n,) is expected.")
        return n_values

    def scalar(self, hdf5_path: str, convert: Callable[[Any], R]) -> R:
        """Read a scalar data set with a function of `scalars`, or raise `InvalidContentError`."""
        dataset = self.dataset(hdf5_path)
        return self._converted(hdf5_path, lambda: convert(dataset))

    def attribute(self, holder: str, name: str, convert: Callable[[Any], R]) -> R:
        """Read an attribute with a function of `scalars`, or raise `InvalidContentError`."""
        held = self._get(holder)
        if held is None or name not in held.attrs:
            raise self.missing(holder if held is None else f"{holder}@{name}")
        return self._converted(f"{holder}@{name}", lambda: convert(held.attrs[name]))

    def _converted(self, hdf5_path: str, read: Callable[[], R]) -> R:
        try:
            return read()
        except (ValueError, TypeError) as error:  # h5py raises the latter for types that NumPy lacks
            raise self.invalid(f"{_absolute(hdf5_path)}: {shortened(error, LONGEST_REASON)}.") from error

    def missing(self, hdf5_path: str) -> InvalidContentError:
        """Return the error for a missing required part."""
        holder = KIND_WORDS[self.identity.kind]
        return self.invalid(f"{_absolute(hdf5_path)} is missing, which {holder} must hold.")

    def invalid(self, problem: str) -> InvalidContentError:
        """Return the error for content that is contradictory or incomplete."""
        if self.view is None:
            advice = MAPPED_ADVICE if self.is_mapped else INCOMPLETE_ADVICE
            return InvalidContentError(self.path, problem, advice)
        return InvalidContentError(self.path, self.view.explained(problem), MAPPED_ADVICE)


@contextmanager
def open_recording(path: str | Path) -> Iterator[RecordingFile]:
    """Open a recording; only its structure is read.

    Parameters
    ----------
    path : path or URL of the file.

    Yields
    ------
    RecordingFile
        Closed when the block ends.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As for `identify` and `require_recording`.
    InvalidContentError
        If pynwb cannot read the file.
    """
    with _open(path, require_recording) as recording:
        yield recording


@contextmanager
def open_session(
    path: str | Path, *, with_pynwb: bool = True, mapping: Reading | None = None
) -> Iterator[RecordingFile]:
    """Open a recording or a behavior-only file; only its structure is read.

    Parameters
    ----------
    path : path or URL of the file.
    with_pynwb : whether pynwb reads and checks the structure. This takes a second or two, and is unnecessary
        for a file that it has read before.
    mapping : how to read a file of another rig; by default it has the release's names.

    Yields
    ------
    RecordingFile
        Closed when the block ends; ``identity.kind`` says which of the two it is.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As for `identify` and `require_session`.
    InvalidContentError
        If pynwb cannot read the file.
    """
    with _open(path, require_session, with_pynwb, mapping) as session:
        yield session


@contextmanager
def open_lfp(path: str | Path, *, with_pynwb: bool = True) -> Iterator[RecordingFile]:
    """Open the LFP file of one probe; only its structure is read.

    Parameters
    ----------
    path : path or URL of the file.
    with_pynwb : whether pynwb reads and checks the structure. This takes a second or two, and is unnecessary
        for a file that it has read before.

    Yields
    ------
    RecordingFile
        Closed when the block ends.

    Raises
    ------
    NotReadableError, NotNwbError, WrongKindError
        As for `identify` and `require_lfp`.
    InvalidContentError
        If pynwb cannot read the file.
    """
    with _open(path, require_lfp, with_pynwb) as lfp:
        yield lfp


@contextmanager
def _open(
    path: str | Path,
    require: Callable[[FileIdentity], None],
    with_pynwb: bool = True,
    mapping: Reading | None = None,
) -> Iterator[RecordingFile]:
    """Open a file of the required kind."""
    with open_hdf5(path) as file, contextlib.ExitStack() as stack:
        identity = identity_of(path, file) if mapping is None else mapping.identity_of(path, file)
        require(identity)
        nwbfile, unchecked = None, ""
        if with_pynwb:
            _require_filters(identity.path, file)
            nwbfile, unchecked = _structure(identity.path, file, stack)
        view = None
        if mapping is not None:
            with reading(RecordingFile(identity.path, None, file, identity), "parts that the mapping names"):
                view = stack.enter_context(contextlib.closing(mapping.view_of(identity.path, file, identity)))
        yield RecordingFile(identity.path, nwbfile, file, identity, unchecked, view)


def _require_filters(path: Path | str, file: h5py.File) -> None:
    """Raise an error if the file needs filters that this machine lacks."""
    try:
        problem = explain_missing(path, file)
    except (OSError, RuntimeError) as damaged:  # what h5py raises for a damaged object
        raise unreadable(path, damaged) from damaged
    if problem:
        raise problem


def _structure(
    path: Path | str, file: h5py.File, stack: contextlib.ExitStack
) -> tuple[pynwb.NWBFile | None, str]:
    """Let pynwb read the structure; for a valid file that it cannot read, return None and the reason."""
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
    """Translate the exceptions of a reader.

    Parameters
    ----------
    recording : the file being read.
    concept : what is being read, for the note.

    Raises
    ------
    NotReadableError
        For errors of the system or the HDF5 library.
    Exception
        Any other exception, with a note that names file and concept.
    """
    try:
        yield
    except FileError:
        raise
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error) is not RuntimeError:
            raise  # a subclass does not come from a damaged HDF5 object
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
    """Return an error about a missing filter, if that is why the file could not be read."""
    try:
        return explain_missing(recording.path, recording.file)
    except (OSError, RuntimeError):  # the file is damaged, and that is the cause
        return None


def reads(
    concept: str,
) -> Callable[[Callable[Concatenate[RecordingFile, P], R]], Callable[Concatenate[RecordingFile, P], R]]:
    """Decorate a reader with `reading`."""

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
    """Silence the warnings that pynwb always issues for these files, and no others."""
    with warnings.catch_warnings():
        for message in HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


_known_types: dict[bytes | None, TypeMap] = {}


@contextmanager
def _open_nwb(path: Path | str, file: h5py.File) -> Iterator[pynwb.NWBHDF5IO]:
    """Open an HDF5 file with pynwb, using the extensions cached in the file."""
    import pynwb  # takes half a second, which only commands that open files should pay
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
    """Return the types specified in a file, from a cache of the last few specifications.

    Loading them takes two seconds, and the files of a release share one specification.
    """
    import pynwb

    digest = _digest_of_specifications(file)
    types = _known_types.pop(digest, None)
    if types is None:
        types = pynwb.get_type_map()
        pynwb.NWBHDF5IO.load_namespaces(types, file=file)
    if digest is not None:
        _known_types[digest] = types  # as the most recently used
        while len(_known_types) > MOST_KNOWN_TYPES:
            _known_types.pop(next(iter(_known_types)))
    return types


def _digest_of_specifications(file: h5py.File) -> bytes | None:
    """Hash the specifications of a file; None unless they are plain texts, each with a single name.

    With links or further names, files of the same digest could have different specifications.
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
    """Let pynwb build its objects, without reading columns."""
    try:
        with _harmless_warnings_silenced():
            return nwb_io.read()
    except Exception as error:
        raise _refused_by_pynwb(path, file, error) from error


def _refused_by_pynwb(path: Path | str, file: h5py.File, error: Exception) -> FileError:
    """Return the error for a file that pynwb, which raises many types of exceptions, cannot read.

    pynwb prints the whole table but not what is wrong with it, so missing columns are looked for here.
    """
    if isinstance(error, FileError):
        return error
    if isinstance(error, OSError) or lacks_memory(error):
        return unreadable(path, error)
    try:
        lost = _lost(path, file)
    except NotReadableError as damaged:
        return damaged
    if lost:
        return InvalidContentError(path, f"{', '.join(lost)} missing from the file.", INCOMPLETE_ADVICE)
    reason = shortened(f"{type(error).__name__}: {_reason_of(error)}", LONGEST_REASON)
    return InvalidContentError(path, f"pynwb cannot read the file ({reason}).", INCOMPLETE_ADVICE)


def _lost(path: Path | str, file: h5py.File) -> list[str]:
    """List the parts that pynwb requires, or that a table lists as its columns, but the file lacks."""
    try:
        return lost_columns(file) + lost_parts(file)
    except RuntimeError as damaged:  # what h5py raises for a damaged object
        raise unreadable(path, damaged) from damaged


def beyond_pynwb(file: h5py.File) -> str:
    """Return why pynwb cannot read a file that may be valid nevertheless; empty if there is no such reason.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    str
        Specifications are not cached, scalars are stored as arrays of one element or data sets have no data
        space (MATLAB writes both), or names or texts are not UTF-8. The readers of this package need no
        specifications, accept such arrays as scalars and such data sets as empty, and escape bytes that are
        not UTF-8.
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
    if missing := sorted(needed - cached):
        return f"it holds no cached specifications of {shortened(', '.join(missing), LONGEST_REASON)}"
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
    """Return whether texts can be decoded; True for anything that is not text or cannot be read."""
    try:
        for value in np.ravel(np.asarray(read(what), dtype=object)):
            _ = value.decode() if isinstance(value, bytes) else str(value).encode()
    except UnicodeError:
        return False
    except (OSError, RuntimeError, TypeError, ValueError):
        return True
    return True


def _texts_of(item: Any, name: str) -> list[str]:
    """Return the texts of an attribute; none if it is absent or not text."""
    try:
        return texts(item.attrs[name]) if name in item.attrs else []
    except (ValueError, TypeError):  # h5py raises the latter for types that NumPy lacks
        return []


def _reason_of(error: Exception) -> str:
    """Extract the reason from an hdmf error, which puts the whole object before it."""
    *objects, reason = error.args or ("",)
    path = str(getattr(objects[0], "path", "")) if objects else ""
    text = str(reason if objects else error).strip()
    return " ".join(part for part in (path, text.splitlines()[0] if text else "") if part)


def lost_parts(file: h5py.File) -> list[str]:
    """List the parts that pynwb requires but the file lacks.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    list of str
        HDF5 paths of data sets of the root, of parts of the eye tracking, and of dangling links.
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
    """List the columns that a table lists in ``colnames`` but lacks.

    Parameters
    ----------
    file : an open NWB file.

    Returns
    -------
    list of str
        HDF5 paths, sorted, including missing indices of ragged columns.
    """
    lost: list[str] = []

    for name, item in walk(file):
        listed = _texts_of(item, "colnames") if isinstance(item, h5py.Group) else []
        if listed:
            columns = {"id", *listed}
            lost.extend(f"/{name}/{column}" for column in columns if column not in item)
            lost.extend(
                f"/{name}/{column}_index" for column in columns & RAGGED if f"{column}_index" not in item
            )
    return sorted(lost)


def _absolute(hdf5_path: str) -> str:
    """Return an absolute HDF5 path."""
    return "/" + hdf5_path.strip("/")
