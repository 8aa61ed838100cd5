"""Safety checks of untrusted HDF5 files.

An HDF5 file can refer to other files, whose bytes are then read as its own, claim to hold more data than fits
into memory, or nest groups until a reader's stack overflows. `require_harmless` inspects the structure once,
on the same open handle that is read afterwards, and rejects all of this, without reading column values. A
real recording has some 300 objects, which takes a twentieth of a second.

The limits, which apply to every file that is opened:

==================  =========================================================================================
groups              at most `DEEPEST` levels; at most `MOST_OBJECTS` objects and `MOST_ATTRIBUTES` attributes
attributes          at most `LONGEST_ATTRIBUTE` bytes each
stored data         all data sets together claim no more storage than the file's size
one data set        unpacks to at most `FREE_BYTES` or `RATIO` times its storage, whichever is more; or to
                    `PACKED_RATIO` times its storage (zeros compress that well), up to `PACKED_BYTES`
all data sets       unpack to at most `ALL_BYTES` or `RATIO` times the file's size, whichever is more
texts               together are no longer than the file
attribute names     are UTF-8, which is all that h5py supports
==================  =========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5t
from numpy.typing import NDArray

from vbn.errors import InvalidContentError, quoted, shortened
from vbn.nwb.hdf5.references import holds_references, referred_to

DEEPEST = 32
MOST_OBJECTS = 10_000
MOST_ATTRIBUTES = 20_000
LONGEST_ATTRIBUTE = 2**24
FREE_BYTES = 2**23
RATIO = 100
PACKED_RATIO = 1100
PACKED_BYTES = 2**28
ALL_BYTES = 2**30
MOST_MAPPINGS = 1000
TEXT_BYTES = 64
"""Memory overhead of a text, on top of its characters."""

HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""Exceptions that h5py raises for errors of the HDF5 library."""

ADVICE = "Do not import this file; ask whoever made it, or download it again."
ON_DISK = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
"""Storage format of a variable-length text or list in a data set."""

Read = Callable[[int, int], bytes]


def require_harmless(path: Path | str, file: h5py.File, size_bytes: int, read: Read) -> None:
    """Reject a file that would read another one, or take more memory than its size justifies.

    Parameters
    ----------
    path : path or URL of the file, for the message.
    file : the open file.
    size_bytes : size of the file.
    read : called with an offset and a number, returns that many bytes of the file.

    Raises
    ------
    InvalidContentError
        If a limit is exceeded; the message says which.
    OSError, RuntimeError, KeyError, ValueError, TypeError
        If the HDF5 library cannot interpret an object.
    """
    _Inspection(path, file.id, size_bytes, read).run()


