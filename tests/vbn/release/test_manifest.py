"""Reading manifests: AllenSDK's format, and nothing that would leave the cache folder."""

from __future__ import annotations

import copy
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.errors import InvalidContentError, NotReadableError
from vbn.release import Manifest, version_key, version_of

URL = "https://visual-behavior-neuropixels-data.s3.us-west-2.amazonaws.com/visual-behavior-neuropixels/"
ENTRY = {
    "url": URL + "behavior_ecephys_sessions/1/ecephys_session_1.nwb",
    "version_id": "abc",
    "file_hash": "0f" * 64,
}
CONTENT = {
    "project_name": "visual-behavior-neuropixels",
    "manifest_version": "0.5.0",
    "data_pipeline": [{"name": "AllenSDK", "version": "2.16.2"}],
    "metadata_file_id_column_name": "file_id",
    "metadata_files": {},
    "data_files": {"870": ENTRY},
}


def with_url(url: object) -> str:
    content = copy.deepcopy(CONTENT)
    content["data_files"]["870"]["url"] = url
    return json.dumps(content)


def test_a_manifest_is_read_from_path_text_and_bytes(bucket):
    text = bucket.manifest_path.read_text()
    read = [
        Manifest.read(source)
        for source in (bucket.manifest_path, str(bucket.manifest_path), text, text.encode())
    ]
    assert all(manifest == read[0] for manifest in read)
    assert (read[0].project, read[0].version) == ("visual-behavior-neuropixels", "0.5.0")
    assert read[0].folder_name == "visual-behavior-neuropixels-0.5.0"
    assert read[0].file_id_column == "file_id"
    assert read[0].pipeline == {"AllenSDK": "2.16.2"}
    assert sorted(read[0].metadata_files) == [
        "behavior_sessions",
        "channels",
        "ecephys_sessions",
        "probes",
        "units",
    ]
    assert read[0].data_files["1"].relative_path == "behavior_ecephys_sessions/101/probe_probeC_lfp.nwb"


def test_what_the_pipeline_is_may_be_free_text():
    assert Manifest.read(json.dumps({**CONTENT, "data_pipeline": "placeholder"})).pipeline == {}


def test_hashes_are_compared_in_small_letters():
    content = json.dumps(CONTENT).replace("0f" * 64, "0F" * 64)
    assert Manifest.read(content).data_files["870"].blake2b == "0f" * 64


@pytest.mark.parametrize(
    "url",
    [
        URL + "behavior_ecephys_sessions/1/f.nwb",
        "http://localhost:80/visual-behavior-neuropixels/behavior_ecephys_sessions/1/f.nwb",
        "http://localhost/mirror/visual-behavior-neuropixels/behavior_ecephys_sessions/1/f.nwb?versionId=1",
        "http://localhost/behavior_ecephys_sessions/1/f.nwb",
        "http://localhost/another-project/behavior_ecephys_sessions/1/f.nwb",
    ],
)
def test_the_place_of_a_file_does_not_depend_on_where_the_mirror_has_it(url):
    assert Manifest.read(with_url(url)).data_files["870"].relative_path == "behavior_ecephys_sessions/1/f.nwb"


@pytest.mark.parametrize(
    "url",
    [
        URL + "../../../etc/passwd",
        URL + "a/../b.nwb",
        URL + "a//b.nwb",
        URL + "..\\..\\b.nwb",
        URL + "C:/b.nwb",
        URL + "a\x00b.nwb",
        URL,
        "https://host/visual-behavior-neuropixels",
        "",
        None,
        5,
    ],
)
def test_files_outside_of_the_release_are_refused(url):
    with pytest.raises(InvalidContentError, match="file '870' has"):
        Manifest.read(with_url(url))


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\\b"])
def test_a_project_or_version_that_is_no_folder_is_refused(name):
    for key in ("project_name", "manifest_version"):
        if (key, name) != ("manifest_version", ".."):
            with pytest.raises(InvalidContentError, match="no project and version"):
                Manifest.read(json.dumps({**CONTENT, key: name}))


@pytest.mark.parametrize("key", [key for key in CONTENT if key != "data_pipeline"])
def test_a_part_that_is_missing_is_named(key):
    content = {name: value for name, value in CONTENT.items() if name != key}
    with pytest.raises(InvalidContentError, match=f"no {key}"):
        Manifest.read(json.dumps(content), "m.json")


@pytest.mark.parametrize("content", ["{", "{]}", b"\xff\xfe", b"[]", b"3", b""])
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(InvalidContentError, match=r"^m.json: the manifest is no JSON"):
        Manifest.read(content, "m.json")


@pytest.mark.parametrize("value", ["", None, "xyz", "0" * 127, 12])
def test_a_file_without_a_hash_is_refused(value):
    content = copy.deepcopy(CONTENT)
    content["data_files"]["870"]["file_hash"] = value
    with pytest.raises(InvalidContentError, match="no blake2b hash"):
        Manifest.read(json.dumps(content))


def test_an_absent_manifest_is_named(tmp_path):
    with pytest.raises(NotReadableError, match="cannot be read"):
        Manifest.read(tmp_path / "none.json")


def test_the_version_stands_in_the_name():
    assert version_of("visual-behavior-neuropixels_project_manifest_v0.5.0.json") == "0.5.0"
    assert version_of("visual-behavior-neuropixels_project_manifest_v1.0.0-rc.1.json") == "1.0.0-rc.1"
    for name in (
        "manifest.json",
        "a_manifest_v.json",
        "a_manifest_v0.5.0.json.part",
        "a_manifest_v0.5.0.txt",
    ):
        assert version_of(name) is None


@given(
    st.permutations(
        ["0.1.0", "0.2.0", "0.10.0", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "10.0.0"]
    )
)
def test_versions_are_sorted_as_semantic_versions(versions):
    """The order of semver.org, 11: numbers as numbers, a version after its own candidates."""
    assert sorted(versions, key=version_key) == [
        "0.1.0", "0.2.0", "0.10.0", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "10.0.0",
    ]  # fmt: skip


def test_any_damage_to_a_manifest_is_an_error_of_ours(bucket):
    """Cut, swapped and changed bytes: read, or refused by name; never another exception."""
    content = bucket.manifest_path.read_bytes()
    rng = random.Random(3)
    for _ in range(300):
        damaged = bytearray(content[: rng.randrange(len(content))] if rng.random() < 0.3 else content)
        for _ in range(rng.randrange(1, 4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            found = Manifest.read(bytes(damaged))
        except InvalidContentError:
            continue
        assert all(".." not in file.relative_path.split("/") for file in found.data_files.values())
