"""What may lie in a folder of backups, and what becomes of it: several backups, others' files, forgeries."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from populate.admin.backup import mysql, rotation
from populate.admin.backup.files import read_journal
from populate.admin.backup.folders import being_read, using
from populate.admin.backup.manifest import generations, read_manifest
from tests.fixtures.bucket import Bucket
from vbn.errors import ConflictError, InvalidContentError, NotFoundError

pytestmark = [pytest.mark.files, pytest.mark.slow]

HASH = "0" * 64
MANIFEST: dict[str, Any] = {
    "format": 2, "made_at": "2026-05-01T00:00:00+00:00", "vbn_version": "1", "backend": "postgresql",
    "server_version": "18", "prefix": "vbn_", "dump": "database-20260501T000000000000Z.pgdump",
    "dump_file": {"size_bytes": 1, "sha256": HASH}, "store": "/store", "store_id": "x", "has_arrays": True,
    "files": {"_schema/vbn_behavior/a.npy": {"size_bytes": 1, "sha256": HASH}},
    "checksums": {"session.mouse": HASH}, "schemas": ["vbn_session"],
}  # fmt: skip
FORGED: dict[str, Any] = {
    "out of the backup": {"files": {"../../etc/passwd": {"size_bytes": 1, "sha256": HASH}}},
    "absolute": {"files": {"/etc/passwd": {"size_bytes": 1, "sha256": HASH}}},
    "in between": {"files": {"_schema/../../x": {"size_bytes": 1, "sha256": HASH}}},
    "the store's identity": {"files": {"_identity/vbn_.json": {"size_bytes": 1, "sha256": HASH}}},
    "no name": {"files": {"": {"size_bytes": 1, "sha256": HASH}}},
    "a dump elsewhere": {"dump": "../database-20260501T000000000000Z.pgdump"},
    "a dump of another name": {"dump": "/dev/stdin"},
    "a size that is none": {"dump_file": {"size_bytes": -1, "sha256": HASH}},
    "a hash that is none": {"dump_file": {"size_bytes": 1, "sha256": "x"}},
    "a time that is none": {"made_at": "yesterday"},
    "a later format": {"format": 3},
    "a list of files": {"files": ["a"]},
    "a number for a text": {"prefix": 1},
    "an unknown field": {"new": 1},
    "a schema of the server": {"schemas": ["public"]},
    "a quoted schema": {"schemas": ["a`; DROP DATABASE b"]},
    "files without arrays": {"has_arrays": False},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_manifest_is_refused(tmp_path: Path, what: str) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert read_manifest(tmp_path).prefix == "vbn_"
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST | FORGED[what]))
    with pytest.raises(InvalidContentError, match=r"Use another backup|Update vbn-datajoint"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", '{"format": 2, "fi', "[" * 100_000, "[]", "null", "\xff"])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin1"))
    with pytest.raises(InvalidContentError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_manifest_of_the_first_format_is_read_and_a_forged_journal_names_nothing_outside(
    tmp_path: Path,
) -> None:
    first = {name: value for name, value in MANIFEST.items() if name not in ("schemas", "store_id")}
    (tmp_path / "manifest.json").write_text(json.dumps({**first, "format": 1}))
    assert read_manifest(tmp_path).schemas[0] == "vbn_session"
    lines = [["a/b.npy", 1, HASH], ["../x", 1, HASH], ["a", "1", HASH], 3, ["c", 1]]
    (tmp_path / "copied.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n["d", 1')
    assert set(read_journal(tmp_path)) == {"a/b.npy"}


def test_a_folder_has_one_writer_or_readers(tmp_path: Path) -> None:
    with using(tmp_path), pytest.raises(ConflictError, match="Another vbn backup"), using(tmp_path):
        pass
    with using(tmp_path), pytest.raises(ConflictError, match="is writing"), being_read(tmp_path):
        pass
    with (
        being_read(tmp_path),
        being_read(tmp_path),
        pytest.raises(ConflictError, match="it is read"),
        using(tmp_path),
    ):
        pass


def test_other_names_in_a_dump_are_in_its_statements_only(tmp_path: Path) -> None:
    """And a dump that would write into another schema than the manifest names is refused before it does."""
    names = {"vbn_session": "drill_session", "ann": "drill_ann"}
    dump = [
        b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `vbn_session` /*!40100 DEFAULT */;\n",
        b"USE `ann`;\n",
        b"  CONSTRAINT `a` FOREIGN KEY (`b`, `c`) REFERENCES `vbn_session`.`mouse` (`b`, `c`)\n",
        b"  `b` text COMMENT 'REFERENCES `vbn_session`.`x`'\n",
        b"INSERT INTO `note` VALUES ('\\nUSE `vbn_session`;\\n  CONSTRAINT `vbn_session`.');\n",
    ]
    changed = list(mysql._renamed(dump, names, tmp_path))
    assert changed[:3] == [
        dump[0].replace(b"vbn_", b"drill_"), b"USE `drill_ann`;\n", dump[2].replace(b"vbn_", b"drill_"),
    ]  # fmt: skip
    assert changed[3:] == dump[3:]
    for line in (b"USE `prod_session`;\n", b"USE prod_session;\n", b"CREATE DATABASE `mysql`;\n"):
        with pytest.raises(ConflictError, match="a schema that the backup should not have"):
            list(mysql._renamed([line], names, tmp_path))


@pytest.fixture(scope="module")
def small(make_database: Callable[..., Any], synthetic_files: list[Path]) -> Any:
    """One session, with its running."""
    database = make_database()
    database.call("register", synthetic_files[0])
    database.call("populate", "--table", "Running")
    return database


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_last_backups_are_kept_and_nothing_else_is_removed(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "daily"

    def back_up(*options: str, keep: int = 2, **how: Any) -> Any:
        return small.call("backup", folder, "--keep", keep, *options, **how)

    first = Path(small.json("backup", folder, "--keep", 2)["folder"])
    back_up()
    array = min(read_manifest(first).files)
    second = generations(folder)[-1]
    assert (first / "store" / array).samefile(second / "store" / array)
    back_up()
    third = generations(folder)[-1]
    assert generations(folder) == [second, third]
    assert small.call("restore", second, "--check").returncode == 0

    # A backup that fails removes none, not even to make room; one without arrays replaces none with them.
    with monkeypatch.context() as patch:
        patch.setattr(
            "populate.admin.backup.postgres.stream_out",
            lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")),
        )
        failed = back_up(keep=1, check=False)
        assert failed.returncode == 1
        assert "No space left on device. What was copied stays" in failed.stderr
    lacking = back_up("--without-arrays", keep=1)
    assert "lacks the arrays" in lacking.stderr
    assert generations(folder)[:2] == [second, third]
    found = small.call("restore", generations(folder)[-1], "--check", check=False)
    assert (found.returncode, "complete, but has no arrays" in found.stdout) == (1, True)
    refused = small.call("backup", "--check", folder, check=False)
    assert (refused.returncode, "lacks the arrays" in refused.stderr) == (1, True)
    shutil.rmtree(generations(folder)[-1])

    # What is damaged is no backup and counts for none; what somebody put there stays, with its backup.
    (second / "letter.txt").write_text("Dear")
    (folder / "20200101T000000000000Z").mkdir()
    (folder / "20200101T000000000000Z" / "manifest.json").write_text(json.dumps(MANIFEST))
    shutil.copytree(third, folder / "20200102T000000000000Z")
    (third / read_manifest(third).dump).write_bytes(b"")
    (folder / "notes.txt").write_text("Mine")
    shown = back_up(keep=1).stderr
    assert f"{third} is not counted, and stays: it is damaged" in shown
    assert "20200101T000000000000Z is not counted, and stays: it is of another database" in shown
    assert "20200102T000000000000Z is not counted, and stays: it is of another" in shown
    assert f"{second} is not counted, and stays: it holds files that are not of a backup: letter.txt" in shown
    newest = generations(folder)[-1]
    assert {second.name, third.name, newest.name, "notes.txt", "lock"} <= names_in(folder)

    # A reader keeps what it reads; a removal that was interrupted is finished, a killed backup gets its name.
    (second / "letter.txt").unlink()
    with being_read(second):
        assert f"{second} is not counted, and stays: it is being read" in back_up(keep=1).stderr
    newest = generations(folder)[-1]
    newest.rename(folder / rotation.UNFINISHED)
    second.rename(folder / f"{second.name}.removed")
    back_up(keep=2)
    assert newest in generations(folder)
    assert not (folder / f"{second.name}.removed").exists()

    for words in (("backup", folder), ("restore", folder)):
        refused = small.call(*words, check=False)
        assert refused.returncode == 1
        assert "backups" in refused.stderr
    single = tmp_path / "single"
    small.call("backup", single)
    refused = small.call("backup", single, "--keep", 3, check=False)
    assert "holds a single backup" in refused.stderr


def dated(backup: Path, days_ago: int) -> Path:
    """Return a backup as if it had been made so many days ago."""
    manifest = json.loads((backup / "manifest.json").read_text())
    made_at = datetime.fromisoformat(manifest["made_at"]) - timedelta(days=days_ago)
    old = backup.rename(backup.with_name(f"{made_at:%Y%m%dT%H%M%S%fZ}"))
    dump = manifest["dump"].replace(backup.name, old.name)
    (old / manifest["dump"]).rename(old / dump)
    (old / "manifest.json").write_text(json.dumps({**manifest, "made_at": made_at.isoformat(), "dump": dump}))
    return old


def test_young_backups_are_kept_however_many_and_old_ones_only_if_among_the_last(
    small: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "daily"

    def back_up(*options: object) -> Path:
        return Path(small.json("backup", folder, *options)["folder"])

    old, middle, young = (dated(back_up("--keep", 9), days) for days in (40, 31, 29))
    new = back_up("--keep", 3, "--keep-within", "29d")
    assert generations(folder) == [middle, young, new]
    assert not old.exists()
    newer = back_up("--keep-within", "30d")
    assert generations(folder) == [young, new, newer]
    newer = dated(newer, 1)
    last = back_up("--keep-within", "0d")  # the newest may hold a mistake: the last three always stay
    assert generations(folder) == [newer, new, last]
    endless = small.call("backup", folder, "--keep-within", "9999999999d", check=False)
    assert (endless.returncode, "longer than any age" in endless.stderr) == (2, True)
    refused = small.call("backup", "--check", folder, "--keep-within", "1d", check=False)
    assert (refused.returncode, "--keep-within" in refused.stderr) == (2, True)


def test_files_of_others_in_a_backup_survive_the_next(small: Any, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    small.call("backup", folder)
    theirs = [folder / "database-notes.txt", folder / "store" / "theirs.npy", folder / "store" / ".hidden"]
    for path in theirs:
        path.write_text("theirs")
    small.call("backup", folder)
    assert all(path.read_text() == "theirs" for path in theirs)
    refused = small.call("backup", folder, "--without-arrays", check=False)
    assert "which one without them would replace" in refused.stderr

    (tmp_path / "theirs").mkdir()
    for name in ("lock", "store", "database-1"):
        (tmp_path / "theirs" / name).write_text("")
    refused = small.call("backup", tmp_path / "theirs", check=False)
    assert "holds files that are not a backup of ours" in refused.stderr


def test_a_link_in_a_backup_leads_nowhere(small: Any, tmp_path: Path) -> None:
    """With the right content, too: a forged backup would copy any file of this machine into the store."""
    folder = tmp_path / "backup"
    small.call("backup", folder)
    array = folder / "store" / min(read_manifest(folder).files)
    array.rename(tmp_path / "secret")
    array.symlink_to(tmp_path / "secret")
    found = small.call("restore", folder, "--check", check=False)
    assert (found.returncode, "is a link that leads out of it" in found.stderr) == (1, True)


LOSES_THE_BUCKET = """
import sys
from populate.admin.backup import files
from populate.admin.backup.stored_files import StoredFiles
from schemas.server.stores import opened_store
copy = files.copy_file

