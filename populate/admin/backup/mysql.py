"""Dumps of MySQL, by ``mysqldump`` and ``mysql``."""

from __future__ import annotations

import contextlib
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
from tqdm import tqdm

from populate.admin.backup.programs import find_mysql_program, secret_file, stream_in, stream_out
from populate.admin.snapshot import Snapshot, open_another
from schemas.bases.registry import schema_names
from schemas.server.connection import Database
from schemas.server.datajoint import driver_of
from schemas.server.error_codes import MAY_NOT_LOCK, MYSQL
from vbn.errors import ServerError

SUFFIX = ".sql.gz"
COMPRESSION = 3  # higher levels take several times as long and save a tenth
DUMP = (
    "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces", "--set-gtid-purged=OFF",
    "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--databases",
)  # fmt: skip
LOAD = ("--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G")
HAS_BEGUN = b"\nUSE `"  # in the dump; its transaction is open by then

LONGEST_HOLD_S = 60
LOCK_WAIT_S = 5  # all writers wait behind us
LOCK_ATTEMPTS, LOCK_PAUSE_S = 12, 5


@contextlib.contextmanager
def dumped(database: Database, target: Path, program: str | None) -> Iterator[Snapshot]:
    """Write a dump; give a snapshot of the same moment.

    All writers are held up until both transactions are open, which takes less than a second.
    """
    dump = find_mysql_program("mysqldump", program)
    with contextlib.ExitStack() as stack:
        with _writers_held_up(database) as let_go:
            snapshot = stack.enter_context(Snapshot.taken(database))
            _dump(database, dump, target, let_go)
        yield snapshot


def _dump(database: Database, program: str, target: Path, let_go: Callable[[], None]) -> None:
    head = b""

    def write(piece: bytes) -> None:
        nonlocal head
        if HAS_BEGUN not in head:
            head += piece
            if HAS_BEGUN in head:
                let_go()
        out.write(piece)

    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
    with _options(database) as options, gzip.open(target, "wb", COMPRESSION) as out, progress:
        command = [program, f"--defaults-file={options}", *DUMP, *_present_schemas(database)]
        stream_out(command, write, progress.update, start_limit_s=LONGEST_HOLD_S)


def load(database: Database, source: Path, program: str | None) -> None:
    """Make the schemas, tables and rows of a dump."""
    client = find_mysql_program("mysql", program)
    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
    with _options(database) as options, gzip.open(source) as file, progress:
        stream_in([client, f"--defaults-file={options}", *LOAD], file.read, progress.update)


@contextlib.contextmanager
def _writers_held_up(database: Database) -> Iterator[Callable[[], None]]:
    """Hold up everybody who writes, until the given function is called or the block ends."""
    with contextlib.closing(open_another(database)) as connection:
        cursor = driver_of(connection).cursor()
        cursor.execute(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")
        _hold_up(cursor, database)
        yield lambda: cursor.execute("UNLOCK TABLES")


def _hold_up(cursor: Any, database: Database) -> None:
    user = database.connection.conn_info["user"]
    for _ in range(LOCK_ATTEMPTS):
        try:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
        except pymysql.err.MySQLError as error:
            if error.args[0] in MAY_NOT_LOCK:
                raise ServerError(
                    f"The user '{user}' may not hold up writers for a moment, which a backup needs. "
                    f"Use an administrator's account, or: GRANT FLUSH_TABLES ON *.* TO '{user}'"
                ) from error
            if error.args[0] != MYSQL.LOCK_WAIT_TIMEOUT:
                raise
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    raise ServerError(
        f"The {database} is so busy that no common moment was found: a statement runs for long. "
        "SHOW PROCESSLIST says which. Try again when it has ended."
    )


def _present_schemas(database: Database) -> list[str]:
    found = database.connection.query("SELECT schema_name FROM information_schema.schemata").fetchall()
    return [name for name in schema_names(database.prefix) if (name,) in found]


@contextlib.contextmanager
def _options(database: Database) -> Iterator[Path]:
    """Give a file of options with which the programs connect as we do, the password in it."""
    info = database.connection.conn_info
    tls = info["ssl_input"]
    options = {
        "protocol": "tcp",  # also where the host is localhost, as our own driver
        "host": info["host"],
        "port": str(info["port"]),
        "user": info["user"],
        "password": info["passwd"],
        "ssl-mode": "PREFERRED" if tls is None else "REQUIRED" if tls else "DISABLED",
    }
    lines = [f"{name}={_quoted(value)}" for name, value in options.items()]
    with secret_file("\n".join(["[client]", *lines, ""])) as path:
        yield path


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\") + '"'
