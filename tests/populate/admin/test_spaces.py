"""Personal schemas and courses, as an admin makes them and their owners use them on a real server."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest

from populate.admin import spaces
from populate.work.quotas import described_size
from tests.populate.admin.test_roles import Lab, configured, lab  # noqa: F401 - a fixture
from vbn.errors import SettingError

TABLES = """
import datajoint as dj
import schemas
schemas.connect({prefix!r})
from schemas import session
schema = dj.Schema({space!r})

@schema
class Score(dj.Manual):
    definition = '''
    # One score
    -> session.Session
    ---
    score : float64  # how good
    '''

@schema
class Rank(dj.Computed):
    definition = '''
    # One rank
    -> Score
    ---
    place : int32  # by the score
    '''

    def make(self, key):
        self.insert1(dict(key, place=1))
"""
MODULE = "tables_of_a_space"


@pytest.fixture
def two(lab: Lab) -> Iterator[Lab]:  # noqa: F811
    """The lab with a second reader, bob, and no spaces before and after."""
    bob = f"{lab.database.prefix}bob"
    made = lab.vbn("owner", "admin", "create-user", bob, "--role", "reader", "--replace")
    yield dataclasses.replace(lab, passwords={**lab.passwords, "bob": made.stdout.strip()})
    for row in json.loads(lab.vbn("admin", "admin", "spaces", "--json").stdout):
        lab.vbn("admin", "admin", "drop-space", row["name"], "--yes")
    lab.vbn("admin", "admin", "drop-user", bob)


def name_of(lab: Lab, who: str) -> str:  # noqa: F811
    return f"{lab.database.prefix}bob" if who == "bob" else lab.name(who)


def space_of(lab: Lab, who: str) -> str:  # noqa: F811
    return lab.database.prefix + spaces.space_of(name_of(lab, who))


def connected(lab: Lab, name: str, password: str) -> Any:  # noqa: F811
    settings = lab.database.server.settings
    common = {"host": settings["DJ_HOST"], "port": int(settings["DJ_PORT"]), "user": name}
    if lab.database.server.backend == "mysql":
        return pymysql.connect(**common, password=password, autocommit=True)
    connection = psycopg2.connect(**common, password=password, dbname="postgres")
    connection.autocommit = True
    return connection


def is_allowed(lab: Lab, who: str, statement: str) -> bool:  # noqa: F811
    with contextlib.closing(connected(lab, name_of(lab, who), lab.passwords[who])) as connection:
        return lab._is_allowed(connection, statement)


def make_tables(lab: Lab, who: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    """Make a table in the space of an account, as that account, by importing a module of hers."""
    text = TABLES.format(prefix=lab.database.prefix, space=space_of(lab, who))
    (folder / f"{MODULE}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    account = {"DJ_USER": name_of(lab, who), "DJ_PASS": lab.passwords[who]}
    with configured({**lab.database.server.settings, **account}, lab.database):
        namespace: dict[str, Any] = {"__name__": MODULE}
        exec(compile(text, MODULE, "exec"), namespace)
        score, key = namespace["Score"], namespace["session"].Session.keys()[0]
        score.insert1({**key, "score": 1.5})
        assert len(score * namespace["session"].Session) == 1
        assert namespace["Rank"].full_table_name
    return key


def test_a_reader_has_a_space_for_tables_below_the_labs(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, space = two.name("reader"), space_of(two, "reader")
    done = two.vbn("admin", "admin", "create-space", ada, "--quota", "5GB")
    assert done.stdout == f'{space}: the space of {ada}. In Python: schemas.connect(); dj.Schema("{space}")\n'
    key = make_tables(two, "reader", tmp_path, monkeypatch)
    (state,) = json.loads(two.vbn("reader", "admin", "spaces", "--json").stdout)
    assert (state["name"], state["owner"], state["n_tables"]) == (space, ada, 2)
    assert 0 < state["size_bytes"] < state["quota_bytes"] == 5 * 10**9
    assert f"space {space} of {ada}: 2 tables, " in two.vbn("worker", "status").stdout
    table = f'"{space}"."score"'
    assert is_allowed(two, "bob", f"SELECT * FROM {table}")
    assert not is_allowed(two, "bob", f"DELETE FROM {table}")
    assert not is_allowed(two, "bob", f'CREATE TABLE "{space}".mine (i int)')
    lab_schema = f'"{two.database.prefix}session"'
    assert not is_allowed(two, "reader", f"CREATE TABLE {lab_schema}.mine (i int)")
    assert not is_allowed(two, "reader", f"DELETE FROM {lab_schema}.session")
    planned = two.vbn("admin", "delete", "--session", key["session_id"], "--dry-run")
    assert f"{space}.score (1 rows, in the space of {ada})" in planned.stdout
    # Too large is reported; nothing else happens.
    two.vbn("admin", "admin", "create-space", ada, "--quota", "1KB")
    assert "TOO LARGE" in two.vbn("reader", "admin", "spaces").stdout
    assert f"{space} of {ada} has" in two.vbn("worker", "doctor", check=False).stdout
    assert is_allowed(two, "reader", f"DELETE FROM {table} WHERE 1 = 0")


def test_the_labs_worker_fills_a_table_of_a_space(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemas.bases import lab as declared
    from schemas.deploy import lab_modules

    monkeypatch.setattr(declared, "_declared", [])
    monkeypatch.setattr(lab_modules, "_loaded", set())
    two.vbn("admin", "admin", "create-space", two.name("reader"))
    try:
        if two.database.server.backend == "mysql":  # a module of tables that nobody has made
            text = TABLES.format(prefix=two.database.prefix, space=space_of(two, "reader"))
            (tmp_path / f"{MODULE}.py").write_text(text)
            monkeypatch.syspath_prepend(str(tmp_path))
            said = two.refusal("worker", "populate", "--module", MODULE)
            assert "Who owns its schema makes its tables, by importing it once" in said
        make_tables(two, "reader", tmp_path, monkeypatch)
        hint = f"or an admin, with: vbn deploy --module {MODULE}"
        assert hint in two.refusal("worker", "populate", "--table", "Rank", "--module", MODULE)
        two.vbn("reader", "status", "--module", MODULE)  # which makes the list of jobs
        assert hint in two.refusal("worker", "populate", "--table", "Rank", "--module", MODULE)
        two.vbn("admin", "deploy", "--module", MODULE)
        done = two.vbn("worker", "populate", "--table", "Rank", "--module", MODULE)
        assert done.stdout == "1 entries made, 0 failed.\n"
    finally:
        sys.modules.pop(MODULE, None)


def test_a_space_is_handed_over_before_its_owner_goes(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob, space = two.name("reader"), name_of(two, "bob"), space_of(two, "reader")
    two.vbn("admin", "admin", "create-space", ada)
    make_tables(two, "reader", tmp_path, monkeypatch)
    refused = two.refusal("admin", "admin", "drop-user", ada)
    assert f"'{ada}' has a space with tables. Give it to somebody else (vbn admin hand-over-space" in refused
    done = two.vbn("admin", "admin", "hand-over-space", ada, "--to", bob)
    assert done.stdout == f"{space}: the space of {bob} now.\n"
    table = f'"{space}"."score"'
    assert not is_allowed(two, "reader", f"DELETE FROM {table} WHERE 1 = 0")
    assert is_allowed(two, "reader", f"SELECT * FROM {table}")
    assert is_allowed(two, "bob", f"DELETE FROM {table} WHERE 1 = 0")
    assert is_allowed(two, "bob", f'CREATE TABLE "{space}".of_bob (i int)')
    assert is_allowed(two, "reader", f'SELECT * FROM "{space}".of_bob')
    two.vbn("admin", "admin", "create-space", bob)
    several = two.refusal("admin", "admin", "drop-space", bob, "--yes")
    assert f"has several spaces. Name one of them: {space_of(two, 'bob')}, {space}." in several
    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        assert "Nothing was dropped" in two.refusal("admin", "admin", "drop-space", space)
    two.vbn("admin", "admin", "drop-space", space, "--yes")
    assert not two.database.server.query(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s", space
    )


CODE = {
    "row-level policies": (
        'ALTER TABLE "{s}".score ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE "{s}".score FORCE ROW LEVEL SECURITY',
        'CREATE POLICY p ON "{s}".score USING ("{s}".run())',
    ),
    "rules": ('CREATE RULE r AS ON DELETE TO "{s}".score DO ALSO SELECT "{s}".run()',),
    "triggers": (
        "CREATE FUNCTION \"{s}\".t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        'CREATE TRIGGER t BEFORE DELETE ON "{s}".score EXECUTE FUNCTION "{s}".t()',
    ),
    "functions of its owner": ('CREATE INDEX ON "{s}".score (session_id) WHERE "{s}".run()',),
    "tables that inherit from it": ('CREATE TABLE "{s}".child () INHERITS ("{s}".score)',),
}


@pytest.mark.parametrize("what", CODE)
def test_code_in_a_space_does_not_run_as_an_admin(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The owner of a space attaches a function to a table that a deletion reads, to drop an admin's table."""
    if two.database.server.backend == "mysql":
        pytest.skip("owners of spaces may make no functions on MySQL")
    ada, space = two.name("reader"), space_of(two, "reader")
    prey = f'"{two.database.prefix}session".prey'
    two.vbn("admin", "admin", "create-space", ada)
    key = make_tables(two, "reader", tmp_path, monkeypatch)
    deletion = ("delete", "--session", key["session_id"], "--reason", "a test", "--yes")
    with contextlib.closing(two.connection("admin")) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {prey} (i int)")
    try:
        body = f"BEGIN DROP TABLE {prey}; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN true; END"
        run = f'CREATE FUNCTION "{space}".run() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $${body}$$'
        for statement in (run, *CODE[what]):
            assert is_allowed(two, "reader", statement.format(s=space))
        for words in (deletion, (*deletion[:3], "--dry-run")):
            refused = two.refusal("admin", *words)
            assert (
                f"code of the owners of spaces would run with your rights ({space}.score of {ada}" in refused
            )
            assert f"has {what})" in refused
        assert two.database.server.query(f"SELECT count(*) FROM {prey}") == [(0,)]
    finally:
        two.database.server.query(f"DROP TABLE IF EXISTS {prey}")


