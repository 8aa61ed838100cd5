"""A backup holds database and arrays of one moment; restored, everything is as it was."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from populate.admin import checksums
from populate.admin.backup import create, files, mysql, postgres
from vbn.errors import ServerError, SettingError

pytestmark = pytest.mark.slow

PATIENCE_S = 300
TABLES = ("Recording", "Licks", "Running", "EyeTracking", "ChangeDetection", "Stimulus", "TrialResponse")
POPULATE = ("populate", *(word for name in TABLES for word in ("--table", name)))
ODD_PASSWORD = """a"b'c#d\\e f=g;h%i\\n"""


@pytest.fixture(scope="module")
def programs(server: Any) -> None:
    """MySQL's client programs; PostgreSQL's come with the embedded server."""
    for name in ("mysqldump", "mysql") if server.backend == "mysql" else ():
        if shutil.which(os.environ.get(f"VBN_{name.upper()}", name)) is None:
            pytest.skip(f"MySQL's program {name} is neither on PATH nor named by VBN_{name.upper()}")


@pytest.fixture(scope="module")
def registered(programs: None, make_database: Callable[..., Any], synthetic_files: list[Path]) -> Any:
    database = make_database()
    database.call("register", *synthetic_files)
    return database


@pytest.fixture(scope="module")
def backup_of_registered(registered: Any) -> Path:
    """A backup of two sessions of which nothing is imported."""
    registered.call("backup", registered.folder / "registered")
    return registered.folder / "registered"


@pytest.fixture(scope="module")
def whole_backup(registered: Any, backup_of_registered: Path) -> tuple[Path, Any]:
    """A backup of two sessions with arrays, and its checksums."""
    registered.call(*POPULATE)
    registered.call("backup", registered.folder / "backup")
    return registered.folder / "backup", registered.json("checksum", "--stable")


@pytest.fixture
def made(registered: Any, whole_backup: tuple[Path, Any]) -> Iterator[Any]:
    """Two sessions with arrays; afterwards the database is again as it was."""
    yield registered
    folder, before = whole_backup
    now = registered.call("checksum", "--stable", "--json", check=False)
    if now.returncode or json.loads(now.stdout) != before:
        bring_back(registered, folder)


@pytest.fixture
def backup(whole_backup: tuple[Path, Any]) -> Path:
    """A whole backup of it, for reading only."""
    return whole_backup[0]


def drop_everything(database: Any) -> None:
    """Remove the schemas and the store."""
    query = database.server.query
    known = [name for (name,) in query("SELECT schema_name FROM information_schema.schemata")]
    ours = [f'"{name}"' for name in known if name.startswith(database.prefix)]
    if database.server.backend == "mysql":
        drops = [f"DROP DATABASE {name}" for name in ours]
        statements = ["SET foreign_key_checks = 0", *drops, "SET foreign_key_checks = 1"]
    else:
        statements = [f"DROP SCHEMA {', '.join(ours)} CASCADE"] if ours else []
    for statement in statements:
        query(statement)
    shutil.rmtree(database.store, ignore_errors=True)


def bring_back(database: Any, folder: Path) -> Any:
    drop_everything(database)
    return database.call("restore", folder)


def schema_exists(database: Any) -> bool:
    schemas = database.server.query("SELECT schema_name FROM information_schema.schemata")
    return any(name.startswith(database.prefix) for (name,) in schemas)


def test_everything_dropped_and_restored_is_as_it_was(made: Any, tmp_path: Path) -> None:
    """Rows, arrays, hidden columns and failed jobs; by checksum and by the tests' own comparison.

    Reservations are not restored: their workers work for another server.
    """
    from schemas.behavior import RigGeometry

    failed, reserved = RigGeometry.key_source.keys(order_by="session_id")
    RigGeometry().jobs.refresh(delay=-1)
    RigGeometry().jobs.reserve(failed)
    RigGeometry().jobs.error(failed, error_message="on purpose")
    assert RigGeometry().jobs.reserve(reserved)
    made.call("backup", tmp_path / "backup")
    before, contents, sums = made.json("checksum"), made.contents(), made.json("checksum", "--stable")
    assert made.job_states()["reserved"] == 1
    drop_everything(made)
    done = made.vbn("restore", tmp_path / "backup")
    assert done.stderr == ""
    assert f"Checksum: {before['total']}, as when it was saved." in done.stdout.splitlines()[0]
    assert made.json("checksum") == before
    assert made.json("checksum", "--stable") == sums
    assert made.contents() == contents
    assert made.stored_files() == made.referenced_files()
    assert made.job_states()["reserved"] == 0
    assert made.json("errors")[0]["message"] == "on purpose"
    RigGeometry().jobs.delete_quick()


