"""Arrays of a store that is no folder, read as memory maps: whole or not at all, and not without end."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.files import array_store as store
from schemas.server.datajoint import dj
from vbn.errors import StoreError

NpyRef = dj.builtin_codecs.NpyRef
ARRAY = np.arange(1000.0)

pytestmark = pytest.mark.files


class Bucket:
    """What DataJoint opens for a store on S3; counts what is downloaded."""

    protocol = "s3"

    def __init__(self) -> None:
        self.downloads: list[str] = []

    def get_file(self, path: str, local: Path) -> None:
        buffer = io.BytesIO()
        np.save(buffer, ARRAY + int(path.removesuffix(".npy")[-1]))
        local.write_bytes(buffer.getvalue())
        self.downloads.append(path)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    made = Bucket()
    monkeypatch.setattr(store, "opened_store", lambda _name: made)
    monkeypatch.setenv("VBN_HOME", str(tmp_path))
    return made


@pytest.fixture
def reference(bucket: Bucket) -> Callable[[int], Any]:
    def numbered(number: int) -> Any:
        path = f"_schema/vbn_ecephys/_recording__probe/probe_spike_times_{number}.npy"
        return NpyRef({"path": path, "store": "vbn", "dtype": "float64", "shape": [1000]}, bucket)

    return numbered


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_array_in_a_folder_is_mapped_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VBN_HOME", str(tmp_path / "home"))
    spec = {"protocol": "file", "location": str(tmp_path)}
    monkeypatch.setitem(dj.config.stores, "vbn", spec)
    np.save(tmp_path / "x.npy", ARRAY)
    metadata = {"path": "x.npy", "store": "vbn", "dtype": "float64", "shape": [1000]}
    mapped = store.mapped(NpyRef(metadata, store.opened_store("vbn")))
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, ARRAY)
    assert files_below(tmp_path) == [tmp_path / "x.npy"]


def test_an_array_in_a_bucket_is_downloaded_once_and_mapped(
    bucket: Bucket, reference: Callable[[int], Any], tmp_path: Path
) -> None:
    for _ in range(2):
        for number in (1, 2):
            mapped = store.mapped(reference(number))
            assert isinstance(mapped, np.memmap)
            np.testing.assert_array_equal(mapped, ARRAY + number)
    assert bucket.downloads == [reference(1).path, reference(2).path]
    assert len(files_below(tmp_path / "arrays")) == 2


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(errno.ENOSPC, "No space left"), "no room for a copy"),
        (ConnectionResetError(), r"cannot be read from the store bucket \(ConnectionResetError"),
    ],
)
def test_a_copy_that_was_cut_short_is_not_taken_for_the_array(
    bucket: Bucket,
    reference: Callable[[int], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    problem: str,
) -> None:
    def get_half(_path: str, local: Path) -> None:
        local.write_bytes(b"\x93NUMPY")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "get_file", get_half)
        with pytest.raises(StoreError, match=problem):
            store.mapped(reference(1))
    assert not files_below(tmp_path)
    np.testing.assert_array_equal(store.mapped(reference(1)), ARRAY + 1)


def test_copies_used_least_recently_make_room_and_stay_readable_where_they_are_mapped(
    bucket: Bucket, reference: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for three: the first is used again before the fourth comes, so that the second goes."""
    monkeypatch.setattr(store, "MOST_BYTES_OF_COPIES", 3.5 * ARRAY.nbytes)
    first, second, _third = (store.mapped(reference(number)) for number in (1, 2, 3))
    for age_s, mapped in ((100, first), (50, second)):
        used = Path(mapped.filename).stat().st_mtime - age_s
        os.utime(mapped.filename, (used, used))
    store.mapped(reference(1))
    store.mapped(reference(4))
    assert len(files_below(tmp_path)) == 3
    np.testing.assert_array_equal(second, ARRAY + 2)
    store.mapped(reference(1))
    store.mapped(reference(2))
    assert [path[-5] for path in bucket.downloads] == ["1", "2", "3", "4", "2"]


def test_an_array_that_the_disk_has_no_half_for_removes_all_others(
    bucket: Bucket, reference: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        store.mapped(reference(number))
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _folder: usage)
    np.testing.assert_array_equal(store.mapped(reference(3)), ARRAY + 3)
    assert len(files_below(tmp_path)) == 1
