"""A backup becomes the database that it was: after a kill, under another prefix, with the tables of a lab."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from populate.admin.backup.manifest import read_manifest

pytestmark = pytest.mark.slow

LAB = """
import schemas, datajoint as dj
from schemas import session

schema = schemas.lab_schema("mylab")

@schema
class Curve(dj.Manual):
    definition = '''
    # A curve of each session
    -> session.Session
    ---
    curve_date : date  # when it was drawn
    curve : <npy@vbn>  # (1) the curve
    '''
"""
KILLED_AT = """
import importlib, os, signal, sys
module = importlib.import_module("{module}")
original = module.{name}

def killed(*arguments, **options):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)

module.{name} = killed
from populate.cli import main
main(sys.argv[1:])
"""
CUT = "read = arguments[1]; pieces = iter((read(60_000),)); arguments = list(arguments)"
IN_THE_MIDDLE = f"""{CUT}
    arguments[1] = lambda _: next(pieces, b"") or os.kill(os.getpid(), signal.SIGKILL)
    original(*arguments, **options)"""
MOMENTS = (
    ("populate.admin.backup.restore", "_restore_arrays", "pass"),
    ("populate.admin.backup.restore", "_drop", "pass"),
    ("populate.admin.backup.SERVER", "stream_in", IN_THE_MIDDLE),
    ("populate.admin.backup.restore", "job_tables", "pass"),
    ("populate.admin.backup.restore", "write_stored_id", "pass"),
    ("populate.admin.backup.restore", "compared", "pass"),
    ("populate.admin.backup.restore", "remove_mark", "pass"),
)


@pytest.fixture(scope="module")
def lab(make_database: Callable[..., Any], synthetic_files: list[Path]) -> Iterator[Any]:
    """A session with its running, a lab's module with an array, and a schema of somebody's own name."""
    for name in ("mysqldump", "mysql") if os.environ.get("DJ_BACKEND") == "mysql" else ():
        if shutil.which(os.environ.get(f"VBN_{name.upper()}", name)) is None:
            pytest.skip(f"MySQL's program {name} is neither on PATH nor named by VBN_{name.upper()}")
    database = make_database()
    database.call("register", synthetic_files[0])
    database.call("populate", "--table", "Running")
    database.call("query", "sessions", "--save-list", "kept")
    database.call("note", "add", "asleep", "--list", "kept", "--label", "sleepy")
    is_mysql = database.server.backend == "mysql"
    query, own = database.server.query, f"ann_{database.prefix}"
    query(f'CREATE SCHEMA "{own}"' + (" COLLATE utf8mb4_0900_bin" if is_mysql else ""))
    query(
        f'CREATE TABLE "{own}"."note" (mouse_id varchar(32), session_id bigint, note text, '
        "FOREIGN KEY (mouse_id, session_id) "
        f'REFERENCES "{database.prefix}session"."session" (mouse_id, session_id))'
    )
    query(
        f'INSERT INTO "{own}"."note" SELECT mouse_id, session_id, %s '
        f'FROM "{database.prefix}session"."session"',
        f"USE `{database.prefix}session`.`x`;\nUSE `{database.prefix}session`;\\",
    )
    add_curve(database)
    yield database
    drop_schemas(database, own, database.prefix)


def add_curve(database: Any) -> None:
    """Enter a row of the lab's own module, with an array."""
    from schemas.bases import lab as lab_schemas

    (database.folder / "mylab_curves.py").write_text(LAB)
    script = (
        "import schemas, numpy, datetime; schemas.connect(create=True, modules=['mylab_curves']); "
        "from mylab_curves import Curve; from schemas import session; "
        "Curve.insert1({**session.Session.fetch1('KEY'), 'curve_date': datetime.date(2026, 5, 1), "
        "'curve': numpy.arange(5.0)})"
    )
    with database.start(script, program=("-c",)) as process:
        output = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert not lab_schemas.lab_schemas()


def drop_schemas(database: Any, *beginnings: str) -> None:
    """Remove schemas by the beginnings of their names."""
    known = database.server.query("SELECT schema_name FROM information_schema.schemata")
    names = [f'"{name}"' for (name,) in known if name.startswith(beginnings)]
    if database.server.backend == "mysql":
        database.server.query("SET foreign_key_checks = 0")
        for name in names:
            database.server.query(f"DROP DATABASE {name}")
        database.server.query("SET foreign_key_checks = 1")
    elif names:
        database.server.query(f"DROP SCHEMA {', '.join(names)} CASCADE")


def schemas_on(database: Any, beginning: str) -> set[str]:
    known = database.server.query("SELECT schema_name FROM information_schema.schemata")
    return {name for (name,) in known if name.startswith(beginning)}


@pytest.fixture(scope="module")
def saved(lab: Any) -> tuple[Path, Any]:
    """A backup of it, and the checksums."""
    lab.call("backup", lab.folder / "backup")
    return lab.folder / "backup", lab.json("checksum")


def kept_by_people(database: Any, prefix: str) -> list[Any]:
    """Return the lists, the notes, and what a list has."""
    vbn = ("--prefix", prefix)
    reports = [json.loads(database.vbn(*vbn, *words, "--json").stdout) for words in (("lists",), ("notes",))]
    shown = json.loads(database.vbn(*vbn, "list", "show", "kept", "--json").stdout)
    return [*reports, shown]


def notes(database: Any, schema: str) -> list[tuple[Any, ...]]:
    return database.server.query(f'SELECT * FROM "{schema}"."note"')


