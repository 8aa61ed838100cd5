"""Recordings on a web server: every table is that of the file on disk, and little of the file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb

from vbn import nwb
from vbn.nwb.hdf5.recording import RecordingFile, _harmless_warnings_silenced
from vbn.synthetic import SyntheticSettings, write_sessions
from vbn.web.client import Patience
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
        RemoteFile(url, block_bytes=2**14, patience=QUICK) as opened,
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


def test_behaviour_tables_transfer_a_small_part_of_a_recording(tmp_path, make_site):
    """Even here, where spikes and waveforms are a few megabytes instead of two gigabytes."""
    path = write_sessions(tmp_path, SyntheticSettings(sessions=1, seed=3, minutes=4, units_per_probe=60))[0]
    site = make_site(path.parent)
    with RemoteFile(f"{site.url}/{path.name}", block_bytes=2**14, patience=QUICK) as opened:
        with h5py.File(opened, "r") as file, h5py.File(path, "r") as local_file:
            recording, local = open_as_recording(opened, file), open_as_recording(opened, local_file)
            for name in SMALL_READERS:
                assert_equal(getattr(nwb, name)(recording), getattr(nwb, name)(local))
        assert opened.reader.bytes_received == site.body_bytes
        assert opened.reader.bytes_received < BIG_FILE_SHARE * path.stat().st_size