@dataclass
class _Inspection:
    """The inspection of one file: what has been seen and counted so far."""

    path: Path | str
    file: Any
    size_bytes: int
    read: Read
    seen: set[int] = field(default_factory=set)
    referring: list[tuple[Any, str]] = field(default_factory=list)
    n_objects: int = 0
    n_attributes: int = 0
    stored_bytes: int = 0
    claimed_bytes: int = 0

    def run(self) -> None:
        """Check every object that can be reached by name or by reference.

        A group that is linked twice is visited twice, as by any reader that follows names, so circular and
        multiple links run into the limits.
        """
        root = h5o.open(self.file, b"/")
        self._check_object(root, "", h5o.get_info(root).addr)
        pending: list[tuple[Any, str, int]] = [(root, "", 0)]
        while pending:
            group, path, depth = pending.pop()
            for name, address in self._children(group, path):
                inner = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                found = self._counted(h5o.open(group, name), inner, depth + 1)
                self._check_object(found, inner, address)
                if isinstance(found, h5g.GroupID):
                    pending.append((found, inner, depth + 1))
            while not pending and self.referring:
                unnamed = list(self._unnamed())
                pending = [(found, name, 0) for found, name in unnamed if isinstance(found, h5g.GroupID)]

    def _unnamed(self) -> Iterator[tuple[Any, str]]:
        """Check and yield the objects that can be reached by reference only, from those seen since."""
        holders, self.referring = self.referring, []
        for holder, path in holders:
            for found, name in referred_to(holder, path, self.file, self.seen):
                address = h5o.get_info(found).addr
                if self._check_object(self._counted(found, name, 1), name, address):
                    yield found, name

    def _children(self, group: Any, path: str) -> list[tuple[bytes, int]]:
        """List the hard links of a group as (name, address)."""
        links: list[tuple[bytes, int, int]] = []

        def note(name: bytes, info: Any) -> bool:
            links.append((name, info.type, info.u))
            return len(links) > MOST_OBJECTS

        group.links.iterate(note, info=True)
        for name, kind, _ in links:
            if kind not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
                self._refuse_link(group, name, kind, path)
        return [(name, address) for name, kind, address in links if kind == h5l.TYPE_HARD]

    def _refuse_link(self, group: Any, name: bytes, kind: int, path: str) -> None:
        inner = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
        if kind == h5l.TYPE_EXTERNAL:
            other = group.links.get_val(name)[0].decode("utf-8", "backslashreplace")
            self._refuse(f"{inner} is a link into another file ({quoted(other)}), which is never followed.")
        self._refuse(f"{inner} is a link of an unknown kind ({kind}), and may lead into another file.")

    def _counted(self, found: Any, path: str, depth: int) -> Any:
        """Count an object, and return it."""
        self.n_objects += 1
        if depth > DEEPEST:
            self._refuse(f"its groups are nested more than {DEEPEST} deep, at {shortened(path, 100)}.")
        if self.n_objects > MOST_OBJECTS:
            self._refuse(f"it holds more than {MOST_OBJECTS:,} objects, or links that make it so many.")
        return found

    def _check_object(self, found: Any, path: str, address: int) -> bool:
        """Check an object if it was not seen before; return whether it is new."""
        if address in self.seen:
            return False
        self.seen.add(address)
        refers = self._check_attributes(found, path)
        if isinstance(found, h5d.DatasetID):
            kind = found.get_type()
            self._check_data(found, kind, path)
            refers = refers or holds_references(kind)
        if refers:
            self.referring.append((found, path))
        return True

    def _check_attributes(self, found: Any, path: str) -> bool:
        """Check the attributes of an object; return whether any holds references."""
        n_attributes = h5a.get_num_attrs(found)
        self.n_attributes += n_attributes
        if self.n_attributes > MOST_ATTRIBUTES:
            self._refuse(f"it holds more than {MOST_ATTRIBUTES:,} attributes, the last at {path or '/'}.")
        refers = False
        for number in range(n_attributes):
            attribute = h5a.open(found, index=number)
            kind = attribute.get_type()
            refers = refers or holds_references(kind)
            self._require_utf8(attribute.name, path)
            n_values = attribute.get_space().get_simple_extent_npoints()
            n_bytes = n_values * _stored_size_of(kind)
            if n_bytes > min(LONGEST_ATTRIBUTE, self.size_bytes):
                name = attribute.name.decode("utf-8", "backslashreplace")
                self._refuse(
                    f"{path}@{shortened(name)} has {n_bytes:,} bytes, more than the "
                    f"{min(LONGEST_ATTRIBUTE, self.size_bytes):,} that an attribute may have."
                )
        return refers

    def _require_utf8(self, name: bytes, path: str) -> None:
        """Reject a name that h5py cannot decode: it would fail later, in the middle of something else."""
        try:
            name.decode()
        except UnicodeDecodeError:
            shown = shortened(name.decode("utf-8", "backslashreplace"))
            self._refuse(
                f"{path or '/'}@ holds a name that is not UTF-8 ({shown}), as names of HDF5 must be."
            )

    def _check_data(self, found: Any, kind: Any, path: str) -> None:
        properties = found.get_create_plist()
        if properties.get_external_count():
            other = properties.get_external(0)[0].decode("utf-8", "backslashreplace")
            self._refuse(f"the values of {path} lie in another file ({quoted(other)}), which is never read.")
        if properties.get_layout() == h5d.VIRTUAL:
            self._check_mappings(properties, path)
        self._check_size(found, kind, properties, path)
        self._check_texts(found, kind, properties, path)

    def _check_mappings(self, properties: Any, path: str) -> None:
        """Check that a virtual data set maps only data sets of this file that are not virtual themselves."""
        n_mappings = properties.get_virtual_count()
        if n_mappings > MOST_MAPPINGS:
            self._refuse(f"the virtual data set {path} has more than {MOST_MAPPINGS:,} sources.")
        for number in range(n_mappings):
            other = _as_text(properties.get_virtual_filename(number))
            if other != ".":
                self._refuse(f"the virtual data set {path} shows another file ({quoted(other)}).")
            source = _as_text(properties.get_virtual_dsetname(number))
            if "%" in source or not _is_plain_data(self.file, source):
                self._refuse(
                    f"the virtual data set {path} shows {quoted(source)}, which is no plain data set."
                )

    def _check_size(self, found: Any, kind: Any, properties: Any, path: str) -> None:
        """Compare the size that a data set claims with what it has stored."""
        stored = found.get_storage_size()
        self.stored_bytes += stored
        if self.stored_bytes > self.size_bytes:
            self._refuse(
                f"{path} claims {stored:,} bytes of storage, and with what comes before it there are "
                f"{self.stored_bytes:,}; the file has {self.size_bytes:,}."
            )
        shape, item_bytes = found.shape, _stored_size_of(kind)
        n_values = math.prod(shape or ())
        is_as_stored = n_values * item_bytes <= stored and not properties.get_nfilters()
        if shape is None or is_as_stored:
            self.claimed_bytes += stored
            return
        n_bytes = n_values * _memory_of(kind)
        if properties.get_layout() == h5d.CHUNKED:
            n_bytes = max(n_bytes, math.prod(properties.get_chunk()) * item_bytes)
        self._require_plausible(path, shape, n_bytes, stored)

    def _require_plausible(self, path: str, shape: tuple[int, ...], n_bytes: int, stored: int) -> None:
        allowed = max(FREE_BYTES, RATIO * stored, min(PACKED_RATIO * stored, PACKED_BYTES))
        if n_bytes > allowed:
            self._refuse(
                f"{path} claims {shortened(shape)} values, {n_bytes:,} bytes in memory, and has {stored:,} "
                f"bytes stored, for which at most {allowed:,} are allowed."
            )
        self.claimed_bytes += n_bytes
        most = max(ALL_BYTES, RATIO * self.size_bytes)
        if self.claimed_bytes > most:
            self._refuse(
                f"its data sets claim {self.claimed_bytes:,} bytes in memory up to {path}; for a file of "
                f"{self.size_bytes:,} bytes at most {most:,} are allowed."
            )

    def _check_texts(self, found: Any, kind: Any, properties: Any, path: str) -> None:
        """Sum up the lengths of texts and lists: many rows may refer to the same long text."""
        if not _varies_in_length(kind):
            return
        n_values = math.prod(found.shape or ())
        if n_values < 2 or n_values * self.size_bytes <= FREE_BYTES:
            return
        width = 1 if kind.get_class() == h5t.STRING else kind.get_super().get_size()
        n_bytes = 0
        for lengths in _lengths(found, properties, self.read):
            n_bytes += int(lengths.sum(dtype=np.uint64)) * width
            if n_bytes > self.size_bytes:
                self._refuse(
                    f"the texts of {path} claim more than {n_bytes:,} bytes, and the file has "
                    f"{self.size_bytes:,}."
                )

    def _refuse(self, problem: str) -> None:
        raise InvalidContentError(self.path, problem, ADVICE)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _is_plain_data(file: Any, name: str) -> bool:
    """Return whether a name is that of a data set that is not virtual."""
    try:
        found = h5o.open(file, name.encode())
    except HDF5_ERRORS:
        return False
    return isinstance(found, h5d.DatasetID) and found.get_create_plist().get_layout() != h5d.VIRTUAL


