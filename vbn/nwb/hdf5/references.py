"""Objects of an HDF5 file that can be reached by reference.

A reference may point to an object that is in no group. Columns of references are long (each presentation
refers to its time series), so addresses are compared before anything is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5r, h5s, h5t

MOST_ODD_REFERENCES = 10_000
"""Limit for a data set of references that are not plain object references, which NWB does not use."""


def referred_to(holder: Any, path: str, file: Any, seen: set[int]) -> Iterator[tuple[Any, str]]:
    """Open the targets of the references in an object and its attributes.

    Parameters
    ----------
    holder : the object's h5py id.
    path : its name, for messages.
    file : the file's h5py id.
    seen : addresses of known objects, which are skipped where that is cheap.

    Yields
    ------
    found : h5py id The target; dangling references are ignored.
    name : str Name of the object or attribute with the reference.
    """
    if isinstance(holder, h5d.DatasetID) and holds_references(holder.get_type()):
        for reference in _references_of_data(holder, seen):
            yield from _opened(reference, path, file)
    for number in range(h5a.get_num_attrs(holder)):
        attribute = h5a.open(holder, index=number)
        if holds_references(attribute.get_type()):
            name = f"{path}@{attribute.name.decode('utf-8', 'backslashreplace')}"
            for reference in _flat(_values(attribute)):
                yield from _opened(reference, name, file)


def _opened(reference: Any, name: str, file: Any) -> Iterator[tuple[Any, str]]:
    """Yield the target of a reference; nothing for an empty or dangling one."""
    try:
        found = h5r.dereference(reference, file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):  # what h5py raises for HDF5 errors
        return
    if found is not None:
        yield found, name


def holds_references(kind: Any) -> bool:
    """Return whether values of a type are, or contain, references."""
    cls = kind.get_class()
    if cls == h5t.COMPOUND:
        return any(holds_references(kind.get_member_type(n)) for n in range(kind.get_nmembers()))
    if cls in (h5t.VLEN, h5t.ARRAY):
        return holds_references(kind.get_super())
    return bool(cls == h5t.REFERENCE)


def _references_of_data(data: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the references of a data set; of plain references only those to unseen addresses, each once."""
    memory_types = _plain_types(data.get_type()) if data.shape is not None else None
    if memory_types is None:
        yield from _flat(_values(data))
        return
    for memory_type in memory_types:
        addresses = np.zeros(data.shape, np.uint64)
        data.read(h5s.ALL, h5s.ALL, addresses, memory_type)
        unique, firsts = np.unique(addresses.ravel(), return_index=True)
        for address, first in zip(unique.tolist(), firsts.tolist(), strict=True):
            if address not in seen:
                yield from _flat(h5py.Dataset(data)[np.unravel_index(first, data.shape)])


def _plain_types(kind: Any) -> list[Any] | None:
    """Return memory types that read references as addresses; None if that is impossible."""
    if _is_plain(kind):
        return [h5t.STD_REF_OBJ]
    if kind.get_class() != h5t.COMPOUND:
        return None
    found = []
    for number in range(kind.get_nmembers()):
        member = kind.get_member_type(number)
        if _is_plain(member):
            found.append(h5t.create(h5t.COMPOUND, 8))
            found[-1].insert(kind.get_member_name(number), 0, h5t.STD_REF_OBJ)
        elif holds_references(member):
            return None
    return found


def _is_plain(kind: Any) -> bool:
    return bool(kind.get_class() == h5t.REFERENCE and kind.equal(h5t.STD_REF_OBJ))


def _values(holder: Any) -> Any:
    """Read all values of an attribute or a small data set."""
    space = holder.get_space()
    n_values = space.get_simple_extent_npoints()
    if space.get_simple_extent_type() == h5s.NULL or n_values == 0:
        return ()
    if n_values > MOST_ODD_REFERENCES:
        raise ValueError(f"{n_values} references of an unusual type")
    values = np.empty(space.shape, dtype=holder.dtype)
    holder.read(*(() if isinstance(holder, h5a.AttrID) else (h5s.ALL, h5s.ALL)), values)
    return values


def _flat(values: Any) -> Iterator[Any]:
    """Yield the references in nested arrays, tuples and records."""
    if isinstance(values, h5r.Reference):
        yield values
    elif isinstance(values, np.ndarray):
        for value in values.ravel():
            yield from _flat(value)
    elif isinstance(values, np.void | tuple | list):
        for value in values.item() if isinstance(values, np.void) else values:
            yield from _flat(value)
