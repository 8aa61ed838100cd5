"""Walking through all objects of a file, whatever their names.

h5py lists names that are not UTF-8 as bytes but cannot look them up, and its own ``visititems`` fails on
them. The functions here skip such objects; `unnameable` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py


def walk_links(file: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the links of all groups, visiting each group once.

    Parameters
    ----------
    file : an open file, or a group of it.

    Yields
    ------
    path : str Relative to `file`, without leading slash.
    link : h5py.HardLink, SoftLink or ExternalLink
    group : h5py.Group The group with the link.
    """
    seen = {_address(file)}
    left = [("", file)]
    while left:
        path, group = left.pop()
        for name in names_in(group):
            link = group.get(name, getlink=True)
            inner = f"{path}/{name}".lstrip("/")
            yield inner, link, group
            if isinstance(link, h5py.HardLink) and group.get(name, getclass=True) is h5py.Group:
                found = group[name]
                if (address := _address(found)) not in seen:
                    seen.add(address)
                    left.append((inner, found))


def walk(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield all groups and data sets, each once, by the first name found.

    Parameters
    ----------
    file : an open file, or a group of it.

    Yields
    ------
    path : str Relative to `file`, without leading slash.
    item : h5py.Group, Dataset or Datatype
    """
    seen = {_address(file)}
    for path, link, group in walk_links(file):
        if not isinstance(link, h5py.HardLink):
            continue
        item = group[path.rpartition("/")[2]]
        if (address := _address(item)) not in seen:
            seen.add(address)
            yield path, item


def names_in(group: Any) -> list[str]:
    """List the UTF-8 names in a group."""
    return [name for name in group if isinstance(name, str)]


def unnameable(file: Any) -> list[str]:
    """List the paths of objects whose names are not UTF-8."""
    groups = [("", file), *((path, item) for path, item in walk(file) if isinstance(item, h5py.Group))]
    return [
        f"{path}/{name.decode(errors='surrogateescape')}"
        for path, group in groups
        for name in group
        if not isinstance(name, str)
    ]


def _address(item: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr
