"""Labelled bands along an axis: structures along a probe or along the rows of an image.

Labels of narrow bands are moved apart, with a line from each label to its band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from vbn.plots.structure_colours import structure_colours
from vbn.plots.style import points

Floats = NDArray[np.float64]

STRIP_WIDTH, LINE_END, LABEL_AT = 0.2, 0.36, 0.4
LINE_SPACING = 1.15
NOT_LOCATED = "not located"
POINTS_PER_INCH = 72
GUIDE = "guide"
"""Group id of marks that show no number of their own, such as lines to labels."""


@dataclass(frozen=True)
class Band:
    """One interval of an axis.

    Parameters
    ----------
    low, high : limits in the unit of the axis.
    label : text beside the band.
    colour : any matplotlib colour.
    """

    low: float
    high: float
    label: str
    colour: str

    @property
    def centre(self) -> float:
        """Middle of the band."""
        return (self.low + self.high) / 2


def structure_bands(
    edges: ArrayLike, structures: Sequence[str | None], groups: Sequence[str | None]
) -> list[Band]:
    """Return one band for each run of adjacent items in the same structure.

    Parameters
    ----------
    edges : (n + 1,) edges of the n items, such as channels or units.
    structures, groups : (n,) acronyms and groups of the items; None for no structure.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    starts = [row for row, name in enumerate(structures) if row == 0 or name != structures[row - 1]]
    stops = [*starts[1:], len(structures)]
    colours = structure_colours([groups[start] for start in starts])
    return [
        Band(float(bounds[start]), float(bounds[stop]), structures[start] or NOT_LOCATED, colour)
        for start, stop, colour in zip(starts, stops, colours, strict=False)
        if stop > start
    ]


def channel_bands(
    height_um: ArrayLike, structures: Sequence[str | None], groups: Sequence[str | None]
) -> list[Band]:
    """Return the structures along a probe, from the tip upwards.

    Parameters
    ----------
    height_um : (n_channels,) heights of the channels above the tip, in any order.
    structures, groups : (n_channels,) of the channels, see `structure_bands`.
    """
    heights = np.asarray(height_um, dtype=np.float64)
    order = np.argsort(heights, kind="stable")
    sorted_um = heights[order]
    edges = np.concatenate((sorted_um[:1], (sorted_um[:-1] + sorted_um[1:]) / 2, sorted_um[-1:]))
    return structure_bands(edges, [structures[at] for at in order], [groups[at] for at in order])


def draw_bands(
    axes: Axes, bands: Sequence[Band], *, mirrored: bool = False, font_size: float = 8, lines: int = 1
) -> None:
    """Draw bands along the vertical axis, with labels beside them.

    Parameters
    ----------
    axes : axes for the strip and its labels only, with vertical limits already set.
    bands : bands to draw; if not all labels fit, those of the narrowest bands are omitted.
    mirrored : whether the strip is on the right, and the labels to the left of it.
    font_size : font size of the labels in points.
    lines : number of lines of the tallest label.
    """
    axes.set_xlim(*((1, 0) if mirrored else (0, 1)))
    axes.set_xticks([])
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    for band in bands:
        size = (STRIP_WIDTH, band.high - band.low)
        axes.add_patch(Rectangle((0, band.low), *size, facecolor=band.colour, linewidth=0))
    line = lines * points(font_size) * LINE_SPACING / POINTS_PER_INCH * _range(axes) / size_inches(axes)[1]
    shown = _widest(bands, int(_range(axes) / line))
    positions = spread([band.centre for band in shown], [line] * len(shown), *sorted(axes.get_ylim()))
    for band, y in zip(shown, positions, strict=True):
        style: dict[str, Any] = {"color": band.colour, "linewidth": 0.8, "clip_on": False, "gid": GUIDE}
        axes.plot([STRIP_WIDTH, LINE_END], [band.centre, y], **style)
        side = "right" if mirrored else "left"
        axes.text(LABEL_AT, y, band.label, fontsize=points(font_size), ha=side, va="center")


def spread(centres: ArrayLike, sizes: ArrayLike, low: float, high: float) -> Floats:
    """Move labels apart so that none overlap, each as little as possible.

    Parameters
    ----------
    centres : (n,) preferred positions of the labels, ascending.
    sizes : (n,) their extents in the same unit.
    low, high : limits of the labels. Labels that do not fit extend beyond both limits equally.

    Returns
    -------
    (n,) positions, ascending, closest to the preferred ones by least squares, with neighbours at least half
    the sum of their extents apart.

    Raises
    ------
    ValueError
        Unless the centres ascend.
    """
    preferred, extents = np.asarray(centres, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if preferred.size == 0:
        return preferred
    if np.any(np.diff(preferred) < 0):
        raise ValueError("The centres of labels must ascend.")
    distances = np.concatenate(([0.0], np.cumsum((extents[:-1] + extents[1:]) / 2)))
    first, last = low + extents[0] / 2, high - extents[-1] / 2 - distances[-1]
    if last < first:
        first = last = (first + last) / 2
    fitted = isotonic_regression(preferred - distances).x
    return np.asarray(np.clip(fitted, first, last) + distances, dtype=np.float64)


def size_inches(axes: Axes) -> tuple[float, float]:
    """Return width and height of axes, before the layout engine moves them."""
    axes.apply_aspect()  # needed for inset axes
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


def _range(axes: Axes) -> float:
    low, high = axes.get_ylim()
    return abs(high - low)


def _widest(bands: Sequence[Band], count: int) -> list[Band]:
    """Return the given number of widest bands, sorted by position."""
    kept = sorted(bands, key=lambda band: band.low - band.high)[:count]
    return sorted(kept, key=lambda band: band.centre)