def _varies_in_length(kind: Any) -> bool:
    return bool(kind.get_class() == h5t.VLEN or (kind.get_class() == h5t.STRING and kind.is_variable_str()))


def _stored_size_of(kind: Any) -> int:
    """Return the storage size of a value; for variable length, HDF5's own size is that of a pointer."""
    return ON_DISK.itemsize if _varies_in_length(kind) else int(kind.get_size())


def _memory_of(kind: Any) -> int:
    """Return the size of a value in memory; for a text, without its characters."""
    is_text = kind.get_class() in (h5t.STRING, h5t.VLEN)
    return _stored_size_of(kind) + TEXT_BYTES if is_text else max(int(kind.get_size()), 8)


def _lengths(found: Any, properties: Any, read: Read) -> Iterator[NDArray[Any]]:
    """Yield the lengths of a data set's texts or lists, without reading them where possible."""
    if properties.get_nfilters():
        yield from _lengths_of_packed(found)
    elif properties.get_layout() == h5d.CHUNKED:
        for number in range(found.get_num_chunks()):
            chunk = found.get_chunk_info(number)
            yield _stored_lengths(read(chunk.byte_offset, chunk.size))
    elif (offset := found.get_offset()) is not None:
        yield _stored_lengths(read(offset, found.get_storage_size()))


def _stored_lengths(stored: bytes) -> NDArray[Any]:
    whole = len(stored) // ON_DISK.itemsize * ON_DISK.itemsize
    return np.frombuffer(stored[:whole], ON_DISK)["length"]


def _lengths_of_packed(found: Any) -> Iterator[NDArray[Any]]:
    """Read compressed texts one by one: their stored lengths cannot be read directly."""
    dataset = h5py.Dataset(found)
    for index in np.ndindex(found.shape):
        yield np.array([len(dataset[index])])
