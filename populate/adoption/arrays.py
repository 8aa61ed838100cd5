"""Arrays of adopted rows: copied into the store if they were published, else known as such."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from populate.adoption.folder import FolderTable, FolderTables
from populate.adoption.values import ArrayNote
from schemas.bases.publication import array_path, is_stored_array
from schemas.server.datajoint.by_columns import StoredReference
from schemas.server.published import ARRAYS, REPAIR
from schemas.server.settings import STORE_NAME
from schemas.server.unpublished import unpublished_place
from vbn.errors import InvalidContentError

Row = dict[str, Any]


def split_rows(tables: FolderTables, table: FolderTable, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows with arrays that are to be written into the store, and those without.

    Parameters
    ----------
    tables, table : the folder, and the table that the rows are of.
    rows : with `ArrayNote` for each array in the store.

    Returns
    -------
    With arrays, as read-only memory maps; without, with `StoredReference` for those that were not published.

    Raises
    ------
    InvalidContentError
        If a file of an array is not what its row says.
    """
    names = [each.name for each in table.published.attributes if is_stored_array(each)]
    written: list[Row] = []
    others: list[Row] = []
    for row in rows:
        notes = {name: row[name] for name in names if row[name] is not None}
        are_published = {note.sha256 is not None for note in notes.values()}
        if len(are_published) > 1:
            raise InvalidContentError(table.path, "It has a row of which some arrays were published.", REPAIR)
        for name, note in notes.items():
            _require_own_path(table, row, name, note)
        if are_published == {True}:
            written.append({**row, **{name: _array(tables, note) for name, note in notes.items()}})
        else:
            others.append({**row, **{name: _reference(tables, note) for name, note in notes.items()}})
    return written, others


def _require_own_path(table: FolderTable, row: Row, name: str, note: ArrayNote) -> None:
    key = {column: row[column] for column in table.table.primary_key}
    if note.path != array_path(table.published.module, table.name, key, name):
        raise InvalidContentError(table.path, f"{name} names the array of another row, {note.path}.", REPAIR)


def _array(tables: FolderTables, note: ArrayNote) -> np.ndarray:
    name = f"{ARRAYS}/{note.path}"
    path = tables.published.checked(name)
    if tables.published.checksums[name] != note.sha256:
        raise InvalidContentError(path, "Its row has another checksum.", REPAIR)
    try:
        array: np.ndarray = np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise InvalidContentError(path, f"It cannot be read as an array: {error}.", REPAIR) from error
    if (array.shape, str(array.dtype)) != (note.shape, note.dtype):
        found = f"{array.dtype} of {array.shape}"
        raise InvalidContentError(
            path, f"It holds {found}, and its row says {note.dtype} of {note.shape}.", REPAIR
        )
    return array


def _reference(tables: FolderTables, note: ArrayNote) -> StoredReference:
    place = unpublished_place(tables.name, note.path)
    content = {"path": place, "store": STORE_NAME, "dtype": note.dtype, "shape": list(note.shape)}
    return StoredReference(json.dumps(content))
