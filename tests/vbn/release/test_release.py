"""A release, from its tables to AllenSDK's cache folder on this disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vbn.errors import ConflictError, NotFoundError, NotReadableError
from vbn.release import Release, Selection, find_caches
from vbn.web.client import Patience

QUICK = Patience(tries=3, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)
PROJECT = "visual-behavior-neuropixels"


@pytest.fixture
def site_of_release(bucket, make_site):
    return make_site(bucket.folder)


@pytest.fixture
def release(site_of_release, tmp_path):
    return Release(site_of_release.url, tmp_path / "allen", patience=QUICK)


def targets(release, *arguments, **options):
    return [job.target.name for job in release.plan(*arguments, **options)]


def test_what_is_planned_is_what_was_chosen(release):
    one = Selection(sessions=(101,))
    assert targets(release, one) == ["ecephys_session_101.nwb"]
    assert targets(release, one, files=False, lfp=True) == ["probe_probeA_lfp.nwb", "probe_probeC_lfp.nwb"]
    assert len(targets(release, one, lfp=True)) == 3
    assert len(targets(release)) == 3
    assert sorted(targets(release, files=False, tables=True)) == [
        "behavior_sessions.csv", "channels.csv", "ecephys_sessions.csv", "probes.csv", "units.csv",
    ]  # fmt: skip
    assert targets(release, Selection(sessions=(204,)), lfp=True) == ["behavior_session_204.nwb"]


def test_a_plan_says_where_how_long_and_what(release, bucket, tmp_path):
    (job,) = [
        job for job in release.plan(Selection(sessions=(101,)), files=False, lfp=True) if "probeC" in job.url
    ]
    assert (
        job.target == tmp_path / f"allen/{PROJECT}-0.5.0/behavior_ecephys_sessions/101/probe_probeC_lfp.nwb"
    )
    assert job.size_bytes == len(bucket.content("1"))


def test_a_download_is_allensdks_cache_folder(release, bucket, tmp_path):
    results = release.download(release.plan(lfp=True, tables=True))
    assert {result.status for result in results} == {
        "present",
        "downloaded",
    }  # three tables were needed before
    folder = tmp_path / "allen"
    for path in bucket.data_folder.rglob("*.*"):
        if "manifests" not in path.parts and "behavior_only" not in str(path):
            copy = folder / f"{PROJECT}-0.5.0" / path.relative_to(bucket.data_folder)
            assert copy.read_bytes() == path.read_bytes()
    assert (folder / bucket.manifest_path.name).read_bytes() == bucket.manifest_path.read_bytes()
    (cache,) = find_caches(folder)
    assert [file.path.name for file in cache.files()] == [
        "ecephys_session_101.nwb",
        "probe_probeA_lfp.nwb",
        "probe_probeC_lfp.nwb",
        "ecephys_session_102.nwb",
        "ecephys_session_103.nwb",
    ]
    assert all(file.is_recorded for file in cache.files())
    record = json.loads((folder / "_downloaded_data.json").read_text())
    assert len(record) == len(results)
    assert not list(folder.rglob("*.part*"))


def test_a_second_download_asks_for_nothing_that_is_there(release, site_of_release, tmp_path):
    release.download(release.plan(tables=True))
    again = Release(site_of_release.url, tmp_path / "allen", patience=QUICK)
    before = len(site_of_release.requests)
    assert {result.status for result in again.download(again.plan(tables=True))} == {"present"}
    asked = [request.path for request in site_of_release.requests[before:]]
    assert not [path for path in asked if path.endswith((".nwb", ".csv"))]


def test_tables_are_kept_and_a_damaged_one_is_replaced(release, site_of_release, tmp_path):
    path = release.table_path("probes")
    asked = len(site_of_release.requests)
    assert release.table("probes")["ecephys_probe_id"].tolist() == [11, 12, 13, 14]
    assert len(site_of_release.requests) == asked
    path.write_text("damaged")
    assert len(release.table("probes")) == 4


def test_a_table_whose_hash_is_wrong_is_asked_for_once_more_and_refused(release, site_of_release, fault):
    assert release.manifest
    site_of_release.faults.append(fault("corrupt"))
    assert len(release.table("probes")) == 4
    site_of_release.faults.extend([fault("corrupt")] * 2)
    with pytest.raises(NotReadableError, match="not what the manifest says"):
        release.table("units")


def test_an_unknown_table_is_refused_with_those_that_are_there(release):
    with pytest.raises(NotFoundError, match=r"no table 'mice', but .*probes"):
        release.table("mice")


def test_a_session_without_a_file_is_named(release):
    with pytest.raises(NotFoundError, match="no file of session 206"):
        release.plan(Selection(sessions=(206,)))


def test_a_file_that_the_mirror_lacks_is_named(release, bucket):
    (bucket.data_folder / "behavior_ecephys_sessions/101/ecephys_session_101.nwb").unlink()
    with pytest.raises(NotReadableError, match=r"ecephys_session_101.nwb: there is no such file"):
        release.plan()


def test_a_release_in_a_folder_is_used_where_it_is(bucket, cached):
    for given in (bucket, cached):
        release = Release(given.folder)
        results = release.download(release.plan(tables=True, lfp=True))
        assert {result.status for result in results} == {"present"}
        assert results[-1].download.target.is_relative_to(given.data_folder)
        assert not list(given.folder.rglob("*.part*"))


def test_a_release_in_a_folder_can_be_copied(bucket, tmp_path):
    release = Release(bucket.folder, tmp_path / "allen")
    results = release.download(release.plan(Selection(mice=("530862",))))
    assert [result.status for result in results] == ["downloaded"]
    assert results[0].download.target.read_bytes() == bucket.content("872")


def test_versions_lie_side_by_side(bucket, write_small_release, tmp_path):
    write_small_release(bucket.folder, "0.4.0", bytes_each=10)
    for version in ("0.4.0", None):
        release = Release(bucket.folder, tmp_path / "allen", version=version)
        (tmp_path / "allen").mkdir(exist_ok=True)
        if version is None:
            release.download(release.plan(Selection(sessions=(101,))))
    names = sorted(path.name for path in (tmp_path / "allen").iterdir() if path.is_dir())
    assert names == [f"{PROJECT}-0.5.0"]


def test_another_manifest_of_the_same_version_is_a_conflict(release, tmp_path):
    content = release.place.content()
    (tmp_path / "allen").mkdir()
    other = json.loads(content)
    other["data_files"]["870"]["file_hash"] = "0" * 128
    (tmp_path / "allen" / release.place.name).write_text(json.dumps(other))
    with pytest.raises(ConflictError, match="lists other files"):
        release.download([])


def test_a_manifest_with_other_urls_for_the_same_files_is_kept(release, tmp_path):
    (tmp_path / "allen").mkdir()
    path = tmp_path / "allen" / release.place.name
    text = release.place.content().decode().replace("us-west-2", "us-east-1")
    path.write_text(text)
    release.download([])
    assert path.read_text() == text


def test_a_release_on_the_web_needs_a_cache_folder():
    with pytest.raises(ValueError, match="cache_folder"):
        Release("https://example.org")


def test_nothing_is_asked_for_before_it_is_needed(tmp_path):
    release = Release("http://127.0.0.1:9", tmp_path, patience=QUICK)
    assert isinstance(release, Release)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotReadableError):
        _ = release.manifest


def test_a_download_recovers_from_all_that_can_happen(release, site_of_release, fault, tmp_path):
    """Broken, overloaded, wrong and ignored ranges, one after another, in the middle of a download."""
    plan = release.plan(lfp=True)
    release = Release(site_of_release.url, tmp_path / "allen", patience=replace(QUICK, tries=10))
    kinds = ["drop", "status", "shift", "ignore_ranges", "short", "drop", "status", "drop"] * 2
    site_of_release.faults.extend(fault(kind) for kind in kinds)
    results = release.download(plan, workers=3)
    assert {result.status for result in results} == {"downloaded"}
    assert not list(Path(tmp_path / "allen").rglob("*.part*"))
