"""Diagram of tables as boxes, each to the right of the tables it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vbn.plots.style import drawing_style, points

GROUP_COLOURS = (
    "#999999", "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#CC79A7", "#E69F00", "#AA4499", "#332288",
    "#117733",
)  # fmt: skip
"""Colours of the groups, in order of appearance."""
INCHES_PER_COLUMN, INCHES_PER_ROW = 1.75, 0.34


@dataclass(frozen=True)
class TableDiagram:
    """Data of `plot_tables`.

    Attributes
    ----------
    groups : table -> its group, which determines its colour.
    edges : (upper table, lower table) pairs without a cycle.
    """

    groups: Mapping[str, str]
    edges: tuple[tuple[str, str], ...]

    def levels(self) -> dict[str, int]:
        """Return the length of the longest path to each table."""
        level = dict.fromkeys(self.groups, 0)
        for _ in level:
            raised = dict(level)
            for upper, lower in self.edges:
                raised[lower] = max(raised[lower], level[upper] + 1)
            if raised == level:
                return level
            level = raised
        raise ValueError("The tables refer to each other in a circle.")


def plot_tables(diagram: TableDiagram, figure: Figure | None = None) -> Figure:
    """Draw the tables, with dependencies from left to right.

    Parameters
    ----------
    diagram : the tables.
    figure : empty figure to draw into; by default a new one, as large as needed.
    """
    level = diagram.levels()
    columns = [[name for name in diagram.groups if level[name] == n] for n in range(max(level.values()) + 1)]
    n_rows = max(map(len, columns))
    size = (INCHES_PER_COLUMN * len(columns), INCHES_PER_ROW * n_rows + 0.6)
    with drawing_style():
        figure = figure or Figure(figsize=size)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(-1.0, n_rows)
        axes.set_axis_off()
        positions = {
            name: (float(x), (n_rows - 1) / 2 + (len(column) - 1) / 2 - y)
            for x, column in enumerate(columns)
            for y, name in enumerate(column)
        }
        colours = _colours(diagram)
        for upper, lower in diagram.edges:
            _draw_edge(axes, positions[upper], positions[lower])
        for name, position in positions.items():
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "linewidth": 1.6}
            box["edgecolor"] = colours[diagram.groups[name]]
            axes.text(*position, name, ha="center", va="center", fontsize=points(8), bbox=box)
        for number, (group, colour) in enumerate(colours.items()):
            x = -0.4 + number * (len(columns) - 0.2) / len(colours)
            axes.text(x, -0.8, group, color=colour, fontsize=points(9), fontweight="bold")
    return figure


def _colours(diagram: TableDiagram) -> dict[str, str]:
    groups = list(dict.fromkeys(diagram.groups.values()))
    return {group: GROUP_COLOURS[number % len(GROUP_COLOURS)] for number, group in enumerate(groups)}


def _draw_edge(axes: Axes, upper: tuple[float, float], lower: tuple[float, float]) -> None:
    start, stop = (upper[0] + 0.2, upper[1]), (lower[0] - 0.2, lower[1])
    axes.plot(*zip(start, stop, strict=True), color="#BBBBBB", linewidth=0.7, zorder=0)
