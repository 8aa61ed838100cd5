"""The null of encoding models: what is kept of the counts, what is not, and what p-values it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.vbn.analysis.encoding import sessions
from tests.vbn.analysis.encoding.test_model import SHORT, planted
from vbn.analysis.encoding.design import make_design
from vbn.analysis.encoding.model import encoding_model
from vbn.analysis.encoding.null import NullParameters, encoding_null, shifted_rows

NINE = NullParameters(n_shifts=9, least_shift_s=10.0)
FIXED = replace(SHORT, penalty="fixed", lambda_min=5.0)


def test_shifts_keep_every_count_move_it_far_enough_and_lose_the_phase_of_flashes():
    rows = shifted_rows(29 * 200, NullParameters(n_shifts=19, least_shift_s=30.0), 1)
    assert rows.shape == (19, 29 * 200)
    for each in rows:
        assert sorted(each) == list(range(29 * 200))
        moved = np.abs(each // 29 - np.arange(29 * 200) // 29)
        assert np.minimum(moved, 200 - moved).min() >= 30.0 / 0.725
        phase = (each % 29 - np.arange(29 * 200) % 29) % 29
        assert len(set(phase[::29])) > 20
    np.testing.assert_array_equal(rows, shifted_rows(29 * 200, NullParameters(19, 30.0), 1))
    assert not np.array_equal(rows, shifted_rows(29 * 200, NullParameters(19, 30.0), 2))
    assert len(shifted_rows(29 * 100, NullParameters(19, 60.0), 1)) == 0
    assert len(shifted_rows(29 * 90, NullParameters(19, 30.0), 1)) == 7


def test_units_that_answer_to_flashes_or_licks_have_the_least_p_and_others_any():
    traces = sessions.session(300, seed=2)
    design = make_design(traces, FIXED)
    weights = np.zeros((design.n_columns, 12))
    weights[0] = 0.2
    of = {each.name: each for each in design.columns}
    for name in sessions.IMAGES:  # the same answer to every image
        weights[of[name].index[3:8], 0] = 0.5
    weights[of["lick_bouts"].index, 1] = 1.0
    counts = sessions.poisson_counts(design, weights, 5)
    spikes = sessions.spikes_of(counts, design)
    found = encoding_null(
        spikes, traces, FIXED, np.full(12, 5.0), NINE, 3, ["all_images", "lick_bouts", "absent"]
    )
    assert found.dropout_names == ["all_images", "lick_bouts"]
    assert found.n_shifts == 9
    np.testing.assert_array_equal(found.p_explained[:2], 0.1)
    assert found.p_change[0, 0] == found.p_change[1, 1] == 0.1
    assert found.p_explained[2:].mean() > 0.3
    assert found.p_explained.min() == 0.1
    assert found.p_explained.max() <= 1.0


def test_what_is_compared_with_the_shifts_is_what_the_model_explains(monkeypatch):
    traces = sessions.session(100)
    design, counts = planted(traces, FIXED)
    spikes = sessions.spikes_of(counts, design)
    result = encoding_model(*spikes, traces, FIXED, 7)
    seen = []
    from vbn.analysis.encoding.ridge import Solver

    original = Solver.raw_explained

    def watched(self, whole, change_of=()):
        seen.append(original(self, whole, change_of))
        return seen[-1]

    monkeypatch.setattr(Solver, "raw_explained", watched)
    encoding_null(spikes, traces, FIXED, np.full(6, 5.0), NINE, 7, result.dropout_names)
    explained, changes = seen[0]
    np.testing.assert_allclose(explained, result.explained_raw, atol=1e-10)
    np.testing.assert_allclose(changes.T, result.raw_change, atol=1e-10)


@pytest.mark.parametrize("n_flashes", [0, 1, 9, 30])
def test_blocks_that_are_too_short_have_no_p_values(n_flashes):
    spikes = np.linspace(0, 60, 100), np.array([0]), np.array([100])
    found = encoding_null(
        spikes, sessions.session(n_flashes), SHORT, np.ones(1), NullParameters(), 0, ["hits"]
    )
    assert found.n_shifts == 0
    assert np.isnan(found.p_explained).all()


def test_a_null_without_shifts_is_refused():
    with pytest.raises(ValueError, match="one shift or more"):
        NullParameters(n_shifts=0)
