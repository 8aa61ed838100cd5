"""Finding manifests and files: in folders and on servers, in the bucket's and in the cache's layout."""

from __future__ import annotations

import shutil

import pytest

from vbn.errors import NotFoundError, NotReadableError
from vbn.release import Manifest, ManifestPlace, find_manifests
from vbn.release.sources import choose_version
from vbn.web.client import Patience

QUICK = Patience(tries=2, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)
PROJECT = "visual-behavior-neuropixels"
NAME = f"{PROJECT}_project_manifest_v0.5.0.json"


def located(place: ManifestPlace, key: str = "870") -> str:
    manifest = place.read(QUICK)
    return place.file_location(manifest, manifest.data_files[key])


@pytest.mark.parametrize("inside", ["", PROJECT, f"{PROJECT}/manifests/{NAME}"])
def test_a_copy_of_the_bucket_is_known(bucket, inside):
    (place,) = find_manifests(bucket.folder / inside)
    assert (place.version, place.layout) == ("0.5.0", "bucket")
    assert located(place) == str(bucket.data_folder / "behavior_ecephys_sessions/101/ecephys_session_101.nwb")


@pytest.mark.parametrize("inside", ["", f"{PROJECT}-0.5.0", NAME])
def test_the_cache_of_allensdk_is_known(cached, inside):
    (place,) = find_manifests(cached.folder / inside)
    assert (place.version, place.layout) == ("0.5.0", "cache")
    assert located(place) == str(cached.data_folder / "behavior_ecephys_sessions/101/ecephys_session_101.nwb")


@pytest.mark.parametrize(
    "inside", ["", f"/{PROJECT}", f"/{PROJECT}/", f"/{PROJECT}/manifests", f"/{PROJECT}/manifests/{NAME}"]
)
@pytest.mark.parametrize("listing", ["html", "s3"])
def test_a_mirror_is_known_by_pages_of_links_and_by_listings_of_s3(bucket, make_site, listing, inside):
    site = make_site(bucket.folder, listing=listing)
    (place,) = find_manifests(site.url + inside, QUICK)
    assert (place.version, place.layout) == ("0.5.0", "bucket")
    expected = f"{site.url}/{PROJECT}/behavior_ecephys_sessions/101/ecephys_session_101.nwb"
    assert located(place) == expected


def test_a_mirror_that_lists_nothing_is_asked_for_the_known_versions(bucket, make_site):
    site = make_site(bucket.folder, listing="")
    assert [place.version for place in find_manifests(site.url, QUICK)] == ["0.5.0"]


def test_a_cache_on_a_server_is_known(cached, make_site):
    site = make_site(cached.folder)
    (place,) = find_manifests(site.url, QUICK)
    assert place.layout == "cache"
    assert located(place).startswith(f"{site.url}/{PROJECT}-0.5.0/behavior_ecephys_sessions/")


def test_versions_come_oldest_first_from_all_pages_of_a_listing(bucket, make_site, write_small_release):
    for version in ("0.10.0", "0.4.0", "0.3.0"):
        write_small_release(bucket.folder, version, bytes_each=10)
    site = make_site(bucket.folder, listing="s3")
    for source in (bucket.folder, site.url):
        places = find_manifests(source, QUICK)
        assert [place.version for place in places] == ["0.3.0", "0.4.0", "0.5.0", "0.10.0"]
    pages = [request for request in site.requests if "list-type" in request.path]
    assert len(pages) == 2


def test_the_newest_version_is_chosen_unless_another_is_named(bucket, write_small_release):
    write_small_release(bucket.folder, "0.10.0", bytes_each=10)
    places = find_manifests(bucket.folder)
    assert choose_version(places, None).version == "0.10.0"
    assert choose_version(places, "v0.5.0").version == "0.5.0"
    with pytest.raises(NotFoundError, match=r"no version '0.6' .*0\.5\.0, 0\.10\.0"):
        choose_version(places, "0.6")


def test_files_of_the_bucket_are_asked_for_in_the_version_that_the_manifest_names(bucket):
    manifest = Manifest.read(bucket.manifest_path)
    place = ManifestPlace(
        NAME,
        "0.5.0",
        f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/{PROJECT}/manifests/{NAME}",
        "bucket",
    )
    assert place.file_location(manifest, manifest.data_files["870"]) == (
        f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/{PROJECT}/behavior_ecephys_sessions/101/"
        "ecephys_session_101.nwb?versionId=v.53"
    )


def test_a_mirror_with_urls_of_its_own_is_taken_at_its_word(bucket, make_site):
    site = make_site(bucket.folder)
    text = bucket.manifest_path.read_text().replace(
        f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/", f"{site.url}/elsewhere/"
    )
    bucket.manifest_path.write_text(text)
    (place,) = find_manifests(site.url, QUICK)
    assert located(place).startswith(f"{site.url}/elsewhere/{PROJECT}/behavior_ecephys_sessions/")


def test_a_manifest_cannot_send_us_to_another_server_or_a_local_file(bucket, make_site):
    site = make_site(bucket.folder)
    for other in ("http://127.0.0.2:1/", "file:///"):
        text = bucket.manifest_path.read_text().replace(
            f"https://{PROJECT}-data.s3.us-west-2.amazonaws.com/", other
        )
        bucket.manifest_path.write_text(text)
        (place,) = find_manifests(site.url, QUICK)
        assert located(place).startswith(f"{site.url}/{PROJECT}/behavior_ecephys_sessions/")


def test_a_source_without_a_manifest_is_refused(tmp_path, site):
    for source in (tmp_path, site.url):
        with pytest.raises(NotFoundError, match="no manifest"):
            find_manifests(source, QUICK)


def test_a_source_that_is_not_there_is_refused(tmp_path):
    for source in (tmp_path / "none", "http://127.0.0.1:9"):
        with pytest.raises(NotReadableError):
            find_manifests(source, QUICK)


def test_an_overloaded_server_is_not_taken_for_an_empty_one(bucket, make_site, fault):
    site = make_site(bucket.folder, listing="")
    site.fault = lambda _: fault("status")
    with pytest.raises(NotReadableError, match="503"):
        find_manifests(site.url, QUICK)


def test_a_manifest_that_vanishes_is_named(bucket):
    (place,) = find_manifests(bucket.folder)
    shutil.rmtree(bucket.folder)
    with pytest.raises(NotReadableError, match=r"_manifest_v0.5.0.json: it cannot be read"):
        place.read()
