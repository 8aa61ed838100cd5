"""Restoring under another prefix: the names of schemas and of arrays, and the rows that hold them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from populate.admin.backup.manifest import BackupManifest
from populate.admin.snapshot import JSON_TYPES
from schemas.server.connection import Database
from schemas.server.settings import STORE_NAME
from vbn.errors import SettingError

LONGEST_NAME = 63  # of a schema, on either server
FROZEN_ARRAYS = "freeze__array"


@dataclass(frozen=True)
class Renaming:
    """From names in a backup to names in the restored database.

    Attributes
    ----------
    schemas : name of a schema in the backup -> name on the server. Those of the lab that lack the prefix get
        it, too.
    moves_arrays : whether arrays get other paths, too; those that are not in the backup stay where they are.
    """

    schemas: Mapping[str, str]
    moves_arrays: bool

    @classmethod
    def of(cls, manifest: BackupManifest, prefix: str) -> Renaming:
        """Return the names under a prefix.

        Raises
        ------
        SettingError
            If a schema's name would be too long.
        """
        if prefix == manifest.prefix:
            return cls({name: name for name in manifest.schemas}, moves_arrays=False)
        names = {name: prefix + name.removeprefix(manifest.prefix) for name in manifest.schemas}
        if too_long := [name for name in names.values() if len(name) > LONGEST_NAME]:
            raise SettingError(
                f"The prefix '{prefix}' is too long: the schema {too_long[0]} could not be made."
            )
        return cls(names, moves_arrays=manifest.has_arrays)

    @property
    def is_needed(self) -> bool:
        """Return whether any name changes."""
        return any(old != new for old, new in self.schemas.items())

    def path(self, path: str) -> str:
        """Return the path of an array in the store: ``_schema/SCHEMA/...``, ``_hash/SCHEMA/...``."""
        section, _, rest = path.partition("/")
        schema, _, place = rest.partition("/")
        if not self.moves_arrays:
            return path
        if schema not in self.schemas:
            raise SettingError(
                f"The array {path} does not belong to a schema of the backup, so that it cannot have another "
                "place under another prefix. Restore the backup under its own prefix, on another server."
            )
        return f"{section}/{self.schemas[schema]}/{place}"

    def apply(self, database: Database) -> None:
        """Rename what rows of the restored schemas hold: paths of arrays, and DataJoint's lineage."""
        if not self.is_needed:
            return
        query = (
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "  # noqa: S608
            f"WHERE table_schema IN ({', '.join(['%s'] * len(self.schemas))})"
        )
        columns = database.connection.query(query, args=tuple(self.schemas.values())).fetchall()
        for schema, table, column, kind in sorted(tuple(map(str, row)) for row in columns):
            if kind.lower() in JSON_TYPES and self.moves_arrays:
                self._rename_paths(database, schema, table, column)
            elif (table, column) == ("~lineage", "lineage"):
                self._rename_lineage(database, schema, table)

    def _rename_paths(self, database: Database, schema: str, table: str, column: str) -> None:
        connection = database.connection
        name = connection.adapter.make_full_table_name(schema, table)
        column = connection.adapter.quote_identifier(column)
        if database.backend == "mysql":
            path, store = (f"JSON_UNQUOTE(JSON_EXTRACT({column}, '$.{key}'))" for key in ("path", "store"))
            changed = f"JSON_SET({column}, '$.path', CONCAT(%s, SUBSTRING({path}, %s)))"
        else:
            path, store = (f"{column}->>'{key}'" for key in ("path", "store"))
            changed = f"jsonb_set({column}::jsonb, '{{path}}', to_jsonb(%s || SUBSTRING({path}, %s)))"
        # Rows have arrays of their own schema, but freezes keep those of all.
        moved = [pair for pair in self.schemas.items() if pair[1] == schema or table == FROZEN_ARRAYS]
        for section, (old, new) in itertools.product(("_schema", "_hash"), moved):
            before, after = f"{section}/{old}/", f"{section}/{new}/"
            connection.query(
                f"UPDATE {name} SET {column} = {changed} "  # noqa: S608
                f"WHERE {store} = %s AND SUBSTRING({path}, 1, %s) = %s",
                args=(after, len(before) + 1, STORE_NAME, len(before), before),
            )

    def _rename_lineage(self, database: Database, schema: str, table: str) -> None:
        name = database.connection.adapter.make_full_table_name(schema, table)
        for old, new in self.schemas.items():
            database.connection.query(
                f"UPDATE {name} SET lineage = CONCAT(%s, SUBSTRING(lineage, %s)) "  # noqa: S608
                "WHERE SUBSTRING(lineage, 1, %s) = %s",
                args=(f"{new}.", len(old) + 2, len(old) + 1, f"{old}."),
            )
