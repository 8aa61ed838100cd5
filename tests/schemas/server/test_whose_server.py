"""A home folder has one server: of one machine, one owner, behind a private socket, whatever its path."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from schemas.server import ownership
from schemas.server.embedded import EmbeddedServer
from schemas.server.ownership import Host, Ownership, network_file_system
from vbn.errors import ConflictError, SettingError

pytestmark = [pytest.mark.database, pytest.mark.files]  # it starts embedded servers of its own
PATIENCE_S = 300
OTHER = Host("other-machine", "0123456789abcdef", "another boot", "ada")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user or another machine")


@pytest.fixture(autouse=True)
def only_embedded(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--backend") != "embedded":
        pytest.skip("the embedded server is tested with --backend embedded")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of the test's own, whose server is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-whose-"))
    folder.chmod(0o755)
    try:
        yield folder
        (folder / "postgres.host").unlink(missing_ok=True)
        EmbeddedServer(folder).stop()
    finally:
        shutil.rmtree(folder)


def vbn(
    home: Path, *words: str, within: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DJ_")}
    environment = {**own, "VBN_HOME": str(home), "DJ_IGNORE_CONFIG_FILE": "true", **(env or {})}
    return subprocess.run(
        [*within, *(() if "-c" in within else (sys.executable, "-m", "populate")), *words],
        env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip


def unshared(*kinds: str) -> tuple[str, ...]:
    """Return how a command is run in namespaces of its own, as in a container."""
    command = ("unshare", *kinds)
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces can be made here")
    return command


def test_another_machine_is_refused_in_words_and_starts_nothing(home: Path) -> None:
    server = EmbeddedServer(home)
    server.start()
    server.stop()
    (home / "postgres.host").write_text(json.dumps(asdict(OTHER)))
    for words in (["status"], ["up"], ["down"]):
        done = vbn(home, *words)
        assert done.returncode == 1, words
        said = done.stderr + done.stdout
        assert f"The database in {home} runs on 'other-machine', started by ada" in said, words
        assert "vbn up --take-over" in said
        assert "Traceback" not in said
    assert server.process_id() is None
    assert json.loads((home / "postgres.host").read_text()) == asdict(OTHER)


def test_a_machine_that_is_gone_is_succeeded_by_command_only(home: Path) -> None:
    server = EmbeddedServer(home)
    (home / "postgres.host").write_text(json.dumps(asdict(OTHER)))
    with pytest.raises(ConflictError, match="other-machine"):
        server.start()
    assert vbn(home, "up", "--take-over").stdout == f"The embedded server in {home} is started.\n"
    assert Ownership(home).holder() == Host.this()
    assert vbn(home, "up").stdout == f"The embedded server in {home} was running.\n"


def test_a_machine_that_was_started_again_goes_on_by_itself(home: Path) -> None:
    (home / "postgres.host").write_text(json.dumps(asdict(replace(Host.this(), boot="the last one"))))
    EmbeddedServer(home).start()
    assert Ownership(home).holder() == Host.this()


def test_a_server_that_was_stopped_may_be_started_anywhere(home: Path, monkeypatch: Any) -> None:
    server = EmbeddedServer(home)
    server.start()
    assert server.stop()
    assert Ownership(home).holder() is None
    monkeypatch.setattr(ownership.platform, "node", lambda: "other-machine")
    server.start()
    assert Ownership(home).holder().name == "other-machine"


def test_two_machines_that_claim_at_the_same_moment_are_not_both_given_it(
    home: Path, monkeypatch: Any
) -> None:
    """The record is made by one; the other finds it between its look and its own attempt."""
    owned = Ownership(home)
    looks = iter([None, OTHER])
    (home / "postgres.host").write_text(json.dumps(asdict(OTHER)))
    monkeypatch.setattr(Ownership, "holder", lambda _self: next(looks))
    with pytest.raises(ConflictError, match="other-machine"):
        owned.claim()


def test_a_record_that_says_nothing_is_no_permission(home: Path) -> None:
    (home / "postgres.host").write_text("{}")
    done = vbn(home, "status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not say which machine" in done.stderr


@as_root
def test_a_container_on_the_same_folder_is_refused_while_the_server_runs(home: Path) -> None:
    """It sees neither the server's process nor the machine's name, but the same kernel, and so the lock."""
    EmbeddedServer(home).start()
    inside = (
        *unshared("--pid", "--fork", "--mount-proc", "--uts"),
        "sh", "-c",
    )  # fmt: skip
    command = f"hostname container-1 && {sys.executable} -m populate"
    done = vbn(home, f"{command} status", within=inside)
    assert done.returncode == 1
    assert "runs in another container of this machine" in done.stderr
    assert "take-over" not in done.stderr
    assert vbn(home, f"{command} up --take-over", within=inside).returncode == 1
    assert vbn(home, f"{command} down", within=inside).returncode == 1
    assert vbn(home, "up").stdout == f"The embedded server in {home} was running.\n"  # still ours


@as_root
def test_a_container_of_the_same_name_is_refused_too(home: Path) -> None:
    EmbeddedServer(home).start()
    for command in ("status", "down"):
        done = vbn(home, command, within=unshared("--pid", "--fork", "--mount-proc"))
        assert done.returncode == 1
        assert "in another container of this machine" in done.stderr
    assert Ownership(home).holder() == Host.this()


@as_root
def test_what_a_container_left_is_taken_over_when_it_is_gone(home: Path) -> None:
    (home / "postgres.host").write_text(json.dumps(asdict(replace(Host.this(), name="container-1"))))
    assert vbn(home, "up").returncode == 0


def test_a_zombie_does_not_run(home: Path) -> None:
    """Where nobody waits for ended processes, a killed server stays in the list of processes."""
    server = EmbeddedServer(home)
    server.start()  # by this process, which does not wait for it
    process_id = server.process_id()
    assert process_id is not None
    os.kill(process_id, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.process_id() is None
    assert vbn(home, "up").returncode == 0
    assert server.process_id() not in (None, process_id)


def test_commands_wait_for_the_recovery_after_a_crash(home: Path) -> None:
    """PostgreSQL ends all sessions when one is killed, and takes none until its data are in order."""
    server = EmbeddedServer(home)
    assert vbn(home, "status").returncode == 0
    process_id = server.process_id()
    assert process_id is not None
    for _ in range(3):
        os.kill(psutil.Process(process_id).children()[0].pid, signal.SIGKILL)
        done = vbn(home, "status")
        assert (done.returncode, done.stderr) == (0, "")
    assert server.process_id() == process_id


def refusal_to_start(folder: Path) -> str:
    try:
        EmbeddedServer(folder).start()
    except SettingError as error:
        return str(error)
    return "it was not refused"


@as_root
@pytest.mark.parametrize("who", ["nobody", "root"])
def test_a_folder_of_somebody_else_is_left_as_it_is(who: str) -> None:
    """Root would give the data of a user to PostgreSQL's; a user meets the data of another."""
    import pwd

    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-whose-"))
    try:
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o700)
        owner = nobody.pw_uid if who == "root" else 0
        for path in (folder / "postgres", folder):
            os.chown(path, owner, -1)
        before = [(path.stat().st_uid, path.stat().st_mode) for path in (folder, folder / "postgres")]
        if who == "root":
            said = refusal_to_start(folder)
        else:  # in a process of its own, as there is no way back; what it needs is imported already
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.setuid(nobody.pw_uid)
                os.write(writing, refusal_to_start(folder).encode())
                os._exit(0)
            os.wait()
            os.close(writing)
            with os.fdopen(reading) as pipe:
                said = pipe.read()
        assert said.startswith(f"The folder {folder}")
        assert f"belongs to {'root' if who == 'nobody' else 'nobody'}" in said
        assert [(path.stat().st_uid, path.stat().st_mode) for path in (folder, folder / "postgres")] == before
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name", ["a, b's \"folder\": $HOME and `back`", "данные", "x" * 120, "ж" * 50]
)  # fmt: skip
def test_any_path_will_do(home: Path, name: str) -> None:
    inner = home / name
    server = EmbeddedServer(inner)
    try:
        server.start()
        assert server.process_id() is not None
        folder = server.socket_folder
        assert (folder / ".s.PGSQL.5432").exists()
        assert len(os.fsencode(folder)) <= 90
    finally:
        server.stop()
    assert server.process_id() is None


