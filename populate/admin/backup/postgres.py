"""Dumps of PostgreSQL, with ``pg_dump`` and ``pg_restore``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from populate.admin.backup.programs import find_postgres_program, secret_file, stream_in, stream_out
from populate.admin.snapshot import Snapshot
from schemas.bases.registry import schema_names
from schemas.server.connection import Database

SUFFIX = ".pgdump"
DUMP = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
LOAD = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password")


@contextlib.contextmanager
def dumped(database: Database, target: Path) -> Iterator[Snapshot]:
    """Write a dump; yield the snapshot that it was written from."""
    with Snapshot.taken(database) as snapshot:
        program = find_postgres_program("pg_dump", _server_version(database))
        schemas = [f"--schema={name}" for name in schema_names(database.prefix)]
        progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
        with _environment(database) as env, target.open("wb") as out, progress:
            command = [program, *DUMP, f"--snapshot={snapshot.exported_name()}", *schemas]
            stream_out(command, out.write, progress.update, env)
        yield snapshot


def load(database: Database, source: Path) -> None:
    """Create the schemas, tables and rows of a dump, all or nothing."""
    program = find_postgres_program("pg_restore", _server_version(database))
    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None, total=source.stat().st_size)
    with _environment(database) as env, source.open("rb") as file, progress:
        stream_in([program, *LOAD, f"--dbname={env['PGDATABASE']}"], file.read, progress.update, env)
    database.connection.query("ANALYZE")  # otherwise joins are planned as if the tables were empty


def _server_version(database: Database) -> int:
    number = database.connection.query("SHOW server_version_num").fetchone()[0]
    return int(number) // 10_000


@contextlib.contextmanager
def _environment(database: Database) -> Iterator[dict[str, str]]:
    """Yield the variables by which the programs connect as we do; the password is in a file."""
    info = database.connection.conn_info
    password = info["passwd"].replace("\\", "\\\\").replace(":", "\\:")
    with secret_file(f"*:*:*:*:{password}\n") as path:
        yield {
            "PGHOST": info["host"],
            "PGPORT": str(info["port"]),
            "PGUSER": info["user"],
            "PGDATABASE": info["database_name"] or "postgres",
            "PGPASSFILE": str(path),
            "PGSSLMODE": {None: "prefer", False: "disable"}.get(info["ssl_input"], "require"),
        }
