"""``vbn register --release``: sessions of a release on a web server, of which nothing is downloaded."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.files

PROJECT, VERSION = "visual-behavior-neuropixels", "0.5.0"
MANIFEST = f"manifests/{PROJECT}_project_manifest_v{VERSION}.json"
FIRST, SECOND = 9000000001, 9000000002
PROBES = (
    "ecephys_probe_id,ecephys_session_id,name,sampling_rate,lfp_sampling_rate,phase,has_lfp_data,unit_count,"
    "channel_count,structure_acronyms,file_id\n"
)
SMALL = ("Licks", "Running", "TaskParameters")


@pytest.fixture
def bucket(synthetic_release: Path, tmp_path: Path) -> Path:
    """The synthetic recordings, laid out as the public bucket is, with a manifest."""
    data = tmp_path / "bucket" / PROJECT
    shutil.copytree(synthetic_release, data)
    (data / "project_metadata" / "probes.csv").write_text(PROBES)
    tables = sorted((data / "project_metadata").glob("*.csv"))
    sessions = pd.read_csv(data / "project_metadata" / "ecephys_sessions.csv")
    files = {
        str(int(row.file_id)): f"behavior_ecephys_sessions/{row.ecephys_session_id}/"
        f"ecephys_session_{row.ecephys_session_id}.nwb"
        for row in sessions.itertuples()
    }
    (data / "manifests").mkdir()
    write_manifest(data, {path.stem: f"project_metadata/{path.name}" for path in tables}, files)
    return tmp_path / "bucket"


def write_manifest(data: Path, tables: dict[str, str], files: dict[str, str]) -> None:
    def entry(path: str) -> dict[str, str]:
        digest = hashlib.blake2b((data / path).read_bytes()).hexdigest()
        url = f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/{PROJECT}/{path}"
        return {"url": url, "version_id": "abc", "file_hash": digest}

    manifest = {
        "project_name": PROJECT,
        "manifest_version": VERSION,
        "data_pipeline": [],
        "metadata_file_id_column_name": "file_id",
        "metadata_files": {name: entry(path) for name, path in tables.items()},
        "data_files": {key: entry(path) for key, path in files.items()},
    }
    (data / MANIFEST).write_text(json.dumps(manifest))


def changed_manifest(bucket: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = bucket / PROJECT / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def site(bucket: Path, serve: Callable[[Path], Any]) -> Any:
    return serve(bucket)


@pytest.fixture
def database(empty_database: Any) -> Any:
    shutil.rmtree(empty_database.server.home / "release", ignore_errors=True)
    return empty_database


def register(database: Any, site: Any, *words: object) -> list[dict[str, Any]]:
    done = database.call(
        "register", "--release", VERSION, "--from-url", site.url, *words, "--json", check=False
    )
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_sessions_are_those_of_the_downloaded_files_and_nothing_is_kept(
    database: Any, site: Any, synthetic_release: Path
) -> None:
    outcomes = register(database, site)
    assert {(each["session_id"], each["status"]) for each in outcomes} == {
        (FIRST, "registered"), (SECOND, "registered"),
    }  # fmt: skip
    from schemas import session

    database.connect()
    rows = session.NwbFile.to_dicts(order_by="session_id")
    files = sorted(synthetic_release.rglob("ecephys_session_*.nwb"))
    hashes = [hashlib.blake2b(path.read_bytes()).hexdigest() for path in files]
    assert [row["blake2b"] for row in rows] == hashes
    assert [row["root"] for row in rows] == ["web", "web"]
    levels = session.Session.to_arrays("experience_level", order_by="session_id").tolist()
    assert levels == ["Familiar", "Novel"]  # of the tables
    done = database.vbn("populate", *(f"--table={name}" for name in SMALL))
    assert "6 entries made, 0 failed.\nRead from the web: " in done.stdout
    moved = float(done.stdout.partition("from the web: ")[2].split(" MB")[0])
    assert moved > 0
    assert not list(database.server.home.rglob("*.nwb"))
    # Downloaded later, the files are the same ones, and nothing is stale.
    again = database.json_lines("register", synthetic_release, check=False)
    recordings = [each["status"] for each in again if "ecephys_session_" in each["path"]]
    assert recordings == ["unchanged", "unchanged"]
    assert database.json("stale") == []


def test_chosen_sessions_only_and_again_they_are_unchanged(database: Any, site: Any) -> None:
    assert [each["session_id"] for each in register(database, site, "--session", SECOND)] == [SECOND]
    statuses = {each["session_id"]: each["status"] for each in register(database, site)}
    assert statuses == {FIRST: "registered", SECOND: "unchanged"}
    asked = database.call(
        "register", "--release", VERSION, "--from-url", site.url, "--session", "77", check=False
    )
    assert (asked.returncode, "77" in asked.stderr) == (1, True)


def test_a_bucket_that_throttles_is_waited_for(database: Any, site: Any, fault: Any) -> None:
    faults = itertools.cycle([fault("status", status=503), None, None, fault("drop")])
    site.fault = lambda _path: next(faults)
    assert [each["status"] for each in register(database, site, "--session", FIRST)] == ["registered"]
    assert site.failures["status"] > 0
    assert site.failures["drop"] > 0


def test_a_table_that_is_not_what_the_manifest_says_is_refused(
    database: Any, site: Any, bucket: Path
) -> None:
    with (bucket / PROJECT / "project_metadata" / "probes.csv").open("a") as table:
        table.write("\n")
    done = database.call("register", "--release", VERSION, "--from-url", site.url, check=False)
    assert done.returncode == 1
    assert "its content is not what the manifest says" in done.stderr
    from schemas import session

    assert not len(session.NwbFile())


def test_another_content_than_the_registered_one_is_refused(
    database: Any, site: Any, bucket: Path, synthetic_files: list[Path]
) -> None:
    """Of the same size, by the manifest's hash."""
    database.call("register", synthetic_files[1])

    def other_hashes(manifest: dict[str, Any]) -> None:
        for entry in manifest["data_files"].values():
            entry["file_hash"] = "0" * 128

    changed_manifest(bucket, other_hashes)
    (outcome,) = register(database, site, "--session", SECOND)
    assert outcome["status"] == "failed"
    assert "with different content" in outcome["message"]


