"""Labelled bands along an axis: structures along a probe or among the rows of an image.

Narrow bands have their labels moved apart, with a line from each label to its band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from vbn.plots.structure_colours import structure_colours

Floats = NDArray[np.float64]

STRIP_WIDTH, LINE_END, LABEL_AT = 0.2, 0.36, 0.4
LINE_SPACING = 1.15
NOT_LOCATED = "not located"
POINTS_PER_INCH = 72


@dataclass(frozen=True)
class Band:
    """One stretch of an axis.

    Parameters
    ----------
    low, high : in the axis' unit.
    label : what stands beside it.
    colour : any that matplotlib knows.
    """

    low: float
    high: float
    label: str
    colour: str

    @property
    def centre(self) -> float:
        """Middle of the stretch."""
        return (self.low + self.high) / 2


def structure_bands(
    edges: ArrayLike, structures: Sequence[str | None], groups: Sequence[str | None]
) -> list[Band]:
    """Return one band for each run of neighbours in the same structure.

    Parameters
    ----------
    edges : (n + 1,) where each of the n neighbours begins, and where the last one ends.
    structures, groups : (n,) acronyms and groups; None for no structure.
    """
    bounds = np.asarray(edges, dtype=np.float64)
    starts = [at for at, name in enumerate(structures) if at == 0 or name != structures[at - 1]]
    stops = [*starts[1:], len(structures)]
    colours = structure_colours([groups[start] for start in starts])
    return [
        Band(float(bounds[start]), float(bounds[stop]), structures[start] or NOT_LOCATED, colour)
        for start, stop, colour in zip(starts, stops, colours, strict=False)
        if stop > start
    ]


def draw_bands(
    axes: Axes, bands: Sequence[Band], *, mirrored: bool = False, font_size: float = 8, lines: int = 1
) -> None:
    """Draw bands along the vertical axis, and their labels beside them.

    Parameters
    ----------
    axes : whose vertical limits are set already; it is used up by the strip and its labels.
    bands : what to draw; where the labels do not all fit, those of the narrowest bands are left out.
    mirrored : whether the strip is on the right, and the labels on its left.
    font_size : points.
    lines : of the highest label.
    """
    axes.set_xlim(*((1, 0) if mirrored else (0, 1)))
    axes.set_xticks([])
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    for band in bands:
        size = (STRIP_WIDTH, band.high - band.low)
        axes.add_patch(Rectangle((0, band.low), *size, facecolor=band.colour, linewidth=0))
    line = lines * font_size * LINE_SPACING / POINTS_PER_INCH * _range(axes) / size_inches(axes)[1]
    shown = _widest(bands, int(_range(axes) / line))
    places = spread([band.centre for band in shown], [line] * len(shown), *sorted(axes.get_ylim()))
    for band, place in zip(shown, places, strict=True):
        axes.plot(
            [STRIP_WIDTH, LINE_END], [band.centre, place], color=band.colour, linewidth=0.8, clip_on=False
        )
        side = "right" if mirrored else "left"
        axes.text(LABEL_AT, place, band.label, fontsize=font_size, ha=side, va="center")


def spread(centres: ArrayLike, sizes: ArrayLike, low: float, high: float) -> Floats:
    """Move labels apart so that none overlap, each as little as can be.

    Parameters
    ----------
    centres : (n,) ascending, where the labels would best be.
    sizes : (n,) their extents in the same unit.
    low, high : limits of the labels. Labels that do not fit are laid out evenly, beyond the limits.

    Returns
    -------
    (n,) ascending; by least squares, neighbours at least half of both their extents apart.

    Raises
    ------
    ValueError
        Unless the centres ascend.
    """
    wanted, extents = np.asarray(centres, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if wanted.size == 0:
        return wanted
    if np.any(np.diff(wanted) < 0):
        raise ValueError("The centres of labels must ascend.")
    distances = np.concatenate(([0.0], np.cumsum((extents[:-1] + extents[1:]) / 2)))
    first, last = low + extents[0] / 2, high - extents[-1] / 2 - distances[-1]
    if last < first:
        first = last = (first + last) / 2
    fitted = isotonic_regression(wanted - distances).x
    return np.asarray(np.clip(fitted, first, last) + distances, dtype=np.float64)


def size_inches(axes: Axes) -> tuple[float, float]:
    """Return how wide and how high axes are, before a layout moves them."""
    axes.apply_aspect()  # of axes inside of others
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


def _range(axes: Axes) -> float:
    low, high = axes.get_ylim()
    return abs(high - low)


def _widest(bands: Sequence[Band], count: int) -> list[Band]:
    """Return as many of the widest bands, by ascending place."""
    kept = sorted(bands, key=lambda band: band.low - band.high)[:count]
    return sorted(kept, key=lambda band: band.centre)
