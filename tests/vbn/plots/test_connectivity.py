"""The figure of functional connectivity: what stands where, with few and many structures, what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vbn.plots.connectivity import MIN_PEAKS, NUMBERED, ConnectivityFigure, plot_connectivity


def make_figure(n: int, n_leading: int = 6, **changed: Any) -> ConnectivityFigure:
    above = np.triu(np.ones((n, n), dtype=np.int64), 1)
    fields: dict[str, Any] = {
        "structures": [f"S{number}" for number in range(n)], "n_pairs": np.full((n, n), 200),
        "n_peaks": n_leading * (above + above.T), "n_leading": n_leading * above,
        "n_following": n_leading * above.T, "n_tested": 200 * n * n, "n_surrogate": 1, "n_sessions": 2,
        "n_mice": 1, "criteria": "bennett_2025",
    }  # fmt: skip
    return ConnectivityFigure(**{**fields, **changed})


@pytest.mark.parametrize("n", [1, 2, 6, 30])
def test_rows_that_lead_are_positive(n: int) -> None:
    figure = plot_connectivity(make_figure(n))
    share, lead, example = figure.axes[:3]
    shares, scores = (np.ma.filled(axes.images[0].get_array(), np.nan) for axes in (share, lead))
    off = ~np.eye(n, dtype=bool)
    assert (shares[off] == 3.0).all()
    assert np.isnan(np.diag(scores)).all()
    assert (scores[np.triu_indices(n, 1)] == 1).all()
    assert (scores[np.tril_indices(n, -1)] == -1).all()
    assert [label.get_text() for label in share.get_yticklabels()] == [f"S{number}" for number in range(n)]
    assert len(share.texts) == (n * n if n <= NUMBERED else 0)
    assert "no pair has a peak" in [text.get_text() for text in example.texts]


def test_a_score_of_few_peaks_is_not_shown() -> None:
    figure = plot_connectivity(make_figure(3, n_leading=MIN_PEAKS - 1))
    assert np.ma.getmaskarray(figure.axes[1].images[0].get_array()).all()
    assert any("no two structures" in text.get_text() for text in figure.axes[1].texts)


def test_structures_whose_pairs_were_not_tested_are_empty() -> None:
    figure = plot_connectivity(make_figure(2, n_pairs=np.zeros((2, 2), dtype=np.int64)))
    assert np.ma.getmaskarray(figure.axes[0].images[0].get_array()).all()


def test_the_highest_peak_is_drawn_over_what_jitter_leaves() -> None:
    lags = 0.001 * np.arange(-100, 101)
    counts = np.where(np.arange(201) == 103, 60.0, 10.0)
    example = {
        "lags_s": lags, "counts": counts, "expected": np.full(201, 11.0), "pair": (7, 9),
        "pair_structures": ("VISp", "LP"), "peak_z": 12.34, "peak_lag_s": 0.003,
    }  # fmt: skip
    axes = plot_connectivity(make_figure(2, **example)).axes[2]
    assert axes.get_title(loc="left") == "Highest peak: 7 (VISp) and 9 (LP), +3 ms, z 12.3"
    assert axes.get_xlabel() == "Lag (ms); positive: 7 fires first"
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), counts)
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), np.full(201, 11.0))
