"""The array store's files: reading them as memory maps, and removing what a failed insert leaves behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from schemas.server.datajoint import dj
from schemas.server.settings import STORE_NAME, Store
from schemas.server.stores import explaining_reads, opened_store
from vbn.errors import StoreError
from vbn.home import home_folder
from vbn.whole_files import whole_file

logger = logging.getLogger("vbn")

MOST_BYTES_OF_COPIES = 20 * 10**9
"""Limit for local copies of a bucket's arrays; they also take at most half of the space left for them."""

Key = dict[str, Any]


def mapped(reference: Any) -> np.ndarray:
    """Return an array in the store as a read-only memory map.

    If the store is not a folder, the array is copied to ``VBN_HOME/arrays`` when it is first used; the least
    recently used copies are removed to make room. A copy gets its final name only when it is complete (unlike
    DataJoint's own copies, in the folder of temporary files, which are never removed) and is never out of
    date: DataJoint writes each array to a new path.

    Parameters
    ----------
    reference : the fetched value of an attribute ``<npy@vbn>``.

    Raises
    ------
    StoreError
        If the array cannot be read, or the disk has no room for the copy.
    """
    backend = opened_store(reference.store)
    if backend.protocol == "file":
        with explaining_reads(backend, reference.path):
            return np.asanyarray(reference.load(mmap_mode="r"))
    copy = home_folder() / "arrays" / f"{hashlib.sha256(reference.path.encode()).hexdigest()}.npy"
    try:
        os.utime(copy)
    except FileNotFoundError:
        _copy(backend, reference, copy)
    return np.asanyarray(np.load(copy, mmap_mode="r", allow_pickle=False))


def _copy(backend: Any, reference: Any, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    _make_room(copy.parent, reference.nbytes)
    try:
        with explaining_reads(backend, reference.path), whole_file(copy) as part:
            backend.get_file(reference.path, part)
    except StoreError as failure:
        error = failure.__cause__
        if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"{copy.parent} has no room for a copy of {reference.path} ({reference.nbytes / 1e6:.0f} MB) "
            "from the array store. Make room there, or set VBN_HOME to a larger disk."
        ) from error


def _make_room(folder: Path, n_bytes: int) -> None:
    """Remove the least recently used files until there is room for another."""
    held = sorted(_files(folder))
    total = sum(size for _, size, _ in held)
    most = min(MOST_BYTES_OF_COPIES, (shutil.disk_usage(folder).free + total) // 2)
    for _, size, path in held:
        if total + n_bytes <= most:
            return
        Path(path).unlink(missing_ok=True)  # a process that has mapped it can still read it
        total -= size


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield time of last use, size and path of each file that no other process removes meanwhile."""
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            found = entry.stat()
            yield found.st_mtime, found.st_size, entry.path


@contextlib.contextmanager
def discarding_leftovers(table: Any, key: Key) -> Iterator[None]:
    """Remove the entry's array files if the block that inserts it fails."""
    try:
        yield
    except BaseException:
        discard_leftovers(table, key)
        raise


def discard_leftovers(table: Any, key: Key) -> None:
    """Remove the array files of an entry that was not completed, unless a row of it exists.

    Call it only while holding the entry's reservation, or after finding that its holder has died. What cannot
    be removed, as the store is closed or away, stays for ``vbn gc``.
    """
    store = Store(dj.config.stores.get(STORE_NAME, {}), is_default=False).folder
    if store is None or (table & key):
        return
    for part in (
        table,
        *(part() if isinstance(part, type) else part for part in table.parts(as_objects=True)),
    ):
        folder = store_folder(store, part, key)
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:  # it has left nothing there
            continue
        except OSError as error:
            logger.warning("What a failed job left in %s stays for vbn gc: %s", folder, error)


def store_folder(store: Path, table: Any, key: Key) -> Path:
    """Return the folder in which DataJoint stores the arrays of a table's entry.

    The layout is that of schema-addressed storage: schema, table, then ``attribute=value`` in
    the order of the primary key.
    """
    steps = [f"{name}={key[name]}" for name in table.primary_key if name in key]
    return store.joinpath("_schema", table.database, table.table_name, *steps)
