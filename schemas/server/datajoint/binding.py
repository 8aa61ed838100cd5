"""Binding table classes to a database."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from schemas.server.datajoint import dj, from_camel_case
from vbn.errors import SettingError


class _NoDatabase:
    """Connection and heading of a class before it is bound: any use raises an error that says what to do."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # probed by Python's own tools
            raise AttributeError(name)
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise SettingError("There is no connection to a database yet. Call schemas.connect() first.")

    __getitem__ = __contains__ = __iter__ = __len__ = __add__ = __radd__ = _refuse


class Schema(dj.Schema):
    """A database schema whose table classes, while unbound, raise an error that says what to do."""

    database: str | None
    connection: Any
    declare_list: list[tuple[Any, dict[str, Any]]]

    def __call__(self, cls: type, *, context: dict[str, Any] | None = None) -> type:
        """Register a table class."""
        super().__call__(cls, context=context or sys._getframe(1).f_locals)
        if not self.is_activated():
            for part in part_classes(cls):
                part._master = cls
            for table in (cls, *part_classes(cls)):
                table._connection = table._heading = table._support = table.database = _NoDatabase()
        return cls

    @property
    def masters(self) -> list[Any]:
        """The table classes, without parts."""
        return [cls for cls, _ in self.declare_list]

    def bind(self, name: str, connection: Any, *, create: bool) -> None:
        """Bind the table classes to a database's schema.

        Parameters
        ----------
        name : name of the schema on the server.
        connection : connection to the server.
        create : whether to create the schema and tables if they are missing.
        """
        if self.database == name and self.connection is connection:
            if create:
                self._declare_missing()
            return
        self.release()
        self.activate(name, connection=connection, create_schema=create, create_tables=create)

    def release(self) -> None:
        """Part the schema from its database."""
        _release(self, self.masters)

    def _declare_missing(self) -> None:
        self.create_tables = True
        for cls, context in self.declare_list:
            self._decorate_master(cls, context)


def rebind(schema: Any, masters: list[Any], connection: Any) -> None:
    """Bind the classes of any activated schema of DataJoint to another connection, on which it exists."""
    name = schema.database
    _release(schema, masters)
    schema.activate(name, connection=connection, create_schema=False, create_tables=False)
    for cls in masters:
        schema._decorate_master(cls, cls.declaration_context)


def _release(schema: Any, masters: list[Any]) -> None:
    for cls in masters:  # DataJoint appends the definition on each activation
        cls.__doc__ = (cls.__doc__ or "").split("\nTable definition:\n")[0]
    if schema.connection is not None:
        # Otherwise DataJoint keeps reading the dependencies of every schema that was ever activated.
        schema.connection.schemas.pop(schema.database, None)
    schema.database = schema.connection = None


def part_classes(cls: type) -> list[Any]:
    """Return the part tables that a master class defines."""
    return [
        member for member in vars(cls).values() if isinstance(member, type) and issubclass(member, dj.Part)
    ]


def table_names(cls: Any) -> Iterator[str]:
    """Yield the names on the server of a table, its parts and its job table."""
    yield cls.table_name
    for part in part_classes(cls):
        yield f"{cls.table_name}__{from_camel_case(part.__name__)}"
    if issubclass(cls, dj.Imported | dj.Computed):
        yield f"~~{cls.table_name.lstrip('_')}"


@contextlib.contextmanager
def tables_known_to_exist(names: Collection[str] | None = None) -> Iterator[None]:
    """Bind classes without a query per table: a single one has already found the tables that exist.

    Parameters
    ----------
    names : the tables that exist, as ``schema.table``; the server is asked for others. None: all exist.
    """
    is_declared = dj.Table.is_declared

    def is_known(table: Any) -> bool:
        return names is None or f"{table.database}.{table.table_name}" in names or is_declared.fget(table)

    dj.Table.is_declared = property(is_known)
    try:
        yield
    finally:
        dj.Table.is_declared = is_declared
