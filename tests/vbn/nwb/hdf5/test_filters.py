"""Data that were compressed with a filter which is not there: it is named, and the advice works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from vbn import nwb
from vbn.errors import NotReadableError
from vbn.nwb.hdf5 import filters
from vbn.nwb.hdf5.filters import missing_filters

NOBODYS = 65_500
"""A number that no filter has."""
SPEED = "processing/running/speed/data"


def compressed(file: h5py.File, path: str, *, applied: bool = True) -> None:
    """Let a data set be one chunk to which, as it says, nobody's filter was applied."""
    attributes, values = dict(file[path].attrs), file[path][:].astype("<f8")
    del file[path]
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk(values.shape)
    plist.set_filter(NOBODYS, h5z.FLAG_OPTIONAL, (3,))
    group, name = path.rsplit("/", 1)
    space = h5s.create_simple(values.shape)
    made = h5d.create(file[group].id, name.encode(), h5t.NATIVE_DOUBLE, space, plist)
    made.write_direct_chunk((0,), values.tobytes(), 0 if applied else 1)
    file[path].attrs.update(attributes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vbn.synthetic import SyntheticSettings, write_sessions

    folder = tmp_path_factory.mktemp("plain")
    write_sessions(folder, SyntheticSettings(sessions=1, seed=1, minutes=2, units_per_probe=3))
    return next(folder.rglob("ecephys*.nwb"))


@pytest.fixture
def file_with(plain: Path, tmp_path: Path) -> Callable[..., Path]:
    def change(**options: Any) -> Path:
        path = Path(shutil.copyfile(plain, tmp_path / "compressed.nwb"))
        with h5py.File(path, "r+") as file:
            compressed(file, SPEED, **options)
        return path

    return change


@pytest.mark.parametrize(
    ("number", "stored", "name"),
    [
        (32001, b"blosc", "Blosc (32001)"),
        (32004, b"", "LZ4 (32004)"),
        (32008, b"bitshuffle; see https://...", "bitshuffle (32008)"),
        (32013, b"", "ZFP (32013)"),
        (32015, b"Zstandard compression", "Zstd (32015)"),
        (32026, b"", "Blosc2 (32026)"),
        (NOBODYS, b"mine\x1b[2J", r"mine\x1b[2J (65500)"),
        (NOBODYS, b"", "filter 65500"),
    ],
)
def test_filters_have_names(number: int, stored: bytes, name: str) -> None:
    assert filters._name(number, stored) == name


def test_a_missing_filter_is_named_when_the_file_is_opened(file_with: Callable[..., Path]) -> None:
    path = file_with()
    with pytest.raises(NotReadableError) as caught, nwb.open_session(path):
        pass
    message = str(caught.value)
    assert message.startswith(
        f"{path}: it is compressed with an HDF5 filter that is not installed: filter {NOBODYS} for /{SPEED}."
    )
    assert "pip install hdf5plugin" in message
    assert "HDF5_PLUGIN_PATH" in message


def test_a_missing_filter_is_named_when_a_column_is_read(file_with: Callable[..., Path]) -> None:
    """By a worker that opens the file without pynwb; HDF5 itself names a folder only."""
    path = file_with()
    with (
        pytest.raises(NotReadableError, match=rf"filter {NOBODYS} for /{SPEED}\.") as caught,
        nwb.open_session(path, with_pynwb=False) as file,
    ):
        nwb.read_running(file)
    assert "HDF5_PLUGIN_PATH" in str(caught.value)


def test_a_filter_that_was_not_applied_is_not_needed(file_with: Callable[..., Path]) -> None:
    with h5py.File(file_with(applied=False)) as file:
        assert missing_filters(file) == {}
        assert len(file[SPEED][:]) > 1000


def test_filters_of_hdf5_itself_and_empty_data_sets_need_nothing(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file.create_dataset("a", data=np.arange(100), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("b", data=np.arange(100), compression="lzf")
        file.create_dataset("c", (0,), "f8", maxshape=(None,), chunks=(5,))
        compressed_empty = h5p.create(h5p.DATASET_CREATE)
        compressed_empty.set_chunk((10,))
        compressed_empty.set_filter(NOBODYS, h5z.FLAG_OPTIONAL, (3,))
        h5d.create(file.id, b"d", h5t.NATIVE_DOUBLE, h5s.create_simple((20,)), compressed_empty)
        assert missing_filters(file) == {}


WRITE = """
import sys, h5py, hdf5plugin, numpy as np
with h5py.File(sys.argv[1], "r+") as file:
    attributes = dict(file[sys.argv[2]].attrs)
    values = file[sys.argv[2]][:]
    del file[sys.argv[2]]
    file.create_dataset(sys.argv[2], data=values, chunks=True, **hdf5plugin.Zstd())
    file[sys.argv[2]].attrs.update(attributes)
"""
READ = """
import sys
from vbn import nwb
from vbn.errors import NotReadableError
try:
    with nwb.open_session(sys.argv[1]) as file:
        print(len(nwb.read_running(file)))
except NotReadableError as error:
    print(error)
"""


def run(program: str, *arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.slow
def test_the_advice_works(plain: Path, tmp_path: Path) -> None:
    """With the package; without it and with its folder of plugins; and without both the filter is named."""
    plugins = pytest.importorskip("hdf5plugin")
    path = Path(shutil.copyfile(plain, tmp_path / "zstd.nwb"))
    run(WRITE, path, SPEED)
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['hdf5plugin'] = None\n")
    absent = {"PYTHONPATH": str(tmp_path), "HDF5_PLUGIN_PATH": "/nowhere"}
    said = run(READ, path, **absent)
    assert f"Zstd (32015) for /{SPEED}" in said
    n_frames = run(READ, plain)
    assert run(READ, path) == n_frames
    assert run(READ, path, **{**absent, "HDF5_PLUGIN_PATH": str(plugins.PLUGIN_PATH)}) == n_frames
