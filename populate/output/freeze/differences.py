"""What has changed in a database since a freeze, by table.

Sessions whose rows the server hashes as it did then are the same; of the others, the rows are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet

import schemas
from populate.admin.checksums import hash_in_store
from populate.admin.snapshot import ServerTable, Snapshot
from populate.output.freeze.fingerprints import read_fingerprints
from populate.output.freeze.request import scope_of
from populate.output.publish.fingerprints import WHOLE
from populate.output.publish.publication import fingerprints_of
from populate.output.publish.rows import RowReader, layout_of
from populate.output.publish.scope import Scope
from schemas.administration import Freeze
from schemas.bases.provenance import METHOD, PACKAGE, PARAMETERS, SOURCE, MadeWith
from schemas.bases.publication import PublishedTable, published_tables
from schemas.deploy.frozen import brought_folder, freeze_row
from schemas.server.published import PublishedFolder, require_database
from vbn.errors import StoreError

MADE_WITH = (PACKAGE, METHOD, PARAMETERS, SOURCE)


@dataclass(frozen=True)
class TableDifference:
    """What has changed in a table since a freeze.

    Attributes
    ----------
    table : its name.
    n_changed : rows with other values.
    n_remade : rows with the same values, made with another package, method, parameter set or source.
    n_gone, n_new : rows that are not there any more, and that were not there.
    n_parameters, n_sources : changed or remade rows that were made with other parameters, from other files.
    methods : versions of the method, as ``1 -> 2``; empty if they are the same.
    """

    table: str
    n_changed: int = 0
    n_remade: int = 0
    n_gone: int = 0
    n_new: int = 0
    n_parameters: int = 0
    n_sources: int = 0
    methods: str = ""

    @property
    def is_different(self) -> bool:
        """Whether anything has changed."""
        return any((self.n_changed, self.n_remade, self.n_gone, self.n_new))

    def to_row(self) -> dict[str, Any]:
        """Return it as a row."""
        return asdict(self)


def differences(name: str) -> list[TableDifference]:
    """Return the tables that are not as they were when a freeze was made, in dependency order.

    Rows are compared within the sessions and tables that the freeze names, if it names any: what was added
    outside of them is no difference. Arrays count by their content.

    Raises
    ------
    NotFoundError
        If there is no such freeze.
    StoreError
        If the store has lost a part of it, or an array of a present row.
    """
    require_database("compare it with the present rows")
    database = schemas.connect()
    row = freeze_row(name)
    folder = PublishedFolder.read(brought_folder(name))
    comparison = _Comparison(row, folder)
    found = []
    with Snapshot.taken(database) as snapshot:
        server = {table.full_name: table for table in snapshot.tables()}
        for each in published_tables(comparison.scope.include):
            place = f"{database.prefix}{each.module}.{each.table.table_name}"
            if each.file in folder.checksums and place in server:
                found.append(comparison.of(snapshot, each, server[place]))
    return [each for each in found if each.is_different]


@dataclass
class _Rows:
    """Rows of a table by their keys: what is compared of them, and what they were made with."""

    values: dict[Any, str] = field(default_factory=dict)
    made: dict[Any, tuple[Any, ...]] = field(default_factory=dict)


class _Comparison:
    """Compares the tables of a freeze with those of its database."""

    def __init__(self, row: Mapping[str, Any], folder: PublishedFolder) -> None:
        self.name, self.folder = row["freeze_name"], folder
        self.scope: Scope = scope_of(row["freeze_scope"])
        self._hashes = read_fingerprints(folder.folder)
        arrays = (Freeze.Array & {"freeze_name": self.name}).to_dicts()
        self._sha256 = {each["frozen_array_source"]["path"]: each["frozen_array_sha256"] for each in arrays}

    def of(self, snapshot: Snapshot, published: PublishedTable, server: ServerTable) -> TableDifference:
        """Return what has changed in a table."""
        where = self.scope.condition(published)
        present = fingerprints_of(snapshot, published, server, where)
        former = self._hashes.get(published.file, {})
        now = {session: each.hash for session, each in present.items()}
        others = {at for at in now.keys() | former.keys() if now.get(at) != former.get(at)}
        if not others:
            return TableDifference(published.name)
        comments = dict.fromkeys((each.name for each in published.attributes), "")
        layout = layout_of(published, present, comments, {})
        reader = RowReader(published, layout, self._hash, where)
        before, after = _Rows(), _Rows()
        _gather(before, published, self._frozen(published, others))
        for session in sorted(others & now.keys()):
            key = {} if session == WHOLE else {"mouse_id": session[0], "session_id": session[1]}
            _gather(after, published, reader.read(snapshot, key))
        return _compared(published.name, before, after)

    def _hash(self, _path: str, reference: Any) -> str | None:
        """Return the hash of a present array, without reading it where it is the frozen file."""
        known: str | None = self._sha256.get(reference.path)
        if known is not None:
            return known
        try:
            return hash_in_store(reference.path)
        except StoreError:
            return None  # it counts as changed; vbn doctor says what is the matter with the store

    def _frozen(self, published: PublishedTable, sessions: set[Any]) -> pa.Table:
        """Return the frozen rows of some sessions, without the list of the freeze's own units."""
        rows = parquet.read_table(self.folder.checked(published.file), partitioning=None)
        if "list_name" in rows.column_names:
            is_own = compute.equal(rows["list_name"], self.name)
            rows = rows.filter(compute.invert(is_own)) if self._has_own_list else rows
        if WHOLE in sessions:
            return rows
        ids = pa.array(sorted({session for _, session in sessions}), pa.int64())
        return rows.filter(compute.is_in(rows["session_id"], ids))

    @property
    def _has_own_list(self) -> bool:
        row = freeze_row(self.name)
        return row["freeze_scope"]["n_chosen_units"] is not None


def _gather(rows: _Rows, published: PublishedTable, table: pa.Table) -> None:
    """Add the rows of a table to those that are known by their keys."""
    made = _made_with(published)
    primary = list(published.table.primary_key)
    others = sorted(name for name in table.column_names if name not in (*primary, *made))
    for row in table.to_pylist():
        key = tuple(row[name] for name in primary)
        rows.values[key] = repr([(name, row[name]) for name in others])
        rows.made[key] = tuple(row.get(name) for name in made)


def _made_with(published: PublishedTable) -> list[str]:
    """Return the columns that say what a row was made with: package, method, parameters, source."""
    if not issubclass(published.table, MadeWith):
        return []
    return [f"{published.table.provenance_prefix()}_{name}" for name in MADE_WITH]


def _compared(name: str, before: _Rows, after: _Rows) -> TableDifference:
    both = before.values.keys() & after.values.keys()
    changed = {key for key in both if before.values[key] != after.values[key]}
    made = {key for key in both if before.made[key] != after.made[key]}
    pairs = [(before.made[key], after.made[key]) for key in made]
    return TableDifference(
        name,
        n_changed=len(changed),
        n_remade=len(made - changed),
        n_gone=len(before.values.keys() - both),
        n_new=len(after.values.keys() - both),
        n_parameters=sum(old[2] != new[2] for old, new in pairs),
        n_sources=sum(old[3] != new[3] for old, new in pairs),
        methods=", ".join(_methods(pairs)),
    )


def _methods(pairs: list[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> Iterator[str]:
    """Yield how the version of the method has changed, in each way that it has."""
    yield from (f"{old} -> {new}" for old, new in sorted({(a[1], b[1]) for a, b in pairs if a[1] != b[1]}))
