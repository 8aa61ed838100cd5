"""The tables of the Visual Behavior Neuropixels database.

>>> import schemas                      # opens no connection
>>> from schemas import ecephys         # doctest: +SKIP
>>> schemas.connect()                   # doctest: +SKIP
>>> ecephys.Recording.Unit & 'snr > 1'  # doctest: +SKIP

``session``, ``ecephys``, ``behavior`` and ``stimulus`` contain the data of the files; ``selection``,
``psth``, ``optotagging``, ``performance`` and ``responses`` contain what is computed from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vbn.interruption import holding_interruptions

with holding_interruptions():
    from schemas.server.connection import Database, disconnect

if TYPE_CHECKING:
    from schemas.deploy.connect import connect

__all__ = ["Database", "connect", "disconnect"]


def __getattr__(name: str) -> Any:
    """Import `connect` on first use: it imports all tables and readers, which the settings do not need."""
    if name != "connect":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with holding_interruptions():
        from schemas.deploy.connect import connect

    return connect


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
