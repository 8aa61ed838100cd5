"""A sign of what has been written to the server: while it stays the same, answers stay good."""

from __future__ import annotations

from schemas.server.connection import active

SIGNS = {
    # Which transactions can be seen: those that only read have no number.
    "postgresql": "SELECT CAST(pg_current_snapshot() AS text)",
    # Requests to write to the redo log: a commit makes one too, reading makes none.
    "mysql": "SHOW GLOBAL STATUS LIKE 'Innodb_log_write_requests'",
}


def sign_of_writes() -> str:
    """Return a text that differs once anything has been written, by whomever, to any database of the server.

    It takes a fraction of a millisecond, and no privilege. It may differ without a write, too.
    """
    database = active()
    return str(database.connection.query(SIGNS[database.backend]).fetchall())
