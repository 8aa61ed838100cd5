"""LFP files, from hand-made contents: 10 Hz, three channels; see `test_corpus` for AllenSDK's reading."""

from __future__ import annotations

import shutil
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers import lfp as lfp_module

SERIES = "acquisition/probe_7_lfp/probe_7_lfp_data"
ELECTRODES = "general/extracellular_ephys/electrodes"
CSD = "processing/current_source_density/ecephys_csd"
N = 400


@pytest.fixture
def contents(root):
    """400 samples from 5 s on; the sample at row r of channel c is r + 1000 c."""
    return root | {
        "session_description": "LFP data and associated info for one probe",
        "identifier": "7",
        "general/session_id": "None",
        "general/devices/NP.1@description": "rig",
        "general/devices/probeB@probe_id": 7,
        "general/devices/probeB@sampling_rate": 30000.0,
        "general/extracellular_ephys/probeB@probe_id": 7,
        f"{ELECTRODES}/id": [12, 10, 11],
        f"{ELECTRODES}/probe_id": [7, 7, 7],
        f"{ELECTRODES}/probe_channel_number": [4, 0, 2],
        f"{ELECTRODES}/probe_vertical_position": [60, 20, 40],
        f"{ELECTRODES}/probe_horizontal_position": [43, 43, 43],
        f"{ELECTRODES}/location": ["VISp", "CA1", "CA1"],
        f"{ELECTRODES}/valid_data": [True, True, True],
        f"{ELECTRODES}/filtering": ["LFP band"] * 3,
        f"{SERIES}/data": (np.arange(N)[:, None] + 1000 * np.arange(3)).astype(np.float32),
        f"{SERIES}/timestamps": 5 + np.arange(N) / 10,
        f"{SERIES}/electrodes": [0, 1, 2],
    }


@pytest.fixture
def make_lfp(make_recording):
    return lambda contents: make_recording(contents, nwb.FileKind.LFP, 7)


def test_metadata_come_from_the_content(make_lfp, contents):
    probe = nwb.read_lfp_probe(make_lfp(contents))
    assert probe == nwb.LfpMetadata(
        probe_id=7,
        probe_name="probeB",
        session_id=None,
        behavior_session_id=1053960987,
        mouse_id="527749",
        n_samples=400,
        n_channels=3,
        channel_ids=(12, 10, 11),
        sampling_rate_hz=pytest.approx(10.0, rel=1e-12),
        start_s=5.0,
        stop_s=44.9,
        unit="",
        dtype="float32",
    )


def test_a_session_id_that_is_stored_is_read(make_lfp, contents):
    """The release's writer puts ``None``; a later one might not."""
    stored = {"general/session_id": "1053941483"}
    assert nwb.read_lfp_probe(make_lfp(contents | stored)).session_id == 1053941483


@pytest.mark.parametrize("n", [0, 1])
def test_a_rate_needs_two_samples(make_lfp, contents, n):
    few = {f"{SERIES}/data": np.zeros((n, 3)), f"{SERIES}/timestamps": np.arange(float(n))}
    probe = nwb.read_lfp_probe(make_lfp(contents | few))
    assert np.isnan(probe.sampling_rate_hz)
    assert np.isnan(probe.start_s) == (n == 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"general/devices/probeB@probe_id": 8}, "one device with probe_id 7"),
        ({f"{SERIES}/data": np.zeros((N, 2))}, "2 columns"),
        ({f"{SERIES}/timestamps": np.zeros(N - 1)}, "timestamps of shape"),
        ({f"{SERIES}/electrodes": [0, 1, 3]}, "3 columns"),
        ({f"{SERIES}/timestamps": np.full(N, 1e300)}, "LFP timestamps: 1e.300 s is more than a day"),
        (
            {f"{SERIES}/timestamps": np.append(np.arange(N - 1.0), np.inf)},
            "LFP timestamps: inf s is more than a day",
        ),
        ({f"{SERIES}/timestamps": ["a"] * N}, "timestamps holds no numbers"),
        ({f"{SERIES}/data": None}, f"/{SERIES}/data is missing, which a VBN LFP file must hold"),
    ],
)
def test_contradictions_are_named(make_lfp, contents, changes, problem):
    changed = {path: value for path, value in (contents | changes).items() if value is not None}
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_lfp_probe(make_lfp(changed))


