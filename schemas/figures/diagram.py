"""The tables and their dependencies, for a diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.bases.parameter_table import ParameterTable
from schemas.bases.registry import MODULES, part_classes
from schemas.bases.registry import modules as all_modules
from vbn.plots.tables import TableDiagram


def table_diagram(modules: Sequence[str] = MODULES) -> TableDiagram:
    """Return the tables of some modules and the tables that they refer to, without parameter tables.

    Parameters
    ----------
    modules : names of modules, such as ``ecephys``; all by default.
    """
    found = {module.__name__.rpartition(".")[2]: module for module in all_modules()}
    chosen: dict[str, Any] = {}
    named: dict[str, str] = {}
    for module in modules:
        for cls in found[module].schema.masters:
            if not issubclass(cls, ParameterTable):
                chosen |= {table().full_table_name: cls for table in (cls, *part_classes(cls))}
                named[cls.__name__] = module
    edges = [
        (chosen[parent].__name__, cls.__name__)
        for cls in dict.fromkeys(chosen.values())
        for parent in cls().parents()
        if chosen.get(parent, cls) is not cls
    ]
    connected = {name for edge in edges for name in edge}
    return TableDiagram(
        {name: module for name, module in named.items() if name in connected}, tuple(sorted(set(edges)))
    )
