"""Figure of novelty: responses in novel less familiar sessions, by structure, layer and cell class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vbn.analysis.contrasts import FEWEST_MICE
from vbn.counted import counted
from vbn.plots.panels import of_projects, say, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.style import BLACK, GREEN, ORANGE, PURPLE, QUIET_GREY, drawing_style, points

FLASHES = {
    "change_nonshared_active": "Changes,\nown images (Hz)",
    "repeat_nonshared_active": "Repeats,\nown images (Hz)",
    "repeat_shared_active": "Repeats,\nholdovers (Hz)",
}
"""Kind of flashes -> its label; holdovers are images of both sets, familiar in every session."""
CLASS_COLOURS = {"RS": BLACK, "FS": ORANGE, "Sst": GREEN, "Vip": PURPLE}
ALL_LAYERS = ""
SIGNIFICANT = 0.05
ROW_INCHES, LEAST_INCHES, INCHES_PER_POINT, MARGIN_INCHES = 1.75, 6.4, 0.11, 1.0
TITLES = {ALL_LAYERS: "All layers", "2/3": "Layers 1 and 2/3", "4": "Layer 4", "5": "Layer 5", "6": "Layer 6"}
SHORTEST = {"2/3": "L 1-2/3", "4": "L 4", "5": "L 5", "6": "L 6"}


@dataclass(frozen=True)
class NoveltyContrasts:
    """Data of `plot_novelty`.

    Attributes
    ----------
    table : one row per ``flashes`` (a key of `FLASHES`), ``layer_group`` (`ALL_LAYERS` for all together),
        ``structure_acronym`` and ``cell_class``: what `vbn.analysis.contrasts.Contrast` has, and ``q_value``.
    structures : in the order of the figure.
    n_mice, n_sessions : numbers that all of it rests on.
    criteria, atlas, trajectories : filter of the units, atlas of the layers (None without), and training
        trajectories of the mice (none for all).
    min_units : mice with fewer units in either session are left out of a point.
    projects : data set -> its number of mice; none if it is not known.
    """

    table: pd.DataFrame
    structures: Sequence[str]
    n_mice: int
    n_sessions: int
    criteria: str
    atlas: str | None
    trajectories: Sequence[str]
    min_units: int
    projects: Mapping[str, int] = field(default_factory=dict)

    def of(self, flashes: str, layer: str) -> pd.DataFrame:
        """Return the points of one panel."""
        table = self.table
        return table[(table["flashes"] == flashes) & (table["layer_group"] == layer)]

    @property
    def layers(self) -> list[str]:
        """Return the columns of panels."""
        return [layer for layer in TITLES if (self.table["layer_group"] == layer).any()]

    def structures_of(self, layer: str) -> list[str]:
        """Return the structures of a column of panels."""
        there = set(self.table.loc[self.table["layer_group"] == layer, "structure_acronym"])
        return [name for name in self.structures if name in there]

    @property
    def classes(self) -> list[str]:
        """Return the cell classes that there are."""
        return [name for name in CLASS_COLOURS if (self.table["cell_class"] == name).any()]


def plot_novelty(data: NoveltyContrasts, figure: Figure | None = None) -> Figure:
    """Draw what novelty adds to responses, by structure, layer and cell class.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, wider for more structures.

    Returns
    -------
    The figure. ``figure.axes`` are row by row: changes and repeats of the set's own images, repeats of shared
    ones; a column for all layers, and one for each layer.

    Notes
    -----
    Points are means over mice, with 95 % intervals of a hierarchical bootstrap over mice and units. They are
    filled where q is at most .05, and have no interval if they are of one mouse.
    """
    columns = {layer: data.structures_of(layer) for layer in data.layers}
    widths = [max(len(names), 1) + 0.6 for names in columns.values()]
    with drawing_style():
        if figure is None:
            inches = MARGIN_INCHES + sum(widths) * INCHES_PER_POINT * max(2, len(data.classes))
            figure = Figure(figsize=(max(LEAST_INCHES, inches), 1.6 + ROW_INCHES * len(FLASHES)))
        panels = figure.subplots(
            len(FLASHES), len(columns), sharex="col", sharey="row", width_ratios=widths, squeeze=False
        )
        for row, (flashes, label) in zip(panels, FLASHES.items(), strict=True):
            row[0].set_ylabel(label)
            for axes, (layer, structures) in zip(row, columns.items(), strict=True):
                _draw(axes, data.of(flashes, layer), structures, data.classes)
            row[0].yaxis.set_major_locator(MaxNLocator(5))
        is_narrow = figure.get_figwidth() / sum(widths) * min(widths) < 1.5
        for axes, layer in zip(panels[0], columns, strict=True):
            axes.set_title(SHORTEST.get(layer, TITLES[layer]) if is_narrow else TITLES[layer])
        for axes, structures in zip(panels[-1], columns.values(), strict=True):
            axes.set_xticks(range(len(structures)), structures, rotation=90)
        _add_legend(figure, data.classes)
        figure.align_ylabels(panels[:, 0])
        set_titles(figure, "Responses in novel less familiar sessions", _notes(data))
    return figure


def _draw(axes: Axes, points: pd.DataFrame, structures: Sequence[str], classes: Sequence[str]) -> None:
    axes.set_xlim(-0.6, max(len(structures), 1) - 0.4)
    shown = points[points["n_mice"] > 0]
    if shown.empty:
        say(axes, "too few\nunits or\nflashes")
        return
    axes.axhline(0, color=QUIET_GREY, linewidth=0.6, zorder=0.6)
    shifts = np.linspace(-0.27, 0.27, len(classes)) if len(classes) > 1 else np.zeros(1)
    for shift, name in zip(shifts, classes, strict=True):
        of_class = shown[shown["cell_class"] == name]
        x = of_class["structure_acronym"].map(list(structures).index).to_numpy(float) + shift
        estimate = of_class["estimate"].to_numpy(float)
        limits = of_class[["low", "high"]].to_numpy(float).T
        lengths = np.abs(limits - estimate)  # NaN, and no bar, of few mice
        style: dict[str, Any] = {"color": CLASS_COLOURS[name], "linewidth": 1.2}
        names = of_class["structure_acronym"].to_numpy(object)
        for mark in axes.errorbar(x, estimate, yerr=lengths, fmt="none", **style).get_children():
            mark.set_label(name)
            name_rows(mark, list(names))
        filled = (of_class["q_value"] <= SIGNIFICANT).to_numpy()
        for chosen, face, sign in ((filled, CLASS_COLOURS[name], "<="), (~filled, "white", ">")):
            (line,) = axes.plot(
                x[chosen],
                estimate[chosen],
                "o",
                color=CLASS_COLOURS[name],
                markerfacecolor=face,
                markersize=4.5,
                label=f"{name}, q {sign} {SIGNIFICANT:g}",
            )
            name_rows(line, list(names[chosen]))


def _add_legend(figure: Figure, classes: Sequence[str]) -> None:
    marks = [Line2D([], [], marker="o", linestyle="", color=CLASS_COLOURS[name]) for name in classes]
    figure.legend(marks, classes, loc="upper right", ncols=len(classes), frameon=False, fontsize=points(9),
                  handletextpad=0.1, borderaxespad=0.2)  # fmt: skip


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} mice" if low < high else counted(low, "mouse").replace("mouses", "mice")


def _notes(data: NoveltyContrasts) -> list[str]:
    counts = data.table.loc[data.table["n_mice"] > 0, "n_mice"]
    of_point = "" if counts.empty else f", {_range(counts)} in a point"
    trained = f" trained as {', '.join(data.trajectories)}" if data.trajectories else ""
    mice = counted(data.n_mice, "mouse").replace("mouses", "mice")
    sessions = f"{mice}{of_projects(data.projects)}{trained}, {counted(data.n_sessions, 'session')}{of_point}"
    few = "" if (counts >= FEWEST_MICE).any() else f" (no p with fewer than {FEWEST_MICE} mice)"
    marks = (
        "Means over mice with 95 % intervals over mice and units, none of one mouse; filled: q of at most .05"
    )
    units = f"units that pass {data.criteria}, {data.min_units} or more of a mouse in each session"
    notes = [f"{sessions}; {units}", f"{marks}{few}"]
    return notes if data.atlas else [*notes, "Without layers: no atlas is entered (vbn atlas)"]
