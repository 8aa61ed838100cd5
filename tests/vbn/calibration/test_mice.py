"""Contrasts over mice on simulated ones: p and intervals hold, a rank sum over units does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vbn.calibration.mice import N_MICE, mice_section, score_mice

pytestmark = pytest.mark.simulation

PAGE = Path(__file__).parents[3] / "docs/calibration.md"


def test_contrasts_hold_and_units_taken_as_independent_do_not() -> None:
    score = score_mice(20, 60, seed=0)
    assert score.verdict == "holds"
    assert score.rank_sum > 0.15
    assert score.power > 0.25
    assert score_mice(8, 20, seed=0) == score_mice(8, 20, seed=0) != score_mice(8, 20, seed=1)


def test_the_page_has_a_row_for_each_number_of_mice() -> None:
    text = PAGE.read_text()
    lines = [line for line in mice_section(2, 0) if line.startswith("| ")]
    assert lines[0] in text
    for n_mice in N_MICE:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {n_mice} | ")]
        assert row.split(" | ")[1] == "holds"
        assert 0.03 <= float(row.split(" | ")[2]) <= 0.07
        assert 0.94 <= float(row.split(" | ")[6]) <= 0.99
