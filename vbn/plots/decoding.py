"""Figure of decoding: how well labels are decoded from structures, and how soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vbn.counted import counted
from vbn.plots.bands import GUIDE
from vbn.plots.panels import of_projects, set_titles
from vbn.plots.source_data import name_rows
from vbn.plots.structure_colours import structure_colours
from vbn.plots.style import BLACK, FLASH_GREY, QUIET_GREY, drawing_style, points

Floats = NDArray[np.float64]

TITLES = {
    "image": "Image", "change": "Change", "lick_matched_change": "Change, licks matched",
    "hit": "Hit or miss", "omission": "Omission",
}  # fmt: skip
LEAST_INCHES, INCHES_PER_STRUCTURE, COURSE_INCHES, LABEL_INCHES = 3.4, 0.32, 3.0, 1.75
NULL_SD = 1.645
"""Standard deviations to the quantile .95."""


@dataclass(frozen=True)
class DecodingOfLabel:
    """How well one label is decoded.

    Attributes
    ----------
    label : what is decoded.
    structures, session_ids : (n_rows,) of each row.
    accuracy, random_accuracy : (n_rows,) balanced accuracy, by folds of whole pieces of time and by random
        ones.
    null_mean, null_sd : (n_rows,) of permuted labels; NaN without a null.
    chance : mean over rows.
    courses : structure -> (3, n_windows) ends in seconds, accuracy, quantile .95 of the null; means over
        sessions.
    """

    label: str
    structures: Sequence[str]
    session_ids: Sequence[int]
    accuracy: Floats
    random_accuracy: Floats
    null_mean: Floats
    null_sd: Floats
    chance: float
    courses: Mapping[str, Floats]


@dataclass(frozen=True)
class DecodedLabels:
    """Data of `plot_decoding`.

    Attributes
    ----------
    labels : in the order of the figure.
    order, groups : structures in the order of the figure; structure -> its group.
    n_units, cell_class : units of each draw, and their class.
    parameters, criteria : set of parameters, filter of the units.
    n_sessions, n_mice : numbers that it rests on.
    projects : data set -> its number of sessions; none if it is not known.
    """

    labels: Sequence[DecodingOfLabel]
    order: Sequence[str]
    groups: Mapping[str, str]
    n_units: int
    cell_class: str
    parameters: str
    criteria: str
    n_sessions: int
    n_mice: int
    projects: Mapping[str, int] = field(default_factory=dict)


def plot_decoding(data: DecodedLabels, figure: Figure | None = None) -> Figure:
    """Draw how well labels are decoded from structures.

    Parameters
    ----------
    data : what to draw.
    figure : empty figure to draw into; by default a new one, wider for more structures.

    Returns
    -------
    The figure. ``figure.axes`` are, for each label: accuracy by structure, and over the end of the window.

    Notes
    -----
    Each dot is a session, bars are means over sessions, crosses those of random folds. The grey bands reach
    to the quantile .95 of the null: of normal shape on the left, of the permutations themselves on the right.
    """
    with drawing_style():
        wide = max(LEAST_INCHES, INCHES_PER_STRUCTURE * len(data.order) + 1.0)
        height = 1.3 + LABEL_INCHES * len(data.labels)
        figure = figure or Figure(figsize=(min(wide + COURSE_INCHES, 24.0), height))
        set_titles(figure, "What can be decoded", _notes(data))
        panels = figure.subplots(
            len(data.labels), 2, squeeze=False, width_ratios=(wide, COURSE_INCHES), sharey="row"
        )
        colours = dict(
            zip(data.order, structure_colours([data.groups[name] for name in data.order]), strict=True)
        )
        for (left, right), of_label in zip(panels, data.labels, strict=True):
            _draw_structures(left, of_label, data.order, colours)
            _draw_courses(right, of_label, data.order, colours)
        for axes in panels[:-1, 0]:
            axes.tick_params(labelbottom=False)
        panels[-1, 1].set_xlabel("End of the window (s)")
        figure.align_ylabels(list(panels[:, 0]))
    return figure


def _notes(data: DecodedLabels) -> list[str]:
    units = f"{data.n_units} units" + ("" if data.cell_class == "all" else f" of class {data.cell_class}")
    of = f"{counted(data.n_sessions, 'session')}{of_projects(data.projects)}"
    of += " of 1 mouse" if data.n_mice == 1 else f" of {data.n_mice} mice"
    return [
        f"{units} at a time ({data.criteria}); {of}; {data.parameters}",
        "dots: sessions; bars: means; crosses: folds at random; grey: null up to its quantile .95",
    ]


def _draw_structures(
    axes: Axes, data: DecodingOfLabel, order: Sequence[str], colours: Mapping[str, str]
) -> None:
    names = np.asarray(data.structures, dtype=object)
    limit = data.null_mean + NULL_SD * data.null_sd
    axes.axhline(data.chance, color=QUIET_GREY, linewidth=0.8, linestyle="--", zorder=0.6, gid=GUIDE)
    for place, name in enumerate(order):
        of = np.flatnonzero(names == name)
        if not of.size:
            continue
        if np.isfinite(limit[of]).any():
            below = [2 * np.nanmean(data.null_mean[of]) - np.nanmean(limit[of])] * 2
            axes.fill_between(
                [place - 0.4, place + 0.4], below, [np.nanmean(limit[of])] * 2, color=FLASH_GREY, zorder=0.5,
                linewidth=0, label=f"null of {name}",
            )  # fmt: skip
        x = place + np.linspace(-0.2, 0.2, of.size + 2)[1:-1]
        (dots,) = axes.plot(
            x, data.accuracy[of], "o", color=colours[name], markersize=4, markeredgewidth=0, label=name
        )
        name_rows(dots, [data.session_ids[row] for row in of.tolist()])
        axes.plot(
            [place - 0.3, place + 0.3], [data.accuracy[of].mean()] * 2, color=BLACK, linewidth=1.2, zorder=1.5
        )
        axes.plot(
            [place], [data.random_accuracy[of].mean()], "x", color=BLACK, markersize=4, markeredgewidth=0.8,
            label=f"{name}, folds at random",
        )  # fmt: skip
    axes.set_xticks(range(len(order)), list(order), rotation=90, fontsize=points(8))
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylabel("Accuracy")
    axes.set_title(TITLES[data.label], loc="left", fontsize=points(9))


def _draw_courses(
    axes: Axes, data: DecodingOfLabel, order: Sequence[str], colours: Mapping[str, str]
) -> None:
    axes.axhline(data.chance, color=QUIET_GREY, linewidth=0.8, linestyle="--", zorder=0.6, gid=GUIDE)
    shown = [name for name in order if name in data.courses]
    limits = [data.courses[name][2] for name in shown]
    stops = data.courses[shown[0]][0]
    if np.isfinite(limits).any():
        top = np.nanmax(limits, axis=0)
        axes.fill_between(
            stops, np.full(top.shape, data.chance), top, color=FLASH_GREY, zorder=0.5, linewidth=0,
            label="greatest null",
        )  # fmt: skip
    for name in shown:
        axes.plot(*data.courses[name][:2], color=colours[name], linewidth=1.2, label=name)
    axes.set_xlim(0, float(stops[-1]))
    axes.xaxis.set_major_locator(MaxNLocator(4))
