"""Volumes of the CCF from a web server: whole and checked, or not there."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from populate.registration import atlas_files
from populate.registration.atlas_files import (
    ANNOTATION,
    DEPTHS,
    STREAMLINES,
    fetch_annotation,
    fetch_depths,
    fetch_streamlines,
)
from tests.fixtures.nrrd import nrrd
from tests.fixtures.streamlines import FILES, vertical_lines, written
from vbn.anatomy.annotation import SHAPES
from vbn.errors import InvalidContentError, NotReadableError, SettingError

LAYER_5 = 33  # of VISp
SHAPE = SHAPES[100.0]


def published(folder: Path, ids: np.ndarray | None = None) -> Path:
    """Write an annotation at 100 um where the Allen Institute has it."""
    path = folder / ANNOTATION.format(100)
    path.parent.mkdir(parents=True)
    return nrrd(path, np.full(SHAPE, LAYER_5, np.uint32) if ids is None else ids)


@pytest.mark.files
def test_a_volume_is_downloaded_once_and_entered(
    site: Any, empty_database: Any, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBN_HOME", str(empty_database.folder))
    served, folder = published(site.folder), open_folder / "fetched"
    lines = written(site.folder / STREAMLINES, vertical_lines(SHAPE, 100.0))
    fetch = ("atlas", "fetch", "ccf", "--folder", folder, "--resolution", "100", "--source", site.url)
    command = (*fetch, "--streamlines")
    assert empty_database.call(*command).stdout == "Atlas 'ccf': added. Next: vbn populate\n"
    assert (folder / served.name).read_bytes() == served.read_bytes()
    received = site.body_bytes
    assert received < 1.1 * sum(path.stat().st_size for path in (served, *lines)) + 2**20
    assert "exists already" in empty_database.call(*command).stdout
    assert site.body_bytes == received
    assert {path.name for path in folder.iterdir()} == {served.name, *FILES}


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (np.full(SHAPE, 997, np.uint32), "no layer of the isocortex"),
        (np.full(SHAPE, 33.0, np.float32), "ids are whole numbers"),
        (np.arange(np.prod(SHAPE), dtype=np.uint32).reshape(SHAPE), "mirror images"),
        (np.full((5, 5, 5), LAYER_5, np.uint32), "no published volume"),
    ],
    ids=["other", "floats", "asymmetric", "small"],
)
def test_what_is_no_annotation_leaves_nothing_behind(
    site: Any, tmp_path: Path, ids: np.ndarray, problem: str
) -> None:
    path = site.folder / ANNOTATION.format(100)
    path.parent.mkdir(parents=True)
    kind = {"type": "float"} if ids.dtype.kind == "f" else {}
    nrrd(path, ids, **kind)
    with pytest.raises(InvalidContentError, match=problem) as caught:
        fetch_annotation(tmp_path / "fetched", 100, site.url + "/")
    assert caught.value.path == f"{site.url}/{ANNOTATION.format(100)}"
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_source_without_the_volume_is_named(site: Any, tmp_path: Path) -> None:
    with pytest.raises(NotReadableError, match="annotation_25"):
        fetch_annotation(tmp_path, 25, site.url)
    with pytest.raises(NotReadableError, match="laplacian_10"):
        fetch_depths(tmp_path, site.url)
    assert list(tmp_path.glob("*.nrrd")) == []


def test_a_file_that_is_there_and_is_no_volume_stays(site: Any, tmp_path: Path) -> None:
    published(site.folder)
    mine = tmp_path / Path(ANNOTATION.format(100)).name
    mine.write_text("of somebody else")
    with pytest.raises(InvalidContentError, match="neither NRRD"):
        fetch_annotation(tmp_path, 100, site.url)
    assert mine.read_text() == "of somebody else"


def test_depths_are_floats(site: Any, tmp_path: Path) -> None:
    path = site.folder / DEPTHS
    path.parent.mkdir(parents=True)
    nrrd(path, np.full(SHAPE, 0.5, np.float32), type="float")
    assert fetch_depths(tmp_path, site.url).name == path.name
    nrrd(path, np.full(SHAPE, LAYER_5, np.uint32))
    with pytest.raises(InvalidContentError, match="depths are floats"):
        fetch_depths(tmp_path / "again", site.url)


def test_files_of_streamlines_are_those_or_are_not_there(site: Any, tmp_path: Path) -> None:
    lines, _ = written(site.folder / STREAMLINES, vertical_lines(SHAPE, 100.0))
    (site.folder / STREAMLINES / FILES[1]).write_bytes(lines.read_bytes())
    with pytest.raises(InvalidContentError, match="'closest surface voxel'"):
        fetch_streamlines(tmp_path, site.url)
    assert [path.name for path in tmp_path.glob("*.h5")] == [FILES[0]]
    with pytest.raises(NotReadableError, match=FILES[0]):
        fetch_streamlines(tmp_path / "other", f"{site.url}/other")


def test_a_connection_that_breaks_is_made_again(
    make_site: Callable[..., Any], fault: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    served = published(folder)
    site = make_site(folder)
    site.faults.extend([fault("drop"), fault("status", retry_after_s=0)])
    assert fetch_annotation(tmp_path / "fetched", 100, site.url).read_bytes() == served.read_bytes()


@pytest.fixture
def interrupted(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The part of a download that was interrupted after its first piece of 1 kB."""
    published(site.folder)
    monkeypatch.setattr("vbn.web.connections.CHUNK_BYTES", 1000)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("populate.registration.atlas_files.tqdm.update", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_annotation(tmp_path / "fetched", 100, site.url)
    (part,) = (tmp_path / "fetched").iterdir()
    assert part.stat().st_size == 1000
    return part


def test_an_interrupted_download_goes_on_where_it_was(site: Any, interrupted: Path) -> None:
    served = site.folder / ANNOTATION.format(100)
    begun = len(site.requests)
    fetched = fetch_annotation(interrupted.parent, 100, site.url)
    assert fetched.read_bytes() == served.read_bytes()
    assert list(interrupted.parent.iterdir()) == [fetched]
    version, *rest = site.requests[begun:]
    assert version.range == (0, 1)
    assert rest[0].range[0] == 1000
    assert sum(each.body_bytes for each in rest) == served.stat().st_size - 1000


@pytest.mark.parametrize("damage", ["another_version", "wrong_bytes", "too_long"])
def test_an_old_part_that_is_of_something_else_is_no_part_of_the_file(
    site: Any, interrupted: Path, damage: str
) -> None:
    served = site.folder / ANNOTATION.format(100)
    if damage == "another_version":
        nrrd(served, np.full(SHAPE, 821, np.uint32))
    else:
        interrupted.write_bytes(b"x" * (1000 if damage == "wrong_bytes" else 10**6))
    fetched = fetch_annotation(interrupted.parent, 100, site.url)
    assert fetched.read_bytes() == served.read_bytes()
    assert list(interrupted.parent.iterdir()) == [fetched]


def test_a_full_disk_is_told_in_words_and_what_is_there_is_used(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(site.folder)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atlas_files.os, "fsync", full)
        with pytest.raises(SettingError, match=r"No space is left.*not downloaded again"):
            fetch_annotation(tmp_path, 100, site.url)
    begun = len(site.requests)
    fetch_annotation(tmp_path, 100, site.url)
    assert [each.range for each in site.requests[begun:]] == [(0, 1)]  # that is how its version is asked
