"""Libraries that an installation need not have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vbn.errors import SettingError


def require_library(module: str) -> Any:
    """Return a module of an optional library.

    Parameters
    ----------
    module : its name, such as ``polars`` or ``spikeinterface.core``.

    Raises
    ------
    SettingError
        If the library is not installed, with the command that installs it.
    """
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library:
            raise  # the library is there, and lacks one of its own
        raise SettingError(f"This needs {library}. Run: pip install {library}") from error
