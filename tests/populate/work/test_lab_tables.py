"""A lab's own tables: made, watched, explained and deleted by the commands that know this package's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

MODULE = """
import numpy as np
import schemas
from schemas import ecephys, session
from schemas.bases.provenance import Computation, provenance_lines
import datajoint as dj

schema = schemas.lab_schema("mylab")

@schema
class BurstParams(dj.Lookup):
    definition = '''
    # What counts as a burst
    burst_params : varchar(32)  # readable name
    ---
    burst_interval : float64  # (s) longest interval between two spikes of a burst
    '''
    contents = [{"burst_params": "10ms", "burst_interval": 0.010}]

@schema
class Bursts(dj.Computed):
    definition = '''
    # Bursts of the units of one recording
    -> ecephys.Recording
    -> BurstParams
    ---
    n_burst_units : int32  # units with two spikes or more
    '''

    class Unit(dj.Part):
        definition = '''
        # Bursts of one unit
        -> master
        -> ecephys.Recording.Unit
        ---
        burst_fraction : float64  # (1) share of the intervals that are short
        '''

    def make_fetch(self, key):
        return ((BurstParams & key).fetch1("burst_interval"),)

    def make_compute(self, key, interval):
        units = (ecephys.Recording.Unit & key).keys(limit=3)
        return ([{**key, **unit, "burst_fraction": interval} for unit in units],)

    def make_insert(self, key, rows):
        self.insert1({**key, "n_burst_units": len(rows)})
        self.Unit.insert(rows)

@schema
class Plain(Computation):
    definition = '''
    # Made in one step
    -> Bursts
    ---
    n_plain : int32  # a number
    ''' + provenance_lines("plain")

    def make(self, key):
        self.insert1({**key, "n_plain": 1, **self.provenance(key)})

@schema
class OfMouse(dj.Computed):
    definition = '''
    # One row for each mouse
    -> session.Mouse
    ---
    n_of_mouse : int32  # recordings with bursts
    '''

    def make(self, key):
        self.insert1({**key, "n_of_mouse": len(Bursts & key)})

@schema
class Failing(dj.Computed):
    definition = '''
    # Never made
    -> Bursts
    '''

    def make(self, key):
        raise ValueError("the lab's own mistake")

@schema
class Nothing(dj.Computed):
    definition = '''
    # Inserts nothing
    -> Bursts
    '''

    def make(self, key):
        pass

@schema
class Leaving(dj.Computed):
    definition = "-> Bursts"

    def make(self, key):
        raise SystemExit(3)
"""


HEAD = """
import os, schemas, datajoint as dj
from schemas import ecephys
"""
CLASH = f"""{HEAD}
schema = schemas.lab_schema("clash")
@schema
class Psth(dj.Computed):
    definition = "-> ecephys.Recording"
"""
ORPHAN = f"""{HEAD}
schema = schemas.lab_schema("orphan")
@schema
class Top(dj.Manual):
    definition = "top_id : int32"
@schema
class Orphan(dj.Computed):
    definition = "-> Top"
"""
NO_PARENT = f"""{HEAD}
schema = schemas.lab_schema("parent")
@schema
class Own(dj.Computed):
    definition = "-> ecephys.Recordin"
"""
NO_SOURCE = f"""{HEAD}
schema = schemas.lab_schema("source")
@schema
class Own(dj.Computed):
    definition = "-> ecephys.Recording"
    @property
    def key_source(self):
        return ecephys.Recording & unknown
"""
OURS = f"""{HEAD}
schemas.connect()
schema = dj.Schema(os.environ["VBN_PREFIX"] + "ecephys")
@schema
class Stranger(dj.Manual):
    definition = "stranger_id : int32"
"""
# As a lab has it that used DataJoint before: a schema of its own name, which the module activates.
PLAIN = f"""{HEAD}
schemas.connect()
schema = dj.Schema(os.environ["VBN_PREFIX"] + "plain")
@schema
class Echo(dj.Computed):
    definition = "-> ecephys.Recording"
    def make(self, key):
        self.insert1(key)
"""
RECONNECTS = """
import schemas, mylab_plain
for _ in range(2):
    schemas.connect(modules=["mylab_plain"])
    print(len(mylab_plain.Echo()))
    schemas.disconnect()
