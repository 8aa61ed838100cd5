"""The tables of the Visual Behavior Neuropixels database.

>>> import schemas                      # opens no connection
>>> from schemas import ecephys         # doctest: +SKIP
>>> schemas.connect()                   # doctest: +SKIP
>>> ecephys.Recording.Unit & 'snr > 1'  # doctest: +SKIP

``session``, ``ecephys``, ``behavior`` and ``stimulus`` hold what the files hold; ``psth``,
``performance`` and ``optotagging`` what is computed from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.server.connection import Database, disconnect

if TYPE_CHECKING:
    from schemas.deploy.connect import connect

__all__ = ["Database", "connect", "disconnect"]


def __getattr__(name: str) -> Any:
    """Load `connect` when it is asked for: with it come tables and readers, which settings can do without."""
    if name != "connect":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from schemas.deploy.connect import connect

    return connect


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
