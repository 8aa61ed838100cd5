"""Planted synapses: who fires after whom, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vbn.synthetic import SyntheticSettings
from vbn.synthetic.dataset import session_truth
from vbn.synthetic.simulate import simulate_session
from vbn.synthetic.synapses import DELAY_S, SHARE

SETTINGS = SyntheticSettings(sessions=1, seed=3, minutes=6, probes=1, units_per_probe=30, synapses=3)


def coincidences(sender: np.ndarray, receiver: np.ndarray, delay_s: float) -> int:
    """Count spikes of the receiver within a millisecond of so long after one of the sender's."""
    low, high = (np.searchsorted(receiver, sender + delay_s + edge) for edge in (-0.001, 0.001))
    return int((high - low).sum())


def test_planted_units_fire_after_their_senders_and_the_others_as_before() -> None:
    planted, plain = (simulate_session(each, 0) for each in (SETTINGS, replace(SETTINGS, synapses=0)))
    assert plain.synapses == {}
    assert len(planted.synapses) == 3
    assert len({*planted.synapses, *planted.synapses.values()}) == 6
    with_them, without = list(planted.spike_trains()), list(plain.spike_trains())
    for row, (train, before) in enumerate(zip(with_them, without, strict=True)):
        if row not in planted.synapses:
            assert np.array_equal(train, before)
            continue
        sender = with_them[planted.synapses[row]]
        assert 0.5 * SHARE * sender.size < train.size - before.size < 1.5 * SHARE * sender.size
        beside = np.mean([coincidences(sender, train, delay) for delay in (0.01, -0.01, 0.015)])
        assert coincidences(sender, train, DELAY_S) > beside + 0.5 * SHARE * sender.size
        assert (np.diff(train) > 0).all()
        assert train[-1] < planted.end_s


def test_the_truth_names_the_pairs_only_where_some_were_asked_for() -> None:
    planted, plain = (simulate_session(each, 0) for each in (SETTINGS, replace(SETTINGS, synapses=0)))
    units = [unit.unit_id for unit in planted.units]
    pairs = session_truth(planted, [0] * len(units))["synapses"]
    assert pairs == [[units[first], units[second]] for second, first in planted.synapses.items()]
    assert "synapses" not in session_truth(plain, [0] * len(units))


@pytest.mark.parametrize("value", [-1, 1001, 2.5])
def test_numbers_that_cannot_be_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="synapses must be a whole number from 0 to 1000"):
        SyntheticSettings(synapses=value)


def test_few_units_have_fewer_synapses() -> None:
    few = simulate_session(replace(SETTINGS, units_per_probe=15, synapses=50), 0)
    assert len(few.synapses) < 8
