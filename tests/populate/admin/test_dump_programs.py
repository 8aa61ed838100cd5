"""What the servers' own dump programs can do to a backup or a restore: words, and no false success."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from populate.admin.backup.programs import find_postgres_program

pytestmark = pytest.mark.slow

AGAIN = "run the same command again."
PASSES_VERSION_ON = "#!/bin/bash\nif [ $1 = --version ]; then exec {real} --version; fi\n"
LOST = "Error 2013: Lost connection to MySQL server during query when dumping table `x` at row: 3"
DUMPS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    # what the program does -> its text, and what is said of it, by server
    "another program": ("#!/bin/sh\nexit 0\n", {
        "mysql": ("cannot be run, or is not MySQL's mysqldump", "Install MySQL's client programs"),
        "postgresql": ("(VBN_PG_DUMP) cannot be run, or is not PostgreSQL's pg_dump", "or newer is needed"),
    }),
    "no program": ("hello\n", {
        "mysql": ("cannot be run, or is not MySQL's mysqldump", "--mysqldump PATH, or VBN_MYSQLDUMP"),
        "postgresql": ("cannot be run, or is not PostgreSQL's pg_dump",),
    }),
    "too old": (
        "#!/bin/sh\necho 'mysqldump  Ver 10.13 Distrib 5.7.42, for Linux (PostgreSQL) 12.1'\n", {
            "mysql": ("is too old, MySQL 8 is needed at least", "--mysqldump PATH, or VBN_MYSQLDUMP"),
            "postgresql": ("is of version 12; of version ",),
        },
    ),
    "does not fit": (
        PASSES_VERSION_ON + "echo 'unknown option: server version mismatch' >&2; exit 7\n",
        dict.fromkeys(("mysql", "postgresql"), ("failed: unknown option", "This program does not fit")),
    ),
    "killed": (
        PASSES_VERSION_ON + '{real} "$@" 2>/dev/null | head -c 20000; kill -9 $$\n',
        dict.fromkeys(("mysql", "postgresql"), ("was ended by SIGKILL", AGAIN)),
    ),
    "its child is killed": (
        PASSES_VERSION_ON + "exit 137\n",
        dict.fromkeys(("mysql", "postgresql"), ("was ended by SIGKILL", AGAIN)),
    ),
    "loses the server": (
        PASSES_VERSION_ON + f'{{real}} "$@" 2>/dev/null | head -c 20000; echo "{LOST}" >&2; exit 3\n'.replace(
            "`", r"\`"
        ),
        dict.fromkeys(("mysql", "postgresql"), (LOST, "the connection to it, was lost", "vbn doctor", AGAIN)),
    ),
    "says nothing": (
        PASSES_VERSION_ON + "exit 3\n",
        dict.fromkeys(("mysql", "postgresql"), ("failed: exit code 3. See whether the server answers",)),
    ),
    "stops early": (PASSES_VERSION_ON + '{real} "$@" 2>/dev/null | head -c 3; exit 0\n', {
        "mysql": ("its dump has no end, so that it is not complete", "Use mysqldump itself"),
        "postgresql": ("has written no dump", "Use pg_dump itself"),
    }),
}  # fmt: skip
LOADS = {
    "killed": ('head -c 20000 | {real} "$@" >/dev/null 2>&1; kill -9 $$\n', ("SIGKILL", AGAIN)),
    "stops early": ("head -c 3 >/dev/null; exit 0\n", ("ended before it had read everything",)),
    "loads nothing": ("cat >/dev/null; exit 0\n", ("has a different checksum than when it was saved",)),
}


@pytest.fixture(scope="module")
def saved(make_database: Callable[..., Any]) -> tuple[Any, Path]:
    """A database without rows, and a backup of it."""
    for name in ("mysqldump", "mysql") if os.environ.get("DJ_BACKEND") == "mysql" else ():
        if shutil.which(os.environ.get(f"VBN_{name.upper()}", name)) is None:
            pytest.skip(f"MySQL's program {name} is neither on PATH nor named by VBN_{name.upper()}")
    database = make_database()
    database.call("backup", database.folder / "backup")
    return database, database.folder / "backup"


def program_of(database: Any, mysql: str, postgres: str) -> tuple[str, str]:
    """Return the variable that names a program of the server, and the real one."""
    if database.server.backend == "mysql":
        variable = f"VBN_{mysql.upper()}"
        return variable, os.environ.get(variable) or mysql
    number = int(database.server.query("SHOW server_version_num")[0][0])
    return f"VBN_{postgres.upper()}", find_postgres_program(postgres, number // 10_000)


def written(path: Path, text: str, real: str) -> Path:
    path.write_text(text.replace("{real}", shlex.quote(real)))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("what", DUMPS)
def test_a_backup_whose_program_fails_is_none_and_the_old_one_stays(
    saved: tuple[Any, Path], tmp_path: Path, what: str
) -> None:
    database, backup = saved
    text, said = DUMPS[what]
    before = sorted(path.name for path in backup.iterdir())
    variable, real = program_of(database, "mysqldump", "pg_dump")
    wrong = {variable: str(written(tmp_path / "program", text, real))}
    refused = database.call("backup", backup, env=wrong, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "unexpected" not in refused.stderr
    for words in said[database.server.backend]:
        assert words in refused.stderr
    assert sorted(path.name for path in backup.iterdir()) == before  # no part of a dump either


def test_a_program_that_prints_nothing_is_ended(tmp_path: Path) -> None:
    """Writers wait for it on MySQL."""
    from populate.admin.backup.programs import stream_out
    from vbn.errors import ServerError

    silent = written(tmp_path / "program", "#!/bin/sh\nexec sleep 100\n", "")
    with pytest.raises(ServerError, match=r"program was ended, as it had printed nothing.*nobody can write"):
        stream_out([str(silent)], bytes, bytes, start_limit_s=0.1)


@pytest.mark.parametrize("what", LOADS)
def test_a_restore_whose_program_fails_leaves_no_half_database(
    saved: tuple[Any, Path], tmp_path: Path, what: str
) -> None:
    database, backup = saved
    text, said = LOADS[what]
    variable, real = program_of(database, "mysql", "pg_restore")
    wrong = {variable: str(written(tmp_path / "program", PASSES_VERSION_ON + text, real))}
    done = database.call("backup", "--check", backup, env=wrong, check=False)
    assert done.returncode == 1
    assert "unexpected" not in done.stderr
    for words in said:
        assert words in done.stderr
    known = database.server.query("SELECT schema_name FROM information_schema.schemata")
    assert not [name for (name,) in known if name.startswith("vbncheck_")]
    assert database.call("status").returncode == 0


def test_leftovers_of_killed_backups_go_before_the_next(saved: tuple[Any, Path], tmp_path: Path) -> None:
    """They would fill the disk, one after the other, so that none succeeds any more."""
    database, backup = saved
    (dump,) = backup.glob("database-*")
    left = dump.with_name("database-20260501T000000000000Z" + "".join(dump.suffixes))
    left.write_bytes(bytes(1000))
    variable, real = program_of(database, "mysqldump", "pg_dump")
    wrong = {variable: str(written(tmp_path / "program", DUMPS["says nothing"][0], real))}
    assert database.call("backup", backup, env=wrong, check=False).returncode == 1
    assert dump.is_file()
    assert not left.exists()


def test_a_snapshot_whose_connection_is_lost_is_over(saved: tuple[Any, Path]) -> None:
    """Read on another connection, a backup would be of two moments."""
    import schemas
    from populate.admin.snapshot import Snapshot
    from schemas.server.connection import DRIVER_ERRORS

    database, _ = saved
    database.connect()
    mysql = database.server.backend == "mysql"
    number = "CONNECTION_ID()" if mysql else "pg_backend_pid()"
    with Snapshot.taken(schemas.connect(database.prefix)) as snapshot:
        assert snapshot.tables()
        ((own,),) = snapshot.connection.query(f"SELECT {number}").fetchall()
        database.server.query(f"KILL {own}" if mysql else f"SELECT pg_terminate_backend({own})")
        with pytest.raises(DRIVER_ERRORS):
            snapshot.tables()
