"""AllenSDK's cache folder, as it is."""

from __future__ import annotations

import json

from vbn.release import content_hash, find_caches
from vbn.release.cache import Record
from vbn.whole_files import write_whole

PROJECT = "visual-behavior-neuropixels"


def test_a_cache_is_found_from_its_top_and_from_a_versions_folder(cached):
    for folder in (cached.folder, cached.data_folder):
        (cache,) = find_caches(folder)
        assert cache.data_folder == cached.data_folder
        assert cache.manifest.version == "0.5.0"
        assert (cache.metadata_folder / "ecephys_sessions.csv").is_file()
        assert len(cache.files()) == 7


def test_a_copy_of_the_bucket_is_a_cache_without_a_version_in_its_name(bucket):
    (cache,) = find_caches(bucket.folder)
    assert cache.data_folder.name == PROJECT


def test_only_files_that_are_there_are_listed(cached):
    (cached.data_folder / "behavior_ecephys_sessions/101/ecephys_session_101.nwb").unlink()
    (cache,) = find_caches(cached.folder)
    assert len(cache.files()) == 6
    lfp = [file.named.probe_name for file in cache.files() if file.named and file.named.kind == "lfp"]
    assert lfp == ["probeA", "probeC"]


def test_allensdks_record_vouches_for_files(cached):
    (cache,) = find_caches(cached.folder)
    assert not any(file.is_recorded for file in cache.files())
    first, second = cache.files()[:2]
    record = {str(first.path.resolve()): first.file.blake2b, str(second.path.resolve()): "0" * 128}
    (cached.folder / "_downloaded_data.json").write_text(json.dumps(record))
    assert [file.is_recorded for file in cache.files()][:2] == [True, False]


def test_versions_come_oldest_first_and_only_if_their_folder_is_there(cached, write_small_release):
    write_small_release(cached.folder, "0.10.0", layout="cache", bytes_each=10)
    lonely = cached.manifest_path.with_name(f"{PROJECT}_project_manifest_v0.4.0.json")
    lonely.write_text(cached.manifest_path.read_text().replace('"0.5.0"', '"0.4.0"'))
    assert [cache.manifest.version for cache in find_caches(cached.folder)] == ["0.5.0", "0.10.0"]


def test_any_other_folder_holds_no_cache(tmp_path):
    assert find_caches(tmp_path) == []


def test_a_damaged_record_is_an_empty_one(tmp_path):
    for content in ("{", "[]", "3"):
        (tmp_path / "_downloaded_data.json").write_text(content)
        assert Record(tmp_path).read() == {}
    Record(tmp_path).add(tmp_path / "f", "00")
    assert Record(tmp_path).read() == {str(tmp_path / "f"): "00"}


def test_a_record_that_cannot_be_written_is_no_failure(tmp_path):
    (tmp_path / "_downloaded_data.json").mkdir()
    Record(tmp_path).add(tmp_path / "f", "00")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_downloaded_data.json"]


def test_the_hash_is_blake2b_of_64_bytes(tmp_path):
    """The value for the empty text is that of RFC 7693's reference (blake2b-512)."""
    write_whole(tmp_path / "new" / "empty", b"")
    assert content_hash(tmp_path / "new" / "empty") == (
        "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419"
        "d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce"
    )
