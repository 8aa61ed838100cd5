"""What an HDF5 file may be made of: a file from elsewhere is not trusted.

HDF5 lets a file name other files whose bytes are read as its own, say that it holds more than any memory, or
nest groups until a reader's stack is used up. `require_harmless` goes through the structure once, on the same
open handle that is read afterwards, and refuses all of that; no value of a column is read for it. A real
recording has some 300 objects, which takes a twentieth of a second.

The bounds, which hold for every file that is opened:

==================  =========================================================================================
groups              nested `DEEPEST` deep at most; `MOST_OBJECTS` objects, `MOST_ATTRIBUTES` attributes in all
attributes          `LONGEST_ATTRIBUTE` bytes each
stored data         what all data sets say that they have stored is not more than the file
one data set        unpacks to `FREE_BYTES`, else to `RATIO` times what it has stored; up to `PACKED_BYTES` a
                    thousand times that much (zeros pack so well) are taken as well
all data sets       unpack to `ALL_BYTES`, or to `RATIO` times the file's size if that is more
texts               are not longer, taken together, than the file
attributes' names   are UTF-8, which is all that h5py can say
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
from vbn.nwb.hdf5.references import referred_to

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
"""What a text takes in memory, beside its characters."""

HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py makes of the library's errors."""

ADVICE = "Do not import this file; ask whoever made it, or download it again."
ON_DISK = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
"""A text or list of variable length, as a data set stores it."""

Read = Callable[[int, int], bytes]


def require_harmless(path: Path | str, file: h5py.File, size_bytes: int, read: Read) -> None:
    """Refuse a file that would read another one, or take more memory than its size justifies.

    Parameters
    ----------
    path : the file, for the message.
    file : the same, open.
    size_bytes : its size.
    read : gives the bytes of the file from an offset on, so many.

    Raises
    ------
    InvalidContentError
        Names what is refused, with the bound.
    OSError, RuntimeError, KeyError, ValueError, TypeError
        The HDF5 library cannot make sense of an object.
    """
    _Inspection(path, file.id, size_bytes, read).run()


