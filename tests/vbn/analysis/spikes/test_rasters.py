from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis import TimeAxis
from vbn.analysis.spikes.psth import count_spikes
from vbn.analysis.spikes.rasters import spikes_around

TIMES = st.lists(st.integers(0, 400), max_size=30).map(lambda ticks: np.array(ticks, dtype=float) / 16)


@given(TIMES, TIMES)
def test_spikes_are_found_around_each_event_in_its_row(spikes, events):
    train = np.sort(spikes)
    time_s, event = spikes_around(train, events, -0.5, 1.0)
    expected = [
        (row, spike - onset)
        for row, onset in enumerate(events)
        for spike in train
        if -0.5 <= spike - onset < 1.0
    ]
    assert list(zip(event.tolist(), time_s.tolist(), strict=True)) == expected


@given(TIMES, TIMES)
def test_a_raster_holds_the_spikes_that_the_histogram_counts(spikes, events):
    train, axis = np.sort(spikes), TimeAxis(-0.5, 1.0, 0.25)
    time_s, _ = spikes_around(train, events, axis.start_s, axis.stop_s)
    counts = count_spikes(train, [0], [train.size], events, axis).total[0]
    assert np.histogram(time_s, [*axis.edges_s[:-1], np.inf])[0].tolist() == counts.tolist()
