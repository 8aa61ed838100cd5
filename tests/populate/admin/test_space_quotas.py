"""What becomes of a space that is larger than it may be, for its owner, its workers and its neighbours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from populate.admin import space_quotas, spaces
from schemas.bases import lab as declared
from schemas.deploy import lab_modules
from tests.populate.admin.test_roles import Lab, lab  # noqa: F401 - a fixture
from tests.populate.admin.test_spaces import (
    MODULE,
    connected,
    is_allowed,
    make_tables,
    name_of,
    space_of,
    two,  # noqa: F401 - a fixture
)

CLOSED = "too large: {} can only read, delete and drop in it now.\n"


def adding(space: str) -> dict[str, str]:
    """Return statements by which a space grows."""
    return {
        "insert": f'INSERT INTO "{space}".score SELECT * FROM "{space}".score WHERE 1 = 0',
        "update": f'UPDATE "{space}".score SET score = 2 WHERE 1 = 0',
        "create": f'CREATE TABLE "{space}".more (i int)',
        "select into": f'CREATE TABLE "{space}".copy AS SELECT * FROM "{space}".score',
    }


def enforce(lab: Lab) -> str:  # noqa: F811
    """Return what an admin is told."""
    return str(lab.vbn("admin", "admin", "spaces", "--enforce").stderr)


def state_of(lab: Lab) -> dict[str, Any]:  # noqa: F811
    (state,) = json.loads(lab.vbn("reader", "admin", "spaces", "--json").stdout)
    return dict(state)


@contextlib.contextmanager
def within(lab: Lab, who: str, space: str) -> Iterator[Callable[..., bool]]:  # noqa: F811
    """Open a connection that is in a space; give a function that tells whether it may run a statement."""
    with contextlib.closing(connected(lab, name_of(lab, who), lab.passwords[who])) as connection:
        if lab.database.server.backend == "mysql":
            connection.select_db(space)

        def can(statement: str = adding(space)["insert"]) -> bool:
            try:
                return lab._is_allowed(connection, statement)
            except (pymysql.err.OperationalError, pymysql.err.InterfaceError):  # the connection was ended
                return False

        yield can


@pytest.fixture
def full(
    two: Lab,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lab]:
    """A space with two tables, whose quota is a byte less than they take; nobody has enforced it yet."""
    monkeypatch.setattr(declared, "_declared", [])
    monkeypatch.setattr(lab_modules, "_loaded", set())
    ada, space = two.name("reader"), space_of(two, "reader")
    two.vbn("admin", "admin", "create-space", ada, "--quota", "5GB")
    make_tables(two, "reader", tmp_path, monkeypatch)
    enforce(two)  # which counts anew
    set_quota(two, space, state_of(two)["size_bytes"] - 1)
    yield two
    sys.modules.pop(MODULE, None)


def set_quota(lab: Lab, space: str, size: int) -> None:  # noqa: F811
    place = f'"{lab.database.prefix}administration"."space"'
    name = space.removeprefix(lab.database.prefix)
    lab.database.server.query(f"UPDATE {place} SET space_quota_bytes = {size} WHERE space_name = '{name}'")


def test_the_owner_of_a_space_that_is_too_large_reads_deletes_and_drops(full: Lab) -> None:
    ada, space = full.name("reader"), space_of(full, "reader")
    with contextlib.closing(connected(full, ada, full.passwords["reader"])) as before:
        assert full._is_allowed(before, adding(space)["insert"])
        assert "TOO LARGE\n" in full.vbn("reader", "admin", "spaces").stdout
        assert enforce(full) == f"{space}: {CLOSED.format(ada)}"
        assert not full._is_allowed(before, adding(space)["insert"])  # on a connection that was open, too
    for what, statement in adding(space).items():
        assert not is_allowed(full, "reader", statement), what
    assert state_of(full)["closed_at"] is not None
    assert "TOO LARGE, closed since" in full.vbn("reader", "admin", "spaces").stdout
    assert "kB, so that its owner may not add to it\n" in full.vbn("reader", "status").stdout
    assert enforce(full) == ""  # nothing new
    assert is_allowed(full, "reader", f'SELECT * FROM "{space}".score')
    assert is_allowed(full, "reader", f'DELETE FROM "{space}".score WHERE 1 = 0')
    for table in ("~~rank", "__rank", "score"):
        is_allowed(full, "reader", f'DROP TABLE IF EXISTS "{space}"."{table}"')
    assert enforce(full) == f"{space}: small enough: {ada} can add to it again.\n"
    assert is_allowed(full, "reader", f'CREATE TABLE "{space}".mine (i int)')
    assert is_allowed(full, "reader", f'INSERT INTO "{space}".mine VALUES (1)')
    assert state_of(full)["closed_at"] is None


def test_a_connection_that_is_in_the_space_adds_nothing_either(full: Lab) -> None:
    """On MySQL it would keep the rights that it had when it went there (USE)."""
    ada, space = full.name("reader"), space_of(full, "reader")
    is_mysql = full.database.server.backend == "mysql"
    with (
        within(full, "reader", space) as adds,
        within(full, "bob", space) as others_read,
        full.logged_in("reader") as goes_on,
    ):
        assert adds()
        assert enforce(full) == f"{space}: {CLOSED.format(ada)}"
        assert not adds()
        assert others_read("SELECT 1")
        assert goes_on("SELECT 1")
    with within(full, "reader", space) as adds:
        assert not adds()
        assert adds(f'SELECT * FROM "{space}".score')
        assert enforce(full) == ""
        assert adds(f'SELECT * FROM "{space}".score')  # who came later has no such rights, and stays
        if not is_mysql:
            return
        full.vbn("admin", "admin", "hand-over-space", ada, "--to", name_of(full, "bob"))
        assert not adds(f'DELETE FROM "{space}".score WHERE 1 = 0')


KILLED = """
import os, signal, sys
from populate.admin import space_quotas
from populate.cli import main
name, runs_first = sys.argv[1], sys.argv[2] == "after"
former = getattr(space_quotas, name)
def die(*arguments):
    runs_first and former(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(space_quotas, name, die)
main(["admin", "spaces", "--enforce"])
"""


def killed_at(lab: Lab, name: str, when: str) -> None:  # noqa: F811
    """Enforce quotas, and die (SIGKILL) at a function, before or after it has done its work."""
    environment = {**os.environ, **lab.database.environment, **lab.database.server.settings}
    environment |= {**lab.environment("admin"), "DJ_STORES": json.dumps(
        {"vbn": {"protocol": "file", "location": str(lab.database.store)}}
    )}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", KILLED, name, when], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_who_is_killed_between_taking_rights_and_ending_connections_is_made_good(full: Lab) -> None:
    space = space_of(full, "reader")
    is_mysql = full.database.server.backend == "mysql"
    with within(full, "reader", space) as adds, within(full, "bob", space) as others_read:
        assert adds()
        killed_at(full, *(("still_within", "before") if is_mysql else ("_close", "after")))
        assert not is_allowed(full, "reader", adding(space)["insert"])
        assert adds() is is_mysql  # which is what is wrong, until somebody looks again
        assert enforce(full) == ""
        assert not adds()
        assert others_read("SELECT 1")
    with within(full, "reader", space) as adds:  # who comes later stays
        assert enforce(full) == ""
        assert adds(f'SELECT * FROM "{space}".score')
    # Opened, and killed before that is written down: it grows at once, and is closed as if it had been open.
    set_quota(full, space, 10**9)
    killed_at(full, "_open", "after")
    set_quota(full, space, 1)
    with within(full, "reader", space) as adds:
        assert adds()
        enforce(full)
        assert not adds()


def test_connections_that_an_admin_may_not_end_are_named(full: Lab) -> None:
    server, space = full.database.server, space_of(full, "reader")
    if server.backend != "mysql":
        pytest.skip("only on MySQL do connections keep rights")
    role = f"`{full.database.prefix}admin`"
    server.query(f"REVOKE CONNECTION_ADMIN ON *.* FROM {role}")
    try:
        with within(full, "reader", space) as adds:
            assert adds()
            done = full.vbn("admin", "admin", "spaces", "--enforce", check=False)
            assert done.returncode == 1
            assert "that are in it keep their rights until they end" in done.stderr
            again = full.vbn("admin", "admin", "spaces", "--enforce", check=False)
            assert (again.returncode, again.stderr) == (1, done.stderr)  # not only once
            refused = full.refusal("admin", "admin", "hand-over-space", space, "--to", name_of(full, "bob"))
            assert f"{space} is not handed over. Connections of {full.name('reader')}" in refused
    finally:
        server.query(f"GRANT CONNECTION_ADMIN ON *.* TO {role} WITH GRANT OPTION")
    full.vbn("admin", "admin", "hand-over-space", space, "--to", full.name("reader"))


def test_rights_come_back_with_more_room_and_go_with_the_space(full: Lab) -> None:
    ada, bob, space = full.name("reader"), name_of(full, "bob"), space_of(full, "reader")
    enforce(full)
    full.vbn("admin", "admin", "create-space", ada, "--quota", "5GB")
    for what, statement in adding(space).items():
        assert is_allowed(full, "reader", statement), what
    said = full.vbn("admin", "admin", "create-space", ada, "--quota", "1KB")  # at once, too
    assert said.stderr == f"{space}: {CLOSED.format(ada)}"
    assert not is_allowed(full, "reader", adding(space)["insert"])
    full.vbn("admin", "admin", "create-space", ada)  # which grants everything anew
    assert not is_allowed(full, "reader", adding(space)["insert"])
    said = full.vbn("admin", "admin", "hand-over-space", ada, "--to", bob)
    assert said.stderr == f"{space}: {CLOSED.format(bob)}"
    assert not is_allowed(full, "bob", adding(space)["update"])
    assert is_allowed(full, "bob", f'DELETE FROM "{space}".score WHERE 1 = 0')
    set_quota(full, space, 10**9)
    assert enforce(full) == f"{space}: small enough: {bob} can add to it again.\n"
    assert is_allowed(full, "bob", f'INSERT INTO "{space}".more VALUES (1)')
    assert is_allowed(full, "bob", adding(space)["update"])
    assert not is_allowed(full, "reader", adding(space)["update"])


def test_who_refers_to_a_closed_space_goes_on(full: Lab) -> None:
    """PostgreSQL checks references with the rights of the owner of the table that is referred to."""
    bob, space = name_of(full, "bob"), space_of(full, "reader")
    full.vbn("admin", "admin", "create-space", bob)
    if full.database.server.backend == "mysql":
        full.database.server.query(f"GRANT REFERENCES ON `{space}`.`score` TO `{bob}`")
    of_bob = f'"{space_of(full, "bob")}"."mine"'
    keys = "mouse_id, session_id"
    assert is_allowed(
        full, "bob",
        f"CREATE TABLE {of_bob} (mouse_id varchar(32), session_id bigint, FOREIGN KEY ({keys}) "
        f'REFERENCES "{space}"."score" ({keys}))',
    )  # fmt: skip
    enforce(full)
    insert = f'INSERT INTO {of_bob} SELECT {keys} FROM "{space}".score'
    assert is_allowed(full, "bob", insert)
    assert full.database.server.query(f"SELECT count(*) FROM {of_bob}") == [(1,)]
    full.vbn("admin", "admin", "drop-space", bob, "--yes")


def test_what_is_interrupted_gone_or_undone_is_made_good_by_the_next_run(
    full: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, space = full.name("reader"), space_of(full, "reader")
    with monkeypatch.context() as patch:
        patch.setattr(space_quotas, "_close", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert full.vbn("admin", "admin", "spaces", "--enforce", check=False).returncode == 130
    assert is_allowed(full, "reader", adding(space)["insert"])
    enforce(full)
    assert not is_allowed(full, "reader", adding(space)["insert"])
    if full.database.server.backend != "mysql":  # her tables are hers: she helps herself until the next run
        assert is_allowed(full, "reader", f'GRANT INSERT ON "{space}".score TO "{ada}"')
        assert is_allowed(full, "reader", adding(space)["insert"])
        enforce(full)
        assert not is_allowed(full, "reader", adding(space)["insert"])
    kind, cascade = ("DATABASE", "") if full.database.server.backend == "mysql" else ("SCHEMA", " CASCADE")
    assert is_allowed(full, "reader", f'DROP {kind} "{space}"{cascade}')
    assert "no schema of this name is there" in enforce(full)
    full.vbn("admin", "admin", "create-space", ada)
    assert is_allowed(full, "reader", adding(space)["create"])
    assert "may not enforce quotas" in full.refusal("worker", "admin", "spaces", "--enforce")


def test_what_an_owner_does_keeps_nobody_from_being_ruled(full: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_quotas, "LOCK_WAIT_S", 1)
    bob, space, of_bob = name_of(full, "bob"), space_of(full, "reader"), space_of(full, "bob")
    is_mysql = full.database.server.backend == "mysql"
    full.vbn("admin", "admin", "create-space", bob, "--quota", "5GB")
    odd = f'"{of_bob}"."50% ""of"" %s"'
    assert is_allowed(full, "bob", f'CREATE TABLE {odd} ("%s" int primary key)')
    if not is_mysql:
        for right in (f'INSERT, UPDATE ON "{space}".score', f'CREATE ON SCHEMA "{space}"'):
            for whom in ("PUBLIC", f'"{bob}" WITH GRANT OPTION'):
                assert is_allowed(full, "reader", f"GRANT {right} TO {whom}")
    set_quota(full, of_bob, 1)
    with contextlib.closing(connected(full, bob, full.passwords["bob"])) as holding:
        holding.autocommit = is_mysql
        assert full._is_allowed(holding, f"LOCK TABLE {odd}" + " WRITE" * is_mysql)
        done = full.vbn("admin", "admin", "spaces", "--enforce", check=False)
    assert done.stderr.endswith(f"{space}: {CLOSED.format(full.name('reader'))}")
    if is_mysql:  # which waits for nobody
        assert f"{of_bob}: {CLOSED.format(bob)}" in done.stderr
    else:
        assert done.returncode == 1
        assert f"{of_bob}: its quota was not enforced, as the server says: " in done.stderr
    for who in ("reader", "bob"):
        for what, statement in adding(space).items():
            assert not is_allowed(full, who, statement), (who, what)
    assert enforce(full) == ("" if is_mysql else f"{of_bob}: {CLOSED.format(bob)}")
    insert = f"INSERT INTO {odd} VALUES (1)"
    assert not is_allowed(full, "bob", insert)
    full.vbn("admin", "admin", "create-space", bob, "--quota", "5GB")
    assert is_allowed(full, "bob", insert)


def test_spaces_of_a_backup_wait_for_their_owners_accounts(full: Lab, tmp_path: Path) -> None:
    """A restore brings rows and tables, and neither accounts nor rights."""
    place = f'"{full.database.prefix}administration"."space"'
    full.database.server.query(f"UPDATE {place} SET space_owner = 'somebody-else'")
    assert "there is no account 'somebody-else': make it" in enforce(full)
    full.database.server.query(f"UPDATE {place} SET space_owner = '{full.name('reader')}'")
    assert enforce(full) == f"{space_of(full, 'reader')}: {CLOSED.format(full.name('reader'))}"


def test_one_of_a_course_who_has_too_much_is_closed_alone(two: Lab, tmp_path: Path) -> None:  # noqa: F811
    course = f"{two.database.prefix.strip('_')}-q"
    words = ("--people", "3", "--write-passwords", tmp_path / "p.csv", "--quota", "1KB")
    two.vbn("admin", "admin", "create-course", course, *words)
    try:
        full = two.database.prefix + spaces.space_of(f"{course}-02")
        two.database.server.query(f'CREATE TABLE "{full}".much (i int primary key)')
        assert enforce(two) == f"{full}: {CLOSED.format(f'{course}-02')}"
        listed = json.loads(two.vbn("admin", "admin", "spaces", "--json").stdout)
        assert [row["name"] for row in listed if row["closed_at"]] == [full]
    finally:
        two.vbn("admin", "admin", "drop-course", course, "--yes")


def test_workers_leave_the_jobs_of_a_full_space_and_do_the_rest(full: Lab) -> None:
    space = space_of(full, "reader")
    full.vbn("admin", "deploy", "--module", MODULE)
    words = ("--module", MODULE, "--table", "Rank")
    done = full.vbn("worker", "populate", *words, "--table", "Recording", check=False)
    assert done.stdout == "1 entries made, 0 failed.\n"
    assert done.returncode == 1
    said = f"vbn: The space {space} of {full.name('reader')} has "
    assert done.stderr.startswith(said)
    assert done.stderr.endswith("or an admin has given it more. 1 job was left for later.\n")
    work = ("worker", "--until-idle", *words)
    idle = full.vbn("worker", *work, check=False)
    assert idle.returncode == 1
    assert f"Z space full: The space {space}" in idle.stdout
    assert idle.stderr.endswith("The rest is done.\n")
    assert full.database.server.query(f'SELECT status FROM "{space}"."~~rank"') == [("pending",)]
    set_quota(full, space, 10**9)
    assert "job done Rank" in full.vbn("worker", *work).stdout


def test_a_worker_that_waits_takes_the_jobs_up_when_there_is_room(
    full: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.work.worker import Plan, work
    from tests.populate.admin.test_roles import configured

    space = space_of(full, "reader")
    full.vbn("admin", "deploy", "--module", MODULE)
    events: list[str] = []

    def report(event: str, **_fields: Any) -> None:
        events.append(event)
        if event == "space_full":
            set_quota(full, space, 10**9)

    with configured({**full.database.server.settings, **full.environment("worker")}, full.database):
        monkeypatch.setenv("VBN_MODULES", MODULE)
        plan = Plan(tables=("Rank",), poll_s=0.01, prefix=full.database.prefix)
        work(plan, report, should_stop=lambda: "job_done" in events or events.count("idle") > 50)
    assert [event for event in events if event != "idle"] == [
        "work_found", "space_full", "work_found", "job_started", "job_done"
    ]  # fmt: skip
