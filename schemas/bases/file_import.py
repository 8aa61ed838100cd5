"""Base class of the tables that are imported from a session's NWB file."""

from __future__ import annotations

from typing import Any

from schemas import session
from schemas.bases.provenance import MadeWith
from schemas.server.datajoint import dj


class FileImport(MadeWith, dj.Imported):
    """A table with one entry per registered file."""

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch the location of the file."""
        return ((session.NwbFile & key).fetch1(),)
