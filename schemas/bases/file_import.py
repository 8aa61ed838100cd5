"""What all tables that are imported from a session's file have in common."""

from __future__ import annotations

from typing import Any

from schemas import session
from schemas.bases.provenance import MadeWith
from schemas.server.datajoint import dj


class FileImport(MadeWith, dj.Imported):
    """A table with one entry per registered file."""

    def make_fetch(self, key: dict[str, Any]) -> tuple[Any, ...]:
        """Fetch where the file is."""
        return ((session.NwbFile & key).fetch1(),)
