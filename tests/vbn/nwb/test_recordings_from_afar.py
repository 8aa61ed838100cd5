"""Recordings on a web server: every table is that of the file on disk, and little of the file is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest

from tests.fixtures.web_server import Fault, Site
from vbn import nwb
from vbn.errors import NotReadableError
from vbn.nwb.hdf5.identify import open_hdf5, rows_from_afar
from vbn.nwb.hdf5.recording import RecordingFile, _harmless_warnings_silenced
from vbn.synthetic import SyntheticSettings, write_sessions
from vbn.web.client import TRAFFIC, Patience, Traffic
from vbn.web.remote_file import RemoteFile

QUICK = Patience(tries=4, timeout_s=10.0, first_wait_s=0.001, longest_wait_s=0.01)
BIG_FILE_SHARE = 0.15


READERS = (
    "read_trials",
    "read_licks",
    "read_rewards",
    "read_running",
    "read_eye_tracking",
    "read_stimulus_presentations",
    "read_stimulus_timestamps",
    "read_optotagging",
    "read_probes",
    "read_channels",
    "read_units",
)
SMALL_READERS = ("read_trials", "read_licks", "read_rewards", "read_stimulus_presentations")


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbn.web.remote_file.BLOCK_BYTES", 2**14)


def open_as_recording(opened: RemoteFile, file: h5py.File) -> RecordingFile:
    identity = nwb.FileIdentity(Path("remote.nwb"), nwb.FileKind.RECORDING, 1, opened.size_bytes)
    return RecordingFile(Path("remote.nwb"), None, file, identity)


def assert_equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted)
    elif wanted is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.usefixtures("_small_blocks")
def test_every_table_of_a_recording_is_the_same_from_afar_whatever_happens(recording_path, make_site, fault):
    """Every fifth request fails, in turn by a broken connection, an overloaded server and a wrong range."""
    site = make_site(recording_path.parent)
    numbers = iter(range(10**9))
    kinds = ("drop", "status", "shift")

    def often(path: str) -> Any:
        number = next(numbers)
        return fault(kinds[number // 5 % 3]) if number % 5 == 2 else None

    site.fault = often
    url = f"{site.url}/{recording_path.name}"
    with (
        nwb.open_recording(recording_path) as local,
        RemoteFile(url, patience=QUICK) as opened,
        h5py.File(opened, "r") as file,
    ):
        recording = open_as_recording(opened, file)
        for name in READERS:
            reader = getattr(nwb, name)
            assert_equal(reader(recording), reader(local))
        for ours, theirs in zip(
            nwb.iterate_spike_times(recording, nwb.read_units(recording)),
            nwb.iterate_spike_times(local, nwb.read_units(local)),
            strict=True,
        ):
            np.testing.assert_array_equal(ours[2], theirs[2])


def test_pynwb_reads_through_it(recording_path, make_site):
    site = make_site(recording_path.parent)
    with (
        RemoteFile(f"{site.url}/{recording_path.name}", patience=QUICK) as opened,
        h5py.File(opened, "r") as file,
    ):
        with _harmless_warnings_silenced():
            nwb_io = pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True)
            found = nwb_io.read()
        assert found.identifier == recording_path.stem.rpartition("_")[2]
        assert len(found.units) > 0
        nwb_io.close()


@pytest.mark.usefixtures("_small_blocks")
def test_behaviour_tables_transfer_a_small_part_of_a_recording(tmp_path, make_site):
    """Even here, where spikes and waveforms are a few megabytes instead of two gigabytes."""
    path = write_sessions(tmp_path, SyntheticSettings(sessions=1, seed=3, minutes=4, units_per_probe=60))[0]
    site, before = make_site(path.parent), replace(TRAFFIC)
    with RemoteFile(f"{site.url}/{path.name}", patience=QUICK) as opened:
        with h5py.File(opened, "r") as file, h5py.File(path, "r") as local_file:
            recording, local = open_as_recording(opened, file), open_as_recording(opened, local_file)
            for name in SMALL_READERS:
                assert_equal(getattr(nwb, name)(recording), getattr(nwb, name)(local))
        assert TRAFFIC.since(before) == Traffic(len(site.requests), site.body_bytes)
        assert site.body_bytes < BIG_FILE_SHARE * path.stat().st_size


def test_peak_waveforms_are_those_on_disk_and_nothing_between_them_is_requested(tmp_path, make_site, fault):
    path = write_sessions(tmp_path, SyntheticSettings(sessions=1, seed=3, minutes=2, units_per_probe=30))[0]
    site = make_site(path.parent)
    with (
        nwb.open_session(path, with_pynwb=False) as local,
        nwb.open_session(f"{site.url}/{path.name}", with_pynwb=False) as recording,
    ):
        units = nwb.read_units(recording)
        before = site.body_bytes
        nwb.read_peak_waveforms(recording, units.iloc[:1])  # what finds the rows
        once = site.body_bytes - before
        site.faults.extend(fault(kind) for kind in ("drop", "status", "short", "shift"))
        found, wanted = (nwb.read_peak_waveforms(each, units) for each in (recording, local))
    assert not site.faults
    np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(found).all()
    stored = len(units) * 384 * found[0].nbytes
    assert site.body_bytes - before - once < 0.01 * stored


def rows_of_a_changed_file(site: Site, file: h5py.File) -> None:
    site.fault = lambda _path: Fault("etag")
    with pytest.raises(NotReadableError, match="changed while it was read"):
        rows_from_afar(file, file["plain"], [3, 9])


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("kind", [">f4", "<i8"])
def test_rows_are_taken_from_where_they_lie(tmp_path, make_site, userblock, kind):
    numbers = np.arange(60).reshape(20, 3).astype(kind)
    path = tmp_path / "numbers.h5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file["plain"], file["words"] = numbers, np.array([b"a", b"b"])
        file.create_dataset("packed", data=numbers, chunks=(5, 3), compression="gzip")
        file.create_dataset("never written", shape=(20, 3), dtype=kind)
    site = make_site(tmp_path)
    with open_hdf5(f"{site.url}/{path.name}") as file:
        for rows in ([17, 0, 5, 5], []):
            np.testing.assert_array_equal(rows_from_afar(file, file["plain"], rows), numbers[rows])
        for name in ("packed", "words", "never written"):
            assert rows_from_afar(file, file[name], [1]) is None
    with (
        pytest.raises(NotReadableError, match="changed while it was read"),
        open_hdf5(f"{site.url}/{path.name}") as file,
    ):
        rows_of_a_changed_file(site, file)
    with open_hdf5(path) as file:
        assert rows_from_afar(file, file["plain"], [1]) is None
