"""Saving database and array store together into a folder, and bringing them back.

::

    DIR/manifest.json       what was saved, with hashes; written last, so that a folder with it is whole
    DIR/database-TIME.sql.gz, or .pgdump of PostgreSQL
    DIR/store/...           the arrays that rows refer to, under the paths that they have in the store
    DIR/copied.jsonl        hashes of what is copied already, while a backup is under way
"""

from __future__ import annotations

from populate.admin.backup.create import back_up
from populate.admin.backup.manifest import BackupManifest
from populate.admin.backup.restore import check, restore

__all__ = ["BackupManifest", "back_up", "check", "restore"]
