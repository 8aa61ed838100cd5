"""Reservations that dead workers left behind, and what they left in the store.

A worker that is killed leaves its job reserved, and perhaps array files that no row refers to. Whether it is
alive is read from its heartbeat (`populate.work.heartbeat`) and, on its own machine, from the process table;
never from the age of the reservation alone, so that a slow worker does not lose its job. Reservations without
a heartbeat, as DataJoint's own ``populate`` makes them, are judged by the server's list of connections.

A worker that is taken for lost may only have been cut off, and may hold a transaction open. Its connection
is ended first, so that nothing of it can be committed; when it wakes, it finds that the job is not its own.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psutil

from populate.work import heartbeat
from populate.work.jobs import job_table_name
from schemas.server.access import RefusedError
from schemas.server.connection import DRIVER_ERRORS
from schemas.server.datajoint import dj

Key = dict[str, Any]

SLACK = timedelta(seconds=2)  # the server reports its uptime in whole seconds


def return_dead(instances: Sequence[Any], fates: Mapping[int, str] | None = None) -> int:
    """Return the reservations of dead workers to the queue; return how many there were.

    Call it between jobs: reservations of this process are then left over too, from a job whose connection was
    lost.

    Parameters
    ----------
    instances : tables from `populate.work.jobs.prepared`.
    fates : what became of processes of this machine that are known to have died, by their id.
    """
    return sum(
        table.jobs.return_from(row, _fate(row, fates or {}, server.began))
        for table, row, server in _dead(instances, between_jobs=True)
    )


def _fate(row: Key, fates: Mapping[int, str], server_began: datetime) -> str:
    """Return what became of a reservation's worker; empty if it is this process, or may live.

    When the server is started again, all workers are cut off: one on another machine, that is slow to connect
    again, has not died of its job.
    """
    is_here = row["host"] == platform.node()
    if is_here and row["pid"] == os.getpid():
        return ""
    if not is_here and row["reserved_time"] < server_began:
        return ""
    if is_here and row["pid"] in fates:
        return f"The last, process {row['pid']} on {row['host']}, {fates[row['pid']]}"
    return (
        f"The last, process {row['pid']} on {row['host']}, is gone without a word: killed (perhaps because "
        "memory ran out), crashed, or its machine was lost."
    )


def count_dead(instances: Sequence[Any]) -> int:
    """Return how many reservations of dead workers there are."""
    return sum(1 for _ in _dead(instances, between_jobs=False))


def _dead(instances: Sequence[Any], *, between_jobs: bool) -> Iterator[tuple[Any, Key, _Server]]:
    reserved = [(table, row) for table in _with_reservations(instances) for row in _reservations(table)]
    if not reserved:
        return
    connection = dj.conn()
    server = _Server.look(connection)
    ours = (platform.node(), os.getpid())
    names = {row["version"]: row["host"] for _, row in reserved if row["version"].startswith(heartbeat.NAME)}
    beating = heartbeat.alive(connection, names)
    if any(host != ours[0] for name, host in names.items() if name not in beating):
        time.sleep(heartbeat.RECONNECT_S)  # perhaps one was cut off, and is about to connect again
        beating |= heartbeat.alive(connection, names)
    for table, row in reserved:
        if between_jobs and (row["host"], row["pid"]) == ours:
            yield table, row, server
        elif row["version"] not in beating and not server.is_alive(row):
            if between_jobs:
                server.end_connection(connection, row)
            yield table, row, server


def _with_reservations(instances: Sequence[Any]) -> list[Any]:
    """Return the tables with reserved jobs, by one query: usually there are none."""
    union = " UNION ALL ".join(
        f"SELECT {number} AS number FROM {job_table_name(table)} WHERE status = 'reserved'"  # noqa: S608
        for number, table in enumerate(instances)
    )
    numbers = dj.conn().query(f"SELECT DISTINCT number FROM ({union}) AS jobs").fetchall() if union else []  # noqa: S608
    return [instances[int(number)] for (number,) in sorted(numbers)]


def _reservations(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.jobs.reserved.proj(
        "host", "pid", "connection_id", "reserved_time", "user", "version", "error_message"
    ).to_dicts()
    return rows


@dataclass(frozen=True)
class _Server:
    """The server's connections with their start times, its current time and its own start, by its clock."""

    connected_since: dict[int, datetime | None]  # None where unknown
    now: datetime
    began: datetime
    account: str | None  # the only account whose connections we see; None if we see all

    @classmethod
    def look(cls, connection: Any) -> _Server:
        look = cls._look_at_mysql if connection.adapter.backend == "mysql" else cls._look_at_postgres
        return look(connection.query)

    @classmethod
    def _look_at_mysql(cls, query: Any) -> _Server:
        """Without the privilege PROCESS an account sees only its own connections.

        Connection numbers start anew when the server starts, and are unique until then.
        """
        rows = query("SELECT id, user FROM performance_schema.processlist").fetchall()
        uptime_s = int(query("SHOW GLOBAL STATUS LIKE 'Uptime'").fetchone()[1])
        start, now, user = query(
            f"SELECT FROM_UNIXTIME(UNIX_TIMESTAMP() - {uptime_s}), CURRENT_TIMESTAMP(3), USER()"
        ).fetchone()
        own = _name(user)
        sees_all = any(name != own for _, name in rows)
        return cls({int(number): start for number, _ in rows}, now, start, None if sees_all else own)

    @classmethod
    def _look_at_postgres(cls, query: Any) -> _Server:
        """A connection is numbered by its process id, and those are reused."""  # noqa: D401
        rows = query("SELECT pid, backend_start::timestamp FROM pg_stat_activity").fetchall()
        now, began = query(
            "SELECT CURRENT_TIMESTAMP(3)::timestamp, pg_postmaster_start_time()::timestamp"
        ).fetchone()
        return cls({int(number): start for number, start in rows}, now, began, None)

    def is_alive(self, row: dict[str, Any]) -> bool:
        """Return whether the worker of a reservation, whose heart does not beat, is alive, or may be.

        Without a heartbeat its connection is the evidence. A worker that reconnected has another one; on this
        machine its process counts as well.
        """
        if not row["version"].startswith(heartbeat.NAME):
            if self._is_connected(row):
                return True
            if self.account is not None and _name(row["user"]) != self.account:
                return True
        if row["host"] != platform.node():
            return False
        try:
            process = psutil.Process(row["pid"])
            if process.status() == psutil.STATUS_ZOMBIE:  # dead, and nobody has asked how it ended
                return False
            age_of_process = time.time() - process.create_time()
        except psutil.NoSuchProcess:
            return False
        # A process younger than the reservation only reuses the id. Both are durations, each measured by one
        # clock, so that the clocks of worker and server need not agree.
        return bool(age_of_process + 1 >= (self.now - row["reserved_time"]).total_seconds())

    def end_connection(self, connection: Any, row: dict[str, Any]) -> None:
        """End a lost worker's connection, which may hold a transaction open, if the account may do so."""
        if not self._is_connected(row):
            return
        number = int(row["connection_id"])
        is_mysql = connection.adapter.backend == "mysql"
        with contextlib.suppress(*DRIVER_ERRORS, RefusedError):  # it is gone, or another account's
            connection.query(f"KILL {number}" if is_mysql else f"SELECT pg_terminate_backend({number})")

    def _is_connected(self, row: dict[str, Any]) -> bool:
        """Return whether the connection that made a reservation is open; its number alone is no proof."""
        if row["connection_id"] not in self.connected_since:
            return False
        since = self.connected_since[row["connection_id"]]
        return since is None or row["reserved_time"] >= since - SLACK


def _name(user: str) -> str:
    """Return the name of an account, ``name@host`` on MySQL."""
    return user.rpartition("@")[0] or user
