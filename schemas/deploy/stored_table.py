"""Changes of the columns of a table on the server, which may be made again after an interruption."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.server.connection import Database
from schemas.server.datajoint.headings import LINEAGE


class ColumnType(NamedTuple):
    """A type of DataJoint's, and what it is on either server."""

    name: str
    mysql: str
    postgresql: str


FLOAT = ColumnType("float64", "double", "double precision")
INTEGER = ColumnType("int32", "int", "integer")
SMALL_INTEGER = ColumnType("int16", "smallint", "smallint")
TEXT = ColumnType("varchar(255)", "varchar(255)", "varchar(255)")
NAME = ColumnType("varchar(64)", "varchar(64)", "varchar(64)")
FLAG = ColumnType("bool", "tinyint", "boolean")
TIME = ColumnType("datetime(6)", "datetime(6)", "timestamp(6) without time zone")
BLOB = ColumnType("<blob>", "longblob", "bytea")


REFERRING = {
    "mysql": "SELECT DISTINCT table_schema FROM information_schema.key_column_usage "
    "WHERE referenced_table_schema = %s",
    "postgresql": "SELECT DISTINCT from_schema.nspname FROM pg_constraint "
    "JOIN pg_class referring ON referring.oid = conrelid JOIN pg_class referred ON referred.oid = confrelid "
    "JOIN pg_namespace from_schema ON from_schema.oid = referring.relnamespace "
    "JOIN pg_namespace to_schema ON to_schema.oid = referred.relnamespace WHERE to_schema.nspname = %s",
}
"""Server -> schemas with a foreign key to a schema."""


