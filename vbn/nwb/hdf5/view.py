"""A file under other names than those it stores: a skeleton in memory, and the file's own data sets.

The skeleton holds every group and name that a reader may ask for. A data set of the skeleton is either a
placeholder for one of the file, which is then read instead, or a column that the file does not store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import h5py

from vbn.nwb.hdf5.identify import FileIdentity


@dataclass(frozen=True)
class View:
    """What readers see of a file.

    Parameters
    ----------
    skeleton : HDF5 file in memory, with the names that readers use.
    stored : path in the skeleton -> the file's data set that is read there.
    sources : path in the skeleton -> path in the file, where it is another.
    """

    skeleton: h5py.File
    stored: dict[str, h5py.Dataset] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> View:
        """Return a view without anything in it."""
        name = f"vbn-view-{uuid4()}"  # HDF5 takes files of one name for one file
        return cls(h5py.File(name, "w", driver="core", backing_store=False, libver="latest"))

    def get(self, path: str) -> Any:
        """Return a group or data set, None if there is none."""
        found = self.stored.get(path.strip("/"))
        return self.skeleton.get(path) if found is None else found

    def add(self, path: str, dataset: h5py.Dataset, source: str | None = None) -> None:
        """Show a data set of the file under a path."""
        if path not in self.skeleton:
            self.skeleton.create_dataset(path, shape=(), dtype="i1")
        self.stored[path] = dataset
        if source is not None and source != path:
            self.sources[path] = source

    def write(self, path: str, values: Any) -> None:
        """Show values that the file does not store, instead of what is there."""
        self.stored.pop(path, None)
        self.sources.pop(path, None)
        if path in self.skeleton:
            del self.skeleton[path]
        self.skeleton.create_dataset(path, data=values)

    def explained(self, problem: str) -> str:
        """Add to a message where the file stores what it names."""
        named = {ours: theirs for ours, theirs in self.sources.items() if f"/{ours}" in problem}
        where = ", ".join(f"/{ours} is read from /{theirs}" for ours, theirs in named.items())
        return f"{problem} By the mapping, {where}." if where else problem

    def close(self) -> None:
        """Free the memory."""
        self.skeleton.close()


class Reading(Protocol):
    """How files are read that have other names than the release's."""

    def identity_of(self, path: Path | str, file: h5py.File) -> FileIdentity:
        """Return kind and identifier of an open file."""

    def view_of(self, path: Path | str, file: h5py.File, identity: FileIdentity) -> View:
        """Return the file under the release's names."""