"""


@pytest.fixture(scope="module")
def database(make_database: Callable[..., Any], populated_synthetic: Any) -> Iterator[Any]:
    """Two recorded sessions, and the lab's module in the folder where commands are run."""
    database = make_database().register_as(populated_synthetic)
    database.call("populate", "--table", "Recording")
    (database.folder / "mylab_tables.py").write_text(MODULE)
    yield database
    drop(database, f"{database.prefix}mylab")


def drop(database: Any, schema: str) -> None:
    mysql = database.server.backend == "mysql"
    end = "" if mysql else " CASCADE"
    database.server.query(f'DROP {"DATABASE" if mysql else "SCHEMA"} IF EXISTS "{schema}"{end}')


def states(database: Any) -> dict[str, list[int]]:
    listed = json.loads(database.vbn("status", "--json", "--module", "mylab_tables").stdout)
    return {each["table"]: [each["done"], each["total"], each["errors"]] for each in listed}


def test_the_commands_treat_the_tables_of_a_lab_like_ours(database: Any) -> None:
    module = ("--module", "mylab_tables")
    if database.server.backend == "mysql":
        refused = database.vbn("worker", "--until-idle", *module, check=False)
        assert "vbn deploy --module mylab_tables" in refused.stderr
        database.vbn("deploy", *module)
    done = database.vbn("worker", "--until-idle", "--log", "json", *module, "--tables",
                        "Bursts,Plain,OfMouse,Failing,Nothing,Leaving", check=False)  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    failed = {each["table"]: each["error"] for each in events if each["event"] == "job_failed"}
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert failed.keys() == {"Failing", "Nothing", "Leaving"}
    assert "it asked the program to end" in failed["Leaving"]
    assert "the lab's own mistake" in failed["Failing"]
    assert "inserted no entry for this key" in failed["Nothing"]
    found = states(database)
    assert [found[name] for name in ("Bursts", "Plain", "OfMouse", "Failing")] == [
        [2, 2, 0], [2, 2, 0], [1, 1, 0], [0, 2, 2],
    ]  # fmt: skip
    assert "the lab's own mistake" in database.vbn("errors", *module).stdout
    assert "2 failed jobs" in database.vbn("retry", *module, "--table", "Failing").stdout
    number = json.loads(database.vbn("sessions", "--json").stdout)[0]["session_id"]
    steps = json.loads(database.vbn("explain", *module, "Plain", f"session_id={number}", "--json").stdout)
    assert [step["table"] for step in steps][:3] == ["Plain", "Bursts", "BurstParams"]
    assert steps[-1]["table"] == "NwbFile"
    assert "6 rows of Bursts.Unit" in database.vbn("export", "Bursts.Unit", "--out", "b.csv", *module).stdout
    assert ", 7 of mylab_tables" in database.vbn("doctor", *module, check=False).stdout


def test_rows_of_the_lab_go_with_those_that_they_are_made_from(database: Any) -> None:
    """Whoever does not know the module is stopped, with its name to be found."""
    number = json.loads(database.vbn("sessions", "--json").stdout)[0]["session_id"]
    words = ("delete", "Recording", "--session", number, "--reason", "a try", "--yes")
    refused = database.vbn(*words, check=False)
    assert "Tables of others" in refused.stderr
    assert "--module" in refused.stderr
    deleted = database.vbn(*words, "--module", "mylab_tables")
    assert "1  Bursts\n" in deleted.stdout
    assert f"{database.prefix}mylab.__bursts__unit" in database.vbn("deletions").stdout
    assert states(database)["Bursts"][0] == 1
    again = database.vbn("populate", "--module", "mylab_tables", "--table", "Recording", "--table", "Bursts",
                         "--table", "Plain", "--processes", "2")  # fmt: skip
    assert "3 entries made, 0 failed." in again.stdout


def test_stale_rows_of_the_lab_are_made_again_with_what_follows(database: Any) -> None:
    """A later method version in the module; and a stale table of ours takes the lab's rows with it."""
    newer = MODULE.replace("class Plain(Computation):", "class Plain(Computation):\n    method_version = 2")
    (database.folder / "mylab_newer.py").write_text(newer)
    module = ("--module", "mylab_newer")
    assert database.vbn("stale", *module).stdout.count("Plain (") == 2
    assert "2 entries recomputed, 0 failed." in database.vbn("recompute", "--yes", *module).stdout
    assert "0 stale rows" in database.vbn("stale", *module).stdout


