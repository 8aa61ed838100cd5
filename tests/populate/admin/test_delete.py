"""``vbn delete`` shows what would go, deletes that or nothing, and keeps a record of it."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TABLES = (
    "Recording", "ChangeDetection", "Licks", "Stimulus", "OptoStimulation", "LickBouts", "UnitSelection",
    "Psth",
)  # fmt: skip
POPULATE = ("populate", *(word for name in TABLES for word in ("--table", name)))
PATIENCE_S = 300


@pytest.fixture(scope="module")
def filled(make_database: Callable[..., Any], synthetic_files: list[Any]) -> Any:
    """Two sessions of one mouse with some of their tables."""
    database = make_database()
    database.call("register", *synthetic_files)
    database.call(*POPULATE)
    return database


@pytest.fixture
def sessions(filled: Any) -> list[int]:
    rows = filled.server.query(f'SELECT session_id FROM "{filled.prefix}session"."session"')
    return sorted(row[0] for row in rows)


@pytest.fixture
def unchanged(filled: Any) -> Iterator[None]:
    """What the test does changes nothing."""
    before = filled.contents()
    yield
    assert filled.contents() == before


def typing(text: str, database: Any, *arguments: object) -> Any:
    """Run a command that asks, with an answer typed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(text))
        return database.call(*arguments, check=False)


@pytest.fixture
def table_of_others(filled: Any, sessions: list[int]) -> Iterator[str]:
    """A row for each session in somebody's table below ours."""
    schema, query = f"{filled.prefix}others", filled.server.query
    mysql = filled.server.backend == "mysql"
    query(f'CREATE {"DATABASE" if mysql else "SCHEMA"} "{schema}"')
    try:
        query(
            f'CREATE TABLE "{schema}"."note" (session_id BIGINT PRIMARY KEY, '
            f'FOREIGN KEY (session_id) REFERENCES "{filled.prefix}session"."session" (session_id))'
        )
        query(f'INSERT INTO "{schema}"."note" VALUES {", ".join(f"({number})" for number in sessions)}')
        yield f"{schema}.note"
    finally:
        query(f'DROP {"DATABASE" if mysql else "SCHEMA"} "{schema}"' + ("" if mysql else " CASCADE"))


@pytest.mark.usefixtures("unchanged")
def test_rows_of_others_are_shown_and_left(filled: Any, sessions: list[int], table_of_others: str) -> None:
    # In processes of their own: DataJoint keeps the graph of the tables that it has once read.
    tried = filled.vbn("delete", "--session", sessions[0], "--dry-run")
    assert f"1  {table_of_others}\n" in tried.stdout
    message = "Tables of others are made from these entries and would lose theirs: "
    assert f"Nothing was deleted. {message}{table_of_others} (1 rows)." in tried.stdout
    words = ("delete", "--session", sessions[0], "--reason", "wrong mouse", "--yes")
    refused = filled.vbn(*words, check=False)
    assert refused.returncode == 1
    assert f"{message}{table_of_others} (1 rows). Ask their owners" in refused.stderr
    schema, table = table_of_others.split(".")
    assert len(filled.server.query(f'SELECT * FROM "{schema}"."{table}"')) == 2


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Which entries of Session? Name sessions"),
        (("--session", "77"), "has no entry with session_id = 77. There are: 9000000001, 9000000002."),
        (("Sesion", "--session", "9000000001"), "There is no table 'Sesion'. Near to it: Session"),
        (("Recording.Unit", "--session", "9000000001"), "Recording.Unit is a part of Recording"),
        (("Deletion", "--where", "deleted_by=me"), "Deletion is a record of what was done, and cannot be"),
        (("--where", "sesion_id=9000000001"), "Session has no attribute 'sesion_id'. Near to it: session_id"),
        (("--where", "session_id=nine"), "session_id is a number"),
        (("--where", "session_type"), "'session_type' is not attribute=value."),
        (("--where", "session_type="), "'session_type=' names no value."),
        (("--where", "session_type=100% \"it's\""), "no entry with session_type = 100% \"it's\". There are:"),
        (("--where", "date_of_acquisition=soon"), "date_of_acquisition cannot be soon"),
        (("Mouse", "--where", "driver_line=Sst"), "driver_line holds no single value"),
        (("Mouse", "--session", "9000000001"), "Mouse has no attribute 'session_id'"),
        (("Psth", "--where", "alignment=omisson"), "Psth has no entry with alignment = omisson. There are:"),
        (("--where", "session_id=9000000001", "--session", "9000000002"), "Give each attribute once"),
        (("Structure", "--where", "structure_acronym=CA1"), "_recording__channel would lose rows, but not"),
    ],
)  # fmt: skip
def test_what_does_not_exist_deletes_nothing(filled: Any, arguments: tuple[str, ...], message: str) -> None:
    """DataJoint takes a misspelt name for no restriction at all."""
    done = filled.call("delete", *arguments, "--reason", "a try", "--yes", check=False)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.usefixtures("unchanged")
