"""Reservations that dead workers left behind, and what they left in the store.

A worker that is killed leaves its job reserved, and perhaps array files that no row refers to.
Whether it lives is read from the server's list of connections and, on its own machine, from the
process table; never from the age of the reservation alone, so that a slow worker is not robbed.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from schemas._datajoint import dj
from schemas.store import discard_leftovers

Key = dict[str, Any]


def return_dead(instances: Sequence[Any]) -> int:
    """Return the reservations of dead workers to the queue; return how many there were."""
    returned = 0
    for table, row in _dead(instances):
        key = {name: row[name] for name in table.jobs.primary_key}
        discard_leftovers(table, key)
        condition = {**key, "connection_id": row["connection_id"], "pid": row["pid"]}
        returned += (table.jobs.reserved & condition).delete_quick(get_count=True)
    return returned


def count_dead(instances: Sequence[Any]) -> int:
    """Return how many reservations of dead workers there are."""
    return sum(1 for _ in _dead(instances))


def _dead(instances: Sequence[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    server = _Server.look(dj.conn())
    for table in instances:
        for row in table.jobs.reserved.to_dicts():
            if not server.is_alive(row):
                yield table, row


@dataclass(frozen=True)
class _Server:
    """Who is connected to the server, and what time it has."""

    connections: frozenset[int]
    now: datetime
    account: str | None  # on MySQL an account may see its own connections only

    @classmethod
    def look(cls, connection: Any) -> _Server:
        is_mysql = connection.adapter.backend == "mysql"
        listing = (
            "SELECT id FROM performance_schema.processlist"
            if is_mysql
            else "SELECT pid FROM pg_stat_activity"
        )
        ids = frozenset(int(row[0]) for row in connection.query(listing).fetchall())
        now = connection.query("SELECT CURRENT_TIMESTAMP(3)").fetchone()[0].replace(tzinfo=None)
        return cls(ids, now, connection.get_user().split("@")[0] if is_mysql else None)

    def is_alive(self, row: dict[str, Any]) -> bool:
        """Tell whether the worker of a reservation lives, or may live.

        Its connection is the witness. A worker that reconnected has another one; on this machine
        its process speaks for it.
        """
        if row["connection_id"] in self.connections:
            return True
        if self.account is not None and row["user"].split("@")[0] != self.account:
            return True
        if row["host"] != platform.node():
            return False
        try:
            age_of_process = time.time() - psutil.Process(row["pid"]).create_time()
        except psutil.NoSuchProcess:
            return False
        # A process younger than the reservation has only inherited the number.
        return bool(age_of_process + 1 >= (self.now - row["reserved_time"]).total_seconds())
