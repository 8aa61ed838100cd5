"""Readers, workers and admins log in on a real server and do what they may, and are refused the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest

from populate.cli import main
from tests.fixtures.certificates import self_signed_certificate

ROLES = ("reader", "worker", "admin")
ADOPTED = 9000000002
REFUSALS = (1044, 1142, 1143, 1227)  # MySQL's numbers
REFUSAL_OF_POSTGRESQL = "42501"
# What imports write beside their own tables; listed here, so that nothing is added unnoticed.
OF_WORKERS = {
    "session.import_issue": {"INSERT", "DELETE"},
    "stimulus.image": {"INSERT", "UPDATE"},
    "stimulus.image__set": {"INSERT", "UPDATE"},
    "ecephys.#structure": {"INSERT", "UPDATE"},
    "administration.deletion": {"INSERT"},
    "administration.deletion__count": {"INSERT"},
    **{f"administration.freeze{part}": {"INSERT", "DELETE"} for part in ("", "__piece", "__array")},
}
# What people keep, readers too.
OF_PEOPLE = {
    f"curation.{name}": {"INSERT", "DELETE"}
    for name in ("named_list", "list_unit", "list_session", "unit_note", "session_note")
}
QUESTIONS = """
import json, schemas
schemas.connect()
from schemas import ecephys, session
from schemas.reading import session_frames
from schemas.rows.fetch import fetch_frame
units = ecephys.Recording.Unit & "snr > 1"
frame = fetch_frame(session.Session.proj("session_type") * units.proj("snr"))
key = session.Session.keys()[0]
times = ecephys.spike_times(units)
print(json.dumps([len(frame), sum(map(len, times.values())), len(session_frames.session_events(key).licks)]))
"""


@dataclass
class Lab:
    """A database on a configured server, with an account of each role."""

    database: Any
    passwords: dict[str, str]

    def name(self, role: str) -> str:
        return f"{self.database.prefix}{role}_1"

    def environment(self, role: str) -> dict[str, str]:
        return {"DJ_USER": self.name(role), "DJ_PASS": self.passwords[role]}

    def vbn(self, role: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line as an account, in this process, which spares the imports."""
        settings = {**self.database.server.settings, **(self.environment(role) if role != "owner" else {})}
        output, errors = io.StringIO(), io.StringIO()
        with (
            configured(settings, self.database),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            pytest.raises(SystemExit) as end,
        ):
            main([str(argument) for argument in arguments])
        code = end.value.code if isinstance(end.value.code, int) else 0
        assert not check or code == 0, output.getvalue() + errors.getvalue()
        return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())

    def refusal(self, role: str, *arguments: object) -> str:
        """Return what a command that fails says: words, no traceback."""
        done = self.vbn(role, *arguments, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "unexpected" not in done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    @contextlib.contextmanager
    def logged_in(self, role: str) -> Iterator[Callable[[str], bool]]:
        """Log in with the driver; give a function that runs a statement and tells whether it was allowed."""
        with contextlib.closing(self.connection(role)) as connection:
            yield lambda statement: self._is_allowed(connection, statement)

    def connection(self, role: str) -> Any:
        settings = {**self.database.server.settings, **self.environment(role)}
        common = {"host": settings["DJ_HOST"], "port": int(settings["DJ_PORT"]), "user": settings["DJ_USER"]}
        if self.database.server.backend == "mysql":
            return pymysql.connect(**common, password=settings["DJ_PASS"], autocommit=True)
        connection = psycopg2.connect(**common, password=settings["DJ_PASS"], dbname="postgres")
        connection.autocommit = True
        return connection

    def _is_allowed(self, connection: Any, statement: str) -> bool:
        if self.database.server.backend == "mysql":
            statement = statement.replace('"', "`")
        try:
            with contextlib.closing(connection.cursor()) as cursor:
                cursor.execute(statement)
        except (pymysql.err.MySQLError, psycopg2.Error) as error:
            if error.args[0] in REFUSALS or getattr(error, "pgcode", None) == REFUSAL_OF_POSTGRESQL:
                return False
            raise
        return True

    def tables(self) -> dict[str, str]:
        """Return every table of the prefix, DataJoint's own too, and one column of each."""
        found = self.database.server.query(
            "SELECT table_schema, table_name, min(column_name) FROM information_schema.columns "
            f"WHERE table_schema LIKE '{self.database.prefix}%' GROUP BY 1, 2"
        )
        return {f'"{schema}"."{table}"': column for schema, table, column in found}

    def short(self, table: str) -> str:
        return table.replace(self.database.prefix, "").replace('"', "")


@contextlib.contextmanager
def configured(settings: dict[str, str], database: Any) -> Iterator[None]:
    """Configure DataJoint in this process, for another account than that of the other tests."""
    import schemas
    from schemas.server.datajoint import dj

    schemas.disconnect()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**database.environment, **settings}.items():
            patch.setenv(name, value)
        for name in ("backend", "host", "user"):
            patch.setattr(dj.config.database, name, settings[f"DJ_{name.upper()}"])
        patch.setattr(dj.config.database, "port", int(settings["DJ_PORT"]))
        patch.setattr(dj.config.database, "password", settings["DJ_PASS"])
        patch.setitem(dj.config.stores, "vbn", {"protocol": "file", "location": str(database.store)})
        yield
        schemas.disconnect()


