"""Spike times probe by probe; see the fixture `ephys`, whose probes' units are not adjacent."""

from __future__ import annotations

import itertools
import re
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn import nwb
from vbn.errors import InvalidContentError
from vbn.nwb.readers.spikes import adjacent_runs, backward_steps


def read(recording, units=None):
    units = nwb.read_units(recording) if units is None else units
    return {
        name: (
            rows["unit_id"].tolist(),
            rows["spike_offset"].tolist(),
            rows["n_spikes"].tolist(),
            times.tolist(),
        )
        for name, rows, times in nwb.iterate_spike_times(recording, units)
    }


def test_each_probe_has_its_units_one_after_the_other(make_recording, ephys):
    assert read(make_recording(ephys)) == {
        "probeA": ([40, 10], [0, 2], [2, 0], [1.0, 2.0]),
        "probeB": ([30, 20], [0, 3], [3, 1], [0.5, 0.5, 3.0, 4.0]),
    }


def test_offsets_are_int64_and_times_float64(make_recording, ephys):
    recording = make_recording(ephys | {"units/spike_times": np.arange(6, dtype=np.float32)})
    for _, rows, times in nwb.iterate_spike_times(recording, nwb.read_units(recording)):
        assert list(rows) == ["unit_id", "spike_offset", "n_spikes"]
        assert (rows.dtypes == np.int64).all()
        assert times.dtype == np.float64


def test_units_may_be_chosen_and_come_in_file_order(make_recording, ephys):
    recording = make_recording(ephys)
    units = nwb.read_units(recording)
    chosen = units[units["unit_id"].isin([20, 30])].iloc[::-1]
    assert read(recording, chosen) == {"probeB": ([30, 20], [0, 3], [3, 1], [0.5, 0.5, 3.0, 4.0])}
    assert read(recording, units.iloc[:0]) == {}


def test_a_unit_of_another_file_is_a_wrong_argument(make_recording, ephys):
    recording = make_recording(ephys)
    units = nwb.read_units(recording).assign(unit_id=[40, 30, 10, 5])
    with pytest.raises(ValueError, match="1 are not, the first is 5"):
        read(recording, units)


def test_adjacent_units_are_read_in_one_go(make_recording, ephys, monkeypatch):
    """One read per probe where its units are adjacent, as they normally are."""
    reads = []
    read_direct = h5py.Dataset.read_direct

    def count(dataset, *args):
        reads.append(args[1])
        read_direct(dataset, *args)

    monkeypatch.setattr(h5py.Dataset, "read_direct", count)
    grouped = {"units/id": [40, 10, 30, 20], "units/peak_channel_id": [100, 102, 200, 201]}
    read(make_recording(ephys | grouped))
    assert reads == [slice(0, 5), slice(5, 6)]


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (
            [2, 1, 0.5, 0.5, 3, 4],
            "probeA are not ascending in 1 units, first in unit 40 at its spike 1 (1.0 s)",
        ),
        (
            [1, 2, 3, 0.5, 0.2, 4],
            "probeB are not ascending in 1 units, first in unit 30 at its spike 1 (0.5 s)",
        ),
        ([1, 2, 0.5, 0.5, 3, -4], "probeB are negative in 1 units, first in unit 20 at its spike 0 (-4.0 s)"),
        ([1, 2, -1, 0.5, 3, -4], "probeB are negative in 2 units, first in unit 30 at its spike 0 (-1.0 s)"),
        (
            [1, 2, 0, np.nan, 3, 4],
            "probeB are not finite in 1 units, first in unit 30 at its spike 1 (nan s)",
        ),
        (
            [1, np.inf, 0, 0, 3, 4],
            "probeA are not finite in 1 units, first in unit 40 at its spike 1 (inf s)",
        ),
        ([1, -2, 0, 0, 3, 4], "first in unit 40 at its spike 1 (-2.0 s); are negative in 1 units"),
    ],
)
def test_impossible_times_are_refused_with_unit_and_position(make_recording, ephys, times, problem):
    recording = make_recording(ephys | {"units/spike_times": times})
    with pytest.raises(InvalidContentError, match=re.escape(problem)):
        read(recording)


def test_equal_times_are_possible_and_units_may_start_before_the_last_one_ended(make_recording, ephys):
    """Unit 30 has two spikes at 0.5 s, earlier than the last of unit 40."""
    assert len(read(make_recording(ephys))) == 2


def test_a_failure_of_ours_is_noted(make_recording, ephys, monkeypatch):
    recording = make_recording(ephys)
    units = nwb.read_units(recording)
    monkeypatch.setattr("vbn.nwb.readers.spikes.adjacent_runs", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        read(recording, units)
    assert "spike times" in caught.value.__notes__[0]


def test_a_probe_is_let_go_before_the_next_one_is_read(make_recording, ephys):
    recording = make_recording(ephys)
    probes: Any = nwb.iterate_spike_times(recording, nwb.read_units(recording))
    next(probes)
    assert probes.gi_frame.f_locals["spike_times"] is not None
    next(probes)
    probes.close()


@given(st.lists(st.integers(0, 40), unique=True))
def test_runs_cover_exactly_the_rows(rows):
    runs = adjacent_runs(np.array(sorted(rows), dtype=np.int64))
    assert [row for first, last in runs for row in range(first, last + 1)] == sorted(rows)
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(runs))


@given(st.lists(st.lists(st.floats(0, 10, allow_nan=False), max_size=5), max_size=6))
def test_steps_back_are_those_of_a_plain_loop(units):
    """Units may be empty; the first spike of a unit is compared with nothing."""
    wanted, position = [], 0
    for spikes in units:
        for number, time in enumerate(spikes):
            if number and time < spikes[number - 1]:
                wanted.append(position)
            position += 1
    counts = np.array([len(spikes) for spikes in units], dtype=np.int64)
    times = np.array([time for spikes in units for time in spikes])
    assert backward_steps(times, np.cumsum(counts) - counts).tolist() == wanted
