"""Figure of the strategy of a mouse in one session.

From top to bottom, over the session: the weights of the regressors with a standard deviation to each side;
the share of flashes in which a bout of licks begins, and what the model says; bouts and rewards. Grey where
the mouse was engaged. On the right, what is lost without each regressor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.analysis.strategy.model import IDENTIFIED_SD
from vbn.counted import counted
from vbn.plots.panels import SECONDS_PER_MINUTE, set_titles, time_limits_min
from vbn.plots.style import BLACK, BLUE, FLASH_GREY, GREEN, ORANGE, PURPLE, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

FIGURE_SIZE_INCHES = (7.2, 5.6)
REGRESSORS = {
    "bias": ("bias", BLACK),
    "task0": ("changes (visual)", ORANGE),
    "timing1D": ("time since bout", BLUE),
    "omissions": ("omissions", GREEN),
    "omissions1": ("after omissions", PURPLE),
}
"""Regressor -> its name in words, and colour, in order of the legend."""
INDICES = {
    "visual_index": "task0",
    "timing_index": "timing1D",
    "omission_index": "omissions",
    "post_omission_index": "omissions1",
}
WIDEST_BAND = 2.0
"""Standard deviation that is shown in full (1)."""
SMOOTHED_FLASHES = 80
"""Flashes of which the share with a bout is drawn: a minute."""


@dataclass(frozen=True)
class SessionStrategy:
    """Data of `plot_strategy`. Times are seconds on the session clock.

    Attributes
    ----------
    session_id, parameters : id of the session, and name of the set of parameters.
    engagement : name of the definition of engagement.
    label : ``visual``, ``timing`` or ``none``.
    start_time_s : (n_flashes,) start of the flashes that were fitted, ascending.
    weights, weight_sd : regressor -> (n_flashes,) weight and its standard deviation.
    lick_probability : (n_flashes,) probability of a bout, by the weights.
    bout_time_s, reward_time_s : (n_bouts,), (n_rewards,) ascending.
    engaged_epochs_s : (n_epochs, 2) start and stop of the engaged epochs.
    limits_s : first and last time to show.
    indices : name of an index -> its value (%), NaN if there is none.
    auc_cv : area under the ROC curve of flashes that were left out.
    """

    session_id: int
    parameters: str
    engagement: str
    label: str
    start_time_s: Floats
    weights: Mapping[str, Floats]
    weight_sd: Mapping[str, Floats]
    lick_probability: Floats
    bout_time_s: Floats
    reward_time_s: Floats
    engaged_epochs_s: Floats
    limits_s: tuple[float, float]
    indices: Mapping[str, float]
    auc_cv: float

    def __post_init__(self) -> None:
        n_flashes = len(self.start_time_s)
        arrays = [self.lick_probability, *self.weights.values(), *self.weight_sd.values()]
        if not n_flashes or any(len(each) != n_flashes for each in arrays):
            raise ValueError(
                f"All must have one value for each of {n_flashes} flashes, and there must be one."
            )
        if unknown := sorted({*self.weights, *self.weight_sd} - set(REGRESSORS)):
            raise ValueError(f"Unknown regressors {unknown}. Known: {', '.join(REGRESSORS)}.")


def plot_strategy(data: SessionStrategy, figure: Figure | None = None) -> Figure:
    """Draw the strategy of a mouse in a session.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 7.2 x 5.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are the three panels over time from top to bottom, and the indices.
    """
    with drawing_style():
        figure = figure or Figure(figsize=FIGURE_SIZE_INCHES)
        grid = figure.add_gridspec(3, 2, width_ratios=(3.2, 1), height_ratios=(2.4, 1.2, 0.6))
        top = figure.add_subplot(grid[0, 0])
        panels = [top, *(figure.add_subplot(grid[row, 0], sharex=top) for row in (1, 2))]
        beside = figure.add_subplot(grid[:, 1])
        draw_weights(panels[0], data)
        draw_probability(panels[1], data)
        draw_events(panels[2], data)
        draw_indices(beside, data)
        _finish(figure, panels, data)
    return figure


def draw_weights(axes: Axes, data: SessionStrategy) -> None:
    """Draw the weights, with a standard deviation to each side; pale where that says nothing."""
    minutes = data.start_time_s / SECONDS_PER_MINUTE
    for name in (each for each in REGRESSORS if each in data.weights):
        words, colour = REGRESSORS[name]
        weight, sd = data.weights[name], data.weight_sd[name]
        known = sd <= IDENTIFIED_SD
        axes.fill_between(
            minutes, weight - sd, weight + sd, where=known, color=colour, alpha=0.2, linewidth=0
        )
        axes.plot(minutes, weight, color=colour, linewidth=1, alpha=0.4, linestyle=":")
        axes.plot(minutes, np.where(known, weight, np.nan), color=colour, label=words, linewidth=1.2)
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6)
    axes.set_ylim(*_limits(data))
    axes.set_ylabel("Weight")
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0, frameon=False,
        fontsize=points(8.5), handlelength=1.2, columnspacing=1,
    )  # fmt: skip


def _limits(data: SessionStrategy) -> tuple[float, float]:
    """Return limits for the weights: a band that is wide says that nothing is known, and is cut off."""
    weights = np.array(list(data.weights.values()))
    band = np.minimum(np.array([data.weight_sd[name] for name in data.weights]), WIDEST_BAND)
    return float((weights - band).min()) - 0.3, float((weights + band).max()) + 0.3


def draw_probability(axes: Axes, data: SessionStrategy) -> None:
    """Draw the share of flashes with a bout, measured and by the model, as means over a minute."""
    edges = np.append(data.start_time_s, np.inf)
    licked = np.zeros(len(data.start_time_s))
    at = np.searchsorted(edges, data.bout_time_s, side="left") - 1
    # A bout may begin where another one has not ended: in a flash that was not fitted.
    near = (at >= 0) & (at < licked.size)
    near[near] = data.bout_time_s[near] - data.start_time_s[at[near]] <= 0.76
    licked[at[near]] = 1.0
    minutes = data.start_time_s / SECONDS_PER_MINUTE
    axes.plot(minutes, _smoothed(licked), color=QUIET_GREY, linewidth=1.6, label="measured")
    axes.plot(minutes, _smoothed(data.lick_probability), color=ORANGE, linewidth=1.0, label="model")
    axes.set_ylabel("Bouts\nper flash")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 0.97), ncols=2, borderaxespad=0, frameon=False,
        fontsize=points(8.5), handlelength=1.2,
    )  # fmt: skip


def draw_events(axes: Axes, data: SessionStrategy) -> None:
    """Draw the first lick of each bout, and the rewards."""
    for row, (times, colour) in enumerate(((data.reward_time_s, BLUE), (data.bout_time_s, BLACK))):
        height = np.full(len(times), float(row))
        style: dict[str, Any] = {"marker": "|", "markersize": 9, "linestyle": "none", "color": colour}
        axes.plot(times / SECONDS_PER_MINUTE, height, markeredgewidth=0.5, rasterized=True, **style)
    axes.set_yticks([0, 1], ["rewards", "bouts"])
    axes.set_ylim(-0.6, 1.6)


def draw_indices(axes: Axes, data: SessionStrategy) -> None:
    """Draw what is lost without each regressor."""
    known = {name: value for name, value in data.indices.items() if np.isfinite(value)}
    for row, (name, value) in enumerate(known.items()):
        axes.barh(row, value, color=REGRESSORS[INDICES[name]][1], height=0.7)
    axes.set_yticks(range(len(known)), [name.removesuffix("_index").replace("_", " ") for name in known])
    axes.invert_yaxis()
    axes.axvline(0, color=QUIET_GREY, linewidth=0.6)
    axes.set_xlabel("Evidence lost\nwithout it (%)")


def _smoothed(values: Floats) -> Floats:
    """Return the mean of the flashes around each, of as many as there are."""
    weight = np.ones(min(SMOOTHED_FLASHES, values.size))
    total = np.convolve(values, weight, mode="same")
    return np.asarray(total / np.convolve(np.ones(values.size), weight, mode="same"))


def _finish(figure: Figure, panels: list[Axes], data: SessionStrategy) -> None:
    for axes in panels:
        for start, stop in data.engaged_epochs_s / SECONDS_PER_MINUTE:
            axes.axvspan(start, stop, color=FLASH_GREY, linewidth=0, zorder=0.5)
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    panels[0].xaxis.set_major_locator(MaxNLocator(6))
    time_limits_min(panels, *data.limits_s)
    figure.align_ylabels(panels)
    indices = ", ".join(
        f"{name.replace('_', ' ')} {data.indices[name]:.1f} %"
        for name in ("visual_index", "timing_index")
        if np.isfinite(data.indices.get(name, np.nan))
    )
    auc = (
        f"; area under the ROC curve of flashes left out {data.auc_cv:.2f}"
        if np.isfinite(data.auc_cv)
        else ""
    )
    bouts, rewards = counted(len(data.bout_time_s), "bout"), counted(len(data.reward_time_s), "reward")
    bands = f"bands: a standard deviation; dotted where it is above {IDENTIFIED_SD:g}"
    lines = [
        f"{data.label}: {indices}{auc}",
        f"{len(data.start_time_s):,} flashes, {bouts}, {rewards}; set {data.parameters}",
        f"grey: engaged by {data.engagement}; {bands}",
    ]
    set_titles(figure, f"Strategy in session {data.session_id}", lines)
