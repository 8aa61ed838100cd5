"""Dumps of PostgreSQL, with ``pg_dump`` and ``pg_restore``."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from populate.admin.backup.programs import find_postgres_program, secret_file, stream_in, stream_out
from populate.admin.backup.renaming import Renaming
from populate.admin.snapshot import Snapshot, open_another
from schemas.server import access
from schemas.server.connection import Database
from schemas.server.restoring import schema_of_mark
from vbn.errors import ServerError

SUFFIX = ".pgdump"
BEGINNING = b"PGDMP"
DUMP = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
LOAD = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password")


@contextlib.contextmanager
def dumped(database: Database, target: Path) -> Iterator[Snapshot]:
    """Write a dump; yield the snapshot that it was written from."""
    with Snapshot.taken(database) as snapshot:
        _write(database, target, snapshot.schemas(), f"--snapshot={snapshot.exported_name()}")
        yield snapshot


def _write(database: Database, target: Path, schemas: Sequence[str], *options: str) -> None:
    program = find_postgres_program("pg_dump", _server_version(database))
    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
    with _environment(database) as env, target.open("wb") as out, progress:
        command = [program, *DUMP, *options, *(f'--schema="{name}"' for name in schemas)]
        stream_out(command, out.write, progress.update, env)
    with target.open("rb") as dump:
        if dump.read(len(BEGINNING)) != BEGINNING:
            raise ServerError(
                f"{program} ended without an error, but has written no dump. Use pg_dump itself."
            )


def load(database: Database, source: Path, names: Renaming) -> None:
    """Create the schemas, tables and rows of a dump, all or nothing.

    Names in a dump cannot be changed: for others, it is loaded into a database of its own on the same server,
    and its schemas are renamed there.
    """
    if not names.is_needed:
        _load(database, source)
    else:
        with database_aside(database) as aside, tempfile.TemporaryDirectory(prefix="vbn-") as folder:
            _load(aside, source)
            for old, new in names.schemas.items():
                aside.connection.query(f'ALTER SCHEMA "{old}" RENAME TO "{new}"')
            renamed = Path(folder) / source.name
            _write(aside, renamed, list(names.schemas.values()))
            _load(database, renamed)
    _analyze(database, list(names.schemas.values()))


def _analyze(database: Database, schemas: list[str]) -> None:
    """Count values in the tables of these schemas: joins are planned as if they were empty otherwise."""
    tables = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)"
    names = [name for (name,) in database.connection.query(tables, args=(schemas,)).fetchall()]
    if names:
        database.connection.query(f"ANALYZE {', '.join(names)}")


def _load(database: Database, source: Path) -> None:
    program = find_postgres_program("pg_restore", _server_version(database))
    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None, total=source.stat().st_size)
    with _environment(database) as env, source.open("rb") as file, progress:
        stream_in([program, *LOAD, f"--dbname={env['PGDATABASE']}"], file.read, progress.update, env)


@contextlib.contextmanager
def database_aside(database: Database) -> Iterator[Database]:
    """Yield a connection to an empty database of the same server, which is removed at the end."""
    name, query = schema_of_mark(database.prefix), database.connection.query
    query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # of a killed restore
    query(f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        with contextlib.closing(open_another(database, database_name=name)) as connection:
            yield replace(database, connection=connection)
    finally:
        query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


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
            **access.tls_of_postgres(info["ssl_input"]),
        }
