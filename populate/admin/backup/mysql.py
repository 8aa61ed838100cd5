"""Dumps of MySQL, with ``mysqldump`` and ``mysql``."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql
from tqdm import tqdm

from populate.admin.backup.programs import find_mysql_program, secret_file, stream_in, stream_out
from populate.admin.snapshot import Snapshot, existing_schemas, open_another
from schemas.server.connection import Database
from schemas.server.datajoint import driver_of
from schemas.server.error_codes import MAY_NOT_LOCK, MYSQL
from vbn.errors import ConflictError, ServerError

SUFFIX = ".sql.gz"
COMPRESSION = 3  # higher levels take several times as long to save a tenth
DUMP = (
    "--single-transaction", "--quick", "--hex-blob", "--no-tablespaces", "--set-gtid-purged=OFF",
    "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--databases",
)  # fmt: skip
LOAD = ("--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G")
HOLD_LOCK = b"SET @vbn_lock = IF(GET_LOCK('%s', 60) = 1, 1, (SELECT 1 UNION SELECT 2));\n"  # else an error
IN_SCHEMA = re.compile(rb"^(USE |CREATE DATABASE (?:/\*.*?\*/ )?)`([^`]+)`")
REFERENCE = re.compile(rb"^(  CONSTRAINT `[^`]+` FOREIGN KEY \([^)]+\) REFERENCES )`[^`]+`\.")
QUALIFIER = re.compile(rb"`([^`]+)`\.")
VIEW = b"/*!50001 "
HAS_BEGUN = b"\nUSE `"  # in the dump, when its transaction is open
END = b"\n-- Dump completed"  # in its last line
LONGEST_END = 200

LONGEST_HOLD_S = 60
LOCK_WAIT_S = 5  # all writers wait behind us
LOCK_ATTEMPTS, LOCK_PAUSE_S = 12, 5


@contextlib.contextmanager
def dumped(database: Database, target: Path, program: str | None) -> Iterator[Snapshot]:
    """Write a dump; yield a snapshot of the same moment.

    All writers are blocked until both transactions are open, which takes less than a second.
    """
    dump = find_mysql_program("mysqldump", program)
    with contextlib.ExitStack() as stack:
        with _blocking_writers(database) as release:
            snapshot = stack.enter_context(Snapshot.taken(database))
            _dump(database, dump, target, release)
        yield snapshot


def _dump(database: Database, program: str, target: Path, release: Callable[[], None]) -> None:
    head = end = b""

    def write(piece: bytes) -> None:
        nonlocal head, end
        end = (end + piece)[-LONGEST_END:]
        if HAS_BEGUN not in head:
            head += piece
            if HAS_BEGUN in head:
                release()
        out.write(piece)

    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
    with _options(database) as options, gzip.open(target, "wb", COMPRESSION) as out, progress:
        command = [program, f"--defaults-file={options}", *DUMP, *existing_schemas(database)]
        stream_out(command, write, progress.update, start_limit_s=LONGEST_HOLD_S)
    if END not in end:
        raise ServerError(
            f"{program} ended without an error, but its dump has no end, so that it is not complete. Use "
            "mysqldump itself, or a command that passes all of its output and its exit code on."
        )


def load(database: Database, source: Path, names: Mapping[str, str], program: str | None) -> None:
    """Create the schemas, tables and rows of a dump.

    The program holds a lock as long as it works: it may live on for a moment when we are killed.

    Parameters
    ----------
    names : name of a schema in the dump -> name on the server.

    Raises
    ------
    ConflictError
        If the dump has other schemas.
    """
    client = find_mysql_program("mysql", program)
    progress = tqdm(desc="database", unit="B", unit_scale=True, disable=None)
    with _options(database) as options, gzip.open(source) as file, progress:
        lines = itertools.chain([HOLD_LOCK % lock_name(database).encode()], _renamed(file, names, source))
        command = [client, f"--defaults-file={options}", *LOAD]
        stream_in(command, _in_pieces(lines), progress.update)


def lock_name(database: Database) -> str:
    """Return the name of the lock that the program holds while it loads a dump."""
    return f"{database.prefix}load"


def _renamed(lines: Iterable[bytes], names: Mapping[str, str], source: Path) -> Iterator[bytes]:
    """Yield the lines of a dump with other names of schemas, which are in these statements only.

    A line break within a value is written as an escape, so that no line of values begins like a statement.
    """
    encoded = {old.encode(): new.encode() for old, new in names.items()}

    def renamed_if_ours(found: re.Match[bytes]) -> bytes:
        return b"`" + encoded.get(found[1], found[1]) + b"`."

    for line in lines:
        if line.startswith((b"USE ", b"CREATE DATABASE ")):
            found = IN_SCHEMA.match(line)
            if found is None or found[2] not in encoded:
                raise ConflictError(
                    f"{source} is damaged: it has a schema that the backup should not have "
                    f"({line[:100].decode(errors='replace').strip()}). Use another backup."
                )
            yield found[1] + b"`" + encoded[found[2]] + b"`" + line[found.end() :]
        elif line.startswith(VIEW):
            yield QUALIFIER.sub(renamed_if_ours, line)
        elif found := REFERENCE.match(line):
            yield found[1] + QUALIFIER.sub(renamed_if_ours, line[found.end(1) :], count=1)
        else:
            yield line


def _in_pieces(lines: Iterator[bytes]) -> Callable[[int], bytes]:
    """Return a function that reads so many bytes of the lines, or somewhat more."""

    def read(size: int) -> bytes:
        piece = bytearray()
        while len(piece) < size and (line := next(lines, b"")):
            piece += line
        return bytes(piece)

    return read


@contextlib.contextmanager
def _blocking_writers(database: Database) -> Iterator[Callable[[], None]]:
    """Block all writers until the yielded function is called or the block ends."""
    with contextlib.closing(open_another(database)) as connection:
        cursor = driver_of(connection).cursor()
        cursor.execute(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")
        _block_writers(cursor, database)
        yield lambda: cursor.execute("UNLOCK TABLES")


def _block_writers(cursor: Any, database: Database) -> None:
    user = database.connection.conn_info["user"]
    for _ in range(LOCK_ATTEMPTS):
        try:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
        except pymysql.err.MySQLError as error:
            if error.args[0] in MAY_NOT_LOCK:
                raise ServerError(
                    f"The user '{user}' may not block writers for a moment, which a backup needs. "
                    f"Use an administrator's account, or: GRANT FLUSH_TABLES ON *.* TO '{user}'"
                ) from error
            if error.args[0] != MYSQL.LOCK_WAIT_TIMEOUT:
                raise
            time.sleep(LOCK_PAUSE_S)
        else:
            return
    raise ServerError(
        f"The {database} is too busy to block writers for a moment: a statement takes very long. "
        "SHOW PROCESSLIST shows which. Try again when it has ended."
    )


@contextlib.contextmanager
def _options(database: Database) -> Iterator[Path]:
    """Yield an options file, with the password, by which the programs connect as we do."""
    info = database.connection.conn_info
    tls = info["ssl_input"]
    options = {
        "protocol": "tcp",  # also for localhost, as our own driver does
        "host": info["host"],
        "port": str(info["port"]),
        "user": info["user"],
        "password": info["passwd"],
        "ssl-mode": "PREFERRED" if tls is None else "REQUIRED" if tls else "DISABLED",
    }
    if isinstance(tls, dict) and "ca" in tls:
        options |= {
            "ssl-ca": tls["ca"],
            "ssl-mode": "VERIFY_IDENTITY" if tls["check_hostname"] else "VERIFY_CA",
        }
    lines = [f"{name}={_quoted(value)}" for name, value in options.items()]
    with secret_file("\n".join(["[client]", *lines, ""])) as path:
        yield path


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\") + '"'
