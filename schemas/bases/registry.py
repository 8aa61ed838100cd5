"""The modules that define tables, in the order of their dependencies, and the tables in them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from schemas.server.datajoint.binding import part_classes

__all__ = ["MODULES", "modules", "part_classes", "schema_module_name", "schema_names", "tables"]

# In dependency order: a module's tables refer to those of the modules before it.
MODULES = (
    "session", "ecephys", "behavior", "stimulus", "selection", "psth", "optotagging", "performance",
    "responses", "encoding", "interactions", "decoding", "strategy", "curation", "administration",
)  # fmt: skip


def schema_names(prefix: str) -> list[str]:
    """Return the names of the schemas of a prefix, in dependency order."""
    return [prefix + name for name in MODULES]


def modules() -> list[ModuleType]:
    """Return the modules that define tables, in dependency order."""
    return [importlib.import_module(f"schemas.{name}") for name in MODULES]


def tables(*tiers: type) -> list[type]:
    """Return the master table classes in dependency order, of the given tiers (default: all)."""
    found = (cls for module in modules() for cls in module.schema.masters)
    return [cls for cls in found if not tiers or issubclass(cls, tiers)]


def schema_module_name(schema: Any) -> str:
    """Return the module that a schema object belongs to, such as ``ecephys``."""
    return next(name for name in MODULES if importlib.import_module(f"schemas.{name}").schema is schema)