@pytest.fixture(scope="module")
def lab(
    make_database: Callable[..., Any], synthetic_files: list[Path], tmp_path_factory: Any
) -> Iterator[Lab]:
    """A lab's server as its administrator leaves it, with one session registered."""
    from schemas.server.embedded import PORT, EmbeddedServer

    plain = make_database()
    plain.keep = None  # its accounts would be in the way of whoever uses it again
    settings = {
        "DJ_BACKEND": "postgresql",
        "DJ_HOST": str(EmbeddedServer(plain.server.home).socket_folder),
        "DJ_PORT": str(PORT),
        "DJ_USER": "vbn",
        "DJ_PASS": "not asked for through a socket",
    }
    server = dataclasses.replace(plain.server, settings=plain.server.settings or settings)
    lab = Lab(dataclasses.replace(plain, server=server), {})
    lab.vbn("owner", "deploy")
    file = tmp_path_factory.mktemp("secrets") / "password"
    file.write_text("of the worker's own\n")
    try:
        made = lab.vbn("owner", "admin", "create-user", lab.name("reader"), "--role", "reader")
        lab.passwords["reader"] = made.stdout.strip()
        given = ("--role", "worker", "--password-file", file)
        lab.passwords["worker"] = "of the worker's own"
        made = lab.vbn("owner", "admin", "create-user", lab.name("worker"), *given)
        assert made.stdout == ""
        written = file.with_name("written")
        lab.vbn(
            "owner", "admin", "create-user", lab.name("admin"), "--role", "admin", "--write-password", written
        )
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        lab.passwords["admin"] = written.read_text().strip()
        lab.vbn("admin", "register", synthetic_files[0])
        yield lab
    finally:
        if server.backend == "mysql":
            names = [*map(lab.name, ROLES), *(f"{plain.prefix}{role}" for role in (*ROLES, "new"))]
            server.query(f"DROP USER IF EXISTS {', '.join(f'`{name}`' for name in names)}")


@pytest.fixture(scope="module")
def populated(lab: Lab) -> Lab:
    """The lab after its worker has made everything, and the reader was refused to."""
    refused = lab.refusal("reader", "populate")
    account = f"The account '{lab.name('reader')}' (reader) may not "
    assert re.search(re.escape(account) + "(insert into|delete from) ecephys.~~recording", refused)
    done = lab.vbn("worker", "populate")
    assert done.stdout.endswith("0 failed.\n")
    return lab


def test_a_reader_reads_everything_and_a_worker_has_made_it(populated: Lab) -> None:
    """Status, sessions, plots, joins of tables and arrays, as the server's owner sees them."""
    status = json.loads(populated.vbn("reader", "status", "--json").stdout)
    assert all(state["done"] == state["total"] for state in status)
    assert "1" in populated.vbn("reader", "sessions").stdout
    picture = populated.database.folder / "picture.png"
    session_id = populated.database.server.query(
        f'SELECT session_id FROM "{populated.database.prefix}session"."session"'
    )[0][0]
    populated.vbn(
        "reader", "plot", "change-response", "--session", session_id, "--structure", "VISpm", "--out", picture
    )
    assert picture.stat().st_size > 1000
    assert "may read, but not write" in populated.vbn("reader", "doctor", check=False).stdout
    answers = [ask(populated, {}), ask(populated, populated.environment("reader"))]
    assert answers[0] == answers[1]
    assert min(answers[0]) > 0