def test_many_sessions_are_deleted_only_by_their_number(filled: Any, sessions: list[int]) -> None:
    both = ("delete", "Mouse", "--where", "mouse_id=990001", "--reason", "a try")
    assert "add --confirm-sessions 2" in filled.call(*both, "--yes", check=False).stderr
    stated = filled.call(*both, "--yes", "--confirm-sessions", 3, check=False)
    assert "2 sessions would lose rows, not 3" in stated.stderr
    for answer in ("3\n", ""):
        done = typing(answer, filled, *both)
        assert done.returncode == 1
        assert "Type the number of sessions" in done.stderr
        assert "Nothing was deleted." in done.stderr
    for answer in ("n\n", ""):
        done = typing(answer, filled, "delete", "--session", sessions[0], "--reason", "a try")
        assert (done.returncode, "Delete these rows?" in done.stderr) == (1, True)
    assert "Give a reason" in filled.call("delete", "--session", sessions[0], check=False).stderr


@pytest.mark.usefixtures("unchanged")
def test_a_dry_run_counts_the_rows_of_every_table(filled: Any, sessions: list[int]) -> None:
    shown = json.loads(filled.call("delete", "--session", sessions[0], "--dry-run", "--json").stdout)
    assert shown["sessions"] == [sessions[0]]
    assert shown["rows"] == expected_rows(filled, sessions[0])


def expected_rows(database: Any, session_id: int) -> dict[str, int]:
    """Return how many rows each table has of a session, counted without DataJoint."""
    found = {}
    for table, columns in database.tables().items():
        if "session_id" in columns:
            statement = f"SELECT count(*) FROM {table} WHERE session_id = {session_id}"
            found[table.replace('"', "")] = database.server.query(statement)[0][0]
    return {name: number for name, number in found.items() if number}


@contextlib.contextmanager
def holding(database: Any, session_id: int) -> Iterator[None]:
    """Hold a session's row, as somebody who writes it does; its rows in other tables are free."""
    connection = database.server.open_connection()
    quote = "`" if database.server.backend == "mysql" else '"'
    table = f"{quote}{database.prefix}session{quote}.{quote}session{quote}"
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM {table} WHERE session_id = {session_id} FOR UPDATE")
        yield
        cursor.execute("ROLLBACK")


@pytest.mark.usefixtures("unchanged")
def test_rows_that_somebody_writes_are_left_with_all_others(
    filled: Any, sessions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.admin import deletion

    monkeypatch.setattr(deletion, "LOCK_TIMEOUT_S", 1)
    with holding(filled, sessions[0]):
        words = ("delete", "--session", sessions[0], "--reason", "a try", "--yes")
        done = filled.call(*words, check=False)
    assert done.returncode == 1
    assert "Somebody else, such as a worker, is writing rows" in done.stderr


@pytest.mark.usefixtures("unchanged")
def test_rows_that_are_needed_are_so_on_each_server(filled: Any) -> None:
    """PostgreSQL 18 has a code of its own for them, by which `vbn delete` took them for a bug."""
    from schemas.server.datajoint import dj

    place = f'"{filled.prefix}session"."mouse"'.replace('"', "`" if filled.server.backend == "mysql" else '"')
    with pytest.raises(dj.errors.IntegrityError):
        filled.connect().connection.query(f"DELETE FROM {place}")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_deletion_deletes_nothing(
    filled: Any, sessions: list[int], how: signal.Signals
) -> None:
    words = ("delete", "--session", sessions[0], "--reason", "a try", "--yes")
    with contextlib.ExitStack() as stack:
        with holding(filled, sessions[0]):
            process = stack.enter_context(filled.start(*words))
            stack.callback(process.kill)
            wait_until_it_waits(filled, process)
            process.send_signal(how)  # which PostgreSQL's driver hears when the server has answered
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if how == signal.SIGINT else -how)