def test_a_backup_while_others_work_is_of_one_moment(
    made: Any, backup_of_registered: Path, tmp_path: Path
) -> None:
    """Taken in the midst of a populate: whole sessions, all their arrays; finished, it is as undisturbed."""
    undisturbed, expected = made.json("checksum", "--stable"), counts_of_entries(made)
    bring_back(made, backup_of_registered)
    with made.start(*POPULATE) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(made.stored_files()) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        made.call("backup", tmp_path / "backup")
        assert process.wait(PATIENCE_S) == 0
    assert made.json("checksum", "--stable") == undisturbed
    bring_back(made, tmp_path / "backup")
    counts = counts_of_entries(made)
    assert 0 < len(counts) < len(expected)
    assert counts.items() <= expected.items()
    assert made.referenced_files() == made.stored_files()
    made.call(*POPULATE)
    assert made.json("checksum", "--stable") == undisturbed
    made.call("restore", tmp_path / "backup", "--check")


def counts_of_entries(database: Any) -> dict[tuple[str, int], int]:
    """Return how many rows each imported or computed table has of a session, where it has any."""
    counts: dict[Any, Any] = {}
    for name, columns in database.tables().items():
        if "session_id" in columns and not name.startswith(f'"{database.prefix}session"'):
            table = name.replace(database.prefix, "")
            rows = database.server.query(f"SELECT session_id, count(*) FROM {name} GROUP BY session_id")
            counts |= {(table, session): number for session, number in rows}
    return counts