def copied(*arguments):
    done = copy(*arguments)
    opened_store("vbn").fs.rm("lab/arrays", recursive=True)
    return done

files.copy_file = copied
from populate.cli import main
main(sys.argv[1:])
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_in_a_bucket_are_saved_and_come_back(
    database: Any, synthetic_files: list[Path], bucket: Bucket, tmp_path: Path
) -> None:
    def vbn(*words: object, **options: Any) -> Any:
        return database.vbn(*words, env=bucket.settings, **options)

    vbn("deploy", "--claim-store")
    vbn("register", synthetic_files[0])
    vbn("populate", "--table", "Running")
    vbn("backup", tmp_path / "backup")
    objects, saved = bucket.keys("_schema"), read_manifest(tmp_path / "backup")
    assert {f"arrays/{path}" for path in saved.files} == set(objects)
    assert saved.has_arrays
    sums = vbn("checksum", "--json").stdout

    body = bucket.client.get_object(Bucket=bucket.name, Key=objects[0])["Body"].read()
    bucket.client.delete_object(Bucket=bucket.name, Key=objects[0])
    refused = vbn("backup", tmp_path / "lost", check=False)
    assert refused.returncode == 1
    assert f"{objects[0].removeprefix('arrays/')}, which is not in the store s3://lab" in refused.stderr
    bucket.client.put_object(Bucket=bucket.name, Key=objects[0], Body=body)
    with database.start(
        "backup", tmp_path / "gone", program=("-c", LOSES_THE_BUCKET), env=bucket.settings
    ) as process:
        output = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "The array store s3://lab is not the one of this database" in output[1]
    for name in ("lost", "gone"):
        with pytest.raises(NotFoundError):
            read_manifest(tmp_path / name)
    assert not bucket.keys()

    for name in database.server.query("SELECT schema_name FROM information_schema.schemata"):
        if name[0].startswith(database.prefix):
            database.server.query(f'DROP SCHEMA "{name[0]}" CASCADE')
    vbn("restore", tmp_path / "backup")
    assert bucket.keys("_schema") == objects
    assert vbn("checksum", "--json").stdout == sums
