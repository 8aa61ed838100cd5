"""Table classes, and the database that they are bound to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from schemas.server.datajoint import dj
from vbn.errors import SettingError


class _NoDatabase:
    """What a class has for connection and heading before it is bound: an error in words at any use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by Python's own tools, whether there is such a thing
            raise AttributeError(name)
        self._refuse()

    def _refuse(self, *_: Any) -> NoReturn:
        raise SettingError("There is no connection to a database yet. Call schemas.connect() first.")

    __getitem__ = __contains__ = __iter__ = __len__ = __add__ = __radd__ = _refuse


class Schema(dj.Schema):
    """A database schema, whose table classes say what to do while they are bound to none."""

    database: str | None
    connection: Any

    def __call__(self, cls: type, *, context: dict[str, Any] | None = None) -> type:
        """Note a table class."""
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
        name : of the schema on the server.
        connection : to the server.
        create : whether schema and tables that are not there are made.
        """
        if self.database == name and self.connection is connection:
            if create:
                self._declare_absent()
            return
        for cls in self.masters:  # DataJoint appends the definition on each activation
            cls.__doc__ = (cls.__doc__ or "").split("\nTable definition:\n")[0]
        if self.connection is not None:
            # DataJoint reads the dependencies of all schemas that were ever activated, each time anew.
            self.connection.schemas.pop(self.database, None)
        self.database = self.connection = None
        self.activate(name, connection=connection, create_schema=create, create_tables=create)

    def _declare_absent(self) -> None:
        self.create_tables = True
        for cls, context in self.declare_list:
            self._decorate_master(cls, context)


def part_classes(cls: type) -> list[Any]:
    """Return the part tables that a master class defines."""
    return [
        member for member in vars(cls).values() if isinstance(member, type) and issubclass(member, dj.Part)
    ]


@contextlib.contextmanager
def tables_known_to_exist() -> Iterator[None]:
    """Bind classes to tables that were all found by one question: DataJoint asks for each of them again."""
    asking = dj.Table.is_declared
    dj.Table.is_declared = property(lambda _table: True)
    try:
        yield
    finally:
        dj.Table.is_declared = asking
