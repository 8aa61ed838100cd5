"""Libraries that an installation need not have."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

from vbn.errors import SettingError

OLDEST = {"h5netcdf": "1.6", "polars": "1.20", "pynapple": "0.10", "zarr": "3.1.3"}
"""Versions from which these libraries have what is used here, as in the extra ``tools`` of this package."""


def require_library(module: str) -> Any:
    """Return a module of an optional library.

    Parameters
    ----------
    module : its name, such as ``polars`` or ``spikeinterface.core``.

    Raises
    ------
    SettingError
        If the library is not installed or too old, with the command that installs it.
    """
    library = module.partition(".")[0]
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise  # the library is there, and lacks one of its own
        raise SettingError(f"This needs {library}. Run: pip install {library}") from error
    _require_version(library)
    return found


def _require_version(library: str) -> None:
    from packaging.version import Version

    oldest = OLDEST.get(library)
    installed = metadata.version(library) if oldest else ""
    if oldest and Version(installed) < Version(oldest):
        raise SettingError(
            f"This needs {library} {oldest} or newer; {installed} is installed, as another package may "
            f"ask. Run: pip install '{library}>={oldest}', if need be in an environment of its own."
        )
