"""Several probes' spikes as one array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbn.analysis.spikes.trains import SpikePieces, unit_trains

TRAINS = st.lists(st.lists(st.floats(0, 10), max_size=5).map(sorted), max_size=4)


@given(st.lists(TRAINS, max_size=4))
def test_pieces_give_the_trains_of_the_whole_array(probes: list[list[list[float]]]) -> None:
    pieces = [np.array([spike for train in probe for spike in train], dtype=float) for probe in probes]
    trains = [train for probe in probes for train in probe]
    counts = np.array([len(train) for train in trains], dtype=np.int64)
    offsets = np.cumsum(counts) - counts
    found = list(unit_trains(SpikePieces(pieces), offsets, counts))
    whole = list(unit_trains(np.asarray(SpikePieces(pieces)), offsets, counts))
    assert [train.tolist() for train in found] == [train.tolist() for train in whole] == trains


def test_a_train_is_a_view_of_its_piece() -> None:
    piece = np.arange(5.0)
    (train,) = unit_trains(SpikePieces([np.zeros(3), piece]), [4], [2])
    assert np.shares_memory(train, piece)
    assert train.tolist() == [1.0, 2.0]


def test_a_train_over_two_pieces_is_refused() -> None:
    with pytest.raises(ValueError, match="do not lie in one piece"):
        list(unit_trains(SpikePieces([np.zeros(3), np.zeros(3)]), [2], [2]))


def test_without_pieces_there_are_no_spikes() -> None:
    assert list(unit_trains(SpikePieces([]), [], [])) == []
    assert [train.size for train in unit_trains(SpikePieces([]), [0], [0])] == [0]
