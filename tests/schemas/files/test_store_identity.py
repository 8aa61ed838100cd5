"""The store of this machine is the one that the rows refer to, or nothing is done with it."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vbn.errors import WrongStoreError

pytestmark = pytest.mark.slow

WORK: tuple[tuple[str, ...], ...] = (
    ("populate", "--table", "Running"),
    ("worker", "--until-idle", "--tables", "Running"),
    ("backup", "BACKUP"),
    ("gc",),
    ("gc", "--empty-quarantine"),
    ("deploy",),
)


def leading_to(folder: Path) -> dict[str, str]:
    """Return the settings of a machine whose store is a folder."""
    return {"DJ_STORES": json.dumps({"vbn": {"protocol": "file", "location": str(folder)}})}


@pytest.fixture(scope="module")
def registered(make_database: Any, synthetic_files: list[Path]) -> Any:
    database = make_database()
    database.call("register", synthetic_files[0])
    return database


def another_store(state: str, database: Any, folder: Path) -> Path:
    """Return the store as a machine has it that is set up wrongly."""
    if state == "unmounted":
        folder.mkdir()
    elif state != "absent":
        (folder / "_identity").mkdir(parents=True)
        record = {"other": '{"id": "7e57"}', "damaged": '{"id'}[state]
        (folder / "_identity" / f"{database.prefix}.json").write_text(record)
    return folder


@pytest.mark.files
@pytest.mark.parametrize("state", ["absent", "unmounted", "other", "damaged"])
def test_nothing_is_done_on_a_machine_with_another_store(
    registered: Any, synthetic_files: list[Path], tmp_path: Path, state: str
) -> None:
    folder = another_store(state, registered, tmp_path / "shared")
    before = sorted(folder.rglob("*"))
    commands = (
        [*WORK, ("register", str(synthetic_files[0]))] if state in ("absent", "unmounted") else WORK[:3]
    )
    for words in commands:
        words = tuple(str(tmp_path / "backup") if word == "BACKUP" else word for word in words)
        done = registered.vbn(*words, env=leading_to(folder), check=False)
        assert done.returncode == 1, words
        assert f"array store {folder}" in done.stderr, words
        assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before
    assert folder.exists() == (state != "absent")
    assert not (tmp_path / "backup").exists()
    assert registered.job_states().keys() <= {"pending"}
    doctor = {check["name"]: check for check in json.loads(
        registered.vbn("doctor", "--json", env=leading_to(folder), check=False).stdout
    )}  # fmt: skip
    assert not doctor["store"]["is_good"]
    assert str(folder) in doctor["store"]["finding"]


@pytest.mark.parametrize("state", ["unmounted", "other"])
def test_datajoints_own_populate_writes_nothing_into_another_store(
    registered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    from schemas import behavior

    folder = another_store(state, registered, tmp_path / "shared")
    before = sorted(folder.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(registered, "store", folder)
        registered.connect()
        with pytest.raises(WrongStoreError, match=f"array store {folder} is not the one of this database"):
            behavior.Running.populate()
    registered.connect()
    assert sorted(folder.rglob("*")) == before
    assert not behavior.Running()


@contextlib.contextmanager
def unmounted(store: Path) -> Iterator[None]:
    """Leave an empty folder where the store was."""
    moved = store.rename(store.with_name("moved"))
    store.mkdir()
    try:
        yield
    finally:
        assert not list(store.iterdir())
        store.rmdir()
        moved.rename(store)


def test_a_store_that_goes_away_during_a_job_ends_the_work_and_no_row_is_left(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.work import runner
    from schemas import behavior

    registered.connect()
    with contextlib.ExitStack() as stack:
        compute = behavior.Running.make_compute

        def compute_meanwhile(self: Any, *arguments: Any) -> Any:
            computed = compute(self, *arguments)
            stack.enter_context(unmounted(registered.store))
            return computed

        monkeypatch.setattr(behavior.Running, "make_compute", compute_meanwhile)
        with pytest.raises(WrongStoreError, match=r"it is empty, .*Is its disk mounted"):
            list(runner.run(runner.session_keys(), [behavior.Running]))
    assert not behavior.Running()
    assert set(registered.job_states()) == {"pending"}


@pytest.mark.files
def test_leftovers_of_a_failed_job_that_cannot_be_removed_are_garbage_and_the_failure_is_recorded(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.work import runner
    from schemas import behavior

    registered.connect()
    insert = behavior.Running.make_insert

    def insert_and_fail(self: Any, *arguments: Any) -> None:
        insert(self, *arguments)
        raise ValueError("odd")

    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(behavior.Running, "make_insert", insert_and_fail)
        patch.setattr("schemas.files.array_store.shutil.rmtree", refuse)
        (result,) = runner.run(runner.session_keys(), [behavior.Running])
    assert result.error == "ValueError: odd"
    assert set(registered.job_states()) == {"error"}
    left = registered.stored_files()
    assert left
    found = registered.json("gc", "--go", "--older-than", "0s", "--max-share", "100")
    assert set(map(Path, found["files"])) == left
    registered.call("retry")


@pytest.mark.files
def test_what_a_job_without_memory_held_is_free_when_its_failure_is_recorded(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from populate.work import jobs, runner
    from schemas import behavior

    registered.connect()
    held: list[weakref.ref[Any]] = []
    is_free = []
    undo = jobs.OwnJobs.undo

    def compute(_self: Any, *_arguments: Any) -> None:
        large = np.zeros(10)
        held.append(weakref.ref(large))
        raise MemoryError

    def undo_and_look(self: Any, **how: Any) -> None:
        is_free.append(held[0]() is None)
        undo(self, **how)

    with monkeypatch.context() as patch:
        patch.setattr(behavior.Running, "make_compute", compute)
        patch.setattr(jobs.OwnJobs, "undo", undo_and_look)
        (result,) = runner.run(runner.session_keys(), [behavior.Running])
    assert "not enough memory" in str(result.error)
    assert is_free == [True]
    registered.call("retry")


def test_arrays_that_were_moved_are_claimed_and_the_old_store_is_refused(
    make_database: Any, synthetic_files: list[Path], tmp_path: Path
) -> None:
    database = make_database()
    database.call("register", synthetic_files[0])
    database.call("populate", "--table", "Running", "--table", "EyeTracking")
    moved = leading_to(tmp_path / "moved")
    shutil.copytree(database.store / "_schema", tmp_path / "moved" / "_schema")
    assert "not the one of this database" in database.vbn("gc", env=moved, check=False).stderr
    lost = tmp_path / "moved" / min(database.referenced_files())
    kept = lost.read_bytes()
    lost.unlink()
    refused = database.vbn("deploy", "--claim-store", env=moved, check=False)
    assert refused.returncode == 1
    assert (
        f"the first is {lost.relative_to(tmp_path / 'moved')}. Copy all of them there first."
        in refused.stderr
    )
    lost.write_bytes(kept)

    database.vbn("deploy", "--claim-store", env=moved)

    assert "0 of 8 files" not in database.vbn("gc", env=moved).stderr
    database.vbn("populate", "--table", "Licks", env=moved)
    assert "not the one of this database: its id is" in database.vbn("gc", check=False).stderr


@pytest.mark.parametrize("has_arrays", [True, False])
def test_a_database_of_an_earlier_version_gets_the_store_that_has_its_arrays(
    make_database: Any, synthetic_files: list[Path], tmp_path: Path, has_arrays: bool
) -> None:
    database = make_database()
    database.call("register", synthetic_files[0])
    if has_arrays:
        database.call("populate", "--table", "Running")
    database.server.query(f'DROP TABLE "{database.prefix}administration"."array_store"')
    database.server.query(f'DELETE FROM "{database.prefix}administration"."migration" WHERE migration = 12')
    shutil.rmtree(database.store / "_identity")
    (tmp_path / "empty").mkdir()
    elsewhere = leading_to(tmp_path / "empty")
    done = database.vbn("deploy", env=elsewhere, check=False)
    assert done.returncode == has_arrays
    if has_arrays:
        assert "None of the arrays that rows refer to is in the array store" in done.stderr
        assert "vbn deploy" in database.vbn("populate", env=elsewhere, check=False).stderr
        assert not list((tmp_path / "empty").iterdir())
        database.vbn("deploy")
        database.vbn("populate", "--table", "Licks")
    assert database.vbn("gc", env=elsewhere, check=False).returncode == has_arrays


@pytest.mark.files
def test_a_machine_without_the_store_reads_all_but_arrays(
    populated_synthetic: Any, reader_account: dict[str, str], tmp_path: Path
) -> None:
    """A folder that is not there, and on MySQL a home without one; nothing makes it."""
    (tmp_path / "home").mkdir(mode=0o700)
    of_home = [{"DJ_STORES": "{}", "VBN_HOME": str(tmp_path / "home")}] if reader_account else []
    for settings in (leading_to(tmp_path / "absent"), *of_home):
        machine = {**reader_account, **settings}
        for words in (("status",), ("query", "units", "--structure", "VISp"), ("sessions",), ("issues",)):
            populated_synthetic.vbn(*words, env=machine)
        exported = tmp_path / "running.csv"
        populated_synthetic.vbn("export", "Running", "--out", exported, env=machine)
        picture = tmp_path / "picture.png"
        drawn = ("plot", "change-response", "--session", 9000000001, "--structure", "VISpm", "--out", picture)
        populated_synthetic.vbn(*drawn, env=machine)
        arrays = ("export", "Running", "--arrays", "--out", tmp_path / "running.parquet")
        done = populated_synthetic.vbn(*arrays, env=machine, check=False)
        assert done.returncode == 1
        assert "array store" in done.stderr
        assert "may be a bug" not in done.stderr
    assert not (tmp_path / "absent").exists()
    assert not list((tmp_path / "home").iterdir())
