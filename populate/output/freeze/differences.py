"""What has changed in a database since a freeze, by table.

Sessions whose rows the server hashes as it did then are the same; of the others, the rows are compared.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyarrow import parquet

import schemas
from populate.admin.checksums import hash_in_store
from populate.admin.snapshot import ServerTable, Snapshot
from populate.output.freeze.create import OF_PEOPLE
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
from vbn.errors import ConflictError, StoreError

MADE_WITH = (PACKAGE, METHOD, PARAMETERS, SOURCE)
SESSIONS = "tables/session/Session.parquet"
ROWS_AT_A_TIME = 200
"""Rows with curves are tens of kB each as Python's numbers."""


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
    ConflictError
        If another version of this package has made it, whose tables had other columns.
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
    """Rows of a session by their keys: hash of what is compared of them, and what they were made with."""

    values: dict[Any, bytes] = field(default_factory=dict)
    made: dict[Any, tuple[Any, ...]] = field(default_factory=dict)


class _Comparison:
    """Compares the tables of a freeze with those of its database."""

    def __init__(self, row: Mapping[str, Any], folder: PublishedFolder) -> None:
        self._row, self._folder = row, folder
        folder.checked(SESSIONS)
        mice = _read(folder, SESSIONS, ["mouse_id"])["mouse_id"].unique()
        # What was frozen says which mice: those of sessions that are gone are still compared.
        self.scope: Scope = replace(scope_of(row["freeze_scope"]), mice=tuple(sorted(mice.to_pylist())))
        self._hashes = read_fingerprints(folder.folder)
        arrays = (Freeze.Array & {"freeze_name": row["freeze_name"]}).to_dicts()
        self._sha256 = {each["frozen_array_source"]["path"]: each["frozen_array_sha256"] for each in arrays}

    def of(self, snapshot: Snapshot, published: PublishedTable, server: ServerTable) -> TableDifference:
        """Return what has changed in a table, a session at a time.

        Raises
        ------
        ConflictError
            If its columns were others.
        """
        self._require_same_columns(published)
        where = self.scope.condition(published)
        present = fingerprints_of(snapshot, published, server, where)
        former = self._hashes.get(published.file, {})
        now = {session: each.hash for session, each in present.items()}
        others = sorted(at for at in now.keys() | former.keys() if now.get(at) != former.get(at))
        comments = dict.fromkeys((each.name for each in published.attributes), "")
        found: Counter[str] = Counter()
        methods: set[tuple[Any, Any]] = set()
        if others:
            self._folder.checked(published.file)
            layout = layout_of(published, present, comments, {})
            reader = RowReader(published, layout, self._hash, where)
        for session in others:
            before, after = _Rows(), _Rows()
            self._gather(before, published, self._frozen(published, session))
            if session in now:
                key = {} if session == WHOLE else {"mouse_id": session[0], "session_id": session[1]}
                self._gather(after, published, reader.read(snapshot, key))
            _compare(before, after, found, methods)
        ways = ", ".join(f"{old} -> {new}" for old, new in sorted(methods))
        return TableDifference(published.name, **found, methods=ways)

    def _require_same_columns(self, published: PublishedTable) -> None:
        then = set(parquet.read_schema(self._folder.folder / published.file).names)
        if different := then ^ {each.name for each in published.attributes}:
            version = self._row["freeze_package_version"]
            raise ConflictError(
                f"The freeze '{self._row['freeze_name']}' was made by vbn-datajoint {version}, whose table "
                f"{published.name} had other columns ({', '.join(sorted(different)[:5])}): its rows cannot "
                f"be compared by this version. That one opens it (pip install vbn-datajoint=={version}); "
                "export it, to open it without the database (vbn freeze export)."
            )

    def _hash(self, _path: str, reference: Any) -> str | None:
        """Return the hash of a present array, without reading it where it is the frozen file."""
        known: str | None = self._sha256.get(reference.path)
        if known is not None:
            return known
        try:
            return hash_in_store(reference.path)
        except StoreError:
            return None  # it counts as changed; vbn doctor says what is the matter with the store

    def _frozen(self, published: PublishedTable, session: Any) -> pa.Table:
        """Return the frozen rows of a session, without the list of the freeze's own units."""
        conditions = (
            [] if session == WHOLE else [("mouse_id", "==", session[0]), ("session_id", "==", session[1])]
        )
        has_own_list = self._row["freeze_scope"]["n_chosen_units"] is not None
        if has_own_list and "list_name" in published.table.primary_key:
            conditions.append(("list_name", "!=", self._row["freeze_name"]))
        return _read(self._folder, published.file, None, conditions)

    def _gather(self, rows: _Rows, published: PublishedTable, table: pa.Table) -> None:
        """Add the rows of a table to those that are known by their keys."""
        made = _made_with(published)
        primary = list(published.table.primary_key)
        is_anonymous = self.scope.lists is not None
        left = {*primary, *made, *(OF_PEOPLE if is_anonymous else ())}
        others = sorted(name for name in table.column_names if name not in left)
        for batch in table.to_batches(ROWS_AT_A_TIME):
            for row in batch.to_pylist():
                key = tuple(row[name] for name in primary)
                rows.values[key] = hashlib.sha256(repr([row[name] for name in others]).encode()).digest()
                rows.made[key] = tuple(row.get(name) for name in made)


def _read(
    folder: PublishedFolder, name: str, columns: list[str] | None, conditions: list[Any] | None = None
) -> pa.Table:
    path = folder.folder / name
    return parquet.read_table(path, columns=columns, filters=conditions or None, partitioning=None)


def _made_with(published: PublishedTable) -> list[str]:
    """Return the columns that say what a row was made with: package, method, parameters, source."""
    if not issubclass(published.table, MadeWith):
        return []
    return [f"{published.table.provenance_prefix()}_{name}" for name in MADE_WITH]


def _compare(before: _Rows, after: _Rows, found: Counter[str], methods: set[tuple[Any, Any]]) -> None:
    """Add the differences between the rows of a session to what was found, and versions of the method."""
    both = before.values.keys() & after.values.keys()
    changed = {key for key in both if before.values[key] != after.values[key]}
    made = {key for key in both if before.made[key] != after.made[key]}
    pairs = [(before.made[key], after.made[key]) for key in made]
    found.update(
        n_changed=len(changed),
        n_remade=len(made - changed),
        n_gone=len(before.values.keys() - both),
        n_new=len(after.values.keys() - both),
        n_parameters=sum(old[2] != new[2] for old, new in pairs),
        n_sources=sum(old[3] != new[3] for old, new in pairs),
    )
    methods |= {(old[1], new[1]) for old, new in pairs if old[1] != new[1]}
