"""A server, an account or a store that cannot be used: one clear line, exit code 1, and nothing half done."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SPACE_MB = 1


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def only_on_mysql(server: Any) -> None:
    if server.backend != "mysql":
        pytest.skip("the embedded server has no passwords and no other accounts: run with --backend mysql")


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("backend", ["mysql", "postgresql"])
def test_a_server_that_does_not_answer_is_named_with_what_to_check(
    shared_database: Any, closed_port: int, backend: str
) -> None:
    settings = {
        "DJ_BACKEND": backend,
        "DJ_HOST": "127.0.0.1",
        "DJ_PORT": str(closed_port),
        "DJ_USER": "me",
        "DJ_PASS": "word",
    }
    line = one_line(shared_database.vbn("status", env=settings, check=False))
    assert line.startswith(f"vbn: The {backend} server 127.0.0.1:{closed_port} does not answer")
    assert "Check that it is running, and check DJ_HOST and DJ_PORT" in line
    assert "word" not in line.replace("password", "")


@pytest.mark.parametrize("missing", ["DJ_USER", "DJ_PASS"])
def test_a_server_without_an_account_is_a_setting_that_is_missing(
    shared_database: Any, closed_port: int, missing: str
) -> None:
    settings = {"DJ_HOST": "127.0.0.1", "DJ_PORT": str(closed_port), "DJ_USER": "me", "DJ_PASS": "word"}
    settings[missing] = ""
    line = one_line(shared_database.vbn("status", env=settings, check=False))
    assert f"no {'user' if missing == 'DJ_USER' else 'password'}" in line or "does not answer" in line
    assert missing in line or "DJ_HOST" in line


def test_a_server_on_another_machine_needs_a_store_that_is_named(shared_database: Any) -> None:
    settings = {"DJ_HOST": "db.example.org", "DJ_USER": "me", "DJ_PASS": "word", "DJ_STORES": "{}"}
    line = one_line(shared_database.vbn("deploy", env=settings, check=False))
    assert "The database is on 'db.example.org', but no array store is configured" in line
    assert "DJ_STORES='" in line


def test_a_wrong_password_is_named_and_not_shown(only_on_mysql: None, shared_database: Any) -> None:
    line = one_line(shared_database.vbn("status", env={"DJ_PASS": "wrong-word"}, check=False))
    user = shared_database.server.settings["DJ_USER"]
    assert f"refuses the user '{user}' or the password. Check DJ_USER and DJ_PASS." in line
    assert "wrong-word" not in line


def test_a_database_that_was_never_deployed_says_how_to(
    only_on_mysql: None, make_database: Callable[..., Any]
) -> None:
    database = make_database(deployed=False)
    line = one_line(database.vbn("status", check=False))
    assert f"lacks tables of this package under '{database.prefix}...'" in line
    assert line.endswith("Create them with: vbn deploy")
    assert database.tables() == {}


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at the folder."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small file system that this needs")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_store_is_named_and_the_work_goes_on_when_there_is_room(
    database: Any, populated_synthetic: Any
) -> None:
    database.register_as(populated_synthetic)
    with mounted(database.store, f"size={SPACE_MB}m"):
        database.make_store()
        done = database.vbn("populate", check=False)
        assert done.returncode == 1
        problem = f"The array store {database.store} is full (No space left on device). Make room"
        failures = [line for line in done.stderr.splitlines() if line.startswith("vbn: ") and "): " in line]
        assert failures
        assert all(problem in line for line in failures), failures
        assert "Traceback" not in done.stderr
        assert database.stored_files() == database.referenced_files()
        states = database.job_states()
        assert states["error"] == len(failures)
        assert states["reserved"] == 0
        kept = {path: (database.store / path).read_bytes() for path in database.stored_files()}
    for path, content in kept.items():  # what was written before it was full, in a store with room
        (database.store / path).parent.mkdir(parents=True, exist_ok=True)
        (database.store / path).write_bytes(content)
    database.call("retry")
    database.call("populate")
    assert database.contents() == populated_synthetic.contents()
    assert database.stored_files() == database.referenced_files()


def test_a_store_that_is_closed_stops_populate_before_it_begins(
    database: Any, populated_synthetic: Any, synthetic_files: list[Path]
) -> None:
    database.register_as(populated_synthetic)
    with closed(database.store):
        line = one_line(database.vbn("populate", check=False))
        assert line.startswith(f"vbn: The array store {database.store} cannot be written")
        doctor = {check["name"]: check for check in database.json("doctor", check=False)}
        assert not doctor["store"]["is_good"]
        database.call("status")  # reading needs no right to write
    assert database.job_states().keys() <= {"pending"}
    assert not any(database.row_counts(int(synthetic_files[0].stem.rsplit("_")[-1])).values())


@contextlib.contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Mount the folder for reading only; who may not mount closes it."""
    is_root = os.geteuid() == 0
    options = ["-o", "bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]
    if is_root and any(subprocess.run(["mount", *each], capture_output=True).returncode for each in options):
        pytest.skip("a file system cannot be mounted here")
    if not is_root:
        folder.chmod(0o555)
    try:
        yield
    finally:
        if is_root:
            subprocess.run(["umount", folder], check=True)
        folder.chmod(0o755)


def test_a_store_whose_folder_cannot_be_one_is_named(shared_database: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    stores = f'{{"vbn": {{"protocol": "file", "location": "{tmp_path / "file" / "store"}"}}}}'
    line = one_line(shared_database.vbn("populate", env={"DJ_STORES": stores}, check=False))
    assert f"The array store {tmp_path / 'file' / 'store'} is not the one of this database" in line
    assert "it cannot be read (Not a directory)" in line


@pytest.mark.parametrize(
    "stores",
    ["not json", '{"vbn": {"protocol": "file"}}', '{"vbn": "folder"}', '["vbn"]'],
    ids=["no-json", "no-location", "no-object", "list"],
)
def test_store_settings_that_cannot_be_used_are_refused_in_words(shared_database: Any, stores: str) -> None:
    done = shared_database.vbn("status", env={"DJ_STORES": stores}, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "DJ_STORES" in done.stderr or "store" in done.stderr
    assert "may be a bug" not in done.stderr


def test_an_unreadable_configuration_file_is_named(shared_database: Any, tmp_path: Path) -> None:
    (tmp_path / "datajoint.json").write_text("{ not json")
    settings = {"DJ_IGNORE_CONFIG_FILE": "false", "DJ_HOST": ""}
    done = shared_database.vbn("status", env=settings, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "datajoint.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_file_without_a_server_leaves_the_embedded_one(
    populated_synthetic: Any, server: Any, tmp_path: Path
) -> None:
    """A datajoint.json of other settings only is no reason to look for a server on localhost."""
    if server.backend == "mysql":
        pytest.skip("the server is named by DJ_HOST there")
    (tmp_path / "datajoint.json").write_text('{"loglevel": "WARNING"}')
    done = populated_synthetic.vbn("status", "--json", env={"DJ_IGNORE_CONFIG_FILE": "false"}, cwd=tmp_path)
    assert '"done": 2' in done.stdout