@pytest.mark.files
@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("mylab_absent", None, "There is no module mylab_absent"),
        ("mylab_tables.py", None, "is no name of a module, such as mylab.tables. Without its ending: mylab"),
        (
            "mylab_broken",
            "import numpie",
            "cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("mylab_syntax", "x = = 1", "cannot be imported: SyntaxError"),
        ("mylab_exits", "import sys\nsys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("mylab_empty", "x = 1", "The module mylab_empty defines no tables"),
        ("mylab_lazy", "import datajoint as dj\nschema = dj.Schema()", "dj.Schema() that is not activated"),
        ("mylab_name", "import schemas\nschemas.lab_schema('session')", "'session' is one of this package"),
        ("mylab_words", "import schemas\nschemas.lab_schema('My Lab')", "cannot be used for a schema"),
        ("mylab_clash", CLASH, "The table Psth of mylab_clash has the name of one of this package"),
        ("mylab_orphan", ORPHAN, "The table Orphan of mylab_orphan depends on no table of the"),
        ("mylab_parent", NO_PARENT, "The tables of mylab_parent cannot be made"),
        ("mylab_source", NO_SOURCE, "The key_source of Own of mylab_source cannot be used: NameError"),
        ("mylab_ours", OURS, "declares tables in {prefix}ecephys, a schema of this package"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_words(
    database: Any, name: str, text: str | None, answer: str
) -> None:
    if text is not None:
        (database.folder / f"{name}.py").write_text(text)
    try:
        done = database.vbn("deploy", "--module", name, check=False)
    finally:
        drop(database, f"{database.prefix}{name.removeprefix('mylab_')}")
    assert (done.returncode, answer.format(prefix=database.prefix) in done.stderr) == (1, True), done.stderr
    assert "unexpected" not in done.stderr


def test_a_schema_with_a_name_of_its_own_is_adopted(database: Any) -> None:
    (database.folder / "mylab_plain.py").write_text(PLAIN)
    if database.server.backend == "mysql":  # text there is compared as in the tables that it refers to
        database.server.query(f'CREATE DATABASE "{database.prefix}plain" COLLATE utf8mb4_0900_bin')
    try:
        done = database.vbn("worker", "--until-idle", "--module", "mylab_plain", "--table", "Echo")
        assert "Echo" in done.stdout
        script = subprocess.run(
            [sys.executable, "-c", RECONNECTS], env=database.environment, cwd=database.folder, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        assert script.stdout == "2\n2\n"
    finally:
        drop(database, f"{database.prefix}plain")


@pytest.mark.files
def test_an_installed_module_is_found_and_a_broken_one_stops_nobody(database: Any) -> None:
    installed = database.folder / "mylab-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    points = "[vbn.tables]\ngone = mylab_gone\ntables = mylab_tables\n"
    (installed / "entry_points.txt").write_text(points)
    try:
        shown = database.vbn("status")
    finally:
        shutil.rmtree(installed)
    assert "\nBursts " in shown.stdout
    assert "vbn: The tables of mylab_gone are left out. There is no module mylab_gone" in shown.stderr


def test_an_urgent_job_is_made_before_those_of_other_sessions(database: Any) -> None:
    """DataJoint's priority: of lower number, sooner."""
    module = ("--module", "mylab_tables")
    database.vbn("delete", "Bursts", "--where", "burst_params=10ms", "--confirm-sessions", "2", "--yes",
                 "--reason", "a try", *module)  # fmt: skip
    jobs, columns = f'"{database.prefix}mylab"."~~bursts"', "mouse_id, session_id, burst_params"
    last = json.loads(database.vbn("sessions", "--json").stdout)[-1]["session_id"]
    database.server.query(
        f"INSERT INTO {jobs} ({columns}, status, priority) "
        f"SELECT mouse_id, session_id, '10ms', 'pending', CASE WHEN session_id = {last} THEN 1 ELSE 5 END "
        f'FROM "{database.prefix}ecephys"."_recording"'
    )
    done = database.vbn("worker", "--until-idle", "--log", "json", *module, "--tables", "Bursts,Plain")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    made = [(each["table"], each["key"]["session_id"]) for each in events if each["event"] == "job_done"]
    assert made[0] == ("Bursts", last)
    assert len(made) == 4
