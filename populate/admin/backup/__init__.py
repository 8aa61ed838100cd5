"""Backing up database and array store together into a folder, and restoring them.

::

    DIR/manifest.json       what was saved, with hashes; written last, so that a folder with it is complete
    DIR/database-TIME.sql.gz, or .pgdump of PostgreSQL
    DIR/store/...           the arrays that rows refer to, under their paths in the store
    DIR/copied.jsonl        hashes of the files copied so far, during a backup
    DIR/lock                held by whoever writes or reads the folder
"""

from __future__ import annotations

from populate.admin.backup.create import back_up
from populate.admin.backup.manifest import BackupManifest
from populate.admin.backup.rehearsal import rehearse
from populate.admin.backup.restore import check, restore, undo
from populate.admin.backup.rotation import back_up_and_rotate

__all__ = ["BackupManifest", "back_up", "back_up_and_rotate", "check", "rehearse", "restore", "undo"]
