"""When a recording ends."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vbn.nwb.readers.recording_end import last_spikes


def test_last_spikes_are_found_per_unit_and_silent_units_have_none() -> None:
    """Unit 7 has spikes 1 and 2 s, unit 8 none, unit 9 one at 5 s."""
    units = pd.DataFrame({"unit_id": [7, 8, 9], "spike_offset": [0, 2, 2], "n_spikes": [2, 0, 1]})
    assert last_spikes(units, np.array([1.0, 2.0, 5.0])) == {7: 2.0, 9: 5.0}


def test_a_probe_without_spikes_has_no_last_ones() -> None:
    units = pd.DataFrame({"unit_id": [7], "spike_offset": [0], "n_spikes": [0]})
    assert last_spikes(units, np.empty(0)) == {}