def test_a_second_backup_copies_only_what_is_new(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves neither the former dump nor arrays that no row refers to any more."""
    from schemas.behavior import Running

    backup = tmp_path / "backup"
    made.call("backup", backup)
    first = files_below(backup)
    Running.delete_quick()
    made.call("populate", "--table", "Running")
    copied = count_copies(monkeypatch)
    made.call("backup", backup)
    manifest = json.loads((backup / "manifest.json").read_text())
    arrays = {f"store/{path}" for path in manifest["files"]}
    assert len(copied) == len(arrays - first) > 0
    assert len(arrays & first) > len(copied)
    assert files_below(backup) == {"manifest.json", "lock", manifest["dump"], *arrays}
    made.call("restore", backup, "--check")


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def count_copies(monkeypatch: pytest.MonkeyPatch, until: int | None = None) -> list[Path]:
    """Note each array that is copied; interrupt the one of this number."""
    copied: list[Path] = []
    copy = files.copy_file

    def noted(source: Path, target: Path, *arguments: Any) -> Any:
        if len(copied) == until:
            raise KeyboardInterrupt
        copied.append(source)
        return copy(source, target, *arguments)

    monkeypatch.setattr(files, "copy_file", noted)
    return copied


def test_an_interrupted_backup_is_none_and_goes_on_where_it_stopped(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        copied = count_copies(patch, until=20)
        assert made.call("backup", folder, check=False).returncode == 130
        assert len(copied) == 20
    for arguments in ((), ("--check",)):
        refused = made.call("restore", folder, *arguments, check=False)
        assert refused.returncode == 1
        assert "holds no complete backup" in refused.stderr
    rest = count_copies(monkeypatch)
    made.call("backup", folder)
    assert len(rest) == len(made.referenced_files()) - 20
    assert made.call("restore", folder, "--check").stdout.endswith("the backup is complete.\n")
    leftovers = [name for name in files_below(folder) if ".part" in name or name.endswith(".jsonl")]
    assert leftovers == []


def test_an_array_that_goes_while_the_backup_runs_is_noticed(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted with its row after the dump: the backup is made anew. Without its row: an error names it."""
    from schemas.behavior import Running

    module = mysql if made.server.backend == "mysql" else postgres
    dumps, dumped = [], module.dumped

    def delete_after_dump(database: Any, target: Path, *arguments: Any) -> Any:
        context = dumped(database, target, *arguments)
        snapshot = context.__enter__()
        dumps.append(target)
        if len(dumps) == 1:
            (Running() & key).delete_quick()
            for path in arrays_of(key):
                path.unlink()

        class Open:
            def __enter__(self) -> Any:
                return snapshot

            def __exit__(self, *error: Any) -> Any:
                return context.__exit__(*error)

        return Open()

    def arrays_of(key: dict[str, Any]) -> list[Path]:
        below = f"session_id={key['session_id']}/*.npy"
        return list(made.store.glob(f"_schema/*behavior/_running/*/{below}"))

    key = Running.keys(limit=1)[0]
    assert arrays_of(key)
    monkeypatch.setattr(module, "dumped", delete_after_dump)
    saved = made.json("backup", tmp_path / "new")
    assert len(dumps) == 2
    assert saved["total"] == made.json("checksum")["total"]
    assert made.call("restore", tmp_path / "new", "--check").returncode == 0
    assert len(list((tmp_path / "new").glob("database-*"))) == 1

    files_saved = json.loads((tmp_path / "new" / "manifest.json").read_text())["files"]
    lost = made.store / next(path for path in files_saved if "_running/" in path)
    lost.unlink()
    refused = made.call("backup", tmp_path / "lost", check=False)
    assert refused.returncode == 1
    assert str(lost.relative_to(made.store)) in refused.stderr
    assert len(dumps) == 2 + create.ATTEMPTS
    assert not (tmp_path / "lost" / "manifest.json").exists()
    refused = made.call("checksum", check=False)
    assert refused.returncode == 1
    assert str(lost.relative_to(made.store)) in refused.stderr
    made.call("checksum", "--no-arrays")


def test_a_restore_refuses_what_would_lose_or_damage_something(made: Any, backup: Path) -> None:
    """In words, and with the database and the store as they were."""
    before = made.json("checksum")
    refused = made.call("restore", backup, check=False)
    assert refused.returncode == 1
    assert "has rows under" in refused.stderr
    assert made.json("checksum") == before

    refused = made.vbn("--prefix", "other_", "restore", backup, check=False)
    assert f"vbn --prefix {made.prefix} restore" in refused.stderr

    manifest = json.loads((backup / "manifest.json").read_text())
    array = backup / "store" / min(manifest["files"])
    drop_everything(made)
    for path in (array, backup / manifest["dump"]):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = made.call("restore", backup, "--check", check=False)
        assert found.returncode == 1
        assert path.name in found.stderr
        refused = made.call("restore", backup, check=False)
        assert refused.returncode == 1
        assert "is damaged" in refused.stderr
        assert not schema_exists(made)
        path.write_bytes(content)

    stored = made.store / min(manifest["files"])
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(b"somebody else's")
    refused = made.call("restore", backup, check=False)
    assert "has another file" in refused.stderr
    assert stored.read_bytes() == b"somebody else's"
    assert not schema_exists(made)


def test_a_restore_that_fails_half_way_leaves_no_half_database(
    made: Any, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's program is stopped in the midst of the dump; the same command goes on then."""
    module = mysql if made.server.backend == "mysql" else postgres
    stream_in = module.stream_in

    def cut(command: Any, read: Callable[[int], bytes], *arguments: Any) -> None:
        pieces = iter((read(100_000),))
        stream_in(command, lambda _: next(pieces, b""), *arguments)
        raise ServerError("the connection was lost")

    drop_everything(made)
    with monkeypatch.context() as patch:
        patch.setattr(module, "stream_in", cut)
        assert made.call("restore", backup, check=False).returncode == 1
    assert not schema_exists(made)
    made.call("restore", backup)


def test_a_deployed_database_without_rows_is_replaced(made: Any, backup: Path) -> None:
    """As a server is right after its installation; a parameter set of one's own is not thrown away."""
    drop_everything(made)
    made.vbn("deploy")
    statement = f'''INSERT INTO "{made.prefix}performance"."#performance_params"
        SELECT 'mine', performance_content, performance_version, 'x'
        FROM "{made.prefix}performance"."#performance_params"'''
    made.server.query(statement)
    refused = made.call("restore", backup, check=False)
    assert "#performance_params (2 rows)" in refused.stderr
    made.server.query(
        f'''DELETE FROM "{made.prefix}performance"."#performance_params" WHERE performance_params = 'mine\''''
    )
    made.call("restore", backup)


def test_a_folder_with_something_else_is_refused(made: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    refused = made.call("backup", tmp_path, check=False)
    assert "holds files that are not a backup of ours" in refused.stderr
    assert made.call("backup", made.store / "backup", check=False).returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_password_shows_nowhere_and_may_be_odd(made: Any, tmp_path: Path, server: Any) -> None:
    """Neither in the arguments nor in the environment of the programs; files with it are private and go."""
    if server.backend != "mysql":
        pytest.skip("the embedded server has no passwords")
    user = made.prefix + "odd"
    with server.connections[0].cursor() as cursor:
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, ODD_PASSWORD))
    try:
        server.query(f"GRANT ALL ON *.* TO {user}@'%'")
        spy = tmp_path / "mysqldump"
        real = shutil.which(os.environ.get("VBN_MYSQLDUMP", "mysqldump"))
        spy.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && exec {real} "$@"\n'
            f'(echo "$@"; env) >> {tmp_path}/seen\ncp -p "${{1#--defaults-file=}}" {tmp_path}/options\n'
            f'exec {real} "$@"\n'
        )
        spy.chmod(0o755)
        account = {"DJ_USER": user, "DJ_PASS": ODD_PASSWORD, "TMPDIR": str(tmp_path)}
        made.vbn("backup", tmp_path / "odd", "--mysqldump", spy, env=account)
        environment = (
            (tmp_path / "seen").read_text().replace(f"DJ_PASS={ODD_PASSWORD}\n", "")
        )  # the test's own
        assert "--single-transaction" in environment
        assert ODD_PASSWORD not in environment
        assert "password=" in (tmp_path / "options").read_text()
        assert stat.S_IMODE((tmp_path / "options").stat().st_mode) == 0o600
        assert {path.name for path in tmp_path.iterdir()} == {"mysqldump", "seen", "options", "odd"}

        server.query(f"REVOKE RELOAD, FLUSH_TABLES ON *.* FROM {user}@'%'")
        refused = made.vbn("backup", tmp_path / "no", env=account, check=False)
        assert refused.returncode == 1
        assert "GRANT FLUSH_TABLES" in refused.stderr
    finally:
        server.query(f"DROP USER {user}@'%'")


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from populate.admin.backup.programs import find_mysql_program, find_postgres_program

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("VBN_MYSQLDUMP", raising=False)
    with pytest.raises(SettingError, match=r"'mysqldump' is needed.*mysql-client.*--mysqldump PATH"):
        find_mysql_program("mysqldump")
    with pytest.raises(SettingError, match="PostgreSQL 99 or newer"):
        find_postgres_program("pg_dump", 99)
    assert "(PostgreSQL) 16" in version(find_postgres_program("pg_dump", 15))
    assert "(PostgreSQL) 18" in version(find_postgres_program("pg_restore", 17))
    other = tmp_path / "mysqldump"
    other.write_text("#!/bin/sh\necho 'mysqldump from 11.8.3-MariaDB, client 10.19'\n")
    other.chmod(0o755)
    with pytest.raises(SettingError, match="belongs to MariaDB"):
        find_mysql_program("mysqldump")