@dataclass(frozen=True)
class StoredTable:
    """A table on the server; what does not exist, or is changed already, is left as it is.

    Attributes
    ----------
    module : name of the schema without the prefix.
    table : name of the table on the server.
    """

    database: Database
    module: str
    table: str

    def columns(self) -> set[str]:
        """Return the names of the columns; none if there is no table."""
        query = (
            "SELECT column_name FROM information_schema.columns WHERE (table_schema, table_name) = (%s, %s)"
        )
        args = (self._schema, self.table)
        return {row[0] for row in self.database.connection.query(query, args=args).fetchall()}

    def drop(self, *names: str) -> None:
        """Drop columns with their values."""
        for name in self.columns() & set(names):
            self._alter(f"DROP COLUMN {self._quoted(name)}")

    def rename(self, name: str, other: str) -> None:
        """Rename a column, unless there is one of the other name already; foreign keys to it stay."""
        columns = self.columns()
        if name in columns and other not in columns:
            self._alter(f"RENAME COLUMN {self._quoted(name)} TO {self._quoted(other)}")
        origin = f"{self._schema}.{self.table}."
        for number, lineage in enumerate(self._lineages()):
            change = f"UPDATE {lineage} SET lineage = %s WHERE lineage = %s"  # noqa: S608
            self._query(change, origin + other, origin + name)
            if number == 0:
                change = f"UPDATE {lineage} SET attribute_name = %s WHERE (table_name, attribute_name) = "  # noqa: S608
                self._query(f"{change}(%s, %s)", other, self.table, name)

    def rename_all(self, pattern: str, replacement: str) -> None:
        """Rename the columns that match a regular expression."""
        for name in sorted(self.columns()):
            if (other := re.sub(pattern, replacement, name)) != name:
                self.rename(name, other)

    def rename_table(self, other: str) -> StoredTable:
        """Rename the table, and return it; foreign keys to it stay."""
        if self.columns():
            place = self._name_of(self._schema, other) if self._is_mysql else self._quoted(other)
            self._alter(f"RENAME TO {place}")
        old, new = (f"{self._schema}.{table}." for table in (self.table, other))
        for number, lineage in enumerate(self._lineages()):
            change = f"UPDATE {lineage} SET lineage = REPLACE(lineage, %s, %s) WHERE LEFT(lineage, %s) = %s"  # noqa: S608
            self._query(change, old, new, len(old), old)
            if number == 0:
                change = f"UPDATE {lineage} SET table_name = %s WHERE table_name = %s"  # noqa: S608
                self._query(change, other, self.table)
        return StoredTable(self.database, self.module, other)

    def add(self, name: str, kind: ColumnType, comment: str, after: str) -> None:
        """Add a column of NULL with its comment; on MySQL after another, on PostgreSQL as the last."""
        columns = self.columns()
        if columns and name not in columns:
            place = f" AFTER {self._quoted(after)}" if self._is_mysql else ""
            self._alter(f"ADD COLUMN {self._quoted(name)} {self._type(kind)}{place}")
        self.describe(name, kind, comment)

    def add_with_default(self, name: str, kind: ColumnType, comment: str, after: str, default: str) -> None:
        """Add a column that is never NULL, with a text as its default, also in the rows that are there."""
        columns = self.columns()
        if not columns:
            return
        text, declared = f":{kind.name}:{comment}", f"{self._type(kind)} NOT NULL DEFAULT '{default}'"
        if name not in columns:
            place = f" AFTER {self._quoted(after)}" if self._is_mysql else ""
            self._alter(f"ADD COLUMN {self._quoted(name)} {declared}{place}")
        if self._is_mysql:
            self._alter(f"MODIFY {self._quoted(name)} {declared} COMMENT %s", text)
        else:
            self._query(f"COMMENT ON COLUMN {self._full_name}.{self._quoted(name)} IS %s", text)

    def add_all(self, kind: ColumnType, comments: Mapping[str, str], after: str) -> None:
        """Add columns of one type, each after the one before."""
        for name, comment in comments.items():
            self.add(name, kind, comment, after)
            after = name

    def describe(self, name: str, kind: ColumnType, comment: str, *, nullable: bool = True) -> None:
        """Give a column the comment that DataJoint gives one with this type and description."""
        if name not in self.columns():
            return
        text = f":{kind.name}:{comment}"
        if self._is_mysql:
            null = "DEFAULT NULL" if nullable else "NOT NULL"
            self._alter(f"MODIFY {self._quoted(name)} {kind.mysql} {null} COMMENT %s", text)
        else:
            self._query(f"COMMENT ON COLUMN {self._full_name}.{self._quoted(name)} IS %s", text)

    def allow_null(self, name: str, kind: ColumnType, comment: str) -> None:
        """Let a column be NULL, and describe it anew."""
        if name in self.columns() and not self._is_mysql:
            self._alter(f"ALTER COLUMN {self._quoted(name)} DROP NOT NULL")
        self.describe(name, kind, comment)  # on MySQL the whole column, NULL allowed

    def clear(self, names: Iterable[str], key: str, where: str) -> None:
        """Make values NULL in some rows; nothing if the table lacks the columns.

        Parameters
        ----------
        names : columns that may be NULL.
        key : columns that name the rows, with commas.
        where : condition on these, such as ``NOT IN (SELECT ...)``; tables in braces are of the same schema.
        """
        if set(names) <= self.columns():
            named = re.sub(r"{(\w+)}", lambda found: self._name_of(self._schema, found[1]), where)
            values = ", ".join(f"{self._quoted(name)} = NULL" for name in names)
            self._query(f"UPDATE {self._full_name} SET {values} WHERE ({key}) {named}")  # noqa: S608

    def change_contents(self, change: Callable[[str, dict[str, Any]], Any]) -> list[str]:
        """Change the contents of a table of parameter sets in place; return the names of those that differ.

        Deploying hashes them anew.
        """
        key, columns = self.table.lstrip("#"), self.columns()
        column = f"{key.removesuffix('_params')}_content"
        if column not in columns:
            return []
        key = key if key in columns else key.removesuffix("_params")
        changed = []
        names = f"{self._quoted(key)}, {self._quoted(column)}"
        rows = self.database.connection.query(f"SELECT {names} FROM {self._full_name}").fetchall()  # noqa: S608
        for name, held in rows:
            content = json.loads(held) if isinstance(held, str) else held
            before = copy.deepcopy(content)
            change(name, content)
            if content != before:
                place = f"{self._quoted(column)} = %s WHERE {self._quoted(key)} = %s"
                self._query(f"UPDATE {self._full_name} SET {place}", json.dumps(content), name)  # noqa: S608
                changed.append(name)
        return changed

    def _lineages(self) -> list[str]:
        """Return DataJoint's tables of where attributes come from, by which it joins.

        That of the table's schema comes first, then those of schemas that refer to it, of whatever package.
        """
        present = "SELECT table_schema FROM information_schema.tables WHERE table_name = %s"
        query = self.database.connection.query
        having = {schema for (schema,) in query(present, args=(LINEAGE,)).fetchall()}
        found = [self._schema]
        for schema in found:  # grows during the loop
            rows = query(REFERRING[self.database.backend], args=(schema,)).fetchall()
            found += [each for (each,) in rows if each not in found]
        return [self._name_of(schema, LINEAGE) for schema in found if schema in having]

    @property
    def _is_mysql(self) -> bool:
        return self.database.backend == "mysql"

    @property
    def _full_name(self) -> str:
        return self._name_of(self._schema, self.table)

    @property
    def _schema(self) -> str:
        return f"{self.database.prefix}{self.module}"

    def _name_of(self, schema: str, table: str) -> str:
        return str(self.database.connection.adapter.make_full_table_name(schema, table))

    def _quoted(self, name: str) -> str:
        return str(self.database.connection.adapter.quote_identifier(name))

    def _type(self, kind: ColumnType) -> str:
        return kind.mysql if self._is_mysql else kind.postgresql

    def _alter(self, change: str, *args: Any) -> None:
        self._query(f"ALTER TABLE {self._full_name} {change}", *args)

    def _query(self, statement: str, *args: Any) -> None:
        self.database.connection.query(statement, args=args)
