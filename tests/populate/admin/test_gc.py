"""What no row refers to is put aside, and nothing else is."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

TABLES = ("Running", "EyeTracking", "RigGeometry")
POPULATE = ("populate", *(word for name in TABLES for word in ("--table", name)))
A_YEAR_S = 365 * 86_400


@pytest.fixture
def stored(empty_database: Any, synthetic_files: list[Path]) -> Any:
    """One session with arrays, all of them old."""
    empty_database.call("register", synthetic_files[0])
    empty_database.call(*POPULATE)
    for path in empty_database.store.rglob("*"):
        make_old(path)
    return empty_database


def make_old(path: Path) -> None:
    moment = time.time() - A_YEAR_S
    os.utime(path, (moment, moment))


def leave_file(database: Any, folder: str = "behavior/_running/mouse_id=1/session_id=2") -> Path:
    """Write a file as a killed worker leaves one, and return its path below the store."""
    path = Path("_schema", database.prefix + folder, "speed_x1y2z3.npy")
    (database.store / path).parent.mkdir(parents=True, exist_ok=True)
    (database.store / path).write_bytes(b"an array")
    for step in (path, *path.parents[:-2]):
        make_old(database.store / step)
    return path


def test_files_without_a_row_are_put_aside_and_then_deleted(stored: Any) -> None:
    """Of deleted rows and of killed workers; without --go nothing changes."""
    from schemas.behavior import Running

    used = stored.referenced_files()
    Running().delete_quick()
    left = leave_file(stored)
    (stored.store / "_schema" / f"{stored.prefix}ecephys" / "empty" / "folder").mkdir(parents=True)
    garbage = used - stored.referenced_files() | {left}
    everything = stored.stored_files()
    dry = stored.json("gc", "--older-than", "0s")
    assert set(map(Path, dry["files"])) == garbage
    assert dry["size_bytes"] == sum((stored.store / path).stat().st_size for path in garbage)
    assert dry["stored"] == len(everything)
    assert dry["quarantine"] is None
    assert stored.stored_files() == everything
    assert str(left) in stored.call("gc").stdout

    done = stored.json("gc", "--go", "--max-share", "50", "--older-than", "0s")
    quarantine = Path(done["quarantine"])
    assert quarantine.parent == stored.store / "_quarantine"
    assert {path.relative_to(quarantine) for path in quarantine.rglob("*.npy")} == garbage
    kept = everything - garbage
    assert {path for path in stored.stored_files() if path.parts[0] == "_schema"} == kept
    assert stored.referenced_files() == kept
    folders = [path for path in (stored.store / "_schema").rglob("*") if path.is_dir()]
    assert [
        path for path in folders if not any(path.iterdir()) and path.name != f"{stored.prefix}ecephys"
    ] == []
    assert stored.json("gc", "--older-than", "0s")["files"] == {}
    stored.call(*POPULATE)

    assert stored.json("gc", "--empty-quarantine")["files"] == {}
    old = stored.json("gc", "--empty-quarantine", "--older-than", "0s")
    assert len(old["files"]) == len(garbage)
    assert quarantine.exists()
    stored.call("gc", "--empty-quarantine", "--older-than", "0s", "--go")
    assert list(quarantine.parent.iterdir()) == []
    assert stored.stored_files() == stored.referenced_files()


@pytest.mark.slow
def test_young_files_and_those_of_running_jobs_are_spared(stored: Any) -> None:
    from schemas.behavior import RigGeometry

    path = stored.store / leave_file(stored)
    assert len(stored.json("gc")["files"]) == 1
    os.utime(path)
    found = stored.json("gc")
    assert (len(found["files"]), found["spared"]) == (0, 1)
    assert len(stored.json("gc", "--older-than", "0s")["files"]) == 1

    key = RigGeometry.keys(limit=1)[0]
    RigGeometry().delete_quick()
    RigGeometry().jobs.delete_quick()
    RigGeometry().jobs.refresh(key, delay=-1)
    assert RigGeometry().jobs.reserve(key)
    found = stored.json("gc", "--older-than", "0s", "--go")
    assert (len(found["files"]), found["spared"]) == (0, 1)
    make_old(path)  # written before any running job was begun
    assert len(stored.json("gc", "--older-than", "0s")["files"]) == 1


def test_other_prefixes_and_other_files_in_the_store_are_not_looked_at(stored: Any) -> None:
    """Even of a prefix that begins as ours does."""
    others = [
        stored.store / "_schema" / f"{prefix}behavior" / "_running" / "speed_x1y2z3.npy"
        for prefix in (f"{stored.prefix}copy_", "another_")
    ] + [stored.store / "notes.txt"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not ours")
        make_old(path)
    try:
        assert stored.json("gc", "--go", "--older-than", "0s", "--max-share", "100")["files"] == {}
        assert all(path.exists() for path in others)
    finally:
        for path in others:
            path.unlink()


def test_too_large_a_share_is_refused(stored: Any) -> None:
    """Rows deleted by mistake, or a store that another server uses under the same prefix."""
    from schemas.behavior import EyeTracking

    EyeTracking().delete_quick()
    everything = stored.stored_files()
    dry = stored.call("gc")
    assert "more than 10 %" in dry.stderr
    refused = stored.call("gc", "--go", check=False)
    assert refused.returncode == 1
    assert "more than 10%" in refused.stderr
    assert "--max-share" in refused.stderr
    assert stored.stored_files() == everything


def test_an_unknown_codec_makes_no_garbage(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For DataJoint's own collector all arrays are garbage then."""
    from datajoint import gc
    from datajoint.builtin_codecs.npy import NpyCodec

    from schemas import behavior

    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("unknown")

    monkeypatch.setattr(NpyCodec, "referenced_paths", fail)
    theirs = gc.GarbageCollector(behavior.schema, store="vbn").collect()
    assert len(theirs["orphaned_schema_paths"]) > 5
    assert stored.json("gc", "--older-than", "0s")["files"] == {}


def test_a_scan_that_fails_is_a_refusal(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be read; a lost file; a lost store."""
    from datajoint import gc

    everything = stored.stored_files()

    def walk(fs: Any, path: str, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", path)

    leave_file(stored)
    with monkeypatch.context() as patch:
        file_system = gc.get_store_backend("vbn").fs
        patch.setattr(type(file_system), "walk", walk)
        refused = stored.call("gc", "--go", "--max-share", "100", check=False)
    assert refused.returncode == 1
    assert "Permission denied" in refused.stderr
    assert "Nothing was moved" in refused.stderr
    assert stored.stored_files() > everything

    lost = stored.store / min(everything)
    content = lost.read_bytes()
    lost.unlink()
    refused = stored.call("gc", "--go", "--max-share", "100", check=False)
    assert refused.returncode == 1
    assert f"1 arrays that rows refer to are not in the store {stored.store}" in refused.stderr
    lost.write_bytes(content)

    moved = stored.store.rename(stored.store.with_name("moved"))
    try:
        refused = stored.call("gc", check=False)
        assert refused.returncode == 1
        assert f"The array store {stored.store} does not exist" in refused.stderr
    finally:
        moved.rename(stored.store)


def test_an_age_that_is_none_is_explained(stored: Any) -> None:
    refused = stored.call("gc", "--older-than", "3 weeks", check=False)
    assert refused.returncode == 2
    assert "Examples: 30d, 12h" in refused.stderr
