"""The three packages under a unique name.

>>> from vbn_datajoint import schemas

``schemas``, ``populate`` and ``vbn`` are short names: a notebook's folder may hold a ``schemas.py``, a
pipeline its ``populate.py``, and PyPI has unrelated packages of two of these names. Python uses the first
that it finds. Imports through this package always find ours, the same modules as ``import schemas``.

This module imports none of our packages, as they may be the ones that cannot be found, and runs no file of
others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

NAMES = ("vbn", "schemas", "populate")
"""Each package imports those before it."""
HOME = Path(__file__).resolve().parents[1]
MARK = "Visual Behavior Neuropixels"
"""Text in ``__init__.py`` of each package."""


def in_front_of(name: str, path: Sequence[str] | None = None) -> str | None:
    """Return the file or folder that an import would find in place of one of our packages.

    Parameters
    ----------
    name : name of the package.
    path : folders to search, by default ``sys.path``.

    Returns
    -------
    str or None
        None if the import finds ours, or nothing.
    """
    spec = PathFinder.find_spec(name, path)
    return None if spec is None else _unless_ours(name, spec.origin, spec.submodule_search_locations)


def problem_with(name: str) -> str | None:
    """Return why a package cannot be imported in this process even through this one, or None."""
    file = _first_file(name)
    if not file.is_file() or MARK not in file.read_text(encoding="utf-8", errors="replace"):
        return (
            f"{str(file)!r} is not the file of vbn-datajoint: another package with a {name!r} was installed "
            "or removed there. Uninstall it, then install vbn-datajoint again with pip's --force-reinstall."
        )
    if (module := sys.modules.get(name)) is None:
        return None
    other = _unless_ours(name, getattr(module, "__file__", None), getattr(module, "__path__", None))
    return other and (
        f"This process has imported {name!r} from {other!r} already, and vbn-datajoint needs that name. "
        "Start Python anew and import from vbn_datajoint first, or rename that file if you need both."
    )


def _unless_ours(name: str, file: str | None, folders: Sequence[str] | None) -> str | None:
    """Return the path of a module, unless it is our package of that name."""
    place = file or next(iter(folders or ()), "no file")
    return None if Path(place).resolve() == _first_file(name) else place


def _first_file(name: str) -> Path:
    return HOME / name / "__init__.py"


class _Finder(MetaPathFinder):
    """Finds our packages, even if others come first, once they are imported through this one."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.wanted:
            return PathFinder.find_spec(fullname, [str(HOME)])
        package, _, rest = fullname.partition(".")
        name = rest.partition(".")[0]
        if package != __name__ or name not in NAMES:
            return None
        self._want(name)
        return ModuleSpec(fullname, _SameModule())

    def _want(self, name: str) -> None:
        """Make imports of a package, and of those that it imports, find ours; leave the others alone."""
        for each in NAMES[: NAMES.index(name) + 1]:
            if problem := problem_with(each):
                raise ImportError(problem, name=each)
            self.wanted.add(each)


class _SameModule(Loader):
    """Loads ``vbn_datajoint.schemas.psth`` as ``schemas.psth``, so that no table is defined twice."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(module.__name__.partition(".")[2])


sys.meta_path.insert(0, _Finder())


def __getattr__(name: str) -> Any:
    """Import one of the packages on first use."""
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES})