def test_who_has_a_space_keeps_the_role(two: Lab) -> None:
    bob, space = name_of(two, "bob"), space_of(two, "bob")
    two.vbn("admin", "admin", "create-space", bob)
    replace = ("admin", "create-user", bob, "--replace", "--role")
    refused = two.refusal("admin", *replace, "worker")
    assert (
        f"'{bob}' is a reader with a space, and cannot become a worker while it has one: nothing" in refused
    )
    assert is_allowed(two, "bob", f'CREATE TABLE "{space}".mine (i int)')
    two.vbn("admin", *replace, "reader")
    two.vbn("admin", "admin", "drop-space", bob, "--yes")
    two.vbn("admin", *replace, "worker")


def test_a_space_that_others_need_is_not_dropped(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob, space = two.name("reader"), name_of(two, "bob"), space_of(two, "reader")
    two.vbn("admin", "admin", "create-space", ada)
    two.vbn("admin", "admin", "create-space", bob)
    make_tables(two, "reader", tmp_path, monkeypatch)
    if two.database.server.backend == "mysql":
        two.database.server.query(f"GRANT REFERENCES ON `{space}`.`score` TO `{bob}`")
    of_bob = f'"{space_of(two, "bob")}"."mine"'
    assert is_allowed(
        two, "bob",
        f"CREATE TABLE {of_bob} (mouse_id varchar(32), session_id bigint, FOREIGN KEY (mouse_id, session_id) "
        f'REFERENCES "{space}"."score" (mouse_id, session_id))',
    )  # fmt: skip
    refused = two.refusal("admin", "admin", "drop-space", ada, "--yes")
    assert f"Tables of {space_of(two, 'bob')} refer to those of {space}" in refused
    two.vbn("admin", "admin", "drop-space", bob, "--yes")
    two.vbn("admin", "admin", "drop-space", ada, "--yes")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create-space", "nobody"), "There is no account 'nobody' of this database."),
        (("create-space", "{admin}"), "is an admin, who may make schemas without a space"),
        (("create-space", "{reader}", "--quota", "much"), "'much' is no size. Write it as 500MB"),
        (("create-space", "{reader}", "--quota", "0GB"), "is no size"),
        (("create-space", "x'; DROP TABLE y; --"), "There is no account"),
        (("hand-over-space", "nobody", "--to", "{reader}"), "'nobody' has no space."),
        (("drop-space", "nobody", "--yes"), "'nobody' has no space."),
        (("drop-course", "nothing", "--yes"), "There is no course 'nothing'."),
        (("create-course", "Bad Name", "--people", "2"), "cannot be the name of a course"),
        (("create-course", "c", "--people", "0"), "A course has 1 to 500 people."),
        (("create-course", "c", "--people", "99999999999999"), "A course has 1 to 500 people."),
        (("create-course", "c", "--people", "no/file"), "The file of people no/file cannot be read"),
    ],
)
def test_what_cannot_be_made_is_said(two: Lab, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    named = [word.format(admin=two.name("admin"), reader=two.name("reader")) for word in words]
    more = ("--write-passwords", tmp_path / "passwords.csv") if "create-course" in words else ()
    assert message in two.refusal("admin", "admin", *named, *more)
    assert not (tmp_path / "passwords.csv").exists()
    assert json.loads(two.vbn("admin", "admin", "spaces", "--json").stdout) == []


def test_readers_and_workers_make_no_spaces(two: Lab) -> None:
    for role in ("reader", "worker"):
        said = two.refusal(role, "admin", "create-space", two.name("reader"))
        assert f"({role}) may not make spaces" in said


def test_a_course_is_made_by_one_command_and_removed_by_another(two: Lab, tmp_path: Path) -> None:
    course = f"{two.database.prefix.strip('_')}-c"
    file = tmp_path / "passwords.csv"
    words = ("admin", "create-course", course, "--people", "3", "--write-passwords", file, "--quota", "1GB")
    done = two.vbn("admin", *words)
    assert done.stdout == f"{course}: 3 accounts with spaces. Their passwords are in {file}.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open() as lines:
        people = list(csv.DictReader(lines))
    assert [each["name"] for each in people] == [f"{course}-0{number}" for number in (1, 2, 3)]
    assert "cannot be written to" in two.refusal("admin", *words)  # the file is there
    try:
        for each in people:
            with contextlib.closing(connected(two, each["name"], each["password"])) as connection:
                assert two._is_allowed(connection, f'CREATE TABLE "{each["space"]}".mine (i int)')
        listed = json.loads(two.vbn("admin", "admin", "spaces", "--json").stdout)
        assert {(row["course"], row["n_tables"]) for row in listed} == {(course, 1)}
    finally:
        done = two.vbn("admin", "admin", "drop-course", course, "--yes")
    assert done.stdout == f"{course}: 3 accounts and spaces dropped.\n"
    assert json.loads(two.vbn("admin", "admin", "spaces", "--json").stdout) == []
    assert course not in two.vbn("admin", "admin", "users").stdout
    assert not two.database.server.query(
        "SELECT 1 FROM information_schema.tables WHERE table_schema LIKE %s", f"{two.database.prefix}space%"
    )


def test_a_course_that_was_interrupted_is_continued_or_removed(
    two: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = f"{two.database.prefix.strip('_')}-c"
    names = tmp_path / "people.txt"
    names.write_text(f"\ufeff# summer\n{course}.ann\n\n{course}.ben\n{course}.eve\n", encoding="utf-8")
    words = ("admin", "create-course", course, "--people", names, "--write-passwords")
    real = spaces.create_space
    made: list[Any] = []

    def broken(*arguments: Any, **options: Any) -> str:
        if made:
            raise KeyboardInterrupt
        made.append(arguments)
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(spaces, "create_space", broken)
        assert two.vbn("admin", *words, tmp_path / "1.csv", check=False).returncode == 130
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 2  # a password that was given out is kept
    assert two.vbn("admin", *words, tmp_path / "2.csv").stdout.startswith(f"{course}: 3 accounts")
    with monkeypatch.context() as patch:
        dropped: list[str] = []
        real_drop = spaces._drop

        def half(database: Any, full: str) -> None:
            if dropped:
                raise KeyboardInterrupt
            dropped.append(full)
            real_drop(database, full)

        patch.setattr(spaces, "_drop", half)
        assert two.vbn("admin", "admin", "drop-course", course, "--yes", check=False).returncode == 130
    two.vbn("admin", "admin", "drop-course", course, "--yes")
    assert course not in two.vbn("admin", "admin", "users").stdout
    assert json.loads(two.vbn("admin", "admin", "spaces", "--json").stdout) == []


def test_a_course_takes_no_account_that_exists(two: Lab, tmp_path: Path) -> None:
    names = tmp_path / "people.txt"
    names.write_text(f"new-one\n{two.name('reader')}\n")
    words = ("admin", "create-course", "c", "--people", names, "--write-passwords", tmp_path / "p.csv")
    assert f"There is an account '{two.name('reader')}' already. Nothing" in two.refusal("admin", *words)
    assert "new-one" not in two.vbn("admin", "admin", "users").stdout
    names.write_text("a.b\na-b\n")
    assert "differ in signs and capitals only" in two.refusal("admin", *words)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 500 * 10**6), ("5 gb", 5 * 10**9), ("1.5TB", 15 * 10**11), ("12", 12)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert spaces.quota_bytes(text) == size


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "TB", "0.0000001", "0.9", "0.0KB", "\u0665GB", ""])
def test_what_is_no_size_is_refused_in_words(text: str) -> None:
    with pytest.raises(SettingError, match=r"is no size|more than any disk"):
        spaces.quota_bytes(text)


def test_sizes_are_said() -> None:
    shown = [described_size(size) for size in (12, 12_000, 1_500_000, 5 * 10**9, 2 * 10**12)]
    assert shown == ["12 bytes", "12 kB", "1.5 MB", "5 GB", "2 TB"]
