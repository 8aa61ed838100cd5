"""Elements shared by several figures: notes in empty panels, titles, traces over session time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vbn.plots.style import QUIET_GREY, points

Floats = NDArray[np.float64]

SECONDS_PER_MINUTE = 60.0
TITLE_POINTS, SUBTITLE_POINTS = 12, 9
TITLE_LINE_INCHES, SUBTITLE_LINE_INCHES = 0.22, 0.16
MANY_BINS = 400
"""Traces with more bins are drawn with thinner lines."""
CHARACTERS_PER_INCH = 14
"""Approximate, for wrapping subtitles."""
LEAST_PANELS = 0.1
"""Part of a figure's height that is left to panels, however small it is."""
PADS: dict[str, Any] = {"h_pad": 0.05, "hspace": 0.03, "wspace": 0.02}


def of_projects(counts: Mapping[str, int]) -> str:
    """Return what says how many sessions or mice are of which data set; nothing for those of one.

    Examples
    --------
    >>> of_projects({"our-rig": 1, "vbn-release": 102})
    ' (1 of our-rig, 102 of vbn-release)'
    """
    named = ", ".join(f"{number} of {name}" for name, number in counts.items())
    return f" ({named})" if len(counts) > 1 else ""


def draw_ticks(axes: Axes, x: Floats, low: ArrayLike, high: ArrayLike, **style: Any) -> None:
    """Draw vertical ticks as `Axes.vlines` does, whose masked arrays take twice as long; limits stay.

    Parameters
    ----------
    axes : with limits.
    x : (n_ticks,) where.
    low, high : ends, one or (n_ticks,).
    style : of `LineCollection`.
    """
    x, low, high = np.broadcast_arrays(x, low, high)
    ends = np.stack([np.column_stack([x, low]), np.column_stack([x, high])], axis=1)
    axes.add_collection(LineCollection(list(ends), **style), autolim=False)


def given_or_new(
    figure: Figure | None,
    axes: Sequence[Axes] | None,
    size_inches: tuple[float, float],
    height_ratios: Sequence[float],
) -> tuple[Figure, list[Axes]]:
    """Return the panels of a figure, one below the other: those that were given, or new ones.

    Parameters
    ----------
    figure : empty figure to draw into; None for a new one.
    axes : axes to draw into; None for new ones, which share their time axis.
    size_inches : width and height of a new figure.
    height_ratios : heights of the panels, relative to one another.

    Raises
    ------
    ValueError
        If not one of axes is given for each panel, or a figure as well.
    """
    n_panels = len(height_ratios)
    if axes is None:
        figure = figure or Figure(figsize=size_inches)
        panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False, height_ratios=height_ratios)
        return figure, list(panels[:, 0])
    if figure is not None:
        raise ValueError("Draw into a figure or into axes, not both.")
    if len(axes) != n_panels:
        raise ValueError(f"{n_panels} axes are needed, from top to bottom, got {len(axes)}.")
    owner = axes[0].get_figure(root=True)
    assert owner is not None
    return owner, list(axes)


def say(axes: Axes, text: str) -> None:
    """Leave a panel empty, with a note why."""
    axes.tick_params(axis="y", left=False, labelleft=False)  # the ticks themselves may be shared
    style: dict[str, Any] = {"color": QUIET_GREY, "style": "italic", "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **style)


def is_missing(trace: Floats | None) -> bool:
    """Return whether a trace has no value to draw."""
    return trace is None or not np.isfinite(trace).any()


def draw_trace(
    axes: Axes, time_s: Floats, trace: Floats | None, label: str, colour: str, missing: str
) -> None:
    """Draw a trace over session time in minutes, or a note that it is missing."""
    axes.set_ylabel(label)
    if trace is None or is_missing(trace):
        return say(axes, missing)
    width = 1.0 if len(time_s) <= MANY_BINS else 0.6
    axes.plot(time_s / SECONDS_PER_MINUTE, trace, color=colour, linewidth=width)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    return None


def set_titles(figure: Figure, title: str, lines: Iterable[str]) -> None:
    """Write the title, and notes in grey below it; the panels are laid out below both."""
    width = max(int(figure.get_figwidth() * CHARACTERS_PER_INCH / points(1)), 20)
    wrapped = [part for line in lines for part in wrap(line, width)]
    height = figure.get_figheight()
    style: dict[str, Any] = {"x": 0.01, "ha": "left", "va": "top"}
    figure.text(y=1 - 0.06 / height, s=title, fontsize=points(TITLE_POINTS), fontweight="bold", **style)
    below = 1 - (0.06 + points(TITLE_LINE_INCHES)) / height
    figure.text(y=below, s="\n".join(wrapped), fontsize=points(SUBTITLE_POINTS), color=QUIET_GREY, **style)
    top = 1 - (0.12 + points(TITLE_LINE_INCHES + SUBTITLE_LINE_INCHES * len(wrapped))) / height
    figure.set_layout_engine("constrained", rect=(0, 0, 1, max(top, LEAST_PANELS)), **PADS)


def time_limits_min(axes: Sequence[Axes], start_s: float, stop_s: float) -> None:
    """Set the time limits of panels, in minutes, and label the time axis of the last one."""
    for each in axes:
        each.set_xlim(start_s / SECONDS_PER_MINUTE, stop_s / SECONDS_PER_MINUTE)
    axes[-1].set_xlabel("Time in the session (min)")
