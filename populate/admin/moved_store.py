"""Saying that an array store is now a database's: after its arrays were moved or copied there."""

from __future__ import annotations

from populate.admin.snapshot import Snapshot
from schemas.files.store_identity import claim_store
from schemas.server.access import require_admin
from schemas.server.connection import Database, server_lock


def claim(database: Database) -> None:
    """Make this machine's array store the database's; machines with any other are refused from now on.

    Raises
    ------
    WrongStoreError
        If an array that a row refers to is not there.
    RefusedError
        If the account may not do this.
    """
    require_admin(database, "name another array store")
    with server_lock("deploy", database):
        with Snapshot.taken(database) as snapshot:
            arrays = snapshot.arrays()
        claim_store(database, arrays)