def test_a_mirror_folder_with_another_content_than_its_manifest_says_is_refused(
    database: Any, site: Any, bucket: Path
) -> None:
    """And a manifest that lied is forgotten with its mirror."""

    def other_hashes(manifest: dict[str, Any]) -> None:
        for entry in manifest["data_files"].values():
            entry["file_hash"] = "ab" * 64

    right = json.loads((bucket / PROJECT / MANIFEST).read_text())
    changed_manifest(bucket, other_hashes)
    words = ("register", "--release", VERSION, "--session", SECOND, "--json")
    done = database.call(*words, "--from-url", bucket, check=False)
    assert "its content is not what the manifest says" in json.loads(done.stdout)["message"]
    (bucket / PROJECT / MANIFEST).write_text(json.dumps(right))
    assert json.loads(database.call(*words, "--from-url", site.url).stdout)["status"] == "registered"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "Name files, or --release"),
        (("--release", VERSION, "file.nwb"), "Name files, or --release"),
        (("--release", VERSION, "--project", "mine"), "without tables, mapping or project"),
        (("file.nwb", "--session", "7"), "choose what of --release is registered"),
    ],
)
def test_what_does_not_go_together_is_refused(database: Any, words: tuple[str, ...], problem: str) -> None:
    done = database.call("register", *words, check=False)
    assert (done.returncode, problem in done.stderr) == (2, True)


def test_a_version_that_is_not_there_is_named_with_those_that_are(database: Any, site: Any) -> None:
    done = database.call("register", "--release", "9.9.9", "--from-url", site.url, check=False)
    assert done.returncode == 1
    assert VERSION in done.stderr
