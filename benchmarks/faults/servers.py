"""Servers that can be killed and restarted, and a proxy that drops connections."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pymysql

from schemas.server.embedded import PORT, EmbeddedServer

PATIENCE_S = 90
SMALL = {"max_connections": "40", "max_wal_size": "200MB"}  # so that all are quickly taken
LINGER_NOT = struct.pack("ii", 1, 0)  # closing sends a reset


class EmbeddedPostgres:
    """The embedded server, in a temporary folder."""

    name = "PostgreSQL (embedded)"
    can_be_killed, is_mysql = True, False
    errors = psycopg2.Error

    def __init__(self, home: Path) -> None:
        self.server = EmbeddedServer(home)
        self.home = home
        self.server.start()
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            for name, value in SMALL.items():
                connection.cursor().execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.server.stop()
        self.server.start()
        self.address: str | tuple[str, int] = str(self.server.socket_folder / f".s.PGSQL.{PORT}")

    def settings(self, port: int | None = None) -> dict[str, str]:
        """Return the environment variables for the server, or for a proxy if a port is given."""
        if port is None:
            return {"VBN_HOME": str(self.home)}
        return {
            "VBN_HOME": str(self.home),
            "DJ_BACKEND": "postgresql",
            "DJ_HOST": "127.0.0.1",
            "DJ_PORT": str(port),
            "DJ_USER": self.server.user,
            "DJ_PASS": "trusted",
        }

    def connect(self) -> Any:
        """Return a connection of the driver."""
        return psycopg2.connect(host=str(self.server.socket_folder), user=self.server.user, dbname="postgres")

    def process_id(self) -> int | None:
        """Return its process id."""
        return self.server.process_id()

    def kill(self, *, is_waited_for: bool = True) -> None:
        """Kill it, as by a power cut; its processes stay listed unless they are waited for."""
        leader = psutil.Process(self.server.process_id())
        processes = [leader, *leader.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        if is_waited_for:
            psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again."""
        self.server.start()

    def close(self) -> None:
        """Stop it."""
        self.server.stop()


class MySql:
    """The MySQL server that the DJ_* variables name; killed and started by given commands."""

    name = "MySQL"
    is_mysql = True
    errors = pymysql.MySQLError

    def __init__(self, home: Path, kill_command: str | None, start_command: str | None) -> None:
        self.home, self._kill, self._start = home, kill_command, start_command
        self.can_be_killed = bool(kill_command and start_command)
        self.own = {name: os.environ[name] for name in ("DJ_HOST", "DJ_PORT", "DJ_USER", "DJ_PASS")}
        self.address = (self.own["DJ_HOST"], int(self.own["DJ_PORT"]))

    def settings(self, port: int | None = None) -> dict[str, str]:
        """Return the environment variables for the server, or for a proxy if a port is given."""
        proxied = {} if port is None else {"DJ_HOST": "127.0.0.1", "DJ_PORT": str(port)}
        return {"VBN_HOME": str(self.home), "DJ_BACKEND": "mysql", **self.own, **proxied}

    def connect(self) -> Any:
        """Return a connection of the driver."""
        host, port = self.address
        return pymysql.connect(
            host=host,
            port=port,
            user=self.own["DJ_USER"],
            password=self.own["DJ_PASS"],
            connect_timeout=10,
            ssl_disabled=True,
        )

    def kill(self) -> None:
        """Kill it, as by a power cut."""
        subprocess.run(shlex.split(str(self._kill)), check=True, capture_output=True)

    def start(self) -> None:
        """Start it again, unless it runs, and wait until it answers."""
        if not self.can_be_killed:
            return
        subprocess.run(shlex.split(str(self._start)), check=True, capture_output=True)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=2):
                return
            time.sleep(0.3)
        raise TimeoutError(f"{self._start} did not bring the server back")

    def close(self) -> None:
        """Do nothing: the server belongs to the caller."""


class Proxy:
    """Forwards connections to a server, and drops them all on request."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        self.address = address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.is_passing = threading.Event()
        self.is_passing.set()
        self.pairs: set[tuple[socket.socket, socket.socket]] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_all(self) -> int:
        """Break all connections at once; return their number."""
        pairs = list(self.pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def silence(self, duration_s: float) -> int:
        """Pass nothing on for a while, then break the connections; return their number."""
        self.is_passing.clear()
        try:
            time.sleep(duration_s)
            return self.drop_all()
        finally:
            self.is_passing.set()

    def close(self) -> None:
        """Stop listening, and drop all connections."""
        self.listener.close()
        self.drop_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            pair = (client, server)
            self.pairs.add(pair)
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self._pass_on, args=(source, target, pair), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self.address, str):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.address)
            return connection
        return socket.create_connection(self.address)

    def _pass_on(
        self, source: socket.socket, target: socket.socket, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                self.is_passing.wait()
                target.sendall(piece)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if pair in self.pairs:
            self.pairs.discard(pair)
        else:  # the other direction has ended before
            for end in pair:
                end.close()