def version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("mysql_type", "mysql_value", "postgres_type", "postgres_value"),
    [
        ("double", 0.1 + 0.2, "double precision", 0.1 + 0.2),
        ("double", 0.0, "double precision", -0.0),
        ("tinyint", 1, "boolean", True),
        ("char", "ab", "character", "ab   "),
        ("binary", uuid.UUID(int=7).bytes, "uuid", str(uuid.UUID(int=7))),
        ("json", '{"a": 1, "b": [1.5, null, true]}', "jsonb", '{"b": [1.50, null, true], "a": 1.0}'),
        ("longblob", b"x" * 100, "bytea", memoryview(b"x" * 100)),
        ("datetime", datetime(2026, 1, 2, 3, 4, 5, 6), "timestamp without time zone",
         datetime(2026, 1, 2, 3, 4, 5, 6)),
        ("decimal", Decimal("1.50"), "numeric", Decimal("1.5")),
    ],
)  # fmt: skip
def test_a_value_counts_the_same_from_both_servers(
    mysql_type: str, mysql_value: Any, postgres_type: str, postgres_value: Any
) -> None:
    one = checksums._converter(mysql_type, None)(mysql_value)
    other = checksums._converter(postgres_type, None)(postgres_value)
    assert repr(one) == repr(other)


def test_each_change_changes_the_checksum_of_its_table_only(made: Any) -> None:
    """A row, a value, an array; another order of the rows does not count, nor a time of entry where asked."""
    before, stable = made.json("checksum"), made.json("checksum", "--stable")
    file_table = f'"{made.prefix}session"."nwb_file"'
    rows = made.server.query(f"SELECT session_id, registered_at FROM {file_table} ORDER BY session_id")
    made.server.query(f"UPDATE {file_table} SET registered_at = '2001-01-01 00:00:00'")
    assert changed(before, made.json("checksum")) == {"session.nwb_file"}
    assert made.json("checksum", "--stable") == stable
    for session_id, moment in reversed(rows):
        made.server.query(
            f"UPDATE {file_table} SET registered_at = '{moment}' WHERE session_id = {session_id}"
        )
    assert made.json("checksum") == before

    array = next(made.store.glob("_schema/*behavior/_running/**/*.npy"))
    content = array.read_bytes()
    array.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert changed(before, made.json("checksum")) == {"behavior._running"}
    array.write_bytes(content)

    trial = f'"{made.prefix}behavior"."_change_detection__trial"'
    made.server.query(f"UPDATE {trial} SET trial_start_time = trial_start_time + 1e-9 WHERE trial_id = 1")
    assert changed(before, made.json("checksum")) == {"behavior._change_detection__trial"}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    assert before["total"] != after["total"]
    return {name for name in before["tables"] if before["tables"][name] != after["tables"][name]}
