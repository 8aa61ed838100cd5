"""Figures of encoding models: what drives one unit, and what drives the units of populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.analysis.encoding.parameters import BIN_S
from vbn.counted import counted
from vbn.plots.bands import GUIDE
from vbn.plots.panels import of_projects, say, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.style import (
    AMBER,
    BLACK,
    BLUE,
    FLASH_GREY,
    GREEN,
    ORANGE,
    PURPLE,
    QUIET_GREY,
    SKY_BLUE,
    drawing_style,
    points,
)

Floats = NDArray[np.float64]

COLUMN_LABELS = {
    "images": "images", "omissions": "omissions", "task": "hits, misses", "running": "running",
    "pupil": "pupil", "licks": "licks",
}  # fmt: skip
"""Word of a column of `encoding.EncodingModel.Unit` -> its label."""
COLOURS = {
    "images": BLUE, "omissions": SKY_BLUE, "task": ORANGE, "running": GREEN, "pupil": PURPLE, "licks": AMBER,
}  # fmt: skip
KERNEL_COLOURS = {
    "omissions": SKY_BLUE, "hits": ORANGE, "misses": QUIET_GREY, "changes": ORANGE, "running": GREEN,
    "pupil": PURPLE, "licks": AMBER, "lick_bouts": AMBER,
}  # fmt: skip
TASK_EVENTS = ("hits", "misses", "changes", "omissions")
STATES = {"running": "running (per SD)", "pupil": "pupil (per SD)", "licks": "licks", "lick_bouts": "licks"}
CONDITION_LABELS = {"repeats": "Repeated", "hits": "Hits", "misses": "Misses", "omissions": "Omissions"}
FLASH_S, PERIOD_S = 0.25, 0.75
ROOM_FOR_LEGEND = 1.35
MOST_DOTS = 2000
LEAST_LOSS = 0.004
LEAST_VISIBLE = LEAST_LOSS / 200  # on that axis, half a point
NOTHING_LOST = "nothing is lost without\nany of its kernels"
LEAST_INCHES, INCHES_PER_GROUP, MARGIN_INCHES = 6.4, 0.34, 1.2


@dataclass(frozen=True)
class EncodingUnit:
    """Data of `plot_encoding_unit`.

    Attributes
    ----------
    unit_id, parameters : id of the unit, name of the set of parameters.
    variance_explained, is_explained : of left-out bins; whether it is more than the threshold.
    psth_correlation : of predicted and measured rates; NaN if unknown.
    change : dropout -> variance explained without it, less with it.
    kernels : kernel -> (2, n_weights) lags in seconds, weights in Hz (per SD of a trace).
    n_flashes : condition -> number of flashes.
    predicted_hz, measured_hz : condition -> (n_bins,) mean rates in bins of 25 ms.
    """

    unit_id: int
    parameters: str
    variance_explained: float
    is_explained: bool
    psth_correlation: float
    change: Mapping[str, float]
    kernels: Mapping[str, Floats]
    n_flashes: Mapping[str, int]
    predicted_hz: Mapping[str, Floats]
    measured_hz: Mapping[str, Floats]


@dataclass(frozen=True)
class EncodingPopulation:
    """Data of `plot_encoding`.

    Attributes
    ----------
    groups : (n_units,) group of each unit.
    order : the groups in the order of the figure.
    by : what divides the units.
    unit_ids : (n_units,).
    is_explained, variance_explained : (n_units,).
    change : key of `COLUMN_LABELS` -> (n_units,) variance explained without these kernels, less with them;
        NaN where the model has none.
    n_sessions, n_mice : numbers that it rests on.
    parameters, criteria, block : set of parameters, filter of the units, active or passive.
    projects : data set -> its number of sessions; none if it is not known.
    """

    groups: Sequence[str]
    order: Sequence[str]
    by: str
    unit_ids: Sequence[int]
    is_explained: NDArray[np.bool_]
    variance_explained: Floats
    change: Mapping[str, Floats]
    n_sessions: int
    n_mice: int
    parameters: str
    criteria: str
    block: str
    projects: Mapping[str, int] = field(default_factory=dict)


def plot_encoding_unit(data: EncodingUnit, figure: Figure | None = None) -> Figure:
    """Draw what drives one unit.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one of 8 x 6.6 inches.

    Returns
    -------
    The figure. ``figure.axes`` are: dropouts; the kernels of images, of events of the task, of running, pupil
    and licks; then predicted over measured rates of each condition.
    """
    with drawing_style():
        figure = figure or Figure(figsize=(8.0, 6.6))
        explained = "" if data.is_explained else ", not above the threshold"
        correlation = f", PSTH r {data.psth_correlation:.2f}" if np.isfinite(data.psth_correlation) else ""
        line = f"variance explained {data.variance_explained:.4f}{explained}{correlation}"
        set_titles(figure, f"Unit {data.unit_id}: encoding model", [f"{line}; {data.parameters}"])
        outer = figure.add_gridspec(2, 1, height_ratios=(1.5, 1))
        above = outer[0].subgridspec(3, 2, width_ratios=(1, 1.25))
        bars = figure.add_subplot(above[:, 0])
        kernels = [figure.add_subplot(above[row, 1]) for row in range(3)]
        conditions = [name for name in CONDITION_LABELS if name in data.measured_hz]
        below = outer[1].subgridspec(1, max(len(conditions), 1))
        draw_dropouts(bars, data)
        draw_kernels(kernels, data)
        first = None
        for column, name in enumerate(conditions):
            axes = figure.add_subplot(below[column], sharey=first)
            draw_predicted(axes, data, name, is_first=first is None)
            first = first or axes
    return figure


def draw_dropouts(axes: Axes, data: EncodingUnit, *, most: int = 20) -> None:
    """Draw what is lost without each kernel or group, the greatest loss first."""
    axes.set_title("Lost without", loc="left", fontsize=points(9))
    order = sorted(data.change, key=lambda name: (data.change[name], name))[:most]
    loss = np.array([-data.change[name] for name in order])
    if loss.max(initial=0.0) < LEAST_VISIBLE:
        say(axes, NOTHING_LOST)
        axes.set_xticks([])
        return
    rows = np.arange(loss.size)
    axes.barh(rows, loss, color=[_dropout_colour(name) for name in order], height=0.7)
    axes.set_yticks(rows, [_words(name) for name in order], fontsize=points(8))
    axes.set_ylim(loss.size - 0.4, -0.6)
    axes.set_xlim(0, max(float(loss.max(initial=0.0)) * 1.05, LEAST_LOSS))
    axes.axvline(data.variance_explained, color=BLACK, linewidth=0.9, linestyle="--")
    if data.variance_explained > axes.get_xlim()[1]:
        axes.set_xlim(0, data.variance_explained * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("Variance explained (dashed: all)")


def draw_kernels(axes: Sequence[Axes], data: EncodingUnit) -> None:
    """Draw the kernels of images, of events of the task, and of running, pupil and licks."""
    others = {*KERNEL_COLOURS, "intercept", "drift"}
    images = [name for name in data.kernels if name not in others]
    shades = np.linspace(0.25, 1.0, max(len(images), 1))
    kinds = (
        ("Images", {name: (BLUE, shade) for name, shade in zip(images, shades, strict=False)}),
        ("Events", {name: (KERNEL_COLOURS[name], 1.0) for name in TASK_EVENTS if name in data.kernels}),
        ("States", {name: (KERNEL_COLOURS[name], 1.0) for name in STATES if name in data.kernels}),
    )
    for panel, (title, chosen) in zip(axes, kinds, strict=True):
        panel.set_title(f"Kernels: {title.lower()}", loc="left", fontsize=points(9))
        panel.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6, gid=GUIDE)
        if not chosen:
            say(panel, "none")
            panel.set_xticks([])
            continue
        for name, (colour, alpha) in chosen.items():
            lags, weights = data.kernels[name]
            label = STATES.get(name, _words(name))
            panel.plot(lags + BIN_S / 2, weights, color=colour, alpha=alpha, linewidth=1.1, label=label)
        panel.yaxis.set_major_locator(MaxNLocator(3))
        panel.set_ylabel("Hz")
        if title == "Images":
            panel.axvspan(0, FLASH_S, color=FLASH_GREY, zorder=0.5, linewidth=0)
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.05)}
        place["ncols"] = 2 if len(chosen) > 4 else 1
        panel.legend(
            fontsize=points(7), frameon=False, handlelength=0.8, labelspacing=0.2, columnspacing=0.6, **place
        )
    axes[-1].set_xlabel("Time from event (s, in bins of flashes)")


def draw_predicted(axes: Axes, data: EncodingUnit, condition: str, *, is_first: bool = True) -> None:
    """Draw the rate that the model predicts over the measured one, around the flashes of a condition."""
    measured, predicted = data.measured_hz[condition], data.predicted_hz[condition]
    # Bins of a flash leave out what is left of its period.
    per_flash = measured.size // 2
    at = np.arange(measured.size)
    time = (at % per_flash + 0.5) * BIN_S + at // per_flash * PERIOD_S
    for start in (0.0, PERIOD_S):
        if condition != "omissions" or start:
            axes.axvspan(start, start + FLASH_S, color=FLASH_GREY, zorder=0.5, linewidth=0)
    axes.plot(time, measured, color=QUIET_GREY, linewidth=1.0, label="measured")
    axes.plot(time, predicted, color=ORANGE, linewidth=1.3, label="predicted")
    count = data.n_flashes[condition]
    axes.set_title(f"{CONDITION_LABELS[condition]} ({count:,})", loc="left", fontsize=points(9))
    axes.set_xlim(0, 2 * PERIOD_S)
    every = [*data.measured_hz.values(), *data.predicted_hz.values()]
    low, high = (float(of(np.concatenate(every))) for of in (np.min, np.max))
    axes.set_ylim(min(low, 0.0), ROOM_FOR_LEGEND * high if high > 0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_xlabel("Time (s)")
    if is_first:
        axes.set_ylabel("Rate (Hz)")
        axes.legend(
            fontsize=points(7), frameon=False, loc="upper left", ncols=2, handlelength=0.8, columnspacing=0.8,
            borderaxespad=0.1, handletextpad=0.4,
        )  # fmt: skip
    else:
        axes.tick_params(labelleft=False)


def _words(name: str) -> str:
    """Return a kernel or group in words."""
    if name.startswith("im") and name.endswith("_r"):
        return name.removesuffix("_r")
    return name.replace("_", " ")


def _dropout_colour(name: str) -> str:
    if name in KERNEL_COLOURS:
        return KERNEL_COLOURS[name]
    return {"task": ORANGE, "behavioral": GREEN}.get(name, BLUE)


def plot_encoding(data: EncodingPopulation, figure: Figure | None = None) -> Figure:
    """Draw what drives the units of populations.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, wider for more groups.

    Returns
    -------
    The figure. ``figure.axes`` are: variance explained, then what is lost without each kind of kernels.

    Notes
    -----
    Each dot is a unit, grey where its model is not above the threshold; bars are means over the explained
    units. With more than `MOST_DOTS` units, dots are left out, in each group by the same share.
    """
    with drawing_style():
        kinds = [name for name in COLUMN_LABELS if np.isfinite(data.change[name]).any()]
        width = max(LEAST_INCHES, MARGIN_INCHES + INCHES_PER_GROUP * len(data.order))
        figure = figure or Figure(figsize=(min(width, 24.0), 2.0 + 1.15 * (1 + len(kinds))))
        set_titles(figure, "What drives the units", _notes(data))
        panels = figure.subplots(1 + len(kinds), 1, sharex=True, squeeze=False)[:, 0]
        _draw_groups(panels[0], data, data.variance_explained, BLACK)
        panels[0].set_ylabel("Explained")
        for axes, name in zip(panels[1:], kinds, strict=True):
            _draw_groups(axes, data, -data.change[name], COLOURS[name])
            axes.set_ylabel(COLUMN_LABELS[name].capitalize().replace(", ", ",\n"))
        _name_groups(panels[-1], data)
        figure.align_ylabels(list(panels))
    return figure


def _draw_groups(axes: Axes, data: EncodingPopulation, values: Floats, colour: str) -> None:
    """Draw a dot for each unit, and the mean of the explained ones of each group."""
    place = {name: number for number, name in enumerate(data.order)}
    x = np.array([place[name] for name in data.groups], dtype=float)
    rng = np.random.default_rng(0)
    known = np.isfinite(values)
    step = max(1, -(-len(x) // MOST_DOTS))
    shown = known & (_places_within(x) % step == 0)
    spread = x + rng.uniform(-0.3, 0.3, size=x.size)
    style: dict[str, Any] = {
        "linestyle": "none", "marker": "o", "markeredgewidth": 0,
        "markersize": 4.5 if known.sum() < 60 else 2.6,
    }  # fmt: skip
    for chosen, shade, label, alpha in (
        (shown & ~data.is_explained, "#BBBBBB", "not explained", 0.6),
        (shown & data.is_explained, colour, "explained", 0.5),
    ):
        (dots,) = axes.plot(spread[chosen], values[chosen], color=shade, alpha=alpha, label=label, **style)
        name_rows(dots, [data.unit_ids[unit] for unit in np.flatnonzero(chosen).tolist()])
    for number in range(len(data.order)):
        of_group = values[known & data.is_explained & (x == number)]
        if of_group.size:
            axes.plot(
                [number - 0.38, number + 0.38], [of_group.mean()] * 2, color=BLACK, linewidth=1.2, zorder=1.5
            )
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6, gid=GUIDE)
    top = float(np.nanpercentile(values[known], 99.5)) if known.any() else 0.0
    greatest = float(values[known].max()) if known.any() else 0.0
    # A single unit far above all others would press them into a line.
    lowest = float(values[known].min()) if known.any() else 0.0
    below = max(1.1 * lowest, -0.3 * max(top, 0.005))  # a refit without useless kernels is a little better
    axes.set_ylim(
        min(below, -0.04 * max(top, 0.005)), 1.12 * max(top if greatest > 3 * top > 0 else greatest, 0.005)
    )
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _places_within(groups: Floats) -> NDArray[np.int64]:
    """Return how many units of its group are before each: of no group all dots are left out."""
    found = np.zeros(groups.size, np.int64)
    for group in np.unique(groups):
        found[groups == group] = np.arange(np.sum(groups == group))
    return found


def _name_groups(axes: Axes, data: EncodingPopulation) -> None:
    counts = [sum(name == group for group in data.groups) for name in data.order]
    labels = [f"{name}\n{count}" for name, count in zip(data.order, counts, strict=True)]
    is_long = len(labels) > 14 or max(map(len, data.order), default=0) > 10
    names = [label.replace("\n", "  ") for label in labels] if is_long else labels
    axes.set_xticks(range(len(names)), names, fontsize=points(8), rotation=90 if is_long else 0)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _notes(data: EncodingPopulation) -> list[str]:
    n = len(data.groups)
    explained = int(data.is_explained.sum())
    mice = counted(data.n_mice, "mouse").replace("mouses", "mice")
    passing = f"that {'passes' if n == 1 else 'pass'} {data.criteria}"
    of_units = f"{counted(n, 'unit')} {passing}, {explained:,} of them explained"
    sessions = f"{counted(data.n_sessions, 'session')}{of_projects(data.projects)}"
    of_set = f"{sessions}, {mice}; {data.block} block, {data.parameters}"
    marks = "Dots: units, grey where not explained; bars: means over explained units. Numbers below: units"
    lost = "Variance explained, and what is lost of it without the kernels of a kind"
    return [f"{of_units}; {of_set}", f"{lost}. {marks}"]