def test_a_drill_beside_production_is_equal_and_touches_nothing_of_it(
    lab: Any, saved: tuple[Path, Any]
) -> None:
    """Under a prefix that begins with production's, in the same store folder."""
    backup, sums = saved
    drill = f"{lab.prefix}drill_"
    before = {path: path.stat().st_mtime_ns for path in lab.store.rglob("*") if path.is_file()}
    try:
        done = lab.call("restore", backup, "--prefix", drill)
        assert "as when it was saved" in done.stdout
        copied = json.loads(lab.vbn("--prefix", drill, "checksum", "--json").stdout)
        assert copied == sums
        assert lab.json("checksum") == sums
        files = set(lab.store.rglob("*.npy"))
        ours = {path for path in files if f"/{drill}" not in str(path)}
        assert {str(path).replace(f"/{drill}", f"/{lab.prefix}") for path in files - ours} == set(
            map(str, ours)
        )
        assert {path: path.stat().st_mtime_ns for path in before} == before
        ((lineage,),) = lab.server.query(
            f'SELECT lineage FROM "{drill}mylab"."~lineage" WHERE attribute_name = %s', "session_id"
        )
        assert lineage == f"{drill}session.session.session_id"
        assert notes(lab, f"{drill}ann_{lab.prefix}") == notes(lab, f"ann_{lab.prefix}")
        kept = kept_by_people(lab, drill)
        assert kept == kept_by_people(lab, lab.prefix)
        assert all(len(report) == 1 for report in kept)
        lab.vbn("--prefix", drill, "gc")
    finally:
        drop_schemas(lab, drill)
        shutil.rmtree(lab.store / "_schema", ignore_errors=True)
        lab.store.joinpath("_identity", f"{drill}.json").unlink(missing_ok=True)
        shutil.copytree(backup / "store" / "_schema", lab.store / "_schema")


def test_a_rehearsal_restores_compares_and_leaves_nothing(
    lab: Any, saved: tuple[Path, Any], tmp_path: Path
) -> None:
    backup, sums = saved
    found = lab.json("backup", "--check", backup)
    assert (found["is_good"], found["tables"]) == (True, len(sums["tables"]))
    shutil.copytree(backup, tmp_path / "forged")
    manifest = json.loads((tmp_path / "forged" / "manifest.json").read_text())

    def forged(**changed: Any) -> Any:
        (tmp_path / "forged" / "manifest.json").write_text(json.dumps({**manifest, **changed}))
        return lab.call("backup", "--check", tmp_path / "forged", check=False)

    sums_of_others = {**manifest["checksums"], "behavior._running": "0" * 64}
    done = forged(checksums=sums_of_others)
    assert (done.returncode, "behavior._running, restored, has a different" in done.stderr) == (1, True)
    assert "is not good: 0 damaged files, 1 tables differ" in done.stdout
    done = forged(files=dict(list(manifest["files"].items())[1:]))
    assert (done.returncode, "rows refer to 1 arrays that it does not have" in done.stderr) == (1, True)
    array = tmp_path / "forged" / "store" / min(manifest["files"])
    array.write_bytes(array.read_bytes()[:-1])
    done = forged()
    assert (done.returncode, f"{array.name} has" in done.stderr) == (1, True)
    assert not schemas_on(lab, "vbncheck_")
    assert lab.json("checksum") == sums


def test_a_killed_restore_is_named_begins_again_and_can_be_given_up(
    lab: Any, saved: tuple[Path, Any]
) -> None:
    """Killed at one moment after the other, each time by the next attempt."""
    backup, sums = saved
    before = notes(lab, f"ann_{lab.prefix}")
    drop_schemas(lab, lab.prefix, f"ann_{lab.prefix}")
    shutil.rmtree(lab.store)
    server = "mysql" if lab.server.backend == "mysql" else "postgres"
    for number, (module, name, before_it) in enumerate(MOMENTS):
        program = KILLED_AT.format(module=module.replace("SERVER", server), name=name, before=before_it)
        with lab.start(program, "restore", backup, program=("-c",)) as process:
            output = process.communicate(timeout=120)
            assert process.returncode == -signal.SIGKILL, output
        for words in (("status",), ("backup", lab.folder / "no"), ("deploy",)) if number == 2 else ():
            refused = lab.vbn(*words, check=False)
            assert refused.returncode == 1, words
            assert f"a restore of {backup}, begun 20" in refused.stderr
            assert f"vbn restore {backup}" in refused.stderr
        assert bool(schemas_on(lab, f"{lab.prefix}restoring")) == (number > 0)
    assert lab.call("restore", "--undo").returncode == 0
    assert not schemas_on(lab, lab.prefix)
    assert "No restore" in lab.call("restore", "--undo", check=False).stderr
    lab.call("restore", backup)
    assert lab.json("checksum") == sums
    assert notes(lab, f"ann_{lab.prefix}") == before
    assert set(map(str, lab.stored_files())) == read_manifest(backup).files.keys()


def test_tables_of_others_in_the_way_stop_a_restore(lab: Any, saved: tuple[Path, Any]) -> None:
    """Ours are gone, and the schema with somebody's own name is not: its rows are not thrown away."""
    backup, sums = saved
    drop_schemas(lab, lab.prefix)
    refused = lab.call("restore", backup, check=False)
    assert refused.returncode == 1
    assert f"schemas that belong to it: the schema ann_{lab.prefix}." in refused.stderr
    assert len(notes(lab, f"ann_{lab.prefix}")) == 1
    drop_schemas(lab, f"ann_{lab.prefix}")
    lab.call("restore", backup)
    assert lab.json("checksum") == sums