def test_channels_are_in_the_order_of_the_columns(make_lfp, contents):
    contents[f"{SERIES}/electrodes"] = [2, 0, 1]
    file = make_lfp(contents)
    assert nwb.read_lfp_channels(file)["channel_id"].tolist() == [11, 12, 10]
    assert nwb.read_lfp_probe(file).channel_ids == (11, 12, 10)


def test_a_piece_begins_at_its_start_and_ends_before_its_stop(make_lfp, contents):
    timestamps, samples = nwb.read_lfp_samples(make_lfp(contents), start_s=6.0, stop_s=6.3)
    np.testing.assert_allclose(timestamps, [6.0, 6.1, 6.2])
    assert samples.tolist() == [[10, 1010, 2010], [11, 1011, 2011], [12, 1012, 2012]]
    assert samples.dtype == np.float32


def test_channels_come_in_the_order_asked_for(make_lfp, contents):
    _, samples = nwb.read_lfp_samples(make_lfp(contents), stop_s=5.05, channel_ids=[11, 12])
    assert samples.tolist() == [[2000, 0]]


@pytest.mark.parametrize("piece", [(100.0, None), (None, 1.0), (6.0, 6.0)])
@pytest.mark.parametrize("decimate", [1, 4])
def test_a_piece_without_samples_is_empty(make_lfp, contents, piece: tuple[Any, Any], decimate):
    timestamps, samples = nwb.read_lfp_samples(make_lfp(contents), *piece, decimate=decimate)
    assert timestamps.shape == (0,)
    assert samples.shape == (0, 3)


def test_no_channels_give_no_columns(make_lfp, contents):
    assert nwb.read_lfp_samples(make_lfp(contents), channel_ids=[], decimate=2)[1].shape == (200, 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"decimate": 0}, "1 or more"),
        ({"channel_ids": [10, 99]}, "the first is 99"),
        ({"start_s": 7.0, "stop_s": 6.0}, "must not be before"),
    ],
)
def test_impossible_arguments_are_refused(make_lfp, contents, arguments, problem):
    file = make_lfp(contents)
    with pytest.raises(ValueError, match=problem):
        nwb.read_lfp_samples(file, **arguments)


class Counted:
    """A data set that counts what is read of it."""

    def __init__(self, values):
        self.values, self.n_read = values, 0
        self.shape, self.ndim, self.dtype, self.attrs = values.shape, values.ndim, values.dtype, {}

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        found = self.values[index]
        self.n_read += np.size(found)
        return found