def wait_until_it_waits(database: Any, process: Any) -> None:
    """Wait until the deletion, in the middle of its work, waits for the row that is held."""
    waits = {
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' "
        f"AND trx_query LIKE 'DELETE FROM `{database.prefix}%'",
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        f'AND query LIKE \'DELETE FROM "{database.prefix}session"."session"%\'',
    }
    deadline = time.monotonic() + PATIENCE_S
    connection = database.server.open_connection()
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        while True:
            cursor.execute(waits[database.server.backend])
            if cursor.fetchone()[0]:
                return
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)  # MySQL shows the same again to who looks more often than every 0.1 s


def test_deleted_results_are_made_anew(filled: Any, sessions: list[int]) -> None:
    """Only what was chosen, by two conditions, goes."""
    before = filled.contents()
    words = ("delete", "Psth", "--where", "alignment=change_active", "--session", sessions[0])
    done = json.loads(filled.call(*words, "--reason", " made better ", "--yes", "--json").stdout)
    assert done["rows"] == {f"{filled.prefix}psth.__psth": 1, f"{filled.prefix}psth.__psth__unit": 16}
    (kept,) = filled.json("deletions")
    assert kept["deletion_id"] == done["deletion_id"]
    assert (kept["deleted_table"], kept["deletion_reason"]) == ("Psth", "made better")
    assert kept["deletion_restriction"] == f"alignment = change_active and session_id = {sessions[0]}"
    assert (kept["n_deleted_sessions"], kept["rows"]) == (1, done["rows"])
    filled.call(*POPULATE)
    after = filled.contents()
    assert {name for name in after if after[name] != before[name]} == {
        "administration.deletion", "administration.deletion__count",
    }  # fmt: skip


def test_a_session_goes_with_everything_of_it_and_nothing_else(filled: Any, sessions: list[int]) -> None:
    first, second = sessions
    others, rows = expected_rows(filled, second), expected_rows(filled, first)
    files = filled.stored_files()
    jobs = f'"{filled.prefix}psth"."~~psth"'
    for number, status in ((first, "error"), (first, "reserved"), (second, "error")):
        filled.server.query(
            f"INSERT INTO {jobs} (mouse_id, session_id, alignment, status, priority) "
            f"VALUES ('990001', {number}, 'change_{status[:3]}', '{status}', 5)"
        )
    done = typing("y\n", filled, "delete", "--session", first, "--reason", "wrong animal")
    assert done.returncode == 0, done.stderr
    assert f"{sum(rows.values())} rows deleted" in done.stdout
    assert expected_rows(filled, first) == {}
    assert expected_rows(filled, second) == others
    left = filled.server.query(f"SELECT session_id, alignment FROM {jobs}")
    assert [tuple(row) for row in left] == [(second, "change_err")]
    assert filled.stored_files() == files
    kept = filled.json("deletions", "--last", 1)[0]
    assert kept["rows"] == rows
    assert kept["deleted_by"] == filled.server.settings.get("DJ_USER", "vbn")
    assert "wrong animal" in filled.call("deletions").stdout


def test_tables_of_one_name_keep_the_names_that_tell_them_apart(
    filled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.admin import deletion
    from schemas import psth

    filled.connect()
    of_a_lab = type("Psth", (), {"full_table_name": '"mylab"."__psth"'})
    monkeypatch.setattr(deletion, "all_tables", lambda: [psth.Psth, psth.AreaPsth, of_a_lab])
    labels = deletion.table_labels()
    assert set(labels.values()) == {"Psth.Unit", "AreaPsth", "AreaPsth.Structure"}
    assert labels[f"{filled.prefix}psth.__area_psth"] == "AreaPsth"
