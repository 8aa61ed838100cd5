"""Probes, channels and units, from hand-made files; see the fixture `ephys`."""

from __future__ import annotations

import numpy as np
import pytest

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.units import METRICS

ELECTRODES = "general/extracellular_ephys/electrodes"


def changed(contents, changes):
    return {path: value for path, value in (contents | changes).items() if value is not None}


def test_probes_are_sorted_by_name_and_lfp_may_be_missing(make_recording, ephys):
    probes = nwb.read_probes(make_recording(ephys))
    assert probes["probe_name"].tolist() == ["probeA", "probeB"]
    assert probes["probe_id"].tolist() == [7, 8]
    assert probes["sampling_rate"].tolist() == [29999.9, 30000.1]
    assert probes["has_lfp_data"].tolist() == [True, False]
    np.testing.assert_array_equal(probes["lfp_sampling_rate"], [1249.9, np.nan])


def test_channels_outside_the_brain_are_kept_and_unnamed_ones_have_no_structure(make_recording, ephys):
    channels = nwb.read_channels(make_recording(ephys))
    assert channels["structure_acronym"].tolist() == ["root", "VISp", None, None, "CA1", "CA1"]
    assert channels["probe_name"].tolist() == ["probeA"] * 3 + ["probeB"] * 3
    assert channels["valid_data"].tolist() == [True, False, True, True, True, True]
    assert channels["probe_id"].dtype == np.int64
    assert channels["anterior_posterior_ccf_coordinate"].isna().tolist() == [False] * 2 + [True] + [False] * 3


def test_a_probe_without_registration_has_no_coordinates(make_recording, ephys):
    """A column of NaN only may be left out by a writer."""
    lost = {f"{ELECTRODES}/{axis}": None for axis in "xyz"}
    channels = nwb.read_channels(make_recording(changed(ephys, lost)))
    assert channels["left_right_ccf_coordinate"].isna().all()


def test_units_are_in_file_order_and_on_their_peak_channels_probe(make_recording, ephys):
    units = nwb.read_units(make_recording(ephys))
    assert units["unit_id"].tolist() == [40, 30, 10, 20]
    assert units["probe_name"].tolist() == ["probeA", "probeB", "probeA", "probeB"]
    assert units["n_spikes"].tolist() == [2, 3, 0, 1]
    assert units["n_spikes"].dtype == np.int64
    assert units["cluster_id"].dtype == "Int64"
    assert units["quality"].tolist() == ["good", "noise", "good", "good"]


@pytest.mark.parametrize("missing", ["", "N/A", "None", "nan", "NaN"])
def test_no_name_is_made_of_a_missing_one(make_recording, ephys, missing):
    """AllenSDK writes what Python makes of a missing value; the importer must not take it for a name."""
    stored = {f"{ELECTRODES}/location": [missing] * 6, "units/quality": [missing, "noise", "good", missing]}
    recording = make_recording(ephys | stored)
    assert nwb.read_channels(recording)["structure_acronym"].tolist() == [None] * 6
    assert nwb.read_units(recording)["quality"].tolist() == [None, "noise", "good", None]


@pytest.mark.parametrize("stored", [[np.nan, 1, 2, 3], [-99, 1, 2, 3]])
def test_a_unit_may_lack_the_sorters_number(make_recording, ephys, stored):
    units = nwb.read_units(make_recording(ephys | {"units/cluster_id": stored, "units/local_index": stored}))
    for name in ("cluster_id", "local_index"):
        assert units[name].isna().tolist() == [True, False, False, False]
        assert units[name].tolist()[1:] == [1, 2, 3]


def test_metrics_that_the_file_lacks_are_nan(make_recording, ephys):
    """Among them quality, which releases before 0.5.0 do not have."""
    units = nwb.read_units(make_recording(changed(ephys, {"units/quality": None})))
    assert set(METRICS) <= set(units)
    assert units["amplitude"].isna().all()
    assert units["snr"].tolist()[2:] == [2.5, 3.5]
    assert units["quality"].tolist() == [None] * 4
    assert units["quality"].dtype == object


def test_the_index_of_spike_times_does_not_wrap(make_recording, ephys):
    """Its type is the smallest that fits, and a difference of unsigned numbers cannot go below zero."""
    many = {
        "units/spike_times": np.zeros(300),
        "units/spike_times_index": np.array([10, 290, 290, 300], "u2"),
    }
    assert nwb.read_units(make_recording(ephys | many))["n_spikes"].tolist() == [10, 280, 0, 10]


def test_waveforms_are_never_touched(make_recording, ephys):
    """Not even looked up: here they are of nonsensical shape."""
    nonsense = {"units/waveform_mean": [1.0], "units/waveform_mean_index": [9]}
    assert len(nwb.read_units(make_recording(ephys | nonsense))) == 4


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"units/peak_channel_id": [100, 5, 6, 6]},
            r"3 units have a peak_channel_id that is not in .*electrodes, the first are \[5, 6\]",
        ),
        ({"units/id": [40, 30, 40, 30]}, "/units/id: 2 ids occur more than once, the first is 30"),
        ({"units/spike_times_index": [2, 1, 5, 6]}, "/units/spike_times_index must ascend"),
        ({"units/spike_times_index": [2, 5, 5, 5]}, "number of spikes, 6, and ends at 5"),
        ({"units/spike_times_index": [2, 5, 6]}, r"/units/spike_times_index has shape \(3,\)"),
        ({"units/snr": ["a", "b", "c", "d"]}, "/units/snr: numbers are expected"),
        ({f"{ELECTRODES}/id": [100, 100, 102, 200, 201, 202]}, "electrodes/id: 1 ids occur more than once"),
        ({f"{ELECTRODES}/probe_id": [7, 7, 7, 8, 8, 9]}, r"no probe of the file has the ids \[9\]"),
        ({"units/peak_channel_id": None}, "/units/peak_channel_id is missing"),
    ],
)
def test_contradictions_are_named(make_recording, ephys, changes, problem):
    with pytest.raises(InvalidContentError, match=problem):
        nwb.read_units(make_recording(changed(ephys, changes)))


def test_a_file_without_probes_says_so(make_recording, root, task):
    with pytest.raises(InvalidContentError, match="/general/extracellular_ephys is missing"):
        nwb.read_probes(make_recording(root | task))
    with pytest.raises(InvalidContentError, match="probe_id is missing"):
        nwb.read_probes(make_recording({"general/extracellular_ephys/probeA@x": 1}))


def test_no_units_give_an_empty_frame(make_recording, ephys):
    none = {path: np.asarray(value)[:0] for path, value in ephys.items() if path.startswith("units/")}
    none["units/quality"] = np.array([], dtype="S4")
    recording = make_recording(ephys | none)
    units = nwb.read_units(recording)
    assert units.empty
    assert units["n_spikes"].dtype == np.int64
    assert list(nwb.iterate_spike_times(recording, units)) == []
