"""The array store's side of an insert: what a failed one leaves there, and removing it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.connection import connect

Key = dict[str, Any]


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

    To be called by whoever holds the entry's reservation, or found it dead.
    """
    store = connect().store
    if store.folder is None or (table & key):
        return
    for part in (
        table,
        *(part() if isinstance(part, type) else part for part in table.parts(as_objects=True)),
    ):
        folder = store_folder(store.folder, part, key)
        if folder.is_dir():
            shutil.rmtree(folder)


def store_folder(store: Path, table: Any, key: Key) -> Path:
    """Return the folder below which DataJoint keeps the arrays of a table's entry.

    The layout is that of schema-addressed storage: schema, table, then ``attribute=value`` in
    the order of the primary key.
    """
    steps = [f"{name}={key[name]}" for name in table.primary_key if name in key]
    return store.joinpath("_schema", table.database, table.table_name, *steps)
