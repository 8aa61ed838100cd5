"""The modules that define tables, in the order of their dependencies, and the tables in them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from schemas.server.datajoint import dj

# In dependency order: a module's tables refer to those of the modules before it.
MODULES = (
    "session", "ecephys", "behavior", "stimulus", "selection", "psth", "optotagging", "performance",
    "responses", "administration",
)  # fmt: skip


def schema_names(prefix: str) -> list[str]:
    """Return the names of the schemas of a prefix, in dependency order."""
    return [prefix + name for name in MODULES]


def modules() -> list[ModuleType]:
    """Return the modules that define tables, in dependency order."""
    return [importlib.import_module(f"schemas.{name}") for name in MODULES]


def tables(*tiers: type) -> list[type]:
    """Return the master table classes in dependency order, of the given tiers (default: all)."""
    found = (cls for module in modules() for cls, _ in module.schema.declare_list)
    return [cls for cls in found if not tiers or issubclass(cls, tiers)]


def part_classes(cls: type) -> list[Any]:
    """Return the part tables that a master class defines."""
    return [
        member for member in vars(cls).values() if isinstance(member, type) and issubclass(member, dj.Part)
    ]


def schema_module_name(schema: Any) -> str:
    """Return the module that a schema object belongs to, such as ``ecephys``."""
    return next(name for name in MODULES if importlib.import_module(f"schemas.{name}").schema is schema)
