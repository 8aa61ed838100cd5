"""A file that would read other files, or take more than it may, is refused when it is opened."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.fuzz import hostile
from vbn import nwb
from vbn.errors import FileError, InvalidContentError, NotReadableError
from vbn.nwb.hdf5 import harmless
from vbn.nwb.readers.columns import MOST_ROWS


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vbn.synthetic import SyntheticSettings, write_sessions

    small = SyntheticSettings(
        sessions=1, seed=5, minutes=2, probes=1, units_per_probe=3, template_shape=(8, 8)
    )
    return write_sessions(tmp_path_factory.mktemp("seed"), small)[0]


@pytest.fixture
def changed(recording: Path, tmp_path: Path) -> Callable[[Callable[[h5py.File], object]], Path]:
    """A function that copies the recording and changes the copy."""

    def change(how: Callable[[h5py.File], object]) -> Path:
        path = tmp_path / "changed.nwb"
        shutil.copyfile(recording, path)
        with h5py.File(path, "r+") as file:
            how(file)
        return path

    return change


@pytest.mark.parametrize("name", hostile.HOSTILE)
def test_a_harmful_file_is_refused_in_words(recording, tmp_path, name):
    path = hostile.make(name, recording, tmp_path)
    for opening in (nwb.identify, lambda path: nwb.open_session(path).__enter__()):
        with pytest.raises(InvalidContentError, match=hostile.HOSTILE[name][1]) as refusal:
            opening(path)
        assert refusal.value.path == str(path)
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 1000
        assert hostile.SECRET_TEXT[:10].decode() not in str(refusal.value)


def own_source(file: h5py.File) -> None:
    """A virtual data set that shows a part of this file."""
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(".", "units/snr", (3,))
    file.create_virtual_dataset("units/shown", layout)


def compressed(file: h5py.File) -> None:
    """All columns compressed, constant ones a thousandfold."""
    names: list[str] = []
    file["processing"].visititems(lambda _, item: names.append(item.name) if is_column(item) else None)
    for name in names:
        values = file[name][()]
        with hostile.replacing(file, name):
            file.create_dataset(
                name, data=values, compression=9, shuffle=True, maxshape=(None, *values.shape[1:])
            )


def is_column(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim > 0 and item.dtype.kind in "fiu"


def all_zeros(file: h5py.File) -> None:
    file.create_dataset("scratch/zeros", data=np.zeros(2**24), compression=9, chunks=(2**20,))


def sparse(file: h5py.File) -> None:
    file.create_dataset("scratch/sparse", shape=(2**19,), dtype="f8", fillvalue=np.nan, chunks=(2**10,))


def dimension_scales(file: h5py.File) -> None:
    """References inside lists and records, as netCDF and MATLAB write them."""
    file["units/id"].make_scale("unit")
    file["units/snr"].dims[0].attach_scale(file["units/id"])


def region(file: h5py.File) -> None:
    file["units/snr"].attrs["part"] = file["units/snr"].regionref[:2]
    file["units"].attrs["nothing"] = np.array([h5py.Reference()], dtype=h5py.ref_dtype)


def reference_to_what_is_gone(file: h5py.File) -> None:
    file.create_dataset("gone", data=[1.0])
    file["units"].attrs["gone"] = file["gone"].ref
    del file["gone"]


def two_names(file: h5py.File) -> None:
    file["units/again"] = file["units/snr"]
    file["analysis/again"] = file["processing/running"]


def own_type(file: h5py.File) -> None:
    file["general/kind"] = np.dtype([("a", "f8"), ("b", "S4")])
    file.create_dataset("units/kinds", shape=(3,), dtype=file["general/kind"])


def empty_things(file: h5py.File) -> None:
    file["units"].attrs["empty"] = h5py.Empty("f8")
    file.create_dataset("units/empty", data=h5py.Empty(h5py.ref_dtype))
    file.create_dataset("units/none", shape=(0,), dtype="S100000000")


def odd_links(file: h5py.File) -> None:
    file["scratch/nowhere"] = h5py.SoftLink("/nowhere")
    file["scratch/a"] = h5py.SoftLink("/scratch/b")
    file["scratch/b"] = h5py.SoftLink("/scratch/a")
    file["scratch/root"] = h5py.SoftLink("/")


ODD = (
    own_source, compressed, all_zeros, sparse, dimension_scales, region, reference_to_what_is_gone, two_names,
    own_type, empty_things, odd_links,
)  # fmt: skip


@pytest.mark.parametrize("how", ODD)
def test_what_is_merely_odd_is_identified(changed, how):
    assert nwb.identify(changed(how)).kind is nwb.FileKind.RECORDING


def test_a_file_behind_a_block_of_the_users_is_identified(recording, tmp_path):
    path = tmp_path / "userblock.nwb"
    with h5py.File(path, "w", userblock_size=512, libver="latest") as made, h5py.File(recording) as file:
        made.attrs.update(file.attrs)
        for name in file:
            file.copy(name, made, name)
    assert nwb.identify(path).size_bytes == path.stat().st_size


def test_soft_links_in_a_circle_end_in_a_value_or_in_words(changed):
    for damage in (hostile.soft_link_to_the_root, hostile.soft_link_to_itself):
        path = changed(lambda file, damage=damage: damage(file, Path()))
        with contextlib.suppress(FileError), nwb.open_session(path) as session:
            assert len(nwb.read_running(session))


def name_of_an_attribute(file: h5py.File) -> None:
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(file["intervals/trials"].id, b"Ren\xe9", h5py.h5t.IEEE_F64LE, scalar)


def test_an_attributes_name_that_is_not_utf8_is_refused_in_words(changed):
    """h5py ended in a SystemError, when pynwb had found fault with something else."""
    with pytest.raises(InvalidContentError, match=r"/intervals/trials@ holds a name .* \(Ren\\xe9\)"):
        nwb.identify(changed(name_of_an_attribute))


@pytest.fixture
def socket_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "socket.nwb"
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        yield path


def test_what_has_no_end_is_not_waited_for(tmp_path, socket_file):
    pipe, link = tmp_path / "pipe.nwb", tmp_path / "link.nwb"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for path in (pipe, link, socket_file, Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(NotReadableError, match="not a regular file but a device, a pipe or a socket"):
            nwb.identify(path)


@pytest.mark.parametrize("driver", ["family", "split"])
def test_a_part_of_a_file_in_several_parts_is_refused(tmp_path, driver):
    pattern = tmp_path / ("part-%d.nwb" if driver == "family" else "whole")
    with h5py.File(pattern, "w", driver=driver) as file:
        file["data"] = np.zeros(10)
    parts = [path for path in tmp_path.iterdir() if path.stat().st_size]
    assert parts
    for path in parts:
        with pytest.raises(FileError) as refusal:
            nwb.identify(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("ends", [[2**63 - 1, -2, 6, 6], [-1, 3, 5, 6], [2**62, 2**62, 2**62, 6]])
@pytest.mark.parametrize("column", ["spike_times", "waveform_mean"])
def test_an_index_that_goes_round_is_refused(changed, column, ends):
    """Differences of such numbers wrap, and were positive."""

    def wrap(file: h5py.File) -> None:
        n = len(file[f"units/{column}_index"])
        values = np.array([*ends[: n - 1], len(file[f"units/{column}"])], dtype=np.int64)
        with hostile.replacing(file, f"units/{column}_index"):
            file[f"units/{column}_index"] = values

    with (
        nwb.open_recording(changed(wrap)) as session,
        pytest.raises(InvalidContentError, match="must ascend"),
    ):
        nwb.read_peak_waveforms(session, nwb.read_units(session))


def test_a_table_of_a_million_rows_is_refused(changed):
    """Each row would take some hundred bytes, stored or not."""

    def grow(file: h5py.File) -> None:
        name = "intervals/trials/id"
        with hostile.replacing(file, name):
            file.create_dataset(name, shape=(MOST_ROWS + 1,), dtype="i8", compression=9)

    refused = pytest.raises(InvalidContentError, match="/intervals/trials claims 1,000,001 rows")
    with nwb.open_session(changed(grow), with_pynwb=False) as session, refused:
        nwb.read_trials(session)


def test_all_data_sets_together_are_bounded(changed):
    def grow(file: h5py.File) -> None:
        n = harmless.ALL_BYTES // harmless.FREE_BYTES + 1
        for number in range(n):
            file.create_dataset(f"scratch/{number}", shape=(harmless.FREE_BYTES // 8,), dtype="f8")

    with pytest.raises(InvalidContentError, match="its data sets claim"):
        nwb.identify(changed(grow))


def test_more_stored_than_the_file_has_is_refused(changed):
    """As of columns that say that they lie at the same place, whose bytes are read several times."""
    names = [f"scratch/{number}" for number in range(4)]

    def overlap(file: h5py.File) -> None:
        for name in names:
            file.create_dataset(name, data=np.full(2**19, 1.0), chunks=(2**19,))

    path = changed(overlap)
    size = nwb.identify(path).size_bytes
    refused = pytest.raises(InvalidContentError, match=r"bytes of storage.*the file has 10,000,000")
    assert size > 2**24
    with h5py.File(path) as file, refused:
        harmless.require_harmless(path, file, 10_000_000, lambda _start, _n: b"")