def test_a_process_with_another_folder_for_temporary_files_finds_the_socket(
    home: Path, tmp_path: Path
) -> None:
    inner = home / ("x" * 120)
    try:
        assert vbn(inner, "up").returncode == 0
        done = vbn(inner, "up", env={"TMPDIR": str(tmp_path)})
        assert (done.stdout, done.stderr) == (f"The embedded server in {inner} was running.\n", "")
    finally:
        EmbeddedServer(inner).stop()


@pytest.mark.parametrize("kind", ["open to others", "link", "somebody else's"])
def test_a_prepared_socket_folder_is_not_used(home: Path, tmp_path: Path, kind: str) -> None:
    server = EmbeddedServer(home / ("x" * 120))
    folder = server.socket_folder
    assert folder.parent == Path("/tmp")
    if kind == "link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        folder.chmod(0o777 if kind == "open to others" else 0o700)
        if kind == "somebody else's":
            if os.geteuid() != 0:
                pytest.skip("only root can make a folder of somebody else")
            os.chown(folder, 65534, -1)
    try:
        with pytest.raises(SettingError, match="is not a private folder"):
            server.start()
        assert not list(tmp_path.iterdir())
    finally:
        folder.unlink() if kind == "link" else folder.rmdir()


def test_a_socket_folder_that_was_cleaned_up_is_named(home: Path) -> None:
    inner = home / ("x" * 120)
    server = EmbeddedServer(inner)
    try:
        server.start()
        shutil.rmtree(server.socket_folder)
        done = vbn(inner, "up")
        assert (done.returncode, "is gone" in done.stderr, "vbn down" in done.stderr) == (1, True, True)
        assert vbn(inner, "down").returncode == 0
        assert vbn(inner, "up").returncode == 0
    finally:
        server.stop()