def ask(lab: Lab, account: dict[str, str]) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", QUESTIONS], env={**lab.database.environment, **account}, check=True,
        capture_output=True, text=True, cwd=lab.database.folder,
    )  # fmt: skip
    return list(json.loads(done.stdout))


def test_a_reader_changes_no_table_but_lists_and_notes(populated: Lab) -> None:
    with populated.logged_in("reader") as is_allowed:
        for table, column in populated.tables().items():
            allowed = OF_PEOPLE.get(populated.short(table), set())
            assert is_allowed(f"SELECT * FROM {table} WHERE 1 = 0"), table
            for verb, statement in changes(table, column).items():
                assert is_allowed(statement) == (verb in allowed), (verb, table)


def test_a_worker_changes_imported_and_computed_tables_only(populated: Lab) -> None:
    from schemas.server.datajoint import dj

    with populated.logged_in("worker") as is_allowed:
        for table, column in populated.tables().items():
            short = populated.short(table)
            name = short.partition(".")[2]
            allowed = OF_WORKERS.get(short, OF_PEOPLE.get(short, set()))
            if name.startswith("~~"):
                allowed = {"INSERT", "UPDATE", "DELETE"}
            elif re.match(dj.Imported.tier_regexp, name) or name.startswith("_"):
                allowed = {"INSERT", "DELETE"}
            assert is_allowed(f"SELECT * FROM {table} WHERE 1 = 0"), table
            for verb, statement in changes(table, column).items():
                assert is_allowed(statement) == (verb in allowed), (verb, table)


NOTES = """
import schemas, datajoint as dj
from schemas import ecephys

schema = schemas.lab_schema("notes")

@schema
class NoteKind(dj.Lookup):
    definition = "note_kind : varchar(8)"
    contents = [{"note_kind": "plain"}]

@schema
class Notes(dj.Computed):
    definition = "-> ecephys.Recording\\n-> NoteKind"
    def make(self, key):
        self.insert1(key)
"""