def test_a_piece_costs_what_it_holds(monkeypatch, make_lfp, contents):
    """Of a million samples, a hundred are read, and twenty times to find them."""
    n = 1_000_000
    samples, times = Counted(np.zeros((n, 3), np.float32)), Counted(np.arange(n) / 1250)
    monkeypatch.setattr(lfp_module, "_samples_and_times", lambda _: (samples, times))
    file = make_lfp(contents)
    nwb.read_lfp_probe(file)
    assert (samples.n_read, times.n_read) == (0, 2)
    found, _ = nwb.read_lfp_samples(file, 400.0, 400.08, channel_ids=[10])
    assert len(found) == 100
    assert samples.n_read == 100
    assert times.n_read < 100 + 2 + 2 * 21


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_decimation_is_that_of_scipy_away_from_the_ends(make_lfp, contents, factor):
    noise = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    timestamps, found = nwb.read_lfp_samples(make_lfp(contents | {f"{SERIES}/data": noise}), decimate=factor)
    wanted = signal.decimate(noise.astype(float), factor, ftype="fir", axis=0)
    inner = slice(11, -11)
    np.testing.assert_allclose(found[inner], wanted[inner], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(timestamps, 5 + np.arange(0, N, factor) / 10)
    assert len(found) == len(wanted) == len(timestamps)


def test_a_constant_stays_constant_to_the_ends(make_lfp, contents):
    constant = {f"{SERIES}/data": np.full((N, 3), 2.5, np.float32)}
    _, found = nwb.read_lfp_samples(make_lfp(contents | constant), decimate=7)
    np.testing.assert_allclose(found, 2.5, rtol=1e-6)


def test_what_the_new_rate_cannot_hold_is_gone(make_lfp, contents):
    """At 10 Hz, 4 Hz would turn into 1 Hz when every second sample is kept; 0.5 Hz stays."""
    t = np.arange(N) / 10
    both = np.stack([np.sin(2 * np.pi * 4 * t), np.sin(2 * np.pi * 0.5 * t), t], axis=1)
    timestamps, found = nwb.read_lfp_samples(make_lfp(contents | {f"{SERIES}/data": both}), decimate=2)
    inner = slice(15, -15)
    assert np.abs(found[inner, 0]).max() < 0.01
    np.testing.assert_allclose(found[inner, 1], np.sin(np.pi * (timestamps[inner] - 5)), atol=0.01)


@given(
    factor=st.integers(2, 9),
    start=st.integers(0, 40),
    length=st.integers(0, 300),
    block=st.integers(1, 64),
)
def test_a_piece_is_a_piece_of_the_whole(factor, start, length, block):
    """Neither where the piece ends nor how much is read at once shows in the samples."""
    values = np.random.default_rng(factor).normal(size=(N, 2))
    columns = np.array([1, 0])
    whole = np.concatenate(
        [lfp_module._decimated(values, a * factor, 1, factor, columns) for a in range(-(-N // factor))]
    )
    n_out = min(length, len(whole) - start) if start < len(whole) else 0
    pieces = [
        lfp_module._decimated(values, (start + a) * factor, b - a, factor, columns)
        for a, b in lfp_module._blocks(n_out, block)
    ]
    found = np.concatenate([*pieces, np.empty((0, 2))])
    np.testing.assert_allclose(found, whole[start : start + n_out], atol=1e-12)


@given(st.integers(2, 50))
def test_the_filter_is_symmetric_and_keeps_the_mean(factor):
    taps = lfp_module.anti_aliasing_filter(factor)
    assert len(taps) == 20 * factor + 1
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    assert taps.sum() == pytest.approx(1.0)


def csd_contents(n_times=3, n_channels=2):
    return {
        f"{CSD}/current_source_density/data": np.arange(6.0).reshape(3, 2),
        f"{CSD}/current_source_density/timestamps": np.linspace(-0.1, 0.25, n_times),
        f"{CSD}/virtual_electrode_x_positions": np.full(n_channels, 24),
        f"{CSD}/virtual_electrode_y_positions": np.arange(n_channels, dtype=np.uint64) * 10,
    }


def test_current_source_density_is_time_by_channel(make_lfp, contents):
    csd = nwb.read_csd(make_lfp(contents | csd_contents()))
    assert csd.values.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert csd.virtual_y_um.tolist() == [0.0, 10.0]
    assert {csd.values.dtype, csd.timestamps_s.dtype, csd.virtual_x_um.dtype} == {np.dtype(np.float64)}


def test_a_file_without_current_source_density_has_none(make_lfp, contents):
    assert nwb.read_csd(make_lfp(contents)) is None


@pytest.mark.parametrize("sizes", [(4, 2), (3, 3)])
def test_axes_must_fit_the_current_source_density(make_lfp, contents, sizes):
    with pytest.raises(InvalidContentError, match="has shape"):
        nwb.read_csd(make_lfp(contents | csd_contents(*sizes)))


def test_electrodes_that_are_none_are_refused_without_a_word_of_pynwb(lfp_path, tmp_path):
    """pynwb warns of them with all their values; the reader says it in words."""
    path = tmp_path / "lfp.nwb"
    shutil.copyfile(lfp_path, path)
    with h5py.File(path, "r+") as file:
        (series,) = (name for name in file["acquisition"] if name.endswith("_lfp"))
        electrodes = file[f"acquisition/{series}/{series}_data/electrodes"]
        name, attributes, n = electrodes.name, dict(electrodes.attrs), len(electrodes)
        del file[name]
        file.create_dataset(name, data=np.full(n, -1e308)).attrs.update(attributes)
    with nwb.open_lfp(path) as file, pytest.raises(InvalidContentError):
        nwb.read_lfp_channels(file)