def test_a_new_home_is_private(home: Path) -> None:
    inner = home / "new"
    server = EmbeddedServer(inner)
    try:
        server.start()
        assert inner.stat().st_mode & 0o777 == (0o710 if os.geteuid() == 0 else 0o700)
        assert server.data_folder.stat().st_mode & 0o777 == 0o700
        assert server.log_file.stat().st_mode & 0o077 == 0
    finally:
        server.stop()


@as_root
def test_programs_below_a_closed_folder_are_run_from_a_copy_with_their_libraries(home: Path) -> None:
    from schemas.server import postgres_programs

    package = postgres_programs._wheel_programs(home / "postgres").parents[1]
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / name, closed / name, symlinks=True)
    inner = home / "inner"
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from schemas.server.embedded import EmbeddedServer; from pathlib import Path\n"
    code += (
        "server = EmbeddedServer(Path(sys.argv[2])); server.start(); print(server._programs); server.stop()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(closed), str(inner)], cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(inner))
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_full_disk_is_named(home: Path) -> None:
    small = home / "small"
    small.mkdir()
    for size, fill in (("30m", ":"), ("100m", f'vbn status && head -c 200m /dev/zero > "{small}/filled"')):
        script = f"""
            vbn() {{ {sys.executable} -m populate "$@"; }}
            mount -t tmpfs -o size={size} none "{small}"
            ({fill}) > "{home}/out" 2>&1
            vbn --prefix another_ deploy; code=$?
            rm -f "{small}/filled"; vbn down > /dev/null; umount -l "{small}"; exit $code
        """
        done = vbn(small / "home", script, within=(*unshared("--mount"), "sh", "-c"))
        assert done.returncode == 1, size
        assert "is full" in done.stderr, size
        assert "Make room" in done.stderr


def test_network_file_systems_are_told_apart(tmp_path: Path, monkeypatch: Any) -> None:
    class Part:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    parts = [Part("/", "ext4"), Part(str(tmp_path), "nfs4"), Part(str(tmp_path / "local"), "xfs")]
    monkeypatch.setattr(ownership.psutil, "disk_partitions", lambda **_: parts)
    assert network_file_system(tmp_path / "home") == "nfs4"
    assert network_file_system(tmp_path / "local" / "home") is None


def test_a_crash_on_a_network_file_system_without_a_record_is_asked_about(
    home: Path, monkeypatch: Any
) -> None:
    """As of an earlier version on another machine: it made no record."""
    server = EmbeddedServer(home)
    server.start()
    server.stop()
    (server.data_folder / "postmaster.pid").write_text("999999\n")
    monkeypatch.setattr("schemas.server.embedded.network_file_system", lambda _folder: "nfs4")
    with pytest.raises(SettingError, match="was not stopped in good order"):
        server.start()
    server.start(take_over=True)


def test_a_forked_process_has_a_connection_of_its_own(database: Any) -> None:
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import schemas
from schemas import session
database = schemas.connect()
pid = lambda: database.connection.query("SELECT pg_backend_pid()").fetchone()[0]
before = pid()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        own = pid()
        session.Mouse.to_dicts()
        os._exit(0 if own != before else 1)
    children.append(child)
for _ in range(50):
    assert pid() == before and len(session.Mouse()) == 0
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
assert pid() == before
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=database.environment, cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


def test_connecting_again_after_the_server_stopped(home: Path) -> None:
    code = """
import schemas
from schemas import session
from schemas.server.embedded import EmbeddedServer
from vbn.home import home_folder
schemas.connect()
for _ in range(2):
    EmbeddedServer(home_folder()).stop()
    schemas.connect()
    assert len(session.Mouse()) == 0
print("fine")
"""
    environment = {**os.environ, "VBN_HOME": str(home), "DJ_IGNORE_CONFIG_FILE": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.stdout == "fine\n", done.stderr


@pytest.mark.parametrize("when", ["at first", "later"])
def test_a_server_named_by_a_program_is_not_passed_over(home: Path, when: str) -> None:
    """Neither before a connection was made, nor where the embedded server's is open."""
    before = """
import schemas
schemas.connect()
dj.config["database.host"] = "127.0.0.1"
try:
    schemas.connect()
except Exception as error:
    print(error)
"""
    code = (
        f"import datajoint as dj{before if when == 'later' else ''}"
        """
dj.config["database.host"] = "127.0.0.1"
dj.config["database.port"] = 1
dj.config["database.user"], dj.config["database.password"] = "ada", "secret"
import schemas
try:
    schemas.connect()
except Exception as error:
    print(type(error).__name__, error)
"""
    )
    environment = {**os.environ, "VBN_HOME": str(home), "DJ_IGNORE_CONFIG_FILE": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, cwd=Path(__file__).parents[3],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert "127.0.0.1:1 does not answer" in done.stdout, done.stdout + done.stderr
    assert (home / "postgres").exists() == (when == "later")
    assert ("whose other settings are still there" in done.stdout) == (when == "later")
