"""Figure of functional connectivity: which structures have pairs with a peak, and which of them leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import GUIDE
from vbn.plots.panels import of_projects, say, set_titles
from vbn.plots.style import BLUE, ORANGE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_PEAKS = 5
"""A lead score of fewer peaks with a lag says nothing."""
NUMBERED = 14
"""With more structures, cells have no numbers."""
MARGIN_INCHES, CELL_INCHES, MOST_INCHES = 3.2, 0.34, 9.0


@dataclass(frozen=True)
class ConnectivityFigure:
    """Data of `plot_connectivity`.

    Attributes
    ----------
    structures : (n_structures,) acronyms, in the order of the figure.
    n_pairs, n_peaks : (n_structures, n_structures) pairs that were tested, and of these with a peak.
    n_leading, n_following : likewise, peaks with a unit of the structure of the row ahead, and behind.
    n_tested, n_surrogate : pairs that were tested in all, and of these with a peak after jitter.
    n_sessions, n_mice : numbers that it rests on.
    criteria : filter of the units.
    projects : data set -> its number of sessions; none if it is not known.
    lags_s, counts, expected : (n_lags,) correlogram of the highest peak; empty without any.
    pair, pair_structures : ids of its units, and their structures.
    peak_z, peak_lag_s : height in standard deviations, and lag.
    """

    structures: Sequence[str]
    n_pairs: Integers
    n_peaks: Integers
    n_leading: Integers
    n_following: Integers
    n_tested: int
    n_surrogate: int
    n_sessions: int
    n_mice: int
    criteria: str
    projects: Mapping[str, int] = field(default_factory=dict)
    lags_s: Floats = field(default_factory=lambda: np.empty(0))
    counts: Floats = field(default_factory=lambda: np.empty(0))
    expected: Floats = field(default_factory=lambda: np.empty(0))
    pair: tuple[int, int] = (0, 0)
    pair_structures: tuple[str, ...] = ()
    peak_z: float = np.nan
    peak_lag_s: float = np.nan


def plot_connectivity(data: ConnectivityFigure, figure: Figure | None = None) -> Figure:
    """Draw which structures have pairs of units that fire within milliseconds of each other.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, larger for more structures.

    Returns
    -------
    The figure. ``figure.axes`` begin with: share of pairs with a peak, lead score, example.
    """
    with drawing_style():
        side = min(MARGIN_INCHES + CELL_INCHES * len(data.structures), MOST_INCHES)
        figure = figure or Figure(figsize=(2 * side, side + 2.6))
        set_titles(figure, "Units that fire within milliseconds of each other", _notes(data))
        grid = figure.add_gridspec(2, 2, height_ratios=(max(side - 0.6, 1), 2.0))
        share, lead = (figure.add_subplot(grid[0, column]) for column in range(2))
        example = figure.add_subplot(grid[1, :])
        _draw_shares(share, data)
        _draw_leads(lead, data)
        _draw_example(example, data)
    return figure


def _draw_shares(axes: Axes, data: ConnectivityFigure) -> None:
    share = np.divide(
        100.0 * data.n_peaks, data.n_pairs, out=np.full(data.n_pairs.shape, np.nan), where=data.n_pairs > 0
    )
    top = np.nanmax(share, initial=0.0)
    axes.set_title("Pairs with a peak (%)", loc="left", fontsize=points(9))
    _draw_matrix(axes, data, share, "Blues", Normalize(0, top if top > 0 else 1), "{:.3g}")


def _draw_leads(axes: Axes, data: ConnectivityFigure) -> None:
    n = data.n_leading + data.n_following
    score = np.divide(
        data.n_leading - data.n_following, n, out=np.full(n.shape, np.nan), where=n >= MIN_PEAKS
    )
    np.fill_diagonal(score, np.nan)
    axes.set_title("Lead score: +1 where the row leads the column", loc="left", fontsize=points(9))
    _draw_matrix(axes, data, score, "PuOr_r", TwoSlopeNorm(0, -1, 1), "{:+.1f}")
    if not np.isfinite(score).any():
        say(axes, f"no two structures with\n{MIN_PEAKS} peaks at a lag")


def _draw_matrix(
    axes: Axes, data: ConnectivityFigure, values: Floats, colours: str, norm: Normalize, form: str
) -> None:
    """Draw one cell for each row and column; grey where nothing is known."""
    n = len(data.structures)
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, norm=norm, aspect="equal")
    axes.set_facecolor("#E6E6E6")
    axes.set_xticks(range(n), data.structures, rotation=90, fontsize=points(8))
    axes.set_yticks(range(n), data.structures, fontsize=points(8))
    axes.tick_params(length=0)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.locator = MaxNLocator(4)
    if n > NUMBERED:
        return
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        value = values[row, column]
        is_dark = abs(norm(value) - (0.5 if isinstance(norm, TwoSlopeNorm) else 0)) > (
            0.3 if isinstance(norm, TwoSlopeNorm) else 0.6
        )
        axes.text(
            column, row, form.format(value), ha="center", va="center", fontsize=points(7),
            color="white" if is_dark else "black",
        )  # fmt: skip


def _draw_example(axes: Axes, data: ConnectivityFigure) -> None:
    """Draw the correlogram with the highest peak over what jitter leaves."""
    if not data.lags_s.size:
        axes.set_title("Highest peak", loc="left", fontsize=points(9))
        say(axes, "no pair has a peak")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    first, second = (f"{unit} ({name})" for unit, name in zip(data.pair, data.pair_structures, strict=True))
    lag = f"{1000 * data.peak_lag_s:+.0f} ms, z {data.peak_z:.1f}"
    axes.set_title(f"Highest peak: {first} and {second}, {lag}", loc="left", fontsize=points(9))
    axes.axvline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6, gid=GUIDE)
    axes.step(1000 * data.lags_s, data.counts, where="mid", color=BLUE, linewidth=1.0, label="coincidences")
    axes.plot(1000 * data.lags_s, data.expected, color=ORANGE, linewidth=1.3, label="expected by jitter")
    axes.set_xlim(1000 * data.lags_s[0], 1000 * data.lags_s[-1])
    axes.set_ylim(0, 1.1 * max(float(data.counts.max()), 1.0))
    axes.set_xlabel(f"Lag (ms); positive: {data.pair[0]} fires first")
    axes.set_ylabel("Coincidences")
    axes.legend(frameon=False, fontsize=points(8), loc="upper left")


def _notes(data: ConnectivityFigure) -> list[str]:
    mice = counted(data.n_mice, "mouse").replace("mouses", "mice")
    of_sessions = f"{counted(data.n_sessions, 'session')}{of_projects(data.projects)}, {mice}"
    share = f"{data.n_surrogate:,} of {data.n_tested:,} tested pairs have a peak after jitter"
    left = "Neighbours on a probe are left out of the matrices"
    return [f"Units that pass {data.criteria}; {of_sessions}", f"{share}. {left}"]
