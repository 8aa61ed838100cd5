"""The embedded server: started by whoever needs it, shared, and there again after it was stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

PATIENCE_S = 300
N_TABLES = 54  # imported and computed
pytestmark = [pytest.mark.database, pytest.mark.files]  # it starts embedded servers of its own


@dataclass(frozen=True)
class Home:
    """A ``VBN_HOME`` of the test's own."""

    folder: Path

    def start(self, *words: object) -> subprocess.Popen[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("DJ_")}
        environment = {**own, "VBN_HOME": str(self.folder), "DJ_IGNORE_CONFIG_FILE": "true"}
        command = [sys.executable, "-m", "populate", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, cwd=tempfile.gettempdir(), text=True, **streams)

    def vbn(self, *words: object) -> str:
        with self.start(*words) as process:
            output, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, errors) == (0, "")
        return output

    def server_process(self) -> int:
        return int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    if request.config.getoption("--backend") != "embedded":
        pytest.skip("the embedded server is tested with --backend embedded")
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-home-"))
    folder.chmod(0o755)
    home = Home(folder)
    try:
        yield home
        home.vbn("down")
    finally:
        shutil.rmtree(folder)


def runs(process_id: int) -> bool:
    """Tell whether a process runs; in a container, an ended one may stay as a zombie."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_first_commands_at_the_same_moment_share_one_server(home: Home) -> None:
    """Both find no data folder; one makes it, the other waits."""
    with home.start("status", "--json") as first, home.start("status", "--json") as second:
        results = [process.communicate(timeout=PATIENCE_S) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert runs(home.server_process())


def test_the_server_survives_a_killed_client(home: Home) -> None:
    home.vbn("deploy")
    before = home.server_process()
    with home.start("status") as process:
        time.sleep(1.0)
        process.kill()
    home.vbn("status")
    assert home.server_process() == before


def test_the_server_survives_an_interrupt_of_the_terminal_that_started_it(home: Home) -> None:
    """Ctrl-C reaches all processes of the terminal's group; the server must not be one of them."""
    home.vbn("down")
    with home.start("status") as process:
        process.communicate(timeout=PATIENCE_S)
    assert os.getpgid(home.server_process()) != os.getpgid(0)


def test_down_stops_the_server_and_the_next_command_finds_the_data_again(
    home: Home, synthetic_file: Path
) -> None:
    home.vbn("register", synthetic_file)
    process_id = home.server_process()
    assert home.vbn("down") == f"The embedded server in {home.folder} is stopped.\n"
    assert not runs(process_id)
    assert home.vbn("down") == f"The embedded server in {home.folder} was not running.\n"
    states = json.loads(home.vbn("status", "--json"))
    totals = {state["table"]: state["total"] for state in states}
    assert (totals["Recording"], totals["LickBouts"], totals["Lfp"]) == (1, 2, 0)  # 2 sets, no LFP files


def test_a_server_that_was_killed_is_started_again(home: Home) -> None:
    home.vbn("status")
    process_id = home.server_process()
    family = [psutil.Process(process_id), *psutil.Process(process_id).children(recursive=True)]
    os.kill(process_id, signal.SIGKILL)
    psutil.wait_procs(family, timeout=PATIENCE_S)
    states = json.loads(home.vbn("status", "--json"))
    assert len(states) == N_TABLES
    assert home.server_process() != process_id


def test_nothing_listens_on_the_network(home: Home) -> None:
    home.vbn("status")
    server = psutil.Process(home.server_process())
    listening = []
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker that cleans up ends by itself
            listening += process.net_connections(kind="inet")
    assert server.is_running()
    assert not listening


def test_a_home_in_a_path_too_long_for_a_socket_works(home: Home) -> None:
    """A Unix socket's path has at most 107 bytes; the path has a space and an umlaut as well."""
    deep = Home(home.folder / "a folder with an ümlaut" / ("x" * 90))
    try:
        assert len(json.loads(deep.vbn("status", "--json"))) == N_TABLES
    finally:
        deep.vbn("down")


@pytest.fixture(scope="module")
def synthetic_file(synthetic_sessions: Path) -> Path:
    return next(iter(sorted(synthetic_sessions.rglob("*.nwb"))))


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked: Any = Home(tmp_path / "file" / "home")
    with blocked.start("status") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert (
        errors == f"vbn: The folder {blocked.folder} cannot be created: Not a directory. "
        "Set VBN_HOME to a folder of yours.\n"
    )