@pytest.fixture
def lab_module(populated: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with tables of the lab, known to this process as long as the test runs."""
    from schemas.bases import lab as declared
    from schemas.deploy import lab_modules

    (tmp_path / "notes_of_a_lab.py").write_text(NOTES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(declared, "_declared", [])
    monkeypatch.setattr(lab_modules, "_loaded", set())
    yield "notes_of_a_lab"
    mysql = populated.database.server.backend == "mysql"
    schema, end = f'"{populated.database.prefix}notes"', "" if mysql else " CASCADE"
    populated.database.server.query(f"DROP {'DATABASE' if mysql else 'SCHEMA'} IF EXISTS {schema}{end}")
    sys.modules.pop("notes_of_a_lab", None)


def test_tables_of_a_lab_are_read_and_filled_as_soon_as_they_are_deployed(
    populated: Lab, lab_module: str
) -> None:
    module = ("--module", lab_module)
    assert f"vbn deploy --module {lab_module}" in populated.refusal("reader", "status", *module)
    populated.vbn("admin", "deploy", *module)
    assert "1 entries made, 0 failed." in populated.vbn("worker", "populate", *module).stdout
    states = json.loads(populated.vbn("reader", "status", "--json", *module).stdout)
    assert [state["done"] for state in states if state["table"] == "Notes"] == [1]
    with populated.logged_in("reader") as is_allowed:
        own = {name: column for name, column in populated.tables().items() if "notes" in name.split(".")[0]}
        assert len(own) >= 3
        for table, column in own.items():
            assert is_allowed(f"SELECT * FROM {table} WHERE 1 = 0"), table
            for verb, statement in changes(table, column).items():
                assert not is_allowed(statement), (verb, table)


def changes(table: str, column: str) -> dict[str, str]:
    """Return statements that would change a table if they were allowed; the first three change no row."""
    schema = table.partition(".")[0]
    return {
        "INSERT": f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0",
        "DELETE": f"DELETE FROM {table} WHERE 1 = 0",
        "UPDATE": f'UPDATE {table} SET "{column}" = "{column}" WHERE 1 = 0',
        "ALTER": f"ALTER TABLE {table} ADD COLUMN of_mine int",
        "CREATE": f"CREATE TABLE {schema}.of_mine (i int)",
        "TRUNCATE": f"TRUNCATE TABLE {table}",
        "DROP": f"DROP TABLE {table}",
    }


def test_readers_keep_lists_and_notes_of_their_own(populated: Lab) -> None:
    """Nobody but an admin removes what somebody else has made."""
    populated.vbn("reader", "query", "units", "--save-list", "mine")
    populated.vbn("reader", "note", "add", "--list", "mine", "two cells?", "--label", "doubtful")
    (row,) = json.loads(populated.vbn("worker", "lists", "--json").stdout)
    assert (row["list_author"], row["n_left"]) == (populated.name("reader"), row["n_listed"])
    notes = json.loads(populated.vbn("worker", "notes", "--json").stdout)
    assert {note["author"] for note in notes} == {populated.name("reader")}
    own = populated.vbn("worker", "query", "units", "--list", "mine", "--label", "doubtful", "--json").stdout
    assert len(json.loads(own)) == row["n_listed"]
    said = f"is by {populated.name('reader')}, and you are connected as {populated.name('worker')}"
    for words in (("list", "remove", "mine"), ("list", "rename", "mine", "ours"),
                  ("query", "units", "--save-list", "mine", "--replace"),
                  ("note", "remove", notes[0]["note_id"])):  # fmt: skip
        assert said in populated.refusal("worker", *words)
    assert len(json.loads(populated.vbn("reader", "notes", "--json").stdout)) == len(notes)
    populated.vbn("reader", "note", "remove", notes[0]["note_id"])
    populated.vbn("admin", "note", "remove", notes[1]["note_id"])
    populated.vbn("admin", "list", "remove", "mine")
    assert json.loads(populated.vbn("reader", "lists", "--json").stdout) == []


def test_on_postgresql_no_statement_touches_what_others_keep(populated: Lab) -> None:
    """MySQL has no such rules for rows, which docs/lists.md says."""
    if populated.database.server.backend == "mysql":
        pytest.skip("MySQL grants whole tables")
    schema = f'"{populated.database.prefix}curation"'
    populated.vbn("worker", "query", "sessions", "--save-list", "theirs")
    with contextlib.closing(populated.connection("reader")) as connection, connection.cursor() as cursor:
        for table in ("list_session", "named_list"):
            cursor.execute(f"DELETE FROM {schema}.{table}")
            assert cursor.rowcount == 0
        columns = (
            "list_name, list_kind, n_listed, list_description, list_author, list_made_at, list_made_from"
        )
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(
                f"INSERT INTO {schema}.named_list ({columns}) SELECT 'forged', list_kind, n_listed, '', "
                f"list_author, list_made_at, '' FROM {schema}.named_list"
            )
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(
                f"INSERT INTO {schema}.list_session (list_name, mouse_id, session_id) "
                f"SELECT 'theirs', mouse_id, session_id FROM \"{populated.database.prefix}session\".session"
            )
    populated.vbn("admin", "deploy")  # again: the rules are there already
    populated.vbn("worker", "list", "remove", "theirs")


def test_a_worker_enters_a_structure_that_is_not_listed(lab: Lab) -> None:
    import schemas

    with configured({**lab.database.server.settings, **lab.environment("worker")}, lab.database):
        schemas.connect(lab.database.prefix)
        from schemas.ecephys import enter_structures

        assert enter_structures(["CA1", "of nobody"]) == ["of nobody"]
        assert enter_structures(["of nobody"]) == []


@pytest.mark.parametrize("role", ["reader", "worker"])
def test_others_than_admins_make_no_schemas_and_no_accounts(lab: Lab, role: str) -> None:
    prefix = lab.database.prefix
    kind = "DATABASE" if lab.database.server.backend == "mysql" else "SCHEMA"
    with lab.logged_in(role) as is_allowed:
        assert not is_allowed(f'CREATE {kind} "{prefix}of_mine"')
        assert not is_allowed(f'DROP {kind} "{prefix}session"')
        assert not is_allowed(f'CREATE ROLE "{prefix}new"')
        assert not is_allowed(f'GRANT "{prefix}admin" TO "{lab.name(role)}"')


def test_what_a_command_may_not_do_is_said_in_words(lab: Lab, synthetic_files: list[Path]) -> None:
    account = f"The account '{lab.name('worker')}' (worker) may not "
    assert f"{account}insert into session." in lab.refusal("worker", "register", synthetic_files[1])
    assert f"{account}create tables" in lab.refusal("worker", "deploy")
    assert f"{account}make accounts" in lab.refusal("worker", "admin", "create-user", "x", "--role", "admin")
    added = ("params", "add", "PerformanceParams", "w50", "--like", "allensdk", "--set", "sliding_window=50")
    assert f"{account}insert into performance.#performance_params" in lab.refusal("worker", *added)
    assert "(reader) may not create tables" in lab.refusal("reader", "deploy")
    assert "(reader) may not delete from" in lab.refusal("reader", "retry")
    everything = ("--where", "session_type=EPHYS_1_images_G_3uL_reward", "--yes", "--reason", "a try")
    for role in ("reader", "worker"):
        assert f"({role}) may not delete from" in lab.refusal(role, "delete", "Session", *everything)


@pytest.mark.slow
def test_a_worker_replaces_stale_rows(populated: Lab) -> None:
    """As ``vbn recompute`` does: delete rows with all that was made from them, and make them anew."""
    server, prefix = populated.database.server, populated.database.prefix
    before = populated.database.contents()
    server.query(f'UPDATE "{prefix}behavior"."_licks" SET licks_method_version = 0')
    done = populated.vbn("worker", "recompute", "--yes")
    assert "0 failed" in done.stdout
    assert populated.database.contents() == before


@pytest.mark.slow
def test_admins_adopt_sessions_and_the_others_read_them(lab: Lab, published_synthetic: Path) -> None:
    adopt = ("adopt", published_synthetic, "--session", ADOPTED)
    rows = f'SELECT count(*) FROM "{lab.database.prefix}session"."session" WHERE session_id = {ADOPTED}'
    for role in ("reader", "worker"):
        stored = lab.database.stored_files()
        said = lab.refusal(role, *adopt)
        assert f"The account '{lab.name(role)}' ({role}) may not " in said
        assert lab.database.server.query(rows) == [(0,)]
        assert lab.database.stored_files() == stored
    lab.vbn("admin", *adopt)
    try:
        shown = json.loads(lab.vbn("reader", "sessions", "--json").stdout)
        assert ADOPTED in [each["session_id"] for each in shown]
        assert "unchanged" in lab.vbn("admin", *adopt).stdout
        done = lab.vbn("worker", "populate", "--session", ADOPTED)
        assert done.stdout == "0 entries made, 0 failed.\n"
        exported = lab.database.folder / "running.parquet"
        lab.vbn("reader", "export", "Running", "--arrays", "--out", exported)
        assert exported.stat().st_size
    finally:
        lab.vbn("admin", "delete", "--session", ADOPTED, "--reason", "a test", "--yes")


def test_an_admin_deploys_a_table_and_readers_and_workers_have_it_at_once(populated: Lab) -> None:
    """The table was never granted by name: it is dropped, as if this version were the first to have it."""
    server, prefix = populated.database.server, populated.database.prefix
    schema = f'"{prefix}responses"'
    for table in ("__area_summary__structure", "__area_summary", "~~area_summary"):
        server.query(f'DROP TABLE {schema}."{table}"')
    populated.vbn("admin", "deploy")
    with populated.logged_in("reader") as is_allowed:
        assert is_allowed(f'SELECT * FROM {schema}."__area_summary__structure"')
    assert "0 failed" in populated.vbn("worker", "populate", "--table", "AreaSummary").stdout
    assert server.query(f'SELECT count(*) FROM {schema}."__area_summary"')[0][0] > 0


def test_an_admin_keeps_the_accounts(lab: Lab) -> None:
    name = f"{lab.database.prefix}new"
    first = lab.vbn("admin", "admin", "create-user", name, "--role", "reader").stdout.strip()
    assert "exists (reader)" in lab.refusal("admin", "admin", "create-user", name, "--role", "worker")
    for role in ("admin", "worker"):
        replaced = lab.vbn("admin", "admin", "create-user", name, "--role", role, "--replace").stdout.strip()
        accounts = json.loads(lab.vbn("admin", "admin", "users", "--json").stdout)
        assert {row["name"]: row["role"] for row in accounts} == {
            **{lab.name(other): other for other in ROLES}, name: role,
        }  # fmt: skip
    assert len({first, replaced}) == 2
    lab.passwords["new"] = replaced
    lab.vbn("admin", "admin", "drop-user", name)
    assert "There is no account" in lab.refusal("admin", "admin", "drop-user", name)
    assert "connected with" in lab.refusal("admin", "admin", "drop-user", lab.name("admin"))
    owner = lab.database.server.settings["DJ_USER"]
    for role in ("owner", "admin"):  # nobody takes over an account that was made elsewhere
        refused = lab.refusal(role, "admin", "create-user", owner, "--role", "reader", "--replace")
        assert "an account" in refused
    lab.vbn("owner", "status")


def test_the_server_writes_no_password_into_its_log(lab: Lab) -> None:
    server, name = lab.database.server, f"{lab.database.prefix}new"
    if server.backend == "mysql":
        before = server.query("SELECT @@log_output, @@general_log")[0]
        server.query("SET GLOBAL log_output = 'TABLE'")
        server.query("SET GLOBAL general_log = ON")
    else:
        server.query(f"ALTER ROLE \"{lab.name('admin')}\" SET log_statement = 'all'")
    try:
        made = lab.vbn("admin", "admin", "create-user", name, "--role", "reader")
        again = lab.vbn("admin", "admin", "create-user", name, "--role", "reader", "--replace")
        lab.vbn("admin", "admin", "drop-user", name)
    finally:
        if server.backend == "mysql":
            server.query(f"SET GLOBAL general_log = {before[1]}")
            server.query(f"SET GLOBAL log_output = '{before[0]}'")
    if server.backend == "mysql":
        log = "\n".join(str(row[0]) for row in server.query("SELECT argument FROM mysql.general_log"))
    else:
        log = (server.home / "postgres.log").read_text()
    assert re.search(f"CREATE (USER|ROLE) .{name}", log)
    assert made.stdout.strip() not in log
    assert again.stdout.strip() not in log


@pytest.mark.parametrize(
    "name", ["root", "Postgres", "mysql.sys", "pg_monitor", "replication", "a'b", "a b", ""]
)
def test_names_of_system_accounts_and_bad_characters_are_refused(lab: Lab, name: str) -> None:
    said = lab.refusal("owner", "admin", "create-user", name, "--role", "reader", "--replace")
    assert f"'{name}' is the name of a system account" in said or "it must be letters, digits" in said


def test_the_embedded_server_has_no_accounts(lab: Lab) -> None:
    alone = dict.fromkeys(("DJ_BACKEND", "DJ_HOST", "DJ_PORT", "DJ_USER", "DJ_PASS"), "")
    if lab.database.server.backend == "mysql":
        pytest.skip("the embedded server is PostgreSQL")
    env = {name: value for name, value in lab.database.environment.items() if name not in alone}
    done = subprocess.run(
        [sys.executable, "-m", "populate", "admin", "create-user", "x", "--role", "reader"],
        env=env, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is yours alone and has no accounts" in done.stderr


class Between:
    """A proxy on another address of this machine, through which a server looks like a remote one.

    It can say on behalf of a MySQL server that this offers no encryption, as somebody on the way could;
    the embedded PostgreSQL offers none by itself. ``heard`` is what the client has sent.
    """

    CLIENT_SSL = 0x0800
    HOST = "127.0.0.2"

    def __init__(self, settings: dict[str, str], *, without_tls: bool) -> None:
        self.settings, self.without_tls, self.heard = settings, without_tls, b""
        self.listener = socket.create_server((self.HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = [self.listener]
        self.threads: list[threading.Thread] = []
        self._start(self._serve)

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        self.threads.append(threading.Thread(target=target, args=arguments))
        self.threads[-1].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # when the listener is shut down
            while True:
                client, server = self.listener.accept()[0], self._reach()
                self.sockets += [client, server]
                self._start(self._pump, client, server, False)
                self._start(self._pump, server, client, True)

    def _reach(self) -> socket.socket:
        host, port = self.settings["DJ_HOST"], self.settings["DJ_PORT"]
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{host}/.s.PGSQL.{port}")
        return connection

    def _pump(self, source: socket.socket, target: socket.socket, is_server: bool) -> None:
        is_greeting = is_server and self.without_tls
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_greeting:
                    data, is_greeting = self._without_tls(data), False
                if not is_server:
                    self.heard += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _without_tls(self, greeting: bytes) -> bytes:
        """Clear the flag in MySQL's greeting: after the version's NUL, a number, eight bytes and a NUL."""
        place = greeting.index(b"\0", 5) + 1 + 4 + 8 + 1
        flags = int.from_bytes(greeting[place : place + 2], "little") & ~self.CLIENT_SSL
        return greeting[:place] + flags.to_bytes(2, "little") + greeting[place + 2 :]

    def __enter__(self) -> Between:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for one in self.sockets:
            one.close()


def test_a_remote_server_without_encryption_is_refused_before_the_password_is_sent(lab: Lab) -> None:
    settings = {**lab.database.server.settings, **lab.environment("reader")}
    is_mysql = lab.database.server.backend == "mysql"
    with Between(settings, without_tls=is_mysql) as between:
        env = {**lab.environment("reader"), "DJ_HOST": between.HOST, "DJ_PORT": str(between.port)}
        for wanted in ({}, {"DJ_USE_TLS": "true"}):
            done = lab.database.vbn("status", env={**env, **wanted}, check=False)
            assert done.returncode == 1
            assert f"server {between.HOST}:{between.port} offers no encryption (TLS)" in done.stderr
            assert "DJ_USE_TLS=false" in done.stderr
        assert lab.name("reader").encode() not in between.heard
        lab.database.vbn("status", env={**env, "DJ_USE_TLS": "false"})
        assert lab.name("reader").encode() in between.heard


def test_a_remote_server_is_spoken_to_in_secret(lab: Lab) -> None:
    if lab.database.server.backend != "mysql":
        pytest.skip("the embedded PostgreSQL offers no encryption: it listens on a socket of its user only")
    with Between(lab.database.server.settings, without_tls=False) as between:
        env = {**lab.environment("reader"), "DJ_HOST": between.HOST, "DJ_PORT": str(between.port)}
        assert "Recording" in lab.database.vbn("status", env=env).stdout
        assert between.heard
        assert lab.name("reader").encode() not in between.heard


def test_the_certificate_of_a_server_is_verified_by_a_ca_that_is_named(lab: Lab, tmp_path: Path) -> None:
    """Another's CA is refused, and so is a certificate that does not name the host; by the programs, too."""
    if lab.database.server.backend != "mysql":
        pytest.skip("the embedded PostgreSQL offers no encryption: it listens on a socket of its user only")
    (tmp_path / "other.pem").write_bytes(self_signed_certificate()[0])
    env = {**lab.environment("reader"), "VBN_TLS_CA": str(tmp_path / "other.pem")}
    done = lab.database.vbn("status", env=env, check=False)
    assert done.returncode == 1
    assert "has a certificate that was not accepted" in done.stderr
    assert "VBN_TLS_CHECK_HOST=false" in done.stderr
    ((folder,),) = lab.database.server.query("SELECT @@datadir")
    own = Path(folder) / "ca.pem"
    if not os.access(own, os.R_OK):
        pytest.skip(f"the server's CA ({own}) cannot be read here")
    shutil.copy(own, tmp_path / "own.pem")
    env["VBN_TLS_CA"] = str(tmp_path / "own.pem")
    assert "was not accepted" in lab.database.vbn("status", env=env, check=False).stderr
    lab.database.vbn("status", env=env | {"VBN_TLS_CHECK_HOST": "false"})
    if shutil.which(os.environ.get("VBN_MYSQLDUMP", "mysqldump")):
        root = {"VBN_TLS_CA": env["VBN_TLS_CA"], "VBN_TLS_CHECK_HOST": "false"}
        lab.database.vbn("backup", tmp_path / "backup", env=root)
