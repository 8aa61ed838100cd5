"""The tables of the Visual Behavior Neuropixels database.

>>> import schemas                      # opens no connection
>>> from schemas import ecephys         # doctest: +SKIP
>>> schemas.connect()                   # doctest: +SKIP
>>> ecephys.Recording.Unit & 'snr > 1'  # doctest: +SKIP

``session``, ``ecephys``, ``behavior`` and ``stimulus`` hold what the files hold; ``psth``,
``performance`` and ``optotagging`` what is computed from them.
"""

from __future__ import annotations

from schemas.deploy.connect import connect
from schemas.server.connection import Database, disconnect

__all__ = ["Database", "connect", "disconnect"]
