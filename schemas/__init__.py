"""The tables of the Visual Behavior Neuropixels database.

>>> import schemas                      # opens no connection
>>> from schemas import ecephys         # doctest: +SKIP
>>> schemas.connect()                   # doctest: +SKIP
>>> ecephys.Recording.Unit & 'snr > 1'  # doctest: +SKIP

``session``, ``ecephys``, ``behavior`` and ``stimulus`` contain the data of the files; ``selection``,
``psth``, ``optotagging``, ``performance``, ``responses``, ``encoding``, ``interactions``, ``decoding`` and
``strategy`` contain what is computed from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vbn.interruption import holding_interruptions

with holding_interruptions():
    from schemas.server.connection import Database, disconnect

if TYPE_CHECKING:
    from schemas.bases.lab import lab_schema
    from schemas.deploy.connect import connect
    from schemas.deploy.connect import open_published as open  # noqa: A004
    from schemas.deploy.frozen import open_frozen as frozen

__all__ = ["Database", "connect", "disconnect", "frozen", "lab_schema", "open"]


def __getattr__(name: str) -> Any:
    """Import a function on first use: they import tables and readers, which the settings do not need."""
    if name not in ("connect", "frozen", "lab_schema", "open"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with holding_interruptions():
        if name == "lab_schema":
            from schemas.bases.lab import lab_schema

            return lab_schema
        if name == "frozen":
            from schemas.deploy.frozen import open_frozen

            return open_frozen
        from schemas.deploy.connect import connect, open_published

    return open_published if name == "open" else connect


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
