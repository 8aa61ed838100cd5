"""Tables of the lab's own, in modules of its own, beside those of this package.

A module begins with ``schema = schemas.lab_schema("mylab")`` and declares its tables with ``@schema``. Such a
schema follows the prefix of the database and is activated by `schemas.connect`. Modules that activate a
``dj.Schema("name")`` themselves are adopted as they are. `schemas.deploy.lab_modules` finds and binds both.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from schemas.bases.registry import MODULES, tables
from schemas.server import restoring
from schemas.server.datajoint.binding import Schema, part_classes, rebind
from vbn.errors import SettingError


class LabSchema(Schema):
    """A schema of the lab, named after the prefix of the database.

    Parameters
    ----------
    name : name of the schema, without the prefix.
    module : name of the module that declares it.

    Attributes
    ----------
    checked : the table classes that were found to be as they must be.
    """

    def __init__(self, name: str, module: str) -> None:
        super().__init__()
        self.name, self.module = name, module
        self.checked: list[Any] = []

    def full_name(self, prefix: str) -> str:
        """Return the name of the schema on the server."""
        return prefix + self.name

    def __call__(self, cls: type, *, context: dict[str, Any] | None = None) -> type:
        """Register a table class, in place of an earlier one of its name: a notebook runs cells again."""
        self.declare_list = [each for each in self.declare_list if each[0].__name__ != cls.__name__]
        context = context or inspect.currentframe().f_back.f_locals  # type: ignore[union-attr]
        if self.is_activated():  # remembered, as it is bound again to other connections
            self.declare_list.append((cls, context))
        return super().__call__(cls, context=context)


class AdoptedSchema:
    """A schema that a module of the lab has activated under a name of its own.

    Parameters
    ----------
    schema : DataJoint's object.
    module : name of the module that declares it.
    masters : its table classes, without parts.
    """

    def __init__(self, schema: Any, module: str, masters: list[Any]) -> None:
        self.schema, self.module, self.masters = schema, module, masters
        self.checked: list[Any] = []

    @property
    def database(self) -> str:
        """The name of the schema on the server."""
        return str(self.schema.database)

    @property
    def connection(self) -> Any:
        """The connection that its classes use."""
        return self.schema.connection

    def is_activated(self) -> bool:
        """Return whether the tables were found to be as they must be."""
        return bool(self.checked)

    def release(self) -> None:
        """Leave the tables out until they are bound again."""
        self.checked = []

    def full_name(self, _prefix: str) -> str:
        """Return the name of the schema on the server."""
        return self.database

    def bind(self, _name: str, connection: Any, *, create: bool) -> None:
        """Bind the table classes to another connection; the module has made the tables by itself."""
        if self.connection is not connection:
            rebind(self.schema, self.masters, connection)


_declared: list[LabSchema | AdoptedSchema] = []


def lab_schema(name: str) -> LabSchema:
    """Return a schema for tables of your own; ``schemas.connect()`` activates it.

    Parameters
    ----------
    name : its name on the server, after the prefix: ``mylab`` is ``vbn_mylab``.

    Raises
    ------
    SettingError
        If the name cannot be used, or is that of a schema of this package.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", name):
        raise SettingError(
            f"The name '{name}' cannot be used for a schema: it must consist of lower-case letters, digits "
            "and underscores, start with a letter and have at most 24 characters."
        )
    if name in (*MODULES, restoring.NAME):
        raise SettingError(f"The schema '{name}' is one of this package. Choose another name for yours.")
    module = str(inspect.currentframe().f_back.f_globals.get("__name__", "__main__"))  # type: ignore[union-attr]
    for known in declared():
        if isinstance(known, LabSchema) and (known.name, known.module) == (name, module):
            forget(known)  # a cell of a notebook that is run again
    schema = LabSchema(name, module)
    declare(schema)
    return schema


def declare(schema: LabSchema | AdoptedSchema) -> None:
    """Add a schema to those of the lab."""
    _declared.append(schema)


def forget(schema: LabSchema | AdoptedSchema) -> None:
    """Remove a schema from those of the lab."""
    _declared.remove(schema)


def declared() -> list[LabSchema | AdoptedSchema]:
    """Return the schemas of the lab that were declared in this process."""
    return list(_declared)


def lab_schemas() -> list[LabSchema | AdoptedSchema]:
    """Return the schemas of the lab that are bound to the database."""
    return [schema for schema in _declared if schema.is_activated()]


def lab_tables(*tiers: type) -> list[Any]:
    """Return the lab's master table classes in dependency order, of the given tiers (default: all)."""
    found = [cls for schema in lab_schemas() for cls in schema.masters if not tiers or issubclass(cls, tiers)]
    # Whatever a table depends on has fewer tables above it.
    return sorted(found, key=lambda cls: len(cls().ancestors())) if found else []


def all_tables(*tiers: type) -> list[Any]:
    """Return the tables of this package, then those of the lab, each in dependency order."""
    return [*tables(*tiers), *lab_tables(*tiers)]


def with_parts(masters: list[Any]) -> list[Any]:
    """Return tables, each followed by its parts."""
    return [table for cls in masters for table in (cls, *part_classes(cls))]