@dataclass
class _Inspection:
    """A walk through one file, and what it has met so far."""

    path: Path | str
    file: Any
    size_bytes: int
    read: Read
    seen: set[int] = field(default_factory=set)
    n_objects: int = 0
    n_attributes: int = 0
    stored_bytes: int = 0
    claimed_bytes: int = 0

    def run(self) -> None:
        """Look at every object that a name or a reference leads to.

        A group that is linked twice is walked through twice, as by whoever follows names: so circles and
        bundles of links meet the same bounds.
        """
        root = h5o.open(self.file, b"/")
        self._look_at(root, "", h5o.get_info(root).addr)
        pending: list[tuple[Any, str, int]] = [(root, "", 0)]
        known: list[tuple[Any, str]] = [(root, "")]
        while pending:
            group, path, depth = pending.pop()
            for name, address in self._children(group, path):
                inner = f"{path}/{name.decode('utf-8', 'backslashreplace')}"
                found = self._counted(h5o.open(group, name), inner, depth + 1)
                if self._look_at(found, inner, address):
                    known.append((found, inner))
                if isinstance(found, h5g.GroupID):
                    pending.append((found, inner, depth + 1))
            if not pending:
                known = list(self._nameless(known))
                pending = [(found, name, 0) for found, name in known if isinstance(found, h5g.GroupID)]

    def _nameless(self, known: list[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
        """Look at the objects that references alone lead to, and yield the groups among them."""
        for holder, path in known:
            for found, name in referred_to(holder, path, self.file, self.seen):
                address = h5o.get_info(found).addr
                if self._look_at(self._counted(found, name, 1), name, address):
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
        """Count an object that a name leads to."""
        self.n_objects += 1
        if depth > DEEPEST:
            self._refuse(f"its groups are nested more than {DEEPEST} deep, at {shortened(path, 100)}.")
        if self.n_objects > MOST_OBJECTS:
            self._refuse(f"it holds more than {MOST_OBJECTS:,} objects, or links that make it so many.")
        return found

    def _look_at(self, found: Any, path: str, address: int) -> bool:
        """Look at an object itself, once; return whether this was the first time."""
        if address in self.seen:
            return False
        self.seen.add(address)
        self._look_at_attributes(found, path)
        if isinstance(found, h5d.DatasetID):
            self._look_at_data(found, path)
        return True

    def _look_at_attributes(self, found: Any, path: str) -> None:
        n_attributes = h5a.get_num_attrs(found)
        self.n_attributes += n_attributes
        if self.n_attributes > MOST_ATTRIBUTES:
            self._refuse(f"it holds more than {MOST_ATTRIBUTES:,} attributes, the last at {path or '/'}.")
        for number in range(n_attributes):
            attribute = h5a.open(found, index=number)
            self._require_utf8(attribute.name, path)
            n_values = attribute.get_space().get_simple_extent_npoints()
            n_bytes = n_values * _stored_size_of(attribute.get_type())
            if n_bytes > min(LONGEST_ATTRIBUTE, self.size_bytes):
                name = attribute.name.decode("utf-8", "backslashreplace")
                self._refuse(
                    f"{path}@{shortened(name)} has {n_bytes:,} bytes, more than the "
                    f"{min(LONGEST_ATTRIBUTE, self.size_bytes):,} that an attribute may have."
                )

    def _require_utf8(self, name: bytes, path: str) -> None:
        """Refuse a name that h5py cannot say: it fails in the middle of something else."""
        try:
            name.decode()
        except UnicodeDecodeError:
            shown = shortened(name.decode("utf-8", "backslashreplace"))
            self._refuse(
                f"{path or '/'}@ holds a name that is not UTF-8 ({shown}), as names of HDF5 must be."
            )

    def _look_at_data(self, found: Any, path: str) -> None:
        made = found.get_create_plist()
        if made.get_external_count():
            other = made.get_external(0)[0].decode("utf-8", "backslashreplace")
            self._refuse(f"the values of {path} lie in another file ({quoted(other)}), which is never read.")
        if made.get_layout() == h5d.VIRTUAL:
            self._look_at_mappings(made, path)
        self._look_at_size(found, made, path)
        self._look_at_texts(found, made, path)

    def _look_at_mappings(self, made: Any, path: str) -> None:
        """Let a virtual data set show data sets of this file, if these are none themselves."""
        n_mappings = made.get_virtual_count()
        if n_mappings > MOST_MAPPINGS:
            self._refuse(f"the virtual data set {path} has more than {MOST_MAPPINGS:,} sources.")
        for number in range(n_mappings):
            other = _as_text(made.get_virtual_filename(number))
            if other != ".":
                self._refuse(f"the virtual data set {path} shows another file ({quoted(other)}).")
            source = _as_text(made.get_virtual_dsetname(number))
            if "%" in source or not _is_plain_data(self.file, source):
                self._refuse(
                    f"the virtual data set {path} shows {quoted(source)}, which is no plain data set."
                )

    def _look_at_size(self, found: Any, made: Any, path: str) -> None:
        """Compare what a data set says that it holds with what is stored of it."""
        stored = found.get_storage_size()
        self.stored_bytes += stored
        if self.stored_bytes > self.size_bytes:
            self._refuse(
                f"{path} claims {stored:,} bytes of storage, and with what comes before it there are "
                f"{self.stored_bytes:,}; the file has {self.size_bytes:,}."
            )
        item_bytes, n_values = _stored_size_of(found.get_type()), math.prod(found.shape or ())
        is_as_stored = n_values * item_bytes <= stored and not made.get_nfilters()
        if found.shape is None or is_as_stored:
            self.claimed_bytes += stored
            return
        n_bytes = n_values * _memory_of(found.get_type())
        if made.get_layout() == h5d.CHUNKED:
            n_bytes = max(n_bytes, math.prod(made.get_chunk()) * item_bytes)
        self._require_plausible(path, found.shape, n_bytes, stored)

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

    def _look_at_texts(self, found: Any, made: Any, path: str) -> None:
        """Add up the lengths of texts and lists: any number of rows may name the same long text."""
        kind, n_values = found.get_type(), math.prod(found.shape or ())
        if not _varies_in_length(kind) or n_values < 2 or n_values * self.size_bytes <= FREE_BYTES:
            return
        width = 1 if kind.get_class() == h5t.STRING else kind.get_super().get_size()
        n_bytes = 0
        for lengths in _lengths(found, made, self.read):
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
    """Tell whether a name is of a data set that is not virtual."""
    try:
        found = h5o.open(file, name.encode())
    except HDF5_ERRORS:
        return False
    return isinstance(found, h5d.DatasetID) and found.get_create_plist().get_layout() != h5d.VIRTUAL


def _varies_in_length(kind: Any) -> bool:
    return bool(kind.get_class() == h5t.VLEN or (kind.get_class() == h5t.STRING and kind.is_variable_str()))


def _stored_size_of(kind: Any) -> int:
    """Give what a value of a type takes in a data set; HDF5 tells the size of a pointer to a text."""
    return ON_DISK.itemsize if _varies_in_length(kind) else int(kind.get_size())


def _memory_of(kind: Any) -> int:
    """Give what a value of a type takes in memory when it is read; a text without its characters."""
    is_text = kind.get_class() in (h5t.STRING, h5t.VLEN)
    return _stored_size_of(kind) + TEXT_BYTES if is_text else max(int(kind.get_size()), 8)


def _lengths(found: Any, made: Any, read: Read) -> Iterator[NDArray[Any]]:
    """Give the lengths of a data set's texts or lists, without reading these."""
    if made.get_nfilters():
        yield from _lengths_of_packed(found)
    elif made.get_layout() == h5d.CHUNKED:
        for number in range(found.get_num_chunks()):
            chunk = found.get_chunk_info(number)
            yield _stored_lengths(read(chunk.byte_offset, chunk.size))
    elif (offset := found.get_offset()) is not None:
        yield _stored_lengths(read(offset, found.get_storage_size()))


def _stored_lengths(stored: bytes) -> NDArray[Any]:
    whole = len(stored) // ON_DISK.itemsize * ON_DISK.itemsize
    return np.frombuffer(stored[:whole], ON_DISK)["length"]


def _lengths_of_packed(found: Any) -> Iterator[NDArray[Any]]:
    """Read texts that are compressed one by one: where they lie is not to be seen from outside."""
    dataset = h5py.Dataset(found)
    for place in np.ndindex(found.shape):
        yield np.array([len(dataset[place])])
