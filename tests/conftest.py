"""Databases for the tests: one server per run, and on it a prefix and a store of its own per fixture.

``--backend embedded`` (default) uses the embedded PostgreSQL under a temporary ``VBN_HOME``;
``--backend mysql`` the server that ``DJ_HOST`` ... name, or a container of its own.
Tests that reach a server are those that request a fixture of this file that does; they carry the
mark ``database``, so that ``pytest -m "not database"`` runs the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hypothesis
import numpy as np
import pytest

BACKENDS = ("embedded", "mysql")
MYSQL_IMAGE = "mysql:9.7"
CONTAINER_START_S = 180
COMMAND_TIMEOUT_S = 300
# In order of dependency; written out here, so that a schema that is lost is noticed.
MODULES = (
    "session", "ecephys", "behavior", "stimulus", "selection", "psth", "optotagging", "performance",
    "responses", "administration",
)  # fmt: skip
# What these test is in files, on the web and in the documentation, not in the server.
ABOUT_FILES = (
    "test_alignments", "test_bad_content", "test_bad_files", "test_catalogue",
    "test_degenerate_sessions", "test_docs_commands", "test_fuzz",
    "test_hostile_files", "test_images", "test_issues", "test_lfp_files", "test_older_release",
    "test_output", "test_release_command", "test_remote_import", "test_roots", "test_s3_store",
    "test_traps",
)  # fmt: skip
# Where the data lie that no clone brings: sessions written by AllenSDK, and tables of the real release.
CORPORA = ("VBN_CORPUS", "VBN_CORPUS_HARD", "VBN_REAL_RELEASE", "VBN_REAL_HEADS")
# The fixtures by which tests, or other fixtures, come to them.
CORPUS_FIXTURES = {"corpus", "corpus_hard", "real_release"}
OF_THE_REGISTRATION = ("mouse", "session", "nwb_file", "lfp_file", "import_issue")
WHEN_IT_WAS_DONE = ("registered_at", "lfp_registered_at", "noticed_at", "applied_at")

TRAINING_ID, TRAINING = 9_000_700_001, "TRAINING_5_images_G_handoff_ready_5uL_reward"
# What an LFP file holds nothing in, and the attributes of its series.
EMPTY_IN_LFP = ("acquisition", "intervals", "processing", "stimulus/presentation", "stimulus/templates")
LFP_RATE_HZ = 1250.02
RAGGED = ("tags", "timeseries")  # they refer to their own columns, so that no rows can be left out
SERIES = {"comments": "no comments", "description": "no description"}
SAMPLES = {"conversion": 1.0, "offset": 0.0, "resolution": -1.0}
TIMES = {"interval": np.int32(1), "unit": "seconds"}

OWN_SETTINGS = pytest.StashKey[dict[str, str]]()
LEFT_OUT = pytest.StashKey[Counter[Path]]()

# How long an example takes says something about the machine only; the examples are the same in each run.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")

Value = Any
Contents = dict[str, list[tuple[Value, ...]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", choices=BACKENDS, default="embedded", help="database server to test against"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "database: needs a database server (set by itself where the fixture `server` is used)"
    )
    config.addinivalue_line(
        "markers", "files: what it tests does not depend on the server (set by itself, by the file's name)"
    )
    config.addinivalue_line(
        "markers",
        "corpus: reads AllenSDK-written sessions or real tables, by "
        f"{', '.join(CORPORA)} (set by itself where a fixture reads them)",
    )
    config.addinivalue_line(
        "markers", "stack: builds the images and runs docker-compose.yml (make test-stack)"
    )
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores Ctrl-C, and hands that on to the commands that are tested.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Before anything imports DataJoint: nobody's own datajoint.json, nobody's own settings.
    own = [
        name
        for name in os.environ
        if name.startswith("DJ_") or name in ("VBN_HOME", "VBN_PREFIX", "VBN_ROOTS")
    ]
    config.stash[OWN_SETTINGS] = {name: os.environ.pop(name) for name in own}
    os.environ["DJ_IGNORE_CONFIG_FILE"] = "true"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    _mark(config, items)
    order = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    yield
    releases = {item.callspec.params.get("release") for item in items if hasattr(item, "callspec")}
    if len(releases - {None}) <= 1:
        # pytest has brought the tests of one release together, and with that torn the modules apart, each of
        # which would make its databases several times.
        items.sort(key=lambda item: order[item.path])


def _mark(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "server" in fixtures:
            item.add_marker("database")
        if item.path.stem in ABOUT_FILES:
            item.add_marker("files")
        if fixtures & CORPUS_FIXTURES:
            item.add_marker("corpus")
    if not any(map(os.environ.get, CORPORA)):
        _leave_out_the_corpus(config, items)


def _leave_out_the_corpus(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests away that need what is not here; the run's last lines say so."""
    left_out = [item for item in items if item.get_closest_marker("corpus")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("corpus")]
        config.hook.pytest_deselected(items=left_out)
        config.stash[LEFT_OUT] = Counter(item.path.relative_to(config.rootpath).parent for item in left_out)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, Counter())
    if left_out:
        where = ", ".join(f"{folder} {number}" for folder, number in sorted(left_out.items()))
        terminalreporter.write_line(
            f"Not run: {left_out.total()} tests that read sessions written by AllenSDK or the real release's "
            f"tables ({where}). {', '.join(CORPORA)} name their folders."
        )


@dataclass(frozen=True)
class Server:
    """A database server, seen without DataJoint."""

    backend: str
    home: Path
    settings: dict[str, str]
    open_connection: Callable[[], Any]
    connections: list[Any] = field(default_factory=list)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of the tests' own; ``"name"`` is an identifier on both."""
        if self.backend == "mysql":
            statement = statement.replace('"', "`")
        if not self.connections:
            self.connections.append(self.open_connection())
        with contextlib.closing(self.connections[0].cursor()) as cursor:
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def close(self) -> None:
        while self.connections:
            self.connections.pop().close()


@dataclass
class Database:
    """One prefix on the server and one store, with the command line to work on them."""

    server: Server
    folder: Path
    store: Path
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}_")
    pool: Pool | None = None
    is_dropped: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process of ours sees: nothing of the tester's own settings."""
        stores = {"vbn": {"protocol": "file", "location": str(self.store)}}
        return {
            **os.environ,
            **self.server.settings,
            "VBN_HOME": str(self.server.home),
            "VBN_PREFIX": self.prefix,
            "DJ_STORES": json.dumps(stores),
        }

    def start(
        self,
        *arguments: object,
        env: dict[str, str] | None = None,
        program: tuple[str, ...] = ("-m", "populate"),
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start ``vbn`` and return without waiting."""
        command = [sys.executable, *program, *map(str, arguments)]
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        return subprocess.Popen(
            command, **{**streams, "cwd": self.folder, "env": {**self.environment, **(env or {})}, **options}
        )

    def vbn(
        self, *arguments: object, env: dict[str, str] | None = None, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run ``vbn`` to its end; with ``check`` it must succeed."""
        with self.start(*arguments, env=env, **options) as process:
            try:
                output, errors = process.communicate(timeout=COMMAND_TIMEOUT_S)
            except BaseException:
                process.kill()
                raise
        return _checked(subprocess.CompletedProcess(process.args, process.returncode, output, errors), check)

    def call(
        self, *arguments: object, env: dict[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the same command line in this process, which spares the imports: a second or two."""
        from populate.cli import main

        self.connect()
        output, errors = io.StringIO(), io.StringIO()
        words = [str(argument) for argument in arguments]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **(env or {})}.items():
                patch.setenv(name, value)
            with (
                contextlib.redirect_stdout(output),
                contextlib.redirect_stderr(errors),
                pytest.raises(SystemExit) as end,
            ):
                main(words)
        atexit.unregister(gc.freeze)  # the end of a command is not that of this process
        code = end.value.code if isinstance(end.value.code, int) else 0
        return _checked(
            subprocess.CompletedProcess(["vbn", *words], code, output.getvalue(), errors.getvalue()), check
        )

    def json(self, *arguments: object, **options: Any) -> Any:
        """Run ``vbn ... --json`` in this process and return what it printed."""
        return json.loads(self.call(*arguments, "--json", **options).stdout)

    def json_lines(self, *arguments: object, **options: Any) -> list[Any]:
        """Run ``vbn ... --json`` that prints an object a line, and return these."""
        return [json.loads(line) for line in self.call(*arguments, "--json", **options).stdout.splitlines()]

    def connect(self, create: bool = False) -> Any:
        """Bind the table classes of this process to this prefix and store."""
        import schemas
        from schemas.server.datajoint import dj

        for name, value in self.server.settings.items():
            os.environ[name] = value
        if self.server.backend == "mysql":
            database = dj.config.database
            database.backend, database.host = "mysql", self.server.settings["DJ_HOST"]
            database.port = int(self.server.settings["DJ_PORT"])
            database.user, database.password = (
                self.server.settings["DJ_USER"],
                self.server.settings["DJ_PASS"],
            )
        dj.config.stores["vbn"] = {"protocol": "file", "location": str(self.store)}
        return schemas.connect(self.prefix, create=create)

    def register_as(self, other: Database) -> Database:
        """Enter the catalogue, mice, sessions and files of another database without reading them again."""
        from schemas import session

        tables = (session.CatalogueSession, session.Mouse, session.Session, session.NwbFile)
        other.connect()
        rows = [table.to_dicts() for table in tables]
        rows.append(
            (session.ImportIssue & [{"imported_by": name} for name in ("NwbFile", "Session")]).to_dicts()
        )
        self.connect()
        for table, entries in zip((*tables, session.ImportIssue), rows, strict=True):
            table.insert(entries)
        return self

    def tables(self) -> dict[str, list[str]]:
        """Return ``schema.table`` -> sorted columns of all tables with data, without DataJoint's own."""
        found: dict[str, list[str]] = {}
        names = ", ".join(f"'{self.prefix}{module}'" for module in MODULES)
        wanted = "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        statement = f"{wanted} WHERE table_schema IN ({names})"
        for schema, table, column in self.server.query(statement):
            if not table.startswith("~") and not column.startswith("_"):
                found.setdefault(f'"{schema}"."{table}"', []).append(column)
        return {table: sorted(columns) for table, columns in sorted(found.items())}

    def contents(self, without: tuple[str, ...] = ()) -> Contents:
        """Return all rows of all tables, arrays by their bytes, without columns that end as given."""
        contents = {}
        for table, columns in self.tables().items():
            kept = [name for name in columns if name not in WHEN_IT_WAS_DONE and not name.endswith(without)]
            rows = self.server.query(f"SELECT {_quoted(kept)} FROM {table}")
            name = table.replace(self.prefix, "").replace('"', "")
            contents[name] = sorted(
                (tuple(self._comparable(value) for value in row) for row in rows), key=repr
            )
        return contents

    def row_counts(self, session_id: int) -> dict[str, int]:
        """Return how many rows every imported or computed table has of a session."""
        tables = [name for name, columns in self.tables().items() if "session_id" in columns]
        imported = [name for name in tables if name.split(".")[1].strip('"') not in OF_THE_REGISTRATION]
        statement = " UNION ALL ".join(
            f"SELECT {number}, count(*) FROM {name} WHERE session_id = {session_id}"
            for number, name in enumerate(imported)
        )
        counts = dict(self.server.query(statement))
        return {name.replace(self.prefix, "").replace('"', ""): counts[i] for i, name in enumerate(imported)}

    def job_states(self) -> Counter[str]:
        """Return how many rows the job tables have in each state."""
        names = ", ".join(f"'{self.prefix}{module}'" for module in MODULES)
        statement = (
            f"SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({names})"
        )
        jobs = [
            f'"{schema}"."{table}"'
            for schema, table in self.server.query(statement)
            if table.startswith("~~")
        ]
        union = " UNION ALL ".join(f"SELECT CAST(status AS char(16)) FROM {table}" for table in jobs)
        return Counter(str(row[0]).strip() for row in self.server.query(union))

    def stored_files(self) -> set[Path]:
        """Return the files in the store."""
        found = os.walk(self.store)  # which passes over a folder that a worker removes meanwhile
        return {Path(folder, name).relative_to(self.store) for folder, _, names in found for name in names}

    def referenced_files(self) -> set[Path]:
        """Return the files that rows refer to."""
        found = set()
        for table, columns in self.tables().items():
            for row in self.server.query(f"SELECT {_quoted(columns)} FROM {table}"):
                found |= {Path(value["path"]) for value in map(_parsed, row) if _is_reference(value)}
        return found

    def _comparable(self, value: Value) -> Value:
        value = _parsed(value)
        if _is_reference(value):
            return hashlib.sha256((self.store / value["path"]).read_bytes()).hexdigest()
        return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value

    def drop(self) -> None:
        """Give schemas and folder back to the pool or remove them, unless that is done."""
        if not self.is_dropped and (self.pool is None or not self.pool.takes_back(self)):
            self.remove()
        self.is_dropped = True

    def remove(self) -> None:
        """Remove the schemas, and the folder with the store."""
        mysql = self.server.backend == "mysql"
        schemas = ", ".join(f"'{self.prefix}{module}'" for module in MODULES)
        known = self.server.query(
            f"SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ({schemas})"
        )
        existing = {row[0] for row in known}
        for name in (f"{self.prefix}{module}" for module in reversed(MODULES)):
            if name in existing:
                self.server.query(
                    f'DROP {"DATABASE" if mysql else "SCHEMA"} "{name}"' + ("" if mysql else " CASCADE")
                )
        shutil.rmtree(self.folder)

    def empty(self) -> None:
        """Delete all rows but those that come with the tables, all job reservations and all arrays."""
        statement = (
            "SELECT table_schema, table_name FROM information_schema.tables "
            f"WHERE table_schema LIKE '{self.prefix}%'"
        )
        names = [
            f'"{schema}"."{table}"'
            for schema, table in self.server.query(statement)
            if table[0] != "#" and table[:2] != "~l" and table != "migration"
        ]
        union = " UNION ALL ".join(
            f"SELECT {number} FROM {name} WHERE EXISTS (SELECT 1 FROM {name}) GROUP BY 1"
            for number, name in enumerate(names)
        )
        filled = [names[row[0]] for row in self.server.query(union)]
        if self.server.backend == "mysql":
            statements = [f"DELETE FROM {name}" for name in filled]
            statements = ["SET FOREIGN_KEY_CHECKS = 0", *statements, "SET FOREIGN_KEY_CHECKS = 1"]
        else:
            statements = [f"TRUNCATE {', '.join(filled)} CASCADE"] if filled else []
        for statement in statements:
            self.server.query(statement)
        shutil.rmtree(self.store / "_schema", ignore_errors=True)

    def as_deployed(self) -> tuple[Any, ...]:
        """Return the tables' columns, and the rows that come with the tables."""
        tables = self.tables()
        filled = {name: columns for name, columns in tables.items() if '"#' in name or "migration" in name}
        rows = {
            name: sorted(map(repr, self.server.query(f"SELECT {_quoted(columns)} FROM {name}")))
            for name, columns in filled.items()
        }
        return tables, rows


class Pool:
    """Databases that tests have done with: they are emptied and used again, as deploying takes seconds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.spare: list[Database] = []
        self.deployed: dict[str, tuple[Any, ...]] = {}

    def take(self, deployed: bool) -> Database:
        """Return an empty database with a folder of its own."""
        if deployed and self.spare:
            database = replace(self.spare.pop(), is_dropped=False)
            database.store.mkdir()
            database.connect()
            return database
        folder = Path(tempfile.mkdtemp(prefix="vbn-test-database-"))
        folder.chmod(0o755)
        database = Database(self.server, folder, folder / "store", pool=self)
        if deployed:
            database.connect(create=True)
            self.deployed[database.prefix] = database.as_deployed()
        return database

    def takes_back(self, database: Database) -> bool:
        """Empty a database and keep it, unless its layout or what came with it was changed."""
        deployed = self.deployed.get(database.prefix)
        if deployed is None or database.as_deployed() != deployed:
            return False
        database.empty()
        shutil.rmtree(database.folder)
        database.folder.mkdir(mode=0o755)
        self.spare.append(database)
        return True

    def drop(self) -> None:
        """Remove what is left."""
        for database in self.spare:
            database.remove()


def _checked(done: subprocess.CompletedProcess[str], check: bool) -> subprocess.CompletedProcess[str]:
    if check and done.returncode:
        pytest.fail(f"{done.args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _parsed(value: Value) -> Value:
    """Return JSON as Python values (MySQL's driver gives it as text), other values as they are."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def _is_reference(value: Value) -> bool:
    return isinstance(value, dict) and {"path", "store"} <= value.keys()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The run's database server, stopped and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="vbn-test-"))
    home.chmod(0o755)  # pytest's own temporary folders let nobody but us in, PostgreSQL may be another user
    start = _mysql_server if request.config.getoption("--backend") == "mysql" else _embedded_server
    try:
        with start(home, request.config.stash[OWN_SETTINGS]) as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("VBN_HOME", str(home))
            yield server
            server.close()
            _disconnect()
    finally:
        shutil.rmtree(home)


def _disconnect() -> None:
    import schemas

    schemas.disconnect()


@contextlib.contextmanager
def _embedded_server(home: Path, own: dict[str, str]) -> Iterator[Server]:
    import psycopg2

    from schemas.server.embedded import PORT, EmbeddedServer

    embedded = EmbeddedServer(home)

    def connect() -> Any:
        connection = psycopg2.connect(
            host=str(embedded.socket_folder), port=PORT, user=embedded.user, dbname="postgres"
        )
        connection.autocommit = True
        return connection

    embedded.start()
    try:
        server = Server("postgresql", home, {}, connect)
        # No test pulls the plug of this server: it need not wait for the disk.
        server.query("ALTER SYSTEM SET synchronous_commit = off")
        server.query("SELECT pg_reload_conf()")
        yield server
    finally:
        embedded.stop()


@contextlib.contextmanager
def _mysql_server(home: Path, own: dict[str, str]) -> Iterator[Server]:
    import pymysql

    with contextlib.ExitStack() as stack:
        names = ("DJ_HOST", "DJ_PORT", "DJ_USER", "DJ_PASS")
        given = {name: own[name] for name in names if name in own}
        settings = (
            {"DJ_PORT": "3306", **given} if "DJ_HOST" in given else stack.enter_context(_mysql_container())
        )

        def connect() -> Any:
            return pymysql.connect(
                host=settings["DJ_HOST"],
                port=int(settings["DJ_PORT"]),
                user=settings["DJ_USER"],
                password=settings["DJ_PASS"],
                autocommit=True,
            )

        yield Server("mysql", home, {"DJ_BACKEND": "mysql", **settings}, connect)


@contextlib.contextmanager
def _mysql_container() -> Iterator[dict[str, str]]:
    """Run a MySQL of our own, on a random port and with a random password."""
    import docker

    password = secrets.token_urlsafe(16)
    try:
        client = docker.from_env()
        container = client.containers.run(
            MYSQL_IMAGE,
            detach=True,
            environment={"MYSQL_ROOT_PASSWORD": password},
            ports={"3306/tcp": ("127.0.0.1", None)},
        )
    except docker.errors.DockerException as error:
        pytest.exit(
            f"--backend mysql: DJ_HOST names no server, and no container can be started: {error}",
            returncode=2,
        )
    try:
        container.reload()
        port = container.ports["3306/tcp"][0]["HostPort"]
        settings = {"DJ_HOST": "127.0.0.1", "DJ_PORT": port, "DJ_USER": "root", "DJ_PASS": password}
        _wait_for_mysql(settings)
        yield settings
    finally:
        container.remove(force=True, v=True)
        client.close()


def _wait_for_mysql(settings: dict[str, str]) -> None:
    """Wait until the server lets us in: it starts twice, and only the second time with the password."""
    import pymysql

    deadline = time.monotonic() + CONTAINER_START_S
    while True:
        try:
            pymysql.connect(
                host=settings["DJ_HOST"],
                port=int(settings["DJ_PORT"]),
                user="root",
                password=settings["DJ_PASS"],
            ).close()
        except pymysql.err.MySQLError as error:
            if time.monotonic() > deadline:
                pytest.exit(f"--backend mysql: the container does not answer: {error}", returncode=2)
            time.sleep(0.5)
        else:
            return


@pytest.fixture(scope="session")
def pool(server: Server) -> Iterator[Pool]:
    """The databases that are used again and again, removed at the end of the run."""
    pool = Pool(server)
    yield pool
    pool.drop()


@pytest.fixture(scope="session")
def make_lasting_database(pool: Pool) -> Iterator[Callable[..., Database]]:
    """Make databases that live until the end of the run."""
    with contextlib.ExitStack() as stack:
        yield partial(_make_database, pool, stack)


@pytest.fixture(scope="module")
def make_database(pool: Pool) -> Iterator[Callable[..., Database]]:
    """Make databases that live until the end of the test's module."""
    with contextlib.ExitStack() as stack:
        yield partial(_make_database, pool, stack)


def _make_database(pool: Pool, stack: contextlib.ExitStack, deployed: bool = True) -> Database:
    database = pool.take(deployed)
    stack.callback(database.drop)
    return database


@pytest.fixture
def database(make_database: Callable[..., Database]) -> Iterator[Database]:
    """A database of the test's own, deployed and empty; given back early, as many make DataJoint slow."""
    database = make_database()
    yield database
    database.drop()


@pytest.fixture
def vbn_cli(database: Database) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command ``vbn`` on the test's own database: ``vbn_cli(*arguments, env=None, check=True)``."""
    return database.vbn


def _folder_of(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Sessions with AllenSDK's own reading beside them, in the folder that VBN_CORPUS names."""
    return _folder_of("VBN_CORPUS")


@pytest.fixture(scope="session")
def corpus_hard() -> Path:
    """Sessions with flags, odd metadata and difficult units, in the folder that VBN_CORPUS_HARD names."""
    return _folder_of("VBN_CORPUS_HARD")


@pytest.fixture(scope="session")
def real_release() -> Path:
    """Tables of the real release, in the folder that VBN_REAL_RELEASE names."""
    return _folder_of("VBN_REAL_RELEASE")


@pytest.fixture(scope="session", params=["synthetic", pytest.param("corpus", marks=pytest.mark.corpus)])
def release(request: pytest.FixtureRequest) -> Path:
    """A folder laid out as the release, with recordings, a training session, LFP files and tables.

    Synthetic, and once more the corpus where it is at hand. For reading only.
    """
    is_corpus = request.param == "corpus"
    return _folder_of("VBN_CORPUS") if is_corpus else request.getfixturevalue("synthetic_release")


@pytest.fixture(scope="session")
def lfp_file(release: Path) -> Path:
    """The LFP file of a probe."""
    return min(release.rglob("probe_*_lfp.nwb"))


@pytest.fixture(scope="session")
def populated_release(release: Path, make_lasting_database: Callable[..., Database]) -> Database:
    """The release, registered with its catalogue and populated. For reading only."""
    return _populated(make_lasting_database(), release)


@pytest.fixture(scope="session")
def populated_corpus(corpus: Path, make_lasting_database: Callable[..., Database]) -> Database:
    """The corpus, registered with its catalogue and populated. For reading only."""
    return _populated(make_lasting_database(), corpus)


@pytest.fixture(scope="session")
def populated_corpus_hard(corpus_hard: Path, make_lasting_database: Callable[..., Database]) -> Database:
    """The corpus of the difficult sessions, likewise. For reading only."""
    return _populated(make_lasting_database(), corpus_hard)


def _populated(database: Database, folder: Path) -> Database:
    """Register a folder's sessions with their catalogue, and populate; both must end well."""
    database.vbn("register", folder, "--catalogue", folder / "project_metadata")
    database.vbn("populate")
    return database


@pytest.fixture(scope="session")
def synthetic_sessions() -> Iterator[Path]:
    """A folder of two small sessions of one mouse, laid out as the release is. For reading only."""
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = Path(tempfile.mkdtemp(prefix="vbn-test-sessions-"))
    folder.chmod(0o755)
    try:
        write_sessions(
            folder, SyntheticSettings(sessions=2, seed=1, minutes=2, units_per_probe=8, waveforms=False)
        )
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def synthetic_files(synthetic_sessions: Path) -> list[Path]:
    """The two sessions' files, in order."""
    return sorted(synthetic_sessions.rglob("*.nwb"))


@pytest.fixture(scope="session")
def populated_synthetic(synthetic_sessions: Path, make_lasting_database: Callable[..., Database]) -> Database:
    """Two synthetic sessions, registered and populated. For reading only."""
    return _populated(make_lasting_database(), synthetic_sessions)


@pytest.fixture(scope="session")
def reader_account(populated_synthetic: Database) -> Iterator[dict[str, str]]:
    """On MySQL the settings of an account that may only read; the embedded server has no accounts."""
    if populated_synthetic.server.backend != "mysql":
        yield {}
        return
    prefix = populated_synthetic.prefix
    name = f"{prefix}reader_1"
    try:
        populated_synthetic.vbn("deploy")
        made = populated_synthetic.vbn("admin", "create-user", name, "--role", "reader")
        yield {"DJ_USER": name, "DJ_PASS": made.stdout.strip()}
    finally:
        users = [name, *(f"{prefix}{role}" for role in ("reader", "worker", "admin"))]
        populated_synthetic.server.query(f"DROP USER IF EXISTS {', '.join(f'`{each}`' for each in users)}")


def as_training_session(file: h5py.File) -> None:
    _replace_text(file, "identifier", str(TRAINING_ID))
    _replace_text(file, "session_description", TRAINING)
    file["general/metadata"].attrs.update({"behavior_session_id": TRAINING_ID, "session_type": TRAINING})
    _delete(file, "units", "general/extracellular_ephys", "acquisition/EyeTracking")
    _delete(file, "processing/optotagging", "processing/eye_tracking_rig_metadata")
    _delete(file, *(f"general/devices/{name}" for name in file["general/devices"] if "probe" in name))
    tables = [name for name in file["intervals"] if name.endswith("_presentations")]
    _delete(file, *(f"intervals/{name}" for name in tables if not name.startswith("Natural_Images")))
    (table,) = (file["intervals"][name] for name in tables if name.startswith("Natural_Images"))
    columns = [str(name) for name in table.attrs["colnames"]]
    _delete(table, *(f"{name}{end}" for name in RAGGED for end in ("", "_index")))
    table.attrs["colnames"] = [name for name in columns if name not in RAGGED]
    _keep_rows(table, np.flatnonzero(table["stimulus_block"][:] == 0))
    (images,) = file["stimulus/templates"]
    _add_column(table, "image_set", "image_name", np.full(len(table["id"]), images, dtype=object))
    _add_column(table, "image_index", "stimulus_block", np.full(len(table["id"]), -99))
    frame_times = file["processing/stimulus/timestamps/timestamps"][:]
    table["start_time"][:] = frame_times[table["start_frame"][:]]
    trials = file["intervals/trials"]
    trials.move("change_time_no_display_delay", "change_time")
    frames = trials["change_frame"][:]
    trials["change_time"][:] = np.where(frames < 0, np.nan, frame_times[frames])
    names = [str(name) for name in trials.attrs["colnames"]]
    names[names.index("change_time_no_display_delay")] = "change_time"
    trials.attrs["colnames"] = names
    latency = trials["response_time"][:] - trials["change_time"][:]
    latency[np.isnan(latency) & ~trials["aborted"][:]] = np.inf
    _add_column(trials, "response_latency", "change_time", latency)


def _add_column(table: h5py.Group, name: str, like: str, values: np.ndarray) -> None:
    """Add a column that is described as another one is."""
    table.create_dataset(name, data=values, dtype=table[like].dtype)
    table[name].attrs.update({**table[like].attrs, "object_id": str(uuid.uuid4())})
    table.attrs["colnames"] = [*map(str, table.attrs["colnames"]), name]


@pytest.fixture(scope="session")
def synthetic_release(synthetic_sessions: Path) -> Iterator[Path]:
    """The synthetic recordings with their tables, a training session and an LFP file. For reading only."""
    folder = Path(tempfile.mkdtemp(prefix="vbn-test-release-"))
    folder.chmod(0o755)
    shutil.copytree(synthetic_sessions, folder, dirs_exist_ok=True)
    _complete_release(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def complete_release() -> Callable[[Path], None]:
    """A function that adds a training session and an LFP file to a folder of synthetic recordings."""
    return _complete_release


def _complete_release(folder: Path) -> None:
    """Make them from the first recording: without what only recordings hold; every fourth channel, 20 s."""
    recording = min(folder.rglob("ecephys_session_*.nwb"))
    training = folder / f"behavior_only_sessions/{TRAINING_ID}/behavior_session_{TRAINING_ID}.nwb"
    training.parent.mkdir(parents=True)
    lfp_file = recording.with_name("probe_probeA_lfp.nwb")
    for path in (training, lfp_file):
        shutil.copyfile(recording, path)
    with h5py.File(training, "r+") as file:
        as_training_session(file)
    with h5py.File(lfp_file, "r+") as file:
        as_lfp_file(file, "probeA")
    with h5py.File(recording, "r+") as file:
        probe = file["general/extracellular_ephys/probeA"].attrs
        probe["has_lfp_data"], probe["lfp_sampling_rate"] = True, LFP_RATE_HZ


def as_lfp_file(file: h5py.File, probe: str) -> None:
    probe_id = int(file[f"general/devices/{probe}"].attrs["probe_id"])
    _replace_text(file, "identifier", str(probe_id))
    _replace_text(file, "session_description", "LFP data and associated info for one probe")
    _replace_text(file, "general/session_id", "None")
    _delete(file, "units", *(f"{group}/{name}" for group in EMPTY_IN_LFP for name in list(file[group])))
    others = [name for name in file["general/devices"] if "probe" in name and name != probe]
    _delete(file, *(f"general/devices/{name}" for name in others))
    _delete(file, *(f"general/extracellular_ephys/{name}" for name in others))
    table = file["general/extracellular_ephys/electrodes"]
    kept = np.flatnonzero(table["probe_id"][:] == probe_id)[::4]
    _keep_rows(table, kept)
    _put_lfp(file, probe_id, len(kept))
    _put_csd(file)


def _keep_rows(table: h5py.Group, rows: np.ndarray) -> None:
    for name in list(table):
        column = table[name]
        values, kind, attributes = column[:][rows], column.dtype, dict(column.attrs)
        del table[name]
        table.create_dataset(name, data=values, dtype=kind).attrs.update(attributes)


def _put_lfp(file: h5py.File, probe_id: int, n_channels: int) -> None:
    rng = np.random.default_rng(probe_id)
    times = 1.0 + np.arange(25_000) / LFP_RATE_HZ
    group = _group(file, f"acquisition/probe_{probe_id}_lfp", "core", "LFP")
    series = _group(group, f"probe_{probe_id}_lfp_data", "core", "ElectricalSeries", **SERIES)
    values = rng.normal(0, 1e-4, (times.size, n_channels)).astype(np.float32)
    series.create_dataset("data", data=values).attrs.update({**SAMPLES, "unit": "volts"})
    series.create_dataset("timestamps", data=times).attrs.update(TIMES)
    region = series.create_dataset("electrodes", data=np.arange(n_channels))
    region.attrs.update(
        {"namespace": "hdmf-common", "neurodata_type": "DynamicTableRegion", "description": "LFP channels",
         "object_id": str(uuid.uuid4()), "table": file["general/extracellular_ephys/electrodes"].ref}
    )  # fmt: skip
    file[f"acquisition/probe_{probe_id}_lfp_data"] = h5py.SoftLink(series.name)


def _put_csd(file: h5py.File) -> None:
    times, depths = np.arange(-125, 313) / 1250, np.arange(0.0, 3840.0, 40.0)
    module = _group(file, "processing/current_source_density", "core", "ProcessingModule", description="CSD")
    csd = _group(module, "ecephys_csd", "ndx-aibs-ecephys", "EcephysCSD")
    series = _group(csd, "current_source_density", "core", "TimeSeries", **SERIES)
    wave = np.outer(np.sin(40 * times), np.cos(depths / 500))
    series.create_dataset("data", data=wave).attrs.update({**SAMPLES, "unit": "V/cm^2"})
    series.create_dataset("timestamps", data=times).attrs.update(TIMES)
    for name, values in {"x": np.full(depths.size, 24.0), "y": depths}.items():
        csd.create_dataset(f"virtual_electrode_{name}_positions", data=values).attrs["unit"] = "um"


def _group(parent: h5py.Group, name: str, namespace: str, kind: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(
        {"namespace": namespace, "neurodata_type": kind, "object_id": str(uuid.uuid4()), **attributes}
    )
    return group


def _replace_text(file: h5py.File, name: str, text: str) -> None:
    _delete(file, name)
    file[name] = text


def _delete(file: h5py.Group, *names: str) -> None:
    for name in names:
        if name in file:
            del file[name]
